//! Verdicts. 10 Rejected stays rejected; 17 Blameless: there is no verdict while every machine
//! that was launched is well.

use std::collections::BTreeMap;

use crate::cloud::Tagged;
use crate::cloud::sim::world::{SimActivity, SimGroup, World, after};
use crate::names::TargetGroupArn;
use crate::observed::marks::{self, Mark};
use crate::observed::resources::{Instance, Lifecycle, Outcome, TargetHealth, Targets};

use super::call::Call;
use super::check::Check;
use super::facts::{actions, group_of, has_weight, is_of, is_stable};
use super::stage::Who;

/// What is said of a launch that only a new release can mend.
const REFUSED: [&str; 2] = ["image id", "launch template"];

impl Check {
    /// 10 Rejected stays rejected, and what was stable never is.
    pub fn verdicts(&mut self, turn: &str, call: &Call, before: &World) {
        let rejected = |digest: &String| self.rejected.contains(&(turn.to_owned(), digest.clone()));
        let digest_of = |arn: &TargetGroupArn| {
            before.target_groups.get(arn).and_then(|group| group.tags.get(marks::DIGEST)).cloned()
        };
        let digest = match call {
            Call::CreateTargetGroup(spec) => spec.tags.get(marks::DIGEST).cloned(),
            Call::CreateGroup(spec) => {
                let digest = spec.tags.get(marks::DIGEST).cloned();
                // One that serves and has lost its group gets it back.
                let serves = spec.target_group.as_ref().is_some_and(|arn| has_weight(before, arn));
                digest.filter(|_| !serves)
            }
            Call::SetRule(arn, _, new, _) => {
                let had: BTreeMap<TargetGroupArn, u32> = actions(before)
                    .find(|(rule, _)| rule == arn)
                    .map(|(_, w)| w)
                    .unwrap_or_default()
                    .into_iter()
                    .collect();
                let raised = new.iter().find(|(arn, weight)| *weight > had.get(arn).copied().unwrap_or(0));
                // Where it is the only one, it has the traffic whatever was said of it; and a first
                // release that was rejected stands in for live until another has settled.
                let stands_in = |arn: &TargetGroupArn| {
                    let made = |arn: &TargetGroupArn| group_of(before, arn).map(|group| group.created);
                    let stands = |group: &SimGroup| is_of(&group.tags, turn) && is_stable(before, group);
                    !before.groups.values().any(stands) && new.iter().any(|(other, _)| made(arn) < made(other))
                };
                let wrong = raised.filter(|(arn, _)| new.len() > 1 && !stands_in(arn));
                wrong.and_then(|(arn, _)| digest_of(arn))
            }
            Call::DeleteTemplate(id) => {
                let lost = before.templates.get(id).filter(|found| found.tags.contains_key(Mark::Rejected.key()));
                if let Some(lost) = lost.filter(|lost| !lost.tags.contains_key(Mark::Stable.key())) {
                    let name = lost.name.clone();
                    return self.wrong("rejected stays rejected", format!("{call}: {name} takes its verdict along"));
                }
                None
            }
            Call::SetTags(Tagged::Template(id), tags) if tags.contains_key(Mark::Rejected.key()) => {
                let stable = before.templates.get(id).is_some_and(|found| found.tags.contains_key(Mark::Stable.key()));
                if stable {
                    self.wrong("rejected stays rejected", format!("{call}: it is stable"));
                }
                return self.saw("verdict");
            }
            _ => return,
        };
        if let Some(digest) = digest.filter(rejected) {
            self.wrong("rejected stays rejected", format!("{call}: {} was rejected", &digest[..10]));
        }
    }

    pub fn note_verdicts(&mut self, call: &Call, before: &World, after: &World) {
        let of = |world: &World, id: &str| {
            let tags = &world.templates.get(id)?.tags;
            Some((tags.get(marks::SERVICE)?.clone(), tags.get(marks::DIGEST)?.clone()))
        };
        match call {
            Call::SetTags(Tagged::Template(id), tags) if tags.contains_key(Mark::Rejected.key()) => {
                let made = after.templates.get(id).is_some_and(|found| found.tags.contains_key(Mark::Rejected.key()));
                self.rejected.extend(of(after, id).filter(|_| made));
            }
            Call::ClearTags(Tagged::Template(id), keys) if keys.iter().any(|key| key == Mark::Rejected.key()) => {
                if let Some(known) = of(before, id) {
                    self.rejected.remove(&known);
                }
            }
            _ => {}
        }
    }

    /// What a reading told of a target group's machines.
    pub fn judged(&mut self, who: Who, service: Option<&str>, targets: &Targets) {
        for (id, target) in targets {
            if target.health == TargetHealth::Healthy {
                self.burdens.was_healthy.insert(id.clone());
            }
            if target.health == TargetHealth::Unhealthy {
                self.reading(who, service).unhealthy.insert(id.clone());
            }
        }
    }

    /// What a reading told of a group's machines.
    pub fn called_unhealthy(&mut self, who: Who, service: Option<&str>, machines: &[Instance]) {
        let sick = machines.iter().filter(|one| one.lifecycle == Lifecycle::InService && !one.healthy);
        self.reading(who, service).unhealthy.extend(sick.map(|one| one.id.clone()));
    }

    /// A verdict needs a machine that has failed: one that was well before, or had its time to
    /// become so; or several that its group replaced for their health; or launches that are
    /// refused for what the release says.
    pub fn blameless(&mut self, turn: &str, call: &Call, before: &World) {
        let Call::SetTags(Tagged::Template(id), tags) = call else { return };
        let Some(verdict) = tags.get(Mark::Rejected.key()) else { return };
        let Some(template) = before.templates.get(id) else { return };
        self.saw("blameless");
        let unhealthy = self.reading(self.who(), Some(turn)).unhealthy.clone();
        let of_release = |group: &&SimGroup| group.template == template.name;
        for group in before.groups.values().filter(of_release) {
            let has_failed = |id: &String| {
                let Some(machine) = group.instances.get(id) else { return true };
                let grace_is_over = after(machine.in_service, group.grace) <= before.now;
                self.burdens.was_healthy.contains(id) || grace_is_over || group.target_groups.is_empty()
            };
            let failing = group.instances.keys().any(|id| unhealthy.contains(id) && has_failed(id));
            if failing || refused(group) || replaced(group) > 1 {
                return;
            }
        }
        self.wrong("blameless", format!("`{verdict}`, and no machine of {} has failed", template.name));
    }
}

fn refused(group: &SimGroup) -> bool {
    let launches = || group.activities.iter().filter(|activity| activity.launch);
    let of_release = |activity: &SimActivity| {
        let message = activity.message.to_lowercase();
        activity.outcome == Outcome::Failed && REFUSED.iter().any(|part| message.contains(part))
    };
    launches().any(of_release) && !launches().any(|activity| activity.outcome == Outcome::Successful)
}

/// Machines that were taken out for the load balancer's word.
fn replaced(group: &SimGroup) -> usize {
    group.activities.iter().filter(|activity| activity.cause.contains("ELB system health check")).count()
}
