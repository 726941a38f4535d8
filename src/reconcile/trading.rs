//! Services that trade their places on a listener, over the simulated AWS: in pairs and in
//! cycles, with a default action, with a process that dies at each call, and with files that
//! claim a place which another service has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::{Event, Pass, Reconciler, Target};
use crate::cloud::CloudReader as _;
use crate::cloud::faulty::{Failure, FaultyCloud, Trigger};
use crate::cloud::sim::SimCloud;
use crate::cloud::sim::world::World;
use crate::desired::files::{ConfigFiles, FileContent};
use crate::names::{CommitId, ListenerArn, RuleArn, ServiceName};
use crate::observed::marks::{self, Mark};
use crate::plan::types::{Change, Plan, Reason, ServicePlan};
use crate::time::Span;

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";

/// One service's file: its name, its version, and its priority; none: the default action.
type File = (&'static str, &'static str, Option<u32>);

fn target(commit: u64, services: &[File]) -> Target {
    let mut files = ConfigFiles::default();
    let mut add = |path: String, text: String| files.files.insert(path, FileContent::Bytes(text.into_bytes()));
    let scope = "scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n";
    add("ionroller.toml".to_owned(), scope.to_owned());
    for (name, version, priority) in services {
        let mut text = format!("version = \"{version}\"\n[machine]\nami = \"ami-0123456789abcdef0\"\n");
        let _ = write!(
            text,
            "instance_type = \"t3.small\"\n[network]\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-a\"]\n\
             [capacity]\nmin = 1\n[rollout]\nbake = \"1m\"\n[load_balancer]\nlistener = \"{LISTENER}\"\nport = 80\n",
        );
        if let Some(priority) = priority {
            let _ = writeln!(text, "rule = {{ priority = {priority}, hosts = [\"{name}.example.com\"] }}");
        }
        add(format!("services/{name}.toml"), text);
    }
    let desired = crate::desired::load(&files, Some(CommitId::parse(&format!("{commit:040x}")).unwrap()));
    Target::new(Arc::new(desired), None).unwrap()
}

fn account() -> SimCloud {
    SimCloud::new(World::for_places([ListenerArn::parse(LISTENER).unwrap()]))
}

fn reconciler(cloud: &Arc<FaultyCloud<SimCloud>>) -> Reconciler {
    Reconciler::new(Arc::clone(cloud) as _, BTreeSet::new(), CancellationToken::new())
}

/// The services that a rule forwards to under conditions that clients meet.
fn served(sim: &SimCloud) -> BTreeMap<Option<u32>, BTreeSet<String>> {
    let world = sim.world();
    let service = |arn: &crate::names::TargetGroupArn| {
        world.target_groups.get(arn).map(|group| group.tags[marks::SERVICE].clone())
    };
    let rules = world
        .rules
        .values()
        .filter(|rule| !rule.conditions.hosts.iter().any(|host| host.ends_with(".ionroller.invalid")));
    let rules = rules.map(|rule| (Some(rule.priority), &rule.action));
    let defaults = world.listeners.values().map(|listener| (None, &listener.default_action));
    let mut served = BTreeMap::new();
    for (place, action) in rules.chain(defaults) {
        let weighted = action.percents().into_iter().filter(|(_, percent)| *percent > 0);
        let services: BTreeSet<String> = weighted.filter_map(|(arn, _)| service(&arn)).collect();
        if !services.is_empty() {
            served.insert(place, services);
        }
    }
    served
}

/// The place that each service has when it has only one.
fn places_of(sim: &SimCloud) -> Vec<(String, Option<u32>)> {
    let mut places: Vec<_> =
        served(sim).into_iter().flat_map(|(place, names)| names.into_iter().map(move |name| (name, place))).collect();
    places.sort();
    places
}

fn wanted(services: &[File]) -> Vec<(String, Option<u32>)> {
    let mut places: Vec<_> = services.iter().map(|(name, _, place)| ((*name).to_owned(), *place)).collect();
    places.sort();
    places
}

/// Passes for so long; after each change every service that was there at the beginning serves.
async fn passes(reconciler: &Reconciler, sim: &SimCloud, target: &Target, span: Span) -> Option<Pass> {
    passes_until(reconciler, sim, target, span, |_| false).await
}

/// The same until something is so.
async fn passes_until(
    reconciler: &Reconciler,
    sim: &SimCloud,
    target: &Target,
    span: Span,
    ends: impl Fn(&Option<Pass>) -> bool,
) -> Option<Pass> {
    let names: BTreeSet<String> = served(sim).into_values().flatten().collect();
    let owners = Mutex::new(rule_owners(sim));
    let check = |event: Event<'_>| {
        if matches!(event, Event::Unread { .. }) {
            return;
        }
        let now: BTreeSet<String> = served(sim).into_values().flatten().collect();
        assert!(names.is_subset(&now), "not all of {names:?} serve after {event:?}: {:?}", served(sim));
        // No rule ever goes over to another owner.
        let mut known = owners.lock().unwrap();
        for (arn, owner) in rule_owners(sim) {
            assert_eq!(*known.entry(arn).or_insert_with(|| owner.clone()), owner);
        }
    };
    let end = sim.now() + span;
    loop {
        let pass = reconciler.pass(target, &check).await.ok();
        if sim.now() >= end || ends(&pass) {
            return pass;
        }
        sim.advance(Span::from_secs(10));
    }
}

fn rule_owners(sim: &SimCloud) -> BTreeMap<RuleArn, String> {
    let world = sim.world();
    world.rules.iter().map(|(arn, rule)| (arn.clone(), rule.tags[marks::SERVICE].clone())).collect()
}

/// A world in which these services have settled, and a reconciler that remembers nothing.
async fn settled(services: &[File]) -> (SimCloud, Arc<FaultyCloud<SimCloud>>) {
    let sim = account();
    let cloud = Arc::new(FaultyCloud::new(sim.clone()));
    passes(&reconciler(&cloud), &sim, &target(1, services), Span::from_mins(8)).await;
    assert_eq!(places_of(&sim), wanted(services));
    (sim, cloud)
}

fn plan<'a>(plan: &'a Plan, name: &str) -> &'a ServicePlan {
    plan.services.iter().find(|service| service.name.as_str() == name).unwrap()
}

/// One commit in which places change hands.
const TRADES: [(&[File], &[File]); 8] = [
    // Two.
    (&[("a", "1", Some(10)), ("b", "1", Some(20))], &[("a", "1", Some(20)), ("b", "1", Some(10))]),
    // Two whose places touch.
    (&[("a", "1", Some(1)), ("b", "1", Some(2))], &[("a", "1", Some(2)), ("b", "1", Some(1))]),
    // Cycles of three, in both directions.
    (
        &[("a", "1", Some(10)), ("b", "1", Some(11)), ("c", "1", Some(12))],
        &[("a", "1", Some(11)), ("b", "1", Some(12)), ("c", "1", Some(10))],
    ),
    (
        &[("a", "1", Some(10)), ("b", "1", Some(11)), ("c", "1", Some(12))],
        &[("a", "1", Some(12)), ("b", "1", Some(10)), ("c", "1", Some(11))],
    ),
    // A chain, whose last place is free, and one that comes newly to a place that is left.
    (
        &[("a", "1", Some(10)), ("b", "1", Some(20))],
        &[("a", "1", Some(20)), ("b", "1", Some(30)), ("c", "1", Some(10))],
    ),
    // A new service comes to a default action that is left.
    (&[("a", "1", None)], &[("a", "1", Some(20)), ("c", "1", None)]),
    // A rule and the default action, in both orders of their names.
    (&[("a", "1", None), ("b", "1", Some(20))], &[("a", "1", Some(20)), ("b", "1", None)]),
    (&[("a", "1", Some(20)), ("b", "1", None)], &[("a", "1", None), ("b", "1", Some(20))]),
];

#[tokio::test]
async fn services_that_trade_places_get_there_and_serve_meanwhile() {
    for (before, after) in TRADES {
        let (sim, cloud) = settled(before).await;
        let pass = passes(&reconciler(&cloud), &sim, &target(2, after), Span::from_mins(8)).await.unwrap();
        assert_eq!(places_of(&sim), wanted(after), "{:#?}", pass.plan.services);
        assert!(pass.plan.services.iter().all(|service| service.change == Change::None), "{:#?}", pass.plan.services);
        assert_eq!(sim.violations(), Vec::<String>::new());
    }
}

/// Any way in which places can change hands, on a listener that is nearly full of them.
#[tokio::test]
async fn services_get_to_any_places_from_any_others() {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(2..=NAMES.len());
        let mut places: Vec<Option<u32>> = (1..=6).map(Some).chain([None]).collect();
        random.shuffle(&mut places);
        let files = |places: &[Option<u32>]| -> Vec<File> {
            NAMES.into_iter().zip(places).take(count).map(|(name, place)| (name, "1", *place)).collect()
        };
        let before = files(&places);
        // Mostly among themselves, now and then one comes to a place that nobody had.
        let among = if random.bool() { count } else { places.len() };
        random.shuffle(&mut places[..among]);
        let after = files(&places);
        let gives_default_away = |file: &(&File, &File)| file.0.2.is_none() && file.1.2.is_some();
        let left = before.iter().zip(&after).any(|pair| gives_default_away(&pair));
        if left && after.iter().all(|file| file.2.is_some()) {
            // A default action that nobody takes stays its last owner's.
            continue;
        }
        let (sim, cloud) = settled(&before).await;
        let pass = passes(&reconciler(&cloud), &sim, &target(2, &after), Span::from_mins(10)).await.unwrap();
        assert_eq!(places_of(&sim), wanted(&after), "{seed}: from {before:?}: {:#?}", pass.plan.services);
        assert_eq!(sim.violations(), Vec::<String>::new());
    }
}

/// With new releases in the same commit.
#[tokio::test]
async fn services_that_trade_places_release_in_the_same_commit() {
    let (sim, cloud) = settled(&[("a", "1", Some(10)), ("b", "1", Some(20))]).await;
    let after = [("a", "2", Some(20)), ("b", "2", Some(10))];
    let pass = passes(&reconciler(&cloud), &sim, &target(2, &after), Span::from_mins(15)).await.unwrap();
    assert_eq!(places_of(&sim), wanted(&after));
    for service in &pass.plan.services {
        assert_eq!(service.from.as_ref().unwrap().version.as_str(), "2");
    }
}

/// A process dies before or after each call of a trade, or the call's answer is lost, and a
/// new process goes on from what AWS shows.
#[tokio::test]
async fn a_trade_goes_on_whatever_call_was_cut_off() {
    // Every second one, or a test run would take a minute longer.
    for (before, after) in TRADES.into_iter().skip(1).step_by(2) {
        let (start, _) = settled(before).await;
        let start = start.world();
        for fault in [Failure::CrashBefore, Failure::CrashAfter, Failure::After] {
            for nth in 1.. {
                let sim = SimCloud::new(start.clone());
                let cloud = Arc::new(FaultyCloud::new(sim.clone()));
                cloud.add(Trigger::Mutation(nth), fault);
                let wants = target(2, after);
                let is_there = |pass: &Option<Pass>| {
                    let rests = |pass: &Pass| pass.plan.services.iter().all(|plan| plan.change == Change::None);
                    pass.as_ref().is_some_and(rests)
                };
                let died = |pass: &Option<Pass>| cloud.crashed() || is_there(pass);
                passes_until(&reconciler(&cloud), &sim, &wants, Span::from_mins(8), died).await;
                let reached = cloud.counts().1 >= nth;
                cloud.restart();
                passes_until(&reconciler(&cloud), &sim, &wants, Span::from_mins(8), is_there).await;
                assert_eq!(places_of(&sim), wanted(after), "{fault:?} at call {nth}");
                if !reached {
                    break;
                }
            }
        }
    }
}

/// Readings that show the past, for a while.
#[tokio::test]
async fn a_trade_gets_there_on_late_readings() {
    for (seed, (before, after)) in (1..).zip(TRADES) {
        let (sim, cloud) = settled(before).await;
        sim.set_staleness(seed, Span::from_secs(20), 40);
        passes(&reconciler(&cloud), &sim, &target(2, after), Span::from_mins(8)).await;
        sim.set_staleness(seed, Span::ZERO, 0);
        passes(&reconciler(&cloud), &sim, &target(2, after), Span::from_mins(8)).await;
        assert_eq!(places_of(&sim), wanted(after), "{seed}");
    }
}

/// Where one of a pair is paused, the other waits and says for whom; it gets its place when
/// the pause ends, and serves and releases until then.
#[tokio::test]
async fn of_a_trade_whose_partner_stands_still_the_other_waits() {
    let (sim, cloud) = settled(&[("a", "1", Some(10)), ("b", "1", Some(20))]).await;
    let after = [("a", "1", Some(20)), ("b", "1", Some(10))];
    let mut paused = target(2, &after);
    let mut desired = (*paused.desired).clone();
    let b = ServiceName::parse("b").unwrap();
    if let Some(crate::desired::spec::ServiceFile::Valid(spec)) = desired.services.get_mut(&b) {
        spec.paused = Some("a look first".to_owned());
    }
    paused.desired = Arc::new(desired);
    let pass = passes(&reconciler(&cloud), &sim, &paused, Span::from_mins(5)).await.unwrap();
    let wait = plan(&pass.plan, "a").waiting_on.clone().unwrap();
    assert_eq!((wait.reason, wait.detail.contains("service b")), (Reason::Preflight, true), "{wait:?}");
    assert_eq!(places_of(&sim), [("a".to_owned(), Some(10)), ("b".to_owned(), Some(20))]);
    passes(&reconciler(&cloud), &sim, &target(3, &after), Span::from_mins(8)).await;
    assert_eq!(places_of(&sim), wanted(&after));
}

/// Where one of a pair is held, the other has made way, and serves and releases meanwhile.
#[tokio::test]
async fn of_a_trade_whose_partner_is_held_the_other_releases() {
    let (sim, cloud) = settled(&[("a", "1", Some(10)), ("b", "1", Some(20))]).await;
    let mark = |sim: &SimCloud, on: bool| {
        let now = sim.now().ceil_secs();
        sim.change(|world| {
            let templates = world.templates.values_mut().filter(|found| found.tags[marks::SERVICE] == "b");
            for template in templates {
                template.tags.remove(Mark::Hold.key());
                if on {
                    template.tags.insert(Mark::Hold.key().to_owned(), format!("{now} ann look"));
                }
            }
        });
    };
    mark(&sim, true);
    let after = [("a", "2", Some(20)), ("b", "1", Some(10))];
    let pass = passes(&reconciler(&cloud), &sim, &target(2, &after), Span::from_mins(12)).await.unwrap();
    let a = plan(&pass.plan, "a");
    assert_eq!(
        (a.from.as_ref().unwrap().version.as_str(), a.waiting_on.as_ref().unwrap().reason),
        ("2", Reason::Dependency)
    );
    assert_eq!(plan(&pass.plan, "b").waiting_on.as_ref().unwrap().reason, Reason::Hold);
    assert_eq!(places_of(&sim), [("a".to_owned(), Some(11)), ("b".to_owned(), Some(20))]);
    let next = [("a", "3", Some(20)), ("b", "1", Some(10))];
    let pass = passes(&reconciler(&cloud), &sim, &target(3, &next), Span::from_mins(12)).await.unwrap();
    assert_eq!(plan(&pass.plan, "a").from.as_ref().unwrap().version.as_str(), "3");
    mark(&sim, false);
    passes(&reconciler(&cloud), &sim, &target(3, &next), Span::from_mins(8)).await;
    assert_eq!(places_of(&sim), wanted(&next));
}

/// The relation to the rules of others stays as it was or as it will be.
#[tokio::test]
async fn on_the_way_a_rule_passes_no_rule_of_another() {
    let before = [("a", "1", Some(10)), ("b", "1", Some(20)), ("other", "1", Some(30))];
    let (sim, cloud) = settled(&before).await;
    let after = [("a", "1", Some(20)), ("b", "1", Some(10)), ("other", "1", Some(30))];
    let seen = Mutex::new(BTreeSet::new());
    let reconciler = reconciler(&cloud);
    for _ in 0..60 {
        let note = |_: Event<'_>| {
            let rules = served(&sim);
            seen.lock().unwrap().extend(rules.into_iter().filter(|(_, names)| names.contains("a")).map(|(p, _)| p));
        };
        reconciler.pass(&target(2, &after), &note).await.unwrap();
        sim.advance(Span::from_secs(10));
    }
    assert_eq!(places_of(&sim), wanted(&after));
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().all(|place| place.is_some_and(|place| (10..=20).contains(&place))), "{seen:?}");
}

/// A new file with the priority of a live service: the service goes on as if it were alone.
#[tokio::test]
async fn of_two_files_that_claim_a_place_the_one_that_has_it_goes_on() {
    let (sim, cloud) = settled(&[("a", "1", Some(10)), ("b", "1", Some(20))]).await;
    for (commit, after, loser) in [
        (2, [("a", "2", Some(10)), ("b", "1", Some(20)), ("c", "1", Some(10))], "c"),
        // One that has another place keeps that.
        (3, [("a", "3", Some(10)), ("b", "2", Some(10)), ("c", "1", Some(40))], "b"),
    ] {
        let wants = target(commit, &after);
        let pass = passes(&reconciler(&cloud), &sim, &wants, Span::from_mins(15)).await.unwrap();
        let a = plan(&pass.plan, "a");
        assert_eq!(a.from.as_ref().unwrap().version.as_str(), after[0].1, "{a:#?}");
        assert_eq!(a.change, Change::None);
        let other = plan(&pass.plan, loser);
        assert_eq!(other.change, Change::Blocked);
        assert_eq!(other.waiting_on.as_ref().map(|wait| wait.reason), Some(Reason::Invalid));
        let said: Vec<_> = pass.plan.diagnostics.iter().collect();
        let [said] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!(said.file.as_deref(), Some(&*format!("services/{loser}.toml")));
        assert!(said.message.contains("services/a.toml"), "{said:?}");
        assert!(said.help.as_deref().unwrap().contains("a has it in AWS"), "{said:?}");
    }
    // A revert of the last release of the one that has the place.
    let after = [("a", "2", Some(10)), ("b", "1", Some(10))];
    let pass = passes(&reconciler(&cloud), &sim, &target(4, &after), Span::from_mins(10)).await.unwrap();
    assert_eq!(plan(&pass.plan, "a").from.as_ref().unwrap().version.as_str(), "2");
    assert_eq!(places_of(&sim)[..2], [("a".to_owned(), Some(10)), ("b".to_owned(), Some(20))]);
}

/// Where nobody has the place, both files are wrong, and both say so.
#[tokio::test]
async fn of_two_files_that_claim_a_free_place_neither_counts() {
    let (sim, cloud) = settled(&[("a", "1", Some(10)), ("b", "1", Some(20))]).await;
    let after = [("a", "2", Some(30)), ("b", "2", Some(30))];
    let pass = passes(&reconciler(&cloud), &sim, &target(2, &after), Span::from_mins(5)).await.unwrap();
    assert_eq!(pass.plan.diagnostics.len(), 2);
    assert!(pass.plan.services.iter().all(|service| service.change == Change::Blocked));
    assert_eq!(places_of(&sim), [("a".to_owned(), Some(10)), ("b".to_owned(), Some(20))]);
}
