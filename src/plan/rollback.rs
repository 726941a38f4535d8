//! Questions 3 and 7: back to a release that was stable.
//!
//! No steps, no bake, no gates: it was good, and it is wanted now. Where its machines
//! stand, one weight call brings all traffic back before anything else is changed.

use crate::mutant::Mutant;
use crate::observed::marks::Mark;
use crate::observed::state::{GroupState, ServerGroup};

use super::action::Mutation;
use super::answer::{Answer, act, wait};
use super::questions::{fence_first, fence_on};
use super::retire::{self, group_carrier, template_carrier};
use super::types::{Reason, RollbackClass};
use super::view::View;
use super::{drift, resources, rollout, settings, traffic};

/// Question 3: live has weight and `retired`. A rollback moved the traffic and was cut off,
/// or has just moved it: fence, mark the group that was left, take its `stable`, restore
/// sizes and settings, take `retired` off.
pub fn finish(view: &View<'_>) -> Option<Answer> {
    if Mutant::ForgetFinish.on() {
        return None;
    }
    if let Some(left) = left_by_worker(view) {
        let mutation = Mutation::ClearMark { on: template_carrier(left), mark: Mark::Stable };
        return Some(act(mutation, "it was rolled back from, so it is no target for a rollback").into());
    }
    let (live, group) = came_back(view)?;
    let retired = group.marks.retired?;
    let is_wanted = Some(&live.name) == view.wanted_name.as_ref();
    if is_wanted
        && view.input.fence.is_none()
        && let Some(fence) = fence_on(view, live)
    {
        return Some(fence);
    }
    if Mutant::UnretireFirst.on() {
        return Some(act(Mutation::ClearMark { on: group_carrier(live, group), mark: Mark::Retired }, "").into());
    }
    let others = || view.input.state.groups.values().filter(|other| other.name != live.name && other.group.is_some());
    if let Some(other) = others().find(|other| other.stable().is_some() && other.retired().is_none()) {
        return Some(retire::mark_left(view, other, "traffic went back from it").into());
    }
    // Releases between the two were left before, and nobody rolled back from them.
    let left = others()
        .filter(|other| other.retired().is_some_and(|at| at >= retired))
        .max_by_key(|other| (other.retired(), other.group.as_ref().map(|group| group.created)));
    if let Some(other) = left.filter(|other| other.stable().is_some() && !Mutant::KeepStable.on()) {
        let mutation = Mutation::ClearMark { on: template_carrier(other), mark: Mark::Stable };
        return Some(act(mutation, "it was rolled back from, so it is no target for a rollback").into());
    }
    if let Some(answer) = left.and_then(keep_size) {
        return Some(answer);
    }
    if is_wanted && let Some(answer) = settings::update(view) {
        return Some(answer);
    }
    let mutation = Mutation::ClearMark { on: group_carrier(live, group), mark: Mark::Retired };
    Some(act(mutation, "it is live again").into())
}

/// The release that a rollback has brought back: live, or the wanted one that stood in before and
/// has all the traffic again.
fn came_back<'a>(view: &View<'a>) -> Option<(&'a ServerGroup, &'a GroupState)> {
    let marked = |group: &&ServerGroup| group.retired().is_some();
    let live = view.live.filter(|live| view.weight(live) > 0).filter(marked);
    let stood_in = || {
        let candidate = view.candidate.filter(|candidate| retire::stood_in(candidate))?;
        (view.weight(candidate) == 100).then_some(candidate)
    };
    let back = live.or_else(stood_in)?;
    Some((back, back.group.as_ref()?))
}

/// The release that a worker's rollback has left: it settled after the one that is live.
pub fn left_by_worker<'a>(view: &View<'a>) -> Option<&'a ServerGroup> {
    let live = view.live.filter(|live| live.target_group.is_none())?;
    view.warm.filter(|warm| warm.target_group.is_none() && warm.stable() > live.stable())
}

/// What was left keeps its size as long as it is warm: no autoscaler shrinks it meanwhile.
fn keep_size(left: &ServerGroup) -> Option<Answer> {
    let group = left.group.as_ref().filter(|group| group.min < group.desired)?;
    let mutation = Mutation::SetCapacity {
        release: left.name.clone(),
        group: group.name.clone(),
        min: group.desired,
        max: group.max.max(group.desired),
        desired: None,
    };
    Some(act(mutation, "it stays warm at the size that it had with traffic").into())
}

/// Whether the way back is due and takes one weight call.
pub fn at_once(view: &View<'_>) -> bool {
    let candidate = view.candidate.filter(|candidate| view.wanted.is_some() && view.is_way_back(candidate));
    candidate.is_some_and(|candidate| instant(view, candidate))
}

/// Question 7: the candidate is stable, and another group is live.
pub fn go(view: &View<'_>) -> Option<Answer> {
    view.wanted.filter(|_| !Mutant::NoInstant.on())?;
    let candidate = view.candidate.filter(|candidate| view.is_way_back(candidate))?;
    let live = view.live?;
    if instant(view, candidate) {
        return Some(shift(view, candidate));
    }
    if drift::unreviewed(candidate) {
        let because = "it runs from something else than version 1 of its own template, which nobody reviewed";
        return retire::retire(view, candidate, because);
    }
    // Not there, or not whole: the questions of a first creation, without its gates.
    if let Some(answer) = rollout::create(view) {
        return Some(answer);
    }
    let group = candidate.group.as_ref()?;
    if view.health(candidate).is_none() {
        return Some(wait(Reason::Unknown, "the health of the release to go back to was not read").into());
    }
    let answer = raise(view, candidate, group)
        .or_else(|| settings::candidate(view, candidate))
        .or_else(|| rollout::not_ready(view, candidate, group))
        .unwrap_or_else(|| {
            fence_first(view, || if view.is_worker() { swap(view, live, candidate) } else { shift(view, candidate) })
        });
    Some(answer)
}

/// Whether one weight call brings all traffic back.
pub fn instant(view: &View<'_>, candidate: &ServerGroup) -> bool {
    let (Some(live), Some(_), Some(_)) = (view.live, &candidate.group, candidate.weight) else {
        return false;
    };
    if drift::unreviewed(candidate) {
        return false;
    }
    let (Some(health), Some(of_live)) = (view.health(candidate), view.health(live)) else {
        return false;
    };
    let wanted = if Mutant::SmallRollback.on() { 1 } else { view.live_desired() };
    // Machines that still boot are no failure: live may just be growing.
    let live_fails = of_live.healthy == 0 || of_live.failing > 0;
    health.healthy >= 1 && (health.healthy >= wanted || (live_fails && health.healthy >= of_live.healthy))
}

/// How fast the way back to a release would be.
pub fn class(view: &View<'_>, to: &ServerGroup) -> RollbackClass {
    match &to.group {
        None => RollbackClass::Full,
        Some(_) if drift::unreviewed(to) => RollbackClass::Full,
        Some(group) if group.desired == 0 && to.target_group.is_some() => RollbackClass::Full,
        Some(_) if view.input.state.incomplete.is_none() && (instant(view, to) || assumed_instant(view, to)) => {
            RollbackClass::Instant
        }
        Some(_) => RollbackClass::ScaleUp,
    }
}

/// Where health was not read, the group's own word stands in.
fn assumed_instant(view: &View<'_>, to: &ServerGroup) -> bool {
    let healthy = to.group.as_ref().map_or(0, GroupState::inline_healthy);
    view.health(to).is_none() && healthy >= 1 && healthy >= view.live_desired()
}

fn raise(view: &View<'_>, candidate: &ServerGroup, group: &GroupState) -> Option<Answer> {
    let need = view.need();
    if group.desired >= need && group.min >= need.min(group.desired) {
        return None;
    }
    let desired = need.max(group.desired);
    let max = view.candidate_max().max(desired);
    let mutation = Mutation::SetCapacity {
        release: candidate.name.clone(),
        group: group.name.clone(),
        min: need,
        max,
        desired: Some(desired),
    };
    Some(fence_first(view, || act(mutation, format!("the service needs {need} machines now")).into()))
}

/// A worker has no weights: the marks say who is live. Both are stable and neither retired
/// for a moment, and then the one that settled later is still live.
fn swap(view: &View<'_>, live: &ServerGroup, candidate: &ServerGroup) -> Answer {
    let because = format!("{} served before, and the commit wants it again", candidate.identity.version);
    match candidate.group.as_ref().filter(|group| group.marks.retired.is_some()) {
        Some(group) => {
            let mutation = Mutation::ClearMark { on: group_carrier(candidate, group), mark: Mark::Retired };
            act(mutation, because).into()
        }
        None => retire::mark_left(view, live, &because).into(),
    }
}

/// All traffic in one call, with the conditions of the file where they differ.
fn shift(view: &View<'_>, candidate: &ServerGroup) -> Answer {
    let Some(rule) = view.rule() else {
        return wait(Reason::Unknown, "its rule was not read").into();
    };
    let healthy = view.health(candidate).unwrap_or_default().healthy;
    let weights = traffic::with_share(view, candidate, 100);
    let wanted = view.wanted.and_then(|spec| spec.load_balancer.as_ref()?.rule.as_ref()).map(resources::conditions);
    let mutation = match wanted.filter(|wanted| *wanted != rule.conditions) {
        Some(conditions) => Mutation::SetRule { rule: rule.arn.clone(), conditions, weights },
        None => Mutation::SetWeights { rule: rule.arn.clone(), weights },
    };
    act(mutation, format!("{} served before, and the commit wants it again", candidate.identity.version))
        .expect(format!("{} has {healthy} healthy machines", candidate.identity.version))
        .into()
}
