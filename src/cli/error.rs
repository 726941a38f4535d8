//! Errors as people see them. The one place where library errors get hints and exit codes.

use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;

use crate::cloud::{CloudError, ErrorKind};
use crate::daemon::DaemonError;
use crate::demo::DemoError;
use crate::forge::ForgeError;
use crate::git::{CommitError, GitError};
use crate::settings::SettingsError;

/// Exit status of wrong usage, as in `sysexits.h`.
pub const USAGE: u8 = 64;

/// A command that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// What happened.
    pub message: String,
    /// What that was caused by, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
    /// The exit status.
    pub status: u8,
}

impl CliError {
    /// Something that a person can mend.
    pub fn user(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hints: Vec::new(), status: 1 }
    }

    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { status: USAGE, ..Self::user(message) }
    }

    /// Adds an error and its causes.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
        self.causes.push(error.to_string());
        self.add_causes(error);
        self
    }

    fn add_causes(&mut self, error: &dyn Error) {
        let mut cause = error.source();
        while let Some(error) = cause {
            self.causes.push(error.to_string());
            cause = error.source();
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// All of it, as printed.
    pub fn render(&self) -> String {
        let mut text = format!("error: {}", self.message);
        for cause in &self.causes {
            let _ = write!(text, "\n  caused by: {cause}");
        }
        for hint in &self.hints {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    }

    /// The exit status.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

fn from_error(error: &dyn Error) -> CliError {
    let mut made = CliError::user(error.to_string());
    made.add_causes(error);
    made
}

impl From<GitError> for CliError {
    fn from(error: GitError) -> Self {
        from_error(&error)
    }
}

impl From<CommitError> for CliError {
    fn from(error: CommitError) -> Self {
        let made = from_error(&error);
        match error {
            CommitError::Detached => made.hint("git switch BRANCH, or --branch NAME"),
            CommitError::WorkingFile { path, .. } => made.hint(format!("git checkout HEAD -- {path}")),
            _ => made,
        }
    }
}

impl From<ForgeError> for CliError {
    fn from(error: ForgeError) -> Self {
        Self { hints: error.hint.into_iter().collect(), ..Self::user(error.message) }
    }
}

impl From<SettingsError> for CliError {
    fn from(error: SettingsError) -> Self {
        from_error(&error)
    }
}

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> Self {
        from_error(&error)
    }
}

impl From<DemoError> for CliError {
    fn from(error: DemoError) -> Self {
        from_error(&error)
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        from_error(&error)
    }
}

impl From<CloudError> for CliError {
    fn from(error: CloudError) -> Self {
        let made = from_error(&error);
        match error.kind {
            ErrorKind::Denied => made.hint(
                "credentials, profile and region are taken as by every AWS tool; see `aws sts get-caller-identity`",
            ),
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict => {
                made.hint("nothing was concluded from it; try again")
            }
            ErrorKind::NotFound
            | ErrorKind::NotOurs
            | ErrorKind::NotOurTurn
            | ErrorKind::Quota
            | ErrorKind::Invalid => made,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_hints_follow_the_message() {
        let error = CliError::user("it failed").caused_by(&std::io::Error::other("disk full")).hint("free some space");
        assert_eq!(error.render(), "error: it failed\n  caused by: disk full\nhint: free some space");
    }
}
