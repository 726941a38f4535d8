//! A service whose file is gone, in a scope that prunes.

use expect_test::expect;

use super::questions::half_way;
use super::story::{Story, file, hold};
use crate::desired::spec::ServiceSpec;
use crate::observed::marks::Mark;
use crate::plan::action::Mutation;
use crate::plan::removal::Orphan;
use crate::plan::types::{Change, Phase, Reason, WaitingOn};
use crate::time::{Span, Timestamp};

/// The file is gone, and the scope prunes.
fn pruned(story: &mut Story) -> &mut Story {
    story.orphan = Orphan::Removed;
    story.commit_removal()
}

fn frozen(story: &Story) -> WaitingOn {
    let until: Timestamp = story.now + Span::from_mins(90);
    WaitingOn { reason: Reason::Freeze, detail: "frozen: sale".to_owned(), since: Some(story.now), until: Some(until) }
}

fn upgraded() -> Story {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run().log();
    story
}

/// What is left of it: a template with the fence, and nothing that costs anything.
fn only_the_record_is_left(story: &Story) {
    assert!(story.model.state.rules.is_empty());
    let left: Vec<_> = story.model.state.groups.values().collect();
    assert_eq!(left.len(), 1, "{left:#?}");
    assert!(left[0].group.is_none() && left[0].target_group.is_none() && left[0].deleting.is_empty());
    assert_eq!((left[0].stable(), left[0].template_marks().fence), (None, Some(story.commit_id())));
}

/// "`fence` on ASG and LT, our rule deleted, `retired`, `stable` off, drained, deleted; the
/// newest LT stays as the fence"
#[test]
fn removal_in_its_order() {
    let mut story = upgraded();
    pruned(&mut story);
    let plan = story.plan();
    assert_eq!((plan.change, plan.from.unwrap().version.to_string()), (Change::Remove, "1.1".to_owned()));
    story.run();
    expect![[r#"
        00:21:20 set-mark launch-template/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        00:21:20 set-mark group/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        00:21:30 delete-rule rule  (its file is gone, and the scope prunes)
        00:21:30 set-mark group/web-o3vbyd5p4y retired (its file is gone, and the scope prunes)
        00:21:30 clear-mark launch-template/web-b363gnwwvy stable (its file is gone, and the scope prunes)
        00:21:30 clear-mark launch-template/web-o3vbyd5p4y stable (its file is gone, and the scope prunes)
        00:21:40 set-capacity group/web-b363gnwwvy min 0, desired 0, max 4 (its file is gone, and the scope prunes)
        00:22:15 delete-group group/web-b363gnwwvy  (its file is gone, and the scope prunes)
        00:22:50 delete-target-group target-group/web-b363gnwwvy  (its file is gone, and the scope prunes)
        00:23:00 set-capacity group/web-o3vbyd5p4y min 0, desired 0, max 4 (its file is gone, and the scope prunes)
        00:23:35 delete-group group/web-o3vbyd5p4y  (its file is gone, and the scope prunes)
        00:24:10 delete-target-group target-group/web-o3vbyd5p4y  (its file is gone, and the scope prunes)
        00:24:20 delete-launch-template launch-template/web-b363gnwwvy  (its file is gone, and the scope prunes)
    "#]]
    .assert_eq(&story.log());
    only_the_record_is_left(&story);
    story.converged();
    let plan = story.plan();
    assert_eq!((plan.change, plan.phase, plan.waiting_on, plan.from), (Change::None, Phase::Absent, None, None));
    assert!(plan.settled && plan.groups.is_empty());
}

#[test]
fn removal_of_a_worker() {
    let worker = |version| ServiceSpec { load_balancer: None, ..file(version) };
    let mut story = Story::new(worker("1.0"));
    story.run();
    story.commit(worker("1.1")).run().log();
    pruned(&mut story).run();
    expect![[r#"
        00:16:30 set-mark launch-template/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        00:16:30 set-mark group/web-o3vbyd5p4y fence (no older commit may act after 0000000)
        00:16:30 set-mark group/web-o3vbyd5p4y retired (its file is gone, and the scope prunes)
        00:16:30 clear-mark launch-template/web-b363gnwwvy stable (its file is gone, and the scope prunes)
        00:16:30 clear-mark launch-template/web-o3vbyd5p4y stable (its file is gone, and the scope prunes)
        00:16:40 set-capacity group/web-o3vbyd5p4y min 0, desired 0, max 4 (its file is gone, and the scope prunes)
        00:17:05 delete-group group/web-b363gnwwvy  (its file is gone, and the scope prunes)
        00:17:15 delete-group group/web-o3vbyd5p4y  (its file is gone, and the scope prunes)
        00:17:50 delete-launch-template launch-template/web-b363gnwwvy  (its file is gone, and the scope prunes)
    "#]]
    .assert_eq(&story.log());
    only_the_record_is_left(&story);
    story.converged();
}

/// "prune decides about live and warm": a candidate goes back first, without blame.
#[test]
fn removal_in_mid_rollout_takes_the_candidate_back_first() {
    let mut story = half_way();
    pruned(&mut story);
    let first = story.step().unwrap();
    assert!(matches!(first.mutation, Mutation::SetWeights { .. }), "{first:?}");
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    story.converged();
    only_the_record_is_left(&story);
    assert!(story.group("1.1").template_marks().rejected.is_none());
}

/// Its rule is deleted before anything that it forwards to is taken away.
#[test]
fn removal_never_takes_machines_that_a_rule_forwards_to() {
    let mut story = upgraded();
    pruned(&mut story);
    story.until(|story| story.model.state.rules.is_empty());
    assert_eq!((story.members("1.1").desired, story.members("1.0").desired), (2, 2));
    story.converged();
}

/// "gates the START of create, release and remove; never an end"
#[test]
fn a_freeze_keeps_a_removal_from_starting() {
    let mut story = upgraded();
    pruned(&mut story);
    story.orphan = Orphan::Waits(frozen(&story));
    let plan = story.plan();
    assert_eq!((plan.change, plan.phase), (Change::Remove, Phase::Pending));
    assert_eq!((plan.waiting_on.unwrap().reason, plan.actions), (Reason::Freeze, Vec::new()));
    story.run();
    assert_eq!(story.weight("1.1"), 100);
    story.orphan = Orphan::Removed;
    story.converged();
    only_the_record_is_left(&story);
}

#[test]
fn a_freeze_does_not_stop_a_removal_that_has_started() {
    let mut story = upgraded();
    pruned(&mut story);
    story.until(|story| story.model.state.rules.is_empty());
    story.orphan = Orphan::Waits(frozen(&story));
    story.converged();
    only_the_record_is_left(&story);
}

/// The same for one that was waiting because too many files are gone.
#[test]
fn a_removal_beyond_the_limit_is_blocked() {
    let mut story = upgraded();
    pruned(&mut story);
    story.orphan = Orphan::Waits(WaitingOn {
        reason: Reason::Limit,
        detail: "2 services have no file".to_owned(),
        since: None,
        until: None,
    });
    let plan = story.plan();
    assert_eq!(
        (plan.change, plan.phase, plan.waiting_on.unwrap().reason),
        (Change::Blocked, Phase::Blocked, Reason::Limit)
    );
    assert!(plan.actions.is_empty());
    assert_eq!(story.weight("1.1"), 100);
}

/// "Hold … stops everything that Git asks"
#[test]
fn a_held_service_is_not_removed() {
    let mut story = upgraded();
    hold(&mut story, "1.1");
    pruned(&mut story).converged();
    assert_eq!((story.weight("1.1"), story.plan().waiting_on.unwrap().reason), (100, Reason::Hold));
    let on = story.template("1.1");
    story.meanwhile(&Mutation::ClearMark { on, mark: Mark::Hold }).converged();
    only_the_record_is_left(&story);
}

/// A hold in the middle of it, and then the file is back: nothing was lost but time.
#[test]
fn a_removal_that_is_held_and_taken_back() {
    let mut story = upgraded();
    pruned(&mut story);
    story.until(|story| story.model.state.rules.is_empty());
    hold(&mut story, "1.1");
    story.converged();
    assert_eq!(story.members("1.1").desired, 2);
    let on = story.template("1.1");
    story.meanwhile(&Mutation::ClearMark { on, mark: Mark::Hold });
    story.commit(file("1.1")).converged();
    assert_eq!((story.weight("1.1"), story.role("1.1")), (100, crate::plan::types::Role::Live));
}

/// "removals included": a commit that does not descend from it removes nothing.
#[test]
fn a_stale_commit_removes_nothing() {
    let mut story = upgraded();
    pruned(&mut story);
    story.fence = Some(crate::plan::service::fenced_by(&"f".repeat(40), true));
    story.converged();
    assert_eq!((story.weight("1.1"), story.plan().waiting_on.unwrap().reason), (100, Reason::Fence));
}

/// An incomplete reading removes nothing: unknown is not absent.
#[test]
fn nothing_is_removed_on_an_incomplete_reading() {
    let mut story = upgraded();
    pruned(&mut story);
    story.model.state.incomplete = Some("target groups were not read".to_owned());
    assert_eq!((story.plan().actions, story.plan().waiting_on.unwrap().reason), (Vec::new(), Reason::Unknown));
}

/// A broken file is never taken for a deleted one.
#[test]
fn a_broken_file_removes_nothing() {
    let mut story = upgraded();
    story.orphan = Orphan::Removed;
    story.commit_broken().converged();
    assert_eq!((story.weight("1.1"), story.plan().waiting_on.unwrap().reason), (100, Reason::Invalid));
}

/// Put back, the file is a first release: what was removed is no target for a rollback.
#[test]
fn a_file_that_comes_back_is_a_first_release() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut story = upgraded();
        pruned(&mut story).converged().log();
        story.commit(file(version));
        let plan = story.plan();
        assert_eq!((plan.change, plan.phase), (Change::Create, Phase::Provisioning), "{version}");
        story.converged();
        assert_eq!((story.weight(version), story.members(version).min), (100, 2));
        assert!(story.group(version).stable().is_some());
    }
}

/// What was rejected stays rejected, also over a removal.
#[test]
fn a_removal_keeps_verdicts() {
    let mut story = Story::settled("1.0");
    story.sick.push("1.1".to_owned());
    story.commit(file("1.1")).run();
    pruned(&mut story).converged();
    story.sick.clear();
    story.commit(file("1.1")).converged();
    assert_eq!(story.plan().waiting_on.unwrap().reason, Reason::Rejected);
    story.commit(file("1.2")).converged();
    assert_eq!(story.weight("1.2"), 100);
}

/// Killed after any change it goes on; and the file may come back after any change.
#[test]
fn a_removal_cut_off_anywhere() {
    let mut whole = upgraded();
    let changes = pruned(&mut whole).converged().log().lines().count();
    assert!(changes > 8, "{changes}");
    for death in 1..changes {
        for then in [None, Some("1.0"), Some("1.1"), Some("1.2")] {
            let mut story = upgraded();
            pruned(&mut story).changes(death).dies();
            let Some(version) = then else {
                story.converged();
                only_the_record_is_left(&story);
                continue;
            };
            story.commit(file(version)).converged();
            assert_eq!(
                story.weight(version),
                100,
                "after {death} changes, then {version}: {}\n{}",
                story.waits(),
                story.log()
            );
            assert!(story.group(version).stable().is_some());
            story.run_to_the_end().converged();
        }
    }
}

/// A listener that neither a file nor a mark leads to may still name the target group, once
/// its group was deleted by hand: what AWS would refuse for ever is said instead.
#[test]
fn a_target_group_that_an_unknown_action_names_is_said_and_stays() {
    let mut story = upgraded();
    pruned(&mut story);
    let deletes = |story: &Story| match story.next() {
        crate::plan::questions::Next::Act(action) => matches!(action.mutation, Mutation::DeleteTargetGroup { .. }),
        _ => false,
    };
    for _ in 0..200 {
        if deletes(&story) {
            break;
        }
        if story.step().is_none() {
            story.later(Span::from_secs(5));
        }
    }
    for group in story.model.state.groups.values_mut() {
        if let Some(target_group) = &mut group.target_group {
            target_group.in_use = true;
        }
    }
    assert_eq!(
        story.waits(),
        "preflight: an action of a listener that this service has no part in forwards to target group \
         web-b363gnwwvy: point it elsewhere"
    );
}
