//! The loop's body, and when to run it again.
//!
//! [`target`] holds what one commit says, with the answers that only Git can give, and
//! [`lineage`] what they mean for the services;
//! [`pass`] reads AWS, plans, and carries out one action at a time, services side by side.
//! What woke a pass is never an input: it reads everything anew.

pub mod converge;
pub mod lineage;
pub mod operate;
pub mod pace;
pub mod pass;
pub mod past;
pub mod target;
pub mod undo;

pub use pass::{Event, Pass, Reconciler};
pub use target::{ConfigRepository, Merged, Target};

#[cfg(test)]
mod exploration;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod together;
#[cfg(test)]
mod trading;
