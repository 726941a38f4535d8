//! The validated form of the config repository's files.

use std::collections::BTreeMap;

use crate::names::{AccountId, CommitId, Digest, ListenerArn, Region, Scope, ServiceName, Version};
use crate::time::{Span, Timestamp};

use super::diagnostic::Diagnostic;
use super::drift::Drifts;

/// Everything that one commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The commit that was read; none for a plain folder.
    pub commit: Option<CommitId>,
    /// `ionroller.toml`, or none when it is broken, which blocks the scope.
    pub scope: Option<ScopeConfig>,
    /// Each service that has a file, by name.
    pub services: BTreeMap<ServiceName, ServiceFile>,
    /// Services whose files are right but for one thing: another file claims the same place on
    /// a listener. Whose it is, AWS says; until then they count as broken.
    pub contested: BTreeMap<ServiceName, Contested>,
    /// All problems of all files, by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// Where each valid service says what AWS is asked about, by key: what is wrong with that is
    /// only found there.
    pub places: BTreeMap<ServiceName, BTreeMap<&'static str, FilePlace>>,
}

impl Desired {
    /// What a service's file says, also while another file claims its place.
    pub fn spec_of(&self, service: &ServiceName) -> Option<&ServiceSpec> {
        match self.services.get(service) {
            Some(ServiceFile::Valid(spec)) => Some(spec),
            Some(ServiceFile::Broken) | None => self.contested.get(service).map(|contested| &*contested.spec),
        }
    }
}

/// A file that claims the same place as another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    /// What it says.
    pub spec: Box<ServiceSpec>,
    /// What is wrong, as in [`Desired::diagnostics`].
    pub diagnostic: Diagnostic,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlace {
    /// The file, relative to the repository's root.
    pub file: String,
    /// Line and column, from 1.
    pub position: Option<(u32, u32)>,
}

/// The keys that name what only AWS knows.
pub const ASKED_OF_AWS: [&str; 6] = [
    "network.subnets",
    "network.security_groups",
    "machine.ami",
    "machine.instance_type",
    "load_balancer.listener",
    "load_balancer.adopt",
];

/// A service's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceFile {
    /// It says what should run.
    Valid(Box<ServiceSpec>),
    /// It has errors. It blocks its own service alone, and is never taken for a
    /// deleted one.
    Broken,
}

/// `ionroller.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeConfig {
    /// The owner of all services here.
    pub scope: Scope,
    /// The region of all resources.
    pub region: Region,
    /// The account whose credentials are needed; none: any, with a warning.
    pub account: Option<AccountId>,
    /// A role to assume first.
    pub role_arn: Option<String>,
    /// The external id for that role.
    pub external_id: Option<String>,
    /// How much may happen at once.
    pub limits: Limits,
    /// What a missing service file means.
    pub prune: Prune,
    /// When nothing new starts.
    pub freezes: Vec<Freeze>,
}

/// `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rollouts at once; the others wait. Rollbacks are exempt.
    pub max_concurrent_rollouts: u32,
    /// More services than this that wait to start a release are blocked.
    pub max_releases_per_change: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_concurrent_rollouts: 5, max_releases_per_change: 20 }
    }
}

/// `[prune]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prune {
    /// Whether a service without a file is removed.
    pub enabled: bool,
    /// With more orphans than this at once, none is removed.
    pub max_services: u32,
}

impl Default for Prune {
    fn default() -> Self {
        Self { enabled: false, max_services: 1 }
    }
}

/// A time in which no create, release or remove starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// What people call it.
    pub name: String,
    /// From then, inclusive.
    pub from: Timestamp,
    /// Until then, exclusive.
    pub until: Timestamp,
    /// The services that it holds; empty: all.
    pub services: Vec<ServiceName>,
}

/// A service file: the release and the settings around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The file's stem.
    pub name: ServiceName,
    /// The release's version.
    pub version: Version,
    /// Any new text is a new digest.
    pub redeploy: Option<String>,
    /// A hold, said in Git: why.
    pub paused: Option<String>,
    /// The container; none: a baked AMI.
    pub image: Option<Image>,
    /// The machines.
    pub machine: Machine,
    /// The container's or boot script's environment.
    pub env: BTreeMap<String, String>,
    /// Names of variables → where their secret is, fetched on the machine at boot.
    pub secrets: BTreeMap<String, SecretRef>,
    /// Where the machines stand.
    pub network: Network,
    /// How many machines.
    pub capacity: Capacity,
    /// How traffic comes; none: a worker.
    pub load_balancer: Option<LoadBalancer>,
    /// How a new release takes over.
    pub rollout: Rollout,
    /// What stays of old releases.
    pub retention: Retention,
    /// What becomes of what somebody else changes.
    pub drift: Drifts,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// The identity of the release, from [`super::digest`].
    pub digest: Digest,
    /// The finished boot script, at most 16,384 bytes.
    pub user_data: String,
}

/// `[image]`: the container of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The repository, without tag or digest.
    pub repository: String,
    /// `sha256:…`; none: the version is the tag.
    pub digest: Option<String>,
    /// Host port → container port.
    pub ports: Vec<PortMapping>,
    /// Arguments for the container.
    pub command: Vec<String>,
    /// Host path → container path.
    pub volumes: Vec<VolumeMapping>,
}

impl Image {
    /// `REPOSITORY@DIGEST`, or `REPOSITORY:VERSION` without a digest.
    pub fn reference(&self, version: &Version) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.repository),
            None => format!("{}:{version}", self.repository),
        }
    }
}

/// One published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMapping {
    /// On the machine.
    pub host: u16,
    /// In the container.
    pub container: u16,
}

/// One mounted path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMapping {
    /// On the machine, absolute.
    pub host: String,
    /// In the container, absolute.
    pub container: String,
}

/// `[machine]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The machine image.
    pub ami: Ami,
    /// Such as `t3.small`.
    pub instance_type: String,
    /// The name of the instance profile.
    pub instance_profile: Option<String>,
    /// The name of the key pair.
    pub key_name: Option<String>,
    /// The size of the root volume; none: the AMI's.
    pub root_volume_gib: Option<u32>,
    /// The user's part of the boot script: its path and content.
    pub user_data: Option<UserScript>,
    /// What must be good before a machine counts; none: its launch alone.
    pub ready: Option<Ready>,
}

/// `machine.ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// What is asked.
    pub check: ReadyCheck,
    /// From a machine's start until it is given up.
    pub timeout: Span,
}

impl Ready {
    /// How long a machine may take where the file doesn't say.
    pub const TIMEOUT: Span = Span::from_mins(5);
}

/// What is asked again and again on the machine itself until it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyCheck {
    /// An address on the machine, which must answer with a status of 200 to 299.
    Http(String),
    /// A line for bash, which must end with 0.
    Command(String),
}

/// `machine.ami`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ami {
    /// `ami-…`.
    Id(String),
    /// `name:PATTERN` with the version filled in: own account, newest match.
    Name(String),
}

/// The user's script that follows the generated one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserScript {
    /// Its path in the config folder.
    pub path: String,
    /// Its text.
    pub content: String,
}

/// A reference to a secret, never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// `ssm:PATH`: a parameter of the Systems Manager parameter store.
    Ssm(String),
    /// `secretsmanager:ARN_OR_NAME`.
    SecretsManager(String),
}

/// `[network]`. Both lists are sorted and without repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The machines are spread over these.
    pub subnets: Vec<String>,
    /// The machines' security groups.
    pub security_groups: Vec<String>,
}

/// `[capacity]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// At least this many machines; at least 1 behind a load balancer.
    pub min: u32,
    /// At most this many.
    pub max: u32,
    /// Target tracking.
    pub scaling: Vec<Scaling>,
}

/// One target tracking policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    /// What is measured.
    pub metric: Metric,
    /// The value to keep it at, in thousandths, so that it compares exactly.
    pub target_millis: u64,
}

/// What a scaling policy measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// The group's average CPU, percent.
    Cpu,
    /// Requests per target and minute.
    RequestsPerTarget,
}

/// `[load_balancer]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancer {
    /// The listener, which belongs to the user.
    pub listener: ListenerArn,
    /// Our rule; none: the listener's default action.
    pub rule: Option<RuleSpec>,
    /// The port of the machines.
    pub port: u16,
    /// Their protocol.
    pub protocol: Protocol,
    /// How the load balancer asks whether a machine is well.
    pub health_check: HealthCheckSpec,
    /// How long a leaving machine may finish its requests.
    pub deregistration_delay: Span,
    /// Take over a plain forward to target groups that are not ours.
    pub adopt: bool,
}

/// `load_balancer.rule`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSpec {
    /// Unique on its listener, 1 to 50,000.
    pub priority: u32,
    /// Host names; empty: any. Hosts and paths together are never both empty.
    pub hosts: Vec<String>,
    /// Path patterns; empty: any.
    pub paths: Vec<String>,
}

/// The protocol of a target group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// Network Load Balancer.
    Tcp,
    /// Network Load Balancer, TLS ended there.
    Tls,
    /// Network Load Balancer.
    Udp,
    /// Network Load Balancer, one port for both.
    TcpUdp,
}

impl Protocol {
    /// As AWS and the files write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Udp => "UDP",
            Self::TcpUdp => "TCP_UDP",
        }
    }
}

/// `load_balancer.health_check`, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheckSpec {
    /// The path asked for; unused by TCP checks.
    pub path: String,
    /// The port; none: the port of the traffic.
    pub port: Option<u16>,
    /// The protocol: HTTP, HTTPS or TCP; none: that of the traffic, which is one of them.
    pub protocol: Option<Protocol>,
    /// Time between two checks.
    pub interval: Span,
    /// When a check has failed.
    pub timeout: Span,
    /// Checks until healthy.
    pub healthy: u32,
    /// Failures until unhealthy.
    pub unhealthy: u32,
    /// Status codes that count as well.
    pub matcher: String,
}

/// `[rollout]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Percents on the candidate: rising, the last is 100.
    pub steps: Vec<u32>,
    /// After each step.
    pub bake: Span,
    /// From the start of the candidate until it must be healthy.
    pub healthy_deadline: Span,
    /// How long the candidate must have been ready.
    pub healthy_for: Span,
    /// How long a target may be unhealthy during a rollout.
    pub unhealthy_for: Span,
    /// CloudWatch alarms that must not turn on.
    pub alarms: Vec<String>,
    /// What a failure leads to.
    pub on_failure: OnFailure,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            steps: vec![100],
            bake: Span::from_mins(5),
            healthy_deadline: Span::from_mins(15),
            healthy_for: Span::from_secs(10),
            unhealthy_for: Span::from_mins(2),
            alarms: Vec::new(),
            on_failure: OnFailure::RollBack,
        }
    }
}

/// `rollout.on_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Weights back, the candidate goes.
    RollBack,
    /// Weights back, the candidate's machines stay, the service is held.
    Hold,
}

/// `[retention]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long the old group stays at full size.
    pub warm: Span,
    /// Past stable releases kept as launch templates.
    pub records: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { warm: Span::from_mins(60), records: 3 }
    }
}
