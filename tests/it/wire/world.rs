//! One test's world: a server, a config repository, and the program.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest that anything here may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, a repository with one service `web`, and what AWS looks like to its users.
pub struct World {
    server: Child,
    pub url: String,
    dir: TempDir,
    pub listener: String,
    subnets: Vec<String>,
    security_group: String,
}

/// The parts of a service file that tests vary.
#[derive(Clone)]
pub struct Web {
    pub version: String,
    pub min: u32,
    pub max: u32,
    pub steps: String,
    pub bake: String,
    pub deadline: String,
    pub warm: String,
    pub host: String,
    pub priority: u32,
    pub extra: String,
}

/// A file with short waits: steps 50 and 100, bake 1 s.
pub fn web(version: &str) -> Web {
    Web {
        version: version.to_owned(),
        min: 2,
        max: 4,
        steps: "[50, 100]".to_owned(),
        bake: "1s".to_owned(),
        deadline: "20s".to_owned(),
        warm: "1h".to_owned(),
        host: "web.example.com".to_owned(),
        priority: 10,
        extra: String::new(),
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

fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/aws-server-venv");
        let output = Command::new(script).stderr(Stdio::inherit()).output().expect("scripts/aws-server-venv");
        assert!(output.status.success(), "scripts/aws-server-venv failed");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

impl World {
    pub fn new() -> Self {
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws_server/server.py");
        let mut child = Command::new(python()).arg(server).stdout(Stdio::piped()).spawn().expect("the server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("its address").to_owned();
        let mut world = Self {
            server: child,
            url,
            dir: TempDir::new().unwrap(),
            listener: String::new(),
            subnets: Vec::new(),
            security_group: String::new(),
        };
        let made = world.post("world", &json!({"region": "eu-west-1"}));
        world.listener = made["listener_arn"].as_str().unwrap().to_owned();
        world.subnets = made["subnet_ids"].as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect();
        world.security_group = made["security_group_id"].as_str().unwrap().to_owned();
        std::fs::create_dir_all(world.repo().join("services")).unwrap();
        world.git(&["init", "--quiet", "--initial-branch", "main", "."]);
        world.write("ionroller.toml", "scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n");
        world
    }

    pub fn repo(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    // The config repository.

    pub fn write(&self, path: &str, text: &str) {
        std::fs::write(self.repo().join(path), text).unwrap();
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
        let subnets = self.subnets.iter().map(|s| format!("\"{s}\"")).collect::<Vec<_>>().join(", ");
        format!(
            r#"version = "{version}"

[machine]
ami = "ami-0123456789abcdef0"
instance_type = "t3.small"

[network]
subnets = [{subnets}]
security_groups = ["{group}"]

[capacity]
min = {min}
max = {max}

[load_balancer]
listener = "{listener}"
rule = {{ priority = {priority}, hosts = ["{host}"] }}
port = 80
health_check = {{ path = "/health", interval = "5s", timeout = "2s", healthy = 2, unhealthy = 2 }}
deregistration_delay = "1s"

[rollout]
steps = {steps}
bake = "{bake}"
healthy_deadline = "{deadline}"
healthy_for = "0s"
unhealthy_for = "2s"

[retention]
warm = "{warm}"
records = 2
{extra}"#,
            version = web.version,
            group = self.security_group,
            min = web.min,
            max = web.max,
            listener = self.listener,
            priority = web.priority,
            host = web.host,
            steps = web.steps,
            bake = web.bake,
            deadline = web.deadline,
            warm = web.warm,
            extra = web.extra,
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
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true");
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

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program")
    }

    pub fn status(&self) -> Value {
        let status = self.run(&["status", "-o", "json"]).ended(0).json();
        status["services"][0].clone()
    }

    // The server's control endpoint.

    pub fn post(&self, path: &str, body: &Value) -> Value {
        let answer = ureq::post(format!("{}/_test/{path}", self.url)).send_json(body);
        answer.unwrap_or_else(|error| panic!("{path}: {error}")).body_mut().read_json().unwrap()
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = ureq::get(format!("{}/_test/{path}", self.url)).call();
        answer.unwrap_or_else(|error| panic!("{path}: {error}")).body_mut().read_json().unwrap()
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

    /// Mutating calls since the last `forget_calls`, by operation.
    pub fn mutations(&self) -> Vec<String> {
        let calls = self.get("calls");
        let mutating = calls.as_array().unwrap().iter().filter(|call| call["mutating"] == true);
        mutating.map(|call| call["operation"].as_str().unwrap().to_owned()).collect()
    }

    pub fn forget_calls(&self) {
        self.post("calls/clear", &json!({}));
    }

    /// Weights of the first rule, by version, without zeros.
    pub fn weights(&self) -> Vec<(String, u64)> {
        weights_in(&self.state())
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
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "{what} never came: {:#}", self.state());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A call of the AWS API by hand, as form parameters.
    pub fn by_hand(&self, service: &str, form: &[(&str, &str)]) {
        let scope = format!("Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu-west-1/{service}/aws4_request");
        let host = format!("{service}.eu-west-1.amazonaws.com");
        ureq::post(&self.url)
            .header("Host", &host)
            .header("Authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"))
            .send_form(form.iter().copied())
            .unwrap_or_else(|error| panic!("{form:?}: {error}"));
    }
}

pub fn weights_in(state: &Value) -> Vec<(String, u64)> {
    let version = |arn: &Value| {
        let groups = state["target_groups"].as_array().unwrap();
        let found = groups.iter().find(|group| &group["arn"] == arn);
        found.map_or("?".to_owned(), |group| group["tags"]["ionroller:version"].as_str().unwrap_or("?").to_owned())
    };
    let Some(rule) = state["rules"].as_array().unwrap().first() else { return Vec::new() };
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

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
