//! The files of a config folder, as bytes, wherever they were read from.

use std::collections::BTreeMap;

/// The files below the config folder of one commit, or of a plain folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigFiles {
    /// The config folder inside the repository: empty, or a path that ends in `/`.
    /// Diagnostics name files relative to the repository, so it goes before them.
    pub root: String,
    /// Path relative to the config folder → what is there.
    pub files: BTreeMap<String, FileContent>,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// A regular file.
    Bytes(Vec<u8>),
    /// A symbolic link. It is never followed: its target may lie outside the repository.
    Symlink {
        /// Where it points, as text.
        target: String,
    },
    /// A submodule; its files belong to another repository.
    Submodule,
    /// A folder where a file was expected.
    Folder,
    /// A regular file above the size limit, not read.
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// It could not be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}
