//! A folder with repositories in it, and a git that sees nothing of the machine.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::desired::files::{ConfigFiles, FileContent};
use crate::git::{Access, GitError, RemoteUrl, Repository, Source};
use crate::names::CommitId;

pub struct Sandbox {
    dir: TempDir,
    /// One second later for each commit, so that order by time is certain.
    clock: Cell<u64>,
}

impl Sandbox {
    pub fn new() -> Sandbox {
        Sandbox { dir: TempDir::new().unwrap(), clock: Cell::new(1_700_000_000) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        // Without symbolic links, as git will show it.
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// Runs git in a folder of the sandbox and returns what it printed.
    pub fn git(&self, folder: &str, args: &[&str]) -> String {
        let time = self.clock.replace(self.clock.get() + 1);
        let output = Command::new("git")
            .args(args)
            .current_dir(self.path(folder))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin")
            .env("HOME", self.path("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "Ann")
            .env("GIT_AUTHOR_EMAIL", "ann@example.com")
            .env("GIT_COMMITTER_NAME", "Ann")
            .env("GIT_COMMITTER_EMAIL", "ann@example.com")
            .env("GIT_AUTHOR_DATE", format!("{time} +0000"))
            .env("GIT_COMMITTER_DATE", format!("{time} +0000"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// An empty repository whose branch is `main`.
    pub fn init(&self, folder: &str) {
        fs::create_dir_all(self.path(folder)).unwrap();
        self.git(folder, &["init", "--quiet", "--initial-branch=main"]);
    }

    /// A repository with a config folder at its root, and one commit.
    pub fn init_config(&self, folder: &str) -> CommitId {
        self.init(folder);
        self.write(folder, "ionroller.toml", "scope = \"prod\"\n");
        self.write(folder, "services/web.toml", "version = \"1\"\n");
        self.write(folder, "files/web.sh", "true\n");
        self.commit(folder, "first")
    }

    pub fn write(&self, folder: &str, file: &str, text: &str) {
        let path = self.path(folder).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn commit(&self, folder: &str, message: &str) -> CommitId {
        self.git(folder, &["add", "--all"]);
        self.git(folder, &["commit", "--quiet", "--allow-empty", "--message", message]);
        self.head(folder)
    }

    /// Changes one file and commits it.
    pub fn change(&self, folder: &str, file: &str, text: &str) -> CommitId {
        self.write(folder, file, text);
        self.commit(folder, &format!("change {file}"))
    }

    pub fn head(&self, folder: &str) -> CommitId {
        id(&self.git(folder, &["rev-parse", "HEAD"]))
    }

    pub fn open(&self, folder: &str) -> Repository {
        Repository::open_local(&self.path(folder)).unwrap()
    }

    pub fn url(&self, folder: &str) -> RemoteUrl {
        match Source::parse(&format!("file://{}", self.path(folder).display())).unwrap() {
            Source::Remote(url) => url,
            Source::Local(path) => panic!("{} is no URL", path.display()),
        }
    }

    /// The mirror `state/mirror` of a repository of the sandbox.
    pub fn mirror(&self, folder: &str) -> Repository {
        self.try_mirror(folder).unwrap()
    }

    pub fn try_mirror(&self, folder: &str) -> Result<Repository, GitError> {
        Repository::open_mirror(&self.url(folder), &self.path("state/mirror"), &Access::default())
    }
}

pub fn id(text: &str) -> CommitId {
    CommitId::parse(text).unwrap()
}

pub fn absent() -> CommitId {
    id("0123456789012345678901234567890123456789")
}

/// The files as one line each, for comparison.
pub fn listing(config: &ConfigFiles) -> Vec<String> {
    let shown = config.files.iter().map(|(path, content)| {
        let content = match content {
            FileContent::Bytes(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
            other => format!("{other:?}"),
        };
        format!("{}{path} {content}", config.root)
    });
    shown.collect()
}

/// An error with its sources, as the command line shows it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Overwrites every object file below a git folder, packs and loose ones.
pub fn spoil_objects(git_dir: &Path) {
    for entry in fs::read_dir(git_dir.join("objects")).unwrap().flatten() {
        for file in fs::read_dir(entry.path()).unwrap().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "idx") {
                continue;
            }
            // Replaced, not written through: a local clone shares files.
            fs::remove_file(file.path()).unwrap();
            fs::write(file.path(), b"no object").unwrap();
        }
    }
}
