//! An AWS-compatible server on loopback, for tests on the wire.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, LoadBalancerTypeEnum, ProtocolEnum,
};
use ionroller::cloud::aws::{AwsCloud, Connection, Limiter};
use ionroller::names::{AccountId, ListenerArn};

/// A running server; it ends with this value. Each account on it is a world of its own.
pub struct AwsServer {
    child: Child,
    url: String,
}

impl AwsServer {
    /// Starts a server with an empty account on a port of its own.
    pub fn start() -> Self {
        let python = std::env::var("TMP_PY").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(python)
            .args(["-u", "-c", "import sys; from moto.server import main; main(sys.argv[1:])", "-p", &port.to_string()])
            .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while !lines.next().unwrap().unwrap().contains("Running on") {}
        std::thread::spawn(move || for _ in lines {});
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
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

    /// A configuration of the SDK that leads to an account on it, with nothing from the
    /// environment.
    pub async fn config(&self, account: &AccountId) -> SdkConfig {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(&self.url)
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .load()
            .await;
        let role = format!("arn:aws:iam::{account}:role/tests");
        let provider = AssumeRoleProvider::builder(role).session_name("tests").configure(&config).build().await;
        config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
    }
}

/// What the users of ionroller bring along, in an account of its own: subnets, a load
/// balancer with a listener whose default action is a fixed response, and an image.
pub struct Stage {
    /// The server that it stands on.
    pub server: Arc<AwsServer>,
    /// The account.
    pub account: AccountId,
    /// For what the port doesn't do.
    pub config: SdkConfig,
    /// The adapter, without limits on calls.
    pub cloud: AwsCloud,
    /// The listener.
    pub listener: ListenerArn,
    /// Two subnets of the load balancer's VPC.
    pub subnets: Vec<String>,
    /// An image.
    pub ami: String,
}

impl Stage {
    /// Sets up an account.
    pub async fn new() -> Self {
        static ACCOUNTS: AtomicU64 = AtomicU64::new(100_000_000_000);
        let server = AwsServer::shared();
        let account = AccountId::parse(&ACCOUNTS.fetch_add(1, Ordering::Relaxed).to_string()).unwrap();
        let config = server.config(&account).await;
        let connection = Connection { limiter: Arc::new(Limiter::off()), ..Connection::default() };
        let cloud = AwsCloud::from_config(&config, &connection).unwrap();
        let ec2 = aws_sdk_ec2::Client::new(&config);
        let subnets = ec2.describe_subnets().send().await.unwrap();
        let subnets: Vec<String> =
            subnets.subnets().iter().map(|s| s.subnet_id().unwrap().to_owned()).take(2).collect();
        let image = ec2.register_image().name("base").root_device_name("/dev/xvda").send().await.unwrap();
        let ami = image.image_id().unwrap().to_owned();
        let listener = balance(&config, &subnets, LoadBalancerTypeEnum::Application).await;
        Self { server, account, config, cloud, listener, subnets, ami }
    }
}

/// Makes a load balancer with one listener.
pub async fn balance(config: &SdkConfig, subnets: &[String], kind: LoadBalancerTypeEnum) -> ListenerArn {
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(config);
    let name = format!("web-{}", kind.as_str());
    let made = elb.create_load_balancer().name(name).r#type(kind.clone()).set_subnets(Some(subnets.to_vec()));
    let made = made.send().await.unwrap();
    let balancer = made.load_balancers()[0].load_balancer_arn().unwrap();
    let answer = FixedResponseActionConfig::builder().status_code("404").build();
    let action = Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(answer).build();
    let made = elb.create_listener().load_balancer_arn(balancer).port(80).protocol(ProtocolEnum::Http);
    let made = made.default_actions(action).send().await.unwrap();
    ListenerArn::parse(made.listeners()[0].listener_arn().unwrap()).unwrap()
}

impl Drop for AwsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
