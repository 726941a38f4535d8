//! The files of one commit, straight from the object database.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use git2::{ErrorCode, ObjectType, Oid};

use super::collect::{FILE_BYTES_MAX, Folder, Node, TREE_BYTES_MAX, collect, printable};
use super::error::{Cause, GitError};
use super::repository::{Origin, Repository};
use crate::bounded::size as size_text;
use crate::desired::files::{ConfigFiles, FileContent};
use crate::names::CommitId;

/// Identifies the content of a config folder: two commits with the same version
/// hold the same files, so nothing needs to be read or parsed again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigVersion(String);

#[cfg(test)]
impl ConfigVersion {
    /// The version of files that are no repository's.
    pub fn simulated(text: String) -> Self {
        Self(text)
    }
}

/// The longest target of a symbolic link, or path of a conflict, that is shown: a part of a
/// message, which six characters for each byte of it must not make endless.
const LINK_TARGET_BYTES_MAX: usize = 500;

impl Repository {
    /// The files of the config folder `folder` at `commit`. A missing folder is
    /// an error; a missing `ionroller.toml` or `services` is for the loader to see.
    pub fn config_files(&self, commit: &CommitId, folder: &str) -> Result<ConfigFiles, GitError> {
        let top = self.config_tree(commit, folder)?;
        let files = collect(&top, root_of(folder)?)?;
        if let Origin::Mirror(mirror) = &self.origin {
            mirror.was_read();
        }
        Ok(files)
    }

    /// As [`Self::config_files`], with one service's file and no other's: what a past commit
    /// said of it, at the price of a few files. A file that is missing from a partial clone
    /// is an error here.
    pub fn config_files_of(&self, commit: &CommitId, folder: &str, service: &str) -> Result<ConfigFiles, GitError> {
        let mut top = self.config_tree(commit, folder)?;
        top.only = Some((0, format!("{service}.toml")));
        let files = collect(&top, root_of(folder)?)?;
        // What is missing here would be taken for a file that was broken then.
        let missing =
            |content: &FileContent| matches!(content, FileContent::Unreadable { reason } if reason == NOT_HERE);
        match files.files.iter().find(|(_, content)| missing(content)) {
            None => Ok(files),
            Some((path, _)) => {
                let source = Cause::new(NOT_HERE);
                let what = format!("the file `{}{path}` of commit {}", files.root, commit.short());
                Err(GitError::Damaged { what, location: self.location(), mirror: false, source })
            }
        }
    }

    /// The version of what `config_files` would read. Costs a few look-ups,
    /// however many files there are.
    pub fn config_version(&self, commit: &CommitId, folder: &str) -> Result<ConfigVersion, GitError> {
        let top = self.config_tree(commit, folder)?;
        let mut version = root_of(folder)?;
        for name in ["ionroller.toml", "services", "files"] {
            version += match top.entry(name.as_bytes()) {
                Some(entry) => format!(" {:o}:{}", entry.filemode(), entry.id()),
                None => " -".to_owned(),
            }
            .as_str();
        }
        Ok(ConfigVersion(version))
    }

    fn config_tree(&self, commit: &CommitId, folder: &str) -> Result<TreeFolder<'_>, GitError> {
        let id = self.find_commit(commit)?.tree_id();
        let tree = self.tree_of(&self.handle, id, || format!("the root folder of commit {commit}"))?;
        self.folder_in(&self.handle, tree, commit, folder)
    }

    /// A folder object, unless it is too large to be one that somebody made.
    fn tree_of<'h>(
        &self,
        handle: &'h git2::Repository,
        id: Oid,
        what: impl Fn() -> String,
    ) -> Result<git2::Tree<'h>, GitError> {
        let damage = |error| self.damage(what(), error);
        let (size, _) = handle.odb().and_then(|odb| odb.read_header(id)).map_err(damage)?;
        if size as u64 > TREE_BYTES_MAX {
            let limit = format!("{} in a list of files ({})", size_text(TREE_BYTES_MAX), what());
            return Err(GitError::TooMuch { root: String::new(), limit });
        }
        handle.find_tree(id).map_err(damage)
    }

    /// The config folder below a root folder. `commit` is for messages; `handle` reads the
    /// objects, and is another one than ours where some of them are only in memory.
    pub(super) fn folder_in<'r>(
        &'r self,
        handle: &'r git2::Repository,
        tree: git2::Tree<'r>,
        commit: &CommitId,
        folder: &str,
    ) -> Result<TreeFolder<'r>, GitError> {
        let missing = |found| GitError::NoFolder {
            folder: folder.to_owned(),
            commit: commit.clone(),
            location: self.location(),
            found,
        };
        let mut top = TreeFolder { repository: self, handle, tree, places: OnceCell::new(), only: None };
        for name in root_of(folder)?.split_terminator('/') {
            top = match top.entry(name.as_bytes()).map(|entry| (entry.kind(), entry.filemode())) {
                None => return Err(missing("nothing has that name")),
                Some((Some(ObjectType::Tree), _)) => match top.open(name.as_bytes())? {
                    Some(Node::Folder(below)) => below,
                    _ => return Err(missing("it cannot be opened")),
                },
                Some((Some(ObjectType::Commit), _)) => return Err(missing("it is a submodule")),
                Some((_, SYMLINK)) => {
                    return Err(missing("it is a symbolic link, which is not followed"));
                }
                Some(_) => return Err(missing("it is a file")),
            };
        }
        Ok(top)
    }
}

/// Why a file of a partial clone can't be used.
const NOT_HERE: &str = "its content is not in this clone: clone it again without --filter";

const SYMLINK: i32 = 0o120_000;

pub(super) struct TreeFolder<'r> {
    repository: &'r Repository,
    handle: &'r git2::Repository,
    tree: git2::Tree<'r>,
    /// Where each name is, once one was not found.
    places: OnceCell<BTreeMap<Vec<u8>, usize>>,
    /// How deep this is, and the one file of `services` that is read; none: all of them.
    only: Option<(u32, String)>,
}

impl Folder for TreeFolder<'_> {
    fn names(&self) -> Result<Vec<Vec<u8>>, GitError> {
        if let Some((1, only)) = &self.only {
            return Ok(vec![only.clone().into_bytes()]);
        }
        Ok(self.tree.iter().map(|entry| entry.name_bytes().to_vec()).collect())
    }

    fn open(&self, name: &[u8]) -> Result<Option<Node<Self>>, GitError> {
        let Some(entry) = self.entry(name) else {
            return Ok(None);
        };
        match entry.kind() {
            Some(ObjectType::Tree) => {
                let what = || format!("the folder `{}`", printable(name));
                let tree = self.repository.tree_of(self.handle, entry.id(), what)?;
                let inside = (name == b"services").then_some(1);
                let only = self.only.as_ref().and_then(|(depth, only)| Some((depth + inside?, only.clone())));
                let (repository, handle) = (self.repository, self.handle);
                Ok(Some(Node::Folder(TreeFolder { repository, handle, tree, places: OnceCell::new(), only })))
            }
            Some(ObjectType::Commit) => Ok(Some(Node::Content(FileContent::Submodule))),
            _ => self.blob(name, &entry).map(|content| Some(Node::Content(content))),
        }
    }
}

impl TreeFolder<'_> {
    /// What it holds under a name. libgit2 searches by halves, and overlooks names in a folder
    /// whose entries are out of order; git itself finds them.
    fn entry(&self, name: &[u8]) -> Option<git2::TreeEntry<'_>> {
        self.tree.get_name_bytes(name).or_else(|| {
            let places = self.places.get_or_init(|| {
                let names = self.tree.iter().map(|entry| entry.name_bytes().to_vec());
                names.zip(0..).collect()
            });
            self.tree.get(*places.get(name)?)
        })
    }

    fn blob(&self, name: &[u8], entry: &git2::TreeEntry<'_>) -> Result<FileContent, GitError> {
        self.read_blob(entry).or_else(|error| {
            let local = self.repository.is_local();
            if local && error.code() == ErrorCode::NotFound {
                // A partial clone; the other files may well be there.
                return Ok(FileContent::Unreadable { reason: NOT_HERE.to_owned() });
            }
            Err(self.repository.damage(format!("the file `{}`", printable(name)), error))
        })
    }

    fn read_blob(&self, entry: &git2::TreeEntry<'_>) -> Result<FileContent, git2::Error> {
        let handle = self.handle;
        // The size first: a huge file must not be loaded to be refused.
        let (size, _) = handle.odb()?.read_header(entry.id())?;
        if size as u64 > FILE_BYTES_MAX {
            return Ok(FileContent::TooLarge { size: size as u64 });
        }
        let blob = handle.find_blob(entry.id())?;
        let bytes = blob.content();
        if entry.filemode() == SYMLINK {
            return Ok(FileContent::Symlink { target: link_target(bytes) });
        }
        Ok(FileContent::Bytes(bytes.to_vec()))
    }
}

/// The target of a symbolic link as it may be shown.
pub(super) fn link_target(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(LINK_TARGET_BYTES_MAX)];
    let mut target = shown.split(|byte| *byte == b'/').map(shown_part).collect::<Vec<_>>().join("/");
    if shown.len() < bytes.len() {
        target.push('…');
    }
    target
}

fn shown_part(part: &[u8]) -> String {
    match part {
        b"" | b"." | b".." => String::from_utf8_lossy(part).into_owned(),
        _ => printable(part),
    }
}

/// A config folder as the prefix of its files: `""`, or a path that ends in `/`.
pub(super) fn root_of(folder: &str) -> Result<String, GitError> {
    let bad = || GitError::BadFolder { folder: folder.to_owned() };
    if folder.starts_with('/') {
        return Err(bad());
    }
    let mut root = String::new();
    for part in folder.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(bad()),
            _ if part.contains(char::is_control) => return Err(bad()),
            _ => root = format!("{root}{part}/"),
        }
    }
    Ok(root)
}
