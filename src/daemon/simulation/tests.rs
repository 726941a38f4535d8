//! A few seeds at every test run, and what the simulation promises of itself.

use crate::cloud::ErrorKind;
use crate::cloud::faulty::{Failure as What, Trigger};

use super::script::Script;
use super::{Failure, generate, isolated, play, play_with, shrink, try_script, try_seed};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 6;

#[test]
fn seeds() {
    for seed in 0..SEEDS {
        if let Err(failure) = try_seed(seed) {
            panic!("{}", report(&failure));
        }
    }
}

#[test]
fn what_happens_to_others_changes_nothing() {
    for seed in 0..2 {
        if let Err(failure) = isolated::try_seed(seed) {
            panic!("{}\n{failure}", failure.log);
        }
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [3, 4] {
        let script = generate::script(seed);
        let (first, second) = (play(&script).0, play(&script).0);
        let line = first.lines().zip(second.lines()).find(|(a, b)| a != b);
        assert!(first == second, "seed {seed}: {line:?}");
    }
}

/// What AWS refuses for minutes after a change elsewhere is tried until it goes: only a
/// change that was made can be without effect.
#[test]
fn calls_that_fail_for_minutes_only_wait() {
    let script = Script { events: Vec::new(), ..generate::script(1) };
    let refused = ["CreateTargetGroup", "CreateAutoScalingGroup"];
    let (log, result) = play_with(&script, |run| {
        for nth in 1..=9 {
            let kinds = [ErrorKind::Conflict, ErrorKind::Throttled];
            for (operation, kind) in refused.into_iter().zip(kinds) {
                run.theatre.faulty.add(Trigger::Operation(operation, nth), What::Before(kind));
            }
        }
    });
    assert_eq!(result, Ok(()), "{log}");
    for operation in refused {
        let failed = log.lines().filter(|line| line.contains(operation) && line.contains(" failed: ")).count();
        assert_eq!(failed, 9, "{log}");
    }
}

/// Histories that are played, for one that is played with and without others' troubles.
const FOR_A_PAIR: u64 = 25;

/// Run by `scripts/simulate`: IONROLLER_SEEDS seeds from IONROLLER_FIRST on.
#[test]
#[ignore = "takes as long as it is told to"]
fn many_seeds() {
    let (first, count) = (number("IONROLLER_FIRST", 0), number("IONROLLER_SEEDS", 100));
    let failed = many("simulation", first, count, try_seed);
    let troubled = many("isolation", first, count.div_ceil(FOR_A_PAIR), isolated::try_seed);
    if let Some(failure) = failed {
        panic!("{}", report(&failure));
    }
    if let Some(failure) = troubled {
        panic!("{}\n{failure}", failure.log);
    }
}

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// Plays seeds on all threads and prints how that went; the failure of the lowest.
fn many(what: &str, first: u64, count: u64, try_seed: fn(u64) -> Result<(), Failure>) -> Option<Failure> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = usize::try_from(number("IONROLLER_THREADS", threads as u64)).unwrap_or(1);
    let next = std::sync::atomic::AtomicU64::new(first);
    let failures = std::sync::Mutex::new(Vec::new());
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    if let Err(failure) = try_seed(seed) {
                        println!("{failure}");
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let (took, failures) = (begun.elapsed().as_secs_f64(), failures.into_inner().unwrap());
    println!(
        "{what}: {count} seeds from {first} on, {} failed; {took:.1} s, {:.1} seeds a second on {threads} threads",
        failures.len(),
        count as f64 / took
    );
    failures.into_iter().min_by_key(|failure| failure.seed)
}

/// What is printed of a failure: seed, commit, the shrunk script, and what happened in it.
fn report(failure: &Failure) -> String {
    let script = generate::script(failure.seed);
    let (script, failure) = shrink::shrink(&script, failure);
    debug_assert!(try_script(&script).is_err());
    let commit = std::process::Command::new("git").args(["rev-parse", "HEAD"]).output();
    let commit = commit.ok().filter(|output| output.status.success());
    let commit = commit.map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!("{}\n{failure}\nat commit {commit}; as a story:\n{script}", failure.log)
}
