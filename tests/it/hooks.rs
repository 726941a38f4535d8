//! Webhooks: a push to a real remote is fetched at once, and nobody but the forge can ask for it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::harness::git_servers::HttpServer;
use super::harness::place::Place;

const SECRET: &str = "s3cret of the hook";

/// A remote behind http, and a daemon that would ask it once an hour.
struct World {
    place: Place,
    remote: HttpServer,
    daemon: Child,
    port: u16,
}

impl World {
    fn new(hooks: &str) -> Self {
        let place = Place::new();
        place.git(&["clone", "--quiet", "--bare", ".", "../served/config.git"]);
        let remote = HttpServer::start(&place.dir.path().join("served"), &[]);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(place.dir.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let text = format!(
            "repo = \"{}/config.git\"\npoll_interval = \"1h\"\nstate_dir = {:?}\nlisten = \"127.0.0.1:{port}\"\n{}",
            remote.url,
            place.dir.path().join("state"),
            hooks.replace("DIR", &place.dir.path().display().to_string())
        );
        let config = place.dir.path().join("daemon.toml");
        fs::write(&config, text).unwrap();
        let world = format!("sim:{}", place.dir.path().join("world.json").display());
        let mut command = place.command(env!("CARGO_BIN_EXE_ionroller"));
        command.args(["run", "--cloud", &world, "--config"]).arg(&config).stdout(Stdio::null());
        let daemon = command.stderr(fs::File::create(place.dir.path().join("log")).unwrap()).spawn().unwrap();
        let mut world = Self { place, remote, daemon, port };
        let head = world.head();
        world.until("the first commit", |world| world.commit() == Some(head.clone()));
        world
    }

    fn head(&self) -> String {
        let output = self.place.command("git").args(["rev-parse", "HEAD"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits a version and pushes it; gives the commit.
    fn push(&self, version: &str) -> String {
        self.place.release(version);
        self.place.git(&["push", "--quiet", "../served/config.git", "main"]);
        self.head()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn commit(&self) -> Option<String> {
        let mut answer = ureq::get(self.url("/api/v1/status")).call().ok()?;
        let status: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).unwrap();
        Some(status["commit"].as_str()?.to_owned())
    }

    /// Sends a hook; gives the status and the answer.
    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let config = ureq::config::Config::builder().http_status_as_error(false).build();
        let mut request = ureq::Agent::new_with_config(config).post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// How often the remote was asked what its branches are.
    fn questions(&self) -> usize {
        self.remote.requests().iter().filter(|request| request.contains("/info/refs")).count()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.dir.path().join("log")).unwrap()
    }

    #[track_caller]
    fn until(&mut self, what: &str, happened: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !happened(self) {
            assert!(self.daemon.try_wait().unwrap().is_none(), "it ended: {}", self.log());
            assert!(Instant::now() < deadline, "{what} did not happen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn signature(secret: &str, body: &str) -> String {
    let signed = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body).finalize();
    data_encoding::HEXLOWER.encode(&signed.into_bytes())
}

const ON: &str = "[hooks]\nsecret_file = \"DIR/secret\"\n";

#[test]
fn a_push_is_fetched_within_a_second() {
    let mut world = World::new(ON);
    let body = r#"{"ref":"refs/heads/main"}"#;
    let signed = signature(SECRET, body);
    let github = format!("sha256={signed}");
    let bearer = format!("Bearer {SECRET}");
    let senders = [
        ("/hooks/github", "X-Hub-Signature-256", github.as_str()),
        ("/hooks/gitlab", "X-Gitlab-Token", SECRET),
        ("/hooks/gitea", "X-Gitea-Signature", signed.as_str()),
        ("/hooks/generic", "Authorization", bearer.as_str()),
        ("/hooks/generic", "X-Ionroller-Signature", signed.as_str()),
    ];
    let (mut took, first) = (Vec::new(), world.questions());
    for (number, (path, name, value)) in senders.iter().enumerate() {
        let pushed = world.push(&format!("9.0.{number}"));
        let seen = world.questions();
        let begun = Instant::now();
        assert_eq!(world.post(path, &[(name, value)], body), (202, "Git is asked\n".to_owned()), "{path}");
        world.until("the fetch", |world| world.questions() > seen);
        took.push(begun.elapsed());
        // Nothing else could have brought it: the next poll is in an hour.
        world.until("the commit", |world| world.commit() == Some(pushed.clone()));
    }
    // A fetch that brings a commit wakes nobody again.
    assert_eq!(world.questions(), first + senders.len());
    // The best of them: the machine that runs the tests may be busy with others.
    let best = took.iter().min().unwrap();
    assert!(*best < Duration::from_secs(1), "from push to fetch: {took:?}");
}

/// As a forge does it: the server's own hook, run by a real push.
#[test]
fn the_server_itself_rings() {
    let mut world = World::new(ON);
    let script = format!(
        "#!/usr/bin/env python3\nimport hashlib, hmac, sys, urllib.request\nbody = sys.stdin.buffer.read()\n\
         signed = hmac.new({SECRET:?}.encode(), body, hashlib.sha256).hexdigest()\n\
         urllib.request.urlopen(urllib.request.Request({:?}, body, {{'X-Gitea-Signature': signed}}))\n",
        world.url("/hooks/gitea")
    );
    use std::os::unix::fs::PermissionsExt as _;
    let hook = world.place.dir.path().join("served/config.git/hooks/post-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let pushed = world.push("9.1.0");
    world.until("the commit", |world| world.commit() == Some(pushed.clone()));
}

#[test]
fn a_replay_costs_a_question_a_second_at_most() {
    let mut world = World::new(ON);
    let signed = signature(SECRET, "again");
    let (seen, begun) = (world.questions(), Instant::now());
    for _ in 0..300 {
        assert_eq!(world.post("/hooks/gitea", &[("X-Gitea-Signature", &signed)], "again").0, 202);
    }
    world.until("a fetch", |world| world.questions() > seen);
    let asked = world.questions() - seen;
    let most = usize::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    assert!(asked <= most, "{asked} questions, {most} seconds");
}

#[test]
fn nobody_else_can_ring() {
    let mut world = World::new(ON);
    let seen = world.questions();
    let good = signature(SECRET, "body");
    let bad = signature("another", "body");
    for (path, headers, code) in [
        ("/hooks/github", vec![], 401),
        ("/hooks/github", vec![("X-Hub-Signature-256", bad.as_str())], 401),
        ("/hooks/github", vec![("X-Gitea-Signature", good.as_str())], 401),
        ("/hooks/gitlab", vec![("X-Gitlab-Token", "s3cret")], 401),
        ("/hooks/generic", vec![("Authorization", "Bearer s3cret")], 401),
        ("/hooks/gitea", vec![("X-Gitea-Signature", "no hex")], 401),
        ("/hooks/bitbucket", vec![("X-Gitea-Signature", good.as_str())], 404),
    ] {
        assert_eq!(world.post(path, &headers, "body").0, code, "{path} {headers:?}");
    }
    // A signature of another body is none.
    assert_eq!(world.post("/hooks/gitea", &[("X-Gitea-Signature", &good)], "other").0, 401);
    assert_eq!(ureq::get(world.url("/hooks/gitea")).call().unwrap_err().to_string(), "http status: 405");
    assert_eq!(world.questions(), seen);
    let log = world.log();
    assert_eq!(log.matches("a webhook was refused").count(), 1, "said once:\n{log}");
    assert!(!log.contains(SECRET), "{log}");

    // A new secret counts beside the old one, then alone, and nothing has to be told.
    let file = world.place.dir.path().join("secret");
    let new = signature("the new one", "body");
    let rings = |world: &World, signed: &str| world.post("/hooks/gitea", &[("X-Gitea-Signature", signed)], "body").0;
    fs::write(&file, format!("the new one\n{SECRET}\n")).unwrap();
    assert_eq!((rings(&world, &new), rings(&world, &good)), (202, 202));
    fs::write(&file, "the new one\n").unwrap();
    assert_eq!((rings(&world, &new), rings(&world, &good)), (202, 401));
    fs::write(&file, "").unwrap();
    let empty = signature("", "body");
    assert_eq!(rings(&world, &empty), 503, "an empty file is no secret");
    world.until("the reason in the log", |world| world.log().contains("it holds no secret"));
}

#[test]
fn without_a_secret_there_are_none() {
    let mut world = World::new("");
    let (code, said) = world.post("/hooks/github", &[], "");
    assert_eq!(code, 404);
    assert!(said.contains("`secret_file` in [hooks] of the daemon's file turns them on"), "{said}");
    // The daemon follows its file.
    let config = world.place.dir.path().join("daemon.toml");
    let text = fs::read_to_string(&config).unwrap();
    let on = ON.replace("DIR", &world.place.dir.path().display().to_string());
    fs::write(&config, text + &on).unwrap();
    let signed = signature(SECRET, "");
    let headers = [("X-Gitea-Signature", signed.as_str())];
    world.until("the new file", |world| world.post("/hooks/gitea", &headers, "").0 == 202);
}

/// A file with an error stops nobody but its service: the daemon is ready, and strictly it isn't.
#[test]
fn a_service_that_waits_for_somebody_is_not_strictly_ready() {
    let mut world = World::new(ON);
    let get = |world: &World, path: &str| {
        let config = ureq::config::Config::builder().http_status_as_error(false).build();
        let mut answer = ureq::Agent::new_with_config(config).get(world.url(path)).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    world.until("a first reading", |world| get(world, "/readyz?strict").0 == 200);
    fs::write(world.place.repo().join("services/website.toml"), "version = 1\n").unwrap();
    world.place.commit("a mistake");
    world.place.git(&["push", "--quiet", "../served/config.git", "main"]);
    let signed = signature(SECRET, "");
    world.post("/hooks/gitea", &[("X-Gitea-Signature", &signed)], "");
    world.until("the mistake", |world| get(world, "/readyz?strict").0 == 503);
    let (_, said) = get(&world, "/readyz?strict");
    assert!(said.lines().any(|line| line.starts_with("website: ") && line.contains("its file has errors")), "{said}");
    assert_eq!(get(&world, "/readyz").0, 200);
}

/// The most memory that the daemon ever had, in KiB.
fn peak(daemon: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_huge_body_is_never_held() {
    let world = World::new(ON);
    let before = peak(&world.daemon);
    let head = |length: &str| {
        format!(
            "POST /hooks/github HTTP/1.1\r\nHost: x\r\n{length}\r\nX-Hub-Signature-256: sha256={}\r\n\r\n",
            "00".repeat(32)
        )
    };
    // Its length is said: it is refused before any of it was sent.
    let mut announced = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    announced.write_all(head("Content-Length: 104857600").as_bytes()).unwrap();
    let mut answer = [0; 12];
    announced.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    // It isn't: it is refused when too much has come.
    let mut chunked = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    chunked.write_all(head("Transfer-Encoding: chunked").as_bytes()).unwrap();
    let mut reading = chunked.try_clone().unwrap();
    let answer = std::thread::spawn(move || {
        let mut answer = [0; 12];
        reading.read_exact(&mut answer).map(|()| answer)
    });
    let mut chunk = b"100000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10_0000, b'x');
    chunk.extend(b"\r\n");
    let sent = (0..100).take_while(|_| chunked.write_all(&chunk).is_ok()).count();
    assert!(sent < 100, "all 100 MiB were taken");
    // The connection may be gone before the answer was read.
    if let Ok(answer) = answer.join().unwrap() {
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
    let grown = peak(&world.daemon) - before;
    assert!(grown < 16 * 1024, "{grown} KiB more");
    assert_eq!(world.post("/hooks/github", &[], "").0, 401, "it still answers");
}
