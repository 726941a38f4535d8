//! Picks the files of a config folder, the same way from a commit and from disk.
//!
//! Names come from whoever can push. Git's own tools make no tree with `..` or a
//! slash in a name, but nothing stops a tree made by hand. So every name is
//! judged here, and what is not plain text becomes an entry that can only be
//! complained about.

use std::collections::BTreeMap;

use super::error::GitError;
use crate::desired::files::{ConfigFiles, FileContent};

/// The largest file that is read. Scripts and TOML files are a few kilobytes;
/// user data on a machine may be 16 KiB.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The most files and folders that are looked at in one config folder.
pub const FILES_MAX: usize = 20_000;

/// The most that all files together may hold, with their paths: it is kept in memory.
pub const TOTAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The largest folder object that is read, before its entries are looked at: far more than
/// [`FILES_MAX`] names need.
pub const TREE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How deep folders may be nested below `files`.
pub const FOLDER_DEPTH_MAX: usize = 16;

/// The longest name of a file or folder. No disk takes a longer one.
pub const NAME_BYTES_MAX: usize = 255;

/// A folder of a commit or of a disk.
pub(super) trait Folder: Sized {
    /// The names in it, in any order.
    fn names(&self) -> Result<Vec<Vec<u8>>, GitError>;
    /// What is there under a name, if anything.
    fn open(&self, name: &[u8]) -> Result<Option<Node<Self>>, GitError>;
}

/// What a folder holds under one name.
pub(super) enum Node<F> {
    Folder(F),
    Content(FileContent),
}

/// Reads what ionroller needs of the config folder `top`.
pub(super) fn collect<F: Folder>(top: &F, root: String) -> Result<ConfigFiles, GitError> {
    let mut collector = Collector { root, files: BTreeMap::new(), looked_at: 0, bytes: 0 };
    if let Some(node) = top.open(b"ionroller.toml")? {
        let content = match node {
            Node::Folder(_) => FileContent::Folder,
            Node::Content(content) => content,
        };
        collector.add("ionroller.toml".to_owned(), content)?;
    }
    for (name, depth_max) in [("services", 1), ("files", FOLDER_DEPTH_MAX)] {
        match top.open(name.as_bytes())? {
            None => {}
            Some(Node::Folder(folder)) => collector.walk(&folder, name, depth_max)?,
            Some(Node::Content(content)) => collector.add(name.to_owned(), content)?,
        }
    }
    Ok(ConfigFiles { root: collector.root, files: collector.files })
}

struct Collector {
    root: String,
    files: BTreeMap<String, FileContent>,
    /// Files and folders, also those that are not among the files: empty folders, and what
    /// hides behind a name that was there before.
    looked_at: usize,
    bytes: u64,
}

impl Collector {
    fn walk<F: Folder>(&mut self, folder: &F, path: &str, depth_left: usize) -> Result<(), GitError> {
        for name in folder.names()? {
            self.looked_at += 1;
            self.within_limits()?;
            let path = format!("{path}/{}", printable(&name));
            if let Some(reason) = objection(&name) {
                self.add(path, FileContent::Unreadable { reason: reason.to_owned() })?;
                continue;
            }
            match folder.open(&name)? {
                Some(Node::Folder(below)) if depth_left > 1 => {
                    self.walk(&below, &path, depth_left - 1)?;
                }
                Some(Node::Folder(_)) => self.add(path, FileContent::Folder)?,
                Some(Node::Content(content)) => self.add(path, content)?,
                // Listed and not found: a tree that is out of order, or a file
                // deleted between the two looks.
                None => {
                    let reason = "it is listed and cannot be found".to_owned();
                    self.add(path, FileContent::Unreadable { reason })?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, content: FileContent) -> Result<(), GitError> {
        let held = match &content {
            FileContent::Bytes(bytes) => bytes.len(),
            FileContent::Symlink { target } => target.len(),
            _ => 0,
        };
        self.bytes += (path.len() + held) as u64;
        let clash = self.files.contains_key(&path);
        let content = if clash {
            let reason = "two files have this name".to_owned();
            FileContent::Unreadable { reason }
        } else {
            content
        };
        self.files.insert(path, content);
        self.within_limits()
    }

    fn within_limits(&self) -> Result<(), GitError> {
        let limit = if self.looked_at > FILES_MAX {
            format!("{FILES_MAX} files and folders")
        } else if self.bytes > TOTAL_BYTES_MAX {
            format!("{} MiB of files", TOTAL_BYTES_MAX / 1024 / 1024)
        } else {
            return Ok(());
        };
        Err(GitError::TooMuch { root: self.root.clone(), limit })
    }
}

/// Why a name cannot be used, if so.
fn objection(name: &[u8]) -> Option<&'static str> {
    if name.len() > NAME_BYTES_MAX {
        return Some("its name is longer than 255 bytes");
    }
    let Ok(text) = std::str::from_utf8(name) else {
        return Some("its name is not UTF-8");
    };
    if text.is_empty() || text == "." || text == ".." || text.contains('/') {
        return Some("its name is no file name");
    }
    if text.eq_ignore_ascii_case(".git") {
        return Some("git keeps its own files under this name");
    }
    if text.contains(misleads) {
        return Some("its name contains control characters");
    }
    None
}

/// Control characters, and the ones that turn text around: a path must read as
/// what it is.
fn misleads(c: char) -> bool {
    let turns = ['\u{200e}', '\u{200f}'].contains(&c)
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c);
    c.is_control() || turns
}

/// A name as it may be shown in one line of a terminal, of a length that fits there.
pub(super) fn printable(name: &[u8]) -> String {
    if objection(name).is_none() {
        return String::from_utf8_lossy(name).into_owned();
    }
    let mut shown = String::new();
    for chunk in name[..name.len().min(NAME_BYTES_MAX)].utf8_chunks() {
        shown.extend(chunk.valid().escape_debug());
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    if name.len() > NAME_BYTES_MAX {
        shown.push('…');
    }
    shown.replace('/', "\\/")
}
