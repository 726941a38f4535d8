//! This daemon's side of the lease: what its file asks for, and when it stands by.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cloud::Cloud;
use crate::cloud::lease::LeaseStore;
use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::lease::clock::MachineClock;
use crate::lease::keeper::{Keeper, Lease, Turn};
use crate::lease::machine::Machine;
use crate::lease::{Guard, Leave};
use crate::reconcile::Target;
use crate::settings::LeaseSettings;

/// Connects to a table of leases, by name, for the scope of a commit; the error is for
/// people.
pub type ConnectLease =
    Arc<dyn Fn(Target, String) -> BoxFuture<'static, Result<Arc<dyn LeaseStore>, String>> + Send + Sync>;

/// The lease of one scope, kept by a task of its own: a long pass must not keep it from
/// being renewed.
pub(super) struct Holding {
    lease: Arc<Lease>,
    turns: watch::Receiver<Turn>,
    task: JoinHandle<()>,
    /// Ends the task, also where the work ends without a word.
    stop: DropGuard,
}

impl Holding {
    /// Begins to ask for the lease of a scope, and waits for the first answer.
    pub(super) async fn begin(
        connect: &ConnectLease,
        settings: &LeaseSettings,
        target: &Target,
        cloud: &dyn Cloud,
    ) -> Result<Self, String> {
        let store = connect(target.clone(), settings.table.clone()).await?;
        let account = match &target.scope.account {
            Some(account) => account.clone(),
            None => cloud.caller().await.map_err(|error| error.to_string())?.account,
        };
        let key = format!("{}/{account}/{}", target.scope.scope, target.scope.region);
        let nonce = format!("{:032x}", fastrand::u128(..));
        let machine = Machine::new(name(), nonce, settings.duration);
        let patience = machine.patience().to_std();
        let keeper = Keeper::new(&key, machine, store, Arc::new(MachineClock));
        let lease = keeper.lease();
        let mut turns = lease.turns();
        let stop = CancellationToken::new();
        let task = tokio::spawn(keeper.keep(stop.clone()));
        let _ = tokio::time::timeout(patience, turns.changed()).await;
        Ok(Self { lease, turns, task, stop: stop.drop_guard() })
    }

    /// What is asked before each change.
    pub(super) fn guard(&self) -> Arc<dyn Guard> {
        Arc::<Lease>::clone(&self.lease)
    }

    /// Why this daemon makes no changes now, if so.
    pub(super) fn standby(&mut self) -> Option<String> {
        self.turns.borrow_and_update();
        match self.lease.may_begin() {
            Leave::Always | Leave::For(_) => None,
            Leave::No(why) => Some(why),
        }
    }

    /// Why the table can't be used, where that keeps this daemon from making changes.
    pub(super) fn trouble(&self) -> Option<String> {
        let waits = matches!(self.lease.may_begin(), Leave::No(_));
        self.lease.trouble().filter(|_| waits).map(|said| format!("lease {}: {said}", self.lease.key()))
    }

    /// Returns when another one acts than at the last [`Self::standby`].
    pub(super) async fn turned(&self) {
        if self.turns.clone().changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives the lease up. Whatever was done under it has ended.
    pub(super) async fn end(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

/// What the plan says of a daemon that makes no changes.
pub(super) fn note(why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Note, format!("standby: {why}"))
        .help("this daemon plans and reports; it makes changes once the lease is its own")
}

/// This process, for people.
fn name() -> String {
    let host = rustix::system::uname();
    format!("{}/{}", host.nodename().to_string_lossy(), std::process::id())
}
