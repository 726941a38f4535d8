//! Every decision about a rollout, as synchronous functions of values.
//!
//! [`scope::plan`] takes what is desired, what was observed, what is remembered and the
//! time, and says what one pass would do now, what nothing moves for, and what would
//! follow. Nothing here reads a clock, the network or the environment.

pub mod action;
pub mod answer;
pub mod check;
pub mod drift;
pub mod failure;
pub mod forecast;
mod launches;
pub mod live_rollback;
pub mod machines;
pub mod memory;
pub mod model;
pub mod offline;
pub mod operator;
pub mod outcome;
pub mod places;
pub mod prerequisites;
pub mod questions;
pub mod records;
pub mod removal;
mod resources;
pub mod retire;
pub mod review;
pub mod rollback;
pub mod rollout;
pub mod scope;
pub mod service;
pub mod settings;
mod sides;
pub mod strategy;
pub mod takeover;
pub mod traffic;
pub mod types;
pub mod untouched;
pub mod view;
pub mod wants;
pub mod writes;

#[cfg(test)]
pub(crate) mod tests;
