//! Weights: what they shall be, and when they may move.

use crate::names::TargetGroupArn;
use crate::observed::resources::{Conditions, Rule};
use crate::observed::state::ServerGroup;

use super::action::{Mutation, Weight};
use super::answer::{Answer, act, wait};
use super::types::Reason;
use super::view::View;

/// The most target groups that one action takes.
/// Source: the quota "target groups per action" of Application Load Balancers, not adjustable.
pub const TARGET_GROUPS_PER_ACTION: usize = 5;

/// The weights of our rule with one group at `percent`, live at the rest, all others at 0.
/// Without a live side the group gets everything.
pub fn with_share(view: &View<'_>, group: &ServerGroup, percent: u32) -> Vec<Weight> {
    let rest = view.live.filter(|live| live.name != group.name && live.target_group.is_some());
    let mut shares: Vec<(TargetGroupArn, u32)> = view.weights().into_iter().map(|(arn, _)| (arn, 0)).collect();
    let mut give = |owner: &ServerGroup, percent: u32| {
        let Some(target_group) = &owner.target_group else { return };
        match shares.iter_mut().find(|(arn, _)| *arn == target_group.arn) {
            Some(share) => share.1 = percent,
            None => shares.push((target_group.arn.clone(), percent)),
        }
    };
    match rest {
        Some(live) => {
            give(live, 100 - percent);
            give(group, percent);
        }
        None => give(group, 100),
    }
    named(view, shares)
}

/// The weights of our rule without one group; those left keep their part of the traffic.
/// None when nobody would be left who has any.
pub fn without(view: &View<'_>, rule: &Rule, group: &ServerGroup) -> Option<Vec<Weight>> {
    let arn = &group.target_group.as_ref()?.arn;
    let rest: Vec<_> = rule.action.percents().into_iter().filter(|(other, _)| other != arn).collect();
    let left: u32 = rest.iter().map(|(_, percent)| percent).sum();
    (left > 0).then(|| named(view, rest))
}

/// Puts the releases' names to target groups, in a fixed order: live, then by ARN.
pub fn named(view: &View<'_>, shares: Vec<(TargetGroupArn, u32)>) -> Vec<Weight> {
    let mut weights: Vec<Weight> = shares
        .into_iter()
        .map(|(target_group, percent)| {
            let release = view.input.state.owner_of(&target_group).map(|group| view.release(group));
            Weight { target_group, release, percent }
        })
        .collect();
    let live = view.live.and_then(|live| live.target_group.as_ref()).map(|target_group| &target_group.arn);
    weights.sort_by_key(|weight| (Some(&weight.target_group) != live, weight.target_group.clone()));
    weights
}

/// All traffic to live, if that helps: it has a healthy machine, and half of what is
/// needed or as many as the group that has the traffic now.
pub fn to_live(view: &View<'_>, from: &ServerGroup, because: &str) -> Answer {
    let (Some(live), Some(rule)) = (view.live, view.rule()) else {
        return halted(
            view,
            format!("there is no other release that could take the traffic of {}", from.identity.version),
        );
    };
    let (Some(health), Some(other)) = (view.health(live), view.health(from)) else {
        return wait(Reason::Unknown, "the health of the live release was not read").into();
    };
    let enough = health.healthy * 2 >= view.need() || health.healthy >= other.healthy;
    if health.healthy == 0 || !enough {
        let detail = format!(
            "no weight may move: {} of {} needed machines of {} are healthy, and {} of {}",
            health.healthy,
            view.need(),
            live.identity.version,
            other.healthy,
            from.identity.version
        );
        return halted(view, detail);
    }
    let weights = with_share(view, live, 100);
    let mutation = Mutation::SetWeights { rule: rule.arn.clone(), weights };
    act(mutation, because)
        .expect(format!("{} has {} healthy machines", live.identity.version, health.healthy))
        .expect(format!("{} has {} %", from.identity.version, view.weight(from)))
        .into()
}

/// Nothing that may be done helps; looked at again every pass.
pub fn halted(view: &View<'_>, detail: String) -> Answer {
    let _ = view;
    wait(Reason::Gate, detail).halted().into()
}

/// The conditions that no client meets.
pub fn temporary_conditions(group: &crate::names::GroupName) -> Conditions {
    Conditions { hosts: vec![group.invalid_host()], paths: Vec::new(), others: false }
}
