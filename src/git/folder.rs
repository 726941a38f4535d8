//! The files of a folder on disk as they are, committed or not, for `validate`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::collect::{FILE_BYTES_MAX, Folder, Node, collect};
use super::error::GitError;
use super::tree::{link_target, root_of};
use crate::desired::files::{ConfigFiles, FileContent};

/// Reads the config folder `dir` as it is on disk, with the rules of a commit:
/// symbolic links are reported and not followed, limits are the same.
///
/// Needs no repository. If one holds the folder, `root` is relative to its top,
/// so that diagnostics name files as they do for a commit.
pub fn read_folder(dir: &Path) -> Result<ConfigFiles, GitError> {
    if !dir.exists() {
        return Err(GitError::NoSuchPath { path: dir.to_owned() });
    }
    let canonical = dir
        .canonicalize()
        .and_then(|path| fs::read_dir(&path).map(|_| path))
        .map_err(|source| GitError::ReadFolder { path: dir.to_owned(), source })?;
    collect(&DiskFolder { path: canonical.clone() }, root_below_repository(&canonical))
}

/// A look for `.git`, and no more: `validate` must work where the repository
/// belongs to another user or is broken.
fn root_below_repository(dir: &Path) -> String {
    let top = dir.ancestors().find(|folder| folder.join(".git").exists());
    let below = top.and_then(|top| dir.strip_prefix(top).ok()).and_then(Path::to_str);
    root_of(below.unwrap_or_default()).unwrap_or_default()
}

struct DiskFolder {
    path: PathBuf,
}

impl DiskFolder {
    fn failed(&self, source: io::Error) -> GitError {
        GitError::ReadFolder { path: self.path.clone(), source }
    }
}

impl Folder for DiskFolder {
    fn names(&self) -> Result<Vec<Vec<u8>>, GitError> {
        let entries = fs::read_dir(&self.path).map_err(|error| self.failed(error))?;
        entries
            .map(|entry| match entry {
                Ok(entry) => Ok(entry.file_name().as_encoded_bytes().to_vec()),
                Err(error) => Err(self.failed(error)),
            })
            .collect()
    }

    fn open(&self, name: &[u8]) -> Result<Option<Node<Self>>, GitError> {
        // Names that are not UTF-8 were set aside before.
        let Ok(name) = std::str::from_utf8(name) else {
            return Ok(None);
        };
        let path = self.path.join(name);
        let kind = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Ok(Some(Node::Content(unreadable(&error)))),
        };
        if kind.is_dir() {
            return Ok(Some(Node::Folder(DiskFolder { path })));
        }
        let content = if kind.is_symlink() {
            match fs::read_link(&path) {
                Ok(target) => FileContent::Symlink { target: link_target(target.as_os_str().as_encoded_bytes()) },
                Err(error) => unreadable(&error),
            }
        } else if kind.is_file() {
            read_file(&path).unwrap_or_else(|error| unreadable(&error))
        } else {
            // Opening a pipe would wait for somebody to write into it.
            FileContent::Unreadable { reason: "it is not a regular file".to_owned() }
        };
        Ok(Some(Node::Content(content)))
    }
}

fn read_file(path: &Path) -> io::Result<FileContent> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    // One byte more than allowed: the file may grow while it is read.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Ok(FileContent::TooLarge { size: size.max(bytes.len() as u64) });
    }
    Ok(FileContent::Bytes(bytes))
}

fn unreadable(error: &io::Error) -> FileContent {
    FileContent::Unreadable { reason: error.to_string() }
}
