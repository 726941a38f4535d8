//! What can go wrong with the config repository, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::names::CommitId;
use crate::time::Span;

/// What libgit2 or the file watcher said, without secrets and on one line.
///
/// The libraries' own errors stop here: nobody else names `git2`, and a message
/// of theirs may quote a URL with its password, or a name from a hostile commit.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Cause {
    message: String,
}

/// A library's message is at most so long.
const MESSAGE_CHARS_MAX: usize = 1_000;

impl Cause {
    pub(super) fn new(message: impl Into<String>) -> Cause {
        let message = message.into();
        let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Cause { message: message.chars().map(shown).take(MESSAGE_CHARS_MAX).collect() }
    }
}

impl From<git2::Error> for Cause {
    fn from(error: git2::Error) -> Cause {
        match FORMATS.iter().find(|(said, _)| error.message().contains(said)) {
            Some((_, hint)) => Cause::new(format!("{}; {hint}", error.message())),
            None => Cause::new(error.message()),
        }
    }
}

/// What libgit2 says of formats that it does not know, and what helps.
const FORMATS: [(&str, &str); 4] = [
    (
        "object format 'sha256'",
        "SHA-256 repositories are not supported yet: use one that was made with `git init --object-format=sha1`",
    ),
    (
        "extensions.refstorage",
        "references in the reftable format are not supported yet: `git refs migrate --ref-format=files` changes them",
    ),
    (
        "mandatory extension: 'link'",
        "a split index is not supported: `git config core.splitIndex false && git update-index --no-split-index` joins it",
    ),
    (
        "mandatory extension: 'sdir'",
        "a sparse index is not supported: `git sparse-checkout reapply --no-sparse-index` makes it whole, and the checkout stays sparse",
    ),
];

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
    /// `git://`.
    #[error("cannot fetch {url}: git:// is neither encrypted nor does it say who answers; use https:// or ssh://")]
    OpenProtocol {
        /// Without secrets.
        url: String,
    },
    /// An environment variable whose value makes no sense.
    #[error("the environment variable {name}: {reason}")]
    BadVariable {
        /// Its name; never its value.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
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
    /// Two commits that cannot be merged, because nothing is common to them.
    #[error("commits {} and {} have no common ancestor in {location}{}", commit.short(), base.short(), cut_off(*.shallow))]
    Unrelated {
        /// What was to be merged.
        commit: CommitId,
        /// Into what.
        base: CommitId,
        /// Path or URL.
        location: String,
        /// Whether history is cut off, so that there may be one.
        shallow: bool,
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
    #[error(
        "the config folder `{root}` holds more than {limit}, so nothing of it is read and nothing \
         is changed; keep only ionroller's files in its `services` and `files`"
    )]
    TooMuch {
        /// The folder.
        root: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// More than a merge can hold in memory.
    #[error("commit {commit} holds more than {limit}, so it is not merged and nothing is planned")]
    TooMuchToMerge {
        /// One of the sides, or an ancestor that both have.
        commit: CommitId,
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
    /// The remote wants to know who asks, and nothing that was shown was enough.
    #[error("cannot reach {url}: {}", denial(*.ssh, .offered, .passed_over))]
    Denied {
        /// Without secrets.
        url: String,
        /// By ssh, not https.
        ssh: bool,
        /// What it was shown, in order, or nothing.
        offered: String,
        /// What could not be shown and why, or nothing.
        passed_over: String,
    },
    /// There is no such repository, or none that we may see.
    #[error(
        "cannot reach {url}: there is no such repository, or it does not say so to strangers; check the URL, \
             and whether the token or user may read it"
    )]
    NoSuchRemote {
        /// Without secrets.
        url: String,
        /// What libgit2 said.
        source: Cause,
    },
    /// An answer that makes no sense.
    #[error(
        "cannot reach {url}: its answer cannot be read; a shallow clone answers like this, in which case run \
         `git fetch --unshallow` there"
    )]
    Garbled {
        /// Without secrets.
        url: String,
        /// What libgit2 said.
        source: Cause,
    },
    /// The certificate of an https server is not trusted.
    #[error(
        "cannot reach {url}: the server's certificate is not trusted; if it is signed by an authority of your own, \
         add that one to the machine's, or name its file in SSL_CERT_FILE"
    )]
    Certificate {
        /// Without secrets.
        url: String,
        /// What libgit2 said.
        source: Cause,
    },
    /// The server leads to another one, which is not to see our login.
    #[error("cannot reach {url}: it leads to another host; if that is right, use the new URL")]
    Redirected {
        /// Without secrets.
        url: String,
        /// Where to.
        source: Cause,
    },
    /// A login over a connection that everybody on the way can read.
    #[error("cannot reach {url}: it asks for a login, which is not sent over plain http; use https://")]
    PlainHttp {
        /// Without secrets.
        url: String,
    },
    /// Nothing came for too long.
    #[error(
        "cannot reach {url}: it said nothing for {timeout}; IONROLLER_GIT_TIMEOUT sets how long a remote may be silent"
    )]
    Silent {
        /// Without secrets.
        url: String,
        /// How long it was waited for.
        timeout: Span,
    },
    /// A whole exchange was not over in time.
    #[error(
        "cannot reach {url}: the exchange was not over after {deadline} and was given up; \
         IONROLLER_GIT_DEADLINE sets how long one may take"
    )]
    Late {
        /// Without secrets.
        url: String,
        /// How long it was waited for.
        deadline: Span,
    },
    /// What went wrong in the process that fetches.
    #[error("{said}")]
    Told {
        /// The message.
        said: String,
        /// Whether trying again may help.
        transient: bool,
        /// What the library said there.
        source: Option<Cause>,
    },
    /// Another process changes the mirror.
    #[error("another process changes the mirror `{}`, and had not ended after {waited}", dir.display())]
    Busy {
        /// The folder.
        dir: PathBuf,
        /// How long it was waited for.
        waited: Span,
    },
    /// A private key that cannot be used.
    #[error("cannot use the ssh key `{}`: {reason}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A token that cannot be used.
    #[error("cannot use the token in `{}`: {reason}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file of known hosts cannot be read.
    #[error("cannot read the known hosts `{}`: {reason}", path.display())]
    KnownHostsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// An ssh server that nobody has vouched for.
    #[error(
        "cannot reach {url}: the host {host} is not known; it shows {shown}{}; compare that with what its owner \
         publishes, then add it: {add}",
        known_otherwise(.other_types)
    )]
    UnknownHost {
        /// Without secrets.
        url: String,
        /// As it stands in a file of known hosts.
        host: String,
        /// Type and fingerprint of its key.
        shown: String,
        /// The types of keys by which it is known, or nothing.
        other_types: String,
        /// The command that adds it.
        add: String,
    },
    /// An ssh server with another key than before.
    #[error(
        "cannot reach {url}: the key of {host} has changed: it shows {shown}, but line {line} of {} says otherwise; \
         somebody may be answering in its place. Ask its owner; if the new key is right, replace that line",
        file.display()
    )]
    ChangedHost {
        /// Without secrets.
        url: String,
        /// As it stands in the file.
        host: String,
        /// Type and fingerprint of its key.
        shown: String,
        /// The file of known hosts.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An ssh server with a key that must not be trusted.
    #[error(
        "cannot reach {url}: {host} shows {shown}, which line {line} of {} revokes; do not trust it, ask its owner",
        file.display()
    )]
    RevokedHost {
        /// Without secrets.
        url: String,
        /// As it stands in the file.
        host: String,
        /// Type and fingerprint of its key.
        shown: String,
        /// The file of known hosts.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
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
            GitError::Fetch { .. } | GitError::Silent { .. } | GitError::Late { .. } | GitError::Busy { .. } => true,
            GitError::Told { transient, .. } => *transient,
            GitError::Damaged { mirror, .. } => *mirror,
            GitError::MirrorFolder { .. } | GitError::MirrorInit { .. } => true,
            GitError::BadSource { .. }
            | GitError::OpenProtocol { .. }
            | GitError::BadVariable { .. }
            | GitError::Denied { .. }
            | GitError::NoSuchRemote { .. }
            | GitError::Garbled { .. }
            | GitError::Certificate { .. }
            | GitError::Redirected { .. }
            | GitError::PlainHttp { .. }
            | GitError::KeyFile { .. }
            | GitError::TokenFile { .. }
            | GitError::KnownHostsFile { .. }
            | GitError::UnknownHost { .. }
            | GitError::ChangedHost { .. }
            | GitError::RevokedHost { .. }
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
            | GitError::Unrelated { .. }
            | GitError::BadFolder { .. }
            | GitError::NoFolder { .. }
            | GitError::TooMuch { .. }
            | GitError::TooMuchToMerge { .. }
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
    if mirror {
        "; the mirror is made anew at the next fetch"
    } else {
        "; clone it again without --filter, or run `git fsck`"
    }
}

fn denial(ssh: bool, offered: &str, passed_over: &str) -> String {
    let passed_over = if passed_over.is_empty() { String::new() } else { format!(" ({passed_over})") };
    match (offered.is_empty(), ssh) {
        (false, _) => format!("it does not let us in with {offered}{passed_over}"),
        (true, true) => format!(
            "it asks for a key, and there is none{passed_over}; start an ssh-agent, name a key in \
             IONROLLER_GIT_SSH_KEY_FILE, or for the daemon in `ssh_key_file` of its file"
        ),
        (true, false) => format!(
            "it asks for a login, and there is none{passed_over}; put a token into IONROLLER_GIT_TOKEN, set up a \
             credential helper of git, or for the daemon name a `token_file` in its file"
        ),
    }
}

fn known_otherwise(types: &str) -> String {
    if types.is_empty() { String::new() } else { format!(", and is known only by {types}") }
}

fn cut_off(shallow: bool) -> &'static str {
    if shallow {
        "; it is a shallow clone: `git fetch --unshallow` gets the rest"
    } else {
        ", so one cannot be merged into the other"
    }
}

#[cfg(test)]
mod tests {
    use super::Cause;

    /// libgit2 repeats names as a hostile commit has them.
    #[test]
    fn a_librarys_message_moves_no_cursor_and_has_an_end() {
        assert_eq!(Cause::new("invalid object - a\u{1b}[2J\rb").to_string(), "invalid object - a\u{fffd}[2J\u{fffd}b");
        assert!(Cause::new("x".repeat(100_000)).to_string().len() <= 1_000);
    }
}
