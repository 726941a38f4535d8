//! What can go wrong in a call, and what that means for the caller.

use std::fmt;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CloudError {
    /// The API operation, as AWS names it.
    pub operation: &'static str,
    /// What it was about.
    pub resource: String,
    /// What follows from it.
    pub kind: ErrorKind,
    /// The error code on the wire, or empty.
    pub code: String,
    /// The cloud's words.
    pub message: String,
}

/// What follows from a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// Too many calls: wait and try again.
    Throttled,
    /// No answer, or one that can't be read: the call may have been done. Try again.
    Unavailable,
    /// The state does not allow it now: look again, then try again.
    Conflict,
    /// It does not exist.
    NotFound,
    /// The name is taken by something that is not ours.
    NotOurs,
    /// The credentials do not allow it: somebody must act.
    Denied,
    /// A quota of the account: somebody must act.
    Quota,
    /// Another process may make changes now, not this one: wait. Nothing was sent.
    NotOurTurn,
    /// The request itself is refused: somebody must change it.
    Invalid,
}

impl ErrorKind {
    /// Whether only a person or a commit can mend it. Everything else is tried again for as
    /// long as it takes: what AWS has just made or let go takes minutes to be seen everywhere.
    pub const fn needs_somebody(self) -> bool {
        match self {
            Self::NotOurs | Self::Denied | Self::Quota | Self::Invalid => true,
            Self::Throttled | Self::Unavailable | Self::Conflict | Self::NotFound | Self::NotOurTurn => false,
        }
    }
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation)?;
        if !self.resource.is_empty() {
            write!(f, " of {}", self.resource)?;
        }
        match self.kind {
            ErrorKind::Throttled => write!(f, " was throttled"),
            ErrorKind::Unavailable => write!(f, " got no usable answer"),
            ErrorKind::Denied => write!(f, " is not allowed"),
            ErrorKind::NotOurTurn => write!(f, " was not made"),
            _ => write!(f, " failed"),
        }?;
        match (self.code.is_empty(), self.message.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => write!(f, ": {}", self.message),
            (false, true) => write!(f, ": {}", self.code),
            (false, false) => write!(f, ": {}: {}", self.code, self.message),
        }
    }
}
