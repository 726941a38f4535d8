//! Every bug must be caught: by planner stories, by random services, or by simulated
//! histories. `docs/seeded-bugs.md` says which caught which, and after how many.
//!
//! An ordinary run asks whoever caught a bug by that table, and searches only where that
//! one is silent now. `scripts/seeded-bugs` searches for all, and compares the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::Mutant;
use super::loose::{VARIABLE, with};
use crate::daemon::simulation;
use crate::plan::tests::random;

/// So many simulated histories must do.
const SEEDS: u64 = 30;

/// Where the stories of planner, readings, changes and passes are. Random services are a
/// column of their own.
const STORIES: [&str; 4] = ["plan::tests::", "cloud::observe::tests::", "execute::tests::", "reconcile::tests::"];

/// Fewer in the table would say little.
const BUGS_MIN: usize = 30;

/// Set by the script: everybody is asked about every bug, or about one of them; with `quick`
/// all but simulated histories.
const FULL: &str = "IONROLLER_SEEDED_BUGS";

/// Who caught a bug.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Caught {
    /// Planner stories that fail.
    stories: usize,
    /// The first of them.
    story: Option<String>,
    /// The random service that was the first to fail, counted from 1.
    case: Option<u32>,
    /// The history that was the first to fail, counted from 1.
    history: Option<u64>,
}

impl Caught {
    fn is_caught(&self) -> bool {
        self.story.is_some() || self.case.is_some() || self.history.is_some()
    }
}

/// Whether a simulated history breaks an invariant with a bug.
fn history_breaks(mutant: Option<Mutant>, seed: u64) -> bool {
    with(mutant, || {
        // What the product throws dice for is the same in every run.
        fastrand::seed(seed);
        !matches!(catch_unwind(AssertUnwindSafe(|| simulation::try_seed(seed))), Ok(Ok(())))
    })
}

fn first_history(mutant: Option<Mutant>) -> Option<u64> {
    (0..SEEDS).find(|seed| history_breaks(mutant, *seed)).map(|seed| seed + 1)
}

fn first_case(mutant: Option<Mutant>, cases: u32) -> Option<u32> {
    with(mutant, || random::first_broken(cases))
}

/// The stories that fail with a bug, of those with such paths. A process of their own: one
/// that never ends, or takes the process with it, takes none of ours.
fn stories_that_fail(mutant: Option<Mutant>, paths: &[&str], exact: bool) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(paths).args(["--test-threads=1", "--skip", "plan::tests::random"]);
    command.args(exact.then_some("--exact"));
    command.env_remove(VARIABLE).env_remove("UPDATE_EXPECT").envs(mutant.map(|mutant| (VARIABLE, mutant.name())));
    let said = command.output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    let (_, failures) = text.rsplit_once("\nfailures:\n").unwrap_or_default();
    let names = failures.lines().map(str::trim).filter(|line| STORIES.iter().any(|path| line.starts_with(path)));
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert_eq!(names.is_empty(), said.status.success(), "{mutant:?}: {text}");
    names
}

/// Asks everybody.
fn search(mutant: Option<Mutant>) -> Caught {
    let stories = stories_that_fail(mutant, &STORIES, false);
    Caught {
        stories: stories.len(),
        story: stories.into_iter().next(),
        case: first_case(mutant, random::CASES),
        history: if asked_for("quick") { None } else { first_history(mutant) },
    }
}

/// Whether whoever caught a bug before still does, the quickest first.
fn still_caught(mutant: Mutant, before: &Caught) -> bool {
    let story_fails = |story: &String| !stories_that_fail(Some(mutant), &[story], true).is_empty();
    before.story.as_ref().is_some_and(story_fails)
        || before.history.is_some_and(|history| history_breaks(Some(mutant), history - 1))
        || before.case.is_some_and(|case| first_case(Some(mutant), case).is_some())
}

/// All processors, or as many threads as somebody asks for.
fn threads() -> usize {
    let asked = std::env::var("IONROLLER_THREADS").ok().and_then(|threads| threads.parse().ok());
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from))
}

/// Does something for every bug.
fn each<T: Send>(does: impl Fn(Mutant) -> T + Sync) -> BTreeMap<String, T> {
    let (todo, done) = (Mutex::new(Mutant::ALL.iter().rev().copied().collect::<Vec<_>>()), Mutex::default());
    let next = || todo.lock().unwrap().pop();
    let work = || {
        while let Some(mutant) = next() {
            let result = does(mutant);
            let mut done: std::sync::MutexGuard<'_, BTreeMap<String, T>> = done.lock().unwrap();
            done.insert(mutant.name(), result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(work);
        }
    });
    done.into_inner().unwrap()
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/seeded-bugs.md")
}

const HEAD: &str =
    "| bug | what goes wrong | stories | random services | simulated histories |\n|---|---|---|---|---|\n";

fn table(caught: &BTreeMap<String, Caught>) -> String {
    let mut text = HEAD.to_owned();
    for mutant in Mutant::ALL {
        let by = &caught[&mutant.name()];
        let stories = match &by.story {
            Some(first) => format!("{} fail, the first is `{first}`", by.stories),
            None => "none".to_owned(),
        };
        let nth = |nth: Option<u64>, of: u64| nth.map_or_else(|| format!("not within {of}"), |nth| nth.to_string());
        let case = nth(by.case.map(u64::from), u64::from(random::CASES));
        let (name, what, history) = (mutant.name(), mutant.what(), nth(by.history, SEEDS));
        let _ = writeln!(text, "| {name} | {what} | {stories} | {case} | {history} |");
    }
    text
}

/// The table as it is written down.
fn written() -> BTreeMap<String, Caught> {
    let text = std::fs::read_to_string(document()).unwrap_or_default();
    let rows = text.split_once(HEAD).map_or("", |(_, rows)| rows);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, stories, case, history] = cells[..] else { return None };
        let count = stories.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        let story = stories.split('`').nth(1).map(str::to_owned);
        Some((
            name.to_owned(),
            Caught { stories: count, story, case: case.parse().ok(), history: history.parse().ok() },
        ))
    };
    rows.lines().take_while(|line| line.starts_with('|')).filter_map(row).collect()
}

fn is_full() -> bool {
    std::env::var_os(FULL).is_some()
}

fn asked_for(what: &str) -> bool {
    std::env::var(FULL).is_ok_and(|asked| asked == what)
}

/// How many bugs there are, and who caught them.
fn count(caught: &BTreeMap<String, Caught>) -> String {
    let by = |has: &dyn Fn(&Caught) -> bool| caught.values().filter(|caught| has(caught)).count();
    format!(
        "seeded bugs: {}, caught by stories {}, random services {}, simulated histories {}, by nothing {}",
        caught.len(),
        by(&|caught| caught.story.is_some()),
        by(&|caught| caught.case.is_some()),
        by(&|caught| caught.history.is_some()),
        by(&|caught| !caught.is_caught())
    )
}

fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// As the table says, or else by anybody.
#[test]
fn seeded_bugs_are_caught() {
    if is_full() {
        return;
    }
    let known = written();
    assert!(known.len() >= BUGS_MIN, "run scripts/seeded-bugs --update");
    let caught = each(|mutant| {
        let before = known.get(&mutant.name());
        before.is_none_or(|before| still_caught(mutant, before) || search(Some(mutant)).is_caught())
    });
    let free: Vec<&String> = caught.iter().filter(|(_, caught)| !**caught).map(|(name, _)| name).collect();
    assert!(free.is_empty(), "nobody catches {free:?}");
}

/// A bug that nothing asks for could never be caught.
#[test]
fn every_bug_has_its_place() {
    let mut text = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    let lost = Mutant::ALL.iter().filter(|mutant| !text.contains(&format!("Mutant::{}.on()", mutant.name())));
    assert_eq!(lost.collect::<Vec<_>>(), [] as [&Mutant; 0]);
}

/// Without a bug everybody is silent: what is caught is the bug.
#[test]
fn without_a_bug_nobody_says_anything() {
    let caught = written();
    let seeds: BTreeSet<u64> = caught.values().filter_map(|caught| caught.history).map(|history| history - 1).collect();
    let broken: Vec<u64> = seeds.into_iter().filter(|seed| history_breaks(None, *seed)).collect();
    assert_eq!(broken, [] as [u64; 0]);
    let cases = caught.values().filter_map(|caught| caught.case).max().unwrap_or(1);
    assert_eq!(first_case(None, cases), None);
    if asked_for("all") || asked_for("quick") {
        assert_eq!(search(None), Caught::default());
        print("without a bug: stories, random services and simulated histories are silent");
    }
}

/// Asks everybody about one bug.
#[test]
fn one_bug_is_caught() {
    let asked = std::env::var(FULL).unwrap_or_default();
    if let Some(mutant) = Mutant::named(&asked) {
        let caught = search(Some(mutant));
        print(&format!("{asked}: {caught:?}"));
        assert!(caught.is_caught(), "nobody catches {asked}");
    }
}

/// Asks everybody about every bug, and compares or writes the table.
#[test]
fn the_table_of_seeded_bugs_is_true() {
    if !asked_for("all") && !asked_for("quick") {
        return;
    }
    let (begun, nth) = (Instant::now(), AtomicUsize::new(0));
    let caught = each(|mutant| {
        let caught = search(Some(mutant));
        let (nth, secs) = (nth.fetch_add(1, Ordering::Relaxed) + 1, begun.elapsed().as_secs());
        print(&format!("{nth} of {}, {secs} s: {}: {caught:?}", Mutant::ALL.len(), mutant.name()));
        caught
    });
    let free: Vec<&String> = caught.iter().filter(|(_, caught)| !caught.is_caught()).map(|(name, _)| name).collect();
    let (new, count) = (table(&caught), count(&caught));
    print(&count);
    if asked_for("all") {
        let text = std::fs::read_to_string(document()).unwrap();
        let (before, _) = text.split_once(HEAD).expect("the table's head");
        let wanted = format!("{before}{new}\n{count}\n");
        if std::env::var_os("UPDATE_EXPECT").is_some_and(|it| it == "1") {
            std::fs::write(document(), wanted).unwrap();
        } else {
            assert_eq!(text, wanted, "run scripts/seeded-bugs --update");
        }
    }
    assert!(free.is_empty(), "nobody catches {free:?}:\n{new}");
}
