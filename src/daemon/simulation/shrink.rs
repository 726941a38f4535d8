//! A script that breaks something becomes a short one that breaks the same.

use super::script::{Script, Second};
use super::{Failure, try_script};

/// Runs that a shrinking may take.
const RUNS_MAX: u32 = 400;

/// Leaves out events as long as the same invariant breaks.
pub fn shrink(script: &Script, failure: &Failure) -> (Script, Failure) {
    let (mut best, mut known) = (script.clone(), failure.clone());
    let mut runs = 0;
    let mut size = best.events.len().div_ceil(2).max(1);
    loop {
        let mut smaller = false;
        let mut from = 0;
        while from < best.events.len() && runs < RUNS_MAX {
            let mut tried = best.clone();
            tried.events.drain(from..(from + size).min(best.events.len()));
            runs += 1;
            match try_script(&tried) {
                Err(other) if other.invariant() == known.invariant() => (best, known, smaller) = (tried, other, true),
                _ => from += size,
            }
        }
        if runs >= RUNS_MAX || (size == 1 && !smaller) {
            break;
        }
        size = (size / 2).max(1);
    }
    if best.second != Second::Nobody {
        let tried = Script { second: Second::Nobody, ..best.clone() };
        if let Err(other) = try_script(&tried)
            && other.invariant() == known.invariant()
        {
            (best, known) = (tried, other);
        }
    }
    (best, known)
}
