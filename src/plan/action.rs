//! One idempotent change with an absolute target.

use std::fmt;

use serde::Serialize;

use crate::names::{GroupName, ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::marks::Mark;
use crate::observed::resources::{
    Conditions, GroupChange, GroupSpec, Kept, Policy, Tags, TargetGroupSpec, TemplateSpec,
};

use super::types::Release;

/// What to change, why, and what must be so for it to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The change.
    pub mutation: Mutation,
    /// What the rule that it changes has besides, to be sent again as it was read.
    pub kept: Kept,
    /// Why, for people.
    pub because: String,
    /// What was read and must still be so, for people.
    pub expects: Vec<String>,
}

/// The change itself, with everything decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Make a launch template.
    CreateTemplate(Box<TemplateSpec>),
    /// Make a target group.
    CreateTargetGroup(Box<TargetGroupSpec>),
    /// Bring a target group's settings about.
    SetTargetGroup {
        /// Which one.
        arn: TargetGroupArn,
        /// What it shall be like.
        spec: Box<TargetGroupSpec>,
    },
    /// Make a rule.
    CreateRule {
        /// Its listener.
        listener: ListenerArn,
        /// Its priority.
        priority: u32,
        /// When it applies.
        conditions: Conditions,
        /// Who gets what.
        weights: Vec<Weight>,
        /// Its tags.
        tags: Tags,
    },
    /// Set a rule's conditions together with all its weights, in one call.
    SetRule {
        /// Which one.
        rule: RuleArn,
        /// When it shall apply.
        conditions: Conditions,
        /// Who gets what.
        weights: Vec<Weight>,
    },
    /// Set all weights of a rule, in one call.
    SetWeights {
        /// Which one.
        rule: RuleArn,
        /// Who gets what.
        weights: Vec<Weight>,
    },
    /// Make an Auto Scaling group.
    CreateGroup {
        /// The release that it belongs to.
        release: GroupName,
        /// What it shall be like.
        spec: Box<GroupSpec>,
    },
    /// Set a group's sizes.
    SetCapacity {
        /// The release that it belongs to.
        release: GroupName,
        /// The group's own name.
        group: String,
        /// Minimum.
        min: u32,
        /// Maximum.
        max: u32,
        /// Desired; none: left to the autoscaler.
        desired: Option<u32>,
    },
    /// Make a group's policies exactly these.
    SetPolicies {
        /// The release that it belongs to.
        release: GroupName,
        /// The group's own name.
        group: String,
        /// The policies.
        policies: Vec<Policy>,
    },
    /// Put right what somebody else has changed of a group.
    SetGroup {
        /// The release that it belongs to.
        release: GroupName,
        /// The group's own name.
        group: String,
        /// What.
        change: GroupChange,
    },
    /// Write a mark.
    SetMark {
        /// On what.
        on: Carrier,
        /// Which.
        mark: Mark,
        /// The tag's value.
        value: String,
    },
    /// Remove a mark.
    ClearMark {
        /// From what.
        on: Carrier,
        /// Which.
        mark: Mark,
    },
    /// Set the user's tags.
    SetTags {
        /// On what.
        on: Carrier,
        /// The tags.
        tags: Tags,
    },
    /// Delete a rule.
    DeleteRule {
        /// Which one.
        rule: RuleArn,
    },
    /// Delete an empty group.
    DeleteGroup {
        /// The release that it belongs to.
        release: GroupName,
        /// The group's own name.
        group: String,
    },
    /// Delete a target group that no rule names.
    DeleteTargetGroup {
        /// The release that it belongs to.
        release: GroupName,
        /// Which one.
        arn: TargetGroupArn,
    },
    /// Delete a launch template.
    DeleteTemplate {
        /// The release that it belongs to.
        release: GroupName,
        /// `lt-…`.
        id: String,
    },
}

/// A resource that carries marks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// A launch template.
    Template {
        /// The release that it belongs to.
        release: GroupName,
        /// `lt-…`; empty where it is still to be made.
        id: String,
    },
    /// An Auto Scaling group.
    Group {
        /// The release that it belongs to.
        release: GroupName,
        /// The group's own name.
        name: String,
    },
}

/// A share of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight {
    /// Who gets it.
    pub target_group: TargetGroupArn,
    /// The release behind it; none for a target group that is not ours.
    pub release: Option<Release>,
    /// How much of 100.
    pub percent: u32,
}

/// The kind of a change, as the plan's JSON names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words are those of the mutations")]
pub enum Kind {
    CreateLaunchTemplate,
    CreateTargetGroup,
    SetTargetGroup,
    CreateRule,
    SetRule,
    SetWeights,
    CreateGroup,
    SetCapacity,
    SetPolicies,
    SetGroup,
    SetMark,
    ClearMark,
    SetTags,
    DeleteRule,
    DeleteGroup,
    DeleteTargetGroup,
    DeleteLaunchTemplate,
}

impl Mutation {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::CreateTemplate(_) => Kind::CreateLaunchTemplate,
            Self::CreateTargetGroup(_) => Kind::CreateTargetGroup,
            Self::SetTargetGroup { .. } => Kind::SetTargetGroup,
            Self::CreateRule { .. } => Kind::CreateRule,
            Self::SetRule { .. } => Kind::SetRule,
            Self::SetWeights { .. } => Kind::SetWeights,
            Self::CreateGroup { .. } => Kind::CreateGroup,
            Self::SetCapacity { .. } => Kind::SetCapacity,
            Self::SetPolicies { .. } => Kind::SetPolicies,
            Self::SetGroup { .. } => Kind::SetGroup,
            Self::SetMark { .. } => Kind::SetMark,
            Self::ClearMark { .. } => Kind::ClearMark,
            Self::SetTags { .. } => Kind::SetTags,
            Self::DeleteRule { .. } => Kind::DeleteRule,
            Self::DeleteGroup { .. } => Kind::DeleteGroup,
            Self::DeleteTargetGroup { .. } => Kind::DeleteTargetGroup,
            Self::DeleteTemplate { .. } => Kind::DeleteLaunchTemplate,
        }
    }

    /// What it changes: `launch-template/NAME`, `target-group/NAME`, `group/NAME`, or the
    /// ARN of a rule or, for a rule that is still to be made, of its listener.
    pub fn resource(&self) -> String {
        match self {
            Self::CreateTemplate(spec) => format!("launch-template/{}", spec.name),
            Self::DeleteTemplate { release, .. } => format!("launch-template/{release}"),
            Self::CreateTargetGroup(spec) | Self::SetTargetGroup { spec, .. } => {
                format!("target-group/{}", spec.name)
            }
            Self::DeleteTargetGroup { release, .. } => format!("target-group/{release}"),
            Self::CreateRule { listener, .. } => listener.to_string(),
            Self::SetRule { rule, .. } | Self::SetWeights { rule, .. } | Self::DeleteRule { rule } => {
                rule.default_of().map_or_else(|| rule.to_string(), |listener| listener.to_string())
            }
            Self::CreateGroup { spec, .. } => format!("group/{}", spec.name),
            Self::SetCapacity { group, .. }
            | Self::SetPolicies { group, .. }
            | Self::SetGroup { group, .. }
            | Self::DeleteGroup { group, .. } => {
                format!("group/{group}")
            }
            Self::SetMark { on, .. } | Self::ClearMark { on, .. } | Self::SetTags { on, .. } => on.to_string(),
        }
    }

    /// What the change aims at, in a few words: `min 2, max 8`, `stable`, `2.7.0 95 %, 2.7.1 5 %`.
    /// Empty where kind and resource say it all.
    pub fn target(&self) -> String {
        match self {
            Self::SetCapacity { min, max, desired, .. } => match desired {
                Some(desired) => format!("min {min}, desired {desired}, max {max}"),
                None => format!("min {min}, max {max}"),
            },
            Self::CreateGroup { spec, .. } => format!("min {}, max {}", spec.min, spec.max),
            Self::SetMark { mark, value, .. } => format!("{} {value}", mark.word()),
            Self::ClearMark { mark, .. } => mark.word().to_owned(),
            Self::CreateRule { weights, .. } | Self::SetRule { weights, .. } | Self::SetWeights { weights, .. } => {
                let shares: Vec<String> = weights.iter().map(ToString::to_string).collect();
                shares.join(", ")
            }
            Self::SetPolicies { policies, .. } => {
                let names: Vec<&str> = policies.iter().map(|p| p.name.as_str()).collect();
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            }
            Self::SetGroup { change, .. } => change.to_string(),
            Self::SetTags { tags, .. } => tags.keys().cloned().collect::<Vec<_>>().join(", "),
            _ => String::new(),
        }
    }

    /// Whether it takes something away that only a new rollout could bring back. Such a
    /// change needs two readings.
    pub fn removes(&self) -> bool {
        match self {
            Self::DeleteRule { .. }
            | Self::DeleteGroup { .. }
            | Self::DeleteTargetGroup { .. }
            | Self::DeleteTemplate { .. } => true,
            Self::SetCapacity { desired, .. } => *desired == Some(0),
            _ => false,
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template { release, .. } => write!(f, "launch-template/{release}"),
            Self::Group { name, .. } => write!(f, "group/{name}"),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "{} {} %", release.version, self.percent),
            None => write!(f, "{} (not ours) {} %", self.target_group.name(), self.percent),
        }
    }
}
