//! How a service stands, in few words that stay the same as long as nothing happens: no
//! times, no counts.

use crate::plan::types::{Change, Phase, Reason, Role, ServicePlan, WaitingOn};

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Somebody must look.
    Failure,
    /// On its way, or waiting.
    Pending,
    /// As the commit says.
    Success,
}

/// How a service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// In one word.
    pub verdict: Verdict,
    /// For people.
    pub text: String,
    /// What makes it another one. The text may have details that change by themselves.
    kind: String,
}

impl Standing {
    fn new(verdict: Verdict, kind: impl Into<String>, text: impl Into<String>) -> Self {
        Self { verdict, kind: kind.into(), text: text.into() }
    }

    /// Whether there is nothing new in the other one.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.verdict, &self.kind) == (other.verdict, &other.kind)
    }
}

/// How a service stands; none where that is not known, or where no file asks for anything.
pub fn of(service: &ServicePlan) -> Option<Standing> {
    let wait = service.waiting_on.as_ref();
    let reason = wait.map(|wait| wait.reason);
    if reason == Some(Reason::Unknown) {
        return None;
    }
    if let Some(failure) = failure(service, wait) {
        return Some(failure);
    }
    let to = service.to.as_ref()?;
    let version = &to.version;
    let pending = |kind: String, text: String| Some(Standing::new(Verdict::Pending, kind, text));
    if let Some(wait) = wait.filter(|wait| stands_still(wait.reason) && service.change != Change::None) {
        return pending(format!("{:?} {version}", wait.reason), format!("{version} waits: {}", wait.detail));
    }
    match (service.change, service.phase) {
        (Change::None, Phase::Steady | Phase::Held | Phase::Draining | Phase::Retiring) => {
            Some(Standing::new(Verdict::Success, version.as_str(), format!("{version} is live")))
        }
        (Change::None, _) => pending(format!("repair {version}"), format!("{version} is brought back to full size")),
        (Change::Update, _) => pending("update".to_owned(), format!("{version} gets new settings")),
        (Change::Rollback, _) | (_, Phase::RollingBack) => {
            pending(format!("rollback {version}"), format!("traffic goes back to {version}"))
        }
        _ => match share(service) {
            0 => pending(format!("begin {version}"), format!("{version} comes up")),
            percent => {
                pending(format!("share {version} {percent}"), format!("{version} has {percent} % of the traffic"))
            }
        },
    }
}

/// What somebody must look at.
fn failure(service: &ServicePlan, wait: Option<&WaitingOn>) -> Option<Standing> {
    let failed = |kind: String, text: String| Some(Standing::new(Verdict::Failure, kind, text));
    let desired = service.to.as_ref();
    if let (Some((digest, rejected)), Some(to)) = (&service.rejected, desired)
        && to.digest == *digest
    {
        let text = format!("{} was rejected: {}", to.version, rejected.text);
        return failed(format!("rejected {}", rejected.at), text);
    }
    let detail = wait.map_or("nothing moves", |wait| wait.detail.as_str());
    let kind = format!("{:?}", wait.map(|wait| wait.reason));
    match (service.phase, service.change) {
        (Phase::Halted, _) => failed(format!("halted {kind}"), format!("halted: {detail}")),
        (_, Change::Blocked) => failed(format!("blocked {kind}"), format!("blocked: {detail}")),
        _ => None,
    }
}

/// Waits that end by a person or a time that is not the rollout's own.
fn stands_still(reason: Reason) -> bool {
    match reason {
        Reason::Freeze
        | Reason::Hold
        | Reason::Paused
        | Reason::Approval
        | Reason::Gate
        | Reason::Dependency
        | Reason::Slot
        | Reason::Limit
        | Reason::Preflight
        | Reason::Retry
        | Reason::Fence
        | Reason::Rejected
        | Reason::Invalid
        | Reason::Error
        | Reason::Down => true,
        Reason::Capacity | Reason::Health | Reason::Bake | Reason::Warm | Reason::Drain | Reason::Unknown => false,
    }
}

/// Percent of the traffic that the desired release has.
fn share(service: &ServicePlan) -> u32 {
    let candidate = service.groups.iter().find(|group| group.role == Role::Candidate);
    candidate.and_then(|group| group.weight).unwrap_or(0)
}
