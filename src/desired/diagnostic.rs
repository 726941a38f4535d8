//! A problem in the config repository: where, what, and what to do.

use serde::Serialize;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Blocks its service, or the scope when it is in `ionroller.toml`.
    Error,
    /// Acted on all the same; somebody should look.
    Warning,
    /// Good to know.
    Note,
}

/// One problem. Ordered by file and place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, relative to the repository's root; none when it concerns no file.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// What is wrong: a phrase that begins in lower case.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem that concerns no file.
    pub fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self { severity, file: None, line: None, column: None, message: message.into(), help: None }
    }

    /// Places it in a file.
    #[must_use]
    pub fn at(mut self, file: impl Into<String>, line_column: Option<(u32, u32)>) -> Self {
        self.file = Some(file.into());
        self.line = line_column.map(|(line, _)| line);
        self.column = line_column.map(|(_, column)| column);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
