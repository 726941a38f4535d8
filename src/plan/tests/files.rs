//! Files that are broken, missing or say stop, in the middle of a rollout.

use super::questions::half_way;
use super::story::{Story, file};
use crate::observed::resources::{Activity, Outcome};
use crate::observed::state::Slot;
use crate::plan::types::{Change, Phase, Reason};
use crate::time::Span;

/// "A broken one takes no step", also where the fence commit's file cannot be read.
#[test]
fn a_broken_file_without_a_past_takes_no_step() {
    let mut story = half_way();
    story.commit_broken();
    story.fallback = None;
    story.later(Span::from_mins(20)).pass();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (50, 50));
    story.sick.push("1.1".to_owned());
    story.converged();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0), "protected by the defaults");
}

/// A launch that fails through no fault of the release counts once, not at every reading.
#[test]
fn a_stop_counts_a_failed_try_once() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).pass();
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
    let mut paused = file("1.1");
    paused.paused = Some("wait".to_owned());
    story.commit(paused);
    for _ in 0..4 {
        story.later(Span::from_secs(5)).pass();
    }
    let tries = story.group("1.1").template_marks().retry.map_or(0, |retry| retry.tries);
    assert!(tries <= 1, "{tries} tries");
    story.commit(file("1.1")).converged();
    assert_eq!(story.weight("1.1"), 100);
}

/// "a candidate that fails still goes back", whatever forbids the next step.
#[test]
fn a_failing_candidate_goes_back_though_its_place_was_taken() {
    let mut story = half_way();
    story.model.state.slot = Some(Slot::Foreign("a rule of another owner".to_owned()));
    assert_eq!((story.plan().change, story.plan().waiting_on.unwrap().reason), (Change::Blocked, Reason::Preflight));
    story.sick.push("1.1".to_owned());
    story.run();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
}

/// "missing file, prune off | none | steady"
#[test]
fn a_missing_file_of_a_settled_service() {
    let mut story = Story::settled("1.0");
    story.commit_removal().converged();
    let plan = story.plan();
    assert_eq!((plan.change, plan.phase, plan.waiting_on), (Change::None, Phase::Steady, None));
    assert_eq!(story.weight("1.0"), 100);
}

/// A first release whose file goes away before anybody used it leaves nothing but a record.
#[test]
fn a_missing_file_before_the_first_traffic() {
    let mut story = Story::new(file("1.0"));
    story.pass();
    story.commit_removal().converged();
    assert!(story.model.state.rules.is_empty());
    assert!(story.group("1.0").group.is_none() && story.group("1.0").target_group.is_none());
}

/// "Hold … stops everything that Git asks": sizes, too.
#[test]
fn a_pause_keeps_new_sizes_from_live() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.0");
    spec.paused = Some("incident".to_owned());
    spec.capacity.max = 9;
    story.commit(spec).converged();
    assert_eq!(story.members("1.0").max, 4);
}
