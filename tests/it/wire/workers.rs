//! Services without a load balancer: marks and machines, no weights.

use serde_json::{Value, json};

use super::world::{World, shares, worker};

/// Whether the release's bake has begun: both groups are at work.
fn bakes(world: &World, version: &str) -> bool {
    let state = world.state();
    let mut groups = state["groups"].as_array().unwrap().iter();
    groups.any(|group| group["version"] == version && text(&group["tags"]["ionroller:step"]).starts_with("100@"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Where in the list of calls the size of a version's group was set to this.
fn resized(world: &World, version: &str, desired: &str) -> Option<usize> {
    let name = world.group_of(version)["name"].clone();
    world.calls().iter().position(|call| {
        call["operation"] == "UpdateAutoScalingGroup"
            && call["params"]["AutoScalingGroupName"] == name
            && call["params"]["DesiredCapacity"] == desired
    })
}

#[test]
fn released_beside_the_old_one_and_rolled_back() {
    let world = World::new();
    world.commit(&worker("1.0.0"));
    world.apply();
    assert_eq!(world.groups(), shares(&[("1.0.0", 2)]));
    world.commit(&worker("1.1.0"));
    let plan = world.plan();
    assert_eq!((&plan["change"], &plan["rollback"]), (&json!("release"), &json!("scale-up")), "{plan:#}");
    let apply = world.spawn(&["apply", "--timeout", "100s"]);
    world.until("the bake", |world| bakes(world, "1.1.0"));
    for version in ["1.0.0", "1.1.0"] {
        let group = world.group_of(version);
        let members = group["instances"].as_array().unwrap();
        assert_eq!(
            members.iter().filter(|one| one["lifecycle"] == "InService").count(),
            2,
            "{version} works: {group:#}"
        );
    }
    assert_eq!(apply.wait(), 0);
    assert_eq!(world.groups(), shares(&[("1.0.0", 0), ("1.1.0", 2)]), "the old one is kept, and kept empty");
    let status = world.status();
    assert_eq!(status["live"]["version"], "1.1.0");
    assert!(status["groups"].as_array().unwrap().iter().all(|group| group["weight"].is_null()), "{status:#}");

    world.revert();
    let plan = world.plan();
    assert_eq!((&plan["change"], &plan["rollback"]), (&json!("rollback"), &json!("scale-up")), "{plan:#}");
    world.forget_calls();
    world.apply();
    assert_eq!(world.groups(), shares(&[("1.0.0", 2), ("1.1.0", 0)]));
    assert_eq!(world.status()["live"]["version"], "1.0.0");
    let (up, down) = (resized(&world, "1.0.0", "2"), resized(&world, "1.1.0", "0"));
    assert!(up.is_some() && up < down, "raised {up:?}, emptied {down:?}");
    let balancing = world.calls().into_iter().filter(|call| call["service"] == "elbv2" && call["mutating"] == true);
    assert_eq!(balancing.count(), 0, "a worker has nothing to do with load balancers");
    world.run(&["plan", "--detailed-exitcode"]).ended(0);
}

#[test]
fn machines_that_cannot_start_are_a_bad_release() {
    let world = World::new();
    world.commit(&worker("1.0.0"));
    world.apply();
    let message = "The image id '[ami-0123456789abcdef0]' does not exist";
    world.post("launches", &json!({"version": "1.1.0", "fail": message}));
    world.commit(&worker("1.1.0"));
    world.run(&["apply", "--timeout", "100s"]).ended(1);
    let status = world.status();
    assert_eq!(status["rejected"]["code"], "launch", "{status:#}");
    assert_eq!(status["waiting_on"]["reason"], "rejected");
    assert_eq!(world.groups(), shares(&[("1.0.0", 2)]));
    assert_eq!(world.group_of("1.0.0")["min"], 2);
    // Not tried again, and a fix is.
    world.forget_calls();
    world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert_eq!(world.mutations(), Vec::<String>::new());
    world.commit(&worker("1.1.1"));
    world.apply();
    assert_eq!(world.groups(), shares(&[("1.0.0", 0), ("1.1.1", 2)]));
}

#[test]
fn machines_that_turn_bad_in_the_bake_are_withdrawn() {
    let world = World::new();
    world.commit(&worker("1.0.0"));
    world.apply();
    world.post("settings", &json!({"replace_delay_ms": 600_000}));
    world.commit(&worker("1.1.0").slow());
    let apply = world.spawn(&["apply", "--timeout", "100s"]);
    world.until("the bake", |world| bakes(world, "1.1.0"));
    for instance in world.group_of("1.1.0")["instances"].as_array().unwrap() {
        world.by_hand(
            "autoscaling",
            &[
                ("Action", "SetInstanceHealth"),
                ("InstanceId", text(&instance["id"])),
                ("HealthStatus", "Unhealthy"),
                ("ShouldRespectGracePeriod", "false"),
            ],
        );
    }
    assert_eq!(apply.wait(), 1);
    assert_eq!(world.status()["rejected"]["code"], "unhealthy");
    assert_eq!(world.groups(), shares(&[("1.0.0", 2)]));
}

/// No capacity is not the release's fault: withdrawn, and tried again later.
#[test]
fn a_lack_of_capacity_rejects_nothing() {
    let world = World::new();
    world.commit(&worker("1.0.0"));
    world.apply();
    let message =
        "We currently do not have sufficient t3.small capacity in the Availability Zone you requested (eu-west-1a).";
    world.post("launches", &json!({"version": "1.1.0", "fail": message}));
    world.commit(&worker("1.1.0"));
    let apply = world.spawn(&["apply"]);
    world.until("its withdrawal", |world| {
        let tried = world.state()["launch_templates"].to_string().contains("ionroller:retry");
        tried && world.state()["groups"].as_array().unwrap().len() == 1
    });
    apply.kill();
    let status = world.status();
    assert_eq!((&status["waiting_on"]["reason"], &status["rejected"]), (&json!("retry"), &Value::Null), "{status:#}");
    assert_eq!(world.group_of("1.0.0")["min"], 2, "un-pinned");
}
