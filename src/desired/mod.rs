//! What should run: the TOML files of one commit, validated, every problem at once.
//!
//! Pure: bytes in, values and diagnostics out. No I/O, no clock, no environment.

pub mod boot;
pub mod diagnostic;
pub mod digest;
pub mod drift;
pub mod edit;
pub mod files;
pub mod keys;
pub mod masked;
pub mod schema;
pub mod spec;
pub mod unchanged;

mod load;
mod reader;
mod ready;
mod release;
mod scope;
mod service;
mod shadow;
mod source;
mod traffic;
mod unsupported;
mod walk;

pub use load::{DIAGNOSTICS_MAX, load};
pub use reader::LIST_MAX;
pub use service::{TAGS_MAX, USER_DATA_BYTES_MAX};
pub use walk::FILE_DIAGNOSTICS_MAX;
