//! The daemon and its forge: what it tells, and that it tells it once.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ionroller::cloud::sim::world::VersionRules;
use ionroller::forge::{ErrorKind, Kind, Place as OnForge, State, Status, Token, connect};
use serde_json::{Value, json};

use crate::harness::forge_server::{ForgeServer, Speaks, TOKEN};
use crate::harness::place::Place;
use crate::reload::Running;

pub fn head(place: &Place) -> String {
    let output = place.command("git").args(["rev-parse", "HEAD"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn project(speaks: Speaks) -> (&'static str, &'static str) {
    match speaks {
        Speaks::GitHub => ("github", "o/config"),
        Speaks::GitLab => ("gitlab", "group/sub/config"),
        Speaks::Gitea => ("forgejo", "o/config"),
    }
}

/// The daemon's file for a repository on this machine and a forge elsewhere.
pub fn daemon_file(place: &Place, server: &ForgeServer, token: &str, rest: &str) -> PathBuf {
    let (config, token_file) = (place.dir.path().join("daemon.toml"), place.dir.path().join("token"));
    std::fs::write(&token_file, token).unwrap();
    let (kind, project) = project(server.speaks);
    let text = format!(
        "repo = {:?}\nstate_dir = {:?}\nlisten = \"127.0.0.1:0\"\npoll_interval = \"1s\"\n\
         [forge]\nkind = \"{kind}\"\nurl = \"{}\"\nproject = \"{project}\"\ntoken_file = {token_file:?}\n{rest}",
        place.repo(),
        place.dir.path().join("state"),
        server.api,
    );
    let beside = place.dir.path().join("daemon.toml.new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, &config).unwrap();
    config
}

/// Waits until the forge has been told so much, and gives it: commit, service, state, text.
#[track_caller]
fn told(server: &ForgeServer, count: usize) -> Vec<(String, String, String, String)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let statuses = server.state().statuses.clone();
        if statuses.len() >= count {
            let text = |body: &Value, name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let one = |(commit, body): &(String, Value)| {
                let context = text(body, if server.speaks == Speaks::GitLab { "name" } else { "context" });
                let service = context.strip_prefix("ionroller/prod/").unwrap().to_owned();
                (commit.clone(), service, text(body, "state"), text(body, "description"))
            };
            return statuses.iter().map(one).collect();
        }
        assert!(Instant::now() < deadline, "{count} statuses were not set: {statuses:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_status_per_service_follows_each_change_and_nothing_is_told_twice() {
    for speaks in [Speaks::GitHub, Speaks::GitLab, Speaks::Gitea] {
        let (place, server) = (Place::new(), ForgeServer::start(speaks));
        place.run(&["apply"]).ended(0);
        let first = head(&place);
        // A forge that fails at first is asked again.
        server.fails("POST", 503, &[("retry-after", "0")], Value::Null);
        let mut daemon = Running::start(&place, &daemon_file(&place, &server, TOKEN, "statuses = true\n"));
        let live = told(&server, 4);
        assert!(live.iter().all(|(commit, _, state, _)| (commit, state.as_str()) == (&first, "success")), "{live:?}");
        let search = live.iter().find(|(_, service, ..)| service == "search").unwrap();
        assert_eq!(search.3, "1.4.0 is live");
        daemon.says(&["a status could not be set; it is tried again"]);

        let good = std::fs::read_to_string(place.repo().join("services/search.toml")).unwrap();
        std::fs::write(place.repo().join("services/search.toml"), "nonsense = 1\n").unwrap();
        place.commit("a mistake");
        let broken = head(&place);
        let failure = told(&server, 5).remove(4);
        assert_eq!((&failure.0, failure.1.as_str()), (&broken, "search"));
        assert!(["failure", "failed"].contains(&failure.2.as_str()) && failure.3.contains("its file has errors"));

        // A commit about nothing, and recovery: only that is told.
        std::fs::write(place.repo().join("README"), "x").unwrap();
        place.commit("nothing");
        daemon.says(&["new commit", &head(&place)[..7]]);
        std::fs::write(place.repo().join("services/search.toml"), good).unwrap();
        place.commit("mended");
        let mended = told(&server, 6).remove(5);
        assert_eq!((mended.0, mended.1.as_str(), mended.2.as_str()), (head(&place), "search", "success"));
        place.run(&["release", "search", "1.5.0"]).ended(0);
        let begun = told(&server, 7).remove(6);
        assert_eq!((begun.0, begun.1.as_str(), begun.2.as_str()), (head(&place), "search", "pending"));
        assert_eq!(begun.3, "1.5.0 comes up");
        daemon.signal("-TERM");
        daemon.says(&["stopped"]);

        // The next one tells the present state once, GitLab's refusal of the same again aside.
        let before = server.state().writes().len();
        let _daemon = Running::start(&place, &place.dir.path().join("daemon.toml"));
        let deadline = Instant::now() + Duration::from_secs(60);
        while server.state().writes().len() < before + 4 {
            assert!(Instant::now() < deadline, "{:?}", server.state().writes());
            std::thread::sleep(Duration::from_millis(20));
        }
        let again: Vec<_> = told(&server, 7).split_off(7);
        let pending = again.iter().filter(|(_, service, ..)| service == "search").count();
        assert_eq!(pending, usize::from(speaks != Speaks::GitLab), "{again:?}");
    }
}

#[test]
fn a_wrong_token_holds_nothing_up_and_a_new_one_is_used_at_once() {
    let (place, server) = (Place::new(), ForgeServer::start(Speaks::Gitea));
    let mut daemon = Running::start(&place, &daemon_file(&place, &server, "wrong", "statuses = true\n"));
    daemon.says(&["a status could not be set; it is tried again", "it does not know the token"]);
    // It works all the same.
    place.run(&["release", "search", "1.5.0"]).ended(0);
    daemon.says(&["CreateLaunchTemplate", "1.5.0 is new"]);
    daemon_file(&place, &server, TOKEN, "statuses = true\n# new\n");
    daemon.says(&["the forge takes statuses again"]);
    assert!(told(&server, 1)[0].3.contains("comes up"));
}

#[test]
fn a_file_that_names_no_forge_is_refused() {
    let place = Place::new();
    let config = place.dir.path().join("daemon.toml");
    let check = |repo: &str, rest: &str| {
        let text = format!("repo = {repo:?}\nstate_dir = {:?}\n[forge]\nstatuses = true\n{rest}", place.dir.path());
        std::fs::write(&config, text).unwrap();
        place.bare(&["run", "--check", "--config", &config.display().to_string()])
    };
    check("https://github.com/o/config.git", "").ended(0);
    check("git@gitlab.example.com:a/b/config.git", "").ended(0);
    check("ssh://git@git.example.com:2222/o/config.git", "kind = \"gitea\"\n").ended(0);
    let unknown = check("https://git.example.com/o/config.git", "").ended(1);
    assert!(unknown.stderr.contains("which forge is at git.example.com can't be told"), "{}", unknown.stderr);
    let local = check(&place.repo().display().to_string(), "").ended(1);
    assert!(local.stderr.contains("`repo` is on no server"), "{}", local.stderr);
    let pushing = check(&place.repo().display().to_string(), "auto_revert = true\n").ended(1);
    assert!(pushing.stderr.contains("`auto_revert` pushes to `repo`"), "{}", pushing.stderr);
    let token = check("https://github.com/o/config.git", "token_file = \"/nowhere\"\n").ended(1);
    assert!(token.stderr.contains("cannot read forge.token_file /nowhere"), "{}", token.stderr);
}

#[test]
fn gitlab_refuses_the_state_that_stands_and_that_is_no_failure() {
    let server = ForgeServer::start(Speaks::GitLab);
    let place =
        OnForge { kind: Kind::GitLab, api: server.api.clone(), repository: project(Speaks::GitLab).1.to_owned() };
    let forge = connect(&place, Token::new(TOKEN, "a test")).unwrap();
    let status = |state, description: &str| Status {
        commit: "1".repeat(40),
        context: "ionroller/prod/web".to_owned(),
        state,
        description: description.to_owned(),
    };
    forge.set_status(&status(State::Pending, "one")).unwrap();
    forge.set_status(&status(State::Pending, "one")).unwrap();
    // Another refusal is one.
    server.fails("POST", 400, &[], json!({ "message": "Cannot transition status via :drop from :canceled" }));
    assert_eq!(forge.set_status(&status(State::Failure, "two")).unwrap_err().kind, ErrorKind::Refused);
    forge.set_status(&status(State::Success, &"x".repeat(300))).unwrap();
    let last = server.state().statuses.last().unwrap().1["description"].as_str().unwrap().chars().count();
    assert_eq!(last, 255);
}

/// Runs git and gives what it prints.
fn git(place: &Place, args: &[&str]) -> String {
    let output = place.command("git").args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A place whose release 1.5.0 of `search` has failed, and the URL of its repository.
fn with_a_rejected_release() -> (Place, String) {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    let world = place.dir.path().join("world.json");
    let mut known: Value = serde_json::from_str(&std::fs::read_to_string(&world).unwrap()).unwrap();
    let rules = VersionRules { ami_missing: true, ..VersionRules::default() };
    known["versions"]["1.5.0"] = serde_json::to_value(rules).unwrap();
    std::fs::write(&world, known.to_string()).unwrap();
    place.run(&["release", "search", "1.5.0"]).ended(0);
    let failed = place.run(&["apply", "--service", "search"]).ended(1);
    assert!(failed.stderr.contains("rejected"), "{}", failed.stderr);
    place.git(&["init", "--quiet", "--bare", "--initial-branch", "main", "../origin.git"]);
    place.git(&["remote", "add", "origin", "../origin.git"]);
    place.git(&["push", "--quiet", "origin", "main"]);
    let url = format!("file://{}", place.dir.path().join("origin.git").display());
    (place, url)
}

#[test]
fn a_rejected_release_gets_one_pull_request_with_its_revert() {
    let (place, url) = with_a_rejected_release();
    let server = ForgeServer::start(Speaks::Gitea);
    let config = daemon_file(&place, &server, TOKEN, "auto_revert = true\n");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen(&format!("{:?}", place.repo()), &format!("{url:?}"), 1)).unwrap();
    let start = || Running::start(&place, &config);
    let mut daemon = start();
    let proposed = daemon.says(&["a revert is proposed"]);
    assert!(proposed.contains("service=search") && proposed.contains(&server.web), "{proposed}");
    drop(daemon);

    let branch =
        git(&place, &["-C", "../origin.git", "for-each-ref", "--format=%(refname:short)", "refs/heads/ionroller"]);
    assert!(branch.starts_with("ionroller/revert-prod-search-"), "{branch}");
    let pull = server.state().pulls[0].clone();
    assert_eq!((&pull["head"]["ref"], &pull["base"]["ref"]), (&json!(branch), &json!("main")));
    assert_eq!(pull["title"], "search: revert to 1.4.0, 1.5.0 was rejected");
    let released = head(&place);
    for part in [
        format!("This reverts commit {released} (search: release 1.5.0)."),
        "Ionroller-Rollback: search 1.4.0\nIonroller-Rejected: search 1.5.0 ".to_owned(),
        "1.5.0 was rejected at 2026-".to_owned(),
    ] {
        assert!(pull["body"].as_str().unwrap().contains(&part), "{part}: {}", pull["body"]);
    }
    assert_eq!(git(&place, &["-C", "../origin.git", "rev-parse", &format!("{branch}~1")]), released);
    let file = git(&place, &["-C", "../origin.git", "show", &format!("{branch}:services/search.toml")]);
    assert_eq!(file, git(&place, &["show", "HEAD~1:services/search.toml"]));

    // A restart finds it; also when it was closed and its branch is gone.
    let mut daemon = start();
    daemon.says(&["no revert is proposed", "there is a pull request for it, or was one"]);
    drop(daemon);
    server.state().pulls[0]["state"] = json!("closed");
    git(&place, &["-C", "../origin.git", "branch", "--quiet", "-D", &branch]);
    let mut daemon = start();
    daemon.says(&["no revert is proposed", "there is a pull request for it, or was one"]);
    drop(daemon);

    // Cut off between the push and the pull request: only that is made.
    server.state().pulls.clear();
    let commit = git(&place, &["commit-tree", "-p", "HEAD", "-m", "pushed before", "HEAD~1^{tree}"]);
    git(&place, &["push", "--quiet", "origin", &format!("{commit}:refs/heads/{branch}")]);
    let mut daemon = start();
    daemon.says(&["a revert is proposed"]);
    drop(daemon);
    assert_eq!(git(&place, &["-C", "../origin.git", "rev-parse", &branch]), commit);
    assert_eq!(server.state().pulls.len(), 1);

    // A revert of the revert asks for it again, and is somebody's own decision.
    server.state().pulls.clear();
    git(&place, &["-C", "../origin.git", "branch", "--quiet", "-D", &branch]);
    git(&place, &["revert", "--no-edit", "HEAD"]);
    git(&place, &["revert", "--no-edit", "HEAD"]);
    git(&place, &["push", "--quiet", "origin", "main"]);
    let mut daemon = start();
    daemon.says(&["no revert is proposed", "a revert is not reverted"]);
    assert!(server.state().pulls.is_empty());
}

#[test]
fn a_remote_that_takes_no_branch_is_said_and_asked_again_later() {
    let (place, url) = with_a_rejected_release();
    let server = ForgeServer::start(Speaks::GitHub);
    let config = daemon_file(&place, &server, TOKEN, "auto_revert = true\n");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen(&format!("{:?}", place.repo()), &format!("{url:?}"), 1)).unwrap();
    // As a remote does that lets us read and not write.
    let refs = place.dir.path().join("origin.git/refs/heads/ionroller");
    std::fs::write(&refs, "no folder\n").unwrap();
    let mut daemon = Running::start(&place, &config);
    daemon.says(&["no revert could be proposed; it is tried again", "did not take branch"]);
    std::fs::remove_file(&refs).unwrap();
    // What was wrong may be mended when the daemon's file changes.
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + "# mended\n").unwrap();
    daemon.says(&["a revert is proposed"]);
    assert_eq!(server.state().pulls.len(), 1);
}
