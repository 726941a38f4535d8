//! The reconciler over the simulated AWS, where more than one service matters.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Event, Pass, Reconciler, Target};
use crate::cloud::sim::SimCloud;
use crate::cloud::sim::world::World;
use crate::desired::files::{ConfigFiles, FileContent};
use crate::names::{CommitId, ListenerArn};
use crate::plan::types::{Change, Reason};
use crate::time::Span;

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";

/// A commit whose scope prunes, with these services at these versions.
fn target(commit: u64, services: &[(&str, &str)]) -> Target {
    let mut files = ConfigFiles::default();
    let mut add = |path: String, text: String| files.files.insert(path, FileContent::Bytes(text.into_bytes()));
    let scope = "scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n[prune]\nenabled = true\n";
    add("ionroller.toml".to_owned(), scope.to_owned());
    for (name, version) in services {
        let priority = name.bytes().map(u32::from).sum::<u32>();
        let mut text = format!("version = \"{version}\"\n[machine]\nami = \"ami-0123456789abcdef0\"\n");
        let _ = write!(
            text,
            "instance_type = \"t3.small\"\n[network]\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-a\"]\n\
             [capacity]\nmin = 1\n[load_balancer]\nlistener = \"{LISTENER}\"\nport = 80\n\
             rule = {{ priority = {priority}, hosts = [\"{name}.example.com\"] }}\n[rollout]\nbake = \"1m\"\n"
        );
        add(format!("services/{name}.toml"), text);
    }
    let desired = crate::desired::load(&files, Some(CommitId::parse(&format!("{commit:040x}")).unwrap()));
    Target::new(Arc::new(desired), None).unwrap()
}

async fn passes(reconciler: &Reconciler, sim: &SimCloud, target: &Target, span: Span) -> Pass {
    let quiet = |_: Event<'_>| {};
    let end = crate::cloud::CloudReader::now(sim) + span;
    loop {
        let pass = reconciler.pass(target, &quiet).await.unwrap();
        if crate::cloud::CloudReader::now(sim) >= end {
            return pass;
        }
        sim.advance(Span::from_secs(5));
    }
}

fn reconciler(sim: &SimCloud, only: &[&str]) -> Reconciler {
    let only = only.iter().map(|name| crate::names::ServiceName::parse(name).unwrap()).collect::<BTreeSet<_>>();
    Reconciler::new(Arc::new(sim.clone()), only, CancellationToken::new())
}

/// A service's turn reads that service alone, and so does a run for one service; how many
/// others have lost their files is not to be read off that.
#[tokio::test]
async fn more_orphans_than_the_limit_keep_running_also_when_one_has_its_turn() {
    let sim = SimCloud::new(World::for_places([ListenerArn::parse(LISTENER).unwrap()]));
    let all = reconciler(&sim, &[]);
    let first = target(1, &[("a", "1"), ("b", "1"), ("c", "1")]);
    passes(&all, &sim, &first, Span::from_mins(5)).await;
    // A warm release, whose retirement gives the orphan a turn of its own.
    let second = target(2, &[("a", "2"), ("b", "1"), ("c", "1")]);
    passes(&all, &sim, &second, Span::from_mins(10)).await;
    assert_eq!(sim.world().groups.len(), 4);
    let gone = target(3, &[("c", "1")]);
    let pass = passes(&all, &sim, &gone, Span::from_mins(70)).await;
    assert_eq!(sim.world().groups.len(), 3, "the warm one alone is gone");
    for plan in &pass.plan.services[..2] {
        assert_eq!(plan.change, Change::Blocked, "{plan:?}");
        assert_eq!(plan.waiting_on.as_ref().map(|wait| wait.reason), Some(Reason::Limit));
    }
    let begun = |(_, template): (&String, &crate::cloud::sim::world::SimTemplate)| {
        template.tags.contains_key("ionroller:fence")
    };
    assert!(!sim.world().templates.iter().any(begun), "no removal has begun");
    passes(&reconciler(&sim, &["a"]), &sim, &gone, Span::from_mins(2)).await;
    assert_eq!(sim.world().rules.len(), 3, "also when only one is asked for");
    // With one file back the other may go.
    let one = target(4, &[("a", "2"), ("c", "1")]);
    passes(&all, &sim, &one, Span::from_mins(5)).await;
    assert_eq!(sim.world().rules.len(), 2);
}
