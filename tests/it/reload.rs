//! The daemon follows its own file while it runs.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::harness::place::Place;

/// A daemon on a simulated AWS, with its log.
pub struct Running {
    pub child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// Lines of the log that were waited for before.
    read: usize,
}

impl Running {
    pub fn start(place: &Place, config: &PathBuf) -> Self {
        Self::start_with(place, config, &[])
    }

    pub fn start_with(place: &Place, config: &PathBuf, more: &[&str]) -> Self {
        let world = format!("sim:{}", place.dir.path().join("world.json").display());
        let mut command = place.command(env!("CARGO_BIN_EXE_ionroller"));
        command.args(["run", "--cloud", &world, "--config"]).arg(config).args(more);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (lines, log) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::new(Mutex::new(Vec::new())));
        let into = Arc::clone(&log);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| into.lock().unwrap().push(line)));
        Self { child, log, read: 0 }
    }

    /// The next line of the log that has all these words.
    #[track_caller]
    pub fn says(&mut self, words: &[&str]) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let log = self.log.lock().unwrap().clone();
            let found = log[self.read..].iter().position(|line| words.iter().all(|word| line.contains(word)));
            if let Some(at) = found {
                self.read += at + 1;
                return log[self.read - 1].clone();
            }
            assert!(Instant::now() < deadline, "{words:?} was not said:\n{}", log.join("\n"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn head(place: &Place) -> String {
    let output = place.command("git").args(["rev-parse", "HEAD"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..7].to_owned()
}

#[test]
fn a_good_file_takes_effect_and_a_broken_one_changes_nothing() {
    let place = Place::new();
    let config = place.dir.path().join("daemon.toml");
    let state = place.dir.path().join("state");
    let base = format!("repo = {:?}\nstate_dir = {state:?}\n", place.repo());
    // As an editor does it: a new file in the old one's place.
    let write = |rest: &str| {
        let beside = place.dir.path().join("daemon.toml.new");
        std::fs::write(&beside, format!("{base}{rest}")).unwrap();
        std::fs::rename(beside, &config).unwrap();
    };
    write("listen = \"127.0.0.1:0\"\n");
    let mut daemon = Running::start(&place, &config);
    daemon.says(&["new commit", &head(&place)]);

    place.git(&["checkout", "--quiet", "-b", "other"]);
    place.release("2026.03.2");
    write("listen = \"127.0.0.1:0\"\nbranch = \"other\"\npoll_interval = \"1h\"\n");
    daemon.says(&["the daemon's file was read again", "branch, poll_interval"]);
    daemon.says(&["new commit", &head(&place)]);

    write("listen = \"127.0.0.1:0\"\nbranch = \"main\"\npoll_interval = \"soon\"\n");
    daemon.says(&["ERROR", "what was followed before still is", "line 5, column 17: `soon` is no duration"]);
    // Its branch is followed still, and so is the file.
    place.release("2026.03.3");
    daemon.says(&["new commit", &head(&place)]);

    std::fs::write(
        &config,
        format!("{base}listen = \"127.0.0.1:9\"\nbranch = \"other\"\nlog = \"json\"\n[lease]\ntable = \"abc\"\n"),
    )
    .unwrap();
    daemon.says(&["WARN", "takes effect at the next start only", "listen"]);
    daemon.says(&["WARN", "takes effect at the next start only", "lease"]);
    let json = daemon.says(&["the daemon's file was read again", "poll_interval, log"]);
    serde_json::from_str::<serde_json::Value>(&json).unwrap();

    daemon.signal("-HUP");
    daemon.says(&["SIGHUP"]);
    // A folder that the commit lacks is told, and what runs goes on.
    write("listen = \"127.0.0.1:0\"\nbranch = \"other\"\npath = \"elsewhere\"\n");
    daemon.says(&["the daemon's file was read again", "path"]);
    daemon.says(&["what runs goes on", "elsewhere"]);
    daemon.signal("-TERM");
    daemon.says(&["stopped"]);
    assert!(daemon.child.wait().unwrap().success());
}

#[test]
fn a_dry_run_says_what_it_would_do() {
    let place = Place::new();
    let config = place.dir.path().join("daemon.toml");
    let state = place.dir.path().join("state");
    let text = format!("repo = {:?}\nstate_dir = {state:?}\nlisten = \"127.0.0.1:0\"\n", place.repo());
    std::fs::write(&config, text).unwrap();
    let mut daemon = Running::start_with(&place, &config, &["--dry-run"]);
    daemon.says(&["would CreateLaunchTemplate", "launch-template/website"]);
    daemon.says(&["would CreateGroup", "min ", "group/website"]);
    place.release("2026.03.2");
    daemon.says(&["new commit", &head(&place)]);
    daemon.says(&["would CreateLaunchTemplate", "launch-template/"]);
    assert!(!place.dir.path().join("world.json").exists(), "nothing is changed");
}
