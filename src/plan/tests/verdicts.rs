//! Failures: what they lead to, and what lets a release try again.

use super::story::{Story, file};
use crate::desired::spec::OnFailure;
use crate::observed::marks::Mark;
use crate::observed::resources::{Activity, Outcome};
use crate::plan::action::Mutation;
use crate::plan::operator::{self, Word};
use crate::plan::questions::Next;
use crate::plan::types::{Change, Phase, Reason, RollbackClass};
use crate::plan::view::{Input, View};
use crate::time::Span;

/// An operator says something, and it is carried out.
pub fn say(story: &mut Story, word: &Word) {
    let begun = story.now;
    // What the daemon wrote is in the daemon's memory alone.
    let mut memory = story.memory.clone();
    memory.forget_writes();
    loop {
        let next = story.ask(|input| {
            let input = Input { commit: None, memory: &memory, ..input.clone() };
            operator::next(&View::new(&input), word, begun)
        });
        match next {
            Next::Act(action) => drop(story.by_operator(&action.mutation)),
            Next::Wait(wait) if wait.removal.is_some() || wait.look_again.is_some() => {
                story.later(Span::from_secs(5));
                let seen: Vec<String> = wait.removal.into_iter().collect();
                memory.note_removals(&seen, story.now - Span::from_secs(1));
            }
            Next::Wait(wait) => panic!("{wait:?}"),
            Next::Rest => return,
        }
    }
}

pub fn launches(story: &mut Story, version: &str, message: &str) {
    let now = story.now;
    let failed = Activity {
        started: now,
        ended: Some(now),
        outcome: Outcome::Failed,
        message: message.to_owned(),
        cause: String::new(),
        instance: None,
        launch: true,
    };
    let group = story.group_mut(version);
    group.activities = Some(vec![failed; 3]);
    group.group.as_mut().unwrap().instances.clear();
}

#[test]
fn on_failure_hold_keeps_the_machines_until_retry() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    spec.rollout.on_failure = OnFailure::Hold;
    story.sick.push("1.1".to_owned());
    story.commit(spec).run();
    assert!(story.waits().starts_with("hold: held by ionroller"), "{}", story.waits());
    assert!(story.group("1.1").template_marks().rejected.is_some());
    assert_eq!(story.members("1.1").desired, 2, "its machines stay");
    assert_eq!((story.weight("1.0"), story.members("1.0").min), (100, 2), "un-pinned");
    story.sick.clear();
    say(&mut story, &Word::Retry);
    story.run();
    assert_eq!(story.weight("1.1"), 100);
    assert_eq!(story.waits(), "at rest");
}

#[test]
fn on_failure_hold_with_traffic_gives_it_back() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    spec.rollout.on_failure = OnFailure::Hold;
    story.commit(spec).until_weight("1.1", 10).pass();
    story.sick.push("1.1".to_owned());
    story.run();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    assert_eq!(story.members("1.1").desired, 2);
}

#[test]
fn abort_with_nothing_coming_up_changes_nothing() {
    let word = Word::Abort { who: "ann".to_owned(), text: String::new() };
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    let before = story.model.state.clone();
    say(&mut story, &word);
    assert_eq!(story.model.state, before, "1.1 has settled, and 1.0 is warm");
    // What is held by somebody stays so.
    say(&mut story, &Word::Hold { who: "bob".to_owned(), text: "incident".to_owned() });
    let before = story.model.state.clone();
    say(&mut story, &word);
    assert_eq!(story.model.state, before);
    say(&mut story, &Word::Resume);
    // A release that is coming up is taken back at any moment of it, and held; what that leaves is
    // no release that comes up.
    story.commit(file("1.2")).pass();
    say(&mut story, &word);
    assert!(story.group("1.2").group.is_none() && story.waits().starts_with("hold: held by ann"), "{}", story.waits());
    say(&mut story, &Word::Resume);
    story.commit(file("1.1")).run();
    say(&mut story, &word);
    assert!(!story.waits().starts_with("hold"), "{}", story.waits());
}

#[test]
fn no_capacity_is_not_the_releases_fault() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    spec.rollout.healthy_deadline = Span::from_mins(2);
    story.commit(spec).pass();
    launches(&mut story, "1.1", "We currently do not have sufficient t3.small capacity in the Availability Zone");
    story.until(|story| matches!(story.next(), Next::Wait(wait) if wait.on.reason == Reason::Retry));
    let template = story.group("1.1").template_marks();
    assert_eq!((template.retry.unwrap().tries, template.rejected), (1, None));
    let wait = story.plan().waiting_on.unwrap();
    assert_eq!(wait.until.unwrap().since(wait.since.unwrap()), Span::from_mins(5));
    story.commit(file("1.1")).run();
    assert_eq!(story.weight("1.1"), 100, "the next try succeeds");
}

#[test]
fn a_missing_image_is_rejected_at_once() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).pass();
    launches(&mut story, "1.1", "The image id '[ami-0123456789]' does not exist");
    story.run();
    assert_eq!(story.group("1.1").template_marks().rejected.unwrap().code, "launch");
}

#[test]
fn two_failed_launches_are_too_few() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).pass();
    launches(&mut story, "1.1", "The image id '[ami-0123456789]' does not exist");
    story.group_mut("1.1").activities.as_mut().unwrap().truncate(2);
    assert!(matches!(story.next(), Next::Wait(wait) if wait.on.reason == Reason::Capacity));
}

#[test]
fn a_first_release_that_fails_with_users_keeps_them() {
    let mut story = Story::new(file("1.0"));
    story.until_weight("1.0", 100).pass();
    story.sick.push("1.0".to_owned());
    story.run();
    let plan = story.plan();
    assert_eq!((plan.phase, plan.waiting_on.unwrap().reason), (Phase::Halted, Reason::Gate));
    assert_eq!((story.weight("1.0"), story.members("1.0").desired), (100, 2));
    // Its fix takes over from it.
    story.commit(file("1.1")).run();
    assert_eq!(story.weight("1.1"), 100);
}

#[test]
fn a_first_release_that_fails_without_users_goes() {
    let mut story = Story::new(file("1.0"));
    story.sick.push("1.0".to_owned());
    story.run();
    assert!(story.model.state.rules.is_empty());
    assert!(story.group("1.0").group.is_none() && story.group("1.0").target_group.is_none());
}

#[test]
fn weights_do_not_move_to_a_live_side_that_cannot_answer() {
    let mut story = super::questions::half_way();
    story.sick.extend(["1.0".to_owned(), "1.1".to_owned()]);
    story.run();
    assert_eq!(story.plan().phase, Phase::Halted);
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (50, 50));
    story.sick.retain(|version| version == "1.1");
    story.run();
    assert_eq!(story.weight("1.0"), 100, "looked at again every pass");
}

#[test]
fn a_rollback_scales_up_first_where_the_group_has_become_too_small() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    let group = story.group_mut("1.1").group.as_mut().unwrap();
    (group.desired, group.max) = (4, 4);
    story.later(Span::from_secs(1));
    let name = story.name("1.1");
    let grown =
        Mutation::SetCapacity { release: name.clone(), group: name.to_string(), min: 4, max: 4, desired: Some(4) };
    story.meanwhile(&grown).commit(file("1.0"));
    assert_eq!(story.plan().change, Change::Rollback);
    assert_eq!(story.plan().rollback, Some(RollbackClass::ScaleUp));
    story.run();
    assert_eq!(story.weight("1.0"), 100);
    assert_eq!(story.members("1.1").min, 4, "what was left keeps its size while it is warm");
}

#[test]
fn abort_gives_back_withdraws_and_holds() {
    let mut story = super::questions::half_way();
    say(&mut story, &Word::Abort { who: "ann".to_owned(), text: "looks wrong".to_owned() });
    assert_eq!(story.weight("1.0"), 100);
    assert!(story.group("1.1").group.is_none());
    assert_eq!(story.waits(), "hold: held by ann: looks wrong");
    say(&mut story, &Word::Resume);
    story.run();
    assert_eq!(story.weight("1.1"), 100, "it was not rejected");
}

#[test]
fn a_change_without_effect_is_halted_and_said() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.0");
    spec.capacity.min = 3;
    story.commit(spec);
    for _ in 0..5 {
        let Next::Act(action) = story.next() else { panic!("{:?}", story.next()) };
        story.memory.note_attempt(&action);
    }
    let plan = story.plan();
    assert_eq!(plan.phase, Phase::Halted, "{plan:#?}");
    assert!(plan.waiting_on.unwrap().detail.contains("5 times without effect"));
}

#[test]
fn a_stable_mark_keeps_a_release_from_being_rejected() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.commit(file("1.0"));
    story.sick.push("1.0".to_owned());
    story.later(Span::from_mins(60)).pass();
    assert!(!story.group("1.0").template.as_ref().unwrap().tags.contains_key(Mark::Rejected.key()));
    assert_eq!(story.weight("1.1"), 100, "nothing moves to machines that cannot answer");
}
