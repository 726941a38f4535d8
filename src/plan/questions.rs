//! The top of the planner: what to do next for one service.
//!
//! [`next`] asks its questions in a fixed order, and the first that applies gives the next
//! action. It is called again on a new reading after every change, so that nothing but AWS
//! and Git has to remember how far a rollout is.

use crate::mutant::Mutant;
use crate::observed::marks::{Mark, Marks};
use crate::observed::state::ServerGroup;

use crate::time::Span;

use super::action::Mutation;
use super::answer::{Answer, Wait, act, wait};
use super::types::Reason;
use super::view::{File, View};
use super::{drift, failure, live_rollback, removal, retire, rollback, rollout, settings, sides, traffic};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A change.
    Act(Box<super::action::Action>),
    /// Nothing, and this is why.
    Wait(Box<Wait>),
    /// Nothing: all is as it should be.
    Rest,
}

/// The next action of a service, or why there is none.
pub fn next(view: &View<'_>) -> Next {
    match first_answer(view) {
        Some(Answer::Act(action)) => guarded(view, action),
        Some(Answer::Wait(wait)) => Next::Wait(wait),
        None => Next::Rest,
    }
}

fn first_answer(view: &View<'_>) -> Option<Answer> {
    match repair_or_git(view) {
        Some(Answer::Act(action)) => Some(Answer::Act(action)),
        // What is not well is said before what only waits.
        answer => match &answer {
            Some(Answer::Wait(wait)) if wait.halted || wait.on.reason == Reason::Unknown => answer,
            _ => match sides::down(view) {
                Some(wait) if wait.halted || answer.is_none() => Some(wait.into()),
                _ => answer,
            },
        },
    }
}

fn repair_or_git(view: &View<'_>) -> Option<Answer> {
    // 1 to 5: what must be right before anything that Git asks.
    let repair = reading_is_incomplete(view)
        .or_else(|| reading_is_late(view))
        .or_else(|| removal_under_way(view))
        .or_else(|| sides::relieve(view))
        .or_else(|| live_without_group(view))
        .or_else(|| live_at_zero(view))
        .or_else(|| rollout::live_entry(view))
        .or_else(|| rollback::finish(view))
        .or_else(|| settle_was_cut_off(view))
        .or_else(|| settings::second_rule(view))
        .or_else(|| live_out_of_reach(view));
    if repair.is_some() {
        return repair;
    }
    match stray_weight(view) {
        // Where live can't take it, a release that can is brought up all the same.
        Some(Answer::Wait(wait)) if wait.halted => match asked_by_git(view) {
            Some(Answer::Act(action)) => Some(Answer::Act(action)),
            _ => Some(Answer::Wait(wait)),
        },
        None => asked_by_git(view),
        answer => answer,
    }
}

/// Questions 6 to 17.
fn asked_by_git(view: &View<'_>) -> Option<Answer> {
    if let Some(answer) = live_rollback::agreed(view) {
        return Some(answer);
    }
    // 6: what stops everything else. What protects goes on.
    if let Some(stop) = stopped(view) {
        return failure::protect(view)
            .filter(|_| !Mutant::HoldStopsProtection.on())
            .or_else(|| settings::unpin(view))
            .or_else(|| stop.retires.then(|| drift::unprotect(view).or_else(|| retire::next(view))).flatten())
            .and_then(|answer| actions_first(answer, stop.wait.clone()))
            .or_else(|| stop.wait.is_none().then(|| removal::next(view)).flatten())
            .or_else(|| stop.wait.map(Answer::from));
    }
    // 7 to 15: the candidate.
    let candidate = rewind(view)
        .or_else(|| rollback::go(view))
        .or_else(|| failure::withdraw(view))
        .or_else(|| rollout::create(view))
        .or_else(|| rollout::advance(view));
    let candidate = match candidate {
        Some(Answer::Act(_)) => return candidate.map(|answer| fenced(view, answer)),
        // One that fails goes back, whatever keeps it from going on.
        waits => failure::protect(view).filter(|answer| matches!(answer, Answer::Act(_))).or(waits),
    };
    // 16, 17: clearing up does not wait for a candidate that waits.
    let clearing = drift::unprotect(view).or_else(|| retire::next(view));
    let rest = match clearing {
        Some(Answer::Act(_)) => clearing,
        // What drains is waited for beside everything else.
        waits => settings::update(view).filter(|answer| waits.is_none() || matches!(answer, Answer::Act(_))).or(waits),
    };
    // What went back from a release is this commit's doing, though nothing more of it is due yet.
    let rest = match rest {
        Some(Answer::Wait(wait)) if retire::lingers(view) => Some(fence_first(view, || Answer::Wait(wait))),
        rest => rest,
    };
    let answer = match (candidate, rest) {
        (Some(Answer::Wait(_)), Some(Answer::Act(action))) => Some(Answer::Act(action)),
        (Some(candidate), _) => Some(candidate),
        (None, rest) => rest,
    };
    drift::after(view, answer).map(|answer| fenced(view, answer))
}

/// Whatever a newer commit asks begins with its fence. A verdict, and a call that brings
/// traffic back to a release that had it, do not wait for that.
fn fenced(view: &View<'_>, answer: Answer) -> Answer {
    match answer {
        Answer::Act(action) if !goes_before_the_fence(view, &action.mutation) => {
            fence_first(view, || Answer::Act(action))
        }
        answer => answer,
    }
}

fn goes_before_the_fence(view: &View<'_>, mutation: &Mutation) -> bool {
    match mutation {
        Mutation::SetMark { mark, .. } => matches!(mark, Mark::Fence | Mark::Rejected | Mark::Retry | Mark::Hold),
        _ if Mutant::FenceBeforeRollback.on() => false,
        Mutation::SetWeights { weights, .. } | Mutation::SetRule { weights, .. } => {
            weights.iter().any(|weight| match view.input.state.owner_of(&weight.target_group) {
                Some(owner) => weight.percent > view.weight(owner) && (view.is_live(owner) || view.is_way_back(owner)),
                None => view.weights().iter().any(|(arn, had)| *arn == weight.target_group && weight.percent > *had),
            })
        }
        _ => false,
    }
}

/// A change goes before a wait; of two waits the one that stops everything is said.
fn actions_first(answer: Answer, stop: Option<Wait>) -> Option<Answer> {
    match (answer, stop) {
        (Answer::Wait(_), Some(stop)) => Some(stop.into()),
        (answer, _) => Some(answer),
    }
}

/// Question 1: the reading is incomplete.
fn reading_is_incomplete(view: &View<'_>) -> Option<Answer> {
    let what = view.input.state.incomplete.as_ref().filter(|_| !Mutant::ActOnGaps.on())?;
    let detail = format!("the reading is incomplete: {what}");
    Some(wait(Reason::Unknown, detail).look_again(view.input.now + UNREAD_LOOK).into())
}

/// An answer that can't be understood is often the only one. Whoever is in the middle of a
/// shift, or sick with traffic, doesn't stand still for longer than a bake goes unread.
const UNREAD_LOOK: Span = Span::from_secs(10);

/// As question 1: the reading shows the past.
pub(super) fn reading_is_late(view: &View<'_>) -> Option<Answer> {
    let now = view.input.now;
    let lag = view.input.memory.lag(view.input.state, now)?;
    let detail = format!(
        "AWS shows {} as it was before it was changed {} ago: nothing follows from that, and it is read again",
        lag.resource,
        Span::from_secs(now.since(lag.since).as_secs_ceil())
    );
    Some(wait(Reason::Unknown, detail).since(lag.since).until(lag.until).brief(now + NEXT_LOOK).into())
}

/// How soon a reading that showed the past is made again.
const NEXT_LOOK: Span = Span::from_secs(1);

/// What a removal has taken away is no damage to be mended.
fn removal_under_way(view: &View<'_>) -> Option<Answer> {
    // Traffic goes back to whom it was taken from first.
    let allowed = view.hold().is_none() && view.input.fence.is_none() && view.foreign.is_none();
    (allowed && removal::started(view)).then(|| removal::next(view)).flatten()
}

/// Question 2: live has weight but no Auto Scaling group.
fn live_without_group(view: &View<'_>) -> Option<Answer> {
    let live = view.live.filter(|live| live.group.is_none() && view.weight(live) > 0)?;
    let Some(spec) = view.spec else {
        return Some(traffic::halted(
            view,
            "the group of the live release is gone, and no file says how to make it".into(),
        ));
    };
    if live.template.is_none() && !view.live_is_wanted() {
        let detail = format!("group and launch template of {} are gone", live.identity.version);
        return Some(traffic::halted(view, detail));
    }
    if live.template.is_none() {
        return Some(rollout::create_template(view, spec, "the live release has lost its launch template").into());
    }
    let mut answer = rollout::create_group(view, live, spec, "the group of the live release is gone");
    if let Answer::Act(action) = &mut answer {
        action.expects.push(format!("{} has {} %", live.identity.version, view.weight(live)));
    }
    Some(answer)
}

/// As question 2: somebody has scaled live to zero. A hold lets them.
fn live_at_zero(view: &View<'_>) -> Option<Answer> {
    let live = view.live.filter(|live| live.target_group.is_some() && view.hold().is_none())?;
    let group = live.group.as_ref().filter(|group| group.desired == 0)?;
    // Where one call brings the traffic to machines that answer, it goes before everything.
    if rollback::at_once(view) && stopped(view).is_none() {
        return rollback::go(view);
    }
    let (min, max) = (view.need(), view.candidate_max());
    let mutation =
        Mutation::SetCapacity { release: live.name.clone(), group: group.name.clone(), min, max, desired: Some(min) };
    Some(act(mutation, "live has no machines").into())
}

/// Live whose rule is gone, hidden, or without any weight serves nobody.
fn live_out_of_reach(view: &View<'_>) -> Option<Answer> {
    let answer = rollout::restore_rule(view).filter(|_| stopped(view).is_none())?;
    matches!(answer, Answer::Act(_)).then_some(answer)
}

/// Question 4: a stable group lost its traffic to a release that settled, and the mark
/// that says so is missing. Where the commit wants it back already, the way back needs the
/// mark, too: it is known by it when it is cut off. A worker's way back begins without it.
fn settle_was_cut_off(view: &View<'_>) -> Option<Answer> {
    let left = view.input.state.groups.values().filter(|_| !Mutant::ForgetRetired.on()).find(|group| {
        group.group.is_some()
            && group.stable().is_some()
            && group.retired().is_none()
            && view.weight(group) == 0
            && !view.is_live(group)
            && !(view.is_worker() && view.is_candidate(group))
    })?;
    Some(retire::mark_retired(view, left, "a newer release has settled").into())
}

/// Question 5: a group has weight that is neither live nor candidate.
fn stray_weight(view: &View<'_>) -> Option<Answer> {
    let stray = view.leftovers.iter().find(|group| view.weight(group) > 0 && !Mutant::IgnoreStrayWeight.on())?;
    let because = match view.input.file {
        File::Missing => format!("the service's file is gone, so {} goes back", stray.identity.version),
        _ => format!("{} is no longer what the commit wants", stray.identity.version),
    };
    // A release that never had another beside it keeps its traffic until there is one.
    if !view.has_side() {
        return None;
    }
    // The one call of an instant way back takes its weight as well.
    if rollback::at_once(view) && stopped(view).is_none() {
        return rollback::go(view);
    }
    match traffic::to_live(view, stray, &because) {
        // A revert brings traffic back before anything else.
        Answer::Act(action) if !view.live_is_wanted() => Some(fence_first(view, || Answer::Act(action))),
        answer => Some(answer),
    }
}

/// Why nothing that Git asks is done.
struct Stop {
    wait: Option<Wait>,
    /// Un-pinning and retirement go on by what the last good file said.
    retires: bool,
}

/// Question 6: hold, paused, fence, invalid, missing file.
fn stopped(view: &View<'_>) -> Option<Stop> {
    let rejected = view.candidate.is_some_and(|candidate| view.rejected(candidate).is_some());
    if let Some(hold) = view.hold().filter(|_| !Mutant::IgnoreHold.on()) {
        // A failed candidate whose machines stay does not keep live pinned.
        let wait = wait(Reason::Hold, live_rollback::told(view, &hold)).since(hold.at);
        return Some(Stop { wait: Some(wait), retires: false });
    }
    let stop = |wait| Some(Stop { wait: Some(wait), retires: true });
    if let Some(reason) = view.wanted.and_then(|spec| spec.paused.as_ref()).filter(|_| !Mutant::IgnorePause.on()) {
        return Some(Stop {
            wait: Some(wait(Reason::Paused, format!("paused in its file: {reason}"))),
            retires: rejected,
        });
    }
    if let Some(fence) = view.input.fence.as_ref().filter(|_| !Mutant::IgnoreFence.on()) {
        let wait = Wait { on: fence.clone(), halted: false, removal: None, look_again: None, brief_until: None };
        return Some(Stop { wait: Some(wait), retires: false });
    }
    match view.input.file {
        File::Valid(_) => None,
        File::Broken => stop(wait(Reason::Invalid, "its file has errors; what runs goes on")),
        File::Missing => Some(Stop { wait: None, retires: true }),
    }
}

/// The last checks of any action: it must be able to work, a removal needs two readings,
/// and whatever a newer commit asks is fenced before it is begun.
pub(super) fn guarded(view: &View<'_>, action: Box<super::action::Action>) -> Next {
    if view.input.memory.is_futile(&action) && !Mutant::FutileForEver.on() {
        let detail = format!(
            "{:?} of {} was done {} times without effect",
            action.mutation.kind(),
            action.mutation.resource(),
            super::memory::ATTEMPTS_MAX
        );
        return Next::Wait(Box::new(wait(Reason::Gate, detail).halted()));
    }
    if action.mutation.removes() && !Mutant::OneReadingRemoves.on() {
        let key = removal_key(&action.mutation);
        if !view.input.memory.removal_confirmed(&key, view.input.now) {
            let mut wait = wait(Reason::Drain, format!("{}; one reading so far, a removal needs two", action.because));
            wait.removal = Some(key);
            wait.brief_until = Some(view.input.now + SECOND_READING);
            return Next::Wait(Box::new(wait));
        }
    }
    Next::Act(super::untouched::keep(view, action))
}

/// A commit that may overrule newer ones writes its fence over theirs, so that the next
/// run needs no leave. Where one call brings the traffic back, that call comes first.
fn rewind(view: &View<'_>) -> Option<Answer> {
    let commit = view.input.commit.filter(|_| !view.input.rewound.is_empty())?;
    if view.candidate.is_some_and(|c| view.is_way_back(c) && view.live.is_some() && rollback::instant(view, c)) {
        return None;
    }
    let overruled = |marks: &Marks, made_by: &String| {
        let claim = marks.fence.as_ref().unwrap_or(made_by);
        claim != commit.as_str() && view.input.rewound.contains(claim)
    };
    let carriers = view.input.state.groups.values().flat_map(|owner| {
        let group = owner.group.as_ref().filter(|group| overruled(&group.marks, &group.commit));
        let template = owner.template.as_ref().filter(|template| overruled(&template.marks, &template.commit));
        let group = group.map(|group| retire::group_carrier(owner, group));
        group.into_iter().chain(template.map(|_| retire::template_carrier(owner)))
    });
    let on = carriers.into_iter().next()?;
    let mutation = Mutation::SetMark { on, mark: Mark::Fence, value: commit.to_string() };
    Some(act(mutation, format!("{} may overrule what was acted on", commit.short())).into())
}

impl Next {
    /// Whether a reading gave reason for no change, and not because changes have no effect.
    pub fn is_rest(&self) -> bool {
        match self {
            Self::Act(_) => false,
            Self::Wait(wait) => !wait.halted,
            Self::Rest => true,
        }
    }

    /// The removal that a reading gave reason for, confirmed or not.
    pub fn removal(&self) -> Option<String> {
        match self {
            Self::Act(action) => action.mutation.removes().then(|| removal_key(&action.mutation)),
            Self::Wait(wait) => wait.removal.clone(),
            Self::Rest => None,
        }
    }
}

/// How soon a second reading counts as one of its own.
const SECOND_READING: Span = Span::from_millis(500);

/// What names a removal from reading to reading.
fn removal_key(mutation: &Mutation) -> String {
    format!("{:?} {}", mutation.kind(), mutation.resource())
}

/// The fence, where it isn't this commit's yet: it is written before the first change that
/// a newer commit asks for.
pub fn fence_first(view: &View<'_>, otherwise: impl FnOnce() -> Answer) -> Answer {
    let holder = view.live.filter(|live| live.group.is_some()).or(view.candidate);
    let fence = holder.and_then(|holder| fence_on(view, holder));
    fence.unwrap_or_else(otherwise)
}

/// The fence on one group, where it isn't this commit's yet.
pub fn fence_on(view: &View<'_>, holder: &ServerGroup) -> Option<Answer> {
    // The file as of the fence counts where the present one says nothing, so a commit
    // without one writes none.
    let commit = view.input.commit.filter(|_| view.wanted.is_some())?;
    let group = holder.group.as_ref()?;
    if group.marks.fence.as_deref() == Some(commit.as_str()) || Mutant::ForgetFence.on() {
        return None;
    }
    let on = retire::group_carrier(holder, group);
    let mutation = Mutation::SetMark { on, mark: Mark::Fence, value: commit.to_string() };
    Some(act(mutation, format!("no older commit may act after {}", commit.short())).into())
}
