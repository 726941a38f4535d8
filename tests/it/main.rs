//! The one integration binary: a module per feature.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests are tests, too"
)]

#[cfg(feature = "aws")]
mod aws_adapter;
mod base;
mod boot;
mod break_glass;
mod checks;
mod commands;
mod configs;
mod demo;
mod documented;
mod example;
mod forge;
mod forge_daemon;
mod harness;
mod hooks;
mod hostile;
mod iam;
mod keys;
mod limits;
mod markdown;
mod odd_files;
mod odd_merges;
mod partial;
mod planned;
mod preflight;
mod problems;
mod releasing;
mod reload;
mod remotes;
mod review;
mod safety;
mod scaffold;
mod schemas;
mod slow_git;
mod standby;
#[cfg(unix)]
mod systemd;
mod tidy;
mod trust;
mod unit;
mod whole_way;
#[cfg(feature = "aws")]
mod wire;
