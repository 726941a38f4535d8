//! Git as a value: commits with one parent each, and a branch.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::desired::files::{ConfigFiles, FileContent};
use crate::git::{Ancestry, ConfigVersion, GitError};
use crate::names::CommitId;
use crate::reconcile::target::History;

/// All commits, and where the branch is. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Commits {
    graph: Arc<Mutex<Graph>>,
    /// Asked by the second daemon.
    second: bool,
}

#[derive(Debug, Default)]
struct Graph {
    all: Vec<Commit>,
    tip: usize,
    /// Nobody can read Git.
    down: bool,
    /// The second daemon can't.
    behind: bool,
    merge: bool,
}

#[derive(Debug)]
struct Commit {
    parent: Option<usize>,
    files: Arc<ConfigFiles>,
    trailer: bool,
    /// It was made on top of everything that there was.
    merges: bool,
}

impl Commits {
    fn lock(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit on top of the branch, or on one so many before it; the branch moves there.
    pub fn commit(&self, back: usize, files: ConfigFiles, trailer: bool) -> CommitId {
        let mut graph = self.lock();
        let mut parent = (!graph.all.is_empty()).then_some(graph.tip);
        for _ in 0..back {
            parent = parent.and_then(|parent| graph.all[parent].parent);
        }
        let merges = std::mem::take(&mut graph.merge);
        graph.all.push(Commit { parent, files: Arc::new(files), trailer, merges });
        graph.tip = graph.all.len() - 1;
        id(graph.tip)
    }

    /// The next commit will descend from all others, also from those that a branch has lost.
    pub fn merge_all(&self) {
        self.lock().merge = true;
    }

    /// The newest commit.
    pub fn tip(&self) -> CommitId {
        id(self.lock().tip)
    }

    /// From now on Git can't be read, or can again.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// From now on the second daemon can't read Git, or can again.
    pub fn set_behind(&self, on: bool) {
        self.lock().behind = on;
    }

    /// What the second daemon asks.
    pub fn for_second(&self) -> Self {
        Self { second: true, ..self.clone() }
    }

    /// The history, if Git can be read.
    fn read(&self) -> Result<MutexGuard<'_, Graph>, GitError> {
        let graph = self.lock();
        let down = graph.down || (self.second && graph.behind);
        if down { Err(away()) } else { Ok(graph) }
    }

    /// Whether a service has a file at a commit.
    pub fn has_file(&self, commit: &CommitId, service: &str) -> bool {
        let graph = self.lock();
        let commit = graph.find(commit);
        commit.is_some_and(|commit| graph.all[commit].files.files.contains_key(&format!("services/{service}.toml")))
    }

    /// Whether a commit is another or descends from it, asked by text.
    pub fn descends(&self, commit: &CommitId, from: &str) -> bool {
        let graph = self.lock();
        let Some(commit) = graph.find(commit) else { return false };
        graph.ancestors(commit).any(|ancestor| id(ancestor).as_str() == from)
    }
}

impl Graph {
    fn find(&self, commit: &CommitId) -> Option<usize> {
        (0..self.all.len()).find(|index| id(*index) == *commit)
    }

    /// A commit and all before it, the newest first. One that merges has all before it.
    fn ancestors(&self, commit: usize) -> impl Iterator<Item = usize> {
        let mut all = false;
        std::iter::successors(Some(commit), move |commit| {
            all |= self.all[*commit].merges;
            if all { commit.checked_sub(1) } else { self.all[*commit].parent }
        })
    }

    fn get(&self, commit: &CommitId) -> Result<usize, GitError> {
        self.find(commit).ok_or_else(away)
    }
}

fn id(index: usize) -> CommitId {
    CommitId::parse(&format!("{:040x}", index + 1)).unwrap()
}

fn away() -> GitError {
    GitError::Empty { location: "the simulated history".to_owned() }
}

impl History for Commits {
    fn tip(&mut self, _branch: &str) -> Result<CommitId, GitError> {
        Ok(id(self.read()?.tip))
    }

    fn config_version(&self, commit: &CommitId, _folder: &str) -> Result<ConfigVersion, GitError> {
        let graph = self.read()?;
        let index = graph.get(commit)?;
        // Commits that say the same are known by the first of them.
        let first = graph.all.iter().position(|other| other.files == graph.all[index].files);
        Ok(ConfigVersion::simulated(format!("{first:?}")))
    }

    fn config_files(&self, commit: &CommitId, _folder: &str) -> Result<ConfigFiles, GitError> {
        let graph = self.read()?;
        Ok(ConfigFiles::clone(&graph.all[graph.get(commit)?].files))
    }

    fn ancestry(&self, ancestor: &CommitId, of: &CommitId) -> Result<Ancestry, GitError> {
        let graph = self.read()?;
        let (Some(from), Some(to)) = (graph.find(ancestor), graph.find(of)) else {
            return Ok(Ancestry::UnknownCommit(ancestor.clone()));
        };
        Ok(match graph.ancestors(to).position(|commit| commit == from) {
            Some(0) => Ancestry::Same,
            Some(_) => Ancestry::Ancestor,
            None => Ancestry::NotAncestor,
        })
    }

    fn has_trailer(&self, newest: &CommitId, since: &[CommitId], _key: &str) -> Result<bool, GitError> {
        let graph = self.read()?;
        let newest = graph.get(newest)?;
        let mut hidden = BTreeSet::new();
        for commit in since {
            hidden.extend(graph.ancestors(graph.get(commit)?));
        }
        Ok(graph.ancestors(newest).any(|commit| !hidden.contains(&commit) && graph.all[commit].trailer))
    }

    fn older_contents(
        &self,
        from: &CommitId,
        folder: &str,
        names: Vec<String>,
        look: &mut dyn FnMut(&str, Option<&[u8]>) -> bool,
    ) -> BTreeSet<String> {
        let graph = self.lock();
        let Some(from) = graph.find(from) else { return BTreeSet::new() };
        for name in names {
            let path = format!("{folder}/{name}");
            let mut last = None;
            for commit in graph.ancestors(from) {
                let content = graph.all[commit].files.files.get(&path);
                if last == Some(content) {
                    continue;
                }
                last = Some(content);
                let bytes = match content {
                    Some(FileContent::Bytes(bytes)) => Some(bytes.as_slice()),
                    _ => None,
                };
                if !look(&name, bytes) {
                    break;
                }
            }
        }
        BTreeSet::new()
    }

    fn is_shallow(&self) -> bool {
        false
    }
}
