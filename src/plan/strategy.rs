//! How a change will run, said before it does: with which machines, in which steps, how
//! many machines at most, and for how long.

use serde::Serialize;

use crate::desired::spec::{OnFailure, ServiceSpec};

use super::types::{Change, ServicePlan};

/// How a change runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Strategy {
    /// What becomes of the machines.
    pub machines: Machines,
    /// The percents of the traffic that the new machines get, one after the other. Empty
    /// where no traffic moves in steps.
    pub steps: Vec<u32>,
    /// How long each step is watched.
    pub bake_secs: u64,
    /// What a failure leads to; none where nothing is tried.
    pub on_failure: Option<Fallback>,
}

/// What becomes of the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machines {
    /// The first ones of a service.
    New,
    /// New ones take over from the old ones.
    Replaced,
    /// The same ones, with other settings around them.
    InPlace,
    /// Those of an earlier release take over again.
    Back,
    /// All of them go.
    Removed,
}

/// What a failed release leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// Traffic goes back, the new machines go.
    RollBack,
    /// Traffic goes back, the new machines stay, and the service is held.
    Hold,
}

/// How a change of a service runs; none where nothing runs. `beside`: somebody serves
/// already, so that a first release takes over in steps, too.
pub fn of(change: Change, spec: Option<&ServiceSpec>, beside: bool) -> Option<Strategy> {
    let plain = |machines| Strategy { machines, steps: Vec::new(), bake_secs: 0, on_failure: None };
    let rolled = |machines, all_at_once: bool| {
        let spec = spec?;
        let steps = match (&spec.load_balancer, all_at_once) {
            (None, _) => Vec::new(),
            (Some(_), true) => vec![100],
            (Some(_), false) => spec.rollout.steps.clone(),
        };
        let on_failure = Some(match spec.rollout.on_failure {
            OnFailure::RollBack => Fallback::RollBack,
            OnFailure::Hold => Fallback::Hold,
        });
        Some(Strategy { machines, steps, bake_secs: spec.rollout.bake.as_secs_ceil(), on_failure })
    };
    match change {
        Change::None | Change::Blocked => None,
        Change::Create | Change::Takeover => rolled(Machines::New, !beside),
        Change::Release => rolled(Machines::Replaced, false),
        Change::Update => Some(plain(Machines::InPlace)),
        Change::Rollback => Some(plain(Machines::Back)),
        Change::Remove => Some(plain(Machines::Removed)),
    }
}

/// The most machines that a change takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Peak {
    /// So many at once.
    pub instances: u32,
    /// So many are meant to run now.
    pub now: u32,
    /// From then on, in seconds from now.
    pub after_secs: u64,
    /// For so long; none: they stay.
    pub for_secs: Option<u64>,
}

/// The most machines of a service's forecast; none when it never takes more than now.
pub fn peak(service: &ServicePlan) -> Option<Peak> {
    // Sizes are what anybody wrote; a sum of them may be beyond what AWS has.
    let now = service.groups.iter().fold(0_u32, |sum, group| sum.saturating_add(group.desired_capacity));
    let instances = service.forecast.iter().map(|moment| moment.instances).max().filter(|most| *most > now)?;
    let from = service.forecast.iter().position(|moment| moment.instances == instances)?;
    let after_secs = service.forecast.get(from)?.after_secs;
    let end = service.forecast.iter().skip(from).find(|moment| moment.instances < instances);
    Some(Peak { instances, now, after_secs, for_secs: end.map(|end| end.after_secs.saturating_sub(after_secs)) })
}

/// When the change is over and only a warm group may be left, in seconds from now.
pub fn settled_after(service: &ServicePlan) -> Option<u64> {
    let is_end = |event: &str| event.starts_with("settled") || event.starts_with("all traffic on ");
    service.forecast.iter().find(|moment| is_end(&moment.event)).map(|moment| moment.after_secs)
}
