//! Machines that boot, fail or vanish, and who bears the traffic then.

use super::questions::half_way;
use super::story::{Story, file, hold};
use crate::observed::marks::RetryKind;
use crate::observed::resources::{Activity, Lifecycle, Outcome, Target, TargetHealth};
use crate::plan::action::{Kind, Mutation};
use crate::plan::outcome;
use crate::plan::types::{Change, Phase, Reason, RollbackClass};
use crate::plan::view::View;
use crate::time::Span;

/// Every machine of a release is this for the load balancer from now on.
fn targets(story: &mut Story, version: &str, health: TargetHealth) {
    let targets = story.group_mut(version).targets.as_mut().unwrap();
    targets.values_mut().for_each(|target| *target = health.into());
}

/// A release's machines are gone: terminated, detached or never launched.
fn vanish(story: &mut Story, version: &str) {
    let owner = story.group_mut(version);
    owner.targets.as_mut().unwrap().clear();
    owner.group.as_mut().unwrap().instances.clear();
}

/// Somebody lets a release's group grow; its new machines are unhealthy while they boot.
fn grows_and_boots(story: &mut Story, version: &str, desired: u32) {
    let (name, now) = (story.name(version), story.now);
    let owner = story.group_mut(version);
    let group = owner.group.as_mut().unwrap();
    let standing = u32::try_from(group.instances.len()).unwrap();
    (group.desired, group.max) = (desired, group.max.max(desired));
    for number in standing..desired {
        let id = format!("{name}-boots-{number}");
        let launched = Activity {
            started: now,
            ended: Some(now),
            outcome: Outcome::Successful,
            message: format!("Launching a new EC2 instance: {id}"),
            cause: String::new(),
            instance: Some(id.clone()),
            launch: true,
        };
        owner.activities.get_or_insert_default().push(launched);
        owner.targets.as_mut().unwrap().insert(id.clone(), TargetHealth::Unhealthy.into());
        let machine = crate::observed::resources::Instance { id, lifecycle: Lifecycle::InService, healthy: true };
        group.instances.push(machine);
    }
}

fn verdict(story: &Story, version: &str) -> Option<String> {
    story.group(version).template_marks().rejected.map(|rejected| rejected.code)
}

#[test]
fn machines_that_boot_in_mid_rollout_block_and_blame_nobody() {
    let mut story = half_way();
    grows_and_boots(&mut story, "1.1", 5);
    for _ in 0..35 {
        story.later(Span::from_secs(10)).pass();
    }
    assert_eq!((verdict(&story, "1.1"), story.weight("1.1")), (None, 50), "{}", story.log());
    let health = story.ask(|input| View::new(input).health(&input.state.groups[&story.name("1.1")])).unwrap();
    assert_eq!((health.healthy, health.booting, health.failing, health.missing), (2, 3, 0, 0));
    assert!(story.waits().contains("2 of 5 machines healthy (3 booting)"), "{}", story.waits());
    targets(&mut story, "1.1", TargetHealth::Healthy);
    story.converged();
    assert_eq!(story.weight("1.1"), 100);
}

#[test]
fn a_machine_that_was_healthy_has_no_grace() {
    let mut story = half_way();
    targets(&mut story, "1.1", TargetHealth::Unhealthy);
    story.pass();
    assert_eq!((verdict(&story, "1.1").as_deref(), story.weight("1.1")), (Some("unhealthy"), 0));
}

#[test]
fn after_a_restart_old_machines_have_no_grace_either() {
    let mut story = half_way();
    story.later(Span::from_mins(30));
    targets(&mut story, "1.1", TargetHealth::Unhealthy);
    story.dies().pass();
    assert_eq!(verdict(&story, "1.1").as_deref(), Some("unhealthy"));
}

#[test]
fn a_candidate_without_machines_loses_its_traffic_without_blame() {
    let mut story = half_way();
    vanish(&mut story, "1.1");
    let kinds: Vec<Kind> = std::iter::from_fn(|| story.step()).map(|action| action.mutation.kind()).collect();
    assert_eq!(kinds[..3], [Kind::SetMark, Kind::SetWeights, Kind::SetMark], "{}", story.log());
    assert_eq!((story.weight("1.0"), verdict(&story, "1.1")), (100, None));
    let retry = story.group("1.1").template_marks().retry.unwrap();
    assert_eq!((retry.kind, retry.tries, retry.returns), (RetryKind::Returned, 1, 1));
    assert_eq!(story.group("1.1").step().map(|step| step.percent), Some(0), "it begins again");
    assert!(
        story.waits().starts_with("retry: it could not bear its traffic (0 of 2 machines healthy)"),
        "{}",
        story.waits()
    );
}

#[test]
fn after_the_third_return_a_person_is_needed() {
    let mut story = half_way();
    for _ in 0..3 {
        vanish(&mut story, "1.1");
        story.pass();
        assert_eq!(story.weight("1.0"), 100);
        let name = story.name("1.1");
        let owner = story.group_mut("1.1");
        let Some(group) = owner.group.as_mut() else { break };
        for number in 0..2 {
            let id = format!("{name}-new-{number}");
            owner.targets.as_mut().unwrap().insert(id.clone(), TargetHealth::Healthy.into());
            let machine = crate::observed::resources::Instance { id, lifecycle: Lifecycle::InService, healthy: true };
            group.instances.push(machine);
        }
        story
            .until(|story| story.weight("1.1") > 0 || story.plan().waiting_on.is_some_and(|wait| wait.until.is_none()));
    }
    story.run();
    let plan = story.plan();
    let wait = plan.waiting_on.unwrap();
    assert_eq!((wait.reason, wait.until, verdict(&story, "1.1")), (Reason::Retry, None, None), "{}", story.log());
    assert!(wait.detail.contains("ionroller retry web"), "{}", wait.detail);
    assert!(story.group("1.1").group.is_none(), "its machines are not kept");
    assert_eq!((story.weight("1.0"), story.members("1.0").min), (100, 2));
}

#[test]
fn live_that_dies_hands_everything_to_a_candidate_that_bears_it() {
    for held in [false, true] {
        let mut story = Story::settled("1.0");
        story.commit(file("1.1")).until_weight("1.1", 10).pass();
        if held {
            hold(&mut story, "1.0");
        }
        targets(&mut story, "1.0", TargetHealth::Unhealthy);
        let kinds: Vec<Kind> = std::iter::from_fn(|| story.step()).map(|action| action.mutation.kind()).collect();
        assert_eq!(kinds[..2], [Kind::SetMark, Kind::SetWeights], "{}", story.log());
        assert_eq!((story.weight("1.0"), story.weight("1.1")), (0, 100));
        if !held {
            story.until(|story| story.group("1.1").stable().is_some());
            assert_eq!(story.weight("1.1"), 100, "it bakes and settles");
        }
    }
}

/// What took over from a live release that died has not settled, and is the side all the same
/// that a newer release comes up beside: that one took all traffic at once, as a first one does.
#[test]
fn a_newer_release_takes_its_steps_beside_one_that_took_over() {
    let mut story = half_way();
    story.sick = vec!["1.0".to_owned()];
    story.later(Span::from_mins(1)).until_weight("1.1", 100);
    hold(&mut story, "1.1");
    story.later(Span::from_mins(10)).pass();
    let mut next = file("1.2");
    next.rollout.steps = vec![10, 100];
    let on = story.template("1.1");
    story.meanwhile(&Mutation::ClearMark { on, mark: crate::observed::marks::Mark::Hold });
    story.commit(next).pass().until(|story| story.weight("1.2") > 0);
    assert_eq!((story.weight("1.1"), story.weight("1.2")), (90, 10), "{}", story.log());
    story.converged();
    assert_eq!(story.weight("1.2"), 100);
}

#[test]
fn a_candidate_that_cannot_bear_everything_gets_nothing_more() {
    let mut story = Story::settled("1.0");
    let mut large = file("1.1");
    large.capacity.min = 6;
    large.capacity.max = 6;
    story.commit(large).until_weight("1.1", 10).pass();
    let machines = &mut story.group_mut("1.1").targets.as_mut().unwrap();
    machines.values_mut().skip(2).for_each(|target| *target = Target::from(TargetHealth::Draining));
    targets(&mut story, "1.0", TargetHealth::Unhealthy);
    story.pass();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (90, 10), "2 of 6 are not half");
    assert_eq!(story.plan().phase, Phase::Halted);
}

#[test]
fn nobody_is_judged_while_live_has_no_healthy_machine() {
    let mut story = half_way();
    story.sick.extend(["1.0".to_owned(), "1.1".to_owned()]);
    for _ in 0..40 {
        story.later(Span::from_secs(10)).pass();
    }
    assert_eq!(verdict(&story, "1.1"), None);
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (50, 50));
    story.sick.retain(|version| version == "1.1");
    story.run();
    assert_eq!((verdict(&story, "1.1").as_deref(), story.weight("1.0")), (Some("unhealthy"), 100));
}

#[test]
fn a_settled_service_that_is_down_says_so_and_names_the_way_out() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).until(|story| story.group("1.0").retired().is_some()).pass();
    targets(&mut story, "1.1", TargetHealth::Unhealthy);
    let plan = story.plan();
    let wait = plan.waiting_on.unwrap();
    assert_eq!((plan.phase, wait.reason, plan.actions.len()), (Phase::Halted, Reason::Down, 0));
    assert!(wait.detail.contains("ionroller rollback web"), "{}", wait.detail);
    assert_eq!((story.weight("1.1"), story.weight("1.0")), (100, 0), "a warm release is for Git alone");
}

#[test]
fn a_settled_service_that_lacks_half_its_machines_is_not_steady() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.0");
    (spec.capacity.min, spec.capacity.max) = (6, 6);
    story.commit(spec).converged().later(Span::from_mins(30));
    story.group_mut("1.0").group.as_mut().unwrap().instances.iter_mut().skip(2).for_each(|i| i.healthy = false);
    targets(&mut story, "1.0", TargetHealth::Healthy);
    let plan = story.plan();
    assert_eq!((plan.phase, plan.waiting_on.map(|wait| wait.reason)), (Phase::Halted, Some(Reason::Health)));
}

/// A candidate whose machines hang in a hook, or boot for ever, does not hide so for ever.
#[test]
fn two_deadlines_of_booting_are_a_try_that_failed() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).pass();
    for _ in 0..((30 * 60 / 10) + 2) {
        let group = story.group_mut("1.1");
        let machines = group.group.as_mut().map(|group| &mut group.instances);
        machines.into_iter().flatten().for_each(|machine| machine.lifecycle = Lifecycle::Pending);
        story.later(Span::from_secs(10)).pass();
        if story.group("1.1").template_marks().retry.is_some() {
            break;
        }
    }
    let marks = story.group("1.1").template_marks();
    assert_eq!((marks.rejected, marks.retry.map(|retry| retry.kind)), (None, Some(RetryKind::Late)), "{}", story.log());
}

fn replaced(story: &mut Story, cause: &str, ago: &[u64]) {
    let now = story.now;
    let activity = |mins: &u64| Activity {
        started: now - Span::from_mins(*mins),
        ended: Some(now),
        outcome: Outcome::Successful,
        message: "Terminating EC2 instance: i-1".to_owned(),
        cause: cause.to_owned(),
        instance: Some("i-1".to_owned()),
        launch: false,
    };
    let activities = ago.iter().map(activity).collect();
    story.group_mut("1.1").activities = Some(activities);
}

#[test]
fn machines_replaced_for_failed_checks_are_evidence_and_spot_interruptions_are_not() {
    const CHECKS: &str = "At 2026-11-01T00:00:00Z an instance was taken out of service in response to an ELB system health check failure.";
    const STOPPED: &str = "At 2026-11-01T00:00:00Z an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.";
    for (cause, ago, rejected) in
        [(CHECKS, &[1, 5][..], true), (CHECKS, &[1], false), (CHECKS, &[1, 40], false), (STOPPED, &[1, 2, 3, 4], false)]
    {
        let mut story = half_way();
        story.later(Span::from_mins(1));
        story.group_mut("1.1").group.as_mut().unwrap().created = story.now - Span::from_mins(60);
        replaced(&mut story, cause, ago);
        story.pass();
        assert_eq!(verdict(&story, "1.1").is_some(), rejected, "{cause} {ago:?}");
    }
}

#[test]
fn a_twentieth_of_many_machines_may_fail() {
    let mut story = Story::settled("1.0");
    let mut large = file("1.1");
    (large.capacity.min, large.capacity.max) = (40, 40);
    large.rollout.steps = vec![50, 100];
    story.commit(large).until_weight("1.1", 50).pass();
    let fail = |story: &mut Story, count: usize| {
        let targets = story.group_mut("1.1").targets.as_mut().unwrap();
        targets.values_mut().take(count).for_each(|target| *target = TargetHealth::Unhealthy.into());
    };
    fail(&mut story, 2);
    story.later(Span::from_secs(1)).later(Span::from_mins(4)).pass();
    assert_eq!(verdict(&story, "1.1"), None);
    fail(&mut story, 3);
    story.later(Span::from_secs(1)).later(Span::from_mins(2)).pass();
    assert_eq!(verdict(&story, "1.1").as_deref(), Some("unhealthy"));
}

#[test]
fn launches_that_fail_in_a_rollout_blame_nobody_whatever_the_text() {
    let texts = [
        "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket",
        "Client.InternalError: Client error on launch",
        "The KMS key is in a wrong state",
        "Your account is currently blocked. Contact aws-verification@amazon.com if you have questions.",
        "Your request for accessing resources in this region is being validated",
        "The image id '[ami-0123456789]' does not exist",
    ];
    for text in texts {
        let mut story = half_way();
        super::verdicts::launches(&mut story, "1.1", text);
        let group = story.group_mut("1.1");
        group.targets.as_mut().unwrap().clear();
        story.pass();
        assert_eq!((verdict(&story, "1.1"), story.weight("1.0")), (None, 100), "{text}");
    }
}

/// The first release still bakes at 100 % when the next one is merged: it is the way back, as one
/// that has settled would be.
#[test]
fn a_first_release_that_had_all_traffic_is_kept_as_the_way_back() {
    let mut story = Story::new(file("1.0"));
    story.until_weight("1.0", 100).pass();
    assert!(story.group("1.0").stable().is_none());
    story.commit(file("1.1")).until(|story| story.group("1.1").stable().is_some()).pass();
    assert!(story.group("1.0").retired().is_some() && story.group("1.0").group.is_some(), "{}", story.log());
    let plan = story.plan();
    assert_eq!(plan.rollback, Some(RollbackClass::Instant), "{plan:#?}");
    story.commit(file("1.0"));
    assert_eq!(story.plan().change, Change::Rollback);
    let first = story.step().unwrap();
    assert!(matches!(first.mutation, Mutation::SetWeights { .. }), "{first:?}");
    assert_eq!(story.weight("1.0"), 100, "one call");
    story.converged();
    assert_eq!(story.weight("1.0"), 100, "{}", story.log());
    assert!(story.group("1.0").stable().is_some() && story.group("1.0").retired().is_none());
    assert!(story.group("1.1").group_marks().left || story.group("1.1").group.is_none());
}

#[test]
fn the_way_back_to_a_stand_in_survives_a_crash_after_each_change() {
    for changes in 1..8 {
        let mut story = Story::new(file("1.0"));
        story.until_weight("1.0", 100).pass();
        story.commit(file("1.1")).until(|story| story.group("1.1").stable().is_some()).pass();
        story.commit(file("1.0"));
        for _ in 0..changes {
            story.step();
        }
        story.dies().converged();
        assert_eq!(story.weight("1.0"), 100, "after {changes} changes\n{}", story.log());
        assert!(story.group("1.0").stable().is_some());
    }
}

#[test]
fn a_group_that_lost_its_traffic_stays_a_minute_for_what_is_under_way() {
    let mut story = half_way();
    targets(&mut story, "1.1", TargetHealth::Healthy);
    let mut newer = file("1.0");
    newer.retention.warm = Span::ZERO;
    story.commit(newer).pass();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0), "a revert in mid-shift");
    let gave_back = story.now;
    assert!(story.group("1.1").weight.is_some(), "still in the action");
    story.until(|story| story.group("1.1").weight.is_none());
    assert!(story.now.since(gave_back) >= Span::from_secs(60), "{}", story.log());
    story.converged();
}

#[test]
fn a_group_without_a_healthy_machine_leaves_at_once() {
    let mut story = half_way();
    story.sick.push("1.1".to_owned());
    story.pass();
    assert_eq!(story.weight("1.0"), 100);
    let gave_back = story.now;
    story.until(|story| story.group("1.1").weight.is_none());
    assert!(story.now.since(gave_back) < Span::from_secs(60), "{}", story.log());
}

#[test]
fn machines_of_live_that_are_on_their_way_are_waited_for() {
    let mut story = Story::settled("1.0");
    story.group_mut("1.0").group = None;
    story.pass();
    let plan = story.plan();
    assert_eq!((plan.phase, plan.waiting_on.map(|wait| wait.reason)), (Phase::Pending, Some(Reason::Health)));
    assert!(!plan.settled && outcome::of(&story.plan()) == outcome::Outcome::OnItsWay, "apply goes on");
    story.converged();
    assert_eq!(story.plan().phase, Phase::Steady);
}

/// What failed with traffic is judged after a restart as before it; what joined meanwhile is not.
#[test]
fn a_restart_does_not_make_machines_with_traffic_young_again() {
    for marked in [true, false] {
        let mut story = half_way();
        if !marked {
            let name = story.name("1.1");
            let on = crate::plan::action::Carrier::Group { release: name.clone(), name: name.to_string() };
            let value = format!("0@{}", story.now.ceil_secs());
            story.meanwhile(&Mutation::SetMark { on, mark: crate::observed::marks::Mark::Step, value });
        }
        story.dies();
        targets(&mut story, "1.1", TargetHealth::Unhealthy);
        let health = story.ask(|input| View::new(input).health(&input.state.groups[&story.name("1.1")])).unwrap();
        assert_eq!((health.booting, health.failing), (0, 2), "marked: {marked}");
    }
    let mut story = half_way();
    let name = story.name("1.1");
    let on = crate::plan::action::Carrier::Group { release: name.clone(), name: name.to_string() };
    let value = format!("0@{}", story.now.ceil_secs());
    story.meanwhile(&Mutation::SetMark { on, mark: crate::observed::marks::Mark::Step, value }).looks();
    grows_and_boots(&mut story, "1.1", 5);
    let health = story.ask(|input| View::new(input).health(&input.state.groups[&story.name("1.1")])).unwrap();
    assert_eq!((health.healthy, health.booting, health.failing), (2, 3, 0), "the mark is not written yet");
}
