//! What history says about the services of one reading.
//!
//! A pass asks Git for it and waits only for a moment: a disk that hangs, or a look that reads
//! thousands of signatures, must not keep traffic on machines that fail. What earlier answers
//! have told is remembered beside, and is enough to go on with: a service whose marks are known
//! to be the commit's ancestors acts as before, and any other waits behind a fence, which
//! protective changes pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::desired::spec::{Desired, ServiceFile, ServiceSpec};
use crate::git::TrustedKeys;
use crate::names::{CommitId, ServiceName};
use crate::observed::state::Observation;
use crate::plan::service::{claims, fence_commit};
use crate::plan::types::{Reason, WaitingOn};

use super::target::Target;

/// How many past commits' files are kept parsed, for services whose file is broken or gone.
const PAST_MAX: usize = 32;

/// Of how many commits it is kept what they descend from: the one that is brought about, and
/// some to spare for what is planned beside it.
pub(super) const ANCESTRIES_MAX: usize = 4;

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

/// Who knows about history.
pub(super) trait Oracle {
    /// Whether history is cut off.
    fn is_shallow(&self) -> bool;
    /// Why a commit may not act after another, if so.
    fn refuses(&mut self, claim: &str, commit: &CommitId) -> Option<WaitingOn>;
    /// What a past commit says.
    fn past(&mut self, commit: &CommitId) -> Option<Arc<Desired>>;
    /// Why a commit may not act for its signatures, or those of others since, if so.
    fn unsigned(&mut self, commit: &CommitId, observed: &Observation, keys: &TrustedKeys) -> Option<WaitingOn>;
    /// Whether a commit since the fences said that many releases at once are meant.
    fn overrides(&mut self, commit: &CommitId, observed: &Observation) -> bool;
}

impl Target {
    /// What an oracle says about the services of a reading.
    pub(super) fn lineage_by(&self, oracle: &mut dyn Oracle, observed: &Observation) -> Lineage {
        let mut lineage = Lineage::default();
        let Some(commit) = &self.desired.commit else { return lineage };
        // In a shallow clone an ancestor may only be out of sight. Such a clone is planned
        // and never applied, so a warning says so and the plan goes on.
        let shallow = oracle.is_shallow();
        for (name, state) in &observed.services {
            let refused = claims(state).into_iter().filter_map(|claim| {
                let refused = oracle.refuses(&claim, commit)?;
                let refused = self.base.as_ref().map_or(Some(refused), |base| oracle.refuses(&claim, base))?;
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
            if let Some(spec) = past.and_then(|past| oracle.past(&past)?.spec_of(name).cloned()) {
                lineage.fallbacks.insert(name.clone(), spec);
            }
        }
        if let Some(wait) = self.signed_by.as_ref().and_then(|keys| oracle.unsigned(commit, observed, keys)) {
            // What a mark already forbids is the more exact reason.
            for name in observed.services.keys().chain(self.desired.services.keys()) {
                lineage.fences.entry(name.clone()).or_insert_with(|| wait.clone());
            }
        }
        let newest = [Some(commit), self.base.as_ref()];
        lineage.limit_overridden = newest.into_iter().flatten().any(|newest| oracle.overrides(newest, observed));
        lineage
    }
}

/// What Git has answered before. It is never locked while Git is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    answers: Arc<Mutex<Answers>>,
}

#[derive(Debug, Default)]
struct Answers {
    past: BTreeMap<CommitId, Arc<Desired>>,
    /// The marks' commits that a commit was found to descend from, the newest commit first.
    ancestry: Vec<(CommitId, BTreeSet<String>)>,
    /// The commit all of whose signatures were found good last, and by which keys.
    vetted: Option<(CommitId, String)>,
}

impl Known {
    /// Whoever held the lock and panicked has left nothing half written: all is a cache.
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_ancestor(&self, claim: &str, of: &CommitId) -> bool {
        self.answers().ancestry.iter().any(|(known, ancestors)| known == of && ancestors.contains(claim))
    }

    pub fn keep_ancestor(&self, claim: &str, of: &CommitId) {
        let ancestry = &mut self.answers().ancestry;
        match ancestry.iter_mut().find(|(known, _)| known == of) {
            Some((_, ancestors)) => {
                ancestors.insert(claim.to_owned());
            }
            None => {
                ancestry.insert(0, (of.clone(), BTreeSet::from([claim.to_owned()])));
                ancestry.truncate(ANCESTRIES_MAX);
            }
        }
    }

    pub fn past(&self, commit: &CommitId) -> Option<Arc<Desired>> {
        self.answers().past.get(commit).cloned()
    }

    pub fn keep_past(&self, commit: &CommitId, desired: &Arc<Desired>) {
        let past = &mut self.answers().past;
        if past.len() >= PAST_MAX {
            past.pop_first();
        }
        past.insert(commit.clone(), Arc::clone(desired));
    }

    pub fn is_vetted(&self, commit: &CommitId, keys: &TrustedKeys) -> bool {
        self.answers().vetted.as_ref().is_some_and(|(known, by)| known == commit && by == keys.digest())
    }

    pub fn keep_vetted(&self, vetted: Option<(CommitId, String)>) {
        self.answers().vetted = vetted;
    }
}

/// What is remembered stands in while Git does not answer.
impl Oracle for Known {
    fn is_shallow(&self) -> bool {
        false
    }

    fn refuses(&mut self, claim: &str, commit: &CommitId) -> Option<WaitingOn> {
        let short: String = claim.chars().take(7).collect();
        (!self.is_ancestor(claim, commit)).then(|| {
            unread(format!("whether the commit descends from {short}, which was acted on, can't be read at present"))
        })
    }

    fn past(&mut self, commit: &CommitId) -> Option<Arc<Desired>> {
        Known::past(self, commit)
    }

    fn unsigned(&mut self, commit: &CommitId, _: &Observation, keys: &TrustedKeys) -> Option<WaitingOn> {
        (!self.is_vetted(commit, keys))
            .then(|| unread("the signatures since the last commit acted on can't be read at present".to_owned()))
    }

    fn overrides(&mut self, _: &CommitId, _: &Observation) -> bool {
        false
    }
}

fn unread(what: String) -> WaitingOn {
    let detail = format!("{what}: Git does not answer");
    WaitingOn { reason: Reason::Fence, detail, since: None, until: None }
}

#[cfg(test)]
impl Known {
    /// The newest commit of which it is kept what it descends from, how many commits there
    /// are, and how many ancestors of the newest.
    pub fn kept(&self) -> (CommitId, usize, usize) {
        let answers = self.answers();
        (answers.ancestry[0].0.clone(), answers.ancestry.len(), answers.ancestry[0].1.len())
    }
}
