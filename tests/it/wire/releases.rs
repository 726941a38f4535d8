//! Releases, rollbacks and updates that go as they should.

use serde_json::json;

use super::world::{World, shares, web};

#[test]
fn first_release_then_upgrade_revert_and_the_same_release_again() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    assert_eq!(world.groups(), shares(&[("1.0.0", 2)]));
    let rule = &world.state()["rules"][0];
    assert_eq!(rule["priority"], 10);
    assert!(rule["conditions"].to_string().contains("web.example.com"), "{rule:#}");

    world.commit(&web("1.1.0"));
    let plan = world.run(&["plan", "-o", "json", "--detailed-exitcode"]).ended(2).json();
    assert_eq!(plan["services"][0]["change"], "release");
    assert_eq!(plan["services"][0]["rollback"], "instant");
    world.forget_calls();
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    assert_eq!(world.groups(), shares(&[("1.0.0", 2), ("1.1.0", 2)]));
    let shifts = world.mutations().iter().filter(|call| *call == "ModifyRule").count();
    assert_eq!(shifts, 3, "entry at 0, 50, 100: {:?}", world.mutations());

    // The way back is one call, before anything else is changed.
    world.revert();
    world.forget_calls();
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    let calls = world.mutations();
    assert_eq!(calls[0], "ModifyRule", "{calls:?}");
    assert_eq!(calls.iter().filter(|call| *call == "ModifyRule").count(), 1, "{calls:?}");
    assert!(
        !calls.iter().any(|call| call.starts_with("Create") && call != "CreateOrUpdateTags" && call != "CreateTags"),
        "{calls:?}"
    );

    // The same release merged again: its steps, on the machines that still stand.
    world.revert();
    world.forget_calls();
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    let calls = world.mutations();
    assert_eq!(calls.iter().filter(|call| *call == "ModifyRule").count(), 2, "50 and 100: {calls:?}");
    assert!(!calls.iter().any(|call| call == "CreateAutoScalingGroup"), "{calls:?}");

    let again = world.run(&["plan", "--detailed-exitcode"]).ended(0);
    assert!(again.stdout.contains("Nothing to do"), "{}", again.stdout);
}

#[test]
fn a_revert_after_retirement_makes_new_machines() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    let mut short = web("1.1.0");
    short.warm = "0s".to_owned();
    world.commit(&short);
    world.run(&["apply", "--wait", "retired", "--timeout", "100s"]).ended(0);
    assert_eq!(world.groups(), shares(&[("1.1.0", 2)]));
    let templates = world.state()["launch_templates"].as_array().unwrap().len();
    assert_eq!(templates, 2, "the record of 1.0.0 stays");

    world.revert();
    let plan = world.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!(plan["services"][0]["rollback"], "full", "{plan:#}");
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    assert_eq!(world.group_of("1.0.0")["desired"], 2);
}

#[test]
fn settings_change_in_place() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    let before = world.group_of("1.0.0")["instances"].clone();
    let mut changed = web("1.0.0").at(10, "www.example.com");
    (changed.min, changed.max) = (3, 6);
    changed.extra = "\n[tags]\nteam = \"payments\"\n".to_owned();
    world.commit(&changed);
    let plan = world.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!(plan["services"][0]["change"], "update", "{plan:#}");
    world.apply();
    let group = world.group_of("1.0.0");
    assert_eq!((&group["min"], &group["max"]), (&json!(3), &json!(6)));
    assert_eq!(group["tags"]["team"], "payments");
    assert!(world.state()["rules"][0]["conditions"].to_string().contains("www.example.com"));
    for instance in before.as_array().unwrap() {
        assert!(group["instances"].to_string().contains(instance["id"].as_str().unwrap()), "no machine was replaced");
    }
    assert_eq!(world.state()["launch_templates"].as_array().unwrap().len(), 1);

    // Another place on the same load balancer: the new rule first, then the old one goes.
    world.commit(&changed.at(20, "www.example.com"));
    world.apply();
    let rules = world.state()["rules"].as_array().unwrap().clone();
    assert_eq!(rules.len(), 1, "{rules:#?}");
    assert_eq!(rules[0]["priority"], 20);
}

#[test]
fn a_release_is_as_large_as_live_is_now() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.resize("1.0.0", 4);
    world.commit(&web("1.1.0"));
    world.apply();
    let group = world.group_of("1.1.0");
    assert_eq!(group["desired"], 4, "{group:#}");
    assert_eq!((&group["min"], &group["max"]), (&json!(2), &json!(4)), "restored at settle");
}
