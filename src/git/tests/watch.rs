use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::sandbox::Sandbox;
use crate::git::{Repository, Watch};

/// Far longer than a change takes to be seen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for a change that should not be seen to be seen.
const QUIET: Duration = Duration::from_millis(300);

/// A watch and where it reports; `None` where the machine has no watches left.
fn watch(repository: &Repository) -> Option<(Watch, Receiver<()>)> {
    let (sender, receiver) = channel();
    let watch = repository.watch(move || {
        // The test may have ended.
        let _ = sender.send(());
    });
    watch.ok().map(|watch| (watch, receiver))
}

/// Waits until nothing has been reported for a while.
fn settle(changes: &Receiver<()>) {
    while changes.recv_timeout(QUIET).is_ok() {}
}

#[test]
fn sees_commits_branches_and_packing() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let Some((_watch, changes)) = watch(&sandbox.open("repo")) else {
        return;
    };
    let happenings: [&dyn Fn(); 4] = [
        &|| drop(sandbox.commit("repo", "second")),
        &|| drop(sandbox.git("repo", &["branch", "team/side"])),
        &|| drop(sandbox.git("repo", &["pack-refs", "--all"])),
        &|| drop(sandbox.git("repo", &["checkout", "--quiet", "--detach", first.as_str()])),
    ];
    for happening in happenings {
        happening();
        changes.recv_timeout(PATIENCE).unwrap();
        settle(&changes);
    }
}

#[test]
fn reading_and_uncommitted_work_are_no_change() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let mut repository = sandbox.open("repo");
    let Some((_watch, changes)) = watch(&repository) else {
        return;
    };
    repository.tip("main").unwrap();
    repository.config_files(&first, "").unwrap();
    sandbox.write("repo", "services/web.toml", "version = \"2\"\n");
    sandbox.git("repo", &["add", "--all"]);
    repository.has_uncommitted_changes("");
    assert!(changes.recv_timeout(QUIET).is_err());
}

#[test]
fn sees_commits_in_linked_worktrees() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    sandbox.git("repo", &["worktree", "add", "--quiet", "-b", "side", "../linked"]);
    let Some((_watch, changes)) = watch(&sandbox.open("linked")) else {
        return;
    };
    sandbox.commit("linked", "second");
    changes.recv_timeout(PATIENCE).unwrap();
    settle(&changes);
    sandbox.git("linked", &["checkout", "--quiet", "--detach", first.as_str()]);
    changes.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn ends_when_it_is_dropped() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let Some((watch, changes)) = watch(&sandbox.open("repo")) else {
        return;
    };
    drop(watch);
    sandbox.commit("repo", "second");
    // The callback is gone, and with it the sender.
    while changes.recv_timeout(PATIENCE).is_ok() {}
    assert_eq!(changes.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
}
