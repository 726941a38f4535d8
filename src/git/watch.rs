//! Tells at once when a local repository gets a commit.
//!
//! A convenience and no more: the watcher may miss events (network file systems,
//! overflow, a repository that is replaced), and polling sees every change anyway.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::error::{Cause, GitError};
use super::repository::Repository;

/// Watches until it is dropped.
#[must_use = "it stops watching when it is dropped"]
pub struct Watch {
    _watcher: RecommendedWatcher,
}

impl Repository {
    /// Calls `on_change` when `HEAD` or a reference of this repository may have
    /// moved. It is called on a thread of the watcher and several times for one
    /// commit: it should only wake somebody.
    pub fn watch(&self, on_change: impl Fn() + Send + 'static) -> Result<Watch, GitError> {
        // A linked worktree has its own HEAD; branches are in the common folder.
        let own = self.handle.path().to_owned();
        let common = self.handle.commondir().to_owned();
        let failed =
            |path: &Path, error: notify::Error| GitError::Watch { path: path.to_owned(), source: Cause::from(error) };
        let roots = [own.clone(), common.clone()];
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if is_change(&event, &roots) {
                on_change();
            }
        })
        .map_err(|error| failed(&own, error))?;
        // Folders, not files: git replaces files by renaming, and a watch on a
        // file would stay with the old one.
        let mut watched: Vec<(PathBuf, RecursiveMode)> =
            vec![(common.clone(), RecursiveMode::NonRecursive), (common.join("refs"), RecursiveMode::Recursive)];
        if own != common {
            watched.push((own, RecursiveMode::NonRecursive));
        }
        for (path, mode) in watched {
            watcher.watch(&path, mode).map_err(|error| failed(&path, error))?;
        }
        Ok(Watch { _watcher: watcher })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// Whether an event may mean that a reference has moved. When in doubt, yes:
/// but reading must not count, or each look would cause the next one.
fn is_change(event: &notify::Result<Event>, roots: &[PathBuf]) -> bool {
    let Ok(event) = event else { return true };
    if event.need_rescan() || event.paths.is_empty() {
        return true;
    }
    !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(|path| names_reference(path, roots))
}

fn names_reference(path: &Path, roots: &[PathBuf]) -> bool {
    if path.extension() == Some(OsStr::new("lock")) {
        return false;
    }
    roots
        .iter()
        .filter_map(|root| path.strip_prefix(root).ok())
        .any(|below| below == Path::new("HEAD") || below == Path::new("packed-refs") || below.starts_with("refs"))
}
