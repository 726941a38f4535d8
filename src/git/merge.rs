//! What a merge would give, worked out in memory.
//!
//! A merge writes files that neither side has. They go into a store that lives as long
//! as the question, in front of the repository's own: nothing is left behind in it.

use git2::ErrorCode;

use super::collect::collect;
use super::error::GitError;
use super::repository::{Origin, Repository, oid};
use super::tree::{link_target, root_of};
use crate::desired::files::ConfigFiles;
use crate::names::CommitId;

/// Before the stores that libgit2 writes to by itself.
const MEMORY_FIRST: i32 = 1000;

/// The files that are listed of a merge that fails.
const CONFLICTS_MAX: usize = 100;

/// What merging one commit into another would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// The files of the config folder afterwards.
    Clean(ConfigFiles),
    /// Both sides changed the same: the paths, from the root of the repository, sorted.
    Conflict(Vec<String>),
}

impl Repository {
    /// Merges `commit` into `base` as git would, without a trace, and reads the config
    /// folder of the result.
    ///
    /// # Errors
    /// A commit that is not there, two without a common ancestor, a broken object.
    pub fn merged_files(&self, base: &CommitId, commit: &CommitId, folder: &str) -> Result<Merge, GitError> {
        let root = root_of(folder)?;
        for side in [base, commit] {
            self.find_commit(side)?;
        }
        self.common_ancestor(base, commit)?;
        let failed = |error: git2::Error| self.damage(format!("the merge of {commit} into {base}"), error);
        let memory = git2::Repository::open(self.handle.path()).map_err(failed)?;
        let store = memory.odb().map_err(failed)?;
        store.add_new_mempack_backend(MEMORY_FIRST).map_err(failed)?;
        let side = |id: &CommitId| memory.find_commit(oid(id)).map_err(failed);
        let mut index = memory.merge_commits(&side(base)?, &side(commit)?, None).map_err(failed)?;
        if index.has_conflicts() {
            return Ok(Merge::Conflict(conflicts(&index).map_err(failed)?));
        }
        let merged = index.write_tree_to(&memory).and_then(|id| memory.find_tree(id)).map_err(failed)?;
        let top = self.folder_in(&memory, merged, commit, folder)?;
        let files = collect(&top, root)?;
        if let Origin::Mirror(mirror) = &self.origin {
            mirror.was_read();
        }
        Ok(Merge::Clean(files))
    }

    fn common_ancestor(&self, base: &CommitId, commit: &CommitId) -> Result<(), GitError> {
        match self.handle.merge_base(oid(base), oid(commit)) {
            Ok(_) => Ok(()),
            // libgit2's walk fails at the edge of a shallow clone.
            Err(error) if error.code() == ErrorCode::NotFound || self.is_shallow() => Err(GitError::Unrelated {
                commit: commit.clone(),
                base: base.clone(),
                location: self.location(),
                shallow: self.is_shallow(),
            }),
            Err(error) => Err(self.damage("the history".to_owned(), error)),
        }
    }
}

fn conflicts(index: &git2::Index) -> Result<Vec<String>, git2::Error> {
    let mut paths = Vec::new();
    for conflict in index.conflicts()? {
        let conflict = conflict?;
        let sides = [conflict.our, conflict.their, conflict.ancestor];
        paths.extend(sides.into_iter().flatten().next().map(|entry| link_target(&entry.path)));
    }
    paths.sort();
    paths.dedup();
    paths.truncate(CONFLICTS_MAX);
    Ok(paths)
}
