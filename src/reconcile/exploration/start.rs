//! Where a small world begins: the commits that there are, and an account.

use std::sync::Arc;

use super::super::Target;
use super::{BAKE, Bounds, DEADLINE, FOREIGN_RULE, LISTENER, TICK, WARM};
use crate::cloud::sim::fixture::add_foreign_target_group;
use crate::cloud::sim::world::{Pace, SimRule, World};
use crate::desired::files::{ConfigFiles, FileContent};
use crate::names::{CommitId, ListenerArn, RuleArn};
use crate::observed::resources::{Conditions, RuleAction, Tags};
use crate::time::Span;

/// What a commit says.
pub(super) fn target(commit: usize, version: &str, steps: &str) -> Target {
    let mut files = ConfigFiles::default();
    let mut add = |path: &str, text: String| files.files.insert(path.to_owned(), FileContent::Bytes(text.into_bytes()));
    add("ionroller.toml", "scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n".to_owned());
    let (bake, warm, deadline, tick) = (seconds(BAKE), seconds(WARM), seconds(DEADLINE), seconds(TICK));
    let text = format!(
        "version = \"{version}\"\n[machine]\nami = \"ami-0123456789abcdef0\"\ninstance_type = \"t3.small\"\n\
         [network]\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-a\"]\n[capacity]\nmin = 1\n\
         [load_balancer]\nlistener = \"{LISTENER}\"\nport = 80\nderegistration_delay = \"{tick}\"\n\
         rule = {{ priority = 10, hosts = [\"web.example.com\"] }}\n\
         health_check = {{ interval = \"30s\", timeout = \"5s\", healthy = 2, unhealthy = 2 }}\n\
         [rollout]\nsteps = {steps}\nbake = \"{bake}\"\nhealthy_deadline = \"{deadline}\"\nhealthy_for = \"0s\"\n\
         unhealthy_for = \"{tick}\"\n[retention]\nwarm = \"{warm}\"\nrecords = 1\n"
    );
    add("services/web.toml", text);
    let desired = crate::desired::load(&files, Some(CommitId::parse(&format!("{commit:040x}")).unwrap()));
    assert!(desired.diagnostics.iter().all(|found| found.file.as_deref() != Some("services/web.toml")), "{desired:?}");
    Target::new(Arc::new(desired), None).unwrap()
}

fn seconds(span: Span) -> String {
    format!("{}s", span.as_secs_ceil())
}

/// An account with a rule of somebody else, and nothing of ours. Whatever takes time there
/// takes one tick.
pub(super) fn empty_account(bounds: &Bounds) -> World {
    let listener = ListenerArn::parse(LISTENER).unwrap();
    let mut world = World::for_places([listener.clone()]);
    world.pace = Pace {
        boot: TICK,
        warmup: TICK,
        replace: TICK,
        shutdown: TICK,
        deletion: TICK,
        launch_retry: TICK,
        lag: Span::ZERO,
    };
    let arn = add_foreign_target_group(&mut world, "theirs", &listener, 1);
    let rule = SimRule {
        listener,
        priority: 99,
        conditions: Conditions { hosts: vec!["theirs.example.com".to_owned()], paths: Vec::new(), more: Vec::new() },
        action: RuleAction::Forward(vec![(arn, 1)]),
        tags: Tags::new(),
        created: world.now,
    };
    world.rules.insert(RuleArn::parse(FOREIGN_RULE).unwrap(), rule);
    if let Some(version) = bounds.sick {
        world.versions.entry(version.to_owned()).or_default().unhealthy = true;
    }
    world
}
