//! Passes until every service is settled or can't go on: what `apply` is.

use std::collections::BTreeMap;

use crate::cloud::{CloudError, ErrorKind};
use crate::names::ServiceName;
use crate::plan::outcome::{self, Outcome};
use crate::plan::types::{Plan, Reason, ServicePlan};
use crate::time::{Span, Timestamp};

use super::pace::Pace;
use super::{Event, Pass, Reconciler, Target};

/// How often AWS is read when nothing is due.
const IDLE: Span = Span::from_secs(30);

/// Passes in a row that could not read anything before it is given up.
const BLIND_MAX: u32 = 10;

/// How far to go.
#[derive(Debug, Clone, Copy, Default)]
pub struct Until {
    /// One pass, and the readings that it still needs.
    pub once: bool,
    /// Until warm groups are retired.
    pub retired: bool,
    /// Not longer than this.
    pub timeout: Option<Span>,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct End {
    /// The plan after the last pass.
    pub plan: Plan,
    /// Services that can't go on.
    pub stuck: Vec<ServiceName>,
    /// Calls of the last pass that failed.
    pub failed: BTreeMap<ServiceName, CloudError>,
    /// The time was over first.
    pub timed_out: bool,
    /// Told to stop.
    pub stopped: bool,
}

/// Runs passes. `after` sees each of them, for progress and for what must be kept.
///
/// # Errors
/// AWS could not be read again and again.
pub async fn converge(
    reconciler: &Reconciler,
    target: &Target,
    pace: &dyn Pace,
    until: Until,
    tell: &(dyn Fn(Event<'_>) + Sync),
    after: &mut (dyn FnMut(&Pass) + Send),
) -> Result<End, CloudError> {
    let started = reconciler.cloud().now();
    let mut blind = 0;
    loop {
        let now = reconciler.cloud().now();
        let pass = match reconciler.pass(target, tell).await {
            Ok(pass) => pass,
            Err(error) if gives_up(&error, &mut blind) || until.once => return Err(error),
            Err(_) => {
                pace.wait_until(now, now + Span::from_secs(1) * u64::from(blind)).await;
                continue;
            }
        };
        blind = 0;
        after(&pass);
        let now = reconciler.cloud().now();
        let next = due(&pass, until, now);
        let deadline = until.timeout.map(|timeout| started + timeout);
        let timed_out = deadline.is_some_and(|deadline| now >= deadline);
        let stopped = reconciler.is_stopped();
        match next {
            Some(next) if !timed_out && !stopped => {
                let next = deadline.map_or(next, |deadline| next.min(deadline));
                pace.wait_until(now, next).await;
            }
            left => {
                let stuck = stuck(&pass);
                let timed_out = timed_out && left.is_some();
                return Ok(End { plan: pass.plan, stuck, failed: pass.failed, timed_out, stopped });
            }
        }
    }
}

fn gives_up(error: &CloudError, blind: &mut u32) -> bool {
    *blind += 1;
    let passing = matches!(error.kind, ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict);
    !passing || *blind >= BLIND_MAX
}

/// When the next pass is due; none when there is nothing left to wait for.
fn due(pass: &Pass, until: Until, now: Timestamp) -> Option<Timestamp> {
    if until.once {
        let brief = pass.plan.services.iter().filter_map(|service| service.brief_until).min();
        // Actions that are left were cut off by a failed call or by the bound on one turn.
        return brief.filter(|_| pass.failed.is_empty()).map(|brief| brief.max(now));
    }
    let waits = pass.plan.services.iter().any(|service| {
        if let Some(error) = pass.failed.get(&service.name) {
            return !error.kind.needs_somebody() && outcome::of(service) != Outcome::Stuck;
        }
        let moves = outcome::of(service) == Outcome::OnItsWay && (pass.acted > 0 || !waits_for_another(service));
        moves || (until.retired && outcome::keeps_warm(service))
    });
    waits.then(|| pass.look_again.map_or(now + IDLE, |at| at.clamp(now + Span::from_millis(50), now + IDLE)))
}

fn stuck(pass: &Pass) -> Vec<ServiceName> {
    let failed = |name: &ServiceName| pass.failed.contains_key(name);
    let services = pass.plan.services.iter();
    let is_stuck = |plan: &ServicePlan| outcome::of(plan) == Outcome::Stuck || waits_for_another(plan);
    let stuck = services.filter(|service| failed(&service.name) || is_stuck(service));
    stuck.map(|service| service.name.clone()).collect()
}

/// Whether a service waits for another one, which is not part of this run or can't go on itself
/// where nothing else is on its way.
fn waits_for_another(plan: &ServicePlan) -> bool {
    plan.actions.is_empty() && plan.waiting_on.as_ref().is_some_and(|wait| wait.reason == Reason::Dependency)
}
