//! What a saved world must be, besides its form: a file that was edited by hand, cut off or
//! made to do harm is an error and not a world in which time never ends.

use crate::names::{AccountId, Region};
use crate::observed::assemble::forwarded;
use crate::observed::resources::RuleAction;
use crate::time::Span;

use super::world::{Pace, SimGroup, SimTargetGroup, VersionRules, World};

/// The most machines of one group, as many as a file can ask for.
pub const GROUP_MACHINES_MAX: u32 = 10_000;

/// The most machines of all groups together: each takes memory, and time at each event.
pub const MACHINES_MAX: usize = 100_000;

/// The longest time that anything takes.
const SPAN_MAX: Span = Span::from_secs(366 * 24 * 3600);

/// What is tried again, is not tried again in the same instant.
const AGAIN_MIN: Span = Span::from_millis(100);

/// The last millisecond of the year 9999.
const TIME_MAX: i64 = 253_402_300_799_999;

/// Source: the API reference of `ModifyRule`.
const WEIGHT_MAX: u32 = 999;
/// Source: the API reference of `CreateRule`.
const PRIORITY_MAX: u32 = 50_000;

type Checked = Result<(), String>;

impl World {
    /// Whether one can live in it.
    pub(super) fn sound(&self) -> Checked {
        AccountId::parse(&self.account).map_err(|why| format!("account: {why}"))?;
        Region::parse(&self.region).map_err(|why| format!("region: {why}"))?;
        time("now", self.now)?;
        // Ids are only ever counted up.
        at_most("next_id", self.next_id, u64::MAX / 2)?;
        pace(&self.pace)?;
        for (version, rules) in &self.versions {
            version_rules(rules).map_err(|why| format!("versions.{version}: {why}"))?;
        }
        for (id, template) in &self.templates {
            time("created", template.created).map_err(|why| format!("templates.{id}: {why}"))?;
        }
        for (name, group) in &self.groups {
            sound_group(group).map_err(|why| format!("groups.{name}: {why}"))?;
        }
        let machines = |group: &SimGroup| (group.desired as usize).max(group.instances.len());
        at_most("all machines together", self.groups.values().map(machines).sum(), MACHINES_MAX)?;
        for (arn, group) in &self.target_groups {
            target_group(group).map_err(|why| format!("target_groups.{arn}: {why}"))?;
        }
        self.actions_are_sound()
    }

    fn actions_are_sound(&self) -> Checked {
        for (arn, listener) in &self.listeners {
            self.action(&listener.default_action).map_err(|why| format!("listeners.{arn}: {why}"))?;
        }
        for (arn, rule) in &self.rules {
            let checked = || {
                time("created", rule.created)?;
                between("priority", rule.priority, 1, PRIORITY_MAX)?;
                if !self.listeners.contains_key(&rule.listener) {
                    return Err(format!("there is no listener {}", rule.listener));
                }
                self.action(&rule.action)
            };
            checked().map_err(|why| format!("rules.{arn}: {why}"))?;
        }
        Ok(())
    }

    fn action(&self, action: &RuleAction) -> Checked {
        if let Some(weights) = action.weights() {
            weights.iter().try_for_each(|(_, weight)| at_most("weight", *weight, WEIGHT_MAX))?;
        }
        match forwarded(action).find(|arn| !self.target_groups.contains_key(*arn)) {
            Some(arn) => Err(format!("there is no target group {arn}")),
            None => Ok(()),
        }
    }
}

fn pace(pace: &Pace) -> Checked {
    let Pace { boot, warmup, replace, shutdown, deletion, launch_retry, lag } = *pace;
    let all = [boot, warmup, replace, shutdown, deletion, launch_retry, lag];
    all.into_iter().try_for_each(|span| short("pace", span))?;
    match [replace, launch_retry].into_iter().any(|span| span < AGAIN_MIN) {
        true => Err("pace: replace and launch_retry are at least 100 ms".to_owned()),
        false => Ok(()),
    }
}

fn version_rules(rules: &VersionRules) -> Checked {
    let spans = [rules.crash_after, rules.stops_after, rules.vanishes_after, rules.flaps, rules.boot, rules.warmup];
    spans.into_iter().flatten().try_for_each(|span| short("a duration", span))?;
    match [rules.stops_after, rules.vanishes_after, rules.flaps].into_iter().flatten().any(|span| span < AGAIN_MIN) {
        true => Err("stops_after, vanishes_after and flaps are at least 100 ms".to_owned()),
        false => Ok(()),
    }
}

fn sound_group(group: &SimGroup) -> Checked {
    at_most("max", group.max, GROUP_MACHINES_MAX)?;
    at_most("the number of instances", group.instances.len(), 2 * GROUP_MACHINES_MAX as usize)?;
    between("desired", group.desired, group.min, group.max)?;
    short("grace", group.grace)?;
    group.ready_within.map_or(Ok(()), |span| short("ready_within", span))?;
    time("created", group.created)?;
    time("next_launch", group.next_launch)?;
    group.deleted_at.map_or(Ok(()), |at| time("deleted_at", at))?;
    for machine in group.instances.values() {
        let times =
            [Some(machine.launched), Some(machine.in_service), machine.replace_at, machine.gone_at, machine.in_hook];
        times.into_iter().flatten().try_for_each(|at| time("a time of an instance", at))?;
    }
    group.activities.iter().try_for_each(|activity| time("started", activity.started))
}

fn target_group(group: &SimTargetGroup) -> Checked {
    short("deregistration_delay", group.deregistration_delay)?;
    time("created", group.created)?;
    group.targets.values().filter_map(|target| target.flips_at).try_for_each(|at| time("flips_at", at))
}

fn time(what: &str, at: i64) -> Checked {
    match (0..=TIME_MAX).contains(&at) {
        true => Ok(()),
        false => Err(format!("{what} is {at}, which is no time from 1970 to 9999 in milliseconds")),
    }
}

fn short(what: &str, span: Span) -> Checked {
    match span <= SPAN_MAX {
        true => Ok(()),
        false => Err(format!("{what} of {} ms is more than a year", span.as_millis())),
    }
}

fn at_most<N: PartialOrd + std::fmt::Display>(what: &str, number: N, max: N) -> Checked {
    match number <= max {
        true => Ok(()),
        false => Err(format!("{what} is {number}, and at most {max} is read")),
    }
}

fn between(what: &str, number: u32, min: u32, max: u32) -> Checked {
    match (min..=max).contains(&number) {
        true => Ok(()),
        false => Err(format!("{what} is {number}, which is not between {min} and {max}")),
    }
}
