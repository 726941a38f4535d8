//! What AWS said at one moment, and what could not be read.
//!
//! Pure values. [`resources`] are single things as AWS describes them, [`rule`] those of a listener, [`marks`] is our
//! memory on their tags, [`state`] is one service put together from both, [`prerequisites`] what a release
//! needs and that isn't ours.

pub mod assemble;
pub mod marks;
pub mod prerequisites;
pub mod resources;
pub mod rule;
pub mod shape;
pub mod state;
