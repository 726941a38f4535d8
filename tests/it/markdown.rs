//! `-o markdown`: what a comment on a pull request shows.

use expect_test::expect;

use crate::harness::place::Place;

/// A comment that GitHub takes, with every block closed.
fn is_sound(text: &str) {
    assert!(text.len() < 65_536, "{}", text.len());
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    assert_eq!(text.lines().filter(|line| line.starts_with("```")).count() % 2, 0, "{text}");
}

#[test]
fn a_plan_in_a_comment() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.run(&["release", "search", "1.5.0"]).ended(0);
    std::fs::write(place.repo().join("services/website.toml"), "nonsense = \"@all | `x`\"\n").unwrap();
    place.commit("a mistake");
    let said = place.run(&["plan", "-o", "markdown"]).ended(0).stdout;
    is_sound(&said);
    let head: Vec<&str> =
        said.lines().take(6).map(|line| line.split_once("** at ").map_or(line, |(_, rest)| &rest[7..])).collect();
    expect![[r#"
        : 1 release, 1 blocked, 1 waiting, 2 unchanged.

        | service | change | from | to | machines | takes | way back |
        |---|---|---|---|---|---|---|
        | `search` | release | `1.4.0` | `1.5.0` | replaced, 6 at most | 14 min | instant for 1 h 14 min |
        | `website` | blocked, waiting: its file has errors; what runs goes on | `2026.03.1` | – | – | – | – |"#]]
    .assert_eq(&head.join("\n"));
    assert!(said.contains("```diff\n--- a/services/search.toml\n+++ b/services/search.toml\n"), "{said}");
    assert!(said.contains("-version = \"1.4.0\"\n+version = \"1.5.0\"\n"), "{said}");
    assert!(said.contains("- **error** `services/website.toml:1:1`: "), "{said}");
    assert_eq!(place.run(&["plan", "-o", "markdown"]).ended(0).stdout, said, "the same bytes");
}

#[test]
fn a_long_plan_says_what_it_leaves_out() {
    let place = Place::new();
    let text = std::fs::read_to_string(place.repo().join("services/search.toml")).unwrap();
    for number in 0..400 {
        let own = text.replace("priority = 130", &format!("priority = {}", 1000 + number));
        std::fs::write(place.repo().join(format!("services/search-{number}.toml")), own).unwrap();
    }
    std::fs::write(place.repo().join("services/broken.toml"), "nonsense = 1\n").unwrap();
    place.commit("many");
    let said = place.run(&["plan", "-o", "markdown"]).ended(0).stdout;
    is_sound(&said);
    assert!(said.contains("- **error** `services/broken.toml"), "what is wrong stays");
    assert!(said.contains("| `search-399` |"), "the table stays");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("Left out, for this would be too long: ") && last.contains("services' details"), "{last}");
}

#[test]
fn status_problems_and_differences_in_a_comment() {
    let place = Place::new();
    place.run(&["apply", "--service", "website"]).ended(0);
    let status = place.run(&["status", "-o", "markdown"]).ended(0).stdout;
    is_sound(&status);
    assert!(status.contains("| `website` | `2026.03.1` | steady | – |"), "{status}");
    let valid = place.bare(&["validate", "-o", "markdown"]).ended(0).stdout;
    assert!(valid.ends_with(" services: 0 errors, 0 warnings.\n"), "{valid}");
    place.run(&["apply"]).ended(0);
    place.run(&["release", "search", "1.5.0"]).ended(0);
    let diff = place.run(&["diff", "search", "-o", "markdown"]).ended(0).stdout;
    is_sound(&diff);
    assert!(diff.starts_with("search runs 1.4.0, its file wants 1.5.0\n\n```diff\n"), "{diff}");
    let applied = place.run(&["apply", "-o", "markdown"]).ended(0).stdout;
    assert!(applied.contains(" services are steady.\n"), "{applied}");
    let history = place.run(&["history", "search", "-o", "markdown"]).ended(0).stdout;
    assert!(history.contains("| `1.5.0` | live, settled "), "{history}");
    place.bare(&["release", "search", "1.6.0", "-o", "markdown"]).ended(64);
}
