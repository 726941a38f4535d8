//! Whether a service is where its file wants it, can't get there, or is on its way.

use super::types::{Phase, Reason, Role, ServicePlan, WaitingOn};

/// How a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As its file wants it; a warm group may stay.
    Settled,
    /// It won't get there without a person, a commit or a change in AWS.
    Stuck,
    /// It moves, or waits for something that comes by itself.
    OnItsWay,
}

/// How a service stands, by its plan.
pub fn of(plan: &ServicePlan) -> Outcome {
    if plan.settled {
        return Outcome::Settled;
    }
    // A taking back is seen to its end, whatever stopped the service.
    let clearing = matches!(plan.phase, Phase::RollingBack | Phase::Draining | Phase::Retiring);
    if let Some(error) = plan.waiting_on.as_ref().filter(|wait| wait.reason == Reason::Error) {
        return if error.until.is_none() { Outcome::Stuck } else { Outcome::OnItsWay };
    }
    let stops = plan.waiting_on.as_ref().is_some_and(|wait| stops(wait.reason) || !comes_by_itself(plan, wait));
    if stops && plan.actions.is_empty() && (!clearing || plan.phase == Phase::Halted || !is_clearing_up(plan)) {
        Outcome::Stuck
    } else {
        Outcome::OnItsWay
    }
}

/// Whether nobody has to look after a service: no call of its fails, and it is settled, moves,
/// or stands still because a person said so.
pub fn is_well(plan: &ServicePlan) -> bool {
    match plan.waiting_on.as_ref().map(|wait| wait.reason) {
        Some(Reason::Error | Reason::Down) => false,
        Some(Reason::Freeze | Reason::Hold | Reason::Paused | Reason::Approval) => plan.phase != Phase::Halted,
        _ => of(plan) != Outcome::Stuck,
    }
}

/// A try that only a person begins does not come by itself, nor does health that a live release
/// has lost.
fn comes_by_itself(plan: &ServicePlan, wait: &WaitingOn) -> bool {
    match wait.reason {
        Reason::Retry => wait.until.is_some(),
        Reason::Health => plan.phase != Phase::Halted,
        _ => true,
    }
}

/// A removal that is under way has a wait of its own kind.
fn is_clearing_up(plan: &ServicePlan) -> bool {
    plan.waiting_on.as_ref().is_some_and(|wait| wait.reason == Reason::Drain)
}

fn stops(reason: Reason) -> bool {
    match reason {
        Reason::Freeze
        | Reason::Hold
        | Reason::Paused
        | Reason::Approval
        | Reason::Gate
        | Reason::Limit
        | Reason::Preflight
        | Reason::Fence
        | Reason::Rejected
        | Reason::Invalid
        | Reason::Down => true,
        Reason::Capacity
        | Reason::Health
        | Reason::Bake
        | Reason::Warm
        | Reason::Drain
        | Reason::Dependency
        | Reason::Slot
        | Reason::Retry
        | Reason::Error
        | Reason::Unknown => false,
    }
}

/// Whether groups of past releases still stand.
pub fn keeps_warm(plan: &ServicePlan) -> bool {
    plan.groups.iter().any(|group| group.role == Role::Warm)
}
