//! `ionroller validate`

use std::process::ExitCode;

use clap::ValueEnum;

use crate::cli::args::Validate;
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::render;

/// `validate --output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    Text,
    /// For programs
    Json,
    /// For pull requests
    Markdown,
    /// For code scanning: SARIF 2.1.0
    Sarif,
    /// For GitHub's workflows: annotations at their lines
    Github,
}

/// Checks a folder as it is, offline.
pub fn run(args: &Validate, ui: &Ui) -> Result<ExitCode, CliError> {
    let files = crate::git::read_folder(&args.dir)?;
    let desired = crate::desired::load(&files, None);
    let failed = super::has_errors(&desired.diagnostics);
    match args.output {
        Form::Json => ui.answer(&render::json::diagnostics_json(&desired.diagnostics))?,
        Form::Markdown => ui.answer(&render::markdown::validated(&desired.diagnostics, desired.services.len()))?,
        Form::Sarif => {
            let nowhere = format!("{}ionroller.toml", files.root);
            ui.answer(&render::machine::sarif(&desired.diagnostics, &nowhere))?;
        }
        Form::Github => ui.answer(&render::machine::github(&desired.diagnostics))?,
        Form::Text => {
            ui.answer(&render::text::diagnostics(&desired.diagnostics, super::style(ui)))?;
            if !failed {
                let count = desired.services.len();
                let noun = if count == 1 { "service" } else { "services" };
                ui.tell(&format!("{count} {noun}, no errors"));
            }
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}
