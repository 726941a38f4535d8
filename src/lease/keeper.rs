//! Makes the requests that [`Machine`] asks for, and tells the others where the lease stands.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cloud::CloudError;
use crate::cloud::lease::LeaseStore;
use crate::time::Span;

use super::clock::{Clock, Moment};
use super::machine::{Machine, Standing, Step};
use super::{Guard, Leave};

/// A call is asked about again after this time at the latest, however long is left: a
/// machine that slept meanwhile has a timer that did not count that.
const ASK_AGAIN: Span = Span::from_secs(1);

/// Who acts, for people and for whoever waits for a change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// This process.
    Ours,
    /// Another one, by its name.
    Theirs(String),
    /// It was ours and could not be renewed in time, or nothing is known yet.
    Nobodys,
}

/// The lease as the rest of the process sees it.
pub struct Lease {
    key: String,
    clock: Arc<dyn Clock>,
    margin: Span,
    needed: Span,
    state: Mutex<State>,
    turn: watch::Sender<Turn>,
}

#[derive(Debug, Clone)]
struct State {
    standing: Standing,
    /// Why the last request failed.
    trouble: Option<String>,
}

impl Lease {
    /// What it is a lease of.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Who acts; told again at every change.
    pub fn turns(&self) -> watch::Receiver<Turn> {
        self.turn.subscribe()
    }

    /// Why the table can't be used, when the last request to it failed.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is left of our lease, less the margin.
    fn left(&self, state: &State) -> Span {
        match state.standing {
            Standing::Ours(until) => until.since(self.clock.now() + self.margin),
            Standing::Theirs(_) | Standing::Unknown => Span::ZERO,
        }
    }

    fn refusal(&self, state: &State) -> Leave {
        let Lease { key, .. } = self;
        Leave::No(match (&state.standing, &state.trouble) {
            (Standing::Theirs(holder), _) => format!("{holder} holds the lease of {key}"),
            (Standing::Ours(_), None) => format!("the lease of {key} was not renewed in time"),
            (Standing::Unknown, None) => format!("the lease of {key} is not ours yet"),
            (_, Some(trouble)) => format!("the lease of {key} cannot be kept: {trouble}"),
        })
    }

    fn leave(&self, needed: Span) -> Leave {
        let state = self.state();
        match self.left(&state) {
            left if left > needed => Leave::For(left.min(ASK_AGAIN).to_std()),
            _ => self.refusal(&state),
        }
    }
}

impl Guard for Lease {
    fn may_begin(&self) -> Leave {
        self.leave(self.needed)
    }

    fn may_go_on(&self) -> Leave {
        self.leave(Span::ZERO)
    }
}

/// Takes the lease when it can be had, and keeps it.
pub struct Keeper {
    machine: Machine,
    store: Arc<dyn LeaseStore>,
    lease: Arc<Lease>,
}

impl Keeper {
    /// One side of the lease of a key.
    pub fn new(key: &str, machine: Machine, store: Arc<dyn LeaseStore>, clock: Arc<dyn Clock>) -> Self {
        let state = State { standing: Standing::Unknown, trouble: None };
        let lease = Lease {
            key: key.to_owned(),
            clock,
            margin: machine.margin(),
            needed: machine.needed(),
            state: Mutex::new(state),
            turn: watch::Sender::new(Turn::Nobodys),
        };
        Self { machine, store, lease: Arc::new(lease) }
    }

    /// What the others see of it.
    pub fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.lease)
    }

    /// Keeps the lease until it is told to stop, then gives it up.
    pub async fn keep(mut self, stop: CancellationToken) {
        let clock = Arc::clone(&self.lease.clock);
        while !stop.is_cancelled() {
            // A request in hand is ended: it has a time limit, and its answer counts.
            let Some(until) = self.step().await else { continue };
            let wait = until.since(clock.now()).min(ASK_AGAIN);
            tokio::select! {
                () = clock.sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
        self.give_up().await;
    }

    /// Makes the next request, or says until when there is none.
    pub async fn step(&mut self) -> Option<Moment> {
        let clock = Arc::clone(&self.lease.clock);
        let patience = self.machine.patience().to_std();
        let (waits, trouble) = match self.machine.next(clock.now()) {
            Step::Wait(until) => (Some(until), None),
            Step::Read => {
                let found = within(patience, self.store.read(&self.lease.key)).await;
                self.machine.was_read(clock.now(), found.as_ref().ok().cloned());
                (None, Some(found.err()))
            }
            Step::Put { over, record } => {
                let done = within(patience, self.store.put(&self.lease.key, over.as_deref(), &record)).await;
                self.machine.was_put(clock.now(), done.as_ref().ok().copied());
                (None, Some(done.err()))
            }
        };
        self.tell(trouble);
        waits
    }

    /// Gives the lease up at once, so that nobody has to wait for its end.
    pub async fn give_up(&mut self) {
        let patience = self.machine.patience().to_std();
        for version in self.machine.give_up() {
            if let Err(error) = within(patience, self.store.remove(&self.lease.key, &version)).await {
                tracing::warn!(lease = self.lease.key, error, "the lease stays until its end");
            }
        }
        self.tell(None);
    }

    /// Publishes where the lease stands. `trouble` is of the request that was made, if any.
    fn tell(&self, trouble: Option<Option<String>>) {
        let standing = self.machine.standing();
        let lease = &self.lease;
        {
            let mut state = lease.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.standing = standing.clone();
            if let Some(trouble) = trouble {
                if let Some(error) = trouble.as_ref().filter(|_| state.trouble.is_none()) {
                    tracing::error!(lease = lease.key, error, "the lease's table cannot be used");
                }
                state.trouble = trouble;
            }
        }
        let turn = match standing {
            Standing::Ours(until) if lease.clock.now() < until => Turn::Ours,
            Standing::Ours(_) | Standing::Unknown => Turn::Nobodys,
            Standing::Theirs(holder) => Turn::Theirs(holder),
        };
        lease.turn.send_if_modified(|known| {
            let changed = *known != turn;
            if changed {
                say(&lease.key, known, &turn);
                *known = turn;
            }
            changed
        });
    }
}

/// The answer to a request to the table, for which nobody waits for longer than this.
async fn within<T>(patience: Duration, call: impl Future<Output = Result<T, CloudError>>) -> Result<T, String> {
    match tokio::time::timeout(patience, call).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the table does not answer".to_owned()),
    }
}

fn say(lease: &str, before: &Turn, now: &Turn) {
    match (before, now) {
        (_, Turn::Ours) => tracing::info!(lease, "this daemon holds the lease"),
        (Turn::Ours, Turn::Theirs(holder)) => tracing::warn!(lease, holder, "the lease was lost: standby"),
        (_, Turn::Theirs(holder)) => tracing::info!(lease, holder, "standby: another daemon holds the lease"),
        (Turn::Ours, Turn::Nobodys) => tracing::warn!(lease, "this daemon no longer holds the lease"),
        (Turn::Theirs(_) | Turn::Nobodys, Turn::Nobodys) => {}
    }
}
