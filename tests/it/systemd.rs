//! What the daemon tells systemd, on a socket of the test's own: ready, alive, stopping.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use tempfile::TempDir;

/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Service {
    child: Child,
    socket: UnixDatagram,
    dir: TempDir,
}

impl Service {
    /// Starts `ionroller run` as a unit with `Type=notify` and `WatchdogSec=1` does.
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        let socket = UnixDatagram::bind(path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("example-config-repo");
        let copied = Command::new("cp").arg("-r").arg(example).arg(path("config")).status().unwrap();
        assert!(copied.success());
        for args in [
            &["init", "--quiet", "--initial-branch", "main", "."][..],
            &["add", "--all"],
            &["commit", "--quiet", "--message", "all"],
        ] {
            let mut git = Command::new("git");
            git.args(args).current_dir(path("config")).env("HOME", dir.path()).env("GIT_CONFIG_NOSYSTEM", "1");
            git.envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "t")));
            git.envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "t@example.com")));
            assert!(git.status().unwrap().success(), "git {args:?}");
        }
        let text = format!(
            "repo = \"{}\"\nstate_dir = \"{}\"\nlisten = \"127.0.0.1:0\"\n",
            path("config").display(),
            path("state").display()
        );
        std::fs::write(path("daemon.toml"), text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_ionroller"))
            .args(["run", "--quiet", "--config"])
            .arg(path("daemon.toml"))
            .arg("--cloud")
            .arg(format!("sim:{}", path("world.json").display()))
            .env_clear()
            .env("HOME", dir.path())
            .env("NOTIFY_SOCKET", path("notify"))
            .env("WATCHDOG_USEC", "1000000")
            .spawn()
            .unwrap();
        Self { child, socket, dir }
    }

    /// The next message.
    fn says(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("it says nothing any more");
        String::from_utf8(buffer[..length].to_vec()).unwrap().trim().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_says_when_it_is_ready_alive_and_stopping() {
    let mut service = Service::start();
    assert_eq!(service.says(), "READY=1");
    assert!(service.dir.path().join("state").is_dir(), "ready means that it holds its state folder");
    // Several in a row: of the first it might be said that it came with the start.
    for _ in 0..4 {
        assert_eq!(service.says(), "WATCHDOG=1");
    }
    let id = service.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    while service.says() != "STOPPING=1" {}
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
}

/// A daemon that can't start never says that it is ready.
#[test]
fn it_is_not_ready_before_it_can_work() {
    let service = Service::start();
    assert_eq!(service.says(), "READY=1");
    let second = UnixDatagram::bind(service.dir.path().join("second")).unwrap();
    let refused = Command::new(env!("CARGO_BIN_EXE_ionroller"))
        .args(["run", "--config"])
        .arg(service.dir.path().join("daemon.toml"))
        .env("NOTIFY_SOCKET", service.dir.path().join("second"))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another daemon uses the state folder"));
    second.set_nonblocking(true).unwrap();
    assert!(second.recv(&mut [0; 64]).is_err(), "it said something");
}
