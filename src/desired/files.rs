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

impl FileContent {
    /// What stands where a regular file should: a phrase that follows the path, such as
    /// `is a symbolic link to x`. For bytes it says that they are a file.
    pub fn instead_of_a_file(&self) -> String {
        match self {
            Self::Bytes(_) => "is a regular file".to_owned(),
            Self::Symlink { target } => {
                let target: String = target.chars().take(80).collect();
                format!("is a symbolic link to {target}; links are not followed")
            }
            Self::Submodule => "is a submodule, whose files are in another repository".to_owned(),
            Self::Folder => "is a folder".to_owned(),
            Self::TooLarge { size } => format!("has {size} bytes, too many to be read"),
            Self::Unreadable { reason } => format!("can't be read: {reason}"),
        }
    }
}
