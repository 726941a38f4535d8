//! The wire: the real binary with the real AWS SDK against a real AWS-compatible server,
//! and a real Git repository. Each test has a server to itself.

mod accounts;
mod copies;
mod crashes;
mod daemon;
mod drift;
mod failures;
mod faults;
mod gates;
mod images;
mod interruptions;
mod lease;
mod long_life;
mod machines;
mod operators;
mod permissions;
mod preflight;
mod releases;
mod removal;
mod scale;
mod sizes;
mod takeover;
mod words;
mod workers;
mod world;
