//! Watches the config repository and publishes the commit to bring about.

use std::sync::Arc;

use crate::desired::diagnostic::Severity;
use crate::git::{GitError, Watch};
use crate::names::CommitId;
use crate::reconcile::{ConfigRepository, Target};
use crate::settings::Settings;

use crate::reconcile::pace;

use super::Shared;
use super::reload::Followed;

/// Wakes the watcher when a local repository changes. Polling goes on all the same.
pub fn watch(repository: &ConfigRepository, shared: &Shared) -> Option<Watch> {
    let wake = Arc::clone(&shared.wake);
    match repository.with(|repository| repository.watch(move || wake.notify_one())) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::debug!(%error, "not watched, only polled");
            None
        }
    }
}

/// Looks for a new commit at every tick and whenever it is woken, until it is stopped.
pub async fn run(shared: Shared) {
    let mut last: Option<CommitId> = None;
    let mut followed = shared.followed.subscribe();
    let mut place = (String::new(), String::new());
    while !shared.stop.is_cancelled() {
        let Followed { settings, repository } = followed.borrow_and_update().clone();
        let here = (settings.branch.clone(), settings.path.clone());
        // The same commit says something else in another folder.
        if place != here {
            (last, place) = (None, here);
        }
        look(&repository, &settings, &shared, &mut last).await;
        let tick = pace::jittered(settings.poll_interval).to_std();
        tokio::select! {
            () = tokio::time::sleep(tick) => {}
            () = shared.wake.notified() => {}
            _ = followed.changed() => {}
            () = shared.stop.cancelled() => {}
        }
    }
}

async fn look(repository: &ConfigRepository, settings: &Settings, shared: &Shared, last: &mut Option<CommitId>) {
    let (asked, branch, known) = (repository.clone(), settings.branch.clone(), last.clone());
    let read = tokio::task::spawn_blocking(move || read(&asked, &branch, known.as_ref())).await;
    match read {
        Ok(Ok(None)) => trouble(shared, None),
        Ok(Ok(Some((commit, target)))) => {
            *last = Some(commit.clone());
            trouble(shared, None);
            publish(repository, shared, &commit, target);
        }
        // What runs goes on by the last commit that could be read.
        Ok(Err(error)) => {
            let said = chain(&error);
            if shared.trouble.borrow().git.as_ref() != Some(&said) {
                tracing::warn!(error = %said, "the config repository cannot be read; what runs goes on");
            }
            trouble(shared, Some(said));
        }
        Err(error) => trouble(shared, Some(format!("reading the repository ended early: {error}"))),
    }
}

type Found = Option<(CommitId, Option<Target>)>;

fn read(repository: &ConfigRepository, branch: &str, known: Option<&CommitId>) -> Result<Found, GitError> {
    let commit = repository.with(|repository| repository.tip(branch))?;
    if known == Some(&commit) {
        return Ok(None);
    }
    let desired = repository.desired(&commit)?;
    for problem in desired.diagnostics.iter().filter(|problem| problem.severity == Severity::Error) {
        tracing::warn!(file = problem.file.as_deref().unwrap_or(""), line = problem.line, "{}", problem.message);
    }
    Ok(Some((commit, Target::new(desired, Some(repository.clone())))))
}

fn publish(repository: &ConfigRepository, shared: &Shared, commit: &CommitId, target: Option<Target>) {
    match target {
        Some(target) => {
            tracing::info!(commit = commit.short(), scope = %target.scope.scope, "new commit");
            shared.target.send_replace(Some(target));
        }
        None => {
            let file = format!("{}/ionroller.toml", repository.folder());
            tracing::error!(
                commit = commit.short(),
                file,
                "the scope's file has errors: nothing is done for this commit"
            );
            trouble(shared, Some(format!("commit {}: ionroller.toml has errors", commit.short())));
        }
    }
}

fn trouble(shared: &Shared, git: Option<String>) {
    shared.trouble.send_if_modified(|trouble| {
        let changed = trouble.git != git;
        trouble.git = git;
        changed
    });
}

/// An error with all that it was caused by, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push_str(": ");
        said.push_str(&error.to_string());
        cause = error.source();
    }
    said
}
