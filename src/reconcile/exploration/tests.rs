//! What is explored in every test run, and what `scripts/explore` explores.

use std::io::Write as _;
use std::time::Instant;

use super::search::{Found, search};
use super::{Bounds, Small};

/// More states than this are not looked at: the machine has to hold them.
const STATES_MAX: usize = 12_000_000;

fn bounds(commits: &[&'static str]) -> Bounds {
    let commits = commits.to_vec();
    Bounds { commits, steps: "[100]", daemons: 1, crashes: 0, faults: 0, sick: None, apart: false }
}

/// Explores, prints what there was, and fails where anything broke.
fn explore(name: &str, small: &Small) -> Found {
    let began = Instant::now();
    let found = search(small, STATES_MAX, &mut |depth, states| {
        if depth % 10 == 0 {
            let secs = began.elapsed().as_secs();
            let _ = writeln!(std::io::stdout(), "{name}: {states} states at depth {depth}, {secs} s");
        }
    });
    let Found { states, steps, depth, ends, .. } = found;
    let secs = began.elapsed().as_secs_f64();
    let line = format!("{name}: {states} states, {steps} steps, depth {depth}, {ends} ends, {secs:.1} s");
    let _ = writeln!(std::io::stdout(), "{line}");
    assert!(!found.cut_off, "{line}: too many states");
    if let Some(broken) = &found.broken {
        panic!("{line}\n{broken}");
    }
    assert!(ends > 0, "{line}: it never ends");
    found
}

fn asked_for(name: &str) -> bool {
    std::env::var("IONROLLER_EXPLORE").is_ok_and(|asked| asked == name || asked == "all")
}

#[test]
fn a_release_and_its_revert_with_a_crash_and_a_fault() {
    if !asked_for("one") {
        return;
    }
    let bounds = Bounds { crashes: 1, faults: 1, ..bounds(&["1.0", "2.0", "1.0"]) };
    explore("one daemon", &Small::settled(bounds));
}

#[test]
fn two_daemons_one_of_them_behind() {
    if !asked_for("two") {
        return;
    }
    explore("two daemons", &Small::settled(Bounds { daemons: 2, ..bounds(&["1.0", "2.0"]) }));
}

#[test]
fn a_release_that_fails_and_a_crash() {
    if !asked_for("sick") {
        return;
    }
    explore(
        "a sick release",
        &Small::settled(Bounds { crashes: 1, sick: Some("2.0"), ..bounds(&["1.0", "2.0", "1.0"]) }),
    );
}

#[test]
fn a_first_release_with_a_crash() {
    explore("a first release", &Small::new(Bounds { crashes: 1, ..bounds(&["1.0"]) }));
}

/// The whole small world: `scripts/explore`.
#[test]
fn three_releases_and_a_revert_with_everything() {
    if asked_for("full") {
        let commits = ["1.0", "2.0", "3.0", "2.0"];
        explore("full", &Small::settled(Bounds { daemons: 2, crashes: 1, faults: 1, ..bounds(&commits) }));
    }
}

/// As above with one daemon, from an empty account, in steps.
#[test]
fn three_releases_and_a_revert_in_steps() {
    if asked_for("steps") {
        let commits = ["1.0", "2.0", "3.0", "2.0"];
        explore("steps", &Small::new(Bounds { steps: "[50, 100]", crashes: 1, faults: 1, ..bounds(&commits) }));
    }
}

/// Two daemons without anything that keeps them apart: what one does falls between the
/// other's reading and its change.
#[test]
fn two_daemons_at_the_same_time() {
    if asked_for("apart") {
        explore("apart", &Small::settled(Bounds { daemons: 2, apart: true, ..bounds(&["1.0", "2.0", "1.0"]) }));
    }
}
