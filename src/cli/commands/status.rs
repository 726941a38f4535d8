//! `ionroller status`

use std::collections::BTreeSet;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::cli::args::{Output, Status};
use crate::cli::error::CliError;
use crate::cli::session::{Commit, Connection, connect};
use crate::cli::ui::Ui;
use crate::reconcile::Reconciler;
use crate::render;

/// Shows how every service stands.
pub async fn run(args: &Status, ui: &Ui) -> Result<ExitCode, CliError> {
    let commit = Commit::read(&args.common)?;
    let target = super::target_of(&commit, ui)?;
    let listeners = target.listeners().into_iter().collect();
    let Connection { cloud, .. } = connect(&args.common.cloud, &target.scope, listeners).await?;
    let only: BTreeSet<_> = args.common.services.iter().chain(&args.service).cloned().collect();
    let reconciler = Reconciler::new(cloud, only, CancellationToken::new());
    let plan = reconciler.plan(&target).await?;
    super::check_selection(&args.common, &plan, &target.desired)?;
    if let Some(name) = args.service.as_ref().filter(|name| plan.services.iter().all(|s| s.name != **name)) {
        return Err(super::unknown_service(name, target.desired.services.keys()));
    }
    match args.common.output {
        Output::Json => ui.answer(&render::json::status_json(&plan))?,
        Output::Markdown => ui.answer(&render::markdown::status(&plan, args.service.as_ref()))?,
        Output::Text => {
            ui.answer(&render::text::status(&plan, args.service.as_ref(), super::style(ui)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
