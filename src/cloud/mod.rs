//! The port to a cloud, in our words.
//!
//! [`CloudReader`] never changes anything and [`CloudWriter`] makes one change a call, so
//! that a dry run can be given the first alone. `aws` speaks to AWS, `sim` is a small AWS
//! in memory, and [`observe`] puts single readings together, whichever is behind.

#[cfg(feature = "aws")]
pub mod aws;
pub mod error;
pub mod faulty;
pub mod lease;
pub mod observe;
pub mod sim;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::names::{AccountId, ListenerArn, RuleArn, Scope, ServiceName, TargetGroupArn};
use crate::observed::prerequisites::{Found, Kind};
use crate::observed::resources::{
    Activity, Conditions, Details, Group, GroupChange, GroupSpec, Kept, Listener, Policy, Rule, Tags, TargetGroup,
    TargetGroupSpec, Targets, Template, TemplateSpec,
};
use crate::time::Timestamp;

pub use error::{CloudError, ErrorKind};

/// The most pages of one listing: a million groups. One without an end would fill the memory.
pub const PAGES_MAX: usize = 10_000;

/// Whose credentials we act with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
    /// The last part of the caller's ARN.
    pub name: String,
}

/// Which of our resources to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Only of this scope.
    pub scope: Scope,
    /// Only of this service, when given.
    pub service: Option<ServiceName>,
}

/// A resource that carries tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tagged {
    /// A launch template, by id.
    Template(String),
    /// An Auto Scaling group, by name.
    Group(String),
    /// A target group.
    TargetGroup(TargetGroupArn),
    /// A rule.
    Rule(RuleArn),
}

impl Tagged {
    /// The operation that changes its tags, of three by service: EC2, Auto Scaling, Elastic
    /// Load Balancing; and its name.
    fn operation_and_name(
        &self,
        ec2: &'static str,
        scaling: &'static str,
        balancing: &'static str,
    ) -> (&'static str, &str) {
        match self {
            Self::Template(id) => (ec2, id),
            Self::Group(name) => (scaling, name),
            Self::TargetGroup(arn) => (balancing, arn.as_str()),
            Self::Rule(arn) => (balancing, arn.as_str()),
        }
    }
}

/// A rule to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// Its listener.
    pub listener: ListenerArn,
    /// Its priority.
    pub priority: u32,
    /// When it applies.
    pub conditions: Conditions,
    /// Percents by target group; they sum to 100.
    pub weights: Vec<(TargetGroupArn, u32)>,
    /// What it has besides, where it takes another rule's place.
    pub kept: Kept,
    /// Its tags.
    pub tags: Tags,
}

/// Readings. A listing is whole or an error: there are no partial answers.
#[async_trait]
pub trait CloudReader: Send + Sync {
    /// The clock that marks are compared with.
    fn now(&self) -> Timestamp;
    /// Whose credentials these are.
    async fn caller(&self) -> Result<Caller, CloudError>;
    /// All Auto Scaling groups of an owner.
    async fn groups(&self, owner: &Owner) -> Result<Vec<Group>, CloudError>;
    /// All launch templates of an owner.
    async fn templates(&self, owner: &Owner) -> Result<Vec<Template>, CloudError>;
    /// All target groups of the account and region, ours and others'.
    async fn target_groups(&self) -> Result<Vec<TargetGroup>, CloudError>;
    /// Some listeners, in one call. One that does not exist fails the call.
    async fn listeners(&self, arns: &[ListenerArn]) -> Result<Vec<Listener>, CloudError>;
    /// All rules of a listener, its default rule included.
    async fn rules(&self, listener: &ListenerArn) -> Result<Vec<Rule>, CloudError>;
    /// Tags of rules and target groups by ARN. What does not exist is left out.
    async fn tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>, CloudError>;
    /// The health of a target group's targets.
    async fn target_health(&self, arn: &TargetGroupArn) -> Result<Targets, CloudError>;
    /// The newest scaling activities of a group, at most one page.
    async fn activities(&self, group: &str) -> Result<Vec<Activity>, CloudError>;
    /// Settings that are not inline: a group's policies and its target group's attributes.
    async fn details(&self, group: &str, target_group: Option<&TargetGroupArn>) -> Result<Details, CloudError>;
    /// What releases need of one kind, all of it in as few calls as AWS allows. An answer has
    /// each thing that was asked for; one that doesn't exist has AWS's words for that.
    async fn prerequisites(&self, kind: Kind, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Found>, CloudError>;
}

/// Changes. Each is absolute: doing it twice is doing it once. A creation that finds the
/// name taken verifies owner and digest, then takes the thing over.
#[async_trait]
pub trait CloudWriter: Send + Sync {
    /// Makes a launch template whose one version is `1`.
    async fn create_template(&self, spec: &TemplateSpec) -> Result<(), CloudError>;
    /// Makes a target group in the VPC of its listener's load balancer, with its attributes.
    async fn create_target_group(&self, spec: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError>;
    /// Brings a target group's health check and attributes about.
    async fn set_target_group(&self, arn: &TargetGroupArn, spec: &TargetGroupSpec) -> Result<(), CloudError>;
    /// Makes a rule.
    async fn create_rule(&self, spec: &RuleSpec) -> Result<RuleArn, CloudError>;
    /// Sets a rule's actions, and its conditions when given, in one call: the forward with
    /// these weights, and what is kept beside them. What a rule has besides actions and
    /// conditions stays.
    async fn set_rule(
        &self,
        arn: &RuleArn,
        conditions: Option<&Conditions>,
        weights: &[(TargetGroupArn, u32)],
        kept: &Kept,
    ) -> Result<(), CloudError>;
    /// Makes a group.
    async fn create_group(&self, spec: &GroupSpec) -> Result<(), CloudError>;
    /// Sets a group's sizes; desired only when given.
    async fn set_capacity(&self, group: &str, min: u32, max: u32, desired: Option<u32>) -> Result<(), CloudError>;
    /// Puts right what somebody else has changed of a group.
    async fn set_group(&self, group: &str, change: &GroupChange) -> Result<(), CloudError>;
    /// Makes a group's policies exactly these.
    async fn set_policies(&self, group: &str, policies: &[Policy]) -> Result<(), CloudError>;
    /// Sets some tags.
    async fn set_tags(&self, on: &Tagged, tags: &Tags) -> Result<(), CloudError>;
    /// Removes some tags.
    async fn clear_tags(&self, on: &Tagged, keys: &[String]) -> Result<(), CloudError>;
    /// Deletes a rule; one that is gone is success.
    async fn delete_rule(&self, arn: &RuleArn) -> Result<(), CloudError>;
    /// Deletes an empty group, never by force; one that is gone is success.
    async fn delete_group(&self, group: &str) -> Result<(), CloudError>;
    /// Deletes a target group; one that is gone is success.
    async fn delete_target_group(&self, arn: &TargetGroupArn) -> Result<(), CloudError>;
    /// Deletes a launch template by id; one that is gone is success.
    async fn delete_template(&self, id: &str) -> Result<(), CloudError>;
}

/// Both halves.
pub trait Cloud: CloudReader + CloudWriter {}
impl<T: CloudReader + CloudWriter> Cloud for T {}
