//! Runs passes: at a new commit, when something is due, and at the latest every half minute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cloud::Cloud;
use crate::names::ServiceName;
use crate::plan::types::{Plan, WaitingOn};
use crate::reconcile::{Event, Reconciler, Target};
use crate::settings::LeaseSettings;
use crate::time::Span;

use crate::reconcile::pace::{self, Pace};

use super::foretold::Foretold;
use super::lease::{self, ConnectLease, Holding};
use super::{Connect, Shared, notify_systemd};

/// How often AWS is read when nothing is due.
pub(super) const IDLE: Span = Span::from_secs(30);

/// The wait after a pass that could not read, doubled up to [`IDLE`].
const FIRST_BACKOFF: Span = Span::from_secs(1);

/// The cloud of a scope, and its lease where there is one.
type Connects = (Connect, Option<(ConnectLease, LeaseSettings)>);

/// Works until it is stopped.
pub async fn run(connect: Connects, pace: Arc<dyn Pace>, dry_run: bool, shared: Shared) {
    let mut targets = shared.target.subscribe();
    let mut worker: Option<Worker> = None;
    let mut backoff = FIRST_BACKOFF;
    let mut told = BTreeMap::new();
    while !shared.stop.is_cancelled() {
        let target = targets.borrow_and_update().clone();
        let Some(target) = target else {
            tokio::select! {
                biased;
                _ = targets.changed() => {}
                () = alive(&shared) => {}
            }
            continue;
        };
        let found = with_beat(pass(&connect, &mut worker, target, dry_run, &shared)).await;
        let wait = match found {
            Ok((plan, wait)) => {
                backoff = FIRST_BACKOFF;
                shared.last_read.cloud();
                tell_waits(&plan, &mut told);
                shared.plan.send_replace(Some(Arc::new(plan)));
                trouble(&shared, worker.as_ref().and_then(|worker| worker.holding.as_ref()?.trouble()));
                wait
            }
            Err(said) => {
                tracing::warn!(error = %said, "nothing was done: the reading failed");
                trouble(&shared, Some(said));
                backoff = (backoff * 2).min(IDLE);
                pace::jittered(backoff)
            }
        };
        let rest = rest(&worker, &pace, wait);
        tokio::pin!(rest);
        loop {
            // In a fixed order: the same history gives the same run.
            tokio::select! {
                biased;
                () = &mut rest => break,
                _ = targets.changed() => break,
                () = turned(&worker) => break,
                () = alive(&shared) => if shared.stop.is_cancelled() { break },
            }
        }
    }
    // The change in hand has ended: whoever takes over need not wait.
    if let Some(holding) = worker.and_then(|worker| worker.holding) {
        holding.end().await;
    }
}

/// Returns when another daemon acts than at the last pass.
async fn turned(worker: &Option<Worker>) {
    match worker.as_ref().and_then(|worker| worker.holding.as_ref()) {
        Some(holding) => holding.turned().await,
        None => std::future::pending().await,
    }
}

struct Worker {
    scope: Arc<crate::desired::spec::ScopeConfig>,
    reconciler: Reconciler,
    holding: Option<Holding>,
    /// What a dry run has said.
    foretold: Foretold,
}

/// One pass, on the connection that the commit's scope names.
async fn pass(
    (connect, lease): &Connects,
    worker: &mut Option<Worker>,
    target: Target,
    dry_run: bool,
    shared: &Shared,
) -> Result<(Plan, Span), String> {
    // Another scope, region or account is another fleet, with a memory of its own.
    let same = |worker: &&mut Worker| {
        let (a, b) = (&worker.scope, &target.scope);
        (&a.scope, &a.region, &a.account, &a.role_arn, &a.external_id)
            == (&b.scope, &b.region, &b.account, &b.role_arn, &b.external_id)
    };
    if worker.as_mut().filter(same).is_none() {
        if let Some(holding) = worker.take().and_then(|worker| worker.holding) {
            holding.end().await;
        }
        let cloud: Arc<dyn Cloud> = connect(target.clone()).await?;
        let holding = match lease {
            Some((connect, settings)) => Some(Holding::begin(connect, settings, &target, &*cloud).await?),
            None => None,
        };
        let mut reconciler = Reconciler::new(cloud, BTreeSet::new(), shared.stop.clone());
        if let Some(holding) = &holding {
            reconciler = reconciler.guarded(holding.guard());
        }
        *worker = Some(Worker { scope: Arc::clone(&target.scope), reconciler, holding, foretold: Foretold::default() });
    }
    let Some(worker) = worker else { return Err("no connection".to_owned()) };
    let reconciler = &worker.reconciler;
    let standby = worker.holding.as_mut().and_then(Holding::standby);
    shared.acts.store(standby.is_none(), Ordering::Relaxed);
    if dry_run || standby.is_some() {
        let mut plan = reconciler.plan(&target).await.map_err(|error| error.to_string())?;
        plan.diagnostics.extend(standby.as_deref().map(lease::note));
        if dry_run {
            foretell(&plan, &mut worker.foretold);
        }
        return Ok((plan, IDLE));
    }
    // A change follows a reading: a long pass reads again and again.
    let tell = |event: Event<'_>| {
        if matches!(event, Event::Acted { .. }) {
            shared.last_read.cloud();
        }
        log(event);
    };
    let pass = reconciler.pass(&target, &tell).await.map_err(|error| error.to_string())?;
    let now = reconciler.cloud().now();
    let due = pass.look_again.map_or(IDLE, |at| at.since(now).clamp(Span::from_millis(50), IDLE));
    Ok((pass.plan, due))
}

async fn rest(worker: &Option<Worker>, pace: &Arc<dyn Pace>, wait: Span) {
    match worker {
        Some(worker) => {
            let now = worker.reconciler.cloud().now();
            pace.wait_until(now, now + wait).await;
        }
        None => tokio::time::sleep(wait.to_std()).await,
    }
}

/// A pass that takes longer than this hangs: every call has a time limit of its own.
const PASS_MAX: Duration = Duration::from_secs(20 * 60);

/// Runs a pass and tells systemd meanwhile that it lives, until it has hung for too long.
async fn with_beat<T>(pass: impl Future<Output = T>) -> T {
    let begun = tokio::time::Instant::now();
    tokio::pin!(pass);
    loop {
        tokio::select! {
            biased;
            found = &mut pass => return found,
            () = tokio::time::sleep(beat()) => if begun.elapsed() < PASS_MAX {
                notify_systemd(&[sd_notify::NotifyState::Watchdog]);
            },
        }
    }
}

fn beat() -> Duration {
    sd_notify::watchdog_enabled().map_or(Duration::from_secs(10), |limit| limit / 3)
}

/// Tells systemd that the loop lives, well within its deadline; returns at a stop.
async fn alive(shared: &Shared) {
    tokio::select! {
        biased;
        () = tokio::time::sleep(beat()) => notify_systemd(&[sd_notify::NotifyState::Watchdog]),
        () = shared.stop.cancelled() => {}
    }
}

fn log(event: Event<'_>) {
    match event {
        Event::Acted { service, action } => tracing::info!(
            service = %service,
            resource = action.mutation.resource(),
            because = action.because,
            "{}",
            describe(action)
        ),
        Event::Failed { service, error, .. } => tracing::warn!(service = %service, "{error}"),
        Event::Unread { service, error } => tracing::warn!(service = %service, %error, "reading failed"),
    }
}

/// Says what would be done, each change once a commit.
fn foretell(plan: &Plan, foretold: &mut Foretold) {
    for service in &plan.services {
        let new = service.actions.iter().filter(|act| foretold.is_new(plan.commit.as_ref(), &service.name, act));
        for action in new {
            tracing::info!(
                service = %service.name,
                resource = action.mutation.resource(),
                because = action.because,
                "would {}",
                describe(action)
            );
        }
    }
}

fn describe(action: &crate::plan::action::Action) -> String {
    let kind = format!("{:?}", action.mutation.kind());
    match action.mutation.target() {
        target if target.is_empty() => kind,
        target => format!("{kind} {target}"),
    }
}

/// Says what each service waits for when that changes, not at every pass.
fn tell_waits(plan: &Plan, told: &mut BTreeMap<ServiceName, WaitingOn>) {
    for service in &plan.services {
        let known = told.get(&service.name);
        match &service.waiting_on {
            Some(wait) if known.is_none_or(|known| known.reason != wait.reason) => {
                tracing::info!(
                    service = %service.name,
                    reason = ?wait.reason,
                    until = wait.until.map(|until| until.to_string()),
                    "waiting: {}",
                    wait.detail
                );
                told.insert(service.name.clone(), wait.clone());
            }
            None if known.is_some() => {
                told.remove(&service.name);
            }
            _ => {}
        }
    }
}

fn trouble(shared: &Shared, cloud: Option<String>) {
    shared.trouble.send_if_modified(|trouble| {
        let changed = trouble.cloud != cloud;
        trouble.cloud = cloud;
        changed
    });
}
