//! What happens by itself: the clock, health checks, deletions.

use crate::observed::resources::{Lifecycle, Outcome, TargetHealth};
use crate::time::{Span, Timestamp};

use super::world::{SimGroup, SimInstance, SimTarget, World, after};

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
            | self.begin_hooks()
            | self.enter_service()
            | self.give_up()
            | self.lose_machines()
            | self.check_targets()
            | self.judge_machines()
            | self.scale()
        {}
    }

    /// When something changes next, if nobody does anything; none when nothing will.
    pub fn next_event(&self) -> Option<Timestamp> {
        let groups = self.groups.values();
        let created = (self.groups.values().map(|group| group.created))
            .chain(self.templates.values().map(|template| template.created))
            .chain(self.target_groups.values().map(|group| group.created))
            .chain(self.rules.values().map(|rule| rule.created));
        let events = groups
            .flat_map(|group| self.events_of_group(group))
            .chain(self.events_of_targets())
            .chain(created.map(|created| after(created, self.pace.lag)))
            .filter(|at| *at > self.now);
        events.min().map(Timestamp::from_millis)
    }

    fn events_of_group(&self, group: &SimGroup) -> Vec<i64> {
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
                Lifecycle::Pending => {
                    let warmup = rules.warmup.unwrap_or(self.pace.warmup);
                    let hook = machine.in_hook.zip(group.ready_within);
                    events.push(machine.in_service);
                    events.extend(hook.into_iter().flat_map(|(at, span)| [after(at, warmup), after(at, span)]));
                }
                Lifecycle::InService => {
                    let spans = [rules.crash_after, rules.stops_after, rules.vanishes_after];
                    events.extend(spans.into_iter().flatten().map(|span| after(machine.in_service, span)));
                    events.extend(rules.flaps.and_then(|span| next_flap(machine.in_service, self.now, span)));
                    // The group's own word: after the grace period, or at once for workers.
                    events.push(after(machine.in_service, group.grace));
                    events.push(after(machine.runs_since(), rules.warmup.unwrap_or(self.pace.warmup)));
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
        let entering = self.pending(|group, machine| match group.ready_within {
            None => machine.in_service <= now,
            Some(_) => machine.in_hook.is_some() && self.is_up(machine),
        });
        let mut serving = Vec::new();
        for (name, id) in &entering {
            let Some(group) = self.groups.get_mut(name) else { continue };
            if let Some(machine) = group.instances.get_mut(id) {
                (machine.lifecycle, machine.in_service) = (Lifecycle::InService, machine.in_service.max(now));
            }
            group.finish_activity(id, Outcome::Successful, now);
            if group.suspends("AddToLoadBalancer") {
                continue;
            }
            serving.extend(group.target_groups.iter().map(|arn| (arn.clone(), id.clone())));
        }
        for (arn, id) in serving {
            self.register(&arn, &[id]);
        }
        !entering.is_empty()
    }

    /// Machines on their way into service, by group and id.
    fn pending(&self, which: impl Fn(&SimGroup, &SimInstance) -> bool) -> Vec<(String, String)> {
        let groups = self.groups.iter();
        let machines = groups.flat_map(|(name, group)| group.instances.iter().map(move |found| (name, group, found)));
        machines
            .filter(|(_, group, (_, machine))| machine.lifecycle == Lifecycle::Pending && which(group, machine))
            .map(|(name, _, (id, _))| (name.clone(), id.clone()))
            .collect()
    }

    /// A machine that has booted waits in the launch hook of its group.
    fn begin_hooks(&mut self) -> bool {
        let now = self.now;
        let begins = self.pending(|group, machine| {
            group.ready_within.is_some() && machine.in_hook.is_none() && machine.in_service <= now
        });
        for (name, id) in &begins {
            if let Some(machine) = self.groups.get_mut(name).and_then(|group| group.instances.get_mut(id)) {
                machine.in_hook = Some(machine.in_service);
            }
        }
        !begins.is_empty()
    }

    /// A machine that did not become ready in time is terminated, and another one launched.
    /// Source: the Auto Scaling guide on lifecycle hooks whose result is ABANDON.
    fn give_up(&mut self) -> bool {
        let now = self.now;
        let late = self.pending(|group, machine| {
            machine.in_hook.zip(group.ready_within).is_some_and(|(since, span)| after(since, span) <= now)
        });
        for (name, id) in &late {
            if let Some(launch) = self.groups.get_mut(name).and_then(|group| group.running_activity(id)) {
                launch.message = format!(
                    "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {id} \
                     was abandoned: Heartbeat Timeout elapsed"
                );
            }
            self.terminate(name, id, "a lifecycle action that was abandoned");
        }
        !late.is_empty()
    }
}

/// Whether a time is set and has come.
pub(super) fn due(at: Option<i64>, now: i64) -> bool {
    at.is_some_and(|at| at <= now)
}

/// When the word about a machine that flaps changes next.
fn next_flap(since: i64, now: i64, period: Span) -> Option<i64> {
    let period = i64::try_from(period.as_millis()).ok().filter(|period| *period > 0)?;
    Some(since + ((now - since).div_euclid(period) + 1) * period)
}
