//! `rollback --live` by the binary, with a simulated AWS and without Git.

use std::fs;

use super::harness::place::Place;

/// Two releases of `website` have settled.
fn two_releases() -> Place {
    let place = Place::new();
    place.run(&["apply", "--service", "website", "-q"]).ended(0);
    place.release("2026.03.2");
    place.run(&["apply", "--service", "website", "-q"]).ended(0);
    place
}

fn weight(service: &serde_json::Value, version: &str) -> i64 {
    let groups = service["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["version"] == version).unwrap();
    group["weight"].as_i64().unwrap()
}

#[test]
fn git_is_lost_and_traffic_goes_back() {
    let place = two_releases();
    let (repo, lost) = (place.repo(), place.dir.path().join("lost"));
    // The command may stand anywhere, and there is no repository at all.
    fs::rename(repo.join(".git"), &lost).unwrap();
    let live = ["rollback", "website", "--live", "--scope", "prod", "--reason", "disk full"];
    let said = place.run(&live).ended(0);
    let calls: Vec<&str> = said.stderr.lines().filter(|line| line.contains("traffic")).collect();
    assert_eq!(calls.len(), 1, "{}", said.stderr);
    assert!(said.stderr.contains("website is put back, and held until Git wants the same, too"), "{}", said.stderr);
    let again = place.run(&live).ended(0);
    assert!(again.stderr.contains("nothing to do, it is so already"), "{}", again.stderr);
    let mut with_json = live.to_vec();
    with_json.extend(["-o", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&place.run(&with_json).ended(0).stdout).unwrap();
    assert_eq!((&answer["word"], &answer["changes"]), (&"live-rollback".into(), &0.into()));

    // Git is back, and still wants what was left.
    fs::rename(&lost, repo.join(".git")).unwrap();
    let service = place.service("website");
    assert_eq!((weight(&service, "2026.03.1"), weight(&service, "2026.03.2")), (100, 0));
    assert_eq!(service["held"]["who"], "tester");
    assert!(service["held"]["reason"].as_str().unwrap().ends_with("from 2026.03.2 to 2026.03.1: disk full"));
    let detail = "held by tester, who put 2026.03.1 back (disk full); the commit wants 2026.03.2: revert it, or \
                  `ionroller resume website`";
    assert_eq!(service["waiting_on"]["detail"], detail);
    let plan = place.run(&["plan", "--service", "website"]).ended(0);
    assert!(plan.stdout.contains("the commit wants 2026.03.2: revert it"), "{}", plan.stdout);
    let json = place.run(&["plan", "--service", "website", "-o", "json"]).ended(0).json();
    let warnings = json["diagnostics"].as_array().unwrap().iter().filter(|said| said["severity"] == "warning");
    let warned = warnings.filter(|said| said["message"].as_str().unwrap().contains(detail)).count();
    assert_eq!(warned, 1, "{json}");
    let stuck = place.run(&["apply", "--service", "website"]).ended(1);
    assert!(stuck.stderr.contains("the commit wants 2026.03.2"), "{}", stuck.stderr);

    // The revert ends the hold, and in time all that was left.
    let revert = place.run(&["rollback", "website"]).ended(0);
    assert!(!revert.stderr.contains("warning: website is held"), "{}", revert.stderr);
    place.run(&["apply", "--service", "website", "--wait", "retired", "-q"]).ended(0);
    let service = place.service("website");
    assert_eq!((&service["held"], &service["waiting_on"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(service["groups"].as_array().unwrap().len(), 1, "{service}");
    assert_eq!(service["groups"][0]["version"], "2026.03.1");
    assert_eq!(service["phase"], "steady");
}

#[test]
fn resume_goes_forward_again() {
    let place = two_releases();
    // With the repository at hand neither scope nor region must be said.
    place.run(&["rollback", "website", "--live"]).ended(0);
    place.run(&["resume", "website"]).ended(0);
    place.run(&["apply", "--service", "website", "-q"]).ended(0);
    assert_eq!(weight(&place.service("website"), "2026.03.2"), 100);
}

#[test]
fn where_it_cannot_be_it_says_why_and_changes_nothing() {
    let place = Place::new();
    place.run(&["apply", "--service", "website", "-q"]).ended(0);
    let refused = place.run(&["rollback", "website", "--live"]).ended(1).stderr;
    assert!(refused.contains("website: no release from before 2026.03.1 has machines any more"), "{refused}");
    assert_eq!(place.service("website")["held"], serde_json::Value::Null);
    let nothing = place.run(&["rollback", "nothing", "--live", "--scope", "prod"]).ended(1).stderr;
    assert!(nothing.contains("the scope prod has no service nothing in AWS"), "{nothing}");
}

#[test]
fn traffic_goes_back_at_once_or_by_a_pull_request() {
    let place = Place::new();
    let said = place.run(&["rollback", "website", "--live", "--open"]).ended(64);
    assert!(said.stderr.contains("--live") && said.stderr.contains("--open"), "{}", said.stderr);
}
