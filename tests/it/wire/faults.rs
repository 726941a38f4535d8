//! A proxy that breaks calls stands between the program and the server: microburst, which
//! knows AWS's protocols. The program converges, or says why it can't; a fault of one service
//! stops no other; its memory does not grow; and when the faults are over, all is as wanted.
//!
//! Without `IONROLLER_FAULT_RUNS=all` each operation fails in one way or two; `scripts/fault-runs`
//! plays all.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::world::{Running, Web, World, shares, web, weights_of};
use crate::harness::aws_server::python;

const PATIENCE: Duration = Duration::from_secs(150);

/// A running proxy; it ends with this value.
struct Proxy {
    child: Child,
    url: String,
}

impl Proxy {
    fn before(world: &World) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(python());
        command.args(["-m", "microburst", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--upstream", world.server.url(), "--no-resign"]).env("MICROBURST_LOG", "error");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("microburst");
        let proxy = Self { child, url: format!("http://127.0.0.1:{port}") };
        let begun = Instant::now();
        while ureq::get(format!("{}/_microburst/health", proxy.url)).call().is_err() {
            assert!(begun.elapsed() < PATIENCE, "microburst does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        proxy
    }

    fn rules(&self, rules: &Value) {
        ureq::post(format!("{}/_microburst/rules", self.url)).send_json(rules).unwrap();
    }

    /// How many calls went wrong so far.
    fn fired(&self) -> u64 {
        let mut answer = ureq::get(format!("{}/_microburst/stats", self.url)).call().unwrap();
        let stats: Value = answer.body_mut().read_json().unwrap();
        stats["requests"]["faulted"].as_u64().unwrap_or_else(|| panic!("{stats:#}"))
    }

    fn command(&self, world: &World, args: &[&str]) -> Command {
        let mut command = world.command(args);
        command.env("AWS_ENDPOINT_URL", &self.url);
        command
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two services on a server, which go from version to version.
struct Stage {
    world: World,
    proxy: Proxy,
    version: u32,
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        let proxy = Proxy::before(&world);
        let mut stage = Self { world, proxy, version: 0 };
        stage.next();
        stage.world.apply();
        stage
    }

    /// Commits the next version of both services.
    fn next(&mut self) {
        self.version += 1;
        let version = format!("1.{}.0", self.version);
        let file = Web {
            warm: "0s".to_owned(),
            records: 0,
            bake: "0s".to_owned(),
            deadline: "10m".to_owned(),
            min: 1,
            max: 2,
            scaling: true,
            ..web(&version)
        };
        self.world.write("services/web.toml", &self.world.text(&file));
        self.world.commit_as("api", &file.at(20, "api.example.com"));
    }

    fn version(&self) -> String {
        format!("1.{}.0", self.version)
    }

    /// What clients of a rule meet, by version.
    fn weights(&self, priority: u64) -> Vec<(String, u64)> {
        let state = self.world.state();
        let rules = state["rules"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["priority"] == priority).expect("the rule of a service");
        weights_of(&state, rule)
    }

    /// Without faults all is as wanted after one more run, and nothing is left over.
    fn mended(&self) -> Result<(), String> {
        self.proxy.rules(&json!([]));
        let ran = self.world.run(&["apply", "--wait", "retired", "--timeout", "140s"]);
        if ran.code != 0 {
            return Err(format!("without faults it ended with {}:\n{}", ran.code, ran.stderr));
        }
        for priority in [10, 20] {
            let weights = self.weights(priority);
            if weights != shares(&[(&self.version(), 100)]) {
                return Err(format!("the rule {priority} has {weights:?}"));
            }
        }
        let state = self.world.state();
        let counts = ["groups", "launch_templates", "target_groups", "rules"]
            .map(|kind| state[kind].as_array().unwrap().iter().filter(|one| one["status"].is_null()).count());
        if counts == [2; 4] { Ok(()) } else { Err(format!("left over: {counts:?}\n{state:#}")) }
    }
}

/// What an operation does to its callers, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// An error with this code and status, for ever.
    Always(&'static str, u16),
    /// No connection, for ever.
    NeverReached,
    /// Such an error for more than the SDK's five tries.
    ForAWhile(&'static str, u16),
    /// Done, and half of the answer comes.
    Truncated,
    /// Done, and nothing but the first byte of the answer comes.
    Lost,
    /// Done, and bytes of the answer are others.
    Corrupted,
    /// Ten seconds before each answer.
    Slow,
}

const WAYS: [How; 9] = [
    How::Always("AccessDenied", 403),
    How::Always("Throttling", 400),
    How::Always("InternalFailure", 500),
    How::NeverReached,
    How::ForAWhile("Throttling", 400),
    How::ForAWhile("ServiceUnavailable", 503),
    How::Truncated,
    How::Corrupted,
    How::Slow,
];

impl How {
    fn for_ever(self) -> bool {
        matches!(self, Self::Always(..) | Self::NeverReached)
    }

    fn effect(self) -> Value {
        match self {
            Self::Always(code, status) => json!({"error": {"code": code, "status": status, "message": "by the proxy"}}),
            Self::ForAWhile(code, status) => {
                json!({"error": {"code": code, "status": status, "message": "by the proxy"}, "times": 7})
            }
            Self::NeverReached => json!({"reset": true}),
            Self::Truncated => json!({"response": {"truncate_frac": 0.5}, "times": 7}),
            Self::Lost => json!({"response": {"abort_bytes": 1}, "times": 7}),
            Self::Corrupted => json!({"response": {"corrupt_bytes": 16}, "times": 7}),
            Self::Slow => json!({"latency": 10_000, "times": 2}),
        }
    }
}

/// An operation of a release with its clearing up.
struct Operation {
    service: &'static str,
    name: &'static str,
    /// Whether a call names its service, so that those of one alone can fail.
    named: bool,
}

const fn named(service: &'static str, name: &'static str) -> Operation {
    Operation { service, name, named: true }
}

const fn of_all(service: &'static str, name: &'static str) -> Operation {
    Operation { service, name, named: false }
}

const OPERATIONS: [Operation; 19] = [
    of_all("autoscaling", "DescribeAutoScalingGroups"),
    of_all("ec2", "DescribeLaunchTemplates"),
    of_all("elbv2", "DescribeTargetGroups"),
    of_all("elbv2", "DescribeRules"),
    of_all("elbv2", "DescribeTags"),
    of_all("elbv2", "DescribeListeners"),
    named("elbv2", "DescribeTargetHealth"),
    named("ec2", "CreateLaunchTemplate"),
    named("elbv2", "CreateTargetGroup"),
    named("elbv2", "ModifyTargetGroupAttributes"),
    named("elbv2", "ModifyRule"),
    named("autoscaling", "CreateAutoScalingGroup"),
    named("autoscaling", "PutScalingPolicy"),
    named("autoscaling", "CreateOrUpdateTags"),
    named("autoscaling", "UpdateAutoScalingGroup"),
    of_all("ec2", "CreateTags"),
    named("autoscaling", "DeleteAutoScalingGroup"),
    named("elbv2", "DeleteTargetGroup"),
    of_all("ec2", "DeleteLaunchTemplate"),
];

/// One run: the next version of both services, while the operation fails for `web`.
fn run(stage: &mut Stage, operation: &Operation, how: How) -> Result<(), String> {
    stage.next();
    let before = stage.proxy.fired();
    let mut rule = how.effect();
    rule["service"] = json!(operation.service);
    rule["operation"] = json!(operation.name);
    if operation.named {
        rule["body"] = json!("contains(to_string(@), 'web-')");
    }
    stage.proxy.rules(&json!([rule]));
    let log = stage.world.path("apply.log");
    let args = ["apply", "--wait", "retired"];
    let mut command = stage.proxy.command(&stage.world, &args);
    let file = std::fs::File::create(&log).unwrap();
    let child = command.stdout(Stdio::null()).stderr(file).spawn().expect("the program");
    let mut apply = Running::of(child);
    let begun = Instant::now();
    let done = |stage: &Stage, priority| stage.weights(priority) == shares(&[(&stage.version(), 100)]);
    let said = || std::fs::read_to_string(&log).unwrap();
    let code = loop {
        let ended = apply.ended();
        let others = !operation.named || done(stage, 20);
        // Waiting for ever, it has said what for, and the other service has gone on.
        let told = how.for_ever() && others && said().contains(operation.name);
        if ended.is_some() || told {
            break ended;
        }
        if begun.elapsed() > PATIENCE {
            let (web, api) = (stage.weights(10), stage.weights(20));
            return Err(format!("neither ended nor said why; web {web:?}, api {api:?}:\n{}", said()));
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    apply.kill();
    let fired = stage.proxy.fired() - before;
    if fired == 0 {
        return Err("the operation was never called".to_owned());
    }
    if operation.named && !done(stage, 20) {
        return Err(format!("the other service did not go on:\n{}", said()));
    }
    let served: u64 = stage.weights(10).iter().map(|(_, weight)| weight).sum();
    if served != 100 {
        return Err(format!("web has {:?}", stage.weights(10)));
    }
    match code {
        Some(0) if !how.for_ever() => {}
        Some(0) => return Err("it ended well, with a fault that doesn't end".to_owned()),
        Some(_) if how.for_ever() && said().contains(operation.name) => {}
        // What is wrong with an answer may be told for a mistake; it must be told then.
        Some(_) if matches!(how, How::Corrupted | How::Truncated) && said().contains("cannot go on") => {}
        Some(code) => return Err(format!("it ended with {code}:\n{}", said())),
        None => {}
    }
    stage.mended()
}

/// Beside what the test harness keeps to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn each_operation_fails_alone() {
    let all = std::env::var("IONROLLER_FAULT_RUNS").is_ok_and(|what| what == "all");
    let ways = WAYS.len();
    let pairs = OPERATIONS.iter().enumerate().flat_map(|(number, operation)| {
        // One way each, another one for the next: the ways go round.
        let chosen = move |way: usize| all || way == number % ways;
        let extra = matches!(operation.name, "ModifyRule" | "CreateAutoScalingGroup").then_some(How::Lost);
        let ways = WAYS.into_iter().enumerate().filter(move |(way, _)| chosen(*way)).map(|(_, how)| how);
        ways.chain(extra).map(move |how| (operation, how))
    });
    let runs: Vec<(&Operation, How)> = pairs.collect();
    let (next, failures, begun) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Instant::now());
    std::thread::scope(|scope| {
        // Most of a run is waiting.
        for _ in 0..if all { 6 } else { 3 } {
            scope.spawn(|| {
                let mut stage = Stage::new();
                while let Some((operation, how)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let ran = run(&mut stage, operation, *how);
                    if all {
                        say(&format!("{} {how:?}: {} s", operation.name, begun.elapsed().as_secs()));
                    }
                    if let Err(why) = ran {
                        let place = format!("{} {how:?}", operation.name);
                        say(&format!("FAILED {place}: {why}"));
                        failures.lock().unwrap().push(place);
                        stage = Stage::new();
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let took = begun.elapsed().as_secs();
    say(&format!("fault runs, each operation alone: {}, {} failed, {took} s", runs.len(), failures.len()));
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Nearly a third of all calls, in eight ways.
fn third() -> Value {
    let effects = [
        json!({"error": {"code": "Throttling", "status": 400}}),
        json!({"error": {"code": "InternalFailure", "status": 500}}),
        json!({"error": {"code": "ServiceUnavailable", "status": 503}}),
        json!({"reset": true}),
        json!({"response": {"truncate_frac": 0.5}}),
        json!({"response": {"abort_bytes": 1}}),
        json!({"response": {"corrupt_bytes": 16}}),
        json!({"latency": 10_000, "times": 3}),
    ];
    let mut left = 1.0_f64;
    let share = 0.3 / 8.0;
    let rules = effects.into_iter().map(|mut rule| {
        // A rule sees what those before it let through.
        rule["probability"] = json!(share / left);
        left -= share;
        rule["service"] = json!("*");
        rule
    });
    rules.collect()
}

/// A daemon in the worst of weather: releases, a revert, and no more memory at the end.
#[test]
fn a_third_of_all_calls_fails() {
    let all = std::env::var("IONROLLER_FAULT_RUNS").is_ok_and(|what| what == "all");
    let releases = if all { 5 } else { 1 };
    let mut stage = Stage::new();
    let daemon = Daemon::start_at(&stage.world, &[], &stage.proxy.url);
    let settled = |stage: &Stage| {
        [10, 20].iter().all(|priority| stage.weights(*priority) == shares(&[(&stage.version(), 100)]))
            && stage.world.state()["target_groups"].as_array().unwrap().len() == 2
    };
    stage.next();
    stage.world.until_within(PATIENCE * 2, "the first release, undisturbed", |_| settled(&stage));
    let before = daemon.resident_kib();
    stage.proxy.rules(&third());
    for _ in 0..releases {
        stage.next();
        stage.world.until_within(PATIENCE * 4, "a release", |_| settled(&stage));
    }
    let (after, fired) = (daemon.resident_kib(), stage.proxy.fired());
    say(&format!(
        "fault runs, a third of all calls: {releases} releases of two services, {fired} calls failed, {before} KiB before, {after} KiB after"
    ));
    assert!(fired >= 20 * releases, "{fired}");
    // The first failures load what errors need; a leak would be more.
    assert!(after < before + 32 * 1024, "{before} KiB, then {after} KiB");
    drop(daemon);
    stage.mended().unwrap();
}
