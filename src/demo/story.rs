//! What is committed, what is waited for, and what is measured.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Uri;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cloud::sim::SimCloud;
use crate::git::{ScratchError, ScratchRepository};
use crate::names::{CommitId, TargetGroupArn};
use crate::observed::marks;

use super::load::{self, Load, Tally, WINDOW};
use super::{Client, DemoError, Event, Place, Summary, Traffic};

/// The demo's one service file.
const FILE: (&str, &str) = ("services/shop.toml", include_str!("example/services/shop.toml"));

/// The version that is bad.
const BAD: &str = super::machines::BAD_VERSION;

/// The story ends with an error when it takes longer.
const LIMIT: Duration = Duration::from_secs(240);

/// Requests a second while the story is told, and while it only keeps running.
const RATE: u64 = 600;
const RATE_SERVING: u64 = 100;

/// As many requests as there are at least.
const REQUESTS_MIN: u64 = 10_500;

/// How often the daemon is asked how far it is, and how often that is told.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const TELL_EVERY: Duration = Duration::from_millis(250);

/// How long to look at what came of a commit before the next one.
const REST: Duration = Duration::from_secs(2);

/// An answer of the daemon that takes longer is no answer.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
const STATUS_MAX: usize = 1024 * 1024;

/// Tells the story.
pub struct Story<'a> {
    scratch: ScratchRepository,
    cloud: SimCloud,
    place: Place,
    stop: CancellationToken,
    tell: &'a (dyn Fn(Event) + Send + Sync),
    client: Client,
    load: Option<Load>,
    started: Instant,
    /// Until when it must have ended; none while it only keeps running.
    deadline: Option<Instant>,
    /// The bad release was merged, so one may be rejected.
    bad_is_out: bool,
    told: Told,
}

/// What was told last, so that nothing is told twice.
#[derive(Default)]
struct Told {
    progress: String,
    progress_at: Option<Instant>,
    /// Phase and reason.
    kind: String,
    traffic_at: Option<Instant>,
    weights: BTreeMap<String, u32>,
    /// When they were changed, until their effect was told.
    changed: Option<Instant>,
}

/// The daemon's status, as far as the story needs it.
#[derive(Debug, Default, Deserialize)]
struct Status {
    commit: Option<String>,
    services: Vec<Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    live: Option<Release>,
    phase: String,
    groups: Vec<Group>,
    waiting_on: Option<Wait>,
    rejected: Option<Rejected>,
}

#[derive(Debug, Deserialize)]
struct Release {
    version: String,
}

#[derive(Debug, Deserialize)]
struct Group {
    version: String,
    weight: Option<u32>,
    desired_capacity: u32,
}

#[derive(Debug, Deserialize)]
struct Wait {
    reason: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
struct Rejected {
    reason: String,
}

impl Service {
    fn is_settled_on(&self, version: &str) -> bool {
        // What was rejected leaves the release before it where it was.
        ["steady", "rejected"].contains(&self.phase.as_str())
            && self.live.as_ref().is_some_and(|live| live.version == version)
    }

    /// Whether any machine of a version is still wanted.
    fn has(&self, version: &str) -> bool {
        self.groups.iter().any(|group| group.version == version && group.desired_capacity > 0)
    }

    fn weight(&self, version: &str) -> u32 {
        self.groups.iter().filter(|group| group.version == version).filter_map(|group| group.weight).sum()
    }
}

impl<'a> Story<'a> {
    /// A story that has not begun.
    pub fn new(
        scratch: ScratchRepository,
        cloud: SimCloud,
        place: Place,
        stop: CancellationToken,
        tell: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Self {
        let started = Instant::now();
        let (client, told) = (Client::new(), Told::default());
        let deadline = Some(started + LIMIT);
        Self { scratch, cloud, place, stop, tell, client, load: None, started, deadline, bad_is_out: false, told }
    }

    /// From the first release to the summary.
    ///
    /// # Errors
    /// It was stopped, or something else happened.
    pub async fn tell(&mut self, serve: bool) -> Result<Summary, DemoError> {
        self.first_release().await?;
        let good = self.release_in_steps().await?;
        let bad = self.bad_release().await?;
        let revert = self.reverts(&bad, &good).await?;
        let summary = self.sum_up(&revert).await?;
        self.say(Event::Ended(summary.clone()));
        if serve {
            self.serve().await;
        }
        Ok(summary)
    }

    /// Ends the load.
    pub async fn end(self) {
        if let Some(load) = self.load {
            load.end().await;
        }
    }

    async fn first_release(&mut self) -> Result<(), DemoError> {
        self.chapter("Release 1.0.0", "The first commit. Three machines are started, and get traffic once healthy.");
        self.until("1.0.0 live", |_, shop| shop.live.is_some() && shop.weight("1.0.0") == 100).await?;
        self.answered("1.0.0").await?;
        self.load = Some(Load::start(self.place.balancer, RATE));
        self.until("1.0.0 settled", |_, shop| shop.is_settled_on("1.0.0")).await?;
        self.rest().await
    }

    /// Waits until the load balancer answers: it learns of new weights a moment later.
    async fn answered(&mut self, version: &str) -> Result<(), DemoError> {
        let page = format!("http://{}/", self.place.balancer).parse::<Uri>();
        let page = page.map_err(|error| DemoError::Unexpected(error.to_string()))?;
        while load::version_of(&self.client, &page).await.as_deref() != Ok(version) {
            self.look("an answer of the load balancer").await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn release_in_steps(&mut self) -> Result<CommitId, DemoError> {
        self.chapter("Merge 1.1.0", "New machines beside the old ones. Traffic moves in steps: 10, 50, 100 %.");
        let merge = self.merge("1.1.0")?;
        self.until("1.1.0 settled", |_, shop| shop.is_settled_on("1.1.0")).await?;
        self.outcome("1.1.0 is live. The machines of 1.0.0 stay, so that a revert is instant.");
        self.rest().await?;
        Ok(merge)
    }

    async fn bad_release(&mut self) -> Result<CommitId, DemoError> {
        self.chapter("Merge 1.2.0, which is bad", "Its machines fall ill under traffic: /health answers 500.");
        self.bad_is_out = true;
        let merge = self.merge(BAD)?;
        let back = |_: &Status, shop: &Service| {
            shop.rejected.is_some() && shop.is_settled_on("1.1.0") && !shop.has(BAD) && shop.weight("1.1.0") == 100
        };
        let shop = self.until("1.2.0 taken back", back).await?;
        let reason = shop.rejected.map(|rejected| rejected.reason).unwrap_or_default();
        self.outcome(format!("1.2.0 went back by itself and is not tried again: {reason}."));
        self.rest().await?;
        Ok(merge)
    }

    async fn reverts(&mut self, bad: &CommitId, good: &CommitId) -> Result<Revert, DemoError> {
        self.chapter("Revert the merge of 1.2.0", "Git says 1.1.0 again, which is what runs: nothing moves.");
        let commit = self.revert(bad, "1.2.0")?;
        let read = |status: &Status, shop: &Service| {
            status.commit.as_deref() == Some(commit.as_str()) && shop.is_settled_on("1.1.0")
        };
        self.until("the revert read", read).await?;
        self.rest().await?;

        self.chapter("Revert the merge of 1.1.0", "1.0.0 still stands, so one call brings all traffic back.");
        let (before, begun) = (self.cloud.calls().len(), Instant::now());
        self.revert(good, "1.1.0")?;
        while self.weights() != BTreeMap::from([("1.0.0".to_owned(), 100)]) {
            self.look("the weights back on 1.0.0").await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mutating_calls = self.calls_until_weights(before);
        self.until("1.0.0 settled", |_, shop| shop.is_settled_on("1.0.0")).await?;
        self.rest().await?;
        let last = self.tally().and_then(|tally| tally.last_sent_to_others("1.0.0"));
        let took = last.map(|last| last.saturating_duration_since(begun)).unwrap_or_default();
        // The next request after that went where all traffic goes.
        let all_traffic_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        self.outcome(format!(
            "All requests that were sent {all_traffic_ms} ms after the revert, or later, went to 1.0.0."
        ));
        Ok(Revert { all_traffic_ms, mutating_calls })
    }

    /// The mutating calls since then, up to the one that set the weights.
    fn calls_until_weights(&self, before: usize) -> usize {
        let calls = self.cloud.calls();
        let mutating: Vec<_> = calls.iter().skip(before).filter(|call| call.mutating).collect();
        mutating.iter().rposition(|call| call.operation == "ModifyRule").map_or(mutating.len(), |last| last + 1)
    }

    async fn sum_up(&mut self, revert: &Revert) -> Result<Summary, DemoError> {
        if let Some(load) = &self.load {
            load.set_rate(RATE * 4);
        }
        while self.tally().is_some_and(|tally| tally.total() < REQUESTS_MIN) {
            match self.look("enough requests").await {
                // Everything was shown: a machine that is so slow gets its summary, too.
                Err(DemoError::TooSlow { .. }) => break,
                looked => looked?,
            };
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let Some(load) = self.load.take() else {
            return Err(DemoError::Unexpected("there was no traffic".to_owned()));
        };
        let tally = load.end().await;
        let calls = self.cloud.calls();
        let mut aws_calls = BTreeMap::new();
        for call in &calls {
            *aws_calls.entry(call.operation).or_insert(0) += 1;
        }
        Ok(Summary {
            requests: tally.answered(),
            failed: tally.failed(),
            revert_to_all_traffic_ms: revert.all_traffic_ms,
            mutating_calls_of_revert: revert.mutating_calls,
            aws_calls,
            mutating_calls: calls.iter().filter(|call| call.mutating).count() as u64,
            first_failure: tally.first_failure(),
        })
    }

    /// Keeps everything running until it is stopped.
    async fn serve(&mut self) {
        self.load = Some(Load::start(self.place.balancer, RATE_SERVING));
        self.deadline = None;
        self.say(Event::Serving(self.place.clone()));
        while self.look("Ctrl-C").await.is_ok() {
            self.cloud.forget_calls();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn merge(&self, version: &str) -> Result<CommitId, DemoError> {
        let text = FILE.1.replacen("version = \"1.0.0\"", &format!("version = \"{version}\""), 1);
        let message = format!("Merge: shop {version}");
        let change = format!("shop {version}");
        self.commit(message.clone(), |scratch| scratch.merge_change(&[(FILE.0, &text)], &change, &message))
    }

    fn revert(&self, merge: &CommitId, version: &str) -> Result<CommitId, DemoError> {
        self.commit(format!("Revert \"Merge: shop {version}\""), |scratch| scratch.revert_merge(merge))
    }

    fn commit(
        &self,
        message: String,
        commit: impl FnOnce(&ScratchRepository) -> Result<CommitId, ScratchError>,
    ) -> Result<CommitId, DemoError> {
        let commit = tokio::task::block_in_place(|| commit(&self.scratch))?;
        self.say(Event::Committed { commit: commit.clone(), message });
        Ok(commit)
    }

    /// Waits until the daemon's status is as wanted, and tells meanwhile what happens.
    async fn until(&mut self, what: &str, done: impl Fn(&Status, &Service) -> bool) -> Result<Service, DemoError> {
        loop {
            let mut status = self.look(what).await?;
            if let Some(shop) = status.services.pop() {
                if done(&status, &shop) {
                    return Ok(shop);
                }
                if let Some(why) = self.went_wrong(shop) {
                    return Err(DemoError::Unexpected(format!("{why}, while waiting for {what}")));
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What has happened that is no part of the story, and that no waiting will mend.
    fn went_wrong(&self, shop: Service) -> Option<String> {
        if shop.is_settled_on(BAD) {
            return Some(format!("{BAD} was taken for a good release"));
        }
        match shop.rejected {
            Some(rejected) if !self.bad_is_out => Some(format!("a good release was rejected: {}", rejected.reason)),
            _ if shop.phase == "halted" => Some(shop.waiting_on.map_or("halted".to_owned(), |wait| wait.detail)),
            _ => None,
        }
    }

    /// Gives people time to see what is.
    async fn rest(&mut self) -> Result<(), DemoError> {
        let end = Instant::now() + REST;
        while Instant::now() < end {
            self.look("traffic").await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Asks the daemon, and tells what is new.
    async fn look(&mut self, what: &str) -> Result<Status, DemoError> {
        if self.stop.is_cancelled() {
            return Err(DemoError::Interrupted);
        }
        if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return Err(DemoError::TooSlow { waiting_for: what.to_owned(), limit: LIMIT });
        }
        // Nothing was read yet, or it is busy: the next look tells.
        let status = self.status().await.unwrap_or_default();
        if let Some(shop) = status.services.first() {
            self.tell_progress(shop);
        }
        self.tell_traffic();
        Ok(status)
    }

    async fn status(&self) -> Option<Status> {
        let uri: Uri = format!("http://{}/api/v1/status", self.place.daemon).parse().ok()?;
        let read = async {
            let answer = self.client.get(uri).await.ok()?;
            let body = axum::body::to_bytes(answer.into_body(), STATUS_MAX).await.ok()?;
            serde_json::from_slice(&body).ok()
        };
        tokio::time::timeout(STATUS_TIMEOUT, read).await.ok()?
    }

    fn tell_progress(&mut self, shop: &Service) {
        let (reason, text) = match &shop.waiting_on {
            Some(wait) => (wait.reason.as_str(), format!("{}: {}", shop.phase, wait.detail)),
            None => ("", shop.phase.clone()),
        };
        let kind = format!("{} {reason}", shop.phase);
        // How many machines are healthy changes too often to be told each time.
        let soon = self.told.progress_at.is_some_and(|at| at.elapsed() < WINDOW);
        if self.told.progress == text || (self.told.kind == kind && soon) {
            return;
        }
        (self.told.kind, self.told.progress) = (kind, text.clone());
        self.told.progress_at = Some(Instant::now());
        self.say(Event::Progress { at: self.started.elapsed(), text });
    }

    fn tell_traffic(&mut self) {
        let Some(tally) = self.tally() else { return };
        let weights = self.weights();
        if weights != self.told.weights {
            (self.told.weights, self.told.changed) = (weights, Some(Instant::now()));
        }
        if self.told.traffic_at.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return;
        }
        self.told.traffic_at = Some(Instant::now());
        // An answer within the window may have been sent a little before it.
        let first_since_change = self.told.changed.is_some_and(|at| at.elapsed() > WINDOW + WINDOW / 2);
        if first_since_change {
            self.told.changed = None;
        }
        self.say(Event::Traffic(Traffic {
            at: self.started.elapsed(),
            shares: shares(&tally.recent()),
            requests: tally.total(),
            failed: tally.failed(),
            first_since_change,
        }));
    }

    /// The weights of the load balancer, by version, without zeros.
    fn weights(&self) -> BTreeMap<String, u32> {
        let world = self.cloud.world();
        let version = |arn: &TargetGroupArn| world.target_groups.get(arn)?.tags.get(marks::VERSION).cloned();
        let shares = self.cloud.traffic().into_iter().flat_map(|(_, shares)| shares);
        let weighted = shares.filter(|share| share.weight > 0);
        weighted.filter_map(|share| Some((version(&share.target_group)?, share.weight))).collect()
    }

    fn tally(&self) -> Option<Tally> {
        self.load.as_ref().map(|load| load.tally().clone())
    }

    fn chapter(&self, title: &'static str, about: &'static str) {
        self.say(Event::Chapter { title, about });
    }

    fn outcome(&self, text: impl Into<String>) {
        self.say(Event::Outcome(text.into()));
    }

    fn say(&self, event: Event) {
        (self.tell)(event);
    }
}

/// What the revert took.
struct Revert {
    all_traffic_ms: u64,
    mutating_calls: usize,
}

/// Counts as percents that sum to 100.
pub(super) fn shares(counts: &BTreeMap<String, u64>) -> Vec<(String, u32)> {
    let total: u64 = counts.values().sum();
    let mut left = 100;
    let mut shares = Vec::new();
    for (index, (version, count)) in counts.iter().enumerate() {
        let exact = u32::try_from((count * 100 + total / 2) / total.max(1)).unwrap_or(100);
        let share = if index + 1 == counts.len() { left } else { exact.min(left) };
        left -= share;
        shares.push((version.clone(), share));
    }
    shares
}
