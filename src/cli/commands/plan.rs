//! `ionroller plan`

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::cli::args::{CloudChoice, Output, Plan as Args};
use crate::cli::base::Base;
use crate::cli::error::CliError;
use crate::cli::file_diff::{self, Values};
use crate::cli::session::{Commit, Connection, connect};
use crate::cli::ui::Ui;
use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::desired::files::ConfigFiles;
use crate::names::CommitId;
use crate::plan::scope::is_change;
use crate::plan::types::Plan;
use crate::reconcile::{Reconciler, Target};
use crate::render;
use crate::render::review::Shown;

/// For those who have no credentials: a pull request from a fork, above all.
const WITHOUT_AWS: &str = "without AWS, --offline says what changes in the files, and what it could not know";

/// Shows what apply would do.
pub async fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CliError> {
    let plan = make(args, ui).await?;
    if let Some(file) = &args.out {
        std::fs::write(file, render::json::plan_json(&plan)).map_err(|error| {
            CliError::user(format!("cannot write the plan to {}", file.display())).caused_by(&error)
        })?;
    }
    let shown = if args.all { Shown::All } else { Shown::Changes };
    match args.common.output {
        Output::Json => ui.answer(&render::json::plan_json(&plan))?,
        Output::Text => ui.answer(&render::text::plan_of(&plan, super::style(ui), shown))?,
        Output::Markdown => ui.answer(&render::markdown::plan_of(&plan, shown))?,
    }
    Ok(ExitCode::from(if args.detailed_exitcode { detailed(&plan) } else { 0 }))
}

/// The plan that the arguments ask for.
pub(super) async fn make(args: &Args, ui: &Ui) -> Result<Plan, CliError> {
    let commit = match &args.base {
        Some(_) => Commit::read_to_merge(&args.common)?,
        None => Commit::read(&args.common)?,
    };
    if commit.uncommitted {
        ui.tell("hint: files were changed and not committed; only the commit counts");
    }
    let base = args.base.as_ref().map(|base| Base::read(&commit, base)).transpose()?;
    let desired = base.as_ref().map_or(&commit.desired, |base| &base.merged);
    let values = Values::from_flag(args.show_values);
    let mut plan = match Target::new(Arc::clone(desired), Some(commit.repository.clone())) {
        None => super::plan_of_files(desired),
        Some(target) if args.offline => {
            crate::plan::offline::plan(desired, &target.scope, base.as_ref().map(|base| &*base.before))
        }
        Some(target) => {
            let target = Target { base: base.as_ref().map(|base| base.commit.clone()), ..target };
            let without_aws = |error: CliError| match args.common.cloud {
                CloudChoice::Aws => error.hint(WITHOUT_AWS),
                CloudChoice::Sim(_) => error,
            };
            let mut plan = online(args, &target).await.map_err(without_aws)?;
            if base.is_none() {
                add_diffs(&target, &mut plan, values);
            }
            plan
        }
    };
    if let Some(base) = &base {
        base.complete(&mut plan, values);
    }
    if commit.shallow {
        let message = "this is a shallow clone: whether the commit descends from what was acted on may be unknown";
        plan.diagnostics.push(Diagnostic::new(Severity::Warning, message).help("apply and run need full history"));
    }
    super::check_selection(&args.common, &plan, desired)?;
    super::select_diagnostics(&args.common, &mut plan);
    Ok(plan)
}

/// 1 goes before 2: what is wrong or unknown is looked at first.
fn detailed(plan: &Plan) -> u8 {
    if super::has_errors(&plan.diagnostics) || !plan.complete {
        1
    } else if plan.services.iter().any(is_change) {
        2
    } else {
        0
    }
}

async fn online(args: &Args, target: &Target) -> Result<Plan, CliError> {
    let listeners = target.listeners().into_iter().collect();
    let Connection { cloud, .. } = connect(&args.common.cloud, &target.scope, listeners).await?;
    let only: BTreeSet<_> = args.common.services.iter().cloned().collect();
    let reconciler = Reconciler::new(cloud, only, CancellationToken::new());
    Ok(reconciler.plan(target).await?)
}

/// The difference of each service's file since the commit that its live release came from.
fn add_diffs(target: &Target, plan: &mut Plan, values: Values) {
    let (Some(repository), Some(commit)) = (&target.repository, &target.desired.commit) else {
        return;
    };
    let mut known: BTreeMap<CommitId, Option<Arc<ConfigFiles>>> = BTreeMap::new();
    for service in plan.services.iter_mut().filter(|service| is_change(service)) {
        let Some(old) = service.live_commit.as_ref().and_then(|text| CommitId::parse(text).ok()) else {
            continue;
        };
        let path = format!("services/{}.toml", service.name);
        let mut files = |commit: &CommitId| {
            let files = known.entry(commit.clone()).or_insert_with(|| repository.files(commit).ok().map(Arc::new));
            files.clone().filter(|files| files.files.contains_key(&path))
        };
        let (Some(old), Some(new)) = (files(&old), files(commit)) else { continue };
        service.file_diff = file_diff::of(&path, Some(&old), Some(&new), values);
    }
}
