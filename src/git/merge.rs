//! What a merge would give, worked out in memory.
//!
//! A merge writes files that neither side has. They go into a store that lives as long
//! as the question, in front of the repository's own: nothing is left behind in it.

use std::collections::BTreeMap;

use git2::{ErrorCode, MergeOptions, ObjectType, Oid};

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

/// The largest file that is merged line by line, or compared with others to see whether it
/// was only moved: both take several times its size in memory. Above it, a file that both
/// sides changed is a conflict.
const MERGED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The most files of a commit that is merged in memory: libgit2 lists them all. A tree of
/// trees that share one tree unpacks to more than any memory holds.
pub const MERGE_FILES_MAX: u64 = 1_000_000;

/// How deep its folders may be nested.
const MERGE_DEPTH_MAX: u32 = 128;

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
            let tree = self.find_commit(side)?.tree_id();
            self.can_be_listed(tree)?;
        }
        if let Some(side) = self.named_as_parent(base, commit)? {
            return Ok(Merge::Clean(self.config_files(side, folder)?));
        }
        self.common_ancestor(base, commit)?;
        let failed = |error: git2::Error| self.damage(format!("the merge of {commit} into {base}"), error);
        let memory = git2::Repository::open(self.handle.path()).map_err(failed)?;
        let store = memory.odb().map_err(failed)?;
        store.add_new_mempack_backend(MEMORY_FIRST).map_err(failed)?;
        let side = |id: &CommitId| memory.find_commit(oid(id)).map_err(failed);
        let (ours, theirs) = (side(base)?, side(commit)?);
        let large = large_files(&memory, &ours, &theirs).map_err(failed)?;
        if !large.changed_twice.is_empty() {
            return Ok(Merge::Conflict(large.changed_twice));
        }
        let mut options = MergeOptions::new();
        options.find_renames(!large.may_have_moved);
        let mut index = memory.merge_commits(&ours, &theirs, Some(&options)).map_err(failed)?;
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

    /// The side that a merge would give in a shallow clone whose edge hides the common
    /// ancestor: a commit still names its parents there, though it counts as having none.
    /// The merge commit that CI checks out names the base so.
    fn named_as_parent<'c>(&self, base: &'c CommitId, commit: &'c CommitId) -> Result<Option<&'c CommitId>, GitError> {
        if !self.is_shallow() {
            return Ok(None);
        }
        for (child, parent) in [(commit, base), (base, commit)] {
            let found = self.find_commit(child)?;
            let line = format!("parent {parent}");
            if found.raw_header_bytes().split(|byte| *byte == b'\n').any(|header| header == line.as_bytes()) {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    fn can_be_listed(&self, tree: Oid) -> Result<(), GitError> {
        let files = self.files_below(tree, 0, &mut BTreeMap::new());
        let files = files.map_err(|error| self.damage("a folder that is to be merged".to_owned(), error))?;
        if files <= MERGE_FILES_MAX {
            return Ok(());
        }
        Err(GitError::TooMuch { root: String::new(), limit: format!("{MERGE_FILES_MAX} files to merge") })
    }

    /// Each folder object is looked at once, however often it is there.
    fn files_below(&self, id: Oid, depth: u32, known: &mut BTreeMap<Oid, u64>) -> Result<u64, git2::Error> {
        if let Some(count) = known.get(&id) {
            return Ok(*count);
        }
        if depth > MERGE_DEPTH_MAX {
            return Ok(u64::MAX);
        }
        let tree = self.handle.find_tree(id)?;
        let mut files: u64 = 0;
        for entry in &tree {
            let below = match entry.kind() {
                Some(ObjectType::Tree) => self.files_below(entry.id(), depth + 1, known)?,
                _ => 1,
            };
            files = files.saturating_add(below);
        }
        known.insert(id, files);
        Ok(files)
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

/// Files that are too large to be read for a merge.
#[derive(Default)]
struct LargeFiles {
    /// Both sides changed them, and not to the same.
    changed_twice: Vec<String>,
    /// One came or went, so that it could be compared with all others that did.
    may_have_moved: bool,
}

/// Looks for them without reading any: by what the folders name, and by sizes.
fn large_files(
    handle: &git2::Repository,
    ours: &git2::Commit<'_>,
    theirs: &git2::Commit<'_>,
) -> Result<LargeFiles, git2::Error> {
    let before = handle.find_commit(handle.merge_base(ours.id(), theirs.id())?)?.tree()?;
    let store = handle.odb()?;
    let is_large = |id: Oid| store.read_header(id).is_ok_and(|(size, _)| size as u64 > MERGED_BYTES_MAX);
    let mut found = LargeFiles::default();
    let mut ours_changed: BTreeMap<Vec<u8>, Oid> = BTreeMap::new();
    for (first, side) in [(true, ours), (false, theirs)] {
        let diff = handle.diff_tree_to_tree(Some(&before), Some(&side.tree()?), None)?;
        for delta in diff.deltas() {
            let (old, new) = (delta.old_file(), delta.new_file());
            let large = is_large(old.id()) || is_large(new.id());
            found.may_have_moved |= large && (old.id().is_zero() || new.id().is_zero());
            let path = new.path_bytes().unwrap_or_default().to_vec();
            if first {
                ours_changed.insert(path, new.id());
            } else if ours_changed.get(&path).is_some_and(|id| *id != new.id() && (large || is_large(*id))) {
                found.changed_twice.push(link_target(&path));
            }
        }
    }
    found.changed_twice.truncate(CONFLICTS_MAX);
    Ok(found)
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
