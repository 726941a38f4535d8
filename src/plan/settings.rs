//! Question 17: settings that change in place, with no new machines.

use std::collections::BTreeMap;

use crate::desired::spec::{LoadBalancer, ServiceSpec};
use crate::mutant::Mutant;
use crate::names::Digest;
use crate::observed::marks::Mark;
use crate::observed::resources::{Details, Rule, Tags};
use crate::observed::state::{GroupState, ServerGroup, Slot};

use super::action::Mutation;
use super::answer::{Answer, act, wait};
use super::questions::fence_first;
use super::retire::{group_carrier, template_carrier};
use super::types::Reason;
use super::view::{View, is_temporary};
use super::{places, resources, rollout, traffic};

/// The hash of the settings that a file asks for and that a reading does not carry inline.
pub fn hash(spec: &ServiceSpec) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("ionroller settings 1\n");
    let mut scaling: Vec<String> =
        spec.capacity.scaling.iter().map(|s| format!("{:?}={}", s.metric, s.target_millis)).collect();
    scaling.sort();
    let _ = writeln!(text, "scaling={scaling:?}");
    let _ = writeln!(text, "tags={:?}", resources::user_tags(spec));
    if let Some(lb) = &spec.load_balancer {
        let check = &lb.health_check;
        let _ = writeln!(
            text,
            "check={} {} {} {}\ndelay={}",
            check.interval.as_millis(),
            check.timeout.as_millis(),
            check.healthy,
            check.unhealthy,
            lb.deregistration_delay.as_millis()
        );
        let _ = writeln!(text, "listener={}", lb.listener);
        if let Some(rule) = &lb.rule {
            let _ = writeln!(text, "rule={} {:?}", rule.priority, resources::conditions(rule));
        }
    }
    Digest::of(text.as_bytes()).short().to_owned()
}

/// Whether live, being the wanted release, lacks some of its file's settings.
pub fn differ(view: &View<'_>) -> bool {
    let (Some(live), Some(spec)) = (view.live.filter(|_| view.live_is_wanted()), view.wanted) else {
        return false;
    };
    let Some(group) = &live.group else { return false };
    group.marks.settings.as_deref() != Some(hash(spec).as_str()) || capacity_differs(group, spec)
}

fn capacity_differs(group: &GroupState, spec: &ServiceSpec) -> bool {
    (group.min != spec.capacity.min || group.max != spec.capacity.max) && !Mutant::ForgetSizes.on()
}

/// Brings the live release's settings about, one at a time; the mark that says so comes last.
pub fn update(view: &View<'_>) -> Option<Answer> {
    let live = view.live.filter(|_| view.live_is_wanted())?;
    let spec = view.wanted?;
    let group = live.group.as_ref()?;
    if let Some(answer) = rollout::restore_rule(view) {
        return Some(answer);
    }
    if capacity_differs(group, spec) {
        return Some(fence_first(view, || capacity(live, group, spec, "as its file says")));
    }
    if let Some(rule) = misplaced(view).or_else(|| foreign_leaves(view)) {
        return Some(fence_first(view, || rule));
    }
    let hash = hash(spec);
    if group.marks.settings.as_deref() == Some(hash.as_str()) {
        return None;
    }
    let answer = details(live, spec)
        .or_else(|| tags(live, group, spec))
        .or_else(|| conditions(view, spec))
        .or_else(|| listener_mark(live, group, spec))
        .filter(|_| !Mutant::SettingsMarkFirst.on())
        .unwrap_or_else(|| {
            let mutation = Mutation::SetMark { on: group_carrier(live, group), mark: Mark::Settings, value: hash };
            act(mutation, "all settings were read back").into()
        });
    Some(match answer {
        Answer::Act(action) => fence_first(view, || Answer::Act(action)),
        Answer::Wait(_) => answer,
    })
}

fn capacity(owner: &ServerGroup, group: &GroupState, spec: &ServiceSpec, because: &str) -> Answer {
    let mutation = Mutation::SetCapacity {
        release: owner.name.clone(),
        group: group.name.clone(),
        min: spec.capacity.min,
        max: spec.capacity.max,
        desired: None,
    };
    act(mutation, because).into()
}

/// Live's sizes as in the file, when no candidate is coming up beside it any more.
pub fn unpin(view: &View<'_>) -> Option<Answer> {
    let live = view.live.filter(|_| !Mutant::ForgetUnpin.on())?;
    let group = live.group.as_ref()?;
    let coming = view.candidate.filter(|candidate| view.rejected(candidate).is_none());
    let coming = coming.is_some_and(|candidate| {
        candidate.group.is_some() && view.retry_pending(candidate).is_none_or(|retry| !retry.withdraws)
    });
    // What a commit asks that may not act is not asked.
    let spec = view.wanted.or(view.input.fallback).filter(|_| !coming)?;
    if view.hold().is_some() || spec.paused.is_some() {
        return release(live, group, spec);
    }
    let because = "no other release is coming up beside it";
    capacity_differs(group, spec).then(|| capacity(live, group, spec, because))
}

/// A service that is held gets no new sizes; a minimum that a rollout has raised is taken
/// back all the same.
fn release(live: &ServerGroup, group: &GroupState, spec: &ServiceSpec) -> Option<Answer> {
    if group.min != group.desired || group.min <= spec.capacity.min {
        return None;
    }
    let mutation = Mutation::SetCapacity {
        release: live.name.clone(),
        group: group.name.clone(),
        min: spec.capacity.min,
        max: group.max,
        desired: None,
    };
    Some(act(mutation, "no other release is coming up beside it").into())
}

/// The settings that a candidate needs before it gets traffic: policies, its target group as
/// the file says, and the tags that did not fit into the creation of its group.
pub fn candidate(view: &View<'_>, candidate: &ServerGroup) -> Option<Answer> {
    let spec = view.wanted?;
    let group = candidate.group.as_ref()?;
    let answer = details(candidate, spec).or_else(|| tags(candidate, group, spec))?;
    Some(match answer {
        Answer::Act(action) => fence_first(view, || Answer::Act(action)),
        Answer::Wait(_) => answer,
    })
}

/// Policies and target group settings.
fn details(owner: &ServerGroup, spec: &ServiceSpec) -> Option<Answer> {
    owner.group.as_ref()?;
    let Some(details) = &owner.details else {
        return Some(wait(Reason::Unknown, format!("the settings of {} were not read", owner.identity.version)).into());
    };
    let mutation = target_group(owner, spec, Some(details)).or_else(|| policies(owner, spec, details))?;
    Some(act(mutation, "as its file says").into())
}

/// The target group's settings, where they are others than the file's. Its deregistration delay
/// counts only where it was read.
pub fn target_group(owner: &ServerGroup, spec: &ServiceSpec, details: Option<&Details>) -> Option<Mutation> {
    let (lb, target_group) = (spec.load_balancer.as_ref()?, owner.target_group.as_ref()?);
    let wanted = resources::target_group(&owner.name, spec, lb, &owner.identity);
    let same = target_group.health_check == wanted.health_check
        && details.is_none_or(|details| details.deregistration_delay == Some(wanted.deregistration_delay));
    (!same).then(|| Mutation::SetTargetGroup { arn: target_group.arn.clone(), spec: Box::new(wanted) })
}

/// The group's policies of ours, where they are others than the file's.
pub fn policies(owner: &ServerGroup, spec: &ServiceSpec, details: &Details) -> Option<Mutation> {
    let group = owner.group.as_ref()?;
    let place = spec.load_balancer.as_ref().and_then(|lb| Some((&lb.listener, &owner.target_group.as_ref()?.arn)));
    let wanted = resources::policies(spec, place);
    let ours = details.policies.iter().filter(|policy| policy.name.starts_with(resources::POLICY_PREFIX));
    (!ours.eq(wanted.iter())).then(|| Mutation::SetPolicies {
        release: owner.name.clone(),
        group: group.name.clone(),
        policies: wanted,
    })
}

/// The user's tags. Tags that the file no longer has stay: another tool may have set them.
fn tags(owner: &ServerGroup, group: &GroupState, spec: &ServiceSpec) -> Option<Answer> {
    let mutation = missing_tags(owner, group, spec)?;
    Some(act(mutation, "as its file says").into())
}

/// Tags of the file that group or template lack.
pub fn missing_tags(owner: &ServerGroup, group: &GroupState, spec: &ServiceSpec) -> Option<Mutation> {
    let wanted = resources::user_tags(spec);
    let missing = |present: &Tags| -> Tags {
        let missing = wanted.iter().filter(|(key, value)| present.get(*key) != Some(*value));
        missing.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let (on_group, on_template) = (missing(&group.tags), owner.template.as_ref().map(|found| missing(&found.tags)));
    if !on_group.is_empty() {
        return Some(Mutation::SetTags { on: group_carrier(owner, group), tags: on_group });
    }
    let on_template = on_template.filter(|missing| !missing.is_empty())?;
    Some(Mutation::SetTags { on: template_carrier(owner), tags: on_template })
}

/// The rule's conditions.
fn conditions(view: &View<'_>, spec: &ServiceSpec) -> Option<Answer> {
    let rule = view.rule()?;
    let wanted = resources::conditions(spec.load_balancer.as_ref()?.rule.as_ref()?);
    if rule.conditions == wanted {
        return None;
    }
    let weights = traffic::named(view, view.weights());
    Some(act(Mutation::SetRule { rule: rule.arn.clone(), conditions: wanted, weights }, "as its file says").into())
}

/// A rule at another listener or priority than the file's: the new one first, then the old
/// one goes.
fn misplaced(view: &View<'_>) -> Option<Answer> {
    let lb: &LoadBalancer = view.wanted?.load_balancer.as_ref()?;
    let priority = lb.rule.as_ref().map(|rule| rule.priority);
    let in_place = |rule: &&Rule| rule.listener == lb.listener && rule.priority == priority;
    let real = || view.input.state.rules.iter().filter(|rule| !is_temporary(&rule.conditions));
    let is_borrowed = |rule: &&Rule| view.input.state.borrowed.contains(&rule.arn);
    // A default action stays until another service takes it.
    let elsewhere = || real().filter(|rule| !in_place(rule));
    let old = elsewhere().find(|rule| !is_borrowed(rule)).or_else(|| elsewhere().next())?;
    if old.listener.load_balancer() != lb.listener.load_balancer() {
        let detail = format!(
            "the service runs behind the load balancer {}, and its file now names {}: use a second service",
            old.listener.load_balancer(),
            lb.listener.load_balancer()
        );
        return Some(wait(Reason::Preflight, detail).into());
    }
    if let Some(Slot::Neighbour(other)) = &view.input.state.slot
        && !places::may_take(view, lb, other)
    {
        return Some(places::make_way(view, lb, other, old));
    }
    let next = places::next_owner(view, old).filter(|_| is_borrowed(&old));
    if is_borrowed(&old) && next.is_none() {
        return Some(traffic::never_deleted(old).into());
    }
    if Mutant::OldRuleFirst.on() {
        return Some(act(Mutation::DeleteRule { rule: old.arn.clone() }, "").into());
    }
    let new = view.input.state.rules.iter().find(in_place);
    let moved = |mutation| Some(act(mutation, "the rule has moved to another place").into());
    if let Some(next) = next.filter(|_| new.is_some_and(|new| replaces(view, new, old))) {
        return Some(wait(Reason::Dependency, format!("the listener's default action goes over to {next}")).into());
    }
    if new.is_some_and(|new| replaces(view, new, old)) {
        return moved(Mutation::DeleteRule { rule: old.arn.clone() });
    }
    let weights = traffic::named(view, old.action.percents());
    if weights.iter().all(|weight| weight.percent == 0) {
        // Somebody made it another action or took all weights: nothing can be moved from it.
        // Whichever rule counts gets its weights back first.
        return None;
    }
    if let Some(new) = new {
        let rule = new.arn.clone();
        return moved(match &lb.rule {
            Some(wanted) => Mutation::SetRule { rule, conditions: resources::conditions(wanted), weights },
            None => Mutation::SetWeights { rule, weights },
        });
    }
    if let Some(taken) = traffic::taken(view, lb) {
        return Some(taken.into());
    }
    let because = "the file names another place";
    let Some(wanted) = &lb.rule else {
        return Some(rollout::default_action(lb, weights, because));
    };
    let mutation = Mutation::CreateRule {
        listener: lb.listener.clone(),
        priority: wanted.priority,
        conditions: resources::conditions(wanted),
        weights,
        tags: rollout::rule_tags(view),
    };
    Some(act(mutation, because).into())
}

/// A move to another place that was cut off, with both rules under real conditions. A weight
/// call reaches only one of them, so it comes to its end before any.
pub fn second_rule(view: &View<'_>) -> Option<Answer> {
    view.wanted.filter(|spec| spec.paused.is_none() && view.hold().is_none())?;
    let real = view.input.state.rules.iter().filter(|rule| !is_temporary(&rule.conditions));
    (real.count() > 1).then(|| misplaced(view)).flatten()
}

/// Whether a rule in its place does what the old one does. Where they differ the new one
/// counts, unless only the old one leads to machines that are well.
pub fn replaces(view: &View<'_>, new: &Rule, old: &Rule) -> bool {
    // AWS lists an action's target groups in any order.
    let shares = |rule: &Rule| BTreeMap::from_iter(rule.action.percents());
    let is_well = |rule: &Rule| {
        rule.action.percents().into_iter().filter(|(_, percent)| *percent > 0).any(|(arn, _)| {
            let owner = view.input.state.owner_of(&arn).and_then(|owner| owner.group.as_ref());
            owner.is_none_or(|group| group.inline_healthy() > 0)
        })
    };
    !is_temporary(&new.conditions) && (shares(new) == shares(old) || is_well(new) || !is_well(old))
}

/// What served before the first release leaves the action once that has settled.
fn foreign_leaves(view: &View<'_>) -> Option<Answer> {
    let rule = view.rule()?;
    let state = view.input.state;
    let is_spare = |(arn, percent): &(_, u32)| *percent == 0 && state.owner_of(arn).is_none();
    let (spare, stay): (Vec<_>, Vec<_>) = rule.action.percents().into_iter().partition(is_spare);
    let (gone, _) = spare.first()?;
    let mutation = Mutation::SetWeights { rule: rule.arn.clone(), weights: traffic::named(view, stay) };
    Some(act(mutation, format!("{gone} is not ours, and the first release has settled")).into())
}

/// Where the rule is, for a reading that has no file to say so.
fn listener_mark(owner: &ServerGroup, group: &GroupState, spec: &ServiceSpec) -> Option<Answer> {
    let listener = &spec.load_balancer.as_ref()?.listener;
    if group.marks.listener.as_ref() == Some(listener) {
        return None;
    }
    let on = group_carrier(owner, group);
    Some(act(Mutation::SetMark { on, mark: Mark::Listener, value: listener.to_string() }, "its rule is there").into())
}
