//! What can be said of a world, for checks: whose a thing is, and who has traffic.

use crate::cloud::sim::world::{SimGroup, World};
use crate::names::{RuleArn, TargetGroupArn};
use crate::observed::marks::{self, Mark};
use crate::observed::resources::{Conditions, Tags, TargetHealth};

use super::call::weights;

/// The target group of a digest and its live rival, if a revert to it is one call: it is
/// stable, retired, without weight, and has as many healthy machines as live wants; and
/// nothing else is under way or held.
pub fn is_instant(world: &World, service: &str, digest: &str) -> Option<(TargetGroupArn, TargetGroupArn)> {
    let mut groups = world.groups.iter().filter(|(_, group)| is_of(&group.tags, service) && group.deleted_at.is_none());
    let held =
        world.templates.values().any(|found| is_of(&found.tags, service) && found.tags.contains_key(Mark::Hold.key()));
    let (_, wanted) =
        groups.clone().find(|(_, group)| group.tags.get(marks::DIGEST).map(String::as_str) == Some(digest))?;
    let (_, live) = groups.find(|(_, group)| group.target_groups.first().is_some_and(|arn| has_weight(world, arn)))?;
    let (to, from) = (wanted.target_groups.first()?, live.target_groups.first()?);
    let retired = |group: &SimGroup| group.tags.contains_key(Mark::Retired.key());
    let (_, shares) =
        actions(world).find(|(_, shares)| shares.iter().any(|(arn, weight)| arn == from && *weight > 0))?;
    let alone = shares.iter().all(|(arn, weight)| (*weight > 0) == (arn == from));
    let named = shares.iter().any(|(arn, _)| arn == to);
    let well = healthy(world, to) >= (live.desired as usize).max(1);
    // A settle that was cut off is finished first.
    let settled = is_stable(world, live) && !retired(live) && live.tags.contains_key(Mark::Settings.key());
    let is = is_stable(world, wanted) && retired(wanted) && alone && named && well && settled && !held && to != from;
    is.then(|| (to.clone(), from.clone()))
}

/// What differs between two worlds, the violations aside.
pub fn difference(a: &World, b: &World) -> Option<&'static str> {
    [
        ("templates", a.templates == b.templates),
        ("groups", a.groups == b.groups),
        ("target groups", a.target_groups == b.target_groups),
        ("rules", a.rules == b.rules),
        ("listeners", a.listeners == b.listeners),
    ]
    .into_iter()
    .find_map(|(what, same)| (!same).then_some(what))
}

pub fn is_of(tags: &Tags, service: &str) -> bool {
    tags.get(marks::SERVICE).is_some_and(|found| found == service)
        && tags.get(marks::SCOPE).is_some_and(|scope| scope == "prod")
}

/// What a commit must descend from to act for a service.
pub fn claims(world: &World, service: &str) -> Vec<String> {
    let groups = world.groups.values().filter(|group| group.deleted_at.is_none()).map(|group| &group.tags);
    let tags = groups.chain(world.templates.values().map(|template| &template.tags));
    tags.filter(|tags| is_of(tags, service)).filter_map(claim).cloned().collect()
}

/// The commit that something was last acted on for.
pub fn claim(tags: &Tags) -> Option<&String> {
    tags.get(Mark::Fence.key()).or_else(|| tags.get(marks::COMMIT))
}

pub fn is_stable(world: &World, group: &SimGroup) -> bool {
    let mut templates = world.templates.values();
    templates.any(|template| template.name == group.template && template.tags.contains_key(Mark::Stable.key()))
}

pub fn is_foreign(world: &World, arn: &TargetGroupArn) -> bool {
    world.target_groups.get(arn).is_none_or(|group| !group.tags.contains_key(marks::SERVICE))
}

pub fn group_of<'a>(world: &'a World, arn: &TargetGroupArn) -> Option<&'a SimGroup> {
    world.groups.values().find(|group| group.target_groups.contains(arn))
}

pub fn has_weight(world: &World, arn: &TargetGroupArn) -> bool {
    actions(world).flat_map(|(_, shares)| shares).any(|(other, weight)| other == *arn && weight > 0)
}

pub fn healthy(world: &World, arn: &TargetGroupArn) -> usize {
    let targets = world.target_groups.get(arn).into_iter().flat_map(|group| group.targets.values());
    targets.filter(|target| target.health == TargetHealth::Healthy).count()
}

/// Conditions that no client meets.
pub fn is_hidden(conditions: &Conditions) -> bool {
    conditions.hosts.iter().any(|host| host.ends_with(".ionroller.invalid"))
}

/// Every action that clients meet, with its weights.
pub fn actions(world: &World) -> impl Iterator<Item = (RuleArn, Vec<(TargetGroupArn, u32)>)> {
    let rules = world.rules.iter().filter(|(_, rule)| !is_hidden(&rule.conditions));
    let rules = rules.map(|(arn, rule)| (arn.clone(), weights(&rule.action).to_vec()));
    let defaults =
        world.listeners.iter().map(|(arn, found)| (arn.default_rule(), weights(&found.default_action).to_vec()));
    rules.chain(defaults)
}
