//! What machines do that no release has in its hand: they boot slowly, lose their target
//! group, turn bad, end themselves; and whose traffic goes where then.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{Web, World, shares, web, worker};

fn roomy(version: &str) -> Web {
    Web { max: 6, ..web(version) }
}

/// A world whose live release is 1.0.0, settled.
fn settled() -> World {
    let world = World::new();
    world.commit(&roomy("1.0.0"));
    world.apply();
    world
}

/// The states of the targets of a version.
fn targets(world: &World, version: &str) -> Vec<String> {
    let state = world.state();
    let mut groups = state["target_groups"].as_array().unwrap().iter();
    let found = groups.find(|group| group["tags"]["ionroller:version"] == version).expect("a target group");
    let states = found["targets"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned());
    states.collect()
}

fn target_group(world: &World, version: &str) -> String {
    world.group_of(version)["target_group_arns"][0].as_str().unwrap_or_default().to_owned()
}

fn detach(world: &World, version: &str) {
    let (group, arn) = (world.group_of(version)["name"].clone(), target_group(world, version));
    world.by_hand(
        "autoscaling",
        &[
            ("Action", "DetachLoadBalancerTargetGroups"),
            ("AutoScalingGroupName", group.as_str().unwrap()),
            ("TargetGroupARNs.member.1", &arn),
        ],
    );
}

fn suspend(world: &World, version: &str, process: &str) {
    let group = world.group_of(version)["name"].clone();
    world.by_hand(
        "autoscaling",
        &[
            ("Action", "SuspendProcesses"),
            ("AutoScalingGroupName", group.as_str().unwrap()),
            ("ScalingProcesses.member.1", process),
        ],
    );
}

/// A load balancer checks machines while they boot and calls them unhealthy: those that an
/// autoscaler adds in mid-release block nothing and blame nobody.
#[test]
fn machines_that_boot_in_mid_release_block_nothing() {
    let world = settled();
    world.post("settings", &json!({"check_interval_ms": 300}));
    world.commit(&Web { bake: "16s".to_owned(), ..roomy("1.1.0") });
    let apply = world.spawn(&["apply", "--timeout", "100s"]);
    world.until("half of the traffic", |world| world.weights() == shares(&[("1.0.0", 50), ("1.1.0", 50)]));
    world.post("boots", &json!({"version": "1.1.0", "seconds": 12}));
    world.resize("1.1.0", 5);
    world.until("machines that are unhealthy while they boot", |world| {
        targets(world, "1.1.0").iter().filter(|state| *state == "unhealthy").count() == 3
    });
    assert_eq!(apply.wait(), 0, "{:#}", world.status());
    assert_eq!(world.status()["rejected"], Value::Null);
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
}

/// A candidate that has no machine behind its target group loses its traffic at once,
/// and no verdict is written for it.
#[test]
fn a_candidate_without_targets_loses_its_traffic_at_once() {
    let world = settled();
    world.commit(&roomy("1.1.0").slow());
    let apply = world.spawn(&["apply", "--timeout", "100s"]);
    world.until("half of the traffic", |world| world.weights() == shares(&[("1.0.0", 50), ("1.1.0", 50)]));
    // Whoever comes back comes late, so that the return is seen.
    world.post("boots", &json!({"version": "1.1.0", "seconds": 60}));
    world.post("settings", &json!({"health_delay_ms": 60_000}));
    detach(&world, "1.1.0");
    let begun = Instant::now();
    world.until("all traffic at live", |world| world.weights() == shares(&[("1.0.0", 100)]));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(world.status()["rejected"], Value::Null, "nobody's fault");
    drop(apply);
}

/// Live's machines all turn bad while the candidate is well: the candidate gets everything,
/// at whatever step it is, and the plan doesn't call a way back to the dead release instant.
#[test]
fn a_dead_live_gives_its_traffic_to_the_candidate_that_is_well() {
    let world = settled();
    let file = Web { steps: "[10, 100]".to_owned(), ..roomy("1.1.0").slow() };
    world.commit(&file);
    let apply = world.spawn(&["apply", "--timeout", "100s"]);
    world.until("a tenth of the traffic", |world| world.weights() == shares(&[("1.0.0", 90), ("1.1.0", 10)]));
    suspend(&world, "1.0.0", "ReplaceUnhealthy");
    world.sick("1.0.0");
    let begun = Instant::now();
    world.until("all traffic at the candidate", |world| world.weights() == shares(&[("1.1.0", 100)]));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(apply);
    world.revert();
    let plan = world.plan();
    assert_ne!(plan["rollback"], "instant", "{plan:#}");
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
}

/// A worker whose container can't start powers its machines off: it never settles, and the
/// release before it keeps its machines.
#[test]
fn a_worker_whose_machines_end_themselves_never_takes_over() {
    let world = World::new();
    world.commit(&worker("1.0.0"));
    world.apply();
    world.post("power", &json!({"version": "1.1.0", "off_after_ms": 300}));
    world.commit(&Web { bake: "15s".to_owned(), ..worker("1.1.0") });
    world.run(&["apply", "--timeout", "60s"]).ended(1);
    let group = world.group_of("1.0.0");
    assert_eq!(group["desired"], 2, "{group:#}");
    let status = world.status();
    assert_eq!(status["live"]["version"], "1.0.0", "{status:#}");
}

/// The times of the calls of an operation, and what they sent.
fn times(world: &World, operation: &str) -> Vec<(f64, String)> {
    let calls = world.calls().into_iter().filter(|call| call["operation"] == operation);
    calls.map(|call| (call["at"].as_f64().unwrap(), call["params"].to_string())).collect()
}

/// After its weight is taken back, a failed release stays behind the load balancer, whole,
/// for as long as the load balancer may still send it requests.
#[test]
fn connections_in_flight_have_time_when_weights_go_back() {
    let world = settled();
    world.commit(&roomy("1.1.0").slow());
    let apply = world.spawn(&["apply", "--timeout", "180s"]);
    world.until("half of the traffic", |world| world.weights() == shares(&[("1.0.0", 50), ("1.1.0", 50)]));
    let group = world.group_of("1.1.0")["name"].as_str().unwrap().to_owned();
    world.forget_calls();
    // One of two: not all are bad, so that somebody can still answer.
    world.post("health", &json!({"version": "1.1.0", "state": "unhealthy", "count": 1}));
    world.until("the weights back", |world| world.weights() == shares(&[("1.0.0", 100)]));
    assert_eq!(apply.wait(), 1);
    let rules = times(&world, "ModifyRule");
    let (back, left) = (rules.first().unwrap().0, rules.last().unwrap().0);
    assert!(left - back >= 60.0, "it left the rule {} s after its weight", left - back);
    let shrunk = times(&world, "UpdateAutoScalingGroup");
    let shrunk =
        shrunk.iter().find(|(_, params)| params.contains(&group) && params.contains("\"DesiredCapacity\":\"0\""));
    assert!(shrunk.is_some_and(|(at, _)| at - back >= 60.0), "it shrank at {shrunk:?}, its weight went at {back}");
}
