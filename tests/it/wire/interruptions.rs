//! Calls whose answer is lost, and processes that die.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{Web, World, shares, web};

/// The calls that a rollout makes, by service, as AWS names both.
const CREATIONS: [(&str, &str); 4] = [
    ("ec2", "CreateLaunchTemplate"),
    ("elbv2", "CreateTargetGroup"),
    ("elbv2", "ModifyTargetGroupAttributes"),
    ("autoscaling", "CreateAutoScalingGroup"),
];
const CHANGES: [(&str, &str); 4] = [
    ("elbv2", "ModifyRule"),
    ("autoscaling", "CreateOrUpdateTags"),
    ("autoscaling", "UpdateAutoScalingGroup"),
    ("ec2", "CreateTags"),
];
const DELETIONS: [(&str, &str); 3] =
    [("autoscaling", "DeleteAutoScalingGroup"), ("elbv2", "DeleteTargetGroup"), ("ec2", "DeleteLaunchTemplate")];
const READINGS: [(&str, &str); 9] = [
    ("autoscaling", "DescribeAutoScalingGroups"),
    ("ec2", "DescribeLaunchTemplates"),
    ("elbv2", "DescribeTargetGroups"),
    ("elbv2", "DescribeListeners"),
    ("elbv2", "DescribeRules"),
    ("elbv2", "DescribeTags"),
    ("elbv2", "DescribeTargetHealth"),
    ("elbv2", "DescribeLoadBalancers"),
    ("autoscaling", "DescribePolicies"),
];

/// With an autoscaler's policy, so that a rollout makes every kind of call.
fn scaled(version: &str) -> Web {
    let file = web(version);
    Web { extra: "\n[tags]\nteam = \"payments\"\n".to_owned(), scaling: true, ..file }
}

/// Every change of a first release, an upgrade with its clearing up, and a rollback is done
/// and its answer lost; the SDK may try again, or the next pass. Nothing is made twice.
#[test]
fn the_answer_of_each_change_lost() {
    let world = World::new();
    let lose = |operations: &[(&str, &str)]| {
        let lost = operations.iter().map(|(service, operation)| {
            json!({"service": service, "operation": operation, "mode": "drop-after", "times": 1})
        });
        world.post("faults", &lost.collect::<Value>());
    };
    let all_lost = |of: &str| {
        let faults = world.get("faults");
        let left: Vec<&Value> = faults.as_array().unwrap().iter().filter(|fault| fault["left"] != 0).collect();
        assert!(left.is_empty(), "{of} never made these: {left:#?}");
    };
    let count = |kind: &str| world.state()[kind].as_array().unwrap().len();
    lose(&[&CREATIONS[..], &[("elbv2", "CreateRule"), ("autoscaling", "PutScalingPolicy")]].concat());
    world.commit(&scaled("1.0.0"));
    world.apply();
    all_lost("the first release");
    assert_eq!(["launch_templates", "target_groups", "rules", "groups"].map(count), [1, 1, 1, 1]);
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));

    lose(&[&CREATIONS[..], &CHANGES[..], &DELETIONS[..2]].concat());
    world.commit(&Web { warm: "0s".to_owned(), ..scaled("1.1.0") });
    world.run(&["apply", "--wait", "retired", "--timeout", "100s"]).ended(0);
    assert_eq!(["launch_templates", "target_groups", "rules", "groups"].map(count), [2, 1, 1, 1]);
    all_lost("the upgrade");

    lose(&[&CREATIONS[1..], &CHANGES[..2], &[("autoscaling", "DeleteTags"), ("ec2", "DeleteTags")]].concat());
    world.revert();
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    assert_eq!(["launch_templates", "target_groups", "rules", "groups"].map(count), [2, 2, 1, 2]);
    all_lost("the rollback");

    lose(&DELETIONS);
    world.commit(&Web { warm: "0s".to_owned(), records: 0, ..scaled("1.2.0") });
    world.run(&["apply", "--wait", "retired", "--timeout", "100s"]).ended(0);
    assert_eq!(["launch_templates", "target_groups", "rules", "groups"].map(count), [1, 1, 1, 1]);
    all_lost("the clearing up");
}

/// Killed at twenty moments of an upgrade and started again each time.
#[test]
fn kill_at_twenty_moments() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.commit(&web("1.1.0"));
    let mut seed = 7_u64;
    for _ in 0..20 {
        // A fixed sequence: the moments differ, the test does not.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let apply = world.spawn(&["apply"]);
        std::thread::sleep(Duration::from_millis(40 + (seed >> 33) % 900));
        apply.kill();
        let weights: u64 = world.weights().iter().map(|(_, weight)| weight).sum();
        assert_eq!(weights, 100, "{:?}", world.weights());
    }
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    assert_eq!(world.groups(), shares(&[("1.0.0", 2), ("1.1.0", 2)]));
    let state = world.state();
    assert_eq!(state["target_groups"].as_array().unwrap().len(), 2);
    assert_eq!(state["launch_templates"].as_array().unwrap().len(), 2);
    assert_eq!(world.group_of("1.1.0")["min"], 2);
}

/// Each call of a first release, an upgrade, its clearing up, and a rollback is throttled
/// for longer than the SDK has patience. A throttled call only waits, and then all goes on.
#[test]
fn each_call_throttled_for_a_while() {
    // Side by side: it is all waiting.
    std::thread::scope(|scope| {
        for operations in [&READINGS[..5], &READINGS[5..], &CREATIONS[..], &CHANGES[..], &DELETIONS[..]] {
            scope.spawn(|| throttled(operations));
        }
    });
}

fn throttled(operations: &[(&str, &str)]) {
    let world = World::new();
    world.commit(&Web { warm: "0s".to_owned(), ..scaled("1.0.0") });
    let again = || {
        let faults = operations.iter().map(|(service, operation)| {
            let (code, status) = if *service == "ec2" { ("RequestLimitExceeded", 503) } else { ("Throttling", 400) };
            // The SDK tries five times.
            json!({"service": service, "operation": operation, "mode": "error-before", "code": code, "status": status, "times": 6})
        });
        world.post("faults", &faults.collect::<Value>());
    };
    world.apply();
    again();
    world.commit(&Web { warm: "0s".to_owned(), records: 0, ..scaled("1.1.0") });
    world.run(&["apply", "--wait", "retired", "--timeout", "110s"]).ended(0);
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    assert_eq!(world.groups(), shares(&[("1.1.0", 2)]));
    let faults = world.get("faults");
    let left: Vec<&Value> = faults.as_array().unwrap().iter().filter(|fault| fault["left"] != 0).collect();
    assert!(left.is_empty(), "these were never called: {left:#?}");
    world.run(&["plan", "--detailed-exitcode"]).ended(0);
}

/// A deletion is refused for longer than five tries: AWS takes minutes to see that a target
/// group is in no rule any more. That is no change without effect, so it goes on.
#[test]
fn a_refusal_that_ends_by_itself_is_waited_for() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    let message = "Target group is currently in use by a listener or a rule";
    let fault = json!([{"operation": "DeleteTargetGroup", "mode": "error-before", "code": "ResourceInUse", "message": message, "times": 5}]);
    world.post("faults", &fault);
    world.commit(&Web { warm: "0s".to_owned(), ..web("1.1.0") });
    world.run(&["apply", "--wait", "retired", "--timeout", "110s"]).ended(0);
    assert_eq!(world.state()["target_groups"].as_array().unwrap().len(), 1);
}

/// A listing that fails is never taken for an empty one.
#[test]
fn a_failed_reading_changes_nothing() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.commit(&web("1.1.0"));
    for operation in ["DescribeAutoScalingGroups", "DescribeLaunchTemplates", "DescribeTargetGroups"] {
        world.post(
            "faults",
            &json!([{"operation": operation, "mode": "error-before", "code": "AccessDenied", "status": 403, "times": 1000}]),
        );
        world.forget_calls();
        let ran = world.run(&["apply", "--once"]).ended(1);
        assert!(ran.stderr.contains(operation), "{}", ran.stderr);
        assert_eq!(world.mutations(), Vec::<String>::new(), "{operation}");
        world.post("faults", &json!([]));
    }
}
