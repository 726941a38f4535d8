//! What became of each release that has left anything in AWS, and which of them a rollback
//! goes to.

use crate::observed::state::ServerGroup;

use super::types::{Record, RecordOutcome, ServicePlan};
use super::view::View;

/// The releases of a service that AWS still knows, the newest first.
pub fn records(view: &View<'_>) -> Vec<Record> {
    let mut records: Vec<Record> = view.input.state.groups.values().map(|group| record(view, group)).collect();
    records.sort_by(|a, b| (b.created, &b.group).cmp(&(a.created, &a.group)));
    records
}

fn record(view: &View<'_>, group: &ServerGroup) -> Record {
    let made = group.template.as_ref().map(|template| template.created);
    Record {
        release: view.release(group),
        group: group.name.clone(),
        commit: group.identity.commit.clone(),
        outcome: outcome(view, group),
        created: made.or(group.group.as_ref().map(|members| members.created)),
        stable: group.stable(),
        retired: group.retired(),
        rejected: view.rejected(group),
    }
}

fn outcome(view: &View<'_>, group: &ServerGroup) -> RecordOutcome {
    let stands = group.group.is_some();
    if view.is_live(group) {
        RecordOutcome::Live
    } else if view.rejected(group).is_some() {
        RecordOutcome::Rejected
    } else if group.stable().is_some() {
        if stands { RecordOutcome::Warm } else { RecordOutcome::Superseded }
    } else if view.is_candidate(group) && group.retired().is_none() {
        RecordOutcome::Candidate
    } else if group.retired().is_some() {
        RecordOutcome::RolledBack
    } else {
        RecordOutcome::Withdrawn
    }
}

/// The release that a rollback goes to: live, where the commit wants something else, or
/// else the one that was stable last. None when no other release has ever settled.
pub fn last_stable(plan: &ServicePlan) -> Option<&Record> {
    let is = |record: &Record, release: &Option<super::types::Release>| release.as_ref() == Some(&record.release);
    let stable = || plan.records.iter().filter(|record| record.stable.is_some() && !is(record, &plan.to));
    stable().find(|record| is(record, &plan.from)).or_else(|| stable().max_by_key(|record| record.stable))
}
