//! The files of a config folder as they were read, before anything is parsed.
//!
//! Pure values: `git` fills them from a commit or from a folder on disk, the
//! loader turns them into desired state or diagnostics. What cannot be read
//! stays in the map with its reason, because a file that is broken must never
//! look like a file that was deleted.

use std::collections::BTreeMap;

/// What was found in a config folder: `ionroller.toml`, the direct children of
/// `services` and everything below `files`, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigFiles {
    /// The config folder relative to the root of its repository: `""`, or a
    /// path that ends in `/`. Put before a key of `files` it gives the path
    /// that a person knows.
    pub root: String,
    /// By path relative to the config folder, `/` between the parts. Characters
    /// that cannot be shown are escaped; such a file is `Unreadable`.
    pub files: BTreeMap<String, FileContent>,
}

/// One entry of a config folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// A regular file, whole.
    Bytes(Vec<u8>),
    /// A symbolic link. Never followed: its target may lie outside the commit.
    Symlink {
        /// Where it points, escaped for display.
        target: String,
    },
    /// A submodule: a commit of another repository, which is not fetched.
    Submodule,
    /// A folder where a file is expected, such as one inside `services`.
    Folder,
    /// A file above the size limit, not read.
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// Something is there and cannot be used.
    Unreadable {
        /// Why: a phrase that completes "cannot be used: …".
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
            Self::TooLarge { size } => format!("has {size} bytes, and files of at most 1 MiB are read"),
            Self::Unreadable { reason } => format!("can't be used: {reason}"),
        }
    }

    /// What to do about it.
    pub fn what_to_do(&self) -> &'static str {
        match self {
            Self::Bytes(_) => "nothing",
            Self::Symlink { .. } => "put the file itself there",
            Self::Submodule => "put a file of this repository there",
            Self::Folder => "put a file there, or give the folder another name",
            Self::TooLarge { .. } => "is it the right file? shorten it, or have the machine fetch what is long",
            Self::Unreadable { .. } => "put a readable file there",
        }
    }
}
