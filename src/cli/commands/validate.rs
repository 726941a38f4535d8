//! `ionroller validate`

use std::process::ExitCode;

use crate::cli::args::{Output, Validate};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::render;

/// Checks a folder as it is, offline.
pub fn run(args: &Validate, ui: &Ui) -> Result<ExitCode, CliError> {
    let files = crate::git::read_folder(&args.dir)?;
    let desired = crate::desired::load(&files, None);
    let failed = super::has_errors(&desired.diagnostics);
    match args.output {
        Output::Json => ui.answer(&render::json::diagnostics_json(&desired.diagnostics))?,
        Output::Markdown => ui.answer(&render::markdown::validated(&desired.diagnostics, desired.services.len()))?,
        Output::Text => {
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
