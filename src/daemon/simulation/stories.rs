//! Scripts that once broke something, as short as they could be made.

use super::script::{Event::*, Kind::*, Script};
use super::try_script;

#[track_caller]
fn ends_well(script: &Script) {
    if let Err(failure) = try_script(script) {
        panic!("{}\n{failure}", failure.log);
    }
}

/// Its calls failed, then a gate left it nothing to do: the time until which it was left
/// alone passed, and the loop went on at once, 20 times a second, for as long as that stayed.
#[test]
fn a_service_whose_calls_failed_and_that_may_not_start_is_no_reason_to_hurry() {
    ends_well(&Script {
        seed: 1107,
        kinds: vec![Adopt, Network, Rule],
        prune: true,
        limits: (3, 1),
        dry: false,
        events: vec![
            (146, Curse { s: 0, on: true }),
            (147, Release { s: 0, version: 2, min: 3, steps: 1 }),
            (342, Release { s: 2, version: 2, min: 1, steps: 1 }),
        ],
    });
}
