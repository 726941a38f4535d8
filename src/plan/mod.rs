//! Every decision about a rollout, as synchronous functions of values.
//!
//! [`scope::plan`] takes what is desired, what was observed, what is remembered and the
//! time, and says what one pass would do now, what nothing moves for, and what would
//! follow. Nothing here reads a clock, the network or the environment.

pub mod action;
pub mod types;
