//! The load generator: real requests to the load balancer, counted honestly.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Client;
use super::machines::{SLOW_PATH, VERSION_HEADER};

/// Clients that ask for ordinary pages.
const CLIENTS: u64 = 8;

/// Clients that always have a slow page in flight.
const SLOW_CLIENTS: u64 = 2;

/// An answer that takes longer is a failure.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Over how long shares are measured.
pub const WINDOW: Duration = Duration::from_secs(1);

/// No answer is larger.
const BODY_MAX: usize = 64 * 1024;

/// What the clients saw. Clones share it.
#[derive(Debug, Clone)]
pub struct Tally(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    answered: BTreeMap<String, u64>,
    failed: u64,
    first_failure: Option<String>,
    recent: VecDeque<(Instant, String)>,
    /// When the last request was sent that each version answered.
    sent: BTreeMap<String, Instant>,
}

/// The clients, until they are ended.
pub struct Load {
    tally: Tally,
    /// Microseconds between two requests of one client.
    period: Arc<AtomicU64>,
    stop: CancellationToken,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts to ask, so many times a second.
    pub fn start(address: SocketAddr, per_second: u64) -> Self {
        let tally = Tally(Arc::default());
        let period = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for path in
            std::iter::repeat_n("/", CLIENTS as usize).chain(std::iter::repeat_n(SLOW_PATH, SLOW_CLIENTS as usize))
        {
            let uri = format!("http://{address}{path}");
            clients.spawn(ask(uri, tally.clone(), Arc::clone(&period), stop.clone()));
        }
        let load = Self { tally, period, stop, clients };
        load.set_rate(per_second);
        load
    }

    /// Changes how often is asked.
    pub fn set_rate(&self, per_second: u64) {
        self.period.store(1_000_000 * CLIENTS / per_second.max(1), Ordering::Relaxed);
    }

    /// What was seen so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Ends: requests that were sent are waited for.
    pub async fn end(mut self) -> Tally {
        self.stop.cancel();
        while self.clients.join_next().await.is_some() {}
        self.tally
    }
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing is ever half written in there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that were answered well, by version.
    pub fn answered(&self) -> BTreeMap<String, u64> {
        self.counts().answered.clone()
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        let counts = self.counts();
        counts.failed + counts.answered.values().sum::<u64>()
    }

    /// Requests that were answered with an error or not at all.
    pub fn failed(&self) -> u64 {
        self.counts().failed
    }

    /// What the first of them was answered.
    pub fn first_failure(&self) -> Option<String> {
        self.counts().first_failure.clone()
    }

    /// Answers of the last second, by version.
    pub fn recent(&self) -> BTreeMap<String, u64> {
        let mut counts = self.counts();
        counts.forget_old();
        let mut recent = BTreeMap::new();
        for (_, version) in &counts.recent {
            *recent.entry(version.clone()).or_insert(0) += 1;
        }
        recent
    }

    /// When the last request was sent that any other version than this one answered.
    pub fn last_sent_to_others(&self, version: &str) -> Option<Instant> {
        self.counts().sent.iter().filter(|(other, _)| *other != version).map(|(_, at)| *at).max()
    }

    fn note(&self, sent: Instant, answer: Result<String, String>) {
        let mut counts = self.counts();
        match answer {
            Ok(version) => {
                *counts.answered.entry(version.clone()).or_insert(0) += 1;
                let last = counts.sent.entry(version.clone()).or_insert(sent);
                *last = sent.max(*last);
                counts.recent.push_back((Instant::now(), version));
                counts.forget_old();
            }
            Err(why) => {
                counts.failed += 1;
                counts.first_failure.get_or_insert(why);
            }
        }
    }
}

impl Counts {
    fn forget_old(&mut self) {
        while self.recent.front().is_some_and(|(at, _)| at.elapsed() > WINDOW) {
            self.recent.pop_front();
        }
    }
}

/// One client, with a connection of its own.
async fn ask(uri: String, tally: Tally, period: Arc<AtomicU64>, stop: CancellationToken) {
    let client = Client::new();
    let Ok(uri) = uri.parse::<Uri>() else { return };
    while !stop.is_cancelled() {
        let sent = Instant::now();
        let answer = tokio::time::timeout(TIMEOUT, version_of(&client, &uri)).await;
        tally.note(sent, answer.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs()))));
        let next = sent + Duration::from_micros(period.load(Ordering::Relaxed));
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Asks once and reads the whole answer; anything but a page of some version is a failure.
pub async fn version_of(client: &Client, uri: &Uri) -> Result<String, String> {
    let answer = client.get(uri.clone()).await.map_err(|error| super::chain(&error))?;
    let (status, version) = (answer.status(), answer.headers().get(VERSION_HEADER).cloned());
    let body = axum::body::to_bytes(answer.into_body(), BODY_MAX).await.map_err(|error| super::chain(&error))?;
    match version.as_ref().and_then(|version| version.to_str().ok()) {
        Some(version) if status == StatusCode::OK => Ok(version.to_owned()),
        _ => Err(format!("{status}: {}", String::from_utf8_lossy(&body).trim())),
    }
}
