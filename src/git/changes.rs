//! The commits that changed one file, and taking a change out of it again.

use git2::{MergeFileInput, MergeFileOptions};

use super::error::GitError;
use super::history::FIRST_PARENTS_MAX;
use super::repository::{Repository, commit_id};
use crate::names::CommitId;
use crate::time::Timestamp;

/// The most characters of a commit's subject, of its author's name and of a trailer that are
/// kept. A message may be as long as git holds.
pub const LINE_CHARS_MAX: usize = 500;

/// A commit that changed a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The commit.
    pub commit: CommitId,
    /// The commit whose file it changed; none for the first commit of all.
    pub parent: Option<CommitId>,
    /// When it was committed.
    pub at: Timestamp,
    /// The author's name.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
}

impl Repository {
    /// The commits reachable from `from` that changed the file `path` (relative to the
    /// root of the repository), newest first, at most `max`. A merge that took one side's
    /// file leads into that side; of one that made something new, the first parent counts.
    /// Ends where history is cut off.
    ///
    /// # Errors
    /// The commit `from`, or something on the way back, can't be read.
    pub fn file_changes(&self, from: &CommitId, path: &str, max: usize) -> Result<Vec<FileChange>, GitError> {
        let mut commit = self.find_commit(from)?;
        let mut changes = Vec::new();
        while changes.len() < max {
            let entry = self.entry_at(&commit, path)?;
            if commit.parent_count() == 0 {
                if entry.is_some() && !self.is_shallow() {
                    changes.push(change(&commit, None));
                }
                break;
            }
            match self.parent_that_agrees(&commit, path, entry)? {
                Some(parent) => commit = parent,
                None => {
                    let parent = commit.parent(0).map_err(|error| self.walk(error))?;
                    changes.push(change(&commit, Some(commit_id(parent.id()))));
                    commit = parent;
                }
            }
        }
        Ok(changes)
    }

    /// The same along first parents: on a branch that is released from, its states one by
    /// one. A merge is one change there, whatever it brought.
    ///
    /// # Errors
    /// The commit `from`, or something on the way back, can't be read.
    pub fn file_changes_of_branch(&self, from: &CommitId, path: &str, max: usize) -> Result<Vec<FileChange>, GitError> {
        let mut commit = self.find_commit(from)?;
        let mut changes = Vec::new();
        for _ in 0..FIRST_PARENTS_MAX {
            if changes.len() >= max {
                break;
            }
            let entry = self.entry_at(&commit, path)?;
            if commit.parent_count() == 0 {
                break;
            }
            let parent = commit.parent(0).map_err(|error| self.walk(error))?;
            let before = self.entry_at(&parent, path)?;
            if before != entry {
                changes.push(change(&commit, Some(commit_id(parent.id()))));
            }
            commit = parent;
        }
        Ok(changes)
    }

    /// A file of now without the change from `before` to `after`; none where that is in
    /// conflict with what was changed since. The repository is not asked; but libgit2
    /// merges nothing before one was opened.
    pub fn without_change(&self, now: &[u8], before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
        let input = |content| {
            let mut input = MergeFileInput::new();
            input.content(content);
            input
        };
        let mut options = MergeFileOptions::new();
        let merged = git2::merge_file(&input(after), &input(now), &input(before), Some(&mut options)).ok()?;
        merged.is_automergeable().then(|| merged.content().to_vec())
    }
}

fn change(commit: &git2::Commit<'_>, parent: Option<CommitId>) -> FileChange {
    // Both come from whoever can push, and are shown in a terminal.
    let line = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        cut(&text.lines().next().unwrap_or_default().replace(|c: char| c.is_control(), " "))
    };
    FileChange {
        commit: commit_id(commit.id()),
        parent,
        at: Timestamp::from_secs(commit.time().seconds()),
        author: line(commit.author().name_bytes()),
        subject: line(commit.message_bytes()),
    }
}

/// A line without what is too long of it.
pub(super) fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
