//! What can go wrong with the config repository, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::names::CommitId;

/// What libgit2 or the file watcher said, without secrets.
///
/// The libraries' own errors stop here: nobody else names `git2`, and a message
/// of theirs may quote a URL with its password.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Cause {
    message: String,
}

impl Cause {
    pub(super) fn new(message: impl Into<String>) -> Cause {
        Cause { message: message.into() }
    }
}

impl From<git2::Error> for Cause {
    fn from(error: git2::Error) -> Cause {
        Cause::new(error.message())
    }
}

impl From<notify::Error> for Cause {
    fn from(error: notify::Error) -> Cause {
        Cause::new(error.to_string())
    }
}

/// An error of the config repository.
///
/// Messages say what happened, where, and what to do; the chain of sources says
/// what the library said.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Neither a path nor a URL that makes sense.
    #[error("`{text}` is not a repository: {reason}")]
    BadSource {
        /// As given, without secrets.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A transport that is recognised and not built in.
    #[error(
        "cannot fetch {url}: this build reads local paths and file:// only, not {transport}; \
         clone it and give the path"
    )]
    TransportMissing {
        /// As given, without secrets.
        url: String,
        /// `https`, `ssh`, …
        transport: String,
    },
    /// The path does not exist.
    #[error("there is no folder `{}`", path.display())]
    NoSuchPath {
        /// As given.
        path: PathBuf,
    },
    /// The path exists and is not inside a repository.
    #[error(
        "`{}` is not in a git repository, nor is any folder above it; run `git init` \
         there, or name another one",
        path.display()
    )]
    NotARepository {
        /// As given.
        path: PathBuf,
    },
    /// git refuses to read what another user owns, for root too.
    #[error(
        "the repository `{0}` belongs to another user; to trust it run: git config \
         --global --add safe.directory '{0}'",
        path.display()
    )]
    ForeignOwner {
        /// The path that git wants to see in `safe.directory`.
        path: PathBuf,
    },
    /// A repository that cannot be opened for any other reason.
    #[error("cannot open the repository {location}")]
    Open {
        /// Path or URL.
        location: String,
        /// What libgit2 said.
        source: Cause,
    },
    /// No commit at all.
    #[error("the repository {location} has no commits yet")]
    Empty {
        /// Path or URL.
        location: String,
    },
    /// A revision that names nothing.
    #[error("there is no revision `{revision}` in {location}{advice}")]
    UnknownRevision {
        /// As given.
        revision: String,
        /// Path or URL.
        location: String,
        /// How to get what is missing, or nothing.
        advice: &'static str,
    },
    /// A revision that cannot be read, is ambiguous or names no commit.
    #[error("`{revision}` does not name one commit in {location}")]
    BadRevision {
        /// As given.
        revision: String,
        /// Path or URL.
        location: String,
        /// What libgit2 said.
        source: Cause,
    },
    /// The branch is not (or no longer) there.
    #[error("there is no branch `{branch}` in {location}{}", default_branch(.head.as_deref()))]
    NoBranch {
        /// The branch.
        branch: String,
        /// Path or URL.
        location: String,
        /// The branch that `HEAD` names.
        head: Option<String>,
    },
    /// A branch name that git does not allow.
    #[error("`{branch}` is not the name of a branch")]
    BadBranch {
        /// As given.
        branch: String,
    },
    /// A commit that the repository does not hold.
    #[error("commit {commit} is not in {location}{advice}")]
    UnknownCommit {
        /// The commit.
        commit: CommitId,
        /// Path or URL.
        location: String,
        /// How to get what is missing, or nothing.
        advice: &'static str,
    },
    /// `--path` that is not a path inside a repository.
    #[error("`{folder}` is not a folder inside the repository: give a relative path without `..`")]
    BadFolder {
        /// As given.
        folder: String,
    },
    /// `--path` that the commit does not have.
    #[error("there is no folder `{folder}` in commit {commit} of {location}: {found}")]
    NoFolder {
        /// As given.
        folder: String,
        /// The commit.
        commit: CommitId,
        /// Path or URL.
        location: String,
        /// What is there instead.
        found: &'static str,
    },
    /// More than a config folder can sensibly hold.
    #[error("the config folder `{root}` holds more than {limit}")]
    TooMuch {
        /// The folder.
        root: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// An object of the repository is missing or broken.
    #[error(
        "cannot read {what} of {location}: the repository is damaged or a partial clone{}",
        mend(*.mirror)
    )]
    Damaged {
        /// The object.
        what: String,
        /// Path or URL.
        location: String,
        /// Whether it is our mirror, which the next fetch makes anew.
        mirror: bool,
        /// What libgit2 said.
        source: Cause,
    },
    /// The remote repository could not be fetched.
    #[error("cannot fetch {url}")]
    Fetch {
        /// Without secrets.
        url: String,
        /// What libgit2 said.
        source: Cause,
    },
    /// A mirror of a shallow clone would silently lack history.
    #[error(
        "cannot mirror {url}: it is a shallow clone; run `git fetch --unshallow` there, \
         or give its plain path"
    )]
    ShallowRemote {
        /// Without secrets.
        url: String,
    },
    /// The mirror's folder holds something else.
    #[error(
        "`{}` is not a mirror made by ionroller; move it away or set another state_dir",
        dir.display()
    )]
    Occupied {
        /// The folder.
        dir: PathBuf,
    },
    /// The mirror's folder cannot be made or replaced.
    #[error(
        "cannot write the mirror `{}`; check that the state folder is writable and has \
         room",
        dir.display()
    )]
    MirrorFolder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The mirror cannot be initialised.
    #[error(
        "cannot create the mirror `{}`; check that the state folder is writable and has \
         room",
        dir.display()
    )]
    MirrorInit {
        /// The folder.
        dir: PathBuf,
        /// What libgit2 said.
        source: Cause,
    },
    /// A folder on disk cannot be listed.
    #[error("cannot read the folder `{}`", path.display())]
    ReadFolder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The repository cannot be watched; polling still sees every change.
    #[error("cannot watch `{}` for changes; they are seen when it is polled next", path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// What the watcher said.
        source: Cause,
    },
}

impl GitError {
    /// Whether the same call may succeed later with nobody doing anything:
    /// a fetch that failed, a mirror that heals itself. Everything else waits
    /// for a commit or a person.
    pub fn is_transient(&self) -> bool {
        match self {
            GitError::Fetch { .. } => true,
            GitError::Damaged { mirror, .. } => *mirror,
            GitError::MirrorFolder { .. } | GitError::MirrorInit { .. } => true,
            GitError::BadSource { .. }
            | GitError::TransportMissing { .. }
            | GitError::NoSuchPath { .. }
            | GitError::NotARepository { .. }
            | GitError::ForeignOwner { .. }
            | GitError::Open { .. }
            | GitError::Empty { .. }
            | GitError::UnknownRevision { .. }
            | GitError::BadRevision { .. }
            | GitError::NoBranch { .. }
            | GitError::BadBranch { .. }
            | GitError::UnknownCommit { .. }
            | GitError::BadFolder { .. }
            | GitError::NoFolder { .. }
            | GitError::TooMuch { .. }
            | GitError::ShallowRemote { .. }
            | GitError::Occupied { .. }
            | GitError::ReadFolder { .. }
            | GitError::Watch { .. } => false,
        }
    }
}

fn default_branch(head: Option<&str>) -> String {
    head.map(|name| format!("; its default branch is `{name}`")).unwrap_or_default()
}

fn mend(mirror: bool) -> &'static str {
    if mirror { "; the mirror is made anew at the next fetch" } else { "; run `git fsck`, or clone it again" }
}
