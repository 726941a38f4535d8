use std::fs;
use std::os::unix::fs::chown;

use super::sandbox::{Sandbox, absent, chain};
use crate::git::error::Cause;
use crate::git::{GitError, Repository};

#[test]
fn opens_from_any_folder_inside() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    for (folder, at) in [("repo", ""), ("repo/services", "services/"), ("repo/.git", "")] {
        let mut repository = sandbox.open(folder);
        assert_eq!(repository.tip("main").unwrap(), first, "{folder}");
        assert_eq!(repository.opened_at(), at, "{folder}");
        assert!(!repository.is_shallow());
    }
}

#[test]
fn opens_bare_repositories_and_linked_worktrees() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    sandbox.git(".", &["clone", "--quiet", "--bare", "repo", "bare.git"]);
    let mut bare = sandbox.open("bare.git");
    assert_eq!(bare.tip("main").unwrap(), first);
    assert_eq!(bare.resolve("HEAD").unwrap(), first);
    assert!(!bare.has_uncommitted_changes(""));

    sandbox.git("repo", &["worktree", "add", "--quiet", "-b", "side", "../linked"]);
    let second = sandbox.change("linked", "services/web.toml", "version = \"2\"\n");
    let mut linked = sandbox.open("linked");
    assert_eq!(linked.resolve("HEAD").unwrap(), second);
    assert_eq!(linked.tip("main").unwrap(), first);
    assert_eq!(linked.tip("side").unwrap(), second);
}

#[test]
fn says_why_it_cannot_be_opened() {
    let sandbox = Sandbox::new();
    let absent = sandbox.path("absent");
    let error = Repository::open_local(&absent).unwrap_err();
    assert_eq!(error.to_string(), format!("there is no folder `{}`", absent.display()));

    fs::create_dir(sandbox.path("plain")).unwrap();
    let error = Repository::open_local(&sandbox.path("plain")).unwrap_err();
    assert!(matches!(error, GitError::NotARepository { .. }), "{error}");
}

#[test]
fn says_how_to_trust_a_repository_of_another_user() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let path = sandbox.path("repo");
    for owned in [path.clone(), path.join(".git")] {
        if chown(&owned, Some(54321), None).is_err() {
            return; // Only root can give folders away.
        }
    }
    let error = Repository::open_local(&path.join("services")).unwrap_err();
    let command = format!("git config --global --add safe.directory '{}'", path.display());
    assert!(error.to_string().ends_with(&command), "{error}");
    // As a remote, too.
    let error = sandbox.mirror("repo").tip("main").unwrap_err();
    assert!(error.to_string().ends_with(&command), "{error}");
}

#[test]
fn resolves_what_git_resolves() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("origin");
    let second = sandbox.change("origin", "services/web.toml", "version = \"2\"\n");
    sandbox.git(".", &["clone", "--quiet", "origin", "repo"]);
    sandbox.git("repo", &["tag", "light", first.as_str()]);
    sandbox.git("repo", &["tag", "--annotate", "--message", "x", "heavy", first.as_str()]);
    let repository = sandbox.open("repo");
    for (revision, commit) in [
        ("HEAD", &second),
        ("main", &second),
        ("refs/heads/main", &second),
        ("origin/main", &second),
        ("HEAD~1", &first),
        ("main^", &first),
        ("light", &first),
        ("heavy", &first),
        (second.as_str(), &second),
        (&second.as_str()[..9], &second),
    ] {
        assert_eq!(&repository.resolve(revision).unwrap(), commit, "{revision}");
    }
}

#[test]
fn says_which_revision_is_unknown() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let repository = sandbox.open("repo");
    let place = repository.location();
    let absent = absent();
    for revision in ["nope", "origin/main", "HEAD~7", absent.as_str()] {
        assert_eq!(
            repository.resolve(revision).unwrap_err().to_string(),
            format!(
                "there is no revision `{revision}` in {place}; \
                 if it is newer than the last fetch, run `git fetch`"
            ),
        );
    }
    for revision in ["HEAD:services", "main..main", "", "a b", "\0"] {
        let error = repository.resolve(revision).unwrap_err();
        assert!(
            matches!(error, GitError::BadRevision { .. } | GitError::UnknownRevision { .. }),
            "{revision}: {error}"
        );
    }
}

#[test]
fn an_empty_repository_is_called_empty() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let mut repository = sandbox.open("repo");
    for error in [repository.resolve("HEAD").unwrap_err(), repository.tip("main").unwrap_err()] {
        assert!(matches!(error, GitError::Empty { .. }), "{error}");
    }
    assert!(!repository.has_uncommitted_changes(""));
    // It is seen as soon as it has a commit.
    let first = sandbox.init_config("repo");
    assert_eq!(repository.tip("main").unwrap(), first);
}

#[test]
fn a_detached_head_is_fine() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let second = sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    sandbox.git("repo", &["checkout", "--quiet", "--detach", first.as_str()]);
    let mut repository = sandbox.open("repo");
    assert_eq!(repository.resolve("HEAD").unwrap(), first);
    assert_eq!(repository.tip("main").unwrap(), second);
}

#[test]
fn the_tip_follows_commits_packing_and_a_new_clone() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let mut repository = sandbox.open("repo");
    assert_eq!(repository.tip("main").unwrap(), first);
    let second = sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    assert_eq!(repository.tip("main").unwrap(), second);
    sandbox.git("repo", &["gc", "--quiet", "--prune=now"]);
    assert!(!sandbox.path("repo/.git/refs/heads/main").exists());
    assert_eq!(repository.tip("main").unwrap(), second);
    repository.config_files(&second, "").unwrap();

    fs::remove_dir_all(sandbox.path("repo")).unwrap();
    let other = sandbox.init_config("repo");
    assert_eq!(repository.tip("main").unwrap(), other);
    assert!(repository.config_files(&first, "").is_err());
}

#[test]
fn says_which_branch_there_is_instead() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let mut repository = sandbox.open("repo");
    let error = repository.tip("master").unwrap_err().to_string();
    assert!(error.starts_with("there is no branch `master` in "), "{error}");
    assert!(error.ends_with("; its default branch is `main`"), "{error}");
    for branch in ["", "a b", "main:x", "*", "a..b", "main\n"] {
        let error = repository.tip(branch).unwrap_err();
        assert!(matches!(error, GitError::BadBranch { .. }), "{branch}: {error}");
    }
}

#[test]
fn uncommitted_changes_count_only_in_the_config_folder() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    sandbox.write("repo", "app/main.rs", "one");
    sandbox.write("repo", "deploy/services/web.toml", "one");
    sandbox.commit("repo", "first");
    let repository = sandbox.open("repo");
    assert!(!repository.has_uncommitted_changes("deploy"));
    sandbox.write("repo", "app/main.rs", "two");
    sandbox.write("repo", "deploy/README", "two");
    assert!(!repository.has_uncommitted_changes("deploy"));
    sandbox.write("repo", "deploy/files/web.sh", "new");
    assert!(repository.has_uncommitted_changes("./deploy/"));
    assert!(!repository.has_uncommitted_changes("../deploy"));
    sandbox.commit("repo", "second");
    assert!(!repository.has_uncommitted_changes("deploy"));
    sandbox.write("repo", "deploy/services/web.toml", "two");
    assert!(repository.has_uncommitted_changes("deploy"));
}

#[test]
fn a_broken_object_is_an_error_and_no_panic() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    super::sandbox::spoil_objects(&sandbox.path("repo/.git"));
    let mut repository = sandbox.open("repo");
    let error = repository.tip("main").unwrap_err();
    let text = chain(&error);
    assert!(text.contains("damaged"), "{text}");
    assert!(!error.is_transient());
    assert!(repository.config_files(&first, "").is_err());
    assert_eq!(repository.last_change(&first, "services/web.toml"), None);
}

#[test]
fn a_repository_moves_between_threads() {
    fn check<T: Send + 'static>() {}
    check::<Repository>();
    check::<crate::git::Watch>();
    check::<GitError>();
}

#[test]
fn formats_that_libgit2_does_not_know_are_named() {
    let sandbox = Sandbox::new();
    let check = |expected: &str| {
        let error = Repository::open_local(&sandbox.path("repo")).unwrap_err();
        assert!(matches!(error, GitError::Open { .. }), "{error}");
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    };
    let core = "[core]\nrepositoryformatversion = 1\n[extensions]\n";
    sandbox.init("repo");
    sandbox.write("repo", ".git/config", &format!("{core}refstorage = reftable\n"));
    check(": unsupported extension name extensions.refstorage; references in the reftable format");
    check("`git refs migrate --ref-format=files` changes them");
    sandbox.write("repo", ".git/config", &format!("{core}objectformat = sha256\n"));
    check(": unknown object format 'sha256'; SHA-256 repositories are not supported yet");
}

#[test]
fn kinds_of_index_that_libgit2_does_not_know_are_named_with_the_way_out() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let said = || {
        let repository = Repository::open_local(&sandbox.path("repo")).unwrap();
        repository.handle.index().err().map(|error| Cause::from(error).to_string()).unwrap_or_default()
    };
    assert_eq!(said(), "");
    sandbox.git("repo", &["update-index", "--split-index"]);
    assert!(said().contains("git update-index --no-split-index"), "{}", said());
    sandbox.git("repo", &["update-index", "--no-split-index"]);
    assert_eq!(said(), "");
    sandbox.git("repo", &["sparse-checkout", "set", "--cone", "--sparse-index", "elsewhere"]);
    assert!(said().contains("git sparse-checkout reapply --no-sparse-index"), "{}", said());
    sandbox.git("repo", &["sparse-checkout", "reapply", "--no-sparse-index"]);
    assert_eq!(said(), "");
}
