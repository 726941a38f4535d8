//! What is done with hostile input, one function a kind of input. Each takes any bytes and
//! panics where something is wrong: with the product, or with what it says.
//!
//! `fuzz_targets/` gives these functions to libFuzzer. The ordinary tests (`tests/it/hostile.rs`)
//! compile the same files and replay the inputs of `seeds/` and `found/`.

pub mod config;
pub mod daemon_file;
pub mod marks;
pub mod plan_file;
pub mod says;
pub mod tree;
pub mod words;
pub mod world;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target by its name.
pub const TARGETS: [Target; 7] = [
    ("config", config::run),
    ("daemon_file", daemon_file::run),
    ("marks", marks::run),
    ("plan_file", plan_file::run),
    ("tree", tree::run),
    ("words", words::run),
    ("world", world::run),
];
