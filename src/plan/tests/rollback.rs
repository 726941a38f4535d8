//! Rollbacks over more than one release, and traffic shared out by hand.

use super::story::{Story, file};
use crate::observed::resources::RuleAction;
use crate::time::Span;

/// "`stable` off its LT": of the release that was left, and of no other.
#[test]
fn a_rollback_over_two_releases_leaves_the_one_between_stable() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.commit(file("1.2")).run();
    story.commit(file("1.0")).converged();
    assert_eq!(story.weight("1.0"), 100);
    assert!(story.group("1.1").stable().is_some(), "nobody rolled back from 1.1\n{}", story.log());
    assert!(story.group("1.2").stable().is_none());
    story.run_to_the_end().converged();
}

/// The same while the release between still stands as a leftover.
#[test]
fn a_rollback_past_a_newer_leftover() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    // 1.0 stays in place although 1.1 is retired, too: nobody was there to clear up.
    let mut third = file("1.2");
    third.rollout.bake = Span::from_secs(1);
    story.commit(third);
    story.until(|story| story.group("1.1").retired().is_some());
    story.commit(file("1.0")).converged();
    assert_eq!(story.weight("1.0"), 100);
    assert!(story.group("1.1").stable().is_some());
    assert!(story.group("1.2").stable().is_none());
}

/// Weights that somebody set by hand need not sum to 100; those that we write do.
#[test]
fn weights_by_hand_that_do_not_divide() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.commit(file("1.2")).until_weight("1.2", 10).pass();
    let RuleAction::Forward(weights) = &mut story.model.state.rules[0].action else { panic!("a forward") };
    for (_, weight) in weights.iter_mut() {
        *weight = 1;
    }
    for group in story.model.state.groups.values_mut() {
        group.weight = group.weight.map(|_| 33);
    }
    story.commit(file("1.3")).converged();
    assert_eq!(story.weight("1.3"), 100);
}

/// A release that stood in for live is the way back, and is not judged: its deadline passes, and
/// nothing follows from it. It was looked at again at once, several times a second.
#[test]
fn a_way_back_that_takes_longer_than_its_deadline_is_not_looked_at_without_end() {
    let mut story = Story::new(file("1.0"));
    story.until_weight("1.0", 100).pass();
    story.commit(file("1.1")).run();
    story.sick = vec!["1.0".to_owned()];
    story.commit(file("1.0"));
    for _ in 0..12 {
        // The plan itself looks at when it is looked at again.
        story.later(Span::from_mins(5)).plan();
    }
    assert!(story.waits().starts_with("health"), "{}", story.waits());
}
