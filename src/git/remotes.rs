//! The remotes of a clone.

use super::commit::{Branch, CommitError};
use super::error::GitError;
use super::repository::Repository;
use super::source::Source;
use crate::names::CommitId;

impl Repository {
    /// Where people see a remote in a browser, and the path of the repository there; none
    /// where it is no server.
    pub fn remote_web(&self, remote: &str) -> Option<(String, String)> {
        let found = self.handle.find_remote(remote).ok()?;
        let urls = [found.pushurl().ok().flatten(), found.url().ok()];
        urls.into_iter().flatten().find_map(|url| match Source::parse(url).ok()? {
            Source::Remote(url) => url.web(),
            Source::Local(_) => None,
        })
    }

    /// Whether the remote of a mirror has a branch now. It is fetched, if so.
    ///
    /// # Errors
    /// The remote can't be asked.
    pub fn has_branch(&mut self, branch: &str) -> Result<bool, GitError> {
        match self.tip(branch) {
            Ok(_) => Ok(true),
            Err(GitError::NoBranch { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A branch to make at a commit. What is left of an attempt that was cut off is removed.
    ///
    /// # Errors
    /// The old one can't be removed.
    pub fn new_branch(&self, name: &str, tip: &CommitId) -> Result<Branch, CommitError> {
        self.forget_branch(name)?;
        Ok(Branch { name: name.to_owned(), tip: tip.clone(), is_new: true, is_shown: false })
    }

    /// Removes a branch from a mirror, where it has no business once it is pushed.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn forget_branch(&self, name: &str) -> Result<(), CommitError> {
        let failed =
            |error: git2::Error| CommitError::Failed { what: "remove a branch of the mirror", source: error.into() };
        match self.handle.find_reference(&format!("refs/heads/{name}")) {
            Ok(mut found) => found.delete().map_err(failed),
            Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// The branch that is checked out; none where HEAD is no branch.
    pub fn current_branch(&self) -> Option<String> {
        let head = self.handle.find_reference("HEAD").ok()?;
        let target = head.symbolic_target().ok().flatten()?;
        target.strip_prefix("refs/heads/").map(str::to_owned)
    }

    /// Whether a remote had a branch when it was last asked.
    pub fn is_on_remote(&self, remote: &str, branch: &str) -> bool {
        self.handle.find_reference(&format!("refs/remotes/{remote}/{branch}")).is_ok()
    }
}
