//! Two daemons with a lease over one simulated AWS, wired as `run` wires them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ionroller::cloud::faulty::FaultyCloud;
use ionroller::cloud::lease::LeaseStore;
use ionroller::cloud::sim::SimCloud;
use ionroller::cloud::sim::lease::SimLeases;
use ionroller::cloud::sim::world::World;
use ionroller::cloud::{Cloud, CloudReader as _};
use ionroller::daemon::{Daemon, DaemonError};
use ionroller::git::Repository;
use ionroller::reconcile::pace::Pace;
use ionroller::reconcile::{ConfigRepository, Target};
use ionroller::settings::Settings;
use ionroller::time::{Span, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::harness::place::Place;

/// Waits on the simulated clock, which somebody else moves.
struct SimPace(SimCloud);

#[async_trait]
impl Pace for SimPace {
    async fn wait_until(&self, _: Timestamp, until: Timestamp) {
        while self.0.now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Member {
    cloud: Arc<FaultyCloud<SimCloud>>,
    address: String,
    stop: CancellationToken,
    task: JoinHandle<Result<(), DaemonError>>,
}

impl Member {
    async fn start(place: &Place, name: &str, sim: &SimCloud, table: &SimLeases) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let text = format!(
            "repo = {:?}\nstate_dir = {:?}\npoll_interval = \"1s\"\n[lease]\ntable = \"leases\"\nduration = \"10s\"\n",
            place.repo(),
            place.dir.path().join(name)
        );
        let cloud = Arc::new(FaultyCloud::new(sim.clone()));
        let (shared, table) = (Arc::clone(&cloud), table.clone());
        let daemon = Daemon {
            file: None,
            settings: Settings::parse(&text).unwrap(),
            repository: ConfigRepository::new(Repository::open_local(&place.repo()).unwrap(), "."),
            connect: Arc::new(move |_: Target| {
                let cloud: Arc<dyn Cloud> = shared.clone();
                Box::pin(async move { Ok(cloud) }) as BoxFuture<'static, _>
            }),
            leases: Some(Arc::new(move |_: Target, name: String| {
                assert_eq!(name, "leases");
                let table: Arc<dyn LeaseStore> = Arc::new(table.clone());
                Box::pin(async move { Ok(table) }) as BoxFuture<'static, _>
            })),
            pace: Arc::new(SimPace(sim.clone())),
            dry_run: false,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(daemon.run_on(listener, stop.clone()));
        Self { cloud, address, stop, task }
    }

    fn status(&self) -> Option<Value> {
        let url = format!("http://{}/api/v1/status", self.address);
        tokio::task::block_in_place(|| ureq::get(url).call().ok()?.body_mut().read_json().ok())
    }

    /// Whether it stands by; none before it has read anything.
    fn standby(&self) -> Option<bool> {
        let status = self.status()?;
        let mut notes = status["diagnostics"].as_array().unwrap().iter();
        Some(notes.any(|note| note["message"].as_str().unwrap().starts_with("standby: ")))
    }

    fn live(&self) -> Option<String> {
        let status = self.status()?;
        let service = status["services"].as_array().unwrap().iter().find(|service| service["name"] == "website")?;
        (service["phase"] == "steady").then(|| service["live"]["version"].as_str().map(ToOwned::to_owned))?
    }

    /// How many changes it has asked for.
    fn changes(&self) -> u64 {
        self.cloud.counts().1
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what} never came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stands_by_and_takes_over_when_the_other_stops() {
    let place = Place::new();
    let repository = ConfigRepository::new(Repository::open_local(&place.repo()).unwrap(), ".");
    let commit = repository.with(|repository| repository.resolve("HEAD")).unwrap();
    let target = Target::new(repository.desired(&commit).unwrap(), None).unwrap();
    let (sim, table) = (SimCloud::new(World::for_places(target.listeners())), SimLeases::default());
    let clock = sim.clone();
    let clock = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            clock.advance(Span::from_secs(1));
        }
    });

    let first = Member::start(&place, "one", &sim, &table).await;
    until("the first release", || first.live().is_some()).await;
    let released = first.live();
    let second = Member::start(&place, "two", &sim, &table).await;
    until("the standby", || second.standby() == Some(true)).await;
    assert_eq!(second.live(), released, "it reports what the other one has done");
    assert_eq!(second.changes(), 0);
    place.release("2030.01.1");
    until("the second release", || second.live().as_deref() == Some("2030.01.1")).await;
    assert_eq!((first.standby(), second.changes()), (Some(false), 0));

    first.stop.cancel();
    first.task.await.unwrap().unwrap();
    until("the takeover", || second.standby() == Some(false)).await;
    place.release("2030.01.2");
    until("the third release", || second.live().as_deref() == Some("2030.01.2")).await;
    assert!(second.changes() > 0);

    second.stop.cancel();
    second.task.await.unwrap().unwrap();
    assert!(table.records().is_empty(), "each gives it up");
    clock.abort();
}
