//! A Git server that is slow, or a login that hangs, while a release fails: what runs is
//! protected all the same, the daemon says that Git is not read, and it stops when it is told.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ionroller::cloud::Cloud;
use ionroller::cloud::sim::SimCloud;
use ionroller::cloud::sim::world::World;
use ionroller::daemon::Daemon;
use ionroller::git::exchange::Worker;
use ionroller::git::{Access, Repository, Source};
use ionroller::names::ListenerArn;
use ionroller::reconcile::pace::Pace;
use ionroller::reconcile::{ConfigRepository, Target};
use ionroller::settings::Settings;
use ionroller::time::{Span, Timestamp};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::harness::git_servers::{HttpServer, SshServer, keygen};

const LISTENER: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/shop/1234567890abcdef/fedcba0987654321";

/// More than anything takes here, even on a machine that is busy with other tests.
const LONG: Duration = Duration::from_secs(120);

/// A repository below a folder, whose home is the folder, too.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        fs::create_dir_all(place.path("home/.ssh")).unwrap();
        fs::create_dir_all(place.path("served/config/services")).unwrap();
        place.git(&["init", "--quiet", "--initial-branch", "main", "."]);
        place.version("1.0.0");
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    fn git(&self, args: &[&str]) {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.compression=0"]).args(args);
        command.current_dir(self.path("served/config")).env("HOME", self.path("home"));
        assert!(command.status().unwrap().success(), "git {args:?}");
    }

    fn version(&self, version: &str) {
        let scope = "scope = \"slow\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n";
        let web = format!(
            "version = \"{version}\"\n[machine]\nami = \"ami-0abcdef1234567890\"\ninstance_type = \"t3.small\"\n\
             [network]\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-a\"]\n[capacity]\nmin = 2\nmax = 6\n\
             [load_balancer]\nlistener = \"{LISTENER}\"\nport = 8080\nrule = {{ priority = 100, hosts = [\"a.example.com\"] }}\n\
             [rollout]\nsteps = [50, 100]\nbake = \"20m\"\nunhealthy_for = \"10s\"\n"
        );
        fs::write(self.path("served/config/ionroller.toml"), scope).unwrap();
        fs::write(self.path("served/config/services/web.toml"), web).unwrap();
        self.commit(version);
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    /// This program in the home, for the exchanges.
    fn worker(&self, more: &str) -> Worker {
        let program = self.path("worker");
        let (home, binary) = (self.path("home"), env!("CARGO_BIN_EXE_ionroller"));
        let text =
            format!("#!/bin/sh\nexport HOME={} GIT_CONFIG_NOSYSTEM=1 {more}\nexec {binary} \"$@\"\n", home.display());
        fs::write(&program, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, mode).unwrap();
        Worker { program, own_group: true }
    }

    fn mode(&self, mode: &str) {
        fs::write(self.path("mode"), mode).unwrap();
    }
}

/// Time passes only between two passes, and only as often as the test lets it.
#[derive(Clone)]
struct Polls {
    cloud: SimCloud,
    allowed: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

#[async_trait]
impl Pace for Polls {
    async fn wait_until(&self, _: Timestamp, until: Timestamp) {
        self.waiting.add_permits(1);
        self.allowed.acquire().await.unwrap().forget();
        self.cloud.advance_to(until);
    }
}

impl Polls {
    /// Lets the daemon make one more pass, and waits for its end.
    async fn one(&self) {
        self.allowed.add_permits(1);
        tokio::time::timeout(LONG, self.waiting.acquire()).await.expect("the pass ends").unwrap().forget();
    }
}

struct Running {
    cloud: SimCloud,
    polls: Polls,
    port: u16,
    stop: CancellationToken,
    daemon: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(place: &Place, url: &str, access: Access) -> Self {
        let Source::Remote(url) = Source::parse(url).unwrap() else { panic!("{url} is no URL") };
        let mirror = place.path("state/mirror");
        let opened = tokio::task::block_in_place(|| Repository::open_mirror(&url, &mirror, &access));
        let repository = ConfigRepository::new(opened.unwrap(), ".");
        let cloud = SimCloud::new(World::for_places([ListenerArn::parse(LISTENER).unwrap()]));
        let polls =
            Polls { cloud: cloud.clone(), allowed: Arc::new(Semaphore::new(0)), waiting: Arc::new(Semaphore::new(0)) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = place.path("state");
        let settings = format!("repo = \"{url}\"\nstate_dir = \"{}\"\npoll_interval = \"1s\"\n", state.display());
        let shared = cloud.clone();
        let connect = move |_: Target| {
            let cloud: Arc<dyn Cloud> = Arc::new(shared.clone());
            Box::pin(async move { Ok(cloud) }) as BoxFuture<'static, _>
        };
        let daemon = Daemon {
            file: None,
            settings: Settings::parse(&settings).unwrap(),
            repository,
            connect: Arc::new(connect),
            leases: None,
            pace: Arc::new(polls.clone()),
            dry_run: false,
        };
        let stop = CancellationToken::new();
        let ended = daemon.run_on(listener, stop.clone());
        let daemon = tokio::spawn(async move { ended.await.unwrap() });
        Self { cloud, polls, port, stop, daemon }
    }

    /// The weights of the one rule, biggest first.
    fn weights(&self) -> Vec<u32> {
        let traffic = self.cloud.traffic();
        let mut weights: Vec<u32> =
            traffic.iter().flat_map(|(_, shares)| shares.iter().map(|share| share.weight)).collect();
        weights.sort_by(|a, b| b.cmp(a));
        weights.retain(|weight| *weight > 0);
        weights
    }

    async fn until(&self, what: &str, happened: impl Fn(&Self) -> bool) {
        for _ in 0..200 {
            if happened(self) {
                return;
            }
            self.polls.one().await;
        }
        panic!("{what}: {:?}", self.weights());
    }

    async fn ready(&self) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        tokio::task::spawn_blocking(move || {
            let config = ureq::config::Config::builder().http_status_as_error(false).build();
            let mut answer = ureq::Agent::new_with_config(config).get(url).call().unwrap();
            (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
        })
        .await
        .unwrap()
    }
}

/// Waits for something that another process does.
async fn eventually(what: &str, happened: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + LONG;
    while !happened().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The story of all four: 1.1.0 has half of the traffic when Git begins to hang. Its machines
/// stop answering, and it loses its traffic; `/readyz` says that Git is not read; the daemon
/// stops although the look at Git has no end.
async fn protects(place: &Place, daemon: Running, hang: impl FnOnce(), hangs: impl AsyncFn() -> bool) {
    daemon.until("the first release", |daemon| daemon.weights().len() == 1).await;
    let stable = |daemon: &Running| {
        daemon.cloud.look(|world| world.templates.values().any(|it| it.tags.contains_key("ionroller:stable")))
    };
    daemon.until("it is settled", stable).await;
    place.version("1.1.0");
    eventually("the push is seen", async || {
        daemon.polls.one().await;
        daemon.weights() == [50, 50]
    })
    .await;
    hang();
    eventually("Git hangs", hangs).await;
    daemon.cloud.change(|world| {
        for group in world.groups.values_mut() {
            for machine in group.instances.values_mut().filter(|machine| machine.version == "1.1.0") {
                machine.answers = Some(false);
            }
        }
    });
    let mut polls = 0;
    while daemon.weights().len() > 1 {
        polls += 1;
        assert!(polls < 60, "the release that fails keeps its traffic: {:?}", daemon.weights());
        daemon.polls.one().await;
    }
    eventually("that Git is not read is said", async || {
        let (code, said) = daemon.ready().await;
        code == 503 && said.contains("git: last read") && said.contains("more than 5 polls")
    })
    .await;
    daemon.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), daemon.daemon).await;
    ended.expect("it stops although Git hangs").unwrap();
}

fn access(place: &Place, more: &str) -> Access {
    let home = Some(place.path("home"));
    Access { worker: Some(place.worker(more)), deadline: Span::from_mins(60), home, ..Access::default() }
}

fn server(place: &Place, args: &[&str]) -> HttpServer {
    let mode = place.path("mode").display().to_string();
    HttpServer::start(&place.path("served"), &[&["--mode-file", &mode], args].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_takes_minutes() {
    let place = Place::new();
    let server = server(&place, &[]);
    let daemon = Running::start(&place, &format!("{}/config", server.url), access(&place, "")).await;
    let hang = || {
        place.mode("slow 100000");
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(20_000_000).collect();
        fs::write(place.path("served/config/noise"), noise).unwrap();
        place.commit("20 MB");
    };
    let seen = || server.requests().iter().filter(|line| line.starts_with("POST")).count();
    let before = std::cell::Cell::new(None);
    protects(
        &place,
        daemon,
        || {
            hang();
            before.set(Some(seen()));
        },
        async || before.get().is_some_and(|before| seen() > before),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_that_come_one_by_one() {
    let place = Place::new();
    let server = server(&place, &[]);
    let daemon = Running::start(&place, &format!("{}/config", server.url), access(&place, "")).await;
    let hang = || place.mode("drip 2");
    // The next request is the one that hangs, and there is no other after it.
    let hangs = async || {
        let before = server.requests().len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.requests().len() == before
    };
    protects(&place, daemon, hang, hangs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_helper_that_sleeps() {
    let place = Place::new();
    let server = server(&place, &["--token", "s3cret"]);
    let helper = format!(
        "[credential]\n\thelper = \"!f() {{ if test -e {0}; then touch {1}; sleep 600; fi; echo username=bot; echo password=s3cret; }}; f\"\n",
        place.path("sleep").display(),
        place.path("sleeps").display()
    );
    fs::write(place.path("home/.gitconfig"), helper).unwrap();
    let daemon = Running::start(&place, &format!("{}/config", server.url), access(&place, "")).await;
    let hang = || fs::write(place.path("sleep"), "").unwrap();
    protects(&place, daemon, hang, async || place.path("sleeps").exists()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_never_answers() {
    let place = Place::new();
    let Some(server) = SshServer::start(&place.path("ssh"), &["ed25519"]) else { return };
    let key = place.path("home/.ssh/id_ed25519");
    keygen(&key, "ed25519", "");
    server.authorize(&place.path("home/.ssh/id_ed25519.pub"));
    fs::write(place.path("home/.ssh/known_hosts"), server.known_hosts(&["ed25519"])).unwrap();
    // Where nobody listens there is no agent, and the key in the home is taken.
    let socket = place.path("agent");
    let more = format!("SSH_AUTH_SOCK={}", socket.display());
    let user = std::process::Command::new("id").arg("-un").output().unwrap();
    let login = String::from_utf8(user.stdout).unwrap().trim().to_owned();
    let access = Access { agent: true, login: Some(login), ..access(&place, &more) };
    let url = format!("ssh://127.0.0.1:{}{}", server.port, place.path("served/config").display());
    let daemon = Running::start(&place, &url, access).await;
    let agent = std::cell::RefCell::new(None);
    let hang = || {
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        agent.replace(Some(listener));
    };
    let asked = std::cell::RefCell::new(Vec::new());
    let hangs = async || {
        let connection = agent.borrow().as_ref().and_then(|agent| agent.accept().ok());
        asked.borrow_mut().extend(connection);
        !asked.borrow().is_empty()
    };
    protects(&place, daemon, hang, hangs).await;
}

/// A whole exchange has an end, also where something arrives all the time.
#[test]
fn an_exchange_is_given_up_at_its_deadline() {
    let place = Place::new();
    let server = HttpServer::start(&place.path("served"), &["--mode", "drip", "0.2"]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ionroller"));
    command.args(["plan", "--offline", "--repo", &format!("{}/config", server.url)]).env("HOME", place.path("home"));
    let output = command.env("IONROLLER_GIT_DEADLINE", "2s").current_dir::<&Path>(place.dir.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the exchange was not over after 2 s and was given up; IONROLLER_GIT_DEADLINE sets"),
        "{said}"
    );
}

/// A daemon that starts while Git can't be reached goes on with the commit in its mirror.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_git() {
    let place = Place::new();
    let server = server(&place, &[]);
    let url = format!("{}/config", server.url);
    let first = Running::start(&place, &url, access(&place, "")).await;
    first.until("the first release", |daemon| daemon.weights().len() == 1).await;
    first.stop.cancel();
    tokio::time::timeout(LONG, first.daemon).await.unwrap().unwrap();
    drop(server);
    let second = Running::start(&place, &url, access(&place, "")).await;
    second.until("the same release", |daemon| daemon.weights().len() == 1).await;
    let (code, said) = second.ready().await;
    assert!(code == 503 && said.contains("git: cannot fetch") && said.contains("git: not read yet"), "{said}");
    second.stop.cancel();
    tokio::time::timeout(LONG, second.daemon).await.unwrap().unwrap();
}

/// The program ends at SIGTERM while a look at Git hangs, and leaves no process behind.
#[test]
fn sigterm_ends_a_daemon_whose_look_hangs() {
    let place = Place::new();
    let server = HttpServer::start(&place.path("served"), &["--mode", "drip", "1"]);
    let text = format!(
        "repo = \"{}/config\"\nstate_dir = \"{}\"\nlisten = \"127.0.0.1:0\"\n",
        server.url,
        place.path("state").display()
    );
    fs::write(place.path("daemon.toml"), text).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ionroller"));
    command.arg("run").arg("--config").arg(place.path("daemon.toml")).env("HOME", place.path("home"));
    command.arg("--cloud").arg(format!("sim:{}", place.path("world.json").display()));
    let mut daemon = command.spawn().unwrap();
    let begun = Instant::now();
    while server.requests().is_empty() {
        assert!(begun.elapsed() < LONG, "Git is asked");
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    let term = std::process::Command::new("kill").arg(daemon.id().to_string()).status().unwrap();
    assert!(term.success());
    let status = daemon.wait().unwrap();
    assert!(status.success() && asked.elapsed() < Duration::from_secs(20), "{status} after {:?}", asked.elapsed());
    // Its lock on the mirror is gone with it.
    let lock = fs::File::options().write(true).open(place.path("state/mirror.lock")).unwrap();
    let begun = Instant::now();
    while lock.try_lock().is_err() {
        assert!(begun.elapsed() < LONG, "the exchange goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}
