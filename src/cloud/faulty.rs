//! Any cloud, with faults: calls that fail before they did anything, calls that were done
//! and whose answer got lost, throttling, and the death of the calling process.
//!
//! Faults come from a script, from a seed, or from both. A call is one call of the port;
//! its name is that of the operation that it is about, as AWS names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::names::{ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::prerequisites::{Found, Kind};
use crate::observed::resources::{
    Activity, Conditions, Details, Group, GroupChange, GroupSpec, Kept, Listener, Policy, Rule, Tags, TargetGroup,
    TargetGroupSpec, Targets, Template, TemplateSpec,
};
use crate::time::Timestamp;

use super::{Caller, CloudError, CloudReader, CloudWriter, ErrorKind, Owner, RuleSpec, Tagged};

/// The error code of every call from a crash on.
pub const CRASHED: &str = "Crashed";
/// The error code of a call that failed on purpose.
pub const INJECTED: &str = "Injected";

/// One fault of a script. It happens once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// At which call.
    pub at: Trigger,
    /// What happens.
    pub what: Failure,
}

/// Which call. All count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// The n-th call of all.
    Call(u64),
    /// The n-th that may change something.
    Mutation(u64),
    /// The n-th of one operation, such as `ModifyRule`.
    Operation(&'static str, u64),
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing is done.
    Before(ErrorKind),
    /// All is done, the answer is lost.
    After,
    /// The process dies before the call is sent.
    CrashBefore,
    /// The process dies when the call is done.
    CrashAfter,
}

/// How often calls fail by chance, each out of a thousand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Odds {
    /// The same seed and calls give the same faults.
    pub seed: u64,
    /// No answer, nothing done.
    pub before: u32,
    /// Done, no answer.
    pub after: u32,
    /// Throttled.
    pub throttled: u32,
}

/// A cloud with faults.
#[derive(Debug)]
pub struct FaultyCloud<C> {
    inner: C,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    script: Vec<Fault>,
    odds: Odds,
    random: Option<fastrand::Rng>,
    calls: u64,
    mutations: u64,
    operations: BTreeMap<&'static str, u64>,
    crashed: bool,
    /// How long each call lets others go first.
    pauses: Option<fastrand::Rng>,
}

impl<C> FaultyCloud<C> {
    /// Without faults.
    pub fn new(inner: C) -> Self {
        Self { inner, state: Mutex::new(State::default()) }
    }

    /// The cloud behind.
    pub fn inner(&self) -> &C {
        &self.inner
    }

    /// Adds a fault to the script.
    pub fn add(&self, at: Trigger, what: Failure) {
        self.lock().script.push(Fault { at, what });
    }

    /// From now on calls fail by chance; with no odds above zero that ends.
    pub fn set_odds(&self, odds: Odds) {
        let mut state = self.lock();
        state.odds = odds;
        state.random = Some(fastrand::Rng::with_seed(odds.seed));
    }

    /// From now on each call lets others go first, for a while that follows from the seed:
    /// several callers on one thread then meet in every order.
    pub fn set_pauses(&self, seed: u64) {
        self.lock().pauses = Some(fastrand::Rng::with_seed(seed));
    }

    /// How many calls were begun, and how many of them could change something.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.lock();
        (state.calls, state.mutations)
    }

    /// Whether the process has died. All calls fail then.
    pub fn crashed(&self) -> bool {
        self.lock().crashed
    }

    /// A new process starts. The script goes on where it was.
    pub fn restart(&self) {
        self.lock().crashed = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call: counted, then failed or made.
    async fn through<T>(
        &self,
        operation: &'static str,
        resource: &str,
        mutating: bool,
        call: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        let fail = |kind, code: &str, message: &str| CloudError {
            operation,
            resource: resource.to_owned(),
            kind,
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let dead = || fail(ErrorKind::Unavailable, CRASHED, "the process has died");
        if self.crashed() {
            return Err(dead());
        }
        let pause = self.lock().pauses.as_mut().map_or(0, |random| random.u32(0..12));
        for _ in 0..pause {
            tokio::task::yield_now().await;
        }
        // The lock is not held over the call: others go on meanwhile.
        let failure = self.lock().next(operation, mutating);
        match failure {
            None => call.await,
            Some(Failure::Before(kind)) => Err(fail(kind, INJECTED, "a fault before the call")),
            Some(Failure::After) => {
                call.await?;
                Err(fail(ErrorKind::Unavailable, INJECTED, "the answer got lost"))
            }
            Some(Failure::CrashBefore) => {
                self.lock().crashed = true;
                Err(dead())
            }
            Some(Failure::CrashAfter) => {
                let _ = call.await;
                self.lock().crashed = true;
                Err(dead())
            }
        }
    }
}

impl State {
    /// Counts a call and decides about it: the script goes first.
    fn next(&mut self, operation: &'static str, mutating: bool) -> Option<Failure> {
        self.calls += 1;
        self.mutations += u64::from(mutating);
        let nth = self.operations.entry(operation).or_default();
        *nth += 1;
        let (nth, calls, mutations) = (*nth, self.calls, self.mutations);
        let now = |fault: &Fault| match fault.at {
            Trigger::Call(n) => n == calls,
            Trigger::Mutation(n) => mutating && n == mutations,
            Trigger::Operation(name, n) => name == operation && n == nth,
        };
        if let Some(index) = self.script.iter().position(now) {
            return Some(self.script.remove(index).what);
        }
        let odds = self.odds;
        let roll = self.random.as_mut()?.u32(0..1000);
        [
            (odds.before, Failure::Before(ErrorKind::Unavailable)),
            (odds.after, Failure::After),
            (odds.throttled, Failure::Before(ErrorKind::Throttled)),
        ]
        .into_iter()
        .scan(0, |sum, (odds, failure)| {
            *sum += odds;
            Some((*sum, failure))
        })
        .find(|(below, _)| roll < *below)
        .map(|(_, failure)| failure)
    }
}

#[async_trait]
impl<C: CloudReader> CloudReader for FaultyCloud<C> {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    async fn caller(&self) -> Result<Caller, CloudError> {
        self.through("GetCallerIdentity", "", false, self.inner.caller()).await
    }

    async fn groups(&self, owner: &Owner) -> Result<Vec<Group>, CloudError> {
        self.through("DescribeAutoScalingGroups", "", false, self.inner.groups(owner)).await
    }

    async fn templates(&self, owner: &Owner) -> Result<Vec<Template>, CloudError> {
        self.through("DescribeLaunchTemplates", "", false, self.inner.templates(owner)).await
    }

    async fn target_groups(&self) -> Result<Vec<TargetGroup>, CloudError> {
        self.through("DescribeTargetGroups", "", false, self.inner.target_groups()).await
    }

    async fn listeners(&self, arns: &[ListenerArn]) -> Result<Vec<Listener>, CloudError> {
        self.through("DescribeListeners", "", false, self.inner.listeners(arns)).await
    }

    async fn rules(&self, listener: &ListenerArn) -> Result<Vec<Rule>, CloudError> {
        self.through("DescribeRules", listener.as_str(), false, self.inner.rules(listener)).await
    }

    async fn tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>, CloudError> {
        self.through("DescribeTags", "", false, self.inner.tags(arns)).await
    }

    async fn target_health(&self, arn: &TargetGroupArn) -> Result<Targets, CloudError> {
        self.through("DescribeTargetHealth", arn.as_str(), false, self.inner.target_health(arn)).await
    }

    async fn activities(&self, group: &str) -> Result<Vec<Activity>, CloudError> {
        self.through("DescribeScalingActivities", group, false, self.inner.activities(group)).await
    }

    async fn details(&self, group: &str, target_group: Option<&TargetGroupArn>) -> Result<Details, CloudError> {
        self.through("DescribePolicies", group, false, self.inner.details(group, target_group)).await
    }

    async fn prerequisites(&self, kind: Kind, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Found>, CloudError> {
        self.through(kind.operation(), "", false, self.inner.prerequisites(kind, ids)).await
    }
}

#[async_trait]
impl<C: CloudReader + CloudWriter> CloudWriter for FaultyCloud<C> {
    async fn create_template(&self, spec: &TemplateSpec) -> Result<(), CloudError> {
        let call = self.inner.create_template(spec);
        self.through("CreateLaunchTemplate", spec.name.as_str(), true, call).await
    }

    async fn create_target_group(&self, spec: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError> {
        let call = self.inner.create_target_group(spec);
        self.through("CreateTargetGroup", spec.name.as_str(), true, call).await
    }

    async fn set_target_group(&self, arn: &TargetGroupArn, spec: &TargetGroupSpec) -> Result<(), CloudError> {
        self.through("ModifyTargetGroup", arn.as_str(), true, self.inner.set_target_group(arn, spec)).await
    }

    async fn create_rule(&self, spec: &RuleSpec) -> Result<RuleArn, CloudError> {
        self.through("CreateRule", spec.listener.as_str(), true, self.inner.create_rule(spec)).await
    }

    async fn set_rule(
        &self,
        arn: &RuleArn,
        conditions: Option<&Conditions>,
        weights: &[(TargetGroupArn, u32)],
        kept: &Kept,
    ) -> Result<(), CloudError> {
        let operation = if arn.default_of().is_some() { "ModifyListener" } else { "ModifyRule" };
        self.through(operation, arn.as_str(), true, self.inner.set_rule(arn, conditions, weights, kept)).await
    }

    async fn create_group(&self, spec: &GroupSpec) -> Result<(), CloudError> {
        self.through("CreateAutoScalingGroup", &spec.name, true, self.inner.create_group(spec)).await
    }

    async fn set_capacity(&self, group: &str, min: u32, max: u32, desired: Option<u32>) -> Result<(), CloudError> {
        let call = self.inner.set_capacity(group, min, max, desired);
        self.through("UpdateAutoScalingGroup", group, true, call).await
    }

    async fn set_group(&self, group: &str, change: &GroupChange) -> Result<(), CloudError> {
        self.through(change.operation(), group, true, self.inner.set_group(group, change)).await
    }

    async fn set_policies(&self, group: &str, policies: &[Policy]) -> Result<(), CloudError> {
        self.through("PutScalingPolicy", group, true, self.inner.set_policies(group, policies)).await
    }

    async fn set_tags(&self, on: &Tagged, tags: &Tags) -> Result<(), CloudError> {
        let (operation, resource) = on.operation_and_name("CreateTags", "CreateOrUpdateTags", "AddTags");
        self.through(operation, resource, true, self.inner.set_tags(on, tags)).await
    }

    async fn clear_tags(&self, on: &Tagged, keys: &[String]) -> Result<(), CloudError> {
        let (operation, resource) = on.operation_and_name("DeleteTags", "DeleteTags", "RemoveTags");
        self.through(operation, resource, true, self.inner.clear_tags(on, keys)).await
    }

    async fn delete_rule(&self, arn: &RuleArn) -> Result<(), CloudError> {
        self.through("DeleteRule", arn.as_str(), true, self.inner.delete_rule(arn)).await
    }

    async fn delete_group(&self, group: &str) -> Result<(), CloudError> {
        self.through("DeleteAutoScalingGroup", group, true, self.inner.delete_group(group)).await
    }

    async fn delete_target_group(&self, arn: &TargetGroupArn) -> Result<(), CloudError> {
        self.through("DeleteTargetGroup", arn.as_str(), true, self.inner.delete_target_group(arn)).await
    }

    async fn delete_template(&self, id: &str) -> Result<(), CloudError> {
        self.through("DeleteLaunchTemplate", id, true, self.inner.delete_template(id)).await
    }
}

#[cfg(test)]
mod tests;
