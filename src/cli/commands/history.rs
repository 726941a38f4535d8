//! `ionroller history`

use std::collections::BTreeSet;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::cli::args::{History as Args, Output};
use crate::cli::commit::file_of;
use crate::cli::error::CliError;
use crate::cli::session::{Commit, Connection, connect};
use crate::cli::ui::Ui;
use crate::git::{GitError, Repository};
use crate::names::CommitId;
use crate::plan::types::Release;
use crate::reconcile::Reconciler;
use crate::reconcile::past::Past;
use crate::render::history::{AskedBy, History, entries, history, history_json, history_markdown};

/// Shows the releases of a service, what became of them, and their commits.
pub async fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CliError> {
    let commit = Commit::read(&args.common)?;
    let target = super::target_of(&commit, ui)?;
    let Connection { cloud, .. } =
        connect(&args.common.cloud, &target.scope, target.listeners().into_iter().collect()).await?;
    let reconciler = Reconciler::new(cloud, BTreeSet::from([args.service.clone()]), CancellationToken::new());
    let plan = reconciler.plan(&target).await?;
    let folder = commit.repository.folder();
    let tip = target.desired.commit.clone();
    let asked = match &tip {
        Some(tip) => commit.repository.with(|repository| asked(repository, folder, args, tip))?,
        None => Asked::default(),
    };
    let Asked { releases: asked, unread } = asked;
    let service = plan.services.iter().find(|service| service.name == args.service);
    let entries = entries(asked, service.map_or(&[], |service| &service.records));
    if entries.is_empty() && service.is_none() {
        return Err(super::unknown_service(&args.service, target.desired.services.keys()));
    }
    if commit.shallow {
        ui.tell("hint: this is a shallow clone, so older commits are missing; git fetch --unshallow gets them");
    }
    if let Some(unread) = unread {
        ui.tell(&format!("hint: some commits are left out: {unread}"));
    }
    let shown = file_of(&args.service);
    let diagnostics =
        plan.diagnostics.iter().filter(|problem| problem.file.as_ref().is_some_and(|file| file.ends_with(&shown)));
    let past = History {
        scope: target.scope.scope.clone(),
        service: args.service.clone(),
        commit: tip,
        observed_at: plan.observed_at,
        entries,
        diagnostics: diagnostics.cloned().collect(),
    };
    ui.answer(&match args.common.output {
        Output::Json => history_json(&past),
        Output::Text => history(&past, super::style(ui)),
        Output::Markdown => history_markdown(&past),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What the commits of the past asked for.
#[derive(Default)]
struct Asked {
    /// The newest first.
    releases: Vec<(Release, AskedBy)>,
    /// Why some are missing, if so.
    unread: Option<GitError>,
}

/// The releases that the commits of the past asked for, newest first.
fn asked(repository: &Repository, folder: &str, args: &Args, tip: &CommitId) -> Result<Asked, GitError> {
    let mut past = Past::new(repository, folder, &args.service);
    let path = match folder.trim_matches('/') {
        "" | "." => file_of(&args.service),
        folder => format!("{folder}/{}", file_of(&args.service)),
    };
    let mut asked = Asked::default();
    for change in past.changes(tip, &path)? {
        let release = match past.release(&change.commit) {
            Ok(release) => release,
            Err(error) => {
                asked.unread = Some(error);
                continue;
            }
        };
        if let Some(release) = release {
            let by = AskedBy { commit: change.commit, at: change.at, author: change.author, subject: change.subject };
            asked.releases.push((release, by));
        }
    }
    Ok(asked)
}
