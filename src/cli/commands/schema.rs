//! `ionroller schema`

use std::process::ExitCode;

use crate::cli::args::{Schema, SchemaOf};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::desired::schema;

/// Prints a JSON Schema.
pub fn run(args: &Schema, ui: &Ui) -> Result<ExitCode, CliError> {
    let schema = match args.what {
        None => schema::files(),
        Some(SchemaOf::Service) => schema::service(),
        Some(SchemaOf::Scope) => schema::scope(),
    };
    ui.answer(&format!("{schema:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}
