//! What AWS says of a machine's health is told, in its own words.

use serde_json::json;

use super::world::{World, shares, web};

/// Every machine of the new release answers 502.
#[test]
fn the_reason_of_bad_health_is_told_while_it_waits_and_in_the_verdict() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    // Its group would replace the machines at the deadline, too, and then they only drain.
    world.post("settings", &json!({"replace_delay_ms": 600_000}));
    world.post("health", &json!({"version": "1.1.0", "reason": "Target.ResponseCodeMismatch"}));
    world.commit(&web("1.1.0"));
    let apply = world.spawn(&["apply", "--timeout", "100s"]);
    world.until("the reason while it waits", |world| {
        let waiting = world.status()["waiting_on"].to_string();
        waiting.contains("Target.ResponseCodeMismatch") && waiting.contains("502")
    });
    assert_eq!(apply.wait(), 1);
    let status = world.status();
    let told = status["rejected"].to_string();
    assert!(told.contains("Target.ResponseCodeMismatch") && told.contains("502"), "{status:#}");
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
}
