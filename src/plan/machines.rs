//! Each machine of a group is healthy, booting, failing or missing.
//!
//! A load balancer checks machines while they boot and calls them unhealthy, which is why
//! groups have a grace period: such a machine has not failed yet. One that is gone, detached,
//! or out of the load balancer's sight has not failed either: it is missing.

use std::collections::BTreeMap;

use crate::mutant::Mutant;
use crate::names::GroupName;
use crate::observed::resources::{Instance, Lifecycle, Outcome, Target, TargetHealth};
use crate::observed::state::{GroupState, Health, ServerGroup};
use crate::time::{Span, Timestamp};

/// What earlier readings showed of the machines of one group, by instance id.
pub type MachinesSeen = BTreeMap<String, MachineSeen>;

/// What earlier readings showed of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineSeen {
    /// Since when it has been in service, as far as that can be known.
    pub in_service: Timestamp,
    /// It was healthy in some reading.
    pub was_healthy: bool,
}

/// What is known of a group's machines besides the reading itself.
pub struct Evidence<'a> {
    /// What earlier readings showed; none for a group that was never read.
    pub seen: Option<&'a MachinesSeen>,
    /// How long a machine may be unhealthy after it came into service.
    pub grace: Span,
    /// The group has real traffic, which it got when its machines were healthy.
    pub serves: bool,
    /// The time of the reading.
    pub now: Timestamp,
}

/// A machine's condition in one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Healthy,
    Booting,
    Failing,
    Missing,
}

/// Counts the machines of a release; none where their health was not read.
pub fn count(owner: &ServerGroup, evidence: &Evidence<'_>) -> Option<Health> {
    let Some(group) = &owner.group else {
        return Some(Health::default());
    };
    let mut health = Health::default();
    for instance in &group.instances {
        match condition(owner, group, instance, evidence)? {
            Condition::Healthy => health.healthy += 1,
            Condition::Booting => health.booting += 1,
            Condition::Failing => health.failing += 1,
            Condition::Missing => {}
        }
    }
    health.missing = group.desired.saturating_sub(health.healthy + health.booting + health.failing);
    Some(health)
}

/// None where nothing can be said: the targets were not read, or the load balancer itself
/// doesn't know.
fn condition(
    owner: &ServerGroup,
    group: &GroupState,
    instance: &Instance,
    evidence: &Evidence<'_>,
) -> Option<Condition> {
    if owner.target_group.is_none() {
        // A worker has only the group's word.
        return Some(match (instance.lifecycle, instance.healthy) {
            (Lifecycle::Pending, _) => Condition::Booting,
            (Lifecycle::InService, true) => Condition::Healthy,
            (Lifecycle::InService, false) => Condition::Failing,
            (Lifecycle::Leaving, _) => Condition::Missing,
        });
    }
    let targets = owner.targets.as_ref()?;
    if instance.lifecycle != Lifecycle::InService {
        return Some(if instance.lifecycle == Lifecycle::Pending { Condition::Booting } else { Condition::Missing });
    }
    let target = targets.get(&instance.id).map(|target| target.health);
    Some(match (target, instance.healthy) {
        (Some(TargetHealth::Unavailable), _) => return None,
        (Some(TargetHealth::Healthy), true) => Condition::Healthy,
        (Some(TargetHealth::Initial), true) => Condition::Booting,
        (Some(TargetHealth::Unhealthy), _) => {
            let seen = evidence.seen.and_then(|seen| seen.get(&instance.id).copied());
            let since =
                seen.map_or(evidence.now, |seen| seen.in_service).min(in_service(owner, group, instance, evidence.now));
            // A machine that is new to a group that was seen before has joined it since.
            let before_restart = evidence.seen.is_none() && took_its_step(group, since, evidence.serves);
            let was_healthy = seen.map_or(before_restart, |seen| seen.was_healthy);
            let in_grace = evidence.now.since(since) < evidence.grace;
            if in_grace && !was_healthy && !Mutant::BlameBooting.on() { Condition::Booting } else { Condition::Failing }
        }
        // Its group lets it go for a reason of its own (the machine was stopped, a spot
        // interruption), or somebody took it out of the load balancer.
        (Some(TargetHealth::Healthy | TargetHealth::Initial), false)
        | (Some(TargetHealth::Draining | TargetHealth::Unused) | None, _) => Condition::Missing,
    })
}

/// Whether a machine was in service when its group took its last step, for which its machines had to
/// be healthy: what was seen of it before a restart. Where the step is not marked yet, it was taken
/// just now.
fn took_its_step(group: &GroupState, in_service: Timestamp, serves: bool) -> bool {
    group.marks.step.is_some_and(|step| if step.percent > 0 { in_service < step.at } else { serves })
}

/// Since when a machine has been in service: the end of its launch, as the group's activities
/// tell. A machine that they no longer tell of is as old as its group. Where they were not
/// read, nothing is known, and its time begins now.
fn in_service(owner: &ServerGroup, group: &GroupState, instance: &Instance, now: Timestamp) -> Timestamp {
    let Some(activities) = &owner.activities else { return now };
    let launch = activities.iter().find(|activity| activity.launch && activity.instance.as_ref() == Some(&instance.id));
    match launch {
        Some(launch) if launch.outcome == Outcome::Successful => launch.ended.unwrap_or(launch.started).min(now),
        Some(_) => now,
        None => group.created.min(now),
    }
}

/// Takes in a reading: which machines are in service since when, and which were healthy. Gives
/// how many healthy ones are gone that the group has not shrunk by: their places are new.
pub fn note(owner: &ServerGroup, seen: &mut BTreeMap<GroupName, MachinesSeen>, serves: bool, now: Timestamp) -> u32 {
    let Some(group) = &owner.group else { return 0 };
    if owner.target_group.is_some() && owner.targets.is_none() {
        return 0;
    }
    let is_first = !seen.contains_key(&owner.name);
    let machines = seen.entry(owner.name.clone()).or_default();
    let in_use = |instance: &&Instance| instance.lifecycle == Lifecycle::InService;
    let (known, mut lost) = (machines.len(), 0);
    machines.retain(|id, machine| {
        let stays = group.instances.iter().filter(in_use).any(|instance| instance.id == *id);
        lost += usize::from(!stays && machine.was_healthy);
        stays
    });
    for instance in group.instances.iter().filter(in_use) {
        let healthy = match &owner.targets {
            Some(targets) => targets.get(&instance.id).is_some_and(|target| target.health == TargetHealth::Healthy),
            // A worker has only the group's word.
            None => instance.healthy,
        };
        let since = in_service(owner, group, instance, now);
        let was_healthy = is_first && took_its_step(group, since, serves);
        let machine = machines.entry(instance.id.clone()).or_insert(MachineSeen { in_service: since, was_healthy });
        machine.in_service = machine.in_service.min(since);
        machine.was_healthy |= healthy;
    }
    let shrunk = known.saturating_sub(usize::try_from(group.desired).unwrap_or(usize::MAX));
    u32::try_from(lost.saturating_sub(shrunk)).unwrap_or(u32::MAX)
}

/// Whether no earlier reading showed some machine in service, so that only the activities tell
/// how old it is.
pub fn has_unknown_age(group: &GroupState, seen: Option<&MachinesSeen>) -> bool {
    let unknown = |id: &String| seen.is_none_or(|seen| !seen.contains_key(id));
    group.instances.iter().any(|instance| instance.lifecycle == Lifecycle::InService && unknown(&instance.id))
}

/// The reasons that the load balancer gives for machines that are not healthy, grouped and
/// counted: `2 × Target.Timeout: Request timed out`.
pub fn words(owner: &ServerGroup) -> Option<String> {
    let targets = owner.targets.as_ref()?;
    let members: Vec<&String> =
        owner.group.iter().flat_map(|group| &group.instances).map(|instance| &instance.id).collect();
    let said = |of: fn(TargetHealth) -> bool| {
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        let telling =
            |(id, target): &(&String, &Target)| of(target.health) && !target.words.is_empty() && members.contains(id);
        for (_, target) in targets.iter().filter(telling) {
            *counted.entry(target.words.as_str()).or_default() += 1;
        }
        counted
    };
    // Why machines fail says more than what becomes of the others.
    let failing = said(|health| health == TargetHealth::Unhealthy);
    let others = || said(|health| !matches!(health, TargetHealth::Healthy | TargetHealth::Draining));
    let counted = if failing.is_empty() { others() } else { failing };
    let mut counted: Vec<(&str, usize)> = counted.into_iter().collect();
    counted.sort_by_key(|(words, count)| (std::cmp::Reverse(*count), *words));
    let parts: Vec<String> = counted.iter().map(|(words, count)| format!("{count} × {words}")).collect();
    (!parts.is_empty()).then(|| quoted(&parts.join("; ")))
}

/// The longest text of AWS that is repeated.
const QUOTED_MAX: usize = 300;

/// AWS's words as they may be repeated: on one line, without control characters, cut.
pub fn quoted(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if clean.chars().count() <= QUOTED_MAX {
        return clean;
    }
    let cut: String = clean.chars().take(QUOTED_MAX - 1).collect();
    format!("{cut}…")
}

/// What keeps a group from becoming what it aims at, by its name. `ready_hook`: its machines
/// wait in our own hook until they are ready.
pub fn stands_still(group: &GroupState, ready_hook: bool) -> Option<String> {
    let suspended = |process: &str| group.suspended.iter().any(|known| known == process);
    let standing = group.instances.len();
    let desired = usize::try_from(group.desired).unwrap_or(usize::MAX);
    let protected = group.shape.as_ref().map_or(0, |shape| shape.protected.len());
    let held = group.shape.as_ref().map_or(0, |shape| shape.in_hooks);
    if standing < desired && suspended("Launch") {
        Some("its process Launch is suspended, so no machine is launched".to_owned())
    } else if standing > desired && suspended("Terminate") {
        Some("its process Terminate is suspended, so no machine is terminated".to_owned())
    } else if standing > desired && protected > 0 {
        Some(format!("{protected} machines are protected from scale-in"))
    } else if held > 0 {
        let pending = group.instances.iter().filter(|instance| instance.lifecycle == Lifecycle::Pending).count();
        let not_ready = if ready_hook { held.min(u32::try_from(pending).unwrap_or(u32::MAX)) } else { 0 };
        let others = held - not_ready;
        let parts = [(not_ready, "not ready yet (machine.ready)"), (others, "waiting for a lifecycle hook")];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(count, what));
        Some(parts.collect::<Vec<_>>().join(", "))
    } else {
        None
    }
}

fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("1 machine is {what}") } else { format!("{count} machines are {what}") }
}
