//! The file of `plan --out` and `apply --plan`.

use std::path::Path;

use serde::Deserialize;

use crate::bounded;
use crate::names::{Scope, ServiceName};
use crate::observed::marks::plain;
use crate::plan::types::Plan;
use crate::render;

use super::error::CliError;

/// The largest plan that is read. One of a thousand services, each with its file's
/// difference, has a few megabytes.
pub const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What `plan --out` wrote, as far as it matters here. Other fields are for people.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Planned {
    format_version: String,
    id: String,
    scope: Option<Scope>,
    services: Vec<PlannedService>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct PlannedService {
    name: ServiceName,
}

impl Planned {
    /// Reads the file.
    ///
    /// # Errors
    /// It can't be read, or is no plan of this program's.
    pub fn read(file: &Path) -> Result<Self, CliError> {
        let name = file.display().to_string();
        let text = bounded::read_text(file, BYTES_MAX).map_err(|error| no_plan(&name).caused_by(&error))?;
        Self::parse(&name, &text)
    }

    /// Reads the text of the file `name`.
    ///
    /// # Errors
    /// It is no plan, or one of another form.
    pub fn parse(name: &str, text: &str) -> Result<Self, CliError> {
        // What is quoted of the file may be anything.
        let no_json = |error: serde_json::Error| no_plan(name).caused_by(&Odd(plain(&error.to_string())));
        let planned: Self = serde_json::from_str(text).map_err(no_json)?;
        if planned.format_version != render::json::FORMAT_VERSION {
            let (found, known) = (plain(&planned.format_version), render::json::FORMAT_VERSION);
            return Err(CliError::user(format!("{name} has the form {found}, and this program knows form {known}"))
                .hint("plan and apply with the same version of ionroller"));
        }
        Ok(planned)
    }

    /// The services that were planned.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.services.iter().map(|service| &service.name)
    }

    /// Refuses where what was planned is no longer what would be done.
    ///
    /// # Errors
    /// Another scope, or another plan.
    pub fn check(&self, now: &Plan) -> Result<(), CliError> {
        if self.scope != now.scope {
            let scope = self.scope.as_ref().map_or("none", |scope| scope.as_str());
            return Err(CliError::user(format!("the plan is for another scope: {scope}")));
        }
        if self.id == now.id {
            return Ok(());
        }
        Err(CliError::user(
            "the plan is no longer the same, so nothing was done: the files, or what runs, have changed",
        )
        .hint("look at it again: ionroller plan --out FILE"))
    }
}

/// What is wrong with a text, fit for a terminal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Odd(String);

fn no_plan(name: &str) -> CliError {
    CliError::user(format!("{name} is no plan that `ionroller plan --out` wrote"))
}
