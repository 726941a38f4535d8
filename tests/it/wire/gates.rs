//! What keeps a release from starting, and never keeps a rollback from it: slots, the
//! limit on releases at once, freezes, `paused`.

use serde_json::{Value, json};

use super::world::{ACCOUNT, Web, World, shares, web};

fn api(version: &str) -> Web {
    web(version).at(20, "api.example.com")
}

/// A world with two settled services and this in its scope file.
fn two_services(scope: &str) -> World {
    let world = World::with(&json!({}), &format!("account = \"{ACCOUNT}\"\n{scope}"));
    world.commit_as("api", &api("2.0.0"));
    world.commit(&web("1.0.0"));
    world.apply();
    world
}

/// Both at once, in one commit.
fn commit_both(world: &World, web_version: &str, api_version: &str) {
    world.write("services/web.toml", &world.text(&web(web_version)));
    world.commit_as("api", &api(api_version));
}

/// The numbers of the calls of an operation whose parameters hold this.
fn numbers(calls: &[Value], operation: &str, holds: &str) -> Vec<usize> {
    let hits = |call: &Value| call["operation"] == operation && call["params"].to_string().contains(holds);
    calls.iter().enumerate().filter(|(_, call)| hits(call)).map(|(number, _)| number).collect()
}

#[test]
fn rollouts_take_slots_one_after_the_other() {
    let world = two_services("\n[limits]\nmax_concurrent_rollouts = 1\n");
    commit_both(&world, "1.1.0", "2.1.0");
    let reasons = ["web", "api"].map(|service| world.status_of(service)["waiting_on"]["reason"].clone());
    assert_eq!(reasons.iter().filter(|reason| *reason == "slot").count(), 1, "{reasons:?}");
    world.forget_calls();
    world.apply();
    assert_eq!(world.groups(), shares(&[("1.0.0", 2), ("1.1.0", 2), ("2.0.0", 2), ("2.1.0", 2)]));
    let calls = world.calls();
    let (made, settled) =
        (numbers(&calls, "CreateAutoScalingGroup", ""), numbers(&calls, "CreateTags", "ionroller:stable"));
    assert_eq!((made.len(), settled.len()), (2, 2));
    assert!(settled[0] < made[1], "the second began before the first had settled: {made:?} {settled:?}");
}

#[test]
fn more_releases_at_once_than_the_limit_need_a_word() {
    let world = two_services("\n[limits]\nmax_releases_per_change = 1\n");
    commit_both(&world, "1.1.0", "2.1.0");
    world.forget_calls();
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("max_releases_per_change"), "{}", ran.stderr);
    assert_eq!(world.status()["waiting_on"]["reason"], "limit");
    assert_eq!(world.mutations(), Vec::<String>::new());
    world.commit_all("both are meant\n\nIonroller-Override: the new base image");
    world.apply();
    assert_eq!(world.status()["live"]["version"], "1.1.0");
    assert_eq!(world.status_of("api")["live"]["version"], "2.1.0");
}

/// A freeze gates the start of a release, never a rollback or an update.
#[test]
fn a_freeze_stops_releases_and_no_rollback() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.commit(&web("1.1.0"));
    world.apply();
    world.scope_file(&format!(
        "account = \"{ACCOUNT}\"\n\n[[freeze]]\nname = \"black friday\"\nfrom = 2020-01-01T00:00:00Z\nuntil = 2099-01-01T00:00:00Z\n"
    ));
    world.commit(&web("1.2.0"));
    world.forget_calls();
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("black friday"), "{}", ran.stderr);
    let waits = world.status()["waiting_on"].clone();
    assert_eq!((&waits["reason"], &waits["until"]), (&json!("freeze"), &json!("2099-01-01T00:00:00Z")));
    assert_eq!(world.mutations(), Vec::<String>::new());

    world.commit(&web("1.0.0"));
    world.forget_calls();
    world.apply();
    assert_eq!(world.mutations()[0], "ModifyRule");
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    world.commit(&Web { min: 3, ..web("1.0.0") });
    world.apply();
    assert_eq!(world.group_of("1.0.0")["min"], 3, "an update is no start");
}

/// A hold, said in Git: it stops rollbacks, too.
#[test]
fn paused_stands_still_until_the_line_goes() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.commit(&Web { keys: "paused = \"incident 4711\"\n".to_owned(), ..web("1.1.0") });
    world.forget_calls();
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("incident 4711"), "{}", ran.stderr);
    assert_eq!(world.status()["waiting_on"]["reason"], "paused");
    assert_eq!(world.mutations(), Vec::<String>::new());
    world.commit(&web("1.1.0"));
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
}
