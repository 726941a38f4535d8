//! What `scripts/bench` needs beside the program itself: config repositories with settled
//! worlds of any size, and the cost of a pass that finds nothing to do.
//!
//! `make DIR SERVICES COMMITS` writes DIR/repo, with so many commits before the one that runs
//! and a branch `topic` that releases one service, and DIR/world.json; `pass DIR` and
//! `base DIR` print one line of JSON.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a tool of the project's own")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use ionroller::cloud::sim::world::World;
use ionroller::cloud::sim::{SimCloud, file};
use ionroller::desired::files::{ConfigFiles, FileContent};
use ionroller::git::Repository;
use ionroller::names::{CommitId, ListenerArn};
use ionroller::reconcile::converge::{Until, converge};
use ionroller::reconcile::pace::Pace;
use ionroller::reconcile::{ConfigRepository, Merged, Reconciler, Target};
use ionroller::time::Timestamp;
use tokio_util::sync::CancellationToken;

/// Rules of one load balancer: below AWS's quota of 100.
const SERVICES_A_LISTENER: usize = 90;

/// More than any service takes, so that ids of worlds that are put together differ.
const IDS_A_SERVICE: u64 = 1000;

fn main() {
    // `cargo bench` adds a word of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match words.as_slice() {
        ["make", dir, services, commits] => {
            runtime.block_on(make(Path::new(dir), services.parse().unwrap(), commits.parse().unwrap()));
        }
        ["base", dir] => runtime.block_on(base(Path::new(dir))),
        ["pass", dir] => runtime.block_on(pass(Path::new(dir))),
        _ => println!("scripts/bench runs this: make DIR SERVICES COMMITS, pass DIR, or base DIR"),
    }
}

const SCOPE_FILE: &str = r#"scope = "bench"
region = "eu-west-1"
account = "123456789012"

[defaults]
network = { subnets = ["subnet-a", "subnet-b"], security_groups = ["sg-1"] }

[limits]
max_concurrent_rollouts = 1000
max_releases_per_change = 10000
"#;

fn name(number: usize) -> String {
    format!("service-{number:05}")
}

fn listener(number: usize) -> ListenerArn {
    let balancer = number / SERVICES_A_LISTENER;
    let arn = format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/b{balancer}/50dc/f2f7");
    ListenerArn::parse(&arn).unwrap()
}

fn service_file(number: usize) -> String {
    let (name, listener) = (name(number), listener(number));
    let (priority, digest) = (number % SERVICES_A_LISTENER + 1, "0123456789abcdef".repeat(4));
    format!(
        r#"version = "1.0.0"

[image]
repository = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/{name}"
digest = "sha256:{digest}"
ports = [{{ host = 80, container = 9000 }}]

[machine]
ami = "ami-0abcdef0123456789"
instance_type = "t3.small"
instance_profile = "{name}"

[env]
LOG_LEVEL = "info"

[secrets]
DB_PASSWORD = "ssm:/{name}/db-password"

[capacity]
min = 2
max = 8
scaling = [{{ metric = "cpu", target = 60 }}]

[load_balancer]
listener = "{listener}"
rule = {{ priority = {priority}, hosts = ["{name}.example.com"] }}
health_check = {{ path = "/health" }}

[rollout]
steps = [5, 25, 50, 100]
"#
    )
}

/// Waits by moving the simulated clock.
struct Jump(SimCloud);

#[async_trait]
impl Pace for Jump {
    async fn wait_until(&self, _: Timestamp, until: Timestamp) {
        self.0.advance_to(until);
    }
}

async fn make(dir: &Path, services: usize, commits: usize) {
    let repo = dir.join("repo");
    fs::create_dir_all(repo.join("services")).unwrap();
    fs::write(repo.join("ionroller.toml"), SCOPE_FILE).unwrap();
    for number in 0..services {
        fs::write(repo.join("services").join(format!("{}.toml", name(number))), service_file(number)).unwrap();
    }
    git(&repo, &["init", "--quiet", "--initial-branch", "main", "."]);
    past(&repo, services, commits);
    git(&repo, &["add", "--all"]);
    let who = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"];
    git(&repo, &[&who[..], &["commit", "--quiet", "--message", "all services"]].concat());
    let commit = CommitId::parse(git(&repo, &["rev-parse", "HEAD"]).trim()).unwrap();
    let mut all = World::for_places((0..services).map(listener));
    for number in 0..services {
        let settled = settle(number, &commit).await;
        all.now = all.now.max(settled.now);
        all.templates.extend(settled.templates);
        all.groups.extend(settled.groups);
        all.target_groups.extend(settled.target_groups);
        all.rules.extend(settled.rules);
    }
    all.next_id = IDS_A_SERVICE * (services as u64 + 1);
    file::save(&dir.join("world.json"), &all).unwrap();
    branch(&repo, &who);
}

/// Commits as a config repository has them: each releases one service.
fn past(repo: &Path, services: usize, commits: usize) {
    if commits == 0 {
        return;
    }
    let mut stream = String::new();
    for number in 0..commits {
        let text = service_file(number % services).replace("1.0.0", &format!("0.{number}.0"));
        let text = text.replace(&"0123456789abcdef".repeat(4), &format!("{number:064x}"));
        let (name, at, size) = (name(number % services), 1_600_000_000 + number, text.len());
        stream.push_str(&format!(
            "commit refs/heads/main\ncommitter bench <bench@example.com> {at} +0000\ndata 7\nrelease\n\
             M 100644 inline services/{name}.toml\ndata {size}\n{text}\n"
        ));
    }
    let file = repo.join(".git/past");
    fs::write(&file, stream).unwrap();
    let input = fs::File::open(&file).unwrap();
    let import = Command::new("git").current_dir(repo).args(["fast-import", "--quiet"]).stdin(input).status();
    assert!(import.unwrap().success());
    fs::remove_file(file).unwrap();
}

/// `topic` releases one service, while `main` went on.
fn branch(repo: &Path, who: &[&str]) {
    git(repo, &["checkout", "--quiet", "-b", "topic"]);
    let digest = ["0123456789abcdef", "fedcba9876543210"].map(|half| half.repeat(4));
    let text = service_file(0).replace("1.0.0", "1.0.1").replace(&digest[0], &digest[1]);
    fs::write(repo.join("services").join(format!("{}.toml", name(0))), text).unwrap();
    git(repo, &[who, &["commit", "--quiet", "--all", "--message", "a release"]].concat());
    git(repo, &["checkout", "--quiet", "main"]);
    git(repo, &[who, &["commit", "--quiet", "--allow-empty", "--message", "main goes on"]].concat());
}

/// The calls of `plan --base main --ref topic`.
async fn base(dir: &Path) {
    let repository = Repository::open_local(&dir.join("repo")).unwrap();
    let (main, topic) = (repository.resolve("main").unwrap(), repository.resolve("topic").unwrap());
    let repository = ConfigRepository::new(repository, ".");
    let Merged::Clean { desired, .. } = repository.merged(&main, &topic).unwrap() else { panic!("a conflict") };
    let target = Target { base: Some(main), ..Target::new(desired, Some(repository)).unwrap() };
    let cloud = SimCloud::new(file::load(&dir.join("world.json")).unwrap().unwrap());
    let plan = Reconciler::new(Arc::new(cloud.clone()), BTreeSet::new(), CancellationToken::new());
    let plan = plan.plan(&target).await.unwrap();
    assert!(plan.complete && plan.services.iter().filter(|service| !service.actions.is_empty()).count() == 1);
    println!("{}", serde_json::json!({ "calls": calls(&cloud, 1) }));
}

fn git(repo: &Path, args: &[&str]) -> String {
    let output = Command::new("git").current_dir(repo).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// One service, released in a world of its own by the real loop.
async fn settle(number: usize, commit: &CommitId) -> World {
    let mut files = ConfigFiles::default();
    let mut add = |path: String, text: String| files.files.insert(path, FileContent::Bytes(text.into_bytes()));
    add("ionroller.toml".to_owned(), SCOPE_FILE.to_owned());
    add(format!("services/{}.toml", name(number)), service_file(number));
    let desired = ionroller::desired::load(&files, Some(commit.clone()));
    assert!(desired.diagnostics.is_empty(), "{:?}", desired.diagnostics);
    let target = Target::new(Arc::new(desired), None).unwrap();
    let mut world = World::for_places([listener(number)]);
    world.next_id = IDS_A_SERVICE * (number as u64 + 1);
    let cloud = SimCloud::new(world);
    let reconciler = Reconciler::new(Arc::new(cloud.clone()), BTreeSet::new(), CancellationToken::new());
    let pace = Jump(cloud.clone());
    let end = converge(&reconciler, &target, &pace, Until::default(), &|_| {}, &mut |_| {}).await.unwrap();
    assert!(end.stuck.is_empty() && end.failed.is_empty(), "{:?} {:?}", end.stuck, end.failed);
    cloud.world()
}

/// Passes over a world at rest, as the daemon makes them.
async fn pass(dir: &Path) {
    let repository = Repository::open_local(&dir.join("repo")).unwrap();
    let commit = repository.resolve("HEAD").unwrap();
    let repository = ConfigRepository::new(repository, ".");
    let target = Target::new(repository.desired(&commit).unwrap(), Some(repository)).unwrap();
    let cloud = SimCloud::new(file::load(&dir.join("world.json")).unwrap().unwrap());
    let reconciler = Reconciler::new(Arc::new(cloud.clone()), BTreeSet::new(), CancellationToken::new());
    // The first one fills the caches; it is told apart.
    let first = Instant::now();
    rests(&reconciler, &target).await;
    let first = first.elapsed();
    let first_calls = calls(&cloud, 1);
    cloud.forget_calls();
    // Several together: the system counts processor time in hundredths of a second.
    let passes: u32 = if target.desired.services.len() > 5000 { 3 } else { 20 };
    let (begun, used) = (Instant::now(), processor_millis());
    for _ in 0..passes {
        rests(&reconciler, &target).await;
    }
    let used = (processor_millis() - used) / f64::from(passes);
    let wall = begun.elapsed().as_secs_f64() * 1000.0 / f64::from(passes);
    let said = serde_json::json!({
        "first_ms": first.as_secs_f64() * 1000.0,
        "first_calls": first_calls,
        "wall_ms": wall,
        "cpu_ms": used,
        "calls": calls(&cloud, passes as usize),
    });
    println!("{said}");
}

async fn rests(reconciler: &Reconciler, target: &Target) {
    let pass = reconciler.pass(target, &|_| {}).await.unwrap();
    let moves = pass.plan.services.iter().find(|service| !service.actions.is_empty() || service.waiting_on.is_some());
    assert!(pass.acted == 0 && pass.plan.complete && moves.is_none(), "not at rest: {moves:?}");
}

/// Calls of one pass, by operation.
fn calls(cloud: &SimCloud, passes: usize) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for call in cloud.calls() {
        *counts.entry(call.operation).or_default() += 1;
    }
    counts.into_iter().map(|(operation, count)| (operation, count / passes)).collect()
}

/// Processor time of this process so far, of all threads. The system counts in ticks, a
/// hundred a second on every Linux.
fn processor_millis() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The name before it may hold spaces, but no parenthesis ends after this one.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks * 10.0
}
