//! Weights: what they shall be, and when they may move.

use crate::desired::spec::LoadBalancer;
use crate::mutant::Mutant;
use crate::names::TargetGroupArn;
use crate::observed::marks;
use crate::observed::resources::{Conditions, Rule};
use crate::observed::state::{Health, ServerGroup, Slot};

use super::action::{Mutation, Weight};
use super::answer::{Answer, Wait, act, wait};
use super::types::Reason;
use super::view::View;
use super::{places, sides};

/// The most target groups that one action takes.
/// Source: the quota "target groups per action" of Application Load Balancers, not adjustable.
pub const TARGET_GROUPS_PER_ACTION: usize = 5;

/// The weights of our rule with one group at `percent`, live at the rest, all others at 0.
/// Without a live side the group gets everything.
pub fn with_share(view: &View<'_>, group: &ServerGroup, percent: u32) -> Vec<Weight> {
    let Some(own) = group.target_group.as_ref().map(|target_group| &target_group.arn) else {
        return named(view, view.weights());
    };
    match view.side_beside(group) {
        Some(side) => split(view, view.weights(), &[(side, 100 - percent), (own, percent)]),
        None => split(view, view.weights(), &[(own, 100)]),
    }
}

/// The weights of a rule with all traffic on one target group.
pub fn all_to(view: &View<'_>, rule: &Rule, target_group: &TargetGroupArn) -> Vec<Weight> {
    split(view, rule.action.percents(), &[(target_group, 100)])
}

/// One more group in our rule, at 0. Where nobody has any traffic, whoever is well gets all of it
/// first, else this group: no action may have only zero weights.
pub fn entry(view: &View<'_>, rule: &Rule, group: &ServerGroup, because: &str) -> Option<Answer> {
    let target_group = &group.target_group.as_ref()?.arn;
    let serving: Vec<_> = view.weights().into_iter().filter(|(_, percent)| *percent > 0).collect();
    let unread = group.group.is_some() && group.targets.is_none();
    if serving.is_empty() && unread && !Mutant::EntryUnread.on() {
        let detail = format!("nobody has any traffic, and the health of {} was not read", group.identity.version);
        return Some(wait(Reason::Unknown, detail).into());
    }
    if let Some(well) = well_beside(view, group).filter(|_| serving.is_empty()) {
        let weights = split(view, view.weights(), &[(&well.target_group.as_ref()?.arn, 100)]);
        let because = format!("nobody has any traffic, and {} has healthy machines", well.identity.version);
        return Some(act(Mutation::SetWeights { rule: rule.arn.clone(), weights }, because).into());
    }
    let mut given: Vec<(&TargetGroupArn, u32)> = serving.iter().map(|(arn, percent)| (arn, *percent)).collect();
    given.push((target_group, if serving.is_empty() { 100 } else { 0 }));
    let weights = split(view, view.weights(), &given);
    Some(act(Mutation::SetWeights { rule: rule.arn.clone(), weights }, because).into())
}

/// Who has healthy machines where a group has none; one that was rejected only if nobody else has.
pub fn well_beside<'a>(view: &View<'a>, group: &ServerGroup) -> Option<&'a ServerGroup> {
    let well = |group: &ServerGroup| view.health(group).map_or(0, |health| health.healthy);
    let others = view.input.state.groups.values().filter(|other| other.target_group.is_some() && well(other) > 0);
    others
        .max_by_key(|other| (other.template_marks().rejected.is_none(), other.weight.is_some(), well(other)))
        .filter(|_| well(group) == 0)
}

/// Whether a rule of our own gives nobody any traffic.
pub fn serves_nobody(view: &View<'_>, rule: &Rule) -> bool {
    let ours = rule.priority.is_some() && !view.input.state.borrowed.contains(&rule.arn);
    ours && rule.action.percents().iter().all(|(_, percent)| *percent == 0)
}

/// Why a rule that is the user's stays.
pub fn never_deleted(rule: &Rule) -> Wait {
    let what = match rule.priority {
        Some(priority) => format!("the rule of priority {priority}, which was taken over,"),
        None => "the listener's default action".to_owned(),
    };
    wait(Reason::Preflight, format!("{what} forwards to it, and is never deleted: point it elsewhere"))
}

/// Why nothing of ours may stand where a file wants its rule, if so.
pub fn taken(view: &View<'_>, lb: &LoadBalancer) -> Option<Wait> {
    match &view.input.state.slot {
        Some(Slot::Neighbour(other)) => places::kept_by(view, lb, other),
        Some(Slot::Foreign(what) | Slot::Adoptable(what)) => {
            let text =
                put_back(view, lb, what).unwrap_or_else(|| format!("its place on the listener is taken: {what}"));
            Some(wait(Reason::Preflight, text))
        }
        Some(Slot::NoListener) => Some(wait(Reason::Preflight, format!("the listener {} does not exist", lb.listener))),
        Some(Slot::Free | Slot::Ours) => None,
        None => Some(wait(Reason::Unknown, "what stands at its place on the listener was not read")),
    }
}

/// What is said where a live release had this place before: a tool that once made the rule has put
/// it back as it was, and took our tags and weights from it.
fn put_back(view: &View<'_>, lb: &LoadBalancer, what: &str) -> Option<String> {
    let state = view.input.state;
    let live = view.live.filter(|live| live.stable().is_some() && state.rules.is_empty())?;
    let target_group = live.target_group.as_ref()?;
    let way_out = match (&lb.rule, &state.standing) {
        (Some(_), Some(rule)) => format!(
            "`aws elbv2 add-tags --resource-arns {} --tags Key={},Value={} Key={},Value={}` gives it back",
            rule.arn,
            marks::SCOPE,
            view.input.scope,
            marks::SERVICE,
            view.input.service
        ),
        (Some(_), None) => "delete that rule, and it is made again".to_owned(),
        (None, _) => format!("let the default action forward to target group {} again", target_group.name),
    };
    Some(format!(
        "the traffic of {} was taken from it: at its place stands {what}. A tool that made it before may have put it \
         back (for Terraform: `ignore_changes` on action and tags); {way_out}",
        live.identity.version
    ))
}

/// The weights of a rule with all traffic on the side that serves beside a release.
fn with_side(view: &View<'_>, rule: &Rule, group: &ServerGroup) -> Option<Vec<Weight>> {
    Some(split(view, rule.action.percents(), &[(view.side_beside(group)?, 100)]))
}

/// These shares, and 0 for whoever else is in the rule. What isn't ours and has no part in
/// this leaves it.
fn split(view: &View<'_>, present: Vec<(TargetGroupArn, u32)>, given: &[(&TargetGroupArn, u32)]) -> Vec<Weight> {
    let serves = view.foreign.as_ref().map(|foreign| &foreign.target_group);
    let stays = |arn: &TargetGroupArn| view.input.state.owner_of(arn).is_some() || Some(arn) == serves;
    let present = present.into_iter().map(|(arn, _)| (arn, 0)).filter(|(arn, _)| stays(arn));
    let mut shares: Vec<(TargetGroupArn, u32)> = present.collect();
    for (target_group, percent) in given {
        match shares.iter_mut().find(|(arn, _)| arn == *target_group) {
            Some(share) => share.1 = *percent,
            None => shares.push(((*target_group).clone(), *percent)),
        }
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

/// A rule without the target groups that are nobody's of ours and have no weight.
pub fn without_strangers(view: &View<'_>, rule: &Rule) -> Option<Answer> {
    let state = view.input.state;
    let is_spare = |(arn, percent): &(TargetGroupArn, u32)| *percent == 0 && state.owner_of(arn).is_none();
    let (spare, stay): (Vec<_>, Vec<_>) = rule.action.percents().into_iter().partition(is_spare);
    let (gone, _) = spare.first().filter(|_| view.foreign.is_none())?;
    if stay.iter().all(|(_, percent)| *percent == 0) {
        return None;
    }
    let mutation = Mutation::SetWeights { rule: rule.arn.clone(), weights: named(view, stay) };
    Some(act(mutation, format!("{gone} is not ours and has no weight, and the action is full")).into())
}

/// Shares that sum to 100, each as large a part of the whole as before. Percents of what
/// somebody wrote need not sum to that, and what is left when one leaves does not either.
fn whole(view: &View<'_>, mut shares: Vec<(TargetGroupArn, u32)>) -> Vec<(TargetGroupArn, u32)> {
    let sum: u32 = shares.iter().map(|(_, percent)| percent).sum();
    if sum == 0 || sum == 100 {
        return shares;
    }
    let rounded = usize::try_from(sum.abs_diff(100)).is_ok_and(|off| off <= shares.len());
    for (_, percent) in shares.iter_mut().filter(|(_, percent)| *percent > 0 && !rounded) {
        *percent = (*percent * 100 / sum).max(1);
    }
    // The rest of the division goes to whoever can answer, else to whoever has machines; what
    // is too much comes from whoever has most, since others may have less than that.
    let answers = |arn: &TargetGroupArn| {
        let owner = view.input.state.owner_of(arn);
        let foreign = || view.input.state.foreign.get(arn).map(Health::of_targets);
        let health = owner.map_or_else(foreign, |owner| view.health(owner));
        (health.is_some_and(|health| health.healthy > 0), owner.is_none_or(|owner| owner.group.is_some()))
    };
    let sum: u32 = shares.iter().map(|(_, percent)| percent).sum();
    let filled = shares.iter_mut().filter(|(_, percent)| *percent > 0);
    let first = |arn: &TargetGroupArn| if sum > 100 { (false, false) } else { answers(arn) };
    if let Some((_, share)) = filled.max_by_key(|(arn, percent)| (first(arn), *percent)) {
        *share = (*share + 100).saturating_sub(sum);
    }
    shares
}

/// Puts the releases' names to target groups, in a fixed order: live, then by ARN.
pub fn named(view: &View<'_>, shares: Vec<(TargetGroupArn, u32)>) -> Vec<Weight> {
    let shares = whole(view, shares);
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

/// The health of live, or of the foreign side before a first release has settled.
fn side_health(view: &View<'_>) -> Option<Health> {
    match view.live {
        Some(live) => view.health(live),
        None => view.foreign.as_ref().and_then(|foreign| foreign.health),
    }
}

/// Whether the side beside a group can take its traffic: it bears everything, or has a healthy
/// machine while the group has none. None where that was not read.
pub fn can_go_back(view: &View<'_>, from: &ServerGroup) -> Option<bool> {
    let (side, own) = (side_health(view)?, view.health(from)?);
    if Mutant::WeightToTheDead.on() {
        return Some(true);
    }
    Some(sides::suffices(side, view.need(), 100) || (side.healthy > 0 && own.healthy == 0))
}

/// All traffic to live, or to the foreign side before a first release has settled, if that
/// helps.
pub fn to_live(view: &View<'_>, from: &ServerGroup, because: &str) -> Answer {
    let rule = view.rule_of(from);
    let Some((rule, weights)) = rule.and_then(|rule| Some((rule, with_side(view, rule, from)?))) else {
        return halted(
            view,
            format!("there is no other release that could take the traffic of {}", from.identity.version),
        );
    };
    let side = view.live.map_or_else(|| FOREIGN_SIDE.to_owned(), |live| live.identity.version.to_string());
    let (Some(health), Some(other)) = (side_health(view), view.health(from)) else {
        return wait(Reason::Unknown, format!("the health of {side} was not read")).into();
    };
    if can_go_back(view, from) == Some(false) {
        let detail = format!(
            "no weight may move: {} of {} needed machines of {side} are healthy, and {} of {}",
            health.healthy,
            view.need(),
            other.healthy,
            from.identity.version
        );
        return halted(view, detail);
    }
    let mutation = Mutation::SetWeights { rule: rule.arn.clone(), weights };
    act(mutation, because)
        .expect(format!("{side} has {} healthy machines", health.healthy))
        .expect(format!("{} has {} %", from.identity.version, view.weight(from)))
        .into()
}

/// How what served before the first release is called.
const FOREIGN_SIDE: &str = "what served before";

/// Nothing that may be done helps; looked at again every pass.
pub fn halted(view: &View<'_>, detail: String) -> Answer {
    let _ = view;
    wait(Reason::Gate, detail).halted().into()
}

/// The conditions that no client meets.
pub fn temporary_conditions(group: &crate::names::GroupName) -> Conditions {
    Conditions { hosts: vec![group.invalid_host()], paths: Vec::new(), more: Vec::new() }
}
