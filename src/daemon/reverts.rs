//! Proposes to take a rejected release back: pushes the revert to a branch and opens a pull
//! request. Whether to, [`crate::notifications::revert`] decides. What was proposed before
//! is asked of the forge and the remote, so a restart proposes nothing twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::desired::files::FileContent;
use crate::forge::{self, Forge, ForgeError, NewPullRequest, Which, ensure};
use crate::git::{CommitError, FileChange, FileCommit, GitError, Repository};
use crate::names::{CommitId, Digest, ServiceName};
use crate::notifications::revert::{Decision, Seen, Wanted, decide, wanted};
use crate::plan::types::Plan;
use crate::reconcile::ConfigRepository;
use crate::reconcile::past::Past;
use crate::reconcile::undo::{Goal, UndoError, changes_to_undo, reverted, undone};
use crate::settings::Settings;
use crate::time::Timestamp;

use super::source::chain;
use super::statuses::{NEEDS_SOMEBODY, connect};
use super::{Open, Shared};

/// After a failure of Git.
const AGAIN: Duration = Duration::from_secs(30);

/// How an attempt ended.
enum Done {
    /// There is a pull request.
    Opened(forge::Opened),
    /// There will be none, and this is why.
    Left(String),
}

/// Why an attempt is made again, and when.
struct Trouble {
    said: String,
    again: Duration,
}

impl From<ForgeError> for Trouble {
    fn from(error: ForgeError) -> Self {
        let again = if error.may_pass() { forge::pause(&error, 4) } else { NEEDS_SOMEBODY };
        let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        Self { said: format!("{error}{hint}"), again }
    }
}

impl From<GitError> for Trouble {
    fn from(error: GitError) -> Self {
        Self { said: chain(&error), again: AGAIN }
    }
}

impl From<CommitError> for Trouble {
    fn from(error: CommitError) -> Self {
        let again = if matches!(error, CommitError::Rejected { .. }) { NEEDS_SOMEBODY } else { AGAIN };
        Self { said: chain(&error), again }
    }
}

/// One rejected release to propose something for.
struct Job {
    settings: Settings,
    open: Open,
    wanted: Wanted,
    /// The commit that still asks for it.
    tip: CommitId,
    now: Timestamp,
}

/// Proposes until it is stopped.
pub(super) async fn run(open: Open, shared: Shared) {
    let (mut plans, mut followed) = (shared.plan.subscribe(), shared.followed.subscribe());
    let mut done: BTreeSet<(ServiceName, Digest)> = BTreeSet::new();
    let mut not_before = Instant::now();
    let mut said: Option<String> = None;
    loop {
        let settings = followed.borrow_and_update().settings.clone();
        let plan = plans.borrow_and_update().clone();
        let ours = settings.forge.auto_revert && shared.acts.load(Ordering::Relaxed);
        let job = plan.filter(|_| ours).and_then(|plan| next(&plan, &mut done, &settings, &open));
        let may_begin = Instant::now() >= not_before;
        if let Some(job) = job.as_ref().filter(|_| may_begin) {
            let key = (job.wanted.service.clone(), job.wanted.digest.clone());
            tokio::select! {
                ended = attempt(job) => match ended {
                    Ok(ended) => {
                        tell(&job.wanted, &ended);
                        done.insert(key);
                        said = None;
                    }
                    Err(trouble) => {
                        not_before = Instant::now() + trouble.again;
                        if said.as_ref() != Some(&trouble.said) {
                            let service = &job.wanted.service;
                            tracing::warn!(%service, error = trouble.said, "no revert could be proposed; it is tried again");
                        }
                        said = Some(trouble.said);
                    }
                },
                () = shared.stop.cancelled() => return,
            }
            continue;
        }
        tokio::select! {
            changed = plans.changed() => if changed.is_err() { return },
            _ = followed.changed() => not_before = Instant::now(),
            () = tokio::time::sleep_until(not_before), if job.is_some() => {}
            () = shared.stop.cancelled() => return,
        }
    }
}

/// The next rejected release that nothing was done about yet.
fn next(plan: &Plan, done: &mut BTreeSet<(ServiceName, Digest)>, settings: &Settings, open: &Open) -> Option<Job> {
    let all = wanted(plan);
    done.retain(|(service, digest)| all.iter().any(|one| one.service == *service && one.digest == *digest));
    let mut left = all.into_iter().filter(|one| !done.contains(&(one.service.clone(), one.digest.clone())));
    let (wanted, tip, now) = (left.next()?, plan.commit.clone()?, plan.observed_at?);
    Some(Job { settings: settings.clone(), open: Arc::clone(open), wanted, tip, now })
}

/// Runs an attempt on a thread of its own: it talks to two servers, and the end of the
/// daemon must not wait for them.
async fn attempt(job: &Job) -> Result<Done, Trouble> {
    let job = Job {
        settings: job.settings.clone(),
        open: Arc::clone(&job.open),
        wanted: job.wanted.clone(),
        tip: job.tip.clone(),
        now: job.now,
    };
    let (tell, answer) = oneshot::channel();
    let begun = std::thread::Builder::new().name("revert".to_owned()).spawn(move || {
        let _ = tell.send(propose(&job));
    });
    let early = || Trouble { said: "the attempt ended early".to_owned(), again: AGAIN };
    begun.map_err(|_| early())?;
    answer.await.map_err(|_| early())?
}

fn propose(job: &Job) -> Result<Done, Trouble> {
    let branch = job.wanted.branch.as_str();
    let Some(forge) = connect(&job.settings)? else { return Ok(Done::Left("no forge is named".to_owned())) };
    // A handle of its own on the mirror: reconciling never waits for what is pushed here.
    let repository = (job.open)(&job.settings).map_err(|said| Trouble { said, again: NEEDS_SOMEBODY })?;
    let seen = seen(&*forge, &repository, branch)?;
    let revert = match prepare(job, &repository) {
        Ok(revert) => revert,
        Err(UndoError::Git(error)) => return Err(error.into()),
        Err(error) => return Ok(Done::Left(error.to_string())),
    };
    match decide(&job.wanted, job.now, revert.of_a_revert, seen) {
        Decision::Leave(why) => return Ok(Done::Left(why.to_owned())),
        Decision::Open => {}
        Decision::Push => repository.with(|repository| push(job, repository, &revert))?,
    }
    let (title, body) = revert.message.split_once('\n').unwrap_or((&revert.message, ""));
    let (title, body) = (title.to_owned(), body.trim().to_owned());
    let into = job.settings.branch.clone();
    let new = NewPullRequest { branch: branch.to_owned(), into, title, body };
    Ok(Done::Opened(ensure(&*forge, &new)?))
}

/// What there is already, by the memory that outlives us all.
fn seen(forge: &dyn Forge, repository: &ConfigRepository, branch: &str) -> Result<Seen, Trouble> {
    if !forge.pull_requests(branch, Which::All)?.is_empty() {
        return Ok(Seen::PullRequest);
    }
    let has_branch = repository.with(|repository| repository.has_branch(branch))?;
    Ok(if has_branch { Seen::Branch } else { Seen::Nothing })
}

/// A revert that could be committed.
struct Revert {
    path: String,
    text: String,
    message: String,
    /// One of the commits that it takes back is a revert itself.
    of_a_revert: bool,
}

fn prepare(job: &Job, repository: &ConfigRepository) -> Result<Revert, UndoError> {
    let service = &job.wanted.service;
    let mut files = repository.files(&job.tip)?;
    let inside = format!("services/{service}.toml");
    let path = format!("{}{inside}", files.root);
    let old = match files.files.get(&inside) {
        Some(FileContent::Bytes(bytes)) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    };
    let old = old.ok_or_else(|| UndoError::NotUtf8 { path: path.clone() })?;
    let desired = crate::desired::load(&files, None);
    let current = desired.spec_of(service).map(crate::reconcile::past::release);
    let goal = Goal::Release(job.wanted.to.clone());
    let (text, message, of_a_revert) = repository.with(|repository| {
        let mut past = Past::new(repository, &files.root, service);
        let undo = changes_to_undo(&goal, &mut past, &job.tip, &path, current.as_ref())?;
        let text = undone(repository, &path, &old, &undo)?;
        let reverts: Result<Vec<bool>, GitError> =
            undo.iter().map(|change| repository.is_revert(&change.commit)).collect();
        Ok::<_, UndoError>((text, message(&job.wanted, &path, &undo), reverts?.contains(&true)))
    })?;
    files.files.insert(inside, FileContent::Bytes(text.clone().into_bytes()));
    let after = crate::desired::load(&files, None);
    // Whatever else was changed since, it must ask for what was stable.
    if after.spec_of(service).is_none_or(|spec| spec.version != job.wanted.to.version) {
        let (wanted, count) = (job.wanted.to.version.to_string(), 0);
        return Err(UndoError::Nothing { path, wanted, count, shallow: false });
    }
    Ok(Revert { path, text, message, of_a_revert })
}

fn message(wanted: &Wanted, path: &str, undo: &[FileChange]) -> String {
    let Wanted { service, version, digest, to, at, reason, .. } = wanted;
    format!(
        "{service}: revert to {}, {version} was rejected\n\n{version} was rejected at {at}: {reason}\n\n{}\n\
         Ionroller-Rollback: {service} {}\nIonroller-Rejected: {service} {version} {digest}\n",
        to.version,
        reverted(path, undo),
        to.version,
    )
}

fn push(job: &Job, repository: &Repository, revert: &Revert) -> Result<(), CommitError> {
    let branch = repository.new_branch(&job.wanted.branch, &job.tip)?;
    let change = FileCommit { path: &revert.path, content: revert.text.as_bytes(), message: &revert.message };
    repository.commit_file(&branch, change)?;
    let pushed = repository.push_from_mirror(&branch);
    repository.forget_branch(&branch.name)?;
    pushed
}

fn tell(wanted: &Wanted, ended: &Done) {
    let Wanted { service, version, .. } = wanted;
    match ended {
        Done::Opened(opened) => {
            tracing::info!(%service, %version, url = opened.pull_request.url, "a revert is proposed");
        }
        Done::Left(why) => tracing::info!(%service, %version, why, "no revert is proposed"),
    }
}
