//! An operator's words, as marks and as a taking back. They work without Git: only what
//! stands in AWS is asked.

use crate::observed::marks::{Hold, Mark, Step};
use crate::observed::state::ServerGroup;
use crate::time::{Span, Timestamp};

use super::action::{Action, Mutation};
use super::answer::{Answer, act, wait};
use super::questions::{self, Next};
use super::retire::{self, template_carrier};
use super::types::Reason;
use super::view::View;
use super::writes::last_word;
use super::{failure, live_rollback, settings, traffic};

/// What an operator says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Stand still.
    Hold {
        /// Who says it, one word.
        who: String,
        /// Why.
        text: String,
    },
    /// Go on.
    Resume,
    /// Try a rejected release again.
    Retry,
    /// Put all traffic back on the release that is kept warm, and hold.
    RollBack {
        /// Who says it, one word.
        who: String,
        /// Why.
        text: String,
    },
    /// Take the release that is coming up back, and hold. Where none is, nothing is done.
    Abort {
        /// Who says it, one word.
        who: String,
        /// Why.
        text: String,
    },
}

/// The next thing to do for an operator's word that was first carried out at some time; rest when
/// it is done.
pub fn next(view: &View<'_>, word: &Word, begun: Timestamp) -> Next {
    if let Some(Answer::Wait(wait)) = questions::reading_is_late(view) {
        return Next::Wait(wait);
    }
    let answer = match word {
        Word::Hold { who, text } => hold(view, who, text),
        Word::Resume => clear(view, &[Mark::Hold]),
        Word::Retry => retry(view),
        Word::RollBack { who, text } => live_rollback::next(view, who, text),
        // With nothing to take back there is nothing to keep from coming again.
        Word::Abort { .. } if view.hold().is_none() && !under_way(view) => None,
        Word::Abort { who, text } => hold(view, who, text).or_else(|| take_back(view)),
    };
    match answer {
        None => Next::Rest,
        Some(Answer::Wait(wait)) => Next::Wait(wait),
        Some(Answer::Act(action)) => questions::guarded(view, signed(view, action, begun)),
    }
}

/// A daemon that remembers what it wrote a short while ago would take what an operator changed for
/// a reading from before that. So the resource says first that an operator's command changes it.
fn signed(view: &View<'_>, action: Box<Action>, begun: Timestamp) -> Box<Action> {
    let on = match &action.mutation {
        // A hold is believed at once, whoever wrote it.
        Mutation::SetMark { mark: Mark::Hold, .. } | Mutation::ClearMark { mark: Mark::Hold, .. } => return action,
        Mutation::SetMark { on, .. } | Mutation::ClearMark { on, .. } => on.clone(),
        _ => return action,
    };
    let last = last_word(view.input.state, &on);
    if last.is_some_and(|last| last >= begun) {
        return action;
    }
    // Later than the last one, also within a second of it.
    let at = last.map_or(view.input.now, |last| view.input.now.max(last + Span::from_secs(1)));
    let value = at.ceil_secs().to_string();
    Box::new(act(Mutation::SetMark { on, mark: Mark::Operator, value }, action.because.clone()))
}

fn hold(view: &View<'_>, who: &str, text: &str) -> Option<Answer> {
    if view.hold().is_some() {
        return None;
    }
    let newest = |group: &&ServerGroup| group.template.as_ref().map(|template| template.created);
    let holder = view
        .live
        .filter(|live| live.template.is_some())
        .or(view.candidate)
        .or_else(|| view.input.state.groups.values().filter(|group| group.template.is_some()).max_by_key(newest));
    let Some(holder) = holder.filter(|holder| holder.template.is_some()) else {
        return Some(wait(Reason::Preflight, "the service has nothing in AWS that could carry the mark").into());
    };
    let hold = Hold { at: view.input.now, who: who.to_owned(), text: text.to_owned() };
    let mutation = Mutation::SetMark { on: template_carrier(holder), mark: Mark::Hold, value: hold.to_string() };
    Some(act(mutation, "an operator holds it").into())
}

fn clear(view: &View<'_>, marks: &[Mark]) -> Option<Answer> {
    clear_on(view.input.state.groups.values(), marks)
}

fn clear_on<'a>(mut groups: impl Iterator<Item = &'a ServerGroup>, marks: &[Mark]) -> Option<Answer> {
    groups.find_map(|group| {
        let tags = &group.template.as_ref()?.tags;
        let mark = *marks.iter().find(|mark| tags.contains_key(mark.key()))?;
        let action: Action = act(Mutation::ClearMark { on: template_carrier(group), mark }, "an operator says so");
        Some(action.into())
    })
}

/// The wanted release is tried again; without Git, the one that was rejected last.
fn retry(view: &View<'_>) -> Option<Answer> {
    let marks = [Mark::Rejected, Mark::Retry];
    if let Some(name) = &view.wanted_name {
        return try_again(view, view.input.state.groups.get(name), &marks);
    }
    let rejected = |group: &&ServerGroup| {
        group.template.as_ref().is_some_and(|t| t.marks.rejected.is_some() || t.marks.retry.is_some())
    };
    let last = view.input.state.groups.values().filter(rejected).max_by_key(|group| {
        let marks = group.template_marks();
        (marks.rejected.map(|rejected| rejected.at), marks.retry.map(|retry| retry.at))
    });
    try_again(view, last, &marks)
}

/// Machines that stayed begin anew, then the verdict goes, then the hold that came with it.
fn try_again(view: &View<'_>, release: Option<&ServerGroup>, marks: &[Mark]) -> Option<Answer> {
    let release = release?;
    let rejected = release.template_marks().rejected;
    let stale = |step: Step| rejected.as_ref().is_some_and(|rejected| step.percent > 0 || step.at < rejected.at);
    if let Some(group) = &release.group
        && view.weight(release) == 0
        && group.marks.step.is_some_and(stale)
    {
        let value = Step { percent: 0, at: view.input.now }.to_string();
        let mutation = Mutation::SetMark { on: retire::group_carrier(release, group), mark: Mark::Step, value };
        return Some(act(mutation, "an operator lets it try again").into());
    }
    let held = view.hold().is_some_and(|hold| hold.who == failure::OURSELVES);
    clear_on(std::iter::once(release), marks).or_else(|| held.then(|| clear(view, &[Mark::Hold])).flatten())
}

/// Whether a release is coming up: one stands that has not settled, or has traffic beside live. A
/// launch template alone is a record.
fn under_way(view: &View<'_>) -> bool {
    view.input.state.groups.values().any(|group| {
        let unsettled = group.stable().is_none() && group.retired().is_none();
        (unsettled && view.leaves_something(group)) || (!view.is_live(group) && view.weight(group) > 0)
    })
}

/// Traffic to live, then everything that is neither live nor warm goes.
fn take_back(view: &View<'_>) -> Option<Answer> {
    let beside = || {
        view.candidate
            .filter(|candidate| candidate.stable().is_none())
            .into_iter()
            .chain(view.leftovers.iter().copied())
    };
    if view.has_side()
        && let Some(group) = beside().find(|group| view.weight(group) > 0)
    {
        return Some(traffic::to_live(view, group, "an operator takes it back"));
    }
    // Without a live side, what people use keeps running.
    let going = || beside().filter(|group| view.weight(group) == 0 && (view.has_side() || !view.serves(group)));
    let retired = going().find_map(|group| retire::retire(view, group, "an operator takes it back"));
    retired.or_else(|| settings::unpin(view))
}
