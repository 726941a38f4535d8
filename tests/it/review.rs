//! `plan --base` for whoever must say yes to a merge: what it touches, how that runs, what
//! is in its way, what was so already, and no value that is nobody's business.

use expect_test::expect;
use serde_json::Value;

use crate::harness::place::Place;

fn edit(place: &Place, file: &str, from: &str, to: &str) {
    let path = place.repo().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn of<'p>(plan: &'p Value, name: &str) -> &'p Value {
    plan["services"].as_array().unwrap().iter().find(|service| service["name"] == name).unwrap()
}

/// All is settled on `main`, and `topic` is checked out.
fn settled() -> Place {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.git(&["checkout", "--quiet", "-b", "topic"]);
    place
}

fn json(place: &Place) -> Value {
    place.run(&["plan", "--base", "main", "-o", "json"]).ended(0).json()
}

/// Without the first line, which has commits and a time.
fn text(place: &Place, more: &[&str]) -> String {
    let said = place.run(&[&["plan", "--base", "main"], more].concat()).ended(0).stdout;
    said.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn what_the_merge_touches_and_how_it_runs() {
    let place = settled();
    edit(&place, "services/checkout.toml", "t3.small", "t3.medium");
    edit(&place, "services/search.toml", "min = 3", "min = 4");
    place.commit("two services");
    let said = text(&place, &[]);
    let kept: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains("checkout-") && !line.starts_with("  @@") && *line != "   ")
        .collect();
    expect![[r#"

        checkout  2.7.1 → 2.7.1   release
          because  the release of 2.7.1 has changed
          changes  machine.instance_type
          how      replaced: 5 % → 25 % → 50 % → 100 %, 5 min bake each; rolls back by
                   itself on failure
                   ~ traffic          2.7.1 100 %, 2.7.1 0 % (so that its health is
                                      checked)
                                      says)
                   · 1 mark written (-v shows them)
          then        0:00  2 instances of 2.7.1, as many as live has          4 running
                      3:10  5 %, bake 5 min
                      8:10  25 %, bake 5 min
                     13:10  50 %, bake 5 min
                     18:10  100 %, bake 5 min
                     23:10  settled, 2.7.1 kept warm
                   1:23:11  2.7.1 retired                                      2 running
          peak     4 instances at most (2 now), for 1 h 24 min
          revert   instant (one call), until 1:23:11
          --- a/services/checkout.toml
          +++ b/services/checkout.toml
           [machine]
           ami = "ami-0abcdef1234567890"          # Amazon Linux 2023
          -instance_type = "t3.small"
          +instance_type = "t3.medium"
           instance_profile = "checkout"          # may read the secrets below and pull the image
           root_volume_gib = 20
           user_data = "files/checkout.sh"        # runs after the container was started

        search  1.4.0   update
          because  settings changed that need no new machines
          changes  capacity.min, capacity.max
          how      in place, no machine is replaced
          now      ~ size             search-s3omw2vf5d: min 4, max 4 (as its file says)
                   · 1 mark written (-v shows them)
          --- a/services/search.toml
          +++ b/services/search.toml
           INDEX_BUCKET = "…"
           [capacity]
          -min = 3
          +min = 4
           [load_balancer]
           port = 8080                            # no image that publishes one, so it is named here

        1 release, 1 update; 2 services are not touched.
    "#]]
    .assert_eq(&format!("{}\n", kept.join("\n")));
    let all = text(&place, &["--all"]);
    assert!(all.contains("\nwebsite  2026.03.1   no change\n") && all.contains("\nmailer  "), "{all}");
    let plan = json(&place);
    let touched: Vec<&Value> = plan["services"].as_array().unwrap().iter().map(|service| &service["touched"]).collect();
    assert_eq!(touched, [true, false, true, false], "checkout, mailer, search, website");
    let checkout = of(&plan, "checkout");
    assert_eq!(checkout["changed_keys"], serde_json::json!(["machine.instance_type"]));
    assert_eq!(checkout["strategy"]["machines"], "replaced");
    assert_eq!(checkout["strategy"]["steps"], serde_json::json!([5, 25, 50, 100]));
    assert_eq!((&checkout["peak"]["instances"], &checkout["peak"]["now"]), (&4.into(), &2.into()));
    assert_eq!(of(&plan, "search")["strategy"]["machines"], "in-place");
    assert_eq!(of(&plan, "website")["strategy"], Value::Null);
    // Without a base, nothing is said of a merge.
    let plain = place.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!((&of(&plain, "checkout")["touched"], &plain["freezes"]), (&Value::Null, &Value::Null));
}

#[test]
fn defaults_and_scripts_touch_whom_they_change() {
    let place = settled();
    edit(&place, "files/checkout.sh", "#!", "# new\n#!");
    place.commit("a script");
    let plan = json(&place);
    assert_eq!(of(&plan, "checkout")["changed_keys"], serde_json::json!(["the script files/checkout.sh"]));
    assert_eq!(of(&plan, "checkout")["file_diff"], Value::Null, "a script is not shown unasked");
    assert_eq!(of(&plan, "website")["touched"], false);
    let shown = place.run(&["plan", "--base", "main", "--show-values", "-o", "json"]).ended(0).json();
    assert!(of(&shown, "checkout")["file_diff"].as_str().unwrap().contains("+# new"));
    edit(&place, "ionroller.toml", "managed-by = \"ionroller\"", "managed-by = \"us\"");
    place.commit("a tag of all");
    let plan = json(&place);
    assert!(plan["services"].as_array().unwrap().iter().all(|service| service["touched"] == true));
    assert_eq!(of(&plan, "website")["changed_keys"], serde_json::json!(["tags.managed-by"]));
    assert!(plan["scope_diff"].as_str().unwrap().contains("+managed-by = \"us\"\n"));
    let said = text(&place, &[]);
    assert!(said.contains("changes  tags.managed-by (its own file is the same"), "{said}");
}

#[test]
fn values_of_environments_are_shown_to_nobody_who_did_not_ask() {
    let place = settled();
    edit(
        &place,
        "services/checkout.toml",
        "LOG_LEVEL = \"info\"",
        "LOG_LEVEL = \"hunter2\" # hunter2\nNEW = '''hunter2'''",
    );
    edit(&place, "services/checkout.toml", "ssm:/checkout/db-password", "ssm:/hunter2");
    edit(&place, "ionroller.toml", "[limits]", "[defaults.env]\nALL = \"hunter2\"\n\n[limits]");
    edit(&place, "services/search.toml", "INDEX_BUCKET = \"example-search-index\"", "INDEX_BUCKET = 9187364");
    edit(&place, "files/checkout.sh", "#!", "# hunter2\n#!");
    place.commit("values");
    let forms: [&[&str]; 4] = [&[], &["-v"], &["-o", "json"], &["-o", "markdown"]];
    for form in forms {
        for command in [
            vec!["plan"],
            vec!["plan", "--base", "main"],
            vec!["plan", "--base", "main", "--offline"],
            vec!["diff", "checkout"],
        ] {
            let ran = place.run(&[&command[..], form].concat()).ended(0);
            assert!(
                !format!("{}{}", ran.stdout, ran.stderr).contains("hunter2"),
                "{command:?} {form:?}\n{}",
                ran.stdout
            );
            assert!(!ran.stdout.contains("9187364"), "{command:?} {form:?}\n{}", ran.stdout);
            if !command.contains(&"plan") || form.contains(&"json") {
                assert!(ran.stdout.contains("(changed)"), "{command:?} {form:?}\n{}", ran.stdout);
            }
        }
    }
    let diff = place.run(&["diff", "checkout", "--show-values"]).ended(0).stdout;
    assert!(diff.contains("+LOG_LEVEL = \"hunter2\" # hunter2"), "{diff}");
    let plan = place.run(&["plan", "--base", "main", "--show-values", "-o", "json"]).ended(0).json();
    assert!(of(&plan, "checkout")["file_diff"].as_str().unwrap().contains("hunter2"));
    assert!(plan["scope_diff"].as_str().unwrap().contains("hunter2"));
}

/// Lets the simulated clock go on, as a real one does between two runs.
fn pass_time(place: &Place, millis: i64) {
    let file = place.dir.path().join("world.json");
    let mut world: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    world["now"] = (world["now"].as_i64().unwrap() + millis).into();
    std::fs::write(file, world.to_string()).unwrap();
}

#[test]
fn what_was_so_already_is_told_apart_and_does_not_move() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.run(&["release", "search", "1.5.0"]).ended(0);
    place.run(&["apply", "--service", "search", "--timeout", "4m"]);
    assert_eq!(place.service("search")["phase"], "baking");
    place.git(&["checkout", "--quiet", "-b", "topic"]);
    place.release("2026.03.2");
    let markdown = || place.run(&["plan", "--base", "main", "-o", "markdown"]).ended(0).stdout;
    let first = markdown();
    assert!(first.contains("\nIn flight or drifting, not by this merge:\n\n- `search` `1.4.0`: a rollout of 1.5.0 is under way, with 50 % of the traffic; it waits: watched at 50 %; until "), "{first}");
    assert!(!first.contains("| `search` |") && first.contains("| `website` | release |"), "{first}");
    pass_time(&place, 7_000);
    assert_eq!(markdown(), first, "the same bytes while nothing changes");
    let said = text(&place, &[]);
    assert!(
        said.contains("\nIn flight or drifting, not by this merge:\n  search  1.4.0 → 1.5.0: a rollout of 1.5.0"),
        "{said}"
    );
    // What the merge touches itself is told, too, and a hold.
    edit(&place, "services/search.toml", "min = 3", "min = 4");
    place.commit("search as well");
    place.run(&["hold", "search", "--reason", "incident"]).ended(0);
    let already = json(&place);
    let already = of(&already, "search")["already"].as_str().unwrap().to_owned();
    assert_eq!(already, "a rollout of 1.5.0 is under way, with 50 % of the traffic; held by tester: incident");
    let first = markdown();
    pass_time(&place, 7_000);
    assert_eq!(markdown(), first, "the same bytes while nothing changes");
}

#[test]
fn what_drifted_is_told() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.run(&["release", "search", "1.5.0"]).ended(0);
    place.git(&["checkout", "--quiet", "-b", "topic"]);
    place.release("2026.03.2");
    let plan = json(&place);
    assert_eq!(of(&plan, "search")["already"], "1.4.0 is live, and the base says 1.5.0");
    assert_eq!((&of(&plan, "search")["touched"], &of(&plan, "website")["already"]), (&false.into(), &Value::Null));
    assert!(text(&place, &[]).contains("  search  1.4.0 → 1.5.0: 1.4.0 is live, and the base says 1.5.0\n"));
}

#[test]
fn freezes_in_the_way() {
    let place = settled();
    for (from, until, shown) in [
        ("2025-12-01T00:00:00Z", "2026-02-01T00:00:00Z", true),
        ("2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z", true),
        ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", false),
        ("2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z", false),
    ] {
        place.git(&["checkout", "--quiet", "main"]);
        let scope = std::fs::read_to_string(place.repo().join("ionroller.toml")).unwrap();
        let scope = scope.split("\n[[freeze]]").next().unwrap();
        let freeze = format!("[[freeze]]\nname = \"sale\"\nfrom = {from}\nuntil = {until}\nservices = [\"website\"]\n");
        std::fs::write(place.repo().join("ionroller.toml"), format!("{scope}\n{freeze}")).unwrap();
        place.commit("a freeze");
        place.git(&["checkout", "--quiet", "-B", "topic"]);
        place.release("2026.03.2");
        let plan = json(&place);
        let said = text(&place, &[]);
        assert_eq!(plan["freezes"].as_array().unwrap().len(), usize::from(shown), "{from}");
        assert_eq!(said.contains(&format!("freeze   sale, from {from} until {until}:")), shown, "{said}");
        // It is in nobody's way who is not touched by it.
        place.git(&["checkout", "--quiet", "-B", "topic", "main"]);
        edit(&place, "services/search.toml", "min = 3", "min = 4");
        place.commit("search");
        assert_eq!(json(&place)["freezes"], serde_json::json!([]));
    }
}

#[test]
fn without_aws_it_says_what_it_could_not_know() {
    let place = settled();
    place.release("2026.03.2");
    let said = place.bare(&["plan", "--base", "main", "--offline"]).ended(0).stdout;
    let said = said.split_once('\n').unwrap().1;
    let kept: Vec<&str> = said.lines().filter(|line| !line.starts_with("   ") && !line.starts_with("  -")).collect();
    expect![[r#"

        website  2026.03.1 → 2026.03.2   release
          because  version changed from 2026.03.1 to 2026.03.2
          changes  version, image.digest
          how      replaced: all traffic at once, 5 min bake; rolls back by itself on
          +++ b/services/website.toml
          @@ -1,9 +1,9 @@
          +version = "2026.03.2"
          +digest = "sha256:323032362e30332e320000000000000000000000000000000000000000000000"

        Not known, for AWS was not asked: what runs now, whether a rollout is under way
        or something drifted, holds and rejections, how many machines it takes, and how
        fast a revert would be. Changes are those of the files.

        1 release, not everything was read; 3 services are not touched.
    "#]]
    .assert_eq(&format!("{}\n", kept.join("\n")));
    // A build without AWS stands for a run without credentials.
    #[cfg(not(feature = "aws"))]
    {
        let failed = place.bare(&["plan", "--base", "main"]).ended(1);
        assert_eq!(failed.stdout, "");
        assert!(
            failed.stderr.contains("hint: without AWS, --offline says what changes in the files"),
            "{}",
            failed.stderr
        );
    }
}

#[test]
fn a_merge_that_touches_nothing() {
    let place = settled();
    std::fs::write(place.repo().join("notes"), "x").unwrap();
    place.commit("notes");
    assert_eq!(text(&place, &[]), "\nThis merge touches no service; there are 4.\n");
    edit(&place, "services/website.toml", "# As little", "# Little");
    place.commit("a comment");
    let said = text(&place, &[]);
    assert!(said.contains("  changes  the text of its file, and nothing that it says\n"), "{said}");
    assert!(said.ends_with("\n1 unchanged; 3 services are not touched.\n"), "{said}");
}
