//! `plan --out` and `apply --plan`: what was looked at is what is done, or nothing is.

use crate::harness::place::Place;

#[test]
fn an_unchanged_plan_is_applied() {
    let place = Place::new();
    let shown = place.run(&["plan", "--out", "../plan.json", "-o", "json"]).ended(0);
    assert_eq!(std::fs::read_to_string(place.dir.path().join("plan.json")).unwrap(), shown.stdout);
    // Another commit, with the same files: still the same plan.
    std::fs::write(place.repo().join("notes"), "x").unwrap();
    place.commit("a note");
    assert_eq!(place.run(&["plan", "-o", "json"]).json()["id"], shown.json()["id"]);
    place.run(&["apply", "--plan", "../plan.json"]).ended(0);
    assert_eq!(place.service("website")["live"]["version"], "2026.03.1");
    let stale = place.run(&["apply", "--plan", "../plan.json"]).ended(1);
    assert!(stale.stderr.contains("no longer the same"), "{}", stale.stderr);
}

#[test]
fn a_plan_that_changed_does_nothing() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.run(&["release", "search", "1.5.0"]).ended(0);
    place.run(&["plan", "--out", "../plan.json"]).ended(0);
    place.run(&["hold", "search"]).ended(0);
    let world = std::fs::read(place.dir.path().join("world.json")).unwrap();
    let refused = place.run(&["apply", "--plan", "../plan.json"]).ended(1);
    assert!(refused.stderr.contains("hint: look at it again"), "{}", refused.stderr);
    assert_eq!(std::fs::read(place.dir.path().join("world.json")).unwrap(), world);
    place.run(&["resume", "search"]).ended(0);
    place.run(&["apply", "--plan", "../plan.json"]).ended(0);
}

#[test]
fn a_plan_of_some_services_is_applied_to_those() {
    let place = Place::new();
    place.run(&["plan", "--service", "search", "--out", "../plan.json"]).ended(0);
    place.run(&["apply", "--plan", "../plan.json"]).ended(0);
    assert_eq!(place.service("search")["live"]["version"], "1.4.0");
    assert!(place.service("website")["live"].is_null());
    place.run(&["apply", "--plan", "../plan.json", "--service", "website"]).ended(64);
}

#[test]
fn what_names_a_plan() {
    let place = Place::new();
    place.run(&["apply", "--service", "search"]).ended(0);
    let id = || place.run(&["plan", "-o", "json"]).ended(0).json()["id"].as_str().unwrap().to_owned();
    let first = id();
    assert!(first.len() == 64 && first.chars().all(|c| c.is_ascii_hexdigit()), "{first}");
    // Time passes, and nothing else.
    place.run(&["apply", "--service", "search"]).ended(0);
    assert_eq!(id(), first);
    let mut ids = vec![first];
    let scope = place.repo().join("ionroller.toml");
    let text = std::fs::read_to_string(&scope).unwrap();
    let mut more = text.split("[limits]").next().unwrap().to_owned();
    for table in [
        "[limits]\nmax_concurrent_rollouts = 7\n",
        "[prune]\nenabled = true\n",
        "[[freeze]]\nname = \"f\"\nfrom = 2025-01-01T00:00:00Z\nuntil = 2025-01-02T00:00:00Z\n",
    ] {
        more = format!("{more}\n{table}");
        std::fs::write(&scope, &more).unwrap();
        place.commit(table);
        ids.push(id());
    }
    for (from, to) in [("min = 3", "min = 4"), ("on_failure = \"hold\"", "on_failure = \"roll-back\"")] {
        let file = place.repo().join("services/search.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(from, to)).unwrap();
        place.commit(to);
        ids.push(id());
    }
    place.run(&["hold", "search"]).ended(0);
    ids.push(id());
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "each of them is another plan");
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    let place = Place::new();
    place.run(&["apply", "--plan", "../none.json"]).ended(1);
    std::fs::write(place.dir.path().join("odd.json"), "{\"format_version\": \"1\"}").unwrap();
    let odd = place.run(&["apply", "--plan", "../odd.json"]).ended(1);
    assert!(odd.stderr.contains("no plan that `ionroller plan --out` wrote"), "{}", odd.stderr);
    let newer = r#"{"format_version": "2", "id": "x", "scope": "prod", "services": []}"#;
    std::fs::write(place.dir.path().join("newer.json"), newer).unwrap();
    let newer = place.run(&["apply", "--plan", "../newer.json"]).ended(1);
    assert!(newer.stderr.contains("has the form 2"), "{}", newer.stderr);
    let lost = place.run(&["plan", "--out", "../no/such/folder"]).ended(1);
    assert!(lost.stderr.contains("cannot write the plan"), "{}", lost.stderr);
}
