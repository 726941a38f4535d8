//! An AWS-compatible server on loopback, for tests on the wire.

use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use ionroller::cloud::aws::{AwsCloud, Connection, Limiter};
use ionroller::names::{AccountId, ListenerArn};
use serde_json::{Value, json};

/// Where all but a few accounts are.
pub const REGION: &str = "eu-west-1";

/// A running server; it ends with this value. Each account on it is a world of its own.
pub struct AwsServer {
    child: Child,
    url: String,
}

impl AwsServer {
    /// Starts a server without anything on it, on a port of its own.
    pub fn start() -> Self {
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws_server/server.py");
        // Those that are lent out have no owner that ends them, so each ends with the tests.
        let mut command = Command::new(python());
        let mut child = command.arg(server).arg("--with-parent").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the server ended at once; what it said is above").unwrap();
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.to_owned();
            }
        };
        Self { child, url }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads from the control endpoint: `calls`, `state`, …
    pub fn ask(&self, what: &str) -> Value {
        let answer = ureq::get(format!("{}/_test/{what}", self.url)).call();
        answer.unwrap().body_mut().read_json().unwrap()
    }

    /// Tells the control endpoint: `health`, `faults`, …
    pub fn tell(&self, what: &str, how: &Value) -> Value {
        let answer = ureq::post(format!("{}/_test/{what}", self.url)).send_json(how);
        answer.unwrap().body_mut().read_json().unwrap()
    }

    /// The server of all tests that run now. It takes seconds to warm up, so they share it;
    /// the last one to end ends it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<AwsServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A server that no other test has now, as if it were new. It takes seconds to start one
    /// and a tenth of a second to clean it, so they go from test to test.
    pub fn lent() -> Lent {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent(Some(free.unwrap_or_else(Self::start)))
    }

    /// A configuration of the SDK that leads to an account on it, with nothing from the
    /// environment.
    pub async fn config(&self, account: &AccountId, region: &'static str) -> SdkConfig {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region))
            .endpoint_url(&self.url)
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .load()
            .await;
        let role = format!("arn:aws:iam::{account}:role/tests");
        let provider = AssumeRoleProvider::builder(role).session_name("tests").configure(&config).build().await;
        config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
    }
}

/// Servers that wait for their next test.
static FREE: Mutex<Vec<AwsServer>> = Mutex::new(Vec::new());

/// A server for one test. Whatever speaks to it must have ended before it is given back.
pub struct Lent(Option<AwsServer>);

impl Deref for Lent {
    type Target = AwsServer;

    fn deref(&self) -> &AwsServer {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(server) = self.0.take() else { return };
        let wrong = wrong_requests(&server.url);
        // One that can't be cleaned is ended instead.
        if ureq::post(format!("{}/_test/reset", server.url)).send_json(json!({})).is_ok() {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(server);
        }
        assert_none_wrong(&wrong);
    }
}

/// The requests that the server holds against AWS's own model and found wrong.
pub fn wrong_requests(url: &str) -> Vec<Value> {
    let answer = ureq::get(format!("{url}/_test/wrong")).call();
    answer.ok().and_then(|mut answer| answer.body_mut().read_json().ok()).unwrap_or_default()
}

/// Fails the test whose program sent what AWS would refuse; a test that fails already says
/// more by itself.
pub fn assert_none_wrong(wrong: &[Value]) {
    assert!(wrong.is_empty() || std::thread::panicking(), "requests that AWS refuses: {wrong:#?}");
}

/// What the users of ionroller bring along, in an account of its own: subnets, load
/// balancers with a listener each, and an image.
pub struct Stage {
    /// The server that it stands on.
    pub server: Arc<AwsServer>,
    /// The account.
    pub account: AccountId,
    /// For what the port doesn't do.
    pub config: SdkConfig,
    /// The adapter, without limits on calls.
    pub cloud: AwsCloud,
    /// A listener on an Application Load Balancer; its default action is a fixed response.
    pub listener: ListenerArn,
    /// A listener on a Network Load Balancer.
    pub network_listener: ListenerArn,
    /// The VPC of the load balancers.
    pub vpc: String,
    /// Two subnets of it.
    pub subnets: Vec<String>,
    /// An image.
    pub ami: String,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mut wrong = wrong_requests(self.server.url());
        wrong.retain(|one| one["account"] == self.account.as_str());
        assert_none_wrong(&wrong);
    }
}

impl Stage {
    /// Sets up an account on the server of all tests.
    pub async fn new() -> Self {
        Self::on(AwsServer::shared(), REGION).await
    }

    /// Sets up an account in a region where no other test makes calls.
    pub async fn in_region(region: &'static str) -> Self {
        Self::on(AwsServer::shared(), region).await
    }

    /// Sets up an account on a server of its own, for tests that play faults.
    pub async fn alone() -> Self {
        Self::on(Arc::new(AwsServer::start()), REGION).await
    }

    /// The calls in a region so far, oldest first: operations, repeated as often as made.
    pub fn calls_in(&self, region: &str) -> Vec<String> {
        let calls = self.server.ask("calls");
        let calls = calls.as_array().unwrap().iter().filter(|call| call["region"] == region);
        calls.map(|call| call["operation"].as_str().unwrap().to_owned()).collect()
    }

    async fn on(server: Arc<AwsServer>, region: &'static str) -> Self {
        static ACCOUNTS: AtomicU64 = AtomicU64::new(100_000_000_000);
        let account = AccountId::parse(&ACCOUNTS.fetch_add(1, Ordering::Relaxed).to_string()).unwrap();
        let config = server.config(&account, region).await;
        let connection = Connection { limiter: Arc::new(Limiter::off()), ..Connection::default() };
        let cloud = AwsCloud::from_config(&config, &connection).unwrap();
        let world = server.tell("world", &json!({ "account": account, "region": region, "nlb": true }));
        let listener = |key: &str| ListenerArn::parse(world[key].as_str().unwrap()).unwrap();
        let subnets =
            world["subnet_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        let vpc = world["vpc_id"].as_str().unwrap().to_owned();
        let image = aws_sdk_ec2::Client::new(&config).register_image().name("base").root_device_name("/dev/xvda");
        let ami = image.send().await.unwrap().image_id().unwrap().to_owned();
        let (listener, network_listener) = (listener("listener_arn"), listener("nlb_listener_arn"));
        Self { server, account, config, cloud, listener, network_listener, vpc, subnets, ami }
    }
}

/// The interpreter with what the server needs, made at first use.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/aws-server-venv");
        let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "scripts/aws-server-venv failed");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

impl Drop for AwsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
