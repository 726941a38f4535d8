//! A small AWS in memory: deterministic, with a virtual clock.
//!
//! It behaves as the documents of AWS say wherever that matters to a rollout: machines
//! boot, are checked only while an action names their target group, drain, fail and are
//! replaced; names are unique; deletions take their time. `world` is what it remembers,
//! `time`, `health` and `scaling` what happens by itself, `hands` what others do, `reader`
//! and `writer` the port, and `check` what the API refuses.

mod check;
pub mod file;
#[cfg(test)]
pub(crate) mod fixture;
mod hands;
mod health;
pub mod lease;
mod reader;
mod scaling;
pub mod sound;
mod stale;
pub mod surroundings;
mod time;
pub mod world;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::names::{RuleArn, TargetGroupArn};
use crate::observed::resources::{RuleAction, TargetHealth};
use crate::time::{Span, Timestamp};

use super::{CloudError, ErrorKind};
use stale::Past;
use world::{VersionRules, World};

/// The simulated AWS. Clones share one world.
#[derive(Debug, Clone)]
pub struct SimCloud(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    world: World,
    calls: Vec<Call>,
    /// Worlds that readings may still show; none where they show the present.
    past: Option<Past>,
}

/// One API call that was made, one page each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// As AWS names it.
    pub operation: &'static str,
    /// What it was about, or empty.
    pub resource: String,
    /// It may change something.
    pub mutating: bool,
    /// When.
    pub at: Timestamp,
}

/// Where the traffic of one action goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The target group.
    pub target_group: TargetGroupArn,
    /// Its raw weight.
    pub weight: u32,
    /// Targets that answer.
    pub healthy: u32,
    /// All targets that may get a request: draining ones and unused ones don't.
    pub registered: u32,
}

impl SimCloud {
    /// A cloud over a world.
    pub fn new(mut world: World) -> Self {
        world.settle();
        Self(Arc::new(Mutex::new(Inner { world, calls: Vec::new(), past: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked leaves a world that others may still look at.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the world, to look at or to save.
    pub fn world(&self) -> World {
        self.lock().world.clone()
    }

    /// Looks at the world without a copy.
    pub fn look<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.lock().world)
    }

    /// From now on that many of a hundred readings show the world as it was some time ago,
    /// at most so long; with none of a hundred that ends.
    /// Source: AWS documents eventual consistency without a bound.
    pub fn set_staleness(&self, seed: u64, up_to: Span, percent: u32) {
        let mut inner = self.lock();
        inner.past = (percent > 0).then(|| Past::new(seed, up_to, percent));
    }

    /// Changes the world behind everybody's back; what follows at once has then happened.
    pub fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut inner = self.lock();
        inner.keep();
        let result = change(&mut inner.world);
        inner.world.settle();
        result
    }

    /// Lets time pass.
    pub fn advance(&self, span: Span) {
        let mut inner = self.lock();
        inner.keep();
        inner.world.advance(span);
    }

    /// Lets time pass until then; does nothing when that is over.
    pub fn advance_to(&self, time: Timestamp) {
        let mut inner = self.lock();
        let span = time.since(inner.world.time());
        if span > Span::ZERO {
            inner.keep();
            // Whatever changed it has settled it.
            inner.world.advance_settled(span);
        }
    }

    /// When something changes next by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.lock().world.next_event()
    }

    /// All API calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How many API calls could change something.
    pub fn mutations(&self) -> usize {
        self.lock().calls.iter().filter(|call| call.mutating).count()
    }

    /// Forgets the calls so far, to count the next ones.
    pub fn forget_calls(&self) {
        self.lock().calls.clear();
    }

    /// What AWS let pass and nobody should have done.
    pub fn violations(&self) -> Vec<String> {
        self.lock().world.violations.clone()
    }

    /// Decides how the machines of a version behave from now on.
    pub fn set_version(&self, version: &str, rules: VersionRules) {
        self.change(|world| world.versions.insert(version.to_owned(), rules));
    }

    /// Whether the machines of a version answer their health checks from now on; all
    /// else about it stays.
    pub fn set_health(&self, version: &str, healthy: bool) {
        self.change(|world| world.versions.entry(version.to_owned()).or_default().unhealthy = !healthy);
    }

    /// Where requests go now, by action. Rules that only health checks need, with host
    /// names that no client sends, are left out.
    pub fn traffic(&self) -> Vec<(RuleArn, Vec<Share>)> {
        let inner = self.lock();
        let world = &inner.world;
        let hidden = |arn: &RuleArn| {
            let hosts = world.rules.get(arn).map(|rule| rule.conditions.hosts.as_slice()).unwrap_or_default();
            !hosts.is_empty() && hosts.iter().all(|host| host.ends_with(".ionroller.invalid"))
        };
        let share = |(arn, weight): &(TargetGroupArn, u32)| world.share(arn, *weight);
        let shares = |action: &RuleAction| action.weights().unwrap_or_default().iter().map(share).collect();
        let real = world.actions().filter(|(arn, _)| !hidden(arn));
        real.map(|(arn, action)| (arn, shares(action))).collect()
    }

    /// Reads, with the pages that AWS would have needed.
    fn read<T>(
        &self,
        operation: &'static str,
        resource: &str,
        read: impl FnOnce(&World) -> Result<(T, usize), CloudError>,
    ) -> Result<T, CloudError> {
        let mut inner = self.lock();
        let Inner { world, past, .. } = &mut *inner;
        let shown = past.as_mut().and_then(|past| past.pick(world.now)).unwrap_or(world);
        let result = read(shown);
        let pages = result.as_ref().map_or(1, |(_, pages)| *pages);
        for _ in 0..pages {
            inner.record(operation, resource, false);
        }
        result.map(|(value, _)| value)
    }

    /// Makes one change, recorded under some operations. After an error nothing is
    /// changed.
    fn write<T>(
        &self,
        operations: &[&'static str],
        resource: &str,
        write: impl FnOnce(&mut World) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        let mut inner = self.lock();
        inner.keep();
        let result = write(&mut inner.world);
        // A refusal ends a composed change at its first call.
        let made = if result.is_ok() { operations.len() } else { operations.len().min(1) };
        for operation in &operations[..made] {
            inner.record(operation, resource, true);
        }
        inner.world.settle();
        result
    }
}

impl Inner {
    /// Remembers the world for readings that come late.
    fn keep(&mut self) {
        let Self { world, past, .. } = self;
        if let Some(past) = past {
            past.keep(world);
        }
    }

    fn record(&mut self, operation: &'static str, resource: &str, mutating: bool) {
        let at = self.world.time();
        self.calls.push(Call { operation, resource: resource.to_owned(), mutating, at });
    }
}

impl World {
    fn share(&self, arn: &TargetGroupArn, weight: u32) -> Share {
        let targets = self.target_groups.get(arn).into_iter().flat_map(|group| group.targets.values());
        let mut share = Share { target_group: arn.clone(), weight, healthy: 0, registered: 0 };
        for target in targets {
            share.healthy += u32::from(target.health == TargetHealth::Healthy);
            share.registered += u32::from(!matches!(target.health, TargetHealth::Draining | TargetHealth::Unused));
        }
        share
    }
}

/// An error as AWS gives it.
fn error(
    operation: &'static str,
    resource: &str,
    kind: ErrorKind,
    code: &str,
    message: impl Into<String>,
) -> CloudError {
    CloudError { operation, resource: resource.to_owned(), kind, code: code.to_owned(), message: message.into() }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_machines;
