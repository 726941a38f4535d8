//! The binary on a simulated AWS: a hermetic environment, real Git, fixed clock and commits.

use expect_test::expect;
use serde_json::Value;

use crate::harness::place::Place;

#[test]
fn validate_says_all_or_nothing() {
    let place = Place::new();
    let good = place.bare(&["validate"]).ended(0);
    assert!(good.stderr.contains("4 services, no errors"), "{}", good.stderr);
    let broken = place.repo().join("services/search.toml");
    std::fs::write(&broken, "version = 1\nnonsense = true\n").unwrap();
    let bad = place.bare(&["validate", "-o", "json"]).ended(1).json();
    let problems = bad["diagnostics"].as_array().unwrap();
    assert!(problems.len() >= 3, "all of them: {bad:#}");
    for field in ["severity", "file", "line", "column", "message", "help"] {
        assert!(problems[0].get(field).is_some(), "{field}");
    }
    assert_eq!(bad["format_version"], "1");
}

#[test]
fn a_release_from_plan_to_rollback() {
    let place = Place::new();
    let plan = place.run(&["plan", "-o", "json", "--detailed-exitcode"]).ended(2).json();
    for field in [
        "format_version",
        "id",
        "scope",
        "commit",
        "base",
        "observed_at",
        "complete",
        "summary",
        "services",
        "diagnostics",
    ] {
        assert!(plan.get(field).is_some(), "{field}");
    }
    assert_eq!((&plan["summary"]["create"], &plan["summary"]["waiting"]), (&4.into(), &0.into()));
    for field in [
        "name",
        "change",
        "phase",
        "from",
        "to",
        "because",
        "rollback",
        "rollback_until",
        "actions",
        "waiting_on",
        "forecast",
        "file_diff",
    ] {
        assert!(plan["services"][0].get(field).is_some(), "{field}");
    }
    place.run(&["apply"]).ended(0);
    let quiet = place.run(&["plan", "--detailed-exitcode"]).ended(0);
    assert!(quiet.stdout.contains("Nothing to do: 4 services are as the commit says."), "{}", quiet.stdout);

    place.release("2026.03.2");
    let plan = place.run(&["plan"]).ended(0).stdout;
    let plan = plan.split_once('\n').unwrap().1;
    expect![[r#"

        website  2026.03.1 → 2026.03.2   release
          because  version changed from 2026.03.1 to 2026.03.2
          now      + launch template  website-rq6zo2ezpf
                   + target group     website-rq6zo2ezpf
                   ~ traffic          2026.03.1 100 %, 2026.03.2 0 % (so that its health
                                      is checked)
                   + group            website-rq6zo2ezpf, 2 machines, at most 2
                   · 1 mark written (-v shows them)
          then        0:00  2 instances of 2026.03.2, as many as live has      4 running
                      3:10  100 %, bake 5 min
                      8:10  settled, 2026.03.1 kept warm
                   1:08:11  2026.03.1 retired                                  2 running
          revert   instant (one call), until 1:08:11

        1 release, 3 unchanged.
    "#]]
    .assert_eq(plan);
    let diff = place.run(&["diff", "website"]).ended(0).stdout;
    assert!(diff.contains("-version = \"2026.03.1\"\n+version = \"2026.03.2\""), "{diff}");
    place.run(&["apply"]).ended(0);
    place.git(&["revert", "--no-edit", "HEAD"]);
    let plan = place.run(&["plan", "-o", "json"]).ended(0).json();
    let website = plan["services"].as_array().unwrap().iter().find(|s| s["name"] == "website").unwrap();
    assert_eq!((&website["change"], &website["rollback"]), (&"rollback".into(), &"instant".into()));
    assert_eq!(website["actions"][0]["kind"], "set-weights");
    place.run(&["apply"]).ended(0);
    let status = place.run(&["status", "website"]).ended(0).stdout;
    let status = status.split_once('\n').unwrap().1;
    expect![[r#"

        website  2026.03.1  steady
            live       2026.03.1   100 %  2 of 2 healthy  website-eb3qvhnrlo
            warm       2026.03.2     0 %  2 of 2 healthy  website-rq6zo2ezpf
    "#]]
    .assert_eq(status);
    // The warm group goes when somebody waits for it.
    place.run(&["apply", "--wait", "retired"]).ended(0);
    assert_eq!(place.service("website")["groups"].as_array().unwrap().len(), 1);
}

#[test]
fn only_the_commit_counts() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    std::fs::write(place.repo().join("services/website.toml"), "nonsense").unwrap();
    let plan = place.run(&["plan", "--detailed-exitcode"]).ended(0);
    assert!(plan.stderr.contains("not committed"), "{}", plan.stderr);
    let elsewhere = place.dir.path().to_string_lossy().into_owned();
    let repo = place.repo().to_string_lossy().into_owned();
    let mut command = place.command(env!("CARGO_BIN_EXE_ionroller"));
    command.current_dir(&elsewhere).args(["plan", "--offline", "--repo", &repo, "--ref", "main"]);
    assert!(command.output().unwrap().status.success());
}

#[test]
fn operators_words() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.run(&["hold", "website", "--reason", "incident 4711"]).ended(0);
    place.release("2026.03.2");
    let refused = place.run(&["apply"]).ended(1);
    assert!(refused.stderr.contains("held by tester: incident 4711"), "{}", refused.stderr);
    let held = place.service("website");
    assert_eq!((&held["held"]["who"], &held["waiting_on"]["reason"]), (&"tester".into(), &"hold".into()));
    place.run(&["resume", "website"]).ended(0);
    place.run(&["apply", "--service", "website"]).ended(0);
    assert_eq!(place.service("website")["live"]["version"], "2026.03.2");
}

#[test]
fn a_broken_and_a_missing_file() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    std::fs::write(place.repo().join("services/search.toml"), "nonsense = true\n").unwrap();
    std::fs::remove_file(place.repo().join("services/checkout.toml")).unwrap();
    place.commit("two mistakes");
    let plan = place.run(&["plan", "--detailed-exitcode", "-o", "json"]).ended(1).json();
    let change = |name: &str| {
        let service = plan["services"].as_array().unwrap().iter().find(|s| s["name"] == name).unwrap();
        (service["change"].clone(), service["waiting_on"]["reason"].clone())
    };
    assert_eq!(change("search"), ("blocked".into(), "invalid".into()));
    assert_eq!(change("checkout"), ("none".into(), Value::Null));
    assert!(plan["diagnostics"].to_string().contains("orphaned"));
    place.run(&["plan"]).ended(0);
}

#[test]
fn wrong_usage_and_names() {
    let place = Place::new();
    place.bare(&["plan", "--cloud", "gcp"]).ended(64);
    place.bare(&["nonsense"]).ended(64);
    place.bare(&["--help"]).ended(0);
    let typo = place.run(&["status", "websiet"]).ended(1);
    assert!(typo.stderr.contains("did you mean `website`?"), "{}", typo.stderr);
    let nowhere = place.run(&["plan", "--ref", "nonsense"]).ended(1);
    assert!(nowhere.stderr.contains("nonsense"), "{}", nowhere.stderr);
}

/// Two services trade the priorities of their rules.
#[test]
fn a_trade_of_places_is_planned_and_applied() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    for (name, old, new) in
        [("search", "priority = 130", "priority = 200"), ("website", "priority = 200", "priority = 130")]
    {
        let file = place.repo().join(format!("services/{name}.toml"));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(old));
        std::fs::write(&file, text.replace(old, new)).unwrap();
    }
    place.commit("a trade");
    let plan = place.run(&["plan", "--detailed-exitcode"]).ended(2);
    assert!(plan.stdout.contains("; priority 130 is"), "{}", plan.stdout);
    assert!(plan.stdout.contains("website moves to its"), "{}", plan.stdout);
    // One alone can't get there, and says for whom it waits.
    let alone = place.run(&["apply", "--service", "website"]).ended(1);
    assert!(alone.stderr.contains("website cannot go on: priority 130 is search's"), "{}", alone.stderr);
    place.run(&["apply"]).ended(0);
    let nothing = place.run(&["plan", "--detailed-exitcode"]).ended(0);
    assert!(nothing.stdout.contains("Nothing to do"), "{}", nothing.stdout);
}

#[test]
fn a_mistyped_service_is_named_by_every_command() {
    let place = Place::new();
    let commands: [&[&str]; 13] = [
        &["plan", "--service", "serach"],
        &["plan", "--offline", "--service", "serach"],
        &["apply", "--service", "serach"],
        &["status", "serach"],
        &["history", "serach"],
        &["diff", "serach"],
        &["hold", "serach"],
        &["resume", "serach"],
        &["retry", "serach"],
        &["abort", "serach"],
        &["rollback", "serach", "--live"],
        &["rollback", "serach"],
        &["release", "serach", "9.9.9"],
    ];
    for args in commands {
        let typo = place.run(args).ended(1);
        assert!(typo.stderr.contains("did you mean `search`?"), "{args:?}: {}", typo.stderr);
    }
}

#[test]
fn offline_knows_the_files_only() {
    let place = Place::new();
    let plan = place.bare(&["plan", "--offline", "-o", "json"]).ended(0).json();
    assert_eq!(plan["complete"], false);
    assert_eq!(plan["services"][0]["change"], "none");
    assert_eq!(plan["observed_at"], Value::Null);
    place.bare(&["plan", "--offline", "--detailed-exitcode"]).ended(1);
}

#[test]
fn a_selection_is_all_that_counts() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    std::fs::write(place.repo().join("services/search.toml"), "nonsense = true\n").unwrap();
    place.commit("a mistake");
    place.run(&["plan", "--detailed-exitcode"]).ended(1);
    place.run(&["plan", "--detailed-exitcode", "--service", "website"]).ended(0);
    place.run(&["plan", "--detailed-exitcode", "--service", "website", "--service", "search"]).ended(1);
    let applied = place.run(&["apply", "--service", "website", "-o", "json"]).ended(0).json();
    assert_eq!(applied["diagnostics"], Value::Array(Vec::new()));
    // A mistyped name does nothing at all, not even for the others.
    place.release("2026.03.2");
    let typo = place.run(&["apply", "--service", "website", "--service", "websiet"]).ended(1);
    assert!(typo.stderr.contains("did you mean `website`?"), "{}", typo.stderr);
    assert_eq!(place.service("website")["live"]["version"], "2026.03.1");
}

#[test]
fn a_broken_scope_has_a_plan_that_says_so() {
    let place = Place::new();
    std::fs::write(place.repo().join("ionroller.toml"), "scope = 1\n").unwrap();
    place.commit("a mistake");
    let plan = place.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!(
        (&plan["scope"], &plan["complete"], plan["id"].as_str().unwrap().len()),
        (&Value::Null, &false.into(), 64)
    );
    place.run(&["plan", "--detailed-exitcode"]).ended(1);
    place.run(&["apply"]).ended(1);
    place.run(&["status"]).ended(1);
}

#[test]
fn the_answer_is_on_stdout_and_colour_is_asked_for() {
    let place = Place::new();
    let quiet = place.run(&["apply", "-q"]).ended(0);
    assert_eq!(quiet.stderr, "");
    place.release("2026.03.2");
    let plain = place.run(&["plan"]).ended(0);
    assert_eq!((plain.stdout.contains('\u{1b}'), plain.stderr.as_str()), (false, ""));
    let painted = place.run(&["plan", "--color", "always"]).ended(0).stdout;
    assert!(painted.contains("\u{1b}["), "{painted}");
    let wide = |text: &str| text.lines().find(|line| line.chars().count() > 80).map(str::to_owned);
    for args in
        [vec!["plan"], vec!["status"], vec!["status", "website"], vec!["history", "website"], vec!["plan", "-v"]]
    {
        let said = place.run(&args).ended(0).stdout;
        // The difference of a file is shown as it is.
        let own = said.lines().take_while(|line| !line.contains("--- a/")).collect::<Vec<_>>().join("\n");
        assert_eq!(wide(&own), None, "{args:?}");
    }
    for args in [vec!["--help"], vec!["plan", "--help"], vec!["apply", "--help"], vec!["release", "--help"]] {
        let said = place.bare(&args).ended(0).stdout;
        assert!(!said.contains("Possible values"), "{said}");
    }
}

/// A default action and a listener that only a later commit names, from the first release to
/// the removal of the file.
#[test]
fn behind_default_actions() {
    let place = Place::new();
    place.run(&["apply", "--service", "website"]).ended(0);
    let file = |kind: &str, protocol: &str| {
        let listener = format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/{kind}/x/50dc/f2f7");
        format!(
            "version = \"1\"\n[machine]\nami = \"ami-0123456789abcdef0\"\ninstance_type = \"t3.small\"\n\
             [capacity]\nmin = 2\n[load_balancer]\nlistener = \"{listener}\"\nport = 80\nprotocol = \"{protocol}\"\n"
        )
    };
    let services = place.repo().join("services");
    std::fs::write(services.join("front.toml"), file("app", "HTTP")).unwrap();
    std::fs::write(services.join("raw.toml"), file("net", "TCP")).unwrap();
    place.commit("two services behind default actions");
    place.run(&["apply", "--service", "front", "--service", "raw"]).ended(0);
    for name in ["front", "raw"] {
        let service = place.service(name);
        assert_eq!((&service["live"]["version"], &service["groups"][0]["weight"]), (&"1".into(), &100.into()));
    }
    std::fs::remove_file(services.join("front.toml")).unwrap();
    let scope = place.repo().join("ionroller.toml");
    let text = std::fs::read_to_string(&scope).unwrap();
    std::fs::write(&scope, format!("{text}\n[prune]\nenabled = true\n")).unwrap();
    place.commit("front goes");
    let plan = place.run(&["plan", "-o", "json"]).ended(0).json();
    let front = plan["services"].as_array().unwrap().iter().find(|service| service["name"] == "front").unwrap();
    assert_eq!((&front["change"], &front["waiting_on"]["reason"]), (&"blocked".into(), &"preflight".into()));
    assert_eq!(front["actions"], Value::Array(Vec::new()));
}
