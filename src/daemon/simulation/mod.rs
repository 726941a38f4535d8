//! Whole histories from a seed: the daemon's own loop, the reconciler and the executor run
//! over the simulated AWS, in one thread and on virtual time, while Git, people and AWS do
//! what the seed says. Every change is looked at, and in the end all must come to rest.
//!
//! A seed becomes a [`script::Script`], which is a value; `run` plays it, `stage` stands
//! between the program and AWS, `check` knows the invariants, `rest` how it must end, and
//! `shrink` makes a short script of one that breaks something. `scripts/simulate` runs many.

mod borne;
mod call;
mod check;
mod facts;
mod files;
mod generate;
mod hands;
mod history;
mod isolated;
mod rest;
mod run;
mod script;
mod shrink;
mod stage;
mod stories;
mod tests;
mod told;
mod untouched;
mod verdicts;

use std::fmt;

use run::Run;
use script::Script;

/// What a history broke.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    seed: u64,
    why: String,
    /// All that happened until then.
    log: String,
}

impl Failure {
    /// The invariant's name.
    fn invariant(&self) -> &str {
        self.why.split(':').next().unwrap_or_default()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.why)
    }
}

/// Runs one seed on the calling thread.
///
/// # Errors
/// What it broke.
pub(crate) fn try_seed(seed: u64) -> Result<(), Failure> {
    try_script(&generate::script(seed))
}

/// Runs one script on the calling thread.
fn try_script(script: &Script) -> Result<(), Failure> {
    let (log, result) = play(script);
    result.map_err(|why| Failure { seed: script.seed, why, log })
}

/// Runs a script: what happened, and how it ended.
fn play(script: &Script) -> (String, Result<(), String>) {
    play_with(script, |_| {})
}

/// As [`play`], with something done first.
fn play_with(script: &Script, first: impl FnOnce(&mut Run)) -> (String, Result<(), String>) {
    // Waits are jittered by the thread's own generator.
    fastrand::seed(script.seed);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(script);
        first(&mut run);
        let result = run.go().await;
        let log = std::mem::take(&mut run.theatre.state().log);
        (log, result)
    })
}
