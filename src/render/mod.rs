//! Plans and statuses for people and programs. Nothing here decides anything.

pub mod history;
pub mod json;
pub mod machine;
pub mod markdown;
pub mod review;
pub mod schema;
pub mod style;
pub mod text;

#[cfg(test)]
mod tests;
