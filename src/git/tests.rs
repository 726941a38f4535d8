//! Tests against real repositories in temporary folders, made by the `git`
//! binary where its habits matter and by hand where it would refuse.

mod changes;
mod files;
mod history;
mod hostile;
mod local;
mod merge;
mod mirror;
mod sandbox;
mod signature;
mod source;
mod watch;
