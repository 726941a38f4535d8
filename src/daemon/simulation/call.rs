//! A change as a value: it can be looked at, made, and made again.

use std::fmt;

use crate::cloud::sim::world::World;
use crate::cloud::{CloudError, CloudWriter, RuleSpec, Tagged};
use crate::names::{RuleArn, TargetGroupArn};
use crate::observed::marks;
use crate::observed::resources::{
    Conditions, GroupChange, GroupSpec, Kept, Policy, RuleAction, Tags, TargetGroupSpec, TemplateSpec,
};

/// One change of the port, with all that it says.
#[derive(Debug, Clone)]
pub enum Call {
    CreateTemplate(TemplateSpec),
    CreateTargetGroup(TargetGroupSpec),
    SetTargetGroup(TargetGroupArn, TargetGroupSpec),
    CreateRule(RuleSpec),
    SetRule(RuleArn, Option<Conditions>, Vec<(TargetGroupArn, u32)>, Kept),
    CreateGroup(GroupSpec),
    SetCapacity(String, u32, u32, Option<u32>),
    SetPolicies(String, Vec<Policy>),
    SetGroup(String, GroupChange),
    SetTags(Tagged, Tags),
    ClearTags(Tagged, Vec<String>),
    DeleteRule(RuleArn),
    DeleteGroup(String),
    DeleteTargetGroup(TargetGroupArn),
    DeleteTemplate(String),
}

/// What a change answers.
#[derive(Debug)]
pub enum Done {
    Yes,
    TargetGroup(TargetGroupArn),
    Rule(RuleArn),
}

impl Call {
    /// Its name.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::CreateTemplate(_) => "CreateLaunchTemplate",
            Self::CreateTargetGroup(_) => "CreateTargetGroup",
            Self::SetTargetGroup(..) => "ModifyTargetGroup",
            Self::CreateRule(_) => "CreateRule",
            Self::SetRule(..) => "ModifyRule",
            Self::CreateGroup(_) => "CreateAutoScalingGroup",
            Self::SetCapacity(..) => "UpdateAutoScalingGroup",
            Self::SetPolicies(..) => "PutScalingPolicy",
            Self::SetGroup(_, change) => change.operation(),
            Self::SetTags(..) => "CreateTags",
            Self::ClearTags(..) => "DeleteTags",
            Self::DeleteRule(_) => "DeleteRule",
            Self::DeleteGroup(_) => "DeleteAutoScalingGroup",
            Self::DeleteTargetGroup(_) => "DeleteTargetGroup",
            Self::DeleteTemplate(_) => "DeleteLaunchTemplate",
        }
    }

    /// Makes it.
    pub async fn apply<C: CloudWriter + ?Sized>(&self, cloud: &C) -> Result<Done, CloudError> {
        match self {
            Self::CreateTemplate(spec) => cloud.create_template(spec).await,
            Self::CreateTargetGroup(spec) => return cloud.create_target_group(spec).await.map(Done::TargetGroup),
            Self::SetTargetGroup(arn, spec) => cloud.set_target_group(arn, spec).await,
            Self::CreateRule(spec) => return cloud.create_rule(spec).await.map(Done::Rule),
            Self::SetRule(arn, conditions, weights, kept) => {
                cloud.set_rule(arn, conditions.as_ref(), weights, kept).await
            }
            Self::CreateGroup(spec) => cloud.create_group(spec).await,
            Self::SetCapacity(group, min, max, desired) => cloud.set_capacity(group, *min, *max, *desired).await,
            Self::SetGroup(group, change) => cloud.set_group(group, change).await,
            Self::SetPolicies(group, policies) => cloud.set_policies(group, policies).await,
            Self::SetTags(on, tags) => cloud.set_tags(on, tags).await,
            Self::ClearTags(on, keys) => cloud.clear_tags(on, keys).await,
            Self::DeleteRule(arn) => cloud.delete_rule(arn).await,
            Self::DeleteGroup(group) => cloud.delete_group(group).await,
            Self::DeleteTargetGroup(arn) => cloud.delete_target_group(arn).await,
            Self::DeleteTemplate(id) => cloud.delete_template(id).await,
        }
        .map(|()| Done::Yes)
    }

    /// Whose resource it is about, by its tags, or by those of the target groups that an
    /// action is to name; none where that is nobody's.
    pub fn service(&self, world: &World) -> Option<String> {
        let named = |tags: &Tags| tags.get(marks::SERVICE).cloned();
        let group = |name: &str| world.groups.get(name).and_then(|group| named(&group.tags));
        let target_group = |arn: &TargetGroupArn| world.target_groups.get(arn).and_then(|group| named(&group.tags));
        let rule = |arn: &RuleArn| world.rules.get(arn).and_then(|rule| named(&rule.tags));
        let tagged = |on: &Tagged| match on {
            Tagged::Template(id) => world.templates.get(id).and_then(|found| named(&found.tags)),
            Tagged::Group(name) => group(name),
            Tagged::TargetGroup(arn) => target_group(arn),
            Tagged::Rule(arn) => rule(arn),
        };
        match self {
            Self::CreateTemplate(spec) => named(&spec.tags),
            Self::CreateTargetGroup(spec) => named(&spec.tags),
            Self::CreateRule(spec) => named(&spec.tags),
            Self::CreateGroup(spec) => named(&spec.tags),
            Self::SetTargetGroup(arn, _) | Self::DeleteTargetGroup(arn) => target_group(arn),
            Self::SetRule(arn, _, weights, _) => {
                rule(arn).or_else(|| weights.iter().find_map(|(target, _)| target_group(target)))
            }
            Self::SetCapacity(name, ..)
            | Self::SetPolicies(name, _)
            | Self::SetGroup(name, _)
            | Self::DeleteGroup(name) => group(name),
            Self::SetTags(on, _) | Self::ClearTags(on, _) => tagged(on),
            Self::DeleteRule(arn) => rule(arn),
            Self::DeleteTemplate(id) => world.templates.get(id).and_then(|found| named(&found.tags)),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |arn: &TargetGroupArn| arn.as_str().split('/').nth(1).unwrap_or_default().to_owned();
        write!(f, "{} ", self.operation())?;
        match self {
            Self::CreateTemplate(spec) => write!(f, "{}", spec.name),
            Self::CreateTargetGroup(spec) => write!(f, "{}", spec.name),
            Self::SetTargetGroup(arn, _) | Self::DeleteTargetGroup(arn) => write!(f, "{}", short(arn)),
            Self::CreateRule(spec) => {
                let weights: Vec<_> = spec.weights.iter().map(|(arn, weight)| (short(arn), *weight)).collect();
                write!(f, "{} {:?} {weights:?}", spec.priority, spec.conditions.hosts)
            }
            Self::SetRule(_, conditions, weights, _) => {
                let weights: Vec<_> = weights.iter().map(|(arn, weight)| (short(arn), *weight)).collect();
                let hosts = conditions.as_ref().map(|conditions| &conditions.hosts);
                write!(f, "{weights:?} {hosts:?}")
            }
            Self::CreateGroup(spec) => write!(f, "{} {} to {}", spec.name, spec.min, spec.max),
            Self::SetCapacity(name, min, max, desired) => write!(f, "{name} {min} to {max}, {desired:?}"),
            Self::SetGroup(name, change) => write!(f, "{name} {change}"),
            Self::SetPolicies(name, policies) => write!(f, "{name} {}", policies.len()),
            Self::SetTags(on, tags) => write!(f, "{on:?} {tags:?}"),
            Self::ClearTags(on, keys) => write!(f, "{on:?} {keys:?}"),
            Self::DeleteRule(arn) => write!(f, "{arn}"),
            Self::DeleteGroup(name) => write!(f, "{name}"),
            Self::DeleteTemplate(id) => write!(f, "{id}"),
        }
    }
}

/// The forwards of an action.
pub fn weights(action: &RuleAction) -> &[(TargetGroupArn, u32)] {
    action.weights().unwrap_or_default()
}
