//! The fence: written before the first change of a newer commit, and what a commit that
//! does not descend from it may still do.

use super::questions::half_way;
use super::story::{Story, file};
use crate::observed::marks::Mark;
use crate::plan::action::{Action, Mutation};
use crate::plan::questions::Next;
use crate::plan::types::Change;
use crate::time::Span;

/// A daemon at an old commit, whose file says this.
fn stale(story: &mut Story, version: &str) {
    story.commit(file(version));
    story.fallback = None;
    story.fence = Some(crate::plan::service::fenced_by(&"f".repeat(40), true));
}

/// The changes of one pass, one at a time.
fn changes(story: &mut Story) -> Vec<Action> {
    std::iter::from_fn(|| story.step()).collect()
}

fn is_fence(action: &Action) -> bool {
    matches!(action.mutation, Mutation::SetMark { mark: Mark::Fence, .. })
}

/// "never act for a commit that does not descend from all that was acted on"
#[test]
fn a_stale_commit_moves_no_weight() {
    let mut story = half_way();
    stale(&mut story, "1.0");
    assert_eq!(changes(&mut story), []);
    assert!(story.waits().starts_with("fence"), "{}", story.waits());
    assert_eq!(story.plan().change, Change::Blocked);
    story.later(Span::from_mins(20)).pass();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (50, 50));
    story.fence = None;
    story.commit(file("1.0")).converged();
    assert_eq!(story.weight("1.0"), 100, "a revert does it");
}

/// "Hold, paused, fence, …: a candidate that fails still goes back"
#[test]
fn a_stale_commit_still_protects() {
    let mut story = half_way();
    stale(&mut story, "1.0");
    story.sick.push("1.1".to_owned());
    story.run();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    assert!(story.group("1.1").template_marks().rejected.is_some());
    assert!(story.waits().starts_with("fence"), "{}", story.waits());
}

/// A stale commit's sizes are not applied either.
#[test]
fn a_stale_commit_sets_no_sizes() {
    let mut story = Story::settled("1.0");
    let mut old = file("1.0");
    (old.capacity.min, old.capacity.max) = (1, 9);
    story.commit(old);
    story.fallback = None;
    story.fence = Some(crate::plan::service::fenced_by(&"f".repeat(40), true));
    assert_eq!(changes(&mut story), []);
    assert_eq!((story.members("1.0").min, story.members("1.0").max), (2, 4));
}

/// "Live has weight but no ASG: create it at need", without rewinding the fence.
#[test]
fn a_stale_commit_repairs_live_and_writes_no_fence() {
    let mut story = Story::settled("1.0");
    let fence = story.members("1.0").marks.fence.clone();
    let made_by = story.group("1.0").identity.commit.clone();
    story.group_mut("1.0").group = None;
    story.group_mut("1.0").targets = None;
    stale(&mut story, "1.1");
    let stale_commit = story.commit_id();
    story.pass();
    let group = story.members("1.0");
    assert_eq!(group.desired, 2);
    assert!(fence.is_some() && group.marks.fence.as_deref() != Some(stale_commit.as_str()), "{:?}", group.marks.fence);
    assert_eq!(group.commit, made_by);
}

/// "Written before the first mutation of any kind for a newer commit"
#[test]
fn the_fence_comes_before_any_change_of_a_newer_commit() {
    type Begin = (&'static str, fn() -> Story);
    let stories: [Begin; 5] = [
        ("third version", || {
            let mut story = half_way();
            story.commit(file("1.2"));
            story
        }),
        ("settings", || {
            let mut story = Story::settled("1.0");
            let mut spec = file("1.0");
            spec.capacity.max = 6;
            story.commit(spec);
            story
        }),
        ("expiry", || {
            let mut story = Story::settled("1.0");
            story.commit(file("1.1")).run();
            story.commit(file("1.1")).later(Span::from_mins(61));
            story
        }),
        ("a mark that was cut off", || {
            let mut story = half_way();
            story.until(|story| matches!(story.next(), Next::Act(_) | Next::Wait(_)));
            while story.weight("1.1") == 50 {
                story.later(Span::from_secs(5)).step();
            }
            let mut spec = file("1.1");
            spec.rollout.bake = Span::from_mins(1);
            story.commit(spec);
            story
        }),
        ("a release", || {
            let mut story = Story::settled("1.0");
            story.commit(file("1.1"));
            story
        }),
    ];
    for (name, begin) in stories {
        let mut story = begin();
        let first = loop {
            match story.next() {
                Next::Act(action) => break action,
                _ => drop(story.later(Span::from_secs(5))),
            }
        };
        assert!(is_fence(&first), "{name}: {first:?}");
        story.converged();
    }
}

/// "an instant rollback alone writes it right after its weight call"
#[test]
fn a_revert_moves_weights_first_and_writes_the_fence_next() {
    for warm in [true, false] {
        let mut story = half_way();
        if warm {
            story.run();
        }
        story.commit(file("1.0"));
        let commit = story.commit_id();
        let changes = changes(&mut story);
        assert!(matches!(changes[0].mutation, Mutation::SetWeights { .. }), "{:?}", changes[0]);
        assert!(is_fence(&changes[1]), "{:?}", changes[1]);
        assert_eq!(story.weight("1.0"), 100);
        assert_eq!(story.members("1.0").marks.fence, Some(commit));
        story.converged();
    }
}

/// A removal leaves a template alone, and it is what keeps an older commit from undoing that.
#[test]
fn what_only_a_template_remembers_counts() {
    let mut story = Story::settled("1.0");
    let acted_for = story.commit_id();
    story.group_mut("1.0").group = None;
    assert_eq!(crate::plan::service::claims(&story.model.state), [acted_for]);
}
