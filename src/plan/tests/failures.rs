//! When a candidate has failed and when it has not, and what a failure leads to.

use super::questions::half_way;
use super::story::{START, Story, file, hold};
use crate::observed::marks::{Mark, Retry, RetryKind};
use crate::observed::resources::{Activity, Outcome, TargetHealth};
use crate::plan::action::{Kind, Mutation};
use crate::plan::tests::verdicts::launches;
use crate::plan::types::{Change, Phase, Reason};
use crate::plan::view::retry_delay;
use crate::time::Span;

/// So many machines of a group fail their checks from now on.
fn fail(story: &mut Story, version: &str, count: usize) {
    let targets = story.group_mut(version).targets.as_mut().unwrap();
    for (number, target) in targets.values_mut().enumerate() {
        *target = if number < count { TargetHealth::Unhealthy } else { TargetHealth::Healthy }.into();
    }
}

fn code(story: &Story, version: &str) -> Option<String> {
    story.group(version).template_marks().rejected.map(|rejected| rejected.code)
}

/// "the deadline has passed and H < need in this reading"
#[test]
fn a_late_candidate_that_is_healthy_now_has_not_failed() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).pass();
    fail(&mut story, "1.1", 0);
    // Nobody looked for half an hour.
    story.later(Span::from_mins(30)).pass();
    assert_eq!(code(&story, "1.1"), None);
    story.converged();
    assert_eq!(story.weight("1.1"), 100);
}

/// "U more than half of H + U at once": half is not more than half.
#[test]
fn half_of_the_machines_may_fail_for_a_while() {
    let mut story = half_way();
    fail(&mut story, "1.1", 1);
    story.later(Span::from_secs(5)).pass();
    assert_eq!((code(&story, "1.1"), story.weight("1.1")), (None, 50));
    fail(&mut story, "1.1", 2);
    story.pass();
    assert_eq!((code(&story, "1.1").as_deref(), story.weight("1.1")), (Some("unhealthy"), 0));
}

/// "U > 0 for `unhealthy_for` (observed, in memory)"
#[test]
fn one_machine_that_fails_for_unhealthy_for_is_a_failure() {
    let mut story = half_way();
    fail(&mut story, "1.1", 1);
    story.later(Span::from_secs(5)).pass();
    story.later(Span::from_secs(119)).pass();
    assert_eq!(code(&story, "1.1"), None);
    story.later(Span::from_secs(1)).pass();
    assert_eq!(code(&story, "1.1").as_deref(), Some("unhealthy"));
    story.converged();
    assert_eq!(story.weight("1.0"), 100);
    // A machine that recovers in between counts from the beginning.
    let mut story = half_way();
    for _ in 0..3 {
        fail(&mut story, "1.1", 1);
        story.later(Span::from_secs(80)).pass();
        fail(&mut story, "1.1", 0);
        story.later(Span::from_secs(5)).pass();
    }
    assert_eq!(code(&story, "1.1"), None);
    story.converged();
    assert_eq!(story.weight("1.1"), 100);
}

/// A candidate that is not ready for a whole deadline goes back, whatever the reason, and nobody
/// is blamed.
#[test]
fn too_few_machines_for_a_whole_deadline_take_the_traffic_back() {
    let mut story = half_way();
    let group = story.group_mut("1.1");
    let first = group.group.as_ref().unwrap().instances[0].id.clone();
    group.targets.as_mut().unwrap().insert(first, TargetHealth::Initial.into());
    story.later(Span::from_secs(5)).pass();
    story.later(Span::from_mins(14)).pass();
    assert_eq!((code(&story, "1.1"), story.weight("1.1")), (None, 50), "no step, and no failure");
    story.later(Span::from_mins(1)).pass();
    assert_eq!((code(&story, "1.1"), story.weight("1.1")), (None, 0));
    let retry = story.group("1.1").template_marks().retry.unwrap();
    assert_eq!((retry.kind, retry.returns), (RetryKind::Returned, 1));
}

/// "`rejected`, weights back to live in one call, live's min as in the file, candidate
/// withdrawn": the verdict is written before it is executed.
#[test]
fn a_failure_in_its_order() {
    let mut story = half_way();
    story.sick.push("1.1".to_owned());
    let mut kinds = Vec::new();
    while let Some(action) = story.step() {
        kinds.push(action.mutation.kind());
    }
    assert_eq!(kinds[..2], [Kind::SetMark, Kind::SetWeights], "{kinds:?}");
    story.converged();
    assert_eq!((story.members("1.0").min, story.weight("1.0")), (2, 100));
    assert!(story.group("1.1").group.is_none() && story.group("1.1").target_group.is_none());
}

/// Weights go back to a live side with half of what is needed, or with anything where the
/// candidate has nothing.
#[test]
fn weights_go_back_to_half_of_what_is_needed() {
    let mut story = half_way();
    fail(&mut story, "1.0", 1);
    story.sick.push("1.1".to_owned());
    story.run();
    assert_eq!(story.weight("1.0"), 100, "one of two");
    let mut story = half_way();
    let mut large = file("1.1");
    (large.capacity.min, large.rollout.steps) = (4, vec![50, 100]);
    story.commit(large).until(|story| story.members("1.1").inline_healthy() == 4);
    fail(&mut story, "1.0", 1);
    fail(&mut story, "1.1", 2);
    story.later(Span::from_secs(5)).later(Span::from_mins(3)).pass();
    assert!(code(&story, "1.1").is_some(), "{}", story.log());
    assert_eq!((story.weight("1.1"), story.plan().phase), (50, Phase::Halted), "one of four, and the other has two");
    fail(&mut story, "1.1", 3);
    story.later(Span::from_secs(5)).pass();
    assert_eq!(story.weight("1.1"), 50, "as many as the candidate are not enough");
    fail(&mut story, "1.1", 4);
    story.converged();
    assert_eq!(story.weight("1.0"), 100, "some instead of none");
}

/// "next try after 5 min doubling to 1 h"
#[test]
fn tries_come_after_five_minutes_doubling_to_an_hour() {
    let retry = |tries| Retry { tries, at: START, kind: RetryKind::Launch, returns: 0, text: String::new() };
    let minutes: Vec<u64> = (1..8).map(|tries| retry_delay(&retry(tries)).as_secs_ceil() / 60).collect();
    assert_eq!(minutes, [5, 10, 20, 40, 60, 60, 60]);
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    spec.rollout.healthy_deadline = Span::from_mins(2);
    story.commit(spec);
    for minutes in [5, 10, 20] {
        story.until(|story| story.model.state.groups.get(&story.name("1.1")).is_some_and(|new| new.group.is_some()));
        launches(&mut story, "1.1", "We currently do not have sufficient t3.small capacity");
        story.until(|story| story.group("1.1").group.is_none() && story.waits().starts_with("retry"));
        let wait = story.plan().waiting_on.unwrap();
        assert_eq!(wait.until.unwrap().since(wait.since.unwrap()), Span::from_mins(minutes));
        assert_eq!(story.members("1.0").min, 2, "un-pinned meanwhile");
    }
    story.commit(file("1.1")).converged();
    assert_eq!(story.weight("1.1"), 100);
}

/// "A failed launch counts only when 3 failed and none succeeded"
#[test]
fn a_launch_that_succeeded_takes_the_failed_ones_back() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).pass();
    let now = story.now;
    let activity = |outcome| Activity {
        started: now,
        outcome,
        message: "no capacity".to_owned(),
        launch: true,
        ended: None,
        cause: String::new(),
        instance: None,
    };
    let mut activities = vec![activity(Outcome::Failed); 5];
    activities.push(activity(Outcome::Successful));
    story.group_mut("1.1").activities = Some(activities);
    story.later(Span::from_secs(5)).pass();
    assert_eq!(story.group("1.1").template_marks().retry, None);
    story.converged();
    assert_eq!(story.weight("1.1"), 100);
}

/// "Not the release's fault … at launch only": above step 0 it is only short.
#[test]
fn no_capacity_above_the_first_step_is_no_retry() {
    let mut story = half_way();
    let now = story.now;
    let message = "insufficient capacity".to_owned();
    let failed = Activity {
        started: now,
        outcome: Outcome::Failed,
        message,
        launch: true,
        ended: None,
        cause: String::new(),
        instance: None,
    };
    story.group_mut("1.1").activities = Some(vec![failed; 3]);
    story.later(Span::from_secs(5)).pass();
    assert_eq!((story.group("1.1").template_marks().retry, story.weight("1.1")), (None, 50));
}

/// "while the desired digest is rejected, only min and max follow the file"
#[test]
fn sizes_follow_the_file_of_a_rejected_release() {
    let mut story = Story::settled("1.0");
    story.sick.push("1.1".to_owned());
    story.commit(file("1.1")).run();
    let mut spec = file("1.1");
    (spec.capacity.min, spec.capacity.max) = (3, 6);
    spec.tags.insert("team".to_owned(), "payments".to_owned());
    story.commit(spec).converged();
    assert_eq!((story.members("1.0").min, story.members("1.0").max), (3, 6));
    assert!(!story.members("1.0").tags.contains_key("team"));
    assert_eq!((story.plan().change, story.plan().phase), (Change::Blocked, Phase::Rejected));
}

/// "Rejected stays rejected", also when everything of it is gone and it is wanted again.
#[test]
fn a_rejected_release_gets_no_machines_again() {
    let mut story = Story::settled("1.0");
    story.sick.push("1.1".to_owned());
    story.commit(file("1.1")).run();
    story.sick.clear();
    for version in ["1.0", "1.1", "1.2", "1.1"] {
        story.commit(file(version)).converged();
        assert!(story.group("1.1").group.is_none());
    }
    assert_eq!((story.weight("1.2"), story.plan().waiting_on.unwrap().reason), (100, Reason::Rejected));
}

/// "Hold … stops everything that Git asks, rollbacks included"
#[test]
fn a_hold_stops_a_rollback_and_lets_it_go_on() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    hold(&mut story, "1.1");
    story.commit(file("1.0")).converged();
    assert_eq!((story.weight("1.1"), story.plan().change), (100, Change::Rollback));
    let on = story.template("1.1");
    story.meanwhile(&Mutation::ClearMark { on, mark: Mark::Hold }).converged();
    assert_eq!(story.weight("1.0"), 100);
}

/// A pause is a hold that is said in Git: it takes no step, and begins nothing.
#[test]
fn a_pause_in_mid_rollout_takes_no_step_and_protects() {
    let mut story = half_way();
    let mut spec = file("1.1");
    spec.rollout.steps = vec![50, 100];
    spec.paused = Some("incident".to_owned());
    story.commit(spec).converged();
    assert_eq!((story.weight("1.1"), story.plan().phase), (50, Phase::Baking));
    story.sick.push("1.1".to_owned());
    story.converged();
    assert_eq!((story.weight("1.0"), story.plan().waiting_on.unwrap().reason), (100, Reason::Paused));
}
