//! One pass: read everything, plan everything, then act service by service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;

use crate::cloud::observe::{Query, TagCache, complete, observe};
use crate::cloud::{Cloud, CloudError, ErrorKind};
use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::desired::spec::Desired;
use crate::execute;
use crate::lease::{Guard, Leave, NoLease};
use crate::mutant::Mutant;
use crate::names::ServiceName;
use crate::observed::marks::{Mark, Marks, Rejected};
use crate::observed::state::{Observation, ServiceState, Wants};
use crate::plan::action::{Action, Carrier, Mutation};
use crate::plan::forecast::Reach;
use crate::plan::machines::quoted;
use crate::plan::memory::{FailingCall, Memory, attempt_key};
use crate::plan::questions::{Next, next};
use crate::plan::scope::{self, ScopeInput};
use crate::plan::types::{Plan, Reason, ServicePlan, WaitingOn};
use crate::plan::view::View;
use crate::plan::{places, service, wants};
use crate::time::{Span, Timestamp};
use tokio_util::sync::CancellationToken;

use super::lineage::Lineage;
use super::target::Target;

/// Services that are worked on at the same time. AWS's own rate limits are kept by the
/// adapter; this only bounds how many answers are waited for at once.
const SIDE_BY_SIDE: usize = 8;

/// The most changes that one service may make in one pass. A whole rollout without bakes
/// has about twenty; a service that needs more goes on in the next pass.
const CHANGES_MAX: usize = 60;

/// What happens during a pass, for whoever tells the story.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A change was made.
    Acted {
        /// For which service.
        service: &'a ServiceName,
        /// Which.
        action: &'a Action,
    },
    /// A change failed; what it leads to is read in the next pass.
    Failed {
        /// For which service.
        service: &'a ServiceName,
        /// Which.
        action: &'a Action,
        /// Why.
        error: &'a CloudError,
    },
    /// A reading during a service's turn failed.
    Unread {
        /// For which service.
        service: &'a ServiceName,
        /// Why.
        error: &'a CloudError,
    },
}

/// What one pass found and did.
#[derive(Debug, Clone)]
pub struct Pass {
    /// The plan as it is after the pass's changes: of each service as it was last read.
    pub plan: Plan,
    /// How many changes were made.
    pub acted: usize,
    /// Services with a call that failed, and how.
    pub failed: BTreeMap<ServiceName, CloudError>,
    /// When to look again at the latest, if anything is due.
    pub look_again: Option<Timestamp>,
}

/// Reads, plans and acts for one scope.
pub struct Reconciler {
    cloud: Arc<dyn Cloud>,
    memories: Mutex<BTreeMap<ServiceName, Memory>>,
    backoff: Mutex<BTreeMap<ServiceName, Backoff>>,
    tags: TagCache,
    /// Only these services; empty: all.
    only: BTreeSet<ServiceName>,
    /// No new change is begun once it is cancelled.
    stop: CancellationToken,
    /// Asked right before each change.
    guard: Arc<dyn Guard>,
}

/// How long a service whose calls fail is left alone.
#[derive(Debug, Clone)]
struct Backoff {
    failures: u32,
    until: Timestamp,
    /// What makes the change that failed the same as another; none where a reading failed.
    call: Option<String>,
}

/// The longest time that a service is left alone.
const BACKOFF_MAX: Span = Span::from_mins(5);

/// The longest time that a change is not tried again while traffic is shared.
const SHARED_BACKOFF_MAX: Span = Span::from_secs(30);

impl Backoff {
    /// Whether it lasts still. One that would last longer than any does was begun by a clock
    /// that has been set back since.
    fn lasts(&self, now: Timestamp) -> bool {
        now < self.until && self.until.since(now) <= BACKOFF_MAX
    }
}

impl Reconciler {
    /// A reconciler that remembers nothing yet.
    pub fn new(cloud: Arc<dyn Cloud>, only: BTreeSet<ServiceName>, stop: CancellationToken) -> Self {
        let (memories, backoff, tags) = (Mutex::default(), Mutex::default(), TagCache::default());
        Self { stop, cloud, memories, backoff, tags, only, guard: Arc::new(NoLease) }
    }

    /// The same, with changes only while a guard lets them.
    #[must_use]
    pub fn guarded(self, guard: Arc<dyn Guard>) -> Self {
        Self { guard, ..self }
    }

    /// The cloud that it reads.
    pub fn cloud(&self) -> &Arc<dyn Cloud> {
        &self.cloud
    }

    /// Whether it was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn selected(&self, service: &ServiceName) -> bool {
        self.only.is_empty() || self.only.contains(service)
    }

    /// Reads and plans, and changes nothing.
    ///
    /// # Errors
    /// A page of the listings failed: nothing may be concluded, so there is no plan.
    pub async fn plan(&self, target: &Target) -> Result<Plan, CloudError> {
        let reading = self.read(target, None).await?;
        Ok(self.plan_of(target, &reading, Reach::ToTheEnd))
    }

    /// One pass: reads and plans everything, then acts for each service that has something
    /// to do, services side by side.
    ///
    /// # Errors
    /// As [`Self::plan`]: a pass whose listings failed does nothing at all.
    pub async fn pass(&self, target: &Target, tell: &(dyn Fn(Event<'_>) + Sync)) -> Result<Pass, CloudError> {
        let reading = self.read(target, None).await?;
        let mut plan = self.plan_of(target, &reading, Reach::Now);
        let now = self.cloud.now();
        let turns: Vec<ServiceName> = plan
            .services
            .iter()
            .filter(|service| !service.actions.is_empty() && self.has_turn(service, now))
            .map(|service| service.name.clone())
            .collect();
        let whole = Whole { desired: reading.desired, gates: reading.gates, orphans: reading.orphans };
        let turns = turns.into_iter().map(|name| self.turn(target, name, &whole, tell));
        let ends: Vec<Turn> = futures_util::stream::iter(turns).buffer_unordered(SIDE_BY_SIDE).collect().await;
        let mut failed = BTreeMap::new();
        let mut acted = 0;
        for end in ends {
            acted += end.acted;
            if let Some(last) = end.plan
                && let Some(service) = plan.services.iter_mut().find(|service| service.name == end.service)
            {
                *service = last;
            }
            if let Some(error) = end.error {
                plan.diagnostics.push(failure(&end.service, &error));
                failed.insert(end.service, error);
            }
        }
        let look_again = self.look_again(&plan, acted);
        Ok(Pass { plan, acted, failed, look_again })
    }

    /// One service's turn: read it, do the one thing that comes first, and again, until
    /// there is nothing to do now.
    async fn turn(&self, target: &Target, name: ServiceName, whole: &Whole, tell: &(dyn Fn(Event<'_>) + Sync)) -> Turn {
        let mut turn = Turn { service: name.clone(), acted: 0, plan: None, error: None, call: None };
        let mut left_out = false;
        for _ in 0..CHANGES_MAX {
            if self.stop.is_cancelled() || matches!(self.guard.may_begin(), Leave::No(_)) {
                break;
            }
            let reading = match self.read(target, Some((&name, whole))).await {
                Ok(reading) => reading,
                Err(error) => {
                    tell(Event::Unread { service: &name, error: &error });
                    turn.error = Some(error);
                    break;
                }
            };
            let memories = self.memories();
            let input = self.input(&reading, target, &memories);
            let empty = ServiceState::default();
            let input = input.service(&name, &whole.gates, &empty);
            let Next::Act(action) = next(&View::new(&input)) else {
                turn.plan = Some(service::plan(&input, Reach::Now));
                break;
            };
            if self.is_left_out(&name, &action, self.cloud.now()) {
                turn.plan = Some(service::plan(&input, Reach::Now));
                left_out = true;
                break;
            }
            let done = execute::act(&*self.cloud, &*self.guard, &action).await;
            match done.or_else(|error| if Mutant::TakeErrorsForDone.on() { Ok(()) } else { Err(error) }) {
                Ok(()) => {
                    // Only a change that was made can be without effect: one that failed waits.
                    self.remember(&name, |memory| memory.note_done(&action, input.state, input.now));
                    turn.acted += 1;
                    tell(Event::Acted { service: &name, action: &action });
                }
                Err(error) => {
                    tell(Event::Failed { service: &name, action: &action, error: &error });
                    // That is no fault of the service: it isn't left alone for it.
                    if error.kind == ErrorKind::NotOurTurn {
                        turn.plan = Some(service::plan(&input, Reach::Now));
                        break;
                    }
                    if !self.goes_on_without(&name, &action) {
                        turn.plan = Some(service::plan(&input, Reach::Now));
                        turn.error = Some(error);
                        turn.call = Some(attempt_key(&action.mutation));
                        break;
                    }
                }
            }
        }
        // What failed is still to be done, at its time.
        if !left_out {
            self.note_outcome(&turn);
        }
        if let (Some(plan), Some(memory)) = (&mut turn.plan, self.memories().get(&name)) {
            service::tell_failing(plan, memory, self.cloud.now());
        }
        turn
    }

    /// A verdict is written before it is executed, and executed all the same when it can't
    /// be written.
    fn goes_on_without(&self, service: &ServiceName, action: &Action) -> bool {
        let Mutation::SetMark { on: Carrier::Template { release, .. }, mark, value } = &action.mutation else {
            return false;
        };
        let now = self.cloud.now();
        let unwritten = || Rejected { at: now, code: "unwritten".to_owned(), text: action.because.clone() };
        let verdict = match mark {
            Mark::Rejected => {
                let tags = BTreeMap::from([(mark.key().to_owned(), value.clone())]);
                Marks::read(&tags, now).rejected.unwrap_or_else(unwritten)
            }
            Mark::Hold => unwritten(),
            _ => return false,
        };
        let known = self.memories().get(service).is_some_and(|memory| memory.verdict(release).is_some());
        // That it still can't be written is no reason to hurry.
        if known || Mutant::VerdictOrNothing.on() {
            return false;
        }
        self.remember(service, |memory| memory.keep_verdict(release.clone(), verdict));
        true
    }

    fn memories(&self) -> BTreeMap<ServiceName, Memory> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, service: &ServiceName, change: impl FnOnce(&mut Memory)) {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        change(memories.entry(service.clone()).or_default());
    }

    /// Reads the scope, or one service of it, with all that its decisions need, and takes
    /// the reading into memory.
    ///
    /// What only a reading of the whole scope can tell is handed on to that of one service.
    async fn read(&self, target: &Target, one: Option<(&ServiceName, &Whole)>) -> Result<Reading, CloudError> {
        let only = one.map(|(name, _)| name);
        let mut places = target.places();
        if let Some(only) = only {
            // Where the others want their rules is no matter of this one, and there may be
            // thousands: this reading is made again after every change.
            places.retain(|name, _| name == only);
        }
        let query =
            Query { scope: target.scope.scope.clone(), service: only.cloned(), places, listeners: BTreeSet::new() };
        let mut observed = observe(&*self.cloud, &self.tags, &query).await?;
        if let Some(only) = only {
            observed.services.retain(|name, _| name == only);
        }
        let orphans = one.map_or_else(|| scope::orphans(&target.desired, &observed), |(_, whole)| whole.orphans);
        let desired = match one {
            Some((_, whole)) => Arc::clone(&whole.desired),
            None => places::award(&target.desired, &observed).map_or_else(|| Arc::clone(&target.desired), Arc::new),
        };
        let lineage = target.ask_lineage(&observed).await;
        let mut reading = Reading { desired, observed, lineage, orphans, gates: BTreeMap::new() };
        let wanted = self.wants(&reading, target);
        complete(&*self.cloud, &mut reading.observed, &wanted).await;
        reading.gates = match one {
            Some((_, whole)) => whole.gates.clone(),
            None => self.input(&reading, target, &self.memories()).gates(),
        };
        self.note(target, &reading);
        Ok(reading)
    }

    fn note(&self, target: &Target, reading: &Reading) {
        let known = self.memories();
        let input = self.input(reading, target, &known);
        let empty = ServiceState::default();
        for name in reading.observed.services.keys().filter(|name| self.selected(name)) {
            // With its gate: who may not start clears up meanwhile, and that is what it is to
            // remember.
            let service = input.service(name, &reading.gates, &empty);
            let memory = service.memory.take_in(&service, &next(&View::new(&service)));
            self.remember(name, |known| *known = memory);
        }
    }

    fn plan_of(&self, target: &Target, reading: &Reading, reach: Reach) -> Plan {
        let memories = self.memories();
        scope::plan(&self.input(reading, target, &memories), reach)
    }

    fn input<'a>(
        &'a self,
        reading: &'a Reading,
        target: &'a Target,
        memories: &'a BTreeMap<ServiceName, Memory>,
    ) -> ScopeInput<'a> {
        ScopeInput {
            desired: &reading.desired,
            scope: &target.scope,
            observed: &reading.observed,
            memories,
            fences: &reading.lineage.fences,
            rewound: &reading.lineage.rewound,
            fallbacks: &reading.lineage.fallbacks,
            limit_overridden: reading.lineage.limit_overridden,
            orphans: reading.orphans,
            only: &self.only,
            now: reading.observed.at,
        }
    }

    fn wants(&self, reading: &Reading, target: &Target) -> BTreeMap<ServiceName, Wants> {
        let memories = self.memories();
        let input = self.input(reading, target, &memories);
        let (empty, none) = (ServiceState::default(), BTreeMap::new());
        let selected = reading.observed.services.keys().filter(|name| self.selected(name));
        selected.map(|name| (name.clone(), wants::wants(&input.service(name, &none, &empty)))).collect()
    }

    /// Whether a service is worked on in this pass. One whose calls fail is left alone for a
    /// while, but not its protection: where traffic is shared, or is to be moved, it has its turn,
    /// in which everything is done but the change that failed.
    fn has_turn(&self, service: &ServicePlan, now: Timestamp) -> bool {
        let backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(backoff) = backoff.get(&service.name).filter(|backoff| backoff.lasts(now)) else {
            return true;
        };
        let Some(first) = service.actions.first() else { return false };
        let moves_traffic = matches!(first.mutation, Mutation::SetWeights { .. } | Mutation::SetRule { .. });
        (moves_traffic || shares_traffic(service)) && backoff.call.as_ref() != Some(&attempt_key(&first.mutation))
    }

    /// Whether a change failed a short while ago and is not to be tried again yet.
    fn is_left_out(&self, service: &ServiceName, action: &Action, now: Timestamp) -> bool {
        let backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        let backoff = backoff.get(service).filter(|backoff| backoff.lasts(now));
        backoff.is_some_and(|backoff| backoff.call.as_ref() == Some(&attempt_key(&action.mutation)))
    }

    /// A service whose calls fail is tried again after 1 s, doubling to 5 min, with jitter;
    /// one that somebody must mend at once after 30 s. Whoever gets on between two failures is
    /// not left alone any longer for the second, and where traffic is shared a change is tried
    /// again after 30 s at the latest: it may be the one that protects.
    fn note_outcome(&self, turn: &Turn) {
        let (service, got_on) = (&turn.service, turn.acted > 0);
        let mut backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = &turn.error else {
            if backoff.remove(service).is_some() {
                self.remember(service, |memory| memory.note_failing(None));
            }
            return;
        };
        let failures = backoff.get(service).filter(|_| !got_on).map_or(0, |b| b.failures) + 1;
        let first = match error.kind {
            kind if kind.needs_somebody() => 30_000,
            ErrorKind::NotFound => 2_000,
            _ => 1_000,
        };
        let most = if turn.plan.as_ref().is_some_and(shares_traffic) { SHARED_BACKOFF_MAX } else { BACKOFF_MAX };
        let wait = (first << (failures - 1).min(8)).min(most.as_millis());
        let wait = Span::from_millis(wait - fastrand::u64(0..=wait / 4));
        let until = self.cloud.now() + wait;
        let call = failing_call(error, self.cloud.now(), until);
        self.remember(service, |memory| memory.note_failing(Some(call)));
        backoff.insert(service.clone(), Backoff { failures, until, call: turn.call.clone() });
    }

    fn look_again(&self, plan: &Plan, acted: usize) -> Option<Timestamp> {
        let now = self.cloud.now();
        let backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is over and had no turn since says nothing any more.
        let backing_off = |name| backoff.get(name).filter(|backoff| backoff.lasts(now));
        let waits = plan.services.iter().filter_map(|service| match backing_off(&service.name) {
            // Its machines are looked at as often as if nothing had failed.
            Some(backoff) => {
                let due = service.look_again.filter(|at| *at > now);
                Some(due.map_or(backoff.until, |at| at.min(backoff.until)))
            }
            // Actions that are still to do come at once; the ones of this pass were cut off.
            None if !service.actions.is_empty() => Some(now + Span::from_millis(if acted > 0 { 100 } else { 1_000 })),
            // Whatever ends a rollout frees its slot, and whoever moves frees its place; that is
            // done here.
            None if acted > 0 && waits_for_others(service) => Some(now + Span::from_millis(500)),
            None => service.look_again,
        });
        waits.min()
    }
}

/// Whether more than one group of a service has traffic.
fn shares_traffic(service: &ServicePlan) -> bool {
    service.groups.iter().filter(|group| group.weight.is_some_and(|weight| weight > 0)).count() > 1
}

fn waits_for_others(service: &ServicePlan) -> bool {
    service.waiting_on.as_ref().is_some_and(|wait| matches!(wait.reason, Reason::Slot | Reason::Dependency))
}

struct Turn {
    service: ServiceName,
    acted: usize,
    plan: Option<ServicePlan>,
    error: Option<CloudError>,
    /// The change that failed.
    call: Option<String>,
}

struct Reading {
    /// What the commit says, with places that files claim from each other awarded.
    desired: Arc<Desired>,
    observed: Observation,
    lineage: Lineage,
    /// As in [`Whole`].
    orphans: usize,
    gates: BTreeMap<ServiceName, WaitingOn>,
}

/// What only a reading of the whole scope can tell.
struct Whole {
    /// As in [`Reading`].
    desired: Arc<Desired>,
    /// Who may not start, and why.
    gates: BTreeMap<ServiceName, WaitingOn>,
    /// How many services stand without a file.
    orphans: usize,
}

fn failing_call(error: &CloudError, now: Timestamp, until: Timestamp) -> FailingCall {
    // A name that is quoted stays whole: it is what tells two answers apart.
    let text = format!("{}; {}", quoted(&error.to_string()), what_helps(error));
    FailingCall { text, since: now, until, needs_somebody: error.kind.needs_somebody() }
}

/// A failed call as a diagnostic, with what to do about it.
fn failure(service: &ServiceName, error: &CloudError) -> Diagnostic {
    Diagnostic::new(Severity::Error, format!("service {service}: {error}")).help(what_helps(error))
}

fn what_helps(error: &CloudError) -> &'static str {
    match error.kind {
        ErrorKind::Throttled
        | ErrorKind::Unavailable
        | ErrorKind::Conflict
        | ErrorKind::NotFound
        | ErrorKind::NotOurTurn => "it is tried again by itself",
        ErrorKind::NotOurs => "rename or remove what has the name, or use another scope",
        ErrorKind::Denied => "the credentials need this permission; the IAM policy is in the documentation",
        ErrorKind::Quota => "ask AWS for a higher quota, or free some of it",
        ErrorKind::Invalid => "change the file, or what it refers to",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_leaves_nobody_alone_for_an_hour() {
        let now = Timestamp::from_secs(1_800_000_000);
        let backoff = Backoff { failures: 1, until: now + BACKOFF_MAX, call: None };
        assert!(backoff.lasts(now) && !backoff.lasts(backoff.until));
        assert!(!backoff.lasts(now - Span::from_mins(60)));
    }
}
