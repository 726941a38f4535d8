//! The config repository: the only place that knows git.
//!
//! A [`Source`] says where it is. A path is opened where it lies and never
//! written to; a URL is mirrored into a bare repository in the state folder.
//! Either way a [`Repository`] answers the same questions: which commit is at
//! the tip, what files does it hold, does it descend from another one.
//!
//! Nothing is ever checked out. [`ConfigFiles`] are read from the object
//! database, so uncommitted files, filters, hooks and symbolic links have no
//! say in what is deployed. [`read_folder`] is the one exception, for
//! `validate`, and gives the same value.
//!
//! Everything here blocks: async callers use `spawn_blocking`. Nothing here
//! retries; errors say whether trying again can help. What an exchange with a
//! remote waits for, one deadline ends, see [`exchange`].
//!
//! [`ConfigFiles`]: crate::desired::files::ConfigFiles

mod access;
mod changes;
mod collect;
mod commit;
mod credential;
pub mod environment;
mod error;
pub mod exchange;
mod folder;
mod history;
mod known_hosts;
mod login;
mod merge;
mod mirror;
mod remotes;
mod repository;
mod scratch;
mod secret;
mod signature;
mod source;
mod tree;
mod url_match;
mod watch;

#[cfg(test)]
mod tests;

pub use access::{Access, KEY_BYTES_MAX, TOKEN_BYTES_MAX, Token};
pub use changes::{FileChange, LINE_CHARS_MAX};
pub use collect::{FILE_BYTES_MAX, FILES_MAX, FOLDER_DEPTH_MAX, NAME_BYTES_MAX, TOTAL_BYTES_MAX, TREE_BYTES_MAX};
pub use commit::{Branch, CommitError, FileCommit};
pub use error::{Cause, GitError};
pub use exchange::Breaker;
pub use folder::read_folder;
pub use history::{Ancestry, COMMITS_MAX, FIRST_PARENTS_MAX, Trailer};
pub use known_hosts::{KNOWN_HOSTS_BYTES_MAX, KnownHosts, Verdict};
pub use merge::{MERGE_ANCESTORS_MAX, MERGE_DEPTH_MAX, MERGE_FILES_MAX, MERGE_PATH_BYTES_MAX, Merge};
pub use repository::Repository;
pub use scratch::{ScratchError, ScratchRepository};
pub use secret::Secret;
pub use signature::{KeyFiles, TrustedKeys, Untrusted};
pub use source::{RemoteUrl, Server, Source};
pub use tree::ConfigVersion;
pub use watch::Watch;
