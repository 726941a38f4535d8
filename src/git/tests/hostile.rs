//! Trees that no tool of git makes, and anybody who can push can.

use super::sandbox::{Sandbox, chain, id, listing};
use crate::desired::files::FileContent;
use crate::git::repository::oid;
use crate::git::{FILE_BYTES_MAX, FILES_MAX, GitError, MERGE_ANCESTORS_MAX, TREE_BYTES_MAX};
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
    commit_on(handle, tree, &[])
}

fn commit_on(handle: &git2::Repository, tree: git2::Oid, parents: &[&CommitId]) -> CommitId {
    let who = git2::Signature::new("Ann", "ann@example.com", &git2::Time::new(0, 0)).unwrap();
    let tree = handle.find_tree(tree).unwrap();
    let parents: Vec<_> = parents.iter().map(|parent| handle.find_commit(oid(parent)).unwrap()).collect();
    let commit = handle.commit(None, &who, &who, "by hand", &tree, &parents.iter().collect::<Vec<_>>()).unwrap();
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

/// libgit2 searches a list by halves: what it overlooks would count as deleted.
#[test]
fn a_tree_out_of_order_hides_nothing() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let blob = handle.blob(b"x").unwrap();
    let names: [&[u8]; 5] = [b"z.toml", b"a.toml", b"m.toml", b"b.toml", b"y.toml"];
    let folder = tree(&handle, &names.map(|name| (MODE_FILE, name, blob)));
    let parts: [(&str, &[u8], git2::Oid); 3] =
        [(MODE_FOLDER, b"services", folder), (MODE_FOLDER, b"files", folder), (MODE_FILE, b"ionroller.toml", blob)];
    let mut versions = Vec::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let commit = commit_tree(&handle, tree(&handle, &order.map(|place| parts[place])));
        let config = sandbox.open("repo").config_files(&commit, "").unwrap();
        assert_eq!(listing(&config).len(), 11, "{order:?}: {:?}", listing(&config));
        assert!(listing(&config).iter().all(|file| file.ends_with("\"x\"")), "{:?}", listing(&config));
        versions.push(sandbox.open("repo").config_version(&commit, "").unwrap());
    }
    assert!(versions.windows(2).all(|two| two[0] == two[1]), "{versions:?}");
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
    check(tree(&handle, &entries(FILES_MAX + 1, small)), &format!("{FILES_MAX} files and folders"));
    let large = handle.blob(&vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap()]).unwrap();
    check(tree(&handle, &entries(65, large)), "64 MiB of files");
    // A tree of trees that share one tree, which unpacks to 10^16 files; to 10^15 folders
    // without a file; to 10^15 times the same file.
    let twins = vec!["twin".to_owned(); 10];
    for (names, mut bomb) in
        [(&names, tree(&handle, &entries(10, small))), (&names, tree(&handle, &[])), (&twins, tree(&handle, &[]))]
    {
        for _ in 0..14 {
            let folders: Vec<_> = names[..10].iter().map(|name| (MODE_FOLDER, name.as_bytes(), bomb)).collect();
            bomb = tree(&handle, &folders);
        }
        check(bomb, &format!("{FILES_MAX} files and folders"));
    }
}

/// A name may be as long as a list of files, and each path below it is as long again.
#[test]
fn names_have_an_end() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let blob = handle.blob(b"x").unwrap();
    let (longest, longer) = (b"n".repeat(255), b"n".repeat(65_000));
    let services = [(MODE_FILE, longest.as_slice(), blob), (MODE_FILE, &longer, blob), (MODE_FILE, b"x.toml", blob)];
    let folder = tree(&handle, &[(MODE_FILE, b"inside", blob)]);
    let files = tree(&handle, &[(MODE_FOLDER, &longer, folder)]);
    let top = tree(&handle, &[(MODE_FOLDER, b"files", files), (MODE_FOLDER, b"services", tree(&handle, &services))]);
    let config = sandbox.open("repo").config_files(&commit_tree(&handle, top), "").unwrap();
    let shown = "n".repeat(255);
    let too_long = "Unreadable { reason: \"its name is longer than 255 bytes\" }";
    assert_eq!(
        listing(&config),
        [
            format!("files/{shown}… {too_long}"),
            format!("services/{shown} \"x\""),
            format!("services/{shown}… {too_long}"),
            "services/x.toml \"x\"".to_owned(),
        ]
    );
    // The longest names that are left, in the deepest folders, fill the memory too.
    let names: Vec<String> = (0..=FILES_MAX - 16).map(|n| format!("{n:0255}")).collect();
    let mut deep = tree(&handle, &names.iter().map(|name| (MODE_FILE, name.as_bytes(), blob)).collect::<Vec<_>>());
    for _ in 0..15 {
        deep = tree(&handle, &[(MODE_FOLDER, &longest, deep)]);
    }
    let commit = commit_tree(&handle, tree(&handle, &[(MODE_FOLDER, b"files", deep)]));
    let error = sandbox.open("repo").config_files(&commit, "").unwrap_err();
    assert!(error.to_string().contains("more than 64 MiB of files"), "{}", chain(&error));
}

#[test]
fn the_target_of_a_link_is_shown_cut() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let target = handle.blob(&b"\x1b".repeat(4_000)).unwrap();
    let services = tree(&handle, &[("120000", b"link.toml", target)]);
    let top = tree(&handle, &[(MODE_FOLDER, b"services", services)]);
    let config = sandbox.open("repo").config_files(&commit_tree(&handle, top), "").unwrap();
    let FileContent::Symlink { target } = &config.files["services/link.toml"] else { panic!("{config:?}") };
    assert!(target.starts_with("\\u{1b}") && target.ends_with('…') && target.len() < 4_000, "{target}");
}

/// It was never read when it was new, so it says nothing of what was released.
#[test]
fn an_old_file_that_is_too_large_is_not_read_either() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    sandbox.change("repo", "services/web.toml", &"#".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() + 1));
    let last = sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    let mut seen = Vec::new();
    sandbox.open("repo").older_contents(&last, "services", ["web.toml".to_owned()], |_, content| {
        seen.push(content.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
        true
    });
    assert_eq!(seen, [Some("version = \"2\"\n".to_owned()), Some("version = \"1\"\n".to_owned())]);
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

#[test]
fn what_a_commit_says_is_shown_cut() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let services = tree(&handle, &[(MODE_FILE, b"shop.toml", handle.blob(b"x").unwrap())]);
    let top = tree(&handle, &[(MODE_FOLDER, b"services", services)]);
    let long = "é".repeat(100_000);
    let text = format!(
        "tree {top}\nauthor {long} <a> 0 +0000\ncommitter A <a> 0 +0000\n\n{long}\n\nIonroller-Override: {long}\n"
    );
    let commit = handle.odb().unwrap().write(git2::ObjectType::Commit, text.as_bytes()).unwrap();
    let (commit, repository) = (id(&commit.to_string()), sandbox.open("repo"));
    let shown = format!("{}…", "é".repeat(500));
    let change = repository.file_changes(&commit, "services/shop.toml", 10).unwrap().remove(0);
    assert_eq!((&change.subject, &change.author), (&shown, &shown));
    assert_eq!(repository.trailers(&commit, &[], "Ionroller-Override").unwrap()[0].value, shown);
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

/// libgit2 would list every file and folder of both sides, and of what they had in common.
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
    let small = level(MODE_FILE, blob);
    let folders = |count: u32, inner| (0..count).fold(inner, |inner, _| level(MODE_FOLDER, inner));
    let nested = |count: u32, inner| (0..count).fold(inner, |inner, _| tree(&handle, &[(MODE_FOLDER, b"a", inner)]));
    // The first folder is known to be deep by the time that it is found below the second.
    let first = nested(100, small);
    let chained = tree(&handle, &[(MODE_FOLDER, b"a", first), (MODE_FOLDER, b"b", nested(100, first))]);
    let many: Vec<String> = (0..2_100).map(|n| format!("{n:04}")).collect();
    let many: Vec<_> = many.iter().map(|name| (MODE_FILE, name.as_bytes(), blob)).collect();
    let long = tree(&handle, &[(MODE_FOLDER, &b"n".repeat(65_000), tree(&handle, &many))]);
    let wide: Vec<Vec<u8>> = (0..260).map(|n| format!("{n:0>65000}").into_bytes()).collect();
    let wide: Vec<_> = wide.iter().map(|name| (MODE_FILE, name.as_slice(), blob)).collect();
    let base = commit_tree(&handle, small);
    for (side, limit) in [
        (folders(15, small), "1000000 files and folders"),
        (folders(15, tree(&handle, &[])), "1000000 files and folders"),
        (nested(200, small), "128 folders inside each other"),
        (chained, "128 folders inside each other"),
        (long, "128 MiB of paths"),
        (tree(&handle, &wide), "16 MiB in a list of files"),
    ] {
        let commit = commit_tree(&handle, side);
        let repository = sandbox.open("repo");
        let too_much = format!("commit {commit} holds more than {limit}, so it is not merged and nothing is planned");
        for (ours, theirs) in [(&base, &commit), (&commit, &base)] {
            let error = repository.merged_files(ours, theirs, "").unwrap_err();
            assert_eq!(error.to_string(), too_much, "{}", chain(&error));
        }
        // Both sides have thrown it away since, and each must be compared with it.
        let children = ["1", "2"].map(|text| {
            let blob = handle.blob(text.as_bytes()).unwrap();
            commit_on(&handle, tree(&handle, &[(MODE_FILE, b"ionroller.toml", blob)]), &[&commit])
        });
        let error = repository.merged_files(&children[0], &children[1], "").unwrap_err();
        assert_eq!(error.to_string(), too_much, "{}", chain(&error));
    }
}

/// libgit2 would merge the ancestors first, and theirs before: each one more work than the last.
#[test]
fn branches_that_are_woven_together_too_often_are_not_merged() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let handle = git2::Repository::open(sandbox.path("repo")).unwrap();
    let of = |text: String| {
        let blob = handle.blob(text.as_bytes()).unwrap();
        tree(&handle, &[(MODE_FILE, b"ionroller.toml", blob)])
    };
    let woven = |ancestors: usize| {
        let root = commit_tree(&handle, of("root".to_owned()));
        let ancestors: Vec<_> = (0..ancestors).map(|n| commit_on(&handle, of(format!("{n}")), &[&root])).collect();
        let ancestors: Vec<&CommitId> = ancestors.iter().collect();
        let sides = ["ours", "theirs"].map(|side| commit_on(&handle, of(side.to_owned()), &ancestors));
        sandbox.open("repo").merged_files(&sides[0], &sides[1], "")
    };
    // The root is a common ancestor of the ancestors.
    woven(MERGE_ANCESTORS_MAX - 1).unwrap();
    let error = woven(MERGE_ANCESTORS_MAX).unwrap_err();
    assert!(error.to_string().contains("more than 16 common ancestors"), "{}", chain(&error));
}
