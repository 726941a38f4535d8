//! One service as AWS shows it, put together from single resources.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{GroupName, ListenerArn, RuleArn, ServiceName, TargetGroupArn};
use crate::time::{Span, Timestamp};

use super::marks::{Identity, Marks};
use super::prerequisites::{Needed, Prerequisites};
use super::resources::{Activity, Details, Instance, Lifecycle, Rule, Shape, Tags, TargetGroup, TargetHealth, Targets};

/// One reading of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// When the reading began.
    pub at: Timestamp,
    /// Each service that has resources, and each that was asked for.
    pub services: BTreeMap<ServiceName, ServiceState>,
    /// Resources with the scope's tag whose other tags don't say what they are; they are
    /// never touched.
    pub unreadable: Vec<String>,
}

/// One service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceState {
    /// What could not be read. With it, nothing may be concluded from what is absent.
    pub incomplete: Option<String>,
    /// Its releases that have left anything in AWS, by name.
    pub groups: BTreeMap<GroupName, ServerGroup>,
    /// The rules that carry its tags, and those without any owner's tags that forward to
    /// it, by ARN. More than one only while it moves to another listener or priority.
    pub rules: Vec<Rule>,
    /// Of its rules, those that are the user's: default actions, and rules that it has
    /// taken over. Their action is ours to change, and they are never deleted.
    pub borrowed: BTreeSet<RuleArn>,
    /// Who stands where the file wants the rule; none when the file wants none.
    pub slot: Option<Slot>,
    /// The rule or default action that stands there, whoever's it is.
    pub standing: Option<Rule>,
    /// The highest priority that nobody has on the listener where the file wants the default
    /// action; none when there is none, or the file wants a rule.
    pub spare_priority: Option<u32>,
    /// The health of targets behind target groups that aren't ours, where it was read.
    pub foreign: BTreeMap<TargetGroupArn, Targets>,
    /// What its next release needs, where that was asked for.
    pub prerequisites: Prerequisites,
}

/// Who stands at a listener and priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// Nobody.
    Free,
    /// Our rule.
    Ours,
    /// A rule or default action of nobody who has tagged it, which forwards all its traffic
    /// to one target group: what it is, for people. A file may ask to take it over.
    Adoptable(String),
    /// A rule or default action of another service of the scope.
    Neighbour(Box<Neighbour>),
    /// Somebody else's rule: what it is, for people.
    Foreign(String),
    /// The listener does not exist.
    NoListener,
}

/// Another service of the scope that has a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Which.
    pub service: ServiceName,
    /// What stands there, for people.
    pub what: String,
    /// The rules with its tags on the listeners that were read.
    pub rules: Vec<Rule>,
    /// The priorities that have a rule on the listener.
    pub taken: BTreeSet<u32>,
}

/// The live form of a release, or what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerGroup {
    /// The name that its resources share.
    pub name: GroupName,
    /// Whose it is and which release.
    pub identity: Identity,
    /// Its launch template.
    pub template: Option<TemplateState>,
    /// Its Auto Scaling group, unless that is being deleted.
    pub group: Option<GroupState>,
    /// Names of its Auto Scaling groups that are being deleted; they block their names.
    pub deleting: Vec<String>,
    /// Its target group.
    pub target_group: Option<TargetGroup>,
    /// Its weight in percent of the action; none when the action doesn't name it.
    pub weight: Option<u32>,
    /// The health of its targets; none when it was not read.
    pub targets: Option<Targets>,
    /// Its settings that are not inline; none when they were not read.
    pub details: Option<Details>,
    /// Its latest scaling activities, newest first; none when they were not read.
    pub activities: Option<Vec<Activity>>,
}

/// A launch template with its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateState {
    /// `lt-…`.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its marks.
    pub marks: Marks,
    /// The commit that made it, as text.
    pub commit: String,
    /// All its tags.
    pub tags: Tags,
}

/// An Auto Scaling group with its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// Its own name: the release's, or that with `-2` and so on.
    pub name: String,
    /// The least it scales in to.
    pub min: u32,
    /// The most it scales out to.
    pub max: u32,
    /// What it aims at now.
    pub desired: u32,
    /// Its machines.
    pub instances: Vec<Instance>,
    /// Names of suspended processes.
    pub suspended: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Its marks.
    pub marks: Marks,
    /// The commit that made it, as text.
    pub commit: String,
    /// All its tags.
    pub tags: Tags,
    /// The template's name and version that it launches from.
    pub template: Option<(String, String)>,
    /// How it was made besides; none where that was not read.
    pub shape: Option<Shape>,
}

/// The machines of a group, each in one of four numbers. They sum to what the group aims at,
/// or to more while it shrinks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// In service, healthy for the group, and healthy for the load balancer if there is one.
    pub healthy: u32,
    /// On its way up: not yet in service, not yet judged, or unhealthy while it has never been
    /// healthy and its grace lasts.
    pub booting: u32,
    /// Unhealthy otherwise.
    pub failing: u32,
    /// What the group aims at and no machine is: terminated, not launched, detached,
    /// deregistered or not in use.
    pub missing: u32,
}

impl Health {
    /// Of targets of which nothing else is known.
    pub fn of_targets(targets: &Targets) -> Self {
        let those = |wanted| count(targets.values().filter(|target| target.health == wanted));
        let (healthy, failing) = (those(TargetHealth::Healthy), those(TargetHealth::Unhealthy));
        Self { healthy, booting: those(TargetHealth::Initial), failing, missing: 0 }
    }
}

impl GroupState {
    /// Machines that the group itself calls well.
    pub fn inline_healthy(&self) -> u32 {
        count(self.instances.iter().filter(|i| i.lifecycle == Lifecycle::InService && i.healthy))
    }
}

impl ServerGroup {
    /// The group's `step` mark.
    pub fn step(&self) -> Option<super::marks::Step> {
        self.group.as_ref()?.marks.step
    }

    /// When traffic left it.
    pub fn retired(&self) -> Option<Timestamp> {
        self.group.as_ref()?.marks.retired
    }

    /// When it settled, unless it was rolled back from since.
    pub fn stable(&self) -> Option<Timestamp> {
        self.template.as_ref()?.marks.stable
    }

    /// Its template's marks; those of no template are none.
    pub fn template_marks(&self) -> Marks {
        self.template.as_ref().map(|t| t.marks.clone()).unwrap_or_default()
    }

    /// Its group's marks; those of no group are none.
    pub fn group_marks(&self) -> Marks {
        self.group.as_ref().map(|g| g.marks.clone()).unwrap_or_default()
    }

    /// Its weight, 0 when no action names it.
    pub fn percent(&self) -> u32 {
        self.weight.unwrap_or(0)
    }
}

impl ServiceState {
    /// The rule at a listener and priority, if it is ours.
    pub fn rule_at(&self, listener: &ListenerArn, priority: Option<u32>) -> Option<&Rule> {
        self.rules.iter().find(|r| &r.listener == listener && r.priority == priority)
    }

    /// The server group that a target group belongs to.
    pub fn owner_of(&self, arn: &TargetGroupArn) -> Option<&ServerGroup> {
        self.groups.values().find(|g| g.target_group.as_ref().is_some_and(|t| &t.arn == arn))
    }

    /// Target groups in our rules that belong to no release of ours, with their percent.
    pub fn foreign_targets(&self) -> Vec<(TargetGroupArn, u32)> {
        let mut foreign = BTreeMap::new();
        for rule in &self.rules {
            for (arn, percent) in rule.action.percents() {
                if self.owner_of(&arn).is_none() {
                    foreign.insert(arn, percent);
                }
            }
        }
        foreign.into_iter().collect()
    }
}

/// What more must be read of a service, and of which server groups: these readings cost a
/// call each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// The health of their targets.
    pub health: Vec<GroupName>,
    /// Their scaling activities.
    pub activities: Vec<GroupName>,
    /// Their settings.
    pub details: Vec<GroupName>,
    /// Their settings, to see whether somebody has changed them: no decision rests on it.
    pub audit: Vec<GroupName>,
    /// The health of targets that aren't ours.
    pub foreign: Vec<TargetGroupArn>,
    /// What a release needs of which nothing stands yet.
    pub prerequisites: BTreeSet<Needed>,
}

/// Where a service's rule should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The listener.
    pub listener: ListenerArn,
    /// The priority; none: the default action.
    pub priority: Option<u32>,
}

/// How long a created thing may be missing from a reading before that means anything.
/// Source: AWS documents eventual consistency without a bound; controllers use 1 to 2 min.
pub const CREATED_GRACE: Span = Span::from_secs(60);

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
