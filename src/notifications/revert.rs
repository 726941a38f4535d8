//! When the daemon proposes to take a rejected release back: a pull request with the revert,
//! and only ever one.

use crate::names::{Digest, ServiceName, Version};
use crate::plan::records::last_stable;
use crate::plan::types::{Plan, Release};
use crate::time::{Span, Timestamp};

/// A release that failed longer ago than this is somebody's own affair by now.
pub const AGE_MAX: Span = Span::from_secs(3600);

/// A rejected release that Git still asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Of which service.
    pub service: ServiceName,
    /// The rejected one.
    pub version: Version,
    /// The rejected one's digest.
    pub digest: Digest,
    /// What was stable before.
    pub to: Release,
    /// When it was rejected.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The branch of the revert. It follows from scope, service and digest, so whoever comes
    /// to the same conclusion again meets it.
    pub branch: String,
}

/// What has a revert already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// The branch is there, and no pull request was ever made from it.
    Branch,
    /// There is a pull request, or was one.
    PullRequest,
}

/// What to do about a rejected release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Push the branch and open the pull request.
    Push,
    /// Open the pull request: the last attempt was cut off after the push.
    Open,
    /// Nothing, for good.
    Leave(&'static str),
}

/// The releases of a plan that a revert may be proposed for.
pub fn wanted(plan: &Plan) -> Vec<Wanted> {
    let (Some(scope), Some(now)) = (&plan.scope, plan.observed_at) else { return Vec::new() };
    let of = |service: &crate::plan::types::ServicePlan| {
        let (digest, rejected) = service.rejected.as_ref()?;
        let desired = service.to.as_ref().filter(|to| to.digest == *digest)?;
        if is_old(rejected.at, now) {
            return None;
        }
        let to = last_stable(service)?.release.clone();
        Some(Wanted {
            service: service.name.clone(),
            version: desired.version.clone(),
            digest: digest.clone(),
            to,
            at: rejected.at,
            reason: rejected.text.clone(),
            branch: format!("ionroller/revert-{scope}-{}-{}", service.name, digest.short()),
        })
    };
    plan.services.iter().filter_map(of).collect()
}

/// What to do about one of them. `asked_by_revert`: one of the commits that would be taken
/// back is a revert itself.
pub fn decide(wanted: &Wanted, now: Timestamp, asked_by_revert: bool, seen: Seen) -> Decision {
    if seen == Seen::PullRequest {
        return Decision::Leave("there is a pull request for it, or was one");
    }
    if is_old(wanted.at, now) {
        return Decision::Leave("it was rejected more than an hour ago");
    }
    if asked_by_revert {
        return Decision::Leave("it was asked for by a revert, and a revert is not reverted");
    }
    if seen == Seen::Branch { Decision::Open } else { Decision::Push }
}

/// A time in the future counts as now.
fn is_old(at: Timestamp, now: Timestamp) -> bool {
    now.since(at) > AGE_MAX
}
