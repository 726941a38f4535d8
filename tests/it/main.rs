//! Integration tests.

mod boot;
mod configs;
