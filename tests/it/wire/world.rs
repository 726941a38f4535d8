//! One test's world: a server, a config repository, and the program.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::aws_server::{AwsServer, Lent};

/// The longest that anything here may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(120);

/// The account that the test's own keys are of.
pub const ACCOUNT: &str = "123456789012";

/// The health check of what speaks HTTP.
const HTTP_CHECK: &str =
    "health_check = { path = \"/health\", interval = \"5s\", timeout = \"2s\", healthy = 2, unhealthy = 2 }\n";

/// That of an NLB's target group.
const TCP_CHECK: &str = "health_check = { interval = \"5s\", timeout = \"2s\", healthy = 2, unhealthy = 2 }\n";

/// A server, a repository with one service `web`, and what AWS looks like to its users.
pub struct World {
    pub server: Lent,
    dir: TempDir,
    /// What the server made before the test: ARNs and ids.
    pub made: Value,
    /// The listener of the services.
    pub listener: String,
    /// The access key that the program has, id and secret.
    pub keys: (String, String),
}

/// How traffic comes to a service.
#[derive(Clone, PartialEq, Eq)]
pub enum Traffic {
    /// By a rule of the listener.
    Rule { priority: u32, host: String },
    /// By the default action of an ALB's listener.
    Default,
    /// By the default action of an NLB's listener.
    Network,
    /// Not at all.
    Worker,
}

/// The parts of a service file that tests vary.
#[derive(Clone)]
pub struct Web {
    pub version: String,
    pub ami: String,
    pub min: u32,
    pub max: u32,
    pub steps: String,
    pub bake: String,
    pub deadline: String,
    pub warm: String,
    pub records: u32,
    /// Whether it has a policy: 60 % CPU.
    pub scaling: bool,
    pub traffic: Traffic,
    /// Keys of the load balancer's table.
    pub balancer: String,
    /// Keys beside `version`.
    pub keys: String,
    /// Tables at the end.
    pub extra: String,
}

/// A file with short waits: steps 50 and 100, bake 1 s.
pub fn web(version: &str) -> Web {
    Web {
        version: version.to_owned(),
        ami: "ami-0123456789abcdef0".to_owned(),
        min: 2,
        max: 4,
        steps: "[50, 100]".to_owned(),
        bake: "1s".to_owned(),
        deadline: "20s".to_owned(),
        warm: "1h".to_owned(),
        records: 2,
        scaling: false,
        traffic: Traffic::Rule { priority: 10, host: "web.example.com".to_owned() },
        balancer: String::new(),
        keys: String::new(),
        extra: String::new(),
    }
}

/// The same without a load balancer.
pub fn worker(version: &str) -> Web {
    Web { traffic: Traffic::Worker, ..web(version) }
}

impl Web {
    /// The same behind another rule.
    pub fn at(self, priority: u32, host: &str) -> Self {
        Self { traffic: Traffic::Rule { priority, host: host.to_owned() }, ..self }
    }

    /// The same with a bake that ends no test.
    pub fn slow(self) -> Self {
        Self { bake: "2m".to_owned(), ..self }
    }
}

/// A run of the program that has not ended yet; it ends with this value.
pub struct Running(Child);

impl Running {
    pub fn of(child: Child) -> Self {
        Self(child)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// As `kill -9`.
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for it, and how it ended.
    pub fn wait(mut self) -> i32 {
        self.0.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a run of the program ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn new(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The same, or the test fails with everything that was printed.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(&json!({}), &format!("account = \"{ACCOUNT}\"\n"))
    }

    /// With more on the server than a load balancer, and more in the scope file.
    pub fn with(more: &Value, scope: &str) -> Self {
        let server = AwsServer::lent();
        let mut wanted = json!({"region": "eu-west-1"});
        wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = server.tell("world", &wanted);
        let listener = made["listener_arn"].as_str().unwrap().to_owned();
        let keys = ("AKIAIOSFODNN7EXAMPLE".to_owned(), "secret".to_owned());
        let world = Self { server, dir: TempDir::new().unwrap(), made, listener, keys };
        std::fs::create_dir_all(world.repo()).unwrap();
        world.git(&["init", "--quiet", "--initial-branch", "main", "."]);
        world.scope_file(scope);
        world
    }

    /// Writes the scope file: scope and region, and these lines.
    pub fn scope_file(&self, lines: &str) {
        self.write("ionroller.toml", &format!("scope = \"prod\"\nregion = \"eu-west-1\"\n{lines}"));
    }

    pub fn repo(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    // The config repository.

    pub fn write(&self, path: &str, text: &str) {
        let path = self.repo().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(args)
            .current_dir(self.repo())
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([("GIT_AUTHOR_NAME", "t"), ("GIT_AUTHOR_EMAIL", "t@example.com")])
            .envs([("GIT_COMMITTER_NAME", "t"), ("GIT_COMMITTER_EMAIL", "t@example.com")])
            .output()
            .expect("git");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes the file of `web` and commits it.
    pub fn commit(&self, web: &Web) -> String {
        self.commit_as("web", web)
    }

    pub fn commit_as(&self, service: &str, web: &Web) -> String {
        self.write(&format!("services/{service}.toml"), &self.text(web));
        self.commit_all(&format!("{service} {}", web.version))
    }

    pub fn commit_all(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn revert(&self) -> String {
        self.git(&["revert", "--no-edit", "HEAD"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn text(&self, web: &Web) -> String {
        let subnets = self.made["subnet_ids"].to_string();
        let group = self.made["security_group_id"].as_str().unwrap();
        let Web { version, ami, min, max, steps, bake, deadline, warm, records, balancer, keys, extra, .. } = web;
        let scaling = if web.scaling { "scaling = [{ metric = \"cpu\", target = 60 }]\n" } else { "" };
        let listener = &self.listener;
        let place = match &web.traffic {
            Traffic::Worker => None,
            Traffic::Default => Some(HTTP_CHECK.to_owned()),
            Traffic::Network => Some(format!("protocol = \"TCP\"\n{TCP_CHECK}")),
            Traffic::Rule { priority, host } => {
                Some(format!("rule = {{ priority = {priority}, hosts = [\"{host}\"] }}\n{HTTP_CHECK}"))
            }
        };
        let balancer = place.map_or(String::new(), |place| {
            format!(
                "[load_balancer]\nlistener = \"{listener}\"\n{place}port = 80\nderegistration_delay = \"1s\"\n{balancer}\n"
            )
        });
        format!(
            r#"version = "{version}"
{keys}
[machine]
ami = "{ami}"
instance_type = "t3.small"

[network]
subnets = {subnets}
security_groups = ["{group}"]

[capacity]
min = {min}
max = {max}
{scaling}
{balancer}
[rollout]
steps = {steps}
bake = "{bake}"
healthy_deadline = "{deadline}"
healthy_for = "0s"
unhealthy_for = "2s"

[retention]
warm = "{warm}"
records = {records}
{extra}"#
        )
    }

    // The program.

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ionroller"));
        command
            .args(args)
            .current_dir(self.repo())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("USER", "tester")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("AWS_ENDPOINT_URL", self.server.url())
            .env("AWS_ACCESS_KEY_ID", &self.keys.0)
            .env("AWS_SECRET_ACCESS_KEY", &self.keys.1)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // The limits are those of an account that many share; here they would only be waited for.
            .env("IONROLLER_AWS_CALL_RATE", "20");
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::new(&self.command(args).output().expect("the program"))
    }

    /// `apply`, which must succeed.
    #[track_caller]
    pub fn apply(&self) -> Ran {
        self.run(&["apply", "--timeout", "100s"]).ended(0)
    }

    pub fn spawn(&self, args: &[&str]) -> Running {
        Running(self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program"))
    }

    /// Runs `apply` until this holds, then kills it.
    #[track_caller]
    pub fn apply_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let apply = self.spawn(&["apply"]);
        self.until(what, holds);
        apply.kill();
    }

    /// An upgrade that stands at half of the traffic, with nobody at work. The mark of the step
    /// may have been written or not: what comes next may be to write it, or only to watch.
    #[track_caller]
    pub fn half_way(&self, from: &str, to: &str) {
        self.commit(&web(to).slow());
        self.apply_until("half of the traffic", |world| world.weights() == shares(&[(from, 50), (to, 50)]));
    }

    pub fn status(&self) -> Value {
        self.status_of("web")
    }

    pub fn status_of(&self, service: &str) -> Value {
        let status = self.run(&["status", "-o", "json"]).ended(0).json();
        let mut services = status["services"].as_array().unwrap().iter();
        services.find(|one| one["name"] == service).unwrap_or_else(|| panic!("no {service}: {status:#}")).clone()
    }

    /// The plan of `web`.
    pub fn plan(&self) -> Value {
        let plan = self.run(&["plan", "-o", "json"]).ended(0).json();
        let mut services = plan["services"].as_array().unwrap().iter();
        services.find(|one| one["name"] == "web").unwrap_or_else(|| panic!("no web: {plan:#}")).clone()
    }

    // The server's control endpoint.

    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.server.tell(path, body)
    }

    pub fn get(&self, path: &str) -> Value {
        self.server.ask(path)
    }

    pub fn sick(&self, version: &str) {
        self.post("health", &json!({"version": version, "state": "unhealthy"}));
    }

    pub fn well(&self, version: &str) {
        self.post("health", &json!({"version": version, "state": null}));
    }

    pub fn state(&self) -> Value {
        self.get("state")
    }

    /// Calls since the last `forget_calls`.
    pub fn calls(&self) -> Vec<Value> {
        self.get("calls").as_array().unwrap().clone()
    }

    /// The mutating ones among them, by operation.
    pub fn mutations(&self) -> Vec<String> {
        let mutating = self.calls().into_iter().filter(|call| call["mutating"] == true);
        mutating.map(|call| call["operation"].as_str().unwrap().to_owned()).collect()
    }

    pub fn forget_calls(&self) {
        self.post("calls/clear", &json!({}));
    }

    /// Weights of the first rule, by version, without zeros.
    pub fn weights(&self) -> Vec<(String, u64)> {
        weights_in(&self.state())
    }

    /// The default action of the services' listener, as [`Self::weights`]; empty when it is
    /// no forward.
    pub fn default_weights(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let mut listeners = state["listeners"].as_array().unwrap().iter();
        let found = listeners.find(|one| one["listener_arn"] == self.listener.as_str()).expect("the listener");
        weights_of(&state, found)
    }

    /// Versions of groups that stand and are not being deleted, with their desired size.
    pub fn groups(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let standing = state["groups"].as_array().unwrap().iter().filter(|group| group["status"].is_null());
        let mut groups: Vec<(String, u64)> = standing
            .map(|group| (group["version"].as_str().unwrap_or("?").to_owned(), group["desired"].as_u64().unwrap()))
            .collect();
        groups.sort();
        groups
    }

    pub fn group_of(&self, version: &str) -> Value {
        let state = self.state();
        let groups = state["groups"].as_array().unwrap();
        let found = groups.iter().find(|group| group["version"] == version && group["status"].is_null());
        found.unwrap_or_else(|| panic!("no group of {version}: {state:#}")).clone()
    }

    /// Waits until this holds, polling; fails after two minutes.
    #[track_caller]
    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        self.until_within(PATIENCE, what, holds);
    }

    /// The same for what takes longer.
    #[track_caller]
    pub fn until_within(&self, patience: Duration, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < patience, "{what} never came: {:#}", self.state());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A call of the AWS API by hand, as form parameters, and its answer.
    pub fn by_hand(&self, service: &str, form: &[(&str, &str)]) -> String {
        let version = match service {
            "autoscaling" => "2011-01-01",
            "ec2" => "2016-11-15",
            _ => "2015-12-01",
        };
        let scope = format!("Credential=AKIABYHANDEXAMPLE000/20260101/eu-west-1/{service}/aws4_request");
        let mut answer = ureq::post(self.server.url())
            .header("Host", format!("{service}.eu-west-1.amazonaws.com"))
            .header("Authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"))
            .send_form(form.iter().copied().chain([("Version", version)]))
            .unwrap_or_else(|error| panic!("{form:?}: {error}"));
        answer.body_mut().read_to_string().unwrap()
    }

    /// A security group in a VPC of its own.
    pub fn group_of_another_vpc(&self) -> String {
        let id = |answer: &str, tag: &str| {
            let (_, rest) = answer.split_once(&format!("<{tag}>")).unwrap_or_else(|| panic!("no {tag}: {answer}"));
            rest.split('<').next().unwrap().to_owned()
        };
        let vpc = id(&self.by_hand("ec2", &[("Action", "CreateVpc"), ("CidrBlock", "10.200.0.0/16")]), "vpcId");
        let group = [("GroupName", "strangers"), ("GroupDescription", "of another VPC"), ("VpcId", &vpc)];
        let form: Vec<_> = [("Action", "CreateSecurityGroup")].into_iter().chain(group).collect();
        id(&self.by_hand("ec2", &form), "groupId")
    }

    /// A service file whose security group is of another VPC and shared with this one.
    pub fn text_with_shared_group(&self, web: &Web) -> String {
        let (shared, vpc) = (self.group_of_another_vpc(), self.made["vpc_id"].as_str().unwrap());
        self.by_hand("ec2", &[("Action", "AssociateSecurityGroupVpc"), ("GroupId", &shared), ("VpcId", vpc)]);
        self.text(web).replace(self.made["security_group_id"].as_str().unwrap(), &shared)
    }

    /// Somebody, or an autoscaler, sets the desired capacity of a version's group.
    pub fn resize(&self, version: &str, desired: u32) {
        let name = self.group_of(version)["name"].as_str().unwrap().to_owned();
        self.by_hand(
            "autoscaling",
            &[
                ("Action", "SetDesiredCapacity"),
                ("AutoScalingGroupName", &name),
                ("DesiredCapacity", &desired.to_string()),
            ],
        );
    }

    /// Versions that have a launch template.
    pub fn templates(&self) -> Vec<String> {
        let state = self.state();
        let tags = state["launch_templates"].as_array().unwrap().iter().map(|one| &one["tags"]);
        let mut all: Vec<String> = tags.map(|t| t["ionroller:version"].as_str().unwrap_or("?").to_owned()).collect();
        all.sort();
        all
    }
}

pub fn weights_in(state: &Value) -> Vec<(String, u64)> {
    state["rules"].as_array().unwrap().first().map_or(Vec::new(), |rule| weights_of(state, rule))
}

/// Weights of a rule or listener, by version, without zeros. What is of somebody else has
/// the name of its target group.
pub fn weights_of(state: &Value, rule: &Value) -> Vec<(String, u64)> {
    let version = |arn: &Value| {
        let groups = state["target_groups"].as_array().unwrap();
        let found = groups.iter().find(|group| &group["arn"] == arn).expect("a target group");
        let name = found["tags"]["ionroller:version"].as_str().or(found["name"].as_str());
        name.unwrap().to_owned()
    };
    let shares = rule["actions"][0]["weights"].as_array().unwrap().iter();
    let shares = shares.map(|share| (version(&share["arn"]), share["weight"].as_u64().unwrap()));
    let mut shares: Vec<(String, u64)> = shares.filter(|(_, weight)| *weight > 0).collect();
    shares.sort();
    shares
}

/// The same as a list that reads well in assertions.
pub fn shares(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter().map(|(version, weight)| ((*version).to_owned(), *weight)).collect()
}
