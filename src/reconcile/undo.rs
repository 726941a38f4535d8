//! Taking back what made another release of a service: the changes of its file, one by one,
//! as `git revert` does it. What was changed beside them stays.

use std::fmt::Write as _;

use crate::git::{FileChange, GitError, Repository};
use crate::names::{CommitId, Digest, Version};
use crate::plan::types::Release;

use super::past::Past;

/// What to go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// This very release, which settled.
    Release(Release),
    /// Whatever release had this version.
    Version(Version),
    /// The one before, by Git alone.
    Before,
}

impl Goal {
    fn is_met_by(&self, found: Option<&Release>, current: Option<&Digest>) -> bool {
        match (self, found) {
            (_, None) => false,
            (Self::Release(release), Some(found)) => found.digest == release.digest,
            (Self::Version(version), Some(found)) => found.version == *version,
            (Self::Before, Some(found)) => current != Some(&found.digest),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Release(release) => format!("{} ({})", release.version, release.digest.short()),
            Self::Version(version) => version.to_string(),
            Self::Before => "another release".to_owned(),
        }
    }
}

/// Why nothing can be taken back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// Git can't be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The file is as it was; another one made the release.
    #[error("{path} has not changed since; what makes another release of it is a change of ionroller.toml or files/")]
    Unchanged {
        /// The file.
        path: String,
    },
    /// The goal is not in history.
    #[error(
        "there is nothing to roll back to: none of the last {count} commits that changed {path} had {wanted} before it"
    )]
    Nothing {
        /// The file.
        path: String,
        /// What was looked for.
        wanted: String,
        /// How many commits were looked at.
        count: usize,
        /// History is cut off.
        shallow: bool,
    },
    /// A change can't be taken out alone.
    #[error(
        "conflict: {} ({subject}) can't be taken out of {path}, since the same lines changed later; \
         nothing was committed",
        commit.short()
    )]
    Conflict {
        /// The file.
        path: String,
        /// The change.
        commit: CommitId,
        /// Its first line.
        subject: String,
    },
    /// It is no text.
    #[error("{path} is not UTF-8, so it can't be edited")]
    NotUtf8 {
        /// The file.
        path: String,
    },
}

/// The changes of the file since the release to go back to that made another release of
/// it, newest first. Changes of settings alone stay.
///
/// A merge leads into the side whose file it took. Where the way to the goal is not there,
/// because that side never had it, the branch's own states count, and the merge is taken
/// out as one change.
///
/// # Errors
/// There is nothing to go back to.
pub fn changes_to_undo(
    goal: &Goal,
    past: &mut Past<'_>,
    tip: &CommitId,
    path: &str,
    current: Option<&Release>,
) -> Result<Vec<FileChange>, UndoError> {
    let changes = past.changes(tip, path)?;
    let nothing = match changes_among(goal, &changes, current, past, path) {
        Err(nothing @ UndoError::Nothing { .. }) => nothing,
        found => return Ok(found?.into_iter().cloned().collect()),
    };
    let changes = past.changes_of_branch(tip, path)?;
    let found = changes_among(goal, &changes, current, past, path);
    match found {
        Ok(found) => Ok(found.into_iter().cloned().collect()),
        Err(UndoError::Git(error)) => Err(error.into()),
        Err(_) => Err(nothing),
    }
}

fn changes_among<'c>(
    goal: &Goal,
    changes: &'c [FileChange],
    current: Option<&Release>,
    past: &mut Past<'_>,
    path: &str,
) -> Result<Vec<&'c FileChange>, UndoError> {
    let current = current.map(|release| &release.digest);
    if let Some(newest) = changes.first()
        && goal.is_met_by(past.release(&newest.commit)?.as_ref(), current)
    {
        return Err(UndoError::Unchanged { path: path.to_owned() });
    }
    let mut undo = Vec::new();
    for change in changes {
        let after = past.release(&change.commit)?;
        let before = change.parent.as_ref().map(|parent| past.release(parent)).transpose()?.flatten();
        if after != before {
            undo.push(change);
        }
        if goal.is_met_by(before.as_ref(), current) {
            return Ok(undo);
        }
    }
    let (path, wanted, count) = (path.to_owned(), goal.words(), changes.len());
    Err(UndoError::Nothing { path, wanted, count, shallow: past.is_shallow() })
}

/// The file without some changes, which are taken out one by one.
///
/// # Errors
/// One can't be taken out without what came later.
pub fn undone(repository: &Repository, path: &str, text: &str, undo: &[FileChange]) -> Result<String, UndoError> {
    let mut bytes = text.as_bytes().to_vec();
    for change in undo {
        let at = |commit| repository.file_at(commit, path).map(Option::unwrap_or_default);
        let before = change.parent.as_ref().map(at).transpose()?.unwrap_or_default();
        let Some(without) = repository.without_change(&bytes, &before, &at(&change.commit)?) else {
            let (commit, subject) = (change.commit.clone(), change.subject.clone());
            return Err(UndoError::Conflict { path: path.to_owned(), commit, subject });
        };
        bytes = without;
    }
    String::from_utf8(bytes).map_err(|_| UndoError::NotUtf8 { path: path.to_owned() })
}

/// The part of a commit's message that says what it takes back.
pub fn reverted(path: &str, undo: &[FileChange]) -> String {
    let mut text = format!("In {path}:\n");
    for change in undo {
        let _ = writeln!(text, "This reverts commit {} ({}).", change.commit, change.subject);
    }
    text
}
