//! The config repository as a source of commits to bring about, and one such commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::desired::files::{ConfigFiles, FileContent};
use crate::desired::spec::{Desired, ScopeConfig};
use crate::desired::unchanged::{self, DigestRow};
use crate::git::{Ancestry, Breaker, ConfigVersion, GitError, Merge, Repository, TrustedKeys};
use crate::names::{CommitId, ListenerArn, ServiceName};
use crate::observed::state::{Observation, Place};
use crate::plan::places;
use crate::plan::service::{claims, fence_commit, fenced_by};
use crate::plan::types::{Reason, WaitingOn};

use tokio::task::JoinHandle;

use super::lineage::{Known, Lineage, Oracle};

/// The trailer of a commit that means more releases at once than the limit.
pub const OVERRIDE_TRAILER: &str = "Ionroller-Override";

/// How long a pass waits for what history says. Then it goes on with what was known.
const LINEAGE_WAIT: Duration = Duration::from_secs(3);

/// A config repository that tasks share. Its methods read Git, so they block.
#[derive(Clone)]
pub struct ConfigRepository {
    inner: Arc<Mutex<Inner>>,
    /// The handle on a mirror that talks with the remote. Whatever that waits for, the other
    /// one is free to be read.
    remote: Option<Arc<Mutex<Repository>>>,
    breaker: Breaker,
    known: Known,
    folder: Arc<str>,
    /// The question that a pass has given up waiting for.
    unanswered: Arc<Mutex<Option<JoinHandle<Lineage>>>>,
    /// Whether an answer may take so long that no task may wait for it. Beside the lock, which
    /// somebody may hold for as long.
    blocks: bool,
}

/// What is asked of a repository to bring a commit about. Simulations answer it without one.
pub trait History: Send {
    /// The commit at the tip of a branch.
    ///
    /// # Errors
    /// It can't be read.
    fn tip(&mut self, branch: &str) -> Result<CommitId, GitError>;
    /// What tells whether two commits say the same.
    ///
    /// # Errors
    /// The commit can't be read.
    fn config_version(&self, commit: &CommitId, folder: &str) -> Result<ConfigVersion, GitError>;
    /// The files of a commit.
    ///
    /// # Errors
    /// The commit can't be read.
    fn config_files(&self, commit: &CommitId, folder: &str) -> Result<ConfigFiles, GitError>;
    /// How one commit stands to another.
    ///
    /// # Errors
    /// History can't be read.
    fn ancestry(&self, ancestor: &CommitId, of: &CommitId) -> Result<Ancestry, GitError>;
    /// Whether a commit since some others has a trailer.
    ///
    /// # Errors
    /// History can't be read.
    fn has_trailer(&self, newest: &CommitId, since: &[CommitId], key: &str) -> Result<bool, GitError>;
    /// What files of a folder held, along first parents, see [`Repository::older_contents`]:
    /// gives the files of which something can't be read.
    fn older_contents(
        &self,
        from: &CommitId,
        folder: &str,
        names: Vec<String>,
        look: &mut dyn FnMut(&str, Option<&[u8]>) -> bool,
    ) -> BTreeSet<String>;
    /// Whether history is cut off.
    fn is_shallow(&self) -> bool;
}

impl History for Repository {
    fn tip(&mut self, branch: &str) -> Result<CommitId, GitError> {
        Self::tip(self, branch)
    }

    fn config_version(&self, commit: &CommitId, folder: &str) -> Result<ConfigVersion, GitError> {
        Self::config_version(self, commit, folder)
    }

    fn config_files(&self, commit: &CommitId, folder: &str) -> Result<ConfigFiles, GitError> {
        Self::config_files(self, commit, folder)
    }

    fn ancestry(&self, ancestor: &CommitId, of: &CommitId) -> Result<Ancestry, GitError> {
        Self::ancestry(self, ancestor, of)
    }

    fn has_trailer(&self, newest: &CommitId, since: &[CommitId], key: &str) -> Result<bool, GitError> {
        Ok(!self.trailers(newest, since, key)?.is_empty())
    }

    fn older_contents(
        &self,
        from: &CommitId,
        folder: &str,
        names: Vec<String>,
        look: &mut dyn FnMut(&str, Option<&[u8]>) -> bool,
    ) -> BTreeSet<String> {
        Self::older_contents(self, from, folder, names, look)
    }

    fn is_shallow(&self) -> bool {
        Self::is_shallow(self)
    }
}

/// Where the answers come from.
enum Store {
    Git(Repository),
    #[cfg(test)]
    Values(Box<dyn History>),
}

impl Store {
    fn history(&self) -> &dyn History {
        match self {
            Self::Git(repository) => repository,
            #[cfg(test)]
            Self::Values(history) => &**history,
        }
    }

    fn history_mut(&mut self) -> &mut dyn History {
        match self {
            Self::Git(repository) => repository,
            #[cfg(test)]
            Self::Values(history) => &mut **history,
        }
    }

    /// For the questions that only a repository answers.
    fn git(&mut self) -> &mut Repository {
        match self {
            Self::Git(repository) => repository,
            #[cfg(test)]
            Self::Values(_) => unreachable!("a simulated history is asked nothing else"),
        }
    }
}

struct Inner {
    store: Store,
    folder: String,
    /// The files that were parsed last: nothing is parsed again unless they change.
    latest: Option<(ConfigVersion, Arc<Desired>)>,
    /// Something that the last commit was held against could not be read.
    incomplete: bool,
    known: Known,
}

/// What a commit would say once it is merged into another.
#[derive(Debug)]
pub enum Merged {
    /// It can be merged.
    Clean {
        /// The files afterwards.
        files: ConfigFiles,
        /// What they say.
        desired: Arc<Desired>,
    },
    /// It can't: these files, from the root of the repository, were changed on both sides.
    Conflict(Vec<String>),
}

impl fmt::Debug for ConfigRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigRepository")
    }
}

impl ConfigRepository {
    /// The config folder of a repository.
    pub fn new(repository: Repository, folder: &str) -> Self {
        let remote = repository.for_exchanges();
        let breaker = remote.as_ref().map(Repository::breaker).unwrap_or_default();
        let remote = remote.map(|remote| Arc::new(Mutex::new(remote)));
        Self { remote, breaker, ..Self::over(Store::Git(repository), folder) }
    }

    /// A config folder whose history is a value.
    #[cfg(test)]
    pub fn simulated(history: Box<dyn History>) -> Self {
        Self::over(Store::Values(history), ".")
    }

    fn over(store: Store, folder: &str) -> Self {
        let known = Known::default();
        let blocks = matches!(store, Store::Git(_));
        let inner = Inner { store, folder: folder.to_owned(), latest: None, incomplete: false, known: known.clone() };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            remote: None,
            breaker: Breaker::default(),
            known,
            folder: folder.into(),
            unanswered: Arc::default(),
            blocks,
        }
    }

    /// Asks without holding up the tasks beside: what reads Git blocks. A task that panicked
    /// has said nothing.
    ///
    /// # Errors
    /// The question ended early.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        if !self.blocks {
            return Ok(question(self));
        }
        let asked = self.clone();
        tokio::task::spawn_blocking(move || question(&asked)).await
    }

    /// The commit at the tip of a branch.
    ///
    /// # Errors
    /// It can't be read.
    pub fn tip(&self, branch: &str) -> Result<CommitId, GitError> {
        let Some(remote) = &self.remote else { return self.inner().store.history_mut().tip(branch) };
        let tip = remote.lock().unwrap_or_else(PoisonError::into_inner).tip(branch)?;
        self.with(Repository::reopen);
        Ok(tip)
    }

    /// Whether it is a mirror of a remote, and not a repository that is opened where it lies.
    pub fn is_mirror(&self) -> bool {
        self.remote.is_some()
    }

    /// The commit that the mirror has for a branch from an earlier exchange; none where the
    /// repository is opened where it lies, which needs no exchange.
    pub fn stored_tip(&self, branch: &str) -> Option<CommitId> {
        self.remote.as_ref()?;
        self.with(|repository| repository.stored_tip(branch))
    }

    /// Whether something that the last commit was held against could not be read: once that
    /// is mended, the same commit says more.
    pub fn is_incomplete(&self) -> bool {
        self.inner().incomplete
    }

    /// Ends an exchange with the remote that is under way.
    pub fn end_exchange(&self) {
        self.breaker.end();
    }

    /// Whoever held the lock and panicked has left nothing half written: all is a cache.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The repository itself, for the questions that only it answers.
    ///
    /// # Errors
    /// Those of the question.
    pub fn with<T>(&self, question: impl FnOnce(&mut Repository) -> T) -> T {
        question(self.inner().store.git())
    }

    /// The config folder, relative to the repository's root.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// What a commit says.
    ///
    /// # Errors
    /// The commit can't be read.
    pub fn desired(&self, commit: &CommitId) -> Result<Arc<Desired>, GitError> {
        let mut inner = self.inner();
        let version = inner.store.history().config_version(commit, &inner.folder)?;
        if let Some((known, desired)) = &inner.latest
            && *known == version
            && !inner.incomplete
        {
            let same_files = Desired { commit: Some(commit.clone()), ..(**desired).clone() };
            return Ok(Arc::new(same_files));
        }
        let files = inner.store.history().config_files(commit, &inner.folder)?;
        let desired = Arc::new(inner.judge(&files, commit, commit));
        inner.latest = Some((version, Arc::clone(&desired)));
        Ok(desired)
    }

    /// What `commit` would say once it is merged into `base`. Nothing is written.
    ///
    /// # Errors
    /// A commit can't be read, or the two have no common ancestor.
    pub fn merged(&self, base: &CommitId, commit: &CommitId) -> Result<Merged, GitError> {
        let mut inner = self.inner();
        let folder = inner.folder.clone();
        match inner.store.git().merged_files(base, commit, &folder)? {
            Merge::Conflict(paths) => Ok(Merged::Conflict(paths)),
            Merge::Clean(files) => {
                let desired = Arc::new(inner.judge(&files, commit, base));
                Ok(Merged::Clean { files, desired })
            }
        }
    }

    /// The files of a commit, unparsed.
    ///
    /// # Errors
    /// The commit can't be read.
    pub fn files(&self, commit: &CommitId) -> Result<ConfigFiles, GitError> {
        let inner = self.inner();
        inner.store.history().config_files(commit, &inner.folder)
    }

    /// What a past commit says.
    ///
    /// # Errors
    /// The commit can't be read.
    pub fn past(&self, commit: &CommitId) -> Result<Arc<Desired>, GitError> {
        self.inner().past(commit)
    }
}

impl Inner {
    /// What files say, in the light of the history that leads to `before`.
    fn judge(&mut self, files: &ConfigFiles, commit: &CommitId, before: &CommitId) -> Desired {
        let mut desired = crate::desired::load(files, Some(commit.clone()));
        let mut texts = BTreeMap::new();
        let mut rows = BTreeMap::new();
        for service in desired.services.keys() {
            let name = format!("{service}.toml");
            if let (Some(_), Some(FileContent::Bytes(bytes))) =
                (desired.spec_of(service), files.files.get(&format!("services/{name}")))
                && let Ok(text) = std::str::from_utf8(bytes)
                && let Some(row) = DigestRow::of(text)
            {
                texts.insert(name.clone(), (service.clone(), text));
                rows.insert(name, row);
            }
        }
        let folder = format!("{}services", files.root);
        let names: Vec<String> = rows.keys().cloned().collect();
        let unread = self.store.history().older_contents(before, &folder, names, &mut |name, older| {
            let older = older.map(String::from_utf8_lossy);
            rows.get_mut(name).is_some_and(|row| row.look(older.as_deref()))
        });
        self.incomplete = !unread.is_empty();
        for name in &unread {
            if let Some((service, text)) = texts.get(name) {
                unchanged::refuse_unread(&mut desired, service, &format!("{folder}/{name}"), text);
            }
        }
        for (name, row) in rows.iter().filter(|(name, _)| !unread.contains(*name)) {
            if let (Some(came_with), Some((service, text))) = (row.came_with_another(), texts.get(name)) {
                unchanged::refuse(&mut desired, service, &format!("{folder}/{name}"), text, came_with);
            }
        }
        desired
    }

    fn load(&self, commit: &CommitId) -> Result<Arc<Desired>, GitError> {
        let files = self.store.history().config_files(commit, &self.folder)?;
        Ok(Arc::new(crate::desired::load(&files, Some(commit.clone()))))
    }

    fn past(&mut self, commit: &CommitId) -> Result<Arc<Desired>, GitError> {
        if let Some(known) = self.known.past(commit) {
            return Ok(known);
        }
        let desired = self.load(commit)?;
        self.known.keep_past(commit, &desired);
        Ok(desired)
    }
}

/// Git itself.
impl Oracle for Inner {
    fn is_shallow(&self) -> bool {
        self.store.history().is_shallow()
    }

    fn refuses(&mut self, claim: &str, commit: &CommitId) -> Option<WaitingOn> {
        if self.known.is_ancestor(claim, commit) {
            return None;
        }
        // Only a yes is kept: what is unknown today may be fetched tomorrow.
        let answer = CommitId::parse(claim).ok().map(|claim| self.store.history().ancestry(&claim, commit));
        match answer {
            Some(Ok(answer)) if answer.holds() => {
                self.known.keep_ancestor(claim, commit);
                None
            }
            Some(Ok(Ancestry::NotAncestor)) => Some(fenced_by(claim, true)),
            Some(Ok(_) | Err(_)) | None => Some(fenced_by(claim, false)),
        }
    }

    fn past(&mut self, commit: &CommitId) -> Option<Arc<Desired>> {
        Inner::past(self, commit).ok()
    }

    /// One since the last that was acted on, by the marks of all services, has no signature
    /// that counts. Of a scope without marks, the commit alone is looked at.
    fn unsigned(&mut self, commit: &CommitId, observed: &Observation, keys: &TrustedKeys) -> Option<WaitingOn> {
        // The reading of one service alone knows too little of what was acted on: what the
        // reading of all has found counts.
        if self.known.is_vetted(commit, keys) {
            return None;
        }
        let claims: BTreeSet<String> = observed.services.values().flat_map(claims).collect();
        let since: Vec<CommitId> = claims.iter().filter_map(|claim| CommitId::parse(claim).ok()).collect();
        let detail = match self.store.git().untrusted(commit, &since, keys, observed.at) {
            Ok(None) => {
                let acted_on = |claim| self.store.history().ancestry(claim, commit).is_ok_and(|answer| answer.holds());
                let vetted = since.iter().any(acted_on).then(|| (commit.clone(), keys.digest().to_owned()));
                self.known.keep_vetted(vetted);
                return None;
            }
            Ok(Some(bad)) => format!("commit {} {}; nothing since is acted on", bad.commit.short(), bad.why),
            Err(error) => format!("the signatures since the last commit acted on could not be read: {error}"),
        };
        Some(WaitingOn { reason: Reason::Fence, detail, since: None, until: None })
    }

    fn overrides(&mut self, commit: &CommitId, observed: &Observation) -> bool {
        let fences = observed.services.values().filter_map(fence_commit);
        let since: BTreeSet<CommitId> = fences.filter_map(|fence| CommitId::parse(&fence).ok()).collect();
        let since: Vec<CommitId> = since.into_iter().collect();
        self.store.history().has_trailer(commit, &since, OVERRIDE_TRAILER).unwrap_or(false)
    }
}

/// A commit to bring about.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it says.
    pub desired: Arc<Desired>,
    /// Its scope file, which is valid: a commit with a broken one is no target.
    pub scope: Arc<ScopeConfig>,
    /// Where it comes from; none for a plain folder, which is only ever planned.
    pub repository: Option<ConfigRepository>,
    /// Act even where the commit doesn't descend from what was acted on.
    pub allow_rewind: bool,
    /// What the commit is merged into, where that is only planned: the merge, which does
    /// not exist yet, will descend from both.
    pub base: Option<CommitId>,
    /// The keys that must have signed every commit since the last one acted on; none where
    /// that is not asked for.
    pub signed_by: Option<Arc<TrustedKeys>>,
}

impl Target {
    /// A target; none when the commit's scope file is broken.
    pub fn new(desired: Arc<Desired>, repository: Option<ConfigRepository>) -> Option<Self> {
        let scope = Arc::new(desired.scope.clone()?);
        Some(Self { desired, scope, repository, allow_rewind: false, base: None, signed_by: None })
    }

    /// Where each file wants its rule, one whose place another file claims included.
    pub fn places(&self) -> BTreeMap<ServiceName, Place> {
        let places = self.desired.services.keys().filter_map(|name| {
            let place = places::place(self.desired.spec_of(name)?)?;
            Some((name.clone(), place))
        });
        places.collect()
    }

    /// The listeners that the files name.
    pub fn listeners(&self) -> BTreeSet<ListenerArn> {
        self.places().into_values().map(|place| place.listener).collect()
    }

    /// As [`Self::lineage`], without holding up the tasks beside, and without waiting for Git
    /// longer than a moment: see [`super::lineage`].
    pub async fn ask_lineage(&self, observed: &Observation) -> Lineage {
        let Some(repository) = &self.repository else { return Lineage::default() };
        if !repository.blocks {
            return self.lineage(observed);
        }
        let as_known = || self.lineage_by(&mut repository.known.clone(), observed);
        // One unanswered question is enough; each would wait for the same.
        let unanswered = || repository.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        if unanswered().as_ref().is_some_and(|question| !question.is_finished()) {
            return as_known();
        }
        let (target, reading) = (self.clone(), observed.clone());
        let mut question = tokio::task::spawn_blocking(move || target.lineage(&reading));
        match tokio::time::timeout(LINEAGE_WAIT, &mut question).await {
            Ok(Ok(lineage)) => lineage,
            // It panicked, and has said nothing.
            Ok(Err(_)) => as_known(),
            Err(_) => {
                tracing::warn!("history can't be read at present: passes go on with what is known of it");
                *unanswered() = Some(question);
                as_known()
            }
        }
    }

    /// What history says about the services of a reading. Reads Git, so it blocks.
    pub fn lineage(&self, observed: &Observation) -> Lineage {
        match &self.repository {
            Some(repository) => self.lineage_by(&mut *repository.inner(), observed),
            None => Lineage::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lineage::ANCESTRIES_MAX;
    use super::*;
    use crate::git::ScratchRepository;

    /// A daemon sees commits for as long as it lives, and each meets the marks of all services.
    #[test]
    fn what_a_commit_descends_from_is_forgotten_with_the_commit() {
        let dir = tempfile::tempdir().unwrap();
        let scratch =
            ScratchRepository::create(dir.path(), &[("services/web.toml", "version = \"0\"\n")], "0").unwrap();
        let repository = ConfigRepository::new(Repository::open_local(dir.path()).unwrap(), ".");
        let first = repository.tip("main").unwrap();
        let mut last = first.clone();
        for number in 1..=2 * ANCESTRIES_MAX {
            let text = format!("version = \"{number}\"\n");
            scratch.merge_change(&[("services/web.toml", &text)], "next", "merge").unwrap();
            let tip = repository.tip("main").unwrap();
            for claim in [&first, &last] {
                assert!(repository.inner().refuses(claim.as_str(), &tip).is_none());
            }
            assert!(repository.inner().refuses(tip.as_str(), &first).is_some());
            last = tip;
        }
        assert_eq!(repository.known.kept(), (last, ANCESTRIES_MAX, 2));
    }
}
