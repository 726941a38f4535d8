use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::sandbox::{Sandbox, absent, chain, listing};
use crate::git::{GitError, Merge, Repository};
use crate::names::CommitId;

/// Every file below a folder with its content: what is there, to the byte.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path(), fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

/// Merges, and compares the whole repository with what it was before.
#[track_caller]
fn merge(repository: &Repository, base: &CommitId, commit: &CommitId) -> Result<Merge, GitError> {
    let folder = repository.handle.commondir().to_owned();
    let before = everything(&folder);
    let merged = repository.merged_files(base, commit, "");
    let after = everything(&folder);
    let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(new.is_empty(), "left behind: {new:?}");
    assert_eq!(before, after);
    merged
}

fn lines(numbers: std::ops::Range<u32>, change: &str, at: u32) -> String {
    numbers.map(|number| if number == at { format!("{change}\n") } else { format!("# {number}\n") }).collect()
}

/// `main` and `side` change the ends of one file, and a file each.
fn diverged(sandbox: &Sandbox) -> (CommitId, CommitId) {
    sandbox.init_config("repo");
    sandbox.change("repo", "services/web.toml", &lines(0..20, "", 99));
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side"]);
    sandbox.write("repo", "services/web.toml", &lines(0..20, "side = 1", 19));
    let side = sandbox.change("repo", "files/side.sh", "side\n");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    sandbox.write("repo", "services/web.toml", &lines(0..20, "main = 1", 0));
    let main = sandbox.change("repo", "files/main.sh", "main\n");
    (main, side)
}

#[test]
fn a_merge_is_as_git_makes_it_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let (main, side) = diverged(&sandbox);
    let url = sandbox.url("repo").to_string();
    sandbox.git(".", &["clone", "--quiet", "--bare", &url, "bare"]);
    sandbox.git("repo", &["worktree", "add", "--quiet", "--detach", "../linked"]);
    let mut mirror = sandbox.mirror("repo");
    mirror.fetch_all().unwrap();
    let repositories = [sandbox.open("repo"), sandbox.open("bare"), sandbox.open("linked"), mirror];
    let merged = repositories.map(|repository| merge(&repository, &main, &side).unwrap());
    sandbox.git("repo", &["merge", "--quiet", "--no-edit", "side"]);
    let expected = sandbox.open("repo").config_files(&sandbox.head("repo"), "").unwrap();
    assert!(listing(&expected).iter().any(|line| line.contains("main = 1") && line.contains("side = 1")));
    for merged in merged {
        let Merge::Clean(files) = merged else { panic!("{merged:?}") };
        assert_eq!(listing(&files), listing(&expected));
    }
}

#[test]
fn a_branch_that_is_ahead_or_behind() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let second = sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    let repository = sandbox.open("repo");
    let expected = Merge::Clean(repository.config_files(&second, "").unwrap());
    for (base, commit) in [(&first, &second), (&second, &first), (&second, &second)] {
        assert_eq!(merge(&repository, base, commit).unwrap(), expected);
    }
}

#[test]
fn several_common_ancestors_leave_nothing_behind() {
    let sandbox = Sandbox::new();
    let (main, side) = diverged(&sandbox);
    sandbox.git("repo", &["merge", "--quiet", "--no-edit", side.as_str()]);
    sandbox.git("repo", &["checkout", "--quiet", "side"]);
    sandbox.git("repo", &["merge", "--quiet", "--no-edit", main.as_str()]);
    let side = sandbox.change("repo", "files/side.sh", "side again\n");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    let main = sandbox.change("repo", "files/main.sh", "main again\n");
    assert!(sandbox.git("repo", &["merge-base", "--all", "main", "side"]).lines().count() > 1);
    let Merge::Clean(files) = merge(&sandbox.open("repo"), &main, &side).unwrap() else { panic!("a conflict") };
    assert!(listing(&files).contains(&"files/side.sh \"side again\\n\"".to_owned()));
}

#[test]
fn conflicts_name_the_files() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side"]);
    sandbox.write("repo", "services/web.toml", "version = \"2\"\n");
    sandbox.write("repo", "files/new.sh", "side\n");
    sandbox.write("repo", "README", "side\n");
    let side = sandbox.commit("repo", "side");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    sandbox.git("repo", &["rm", "--quiet", "services/web.toml"]);
    sandbox.write("repo", "files/new.sh", "main\n");
    sandbox.write("repo", "README", "main\n");
    let main = sandbox.commit("repo", "main");
    let conflict = merge(&sandbox.open("repo"), &main, &side).unwrap();
    let expected = ["README", "files/new.sh", "services/web.toml"].map(str::to_owned);
    assert_eq!(conflict, Merge::Conflict(expected.to_vec()));
}

/// Merged line by line it would be held in memory several times.
#[test]
fn a_large_file_is_merged_as_a_whole() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let text =
        |first: &str, last: &str| format!("{first}\n{}{last}\n", "a line of text\n".repeat(70 * 1024 * 1024 / 15));
    sandbox.write("repo", "large", &text("1", "1"));
    sandbox.commit("repo", "large");
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side"]);
    sandbox.write("repo", "large", &text("2", "1"));
    let side = sandbox.commit("repo", "side");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    sandbox.write("repo", "services/web.toml", "version = \"2\"\n");
    let main = sandbox.commit("repo", "main");
    assert!(matches!(merge(&sandbox.open("repo"), &main, &side).unwrap(), Merge::Clean(_)), "one side changed it");
    sandbox.write("repo", "large", &text("1", "2"));
    let main = sandbox.commit("repo", "main, too");
    let conflict = merge(&sandbox.open("repo"), &main, &side).unwrap();
    assert_eq!(conflict, Merge::Conflict(vec!["large".to_owned()]));
}

#[test]
fn what_cannot_be_merged_is_said() {
    let sandbox = Sandbox::new();
    let (main, side) = diverged(&sandbox);
    sandbox.git("repo", &["checkout", "--quiet", "--orphan", "other"]);
    let other = sandbox.commit("repo", "other");
    let repository = sandbox.open("repo");
    let error = merge(&repository, &main, &other).unwrap_err();
    let said = format!(
        "commits {} and {} have no common ancestor in {}, so one cannot be merged into the other",
        other.short(),
        main.short(),
        repository.location()
    );
    assert_eq!(error.to_string(), said);
    let error = merge(&repository, &absent(), &main).unwrap_err();
    assert!(matches!(error, GitError::UnknownCommit { .. }), "{error}");
    let url = sandbox.url("repo").to_string();
    sandbox.git(".", &["clone", "--quiet", "--depth=1", "--no-single-branch", &url, "shallow"]);
    let error = merge(&sandbox.open("shallow"), &main, &side).unwrap_err();
    assert!(chain(&error).ends_with("`git fetch --unshallow` gets the rest"), "{}", chain(&error));
}
