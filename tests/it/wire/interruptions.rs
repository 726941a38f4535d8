//! Calls whose answer is lost, and processes that die.

use std::time::Duration;

use serde_json::json;

use super::world::{World, shares, web};

/// Every creation is done and its answer lost; the SDK may try again, or the next pass.
#[test]
fn the_answer_of_each_creation_lost() {
    let creations = ["CreateLaunchTemplate", "CreateTargetGroup", "CreateRule", "CreateAutoScalingGroup"];
    for operation in creations {
        let world = World::new();
        world.post("faults", &json!([{"operation": operation, "mode": "drop-after", "times": 1}]));
        world.commit(&web("1.0.0"));
        world.apply();
        let state = world.state();
        let count = |kind: &str| state[kind].as_array().unwrap().len();
        let made = ["launch_templates", "target_groups", "rules", "groups"].map(count);
        assert_eq!(made, [1, 1, 1, 1], "{operation}");
        assert_eq!(world.weights(), shares(&[("1.0.0", 100)]), "{operation}");
    }
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
        let mut apply = world.spawn(&["apply"]);
        std::thread::sleep(Duration::from_millis(40 + (seed >> 33) % 900));
        let _ = apply.kill();
        let _ = apply.wait();
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

/// Each call of a rollout throttled a few times.
#[test]
fn throttled_calls_only_wait() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    let operations = ["ModifyRule", "CreateOrUpdateTags", "DescribeRules", "DescribeTargetHealth"];
    let faults: Vec<_> = operations
        .iter()
        .map(|operation| {
            json!({"operation": operation, "mode": "error-before", "code": "Throttling", "status": 400, "times": 2})
        })
        .collect();
    world.post("faults", &json!(faults));
    world.commit(&web("1.1.0"));
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
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
