//! `plan --base`: a pull request as it will be once it is merged; and what only two
//! commits can tell.

use expect_test::expect;
use serde_json::{Value, json};

use super::harness::place::Place;

const SEARCH: &str = "services/search.toml";

fn write(place: &Place, file: &str, change: impl FnOnce(&str) -> String) {
    let path = place.repo().join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(path, change(&text)).unwrap();
}

fn changes(plan: &Value) -> Vec<(String, String)> {
    let services = plan["services"].as_array().unwrap();
    services.iter().map(|s| (s["name"].as_str().unwrap().into(), s["change"].as_str().unwrap().into())).collect()
}

fn of<'p>(plan: &'p Value, name: &str) -> &'p Value {
    plan["services"].as_array().unwrap().iter().find(|service| service["name"] == name).unwrap()
}

/// On `topic` website has another version; meanwhile `main` changed search.
fn diverged() -> Place {
    let place = Place::new();
    place.git(&["checkout", "--quiet", "-b", "topic"]);
    place.release("2026.03.2");
    place.git(&["checkout", "--quiet", "main"]);
    write(&place, SEARCH, |text| text.replace("\"discovery\"", "\"search\""));
    place.commit("search has a team");
    place.git(&["checkout", "--quiet", "topic"]);
    place
}

#[test]
fn the_merge_is_planned_against_what_runs() {
    let place = diverged();
    place.run(&["apply", "--ref", "main"]).ended(0);
    // By itself the branch is behind what was acted on, and would take search back.
    let alone = place.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!(of(&alone, "website")["waiting_on"]["reason"], "fence");
    assert_eq!(alone["base"], Value::Null);
    let plan = place.run(&["plan", "--base", "main", "-o", "json", "--detailed-exitcode"]).ended(2).json();
    let expected = [("checkout", "none"), ("mailer", "none"), ("search", "none"), ("website", "release")];
    assert_eq!(changes(&plan), expected.map(|(name, change)| (name.to_owned(), change.to_owned())));
    assert_eq!(of(&plan, "website")["waiting_on"], Value::Null);
    assert_eq!(plan["commit"].as_str().unwrap().len(), 40);
    assert_eq!(plan["base"].as_str().unwrap().len(), 40);
    assert_ne!(plan["base"], plan["commit"]);
    assert_eq!(of(&plan, "search")["file_diff"], Value::Null);
    let diff = of(&plan, "website")["file_diff"].as_str().unwrap();
    assert!(diff.starts_with("--- a/services/website.toml\n+++ b/services/website.toml\n@@"), "{diff}");
    assert!(diff.contains("-version = \"2026.03.1\"\n+version = \"2026.03.2\"\n"), "{diff}");
}

#[test]
fn offline_the_change_is_against_the_base() {
    let place = diverged();
    write(&place, "services/fresh.toml", |_| {
        let website = std::fs::read_to_string(place.repo().join("services/website.toml")).unwrap();
        website.split("[load_balancer").next().unwrap().to_owned()
    });
    std::fs::remove_file(place.repo().join("services/checkout.toml")).unwrap();
    place.commit("one comes, one goes");
    let plan = place.bare(&["plan", "--offline", "--base", "main", "-o", "json"]).ended(0).json();
    let expected =
        [("checkout", "none"), ("fresh", "create"), ("mailer", "none"), ("search", "none"), ("website", "release")];
    assert_eq!(changes(&plan), expected.map(|(name, change)| (name.to_owned(), change.to_owned())));
    assert_eq!(of(&plan, "website")["from"]["version"], "2026.03.1");
    assert_eq!(of(&plan, "website")["because"], "version changed from 2026.03.1 to 2026.03.2");
    assert_eq!(plan["complete"], false);
    assert!(plan["diagnostics"].to_string().contains("checkout has no file any more"));
    assert!(of(&plan, "checkout")["file_diff"].as_str().unwrap().contains("+++ /dev/null"));
    assert!(of(&plan, "fresh")["file_diff"].as_str().unwrap().starts_with("--- /dev/null\n"));

    // Settings alone are an update; a broken file is blocked.
    place.git(&["checkout", "--quiet", "main"]);
    place.git(&["checkout", "--quiet", "-b", "settings"]);
    write(&place, SEARCH, |text| text.replace("team = \"search\"", "team = \"find\""));
    write(&place, "services/checkout.toml", |text| format!("nonsense = 1\n{text}"));
    place.commit("settings");
    let plan = place.bare(&["plan", "--offline", "--base", "main", "-o", "json"]).ended(0).json();
    assert_eq!(of(&plan, "search")["change"], "update");
    assert_eq!(of(&plan, "checkout")["change"], "blocked");
    assert_eq!(of(&plan, "checkout")["waiting_on"]["reason"], "invalid");
    assert_eq!(of(&plan, "website")["change"], "none");
}

#[test]
fn a_conflict_is_a_diagnostic() {
    let place = diverged();
    write(&place, SEARCH, |text| text.replace("\"discovery\"", "\"other\""));
    place.commit("search has another team");
    let plan = place.run(&["plan", "--base", "main", "-o", "json", "--detailed-exitcode"]).ended(1).json();
    let expected = json!([{
        "severity": "error",
        "file": "services/search.toml",
        "line": null,
        "column": null,
        "message": "it was changed here and in main, and the two do not go together",
        "help": "merge main into the branch, or rebase it, and resolve the conflict",
    }]);
    assert_eq!(plan["diagnostics"], expected);
    assert_eq!(plan["complete"], false);
    let nowhere = place.run(&["plan", "--base", "absent"]).ended(1);
    assert!(nowhere.stderr.contains("there is no revision `absent`"), "{}", nowhere.stderr);
    place.git(&["checkout", "--quiet", "--orphan", "stranger"]);
    place.commit("unrelated");
    let unrelated = place.run(&["plan", "--base", "main"]).ended(1);
    assert!(unrelated.stderr.contains("have no common ancestor"), "{}", unrelated.stderr);
}

/// A digest of one hex digit, again and again.
fn digest(digit: char) -> String {
    format!("sha256:{}", String::from(digit).repeat(64))
}

/// Gives checkout a version and an image digest, and commits.
fn build(place: &Place, version: &str, digit: char) {
    write(place, "services/checkout.toml", |text| {
        let line = |line: &str| match line.split_once('=').map_or(line, |(key, _)| key.trim()) {
            "version" => format!("version = \"{version}\"\n"),
            "digest" => format!("digest = \"{}\"\n", digest(digit)),
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    });
    place.commit(&format!("checkout {version}"));
}

#[test]
fn a_version_beside_an_unchanged_digest_is_an_error_at_its_line() {
    let place = Place::new();
    build(&place, "1.0.0", 'a');
    place.run(&["apply"]).ended(0);
    build(&place, "1.1.0", 'a');
    // It stays one while other files change.
    place.release("2026.03.2");
    let plan = place.run(&["plan", "--detailed-exitcode", "-o", "json"]).ended(1).json();
    assert_eq!(of(&plan, "checkout")["change"], "blocked");
    assert_eq!(of(&plan, "checkout")["waiting_on"]["reason"], "invalid");
    assert_eq!(of(&plan, "website")["change"], "release");
    let problem = plan["diagnostics"].as_array().unwrap().iter().find(|found| found["severity"] == "error").unwrap();
    let file = std::fs::read_to_string(place.repo().join("services/checkout.toml")).unwrap();
    let line = file.lines().position(|line| line.starts_with("version")).unwrap() + 1;
    assert_eq!((&problem["file"], &problem["line"]), (&"services/checkout.toml".into(), &line.into()));
    expect!["the version is now 1.1.0, and image.digest is still the build that came with 1.0.0"]
        .assert_eq(problem["message"].as_str().unwrap());
    // What the base has already is not touched by a merge that leaves it alone.
    place.git(&["branch", "wrong", "HEAD"]);
    place.release("2026.03.3");
    let plan = place.run(&["plan", "--base", "wrong", "-o", "json"]).ended(0).json();
    assert_eq!(
        (&of(&plan, "checkout")["change"], &of(&plan, "checkout")["touched"]),
        (&"blocked".into(), &false.into())
    );
    // Against a base, too; there only what the base has counts.
    place.git(&["branch", "before", "HEAD~3"]);
    let plan = place.bare(&["plan", "--offline", "--base", "before", "-o", "json"]).ended(0).json();
    assert_eq!(of(&plan, "checkout")["change"], "blocked");
    // Mended by the digest, and taken back by a revert.
    build(&place, "1.1.0", 'b');
    let plan = place.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!(of(&plan, "checkout")["change"], "release");
    build(&place, "1.0.0", 'a');
    let plan = place.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!(of(&plan, "checkout")["change"], "none");
}
