//! The reconciler over the simulated AWS, where more than one service matters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{ConfigRepository, Event, Pass, Reconciler, Target};
use crate::cloud::ErrorKind;
use crate::cloud::faulty::{Failure, FaultyCloud, Trigger};
use crate::cloud::sim::SimCloud;
use crate::cloud::sim::world::{VersionRules, World};
use crate::desired::files::{ConfigFiles, FileContent};
use crate::desired::spec::Desired;
use crate::git::{KeyFiles, Repository, TrustedKeys};
use crate::names::{CommitId, Digest, GroupName, ListenerArn, Scope, ServiceName, Version};
use crate::observed::marks::{self, Identity, Mark, Marks};
use crate::observed::resources::Lifecycle;
use crate::observed::state::{Observation, ServerGroup, ServiceState, TemplateState};
use crate::plan::action::Mutation;
use crate::plan::outcome::{self, Outcome};
use crate::plan::types::{Change, Reason};
use crate::time::{Span, Timestamp};

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";

/// A commit whose scope prunes, with these services at these versions.
fn target(commit: u64, services: &[(&str, &str)]) -> Target {
    target_with(commit, services, "")
}

/// The same, with more in their `[rollout]`.
fn target_with(commit: u64, services: &[(&str, &str)], rollout: &str) -> Target {
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
             rule = {{ priority = {priority}, hosts = [\"{name}.example.com\"] }}\n[rollout]\nbake = \"1m\"\n{rollout}"
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
    let only = only.iter().map(|name| ServiceName::parse(name).unwrap()).collect::<BTreeSet<_>>();
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

/// In bad weather each turn ends with a call that fails; the next one comes soon all the same
/// while there is a change in each.
#[tokio::test]
async fn whoever_gets_on_is_not_left_alone_longer_and_longer() {
    let sim = SimCloud::new(World::for_places([ListenerArn::parse(LISTENER).unwrap()]));
    let cloud = Arc::new(FaultyCloud::new(sim.clone()));
    for nth in 1..=10 {
        cloud.add(Trigger::Mutation(2 * nth), Failure::Before(ErrorKind::Unavailable));
    }
    let reconciler = Reconciler::new(Arc::clone(&cloud) as _, BTreeSet::new(), CancellationToken::new());
    let wanted = target(1, &[("a", "1")]);
    for _ in 0..4 {
        reconciler.pass(&wanted, &|_: Event<'_>| {}).await.unwrap();
        sim.advance(Span::from_secs(2));
    }
    // Template, target group, rule and group, and three failures between them.
    assert_eq!((cloud.counts().1, sim.world().groups.len()), (7, 1));
}

fn account() -> SimCloud {
    SimCloud::new(World::for_places([ListenerArn::parse(LISTENER).unwrap()]))
}

/// What was done is seen before the next change is decided: nothing is made twice.
#[tokio::test]
async fn every_change_goes_by_a_reading_of_its_own() {
    let sim = account();
    reconciler(&sim, &[]).pass(&target(1, &[("a", "1")]), &|_| {}).await.unwrap();
    let made: Vec<_> = sim.calls().iter().filter(|call| call.mutating).map(|call| call.operation).collect();
    let resources = ["CreateLaunchTemplate", "CreateTargetGroup", "CreateRule", "CreateAutoScalingGroup"];
    for operation in resources {
        assert_eq!(made.iter().filter(|call| **call == operation).count(), 1, "{operation} in {made:?}");
    }
}

/// A call that failed is no change: it is told, and the service is left alone for a moment.
#[tokio::test]
async fn a_call_that_failed_is_told_and_not_counted() {
    let sim = account();
    let faulty = Arc::new(FaultyCloud::new(sim.clone()));
    faulty.add(Trigger::Mutation(1), Failure::Before(ErrorKind::Unavailable));
    let reconciler = Reconciler::new(faulty, BTreeSet::new(), CancellationToken::new());
    let first = target(1, &[("a", "1")]);
    let pass = reconciler.pass(&first, &|_| {}).await.unwrap();
    assert_eq!((pass.acted, pass.failed.len(), sim.mutations()), (0, 1, 0));
    sim.advance(Span::from_secs(5));
    let pass = reconciler.pass(&first, &|_| {}).await.unwrap();
    assert!(pass.acted > 0 && pass.failed.is_empty());
}

/// A verdict is written before it is executed. Where it can't be written, the weights go
/// back all the same, in the same turn.
#[tokio::test]
async fn weights_go_back_also_when_the_verdict_cannot_be_written() {
    let sim = account();
    let faulty = Arc::new(FaultyCloud::new(sim.clone()));
    let reconciler = Reconciler::new(faulty.clone(), BTreeSet::new(), CancellationToken::new());
    passes(&reconciler, &sim, &target(1, &[("a", "1")]), Span::from_mins(5)).await;
    let second = target(2, &[("a", "2")]);
    let bakes = |(_, group): (&String, &crate::cloud::sim::world::SimGroup)| {
        let tag = |key: &str| group.tags.get(key).map_or("", String::as_str);
        tag("ionroller:version") == "2" && tag("ionroller:step").starts_with("100@")
    };
    for _ in 0..120 {
        if sim.look(|world| world.groups.iter().any(bakes)) {
            break;
        }
        passes(&reconciler, &sim, &second, Span::from_secs(5)).await;
    }
    assert!(sim.look(|world| world.groups.iter().any(bakes)));
    sim.set_health("2", false);
    // The first call of the kind said that release 1 is stable.
    faulty.add(Trigger::Operation("CreateTags", 2), Failure::Before(ErrorKind::Unavailable));
    let told = std::sync::Mutex::new(Vec::new());
    for _ in 0..12 {
        let tell = |event: Event<'_>| match event {
            Event::Acted { action, .. } => told.lock().unwrap().push((true, action.mutation.clone())),
            Event::Failed { action, .. } => told.lock().unwrap().push((false, action.mutation.clone())),
            Event::Unread { .. } => {}
        };
        reconciler.pass(&second, &tell).await.unwrap();
        if told.lock().unwrap().iter().any(|(done, _)| !done) {
            break;
        }
        sim.advance(Span::from_secs(5));
    }
    let told = told.into_inner().unwrap();
    let failed = told.iter().position(|(done, _)| !done).expect("a verdict");
    assert!(matches!(told[failed].1, Mutation::SetMark { mark: Mark::Rejected, .. }), "{told:?}");
    assert!(matches!(told.get(failed + 1), Some((true, Mutation::SetWeights { .. }))), "{told:?}");
}

/// A repository with a signed head and two commits before it that nobody has signed; the
/// three commits, oldest first, and the key in the form of allowed signers.
fn signed_head(dir: &std::path::Path) -> ([CommitId; 3], std::path::PathBuf) {
    let run = |program: &str, args: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.args(args).current_dir(dir).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
        command.envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "t")));
        command.envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "t@example.com")));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "key"]);
    let public = std::fs::read_to_string(dir.join("key.pub")).unwrap();
    std::fs::write(dir.join("signers"), format!("t {public}")).unwrap();
    run("git", &["init", "--quiet", "--initial-branch", "main", "."]);
    let key = format!("user.signingkey={}", dir.join("key").display());
    let commits = [&["commit"][..], &["commit"], &["-c", "gpg.format=ssh", "-c", &key, "commit", "-S"]].map(|verb| {
        run("git", &[verb, &["--quiet", "--allow-empty", "--message", "x"]].concat());
        CommitId::parse(&run("git", &["rev-parse", "HEAD"])).unwrap()
    });
    (commits, dir.join("signers"))
}

/// The reading of one service alone knows less of what was acted on than that of all.
#[test]
fn what_was_vetted_for_all_services_counts_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let ([first, second, head], signers) = signed_head(dir.path());
    let files = KeyFiles { ssh_allowed_signers: Some(signers), ..KeyFiles::default() };
    let mut signed = target(1, &[("a", "1"), ("b", "1")]);
    signed.desired = Arc::new(Desired { commit: Some(head), ..(*signed.desired).clone() });
    let open = || ConfigRepository::new(Repository::open_local(dir.path()).unwrap(), ".");
    signed.repository = Some(open());
    signed.signed_by = Some(Arc::new(TrustedKeys::load(&files).unwrap()));
    let observed = |claims: &[(&str, &CommitId)]| {
        let services = claims.iter().map(|(name, commit)| {
            let identity = Identity {
                scope: Scope::parse("prod").unwrap(),
                service: ServiceName::parse(name).unwrap(),
                version: Version::parse("1").unwrap(),
                digest: Digest::of(b"1"),
                commit: commit.to_string(),
            };
            let group = GroupName::of(&identity.scope, &identity.service, &identity.digest);
            let template = TemplateState {
                id: "lt-1".to_owned(),
                created: Timestamp::from_secs(1),
                marks: Marks::default(),
                commit: identity.commit.clone(),
                tags: identity.tags(),
            };
            let (service, name) = (identity.service.clone(), group.clone());
            let owner = ServerGroup {
                name,
                identity,
                template: Some(template),
                group: None,
                deleting: Vec::new(),
                target_group: None,
                weight: None,
                targets: None,
                details: None,
                activities: None,
            };
            (service, ServiceState { groups: [(group, owner)].into(), ..ServiceState::default() })
        });
        Observation { at: Timestamp::from_secs(4_000_000_000), services: services.collect(), unreadable: Vec::new() }
    };
    let (all, one) = (observed(&[("a", &first), ("b", &second)]), observed(&[("a", &first)]));
    assert_eq!(signed.lineage(&all).fences, BTreeMap::new(), "the head alone is new");
    assert_eq!(signed.lineage(&one).fences, BTreeMap::new());
    // Where nothing but that was acted on, the second commit is new, and every service waits.
    signed.repository = Some(open());
    let fences = signed.lineage(&one).fences;
    assert_eq!(fences.len(), 2, "{fences:?}");
    assert!(fences.values().all(|wait| wait.detail.starts_with(&format!("commit {} is not signed", second.short()))));
    // With nothing in AWS the head alone is looked at.
    assert_eq!(signed.lineage(&observed(&[])).fences, BTreeMap::new());
    assert_eq!(signed.lineage(&one).fences.len(), 2, "and that vets nothing else");
}

/// A call of a release is refused again and again, and its service is left alone meanwhile. The
/// release dies with traffic: that goes back all the same, at once.
#[tokio::test]
async fn what_protects_does_not_wait_for_a_call_that_fails() {
    let sim = account();
    let faulty = Arc::new(FaultyCloud::new(sim.clone()));
    let reconciler = Reconciler::new(faulty.clone(), BTreeSet::new(), CancellationToken::new());
    passes(&reconciler, &sim, &target(1, &[("a", "1")]), Span::from_mins(5)).await;
    let second = target_with(2, &[("a", "2")], "steps = [50, 100]\n");
    // The entry and the first step are made, the next step is refused.
    let made = sim.calls().iter().filter(|call| call.operation == "ModifyRule").count() as u64;
    faulty.add(Trigger::Operation("ModifyRule", made + 3), Failure::Before(ErrorKind::Denied));
    let failures = std::sync::Mutex::new(0);
    let tell = |event: Event<'_>| {
        if matches!(event, Event::Failed { .. }) {
            *failures.lock().unwrap() += 1;
        }
    };
    let now = || crate::cloud::CloudReader::now(&sim);
    let second_has = |wanted: fn(&crate::cloud::sim::Share) -> bool| {
        let world = sim.world();
        let of = |share: &crate::cloud::sim::Share| {
            world.target_groups[&share.target_group].tags["ionroller:version"] == "2" && wanted(share)
        };
        sim.traffic().iter().any(|(_, shares)| shares.iter().any(of))
    };
    let mut shared_at = None;
    for _ in 0..400 {
        reconciler.pass(&second, &tell).await.unwrap();
        if *failures.lock().unwrap() == 1 {
            break;
        }
        if second_has(|share| share.weight > 0) && *shared_at.get_or_insert(now()) + Span::from_secs(45) <= now() {
            // The load balancer needs a while to see it.
            sim.set_health("2", false);
        }
        sim.advance(Span::from_secs(5));
    }
    assert_eq!(*failures.lock().unwrap(), 1, "the step to all traffic is refused");
    let failed_at = now();
    assert!(second_has(|share| share.weight == 50 && share.healthy > 0));
    while second_has(|share| share.weight > 0) {
        sim.advance(Span::from_secs(2));
        let is_sick = second_has(|share| share.healthy == 0);
        reconciler.pass(&second, &tell).await.unwrap();
        assert!(!is_sick || !second_has(|share| share.weight > 0), "it is sick and keeps its traffic");
    }
    // The refused call is tried again after 22 s at the earliest.
    assert!(now().since(failed_at) < Span::from_secs(22), "it took {}", now().since(failed_at));
    assert_eq!(*failures.lock().unwrap(), 1, "the step itself is not repeated meanwhile");
}

/// A call that fails is what its service waits for, until it succeeds; the same answer for three
/// minutes is one that only somebody can end.
#[tokio::test]
async fn a_failing_call_is_said_until_it_succeeds_and_does_not_go_on_for_ever() {
    let sim = SimCloud::new(World::for_places([ListenerArn::parse(LISTENER).unwrap()]));
    let cloud = Arc::new(FaultyCloud::new(sim.clone()));
    let failures = 60;
    for nth in 1..=failures {
        cloud.add(Trigger::Operation("CreateAutoScalingGroup", nth), Failure::Before(ErrorKind::NotFound));
    }
    let reconciler = Reconciler::new(Arc::clone(&cloud) as _, BTreeSet::new(), CancellationToken::new());
    let wanted = target(1, &[("a", "1")]);
    let pass = passes(&reconciler, &sim, &wanted, Span::from_mins(1)).await;
    let wait = pass.plan.services[0].waiting_on.clone().unwrap();
    assert_eq!(wait.reason, Reason::Error);
    assert!(wait.until.is_some() && wait.detail.contains("CreateAutoScalingGroup"), "{wait:?}");
    assert_eq!(outcome::of(&pass.plan.services[0]), Outcome::OnItsWay);
    let pass = passes(&reconciler, &sim, &wanted, Span::from_mins(4)).await;
    let later = pass.plan.services[0].waiting_on.clone().unwrap();
    assert_eq!((later.reason, later.until, later.since), (Reason::Error, None, wait.since));
    assert_eq!(outcome::of(&pass.plan.services[0]), Outcome::Stuck);
    let seen = reconciler.plan(&wanted).await.unwrap();
    assert_eq!(seen.services[0].waiting_on.as_ref().map(|wait| wait.reason), Some(Reason::Error), "in the plan, too");
    let pass = passes(&reconciler, &sim, &wanted, Span::from_mins(300)).await;
    assert_eq!(pass.plan.services[0].waiting_on, None);
}

/// A commit with a worker whose machines must become ready first.
fn worker(commit: u64, version: &str) -> Target {
    let mut files = ConfigFiles::default();
    let mut add = |path: &str, text: String| files.files.insert(path.to_owned(), FileContent::Bytes(text.into_bytes()));
    add("ionroller.toml", "scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n".to_owned());
    let text = format!(
        "version = \"{version}\"\n[machine]\nami = \"name:mailer-{{version}}\"\ninstance_type = \"t3.small\"\n\
         instance_profile = \"mailer\"\nready = {{ command = \"mailer check\", timeout = \"5m\" }}\n[network]\n\
         subnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-a\"]\n[capacity]\nmin = 2\n[rollout]\nbake = \"1m\"\n"
    );
    add("services/mailer.toml", text);
    let desired = crate::desired::load(&files, Some(CommitId::parse(&format!("{commit:040x}")).unwrap()));
    assert!(desired.diagnostics.is_empty(), "{:?}", desired.diagnostics);
    Target::new(Arc::new(desired), None).unwrap()
}

/// Nobody but the machine itself says whether a worker works. A release whose machines never
/// become ready never takes over, and nobody is blamed; one whose machines do, does.
#[tokio::test]
async fn a_worker_whose_machines_never_become_ready_never_takes_over() {
    let sim = SimCloud::new(World::for_places([ListenerArn::parse(LISTENER).unwrap()]));
    let reconciler = reconciler(&sim, &[]);
    let said = |pass: &Pass| pass.plan.services[0].waiting_on.as_ref().map(|wait| wait.detail.clone());
    let pass = passes(&reconciler, &sim, &worker(1, "1"), Span::from_mins(5)).await;
    assert_eq!((said(&pass), sim.world().groups.len()), (None, 1));

    sim.set_version("2", VersionRules { unhealthy: true, ..VersionRules::default() });
    let bad = worker(2, "2");
    let pass = passes(&reconciler, &sim, &bad, Span::from_mins(2)).await;
    let text = said(&pass).unwrap_or_default();
    assert_eq!(text, "0 of 2 machines healthy (2 booting); 2 machines are not ready yet (machine.ready)");
    let mut tries = 0;
    for _ in 0..30 {
        passes(&reconciler, &sim, &bad, Span::from_mins(5)).await;
        let world = sim.world();
        let tags = |version: &str| {
            let found = world.templates.values().find(|template| template.tags[marks::VERSION] == version);
            found.map(|template| Marks::read(&template.tags, world.time())).unwrap()
        };
        assert!(tags("1").stable.is_some() && tags("2").stable.is_none() && tags("2").rejected.is_none());
        let live = world.groups.values().find(|group| group.tags[marks::VERSION] == "1").unwrap();
        let serving = live.instances.values().filter(|machine| machine.lifecycle == Lifecycle::InService).count();
        assert_eq!((live.desired, serving), (2, 2));
        tries = tags("2").retry.map_or(0, |retry| retry.tries);
    }
    assert!(tries >= 2, "{tries}");

    let pass = passes(&reconciler, &sim, &worker(3, "3"), Span::from_mins(90)).await;
    assert_eq!(said(&pass), None);
    let world = sim.world();
    let working: Vec<&str> = world
        .groups
        .values()
        .filter(|group| group.desired > 0)
        .map(|group| group.tags[marks::VERSION].as_str())
        .collect();
    assert_eq!(working, ["3"]);
}
