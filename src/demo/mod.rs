//! The one-minute story: a Git repository, the real daemon, a simulated AWS on a fast
//! clock, and a real data plane on loopback, so that requests show the traffic moving.
//!
//! `machines` are the instances of the simulated AWS as small HTTP servers, `balancer` its
//! load balancer as a weighted proxy, `load` the clients, `clock` what moves the simulated
//! AWS on, and `story` what is committed and waited for. Nothing here knows a rollout: what
//! happens is what the daemon does about the commits.

mod balancer;
mod client;
mod clock;
mod load;
mod machines;
mod story;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;
use crate::cloud::sim::SimCloud;
use crate::cloud::sim::world::World;
use crate::daemon::{Daemon, DaemonError};
use crate::git::{GitError, Repository, ScratchError, ScratchRepository};
use crate::names::{CommitId, ListenerArn};
use crate::reconcile::{ConfigRepository, Target};
use crate::settings::Settings;

use balancer::Balancer;
use client::Client;
pub use clock::SPEED;
use machines::Fleet;
use story::Story;

/// The repository that the demo begins with.
const EXAMPLE: [(&str, &str); 2] = [
    ("ionroller.toml", include_str!("example/ionroller.toml")),
    ("services/shop.toml", include_str!("example/services/shop.toml")),
];

/// How long the parts may take to end what they have begun.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// What happens, for whoever shows it.
#[derive(Debug, Clone)]
pub enum Event {
    /// Everything runs.
    Started(Place),
    /// The next part of the story.
    Chapter {
        /// What is done.
        title: &'static str,
        /// What to look at.
        about: &'static str,
    },
    /// A commit was made on `main`.
    Committed {
        /// Which.
        commit: CommitId,
        /// The first line of its message.
        message: String,
    },
    /// What the daemon does or waits for now.
    Progress {
        /// Since the start.
        at: Duration,
        /// In words.
        text: String,
    },
    /// Where requests go; several times a second.
    Traffic(Traffic),
    /// How a part of the story ended.
    Outcome(String),
    /// How it all ended.
    Ended(Summary),
    /// It keeps running.
    Serving(Place),
}

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The config repository.
    pub repository: PathBuf,
    /// The load balancer.
    pub balancer: SocketAddr,
    /// The daemon's HTTP side.
    pub daemon: SocketAddr,
}

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// Since the start.
    pub at: Duration,
    /// Percent of the answers of the last second, by version; empty without any.
    pub shares: Vec<(String, u32)>,
    /// All requests so far.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// The first measurement since the weights were changed in which all requests were
    /// sent after that.
    pub first_since_change: bool,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Requests that were answered, by version.
    pub requests: BTreeMap<String, u64>,
    /// Requests that were not, or with an error.
    pub failed: u64,
    /// From before the revert was committed until the last request was sent that went to
    /// the release that was left, in milliseconds.
    pub revert_to_all_traffic_ms: u64,
    /// Calls that can change something, from the revert until the weights were back.
    pub mutating_calls_of_revert: usize,
    /// Calls to the simulated AWS by operation.
    pub aws_calls: BTreeMap<&'static str, u64>,
    /// How many of them could change something.
    #[serde(skip)]
    pub mutating_calls: u64,
    /// What the first failed request was answered.
    #[serde(skip)]
    pub first_failure: Option<String>,
}

/// Why the demo could not be shown to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// No folder or no port.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The repository can't be written.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// The repository can't be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The example is not valid. A test keeps it so.
    #[error("the demo's own example has errors: {0}")]
    Example(String),
    /// The daemon ended.
    #[error("the daemon ended too early")]
    Daemon(#[source] Option<DaemonError>),
    /// Something else happened than the story says.
    #[error("the demo went another way: {0}")]
    Unexpected(String),
    /// The time was over.
    #[error("the demo took longer than {} s, waiting for this: {waiting_for}; is the machine very busy?", limit.as_secs())]
    TooSlow {
        /// What never came.
        waiting_for: String,
        /// The limit.
        limit: Duration,
    },
}

/// Tells the story; with `serve` keeps everything running afterwards until it is told to
/// stop. The temporary folder is gone when this returns. It runs on a runtime of several
/// threads.
///
/// # Errors
/// It could not be told to its end.
pub async fn run(
    serve: bool,
    stop: CancellationToken,
    tell: &(dyn Fn(Event) + Send + Sync),
) -> Result<Summary, DemoError> {
    let folder = tempfile::Builder::new()
        .prefix("ionroller-demo-")
        .tempdir()
        .map_err(|source| DemoError::Io { what: "make a temporary folder", source })?;
    let config = folder.path().join("config");
    let scratch = tokio::task::block_in_place(|| ScratchRepository::create(&config, &EXAMPLE, "shop 1.0.0"))?;
    let mut parts = Parts::start(&config, folder.path().join("state")).await?;
    tell(Event::Started(parts.place.clone()));
    let mut story = Story::new(scratch, parts.cloud.clone(), parts.place.clone(), stop, tell);
    let told = tokio::select! {
        told = story.tell(serve) => told,
        ended = &mut parts.daemon => Err(DemoError::Daemon(ended.ok().and_then(Result::err))),
    };
    story.end().await;
    parts.end().await;
    // An error here leaves a folder behind and says where.
    folder.close().map_err(|source| DemoError::Io { what: "remove the temporary folder", source })?;
    told
}

/// Everything that runs.
struct Parts {
    cloud: SimCloud,
    place: Place,
    stop: CancellationToken,
    daemon: JoinHandle<Result<(), DaemonError>>,
    clock: JoinHandle<()>,
    balancer: JoinHandle<io::Result<()>>,
}

impl Parts {
    async fn start(config: &std::path::Path, state_dir: PathBuf) -> Result<Self, DemoError> {
        let repository = ConfigRepository::new(Repository::open_local(config)?, ".");
        let cloud = SimCloud::new(world(listeners(&repository)?));
        let (for_balancer, balancer_address) = listen().await?;
        let (for_daemon, daemon_address) = listen().await?;
        let stop = CancellationToken::new();
        let balancer = Arc::new(Balancer::new(Client::new()));
        let fleet = Fleet::new(Client::new());
        let clock = tokio::spawn(clock::run(cloud.clone(), fleet, Arc::clone(&balancer), stop.clone()));
        let balancer = tokio::spawn(balancer.serve(for_balancer, stop.clone()));
        let place = Place { repository: config.to_owned(), balancer: balancer_address, daemon: daemon_address };
        let daemon = daemon(repository, &place, state_dir, cloud.clone())?;
        let daemon = tokio::spawn(daemon.run_on(for_daemon, stop.clone()));
        Ok(Self { cloud, place, stop, daemon, clock, balancer })
    }

    async fn end(self) {
        self.stop.cancel();
        // Whatever does not end by itself ends with the program.
        let all = async { tokio::join!(self.clock, self.balancer, ended(self.daemon)) };
        let _ = tokio::time::timeout(END_TIMEOUT, all).await;
    }
}

/// Waits for a task that may have been waited for already.
async fn ended<T>(task: JoinHandle<T>) {
    if !task.is_finished() {
        let _ = task.await;
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr), DemoError> {
    let failed = |source| DemoError::Io { what: "listen on 127.0.0.1", source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The listeners that the first commit names.
fn listeners(repository: &ConfigRepository) -> Result<BTreeSet<ListenerArn>, DemoError> {
    let commit = repository.with(|repository| repository.tip("main"))?;
    let desired = repository.desired(&commit)?;
    let problems: Vec<String> = desired.diagnostics.iter().map(|problem| problem.message.clone()).collect();
    match Target::new(desired, None) {
        Some(target) if problems.is_empty() => Ok(target.listeners()),
        _ => Err(DemoError::Example(problems.join("; "))),
    }
}

fn world(listeners: BTreeSet<ListenerArn>) -> World {
    let mut world = World::for_places(listeners);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    world.now = i64::try_from(now.as_millis()).unwrap_or(world.now);
    world
}

/// The daemon, with the defaults of its file but for where things are.
fn daemon(
    repository: ConfigRepository,
    place: &Place,
    state_dir: PathBuf,
    cloud: SimCloud,
) -> Result<Daemon, DemoError> {
    // A commit wakes it at once; polling is for systems that tell nobody.
    let settings = Settings::parse("repo = \".\"\nstate_dir = \".\"\npoll_interval = \"2s\"\n");
    let settings = settings.map_err(|error| DemoError::Example(error.to_string()))?;
    let (repo, listen) = (place.repository.display().to_string(), place.daemon.to_string());
    let settings = Settings { repo, listen, state_dir, ..settings };
    let connect = move |_: Target| {
        let cloud: Arc<dyn Cloud> = Arc::new(cloud.clone());
        Box::pin(async move { Ok(cloud) }) as futures_util::future::BoxFuture<'static, _>
    };
    let (connect, pace) = (Arc::new(connect), Arc::new(clock::FastPace));
    Ok(Daemon { file: None, settings, repository, connect, leases: None, pace, dry_run: false })
}

/// An error with all that it was caused by, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}"))
}
