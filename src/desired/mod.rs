//! What should run: the TOML files of one commit, validated, every problem at once.
//!
//! Pure: bytes in, values and diagnostics out. No I/O, no clock, no environment.

pub mod boot;
pub mod diagnostic;
pub mod digest;
pub mod files;
mod load;
mod reader;
mod scope_file;
mod service_file;
mod source;
pub mod spec;
mod traffic;
mod unsupported;

#[cfg(test)]
mod tests;

pub use load::load;
