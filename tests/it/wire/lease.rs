//! Two daemons on one scope: with a lease, whose table is a real DynamoDB API, and without.

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{Web, World, shares, web, weights_in};

const TABLE: &str = "ionroller-lease";

/// The shortest lease that the daemon's file takes.
const LEASE: Duration = Duration::from_secs(10);

/// A daemon with a state folder, an address and a key of its own.
struct Member {
    name: &'static str,
    child: Child,
    port: u16,
}

impl Member {
    fn start(world: &World, name: &'static str, lease: Option<&str>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut text = format!(
            "repo = \"{}\"\npoll_interval = \"1s\"\nstate_dir = \"{}\"\nlisten = \"127.0.0.1:{port}\"\n",
            world.repo().display(),
            world.path(&format!("state-{name}")).display()
        );
        if let Some(table) = lease {
            text.push_str(&format!("[lease]\ntable = \"{table}\"\nduration = \"{}s\"\n", LEASE.as_secs()));
        }
        let file = world.path(&format!("{name}.toml"));
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(world.path(&format!("{name}.log"))).unwrap();
        let mut command = world.command(&["run", "--config", file.to_str().unwrap()]);
        let child = command.env("AWS_ACCESS_KEY_ID", key(name)).stderr(log).spawn().unwrap();
        Self { name, child, port }
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let config = ureq::config::Config::builder().http_status_as_error(false).build();
        let agent = ureq::Agent::new_with_config(config);
        let mut answer = agent.get(format!("http://127.0.0.1:{}{path}", self.port)).call().ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
    }

    fn status(&self) -> Option<Value> {
        let (code, body) = self.get("/api/v1/status")?;
        (code == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    /// The note of one that stands by.
    fn standby(&self) -> Option<String> {
        let status = self.status()?;
        let notes = status["diagnostics"].as_array().unwrap();
        let mut notes =
            notes.iter().filter(|one| one["severity"] == "note").map(|one| one["message"].as_str().unwrap());
        notes.find(|note| note.starts_with("standby: ")).map(ToOwned::to_owned)
    }

    fn is_steady(&self, version: &str) -> bool {
        let Some(status) = self.status() else { return false };
        let service = &status["services"][0];
        service["live"]["version"] == version && service["phase"] == "steady" && service["waiting_on"].is_null()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has changed since the calls were forgotten, the lease aside.
    fn changes(&self, world: &World) -> Vec<String> {
        let calls = world.calls().into_iter();
        let own = calls.filter(|call| call["key"] == key(self.name) && call["service"] != "dynamodb");
        own.filter(|call| call["mutating"] == true).map(|call| call["operation"].as_str().unwrap().to_owned()).collect()
    }

    fn said(&self, world: &World) -> String {
        std::fs::read_to_string(world.path(&format!("{}.log", self.name))).unwrap()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn key(name: &str) -> String {
    format!("AKIA{:A>16}", name.to_uppercase())
}

/// A call of DynamoDB by hand, and its answer.
fn dynamo(world: &World, operation: &str, body: &Value) -> Value {
    let scope = "Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu-west-1/dynamodb/aws4_request";
    let mut answer = ureq::post(world.server.url())
        .header("Host", "dynamodb.eu-west-1.amazonaws.com")
        .header("X-Amz-Target", format!("DynamoDB_20120810.{operation}"))
        .header("Content-Type", "application/x-amz-json-1.0")
        .header("Authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"))
        .send(body.to_string())
        .unwrap_or_else(|error| panic!("{operation}: {error}"));
    answer.body_mut().read_json().unwrap()
}

/// The table, as docs/lease.md makes it.
fn make_table(world: &World) {
    let table = json!({
        "TableName": TABLE,
        "AttributeDefinitions": [{"AttributeName": "lease", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "lease", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    dynamo(world, "CreateTable", &table);
}

fn records(world: &World) -> Vec<Value> {
    dynamo(world, "Scan", &json!({"TableName": TABLE}))["Items"].as_array().unwrap().clone()
}

/// One that holds the lease and has released 1.0.0, and one that stands by.
fn holder_and_standby(world: &World) -> (Member, Member) {
    make_table(world);
    world.commit(&web("1.0.0"));
    let holder = Member::start(world, "one", Some(TABLE));
    world.until("the first release", |_| holder.is_steady("1.0.0"));
    let standby = Member::start(world, "two", Some(TABLE));
    world.until("the standby", |_| standby.standby().is_some());
    assert_eq!(holder.standby(), None);
    (holder, standby)
}

/// An upgrade that stands at half of the traffic for longer than a lease.
fn half_way(world: &World) {
    world.commit(&Web { bake: "15s".to_owned(), ..web("1.1.0") });
    world.until("half of the traffic", |world| world.weights() == shares(&[("1.0.0", 50), ("1.1.0", 50)]));
}

#[test]
fn a_killed_holder_is_followed_and_its_rollout_ended() {
    let world = World::new();
    let (holder, standby) = holder_and_standby(&world);
    let said = standby.standby().unwrap();
    assert!(said.contains(&format!("/{} holds the lease of prod/123456789012/eu-west-1", holder.child.id())), "{said}");
    assert_eq!(standby.get("/readyz").unwrap().0, 200);
    assert!(standby.said(&world).contains("standby: another daemon holds the lease"));
    half_way(&world);
    assert_eq!(standby.changes(&world), Vec::<String>::new());
    holder.kill();
    let killed = Instant::now();
    world.until("the takeover", |_| standby.standby().is_none());
    assert!(killed.elapsed() < LEASE * 2, "{:?}", killed.elapsed());
    world.until("the second release", |_| standby.is_steady("1.1.0"));
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    assert!(!standby.changes(&world).is_empty());
    assert_eq!(records(&world).len(), 1, "one item a scope");
}

#[test]
fn a_holder_that_stops_gives_the_lease_up_at_once() {
    let world = World::new();
    let (mut holder, standby) = holder_and_standby(&world);
    half_way(&world);
    holder.signal("-TERM");
    assert!(holder.child.wait().unwrap().success(), "{}", holder.said(&world));
    let stopped = Instant::now();
    world.until("the takeover", |_| standby.standby().is_none());
    assert!(stopped.elapsed() < LEASE, "{:?}: that is as if it had been killed", stopped.elapsed());
    world.until("the second release", |_| standby.is_steady("1.1.0"));
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    standby.signal("-TERM");
    world.until("nothing left", |world| records(world).is_empty());
}

/// Its own clock tells it, before it has asked anybody.
#[test]
fn a_holder_that_was_frozen_changes_nothing_when_it_wakes() {
    let world = World::new();
    let (holder, standby) = holder_and_standby(&world);
    half_way(&world);
    holder.signal("-STOP");
    world.until("the takeover", |_| standby.standby().is_none());
    world.forget_calls();
    holder.signal("-CONT");
    world.until("the second release", |_| standby.is_steady("1.1.0"));
    world.until("its word", |_| holder.standby().is_some());
    assert_eq!(holder.changes(&world), Vec::<String>::new());
    assert!(!standby.changes(&world).is_empty());
    let said = holder.said(&world);
    assert!(said.contains("the lease was lost") || said.contains("no longer holds the lease"), "{said}");
}

/// It can't know whether another daemon acts, so it doesn't; and it says why.
#[test]
fn without_its_table_it_changes_nothing() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    let daemon = Member::start(&world, "one", Some("no-such-table"));
    world.until("its word", |_| {
        daemon.get("/readyz").is_some_and(|(code, said)| code == 503 && said.contains("table no-such-table"))
    });
    world.until("a plan", |_| daemon.standby().is_some());
    assert_eq!(daemon.changes(&world), Vec::<String>::new());
    assert!(daemon.said(&world).contains("the lease's table cannot be used"));
}

/// A first release, an upgrade and a rollback by two at once: every name is made once, all
/// traffic is always somewhere, and nothing is left over.
#[test]
fn without_a_lease_two_daemons_end_as_one_does() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    let both = ["one", "two"].map(|name| Member::start(&world, name, None));
    let rest = |version: &str, groups: &[(&str, u64)]| {
        world.until(version, |world| {
            let state = world.state();
            let standing = state["groups"].as_array().unwrap().iter().filter(|group| group["status"].is_null());
            let versions: Vec<&str> = standing.map(|group| group["version"].as_str().unwrap()).collect();
            let once: BTreeSet<&str> = versions.iter().copied().collect();
            assert_eq!(versions.len(), once.len(), "one group a release: {versions:?}");
            let weights = weights_in(&state);
            let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
            assert!(total == 100 || weights.is_empty(), "{weights:?}");
            both.iter().all(|one| one.is_steady(version)) && world.groups() == shares(groups)
        });
        assert_eq!(world.weights(), shares(&[(version, 100)]));
    };
    rest("1.0.0", &[("1.0.0", 2)]);
    world.commit(&web("1.1.0"));
    rest("1.1.0", &[("1.0.0", 2), ("1.1.0", 2)]);
    world.revert();
    rest("1.0.0", &[("1.0.0", 2), ("1.1.0", 2)]);
    world.commit(&Web { warm: "0s".to_owned(), records: 0, ..web("1.2.0") });
    rest("1.2.0", &[("1.2.0", 2)]);
    world.until("the clearing up", |world| {
        let state = world.state();
        ["launch_templates", "target_groups", "rules", "groups"]
            .iter()
            .all(|kind| state[*kind].as_array().unwrap().len() == 1)
    });
    let made = |operation: &str| {
        let calls = world.calls();
        calls.iter().filter(|call| call["operation"] == operation && call["status"] == 200).count()
    };
    // 1.0.0, 1.1.0, 1.2.0; a target group is asked for again under its name, and is the same.
    assert_eq!((made("CreateAutoScalingGroup"), made("CreateRule")), (3, 1));
    for one in &both {
        assert!(!one.changes(&world).is_empty(), "{} was at work", one.name);
    }
}
