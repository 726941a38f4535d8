//! Questions 8 and 13: when a candidate has failed, and how it goes.
//!
//! A verdict is written before it is executed, so that after a crash nothing has to be
//! guessed: the mark alone says that weights go back and machines go.

use crate::desired::spec::OnFailure;
use crate::mutant::Mutant;
use crate::observed::marks::{Hold, Mark, Rejected, Retry, RetryKind, Step};
use crate::observed::state::{GroupState, Health, ServerGroup};
use crate::time::Span;

use super::action::Mutation;
use super::answer::{Answer, Wait, act, wait};
use super::retire::template_carrier;
use super::types::Reason;
use super::view::{PendingRetry, View, is_temporary};
use super::{launches, machines, retire, settings, traffic};

/// Who holds a service when `on_failure` says so.
pub const OURSELVES: &str = "ionroller";

/// Question 13: the candidate is failing, or was not ready for too long. The mark that says so
/// comes first; question 8 does the rest.
pub fn verdict(view: &View<'_>, candidate: &ServerGroup) -> Option<Answer> {
    if view.is_way_back(candidate) || view.rejected(candidate).is_some() || view.retry_pending(candidate).is_some() {
        return None;
    }
    let group = candidate.group.as_ref()?;
    let Some((code, text)) = evidence(view, candidate).filter(|_| is_judged(view)) else {
        return too_long(view, candidate, group);
    };
    if candidate.template.is_none() {
        // Nothing can carry the verdict: the weights go all the same.
        return give_back(view, candidate);
    }
    if Mutant::WeightsBeforeVerdict.on() && view.weight(candidate) > 0 {
        return give_back(view, candidate);
    }
    let on = template_carrier(candidate);
    let verdict = Rejected { at: view.input.now, code: code.to_owned(), text: text.clone() };
    if let Some(hold) = hold_first(view, candidate, &text) {
        return Some(hold);
    }
    let mutation = Mutation::SetMark { on, mark: Mark::Rejected, value: verdict.to_string() };
    Some(act(mutation, text).into())
}

/// While live has no healthy machine either, what fails may lie outside of both: nobody is
/// judged.
pub fn is_judged(view: &View<'_>) -> bool {
    if Mutant::JudgeBesideDead.on() {
        return true;
    }
    match (view.live, &view.foreign) {
        (Some(live), _) => live.group.is_some() && view.health(live).is_none_or(|health| health.healthy > 0),
        (None, Some(foreign)) => foreign.health.is_none_or(|health| health.healthy > 0),
        (None, None) => true,
    }
}

/// A candidate that is not ready for too long goes back and is tried again later, whatever the
/// reason: nothing hides for ever as booting or missing. Nobody is blamed for that.
fn too_long(view: &View<'_>, candidate: &ServerGroup, group: &GroupState) -> Option<Answer> {
    let (deadline, now) = (view.rollout().healthy_deadline, view.input.now);
    let (step, health) = (group.marks.step?, view.health(candidate)?);
    // Machines that were taken away are not late.
    if view.is_ready(candidate, &health) || group.desired == 0 || Mutant::EndlessPatience.on() {
        return None;
    }
    let launch = launches::trouble(view, candidate);
    let has_work = view.serves(candidate);
    if has_work && !live_bears(view, candidate) {
        return None;
    }
    let since = if has_work { view.input.memory.unready_since(&candidate.name)? } else { step.at };
    let patience = if has_work || launch.is_some() { deadline } else { deadline * 2 };
    if now.since(since) < patience {
        return None;
    }
    let kind = match (&launch, has_work) {
        (Some(_), _) => RetryKind::Launch,
        (None, true) => RetryKind::Returned,
        (None, false) => RetryKind::Late,
    };
    let text = launch.unwrap_or_else(|| short_text(view, candidate, &health));
    Some(try_later(view, candidate, kind, &text))
}

/// Whether live, or what served before, could take back all that a candidate has.
fn live_bears(view: &View<'_>, candidate: &ServerGroup) -> bool {
    if view.is_worker() {
        return view.live.and_then(|live| view.health(live)).is_some_and(|health| health.healthy >= view.need());
    }
    traffic::can_go_back(view, candidate) == Some(true)
}

fn short_text(view: &View<'_>, candidate: &ServerGroup, health: &Health) -> String {
    let words = [launches::given_up(candidate), machines::words(candidate)].into_iter().flatten();
    let words: String = words.map(|words| format!("; {words}")).collect();
    format!("{} of {} machines healthy{words}", health.healthy, view.need_of(candidate))
}

/// Writes that a try has failed through no fault of the release.
pub fn try_later(view: &View<'_>, candidate: &ServerGroup, kind: RetryKind, text: &str) -> Answer {
    let before = candidate.template.as_ref().and_then(|template| template.marks.retry.clone());
    let (tries, returns) = before.map_or((0, 0), |retry| (retry.tries, retry.returns));
    let returned = u32::from(kind == RetryKind::Returned);
    let retry =
        Retry { tries: tries + 1, at: view.input.now, kind, returns: returns + returned, text: text.to_owned() };
    let because = match kind {
        RetryKind::Launch => format!("machines could not be launched: {text}"),
        RetryKind::Late => format!("it was not ready in time: {text}"),
        RetryKind::Returned => format!("it cannot bear its traffic: {text}"),
    };
    let mutation = Mutation::SetMark { on: template_carrier(candidate), mark: Mark::Retry, value: retry.to_string() };
    act(mutation, because).into()
}

/// With `on_failure = "hold"` the service is held before the verdict: a crash between the
/// two then leaves more standing, not less.
fn hold_first(view: &View<'_>, candidate: &ServerGroup, text: &str) -> Option<Answer> {
    if view.rollout().on_failure != OnFailure::Hold || view.hold().is_some() || Mutant::ForgetHold.on() {
        return None;
    }
    let holder = view.live.filter(|live| live.template.is_some()).unwrap_or(candidate);
    let hold = Hold { at: view.input.now, who: OURSELVES.to_owned(), text: text.to_owned() };
    let mutation = Mutation::SetMark { on: template_carrier(holder), mark: Mark::Hold, value: hold.to_string() };
    Some(act(mutation, format!("it failed, and on_failure says hold: {text}")).into())
}

/// The evidence against a candidate, as one word and a sentence.
pub fn evidence(view: &View<'_>, candidate: &ServerGroup) -> Option<(&'static str, String)> {
    let group = candidate.group.as_ref()?;
    let rollout = view.rollout();
    let step = group.marks.step?;
    let health = view.health(candidate)?;
    let (now, need) = (view.input.now, view.need_of(candidate));
    let words = machines::words(candidate).map(|words| format!("; {words}")).unwrap_or_default();
    let since = launches::counted_since(view, candidate, group, rollout.healthy_deadline);
    let replaced = launches::replaced_as_unhealthy(candidate, since);
    if replaced >= 2 && replaced > view.tolerated() {
        let text = format!(
            "{replaced} machines replaced within {} since they failed the checks of the load balancer{words}",
            rollout.healthy_deadline
        );
        return Some(("unhealthy", text));
    }
    // Weights that were given before a crash count, although their mark was never written.
    if step.percent == 0 && !view.serves(candidate) {
        if let Some(message) = launches::refused(candidate, group) {
            return Some(("launch", format!("its machines cannot be launched: {message}")));
        }
        let late = now >= step.at + rollout.healthy_deadline && !Mutant::NoDeadline.on();
        // Machines that were taken away, or that still may boot, are not late.
        let asked_for = group.desired > 0;
        let failed = health.failing > 0 || replaced > 0;
        let text = format!("{} of {need} machines healthy after {}{words}", health.healthy, rollout.healthy_deadline);
        return (late && health.healthy < need && asked_for && failed).then_some(("late", text));
    }
    let judged = health.healthy + health.failing;
    if health.failing * 2 > judged && !Mutant::TolerateUnhealthy.on() {
        return Some(("unhealthy", format!("{} of {judged} machines unhealthy{words}", health.failing)));
    }
    let since = view.input.memory.failing_since(&candidate.name).filter(|_| health.failing > view.tolerated())?;
    let text = format!("{} unhealthy for {}{words}", counted(health.failing), rollout.unhealthy_for);
    (now.since(since) >= rollout.unhealthy_for).then_some(("unhealthy", text))
}

fn counted(count: u32) -> String {
    if count == 1 { "1 machine".to_owned() } else { format!("{count} machines") }
}

/// Question 8: the candidate is rejected, or its next try hasn't come. Weights to live,
/// live un-pinned, the candidate withdrawn.
pub fn withdraw(view: &View<'_>) -> Option<Answer> {
    let candidate = view.candidate.filter(|candidate| !view.is_way_back(candidate))?;
    let rejected = view.rejected(candidate);
    let retry = view.retry_pending(candidate);
    if rejected.is_none() && retry.is_none() {
        return None;
    }
    let stays = rejected.is_none() && view.serves(candidate) && !view.has_side();
    if let Some(retry) = retry.as_ref().filter(|_| stays) {
        return Some(next_try(view, retry).into());
    }
    if let Some(answer) = give_back(view, candidate).filter(|_| !Mutant::ForgetGiveBack.on()) {
        return Some(answer);
    }
    if let Some(retry) = retry.as_ref().filter(|retry| rejected.is_none() && !retry.withdraws) {
        return Some(begin_again(view, candidate).unwrap_or_else(|| next_try(view, retry).into()));
    }
    if let Some(answer) = settings::unpin(view) {
        return Some(answer);
    }
    if let Some(answer) = retire::retire(view, candidate, "it failed") {
        return Some(answer);
    }
    if let Some(answer) = rejected.as_ref().and_then(|verdict| write_down(candidate, verdict)) {
        return Some(answer);
    }
    // Settings that are no release still go to live: see `settings::unpin` for which.
    Some(match (rejected, retry) {
        (Some(rejected), _) => {
            let detail = format!(
                "{} was rejected ({}): {}; release something else, or `ionroller retry {}`",
                candidate.identity.version, rejected.code, rejected.text, view.input.service
            );
            wait(Reason::Rejected, detail).since(rejected.at).into()
        }
        (None, Some(retry)) => next_try(view, &retry).into(),
        (None, None) => return None,
    })
}

/// A verdict that could not be written when it was executed, and that only memory knows.
fn write_down(candidate: &ServerGroup, verdict: &Rejected) -> Option<Answer> {
    candidate.template.as_ref().filter(|template| template.marks.rejected.is_none())?;
    let mutation =
        Mutation::SetMark { on: template_carrier(candidate), mark: Mark::Rejected, value: verdict.to_string() };
    Some(act(mutation, "its verdict could not be written before").into())
}

/// A candidate whose traffic was taken back begins again on the machines that it has.
fn begin_again(view: &View<'_>, candidate: &ServerGroup) -> Option<Answer> {
    let group = candidate.group.as_ref().filter(|group| group.marks.step.is_none_or(|step| step.percent > 0))?;
    let value = Step { percent: 0, at: view.input.now }.to_string();
    let mutation = Mutation::SetMark { on: retire::group_carrier(candidate, group), mark: Mark::Step, value };
    Some(act(mutation, "its traffic was taken back, so it begins again").into())
}

fn next_try(view: &View<'_>, pending: &PendingRetry) -> Wait {
    let PendingRetry { retry, due, .. } = pending;
    let what = match retry.kind {
        RetryKind::Launch => "no machine could be launched",
        RetryKind::Late => "it was not ready in time",
        RetryKind::Returned => "it could not bear its traffic",
    };
    let text = if retry.text.is_empty() { String::new() } else { format!(" ({})", retry.text) };
    let service = view.input.service;
    match due {
        Some(due) => {
            let left = Span::from_secs(due.since(view.input.now).as_secs_ceil());
            wait(Reason::Retry, format!("{what}{text}; next try in {left}")).since(retry.at).until(*due)
        }
        None => {
            let way_out = format!("release something else, or `ionroller retry {service}`");
            let detail =
                format!("{what}{text}; it is not tried again by itself after {} tries: {way_out}", retry.tries);
            wait(Reason::Retry, detail).since(retry.at)
        }
    }
}

/// A rejected candidate's traffic goes to live. With no live side a rule that nobody can
/// meet is deleted; one that people use keeps what it has.
fn give_back(view: &View<'_>, candidate: &ServerGroup) -> Option<Answer> {
    if view.weight(candidate) > 0 {
        let because = format!("{} failed", candidate.identity.version);
        return Some(traffic::to_live(view, candidate, &because));
    }
    if !view.has_side() && view.serves(candidate) {
        let detail = format!("no other release could take over the work of {}", candidate.identity.version);
        return Some(traffic::halted(view, detail));
    }
    let rule = view.rule().filter(|rule| is_temporary(&rule.conditions) && !view.has_side())?;
    candidate.weight?;
    Some(act(Mutation::DeleteRule { rule: rule.arn.clone() }, "it failed before it had any traffic").into())
}

/// What goes on whatever keeps a candidate from its next step: one that fails goes back.
/// Its machines stay.
pub fn protect(view: &View<'_>) -> Option<Answer> {
    let candidate = view.candidate.filter(|candidate| !view.is_way_back(candidate))?;
    let has_users = view.serves(candidate) && view.has_side();
    if view.rejected(candidate).is_some() || view.retry_pending(candidate).is_some() {
        return if has_users { give_back(view, candidate) } else { None };
    }
    // A hold that `on_failure` has written waits for its verdict, wherever the candidate was.
    let held_for_this = view.hold().is_some_and(|hold| hold.who == OURSELVES);
    if has_users || held_for_this { verdict(view, candidate) } else { None }
}
