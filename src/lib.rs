//! ionroller: a GitOps reconciler for AWS. A Git repository says which version of each
//! service should run, AWS's tags say what does, a pure planner decides, and an executor
//! carries out one action at a time.

pub mod bounded;
pub mod cli;
pub mod cloud;
pub mod daemon;
pub mod demo;
pub mod desired;
pub mod execute;
pub mod forge;
pub mod git;
pub mod lease;
mod mutant;
pub mod names;
pub mod notifications;
pub mod observed;
pub mod plan;
pub mod reconcile;
pub mod render;
pub mod settings;
pub mod time;
