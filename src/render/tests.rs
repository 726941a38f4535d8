//! Rendered texts, as people see them.

use expect_test::expect;

use super::style::{Meaning, Style, columns};
use super::text;
use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::names::ServiceName;
use crate::plan::types::{Plan, Reason, WaitingOn};
use crate::time::{Span, Timestamp};

const PLAIN: Style = Style { color: false, verbose: 0, width: 80 };

fn problem() -> Diagnostic {
    let message =
        "`rollout.steps` is [5, 50], and must end with 100, since a release that never gets all traffic never settles";
    Diagnostic::new(Severity::Error, message)
        .at("services/web.toml", Some((12, 9)))
        .help("such as steps = [5, 50, 100]")
}

#[test]
fn problems_name_their_place_and_fit() {
    let said = text::diagnostics(&[problem()], PLAIN);
    expect![[r#"
        error: services/web.toml:12:9: `rollout.steps` is [5, 50], and must end with
          100, since a release that never gets all traffic never settles
          help: such as steps = [5, 50, 100]
    "#]]
    .assert_eq(&said);
    assert!(said.lines().all(|line| columns(line) <= 80));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let painted = text::diagnostics(&[problem()], Style { color: true, ..PLAIN });
    let bare: String =
        painted.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
    assert!(painted.contains("\u{1b}[1;31merror\u{1b}[0m"));
    assert!(bare.contains("services/web.toml:12:9"));
    assert_eq!(PLAIN.paint(Meaning::Error, "x"), "x");
}

#[test]
fn a_wait_says_for_how_long_and_until_when() {
    let now = Timestamp::from_secs(1_800_000_000);
    let wait = WaitingOn {
        reason: Reason::Health,
        detail: "3 of 4 machines healthy".to_owned(),
        since: Some(now - Span::from_secs(130)),
        until: Some(now + Span::from_secs(770)),
    };
    let said = text::progress_wait(&ServiceName::parse("web").unwrap(), &wait, now, PLAIN);
    assert_eq!(said, "web  … 3 of 4 machines healthy; for 2 min 10 s; at most 12 min 50 s more");
}

#[test]
fn nothing_to_do_is_said_in_so_many_words() {
    let plan = Plan {
        id: String::new(),
        scope: None,
        commit: None,
        base: None,
        observed_at: None,
        complete: true,
        services: Vec::new(),
        diagnostics: Vec::new(),
        review: None,
    };
    let said = text::plan(&plan, PLAIN);
    assert!(said.ends_with("Nothing to do: 0 services are as the commit says.\n"), "{said}");
}
