//! `ionroller diff`

use std::collections::BTreeSet;
use std::process::ExitCode;

use similar::TextDiff;
use tokio_util::sync::CancellationToken;

use crate::cli::args::{Diff, Output};
use crate::cli::error::CliError;
use crate::cli::session::{Commit, Connection, connect};
use crate::cli::ui::Ui;
use crate::desired::files::{ConfigFiles, FileContent};
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
    service.file_diff = file_diff(&commit.repository, target.desired.commit.as_ref(), service);
    let answer = match args.common.output {
        Output::Json => render::json::diff_json(&plan),
        Output::Text => render::text::diff(service, super::style(ui)),
        Output::Markdown => render::markdown::diff(service),
    };
    ui.answer(&answer)?;
    Ok(ExitCode::SUCCESS)
}

/// The file as of the commit that the live release came from, against the file now.
fn file_diff(repository: &ConfigRepository, commit: Option<&CommitId>, service: &ServicePlan) -> Option<String> {
    let old = CommitId::parse(service.live_commit.as_ref()?).ok()?;
    let path = format!("services/{}.toml", service.name);
    let read = |commit: &CommitId| text_of(&repository.files(commit).ok()?, &path);
    unified(&path, &read(&old)?, &read(commit?)?)
}

/// A file's text, if it is one.
pub fn text_of(files: &ConfigFiles, path: &str) -> Option<String> {
    match files.files.get(path)? {
        FileContent::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

/// A unified diff; none when the texts are the same.
pub fn unified(path: &str, old: &str, new: &str) -> Option<String> {
    unified_of(path, Some(old), Some(new))
}

/// A unified diff of a file that may be missing on a side.
pub fn unified_of(path: &str, old: Option<&str>, new: Option<&str>) -> Option<String> {
    let name = |side: &str, text: Option<&str>| text.map_or("/dev/null".to_owned(), |_| format!("{side}/{path}"));
    let diff = TextDiff::from_lines(old.unwrap_or_default(), new.unwrap_or_default());
    let text = diff.unified_diff().header(&name("a", old), &name("b", new)).to_string();
    (!text.is_empty()).then_some(text)
}
