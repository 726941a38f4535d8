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

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// All processors, or as many threads as somebody asks for.
fn threads() -> usize {
    let all = || std::thread::available_parallelism().map_or(2, usize::from);
    number("IONROLLER_THREADS").unwrap_or_else(all)
}

fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Whether a world is to be explored: one that takes seconds in every test run, others when
/// they are asked for.
fn is_asked_for(name: &str, small: bool) -> bool {
    match std::env::var("IONROLLER_EXPLORE") {
        Ok(asked) => asked.split(' ').any(|asked| asked == name || asked == "all"),
        Err(_) => small,
    }
}

/// Explores, prints what there was, and fails where anything broke.
fn explore(name: &str, small: &Small) {
    let began = Instant::now();
    let found = search(small, number("IONROLLER_STATES").unwrap_or(STATES_MAX), threads(), &mut |found| {
        let Found { states, depth, frontier, .. } = found;
        if depth % 10 == 0 {
            print(&format!("{name}: {states} states, depth {depth}, {frontier} open, {} s", began.elapsed().as_secs()));
        }
    });
    let Found { states, steps, depth, ends, frontier, .. } = found;
    let secs = began.elapsed().as_secs_f64();
    let line = format!("{name}: {states} states, {steps} steps, depth {depth}, {ends} ends, {secs:.1} s");
    if let Some(broken) = &found.broken {
        panic!("{line}\n{broken}");
    }
    assert_eq!(frontier, 0, "not to its end, so many are open: {line}");
    assert!(ends > 0, "it never ends: {line}");
    print(&format!("explored {line}"));
}

/// A world by its name.
macro_rules! worlds {
    ($($(#[doc = $what:literal])+ $test:ident, $name:literal, $small:literal: $world:expr;)+) => {
        $(
            $(#[doc = $what])+
            #[test]
            fn $test() {
                if is_asked_for($name, $small) {
                    explore($name, &$world);
                }
            }
        )+
    };
}

/// Three releases, and the second again.
const COMMITS: [&str; 4] = ["1.0", "2.0", "3.0", "2.0"];

worlds! {
    /// From an empty account.
    a_first_release_with_a_crash_and_a_fault, "first", true:
        Small::new(Bounds { crashes: 1, faults: 1, ..bounds(&["1.0"]) });
    /// And back again.
    a_release_and_its_revert_with_a_crash_and_a_fault, "one", false:
        Small::settled(Bounds { crashes: 1, faults: 1, ..bounds(&["1.0", "2.0", "1.0"]) });
    /// One of them may be behind.
    two_daemons_and_a_release, "two", true:
        Small::settled(Bounds { daemons: 2, ..bounds(&["1.0", "2.0"]) });
    /// Its machines never answer.
    a_release_that_fails_with_a_crash_and_a_fault, "sick", false:
        Small::settled(Bounds { crashes: 1, faults: 1, sick: Some("2.0"), ..bounds(&["1.0", "2.0", "1.0"]) });
    /// Either of them may be behind.
    two_daemons_a_release_and_its_revert, "turns", false:
        Small::settled(Bounds { daemons: 2, ..bounds(&["1.0", "2.0", "1.0"]) });
    /// Either of them may be behind, die once, or have a call that fails.
    two_daemons_a_release_and_its_revert_with_a_crash_and_a_fault, "brief", false:
        Small::settled(Bounds { daemons: 2, crashes: 1, faults: 1, ..bounds(&["1.0", "2.0", "1.0"]) });
    /// Nothing goes wrong.
    three_releases_and_a_revert, "three", false:
        Small::settled(bounds(&COMMITS));
    /// With one daemon.
    three_releases_and_a_revert_with_a_crash, "dies", false:
        Small::settled(Bounds { crashes: 1, ..bounds(&COMMITS) });
    /// With one daemon.
    three_releases_and_a_revert_with_a_fault, "fails", false:
        Small::settled(Bounds { faults: 1, ..bounds(&COMMITS) });
    /// With one daemon.
    three_releases_and_a_revert_with_a_crash_and_a_fault, "alone", false:
        Small::settled(Bounds { crashes: 1, faults: 1, ..bounds(&COMMITS) });
    /// And nothing else that goes wrong.
    three_releases_and_a_revert_with_two_daemons, "pair", false:
        Small::settled(Bounds { daemons: 2, ..bounds(&COMMITS) });
    /// Either of them may die once.
    three_releases_and_a_revert_with_two_daemons_and_a_crash, "crash", false:
        Small::settled(Bounds { daemons: 2, crashes: 1, ..bounds(&COMMITS) });
    /// A call of either of them may fail once.
    three_releases_and_a_revert_with_two_daemons_and_a_fault, "fault", false:
        Small::settled(Bounds { daemons: 2, faults: 1, ..bounds(&COMMITS) });
    /// All of it.
    three_releases_and_a_revert_with_everything, "full", false:
        Small::settled(Bounds { daemons: 2, crashes: 1, faults: 1, ..bounds(&COMMITS) });
    /// Without a revert.
    three_releases_with_two_daemons_a_crash_and_a_fault, "ahead", false:
        Small::settled(Bounds { daemons: 2, crashes: 1, faults: 1, ..bounds(&["1.0", "2.0", "3.0"]) });
    /// With one daemon, from an empty account, in steps.
    three_releases_and_a_revert_in_steps, "steps", false:
        Small::new(Bounds { steps: "[50, 100]", crashes: 1, faults: 1, ..bounds(&COMMITS) });
    /// Two daemons without anything that keeps them apart: what one does falls between the
    /// other's reading and its change.
    two_daemons_at_the_same_time, "apart", false:
        Small::settled(Bounds { daemons: 2, apart: true, ..bounds(&["1.0", "2.0", "1.0"]) });
}
