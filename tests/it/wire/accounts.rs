//! Whose account it is: another one by its role, and never one that isn't meant.

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::world::{ACCOUNT, Ran, World, shares, web};

const OTHER: &str = "210987654321";

/// A load balancer in another account, and a scope that goes there by a role.
fn by_role() -> World {
    let scope = format!(
        "account = \"{OTHER}\"\nrole_arn = \"arn:aws:iam::{OTHER}:role/ionroller\"\nexternal_id = \"fleet-4711\"\n"
    );
    let world = World::with(&json!({"account": OTHER}), &scope);
    world.commit(&web("1.0.0"));
    world
}

fn operations(world: &World) -> Vec<String> {
    world.calls().iter().map(|call| call["operation"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn another_account_by_its_role() {
    let world = by_role();
    world.apply();
    world.commit(&web("1.1.0"));
    world.apply();
    world.revert();
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    let calls = world.calls();
    let own: Vec<&Value> = calls.iter().filter(|call| call["account"] == ACCOUNT).collect();
    assert!(own.iter().all(|call| call["operation"] == "AssumeRole"), "{own:#?}");
    assert_eq!(own.len(), 3, "once for each run of the program");
    for call in own {
        assert_eq!(call["params"]["RoleArn"], format!("arn:aws:iam::{OTHER}:role/ionroller"));
        assert_eq!(call["params"]["ExternalId"], "fleet-4711");
        assert_eq!(call["params"]["RoleSessionName"], "ionroller");
    }
    let state = world.state();
    for kind in ["groups", "launch_templates", "target_groups", "rules"] {
        let all = state[kind].as_array().unwrap();
        assert!(!all.is_empty() && all.iter().all(|one| one["account"] == OTHER), "{kind}");
    }
}

#[track_caller]
fn says(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stderr.contains(part), "`{part}` isn't in: {}", ran.stderr);
    }
}

/// The role refuses: it doesn't trust us, or the external id is wrong.
#[test]
fn a_role_that_refuses_is_told_and_nothing_is_done() {
    let world = by_role();
    let message = format!(
        "User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::{OTHER}:role/ionroller"
    );
    let refusal = json!([{"operation": "AssumeRole", "mode": "error-before", "code": "AccessDenied", "status": 403, "message": message, "times": 0}]);
    world.post("faults", &refusal);
    for args in [&["plan"][..], &["apply", "--timeout", "60s"], &["status"], &["hold", "web"]] {
        let ran = world.run(args).ended(1);
        says(&ran, &["AccessDenied", "role/ionroller", OTHER]);
    }
    assert!(operations(&world).iter().all(|operation| operation == "AssumeRole"), "{:?}", operations(&world));
}

/// The keys are of another account than the scope file says: every command refuses.
#[test]
fn credentials_of_another_account_are_never_acted_with() {
    let world = World::with(&json!({}), &format!("account = \"{OTHER}\"\n"));
    world.commit(&web("1.0.0"));
    let diff = ["diff", "web"];
    let commands: [&[&str]; 7] = [
        &["plan"],
        &["apply", "--timeout", "60s"],
        &["apply", "--once"],
        &["status"],
        &diff,
        &["hold", "web"],
        &["abort", "web"],
    ];
    for args in commands {
        let ran = world.run(args).ended(1);
        says(&ran, &[ACCOUNT, OTHER]);
    }
    // A daemon starts, says what is wrong, and waits for another commit or other keys.
    let daemon = Daemon::start(&world, &[]);
    world.until("its refusal", |_| {
        daemon.get("/readyz").is_some_and(|(code, said)| code == 503 && said.contains(ACCOUNT) && said.contains(OTHER))
    });
    assert!(
        operations(&world).iter().all(|operation| operation == "GetCallerIdentity"),
        "nothing else was asked: {:?}",
        operations(&world)
    );
}
