//! Readings that show the past.

use crate::observed::marks::{Mark, Rejected};
use crate::observed::state::ServiceState;
use crate::plan::action::{Action, Mutation, Weight};
use crate::plan::model::Model;
use crate::plan::operator::Word;
use crate::plan::questions::Next;
use crate::plan::types::Reason;
use crate::plan::writes::Writes;
use crate::time::{Span, Timestamp};

use super::story::{Story, file};
use super::verdicts::say;

/// Whether a change is one of some kind.
type Kind = fn(&Mutation) -> bool;

/// The next change of this kind, made, and what was there before it.
fn at(story: &mut Story, wanted: Kind) -> (ServiceState, Action) {
    for _ in 0..200 {
        let before = story.model.state.clone();
        match story.step() {
            Some(action) if wanted(&action.mutation) => return (before, action),
            Some(_) => {}
            None => drop(story.later(Span::from_secs(5))),
        }
    }
    panic!("it never came:\n{}", story.log());
}

/// Whether a reading that shows this is taken for the past.
fn is_late(story: &mut Story, shown: &ServiceState) -> bool {
    let now = std::mem::replace(&mut story.model.state, shown.clone());
    let next = story.next();
    story.model.state = now;
    match next {
        Next::Wait(wait) => wait.on.reason == Reason::Unknown && wait.on.detail.contains("as it was before"),
        _ => false,
    }
}

#[test]
fn a_reading_that_shows_what_was_before_a_change_leads_to_nothing() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    fn some(weights: &[Weight]) -> bool {
        weights.iter().all(|weight| weight.percent > 0)
    }
    let changes: [(u64, Kind); 5] = [
        (60, |m| matches!(m, Mutation::SetMark { mark: Mark::Fence, .. })),
        (15, |m| matches!(m, Mutation::SetWeights { .. })),
        (15, |m| matches!(m, Mutation::SetWeights { weights, .. } if some(weights))),
        (60, |m| matches!(m, Mutation::SetMark { mark: Mark::Step, .. })),
        (60, |m| matches!(m, Mutation::SetMark { mark: Mark::Retired, .. })),
    ];
    for (secs, wanted) in changes {
        let (before, action) = at(&mut story, wanted);
        let there = story.now;
        assert!(is_late(&mut story, &before), "{action:?}");
        let present = story.model.state.clone();
        assert!(!is_late(&mut story, &present), "{action:?}");
        story.now = there + Span::from_secs(secs - 1);
        assert!(is_late(&mut story, &before), "{action:?}");
        story.now = there + Span::from_secs(secs);
        assert!(!is_late(&mut story, &before), "what it shows is believed in the end: {action:?}");
        // A clock that was set back does not make it wait for an hour.
        story.now = Timestamp::from_millis(there.as_millis() - 3_600_000);
        assert!(!is_late(&mut story, &before), "{action:?}");
        story.now = there;
    }
}

#[test]
fn a_verdict_that_a_reading_does_not_show_yet_stays_one() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    story.sick.push("1.1".to_owned());
    let (before, _) = at(&mut story, |m| matches!(m, Mutation::SetMark { mark: Mark::Rejected, .. }));
    assert!(is_late(&mut story, &before));
    story.now = story.now + Span::from_secs(59);
    assert!(is_late(&mut story, &before));
}

#[test]
fn what_was_put_back_by_ourselves_is_no_past() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    let (first, action) = at(&mut story, |m| matches!(m, Mutation::SetWeights { .. }));
    let Mutation::SetWeights { rule, weights } = action.mutation else { unreachable!() };
    let now = story.now;
    let shares = |percents: [u32; 2]| Mutation::SetWeights {
        rule: rule.clone(),
        weights: weights.iter().zip(percents).map(|(weight, percent)| Weight { percent, ..weight.clone() }).collect(),
    };
    let (mut writes, mut model) = (Writes::none(), Model::new(&story.model.state, now));
    let mut shown = vec![first];
    for percents in [[100, 0], [90, 10], [0, 100], [90, 10]] {
        writes.note(&shares(percents), &model.state, now);
        model.apply(&shares(percents), now);
        shown.push(model.state.clone());
    }
    let late: Vec<bool> = shown.iter().map(|state| writes.lag(state, now).is_some()).collect();
    assert_eq!(late, [false, true, false, true, false], "it is at 90 and 10 %, and has been before");
}

#[test]
fn what_can_be_seen_is_not_without_effect() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    let (_, action) = at(&mut story, |m| matches!(m, Mutation::SetMark { mark: Mark::Step, .. }));
    for _ in 0..4 {
        story.memory.note_attempt(&action);
    }
    assert!(story.memory.is_futile(&action));
    let memory = story.ask(|input| story.memory.note(input));
    assert!(!memory.is_futile(&action));
}

/// As when AWS refuses the tag: the weights go at once, and it is written when that works.
#[test]
fn a_verdict_that_could_not_be_written_is_written_later_and_then_forgotten() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).until_weight("1.1", 10);
    let name = story.name("1.1");
    let verdict = Rejected { at: story.now, code: "unhealthy".to_owned(), text: "2 of 2 machines".to_owned() };
    story.memory.keep_verdict(name.clone(), verdict.clone());
    let first = story.step().unwrap();
    assert!(matches!(first.mutation, Mutation::SetWeights { .. }), "{first:?}");
    story.run().later(Span::from_secs(5));
    let marks = story.group("1.1").template_marks();
    assert_eq!(marks.rejected.map(|rejected| rejected.code), Some(verdict.code));
    assert_eq!(story.memory.verdict(&name), None, "an operator may take it off now");
}

/// The operator's command is another program: what it changes is in no memory of ours.
#[test]
fn what_an_operator_took_back_is_no_past() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    story.sick.push("1.1".to_owned());
    let (before, _) = at(&mut story, |m| matches!(m, Mutation::SetMark { mark: Mark::Rejected, .. }));
    story.sick.clear();
    say(&mut story, &Word::Retry);
    let present = story.model.state.clone();
    assert!(!is_late(&mut story, &present), "the verdict is gone, and an operator took it");
    assert!(is_late(&mut story, &before), "a reading from before both shows the past");
    let (before, _) = at(&mut story, |m| matches!(m, Mutation::SetMark { mark: Mark::Step, .. }));
    assert!(is_late(&mut story, &before), "so does one from before what is written after that");
    story.run();
    assert_eq!((story.weight("1.1"), story.waits()), (100, "at rest".to_owned()));
}

#[test]
fn a_commit_that_agrees_with_an_operator_is_acted_on_at_once() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    at(&mut story, |m| matches!(m, Mutation::SetMark { mark: Mark::Settings, .. }));
    say(&mut story, &Word::RollBack { who: "ann".to_owned(), text: String::new() });
    let present = story.model.state.clone();
    assert!(!is_late(&mut story, &present));
    story.commit(file("1.0")).run();
    assert_eq!((story.weight("1.0"), story.waits()), (100, "at rest".to_owned()));
}
