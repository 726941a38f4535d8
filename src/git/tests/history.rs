use super::sandbox::{Sandbox, absent, id};
use crate::git::{Ancestry, GitError, Repository};
use crate::names::CommitId;

#[test]
fn ancestry_is_what_it_says() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let second = sandbox.commit("repo", "second");
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side", first.as_str()]);
    let side = sandbox.commit("repo", "side");
    sandbox.git("repo", &["merge", "--quiet", "--no-ff", "--no-edit", "main"]);
    let merge = sandbox.head("repo");
    let repository = sandbox.open("repo");
    let check = |ancestor: &CommitId, of: &CommitId, expected| {
        assert_eq!(repository.ancestry(ancestor, of).unwrap(), expected);
    };
    check(&first, &first, Ancestry::Same);
    check(&first, &second, Ancestry::Ancestor);
    check(&second, &first, Ancestry::NotAncestor);
    check(&second, &side, Ancestry::NotAncestor);
    check(&second, &merge, Ancestry::Ancestor);
    check(&side, &merge, Ancestry::Ancestor);
    check(&absent(), &merge, Ancestry::UnknownCommit(absent()));
    check(&merge, &absent(), Ancestry::UnknownCommit(absent()));
    check(&absent(), &absent(), Ancestry::UnknownCommit(absent()));
    assert!(!Ancestry::UnknownCommit(absent()).holds());

    // The id of something else is no commit, either.
    let tree = id(&sandbox.git("repo", &["rev-parse", "HEAD^{tree}"]));
    check(&tree, &merge, Ancestry::UnknownCommit(tree.clone()));
}

/// A clone of depth 2 of: first - second - (third, side) - merge - last.
fn shallow(sandbox: &Sandbox) -> [CommitId; 5] {
    let first = sandbox.init_config("repo");
    let second = sandbox.commit("repo", "second\n\nNote: old");
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side"]);
    let side = sandbox.change("repo", "files/side.sh", "true");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    let third = sandbox.change("repo", "services/web.toml", "version = \"3\"\n");
    sandbox.git("repo", &["merge", "--quiet", "--no-ff", "--message", "merge", "side"]);
    let last = sandbox.commit("repo", "last\n\nNote: new");
    let url = sandbox.url("repo").to_string();
    sandbox.git(".", &["clone", "--quiet", "--depth=3", &url, "shallow"]);
    [first, second, side, third, last]
}

#[test]
fn a_shallow_clone_answers_what_it_can() {
    let sandbox = Sandbox::new();
    let [first, second, side, third, last] = shallow(&sandbox);
    sandbox.git("shallow", &["worktree", "add", "--quiet", "--detach", "../linked"]);
    for folder in ["shallow", "linked"] {
        let repository = sandbox.open(folder);
        assert!(repository.is_shallow(), "{folder}");
        assert_eq!(repository.resolve("HEAD").unwrap(), last);
        let check = |ancestor: &CommitId, of: &CommitId, expected| {
            assert_eq!(repository.ancestry(ancestor, of).unwrap(), expected, "{folder}");
        };
        check(&third, &last, Ancestry::Ancestor);
        check(&side, &last, Ancestry::Ancestor);
        check(&last, &third, Ancestry::NotAncestor);
        check(&side, &third, Ancestry::NotAncestor);
        check(&second, &last, Ancestry::UnknownCommit(second.clone()));
        check(&first, &last, Ancestry::UnknownCommit(first.clone()));
        repository.config_files(&last, "").unwrap();
        // Whether the oldest commit made a file or only has it, it cannot say.
        assert_eq!(repository.last_change(&last, "ionroller.toml"), None);
        let notes = repository.trailers(&last, &[], "Note").unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert_eq!(repository.trailers(&last, std::slice::from_ref(&last), "Note").unwrap(), []);
        let error = repository.resolve("HEAD~9").unwrap_err().to_string();
        assert!(error.contains("git fetch --unshallow"), "{error}");
    }
}

#[test]
fn a_clone_that_was_deepened_is_seen_as_deep() {
    let sandbox = Sandbox::new();
    let [first, .., last] = shallow(&sandbox);
    let mut repository = sandbox.open("shallow");
    assert!(!repository.ancestry(&first, &last).unwrap().holds());
    sandbox.git("shallow", &["fetch", "--quiet", "--unshallow"]);
    assert_eq!(repository.tip("main").unwrap(), last);
    assert!(!repository.is_shallow());
    assert_eq!(repository.ancestry(&first, &last).unwrap(), Ancestry::Ancestor);
    assert_eq!(repository.last_change(&last, "ionroller.toml").unwrap(), first);
}

#[test]
fn the_last_change_is_the_commit_that_made_it() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    sandbox.git("repo", &["checkout", "--quiet", "-b", "release"]);
    let release = sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    sandbox.commit("repo", "nothing");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    let other = sandbox.change("repo", "services/api.toml", "version = \"1\"\n");
    sandbox.git("repo", &["merge", "--quiet", "--no-ff", "--no-edit", "release"]);
    let merge = sandbox.head("repo");
    std::fs::remove_file(sandbox.path("repo/services/api.toml")).unwrap();
    let removal = sandbox.commit("repo", "remove api");
    let repository = sandbox.open("repo");
    let check = |path, expected: Option<&CommitId>| {
        assert_eq!(repository.last_change(&removal, path).as_ref(), expected, "{path}");
    };
    check("services/web.toml", Some(&release));
    check("services/api.toml", Some(&removal));
    check("ionroller.toml", Some(&first));
    check("files", Some(&first));
    check("services/absent.toml", None);
    check("", None);
    assert_eq!(repository.last_change(&merge, "services/api.toml"), Some(other));
    assert_eq!(repository.last_change(&absent(), "ionroller.toml"), None);
}

fn values(repository: &Repository, newest: &str, since: &[&str]) -> Vec<String> {
    let newest = repository.resolve(newest).unwrap();
    let since: Vec<_> = since.iter().map(|name| repository.resolve(name).unwrap()).collect();
    let trailers = repository.trailers(&newest, &since, "Ionroller-Override").unwrap();
    trailers.into_iter().map(|trailer| trailer.value).collect()
}

#[test]
fn trailers_are_found_since_the_fences_only() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    sandbox.commit("repo", "old\n\nIonroller-Override: old");
    sandbox.git("repo", &["tag", "fence"]);
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side"]);
    sandbox.commit("repo", "side\n\nIonroller-Override: side");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    sandbox.commit("repo", "new\n\nText.\n\nReviewed-by: Bob\nionroller-override:  new \u{1b} text");
    sandbox.git("repo", &["tag", "later"]);
    sandbox.commit("repo", "Ionroller-Override: a subject is none");
    sandbox.commit("repo", "x\n\nIonroller-Override: in the text\n\nThe end of the text.");
    sandbox.commit("repo", "x\n\nIonroller-Override:");
    let repository = sandbox.open("repo");
    assert_eq!(values(&repository, "main", &[]), ["new text", "old"]);
    assert_eq!(values(&repository, "main", &["fence"]), ["new text"]);
    assert_eq!(values(&repository, "main", &["fence", "side"]), ["new text"]);
    assert_eq!(values(&repository, "main", &["later"]), [""; 0]);
    assert_eq!(values(&repository, "side", &["fence"]), ["side"]);
    sandbox.git("repo", &["merge", "--quiet", "--no-ff", "--no-edit", "side"]);
    assert_eq!(values(&repository, "main", &["fence"]), ["new text", "side"]);
    assert_eq!(values(&repository, "main", &["main"]), [""; 0]);
}

#[test]
fn trailers_since_an_unknown_commit_are_an_error() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let error = sandbox.open("repo").trailers(&first, &[absent()], "Note").unwrap_err();
    assert!(matches!(error, GitError::UnknownCommit { .. }), "{error}");
}

/// The contents of `services/web.toml` that are shown, newest first; a look ends at `stop`.
fn older(repository: &Repository, from: &CommitId, stop: &str) -> Vec<Option<String>> {
    let mut seen = Vec::new();
    repository.older_contents(from, "services", ["web.toml".to_owned()], |name, content| {
        assert_eq!(name, "web.toml");
        seen.push(content.map(|content| String::from_utf8_lossy(content).trim().to_owned()));
        seen.last().and_then(Option::as_deref).is_some_and(|content| content != stop)
    });
    seen
}

#[test]
fn older_contents_are_those_of_the_branch() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    sandbox.commit("repo", "nothing yet");
    sandbox.change("repo", "services/web.toml", "1");
    sandbox.change("repo", "services/other.toml", "x");
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side"]);
    sandbox.change("repo", "services/web.toml", "on the way");
    sandbox.change("repo", "services/web.toml", "2");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    sandbox.git("repo", &["merge", "--quiet", "--no-ff", "--no-edit", "side"]);
    let last = sandbox.change("repo", "README", "x");
    let repository = sandbox.open("repo");
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(older(&repository, &last, ""), [text("2"), text("1"), None]);
    assert_eq!(older(&repository, &last, "2"), [text("2")]);
    // In a shallow clone it ends where history does.
    let url = sandbox.url("repo").to_string();
    sandbox.git(".", &["clone", "--quiet", "--depth=2", &url, "shallow"]);
    assert_eq!(older(&sandbox.open("shallow"), &last, ""), [text("2")]);
    assert_eq!(older(&repository, &absent(), ""), Vec::<Option<String>>::new());
}

#[test]
fn a_commit_that_takes_another_one_back_is_known() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let is_revert = |commit: &CommitId| sandbox.open("repo").is_revert(commit).unwrap();
    let said = |message: &str| is_revert(&sandbox.commit("repo", message));
    assert!(!said("web: release 2\n\nIt follows 1.\n\nIonroller-Release: web 2"));
    assert!(said("web: roll back to 1\n\nIonroller-Rollback: web 1"));
    assert!(said("Revert \"web: release 2\"\n\nReverts o/config#12"));
    assert!(said("anything\n\nThis reverts commit 1111111."));
    assert!(!said("Reverting is discussed in #12"));
    // A merge is one if what it brought is.
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side"]);
    sandbox.commit("repo", "Revert \"a\"");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    sandbox.git("repo", &["merge", "--quiet", "--no-ff", "--message", "Merge pull request 12", "side"]);
    assert!(is_revert(&sandbox.head("repo")));
    sandbox.git("repo", &["checkout", "--quiet", "-b", "other"]);
    sandbox.commit("repo", "no revert");
    sandbox.git("repo", &["checkout", "--quiet", "main"]);
    sandbox.git("repo", &["merge", "--quiet", "--no-ff", "--message", "Merge pull request 13", "other"]);
    assert!(!is_revert(&sandbox.head("repo")), "what was there before does not count");
}
