//! The plan as a value: what is said about each service.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::desired::diagnostic::Diagnostic;
use crate::desired::drift::{Field, Policy};
use crate::names::{CommitId, Digest, GroupName, Scope, ServiceName, Version};
use crate::observed::marks::{Hold, Rejected};
use crate::time::Timestamp;

use super::action::Action;
use super::review::Review;
use super::strategy::Strategy;

/// The plan of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Names what the plan was made from; the same inputs give the same id.
    pub id: String,
    /// The scope; none when its file is broken.
    pub scope: Option<Scope>,
    /// The commit that was planned; none for a plain folder.
    pub commit: Option<CommitId>,
    /// The commit that it was merged into or compared with.
    pub base: Option<CommitId>,
    /// When AWS was read; none when it wasn't.
    pub observed_at: Option<Timestamp>,
    /// Everything that the plan rests on was read.
    pub complete: bool,
    /// By name.
    pub services: Vec<ServicePlan>,
    /// By file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// What the merge changes; none when no merge is planned.
    pub review: Option<Review>,
}

/// The plan of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePlan {
    /// The service.
    pub name: ServiceName,
    /// What kind of difference there is.
    pub change: Change,
    /// How far it is.
    pub phase: Phase,
    /// What is live.
    pub from: Option<Release>,
    /// What is desired.
    pub to: Option<Release>,
    /// Why there is a difference, or why there is none.
    pub because: String,
    /// How fast the way back is.
    pub rollback: Option<RollbackClass>,
    /// Until when it is instant.
    pub rollback_until: Option<Timestamp>,
    /// What one pass would do now.
    pub actions: Vec<Action>,
    /// Why nothing moves after that.
    pub waiting_on: Option<WaitingOn>,
    /// What would follow.
    pub forecast: Vec<Forecast>,
    /// How that runs; none when nothing does.
    pub strategy: Option<Strategy>,
    /// The difference of the file, unified.
    pub file_diff: Option<String>,
    /// The server groups that stand, with their roles.
    pub groups: Vec<GroupView>,
    /// The releases that AWS still knows, the newest first.
    pub records: Vec<Record>,
    /// Who holds it.
    pub held: Option<Hold>,
    /// Why the desired release is not tried.
    pub rejected: Option<(Digest, Rejected)>,
    /// The commit of the live release.
    pub live_commit: Option<String>,
    /// When to look again at the latest; none: at the ordinary time.
    pub look_again: Option<Timestamp>,
    /// All is well, and only more readings are missing; they suffice then.
    pub brief_until: Option<Timestamp>,
    /// What is ours and is not as it was made.
    pub drift: Vec<Drift>,
    /// Nothing more will happen without a person, a commit or a change in AWS.
    pub settled: bool,
}

/// Something of ours that somebody else has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// What was changed: `group/NAME`, or the ARN of a rule or listener.
    pub resource: String,
    /// What of it.
    pub field: Field,
    /// As it is.
    pub found: String,
    /// As it was made, or as the file says.
    pub expected: String,
    /// What is done about it.
    pub policy: Policy,
}

/// A release, as plans name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// Its digest.
    pub digest: Digest,
}

/// The classified difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// No difference.
    None,
    /// The first release of a service.
    Create,
    /// A new release beside a live one.
    Release,
    /// Back to a release that was stable, or from a candidate to the live one.
    Rollback,
    /// The first release of a service, which takes over what somebody else serves today.
    Takeover,
    /// Settings, without new machines.
    Update,
    /// The file is gone and prune says that the service goes.
    Remove,
    /// A difference that will not be acted on.
    Blocked,
}

/// How far a rollout is, inferred from AWS alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Settled, warm group or not.
    Steady,
    /// Until the candidate's group exists.
    Provisioning,
    /// Until the candidate is ready for its first weight.
    Warming,
    /// While a weight call is due.
    Shifting,
    /// Watching with traffic.
    Baking,
    /// A group without traffic is being emptied.
    Draining,
    /// A group is being deleted.
    Retiring,
    /// Traffic goes or has gone back.
    RollingBack,
    /// No weight may move, or nothing helps.
    Halted,
    /// Nothing of it stands, and nothing comes up.
    Absent,
    /// Something is due that has not begun.
    Pending,
    /// It stands still because a person or its file says so.
    Held,
    /// What its file wants was rejected.
    Rejected,
    /// What its file wants will not be tried without a person, a commit or a change in AWS.
    Blocked,
}

impl Phase {
    /// As people say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Provisioning => "provisioning",
            Self::Warming => "warming",
            Self::Shifting => "shifting",
            Self::Baking => "baking",
            Self::Draining => "draining",
            Self::Retiring => "retiring",
            Self::RollingBack => "rolling back",
            Self::Halted => "halted",
            Self::Absent => "absent",
            Self::Pending => "pending",
            Self::Held => "held",
            Self::Rejected => "rejected",
            Self::Blocked => "blocked",
        }
    }
}

/// How fast a way back is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackClass {
    /// One weight call.
    Instant,
    /// Its group stands and must grow first.
    ScaleUp,
    /// It needs new machines.
    Full,
}

/// Why nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each word says it")]
pub enum Reason {
    Capacity,
    Health,
    Bake,
    Warm,
    Drain,
    Freeze,
    Hold,
    Paused,
    Approval,
    Gate,
    Dependency,
    Slot,
    Limit,
    Preflight,
    Retry,
    Unknown,
    Fence,
    Rejected,
    Invalid,
    Error,
    Down,
}

/// Why nothing moves, since when and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingOn {
    /// The kind of reason.
    pub reason: Reason,
    /// For people.
    pub detail: String,
    /// Since when, if known.
    pub since: Option<Timestamp>,
    /// Until when at the latest, if there is such a time.
    pub until: Option<Timestamp>,
}

/// A moment of the future, if all goes well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Seconds from now.
    pub after_secs: u64,
    /// What happens.
    pub event: String,
    /// Machines of the service from then on.
    pub instances: u32,
    /// Who gets traffic from then on.
    pub weights: Vec<ReleaseWeight>,
}

/// A share of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseWeight {
    /// The release's version.
    pub version: Version,
    /// The release's digest.
    pub digest: Digest,
    /// How much of 100.
    pub percent: u32,
}

/// The part that a server group plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Serves.
    Live,
    /// Will serve.
    Candidate,
    /// Served last, and could again at once.
    Warm,
    /// Goes.
    Leftover,
}

/// A server group, as status shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// Its name.
    pub name: GroupName,
    /// Its release's version.
    pub version: Version,
    /// Its release's digest.
    pub digest: Digest,
    /// Its part.
    pub role: Role,
    /// Percent of the traffic; none when the action doesn't name it.
    pub weight: Option<u32>,
    /// Machines that it aims at.
    pub desired_capacity: u32,
    /// Machines that are well; the group's own word where targets were not read.
    pub healthy: u32,
    /// Its marks, from template and group, without the prefix.
    pub marks: BTreeMap<String, String>,
}

/// What AWS still knows of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which.
    pub release: Release,
    /// The name of its resources.
    pub group: GroupName,
    /// The commit that made it, as text.
    pub commit: String,
    /// What became of it.
    pub outcome: RecordOutcome,
    /// When its template was made.
    pub created: Option<Timestamp>,
    /// When it settled, unless it was rolled back from since.
    pub stable: Option<Timestamp>,
    /// When traffic left it, as long as its group stands.
    pub retired: Option<Timestamp>,
    /// Why it is not tried again.
    pub rejected: Option<Rejected>,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordOutcome {
    /// It serves.
    Live,
    /// It is coming up.
    Candidate,
    /// It settled, another one followed, and its machines stand.
    Warm,
    /// It settled, another one followed, and only its template is left.
    Superseded,
    /// It failed, and is not tried again.
    Rejected,
    /// It served, and was left for an earlier one.
    RolledBack,
    /// It was taken back without a verdict, before it settled or after it was left.
    Withdrawn,
}
