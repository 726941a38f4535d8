//! What should run: the TOML files of one commit, validated, every problem at once.
//!
//! Pure: bytes in, values and diagnostics out. No I/O, no clock, no environment.

pub mod diagnostic;
pub mod files;
pub mod spec;
