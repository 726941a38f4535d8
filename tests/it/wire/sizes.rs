//! Sizes that change under a rollout's feet, and what is kept of past releases.

use serde_json::json;

use super::world::{Web, World, shares, web};

/// Live has grown since the settle, and the warm group has not: raised first, then one
/// weight call.
#[test]
fn a_revert_to_a_smaller_warm_group_raises_it_first() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.commit(&web("1.1.0"));
    world.apply();
    world.resize("1.1.0", 4);
    world.until("its growth", |world| world.group_of("1.1.0")["instances"].as_array().unwrap().len() == 4);
    world.revert();
    let plan = world.plan();
    assert_eq!((&plan["change"], &plan["rollback"]), (&json!("rollback"), &json!("scale-up")), "{plan:#}");
    world.forget_calls();
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    let group = world.group_of("1.0.0");
    assert_eq!((&group["desired"], &group["min"], &group["max"]), (&json!(4), &json!(2), &json!(4)), "{group:#}");
    let calls = world.calls();
    let number = |operation: &str| calls.iter().position(|call| call["operation"] == operation).unwrap();
    assert!(number("UpdateAutoScalingGroup") < number("ModifyRule"), "raised first");
    let weights = calls.iter().filter(|call| call["operation"] == "ModifyRule").count();
    assert_eq!(weights, 1, "one weight call");
}

/// `min` and `max` that change in mid-rollout act on the candidate, on live at settle.
#[test]
fn sizes_change_in_mid_rollout() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.half_way("1.0.0", "1.1.0");
    let before = world.group_of("1.1.0")["instances"].clone();
    world.commit(&Web { min: 3, max: 6, ..web("1.1.0") });
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    let group = world.group_of("1.1.0");
    assert_eq!((&group["min"], &group["max"], &group["desired"]), (&json!(3), &json!(6), &json!(3)), "{group:#}");
    for instance in before.as_array().unwrap() {
        assert!(group["instances"].to_string().contains(instance["id"].as_str().unwrap()), "no machine was replaced");
    }
    assert_eq!(world.group_of("1.0.0")["desired"], 2, "what is left keeps its size");
}

/// The same version on fresh machines: any new text is a new release, and one like others.
#[test]
fn redeploy_replaces_the_machines() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    let before = world.group_of("1.0.0")["instances"].clone();
    world.commit(&Web { keys: "redeploy = \"rotate certificates\"\n".to_owned(), ..web("1.0.0") });
    let plan = world.plan();
    assert_eq!((&plan["change"], &plan["rollback"]), (&json!("release"), &json!("instant")), "{plan:#}");
    world.apply();
    let state = world.state();
    let shares: Vec<u64> = state["rules"][0]["actions"][0]["weights"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| share["weight"].as_u64().unwrap())
        .collect();
    assert_eq!((shares.len(), shares.iter().max()), (2, Some(&100)), "{shares:?}");
    let status = world.status();
    let live = status["groups"].as_array().unwrap().iter().find(|group| group["role"] == "live").unwrap();
    let group = state["groups"].as_array().unwrap().iter().find(|group| group["name"] == live["name"]).unwrap();
    for instance in before.as_array().unwrap() {
        assert!(!group["instances"].to_string().contains(instance["id"].as_str().unwrap()), "fresh machines");
    }
    // And its revert is instant.
    world.revert();
    world.forget_calls();
    world.apply();
    assert_eq!(world.mutations()[0], "ModifyRule");
}

/// As many records of past releases as the file says, and nothing else of them.
#[test]
fn records_of_past_releases_go() {
    let world = World::new();
    let file = |version: &str| Web { steps: "[100]".to_owned(), warm: "0s".to_owned(), records: 1, ..web(version) };
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        world.commit(&file(version));
        world.run(&["apply", "--wait", "retired", "--timeout", "100s"]).ended(0);
    }
    assert_eq!(world.templates(), ["1.1.0", "1.2.0"], "1.0.0 is no record any more");
    let state = world.state();
    assert_eq!(state["target_groups"].as_array().unwrap().len(), 1);
    assert_eq!(world.groups(), shares(&[("1.2.0", 2)]));
}
