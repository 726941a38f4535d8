//! What stands between the program and the simulated AWS: virtual time, slow answers, faults,
//! the death of the process, and a look at every change.
//!
//! Everything of a run happens in one task, and an answered call is followed at once by
//! whatever its caller asks next. So a call that doesn't say which service it is about is
//! about the one that the last answer to the same caller was about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::cloud::faulty::{CRASHED, FaultyCloud};
use crate::cloud::sim::SimCloud;
use crate::cloud::{Caller, Cloud, CloudError, CloudReader, CloudWriter, ErrorKind, Owner, RuleSpec, Tagged};
use crate::names::{ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::prerequisites::{Found, Kind as Needs};
use crate::observed::resources::{
    Activity, Conditions, Details, Group, GroupChange, GroupSpec, Kept, Listener, Policy, Rule, Tags, TargetGroup,
    TargetGroupSpec, Targets, Template, TemplateSpec,
};
use crate::time::{Span, Timestamp};

use super::call::{Call, Done};
use super::check::Check;
use super::facts::is_hidden;
use super::untouched;

/// Where virtual time begins.
pub const BEGIN: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The daemon.
    Daemon,
    /// Somebody with a command.
    Operator,
    /// The daemon that may change nothing.
    Dry,
    /// The other daemon on the scope.
    Second,
}

impl Who {
    /// A daemon that makes changes.
    pub fn is_acting(self) -> bool {
        matches!(self, Self::Daemon | Self::Second)
    }
}

/// The port as one caller sees it.
#[derive(Clone)]
pub struct Stage {
    pub theatre: Arc<Theatre>,
    pub who: Who,
}

/// What all callers share.
pub struct Theatre {
    pub sim: SimCloud,
    pub faulty: FaultyCloud<SimCloud>,
    start: Instant,
    state: Mutex<State>,
}

/// What changes while it runs.
pub struct State {
    random: fastrand::Rng,
    /// Milliseconds that answers take at most besides.
    pub slow: u64,
    /// How far the machine's clock is off, in seconds.
    pub clock: i64,
    /// The service all of whose calls fail.
    pub cursed: Option<usize>,
    /// The process has died: the daemon is to be dropped where it is.
    pub died: bool,
    current: BTreeMap<Who, Option<String>>,
    /// When something was changed last.
    pub changed: Timestamp,
    pub changes: u64,
    pub log: String,
    pub check: Check,
}

impl Theatre {
    pub fn new(sim: SimCloud, seed: u64, check: Check) -> Self {
        let state = State {
            random: fastrand::Rng::with_seed(seed ^ 0x5eed),
            slow: 0,
            clock: 0,
            cursed: None,
            died: false,
            current: BTreeMap::new(),
            changed: BEGIN,
            changes: 0,
            log: String::new(),
            check,
        };
        let faulty = FaultyCloud::new(sim.clone());
        Self { sim, faulty, start: Instant::now(), state: Mutex::new(state) }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings AWS to the present, and says when that is.
    pub fn sync(&self) -> Timestamp {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = BEGIN + Span::from_millis(millis);
        self.sim.advance_to(now);
        now
    }

    pub fn note(&self, line: &str) {
        let at = self.sync();
        note(&mut self.state(), at, line);
    }
}

fn note(state: &mut State, at: Timestamp, line: &str) {
    let _ = writeln!(state.log, "{:>9.3} {line}", at.since(BEGIN).as_millis() as f64 / 1000.0);
}

impl Stage {
    fn inner(&self) -> &dyn Cloud {
        match self.who {
            Who::Daemon => &self.theatre.faulty,
            Who::Operator | Who::Dry | Who::Second => &self.theatre.sim,
        }
    }

    /// Half of the calls are answered at once, so that a seed is cheap.
    async fn pause(&self) {
        let millis = {
            let mut state = self.theatre.state();
            let most = 40 + state.slow;
            if state.random.bool() { state.random.u64(1..=most) } else { 0 }
        };
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }

    /// Whether a call about a service fails because all of its do.
    fn cursed(&self, operation: &'static str, service: Option<&str>) -> Result<(), CloudError> {
        let cursed = self.theatre.state().cursed;
        let number = service.and_then(super::files::number);
        if self.who.is_acting() && cursed.is_some() && cursed == number {
            let message = "nothing about this service works".to_owned();
            let (resource, code) = (String::new(), "Cursed".to_owned());
            return Err(CloudError { operation, resource, kind: ErrorKind::Unavailable, code, message });
        }
        Ok(())
    }

    /// After this the task is only ever dropped.
    async fn die(&self) -> ! {
        self.theatre.state().died = true;
        std::future::pending().await
    }

    async fn read<T>(
        &self,
        operation: &'static str,
        service: Option<Option<String>>,
        call: impl Future<Output = Result<T, CloudError>>,
        keep: impl FnOnce(&mut Check, Who, Option<&str>, &Result<T, CloudError>),
    ) -> Result<T, CloudError> {
        let service = service.unwrap_or_else(|| self.theatre.state().current.get(&self.who).cloned().flatten());
        // Others' calls begin meanwhile; what follows these two in the same breath is theirs.
        self.theatre.state().current.insert(self.who, service.clone());
        self.pause().await;
        self.theatre.sync();
        let result = match self.cursed(operation, service.as_deref()) {
            Ok(()) => call.await,
            Err(error) => Err(error),
        };
        if result.as_ref().is_err_and(|error| error.code == CRASHED) {
            self.die().await;
        }
        let mut state = self.theatre.state();
        keep(&mut state.check, self.who, service.as_deref(), &result);
        state.current.insert(self.who, service);
        result
    }

    async fn change(&self, call: Call) -> Result<Done, CloudError> {
        let turn = self.theatre.state().current.get(&self.who).cloned().flatten();
        self.pause().await;
        let at = self.theatre.sync();
        let sim = &self.theatre.sim;
        let before = sim.world();
        let service = call.service(&before);
        let result = match self.cursed(call.operation(), service.as_deref()) {
            Ok(()) => call.apply(self.inner()).await,
            Err(error) => Err(error),
        };
        {
            let mut state = self.theatre.state();
            let ended = result.as_ref().map_or_else(|error| format!(" failed: {error}"), |_| String::new());
            let line = format!("  {:?} {} {call}{ended}", self.who, service.as_deref().unwrap_or("?"));
            note(&mut state, at, &line);
            (state.changed, state.changes) = (at, state.changes + 1);
            sim.look(|after| state.check.change(self.who, turn.as_deref(), &call, &result, (&before, after)));
        }
        sim.forget_calls();
        if result.as_ref().is_err_and(|error| error.code == CRASHED) {
            self.die().await;
        }
        self.pause().await;
        self.theatre.sync();
        self.theatre.state().current.insert(self.who, service);
        result
    }
}

fn nothing<T>(_: &mut Check, _: Who, _: Option<&str>, _: &Result<T, CloudError>) {}

#[async_trait]
impl CloudReader for Stage {
    fn now(&self) -> Timestamp {
        let now = self.theatre.sync();
        let clock = self.theatre.state().clock;
        Timestamp::from_millis(now.as_millis() + clock * 1000)
    }

    async fn caller(&self) -> Result<Caller, CloudError> {
        self.read("GetCallerIdentity", None, self.inner().caller(), nothing).await
    }

    async fn groups(&self, owner: &Owner) -> Result<Vec<Group>, CloudError> {
        let service = owner.service.as_ref().map(ToString::to_string);
        let now = (self.now(), self.theatre.sync());
        // What reads and changes nothing leaves its calls behind, too.
        self.theatre.sim.forget_calls();
        {
            let mut state = self.theatre.state();
            state.check.begin(self.who, service.as_deref(), now);
            if self.who == Who::Daemon && service.is_none() {
                let planned = state.check.planned();
                self.theatre.sim.look(|world| state.check.burdens(world, &planned));
            }
        }
        let call = self.inner().groups(owner);
        self.read("DescribeAutoScalingGroups", Some(service), call, |check, who, service, groups| {
            check.listed(who, service, groups.as_ref().err());
            for group in groups.iter().flatten() {
                check.sized(who, service, group);
                check.called_unhealthy(who, service, &group.instances);
                // What is being deleted claims nothing any more.
                if !group.deleting {
                    check.claimed(who, service, &group.tags);
                }
            }
        })
        .await
    }

    async fn templates(&self, owner: &Owner) -> Result<Vec<Template>, CloudError> {
        let service = owner.service.as_ref().map(ToString::to_string);
        let call = self.inner().templates(owner);
        self.read("DescribeLaunchTemplates", Some(service), call, |check, who, service, found| {
            check.listed(who, service, found.as_ref().err());
            for template in found.iter().flatten() {
                check.claimed(who, service, &template.tags);
            }
        })
        .await
    }

    async fn target_groups(&self) -> Result<Vec<TargetGroup>, CloudError> {
        self.read("DescribeTargetGroups", None, self.inner().target_groups(), |check, who, service, found| {
            check.listed(who, service, found.as_ref().err());
        })
        .await
    }

    async fn listeners(&self, arns: &[ListenerArn]) -> Result<Vec<Listener>, CloudError> {
        // A joint call that fails is made again one by one, and that counts.
        let alone = arns.len() == 1;
        self.read("DescribeListeners", None, self.inner().listeners(arns), |check, who, service, found| {
            check.listener(who, service, alone, found.as_ref().err());
            for listener in found.iter().flatten() {
                check.weighed(who, service, &listener.default_action);
                check.dressed(who, service, &listener.arn.default_rule(), &listener.default_action);
            }
        })
        .await
    }

    async fn rules(&self, listener: &ListenerArn) -> Result<Vec<Rule>, CloudError> {
        self.read("DescribeRules", None, self.inner().rules(listener), |check, who, service, found| {
            check.detail(who, service, found.as_ref().err());
            untouched::read(check, who, service, found.as_deref().unwrap_or_default());
            // Of a default action only what the listener says is believed.
            let counts = |rule: &&Rule| rule.priority.is_some() && !is_hidden(&rule.conditions);
            for rule in found.iter().flatten().filter(counts) {
                check.weighed(who, service, &rule.action);
            }
        })
        .await
    }

    async fn tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>, CloudError> {
        self.read("DescribeTags", None, self.inner().tags(arns), nothing).await
    }

    async fn target_health(&self, arn: &TargetGroupArn) -> Result<Targets, CloudError> {
        let call = self.inner().target_health(arn);
        self.read("DescribeTargetHealth", None, call, |check, who, service, found| {
            check.detail(who, service, found.as_ref().err());
            if let Ok(targets) = found {
                check.healthy(who, service, arn, targets);
                check.judged(who, service, targets);
                if who == Who::Daemon {
                    check.burdens.was_read(arn);
                    self.theatre.sim.look(|world| check.relieved(world));
                }
            }
        })
        .await
    }

    async fn activities(&self, group: &str) -> Result<Vec<Activity>, CloudError> {
        self.read("DescribeScalingActivities", None, self.inner().activities(group), |check, who, service, found| {
            check.detail(who, service, found.as_ref().err());
        })
        .await
    }

    async fn details(&self, group: &str, target_group: Option<&TargetGroupArn>) -> Result<Details, CloudError> {
        let call = self.inner().details(group, target_group);
        self.read("DescribePolicies", None, call, |check, who, service, found| {
            check.detail(who, service, found.as_ref().err());
        })
        .await
    }

    async fn prerequisites(&self, kind: Needs, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Found>, CloudError> {
        // What can't be read of them blocks nothing, and voids nothing.
        self.read(kind.operation(), None, self.inner().prerequisites(kind, ids), nothing).await
    }
}

#[async_trait]
impl CloudWriter for Stage {
    async fn create_template(&self, spec: &TemplateSpec) -> Result<(), CloudError> {
        self.change(Call::CreateTemplate(spec.clone())).await.map(drop)
    }

    async fn create_target_group(&self, spec: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError> {
        match self.change(Call::CreateTargetGroup(spec.clone())).await? {
            Done::TargetGroup(arn) => Ok(arn),
            other => unreachable!("{other:?}"),
        }
    }

    async fn set_target_group(&self, arn: &TargetGroupArn, spec: &TargetGroupSpec) -> Result<(), CloudError> {
        self.change(Call::SetTargetGroup(arn.clone(), spec.clone())).await.map(drop)
    }

    async fn create_rule(&self, spec: &RuleSpec) -> Result<RuleArn, CloudError> {
        match self.change(Call::CreateRule(spec.clone())).await? {
            Done::Rule(arn) => Ok(arn),
            other => unreachable!("{other:?}"),
        }
    }

    async fn set_rule(
        &self,
        arn: &RuleArn,
        conditions: Option<&Conditions>,
        weights: &[(TargetGroupArn, u32)],
        kept: &Kept,
    ) -> Result<(), CloudError> {
        self.change(Call::SetRule(arn.clone(), conditions.cloned(), weights.to_vec(), kept.clone())).await.map(drop)
    }

    async fn create_group(&self, spec: &GroupSpec) -> Result<(), CloudError> {
        self.change(Call::CreateGroup(spec.clone())).await.map(drop)
    }

    async fn set_capacity(&self, group: &str, min: u32, max: u32, desired: Option<u32>) -> Result<(), CloudError> {
        self.change(Call::SetCapacity(group.to_owned(), min, max, desired)).await.map(drop)
    }

    async fn set_group(&self, group: &str, change: &GroupChange) -> Result<(), CloudError> {
        self.change(Call::SetGroup(group.to_owned(), change.clone())).await.map(drop)
    }

    async fn set_policies(&self, group: &str, policies: &[Policy]) -> Result<(), CloudError> {
        self.change(Call::SetPolicies(group.to_owned(), policies.to_vec())).await.map(drop)
    }

    async fn set_tags(&self, on: &Tagged, tags: &Tags) -> Result<(), CloudError> {
        self.change(Call::SetTags(on.clone(), tags.clone())).await.map(drop)
    }

    async fn clear_tags(&self, on: &Tagged, keys: &[String]) -> Result<(), CloudError> {
        self.change(Call::ClearTags(on.clone(), keys.to_vec())).await.map(drop)
    }

    async fn delete_rule(&self, arn: &RuleArn) -> Result<(), CloudError> {
        self.change(Call::DeleteRule(arn.clone())).await.map(drop)
    }

    async fn delete_group(&self, group: &str) -> Result<(), CloudError> {
        self.change(Call::DeleteGroup(group.to_owned())).await.map(drop)
    }

    async fn delete_target_group(&self, arn: &TargetGroupArn) -> Result<(), CloudError> {
        self.change(Call::DeleteTargetGroup(arn.clone())).await.map(drop)
    }

    async fn delete_template(&self, id: &str) -> Result<(), CloudError> {
        self.change(Call::DeleteTemplate(id.to_owned())).await.map(drop)
    }
}
