//! The daemon's wiring: what wakes the loop, who sees its results, how it stops.
//!
//! A few tasks share a few values. `source` watches Git and publishes the commit to bring
//! about; `work` runs passes and publishes what they found; `http` answers from that;
//! `reload` follows the daemon's own file; `hooks` wakes `source` when a forge says so;
//! `statuses` tells the forge, and `reverts`
//! proposes there to take rejected releases back.
//! Nothing here decides anything about a rollout.

mod foretold;
mod hooks;
pub mod http;
mod last_read;
mod lease;
mod lock;
mod reload;
mod reverts;
#[cfg(test)]
pub(crate) mod simulation;
mod source;
pub mod statuses;
mod trust;
mod work;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;
use crate::plan::types::Plan;
use crate::reconcile::{ConfigRepository, Target};
use crate::settings::Settings;

use crate::reconcile::pace::Pace;

pub use hooks::problem_of as problem_of_hook_secret;
pub use lease::ConnectLease;
pub use reload::{DaemonFile, Open, SetLog};
pub use trust::problem_of as problem_of_trust;

/// Why the daemon can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The state folder can't be used.
    #[error("cannot use the state folder {}", path.display())]
    StateDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon has it.
    #[error("another daemon uses the state folder {}; stop it, or give this one another", path.display())]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// The address can't be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The HTTP server ended.
    #[error("the HTTP server failed")]
    Serve(#[source] io::Error),
}

/// What a daemon needs.
pub struct Daemon {
    /// Its own file, to follow it; none when it has none.
    pub file: Option<DaemonFile>,
    /// What that says.
    pub settings: Settings,
    /// The config repository, opened.
    pub repository: ConfigRepository,
    /// Makes the cloud of a scope, once the first commit has said which.
    pub connect: Connect,
    /// Connects to the table of leases, where the file asks for one.
    pub leases: Option<ConnectLease>,
    /// How it waits.
    pub pace: Arc<dyn Pace>,
    /// Plan and report, change nothing.
    pub dry_run: bool,
}

/// Connects to the cloud that a scope file names; the error is for people.
pub type Connect =
    Arc<dyn Fn(Target) -> futures_util::future::BoxFuture<'static, Result<Arc<dyn Cloud>, String>> + Send + Sync>;

/// What the tasks share.
#[derive(Clone)]
struct Shared {
    /// What the daemon's own file says, as far as it is followed.
    followed: watch::Sender<reload::Followed>,
    /// The commit to bring about, once there is one.
    target: watch::Sender<Option<Target>>,
    /// What the last pass found.
    plan: watch::Sender<Option<Arc<Plan>>>,
    /// The last thing that went wrong with Git and with the cloud, for `/readyz`.
    trouble: watch::Sender<Trouble>,
    /// When both were last read.
    last_read: Arc<last_read::LastRead>,
    /// Wakes the watcher of Git.
    wake: Arc<Notify>,
    /// The plan is this daemon's to carry out: no other one has the lease.
    acts: Arc<AtomicBool>,
    /// What webhooks have told.
    hooks: Arc<hooks::Hooks>,
    /// Ends everything.
    stop: CancellationToken,
}

/// What stands in the way of a full picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Trouble {
    git: Option<String>,
    cloud: Option<String>,
}

impl Daemon {
    /// Runs until it is told to stop, then ends the change in hand and returns.
    ///
    /// # Errors
    /// It can't start: the state folder, the lock or the address.
    pub async fn run(self, stop: CancellationToken) -> Result<(), DaemonError> {
        let lock = lock::take(&self.settings.state_dir)?;
        let address = self.settings.listen.clone();
        let listener = TcpListener::bind(&address).await.map_err(|source| DaemonError::Listen { address, source })?;
        self.go(listener, lock, stop).await
    }

    /// As [`Self::run`], on a socket that listens already.
    ///
    /// # Errors
    /// It can't start: the state folder or the lock.
    pub async fn run_on(self, listener: TcpListener, stop: CancellationToken) -> Result<(), DaemonError> {
        let lock = lock::take(&self.settings.state_dir)?;
        self.go(listener, lock, stop).await
    }

    /// Runs while it holds the lock.
    async fn go(self, listener: TcpListener, _lock: File, stop: CancellationToken) -> Result<(), DaemonError> {
        let bound: Option<SocketAddr> = listener.local_addr().ok();
        let listen = bound.map_or_else(|| self.settings.listen.clone(), |bound| bound.to_string());
        let lease = self.leases.zip(self.settings.lease.clone()).filter(|_| !self.dry_run);
        let followed = reload::Followed { settings: self.settings, repository: self.repository.clone() };
        let shared = Shared {
            followed: watch::Sender::new(followed),
            target: watch::Sender::new(None),
            plan: watch::Sender::new(None),
            trouble: watch::Sender::new(Trouble::default()),
            last_read: Arc::default(),
            wake: Arc::new(Notify::new()),
            acts: Arc::default(),
            hooks: Arc::default(),
            stop: stop.clone(),
        };
        tracing::info!(%listen, dry_run = self.dry_run, "started");
        let _watch = source::watch(&self.repository, &shared);
        notify_systemd(&[sd_notify::NotifyState::Ready]);
        let git = tokio::spawn(source::run(shared.clone()));
        tokio::spawn(hooks::run(shared.clone()));
        let open = self.file.as_ref().map(|file| Arc::clone(&file.open));
        let file = self.file.map(|file| tokio::spawn(reload::run(file, shared.clone())));
        if !self.dry_run {
            // Nobody waits for it: what is not told when the daemon stops is told by the next one.
            tokio::spawn(statuses::run(shared.clone()));
            open.map(|open| tokio::spawn(reverts::run(open, shared.clone())));
        }
        let work = tokio::spawn(work::run((self.connect, lease), self.pace, self.dry_run, shared.clone()));
        let served = http::serve(listener, shared).await;
        stop.cancel();
        notify_systemd(&[sd_notify::NotifyState::Stopping]);
        // A change in hand is ended; its answer is read by the next start.
        let _ = tokio::join!(git, work);
        if let Some(file) = file {
            let _ = file.await;
        }
        tracing::info!("stopped");
        served.map_err(DaemonError::Serve)
    }
}

/// Tells systemd; outside of it this does nothing.
fn notify_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
