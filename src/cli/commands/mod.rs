//! One file a command: its arguments in, an answer and an exit status out.

pub mod apply;
pub mod comment;
pub mod demo;
pub mod diff;
pub mod history;
pub mod init;
pub mod live_rollback;
pub mod operate;
pub mod plan;
pub mod release;
pub mod rollback;
pub mod run;
pub mod schema;
pub mod shell;
pub mod status;
pub mod validate;

use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::desired::spec::Desired;
use crate::names::{Digest, ServiceName};
use crate::plan::types::Plan;
use crate::reconcile::Target;

use super::args::Common;
use super::error::CliError;
use super::session::Commit;
use super::ui::Ui;

/// Names on the command line that stand nowhere are mistakes, not empty selections. A plan of
/// some services alone says nothing of the others, so `files` says what there is.
fn check_selection(common: &Common, plan: &Plan, files: &Desired) -> Result<(), CliError> {
    for name in &common.services {
        if !plan.services.iter().any(|service| service.name == *name) {
            let planned = plan.services.iter().map(|service| &service.name);
            return Err(unknown_service(name, planned.chain(files.services.keys())));
        }
    }
    Ok(())
}

/// Leaves out what is wrong with the files of services that were not asked for.
fn select_diagnostics(common: &Common, plan: &mut Plan) {
    if common.services.is_empty() {
        return;
    }
    let other = |file: &str| {
        let name = file.rsplit_once("services/").and_then(|(_, name)| name.strip_suffix(".toml"));
        name.is_some_and(|name| common.services.iter().all(|service| service.as_str() != name))
    };
    plan.diagnostics.retain(|problem| problem.file.as_deref().is_none_or(|file| !other(file)));
}

fn unknown_service<'a>(name: &ServiceName, known: impl Iterator<Item = &'a ServiceName>) -> CliError {
    let error = CliError::user(format!("there is no service `{name}`, neither in the files nor in AWS"));
    did_you_mean(error, name.as_str(), known.map(ServiceName::as_str))
}

/// Adds the nearest known name, if one is near.
pub fn did_you_mean<'a>(error: CliError, name: &str, known: impl Iterator<Item = &'a str>) -> CliError {
    let near = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match near.filter(|(distance, _)| *distance <= 3) {
        Some((_, near)) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// The commit as something to bring about, or why that can't be.
fn target_of(commit: &Commit, ui: &Ui) -> Result<Target, CliError> {
    if commit.uncommitted {
        ui.tell("hint: files were changed and not committed; only the commit counts");
    }
    commit.target().ok_or_else(|| {
        tell_diagnostics(&commit.desired.diagnostics, ui);
        CliError::user("the scope has errors, so nothing can be done for any service")
            .hint("`ionroller validate` shows all problems")
    })
}

/// A plan of which nothing but the files is known, for a scope that is broken.
fn plan_of_files(desired: &Desired) -> Plan {
    Plan {
        id: Digest::of(b"a scope that is broken").to_string(),
        scope: desired.scope.as_ref().map(|scope| scope.scope.clone()),
        commit: desired.commit.clone(),
        base: None,
        observed_at: None,
        complete: false,
        services: Vec::new(),
        diagnostics: desired.diagnostics.clone(),
        review: None,
    }
}

/// Says problems on stderr, even when quiet.
pub fn tell_diagnostics(diagnostics: &[Diagnostic], ui: &Ui) {
    let text = crate::render::text::diagnostics(diagnostics, style_story(ui));
    if !text.is_empty() {
        ui.insist(text.trim_end());
    }
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(is_error)
}

fn is_error(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error
}

fn style(ui: &Ui) -> crate::render::text::Style {
    crate::render::text::Style { color: ui.color, verbose: ui.verbose, width: 80 }
}

fn style_story(ui: &Ui) -> crate::render::text::Style {
    crate::render::text::Style { color: ui.color_story, verbose: ui.verbose, width: 80 }
}
