//! What several modules of tests need.

#[cfg(feature = "aws")]
pub mod aws_server;
pub mod forge_server;
pub mod git_servers;
pub mod json_schema;
pub mod place;
pub mod schema;
pub mod toml_file;
