//! What happens by itself: the clock, health checks, deletions.

use std::collections::BTreeMap;

use crate::names::TargetGroupArn;
use crate::observed::resources::{Lifecycle, Outcome, TargetHealth};
use crate::time::{Span, Timestamp};

use super::world::{SimInstance, SimTarget, VersionRules, World, after};

/// Who asks for health: how long a machine's version takes until the first word, and
/// whether it answers now.
type Machines = BTreeMap<String, (Option<Span>, bool)>;

impl World {
    /// Lets time pass, one event after the other.
    pub fn advance(&mut self, span: Span) {
        self.settle();
        self.advance_settled(span);
    }

    /// The same, where everything that was due is done.
    pub(super) fn advance_settled(&mut self, span: Span) {
        let end = after(self.now, span);
        while let Some(next) = self.next_event().filter(|next| next.as_millis() <= end) {
            self.now = next.as_millis();
            self.settle();
        }
        self.now = end;
    }

    /// Does everything that is due now. Each round can only do what an earlier one made
    /// possible, so there are few.
    pub(super) fn settle(&mut self) {
        while self.finish_deletions()
            | self.finish_leaving()
            | self.enter_service()
            | self.check_targets()
            | self.judge_machines()
            | self.scale()
        {}
    }

    /// When something changes next, if nobody does anything; none when nothing will.
    pub fn next_event(&self) -> Option<Timestamp> {
        let targets = self.target_groups.values().flat_map(|group| group.targets.values());
        let groups = self.groups.values();
        let created = (self.groups.values().map(|group| group.created))
            .chain(self.templates.values().map(|template| template.created))
            .chain(self.target_groups.values().map(|group| group.created))
            .chain(self.rules.values().map(|rule| rule.created));
        let events = groups
            .flat_map(|group| self.events_of_group(group))
            .chain(targets.filter_map(|target| target.flips_at))
            .chain(created.map(|created| after(created, self.pace.lag)))
            .filter(|at| *at > self.now);
        events.min().map(Timestamp::from_millis)
    }

    fn events_of_group(&self, group: &super::world::SimGroup) -> Vec<i64> {
        let mut events: Vec<i64> = group.deleted_at.into_iter().collect();
        let active = group.instances.values().filter(|machine| machine.lifecycle != Lifecycle::Leaving).count();
        if active < group.desired as usize && !group.suspends("Launch") {
            events.push(group.next_launch);
        }
        for machine in group.instances.values() {
            events.extend(machine.gone_at);
            events.extend(machine.replace_at);
            let rules = self.rules_of(&machine.version);
            match machine.lifecycle {
                Lifecycle::Pending => events.push(machine.in_service),
                Lifecycle::InService => {
                    events.extend(rules.crash_after.map(|crash| after(machine.in_service, crash)));
                    // The group's own word: after the grace period, or at once for workers.
                    events.push(after(machine.in_service, group.grace));
                    events.push(after(machine.in_service, rules.warmup.unwrap_or(self.pace.warmup)));
                }
                Lifecycle::Leaving => {}
            }
        }
        events
    }

    fn finish_deletions(&mut self) -> bool {
        let before = self.groups.len();
        let now = self.now;
        self.groups.retain(|_, group| group.deleted_at.is_none_or(|at| at > now));
        before != self.groups.len()
    }

    fn finish_leaving(&mut self) -> bool {
        let now = self.now;
        let mut changed = false;
        for target_group in self.target_groups.values_mut() {
            let before = target_group.targets.len();
            let gone = |target: &SimTarget| target.health == TargetHealth::Draining && due(target.flips_at, now);
            target_group.targets.retain(|_, target| !gone(target));
            changed |= before != target_group.targets.len();
        }
        for group in self.groups.values_mut() {
            let gone: Vec<String> =
                group.instances.iter().filter(|(_, m)| due(m.gone_at, now)).map(|(id, _)| id.clone()).collect();
            for id in gone {
                group.instances.remove(&id);
                group.finish_activity(&id, Outcome::Successful, now);
                changed = true;
            }
        }
        changed
    }

    fn enter_service(&mut self) -> bool {
        let now = self.now;
        let mut changed = false;
        for group in self.groups.values_mut() {
            let ready: Vec<String> = group
                .instances
                .iter()
                .filter(|(_, machine)| machine.lifecycle == Lifecycle::Pending && machine.in_service <= now)
                .map(|(id, _)| id.clone())
                .collect();
            for id in ready {
                if let Some(machine) = group.instances.get_mut(&id) {
                    machine.lifecycle = Lifecycle::InService;
                }
                group.finish_activity(&id, Outcome::Successful, now);
                changed = true;
                if group.suspends("AddToLoadBalancer") {
                    continue;
                }
                for arn in &group.target_groups {
                    if let Some(target_group) = self.target_groups.get_mut(arn) {
                        let target = SimTarget { health: TargetHealth::Unused, flips_at: None, words: String::new() };
                        target_group.targets.insert(id.clone(), target);
                    }
                }
            }
        }
        changed
    }

    /// The load balancer's health checks. Only target groups that an action names are
    /// checked, at whatever weight.
    fn check_targets(&mut self) -> bool {
        let machines = self.machines();
        let used = self.used();
        let (now, pace) = (self.now, self.pace);
        let mut changed = false;
        for (arn, target_group) in &mut self.target_groups {
            let check = &target_group.health_check;
            let fails = Span::from_secs(u64::from(check.interval_secs) * u64::from(check.unhealthy));
            let recovers = Span::from_secs(u64::from(check.interval_secs) * u64::from(check.healthy));
            for (id, target) in &mut target_group.targets {
                let before = target.clone();
                let Some((warmup, answers)) = machines.get(id) else {
                    continue;
                };
                if target.health == TargetHealth::Draining {
                    continue;
                }
                if used.contains(arn) {
                    check_target(target, *answers, now, [warmup.unwrap_or(pace.warmup), fails, recovers]);
                } else {
                    *target = SimTarget { health: TargetHealth::Unused, flips_at: None, words: String::new() };
                }
                changed |= *target != before;
            }
        }
        changed
    }

    fn machines(&self) -> Machines {
        let groups = self.groups.values().flat_map(|group| &group.instances);
        let word = |m: &SimInstance| {
            let rules = self.rules_of(&m.version);
            (rules.warmup, answers(&rules, m, self.now))
        };
        groups.map(|(id, machine)| (id.clone(), word(machine))).collect()
    }

    /// The group's word about its machines: that of the load balancer after the grace
    /// period, and for workers whether the machine itself is well.
    fn judge_machines(&mut self) -> bool {
        let mut sick = Vec::new();
        for (name, group) in &self.groups {
            if group.suspends("HealthCheck") {
                continue;
            }
            let checked = group.instances.iter().filter(|(_, m)| m.lifecycle == Lifecycle::InService && m.healthy);
            for (id, machine) in checked {
                let is_sick = match group.target_groups.is_empty() {
                    true => self.is_sick_worker(machine),
                    false => {
                        after(machine.in_service, group.grace) <= self.now
                            && group.target_groups.iter().any(|arn| self.target_is_unhealthy(arn, id))
                    }
                };
                if is_sick {
                    sick.push((name.clone(), id.clone()));
                }
            }
        }
        // Never in the same instant, or a world without delays would replace for ever.
        let replace_at = Some(after(self.now, self.pace.replace).max(self.now + 1));
        for (name, id) in &sick {
            let machine = self.groups.get_mut(name).and_then(|group| group.instances.get_mut(id));
            if let Some(machine) = machine {
                (machine.healthy, machine.replace_at) = (false, replace_at);
            }
        }
        !sick.is_empty()
    }

    fn is_sick_worker(&self, machine: &SimInstance) -> bool {
        let rules = self.rules_of(&machine.version);
        let warm = after(machine.in_service, rules.warmup.unwrap_or(self.pace.warmup)) <= self.now;
        warm && !answers(&rules, machine, self.now)
    }

    fn target_is_unhealthy(&self, arn: &TargetGroupArn, id: &str) -> bool {
        let target = self.target_groups.get(arn).and_then(|group| group.targets.get(id));
        target.is_some_and(|target| target.health == TargetHealth::Unhealthy)
    }
}

/// Whether a machine answers its health checks: as it did when it was really asked, else
/// as its version's machines do.
fn answers(rules: &VersionRules, machine: &SimInstance, now: i64) -> bool {
    let by_rules = !rules.unhealthy && rules.crash_after.is_none_or(|crash| now < after(machine.in_service, crash));
    machine.answers.unwrap_or(by_rules)
}

/// One target's next state: with the delays until the first word, until unhealthy and
/// until healthy again.
fn check_target(target: &mut SimTarget, answers: bool, now: i64, [warmup, fails, recovers]: [Span; 3]) {
    let judged = if answers { TargetHealth::Healthy } else { TargetHealth::Unhealthy };
    match target.health {
        TargetHealth::Unused => {
            *target =
                SimTarget { health: TargetHealth::Initial, flips_at: Some(after(now, warmup)), words: String::new() }
        }
        TargetHealth::Initial if due(target.flips_at, now) => {
            *target = SimTarget { health: judged, flips_at: None, words: String::new() }
        }
        TargetHealth::Healthy | TargetHealth::Unhealthy if target.health == judged => target.flips_at = None,
        TargetHealth::Healthy | TargetHealth::Unhealthy if due(target.flips_at, now) => {
            *target = SimTarget { health: judged, flips_at: None, words: String::new() };
        }
        TargetHealth::Healthy => target.flips_at = target.flips_at.or(Some(after(now, fails))),
        TargetHealth::Unhealthy => target.flips_at = target.flips_at.or(Some(after(now, recovers))),
        TargetHealth::Initial | TargetHealth::Draining | TargetHealth::Unavailable => {}
    }
}

/// Whether a time is set and has come.
pub(super) fn due(at: Option<i64>, now: i64) -> bool {
    at.is_some_and(|at| at <= now)
}
