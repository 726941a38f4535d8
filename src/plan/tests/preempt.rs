//! A newer commit in mid-rollout.

use super::questions::half_way;
use super::story::{Story, file};
use crate::plan::action::Mutation;
use crate::plan::types::{Change, RollbackClass};
use crate::time::Span;

/// "weights to live, old candidate withdrawn (not rejected), the new one starts"
#[test]
fn a_third_version() {
    let mut story = half_way();
    story.commit(file("1.2"));
    assert_eq!(story.plan().change, Change::Release);
    story.converged();
    assert_eq!((story.weight("1.2"), story.weight("1.1"), story.weight("1.0")), (100, 0, 0));
    assert!(story.group("1.1").template_marks().rejected.is_none());
    assert!(story.group("1.1").group.is_none());
    story.run_to_the_end().converged();
}

/// The third version is reverted while the second still drains: its machines are used again.
#[test]
fn a_third_version_reverted() {
    let mut story = half_way();
    story.commit(file("1.2")).pass();
    story.commit(file("1.1")).converged();
    assert_eq!((story.weight("1.1"), story.members("1.1").min), (100, 2));
    assert!(story.model.state.groups.get(&story.name("1.2")).is_none_or(|group| group.group.is_none()));
    story.run_to_the_end().converged();
}

/// The second version had been emptied for the third when it is wanted again, and nobody looks
/// until its deadline has passed: it had no machines to be late. Found by exploration.
#[test]
fn a_candidate_that_was_emptied_and_is_wanted_again_is_not_late() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    let name = story.name("1.1");
    let stands = |story: &Story| story.model.state.groups.get(&name).is_some_and(|group| group.group.is_some());
    story.until(stands);
    story.commit(file("1.2")).until(|story| story.members("1.1").desired == 0);
    story.commit(file("1.1")).later(Span::from_mins(20));
    story.until(|story| story.members("1.1").desired == 2);
    let since = story.members("1.1").marks.step.unwrap().at;
    assert!(story.now.since(since) < Span::from_secs(10), "its deadline counts from now\n{}", story.log_so_far());
    story.converged();
    assert!(story.group("1.1").template_marks().rejected.is_none());
    assert_eq!(story.weight("1.1"), 100);
}

/// The second version had left the rule for the third, with all its machines, when it is wanted
/// again, and nobody looks until its deadline has passed: nothing checked it meanwhile. Found by
/// exploration.
#[test]
fn a_candidate_that_had_left_its_rule_and_is_wanted_again_is_not_late() {
    comes_back(Story::settled("1.0"), ["1.1", "1.2"]);
}

/// The same where no release has settled, so the rule is one that no client meets.
#[test]
fn a_first_candidate_that_had_left_its_rule_and_is_wanted_again_is_not_late() {
    comes_back(Story::new(file("1.0")), ["1.0", "1.1"]);
}

fn comes_back(mut story: Story, [version, other]: [&str; 2]) {
    story.sick = vec![version.to_owned()];
    story.commit(file(version));
    let name = story.name(version);
    let in_rule = |story: &Story| story.model.state.groups.get(&name).is_some_and(|group| group.weight.is_some());
    story.until(|story| in_rule(story) && story.model.state.groups[&name].group.is_some());
    story.commit(file(other)).until(|story| !in_rule(story));
    assert_eq!(story.members(version).desired, 2);
    story.sick.clear();
    story.commit(file(version)).later(Span::from_mins(20)).until(in_rule);
    let since = story.members(version).marks.step.unwrap().at;
    assert!(story.now.since(since) < Span::from_secs(10), "its deadline counts from now\n{}", story.log_so_far());
    story.converged();
    assert!(story.group(version).template_marks().rejected.is_none());
    assert_eq!(story.weight(version), 100);
}

/// "a revert in mid-shift: weights to live, candidate withdrawn"
#[test]
fn a_revert_in_mid_shift() {
    let mut story = half_way();
    story.commit(file("1.0"));
    let plan = story.plan();
    assert_eq!((plan.change, plan.rollback), (Change::Rollback, Some(RollbackClass::Instant)));
    story.converged();
    assert_eq!((story.weight("1.0"), story.members("1.0").min, story.members("1.0").max), (100, 2, 4));
    assert!(story.group("1.1").group.is_none());
    assert!(story.group("1.1").template_marks().rejected.is_none());
}

/// A revert when all traffic is on the candidate, before it settles.
#[test]
fn a_revert_at_all_traffic_before_settle() {
    let mut story = half_way();
    story.until_weight("1.1", 100).pass();
    story.commit(file("1.0")).converged();
    assert_eq!((story.weight("1.0"), story.group("1.1").stable()), (100, None));
}

/// "only a settle or rollback that was cut off is finished first: a mark or three"
#[test]
fn a_revert_right_after_the_stable_mark() {
    let mut story = half_way();
    story.until_weight("1.1", 100);
    while story.group("1.1").stable().is_none() {
        if story.step().is_none() {
            story.later(Span::from_secs(5));
        }
    }
    assert_eq!(story.group("1.0").retired(), None, "the settle is cut off here");
    story.dies().commit(file("1.0"));
    story.log();
    story.converged();
    assert_eq!(story.weight("1.0"), 100);
    assert_eq!(story.group("1.1").stable(), None, "it was rolled back from\n{}", story.log());
    assert!(story.group("1.1").retired().is_some());
    assert_eq!(story.group("1.0").retired(), None);
    story.run_to_the_end().converged();
}

/// "A revert to a warm stable group needs one mutating call before all traffic is back"
#[test]
fn a_revert_over_a_candidate_to_the_warm_release_is_one_call() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    let mut third = file("1.2");
    third.rollout.steps = vec![50, 100];
    story.commit(third).until_weight("1.2", 50).pass();
    story.commit(file("1.0"));
    let first = story.step().unwrap();
    assert!(matches!(first.mutation, Mutation::SetWeights { .. }), "{first:?}");
    assert_eq!((story.weight("1.0"), story.weight("1.1"), story.weight("1.2")), (100, 0, 0));
    story.converged();
    assert!(story.group("1.1").retired().is_some() && story.group("1.1").stable().is_none());
    assert!(story.group("1.2").group.is_none());
}

/// "Changes of min and max during a rollout act on the candidate, on live at settle"
#[test]
fn sizes_that_change_in_mid_rollout() {
    let mut story = half_way();
    let mut spec = file("1.1");
    spec.rollout.steps = vec![50, 100];
    (spec.capacity.min, spec.capacity.max) = (3, 7);
    story.commit(spec).pass();
    assert_eq!((story.members("1.1").min, story.members("1.1").max), (3, 7));
    assert_eq!((story.members("1.0").min, story.members("1.0").max), (2, 4));
    story.converged();
    assert_eq!((story.members("1.1").min, story.members("1.1").max), (3, 7));
}
