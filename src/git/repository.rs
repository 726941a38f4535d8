//! One repository, opened where it lies or mirrored, and what is at its tips.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use git2::{ErrorCode, RepositoryOpenFlags, StatusOptions};

use super::access::Access;
use super::environment::add_pairs;
use super::error::{Cause, GitError};
use super::exchange::Breaker;
use super::mirror::Mirror;
use super::source::RemoteUrl;
use super::tree::root_of;
use crate::names::CommitId;

/// A repository that can be read.
///
/// Never written to, unless it is a mirror of ours. It may be sent to another
/// thread and not shared between threads, as libgit2 wants it.
pub struct Repository {
    pub(super) handle: git2::Repository,
    pub(super) origin: Origin,
    /// A broken object was met in a mirror: make it anew at the next fetch. Handles on one
    /// mirror share it.
    pub(super) damaged: Arc<AtomicBool>,
    pub(super) breaker: Breaker,
}

/// Where a repository comes from.
pub(super) enum Origin {
    Local(PathBuf),
    Mirror(Box<Mirror>),
}

impl Repository {
    /// Opens the repository that holds `path`, looking upwards as git does.
    /// Bare repositories, linked worktrees and shallow clones are all fine.
    pub fn open_local(path: &Path) -> Result<Repository, GitError> {
        let handle = discover(path)?;
        let (damaged, breaker) = (Arc::default(), Breaker::default());
        Ok(Repository { handle, origin: Origin::Local(path.to_owned()), damaged, breaker })
    }

    /// Opens the bare mirror of `url` in the folder `dir`, or makes an empty
    /// one there. Nothing is fetched yet, so this works offline.
    pub fn open_mirror(url: &RemoteUrl, dir: &Path, access: &Access) -> Result<Repository, GitError> {
        let (mirror, handle) = Mirror::open(url, dir, access)?;
        let (damaged, breaker) = (Arc::default(), Breaker::default());
        Ok(Repository { handle, origin: Origin::Mirror(Box::new(mirror)), damaged, breaker })
    }

    /// Another handle on a mirror, for exchanges with the remote while this one is read;
    /// none for a repository that is opened where it lies.
    pub fn for_exchanges(&self) -> Option<Repository> {
        let Origin::Mirror(mirror) = &self.origin else { return None };
        let (mirror, handle) = mirror.again()?;
        let (damaged, breaker) = (Arc::clone(&self.damaged), Breaker::default());
        Some(Repository { handle, origin: Origin::Mirror(Box::new(mirror)), damaged, breaker })
    }

    /// Ends an exchange of this handle that is under way.
    pub fn breaker(&self) -> Breaker {
        self.breaker.clone()
    }

    /// Reads what another handle has fetched.
    pub fn reopen(&mut self) {
        if let Origin::Mirror(mirror) = &self.origin
            && let Some(handle) = mirror.reopened()
        {
            self.handle = handle;
        }
    }

    /// The commit that a mirror has for a branch, without asking the remote.
    pub fn stored_tip(&self, branch: &str) -> Option<CommitId> {
        let Origin::Mirror(_) = &self.origin else { return None };
        let found = self.handle.find_reference(&format!("refs/heads/{branch}")).ok()?;
        Some(commit_id(found.peel_to_commit().ok()?.id()))
    }

    /// The commit at the tip of `branch` now, and with it everything that it
    /// reaches. For a mirror this is one exchange with the remote, which moves
    /// objects only when the tip is new; a branch that was rewritten or deleted
    /// there is rewritten or deleted here.
    pub fn tip(&mut self, branch: &str) -> Result<CommitId, GitError> {
        let reference = format!("refs/heads/{branch}");
        if !git2::Reference::is_valid_name(&reference) {
            return Err(GitError::BadBranch { branch: branch.to_owned() });
        }
        match &self.origin {
            // Opened anew, because the folder may be another clone by now, and
            // libgit2 reads the limits of a shallow clone only once.
            Origin::Local(path) => self.handle = discover(path)?,
            Origin::Mirror(_) => self.refresh(&[format!("+{reference}:{reference}")])?,
        }
        let found = match self.handle.find_reference(&reference) {
            Ok(found) => found,
            Err(error) if error.code() == ErrorCode::NotFound => {
                return Err(self.no_branch(branch));
            }
            Err(error) => return Err(self.damage(format!("branch `{branch}`"), error)),
        };
        let commit =
            found.peel_to_commit().map_err(|error| self.damage(format!("the tip of branch `{branch}`"), error))?;
        Ok(commit_id(commit.id()))
    }

    /// Brings a mirror's branches, tags and `HEAD` up to date, so that `resolve`
    /// knows them all. A local repository is as it is: nothing happens.
    pub fn fetch_all(&mut self) -> Result<(), GitError> {
        match &self.origin {
            Origin::Local(path) => {
                self.handle = discover(path)?;
                Ok(())
            }
            Origin::Mirror(_) => {
                self.refresh(&["+refs/heads/*:refs/heads/*".to_owned(), "+refs/tags/*:refs/tags/*".to_owned()])
            }
        }
    }

    /// The commit that `revision` names: `HEAD`, a branch, a tag, a full or
    /// short id, `origin/main`, `HEAD~1` and whatever else git reads.
    pub fn resolve(&self, revision: &str) -> Result<CommitId, GitError> {
        let found = self.handle.revparse_single(revision).or_else(|error| {
            // In a mirror the branches of `origin` are the branches.
            match (&self.origin, revision.strip_prefix("origin/")) {
                (Origin::Mirror(_), Some(branch)) => self.handle.revparse_single(branch),
                _ => Err(error),
            }
        });
        let commit = found.and_then(|object| object.peel_to_commit());
        match commit {
            Ok(commit) => Ok(commit_id(commit.id())),
            Err(error) => Err(self.unresolved(revision, error)),
        }
    }

    /// Whether history is cut off, so that an ancestor may be unknown.
    pub fn is_shallow(&self) -> bool {
        // libgit2 looks beside HEAD, where a linked worktree has no such file.
        self.handle.is_shallow() || self.handle.commondir().join("shallow").is_file()
    }

    /// Whether files of the config folder differ from the last commit, for a
    /// hint. Any doubt is no.
    pub fn has_uncommitted_changes(&self, folder: &str) -> bool {
        let Ok(root) = root_of(folder) else {
            return false;
        };
        if self.handle.workdir().is_none() {
            return false;
        }
        let mut options = StatusOptions::new();
        options.include_untracked(true).exclude_submodules(true).disable_pathspec_match(true);
        for name in ["ionroller.toml", "services", "files"] {
            options.pathspec(format!("{root}{name}"));
        }
        self.handle.statuses(Some(&mut options)).is_ok_and(|statuses| !statuses.is_empty())
    }

    /// The opened path relative to the root of the working folder: `""`, or a
    /// path that ends in `/`. Empty for bare repositories and mirrors.
    pub fn opened_at(&self) -> String {
        let Origin::Local(path) = &self.origin else {
            return String::new();
        };
        let (Some(top), Ok(path)) = (self.handle.workdir(), path.canonicalize()) else {
            return String::new();
        };
        let top = top.canonicalize().unwrap_or_else(|_| top.to_owned());
        if path.starts_with(self.handle.path()) {
            return String::new();
        }
        let below = path.strip_prefix(&top).ok().and_then(Path::to_str);
        root_of(below.unwrap_or_default()).unwrap_or_default()
    }

    /// Path or URL, for messages.
    pub fn location(&self) -> String {
        match &self.origin {
            Origin::Local(path) => format!("`{}`", path.display()),
            Origin::Mirror(mirror) => mirror.url().to_string(),
        }
    }

    pub(super) fn is_local(&self) -> bool {
        matches!(self.origin, Origin::Local(_))
    }

    /// An object could not be read. A mirror remembers it and heals itself.
    pub(super) fn damage(&self, what: String, error: git2::Error) -> GitError {
        let mirror = !self.is_local();
        self.damaged.store(mirror, Ordering::Relaxed);
        GitError::Damaged { what, location: self.location(), mirror, source: error.into() }
    }

    /// The commit, or an error that says that it is unknown.
    pub(super) fn find_commit(&self, id: &CommitId) -> Result<git2::Commit<'_>, GitError> {
        self.handle.find_commit(oid(id)).map_err(|error| match error.code() {
            ErrorCode::NotFound => {
                GitError::UnknownCommit { commit: id.clone(), location: self.location(), advice: self.advice() }
            }
            _ => self.damage(format!("commit {id}"), error),
        })
    }

    /// No commit, as far as references tell. libgit2 has its own idea of empty,
    /// which hangs on the name of the branch; and a mirror may hold one branch.
    fn is_empty(&self) -> bool {
        match &self.origin {
            Origin::Mirror(mirror) => mirror.remote().is_empty,
            Origin::Local(_) => {
                let mut references = self.handle.references().into_iter().flatten();
                references.next().is_none() && self.handle.head().is_err()
            }
        }
    }

    /// The branch that `HEAD` names, if it exists.
    fn default_branch(&self) -> Option<String> {
        match &self.origin {
            Origin::Mirror(mirror) => mirror.remote().default_branch.clone(),
            Origin::Local(_) => {
                let head = self.handle.find_reference("HEAD").ok()?;
                let target = head.symbolic_target().ok().flatten()?;
                self.handle.find_reference(target).ok()?;
                target.strip_prefix("refs/heads/").map(str::to_owned)
            }
        }
    }

    /// How to get a commit that is not there.
    fn advice(&self) -> &'static str {
        if !self.is_local() {
            // Everything there was has just been fetched.
            ""
        } else if self.is_shallow() {
            "; it is a shallow clone: `git fetch --unshallow` gets the rest"
        } else {
            "; if it is newer than the last fetch, run `git fetch`"
        }
    }

    fn no_branch(&self, branch: &str) -> GitError {
        let location = self.location();
        if self.is_empty() {
            return GitError::Empty { location };
        }
        GitError::NoBranch { branch: branch.to_owned(), location, head: self.default_branch() }
    }

    fn unresolved(&self, revision: &str, error: git2::Error) -> GitError {
        let location = self.location();
        let revision = revision.to_owned();
        match error.code() {
            ErrorCode::NotFound | ErrorCode::UnbornBranch => match self.is_empty() {
                true => GitError::Empty { location },
                false => GitError::UnknownRevision { revision, location, advice: self.advice() },
            },
            _ => GitError::BadRevision { revision, location, source: error.into() },
        }
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.location())
    }
}

/// Finds and opens the repository that holds `path`.
fn discover(path: &Path) -> Result<git2::Repository, GitError> {
    if !path.exists() {
        return Err(GitError::NoSuchPath { path: path.to_owned() });
    }
    let opened = git2::Repository::open_ext(path, RepositoryOpenFlags::empty(), [] as [&OsStr; 0]);
    let opened = opened.and_then(|handle| add_pairs(&handle).map(|()| handle));
    opened.map_err(|error| match error.code() {
        ErrorCode::NotFound => GitError::NotARepository { path: path.to_owned() },
        ErrorCode::Owner => GitError::ForeignOwner { path: owned_path(path, &error) },
        _ => GitError::Open { location: format!("`{}`", path.display()), source: Cause::from(error) },
    })
}

/// The path that `safe.directory` must name. It depends on whether there is a
/// working folder, which only the message tells: it quotes the path.
pub(super) fn owned_path(path: &Path, error: &git2::Error) -> PathBuf {
    let quoted = error.message().split('\'').nth(1).map(|text| text.trim_end_matches('/'));
    match quoted {
        Some(text) if text.starts_with('/') => PathBuf::from(text),
        _ => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
    }
}

pub(super) fn commit_id(oid: git2::Oid) -> CommitId {
    CommitId::parse(&oid.to_string()).expect("libgit2 prints 40 lower-case hex digits")
}

pub(super) fn oid(id: &CommitId) -> git2::Oid {
    git2::Oid::from_str(id.as_str()).expect("a commit id is 40 hex digits")
}
