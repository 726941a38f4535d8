//! What a merge would give, worked out in memory.
//!
//! A merge writes files that neither side has. They go into a store that lives as long
//! as the question, in front of the repository's own: nothing is left behind in it.

use std::collections::{BTreeMap, BTreeSet};

use git2::{ErrorCode, MergeOptions, ObjectType, Oid};

use super::collect::{TREE_BYTES_MAX, collect};
use super::error::GitError;
use super::repository::{Origin, Repository, commit_id, oid};
use super::tree::{link_target, root_of};
use crate::bounded::size as size_text;
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

/// The most files and folders of a commit that is merged in memory: libgit2 lists them all. A
/// tree of trees that share one tree unpacks to more than any memory holds.
pub const MERGE_FILES_MAX: u64 = 1_000_000;

/// The most that their paths may take together: libgit2 keeps each as a whole.
pub const MERGE_PATH_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How deep its folders may be nested.
pub const MERGE_DEPTH_MAX: u32 = 128;

/// The most common ancestors of two sides, each of which counts for the merge. Two branches
/// that were merged into each other at the same time have two.
pub const MERGE_ANCESTORS_MAX: usize = 16;

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
        let mut known = BTreeMap::new();
        for side in [base, commit] {
            self.can_be_listed(side, &mut known)?;
        }
        if let Some(side) = self.named_as_parent(base, commit)? {
            return Ok(Merge::Clean(self.config_files(side, folder)?));
        }
        for ancestor in self.common_ancestors(base, commit)? {
            self.can_be_listed(&ancestor, &mut known)?;
        }
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

    /// Whether `commit` is a merge that takes `side` into what it is made on, as CI checks out
    /// a pull request: `side` is a parent, and not the first of them.
    ///
    /// # Errors
    /// The commit can't be read.
    pub fn merges(&self, commit: &CommitId, side: &str) -> Result<bool, GitError> {
        Ok(self.named_parents(commit)?.iter().skip(1).any(|parent| parent == side))
    }

    /// The parents that a commit names. At the edge of a shallow clone it still names them,
    /// though it counts as having none.
    fn named_parents(&self, commit: &CommitId) -> Result<Vec<String>, GitError> {
        let found = self.find_commit(commit)?;
        let lines = found.raw_header_bytes().split(|byte| *byte == b'\n');
        let named = lines.filter_map(|line| line.strip_prefix(b"parent "));
        Ok(named.map(|id| String::from_utf8_lossy(id).into_owned()).collect())
    }

    /// The side that a merge would give in a shallow clone whose edge hides the common
    /// ancestor. The merge commit that CI checks out names the base as its parent.
    fn named_as_parent<'c>(&self, base: &'c CommitId, commit: &'c CommitId) -> Result<Option<&'c CommitId>, GitError> {
        if !self.is_shallow() {
            return Ok(None);
        }
        for (child, parent) in [(commit, base), (base, commit)] {
            if self.named_parents(child)?.iter().any(|named| named == parent.as_str()) {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    fn can_be_listed(&self, commit: &CommitId, known: &mut BTreeMap<Oid, Unpacked>) -> Result<(), GitError> {
        let tree = self.find_commit(commit)?.tree_id();
        let unpacked = self.unpacked(tree, 0, known);
        let unpacked = unpacked.map_err(|error| self.damage(format!("a folder of commit {commit}"), error))?;
        let limit = if unpacked.depth > MERGE_DEPTH_MAX {
            format!("{MERGE_DEPTH_MAX} folders inside each other")
        } else if unpacked.entries > MERGE_FILES_MAX {
            format!("{MERGE_FILES_MAX} files and folders")
        } else if unpacked.list_bytes > TREE_BYTES_MAX {
            format!("{} in a list of files", size_text(TREE_BYTES_MAX))
        } else if unpacked.path_bytes > MERGE_PATH_BYTES_MAX {
            format!("{} of paths", size_text(MERGE_PATH_BYTES_MAX))
        } else {
            return Ok(());
        };
        Err(GitError::TooMuchToMerge { commit: commit.clone(), limit })
    }

    /// Each folder object is looked at once, however often it is there.
    fn unpacked(&self, id: Oid, above: u32, known: &mut BTreeMap<Oid, Unpacked>) -> Result<Unpacked, git2::Error> {
        if let Some(unpacked) = known.get(&id) {
            return Ok(*unpacked);
        }
        let (size, _) = self.handle.odb()?.read_header(id)?;
        let mut folder = Unpacked { list_bytes: size as u64, depth: 1, ..Unpacked::default() };
        if above >= MERGE_DEPTH_MAX || folder.list_bytes > TREE_BYTES_MAX {
            folder.depth += above;
            return Ok(folder);
        }
        for entry in &self.handle.find_tree(id)? {
            let below = match entry.kind() {
                Some(ObjectType::Tree) => self.unpacked(entry.id(), above + 1, known)?,
                _ => Unpacked::default(),
            };
            folder.add(entry.name_bytes().len() as u64, below);
        }
        known.insert(id, folder);
        Ok(folder)
    }

    /// Every commit that libgit2 takes for what both sides had: where there are several, it
    /// merges them first, and for that their own common ancestors.
    fn common_ancestors(&self, base: &CommitId, commit: &CommitId) -> Result<BTreeSet<CommitId>, GitError> {
        let unrelated = || GitError::Unrelated {
            commit: commit.clone(),
            base: base.clone(),
            location: self.location(),
            shallow: self.is_shallow(),
        };
        let mut pairs = vec![(oid(base), oid(commit))];
        let mut found: Vec<Oid> = Vec::new();
        while let Some((one, other)) = pairs.pop() {
            let several = match self.handle.merge_bases(one, other) {
                Ok(several) => several,
                Err(error) if error.code() == ErrorCode::NotFound && !found.is_empty() => continue,
                // libgit2's walk fails at the edge of a shallow clone.
                Err(error) if error.code() == ErrorCode::NotFound || self.is_shallow() => return Err(unrelated()),
                Err(error) => return Err(self.damage("the history".to_owned(), error)),
            };
            for new in several.iter() {
                if found.contains(new) {
                    continue;
                }
                pairs.extend(found.iter().map(|known| (*known, *new)));
                found.push(*new);
                if found.len() > MERGE_ANCESTORS_MAX {
                    let limit = format!("{MERGE_ANCESTORS_MAX} common ancestors with {base}");
                    return Err(GitError::TooMuchToMerge { commit: commit.clone(), limit });
                }
            }
        }
        Ok(found.into_iter().map(commit_id).collect())
    }
}

/// What a folder of a commit unpacks to.
#[derive(Clone, Copy, Default)]
struct Unpacked {
    /// Files and folders.
    entries: u64,
    /// The bytes of their paths.
    path_bytes: u64,
    /// Folders inside each other.
    depth: u32,
    /// The longest list of one folder's entries.
    list_bytes: u64,
}

impl Unpacked {
    /// Counts an entry of this folder, with what is below it.
    fn add(&mut self, name_bytes: u64, below: Self) {
        let entries = below.entries.saturating_add(1);
        let names = (name_bytes + 1).saturating_mul(entries);
        self.entries = self.entries.saturating_add(entries);
        self.path_bytes = self.path_bytes.saturating_add(names).saturating_add(below.path_bytes);
        self.depth = self.depth.max(below.depth + 1);
        self.list_bytes = self.list_bytes.max(below.list_bytes);
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
