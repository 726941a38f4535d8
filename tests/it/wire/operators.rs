//! People who speak in mid-rollout, with and without Git.

use serde_json::json;

use super::world::{World, shares, web};

/// Held at half of the traffic it stays there, and resumed it goes on from there.
#[test]
fn hold_in_mid_rollout_and_resume() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.half_way("1.0.0", "1.1.0");
    // Short bakes from here on: what is held would go on at once.
    world.commit(&web("1.1.0"));
    world.run(&["hold", "web", "--reason", "looks odd"]).ended(0);
    world.forget_calls();
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("looks odd"), "{}", ran.stderr);
    let status = world.status();
    assert_eq!((&status["held"]["reason"], &status["waiting_on"]["reason"]), (&json!("looks odd"), &json!("hold")));
    assert_eq!(world.weights(), shares(&[("1.0.0", 50), ("1.1.0", 50)]));
    assert!(!world.mutations().contains(&"ModifyRule".to_owned()), "{:?}", world.mutations());

    world.run(&["resume", "web"]).ended(0);
    world.forget_calls();
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    let shifts = world.mutations().iter().filter(|call| *call == "ModifyRule").count();
    assert_eq!(shifts, 1, "from 50 to 100, not from the beginning: {:?}", world.mutations());
}

/// A hold stops what Git asks, never protection: one that fails goes back.
#[test]
fn a_held_candidate_that_fails_goes_back() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.half_way("1.0.0", "1.1.0");
    world.run(&["hold", "web"]).ended(0);
    world.sick("1.1.0");
    let ran = world.run(&["apply", "--timeout", "100s"]).ended(1);
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]), "{}", ran.stderr);
    // This run never saw its machines healthy, but they had taken their step.
    let status = world.status();
    assert_eq!(status["rejected"]["code"], "unhealthy", "{status:#}");
    assert!(status["held"].is_object(), "{status:#}");
}

/// With no repository anywhere near, while `apply` is at work, and with the region from
/// the environment.
#[test]
fn abort_without_git() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.commit(&web("1.1.0").slow());
    let apply = world.spawn(&["apply"]);
    world.until("half of the traffic", |world| world.weights() == shares(&[("1.0.0", 50), ("1.1.0", 50)]));
    let elsewhere = tempfile::tempdir().unwrap();
    let mut abort = world.command(&["abort", "web", "--scope", "prod", "--reason", "looks wrong"]);
    let abort = abort.current_dir(elsewhere.path());
    let lost = abort.output().unwrap();
    assert_eq!(lost.status.code(), Some(64), "{}", String::from_utf8_lossy(&lost.stderr));
    let done = abort.env("AWS_REGION", "eu-west-1").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    assert_eq!(world.groups(), shares(&[("1.0.0", 2)]), "the candidate is withdrawn");
    assert_eq!(apply.wait(), 1, "who was at work sees the hold and stops");
    let status = world.status();
    assert_eq!((&status["held"]["reason"], &status["rejected"]), (&json!("looks wrong"), &json!(null)));
    // Nobody blamed it: resumed, it is released again.
    world.commit(&web("1.1.0"));
    world.run(&["resume", "web"]).ended(0);
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
}
