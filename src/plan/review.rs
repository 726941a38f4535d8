//! What a merge changes, for whoever must say yes to it: two commits side by side, and
//! what was so already before the merge.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::files::ConfigFiles;
use crate::desired::spec::{Desired, Freeze, ServiceSpec};
use crate::names::ServiceName;
use crate::time::{Span, Timestamp};

use super::types::{GroupView, Plan, Role, ServicePlan};

/// A freeze that begins later than this is in nobody's way yet.
const SOON: Span = Span::from_mins(14 * 24 * 60);

/// What a merge changes, beside the plan of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Review {
    /// The services whose file or whose effective settings it changes, and which keys.
    pub touched: BTreeMap<ServiceName, Vec<String>>,
    /// What was already otherwise than the base says before the merge, by service.
    pub already: BTreeMap<ServiceName, String>,
    /// Freezes that are on, or begin within two weeks, of services that it touches.
    pub freezes: Vec<Freeze>,
    /// The difference of `ionroller.toml`, unified.
    pub scope_diff: Option<String>,
}

/// One side of a merge.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Its files.
    pub files: &'a ConfigFiles,
    /// What they say.
    pub desired: &'a Desired,
}

impl Review {
    /// Compares the base with the merge, and what runs with the base. Freezes that were
    /// over at `now` are left out.
    pub fn new(base: Side<'_>, merge: Side<'_>, plan: &Plan, now: Timestamp) -> Self {
        let names: BTreeSet<&ServiceName> = base.desired.services.keys().chain(merge.desired.services.keys()).collect();
        let touched: BTreeMap<ServiceName, Vec<String>> =
            names.into_iter().filter_map(|name| Some((name.clone(), changed(name, base, merge)?))).collect();
        let already = plan.services.iter().filter_map(|service| {
            Some((service.name.clone(), before_the_merge(service, base.desired.spec_of(&service.name))?))
        });
        let holds = |freeze: &Freeze| {
            freeze.services.is_empty() || freeze.services.iter().any(|name| touched.contains_key(name))
        };
        let freezes = merge.desired.scope.iter().flat_map(|scope| &scope.freezes);
        let freezes: Vec<Freeze> = freezes
            .filter(|freeze| now < freeze.until && freeze.from < now + SOON && holds(freeze) && !touched.is_empty())
            .cloned()
            .collect();
        Self { already: already.collect(), freezes, scope_diff: None, touched }
    }
}

/// The keys that a merge changes of a service; none when it leaves it as it is.
fn changed(name: &ServiceName, base: Side<'_>, merge: Side<'_>) -> Option<Vec<String>> {
    let path = format!("services/{name}.toml");
    let same_file = base.files.files.get(&path) == merge.files.files.get(&path);
    match (base.desired.spec_of(name), merge.desired.spec_of(name)) {
        (Some(old), Some(new)) => {
            let keys = keys(old, new);
            (!same_file || !keys.is_empty()).then_some(keys)
        }
        _ => {
            let (old, new) = (base.desired.services.get(name), merge.desired.services.get(name));
            (!same_file || old != new).then(Vec::new)
        }
    }
}

/// The keys in which two forms of a service differ, as the files name them.
pub fn keys(old: &ServiceSpec, new: &ServiceSpec) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let mut say = |differs: bool, key: &str| {
        if differs {
            keys.push(key.to_owned());
        }
    };
    say(old.version != new.version, "version");
    say(old.redeploy != new.redeploy, "redeploy");
    say(old.paused != new.paused, "paused");
    match (&old.image, &new.image) {
        (Some(old), Some(new)) => {
            say(old.repository != new.repository, "image.repository");
            say(old.digest != new.digest, "image.digest");
            say(old.ports != new.ports, "image.ports");
            say(old.command != new.command, "image.command");
            say(old.volumes != new.volumes, "image.volumes");
        }
        (old, new) => say(old != new, "image"),
    }
    let (machine, other) = (&old.machine, &new.machine);
    say(machine.ami != other.ami, "machine.ami");
    say(machine.instance_type != other.instance_type, "machine.instance_type");
    say(machine.instance_profile != other.instance_profile, "machine.instance_profile");
    say(machine.key_name != other.key_name, "machine.key_name");
    say(machine.root_volume_gib != other.root_volume_gib, "machine.root_volume_gib");
    say(machine.ready != other.ready, "machine.ready");
    match (&machine.user_data, &other.user_data) {
        (Some(old), Some(new)) if old.path == new.path => say(old != new, &format!("the script {}", new.path)),
        (old, new) => say(old != new, "machine.user_data"),
    }
    let names = |keys: BTreeSet<&String>| keys.into_iter().cloned().collect::<Vec<_>>();
    for name in names(old.env.keys().chain(new.env.keys()).collect()) {
        say(old.env.get(&name) != new.env.get(&name), &format!("env.{name}"));
    }
    for name in names(old.secrets.keys().chain(new.secrets.keys()).collect()) {
        say(old.secrets.get(&name) != new.secrets.get(&name), &format!("secrets.{name}"));
    }
    say(old.network.subnets != new.network.subnets, "network.subnets");
    say(old.network.security_groups != new.network.security_groups, "network.security_groups");
    say(old.capacity.min != new.capacity.min, "capacity.min");
    say(old.capacity.max != new.capacity.max, "capacity.max");
    say(old.capacity.scaling != new.capacity.scaling, "capacity.scaling");
    match (&old.load_balancer, &new.load_balancer) {
        (Some(old), Some(new)) => {
            say(old.listener != new.listener, "load_balancer.listener");
            say(old.rule != new.rule, "load_balancer.rule");
            say(old.port != new.port, "load_balancer.port");
            say(old.protocol != new.protocol, "load_balancer.protocol");
            say(old.health_check != new.health_check, "load_balancer.health_check");
            say(old.deregistration_delay != new.deregistration_delay, "load_balancer.deregistration_delay");
            say(old.adopt != new.adopt, "load_balancer.adopt");
        }
        (old, new) => say(old != new, "load_balancer"),
    }
    let (rollout, other) = (&old.rollout, &new.rollout);
    say(rollout.steps != other.steps, "rollout.steps");
    say(rollout.bake != other.bake, "rollout.bake");
    say(rollout.healthy_deadline != other.healthy_deadline, "rollout.healthy_deadline");
    say(rollout.healthy_for != other.healthy_for, "rollout.healthy_for");
    say(rollout.unhealthy_for != other.unhealthy_for, "rollout.unhealthy_for");
    say(rollout.alarms != other.alarms, "rollout.alarms");
    say(rollout.on_failure != other.on_failure, "rollout.on_failure");
    say(old.retention.warm != new.retention.warm, "retention.warm");
    say(old.retention.records != new.retention.records, "retention.records");
    for name in names(old.tags.keys().chain(new.tags.keys()).collect()) {
        say(old.tags.get(&name) != new.tags.get(&name), &format!("tags.{name}"));
    }
    // A key that this list does not know yet is still a change.
    if keys.is_empty() && old != new {
        keys.push("its settings".to_owned());
    }
    keys
}

/// What of a service is otherwise than the base says, whatever the merge does to it.
fn before_the_merge(service: &ServicePlan, wanted: Option<&ServiceSpec>) -> Option<String> {
    if service.groups.is_empty() {
        return None;
    }
    let live = service.from.as_ref();
    let under_way = |group: &&GroupView| {
        let new = matches!(group.role, Role::Candidate | Role::Leftover);
        new && group.desired_capacity > 0 && !group.marks.contains_key("retired")
    };
    let rollout = service.groups.iter().find(under_way).map(|group| {
        let weight = group.weight.map_or_else(String::new, |weight| format!(", with {weight} % of the traffic"));
        format!("a rollout of {} is under way{weight}", group.version)
    });
    let drift = match (live, wanted) {
        (Some(live), Some(wanted)) if live.digest != wanted.digest && rollout.is_none() => {
            Some(match live.version == wanted.version {
                true => format!("another release of {} is live than the base says", live.version),
                false => format!("{} is live, and the base says {}", live.version, wanted.version),
            })
        }
        _ => None,
    };
    let held = service.held.as_ref().map(|hold| format!("held by {}: {}", hold.who, hold.text));
    let all: Vec<String> = [rollout, drift, held].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}
