//! 7 Isolated: what happens to one service changes nothing for another. A history of three
//! services is played twice: once only the first has releases, once anything happens to the
//! two others as well. What is done for the first must be the same, change by change.

use crate::names::CommitId;
use crate::observed::marks::Mark;
use crate::time::Timestamp;

use super::files;
use super::generate::{anything, kind};
use super::script::{Event, Script, Second};
use super::{Failure, play};

/// Between two commits for the first service all of it comes to rest, a warm group too.
const APART: u64 = 3_000;

/// Its commits.
const COMMITS: u64 = 4;

/// Things that happen to the others, of those that happen to one service alone.
const TROUBLES: usize = 24;

/// Plays a seed's history with and without the others' troubles.
///
/// # Errors
/// What the first service had of them.
pub fn try_seed(seed: u64) -> Result<(), Failure> {
    let quiet = quiet(seed);
    let troubled = troubled(&quiet);
    let [(alone, first), (beside, second)] = [&quiet, &troubled].map(play);
    let fail = |why: String, log: &str| Err(Failure { seed, why, log: log.to_owned() });
    if let Err(why) = first {
        return fail(why, &alone);
    }
    if let Err(why) = second {
        return fail(why, &beside);
    }
    let (is, shall) = (done_for_first(&beside), done_for_first(&alone));
    if is == shall {
        return Ok(());
    }
    let place = is.iter().zip(&shall).take_while(|(is, shall)| is == shall).count();
    let line = |lines: &[String]| lines.get(place).cloned().unwrap_or_else(|| "nothing more".to_owned());
    fail(format!("isolated: change {place} is `{}`, alone it is `{}`", line(&is), line(&shall)), &beside)
}

/// The first service's releases, some of which fail.
fn quiet(seed: u64) -> Script {
    let mut random = fastrand::Rng::with_seed(seed ^ 0x0150);
    let kinds = (0..3).map(|_| kind(&mut random)).collect();
    // A limit is what services do share.
    let limits = (100, 100);
    let mut script = Script { seed, kinds, prune: random.bool(), limits, second: Second::Nobody, events: Vec::new() };
    for at in (1..=COMMITS).map(|number| number * APART) {
        let version = random.u32(0..5);
        let event = match random.u32(0..6) {
            0 => Event::Resize { s: 0, min: random.u32(1..3), max: 4 },
            1 => Event::Retouch { s: 0, host: random.u32(0..3) },
            _ => Event::Release { s: 0, version, min: random.u32(1..4), steps: random.usize(0..4) },
        };
        if random.u32(0..4) == 0 {
            script.events.push((at - 1, Event::Sick { s: 0, version }));
            script.events.push((at + APART - 2, Event::Well { s: 0, version }));
        }
        script.events.push((at, event));
    }
    script.events.sort_by_key(|(at, _)| *at);
    script
}

/// The same, and what happens to the others.
fn troubled(quiet: &Script) -> Script {
    let mut random = fastrand::Rng::with_seed(quiet.seed ^ 0x7409);
    let mut others = Script { events: Vec::new(), ..quiet.clone() };
    while others.events.len() < TROUBLES {
        let at = random.u64(0..APART * (COMMITS + 1));
        anything(&mut random, at, &mut others);
        others.events.retain(|(_, event)| event.only().is_some_and(|s| s > 0));
    }
    let mut events = [quiet.events.clone(), others.events].concat();
    events.sort_by_key(|(at, _)| *at);
    Script { events, ..quiet.clone() }
}

/// What the daemon changed for the first service, in order, but for times, commits and ids. The
/// fence is not among it: it names the commit that is gone by, and that is another with each
/// commit for anybody.
fn done_for_first(log: &str) -> Vec<String> {
    let prefix = format!("  Daemon {} ", files::NAMES[0]);
    let history = log.lines().take_while(|line| !line.ends_with("the last commit"));
    let changes = history.filter_map(|line| Some(line.split_once(&prefix)?.1));
    changes.filter(|change| !change.contains(Mark::Fence.key())).map(alike).collect()
}

/// Times, commits and ids as one word each, since they tell when something was.
fn alike(change: &str) -> String {
    let word = |word: &str| {
        let is_time = Timestamp::parse(word).is_some();
        let is_id = CommitId::parse(word).is_ok() || word.starts_with("lt-") || word.contains(":listener-rule/");
        if is_time || is_id { "·".to_owned() } else { word.to_owned() }
    };
    let ends = |one: char| one.is_whitespace() || "\"@()[]{},".contains(one);
    change.split(ends).map(word).collect::<Vec<_>>().join(" ")
}
