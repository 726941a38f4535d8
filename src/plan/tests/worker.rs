//! A service without a load balancer: no weights, so marks say who works.

use expect_test::expect;

use super::story::{Story, file};
use crate::desired::spec::ServiceSpec;
use crate::plan::types::{Role, RollbackClass};
use crate::time::Span;

fn worker(version: &str) -> ServiceSpec {
    ServiceSpec { load_balancer: None, ..file(version) }
}

fn settled(version: &str) -> Story {
    let mut story = Story::new(worker(version));
    story.run();
    story.log();
    story
}

/// Workers: 0, then 100 when their bake begins.
#[test]
fn first_release_of_a_worker() {
    let mut story = Story::new(worker("1.0"));
    story.run();
    expect![[r#"
        00:00:00 create-launch-template launch-template/web-b363gnwwvy  (1.0 is new)
        00:00:00 create-group group/web-b363gnwwvy min 2, max 4 (its machines)
        00:03:10 set-mark group/web-b363gnwwvy step 100 (2 machines are healthy, so its bake begins)
        00:08:10 set-mark launch-template/web-b363gnwwvy stable (its last bake is over: it has settled)
        00:08:10 set-mark group/web-b363gnwwvy settings (all settings were read back)
    "#]]
    .assert_eq(&story.log());
    assert_eq!(story.role("1.0"), Role::Live);
    story.converged();
}

/// Both groups run during bake; at settle the old one goes to zero and is kept empty until
/// `warm` ends.
#[test]
fn an_upgrade_of_a_worker() {
    let mut story = settled("1.0");
    story.commit(worker("1.1"));
    let plan = story.plan();
    assert_eq!(plan.rollback, Some(RollbackClass::ScaleUp));
    let events: Vec<String> =
        plan.forecast.iter().map(|f| format!("{} {} ({})", f.after_secs, f.event, f.instances)).collect();
    expect![[r#"
        0 2 instances of 1.1, as many as live has (4)
        190 1.1 works beside 1.0, bake 5 min (4)
        490 settled, 1.0 kept warm (4)
        491 1.0 has no machines any more (2)
        4091 1.0 retired (2)"#]]
    .assert_eq(&events.join("\n"));
    story.run();
    expect![[r#"
        00:08:10 set-mark group/web-b363gnwwvy fence (no older commit may act after 0000000)
        00:08:10 create-launch-template launch-template/web-o3vbyd5p4y  (1.1 is new)
        00:08:10 create-group group/web-o3vbyd5p4y min 2, max 4 (its machines)
        00:11:20 set-mark group/web-o3vbyd5p4y step 100 (2 machines are healthy, so its bake begins)
        00:16:20 set-mark group/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        00:16:20 set-mark launch-template/web-o3vbyd5p4y stable (its last bake is over: it has settled)
        00:16:20 set-mark group/web-b363gnwwvy retired (a newer release has settled)
        00:16:30 set-capacity group/web-b363gnwwvy min 0, desired 0, max 4 (its work is done by another; it stays without machines while it is warm)
        00:16:30 set-mark group/web-o3vbyd5p4y settings (all settings were read back)
    "#]].assert_eq(&story.log());
    assert_eq!((story.role("1.1"), story.role("1.0")), (Role::Live, Role::Warm));
    assert_eq!(story.members("1.0").desired, 0);
    story.run_to_the_end();
    expect![[r#"
        01:16:25 delete-group group/web-b363gnwwvy  (it was kept warm long enough)
    "#]]
    .assert_eq(&story.log());
    story.converged();
}

/// A kept empty group is of class `scale-up`: raise, wait, and the marks change hands.
#[test]
fn a_revert_of_a_worker_while_its_group_is_kept() {
    let mut story = settled("1.0");
    story.commit(worker("1.1")).run();
    story.log();
    story.commit(worker("1.0"));
    assert_eq!(story.plan().rollback, Some(RollbackClass::ScaleUp));
    story.run();
    expect![[r#"
        00:16:30 set-mark group/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        00:16:30 set-capacity group/web-b363gnwwvy min 2, desired 2, max 4 (the service needs 2 machines now)
        00:19:40 clear-mark group/web-b363gnwwvy retired (1.0 served before, and the commit wants it again)
        00:19:40 set-mark group/web-o3vbyd5p4y retired (1.0 served before, and the commit wants it again)
        00:19:40 clear-mark launch-template/web-o3vbyd5p4y stable (it was rolled back from, so it is no target for a rollback)
        00:19:40 set-mark group/web-b363gnwwvy fence (no older commit may act after 0000000)
        00:19:50 set-capacity group/web-o3vbyd5p4y min 0, desired 0, max 4 (its work is done by another; it stays without machines while it is warm)
    "#]].assert_eq(&story.log());
    assert_eq!((story.role("1.0"), story.role("1.1")), (Role::Live, Role::Warm));
    assert!(story.group("1.1").stable().is_none(), "what was rolled back from is no target");
    story.converged();
}

#[test]
fn a_revert_of_a_worker_after_retirement_makes_new_machines() {
    let mut story = settled("1.0");
    story.commit(worker("1.1")).run_to_the_end();
    story.log();
    story.commit(worker("1.0"));
    assert_eq!(story.plan().rollback, Some(RollbackClass::Full));
    story.run();
    expect![[r#"
        01:16:25 set-mark group/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        01:16:25 create-group group/web-b363gnwwvy-2 min 2, max 4 (its machines)
        01:19:35 clear-mark group/web-b363gnwwvy-2 retired (1.0 served before, and the commit wants it again)
        01:19:35 set-mark group/web-o3vbyd5p4y retired (1.0 served before, and the commit wants it again)
        01:19:35 clear-mark launch-template/web-o3vbyd5p4y stable (it was rolled back from, so it is no target for a rollback)
        01:19:35 set-mark group/web-b363gnwwvy-2 fence (no older commit may act after 0000000)
        01:19:45 set-capacity group/web-o3vbyd5p4y min 0, desired 0, max 4 (its work is done by another; it stays without machines while it is warm)
        01:19:45 set-mark group/web-b363gnwwvy-2 settings (all settings were read back)
    "#]].assert_eq(&story.log());
    assert_eq!((story.role("1.0"), story.role("1.1")), (Role::Live, Role::Warm));
    story.converged();
}

/// A release left in this way, merged again, is a normal release, on its standing group.
#[test]
fn a_worker_merged_again_bakes_again() {
    let mut story = settled("1.0");
    story.commit(worker("1.1")).run();
    story.commit(worker("1.0")).run();
    story.log();
    story.commit(worker("1.1")).run();
    expect![[r#"
        00:19:50 set-mark group/web-b363gnwwvy fence (no older commit may act after 0000000)
        00:19:50 set-mark group/web-o3vbyd5p4y step 0 (it is wanted again, from its first step)
        00:19:50 clear-mark group/web-o3vbyd5p4y retired (it is wanted again)
        00:19:50 set-capacity group/web-o3vbyd5p4y min 2, desired 2, max 4 (the service needs 2 machines now)
        00:23:00 set-mark group/web-o3vbyd5p4y step 100 (2 machines are healthy, so its bake begins)
        00:28:00 set-mark group/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        00:28:00 set-mark launch-template/web-o3vbyd5p4y stable (its last bake is over: it has settled)
        00:28:00 set-mark group/web-b363gnwwvy retired (a newer release has settled)
        00:28:10 set-capacity group/web-b363gnwwvy min 0, desired 0, max 4 (its work is done by another; it stays without machines while it is warm)
    "#]].assert_eq(&story.log());
    assert_eq!(story.role("1.1"), Role::Live);
    story.converged();
}

#[test]
fn a_worker_that_fails_in_its_bake_is_withdrawn() {
    let mut story = settled("1.0");
    story.commit(worker("1.1")).until(|story| story.waits().starts_with("bake"));
    story.sick.push("1.1".to_owned());
    story.log();
    story.run();
    expect![[r#"
        00:11:20 set-mark launch-template/web-o3vbyd5p4y rejected (2 of 2 machines unhealthy)
        00:11:30 set-capacity group/web-o3vbyd5p4y min 0, desired 0, max 4 (it failed)
        00:12:05 delete-group group/web-o3vbyd5p4y  (it failed)
    "#]]
    .assert_eq(&story.log());
    assert_eq!(story.role("1.0"), Role::Live);
    assert_eq!(story.members("1.0").min, 2);
    story.converged();
}

/// With nothing to go back to it keeps its machines, as a first release with traffic does.
#[test]
fn a_first_worker_that_fails_in_its_bake_stays_until_its_fix_has_settled() {
    let mut story = Story::new(worker("1.0"));
    story.until(|story| story.waits().starts_with("bake"));
    story.sick.push("1.0".to_owned());
    for _ in 0..30 {
        story.pass().later(Span::from_secs(10));
    }
    assert!(story.waits().contains("no other release could take over the work of 1.0"), "{}", story.waits());
    story.commit(worker("1.1")).run();
    assert_eq!(story.role("1.1"), Role::Live);
    story.converged();
}

#[test]
fn a_third_worker_pre_empts_the_second() {
    let mut story = settled("1.0");
    story.commit(worker("1.1")).until(|story| story.waits().starts_with("bake"));
    story.commit(worker("1.2")).run();
    assert_eq!(story.role("1.2"), Role::Live);
    assert!(story.group("1.1").template_marks().rejected.is_none());
    story.converged();
}

/// The group of the live worker is gone: it is made again, at once and without steps.
#[test]
fn a_worker_group_deleted_by_hand_is_made_again() {
    let mut story = settled("1.0");
    story.group_mut("1.0").group = None;
    story.run();
    expect![[r#"
        00:08:10 create-group group/web-b363gnwwvy min 2, max 4 (its machines)
        00:08:10 set-mark group/web-b363gnwwvy settings (all settings were read back)
    "#]]
    .assert_eq(&story.log());
    assert_eq!(story.role("1.0"), Role::Live);
    story.converged();
}

/// Its traffic would end with its last release.
#[test]
fn a_service_does_not_lose_its_load_balancer() {
    let mut story = Story::settled("1.0");
    story.commit(worker("1.1"));
    expect!["preflight: the service runs behind a load balancer, and its file has none any more: use a second service"]
        .assert_eq(&story.waits());
    story.commit(file("1.0")).converged();
}

/// Killed between any two changes of a rollback, it ends with the same release at work.
#[test]
fn a_worker_rollback_cut_off_anywhere_ends_the_same() {
    for changes in 0..12 {
        for then in ["1.0", "1.1", "1.2"] {
            let mut story = settled("1.0");
            story.commit(worker("1.1")).run();
            story.commit(worker("1.0"));
            let mut done = 0;
            for _ in 0..200 {
                match (done < changes).then(|| story.step()) {
                    None => break,
                    Some(Some(_)) => done += 1,
                    Some(None) => drop(story.later(Span::from_secs(10))),
                }
            }
            story.dies().commit(worker(then)).run();
            assert_eq!(story.role(then), Role::Live, "cut off after {changes}, then {then}\n{}", story.log());
            let working = story.model.state.groups.values().filter(|g| g.group.as_ref().is_some_and(|g| g.desired > 0));
            assert_eq!(working.count(), 1, "{}", story.log());
            story.converged();
        }
    }
}

/// Machines that end soon after their launch are replaced by others: each reading shows as many
/// healthy ones as are needed, and never the same.
#[test]
fn machines_that_end_themselves_between_two_readings_are_never_ready() {
    let mut story = settled("1.0");
    story.commit(worker("1.1")).until(|story| story.model.state.groups.contains_key(&story.name("1.1")));
    story.until(|story| story.group("1.1").group.as_ref().is_some_and(|group| group.instances.len() == 2));
    for minute in 0..30 {
        for instance in &mut story.group_mut("1.1").group.as_mut().unwrap().instances {
            instance.id = format!("i-{minute}-{}", instance.id);
        }
        story.later(Span::from_secs(20)).pass();
        assert_eq!(story.members("1.1").marks.step.map_or(0, |step| step.percent), 0, "{}", story.log());
    }
    assert_eq!(story.role("1.0"), Role::Live);
}
