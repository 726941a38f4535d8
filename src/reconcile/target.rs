//! The config repository as a source of commits to bring about, and one such commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::desired::files::{ConfigFiles, FileContent};
use crate::desired::spec::{Desired, ScopeConfig, ServiceFile, ServiceSpec};
use crate::desired::unchanged::{self, DigestRow};
use crate::git::{Ancestry, ConfigVersion, GitError, Merge, Repository, TrustedKeys};
use crate::names::{CommitId, ListenerArn, ServiceName};
use crate::observed::state::{Observation, Place};
use crate::plan::service::{claims, fence_commit, fenced_by};
use crate::plan::types::{Reason, WaitingOn};

/// The trailer of a commit that means more releases at once than the limit.
pub const OVERRIDE_TRAILER: &str = "Ionroller-Override";

/// How many past commits' files are kept parsed, for services whose file is broken or gone.
const PAST_MAX: usize = 32;

/// Of how many commits it is kept what they descend from: the one that is brought about, and
/// some to spare for what is planned beside it.
const ANCESTRIES_MAX: usize = 4;

/// A config repository that tasks share. Its methods read Git, so they block.
#[derive(Clone)]
pub struct ConfigRepository {
    inner: Arc<Mutex<Inner>>,
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
    /// What files of a folder held, along first parents, see [`Repository::older_contents`].
    fn older_contents(
        &self,
        from: &CommitId,
        folder: &str,
        names: Vec<String>,
        look: &mut dyn FnMut(&str, Option<&[u8]>) -> bool,
    );
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
    ) {
        Self::older_contents(self, from, folder, names, look);
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
    past: BTreeMap<CommitId, Arc<Desired>>,
    /// The marks' commits that a commit was found to descend from, the newest commit first.
    ancestry: Vec<(CommitId, BTreeSet<String>)>,
    /// The commit all of whose signatures were found good last, and by which keys.
    vetted: Option<(CommitId, String)>,
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
        Self::over(Store::Git(repository), folder)
    }

    /// A config folder whose history is a value.
    #[cfg(test)]
    pub fn simulated(history: Box<dyn History>) -> Self {
        Self::over(Store::Values(history), ".")
    }

    fn over(store: Store, folder: &str) -> Self {
        let (past, ancestry) = (BTreeMap::new(), Vec::new());
        let blocks = matches!(store, Store::Git(_));
        let inner = Inner { store, folder: folder.to_owned(), latest: None, past, ancestry, vetted: None };
        Self { inner: Arc::new(Mutex::new(inner)), blocks }
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
        self.inner().store.history_mut().tip(branch)
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
    pub fn folder(&self) -> String {
        self.inner().folder.clone()
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
    fn judge(&self, files: &ConfigFiles, commit: &CommitId, before: &CommitId) -> Desired {
        let mut desired = crate::desired::load(files, Some(commit.clone()));
        let mut texts = BTreeMap::new();
        let mut rows = BTreeMap::new();
        for (service, file) in &desired.services {
            let name = format!("{service}.toml");
            if let (ServiceFile::Valid(_), Some(FileContent::Bytes(bytes))) =
                (file, files.files.get(&format!("services/{name}")))
                && let Ok(text) = std::str::from_utf8(bytes)
                && let Some(row) = DigestRow::of(text)
            {
                texts.insert(name.clone(), (service.clone(), text));
                rows.insert(name, row);
            }
        }
        let folder = format!("{}services", files.root);
        let names: Vec<String> = rows.keys().cloned().collect();
        self.store.history().older_contents(before, &folder, names, &mut |name, older| {
            let older = older.map(String::from_utf8_lossy);
            rows.get_mut(name).is_some_and(|row| row.look(older.as_deref()))
        });
        for (name, row) in &rows {
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
        if let Some(known) = self.past.get(commit) {
            return Ok(Arc::clone(known));
        }
        let desired = self.load(commit)?;
        if self.past.len() >= PAST_MAX {
            self.past.pop_first();
        }
        self.past.insert(commit.clone(), Arc::clone(&desired));
        Ok(desired)
    }

    /// Why a commit may not act after another, if so.
    fn refuses(&mut self, claim: &str, commit: &CommitId) -> Option<WaitingOn> {
        if self.ancestry.iter().any(|(known, ancestors)| known == commit && ancestors.contains(claim)) {
            return None;
        }
        // Only a yes is kept: what is unknown today may be fetched tomorrow.
        let answer = CommitId::parse(claim).ok().map(|claim| self.store.history().ancestry(&claim, commit));
        match answer {
            Some(Ok(answer)) if answer.holds() => {
                self.keep_ancestor(claim, commit);
                None
            }
            Some(Ok(Ancestry::NotAncestor)) => Some(fenced_by(claim, true)),
            Some(Ok(_) | Err(_)) | None => Some(fenced_by(claim, false)),
        }
    }

    fn keep_ancestor(&mut self, claim: &str, commit: &CommitId) {
        match self.ancestry.iter_mut().find(|(known, _)| known == commit) {
            Some((_, ancestors)) => {
                ancestors.insert(claim.to_owned());
            }
            None => {
                self.ancestry.insert(0, (commit.clone(), BTreeSet::from([claim.to_owned()])));
                self.ancestry.truncate(ANCESTRIES_MAX);
            }
        }
    }

    /// Why a commit may not act: one since the last that was acted on, by the marks of all
    /// services, has no signature that counts. Of a scope without marks, it alone is looked at.
    fn unsigned(&mut self, commit: &CommitId, observed: &Observation, keys: &TrustedKeys) -> Option<WaitingOn> {
        // The reading of one service alone knows too little of what was acted on: what the
        // reading of all has found counts.
        let vetted = (commit.clone(), keys.digest().to_owned());
        if self.vetted.as_ref() == Some(&vetted) {
            return None;
        }
        let claims: BTreeSet<String> = observed.services.values().flat_map(claims).collect();
        let since: Vec<CommitId> = claims.iter().filter_map(|claim| CommitId::parse(claim).ok()).collect();
        let detail = match self.store.git().untrusted(commit, &since, keys, observed.at) {
            Ok(None) => {
                let acted_on = |claim| self.store.history().ancestry(claim, commit).is_ok_and(|answer| answer.holds());
                self.vetted = Some(vetted).filter(|_| since.iter().any(acted_on));
                return None;
            }
            Ok(Some(bad)) => format!("commit {} {}; nothing since is acted on", bad.commit.short(), bad.why),
            Err(error) => format!("the signatures since the last commit acted on could not be read: {error}"),
        };
        Some(WaitingOn { reason: Reason::Fence, detail, since: None, until: None })
    }

    /// Whether a commit since the fences said that many releases at once are meant.
    fn overrides(&self, commit: &CommitId, observed: &Observation) -> bool {
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

/// What history says about the services of one reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// Services for which the commit may not act.
    pub fences: BTreeMap<ServiceName, WaitingOn>,
    /// What the marks of each service claim that the commit does not descend from.
    pub rewound: BTreeMap<ServiceName, Vec<String>>,
    /// Files as of the `fence` commit, where the present one says nothing.
    pub fallbacks: BTreeMap<ServiceName, ServiceSpec>,
    /// More releases at once than the limit are meant.
    pub limit_overridden: bool,
}

impl Target {
    /// A target; none when the commit's scope file is broken.
    pub fn new(desired: Arc<Desired>, repository: Option<ConfigRepository>) -> Option<Self> {
        let scope = Arc::new(desired.scope.clone()?);
        Some(Self { desired, scope, repository, allow_rewind: false, base: None, signed_by: None })
    }

    /// Where each file wants its rule.
    pub fn places(&self) -> BTreeMap<ServiceName, Place> {
        let places = self.desired.services.iter().filter_map(|(name, file)| {
            let ServiceFile::Valid(spec) = file else { return None };
            let lb = spec.load_balancer.as_ref()?;
            let priority = lb.rule.as_ref().map(|rule| rule.priority);
            Some((name.clone(), Place { listener: lb.listener.clone(), priority }))
        });
        places.collect()
    }

    /// The listeners that the files name.
    pub fn listeners(&self) -> BTreeSet<ListenerArn> {
        self.places().into_values().map(|place| place.listener).collect()
    }

    /// As [`Self::lineage`], without holding up the tasks beside.
    ///
    /// # Errors
    /// The reading of Git ended early.
    pub async fn ask_lineage(&self, observed: &Observation) -> Result<Lineage, tokio::task::JoinError> {
        let Some(repository) = &self.repository else { return Ok(Lineage::default()) };
        if !repository.blocks {
            return Ok(self.lineage(observed));
        }
        let (target, observed) = (self.clone(), observed.clone());
        repository.ask(move |_| target.lineage(&observed)).await
    }

    /// What history says about the services of a reading. Reads Git, so it blocks.
    pub fn lineage(&self, observed: &Observation) -> Lineage {
        let mut lineage = Lineage::default();
        let (Some(repository), Some(commit)) = (&self.repository, &self.desired.commit) else {
            return lineage;
        };
        let mut inner = repository.inner();
        // In a shallow clone an ancestor may only be out of sight. Such a clone is planned
        // and never applied, so a warning says so and the plan goes on.
        let shallow = inner.store.history().is_shallow();
        for (name, state) in &observed.services {
            let refused = claims(state).into_iter().filter_map(|claim| {
                let refused = inner.refuses(&claim, commit)?;
                let refused = self.base.as_ref().map_or(Some(refused), |base| inner.refuses(&claim, base))?;
                Some((refused, claim))
            });
            let refused: Vec<(WaitingOn, String)> = refused.collect();
            if self.allow_rewind && !refused.is_empty() {
                lineage.rewound.insert(name.clone(), refused.into_iter().map(|(_, claim)| claim).collect());
            } else if let Some((wait, _)) = refused.into_iter().next().filter(|_| !shallow) {
                lineage.fences.insert(name.clone(), wait);
            }
            if matches!(self.desired.services.get(name), Some(ServiceFile::Valid(_))) {
                continue;
            }
            let past = fence_commit(state).and_then(|text| CommitId::parse(&text).ok());
            let file = past.and_then(|past| inner.past(&past).ok()?.services.get(name).cloned());
            if let Some(ServiceFile::Valid(spec)) = file {
                lineage.fallbacks.insert(name.clone(), *spec);
            }
        }
        if let Some(wait) = self.signed_by.as_ref().and_then(|keys| inner.unsigned(commit, observed, keys)) {
            // What a mark already forbids is the more exact reason.
            for name in observed.services.keys().chain(self.desired.services.keys()) {
                lineage.fences.entry(name.clone()).or_insert_with(|| wait.clone());
            }
        }
        let newest = [Some(commit), self.base.as_ref()];
        lineage.limit_overridden = newest.into_iter().flatten().any(|newest| inner.overrides(newest, observed));
        lineage
    }
}

#[cfg(test)]
mod tests {
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
        let inner = repository.inner();
        assert_eq!(inner.ancestry.len(), ANCESTRIES_MAX);
        assert_eq!(inner.ancestry[0].0, last);
        assert_eq!(inner.ancestry[0].1.len(), 2);
    }
}
