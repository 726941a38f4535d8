//! Questions about history: does it descend, what changed last, what was said.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use git2::{Oid, Sort};

use super::changes::cut;
use super::collect::FILE_BYTES_MAX;
use super::error::GitError;
use super::repository::{Repository, commit_id, oid};
use crate::names::CommitId;

/// The most commits that are looked at to find a reason or a trailer. Far more
/// than lie between two rollouts, and read in about a second.
pub const COMMITS_MAX: usize = 10_000;

/// The most commits along first parents that are looked at for older contents of files.
pub const FIRST_PARENTS_MAX: usize = 1_000;

/// How one commit stands to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ancestry {
    /// They are the same commit.
    Same,
    /// The first is reached from the second by way of its parents.
    Ancestor,
    /// Both are known, and the first is not reached. In a shallow clone it may
    /// be reached through history that is not there.
    NotAncestor,
    /// This one is not in the repository, so nothing can be said. It counts as
    /// no ancestor.
    UnknownCommit(CommitId),
}

impl Ancestry {
    /// Whether the second commit equals or descends from the first for certain.
    pub fn holds(&self) -> bool {
        match self {
            Ancestry::Same | Ancestry::Ancestor => true,
            Ancestry::NotAncestor | Ancestry::UnknownCommit(_) => false,
        }
    }
}

/// A line such as `Ionroller-Override: REASON` at the end of a commit message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// The commit that says it.
    pub commit: CommitId,
    /// What it says, on one line; never empty.
    pub value: String,
}

impl Repository {
    /// Whether `ancestor` is `of`, or an ancestor of it.
    pub fn ancestry(&self, ancestor: &CommitId, of: &CommitId) -> Result<Ancestry, GitError> {
        // libgit2 says that a commit is no descendant of itself, and gives an
        // error without a code for one that is missing: ask both first.
        for commit in [of, ancestor] {
            match self.find_commit(commit) {
                Ok(_) => {}
                Err(GitError::UnknownCommit { .. }) => {
                    return Ok(Ancestry::UnknownCommit(commit.clone()));
                }
                Err(error) => return Err(error),
            }
        }
        if ancestor == of {
            return Ok(Ancestry::Same);
        }
        let (ancestor, of) = (oid(ancestor), oid(of));
        let descends = if self.is_shallow() {
            // libgit2's walk fails at the edge of a shallow clone.
            self.reached_from(&[of], &BTreeSet::new())?.contains(&ancestor)
        } else {
            self.handle.graph_descendant_of(of, ancestor).map_err(|error| self.walk(error))?
        };
        Ok(if descends { Ancestry::Ancestor } else { Ancestry::NotAncestor })
    }

    /// The newest commit reachable from `from` that changed the file or folder
    /// `path` (relative to the root of the repository), simplified as `git log`
    /// does it: a merge that took one side's file leads into that side. `None`
    /// if the path was never there, or the change is out of reach.
    pub fn last_change(&self, from: &CommitId, path: &str) -> Option<CommitId> {
        let mut commit = self.find_commit(from).ok()?;
        let entry = self.entry_at(&commit, path).ok()?;
        for _ in 0..COMMITS_MAX {
            if commit.parent_count() == 0 {
                let is_edge = self.is_shallow() || entry.is_none();
                return (!is_edge).then(|| commit_id(commit.id()));
            }
            commit = match self.parent_that_agrees(&commit, path, entry).ok()? {
                None => return Some(commit_id(commit.id())),
                Some(parent) => parent,
            };
        }
        None
    }

    /// Goes back from `from` along first parents, which on a branch that is released from
    /// are its states one by one, and shows what the files `names` of the folder `path`
    /// held: each content once until it changes, the newest first, and none where there is
    /// no file. A file is looked at until `look` says that it has seen enough. Looks at
    /// 1,000 commits at most, and ends where history is cut off.
    ///
    /// Gives the files that were not looked at to their end, because something is missing or
    /// broken: of these nothing may be concluded.
    pub fn older_contents(
        &self,
        from: &CommitId,
        path: &str,
        names: impl IntoIterator<Item = String>,
        mut look: impl FnMut(&str, Option<&[u8]>) -> bool,
    ) -> BTreeSet<String> {
        let mut watched: BTreeMap<String, Option<Option<Oid>>> = names.into_iter().map(|name| (name, None)).collect();
        let mut unread = BTreeSet::new();
        let mut last_folder = None;
        let mut next = self.find_commit(from);
        for _ in 0..FIRST_PARENTS_MAX {
            if watched.is_empty() {
                break;
            }
            let tree = next.and_then(|commit| {
                let folder = self.entry_at(&commit, path)?;
                // Most commits leave it alone, and then nothing in it is compared.
                if last_folder == Some(folder) {
                    return Ok((commit, None));
                }
                let tree = folder.map(|(id, _)| self.handle.find_tree(id)).transpose();
                let tree = tree.map_err(|error| self.damage(format!("the folder `{path}`"), error))?;
                last_folder = Some(folder);
                Ok((commit, Some(tree)))
            });
            let Ok((commit, tree)) = tree else {
                unread.extend(watched.into_keys());
                break;
            };
            if let Some(tree) = tree {
                watched.retain(|name, last| {
                    let id = tree.as_ref().and_then(|tree| tree.get_name(name)).map(|entry| entry.id());
                    if last.replace(id) == Some(id) {
                        return true;
                    }
                    // One that is too large was never read, and says nothing.
                    if id.is_some_and(|id| self.is_too_large(id)) {
                        return true;
                    }
                    match id.map(|id| self.handle.find_blob(id)).transpose() {
                        Ok(blob) => look(name, blob.as_ref().map(git2::Blob::content)),
                        Err(error) => {
                            self.damage(format!("the file `{path}/{name}`"), error);
                            unread.insert(name.clone());
                            false
                        }
                    }
                });
            }
            // At the edge of a shallow clone a commit counts as having no parents.
            if commit.parent_count() == 0 {
                break;
            }
            next = commit.parent(0).map_err(|error| self.walk(error));
        }
        unread
    }

    fn is_too_large(&self, file: Oid) -> bool {
        let header = self.handle.odb().and_then(|odb| odb.read_header(file));
        header.is_ok_and(|(size, _)| size as u64 > FILE_BYTES_MAX)
    }

    /// The trailers `key` of the commits that are reachable from `newest` and
    /// from none of `since`, newest first. Looks at the last 10,000 commits.
    ///
    /// A commit of `since` that is unknown is an error: without it, trailers of
    /// long ago would count again.
    pub fn trailers(&self, newest: &CommitId, since: &[CommitId], key: &str) -> Result<Vec<Trailer>, GitError> {
        for commit in since.iter().chain([newest]) {
            self.find_commit(commit)?;
        }
        let since: Vec<Oid> = since.iter().map(oid).collect();
        let commits = if self.is_shallow() {
            let hidden = self.reached_from(&since, &BTreeSet::new())?;
            self.reached_in_order(&[oid(newest)], &hidden)?
        } else {
            self.walk_between(oid(newest), &since).map_err(|error| self.walk(error))?
        };
        let mut trailers = Vec::new();
        for id in commits {
            let commit = self.handle.find_commit(id).map_err(|error| self.walk(error))?;
            let values = trailer_values(&commit, key);
            trailers.extend(values.into_iter().map(|value| Trailer { commit: commit_id(id), value }));
        }
        Ok(trailers)
    }

    /// Whether a commit takes another one back, as `git revert`, a forge's button and
    /// `ionroller rollback` say it; of a merge, whether any commit does that it brought.
    ///
    /// # Errors
    /// It can't be read.
    pub fn is_revert(&self, commit: &CommitId) -> Result<bool, GitError> {
        let found = self.find_commit(commit)?;
        let main_line = found.parent_id(0).ok().filter(|_| found.parent_count() > 1);
        let brought = match main_line {
            Some(parent) => self.walk_between(found.id(), &[parent]).map_err(|error| self.walk(error))?,
            None => vec![found.id()],
        };
        for id in brought {
            let commit = self.handle.find_commit(id).map_err(|error| self.walk(error))?;
            if says_revert(&String::from_utf8_lossy(commit.message_bytes())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn walk_between(&self, newest: Oid, since: &[Oid]) -> Result<Vec<Oid>, git2::Error> {
        let mut walk = self.handle.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
        walk.push(newest)?;
        for id in since {
            walk.hide(*id)?;
        }
        walk.take(COMMITS_MAX).collect()
    }

    fn reached_from(&self, from: &[Oid], hidden: &BTreeSet<Oid>) -> Result<BTreeSet<Oid>, GitError> {
        Ok(self.reached_in_order(from, hidden)?.into_iter().collect())
    }

    /// All commits that are reached and there, nearest first. For shallow
    /// clones, which are small: a parent that is missing is the end.
    fn reached_in_order(&self, from: &[Oid], hidden: &BTreeSet<Oid>) -> Result<Vec<Oid>, GitError> {
        let mut queue: VecDeque<Oid> = from.iter().copied().collect();
        let mut seen = hidden.clone();
        let mut reached = Vec::new();
        while let Some(id) = queue.pop_front() {
            if !seen.insert(id) {
                continue;
            }
            match self.handle.find_commit(id) {
                Ok(commit) => {
                    reached.push(id);
                    queue.extend(commit.parent_ids());
                }
                Err(error) if error.code() == git2::ErrorCode::NotFound => {}
                Err(error) => return Err(self.walk(error)),
            }
        }
        Ok(reached)
    }

    pub(super) fn walk(&self, error: git2::Error) -> GitError {
        self.damage("the history".to_owned(), error)
    }
}

fn says_revert(message: &str) -> bool {
    let said = |line: &str| line.starts_with("This reverts commit ") || line.starts_with("Ionroller-Rollback: ");
    message.starts_with("Revert \"") || message.lines().any(said)
}

impl Repository {
    /// The first parent that has the same at `path`; none if all differ.
    pub(super) fn parent_that_agrees<'r>(
        &self,
        commit: &git2::Commit<'r>,
        path: &str,
        entry: Option<(Oid, i32)>,
    ) -> Result<Option<git2::Commit<'r>>, GitError> {
        for index in 0..commit.parent_count() {
            let parent = commit.parent(index).map_err(|error| self.walk(error))?;
            if self.entry_at(&parent, path)? == entry {
                return Ok(Some(parent));
            }
        }
        Ok(None)
    }

    /// What the commit has at `path`, if anything. libgit2's own way down a path takes a
    /// folder that is missing from a damaged or partial clone for one that is not there.
    pub(super) fn entry_at(&self, commit: &git2::Commit<'_>, path: &str) -> Result<Option<(Oid, i32)>, GitError> {
        let damage = |error| self.damage(format!("a folder of commit {}", commit.id()), error);
        let mut tree = commit.tree().map_err(damage)?;
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let Some(entry) = tree.get_name(name) else { return Ok(None) };
            if names.peek().is_none() {
                return Ok(Some((entry.id(), entry.filemode())));
            }
            if entry.kind() != Some(git2::ObjectType::Tree) {
                return Ok(None);
            }
            let below = self.handle.find_tree(entry.id()).map_err(damage)?;
            drop(entry);
            tree = below;
        }
        Ok(None)
    }
}

fn trailer_values(commit: &git2::Commit<'_>, key: &str) -> Vec<String> {
    let Ok(trailers) = git2::message_trailers_bytes(commit.message_raw_bytes()) else {
        return Vec::new();
    };
    let named = trailers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key.as_bytes()));
    // A value may go on over several lines, and comes from whoever can push.
    let values = named.map(|(_, value)| {
        let text = String::from_utf8_lossy(value).replace(|c: char| c.is_control(), " ");
        cut(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    });
    values.filter(|value| !value.is_empty()).collect()
}
