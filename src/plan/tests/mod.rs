//! Planner tests: a story is told to the planner, and what it does is compared word for
//! word. Every action passes the checker, and every story ends at rest.

pub(super) mod story;
mod takeover;
mod verdicts;
mod wild;
mod worker;

mod damage;
mod drift;
mod failures;
mod fence;
mod files;
mod forecast;
mod interrupted;
mod late;
mod live_rollback;
mod preempt;
mod prerequisites;
mod questions;
pub(crate) mod random;
mod ready;
mod release;
mod removal;
mod roles;
mod rollback;
mod scope;
mod sides;
mod slots;
mod steps;
mod untouched;
