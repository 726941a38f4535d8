//! `[forge]` of the daemon's file.

use std::path::PathBuf;

use serde::Deserialize;

use crate::forge::Kind;

/// `[forge]`: what the daemon does on the forge. Nothing, unless it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgeSettings {
    /// Which forge, where the host of `repo` does not tell.
    pub kind: Option<Kind>,
    /// The address of its API, where it is not in the usual place.
    pub url: Option<String>,
    /// `OWNER/NAME` there, where `repo` does not tell.
    pub project: Option<String>,
    /// The token, in a file. It is read anew each time.
    pub token_file: Option<PathBuf>,
    /// Set a status per service at the commit that released it.
    #[serde(default)]
    pub statuses: bool,
    /// Open a pull request with the revert of a release that was rejected.
    #[serde(default)]
    pub auto_revert: bool,
}
