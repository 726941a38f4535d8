//! Default actions of both kinds of load balancers, and taking over what serves today.

use serde_json::{Value, json};

use super::world::{ACCOUNT, Traffic, Web, World, shares, web};

/// The file of a service that takes over what is there.
fn adopting(file: Web) -> Web {
    Web { balancer: "adopt = true\n".to_owned(), ..file }
}

fn network(version: &str) -> Web {
    adopting(Web { traffic: Traffic::Network, ..web(version) })
}

fn default_action(version: &str) -> Web {
    Web { traffic: Traffic::Default, ..web(version) }
}

/// A world in which somebody else serves with two machines: behind an NLB, by the default
/// action of port 8080 of an ALB, and by a rule of its port 80.
fn served() -> World {
    let more = json!({"nlb": true, "foreign": 2, "listeners": [{"port": 8080, "foreign": true}]});
    World::with(&more, &format!("account = \"{ACCOUNT}\"\n"))
}

/// A target group of somebody else's with all that one could do to it.
fn as_it_stands(world: &World, arn: &Value) -> Value {
    let state = world.state();
    let mut groups = state["target_groups"].as_array().unwrap().iter();
    let mut found = groups.find(|group| group["arn"] == *arn).expect("it still exists").clone();
    // Its use follows from the actions.
    found.as_object_mut().unwrap().remove("load_balancer_arns");
    for target in found["targets"].as_array_mut().unwrap() {
        *target = target["id"].clone();
    }
    found
}

/// Mutating calls that are about something of somebody else's; an action may name it.
fn touches(world: &World, arn: &Value) -> Vec<Value> {
    let about = |call: &Value| {
        let params = call["params"].as_object().unwrap();
        params.iter().any(|(key, value)| value == arn && !key.contains("Actions."))
    };
    world.calls().into_iter().filter(|call| call["mutating"] == true && about(call)).collect()
}

fn first_change(world: &World) -> String {
    world.mutations().first().cloned().unwrap_or_default()
}

#[test]
fn a_network_load_balancer_is_taken_over_upgraded_and_rolled_back() {
    let mut world = served();
    world.listener = world.made["nlb_listener_arn"].as_str().unwrap().to_owned();
    let foreign = world.made["nlb_foreign_target_group_arn"].clone();
    let before = as_it_stands(&world, &foreign);
    world.commit(&network("1.0.0"));
    world.apply_until("half of the traffic", |world| {
        world.default_weights() == shares(&[("1.0.0", 50), ("world-nlb-foreign", 50)])
    });
    world.apply();
    assert_eq!(world.default_weights(), shares(&[("1.0.0", 100)]));
    assert_eq!((as_it_stands(&world, &foreign), touches(&world, &foreign)), (before, Vec::new()));
    assert_eq!(world.state()["rules"], json!([]), "an NLB has no rules");

    world.commit(&network("1.1.0"));
    world.forget_calls();
    world.apply();
    assert_eq!(world.default_weights(), shares(&[("1.1.0", 100)]));
    let shifts = world.mutations().iter().filter(|call| *call == "ModifyListener").count();
    assert_eq!(shifts, 3, "entry at 0, 50, 100: {:?}", world.mutations());
    world.revert();
    world.forget_calls();
    world.apply();
    assert_eq!(first_change(&world), "ModifyListener");
    assert_eq!(world.default_weights(), shares(&[("1.0.0", 100)]));
    world.run(&["plan", "--detailed-exitcode"]).ended(0);
}

/// A fixed response until the first release is healthy, and from then on a forward.
#[test]
fn a_default_action_that_is_a_fixed_response() {
    let world = World::new();
    world.sick("0.9.0");
    world.commit(&Web { deadline: "11s".to_owned(), ..default_action("0.9.0") });
    world.run(&["apply", "--timeout", "100s"]).ended(1);
    let state = world.state();
    assert_eq!(state["listeners"][0]["actions"][0]["type"], "fixed-response", "nobody ever met it");
    assert_eq!(state["rules"], json!([]));

    world.commit(&default_action("1.0.0"));
    world.apply();
    assert_eq!(world.default_weights(), shares(&[("1.0.0", 100)]));
    assert_eq!(world.state()["rules"], json!([]), "the rule that it was checked behind is gone");
    world.commit(&default_action("1.1.0"));
    world.forget_calls();
    world.apply();
    assert_eq!(world.default_weights(), shares(&[("1.1.0", 100)]));
    assert!(!world.mutations().iter().any(|call| call.contains("Rule")), "{:?}", world.mutations());
    world.revert();
    world.forget_calls();
    world.apply();
    assert_eq!(first_change(&world), "ModifyListener");
    assert_eq!(world.default_weights(), shares(&[("1.0.0", 100)]));
}

/// What forwards to somebody else blocks without `adopt`; with it a bad release goes back
/// to it, and a good one settles without it.
#[test]
fn a_default_action_that_forwards_to_others() {
    let mut world = served();
    world.listener = world.made["listeners"]["8080"].as_str().unwrap().to_owned();
    let foreign = world.made["foreign_target_group_arn"].clone();
    let before = as_it_stands(&world, &foreign);
    world.commit(&default_action("1.0.0"));
    world.forget_calls();
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("adopt"), "{}", ran.stderr);
    assert_eq!(world.mutations(), Vec::<String>::new());

    world.commit(&adopting(default_action("1.0.0").slow()));
    let apply = world.spawn(&["apply", "--timeout", "100s"]);
    world.until("half of the traffic", |world| {
        world.default_weights() == shares(&[("1.0.0", 50), ("world-foreign", 50)])
    });
    world.sick("1.0.0");
    world.until("all of it back", |world| world.default_weights() == shares(&[("world-foreign", 100)]));
    assert_eq!(apply.wait(), 1);
    assert_eq!(world.status()["rejected"]["code"], "unhealthy");

    world.commit(&adopting(default_action("1.0.1")));
    world.apply();
    assert_eq!(world.default_weights(), shares(&[("1.0.1", 100)]));
    assert_eq!((as_it_stands(&world, &foreign), touches(&world, &foreign)), (before, Vec::new()));
    world.commit(&adopting(default_action("1.1.0")));
    world.apply();
    world.revert();
    world.forget_calls();
    world.apply();
    assert_eq!(first_change(&world), "ModifyListener");
    assert_eq!(world.default_weights(), shares(&[("1.0.1", 100)]));
}

/// A rule that somebody made: its conditions stay until the first release has settled.
#[test]
fn a_rule_that_forwards_to_others() {
    let world = served();
    let foreign = world.made["foreign_target_group_arn"].clone();
    let arn = foreign.as_str().unwrap();
    world.by_hand(
        "elasticloadbalancing",
        &[
            ("Action", "CreateRule"),
            ("ListenerArn", &world.listener),
            ("Priority", "10"),
            ("Conditions.member.1.Field", "host-header"),
            ("Conditions.member.1.HostHeaderConfig.Values.member.1", "web.example.com"),
            ("Actions.member.1.Type", "forward"),
            ("Actions.member.1.TargetGroupArn", arn),
        ],
    );
    let before = as_it_stands(&world, &foreign);
    let hosts = |world: &World| world.state()["rules"][0]["conditions"].to_string();
    world.forget_calls();
    world.commit(&adopting(web("1.0.0")));
    world
        .apply_until("half of the traffic", |world| world.weights() == shares(&[("1.0.0", 50), ("world-foreign", 50)]));
    // A file that goes away in the middle gives everything back.
    world.git(&["rm", "--quiet", "services/web.toml"]);
    world.commit_as("api", &web("2.0.0").at(20, "api.example.com"));
    world.apply();
    let rule = |world: &World| {
        let state = world.state();
        let found = state["rules"].as_array().unwrap().iter().find(|rule| rule["priority"] == 10).cloned();
        super::world::weights_of(&state, &found.expect("the rule stays"))
    };
    assert_eq!(rule(&world), shares(&[("world-foreign", 100)]));

    world.commit(&adopting(web("1.0.1")));
    world.apply();
    assert_eq!(rule(&world), shares(&[("1.0.1", 100)]));
    assert!(hosts(&world).contains("web.example.com"), "{}", hosts(&world));
    assert_eq!((as_it_stands(&world, &foreign), touches(&world, &foreign)), (before, Vec::new()));
    world.commit(&adopting(web("1.1.0")));
    world.apply();
    world.revert();
    world.forget_calls();
    world.apply();
    assert_eq!(first_change(&world), "ModifyRule");
    assert_eq!(rule(&world), shares(&[("1.0.1", 100)]));
}

/// Killed between any two calls, taking over ends the same.
#[test]
fn taking_over_survives_kills() {
    let world = served();
    let foreign = world.made["foreign_target_group_arn"].as_str().unwrap();
    world.by_hand(
        "elasticloadbalancing",
        &[
            ("Action", "CreateRule"),
            ("ListenerArn", &world.listener),
            ("Priority", "10"),
            ("Conditions.member.1.Field", "host-header"),
            ("Conditions.member.1.HostHeaderConfig.Values.member.1", "web.example.com"),
            ("Actions.member.1.Type", "forward"),
            ("Actions.member.1.TargetGroupArn", foreign),
        ],
    );
    world.commit(&adopting(web("1.0.0")));
    let settled = |world: &World| world.weights() == shares(&[("1.0.0", 100)]);
    for _ in 0..8 {
        world.forget_calls();
        world.apply_until("a few changes", |world| world.mutations().len() >= 3 || settled(world));
        let weights = world.weights();
        // Alone it has what it had.
        let sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
        assert!(sum == 100 || weights == shares(&[("world-foreign", 1)]), "{weights:?}");
    }
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    assert_eq!(world.groups(), shares(&[("1.0.0", 2)]));
}
