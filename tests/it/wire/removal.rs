//! Services whose file is gone, and places that are somebody else's.

use serde_json::json;

use super::world::{ACCOUNT, Traffic, Web, World, shares, web};

fn api(version: &str) -> Web {
    web(version).at(20, "api.example.com")
}

fn pruning(more: &str) -> World {
    let world = World::with(
        &json!({}),
        &format!("account = \"{ACCOUNT}\"\n\n[prune]\nenabled = true\nmax_services = 1\n{more}"),
    );
    world.commit_as("api", &api("2.0.0"));
    world.commit(&web("1.0.0"));
    world.apply();
    world
}

#[test]
fn removed_with_its_file_fenced_and_added_again() {
    let world = pruning("");
    world.commit(&web("1.1.0"));
    world.apply();
    world.git(&["rm", "--quiet", "services/web.toml"]);
    let removal = world.commit_all("web goes");
    let plan = world.plan();
    assert_eq!(plan["change"], "remove", "{plan:#}");
    world.apply();
    let state = world.state();
    assert_eq!(world.groups(), shares(&[("2.0.0", 2)]));
    assert_eq!(state["rules"].as_array().unwrap().len(), 1, "the rule of api");
    assert_eq!(state["target_groups"].as_array().unwrap().len(), 1, "the target group of api");
    assert!(
        world.templates().contains(&"1.1.0".to_owned()),
        "its newest template is the fence: {:?}",
        world.templates()
    );
    world.run(&["plan", "--detailed-exitcode"]).ended(0);

    // A commit from before the removal doesn't bring it back.
    world.git(&["reset", "--hard", "--quiet", "HEAD~1"]);
    world.forget_calls();
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("does not descend"), "{}", ran.stderr);
    assert_eq!(world.mutations(), Vec::<String>::new());
    // One after it does, with the version that was removed.
    world.git(&["reset", "--hard", "--quiet", &removal]);
    world.commit(&web("1.1.0"));
    world.apply();
    assert_eq!(world.status()["live"]["version"], "1.1.0");
    assert_eq!(world.groups(), shares(&[("1.1.0", 2), ("2.0.0", 2)]));
}

#[test]
fn more_orphans_than_may_go_at_once_all_stay() {
    let world = pruning("");
    world.commit_as("cart", &web("3.0.0").at(30, "cart.example.com"));
    world.apply();
    world.git(&["rm", "--quiet", "services/web.toml", "services/api.toml"]);
    world.commit_all("two go");
    world.forget_calls();
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("max_services"), "{}", ran.stderr);
    assert_eq!(world.mutations(), Vec::<String>::new());
}

#[test]
fn without_prune_it_is_reported_and_keeps_running() {
    let world = World::new();
    world.commit_as("api", &api("2.0.0"));
    world.commit(&web("1.0.0"));
    world.apply();
    world.git(&["rm", "--quiet", "services/web.toml"]);
    world.commit_all("web goes");
    world.forget_calls();
    world.apply();
    assert_eq!(world.mutations(), Vec::<String>::new());
    let plan = world.run(&["plan", "-o", "json", "--detailed-exitcode"]).ended(0).json();
    assert!(plan["diagnostics"].to_string().contains("orphaned"), "{plan:#}");
}

/// A default action is never deleted: somebody points it elsewhere, and then the rest goes.
#[test]
fn a_default_action_keeps_its_service() {
    let world = pruning("");
    world.git(&["rm", "--quiet", "services/web.toml"]);
    world.commit_as("front", &Web { traffic: Traffic::Default, ..web("3.0.0") });
    world.apply();
    assert_eq!(world.default_weights(), shares(&[("3.0.0", 100)]));
    world.git(&["rm", "--quiet", "services/front.toml"]);
    world.commit_all("front goes");
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("point it elsewhere"), "{}", ran.stderr);
    assert_eq!(world.default_weights(), shares(&[("3.0.0", 100)]));
    world.by_hand(
        "elasticloadbalancing",
        &[
            ("Action", "ModifyListener"),
            ("ListenerArn", &world.listener),
            ("DefaultActions.member.1.Type", "fixed-response"),
            ("DefaultActions.member.1.FixedResponseConfig.StatusCode", "404"),
        ],
    );
    world.apply();
    assert_eq!(world.groups(), shares(&[("2.0.0", 2)]));
}

/// Two scopes never touch each other's resources: the one that comes second is blocked.
#[test]
fn a_place_that_another_scope_has() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.write(
        "staging/ionroller.toml",
        &format!("scope = \"staging\"\nregion = \"eu-west-1\"\naccount = \"{ACCOUNT}\"\n"),
    );
    world.write("staging/services/web.toml", &world.text(&web("9.0.0")));
    world.commit_all("staging");
    world.forget_calls();
    let ran = world.run(&["apply", "--path", "staging", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("its place on the listener is taken"), "{}", ran.stderr);
    assert_eq!(world.mutations(), Vec::<String>::new());
    world.write("staging/services/web.toml", &world.text(&web("9.0.0").at(11, "staging.example.com")));
    world.commit_all("staging elsewhere");
    world.run(&["apply", "--path", "staging", "--timeout", "100s"]).ended(0);
    assert_eq!(world.groups(), shares(&[("1.0.0", 2), ("9.0.0", 2)]));
    world.forget_calls();
    world.apply();
    assert_eq!(world.mutations(), Vec::<String>::new(), "what stands beside it is nothing to prod");
}
