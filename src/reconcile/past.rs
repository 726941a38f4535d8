//! What the commits that changed a service's file asked for.

use std::collections::BTreeMap;

use crate::desired::spec::ServiceSpec;
use crate::git::{FileChange, GitError, Repository};
use crate::names::{CommitId, ServiceName};
use crate::plan::types::Release;

/// Commits that are looked at. A service is released a few times a day at most.
pub const CHANGES_MAX: usize = 200;

/// The past of one service, read from Git as far as it is asked for.
pub struct Past<'a> {
    repository: &'a Repository,
    folder: &'a str,
    service: &'a ServiceName,
    known: BTreeMap<CommitId, Option<Release>>,
}

impl<'a> Past<'a> {
    /// The past of a service in a config folder.
    pub fn new(repository: &'a Repository, folder: &'a str, service: &'a ServiceName) -> Self {
        Self { repository, folder, service, known: BTreeMap::new() }
    }

    /// Whether history is cut off.
    pub fn is_shallow(&self) -> bool {
        self.repository.is_shallow()
    }

    /// The commits that changed the service's file, newest first.
    pub fn changes(&self, from: &CommitId, path: &str) -> Result<Vec<FileChange>, GitError> {
        self.repository.file_changes(from, path, CHANGES_MAX)
    }

    /// The same along first parents: the branch's own states, a merge being one change.
    pub fn changes_of_branch(&self, from: &CommitId, path: &str) -> Result<Vec<FileChange>, GitError> {
        self.repository.file_changes_of_branch(from, path, CHANGES_MAX)
    }

    /// The release that a commit asked for; none where its file was broken or not there.
    ///
    /// # Errors
    /// Something of it can't be read, so that nothing may be concluded.
    pub fn release(&mut self, commit: &CommitId) -> Result<Option<Release>, GitError> {
        if let Some(known) = self.known.get(commit) {
            return Ok(known.clone());
        }
        let release = match self.repository.config_files_of(commit, self.folder, self.service.as_str()) {
            Ok(files) => crate::desired::load(&files, None).spec_of(self.service).map(release),
            Err(GitError::NoFolder { .. } | GitError::TooMuch { .. }) => None,
            Err(error) => return Err(error),
        };
        self.known.insert(commit.clone(), release.clone());
        Ok(release)
    }
}

/// A spec's release, as plans name it.
pub fn release(spec: &ServiceSpec) -> Release {
    Release { version: spec.version.clone(), digest: spec.digest.clone() }
}
