//! The daemon: follows a branch, answers over HTTP, stops gracefully, changes nothing when dry.

use std::process::Child;
use std::time::{Duration, Instant};

use super::world::{World, shares, web};

pub(super) struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    pub(super) fn start(world: &World, flags: &[&str]) -> Self {
        Self::start_at(world, flags, world.server.url())
    }

    /// The same with another way to the server.
    pub(super) fn start_at(world: &World, flags: &[&str], endpoint: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "repo = \"{}\"\npoll_interval = \"1s\"\nstate_dir = \"{}\"\nlisten = \"127.0.0.1:{port}\"\n",
            world.repo().display(),
            world.path("state").display()
        );
        let file = world.path("daemon.toml");
        std::fs::write(&file, text).unwrap();
        let mut args = vec!["run", "--config", file.to_str().unwrap()];
        args.extend(flags);
        let log = std::fs::File::create(world.path("daemon.log")).unwrap();
        let child = world.command(&args).env("AWS_ENDPOINT_URL", endpoint).stderr(log).spawn().unwrap();
        Self { child, port }
    }

    pub(super) fn get(&self, path: &str) -> Option<(u16, String)> {
        let config = ureq::config::Config::builder().http_status_as_error(false).build();
        let agent = ureq::Agent::new_with_config(config);
        let mut answer = agent.get(format!("http://127.0.0.1:{}{path}", self.port)).call().ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
    }

    /// Its memory.
    pub(super) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it did not stop");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_merge_releases_and_a_revert_rolls_back() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    let mut daemon = Daemon::start(&world, &[]);
    world.until("the first release", |world| {
        world.weights() == shares(&[("1.0.0", 100)]) && is_steady(&daemon, "1.0.0")
    });
    assert_eq!(daemon.get("/healthz").unwrap().0, 200);
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);

    world.commit(&web("1.1.0"));
    world.until("the second release", |_| is_steady(&daemon, "1.1.0"));
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    world.forget_calls();
    world.revert();
    world.until("the rollback", |world| world.weights() == shares(&[("1.0.0", 100)]));
    assert_eq!(world.mutations()[0], "ModifyRule");

    // A second daemon on the same folder says why it won't start.
    let second = world.run(&["run", "--config", world.path("daemon.toml").to_str().unwrap()]).ended(1);
    assert!(second.stderr.contains("another daemon"), "{}", second.stderr);
    assert_eq!(daemon.terminate(), Some(0));
}

#[test]
fn dry_is_dry() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    let mut daemon = Daemon::start(&world, &["--dry-run"]);
    world.until("a plan", |_| daemon.get("/api/v1/status").is_some_and(|(code, _)| code == 200));
    for args in [&["plan"][..], &["status"], &["diff", "web"], &["validate"]] {
        world.run(args).ended(0);
    }
    assert_eq!(world.mutations(), Vec::<String>::new());
    assert_eq!(daemon.terminate(), Some(0));
}

fn is_steady(daemon: &Daemon, version: &str) -> bool {
    let Some((200, body)) = daemon.get("/api/v1/status") else { return false };
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    let service = &status["services"][0];
    service["live"]["version"] == version && service["phase"] == "steady" && service["waiting_on"].is_null()
}
