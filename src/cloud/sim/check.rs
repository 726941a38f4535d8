//! What the API refuses.

use crate::cloud::{CloudError, ErrorKind};
use crate::names::{ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::assemble::forwarded;
use crate::observed::marks;
use crate::observed::resources::{Condition, Conditions, Kept, Tags};

use super::error;
use super::reader::find_target_group;
use super::world::World;

/// Target groups of one action.
const TARGET_GROUPS_PER_ACTION: usize = 5;
/// The largest weight.
const MAX_WEIGHT: u32 = 999;
/// Values of all conditions of one rule.
const CONDITION_VALUES: usize = 5;
/// Wildcards of all conditions of one rule.
const CONDITION_WILDCARDS: usize = 5;
/// Tags of one resource.
const TAGS: usize = 50;
/// Characters of a key.
const TAG_KEY: usize = 128;
/// Characters of a value.
const TAG_VALUE: usize = 256;

/// The API call that is checked, for its errors.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// As AWS names it.
    pub operation: &'static str,
    /// What it is about.
    pub resource: &'a str,
}

impl Asked<'_> {
    pub(super) fn error(self, kind: ErrorKind, code: &str, message: impl Into<String>) -> CloudError {
        error(self.operation, self.resource, kind, code, message)
    }

    pub(super) fn invalid(self, message: impl Into<String>) -> CloudError {
        self.error(ErrorKind::Invalid, "ValidationError", message)
    }
}

/// The most tags that one call of Auto Scaling takes.
const GROUP_TAGS: usize = 25;

/// A group may have more tags than a call of Auto Scaling takes.
pub(super) fn tags_in_a_call(asked: Asked<'_>, all: &Tags) -> Result<(), CloudError> {
    let text = "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length \
                less than or equal to 25";
    let is_too_many = all.len() > GROUP_TAGS;
    if is_too_many { Err(asked.error(ErrorKind::Invalid, "ValidationError", text)) } else { Ok(()) }
}

/// The strictest of the services' rules: number, length and characters.
pub(super) fn tags(asked: Asked<'_>, all: &Tags) -> Result<(), CloudError> {
    if all.len() > TAGS {
        return Err(asked.invalid(format!("{} tags are more than {TAGS}", all.len())));
    }
    let portable = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " +-=._:/@".contains(c));
    for (key, value) in all {
        if key.is_empty() || key.len() > TAG_KEY || key.to_ascii_lowercase().starts_with("aws:") || !portable(key) {
            return Err(asked.invalid(format!("the tag key `{key}` is not allowed")));
        }
        if value.chars().count() > TAG_VALUE || !portable(value) {
            return Err(asked.invalid(format!("the value of tag `{key}` is too long or has other characters")));
        }
    }
    Ok(())
}

/// Whether tags say the same owner and release, or owner where there is no release.
pub(super) fn same_release(found: &Tags, wanted: &Tags) -> bool {
    let same = |key: &str| found.get(key) == wanted.get(key);
    wanted.contains_key(marks::SCOPE) && same(marks::SCOPE) && same(marks::SERVICE) && same(marks::DIGEST)
}

/// The weights of an action that shall stand on a listener.
pub(super) fn weights(
    world: &World,
    asked: Asked<'_>,
    listener: &ListenerArn,
    rule: Option<&RuleArn>,
    weights: &[(TargetGroupArn, u32)],
    kept: &Kept,
) -> Result<(), CloudError> {
    if weights.is_empty() {
        return Err(asked.invalid("a forward needs a target group"));
    }
    if weights.len() > TARGET_GROUPS_PER_ACTION {
        let text = format!("{} target groups are more than {TARGET_GROUPS_PER_ACTION}", weights.len());
        return Err(asked.error(ErrorKind::Quota, "TooManyTargetGroups", text));
    }
    let sticky = |arn: &TargetGroupArn| world.target_groups.get(arn).is_some_and(|group| group.sticky);
    if weights.len() > 1 && kept.stickiness_secs.is_none() && weights.iter().any(|(arn, _)| sticky(arn)) {
        // Source: the message of the API, as users of other controllers quote it.
        let text = "You must enable group stickiness on a rule if you enabled target stickiness on one of its \
                    target groups";
        return Err(asked.error(ErrorKind::Invalid, "InvalidLoadBalancerAction", text));
    }
    for (index, (arn, weight)) in weights.iter().enumerate() {
        if *weight > MAX_WEIGHT {
            return Err(asked.invalid(format!("the weight {weight} is more than {MAX_WEIGHT}")));
        }
        if weights[..index].iter().any(|(other, _)| other == arn) {
            return Err(asked.invalid(format!("{arn} is named twice")));
        }
        let target_group = find_target_group(world, asked.operation, arn)?;
        if listener.is_network() == target_group.protocol.starts_with("HTTP") {
            return Err(asked.error(
                ErrorKind::Invalid,
                "IncompatibleProtocols",
                format!("{arn} has another protocol"),
            ));
        }
        if stands_elsewhere(world, listener, rule, arn) {
            let text = format!("{arn} belongs to another load balancer");
            return Err(asked.error(ErrorKind::Invalid, "TargetGroupAssociationLimit", text));
        }
    }
    Ok(())
}

/// A target group belongs to one load balancer at a time.
fn stands_elsewhere(world: &World, listener: &ListenerArn, rule: Option<&RuleArn>, arn: &TargetGroupArn) -> bool {
    world.actions().any(|(found, action)| {
        let place = found.default_of().or_else(|| world.rules.get(&found).map(|rule| rule.listener.clone()));
        Some(&found) != rule
            && forwarded(action).any(|named| named == arn)
            && place.is_some_and(|place| place.load_balancer() != listener.load_balancer())
    })
}

/// The conditions of a rule.
pub(super) fn conditions(asked: Asked<'_>, conditions: &Conditions) -> Result<(), CloudError> {
    let more = |condition: &Condition| match condition {
        Condition::HostRegex(values)
        | Condition::PathRegex(values)
        | Condition::Methods(values)
        | Condition::SourceIps(values) => values.len(),
        Condition::Header { values, regex, .. } => values.len() + regex.len(),
        Condition::Query(pairs) => pairs.len(),
        Condition::Unknown(_) => 0,
    };
    let plain = conditions.hosts.len() + conditions.paths.len();
    let values = plain + conditions.more.iter().map(more).sum::<usize>();
    if values == 0 {
        return Err(asked.invalid("a rule needs a condition"));
    }
    if values > CONDITION_VALUES {
        let text = format!("{values} condition values are more than {CONDITION_VALUES}");
        return Err(asked.error(ErrorKind::Quota, "TooManyConditionValues", text));
    }
    let patterns = conditions.hosts.iter().chain(&conditions.paths);
    let wildcards: usize = patterns.map(|pattern| pattern.matches(['*', '?']).count()).sum();
    if wildcards > CONDITION_WILDCARDS {
        let text = format!("{wildcards} wildcards are more than {CONDITION_WILDCARDS}");
        return Err(asked.error(ErrorKind::Quota, "TooManyConditionWildcards", text));
    }
    if let Some(Condition::Unknown(kind)) = conditions.more.iter().find(|c| matches!(c, Condition::Unknown(_))) {
        return Err(asked.invalid(format!("Condition field '{kind}' must be one of those that are known")));
    }
    Ok(())
}
