//! `ionroller diff`

use std::collections::BTreeSet;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::cli::args::{Diff, Output};
use crate::cli::error::CliError;
use crate::cli::file_diff::{self, Values};
use crate::cli::session::{Commit, Connection, connect};
use crate::cli::ui::Ui;
use crate::names::CommitId;
use crate::plan::types::ServicePlan;
use crate::reconcile::{ConfigRepository, Reconciler};
use crate::render;

/// Compares the running release with the file.
pub async fn run(args: &Diff, ui: &Ui) -> Result<ExitCode, CliError> {
    let commit = Commit::read(&args.common)?;
    let target = super::target_of(&commit, ui)?;
    let listeners = target.listeners().into_iter().collect();
    let Connection { cloud, .. } = connect(&args.common.cloud, &target.scope, listeners).await?;
    let reconciler = Reconciler::new(cloud, BTreeSet::from([args.service.clone()]), CancellationToken::new());
    let mut plan = reconciler.plan(&target).await?;
    let Some(service) = plan.services.iter_mut().find(|service| service.name == args.service) else {
        return Err(super::unknown_service(&args.service, target.desired.services.keys()));
    };
    service.file_diff =
        file_diff(&commit.repository, target.desired.commit.as_ref(), service, Values::from_flag(args.show_values));
    let answer = match args.common.output {
        Output::Json => render::json::diff_json(&plan),
        Output::Text => render::text::diff(service, super::style(ui)),
        Output::Markdown => render::markdown::diff(service),
    };
    ui.answer(&answer)?;
    Ok(ExitCode::SUCCESS)
}

/// The file as of the commit that the live release came from, against the file now. Where
/// one of them can't be read or isn't there, there is nothing to compare.
fn file_diff(
    repository: &ConfigRepository,
    commit: Option<&CommitId>,
    service: &ServicePlan,
    values: Values,
) -> Option<String> {
    let old = CommitId::parse(service.live_commit.as_ref()?).ok()?;
    let path = format!("services/{}.toml", service.name);
    let read = |commit: &CommitId| repository.files(commit).ok().filter(|files| files.files.contains_key(&path));
    file_diff::of(&path, Some(&read(&old)?), Some(&read(commit?)?), values)
}
