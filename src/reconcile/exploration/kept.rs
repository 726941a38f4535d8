//! States as the search holds them until their turn: what is as it was in the state before
//! is held once. A whole state takes 100 KB, what one step changes a few.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Daemon, State};
use crate::cloud::sim::world::{SimGroup, SimRule, SimTargetGroup, SimTemplate, World};
use crate::names::{RuleArn, TargetGroupArn};

/// Resources of a kind by their key, some of them shared with other states.
type Shared<K, V> = Box<[Arc<(K, V)>]>;

/// A state.
pub(super) struct Kept {
    /// All of the world that no step changes.
    rest: Arc<World>,
    now: i64,
    next_id: u64,
    templates: Shared<String, SimTemplate>,
    groups: Shared<String, SimGroup>,
    target_groups: Shared<TargetGroupArn, SimTargetGroup>,
    rules: Shared<RuleArn, SimRule>,
    daemons: Box<[Arc<Daemon>]>,
    crashes: u8,
    faults: u8,
}

impl Kept {
    /// The state that a search begins with.
    pub fn first(state: &State) -> Self {
        Self {
            rest: Arc::new(rest(&state.world)),
            now: state.world.now,
            next_id: state.world.next_id,
            templates: shared(&[], &state.world.templates),
            groups: shared(&[], &state.world.groups),
            target_groups: shared(&[], &state.world.target_groups),
            rules: shared(&[], &state.world.rules),
            daemons: state.daemons.iter().cloned().map(Arc::new).collect(),
            crashes: state.crashes,
            faults: state.faults,
        }
    }

    /// One that follows from this one.
    pub fn next(&self, state: &State) -> Self {
        let world = &state.world;
        debug_assert_eq!(*self.rest, rest(world), "a step changes nothing but resources and time");
        let daemon =
            |(was, is): (&Arc<Daemon>, &Daemon)| if **was == *is { Arc::clone(was) } else { Arc::new(is.clone()) };
        Self {
            rest: Arc::clone(&self.rest),
            now: world.now,
            next_id: world.next_id,
            templates: shared(&self.templates, &world.templates),
            groups: shared(&self.groups, &world.groups),
            target_groups: shared(&self.target_groups, &world.target_groups),
            rules: shared(&self.rules, &world.rules),
            daemons: self.daemons.iter().zip(&state.daemons).map(daemon).collect(),
            crashes: state.crashes,
            faults: state.faults,
        }
    }

    /// The whole state again.
    pub fn state(&self) -> State {
        let mut world = World::clone(&self.rest);
        world.now = self.now;
        world.next_id = self.next_id;
        world.templates = whole(&self.templates);
        world.groups = whole(&self.groups);
        world.target_groups = whole(&self.target_groups);
        world.rules = whole(&self.rules);
        let daemons = self.daemons.iter().map(|daemon| Daemon::clone(daemon)).collect();
        State { world: Arc::new(world), daemons, crashes: self.crashes, faults: self.faults }
    }
}

/// A world without what a step may change.
fn rest(world: &World) -> World {
    World {
        now: 0,
        next_id: 0,
        templates: BTreeMap::new(),
        groups: BTreeMap::new(),
        target_groups: BTreeMap::new(),
        rules: BTreeMap::new(),
        format: world.format,
        account: world.account.clone(),
        region: world.region.clone(),
        pace: world.pace,
        limits: world.limits,
        versions: world.versions.clone(),
        no_capacity: world.no_capacity.clone(),
        subnet_failures: world.subnet_failures.clone(),
        subnets_off_balancer: world.subnets_off_balancer.clone(),
        missing_amis: world.missing_amis.clone(),
        surroundings: world.surroundings.clone(),
        listeners: world.listeners.clone(),
        violations: world.violations.clone(),
    }
}

fn shared<K: Ord + Clone, V: PartialEq + Clone>(before: &[Arc<(K, V)>], now: &BTreeMap<K, V>) -> Shared<K, V> {
    let same = |key: &K, value: &V| {
        let place = before.binary_search_by(|one| one.0.cmp(key)).ok()?;
        Some(&before[place]).filter(|one| one.1 == *value)
    };
    let one = |(key, value): (&K, &V)| match same(key, value) {
        Some(one) => Arc::clone(one),
        None => Arc::new((key.clone(), value.clone())),
    };
    now.iter().map(one).collect()
}

fn whole<K: Ord + Clone, V: Clone>(kept: &[Arc<(K, V)>]) -> BTreeMap<K, V> {
    kept.iter().map(|one| (**one).clone()).collect()
}
