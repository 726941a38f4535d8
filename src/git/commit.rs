//! New commits: one file changed, on a branch, and pushed when that is asked for.
//!
//! Nothing is checked out but the file itself, and what else lies changed or staged in
//! the working folder stays as it is. The commit is made before the branch moves, and the
//! branch moves only if it is still where it was, so nothing is ever half done.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use git2::build::{CheckoutBuilder, TreeUpdateBuilder};
use git2::{BranchType, ErrorCode, FileMode, IndexEntry, IndexTime, RepositoryState, Signature, Status};

use super::access::Access;
use super::error::{Cause, GitError};
use super::login::Login;
use super::repository::{Origin, Repository, commit_id, oid};
use super::source::Source;
use crate::names::CommitId;

/// Who commits in a mirror of ours, where neither the environment nor git's configuration
/// names anybody.
const OWN_NAME: &str = "ionroller";
const OWN_EMAIL: &str = "ionroller@localhost";

/// Why a commit was not made, or not pushed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum CommitError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("HEAD is no branch, so a commit would belong to none; name one with --branch")]
    Detached,
    #[error("`{0}` is not the name of a branch")]
    BadBranch(String),
    #[error("branch `{0}` is checked out in another worktree; commit there")]
    CheckedOutElsewhere(String),
    #[error("a {0} is under way in the repository; end it first, or name another branch with --branch")]
    Busy(&'static str),
    #[error("git does not know who commits; run: git config --global user.name NAME, and user.email too")]
    NoIdentity,
    #[error("branch `{0}` has moved meanwhile; try again")]
    Moved(String),
    #[error("there is no remote to push to; add one with `git remote add origin URL`")]
    NoRemote,
    #[error("there are several remotes and none is called origin; set one with git config remote.pushDefault NAME")]
    WhichRemote,
    #[error("the remote `{remote}` did not take branch `{branch}`: {reason}")]
    Rejected { remote: String, branch: String, reason: String },
    #[error("the commit {commit} is made, and `{path}` in the working folder could not be written")]
    WorkingFile {
        commit: CommitId,
        path: String,
        #[source]
        source: Cause,
    },
    #[error("cannot {what}")]
    Failed {
        what: &'static str,
        #[source]
        source: Cause,
    },
}

fn failed(what: &'static str) -> impl FnOnce(git2::Error) -> CommitError {
    move |error| CommitError::Failed { what, source: error.into() }
}

/// The branch that a commit goes onto.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Without `refs/heads/`.
    pub name: String,
    /// The commit that the next one follows.
    pub tip: CommitId,
    /// It does not exist yet.
    pub is_new: bool,
    /// The working folder shows it, and follows.
    pub is_shown: bool,
}

impl Branch {
    fn reference(&self) -> String {
        format!("refs/heads/{}", self.name)
    }
}

/// A commit to make: one file, whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileCommit<'a> {
    /// Relative to the root of the repository; it exists.
    pub path: &'a str,
    /// Its new content.
    pub content: &'a [u8],
    /// Subject, body and trailers.
    pub message: &'a str,
}

impl Repository {
    /// The branch to commit on: the one that is checked out, or the named one, which is
    /// made at HEAD when it does not exist.
    ///
    /// # Errors
    /// There is no such branch, or committing on it would get in somebody's way.
    pub fn branch_to_commit_on(&self, name: Option<&str>) -> Result<Branch, CommitError> {
        let head = self.handle.find_reference("HEAD").map_err(failed("read HEAD"))?;
        let target = head.symbolic_target().ok().flatten().and_then(|target| target.strip_prefix("refs/heads/"));
        let name = match name {
            Some(name) if !git2::Branch::name_is_valid(name).unwrap_or(false) => {
                return Err(CommitError::BadBranch(name.to_owned()));
            }
            Some(name) => name,
            None => target.ok_or(CommitError::Detached)?,
        };
        let is_shown = target == Some(name) && !self.handle.is_bare();
        if is_shown && let Some(doing) = under_way(self.handle.state()) {
            return Err(CommitError::Busy(doing));
        }
        match self.handle.find_branch(name, BranchType::Local) {
            Ok(_) if !is_shown && self.is_shown_elsewhere(name) => {
                Err(CommitError::CheckedOutElsewhere(name.to_owned()))
            }
            Ok(branch) => {
                let tip = branch.get().peel_to_commit().map_err(failed("read the branch"))?;
                Ok(Branch { name: name.to_owned(), tip: commit_id(tip.id()), is_new: false, is_shown })
            }
            Err(error) if error.code() == ErrorCode::NotFound => {
                let tip = self.resolve("HEAD")?;
                Ok(Branch { name: name.to_owned(), tip, is_new: true, is_shown: false })
            }
            Err(error) => Err(failed("read the branch")(error)),
        }
    }

    /// Whether another working folder of this repository shows a branch.
    fn is_shown_elsewhere(&self, branch: &str) -> bool {
        let names = self.handle.worktrees();
        let linked = names.iter().flat_map(|names| names.iter()).filter_map(|name| {
            let worktree = self.handle.find_worktree(name.ok()??).ok()?;
            git2::Repository::open_from_worktree(&worktree).ok()
        });
        let main = git2::Repository::open(self.handle.commondir()).ok().filter(|main| !main.is_bare());
        let reference = format!("refs/heads/{branch}");
        linked.chain(main).any(|repository| {
            let head = repository.find_reference("HEAD");
            head.is_ok_and(|head| head.symbolic_target().ok().flatten() == Some(reference.as_str()))
        })
    }

    /// Whether a file of the working folder is changed or staged, so that a commit of ours
    /// would take somebody's work along, or overwrite it.
    ///
    /// # Errors
    /// The working folder can't be read.
    pub fn is_file_changed(&self, path: &str) -> Result<bool, CommitError> {
        if self.handle.is_bare() {
            return Ok(false);
        }
        match self.handle.status_file(Path::new(path)) {
            Ok(status) => Ok(status != Status::CURRENT),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(false),
            Err(error) => Err(failed("read the working folder")(error)),
        }
    }

    /// Commits one file on a branch, with the author that git itself would name. The
    /// working folder follows when it shows the branch.
    ///
    /// # Errors
    /// Nothing was committed, but for [`CommitError::WorkingFile`].
    pub fn commit_file(&self, on: &Branch, change: FileCommit<'_>) -> Result<CommitId, CommitError> {
        let author = self.signature("author", git2::Repository::author_from_env)?;
        let committer = self.signature("committer", git2::Repository::committer_from_env)?;
        let parent = self.find_commit(&on.tip)?;
        let tree = parent.tree().map_err(failed("read the tip of the branch"))?;
        let mode = tree.get_path(Path::new(change.path)).map_or(FileMode::Blob, |entry| match entry.filemode() {
            0o100_755 => FileMode::BlobExecutable,
            _ => FileMode::Blob,
        });
        let blob = self.handle.blob(change.content).map_err(failed("write the new file"))?;
        let mut update = TreeUpdateBuilder::new();
        update.upsert(change.path, blob, mode);
        let tree = update.create_updated(&self.handle, &tree).map_err(failed("write the new folder"))?;
        let tree = self.handle.find_tree(tree).map_err(failed("read the new folder"))?;
        let made = self.handle.commit(None, &author, &committer, change.message, &tree, &[&parent]);
        let made = made.map_err(failed("write the commit"))?;
        self.move_branch(on, made, change.message)?;
        if on.is_shown {
            self.show(change.path, blob, mode).map_err(|error| CommitError::WorkingFile {
                commit: commit_id(made),
                path: change.path.to_owned(),
                source: error.into(),
            })?;
        }
        Ok(commit_id(made))
    }

    fn move_branch(&self, on: &Branch, to: git2::Oid, message: &str) -> Result<(), CommitError> {
        let log = format!("commit: {}", message.lines().next().unwrap_or_default());
        let moved = if on.is_new {
            self.handle.reference(&on.reference(), to, false, &log)
        } else {
            self.handle.reference_matching(&on.reference(), to, true, oid(&on.tip), &log)
        };
        match moved {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.code(), ErrorCode::Modified | ErrorCode::Exists) => {
                Err(CommitError::Moved(on.name.clone()))
            }
            Err(error) => Err(failed("move the branch")(error)),
        }
    }

    /// Brings index and working folder to what was committed, for this one file.
    fn show(&self, path: &str, blob: git2::Oid, mode: FileMode) -> Result<(), git2::Error> {
        let zero = IndexTime::new(0, 0);
        let entry = IndexEntry {
            ctime: zero,
            mtime: zero,
            dev: 0,
            ino: 0,
            mode: u32::from(mode),
            uid: 0,
            gid: 0,
            file_size: 0,
            id: blob,
            flags: 0,
            flags_extended: 0,
            path: path.as_bytes().to_vec(),
        };
        let mut index = self.handle.index()?;
        index.read(false)?;
        index.add(&entry)?;
        let mut checkout = CheckoutBuilder::new();
        checkout.force().path(path).disable_pathspec_match(true).update_index(true);
        self.handle.checkout_index(Some(&mut index), Some(&mut checkout))?;
        index.write()
    }

    /// As git itself takes it: environment, then `author.*` or `committer.*`, then `user.*`.
    fn signature(
        &self,
        role: &str,
        of: impl Fn(&git2::Repository) -> Result<Signature<'static>, git2::Error>,
    ) -> Result<Signature<'static>, CommitError> {
        let known = of(&self.handle).or_else(|error| match self.origin {
            Origin::Mirror(_) => Signature::now(OWN_NAME, OWN_EMAIL),
            Origin::Local(_) => Err(error),
        });
        let known = known.map_err(|_| CommitError::NoIdentity)?;
        let config = self.handle.config().map_err(failed("read git's configuration"))?;
        // libgit2 does not know these two keys.
        let special = |key: &str| {
            let variable = format!("GIT_{role}_{key}").to_uppercase();
            let key = format!("{role}.{key}");
            config.get_string(&key).ok().filter(|value| std::env::var_os(variable).is_none() && !value.is_empty())
        };
        let name = special("name");
        let email = special("email");
        let bytes = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = name.unwrap_or_else(|| bytes(known.name_bytes()));
        let email = email.unwrap_or_else(|| bytes(known.email_bytes()));
        Signature::new(&name, &email, &known.when()).map_err(|_| CommitError::NoIdentity)
    }

    /// Whether git would sign commits here, which we cannot.
    pub fn wants_signatures(&self) -> bool {
        self.handle.config().and_then(|config| config.get_bool("commit.gpgSign")).unwrap_or(false)
    }

    /// The remote that a branch is pushed to, as git chooses it.
    ///
    /// # Errors
    /// There is none, or no way to tell which.
    pub fn push_remote(&self, branch: &str) -> Result<String, CommitError> {
        let config = self.handle.config().map_err(failed("read git's configuration"))?;
        let keys =
            [format!("branch.{branch}.pushRemote"), "remote.pushDefault".to_owned(), format!("branch.{branch}.remote")];
        let set = keys.iter().find_map(|key| config.get_string(key).ok()).filter(|name| name != ".");
        let remotes = self.handle.remotes().map_err(failed("list the remotes"))?;
        let known: Vec<&str> = remotes.iter().filter_map(|name| name.ok().flatten()).collect();
        match (set, known.as_slice()) {
            (Some(name), _) => Ok(name),
            (None, []) => Err(CommitError::NoRemote),
            (None, [only]) => Ok((*only).to_owned()),
            (None, all) if all.contains(&"origin") => Ok("origin".to_owned()),
            (None, _) => Err(CommitError::WhichRemote),
        }
    }
}

fn under_way(state: RepositoryState) -> Option<&'static str> {
    match state {
        RepositoryState::Clean => None,
        RepositoryState::Merge => Some("merge"),
        RepositoryState::Revert | RepositoryState::RevertSequence => Some("revert"),
        RepositoryState::CherryPick | RepositoryState::CherryPickSequence => Some("cherry-pick"),
        RepositoryState::Bisect => Some("bisection"),
        RepositoryState::Rebase | RepositoryState::RebaseInteractive | RepositoryState::RebaseMerge => Some("rebase"),
        RepositoryState::ApplyMailbox | RepositoryState::ApplyMailboxOrRebase => Some("series of patches"),
    }
}

impl Repository {
    /// Pushes a branch to a remote under the same name, let in as a fetch is.
    ///
    /// # Errors
    /// The remote can't be reached or doesn't take it; the commit stays where it is.
    pub fn push(&self, branch: &Branch, remote: &str, access: &Access) -> Result<(), CommitError> {
        let found = self.handle.find_remote(remote).map_err(failed("find the remote"))?;
        let url = found.pushurl().ok().flatten().or(found.url().ok()).unwrap_or_default().to_owned();
        let login = match Source::parse(&url)? {
            Source::Remote(parsed) => Some(parsed),
            Source::Local(_) => None,
        };
        let login = login.as_ref().map(|parsed| Login::new(parsed, &url, access, &self.handle)).transpose();
        push(found, remote, branch, login.map_err(failed("read git's configuration"))?)
    }

    /// Pushes a branch of a mirror to where it is a mirror of, let in as its fetches are.
    ///
    /// # Errors
    /// As [`Self::push`]; and this is no mirror.
    pub fn push_from_mirror(&self, branch: &Branch) -> Result<(), CommitError> {
        let Origin::Mirror(mirror) = &self.origin else { return Err(CommitError::NoRemote) };
        let url = mirror.url();
        let found = self.handle.remote_anonymous(url.plain()).map_err(failed("find the remote"))?;
        let effective = found.url().unwrap_or(url.plain()).to_owned();
        let login = Login::new(url, &effective, mirror.access(), &self.handle);
        let login = login.map_err(failed("read git's configuration"))?;
        push(found, &url.to_string(), branch, Some(login))
    }

    /// Makes an empty repository, whose branch is the one that git is set to, or `main`.
    ///
    /// # Errors
    /// The folder can't be written to.
    pub fn create(dir: &Path) -> Result<(), CommitError> {
        let config = git2::Config::open_default().and_then(|config| config.get_string("init.defaultBranch"));
        let mut options = git2::RepositoryInitOptions::new();
        options.initial_head(config.as_deref().unwrap_or("main"));
        git2::Repository::init_opts(dir, &options).map(drop).map_err(failed("make a Git repository"))
    }

    /// The folder that the repository's files are checked out into; none for a bare one.
    pub fn working_folder(&self) -> Option<PathBuf> {
        self.handle.workdir()?.canonicalize().ok()
    }

    /// The bytes of a file at a commit; none when there is no such file.
    ///
    /// # Errors
    /// The commit can't be read.
    pub fn file_at(&self, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let Some((id, mode)) = self.entry_at(&self.find_commit(commit)?, path)? else { return Ok(None) };
        if [FileMode::Tree, FileMode::Commit].into_iter().any(|other| i32::from(other) == mode) {
            return Ok(None);
        }
        let blob = self.handle.find_blob(id);
        blob.map(|blob| Some(blob.content().to_vec())).map_err(|error| self.damage(format!("the file `{path}`"), error))
    }
}

/// Pushes a branch under the same name. `remote` is for messages.
fn push(
    mut found: git2::Remote<'_>,
    remote: &str,
    branch: &Branch,
    login: Option<Login<'_>>,
) -> Result<(), CommitError> {
    let refused = RefCell::new(None);
    let reference = branch.reference();
    let pushed = {
        let mut callbacks = login.as_ref().map_or_else(git2::RemoteCallbacks::new, Login::callbacks);
        callbacks.push_update_reference(|_, status| {
            *refused.borrow_mut() = status.map(str::to_owned);
            Ok(())
        });
        let mut options = git2::PushOptions::new();
        let mut proxy = git2::ProxyOptions::new();
        proxy.auto();
        let headers = login.as_ref().map(Login::extra_headers).unwrap_or_default();
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        options.remote_callbacks(callbacks).proxy_options(proxy).custom_headers(&headers);
        // A redirect to another host would take the login along.
        options.follow_redirects(git2::RemoteRedirect::None);
        found.push(&[format!("{reference}:{reference}")], Some(&mut options))
    };
    let rejected =
        |reason: String| CommitError::Rejected { remote: remote.to_owned(), branch: branch.name.clone(), reason };
    match (pushed, refused.into_inner()) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(reason)) => Err(rejected(reason)),
        (Err(error), _) if error.code() == ErrorCode::NotFastForward => {
            Err(rejected("it has commits that are not here; run `git pull --rebase`, then `git push`".to_owned()))
        }
        (Err(error), _) => match login.map(|login| login.explain(&error)) {
            None => Err(rejected(error.message().to_owned())),
            // Its message speaks of fetching; the cause says what happened.
            Some(GitError::Fetch { source, .. }) => Err(rejected(source.to_string())),
            Some(explained) => Err(rejected(explained.to_string())),
        },
    }
}
