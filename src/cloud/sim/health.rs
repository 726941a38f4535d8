//! What load balancers and groups think of machines.
//!
//! Source: the documents of target group health checks and of health checks in Auto Scaling.

use std::collections::BTreeMap;

use crate::names::TargetGroupArn;
use crate::observed::resources::{Lifecycle, TargetHealth};
use crate::time::Span;

use super::time::due;
use super::world::{SimGroup, SimInstance, SimTarget, SimTargetGroup, VersionRules, World, after};

const INITIAL: &str = "Elb.InitialHealthChecking: Initial health checks in progress";
const NOT_IN_USE: &str = "Target.NotInUse: Target group is not configured to receive traffic from the load balancer";
const ZONE_OFF: &str = "Target.NotInUse: Target is in an Availability Zone that is not enabled for the load balancer";
const STOPPED: &str = "Target.InvalidState: Target is in the stopped state";
pub(super) const DEREGISTERED: &str = "Target.DeregistrationInProgress: Target deregistration is in progress";

/// What a load balancer finds out about a machine.
struct Found {
    machine: SimInstance,
    rules: VersionRules,
    /// From in service until it answers.
    warmup: Span,
    /// Its zone is not enabled for the load balancers.
    off: bool,
}

impl Found {
    /// Whether it answers a health check, and if not, AWS's words for that.
    fn answers(&self, matcher: Option<&str>, now: i64) -> Result<(), String> {
        let warm = after(self.machine.runs_since(), self.warmup) <= now;
        let code = self.rules.answers_code.filter(|code| !matches(matcher.unwrap_or("200"), *code));
        let crashed = self.rules.crash_after.is_some_and(|crash| after(self.machine.in_service, crash) <= now);
        let by_rules = !self.rules.unhealthy && !self.rules.times_out && code.is_none() && !crashed;
        if warm && self.machine.answers.unwrap_or(by_rules) {
            return Ok(());
        }
        let failed = "Target.FailedHealthChecks: Health checks failed".to_owned();
        let words = match (code, warm) {
            (Some(code), true) => {
                format!("Target.ResponseCodeMismatch: Health checks failed with these codes: [{code}]")
            }
            _ if self.rules.times_out => "Target.Timeout: Request timed out".to_owned(),
            _ => failed,
        };
        Err(self.rules.target_words.clone().unwrap_or(words))
    }

    /// The load balancer's word, where it changes again and again by itself.
    fn flaps(&self, now: i64) -> Option<bool> {
        let period = i64::try_from(self.rules.flaps?.as_millis()).ok().filter(|period| *period > 0)?;
        Some((now - self.machine.in_service).div_euclid(period) % 2 == 0)
    }
}

/// How long a target group's checks take.
struct Checks<'a> {
    matcher: Option<&'a str>,
    /// Until the first one.
    first: Span,
    /// Until so many have failed.
    fails: Span,
    /// Until so many have succeeded.
    recovers: Span,
}

impl<'a> Checks<'a> {
    fn of(group: &'a SimTargetGroup) -> Self {
        let check = &group.health_check;
        let times = |count: u32| Span::from_secs(u64::from(check.interval_secs) * u64::from(count));
        Self {
            matcher: check.matcher.as_deref(),
            first: times(1),
            fails: times(check.unhealthy),
            recovers: times(check.healthy),
        }
    }

    /// When the first check of a target was, or will be, that turns unhealthy then if no check
    /// succeeds.
    fn first_at(&self, fails_at: i64, warmup: Span) -> i64 {
        after(fails_at.saturating_sub(after(0, self.fails)), self.first.min(warmup))
    }
}

impl World {
    /// The load balancer's health checks. Only target groups that an action names are
    /// checked, at whatever weight.
    pub(super) fn check_targets(&mut self) -> bool {
        let machines = self.machines();
        let used = self.used();
        let now = self.now;
        let mut changed = false;
        for (arn, target_group) in &mut self.target_groups {
            let mut targets = std::mem::take(&mut target_group.targets);
            let checks = Checks::of(target_group);
            for (id, target) in &mut targets {
                let Some(found) = machines.get(id) else { continue };
                if target.health == TargetHealth::Draining {
                    continue;
                }
                let before = target.clone();
                match () {
                    () if !used.contains(arn) => *target = unused(NOT_IN_USE),
                    () if found.machine.stopped => *target = unused(STOPPED),
                    () if found.off => *target = unused(ZONE_OFF),
                    () => check_target(target, found, &checks, now),
                }
                changed |= *target != before;
            }
            target_group.targets = targets;
        }
        changed
    }

    fn machines(&self) -> BTreeMap<String, Found> {
        let groups = self.groups.values().flat_map(|group| &group.instances);
        groups.map(|(id, machine)| (id.clone(), self.found(machine))).collect()
    }

    /// When a load balancer's word about targets may change.
    pub(super) fn events_of_targets(&self) -> impl Iterator<Item = i64> {
        let targets =
            self.target_groups.values().flat_map(|group| group.targets.iter().map(move |found| (group, found)));
        targets.flat_map(|(group, (id, target))| {
            let first = target.flips_at.filter(|_| target.health == TargetHealth::Initial);
            let first = first.and_then(|at| self.first_answer(id, &Checks::of(group), at));
            target.flips_at.into_iter().chain(first)
        })
    }

    /// When the first check may find a machine well that answered before it was checked.
    fn first_answer(&self, id: &str, checks: &Checks<'_>, fails_at: i64) -> Option<i64> {
        let machine = self.groups.values().find_map(|group| group.instances.get(id))?;
        let warmup = self.versions.get(&machine.version).and_then(|rules| rules.warmup).unwrap_or(self.pace.warmup);
        let first = checks.first_at(fails_at, warmup);
        (after(machine.runs_since(), warmup) <= first).then_some(first)
    }

    /// Machines that power themselves off, or vanish.
    pub(super) fn lose_machines(&mut self) -> bool {
        let mut vanish: Vec<(String, Vec<String>)> = Vec::new();
        let mut stop = Vec::new();
        for (name, group) in &self.groups {
            let mut gone = Vec::new();
            for (id, machine) in group.instances.iter().filter(|(_, m)| m.lifecycle == Lifecycle::InService) {
                let Some(rules) = self.versions.get(&machine.version) else { continue };
                let over = |span: Option<Span>| span.is_some_and(|span| after(machine.in_service, span) <= self.now);
                if over(rules.vanishes_after) {
                    gone.push(id.clone());
                } else if !machine.stopped && over(rules.stops_after) {
                    stop.push((name.clone(), id.clone()));
                }
            }
            if !gone.is_empty() {
                vanish.push((name.clone(), gone));
            }
        }
        for (name, ids) in &vanish {
            self.vanish(name, ids);
        }
        for (name, id) in &stop {
            if let Some(machine) = self.groups.get_mut(name).and_then(|group| group.instances.get_mut(id)) {
                machine.stopped = true;
            }
        }
        !vanish.is_empty() || !stop.is_empty()
    }

    /// The group's word about its machines: that of the load balancer after the grace
    /// period, and for workers whether the machine itself is well. A machine that was
    /// powered off is replaced in the grace period, too.
    pub(super) fn judge_machines(&mut self) -> bool {
        let mut sick = Vec::new();
        for (name, group) in &self.groups {
            if group.suspends("HealthCheck") {
                continue;
            }
            let checked = group.instances.iter().filter(|(_, m)| m.lifecycle == Lifecycle::InService && m.healthy);
            let found = checked.filter(|(id, machine)| machine.stopped || self.is_sick(group, id, machine));
            sick.extend(found.map(|(id, _)| (name.clone(), id.clone())));
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

    fn is_sick(&self, group: &SimGroup, id: &str, machine: &SimInstance) -> bool {
        if group.asks_the_balancer() {
            let judged = after(machine.in_service, group.grace) <= self.now;
            return judged && group.target_groups.iter().any(|arn| self.target_is_unhealthy(arn, id));
        }
        group.target_groups.is_empty() && self.is_sick_worker(machine)
    }

    fn is_sick_worker(&self, machine: &SimInstance) -> bool {
        let found = self.found(machine);
        let warm = after(machine.runs_since(), found.warmup) <= self.now;
        warm && found.answers(None, self.now).is_err()
    }

    /// Whether a machine's application answers with a good status, as its own boot script sees it.
    pub(super) fn is_up(&self, machine: &SimInstance) -> bool {
        self.found(machine).answers(Some("200-299"), self.now).is_ok()
    }

    fn found(&self, machine: &SimInstance) -> Found {
        let rules = self.rules_of(&machine.version);
        let warmup = rules.warmup.unwrap_or(self.pace.warmup);
        let off = self.subnets_off_balancer.contains(&machine.subnet);
        Found { machine: machine.clone(), rules, warmup, off }
    }

    fn target_is_unhealthy(&self, arn: &TargetGroupArn, id: &str) -> bool {
        let target = self.target_groups.get(arn).and_then(|group| group.targets.get(id));
        target.is_some_and(|target| target.health == TargetHealth::Unhealthy)
    }
}

impl SimGroup {
    /// Whether the load balancer's word makes it replace machines.
    pub(super) fn asks_the_balancer(&self) -> bool {
        match self.health_check_type.as_str() {
            "" => !self.target_groups.is_empty(),
            other => other.split(',').any(|kind| kind == "ELB"),
        }
    }
}

fn unused(why: &str) -> SimTarget {
    SimTarget { health: TargetHealth::Unused, flips_at: None, words: why.to_owned() }
}

/// One target's next state. It is `initial` first. The first check that it answers makes it
/// healthy; as many failed ones in a row as the threshold says make it unhealthy, also while
/// it boots, and as many good ones bring it back.
fn check_target(target: &mut SimTarget, found: &Found, checks: &Checks<'_>, now: i64) {
    let answer = found.answers(checks.matcher, now);
    let is = |health: TargetHealth, words: String| SimTarget { health, flips_at: None, words };
    let judged = || match &answer {
        Ok(()) => is(TargetHealth::Healthy, String::new()),
        Err(words) => is(TargetHealth::Unhealthy, words.clone()),
    };
    let same = target.health == judged().health;
    match (target.health, target.flips_at) {
        (TargetHealth::Unused, _) => {
            let flips_at = Some(after(now, checks.fails));
            *target = SimTarget { health: TargetHealth::Initial, flips_at, words: INITIAL.to_owned() };
        }
        (TargetHealth::Initial, Some(at)) => {
            if (answer.is_ok() && checks.first_at(at, found.warmup) <= now) || at <= now {
                *target = judged();
            }
        }
        (TargetHealth::Healthy | TargetHealth::Unhealthy, _) if found.flaps(now).is_some() => {
            let failed = "Target.FailedHealthChecks: Health checks failed";
            *target = match found.flaps(now) {
                Some(false) => is(TargetHealth::Unhealthy, failed.to_owned()),
                _ => is(TargetHealth::Healthy, String::new()),
            };
        }
        (TargetHealth::Healthy | TargetHealth::Unhealthy, _) if same => {
            target.flips_at = None;
            if target.words.is_empty() {
                target.words = judged().words;
            }
        }
        (TargetHealth::Healthy | TargetHealth::Unhealthy, at) if due(at, now) => *target = judged(),
        (TargetHealth::Healthy, at) => target.flips_at = at.or(Some(after(now, checks.fails))),
        (TargetHealth::Unhealthy, at) => target.flips_at = at.or(Some(after(now, checks.recovers))),
        (TargetHealth::Initial | TargetHealth::Draining | TargetHealth::Unavailable, _) => {}
    }
}

/// Whether a matcher such as `200-299,302` has a code.
fn matches(matcher: &str, code: u16) -> bool {
    matcher.split(',').any(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u16>().ok();
        number(from).zip(number(to)).is_some_and(|(from, to)| (from..=to).contains(&code))
    })
}
