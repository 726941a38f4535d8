//! The bare mirror of a remote repository in the state folder.
//!
//! ```text
//! STATE/mirror/                  the mirror, a bare repository
//! STATE/mirror/ionroller-mirror  the marker: made by us, complete, and whose it is
//! STATE/mirror.new/              one that is being made; removed when met
//! STATE/mirror.lock              held by whoever changes one of them
//! ```
//!
//! A mirror holds nothing that cannot be fetched again. So whatever is wrong
//! with it, the cure is the same: make a new one beside it, fetch into that and
//! swap only when all went well. A fetch that is cut short does no harm: libgit2
//! puts a pack in place only when it is whole, and moves references last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use git2::{AutotagOption, ErrorClass, ErrorCode, FetchOptions, ProxyOptions, RemoteUpdateFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::access::Access;
use super::environment::add_pairs;
use super::error::{Cause, GitError};
use super::exchange;
use super::login::Login;
use super::repository::{Origin, Repository, owned_path};
use super::source::RemoteUrl;

const MARKER: &str = "ionroller-mirror";

/// Every fetch that finds something leaves a pack, and each object is looked for
/// in all of them. At this many a new mirror, with one pack, is the cheaper way.
const PACKS_MAX: usize = 500;

/// About an hour of polling.
const REBUILD_PAUSE_EXCHANGES: u32 = 240;

/// How often it is looked whether another process has let go of the mirror.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Exchanges until damage may be answered with a new mirror again. Not zero
/// after one was tried and before it was read from: when that does not help,
/// the remote itself is broken, and a full fetch at every poll is too much.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Rest(u32);

/// What is known about a mirror beside its content.
pub(super) struct Mirror {
    url: RemoteUrl,
    access: Access,
    dir: PathBuf,
    /// See [`Rest`]. Handles on one mirror share it.
    rebuild_pause: Arc<AtomicU32>,
    remote: RemoteState,
}

/// What the last exchange told about the remote itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct RemoteState {
    /// It has no references at all.
    pub is_empty: bool,
    /// The branch that its `HEAD` names.
    pub default_branch: Option<String>,
}

/// Why an exchange failed.
struct FetchFailure {
    error: Box<GitError>,
    /// It is about stored objects and references, ours most likely, and not
    /// about reaching the remote.
    damage: bool,
}

impl Mirror {
    /// The mirror in `dir`, which is neither opened nor made yet.
    pub fn with_rest(url: &RemoteUrl, dir: &Path, access: &Access, rest: Rest) -> Mirror {
        Mirror {
            url: url.clone(),
            access: access.clone(),
            dir: dir.to_owned(),
            rebuild_pause: Arc::new(AtomicU32::new(rest.0)),
            remote: RemoteState::default(),
        }
    }

    /// Opens the mirror in `dir`, or makes an empty one.
    pub fn open(url: &RemoteUrl, dir: &Path, access: &Access) -> Result<(Mirror, git2::Repository), GitError> {
        let mirror = Self::with_rest(url, dir, access, Rest(0));
        // What is whole is read whatever another process does beside: its next exchange may take long.
        if let Some(handle) = mirror.reopened() {
            return Ok((mirror, handle));
        }
        let _alone = mirror.lock()?;
        if let Some(handle) = mirror.reopened() {
            return Ok((mirror, handle));
        }
        let fresh = mirror.create()?;
        let handle = mirror.put_in_place(fresh)?;
        Ok((mirror, handle))
    }

    /// Another handle on it.
    pub fn again(&self) -> Option<(Mirror, git2::Repository)> {
        let mirror = Mirror {
            url: self.url.clone(),
            access: self.access.clone(),
            dir: self.dir.clone(),
            rebuild_pause: Arc::clone(&self.rebuild_pause),
            remote: self.remote.clone(),
        };
        let handle = mirror.reopened()?;
        Some((mirror, handle))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn rest(&self) -> Rest {
        Rest(self.rebuild_pause.load(Ordering::Relaxed))
    }

    pub fn set_rest(&self, rest: Rest) {
        self.rebuild_pause.store(rest.0, Ordering::Relaxed);
    }

    pub fn set_remote(&mut self, remote: RemoteState) {
        self.remote = remote;
    }

    pub fn url(&self) -> &RemoteUrl {
        &self.url
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    pub fn remote(&self) -> &RemoteState {
        &self.remote
    }

    /// A whole config folder was read: whatever was wrong is healed.
    pub fn was_read(&self) {
        self.set_rest(Rest(0));
    }

    /// The marker's text. A digest, because the URL may hold a token.
    fn marker(&self) -> String {
        let digest = Sha256::digest(self.url.plain());
        format!("1 {}\n", data_encoding::HEXLOWER.encode(&digest))
    }

    /// Whether this is our mirror of this URL, whole at a glance. Who clears out
    /// a state folder by hand rarely takes all of it.
    fn is_ready(&self) -> bool {
        let marked = fs::read_to_string(self.dir.join(MARKER));
        marked.is_ok_and(|text| text == self.marker())
            && self.dir.join("objects").join("pack").is_dir()
            && self.dir.join("refs").is_dir()
    }

    /// The mirror as it lies there, if it can be opened at all.
    pub fn reopened(&self) -> Option<git2::Repository> {
        let handle = self.is_ready().then(|| git2::Repository::open_bare(&self.dir).ok()).flatten()?;
        add_pairs(&handle).ok().map(|()| handle)
    }

    /// Where a new mirror is made: a neighbour, so that a rename puts it in place.
    fn workshop(&self) -> PathBuf {
        self.neighbour(".new")
    }

    fn neighbour(&self, ending: &str) -> PathBuf {
        let mut name = self.dir.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        self.dir.with_file_name(name)
    }

    /// Waits until no other process changes the mirror: one-shot commands share theirs.
    /// The lock is held until the file is dropped, also by a kill.
    fn lock(&self) -> Result<fs::File, GitError> {
        let failed = |source| GitError::MirrorFolder { dir: self.dir.clone(), source };
        let path = self.neighbour(".lock");
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        let file = fs::File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
                Err(fs::TryLockError::WouldBlock) if begun.elapsed() >= self.access.deadline.to_std() => {
                    let waited = self.access.deadline;
                    return Err(GitError::Busy { dir: self.dir.clone(), waited });
                }
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
            }
        }
    }

    /// An empty mirror beside the real one.
    fn create(&self) -> Result<git2::Repository, GitError> {
        if !self.is_ours() {
            return Err(GitError::Occupied { dir: self.dir.clone() });
        }
        let dir = self.workshop();
        remove(&dir)?;
        let failed = |error: git2::Error| GitError::MirrorInit { dir: self.dir.clone(), source: Cause::from(error) };
        let mut options = git2::RepositoryInitOptions::new();
        // Templates of the machine may hold hooks and anything else.
        options.bare(true).mkpath(true).external_template(false);
        let handle = git2::Repository::init_opts(&dir, &options).map_err(failed)?;
        // A machine that loses power must not come back to half a pack.
        let set = handle.config().and_then(|mut it| it.set_bool("core.fsyncObjectFiles", true));
        set.and_then(|()| add_pairs(&handle)).map_err(failed)?;
        let written = fs::write(dir.join(MARKER), self.marker());
        written.map_err(|source| GitError::MirrorFolder { dir: self.dir.clone(), source })?;
        Ok(handle)
    }

    /// Swaps a finished mirror for the old one, and opens it there.
    fn put_in_place(&self, fresh: git2::Repository) -> Result<git2::Repository, GitError> {
        drop(fresh);
        if !self.is_ours() {
            return Err(GitError::Occupied { dir: self.dir.clone() });
        }
        remove(&self.dir)?;
        let renamed = fs::rename(self.workshop(), &self.dir);
        renamed.map_err(|source| GitError::MirrorFolder { dir: self.dir.clone(), source })?;
        let opened = git2::Repository::open_bare(&self.dir);
        opened
            .and_then(|handle| add_pairs(&handle).map(|()| handle))
            .map_err(|error| GitError::MirrorInit { dir: self.dir.clone(), source: Cause::from(error) })
    }

    /// Whether the folder may be deleted: absent, empty, or with our marker,
    /// whichever URL it is for. A wrong `state_dir` must not cost anybody a folder.
    fn is_ours(&self) -> bool {
        match fs::read_dir(&self.dir) {
            Ok(mut entries) => entries.next().is_none() || self.dir.join(MARKER).is_file(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    fn is_crowded(&self) -> bool {
        let packs = fs::read_dir(self.dir.join("objects").join("pack"));
        // A pack is two files.
        packs.is_ok_and(|entries| entries.count() > 2 * PACKS_MAX)
    }

    /// libgit2 reads a shallow clone on this machine as if it were whole.
    fn refuse_shallow_remote(&self) -> Result<(), GitError> {
        let Some(folder) = self.url.local_folder() else {
            return Ok(());
        };
        match git2::Repository::open(folder) {
            Ok(remote) if remote.is_shallow() || remote.commondir().join("shallow").is_file() => {
                Err(GitError::ShallowRemote { url: self.url.to_string() })
            }
            Err(error) if error.code() == ErrorCode::Owner => {
                Err(GitError::ForeignOwner { path: owned_path(folder, &error) })
            }
            // Any other trouble is better told by the fetch.
            _ => Ok(()),
        }
    }
}

impl Mirror {
    /// Brings the references that `refspecs` name up to date; true if a new mirror was put
    /// in place for that.
    pub fn refresh(&mut self, refspecs: &[String], damaged: bool) -> Result<(git2::Repository, bool), GitError> {
        self.refuse_shallow_remote()?;
        let _alone = self.lock()?;
        let pause = self.rest().0;
        self.set_rest(Rest(pause.saturating_sub(1)));
        let damaged = damaged && pause == 0;
        // Another process may have put a new one in place.
        let whole = self.reopened().filter(|_| !damaged && !self.is_crowded());
        if let Some(handle) = whole {
            match exchange_with(&handle, self, refspecs) {
                Ok(remote) => {
                    self.remote = remote;
                    return Ok((handle, false));
                }
                Err(failure) if pause > 0 || !failure.damage => {
                    return Err(*failure.error);
                }
                Err(_) => {}
            }
        }
        let fresh = self.create()?;
        match exchange_with(&fresh, self, refspecs) {
            Ok(remote) => self.remote = remote,
            Err(failure) => {
                if failure.damage {
                    self.set_rest(Rest(REBUILD_PAUSE_EXCHANGES));
                }
                return Err(*failure.error);
            }
        }
        self.set_rest(Rest(REBUILD_PAUSE_EXCHANGES));
        Ok((self.put_in_place(fresh)?, true))
    }
}

impl Repository {
    /// Brings the references that `refspecs` name up to date.
    pub(super) fn refresh(&mut self, refspecs: &[String]) -> Result<(), GitError> {
        let Origin::Mirror(mirror) = &mut self.origin else {
            return Ok(());
        };
        let damaged = self.damaged.load(Ordering::Relaxed);
        let (handle, remade) = match mirror.access.worker.clone() {
            None => mirror.refresh(refspecs, damaged)?,
            Some(worker) => {
                let remade = exchange::ask(&worker, mirror, refspecs, damaged, &self.breaker)?;
                let gone = || {
                    let source = Cause::new("the mirror that was fetched into is gone");
                    GitError::Fetch { url: mirror.url.to_string(), source }
                };
                (mirror.reopened().ok_or_else(gone)?, remade)
            }
        };
        self.handle = handle;
        if remade {
            self.damaged.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// One exchange with the remote, and a check of what it promised.
fn exchange_with(handle: &git2::Repository, mirror: &Mirror, refspecs: &[String]) -> Result<RemoteState, FetchFailure> {
    let url = &mirror.url;
    let unexplained = |error: git2::Error| FetchFailure {
        damage: suggests_damage(&error),
        error: Box::new(GitError::Fetch { url: url.to_string(), source: Cause::new(url.redact_in(error.message())) }),
    };
    stay_on_host(handle).map_err(unexplained)?;
    let mut remote = handle.remote_anonymous(url.plain()).map_err(unexplained)?;
    let effective = remote.url().unwrap_or(url.plain()).to_owned();
    let login = Login::new(url, &effective, &mirror.access, handle).map_err(unexplained)?;
    let fetched = fetch(handle, &mut remote, &login, refspecs);
    let state = fetched
        .map_err(|error| FetchFailure { damage: suggests_damage(&error), error: Box::new(login.explain(&error)) })?;
    let checked = check_tips(handle, refspecs);
    checked.map_err(|error| FetchFailure { damage: true, error: Box::new(login.explain(&error)) })?;
    Ok(state)
}

/// A redirect to another host would take the login along, and libgit2 follows the
/// first one unless the configuration says otherwise.
fn stay_on_host(handle: &git2::Repository) -> Result<(), git2::Error> {
    const KEY: &str = "http.followRedirects";
    let mut config = handle.config()?.open_level(git2::ConfigLevel::Local)?;
    match config.get_bool(KEY) {
        Ok(false) => Ok(()),
        _ => config.set_bool(KEY, false),
    }
}

/// Lists the remote's references, downloads what is missing, deletes what is
/// gone and moves what has moved.
///
/// The names in libgit2's own list are not asked for: the binding panics on a
/// reference whose name is not UTF-8, which anybody who can push can make.
fn fetch(
    handle: &git2::Repository,
    remote: &mut git2::Remote<'_>,
    login: &Login<'_>,
    refspecs: &[String],
) -> Result<RemoteState, git2::Error> {
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    let headers = login.extra_headers();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let mut options = FetchOptions::new();
    options.download_tags(AutotagOption::None).remote_callbacks(login.callbacks());
    options.proxy_options(proxy).custom_headers(&headers);
    // A redirect to another host would take the login along.
    options.follow_redirects(git2::RemoteRedirect::None);
    // It connects, too, with these headers in the first request as well.
    remote.download(refspecs, Some(&mut options))?;
    // Before the tips: a branch `a` that is gone would stand in the way of `a/b`.
    remote.prune(None)?;
    remote.update_tips(None, RemoteUpdateFlags::empty(), AutotagOption::None, None)?;
    let is_empty = remote.list()?.is_empty();
    let head = remote.default_branch().ok();
    let head = head.as_ref().and_then(|name| name.as_str().ok());
    if let Some(name) = head.filter(|name| git2::Reference::is_valid_name(name)) {
        let current = handle.find_reference("HEAD")?;
        // Not at every poll: it is written to disk and synced.
        if current.symbolic_target().ok().flatten() != Some(name) {
            handle.set_head(name)?;
        }
    }
    let default_branch = head.and_then(|name| name.strip_prefix("refs/heads/")).map(str::to_owned);
    Ok(RemoteState { is_empty, default_branch })
}

/// That an object is listed in an index does not mean that it can be read.
fn check_tips(handle: &git2::Repository, refspecs: &[String]) -> Result<(), git2::Error> {
    for refspec in refspecs {
        let name = refspec.rsplit_once(':').map_or(refspec.as_str(), |(_, name)| name);
        match handle.find_reference(name) {
            Ok(reference) => reference.peel_to_commit()?.tree().map(drop)?,
            // A pattern, or a branch that is gone.
            Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn suggests_damage(error: &git2::Error) -> bool {
    matches!(
        error.class(),
        ErrorClass::Odb
            | ErrorClass::Object
            | ErrorClass::Zlib
            | ErrorClass::Tree
            | ErrorClass::Reference
            | ErrorClass::Indexer
            | ErrorClass::Config
    )
}

/// Removes a folder that may not be there.
fn remove(dir: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(GitError::MirrorFolder { dir: dir.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}
