//! Single resources, in our words: what a reading returns, and what a creation asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{GroupName, ListenerArn, TargetGroupArn};
use crate::time::{Span, Timestamp};

pub use super::rule::{Condition, Conditions, Kept, Opaque, Rule, RuleAction};
pub use super::shape::{GroupChange, Shape};

/// Tags, by key.
pub type Tags = BTreeMap<String, String>;

/// A launch template as described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// `lt-…`.
    pub id: String,
    /// Its name, which is the name of its release.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// All its tags.
    pub tags: Tags,
}

/// An Auto Scaling group as described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name: the release's, or that with `-2` and so on.
    pub name: String,
    /// The least it scales in to.
    pub min: u32,
    /// The most it scales out to.
    pub max: u32,
    /// What it aims at now.
    pub desired: u32,
    /// Its machines, by id.
    pub instances: Vec<Instance>,
    /// Deletion is in progress. It still blocks its name.
    pub deleting: bool,
    /// Names of suspended processes, sorted.
    pub suspended: Vec<String>,
    /// All its tags.
    pub tags: Tags,
    /// The template's name and version that it launches from.
    pub template: Option<(String, String)>,
    /// The target groups it registers its machines in.
    pub target_groups: Vec<TargetGroupArn>,
    /// How it was made besides; none where that was not read.
    pub shape: Option<Shape>,
    /// When it was made.
    pub created: Timestamp,
}

/// One machine of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// What the group thinks of it.
    pub healthy: bool,
}

/// The life of a machine in its group.
/// Source: the `LifecycleState` of the Auto Scaling API; unknown words are not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lifecycle {
    /// On its way up, or in a hook, or a word that we don't know.
    Pending,
    /// Part of the group's capacity.
    InService,
    /// On its way out.
    Leaving,
}

/// A target group as described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: TargetGroupArn,
    /// Its name, which is the name of its release for ours.
    pub name: String,
    /// The port of the targets.
    pub port: u16,
    /// `HTTP`, `TCP` and so on.
    pub protocol: String,
    /// How it checks.
    pub health_check: HealthCheck,
    /// Some rule or default action names it.
    pub in_use: bool,
}

/// The health check of a target group. The path and the matcher are none for TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `HTTP`, `TCP` and so on.
    pub protocol: String,
    /// A number, or `traffic-port`.
    pub port: String,
    /// The path asked for.
    pub path: Option<String>,
    /// Status codes that count as well.
    pub matcher: Option<String>,
    /// Seconds between two checks.
    pub interval_secs: u32,
    /// Seconds until one has failed.
    pub timeout_secs: u32,
    /// Checks until healthy.
    pub healthy: u32,
    /// Failures until unhealthy.
    pub unhealthy: u32,
}

/// The health of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TargetHealth {
    /// Registered, not yet judged.
    Initial,
    /// Gets traffic.
    Healthy,
    /// Failed its checks.
    Unhealthy,
    /// Leaving.
    Draining,
    /// No rule names its target group, or its zone is off: not checked.
    Unused,
    /// The load balancer doesn't know.
    Unavailable,
}

/// What a load balancer says of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its health.
    pub health: TargetHealth,
    /// AWS's reason and description, such as `Target.ResponseCodeMismatch: Health checks failed
    /// with these codes: [502]`; empty where it gives none.
    pub words: String,
}

impl From<TargetHealth> for Target {
    fn from(health: TargetHealth) -> Self {
        Self { health, words: String::new() }
    }
}

/// Targets by instance id.
pub type Targets = BTreeMap<String, Target>;

/// A listener as described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its ARN.
    pub arn: ListenerArn,
    /// Its protocol.
    pub protocol: String,
    /// What it does when no rule applies.
    pub default_action: RuleAction,
}

/// A failed or finished attempt of a group to launch a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// When it began.
    pub started: Timestamp,
    /// When it ended, if it has.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub outcome: Outcome,
    /// AWS's words.
    pub message: String,
    /// Why the group did it, in AWS's words.
    pub cause: String,
    /// The machine, where AWS names one.
    pub instance: Option<String>,
    /// It was a launch, not a termination.
    pub launch: bool,
}

/// How an activity ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Not yet.
    Running,
    /// Done.
    Successful,
    /// Failed or cancelled.
    Failed,
}

/// A target tracking policy of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// `ASGAverageCPUUtilization` or `ALBRequestCountPerTarget`, or another word for a
    /// policy that we never write.
    pub metric: String,
    /// `app/…/targetgroup/…` where the metric needs it.
    pub resource_label: Option<String>,
    /// The value to keep, in thousandths.
    pub target_millis: u64,
}

/// What a reading of settings returns for one group: the parts that are not inline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Its policies, sorted by name.
    pub policies: Vec<Policy>,
    /// Of its target group.
    pub deregistration_delay: Option<Span>,
}

/// A launch template to make. Its single version is `1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSpec {
    /// The release's name.
    pub name: GroupName,
    /// `ami-…`, or `name:PATTERN` to resolve now: own account, newest match.
    pub ami: AmiSpec,
    /// Such as `t3.small`.
    pub instance_type: String,
    /// The name of the instance profile.
    pub instance_profile: Option<String>,
    /// The name of the key pair.
    pub key_name: Option<String>,
    /// In GiB; none: the AMI's.
    pub root_volume_gib: Option<u32>,
    /// The machines' security groups.
    pub security_groups: Vec<String>,
    /// The boot script, not encoded.
    pub user_data: String,
    /// Tags of the template itself.
    pub tags: Tags,
    /// Tags of machines and volumes.
    pub machine_tags: Tags,
}

/// The machine image of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AmiSpec {
    /// `ami-…`.
    Id(String),
    /// The newest image of the own account whose name matches.
    Name(String),
}

/// A target group to make, or its settings to bring about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroupSpec {
    /// The release's name.
    pub name: GroupName,
    /// The listener whose load balancer it will stand behind; its network is the VPC.
    pub listener: ListenerArn,
    /// The port of the machines.
    pub port: u16,
    /// `HTTP`, `TCP` and so on.
    pub protocol: String,
    /// How it checks.
    pub health_check: HealthCheck,
    /// How long a leaving target may finish.
    pub deregistration_delay: Span,
    /// Its tags.
    pub tags: Tags,
}

/// A group to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    /// The release's name, or that with `-2` while the old one is being deleted.
    pub name: String,
    /// The template's name; its version is `1`.
    pub template: GroupName,
    /// None for a worker.
    pub target_group: Option<TargetGroupArn>,
    /// Where its machines stand.
    pub subnets: Vec<String>,
    /// Minimum and, at first, desired.
    pub min: u32,
    /// Maximum.
    pub max: u32,
    /// From a machine's start until the load balancer's word counts.
    pub grace: Span,
    /// Its machines wait in a launch hook until their boot script says that they are ready, and
    /// are given up after this; none: no hook.
    pub ready_within: Option<Span>,
    /// Its tags, marks included.
    pub tags: Tags,
}
