//! Trees that no tool of git makes, and anybody who can push can.

use super::sandbox::{Sandbox, chain, id, listing};
use crate::git::{FILE_BYTES_MAX, FILES_MAX, GitError, TREE_BYTES_MAX};
use crate::names::CommitId;

const MODE_FILE: &str = "100644";
const MODE_FOLDER: &str = "40000";

/// A tree object written byte by byte, as git's own tools would never do.
fn tree(handle: &git2::Repository, entries: &[(&str, &[u8], git2::Oid)]) -> git2::Oid {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    handle.odb().unwrap().write(git2::ObjectType::Tree, &bytes).unwrap()
}

/// Commits a tree on top of nothing.
fn commit_tree(handle: &git2::Repository, tree: git2::Oid) -> CommitId {
    let who = git2::Signature::new("Ann", "ann@example.com", &git2::Time::new(0, 0)).unwrap();
    let tree = handle.find_tree(tree).unwrap();
    let commit = handle.commit(None, &who, &who, "by hand", &tree, &[]).unwrap();
    id(&commit.to_string())
}

#[test]
fn names_made_by_hand_do_no_harm() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let blob = handle.blob(b"x").unwrap();
    let names: [&[u8]; 12] = [
        b"..",
        b".",
        b".git",
        b"../../etc/passwd",
        b"a/b.toml",
        b"line\nbreak.toml",
        b"\x1b[31mred.toml",
        "evil\u{202e}lmot.sj".as_bytes(),
        b"caf\xe9.toml",
        b"good.toml",
        b"twice.toml",
        b"twice.toml",
    ];
    let mut names = names.to_vec();
    names.sort_unstable();
    let entries: Vec<_> = names.iter().map(|name| (MODE_FILE, *name, blob)).collect();
    let services = tree(&handle, &entries);
    let top = tree(&handle, &[(MODE_FOLDER, b"services", services)]);
    let commit = commit_tree(&handle, top);
    let config = sandbox.open("repo").config_files(&commit, "").unwrap();
    let because = |path: &str, reason: &str| format!("services/{path} Unreadable {{ reason: {reason:?} }}");
    let mut expected = vec![
        because("..", "its name is no file name"),
        because(".", "its name is no file name"),
        because(".git", "git keeps its own files under this name"),
        because("..\\/..\\/etc\\/passwd", "its name is no file name"),
        because("a\\/b.toml", "its name is no file name"),
        because("line\\nbreak.toml", "its name contains control characters"),
        because("\\u{1b}[31mred.toml", "its name contains control characters"),
        because("evil\\u{202e}lmot.sj", "its name contains control characters"),
        because("caf\\xe9.toml", "its name is not UTF-8"),
        r#"services/good.toml "x""#.to_owned(),
        because("twice.toml", "two files have this name"),
    ];
    expected.sort();
    let mut found = listing(&config);
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_tree_out_of_order_hides_nothing() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let blob = handle.blob(b"x").unwrap();
    let services =
        tree(&handle, &[(MODE_FILE, b"z.toml", blob), (MODE_FILE, b"a.toml", blob), (MODE_FILE, b"m.toml", blob)]);
    let top = tree(&handle, &[(MODE_FOLDER, b"services", services)]);
    let commit = commit_tree(&handle, top);
    let config = sandbox.open("repo").config_files(&commit, "").unwrap();
    assert_eq!(config.files.keys().collect::<Vec<_>>(), ["services/a.toml", "services/m.toml", "services/z.toml"]);
}

#[test]
fn a_folder_may_not_hold_too_much() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let small = handle.blob(b"x").unwrap();
    let names: Vec<String> = (0..=FILES_MAX).map(|n| format!("{n:05}")).collect();
    let entries = |count: usize, blob| -> Vec<_> {
        names[..count].iter().map(|name| (MODE_FILE, name.as_bytes(), blob)).collect()
    };
    let check = |files: git2::Oid, expected: &str| {
        let top = tree(&handle, &[(MODE_FOLDER, b"files", files)]);
        let commit = commit_tree(&handle, top);
        let error = sandbox.open("repo").config_files(&commit, "").unwrap_err();
        assert!(matches!(error, GitError::TooMuch { .. }), "{}", chain(&error));
        assert!(error.to_string().contains(&format!("more than {expected}, so nothing")), "{error}");
    };
    check(tree(&handle, &entries(FILES_MAX + 1, small)), &format!("{FILES_MAX} files"));
    let large = handle.blob(&vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap()]).unwrap();
    check(tree(&handle, &entries(65, large)), "64 MiB of files");
    // A tree of trees that share one tree, which unpacks to 10^16 files.
    let mut bomb = tree(&handle, &entries(10, small));
    for _ in 0..14 {
        let folders: Vec<_> = names[..10].iter().map(|name| (MODE_FOLDER, name.as_bytes(), bomb)).collect();
        bomb = tree(&handle, &folders);
    }
    check(bomb, &format!("{FILES_MAX} files"));
}

#[test]
fn a_hundred_thousand_entries_are_an_error_and_not_a_folder_of_fewer() {
    const ENTRIES: usize = 100_000;
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let blob = handle.blob(b"x").unwrap();
    let names: Vec<String> = (0..ENTRIES).map(|n| format!("s{n:06}.toml")).collect();
    let entries: Vec<_> = names.iter().map(|name| (MODE_FILE, name.as_bytes(), blob)).collect();
    let many = tree(&handle, &entries);
    for folder in ["services", "files"] {
        let commit = commit_tree(&handle, tree(&handle, &[(MODE_FOLDER, folder.as_bytes(), many)]));
        let error = sandbox.open("repo").config_files(&commit, "").unwrap_err();
        assert!(matches!(error, GitError::TooMuch { .. }), "{}", chain(&error));
    }
    // What is not ionroller's may be as much as it likes.
    let services = tree(&handle, &[(MODE_FILE, b"good.toml", blob)]);
    let mut top = entries;
    top.push((MODE_FOLDER, b"services", services));
    top.push((MODE_FOLDER, b"zoo", many));
    top.sort_by_key(|(_, name, _)| *name);
    let commit = commit_tree(&handle, tree(&handle, &top));
    let config = sandbox.open("repo").config_files(&commit, "").unwrap();
    assert_eq!(config.files.keys().collect::<Vec<_>>(), ["services/good.toml"]);
}

#[test]
fn a_list_of_files_may_not_be_too_large_itself() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let blob = handle.blob(b"x").unwrap();
    let entry_bytes = 4_000;
    let count = usize::try_from(TREE_BYTES_MAX).unwrap() / entry_bytes + 1;
    let names: Vec<String> = (0..count).map(|n| format!("{n:0entry_bytes$}")).collect();
    let entries: Vec<_> = names.iter().map(|name| (MODE_FILE, name.as_bytes(), blob)).collect();
    let large = tree(&handle, &entries);
    for top in [large, tree(&handle, &[(MODE_FOLDER, b"services", large)])] {
        let commit = commit_tree(&handle, top);
        let error = sandbox.open("repo").config_files(&commit, "").unwrap_err();
        assert!(error.to_string().contains("more than 16 MiB in a list of files"), "{}", chain(&error));
    }
}

/// Whoever can push can date a commit as he likes.
#[test]
fn a_commit_of_another_age_has_a_time() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let blob = handle.blob(b"x").unwrap();
    let services = tree(&handle, &[(MODE_FILE, b"shop.toml", blob)]);
    let top = tree(&handle, &[(MODE_FOLDER, b"services", services)]);
    for seconds in [i64::MAX, i64::MIN, -1] {
        let text = format!("tree {top}\nauthor A <a> {seconds} +0000\ncommitter A <a> {seconds} +0000\n\nx\n");
        let commit = handle.odb().unwrap().write(git2::ObjectType::Commit, text.as_bytes()).unwrap();
        let changes = sandbox.open("repo").file_changes(&id(&commit.to_string()), "services/shop.toml", 10).unwrap();
        assert_eq!(changes.len(), 1, "{seconds}");
    }
}

#[test]
fn names_that_differ_in_case_alone_are_two_files() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let (one, other) = (handle.blob(b"one").unwrap(), handle.blob(b"other").unwrap());
    let services = tree(&handle, &[(MODE_FILE, b"Shop.toml", one), (MODE_FILE, b"shop.toml", other)]);
    let commit = commit_tree(&handle, tree(&handle, &[(MODE_FOLDER, b"services", services)]));
    let config = sandbox.open("repo").config_files(&commit, "").unwrap();
    assert_eq!(listing(&config), ["services/Shop.toml \"one\"", "services/shop.toml \"other\""]);
}

/// libgit2 would list every file of both sides.
#[test]
fn what_unpacks_to_more_than_memory_holds_is_not_merged() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let blob = handle.blob(b"x").unwrap();
    let letters: Vec<[u8; 1]> = (b'a'..=b'j').map(|letter| [letter]).collect();
    let level = |mode: &'static str, inner| {
        let entries: Vec<_> = letters.iter().map(|name| (mode, name.as_slice(), inner)).collect();
        tree(&handle, &entries)
    };
    let mut bomb = level(MODE_FILE, blob);
    for _ in 0..15 {
        bomb = level(MODE_FOLDER, bomb);
    }
    let mut deep = level(MODE_FILE, blob);
    for _ in 0..200 {
        deep = tree(&handle, &[(MODE_FOLDER, b"a", deep)]);
    }
    let base = commit_tree(&handle, level(MODE_FILE, blob));
    for side in [bomb, deep] {
        let commit = commit_tree(&handle, side);
        let error = sandbox.open("repo").merged_files(&base, &commit, "").unwrap_err();
        assert!(error.to_string().contains("more than 1000000 files to merge"), "{}", chain(&error));
    }
}
