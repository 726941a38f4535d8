//! Integration tests.

mod configs;
