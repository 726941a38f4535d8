//! Groups keep their size: launches, terminations, replacements.

use crate::names::TargetGroupArn;
use crate::observed::marks;
use crate::observed::resources::{Lifecycle, Outcome, TargetHealth};

use super::health::DEREGISTERED;
use super::time::due;
use super::world::{SimActivity, SimGroup, SimInstance, World, after};

/// Why a machine leaves that was terminated or powered off by hand, by itself or by AWS.
const GONE: &str = "an EC2 health check indicating it has been terminated or stopped";

/// As many activities as one page has.
const ACTIVITIES: usize = 100;

impl SimGroup {
    /// Whether a process is suspended.
    pub(super) fn suspends(&self, process: &str) -> bool {
        self.suspended.iter().any(|found| found == process)
    }

    /// Machines that count for the group's size.
    pub(super) fn active(&self) -> usize {
        self.instances.values().filter(|machine| machine.lifecycle != Lifecycle::Leaving).count()
    }

    /// Where its next machine will stand.
    fn next_subnet(&self) -> Option<&String> {
        self.subnets.get(self.launches.checked_rem(self.subnets.len()).unwrap_or(0))
    }

    /// Ends the running activity of a machine.
    pub(super) fn finish_activity(&mut self, instance: &str, outcome: Outcome, now: i64) {
        if let Some(activity) = self.running_activity(instance) {
            (activity.outcome, activity.ended) = (outcome, Some(now));
        }
    }

    /// What the group is doing with a machine.
    pub(super) fn running_activity(&mut self, instance: &str) -> Option<&mut SimActivity> {
        self.activities.iter_mut().find(|a| a.instance == instance && a.outcome == Outcome::Running)
    }

    fn record(&mut self, activity: SimActivity) {
        self.activities.insert(0, activity);
        self.activities.truncate(ACTIVITIES);
    }
}

impl World {
    /// One round of all groups; whether anything changed.
    pub(super) fn scale(&mut self) -> bool {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        let mut changed = false;
        for name in &names {
            changed |= self.scale_group(name);
        }
        changed
    }

    fn scale_group(&mut self, name: &str) -> bool {
        let Some(group) = self.groups.get(name).filter(|group| group.deleted_at.is_none()) else {
            return false;
        };
        let (active, desired) = (group.active(), group.desired as usize);
        if active < desired {
            return !group.suspends("Launch") && group.next_launch <= self.now && self.launch(name);
        }
        let too_many = active > desired;
        let leaving = match too_many {
            true => victims(group, active - desired),
            false => replaceable(group, self.now),
        };
        if group.suspends("Terminate") || leaving.is_empty() {
            return false;
        }
        let shrinking = format!(
            "a difference between desired and actual capacity, shrinking the capacity from {active} to {desired}"
        );
        for id in &leaving {
            let reason = if too_many { shrinking.clone() } else { self.sick_reason(name, id) };
            self.terminate(name, id, &reason);
        }
        true
    }

    /// Why a machine that is not well is replaced. AWS has one text for all that are gone or
    /// powered off.
    fn sick_reason(&self, name: &str, id: &str) -> String {
        let group = self.groups.get(name);
        let stopped = group.and_then(|group| group.instances.get(id)).is_some_and(|machine| machine.stopped);
        let asked = group.is_some_and(SimGroup::asks_the_balancer);
        if asked && !stopped { "an ELB system health check failure" } else { GONE }.to_owned()
    }

    /// Starts one machine, or records why not. Always a change.
    fn launch(&mut self, name: &str) -> bool {
        let problem = self.launch_problem(name);
        let id = if problem.is_none() { self.id("i-") } else { String::new() };
        let (now, pace, at) = (self.now, self.pace, self.time());
        let version = self.groups.get(name).and_then(|group| group.tags.get(marks::VERSION)).cloned();
        let version = version.unwrap_or_default();
        let boot = self.rules_of(&version).boot.unwrap_or(pace.boot);
        let Some(group) = self.groups.get_mut(name) else {
            return false;
        };
        let cause = format!(
            "At {at} an instance was started in response to a difference between desired and actual capacity, \
             increasing the capacity from {} to {}.",
            group.active(),
            group.desired
        );
        let subnet = group.next_subnet().cloned().unwrap_or_default();
        group.launches += 1;
        let outcome = if problem.is_some() { Outcome::Failed } else { Outcome::Running };
        let message = problem.clone().unwrap_or_else(|| format!("Launching a new EC2 instance: {id}"));
        group.record(SimActivity {
            started: now,
            ended: problem.is_some().then_some(now),
            cause,
            outcome,
            message,
            launch: true,
            instance: id.clone(),
        });
        if problem.is_some() {
            group.next_launch = after(now, pace.launch_retry).max(now + 1);
            return true;
        }
        let machine = SimInstance {
            version,
            lifecycle: Lifecycle::Pending,
            healthy: true,
            launched: now,
            in_service: after(now, boot),
            in_hook: None,
            replace_at: None,
            gone_at: None,
            answers: None,
            subnet,
            protected: group.protects_new,
            standby: false,
            stopped: false,
        };
        group.instances.insert(id, machine);
        true
    }

    /// In the words of AWS, since what follows from a failed launch is read from them.
    fn launch_problem(&self, name: &str) -> Option<String> {
        let group = self.groups.get(name)?;
        let named = || self.templates.values().find(|template| template.name == group.template);
        let template = group.template_id.as_ref().map_or_else(named, |id| self.templates.get(id));
        let Some(template) = template else {
            let which = group.template_id.as_ref().map_or_else(String::new, |id| format!(", with template ID {id},"));
            return Some(format!(
                "You must use a valid fully-formed launch template. The specified launch template{which} does not exist."
            ));
        };
        if group.target_groups.iter().any(|arn| !self.target_groups.contains_key(arn)) {
            let text = "One or more target groups not found. Validating load balancer configuration failed.";
            return Some(text.to_owned());
        }
        let rules = self.rules_of(group.tags.get(marks::VERSION).map_or("", String::as_str));
        if rules.ami_missing || self.missing_amis.contains(&template.ami) {
            return Some(format!("The image id '[{}]' does not exist. Launching EC2 instance failed.", template.ami));
        }
        let subnet = group.next_subnet();
        if let Some(why) = subnet.and_then(|subnet| self.subnet_failures.get(subnet)) {
            return Some(why.clone());
        }
        if let Some(subnet) = subnet.filter(|subnet| self.no_capacity.contains(*subnet)) {
            return Some(format!(
                "We currently do not have sufficient t3.small capacity in the Availability Zone you requested \
                 ({subnet}). Launching EC2 instance failed."
            ));
        }
        match rules.launch_fails_every.and_then(|every| (group.launches + 1).checked_rem(every as usize)) {
            Some(0) => Some(
                rules.launch_failure.unwrap_or_else(|| "Internal error. Launching EC2 instance failed.".to_owned()),
            ),
            Some(_) => None,
            None => rules.launch_failure,
        }
    }

    /// Deregisters a machine and lets it go after its connections.
    pub(super) fn terminate(&mut self, name: &str, id: &str, reason: &str) {
        let drained = self.deregister(name, id);
        let gone_at = after(drained, self.pace.shutdown);
        let (now, cause) = (self.now, self.taken_out(reason));
        if let Some(group) = self.groups.get_mut(name) {
            group.finish_activity(id, Outcome::Failed, now);
            let message = format!("Terminating EC2 instance: {id}");
            let outcome = Outcome::Running;
            group.record(SimActivity {
                started: now,
                ended: None,
                cause,
                outcome,
                message,
                launch: false,
                instance: id.to_owned(),
            });
            if let Some(machine) = group.instances.get_mut(id) {
                machine.lifecycle = Lifecycle::Leaving;
                (machine.gone_at, machine.replace_at) = (Some(gone_at), None);
            }
        }
    }

    /// A cause in AWS's words.
    fn taken_out(&self, reason: &str) -> String {
        format!("At {} an instance was taken out of service in response to {reason}.", self.time())
    }

    /// When the last of its target groups has let it go.
    pub(super) fn deregister(&mut self, name: &str, id: &str) -> i64 {
        let attached = self.groups.get(name).map(|group| group.target_groups.clone()).unwrap_or_default();
        let mut drained = self.now;
        for arn in &attached {
            drained = drained.max(self.deregister_from(arn, id));
        }
        drained
    }

    pub(super) fn deregister_from(&mut self, arn: &TargetGroupArn, id: &str) -> i64 {
        let (now, in_use) = (self.now, self.in_use(arn));
        let Some(target_group) = self.target_groups.get_mut(arn) else {
            return now;
        };
        let until = after(now, target_group.deregistration_delay);
        match target_group.targets.get_mut(id) {
            Some(target) if in_use && target.health != TargetHealth::Unused => {
                (target.health, target.flips_at) = (TargetHealth::Draining, Some(until));
                DEREGISTERED.clone_into(&mut target.words);
                until
            }
            _ => {
                target_group.targets.remove(id);
                now
            }
        }
    }

    /// Makes machines disappear at once, without draining.
    pub(super) fn vanish(&mut self, name: &str, ids: &[String]) {
        let now = self.now;
        for target_group in self.target_groups.values_mut() {
            target_group.targets.retain(|id, _| !ids.contains(id));
        }
        let cause = self.taken_out(GONE);
        let Some(group) = self.groups.get_mut(name) else { return };
        for id in ids.iter().filter(|id| group.instances.contains_key(*id)).cloned().collect::<Vec<_>>() {
            group.finish_activity(&id, Outcome::Failed, now);
            group.instances.remove(&id);
            group.record(SimActivity {
                started: now,
                ended: Some(now),
                cause: cause.clone(),
                outcome: Outcome::Successful,
                message: format!("Terminating EC2 instance: {id}"),
                launch: false,
                instance: id,
            });
        }
    }
}

/// Who goes when a group is too large: the sick, then those that don't serve yet, then
/// the oldest; never who is protected.
fn victims(group: &SimGroup, count: usize) -> Vec<String> {
    let mut active: Vec<(&String, &SimInstance)> =
        group.instances.iter().filter(|(_, m)| m.lifecycle != Lifecycle::Leaving && !m.protected).collect();
    active.sort_by_key(|(id, m)| (m.healthy, m.lifecycle == Lifecycle::InService, m.launched, (*id).clone()));
    active.into_iter().take(count).map(|(id, _)| id.clone()).collect()
}

/// Sick machines that may be replaced now: a tenth of the group at a time.
/// Source: the documentation of health check replacement in Auto Scaling.
fn replaceable(group: &SimGroup, now: i64) -> Vec<String> {
    if group.suspends("ReplaceUnhealthy") {
        return Vec::new();
    }
    let pending = group.instances.values().filter(|machine| machine.lifecycle == Lifecycle::Pending).count();
    let room = (group.desired as usize / 10).max(1).saturating_sub(pending);
    let sick = |m: &SimInstance| m.lifecycle == Lifecycle::InService && due(m.replace_at, now);
    group.instances.iter().filter(|(_, machine)| sick(machine)).take(room).map(|(id, _)| id.clone()).collect()
}
