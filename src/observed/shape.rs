//! How a group is made besides its sizes, and what of that is put right.

use std::fmt;

use crate::names::{GroupName, TargetGroupArn};
use crate::time::Span;

/// How a group is made besides its sizes: what only somebody else changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The id of the template that it launches from: one made later with the same name is
    /// another one.
    pub template_id: Option<String>,
    /// The target groups that it registers its machines in.
    pub target_groups: Vec<TargetGroupArn>,
    /// `ELB`, `EC2`, or several words with commas.
    pub health_check: String,
    /// From a machine's start until the load balancer's word counts.
    pub grace: Span,
    /// Where its machines stand, sorted.
    pub subnets: Vec<String>,
    /// New machines are protected from scale-in.
    pub protects_new: bool,
    /// Machines that are protected from scale-in, by id.
    pub protected: Vec<String>,
    /// How many machines wait for a lifecycle hook.
    pub in_hooks: u32,
    /// It launches from several templates or types instead of from one template.
    pub mixed_instances: bool,
    /// Which machines it terminates first.
    pub termination: Vec<String>,
    /// What keeps it from being deleted, in AWS's words; none where nothing is said.
    pub deletion_protection: Option<String>,
}

/// What of a group is put right, as it shall be then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupChange {
    /// It launches from version 1 of this template.
    Template(GroupName),
    /// It registers its machines in this target group, too.
    Attach(TargetGroupArn),
    /// Whose word on health it believes, and how long after a machine's start.
    HealthCheck {
        /// `ELB` or `EC2`.
        kind: String,
        /// From a machine's start.
        grace: Span,
    },
    /// Where its machines stand.
    Subnets(Vec<String>),
    /// These processes run again.
    Resume(Vec<String>),
    /// These machines, and new ones, may be terminated when it shrinks.
    Unprotect(Vec<String>),
    /// Which machines it terminates first.
    Termination(Vec<String>),
}

impl GroupChange {
    /// The operation of AWS that makes it.
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Template(_) | Self::HealthCheck { .. } | Self::Subnets(_) | Self::Termination(_) => {
                "UpdateAutoScalingGroup"
            }
            Self::Attach(_) => "AttachLoadBalancerTargetGroups",
            Self::Resume(_) => "ResumeProcesses",
            Self::Unprotect(_) => "SetInstanceProtection",
        }
    }
}

impl fmt::Display for GroupChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(name) => write!(f, "launches from {name} version 1"),
            Self::Attach(arn) => write!(f, "target group {}", arn.name()),
            Self::HealthCheck { kind, grace } => write!(f, "health check {kind}, grace {grace}"),
            Self::Subnets(subnets) => write!(f, "subnets {}", subnets.join(", ")),
            Self::Resume(processes) => write!(f, "resume {}", processes.join(", ")),
            Self::Unprotect(machines) if machines.is_empty() => f.write_str("new machines without scale-in protection"),
            Self::Unprotect(machines) => write!(f, "{} machines without scale-in protection", machines.len()),
            Self::Termination(policies) => write!(f, "termination {}", policies.join(", ")),
        }
    }
}
