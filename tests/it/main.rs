//! Integration tests.

// Clippy knows `#[test]` functions as tests, not the functions that they share.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod boot;
mod configs;
