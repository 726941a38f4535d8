//! Everything that the simulated AWS remembers: plain data, saved and loaded as JSON.
//!
//! Times are in milliseconds since 1970 UTC; durations are in milliseconds too.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::names::{ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::assemble::forwarded;
use crate::observed::marks::plain;
use crate::observed::resources::{Conditions, HealthCheck, Lifecycle, Outcome, Policy, RuleAction, Tags, TargetHealth};
use crate::time::{Span, Timestamp};

use super::surroundings::Surroundings;

/// The form of a saved world. Others are refused.
const FORMAT: u32 = 1;
/// Where a world begins that nobody gave a time: 2026-01-01T00:00:00Z.
const GENESIS_MILLIS: i64 = 1_767_225_600_000;

/// One account and region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// The form of the saved text.
    pub format: u32,
    /// The virtual clock.
    pub now: i64,
    /// The account of all ARNs.
    pub account: String,
    /// The region of all ARNs.
    pub region: String,
    /// Ids are counted.
    pub next_id: u64,
    /// How fast things happen.
    pub pace: Pace,
    /// How much there may be.
    pub limits: Limits,
    /// How the machines of a version behave; those of others are well.
    pub versions: BTreeMap<String, VersionRules>,
    /// Subnets where no machine can be had at the moment.
    #[serde(default)]
    pub no_capacity: BTreeSet<String>,
    /// Subnets where every launch fails, each with its message.
    #[serde(default)]
    pub subnet_failures: BTreeMap<String, String>,
    /// Subnets in zones that are not enabled for the load balancers: machines there are
    /// never checked and get no traffic.
    #[serde(default)]
    pub subnets_off_balancer: BTreeSet<String>,
    /// Machine images that do not exist.
    pub missing_amis: Vec<String>,
    /// What of all else that a file names is not as anybody would expect.
    #[serde(default)]
    pub surroundings: Surroundings,
    /// Launch templates by id.
    pub templates: BTreeMap<String, SimTemplate>,
    /// Auto Scaling groups by name.
    pub groups: BTreeMap<String, SimGroup>,
    /// Target groups.
    pub target_groups: BTreeMap<TargetGroupArn, SimTargetGroup>,
    /// Listeners with their default actions.
    pub listeners: BTreeMap<ListenerArn, SimListener>,
    /// Rules, without default ones.
    pub rules: BTreeMap<RuleArn, SimRule>,
    /// What AWS lets pass and nobody should do, in words.
    pub violations: Vec<String>,
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// From launch until in service.
    pub boot: Span,
    /// From in service until the application answers health checks.
    pub warmup: Span,
    /// From a machine that the group calls unhealthy until it is terminated.
    pub replace: Span,
    /// From the end of draining until the machine is gone.
    pub shutdown: Span,
    /// From the deletion of a group until its name is free.
    pub deletion: Span,
    /// Between two failed launches.
    pub launch_retry: Span,
    /// From a creation until listings show it.
    /// Source: AWS documents eventual consistency without a bound.
    pub lag: Span,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            boot: Span::from_secs(30),
            warmup: Span::from_secs(20),
            replace: Span::from_secs(10),
            shutdown: Span::from_secs(10),
            deletion: Span::from_secs(20),
            launch_retry: Span::from_secs(30),
            lag: Span::ZERO,
        }
    }
}

/// Quotas.
/// Source: the documented limits of Application Load Balancers; the fixed ones are constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Rules of one load balancer, default ones not counted.
    pub rules_per_balancer: usize,
    /// Target groups of the account and region.
    pub target_groups: usize,
    /// Auto Scaling groups of the account and region.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rules_per_balancer: 100, target_groups: 3000, groups: 500 }
    }
}

/// How the machines of a version behave. What a file leaves out is as if all were well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionRules {
    /// They never answer a health check.
    pub unhealthy: bool,
    /// They answer health checks with this status code, which is good only where the
    /// target group's matcher has it.
    pub answers_code: Option<u16>,
    /// They accept a health check and never answer it.
    pub times_out: bool,
    /// What the load balancer says of one that fails its checks, instead of AWS's words
    /// for how it fails.
    pub target_words: Option<String>,
    /// The load balancer's word about them changes that often, as long as it is healthy or
    /// unhealthy.
    pub flaps: Option<Span>,
    /// They stop answering that long after they came into service.
    pub crash_after: Option<Span>,
    /// They power themselves off that long after they came into service.
    pub stops_after: Option<Span>,
    /// They vanish at once that long after they came into service, as spot machines do.
    pub vanishes_after: Option<Span>,
    /// They can't be launched, with this message.
    pub launch_failure: Option<String>,
    /// Only every n-th launch fails.
    pub launch_fails_every: Option<u32>,
    /// Their machine image does not exist.
    pub ami_missing: bool,
    /// Instead of the world's.
    pub boot: Option<Span>,
    /// Instead of the world's.
    pub warmup: Option<Span>,
}

/// A launch template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimTemplate {
    /// Unique.
    pub name: String,
    /// When it was made.
    pub created: i64,
    /// Resolved.
    pub ami: String,
    /// Such as `t3.small`; empty in files of old.
    #[serde(default)]
    pub instance_type: String,
    /// Of its machines.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// The boot script.
    pub user_data: String,
    /// Its tags.
    pub tags: Tags,
}

/// An Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimGroup {
    /// Minimum.
    pub min: u32,
    /// Maximum.
    pub max: u32,
    /// Desired.
    pub desired: u32,
    /// The template's name.
    pub template: String,
    /// The template's id, which is what AWS launches from: another template that is made
    /// with the same name later is another one. None: whichever has the name.
    #[serde(default)]
    pub template_id: Option<String>,
    /// The template's version; ours is always 1.
    #[serde(default = "first_version")]
    pub template_version: String,
    /// Where it registers machines.
    pub target_groups: Vec<TargetGroupArn>,
    /// From in service until the load balancer's word counts.
    pub grace: Span,
    /// Its machines wait in a launch hook until their application answers, and are given up
    /// after this; none: it has no hook.
    #[serde(default)]
    pub ready_within: Option<Span>,
    /// Where machines stand.
    pub subnets: Vec<String>,
    /// `ELB` or `EC2`; empty: by whether it has target groups.
    #[serde(default)]
    pub health_check_type: String,
    /// Suspended processes, sorted.
    pub suspended: Vec<String>,
    /// New machines are protected from scale-in.
    #[serde(default)]
    pub protects_new: bool,
    /// Somebody has given it a mixed instances policy.
    #[serde(default)]
    pub mixed_instances: bool,
    /// Which machines it terminates first; empty: as AWS does by default.
    #[serde(default)]
    pub termination: Vec<String>,
    /// What keeps it from being deleted; empty: nothing.
    #[serde(default)]
    pub deletion_protection: String,
    /// Its tags.
    pub tags: Tags,
    /// Its policies, sorted by name.
    pub policies: Vec<Policy>,
    /// Machines by id.
    pub instances: BTreeMap<String, SimInstance>,
    /// Newest first.
    pub activities: Vec<SimActivity>,
    /// When it was made.
    pub created: i64,
    /// No launch before.
    pub next_launch: i64,
    /// How many launches were tried: each goes to the next subnet.
    /// Source: the documents say that other zones are tried, not in which order.
    #[serde(default)]
    pub launches: usize,
    /// When a deletion ends.
    pub deleted_at: Option<i64>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimInstance {
    /// Of its release.
    pub version: String,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// What the group thinks of it.
    pub healthy: bool,
    /// When it was launched.
    pub launched: i64,
    /// When it came, or will come, into service; with a launch hook, when its boot ends.
    pub in_service: i64,
    /// Since when it waits, or waited, in the launch hook, while its application runs.
    #[serde(default)]
    pub in_hook: Option<i64>,
    /// When it will be replaced.
    pub replace_at: Option<i64>,
    /// When it will be gone.
    pub gone_at: Option<i64>,
    /// What it answered to a real health check; none where nobody asks it, and its
    /// version decides.
    #[serde(default)]
    pub answers: Option<bool>,
    /// Where it stands; empty in files of old.
    #[serde(default)]
    pub subnet: String,
    /// It is protected from scale-in.
    #[serde(default)]
    pub protected: bool,
    /// Somebody put it into standby: it is leaving, and never goes.
    #[serde(default)]
    pub standby: bool,
    /// It was powered off.
    #[serde(default)]
    pub stopped: bool,
}

impl SimInstance {
    /// Whether it waits in the launch hook.
    pub(super) fn waits_in_hook(&self) -> bool {
        self.lifecycle == Lifecycle::Pending && self.in_hook.is_some()
    }

    /// Since when its application runs, or will.
    pub(super) fn runs_since(&self) -> i64 {
        self.in_hook.unwrap_or(self.in_service)
    }
}

/// A scaling activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimActivity {
    /// When it began.
    pub started: i64,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<i64>,
    /// Why the group did it.
    #[serde(default)]
    pub cause: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What AWS says.
    pub message: String,
    /// A launch, not a termination.
    pub launch: bool,
    /// The machine, or empty.
    pub instance: String,
}

/// A target group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimTargetGroup {
    /// Unique.
    pub name: String,
    /// Of the machines.
    pub port: u16,
    /// Of the traffic.
    pub protocol: String,
    /// How it checks.
    pub health_check: HealthCheck,
    /// How long a leaving target stays.
    pub deregistration_delay: Span,
    /// Its tags.
    pub tags: Tags,
    /// Target stickiness is on.
    #[serde(default)]
    pub sticky: bool,
    /// Attributes that somebody has set besides, as AWS names them.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// By machine.
    pub targets: BTreeMap<String, SimTarget>,
    /// When it was made.
    pub created: i64,
}

/// A registered machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimTarget {
    /// What the load balancer thinks of it.
    pub health: TargetHealth,
    /// When that changes, if nothing else does.
    pub flips_at: Option<i64>,
    /// Its reason and description.
    #[serde(default)]
    pub words: String,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimListener {
    /// Its protocol.
    pub protocol: String,
    /// When no rule applies.
    pub default_action: RuleAction,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimRule {
    /// Its listener.
    pub listener: ListenerArn,
    /// Unique on its listener.
    pub priority: u32,
    /// When it applies.
    pub conditions: Conditions,
    /// What it does.
    pub action: RuleAction,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created: i64,
}

impl World {
    /// A world that holds some listeners, each with a fixed response as its default
    /// action, and every subnet and machine image that anybody names.
    pub fn for_places(listeners: impl IntoIterator<Item = ListenerArn>) -> Self {
        let listeners: BTreeMap<ListenerArn, SimListener> = listeners
            .into_iter()
            .map(|arn| {
                let protocol = if arn.is_network() { "TCP" } else { "HTTP" }.to_owned();
                (arn, SimListener { protocol, default_action: RuleAction::Other("fixed-response".to_owned()) })
            })
            .collect();
        let part = |index: usize| listeners.keys().next().and_then(|arn| arn.as_str().split(':').nth(index));
        let or = |part: Option<&str>, other: &str| part.filter(|p| !p.is_empty()).unwrap_or(other).to_owned();
        Self {
            format: FORMAT,
            now: GENESIS_MILLIS,
            account: or(part(4), "123456789012"),
            region: or(part(3), "eu-west-1"),
            next_id: 1,
            pace: Pace::default(),
            limits: Limits::default(),
            versions: BTreeMap::new(),
            no_capacity: BTreeSet::new(),
            subnet_failures: BTreeMap::new(),
            subnets_off_balancer: BTreeSet::new(),
            missing_amis: Vec::new(),
            surroundings: Surroundings::default(),
            templates: BTreeMap::new(),
            groups: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            listeners,
            rules: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    /// Adds a listener that is not there yet, as [`World::for_places`] makes it.
    pub fn add_listener(&mut self, arn: ListenerArn) {
        let mut made = Self::for_places([arn.clone()]).listeners;
        if let Some(listener) = made.remove(&arn) {
            self.listeners.entry(arn).or_insert(listener);
        }
    }

    /// Reads a saved world.
    ///
    /// # Errors
    /// The text is no world, or one of another form: why.
    pub fn load(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        // What is quoted of the file may be anything.
        let no_world = |why: &dyn std::fmt::Display| format!("not a simulated world: {}", plain(&why.to_string()));
        let head: Head = serde_json::from_str(text).map_err(|error| no_world(&error))?;
        if head.format != FORMAT {
            return Err(format!("a simulated world of form {}, this program writes form {FORMAT}", head.format));
        }
        let world: Self = serde_json::from_str(text).map_err(|error| no_world(&error))?;
        world.sound().map_err(|why| no_world(&why))?;
        Ok(world)
    }

    /// The world as text.
    ///
    /// # Errors
    /// Never in practice: all keys are texts.
    pub fn save(&self) -> Result<String, String> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        text.push('\n');
        Ok(text)
    }

    /// The virtual clock.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// A new id of 17 hex digits, as EC2 writes them.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        let id = format!("{prefix}{:017x}", self.next_id);
        self.next_id += 1;
        id
    }

    /// Whether listings show what was made then.
    pub(super) fn shows(&self, created: i64) -> bool {
        after(created, self.pace.lag) <= self.now
    }

    /// Whether any rule or default action names a target group.
    pub fn in_use(&self, arn: &TargetGroupArn) -> bool {
        self.actions().any(|(_, action)| forwarded(action).any(|found| found == arn))
    }

    /// The target groups that any rule or default action names.
    pub(super) fn used(&self) -> BTreeSet<TargetGroupArn> {
        self.actions().flat_map(|(_, action)| forwarded(action)).cloned().collect()
    }

    /// All actions with their rules' ARNs.
    pub(super) fn actions(&self) -> impl Iterator<Item = (RuleArn, &RuleAction)> {
        let defaults = self.listeners.iter().map(|(arn, listener)| (arn.default_rule(), &listener.default_action));
        self.rules.iter().map(|(arn, rule)| (arn.clone(), &rule.action)).chain(defaults)
    }

    /// How a version's machines behave.
    pub(super) fn rules_of(&self, version: &str) -> VersionRules {
        self.versions.get(version).cloned().unwrap_or_default()
    }
}

fn first_version() -> String {
    "1".to_owned()
}

/// A time and a span, in milliseconds.
pub(crate) fn after(at: i64, span: Span) -> i64 {
    at.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}
