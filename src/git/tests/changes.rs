use super::sandbox::Sandbox;
use crate::git::FileCommit;
use crate::names::CommitId;

const WEB: &str = "services/web.toml";

fn subjects(sandbox: &Sandbox, from: &CommitId) -> Vec<String> {
    let changes = sandbox.open("repo").file_changes(from, WEB, 100).unwrap();
    changes.into_iter().map(|change| change.subject).collect()
}

fn commit_with(sandbox: &Sandbox, text: &str, message: &str) -> CommitId {
    sandbox.write("repo", WEB, text);
    sandbox.commit("repo", message)
}

#[test]
fn the_changes_of_a_file_lead_through_merges() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side"]);
    commit_with(&sandbox, "version = \"2\"\n", "two");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    sandbox.change("repo", "files/other.sh", "true");
    sandbox.git("repo", &["merge", "--quiet", "--no-ff", "--no-edit", "side"]);
    // The merge took the side's file, so it leads there and is no change of its own.
    assert_eq!(subjects(&sandbox, &sandbox.head("repo")), ["two", "first"]);
    let last = commit_with(&sandbox, "version = \"3\"\n", "three\n\nwith a body");
    assert_eq!(subjects(&sandbox, &last), ["three", "two", "first"]);
    let changes = sandbox.open("repo").file_changes(&last, WEB, 1).unwrap();
    assert_eq!((changes.len(), changes[0].author.as_str()), (1, "Ann"));
    assert_eq!(changes[0].parent, Some(sandbox.open("repo").resolve("HEAD~1").unwrap()));
    // A file that went away and came back is one whose past goes on.
    std::fs::remove_file(sandbox.path("repo").join(WEB)).unwrap();
    sandbox.commit("repo", "gone");
    let back = commit_with(&sandbox, "version = \"4\"\n", "back");
    assert_eq!(subjects(&sandbox, &back), ["back", "gone", "three", "two", "first"]);
}

#[test]
fn the_changes_of_a_shallow_clone_end_where_it_is_cut_off() {
    let sandbox = Sandbox::new();
    sandbox.init_config("origin");
    for version in 2..6 {
        sandbox.write("origin", WEB, &format!("version = \"{version}\"\n"));
        sandbox.commit("origin", &format!("release {version}"));
    }
    let origin = format!("file://{}", sandbox.path("origin").display());
    sandbox.git("", &["clone", "--quiet", "--depth", "3", &origin, "repo"]);
    let seen = subjects(&sandbox, &sandbox.head("repo"));
    assert!(seen.starts_with(&["release 5".to_owned(), "release 4".to_owned()]) && seen.len() <= 3, "{seen:?}");
}

#[test]
fn a_change_is_taken_out_alone() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let repository = sandbox.open("repo");
    let before = b"version = \"1\"\n\n[capacity]\nmin = 2\n";
    let after = b"version = \"2\"\n\n[capacity]\nmin = 2\n";
    let now = b"version = \"2\"\n\n[capacity]\nmin = 4\n";
    let expected: &[u8] = b"version = \"1\"\n\n[capacity]\nmin = 4\n";
    assert_eq!(repository.without_change(now, before, after).as_deref(), Some(expected));
    assert_eq!(repository.without_change(b"version = \"3\"\n\n[capacity]\nmin = 2\n", before, after), None);
}

#[test]
fn a_branch_that_moved_meanwhile_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    // The identity is the repository's own: this process has git's variables of nobody.
    sandbox.git("repo", &["config", "user.name", "Ann"]);
    sandbox.git("repo", &["config", "user.email", "ann@example.com"]);
    let repository = sandbox.open("repo");
    let branch = repository.branch_to_commit_on(None).unwrap();
    let newer = sandbox.commit("repo", "somebody was faster");
    let change = FileCommit { path: WEB, content: b"version = \"2\"\n", message: "two" };
    let refused = repository.commit_file(&branch, change).unwrap_err().to_string();
    assert!(refused.contains("has moved meanwhile"), "{refused}");
    assert_eq!(sandbox.head("repo"), newer);
    assert_eq!(sandbox.git("repo", &["status", "--porcelain"]), "");
}
