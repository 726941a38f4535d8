//! A daemon that acts for signed commits only.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::git_servers::keygen;
use super::harness::place::Place;

struct World {
    place: Place,
    port: u16,
    daemon: Option<Child>,
}

impl World {
    /// The example, whose one commit Ann has signed.
    fn new(mode: &str) -> Self {
        let place = Place::new();
        let path = |name: &str| place.dir.path().join(name);
        keygen(&path("ann"), "ed25519", "");
        keygen(&path("eve"), "ed25519", "");
        let public = fs::read_to_string(path("ann.pub")).unwrap();
        fs::write(path("signers"), format!("ann@example.com namespaces=\"git\" {public}")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "repo = {:?}\nstate_dir = {:?}\npoll_interval = \"1s\"\nlisten = \"127.0.0.1:{port}\"\n\
             [trust]\nmode = {mode:?}\nssh_allowed_signers_file = {:?}\nssh_revoked_keys_file = {:?}\n",
            place.repo(),
            path("state"),
            path("signers"),
            path("revoked")
        );
        fs::write(path("daemon.toml"), text).unwrap();
        fs::write(path("revoked"), "").unwrap();
        let world = Self { place, port, daemon: None };
        world.sign("ann", &["commit", "--quiet", "--amend", "--no-edit"]);
        world
    }

    fn start(&mut self) {
        let path = |name: &str| self.place.dir.path().join(name);
        let mut command = self.place.command(env!("CARGO_BIN_EXE_ionroller"));
        command.arg("run").arg("--config").arg(path("daemon.toml"));
        command.arg("--cloud").arg(format!("sim:{}", path("world.json").display()));
        let log = fs::File::options().create(true).append(true).open(path("log")).unwrap();
        self.daemon = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status();
            let _ = daemon.wait();
        }
    }

    fn sign(&self, key: &str, args: &[&str]) {
        let key = format!("user.signingkey={}", self.place.dir.path().join(key).display());
        let mut all = vec!["-c", "gpg.format=ssh", "-c", &key, "-c", "commit.gpgsign=true"];
        all.extend(args);
        self.place.git(&all);
    }

    /// Releases a version, signed by this key or by nobody; gives the commit.
    fn release(&self, version: &str, key: Option<&str>) -> String {
        self.place.release(version);
        if let Some(key) = key {
            self.sign(key, &["commit", "--quiet", "--amend", "--no-edit"]);
        }
        self.head()
    }

    fn head(&self) -> String {
        let output = self.place.command("git").args(["rev-parse", "HEAD"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn get(&self, path: &str) -> Option<String> {
        let config = ureq::config::Config::builder().http_status_as_error(false).build();
        let agent = ureq::Agent::new_with_config(config);
        let mut answer = agent.get(format!("http://127.0.0.1:{}{path}", self.port)).call().ok()?;
        answer.body_mut().read_to_string().ok()
    }

    fn status(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.get("/api/v1/status")?).ok()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.dir.path().join("log")).unwrap()
    }

    #[track_caller]
    fn until(&mut self, what: &str, happened: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !happened(self) {
            assert!(self.daemon.as_mut().unwrap().try_wait().unwrap().is_none(), "it ended: {}", self.log());
            let shown = || format!("{:?}\n{:?}\n{}", self.get("/readyz"), self.status(), self.log());
            assert!(Instant::now() < deadline, "{what} did not happen: {}", shown());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn acts_for(&mut self, commit: &str) {
        self.until(commit, |world| world.status().is_some_and(|status| status["commit"] == commit));
    }

    #[track_caller]
    fn says(&mut self, words: &str) {
        self.until(words, |world| world.get("/readyz").is_some_and(|said| said.contains(words)));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn only_a_signed_head_is_acted_on() {
    let mut world = World::new("head");
    let first = world.head();
    world.start();
    world.acts_for(&first);
    world.says("ready");
    let unsigned = world.release("9.0.1", None);
    world.says(&format!("git: commit {} is not signed: it is not acted on, and what runs goes on", &unsigned[..7]));
    assert_eq!(world.status().unwrap()["commit"], first);
    let by_eve = world.release("9.0.2", Some("eve"));
    world.says(&format!("git: commit {} is signed by an SSH key that is not in ssh_allowed", &by_eve[..7]));
    // What is unsigned before a signed head is vouched for by whoever signed that.
    let signed = world.release("9.0.3", Some("ann"));
    world.acts_for(&signed);
    world.says("ready");
    assert_eq!(world.log().matches(&format!("commit {} is signed by", &by_eve[..7])).count(), 1);

    // A key that is revoked counts no more, at once and without a restart.
    fs::copy(world.place.dir.path().join("ann.pub"), world.place.dir.path().join("revoked")).unwrap();
    let revoked = world.release("9.0.4", Some("ann"));
    world.says(&format!("commit {} is signed by an SSH key that is revoked", &revoked[..7]));
    assert_eq!(world.status().unwrap()["commit"], signed);
    fs::write(world.place.dir.path().join("revoked"), "").unwrap();
    world.acts_for(&revoked);

    // After a restart the newest commit that counts is found again.
    let unsigned = world.release("9.0.5", None);
    world.says(&format!("commit {} is not signed", &unsigned[..7]));
    world.stop();
    world.start();
    world.says(&format!("commit {} is not signed", &unsigned[..7]));
    world.acts_for(&revoked);
    assert!(world.get("/readyz").unwrap().contains(&format!("{} counts until that is mended", &revoked[..7])));
    fs::write(world.place.dir.path().join("signers"), "ann ssh-ed25519 x\n").unwrap();
    world.says("signers: line 1: the key: ");
}

#[test]
fn strict_wants_every_commit_signed_also_after_a_restart() {
    let mut world = World::new("strict");
    let first = world.head();
    world.start();
    world.acts_for(&first);
    let begun = |world: &World| {
        let status = world.status().unwrap();
        let services = status["services"].as_array().unwrap();
        services
            .iter()
            .all(|service| service["groups"][0]["marks"]["fence"].is_string() || service["groups"][0].is_object())
    };
    world.until("something of each service", begun);
    let unsigned = world.release("9.0.1", None);
    let signed = world.release("9.0.2", Some("ann"));
    world.says(&format!("git: commit {} is not signed: it is not acted on", &unsigned[..7]));
    assert_eq!(world.status().unwrap()["commit"], first);
    // The world is kept once a second.
    let kept = world.place.dir.path().join("world.json");
    world.until("the world on disk", |_| fs::read_to_string(&kept).is_ok_and(|text| text.contains("website-")));
    world.stop();
    world.start();
    // It doesn't remember what it acted on: the marks in AWS do.
    world.acts_for(&signed);
    let refusal = format!("commit {} is not signed; nothing since is acted on", &unsigned[..7]);
    let waits = |world: &World| {
        let status = world.status().unwrap();
        let services = status["services"].as_array().unwrap();
        services.iter().all(|service| {
            service["waiting_on"]["reason"] == "fence" && service["waiting_on"]["detail"] == refusal.as_str()
        })
    };
    world.until("the wait of every service", waits);
    // Mended by signing what was not: nothing of it was acted on, so it may be rewritten.
    world.place.git(&["reset", "--quiet", "--hard", &first]);
    let mended = world.release("9.0.2", Some("ann"));
    world.acts_for(&mended);
    let goes_on = |world: &World| {
        let status = world.status().unwrap();
        let services = status["services"].as_array().unwrap();
        services.iter().all(|service| service["waiting_on"]["reason"] != "fence")
    };
    world.until("the end of the wait", goes_on);

    // A key that is added counts for what waits already.
    world.release("9.0.3", Some("eve"));
    let signed = world.release("9.0.4", Some("ann"));
    world.says("is signed by an SSH key that is not in ssh_allowed_signers_file");
    world.stop();
    world.start();
    world.acts_for(&signed);
    world.until("the wait of every service", |world| !goes_on(world));
    let signers = world.place.dir.path().join("signers");
    let both = fs::read_to_string(&signers).unwrap()
        + "eve@example.com "
        + &fs::read_to_string(world.place.dir.path().join("eve.pub")).unwrap();
    fs::write(&signers, both).unwrap();
    world.until("the end of the wait", goes_on);
}

#[test]
fn the_daemons_file_is_checked() {
    let world = World::new("strict");
    let config = world.place.dir.path().join("daemon.toml").display().to_string();
    world.place.bare(&["run", "--check", "--config", &config]).ended(0);
    fs::write(world.place.dir.path().join("signers"), "ann cert-authority ssh-ed25519 AAAA\n").unwrap();
    let said = world.place.bare(&["run", "--check", "--config", &config]).ended(1).stderr;
    assert!(said.contains("signers: line 1: cert-authority: certificates are not supported"), "{said}");
}
