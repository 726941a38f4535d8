//! What holds at every change of a small world.

use super::{Traffic, number};
use crate::cloud::sim::Share;
use crate::cloud::sim::world::World;
use crate::observed::marks::Mark;
use crate::observed::resources::Tags;

/// Whether one version has everything, as its file says.
pub(super) fn wanted_alone(world: &World, wanted: &str) -> bool {
    let mut groups = world.groups.values();
    let (Some(group), None) = (groups.next(), groups.next()) else { return false };
    let ours: Vec<_> = world.rules.values().filter(|rule| rule.priority == 10).collect();
    let [rule] = ours[..] else { return false };
    let Some(weights) = rule.action.weights() else { return false };
    let in_rule: Vec<_> = weights.iter().map(|(arn, _)| arn.clone()).collect();
    group.tags.get("ionroller:version").is_some_and(|version| version == wanted)
        && (group.min, group.max, group.desired) == (1, 1, 1)
        && !group.tags.contains_key(Mark::Retired.key())
        && in_rule == group.target_groups
        && world.target_groups.len() == 2
        && rule.conditions.hosts == ["web.example.com"]
}

/// No change takes traffic from machines that answer, or machines from traffic.
pub(super) fn served(before: &Traffic, after: &Traffic) -> Result<(), String> {
    let answered = |shares: &[Share]| {
        let sum: u32 = shares.iter().map(|share| share.weight).sum();
        let well: u32 = shares.iter().filter(|share| share.healthy > 0).map(|share| share.weight).sum();
        (well * 100).checked_div(sum).unwrap_or(0)
    };
    for (rule, shares) in before {
        let Some((_, now)) = after.iter().find(|(known, _)| known == rule) else {
            return Err("served: a rule with traffic is gone".to_owned());
        };
        if answered(now) < answered(shares) {
            return Err(format!("served: {} % were answered, now {} %", answered(shares), answered(now)));
        }
    }
    for (_, shares) in after {
        let someone = shares.iter().any(|share| share.healthy > 0);
        let had = |share: &Share| {
            let old = before.iter().flat_map(|(_, shares)| shares);
            old.filter(|old| old.target_group == share.target_group).map(|old| (old.weight, old.registered)).max()
        };
        for share in shares.iter().filter(|share| share.weight > 0 && someone) {
            let (weight, registered) = had(share).unwrap_or_default();
            if share.weight > weight && share.healthy == 0 {
                return Err(format!("served: {} has no healthy machine", share.target_group));
            }
            if share.registered == 0 && registered > 0 {
                return Err(format!("kept: {} loses its last machine", share.target_group));
            }
        }
    }
    Ok(())
}

/// No fence goes back to an older commit.
pub(super) fn fenced(before: &World, after: &World) -> Result<(), String> {
    let fence = |tags: &Tags| tags.get(Mark::Fence.key()).map(|fence| number(fence));
    for (name, group) in &after.groups {
        let old = before.groups.get(name).and_then(|old| fence(&old.tags));
        if old > fence(&group.tags) {
            return Err(format!("fenced: the fence of {name} goes back"));
        }
    }
    Ok(())
}

/// A verdict stays.
pub(super) fn rejected(before: &World, after: &World) -> Result<(), String> {
    let verdict = |world: &World, id: &String| {
        world.templates.get(id).is_some_and(|found| found.tags.contains_key(Mark::Rejected.key()))
    };
    let lost = before.templates.keys().find(|id| verdict(before, id) && !verdict(after, id));
    lost.map_or(Ok(()), |id| Err(format!("rejected stays rejected: {id}")))
}
