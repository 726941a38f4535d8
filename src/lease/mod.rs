//! The lease: of several daemons on one scope, one makes changes at a time.
//!
//! It is optional. Without it two daemons on one scope do the same things by the same
//! names, read before each change, and obey the fence; with it the second one stands by.
//!
//! [`machine`] is the whole protocol as a function of values: times and answers in, the next
//! request out. [`keeper`] makes these requests; [`clock`] is the only clock, a machine's
//! own. [`Guard`] is what is asked right before each change.

pub mod clock;
pub mod keeper;
pub mod machine;
#[cfg(test)]
mod tests;

use std::time::Duration;

/// Whether a change may be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// There is no lease: always.
    Always,
    /// For this long from now; then ask again.
    For(Duration),
    /// Not now, and why.
    No(String),
}

/// Asked right before each change, and while it is made.
pub trait Guard: Send + Sync {
    /// Whether a change may begin.
    fn may_begin(&self) -> Leave;
    /// Whether one that has begun may go on.
    fn may_go_on(&self) -> Leave;
}

/// No lease.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLease;

impl Guard for NoLease {
    fn may_begin(&self) -> Leave {
        Leave::Always
    }

    fn may_go_on(&self) -> Leave {
        Leave::Always
    }
}
