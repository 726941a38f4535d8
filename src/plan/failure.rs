//! Questions 8 and 13: when a candidate has failed, and how it goes.
//!
//! A verdict is written before it is executed, so that after a crash nothing has to be
//! guessed: the mark alone says that weights go back and machines go.

use crate::desired::spec::OnFailure;
use crate::mutant::Mutant;
use crate::observed::marks::{Hold, Mark, Rejected, Retry};
use crate::observed::resources::Outcome;
use crate::observed::state::{GroupState, ServerGroup};
use crate::time::Timestamp;

use super::action::Mutation;
use super::answer::{Answer, Wait, act, wait};
use super::retire::template_carrier;
use super::types::Reason;
use super::view::{View, is_temporary};
use super::{retire, settings, traffic};

/// Who holds a service when `on_failure` says so.
pub const OURSELVES: &str = "ionroller";

/// So many launches must have failed, and none succeeded, before it counts: a group tries
/// its other zones by itself.
const FAILED_LAUNCHES: usize = 3;

/// Question 13: the candidate is failing. The verdict comes first; question 8 does the rest.
pub fn verdict(view: &View<'_>, candidate: &ServerGroup) -> Option<Answer> {
    if candidate.stable().is_some() || view.rejected(candidate).is_some() {
        return None;
    }
    let group = candidate.group.as_ref()?;
    if candidate.template.is_none() {
        // Nothing can carry the verdict: the weights go all the same.
        return failing(view, candidate, group).and_then(|_| give_back(view, candidate));
    }
    if let Some(message) = blameless_trouble(candidate, group) {
        let tries = candidate.template.as_ref().and_then(|t| t.marks.retry).map_or(1, |retry| retry.tries + 1);
        let value = Retry { tries, at: view.input.now }.to_string();
        let mutation = Mutation::SetMark { on: template_carrier(candidate), mark: Mark::Retry, value };
        return Some(act(mutation, format!("no machine could be launched: {message}")).into());
    }
    let (code, text) = failing(view, candidate, group)?;
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

/// Why the candidate has failed, as one word and a sentence.
fn failing(view: &View<'_>, candidate: &ServerGroup, group: &GroupState) -> Option<(&'static str, String)> {
    let rollout = view.rollout();
    let step = group.marks.step?;
    let health = view.health(candidate)?;
    let (now, need, memory) = (view.input.now, view.need(), view.input.memory);
    let short = health.healthy < need;
    // Weights that were given before a crash count, although their mark was never written.
    if step.percent == 0 && !view.serves(candidate) {
        if let Some(message) = terminal_trouble(candidate, group) {
            return Some(("launch", format!("its machines cannot be launched: {message}")));
        }
        let late = now >= step.at + rollout.healthy_deadline && !Mutant::NoDeadline.on();
        // Machines that were taken away are not late.
        let asked_for = group.desired > 0;
        let text = format!("{} of {need} machines healthy after {}", health.healthy, rollout.healthy_deadline);
        return (late && short && asked_for).then_some(("deadline", text));
    }
    if health.unhealthy * 2 > health.healthy + health.unhealthy && !Mutant::TolerateUnhealthy.on() {
        let text = format!("{} of {} machines unhealthy", health.unhealthy, health.healthy + health.unhealthy);
        return Some(("unhealthy", text));
    }
    if let Some(since) = memory.unhealthy_since(&candidate.name).filter(|_| health.unhealthy > 0)
        && now.since(since) >= rollout.unhealthy_for
    {
        return Some(("unhealthy", format!("{} unhealthy for {}", machines(health.unhealthy), rollout.unhealthy_for)));
    }
    let since = memory.short_since(&candidate.name).filter(|_| short)?;
    let text = format!("{} of {need} machines healthy for {}", health.healthy, rollout.healthy_deadline);
    (now.since(since) >= rollout.healthy_deadline).then_some(("short", text))
}

fn machines(count: u32) -> String {
    if count == 1 { "1 machine".to_owned() } else { format!("{count} machines") }
}

/// The messages of launches that failed since a group was made, newest first; none when one
/// succeeded or too few failed.
fn failed_launches(candidate: &ServerGroup, group: &GroupState) -> Option<Vec<String>> {
    let since_made = candidate.activities.as_ref()?.iter().filter(|a| a.launch && a.started >= group.created);
    let mut failed = Vec::new();
    for activity in since_made {
        match activity.outcome {
            Outcome::Successful => return None,
            Outcome::Failed => failed.push(activity.message.clone()),
            Outcome::Running => {}
        }
    }
    (failed.len() >= FAILED_LAUNCHES).then_some(failed)
}

/// Parts of messages that blame neither the release nor its file.
/// Source: the Auto Scaling guide's troubleshooting of instance launch failures.
const BLAMELESS: [&str; 9] = [
    "sufficient",
    "spot capacity",
    "quota",
    "limitexceeded",
    "invalid iam instance profile",
    "not authorized",
    "unauthorizedoperation",
    "free addresses",
    "client.internalerror",
];

/// Parts of messages that no waiting mends.
/// Source: as above.
const TERMINAL: [&str; 6] =
    ["image id", "invalidamiid", "launch template", "invalid launch template", "not supported", "does not exist"];

fn blameless_trouble(candidate: &ServerGroup, group: &GroupState) -> Option<String> {
    if group.marks.step.is_none_or(|step| step.percent > 0) || Mutant::BlameRelease.on() {
        return None;
    }
    let newest = failed_launches(candidate, group)?.into_iter().next()?;
    contains_any(&newest, &BLAMELESS).then_some(newest)
}

fn terminal_trouble(candidate: &ServerGroup, group: &GroupState) -> Option<String> {
    let newest = failed_launches(candidate, group)?.into_iter().next()?;
    (!contains_any(&newest, &BLAMELESS) && contains_any(&newest, &TERMINAL)).then_some(newest)
}

fn contains_any(message: &str, parts: &[&str]) -> bool {
    let message = message.to_lowercase();
    parts.iter().any(|part| message.contains(part))
}

/// What the newest failed launch said, while machines are missing.
pub fn launch_trouble(view: &View<'_>, candidate: &ServerGroup) -> Option<String> {
    let group = candidate.group.as_ref()?;
    let missing = u32::try_from(group.instances.len()).unwrap_or(u32::MAX) < view.need();
    let newest = candidate.activities.as_ref()?.iter().find(|a| a.launch && a.outcome != Outcome::Running)?;
    (missing && newest.outcome == Outcome::Failed).then(|| format!("the last launch failed: {}", newest.message))
}

/// Question 8: the candidate is rejected, or its next try hasn't come. Weights to live,
/// live un-pinned, the candidate withdrawn.
pub fn withdraw(view: &View<'_>) -> Option<Answer> {
    let candidate = view.candidate.filter(|candidate| candidate.stable().is_none())?;
    let rejected = view.rejected(candidate);
    let retry = view.retry_pending(candidate);
    if rejected.is_none() && retry.is_none() {
        return None;
    }
    let stays = rejected.is_none() && view.serves(candidate) && !view.has_side();
    if let Some((retry, due)) = retry.filter(|_| stays) {
        return Some(next_try(retry, due).into());
    }
    if let Some(answer) = give_back(view, candidate).filter(|_| !Mutant::ForgetGiveBack.on()) {
        return Some(answer);
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
        (None, Some((retry, due))) => next_try(retry, due).into(),
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

fn next_try(retry: Retry, due: Timestamp) -> Wait {
    let detail = format!("try {} failed through no fault of the release", retry.tries);
    wait(Reason::Retry, detail).since(retry.at).until(due)
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
    let candidate = view.candidate.filter(|candidate| candidate.stable().is_none())?;
    let has_users = view.serves(candidate) && view.has_side();
    if view.rejected(candidate).is_some() || view.retry_pending(candidate).is_some() {
        return if has_users { give_back(view, candidate) } else { None };
    }
    // A hold that `on_failure` has written waits for its verdict, wherever the candidate was.
    let held_for_this = view.hold().is_some_and(|hold| hold.who == OURSELVES);
    if has_users || held_for_this { verdict(view, candidate) } else { None }
}
