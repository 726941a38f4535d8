//! The wire: the real binary with the real AWS SDK against a real AWS-compatible server,
//! and a real Git repository. Each test has a server of its own.

mod daemon;
mod failures;
mod interruptions;
mod releases;
mod scale;
mod world;
