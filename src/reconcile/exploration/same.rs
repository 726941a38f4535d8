//! Which states are one: those from which the same follows.
//!
//! Times count from now, since nothing in planner or simulated AWS asks for the date. What
//! is older than everything that it is ever compared with, and times that are only ever
//! compared with each other, count by their order. Numbers in ids count by their order, too.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};

use serde_json::Value;

use super::{Daemon, HORIZON, State};
use crate::observed::marks::Mark;
use crate::time::Timestamp;

/// Times of the world that are numbers, and whether only their order counts.
const TIMES: [(&str, bool); 9] = [
    ("created", true),
    ("launched", true),
    ("started", true),
    ("in_service", false),
    ("next_launch", false),
    ("deleted_at", false),
    ("replace_at", false),
    ("gone_at", false),
    ("flips_at", false),
];

/// A state's fingerprint: the same for states that are one.
pub(super) fn fingerprint(state: &State) -> u128 {
    let text = canonical(state);
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &text).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// All of a state as text, with times and ids as they count.
pub(super) fn canonical(state: &State) -> String {
    let mut raw = String::new();
    let world = serde_json::to_value(&state.world).unwrap();
    write_value(&mut raw, "", &world);
    // Daemons are alike: which of them is called the first makes no difference.
    let mut daemons: Vec<String> = state.daemons.iter().map(said).collect();
    daemons.sort();
    daemons.iter().for_each(|daemon| raw.push_str(daemon));
    let _ = write!(raw, "\n{} {}", state.crashes, state.faults);
    rewrite(&capped(&raw), state.world.now)
}

fn said(daemon: &Daemon) -> String {
    let mut text = format!("\n{} {:?} {:?}", daemon.commit, daemon.memory, daemon.due);
    if let Some(intent) = &daemon.intends {
        // Why is for people.
        let _ = write!(text, " {} {:?}", intent.fresh, intent.action.mutation);
    }
    text
}

/// What never changes, follows from the rest, or is counted.
const LEFT_OUT: [&str; 10] =
    ["now", "next_id", "user_data", "listeners", "versions", "limits", "pace", "account", "region", "missing_amis"];

fn write_value(into: &mut String, key: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            into.push('{');
            for (key, value) in fields.iter().filter(|(key, _)| !LEFT_OUT.contains(&key.as_str())) {
                into.push_str(key);
                into.push(':');
                write_value(into, key, value);
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            items.iter().for_each(|item| write_value(into, "", item));
            into.push(']');
        }
        Value::Number(number) => match TIMES.iter().find(|(time, _)| *time == key) {
            Some((_, order)) => {
                let _ = write!(into, "{}({number})", if *order { "Ordered" } else { "Timestamp" });
            }
            None => {
                let _ = write!(into, "{number},");
            }
        },
        Value::String(text) if key == Mark::Stable.key() => {
            let at = Timestamp::parse(text).map_or(0, Timestamp::as_millis);
            let _ = write!(into, "Ordered({at})");
        }
        other => {
            let _ = write!(into, "{other},");
        }
    }
}

/// Two readings count; more of them are no more.
fn capped(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once("readings: ") {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let readings: u32 = after[..digits].parse().unwrap_or(0);
        let _ = write!(text, "{before}readings: {}", readings.min(2));
        rest = &after[digits..];
    }
    text.push_str(rest);
    text
}

/// A piece of text.
enum Piece<'a> {
    Text(&'a str),
    /// When, and whether only the order counts.
    Time(i64, bool),
    Id(&'a str),
}

fn rewrite(raw: &str, now: i64) -> String {
    let pieces = pieces(raw);
    let horizon = i64::try_from(HORIZON.as_millis()).unwrap();
    let is_old = |at: i64| now - at > horizon;
    let ordered: BTreeSet<i64> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Time(at, order) if *order || is_old(*at) => Some(*at),
            _ => None,
        })
        .collect();
    let ranks: BTreeMap<i64, usize> = ordered.into_iter().zip(0..).collect();
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    let mut text = String::with_capacity(raw.len());
    for piece in &pieces {
        let _ = match piece {
            Piece::Text(part) => write!(text, "{part}"),
            Piece::Time(at, order) if *order || is_old(*at) => write!(text, "#{}", ranks[at]),
            Piece::Time(at, _) => write!(text, "@{}", at - now),
            Piece::Id(id) => {
                let next = ids.len();
                write!(text, "%{}", ids.entry(id.trim_start_matches('0')).or_insert(next))
            }
        };
    }
    text
}

fn pieces(raw: &str) -> Vec<Piece<'_>> {
    let bytes = raw.as_bytes();
    let mut pieces = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while at < bytes.len() {
        if let Some((length, piece)) = special(&raw[at..]) {
            pieces.push(Piece::Text(&raw[begin..at]));
            pieces.push(piece);
            at += length;
            begin = at;
        } else {
            // A run of letters and digits is one word: no id begins within it.
            let word = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            at += word.max(1);
        }
    }
    pieces.push(Piece::Text(&raw[begin..]));
    pieces
}

fn special(rest: &str) -> Option<(usize, Piece<'_>)> {
    for (word, order) in [("Timestamp(", false), ("Ordered(", true)] {
        if let Some(inner) = rest.strip_prefix(word) {
            let length = inner.find(')')?;
            return Some((word.len() + length + 1, Piece::Time(inner[..length].parse().ok()?, order)));
        }
    }
    if rest.starts_with("20") && rest.get(4..5) == Some("-") {
        let time = Timestamp::parse(rest.get(..20)?)?;
        return Some((20, Piece::Time(time.as_millis(), false)));
    }
    if rest.starts_with("000000") {
        let length = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        return matches!(length, 16 | 17).then(|| (length, Piece::Id(&rest[..length])));
    }
    None
}
