//! `[drift]`: what becomes of something of ours that somebody else has changed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::reader::{self, Reader};
use super::walk::Walk;

/// What may drift, and is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// The conditions of our rule.
    Conditions,
    /// Target groups in our action that aren't ours.
    TargetGroups,
    /// What a group launches from.
    Template,
    /// A launch template that is gone.
    LostTemplate,
    /// The target group that a group registers its machines in.
    Attachment,
    /// Whose word on health a group believes, and after how long.
    HealthCheck,
    /// Where a group's machines stand.
    Subnets,
    /// Processes of a group that are suspended.
    SuspendedProcesses,
    /// Machines that a group may not terminate when it shrinks.
    ScaleInProtection,
    /// Which machines a group terminates first.
    TerminationPolicies,
    /// Whether a group may be deleted.
    DeletionProtection,
    /// How a target group checks and lets go its machines.
    TargetGroup,
    /// By what a group is scaled.
    ScalingPolicies,
    /// The tags that the file says.
    Tags,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It is said, and put right.
    Heal,
    /// It is said.
    Report,
    /// Nothing.
    Ignore,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Conditions,
        Self::TargetGroups,
        Self::Template,
        Self::LostTemplate,
        Self::Attachment,
        Self::HealthCheck,
        Self::Subnets,
        Self::SuspendedProcesses,
        Self::ScaleInProtection,
        Self::TerminationPolicies,
        Self::DeletionProtection,
        Self::TargetGroup,
        Self::ScalingPolicies,
        Self::Tags,
    ];

    /// Its key in `[drift]`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Conditions => "conditions",
            Self::TargetGroups => "target_groups",
            Self::Template => "template",
            Self::LostTemplate => "lost_template",
            Self::Attachment => "attachment",
            Self::HealthCheck => "health_check",
            Self::Subnets => "subnets",
            Self::SuspendedProcesses => "suspended_processes",
            Self::ScaleInProtection => "scale_in_protection",
            Self::TerminationPolicies => "termination_policies",
            Self::DeletionProtection => "deletion_protection",
            Self::TargetGroup => "target_group",
            Self::ScalingPolicies => "scaling_policies",
            Self::Tags => "tags",
        }
    }

    /// As people say it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Conditions => "the rule's conditions were changed",
            Self::TargetGroups => "the rule forwards to others",
            Self::Template => "the group launches from something else",
            Self::LostTemplate => "the group's launch template is gone",
            Self::Attachment => "the group's target group was detached",
            Self::HealthCheck => "the group's health check was changed",
            Self::Subnets => "the group's subnets were changed",
            Self::SuspendedProcesses => "processes of the group are suspended",
            Self::ScaleInProtection => "machines are protected from scale-in",
            Self::TerminationPolicies => "the group's termination policies were changed",
            Self::DeletionProtection => "the group is protected from deletion",
            Self::TargetGroup => "the target group's settings were changed",
            Self::ScalingPolicies => "the group's scaling policies were changed",
            Self::Tags => "tags of the file were changed",
        }
    }

    /// Heal what has one right value; report what a person did for a reason, and what
    /// machines of unknown content may run behind.
    pub const fn default_policy(self) -> Policy {
        match self {
            Self::Template | Self::SuspendedProcesses | Self::DeletionProtection | Self::ScaleInProtection => {
                Policy::Report
            }
            _ => Policy::Heal,
        }
    }
}

/// `[drift]`: only what the file says otherwise than by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drifts(pub BTreeMap<Field, Policy>);

impl Drifts {
    /// What is done about a field.
    pub fn of(&self, field: Field) -> Policy {
        self.0.get(&field).copied().unwrap_or_else(|| field.default_policy())
    }
}

/// Reads `[drift]`.
pub(super) fn read(root: &mut Reader<'_>, walk: &mut Walk<'_>) -> Drifts {
    let mut drifts = Drifts::default();
    let Some(mut table) = root.table("drift", "drift", walk) else { return drifts };
    let words = [("heal", Policy::Heal), ("report", Policy::Report), ("ignore", Policy::Ignore)];
    for field in Field::ALL {
        let policy = table.optional(field.key(), walk, |value, walk| reader::word(value, &words, walk));
        // A default that is written out says nothing new.
        drifts.0.extend(policy.filter(|policy| *policy != field.default_policy()).map(|policy| (field, policy)));
    }
    table.finish(walk);
    drifts
}
