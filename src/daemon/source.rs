//! Watches the config repository and publishes the commit to bring about.

use std::sync::Arc;
use std::time::Duration;

use crate::desired::diagnostic::Severity;
use crate::git::{TrustedKeys, Watch};
use crate::names::CommitId;
use crate::reconcile::{ConfigRepository, Target};
use crate::settings::{Settings, TrustMode};

use crate::reconcile::pace;

use super::reload::Followed;
use super::{Shared, trust};

/// Wakes the watcher when a local repository changes. Polling goes on all the same. A mirror
/// changes only by our own look at the remote: watched, each new commit would cost a second look.
pub fn watch(repository: &ConfigRepository, shared: &Shared) -> Option<Watch> {
    if repository.is_mirror() {
        return None;
    }
    let wake = Arc::clone(&shared.wake);
    match repository.with(|repository| repository.watch(move || wake.notify_one())) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::debug!(%error, "not watched, only polled");
            None
        }
    }
}

/// What the last look has found.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// The commit at the head of the branch.
    tip: Option<CommitId>,
    /// The keys that it was judged by, where signatures are asked for.
    keys: Option<Arc<TrustedKeys>>,
    /// The commit that is brought about.
    target: Option<CommitId>,
    /// Why that is not the one at the head.
    refused: Option<String>,
    /// Why nothing is done for the one at the head, although it may be acted on.
    broken: Option<String>,
}

/// How long the first look may take before the commit counts that an earlier daemon has left
/// in the mirror: what runs is protected by that one meanwhile.
const FIRST_LOOK: Duration = Duration::from_secs(30);

/// Looks for a new commit at every tick and whenever it is woken, until it is stopped.
pub async fn run(shared: Shared) {
    let mut last = Seen::default();
    let mut followed = shared.followed.subscribe();
    let mut place = None;
    while !shared.stop.is_cancelled() {
        let Followed { settings, repository } = followed.borrow_and_update().clone();
        let here = Some((settings.branch.clone(), settings.path.clone(), settings.trust.clone()));
        // The same commit says something else in another folder, or to other ears.
        if place != here {
            (last, place) = (Seen::default(), here);
        }
        tokio::select! {
            biased;
            () = look(&repository, &settings, &shared, &mut last) => {}
            // The thread that looks is left behind, and its exchange is ended.
            () = shared.stop.cancelled() => return repository.end_exchange(),
        }
        let tick = pace::jittered(settings.poll_interval).to_std();
        tokio::select! {
            biased;
            () = tokio::time::sleep(tick) => {}
            () = shared.wake.notified() => {}
            _ = followed.changed() => {}
            () = shared.stop.cancelled() => {}
        }
    }
}

async fn look(repository: &ConfigRepository, settings: &Settings, shared: &Shared, last: &mut Seen) {
    let ask = |known: Seen, tip: Tip| {
        let settings = settings.clone();
        repository.ask(move |asked| read(asked, &settings, known, tip))
    };
    let looked = ask(last.clone(), Tip::Remote);
    tokio::pin!(looked);
    let read = match tokio::time::timeout(FIRST_LOOK, &mut looked).await {
        Ok(read) => read,
        Err(_) => {
            if last.tip.is_none() {
                let stored = ask(last.clone(), Tip::Stored).await;
                take(repository, shared, last, stored, "Git does not answer");
            }
            looked.await
        }
    };
    match read {
        Ok(Ok((seen, new))) => {
            shared.last_read.git();
            note(repository, shared, last, seen, new);
        }
        // What runs goes on by the last commit that could be read.
        Ok(Err(said)) => {
            if shared.trouble.borrow().git.as_ref() != Some(&said) {
                tracing::warn!(error = %said, "the config repository cannot be read; what runs goes on");
            }
            if last.tip.is_none() {
                let stored = ask(last.clone(), Tip::Stored).await;
                take(repository, shared, last, stored, "Git cannot be read");
            }
            trouble(shared, Some(said));
        }
        Err(error) => trouble(shared, Some(format!("reading the repository ended early: {error}"))),
    }
}

/// Takes in what a look has found.
fn note(repository: &ConfigRepository, shared: &Shared, last: &mut Seen, seen: Seen, new: New) {
    if let Some(said) = seen.refused.as_ref().filter(|_| seen.refused != last.refused) {
        tracing::error!("{said}");
    }
    if let Some((commit, target)) = new {
        publish(repository, shared, &commit, target);
    }
    trouble(shared, seen.refused.clone().or_else(|| seen.broken.clone()));
    *last = seen;
}

/// Takes in the commit that an earlier daemon has left in the mirror, if there is one.
fn take(
    repository: &ConfigRepository,
    shared: &Shared,
    last: &mut Seen,
    stored: Result<Result<(Seen, New), String>, tokio::task::JoinError>,
    why: &str,
) {
    let Ok(Ok((seen, new @ Some(_)))) = stored else { return };
    tracing::warn!("{why}: the last commit in the mirror counts until it does");
    note(repository, shared, last, seen, new);
}

/// Whose tip of the branch counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tip {
    /// What the remote says now.
    Remote,
    /// What the mirror holds.
    Stored,
}

/// A commit to bring about; no target where its scope file is broken.
type New = Option<(CommitId, Option<Target>)>;

fn read(repository: &ConfigRepository, settings: &Settings, known: Seen, tip: Tip) -> Result<(Seen, New), String> {
    let tip = match tip {
        Tip::Remote => repository.tip(&settings.branch).map_err(|error| chain(&error))?,
        Tip::Stored => repository.stored_tip(&settings.branch).ok_or("the mirror has no such branch")?,
    };
    let keys = trust::keys(&settings.trust, known.keys.as_ref())?;
    let same_keys = keys.as_ref().map(|keys| keys.digest()) == known.keys.as_ref().map(|keys| keys.digest());
    let incomplete = repository.is_incomplete();
    if known.tip.as_ref() == Some(&tip) && same_keys && !incomplete {
        return Ok((Seen { keys, ..known }, None));
    }
    let judged = match &keys {
        None => trust::Judged { commit: Some(tip.clone()), refused: None },
        Some(keys) => {
            let before = known.target.as_ref();
            let judged = repository.with(|git| trust::judge(git, &tip, before, settings.trust.mode, keys));
            judged.map_err(|error| chain(&error))?
        }
    };
    let seen = Seen { tip: Some(tip), keys, refused: judged.refused, ..known };
    // A target that is judged by its keys again is told which count now.
    let strict = settings.trust.mode == TrustMode::Strict;
    let is_new = |commit: &CommitId| seen.target.as_ref() != Some(commit) || (strict && !same_keys);
    let is_new = |commit: &CommitId| is_new(commit) || incomplete;
    let Some(commit) = judged.commit.filter(is_new) else {
        return Ok((seen, None));
    };
    let desired = repository.desired(&commit).map_err(|error| chain(&error))?;
    if incomplete && repository.is_incomplete() && seen.target.as_ref() == Some(&commit) {
        return Ok((seen, None));
    }
    for problem in desired.diagnostics.iter().filter(|problem| problem.severity == Severity::Error) {
        tracing::warn!(file = problem.file.as_deref().unwrap_or(""), line = problem.line, "{}", problem.message);
    }
    let mut target = Target::new(desired, Some(repository.clone()));
    if let Some(target) = target.as_mut().filter(|_| strict) {
        target.signed_by = seen.keys.clone();
    }
    let broken = target.is_none().then(|| format!("commit {}: ionroller.toml has errors", commit.short()));
    Ok((Seen { target: Some(commit.clone()), broken, ..seen }, Some((commit, target))))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{Repository, ScratchRepository};

    /// A second look at the same commit finds it as broken as the first one did.
    #[test]
    fn a_broken_scope_file_stays_in_sight() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        let files = [("ionroller.toml", "scope = 1\n"), ("services/web.toml", "version = \"1\"\n")];
        ScratchRepository::create(&config, &files, "broken").unwrap();
        let repository = ConfigRepository::new(Repository::open_local(&config).unwrap(), ".");
        let settings = Settings::parse("repo = \".\"\nstate_dir = \".\"\n").unwrap();
        let (first, new) = read(&repository, &settings, Seen::default(), Tip::Remote).unwrap();
        assert!(new.is_some_and(|(_, target)| target.is_none()));
        assert!(first.broken.as_ref().unwrap().ends_with("ionroller.toml has errors"));
        let (second, new) = read(&repository, &settings, first.clone(), Tip::Remote).unwrap();
        assert!(new.is_none());
        assert_eq!(second.broken, first.broken);
    }
}
