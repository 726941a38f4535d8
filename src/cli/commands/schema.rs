//! `ionroller schema`

use std::process::ExitCode;

use crate::cli::args::{Schema, SchemaOf};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::desired::schema;
use crate::render::schema as answer;

/// Prints a JSON Schema.
pub fn run(args: &Schema, ui: &Ui) -> Result<ExitCode, CliError> {
    let schema = match args.what {
        None => schema::files(),
        Some(SchemaOf::Service) => schema::service(),
        Some(SchemaOf::Scope) => schema::scope(),
        Some(SchemaOf::Plan) => answer::plan(),
        Some(SchemaOf::Status) => answer::status(),
        Some(SchemaOf::Apply) => answer::apply(),
        Some(SchemaOf::Validate) => answer::validate(),
        Some(SchemaOf::Diff) => answer::diff(),
        Some(SchemaOf::History) => answer::history(),
        Some(SchemaOf::Commit) => answer::committed(),
        Some(SchemaOf::Comment) => answer::commented(),
        Some(SchemaOf::Word) => answer::said(),
    };
    ui.answer(&format!("{schema:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}
