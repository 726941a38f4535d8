//! A config repository, a simulated AWS in a file, and the binary in a hermetic environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

pub struct Place {
    pub dir: TempDir,
}

pub struct Ran {
    /// The command, whose JSON has a schema.
    pub command: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// The answer, which is as the command's schema says.
    #[track_caller]
    pub fn json(&self) -> Value {
        let answer = serde_json::from_str(&self.stdout).unwrap();
        let schema = ionroller::render::schema::of(&self.command).unwrap();
        let problems = super::schema::problems(&answer, &schema);
        assert!(problems.is_empty(), "ionroller {}: {}", self.command, problems.join("\n"));
        answer
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Place {
    /// The example repository, committed.
    pub fn new() -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("example-config-repo"), &place.repo());
        place.git(&["init", "--quiet", "--initial-branch", "main", "."]);
        place.commit("first releases");
        place
    }

    pub fn repo(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.repo())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("USER", "tester")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "t")))
            .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "t@example.com")))
            .envs(["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"].map(|name| (name, "2026-01-01T00:00:00Z")));
        command
    }

    pub fn git(&self, args: &[&str]) {
        let output = self.command("git").args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    /// Changes the version of `website` and the digest of its image, and commits.
    pub fn release(&self, version: &str) {
        let digest: String = version.bytes().map(|byte| format!("{byte:02x}")).collect();
        let file = self.repo().join("services/website.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let changed: Vec<String> = text
            .lines()
            .map(|line| match line.split(' ').next() {
                Some("version") => format!("version = \"{version}\""),
                Some("digest") => format!("digest = \"sha256:{digest:0<64}\""),
                _ => line.to_owned(),
            })
            .collect();
        std::fs::write(&file, changed.join("\n") + "\n").unwrap();
        self.commit(&format!("website {version}"));
    }

    pub fn bare(&self, args: &[&str]) -> Ran {
        let output = self.command(env!("CARGO_BIN_EXE_ionroller")).args(args).output().unwrap();
        Ran {
            command: args.first().copied().unwrap_or_default().to_owned(),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        let world = format!("sim:{}", self.dir.path().join("world.json").display());
        let mut all = args.to_vec();
        all.extend(["--cloud", &world]);
        self.bare(&all)
    }

    pub fn service(&self, name: &str) -> Value {
        let status = self.run(&["status", "-o", "json"]).ended(0).json();
        status["services"].as_array().unwrap().iter().find(|service| service["name"] == name).unwrap().clone()
    }
}
