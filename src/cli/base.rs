//! The other side of `plan --base`: what a pull request is merged into.

use std::sync::Arc;

use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::desired::files::ConfigFiles;
use crate::desired::spec::{Desired, ServiceFile};
use crate::git::GitError;
use crate::names::{CommitId, ServiceName};
use crate::plan::review::{Review, Side};
use crate::plan::types::Plan;
use crate::reconcile::Merged;
use crate::time::Timestamp;

use super::error::CliError;
use super::file_diff::{self, Values};
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
        let before = match repository.desired(&base) {
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
    pub fn complete(&self, plan: &mut Plan, values: Values) {
        plan.base = Some(self.commit.clone());
        let diff = |path: &str| file_diff::of(path, Some(&self.files_before), Some(&self.files), values);
        for service in &mut plan.services {
            let path = format!("services/{}.toml", service.name);
            let script = self.script(&service.name).filter(|_| values == Values::Shown);
            let diffs = [Some(path), script].into_iter().flatten().filter_map(|path| diff(&path));
            service.file_diff = Some(diffs.collect::<String>()).filter(|diffs| !diffs.is_empty());
        }
        let base = Side { files: &self.files_before, desired: &self.before };
        let merge = Side { files: &self.files, desired: &self.merged };
        // A freeze that is over is in nobody's way; without AWS its clock is ours.
        let now = plan.observed_at.unwrap_or_else(now);
        let scope_diff = diff("ionroller.toml").filter(|_| self.merged.scope.is_some());
        plan.review = Some(Review { scope_diff, ..Review::new(base, merge, plan, now) });
    }

    /// The path of a service's script in the merge.
    fn script(&self, service: &ServiceName) -> Option<String> {
        match self.merged.services.get(service)? {
            ServiceFile::Valid(spec) => Some(spec.machine.user_data.as_ref()?.path.clone()),
            ServiceFile::Broken => None,
        }
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn empty(commit: Option<CommitId>) -> Desired {
    Desired {
        commit,
        scope: None,
        services: Default::default(),
        contested: Default::default(),
        diagnostics: Vec::new(),
        places: Default::default(),
    }
}

fn conflict(path: &str, base: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, format!("it was changed here and in {base}, and the two do not go together"))
        .at(path, None)
        .help(format!("merge {base} into the branch, or rebase it, and resolve the conflict"))
}
