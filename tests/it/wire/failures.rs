//! Releases that fail, change their mind, or lose their ground.

use super::world::{World, shares, web};

fn impatient(version: &str) -> super::world::Web {
    // Twice as long as a machine takes into service where the tests keep the processors busy: after
    // two deadlines without a word about its health it would only be tried again later.
    super::world::Web { deadline: "25s".to_owned(), ..web(version) }
}

#[test]
fn a_bad_release_goes_back_and_stays_rejected() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.sick("1.1.0");
    world.commit(&impatient("1.1.0"));
    let ran = world.run(&["apply", "--timeout", "200s"]).ended(1);
    assert!(ran.stderr.contains("rejected"), "{}", ran.stderr);
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    assert_eq!(world.groups(), shares(&[("1.0.0", 2)]), "its machines are gone");
    let status = world.status();
    // Its group replaces its machines when their grace is over, which is when its deadline is
    // over, too: whichever is read first is the evidence.
    let code = status["rejected"]["code"].as_str().unwrap_or_default();
    assert!(["late", "unhealthy"].contains(&code), "{status:#}");
    assert_eq!(status["waiting_on"]["reason"], "rejected");
    assert_eq!(world.group_of("1.0.0")["min"], 2, "un-pinned");

    // Not tried again by itself, whatever is done to it.
    world.forget_calls();
    world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert_eq!(world.mutations(), Vec::<String>::new());

    // Until somebody says so.
    world.well("1.1.0");
    world.run(&["retry", "web"]).ended(0);
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
}

#[test]
fn a_release_that_turns_bad_with_traffic_goes_back() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.commit(&web("1.1.0").slow());
    let apply = world.spawn(&["apply", "--timeout", "100s"]);
    world.until("half of the traffic", |world| world.weights() == shares(&[("1.0.0", 50), ("1.1.0", 50)]));
    world.sick("1.1.0");
    world.until("all traffic back", |world| world.weights() == shares(&[("1.0.0", 100)]));
    assert_eq!(apply.wait(), 1);
    assert_eq!(world.status()["rejected"]["code"], "unhealthy");
}

#[test]
fn a_bad_first_release_is_withdrawn_and_its_fix_is_released() {
    let world = World::new();
    world.sick("1.0.0");
    world.commit(&impatient("1.0.0"));
    world.run(&["apply", "--timeout", "100s"]).ended(1);
    assert_eq!(world.state()["rules"].as_array().unwrap().len(), 0, "nobody ever met it");
    assert!(world.groups().is_empty());
    world.commit(&web("1.0.1"));
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.1", 100)]));
}

#[test]
fn a_third_version_pre_empts_and_its_revert_goes_back() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.half_way("1.0.0", "1.1.0");
    world.commit(&web("1.2.0"));
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.2.0", 100)]));
    assert_eq!(world.groups(), shares(&[("1.0.0", 2), ("1.2.0", 2)]), "1.1.0 was withdrawn, not kept");
    // A pre-empted release was not rejected: reverting the third wants it again.
    world.revert();
    let plan = world.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!(plan["services"][0]["change"], "release");
    assert_eq!(plan["services"][0]["to"]["version"], "1.1.0");
    // Going back to 1.0.0 is instant.
    world.commit(&web("1.0.0"));
    world.forget_calls();
    world.apply();
    assert_eq!(world.mutations()[0], "ModifyRule");
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
}

#[test]
fn a_revert_in_mid_shift_goes_back_at_once() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.half_way("1.0.0", "1.1.0");
    world.revert();
    let plan = world.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!(plan["services"][0]["change"], "rollback", "{plan:#}");
    world.forget_calls();
    world.apply();
    assert_eq!(world.mutations()[0], "ModifyRule");
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    world.until("the candidate gone", |world| {
        world.apply();
        world.groups() == shares(&[("1.0.0", 2)])
    });
}

#[test]
fn a_group_deleted_by_hand_comes_back() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    let name = world.group_of("1.0.0")["name"].as_str().unwrap().to_owned();
    world.by_hand(
        "autoscaling",
        &[("Action", "DeleteAutoScalingGroup"), ("AutoScalingGroupName", &name), ("ForceDelete", "true")],
    );
    world.apply();
    let group = world.group_of("1.0.0");
    assert_eq!(group["desired"], 2);
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
}

#[test]
fn a_reset_branch_does_not_roll_production_back() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.commit(&web("1.1.0"));
    world.apply();
    world.git(&["reset", "--hard", "--quiet", "HEAD~1"]);
    world.forget_calls();
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("does not descend"), "{}", ran.stderr);
    assert_eq!(world.mutations(), Vec::<String>::new());
    assert_eq!(world.status()["waiting_on"]["reason"], "fence");
    // There is a way through, and after it no leave is needed.
    world.run(&["apply", "--allow-rewind", "--timeout", "100s"]).ended(0);
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    world.commit(&web("1.0.2"));
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.2", 100)]));
}

#[test]
fn a_broken_file_blocks_its_own_service_alone() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    let other = web("2.0.0").at(20, "api.example.com");
    world.commit_as("api", &other);
    world.apply();
    world.write("services/web.toml", "version = \"1.1.0\"\nnonsense = true\n");
    world.commit_as("api", &web("2.1.0").at(20, "api.example.com"));
    world.run(&["plan", "--detailed-exitcode"]).ended(1);
    world.run(&["apply", "--timeout", "100s"]).ended(1);
    assert_eq!(world.group_of("2.1.0")["desired"], 2);
    assert_eq!(world.group_of("1.0.0")["desired"], 2, "what runs goes on");
    assert_eq!(world.status()["waiting_on"]["reason"], "invalid");
}

#[test]
fn a_file_removed_in_mid_rollout_takes_the_candidate_back() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.half_way("1.0.0", "1.1.0");
    std::fs::remove_file(world.repo().join("services/web.toml")).unwrap();
    let other = web("2.0.0").at(20, "api.example.com");
    world.commit_as("api", &other);
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    world.until("the candidate gone", |world| {
        world.apply();
        !world.groups().iter().any(|(version, _)| version == "1.1.0")
    });
    let group = world.group_of("1.0.0");
    assert_eq!((&group["min"], &group["desired"]), (&2.into(), &2.into()), "live keeps running, un-pinned");
}

#[test]
fn hold_abort_and_resume() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.run(&["hold", "web", "--reason", "incident 4711"]).ended(0);
    world.commit(&web("1.1.0"));
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("incident 4711"), "{}", ran.stderr);
    assert_eq!(world.status()["held"]["who"], "tester");
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    world.run(&["resume", "web"]).ended(0);
    world.half_way("1.0.0", "1.2.0");
    // Without Git: the scope and the region are enough.
    world.run(&["abort", "web", "--scope", "prod", "--region", "eu-west-1", "--reason", "looks wrong"]).ended(0);
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    assert_eq!(world.groups(), shares(&[("1.0.0", 2)]));
    assert_eq!(world.status()["held"]["reason"], "looks wrong");
}
