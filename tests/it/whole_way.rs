//! The whole way of a change, by the documented commands alone: branch, comment with the
//! plan, merge, release by the daemon, status on the commit, revert, instant rollback, status.

use std::time::{Duration, Instant};

use ionroller::cloud::sim::world::VersionRules;
use ionroller::time::Span;
use serde_json::{Value, json};

use crate::forge::{ci, run_in};
use crate::forge_daemon::{daemon_file, head};
use crate::harness::forge_server::{ForgeServer, Speaks, TOKEN};
use crate::harness::place::Place;
use crate::reload::Running;

/// A place with a remote, whose releases of `search` come up at once.
fn place_with_a_remote() -> Place {
    let place = Place::new();
    let file = place.repo().join("services/search.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let quick = text.replace("[rollout]\n", "[rollout]\nbake = \"0s\"\nhealthy_for = \"0s\"\n");
    std::fs::write(&file, quick).unwrap();
    place.commit("search is quick");
    place.run(&["apply"]).ended(0);
    let world = place.dir.path().join("world.json");
    let mut known: Value = serde_json::from_str(&std::fs::read_to_string(&world).unwrap()).unwrap();
    let none = Some(Span::from_secs(0));
    let rules = VersionRules { boot: none, warmup: none, ..VersionRules::default() };
    known["versions"]["1.5.0"] = serde_json::to_value(rules).unwrap();
    std::fs::write(&world, known.to_string()).unwrap();
    place.git(&["init", "--quiet", "--bare", "--initial-branch", "main", "../origin.git"]);
    place.git(&["remote", "add", "origin", "../origin.git"]);
    place.git(&["push", "--quiet", "--set-upstream", "origin", "main"]);
    place
}

/// Waits until the forge was told that a service has arrived at a commit, and how.
#[track_caller]
fn succeeded(server: &ForgeServer, commit: &str, service: &str) -> String {
    let context = format!("ionroller/prod/{service}");
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let statuses = server.state().statuses.clone();
        let fits = |(at, body): &&(String, Value)| {
            at == commit && body["context"] == json!(context) && body["state"] == json!("success")
        };
        if let Some((_, body)) = statuses.iter().find(fits) {
            return body["description"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "{service} did not arrive at {commit}: {statuses:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn from_a_branch_to_production_and_back() {
    let (place, server) = (place_with_a_remote(), ForgeServer::start(Speaks::GitHub));
    let config = daemon_file(&place, &server, TOKEN, "statuses = true\n");
    let url = format!("file://{}", place.dir.path().join("origin.git").display());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen(&format!("{:?}", place.repo()), &format!("{url:?}"), 1)).unwrap();
    let _daemon = Running::start(&place, &config);
    assert_eq!(succeeded(&server, &head(&place), "search"), "1.4.0 is live");

    // The branch, and the check of its pull request.
    place.run(&["release", "search", "1.5.0", "--branch", "search-1.5.0", "--push"]).ended(0);
    let plan = place.run(&["plan", "--base", "main", "--ref", "search-1.5.0", "-o", "markdown"]).ended(0);
    std::fs::write(place.repo().join("../plan.md"), &plan.stdout).unwrap();
    run_in(&place, &ci(&server), &["comment", "../plan.md"]).ended(0);
    let comment = server.state().comments[0].2.clone();
    assert!(comment.contains("1 release") && comment.contains("`1.5.0`"), "{comment}");

    // Merged, the daemon releases it and says so at the commit.
    place.git(&["merge", "--quiet", "--no-ff", "--message", "search 1.5.0", "search-1.5.0"]);
    let merge = head(&place);
    place.git(&["push", "--quiet", "origin", "main"]);
    assert_eq!(succeeded(&server, &merge, "search"), "1.5.0 is live");

    // The revert, instant, and its status.
    place.run(&["rollback", "search"]).ended(0);
    let back = place.run(&["plan", "--service", "search", "-o", "json"]).ended(0).json();
    let search = back["services"].as_array().unwrap().iter().find(|service| service["name"] == "search").unwrap();
    assert_eq!((&search["change"], &search["rollback"]), (&json!("rollback"), &json!("instant")));
    place.git(&["push", "--quiet", "origin", "main"]);
    assert_eq!(succeeded(&server, &head(&place), "search"), "1.4.0 is live");
    assert_eq!(server.state().comments.len(), 1, "one comment for one pull request");
}
