//! A small repository of our own: made from given files, with commits, merges and reverts
//! as a team would make them. No git binary and no settings of the user are needed.

use std::path::{Path, PathBuf};

use git2::build::{CheckoutBuilder, TreeUpdateBuilder};
use git2::{FileMode, Oid, RepositoryInitOptions, Signature};

use super::error::Cause;
use super::repository::{commit_id, oid};
use crate::names::CommitId;

/// The one branch.
const BRANCH: &str = "refs/heads/main";

/// Author and committer of every commit.
const WHO: (&str, &str) = ("ionroller demo", "demo@example.com");

/// A repository with a working folder that is ours to write.
pub struct ScratchRepository {
    handle: git2::Repository,
    folder: PathBuf,
}

/// A scratch repository could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} in the repository `{}`", folder.display())]
pub struct ScratchError {
    what: &'static str,
    folder: PathBuf,
    source: Cause,
}

impl ScratchRepository {
    /// Makes a repository in a folder, with some files (path and text) in its first commit
    /// on `main`.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn create(folder: &Path, files: &[(&str, &str)], message: &str) -> Result<Self, ScratchError> {
        let failed = |source: git2::Error| ScratchError {
            what: "make a commit",
            folder: folder.to_owned(),
            source: source.into(),
        };
        let mut options = RepositoryInitOptions::new();
        // Templates of the user bring hooks.
        options.initial_head("main").no_reinit(true).external_template(false);
        let handle = git2::Repository::init_opts(folder, &options).map_err(failed)?;
        let made = Self { handle, folder: folder.to_owned() };
        made.let_anybody_commit().map_err(failed)?;
        let tree = made.tree_with(None, files).map_err(failed)?;
        made.commit(tree, &[], message).map_err(failed)?;
        Ok(made)
    }

    /// Its working folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Changes some files on a branch and merges it into `main`, as a pull request does.
    /// The merge commit is given back.
    ///
    /// # Errors
    /// It can't be written, or the working folder holds changes that it would overwrite.
    pub fn merge_change(&self, files: &[(&str, &str)], message: &str, merge: &str) -> Result<CommitId, ScratchError> {
        let merged = || {
            let tip = self.handle.refname_to_id(BRANCH)?;
            let base = self.handle.find_commit(tip)?.tree()?;
            let tree = self.tree_with(Some(&base), files)?;
            let change = self.write_commit(tree, &[tip], message)?;
            self.commit(tree, &[tip, change], merge)
        };
        merged().map_err(|source| self.failed("merge", source))
    }

    /// Reverts a merge commit against its first parent, as `git revert -m 1` does.
    ///
    /// # Errors
    /// It can't be written, or later commits changed the same lines.
    pub fn revert_merge(&self, merge: &CommitId) -> Result<CommitId, ScratchError> {
        let reverted = || {
            let tip = self.handle.refname_to_id(BRANCH)?;
            let bad = self.handle.find_commit(oid(merge))?;
            let ours = self.handle.find_commit(tip)?;
            let mut index = self.handle.revert_commit(&bad, &ours, 1, None)?;
            let tree = index.write_tree_to(&self.handle)?;
            let summary = bad.summary().ok().flatten().unwrap_or_default();
            let message = format!("Revert \"{summary}\"\n\nThis reverts commit {merge}.");
            self.commit(tree, &[tip], &message)
        };
        reverted().map_err(|source| self.failed("revert", source))
    }

    /// Whoever tries it out can commit here without settings of their own.
    fn let_anybody_commit(&self) -> Result<(), git2::Error> {
        let mut config = self.handle.config()?.open_level(git2::ConfigLevel::Local)?;
        config.set_str("user.name", WHO.0)?;
        config.set_str("user.email", WHO.1)?;
        config.set_bool("commit.gpgsign", false)
    }

    fn tree_with(&self, base: Option<&git2::Tree<'_>>, files: &[(&str, &str)]) -> Result<Oid, git2::Error> {
        let mut update = TreeUpdateBuilder::new();
        for (path, text) in files {
            update.upsert(*path, self.handle.blob(text.as_bytes())?, FileMode::Blob);
        }
        match base {
            Some(base) => update.create_updated(&self.handle, base),
            None => {
                let empty = self.handle.treebuilder(None)?.write()?;
                update.create_updated(&self.handle, &self.handle.find_tree(empty)?)
            }
        }
    }

    fn write_commit(&self, tree: Oid, parents: &[Oid], message: &str) -> Result<Oid, git2::Error> {
        let who = Signature::now(WHO.0, WHO.1)?;
        let tree = self.handle.find_tree(tree)?;
        let parents = parents.iter().map(|id| self.handle.find_commit(*id)).collect::<Result<Vec<_>, _>>()?;
        self.handle.commit(None, &who, &who, message, &tree, &parents.iter().collect::<Vec<_>>())
    }

    /// Writes a commit, the files in the working folder, and last the branch.
    fn commit(&self, tree: Oid, parents: &[Oid], message: &str) -> Result<CommitId, git2::Error> {
        let commit = self.write_commit(tree, parents, message)?;
        let object = self.handle.find_object(commit, None)?;
        self.handle.checkout_tree(&object, Some(CheckoutBuilder::new().safe()))?;
        self.handle.reference(BRANCH, commit, true, message)?;
        Ok(commit_id(commit))
    }

    fn failed(&self, what: &'static str, source: git2::Error) -> ScratchError {
        ScratchError { what, folder: self.folder.clone(), source: source.into() }
    }
}

impl std::fmt::Debug for ScratchRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScratchRepository({})", self.folder.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Repository;

    #[test]
    fn a_revert_brings_the_files_of_before_the_merge_back() {
        let folder = tempfile::TempDir::new().unwrap();
        let scratch = ScratchRepository::create(folder.path(), &[("a.toml", "1"), ("b/c.toml", "x")], "first").unwrap();
        let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).unwrap();
        let merge = scratch.merge_change(&[("a.toml", "2")], "a 2", "Merge: a 2").unwrap();
        assert_eq!((read("a.toml"), read("b/c.toml")), ("2".to_owned(), "x".to_owned()));
        let revert = scratch.revert_merge(&merge).unwrap();
        assert_eq!(read("a.toml"), "1");
        let mut repository = Repository::open_local(folder.path()).unwrap();
        assert_eq!(repository.tip("main").unwrap(), revert);
        assert!(repository.ancestry(&merge, &revert).unwrap().holds());
        assert!(!repository.has_uncommitted_changes(""));
    }

    #[test]
    fn a_commit_of_somebody_else_is_reverted_over_only_where_lines_differ() {
        let folder = tempfile::TempDir::new().unwrap();
        let scratch = ScratchRepository::create(folder.path(), &[("a.toml", "1\n")], "first").unwrap();
        let merge = scratch.merge_change(&[("a.toml", "2\n")], "a 2", "Merge: a 2").unwrap();
        scratch.merge_change(&[("a.toml", "3\n")], "a 3", "Merge: a 3").unwrap();
        assert!(scratch.revert_merge(&merge).is_err());
    }
}
