//! The machines of the simulated AWS as real HTTP servers on loopback.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cloud::sim::SimCloud;
use crate::cloud::sim::world::World;
use crate::observed::resources::TargetHealth;

use super::Client;

/// The header in which an answer says its version.
pub const VERSION_HEADER: &str = "x-version";

/// The path of a page that takes its time, so that something is in flight when a machine
/// is drained.
pub const SLOW_PATH: &str = "/slow";

/// How long such a page takes.
const SLOW: Duration = Duration::from_millis(300);

/// A health check that takes longer has failed.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a machine that goes may take to end what it has begun.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The version of the story that is bad; others are when they end in `-bad`.
pub const BAD_VERSION: &str = "1.2.0";

/// A bad version is well until it has served so many requests.
const WELL_FOR: u64 = 10;

/// The servers that run now, by machine id.
pub struct Fleet {
    machines: BTreeMap<String, Machine>,
    client: Client,
}

struct Machine {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Fleet {
    /// No machines yet.
    pub fn new(client: Client) -> Self {
        Self { machines: BTreeMap::new(), client }
    }

    /// Where each machine answers.
    pub fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        self.machines.iter().map(|(id, machine)| (id.clone(), machine.address)).collect()
    }

    /// Starts what is new in the world and shuts down what has gone from it.
    ///
    /// # Errors
    /// No port is free.
    pub async fn follow(&mut self, world: &World) -> io::Result<()> {
        let wanted: BTreeMap<&String, &String> = (world.groups.values())
            .flat_map(|group| group.instances.iter().map(|(id, machine)| (id, &machine.version)))
            .collect();
        // What they have begun they still end: nobody waits here for that.
        self.machines.iter().filter(|(id, _)| !wanted.contains_key(id)).for_each(|(_, gone)| gone.stop.cancel());
        self.machines.retain(|id, _| wanted.contains_key(id));
        for (id, version) in wanted {
            if !self.machines.contains_key(id) {
                self.machines.insert(id.clone(), Machine::start(id, version).await?);
            }
        }
        Ok(())
    }

    /// Asks every registered machine, and lets the simulated AWS know what it answered.
    pub async fn check(&self, cloud: &SimCloud) {
        let answers = self.ask(&cloud.world()).await;
        cloud.change(|world| {
            for (id, machine) in world.groups.values_mut().flat_map(|group| &mut group.instances) {
                machine.answers = answers.get(id).copied().or(machine.answers);
            }
        });
    }

    /// Asks as the target groups say.
    async fn ask(&self, world: &World) -> BTreeMap<String, bool> {
        let checks = world.target_groups.values().flat_map(|group| {
            let path = group.health_check.path.as_deref().unwrap_or("/");
            let matcher = group.health_check.matcher.as_deref().unwrap_or("200");
            let checked = group.targets.iter().filter(|(_, target)| target.health != TargetHealth::Draining);
            checked.map(move |(id, _)| (id, path, matcher))
        });
        let mut answers: BTreeMap<String, bool> = BTreeMap::new();
        let asked =
            checks.map(|(id, path, matcher)| async move { (id.clone(), self.is_well(id, path, matcher).await) });
        for (id, well) in join_all(asked).await {
            *answers.entry(id).or_insert(true) &= well;
        }
        answers
    }

    async fn is_well(&self, id: &str, path: &str, matcher: &str) -> bool {
        let Some(machine) = self.machines.get(id) else { return false };
        let Ok(uri) = format!("http://{}{path}", machine.address).parse::<Uri>() else { return false };
        let answer = tokio::time::timeout(ASK_TIMEOUT, self.client.get(uri)).await;
        matches!(answer, Ok(Ok(answer)) if matches_status(matcher, answer.status()))
    }

    /// Shuts everything down.
    pub async fn end(self) {
        for machine in self.machines.values() {
            machine.stop.cancel();
        }
        for (_, mut machine) in self.machines {
            if tokio::time::timeout(END_TIMEOUT, &mut machine.task).await.is_err() {
                machine.task.abort();
            }
        }
    }
}

impl Machine {
    async fn start(id: &str, version: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let app = Arc::new(App { id: id.to_owned(), version: version.to_owned(), served: AtomicU64::new(0) });
        let routes = Router::new().fallback(answer).with_state(app);
        let served = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        Ok(Self { address, stop, task: tokio::spawn(served.into_future()) })
    }
}

/// The service that runs on a machine.
struct App {
    id: String,
    version: String,
    served: AtomicU64,
}

impl App {
    fn is_well(&self) -> bool {
        let bad = self.version == BAD_VERSION || self.version.ends_with("-bad");
        !bad || self.served.load(Ordering::Relaxed) < WELL_FOR
    }
}

async fn answer(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    if path == "/health" {
        return match app.is_well() {
            true => "ok\n".into_response(),
            false => (StatusCode::INTERNAL_SERVER_ERROR, "no connections to the database left\n").into_response(),
        };
    }
    app.served.fetch_add(1, Ordering::Relaxed);
    if path == SLOW_PATH {
        tokio::time::sleep(SLOW).await;
    }
    ([(VERSION_HEADER, app.version.clone())], format!("shop {} from {}\n", app.version, app.id)).into_response()
}

/// Whether a status code is one of a matcher such as `200`, `200,204` or `200-299`.
fn matches_status(matcher: &str, status: StatusCode) -> bool {
    matcher.split(',').any(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u16>();
        matches!((number(from), number(to)), (Ok(from), Ok(to)) if (from..=to).contains(&status.as_u16()))
    })
}
