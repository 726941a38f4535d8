//! The other side of `plan --base`: what a pull request is merged into.

use std::sync::Arc;

use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::desired::files::ConfigFiles;
use crate::desired::spec::Desired;
use crate::git::GitError;
use crate::names::CommitId;
use crate::plan::types::Plan;
use crate::reconcile::Merged;

use super::commands::diff;
use super::error::CliError;
use super::session::Commit;

/// A base, and what merging a commit into it gives.
pub struct Base {
    /// The commit that was merged into.
    pub commit: CommitId,
    /// What it says by itself.
    pub before: Arc<Desired>,
    /// What the merge says; after a conflict nothing but that.
    pub merged: Arc<Desired>,
    files_before: ConfigFiles,
    files: ConfigFiles,
}

impl Base {
    /// Merges a commit into the base that a revision names, in memory.
    pub fn read(commit: &Commit, reference: &str) -> Result<Self, CliError> {
        let repository = &commit.repository;
        let base = repository.with(|repository| repository.resolve(reference))?;
        let head = commit.desired.commit.clone().ok_or_else(|| CliError::user("there is no commit to merge"))?;
        // A pull request may be the one that brings the config folder.
        let files_before = match repository.files(&base) {
            Err(GitError::NoFolder { .. }) => ConfigFiles::default(),
            files => files?,
        };
        let before = match repository.past(&base) {
            Err(GitError::NoFolder { .. }) => Arc::new(empty(Some(base.clone()))),
            desired => desired?,
        };
        let (files, merged) = match repository.merged(&base, &head)? {
            Merged::Clean { files, desired } => (files, desired),
            Merged::Conflict(paths) => {
                let mut nothing = empty(Some(head));
                nothing.diagnostics = paths.iter().map(|path| conflict(path, reference)).collect();
                (ConfigFiles::default(), Arc::new(nothing))
            }
        };
        Ok(Self { commit: base, before, merged, files_before, files })
    }

    /// Adds to a plan of the merge what only the two sides can say.
    pub fn complete(&self, plan: &mut Plan) {
        plan.base = Some(self.commit.clone());
        for service in &mut plan.services {
            let path = format!("services/{}.toml", service.name);
            let old = diff::text_of(&self.files_before, &path);
            let new = diff::text_of(&self.files, &path);
            service.file_diff = diff::unified_of(&path, old.as_deref(), new.as_deref());
        }
    }
}

fn empty(commit: Option<CommitId>) -> Desired {
    Desired { commit, scope: None, services: Default::default(), diagnostics: Vec::new() }
}

fn conflict(path: &str, base: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, format!("it was changed here and in {base}, and the two do not go together"))
        .at(path, None)
        .help(format!("merge {base} into the branch, or rebase it, and resolve the conflict"))
}
