//! Roles and need: who is what, and how many machines that takes.

use super::questions::half_way;
use super::story::{Story, file};
use crate::observed::marks::Mark;
use crate::observed::resources::{Lifecycle, TargetHealth};
use crate::plan::action::{Kind, Mutation};
use crate::plan::types::{Reason, Role};
use crate::plan::view::View;
use crate::time::Span;

fn need(story: &Story) -> u32 {
    story.ask(|input| View::new(input).need())
}

fn grow(story: &mut Story, version: &str, desired: u32) {
    let members = story.members(version);
    let (release, group) = (story.name(version), members.name.clone());
    let (min, max) = (members.min, members.max.max(desired));
    story.meanwhile(&Mutation::SetCapacity { release, group, min, max, desired: Some(desired) });
}

/// "a template alone is a record"
#[test]
fn a_template_alone_has_no_role() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run_to_the_end().converged();
    assert!(story.group("1.0").template.is_some());
    let plan = story.plan();
    assert_eq!((plan.groups.len(), plan.groups[0].role), (1, Role::Live));
}

/// "Live = the stable group that has weight; if none, the stable one without `retired`"
#[test]
fn live_is_the_stable_group_that_has_weight() {
    let mut story = half_way();
    assert_eq!((story.role("1.0"), story.role("1.1")), (Role::Live, Role::Candidate), "1.1 is not stable");
    story.until_weight("1.1", 100);
    assert_eq!((story.weight("1.0"), story.role("1.0")), (0, Role::Live), "it has no `retired` yet");
    story.run();
    assert_eq!((story.role("1.0"), story.role("1.1")), (Role::Warm, Role::Live));
}

/// "one with weight under real conditions that isn't desired stands in"
#[test]
fn a_release_that_never_settled_stands_in_as_live() {
    let mut story = Story::new(file("1.0"));
    story.until_weight("1.0", 100).pass();
    assert_eq!(story.role("1.0"), Role::Candidate);
    story.commit(file("1.1"));
    assert_eq!(story.role("1.0"), Role::Live);
    story.until_weight("1.1", 10);
    assert_eq!(story.weight("1.0"), 90);
    story.run_to_the_end().converged();
    assert_eq!(story.role("1.1"), Role::Live);
}

/// A stand-in loses its part with its traffic: it never settled, so it is no way back. But
/// while it has any, and while its successor isn't well, it stays.
#[test]
fn a_stand_in_is_a_side_to_go_back_to_until_all_traffic_has_left_it() {
    let mut story = Story::new(file("1.0"));
    story.until_weight("1.0", 100).pass();
    story.commit(file("1.1")).until_weight("1.1", 10).pass();
    story.sick.push("1.1".to_owned());
    story.run();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    assert!(story.waits().starts_with("rejected"), "{}", story.waits());
}

/// "a group with weight, or the only healthy one, is never drained": nor is a stand-in
/// before the bake that it has lost its traffic to is over.
#[test]
fn a_stand_in_stays_until_its_successor_has_settled() {
    let mut story = Story::new(file("1.0"));
    story.until_weight("1.0", 100).pass();
    story.commit(file("1.1")).until_weight("1.1", 100);
    for _ in 0..10 {
        story.pass().later(Span::from_secs(20));
        assert_eq!(story.members("1.0").desired, 2, "{}", story.log_so_far());
    }
    story.sick.push("1.1".to_owned());
    story.run();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0), "{}", story.log());
    story.sick.clear();
    story.commit(file("1.2")).converged();
    assert_eq!(story.weight("1.2"), 100);
    story.run_to_the_end().converged();
}

/// "Warm = … the one with the latest `retired`, stable or not: at most one; it keeps min =
/// desired = its size when traffic left"
#[test]
fn one_group_is_warm_at_the_size_that_it_had() {
    let mut story = Story::settled("1.0");
    grow(&mut story, "1.0", 4);
    story.later(Span::from_mins(3));
    story.commit(file("1.1")).run();
    assert_eq!((story.role("1.0"), story.members("1.0").min, story.members("1.0").desired), (Role::Warm, 4, 4));
    story.commit(file("1.2")).until(|story| story.model.state.groups.contains_key(&story.name("1.2")));
    story.until(|story| story.group("1.2").stable().is_some() && story.group("1.1").retired().is_some());
    assert_eq!((story.role("1.1"), story.role("1.0")), (Role::Warm, Role::Leftover));
    story.converged();
    assert!(story.group("1.0").group.is_none());
}

/// "max(1, the file's min, live's current desired)"
#[test]
fn need_is_what_the_file_wants_and_what_live_has() {
    let mut story = Story::settled("1.0");
    let mut small = file("1.1");
    small.capacity.min = 1;
    story.commit(small);
    assert_eq!(need(&story), 2, "as many as live has");
    grow(&mut story, "1.0", 4);
    assert_eq!(need(&story), 4);
    let mut large = file("1.2");
    (large.capacity.min, large.capacity.max) = (6, 6);
    story.commit(large).run();
    assert_eq!((story.members("1.2").min, story.members("1.2").desired), (6, 6));
    let mut none = Story::new(file("1.0"));
    let mut zero = file("1.0");
    zero.capacity.min = 0;
    none.commit(zero);
    assert_eq!(need(&none), 1);
}

/// "if live grew, the candidate grows first"; "Candidate max = max(file's max, need)"
#[test]
fn a_candidate_grows_with_live_before_its_next_step() {
    let mut story = half_way();
    grow(&mut story, "1.0", 6);
    story.pass();
    let group = story.members("1.1");
    assert_eq!((group.min, group.desired, group.max, story.weight("1.1")), (6, 6, 6, 50));
    assert_eq!(story.members("1.0").min, 6, "and live is pinned where it is now");
    story.converged();
    let group = story.members("1.1");
    assert_eq!((group.min, group.max), (2, 4), "its file's, once it has settled");
}

/// "booting ones (Pending, `initial`) are neither"
#[test]
fn booting_machines_are_neither_healthy_nor_unhealthy() {
    let mut story = half_way();
    let group = story.group_mut("1.1");
    let machines = &mut group.group.as_mut().unwrap().instances;
    machines[0].lifecycle = Lifecycle::Pending;
    let second = machines[1].id.clone();
    group.targets.as_mut().unwrap().insert(second, TargetHealth::Initial.into());
    let health = story.ask(|input| View::new(input).health(&input.state.groups[&story.name("1.1")])).unwrap();
    assert_eq!((health.healthy, health.failing), (0, 0));
    story.pass();
    assert_eq!((story.group("1.1").template_marks().rejected, story.weight("1.1")), (None, 0), "no verdict");
}

/// "A stable group with weight 0, no `retired`, neither live nor desired, gets `retired`
/// before anything else"
#[test]
fn a_settle_that_was_cut_off_is_finished_before_a_newer_release_begins() {
    let mut story = half_way();
    story.until(|story| story.group("1.1").stable().is_some());
    let on = story.carrier("1.0");
    story.meanwhile(&Mutation::ClearMark { on, mark: Mark::Retired });
    story.commit(file("1.2"));
    let first = story.step().unwrap();
    assert!(first.mutation.kind() == Kind::SetMark && first.mutation.target().starts_with("retired"), "{first:?}");
    story.run_to_the_end().converged();
    assert_eq!(story.weight("1.2"), 100);
}

/// "Ready: … over `healthy_for` and at least two readings", which a restart begins anew.
#[test]
fn ready_takes_two_readings_over_healthy_for() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).pass();
    story.later(Span::from_mins(3)).pass();
    let wait = story.plan().waiting_on.unwrap();
    assert_eq!((wait.reason, wait.until), (Reason::Health, Some(story.now + Span::from_secs(10))));
    story.later(Span::from_secs(9)).pass();
    assert_eq!(story.weight("1.1"), 0);
    story.dies().later(Span::from_secs(1)).pass();
    assert_eq!(story.weight("1.1"), 0, "it was forgotten");
    story.later(Span::from_secs(10)).pass();
    assert_eq!(story.weight("1.1"), 10);
    let mut spec = file("1.2");
    spec.rollout.healthy_for = Span::ZERO;
    story.commit(spec).pass();
    story.until(|story| story.members("1.2").inline_healthy() == 2);
    assert_eq!(story.weight("1.2"), 0, "one reading");
    story.later(Span::from_secs(1)).pass();
    assert_eq!(story.weight("1.2"), 10);
    story.converged();
}
