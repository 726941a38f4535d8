//! Opening a pull request once.

use super::error::{ErrorKind, ForgeError};
use super::{Forge, NewPullRequest, PullRequest, Which};

/// A pull request that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Which.
    pub pull_request: PullRequest,
    /// It was made just now.
    pub is_new: bool,
}

/// Opens a pull request, unless there is an open one from the branch.
///
/// # Errors
/// The forge can't be reached or refuses.
pub fn ensure(forge: &dyn Forge, new: &NewPullRequest) -> Result<Opened, ForgeError> {
    if let Some(pull_request) = forge.pull_requests(&new.branch, Which::Open)?.into_iter().next() {
        return Ok(Opened { pull_request, is_new: false });
    }
    match forge.open_pull_request(new) {
        Ok(pull_request) => Ok(Opened { pull_request, is_new: true }),
        // Somebody else may have been faster.
        Err(error) if error.kind == ErrorKind::Refused => {
            match forge.pull_requests(&new.branch, Which::Open)?.into_iter().next() {
                Some(pull_request) => Ok(Opened { pull_request, is_new: false }),
                None => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}
