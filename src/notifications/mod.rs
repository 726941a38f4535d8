//! What is worth telling about a plan: what has changed since it was told last, what has
//! failed, what is well again. Never the same twice, however often the plan is made.
//!
//! Pure: what was told before goes in, and what is told now comes out. It is lost at a
//! restart, and then the present state is told once.

pub mod revert;
pub mod standing;

use std::collections::BTreeMap;

use crate::names::{CommitId, Digest, ServiceName};
use crate::plan::types::{Change, Plan, RecordOutcome, ServicePlan};

pub use standing::{Standing, Verdict};

/// What is told about one service, to the commit that its release came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which.
    pub service: ServiceName,
    /// The commit that released it.
    pub commit: CommitId,
    /// How it stands.
    pub verdict: Verdict,
    /// Why, on one line.
    pub text: String,
}

/// What was told last, of the services that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told(BTreeMap<ServiceName, Known>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    digest: Option<Digest>,
    commit: CommitId,
    standing: Standing,
}

/// What there is to tell about a plan, after what was told before. Of a service that could
/// not be read nothing is told.
pub fn news(told: &Told, plan: &Plan) -> (Told, Vec<Message>) {
    let (mut now, mut messages) = (BTreeMap::new(), Vec::new());
    for service in &plan.services {
        let before = told.0.get(&service.name);
        let Some(standing) = standing::of(service) else {
            now.extend(before.map(|known| (service.name.clone(), known.clone())));
            continue;
        };
        let Some(commit) = released_by(plan, service, before, &standing) else { continue };
        let digest = service.to.as_ref().map(|to| to.digest.clone());
        let is_known = before.is_some_and(|known| known.commit == commit && known.standing.is_like(&standing));
        if !is_known {
            messages.push(Message {
                service: service.name.clone(),
                commit: commit.clone(),
                verdict: standing.verdict,
                text: standing.text.clone(),
            });
        }
        now.insert(service.name.clone(), Known { digest, commit, standing });
    }
    (Told(now), messages)
}

/// The commit that a service's release came from: the one that was at the tip when it was
/// first asked for, which stays, whatever is committed for other services meanwhile.
fn released_by(plan: &Plan, service: &ServicePlan, before: Option<&Known>, standing: &Standing) -> Option<CommitId> {
    let tip = plan.commit.clone();
    let digest = service.to.as_ref().map(|to| &to.digest);
    match before {
        // New settings come from a commit of their own.
        Some(known) if service.change == Change::Update && known.standing.verdict == Verdict::Success => tip,
        Some(known) if known.digest.as_ref() == digest => Some(known.commit.clone()),
        Some(_) => tip,
        None => acted_on(service, standing).or(tip),
    }
}

/// What AWS says, where nothing was told yet: the commit that a release which is live, on
/// its way or rejected was made for, or the newest one that was acted on for it.
fn acted_on(service: &ServicePlan, standing: &Standing) -> Option<CommitId> {
    let wanted = service.to.as_ref()?;
    let record = service.records.iter().find(|record| record.release == *wanted)?;
    let made_for = || CommitId::parse(&record.commit).ok();
    let live = service.groups.iter().find(|group| group.digest == wanted.digest);
    let fence = || CommitId::parse(live?.marks.get("fence")?).ok();
    match record.outcome {
        RecordOutcome::Live if standing.verdict == Verdict::Success => fence().or_else(made_for),
        RecordOutcome::Candidate | RecordOutcome::Rejected | RecordOutcome::Withdrawn => made_for(),
        // Something that was left is asked for again, by a commit that has not acted yet.
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
