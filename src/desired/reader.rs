//! Typed access to a table. A getter that finds a problem notes it and answers `None`,
//! and the walk goes on, so that the author sees every problem at once.

use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::names::NameError;
use crate::time::Span;

use super::keys;
use super::source::{Entry, Node, Place, Table, Value};
use super::walk::Walk;

/// A value on its way into a type.
#[derive(Clone, Copy)]
pub(super) struct Field<'n> {
    /// For messages: the dotted path of the key, with the index of an item in its list.
    pub label: &'n str,
    pub node: &'n Node,
}

impl Field<'_> {
    pub(super) fn place(&self) -> Place {
        self.node.place
    }
}

/// A table that is being read. The keys that nobody asked for are unknown.
pub(super) struct Reader<'n> {
    name: &'n str,
    table: &'n Table,
    /// Where it begins, for keys that it lacks.
    pub place: Place,
    asked: Vec<&'static str>,
}

impl<'n> Reader<'n> {
    /// `name` is the dotted path of the table, empty for the top level.
    pub(super) fn new(name: &'n str, table: &'n Table, place: Place) -> Self {
        Self { name, table, place, asked: Vec::new() }
    }

    /// From a value that must be a table.
    pub(super) fn of(field: Field<'n>, walk: &mut Walk<'_>) -> Option<Self> {
        match &field.node.value {
            Value::Table(table) => Some(Self::new(field.label, table, field.place())),
            other => {
                mismatch(field, "a table", other, "write { key = value }, or a [table] of its own", walk);
                None
            }
        }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.asked.push(key);
        self.table.get(key)
    }

    fn label(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Where the value of a key stands, without asking for it.
    pub(super) fn place_of(&self, key: &str) -> Option<Place> {
        self.table.get(key).map(|entry| entry.node.place)
    }

    /// A value, without asking for it.
    pub(super) fn peek(&self, key: &str) -> Option<&'n Value> {
        self.table.get(key).map(|entry| &entry.node.value)
    }

    /// Whether the key is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// A key that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        walk: &mut Walk<'_>,
        read: impl FnOnce(Field<'_>, &mut Walk<'_>) -> Option<T>,
    ) -> Option<T> {
        let entry = self.entry(key)?;
        read(Field { label: &self.label(key), node: &entry.node }, walk)
    }

    /// A key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        help: &str,
        walk: &mut Walk<'_>,
        read: impl FnOnce(Field<'_>, &mut Walk<'_>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(key) && !walk.partial {
            walk.error(self.place, format!("`{}` is missing", self.label(key)), help);
        }
        self.optional(key, walk, read)
    }

    /// A table that may be absent. Its name is written out by the caller, because it
    /// outlives this reader.
    pub(super) fn table(&mut self, key: &'static str, name: &'n str, walk: &mut Walk<'_>) -> Option<Reader<'n>> {
        let entry = self.entry(key)?;
        let mut reader = Reader::of(Field { label: name, node: &entry.node }, walk)?;
        reader.place = entry.place;
        Some(reader)
    }

    /// A table whose keys the user chooses.
    pub(super) fn map<T>(
        &mut self,
        key: &'static str,
        walk: &mut Walk<'_>,
        mut read: impl FnMut(&'n Entry, &mut Walk<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(table) = self.table(key, key, walk) else { return Vec::new() };
        table.table.entries.iter().filter_map(|entry| read(entry, walk)).collect()
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self, walk: &mut Walk<'_>) {
        for entry in &self.table.entries {
            if walk.is_full() {
                break;
            }
            if !self.asked.contains(&entry.key.as_str()) {
                let message = format!("unknown key `{}`", shorten(&self.label(&entry.key)));
                walk.error(entry.place, message, keys::hint(&entry.key, self.name, &self.asked));
            }
        }
    }
}

/// A text for a message: a hostile one must neither flood it nor break its line.
pub(super) fn shorten(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let rest = if text.chars().count() > 80 { "…" } else { "" };
    text.chars().take(80).map(plain).chain([rest.to_owned()]).collect()
}

fn mismatch(field: Field<'_>, wanted: &str, found: &Value, help: &str, walk: &mut Walk<'_>) {
    let message = format!("`{}` must be {wanted}, not {}", field.label, found.kind());
    walk.error(field.place(), message, help);
}

/// A string.
pub(super) fn text<'n>(field: Field<'n>, walk: &mut Walk<'_>) -> Option<&'n str> {
    // A variable's value is nobody's business but the machine's.
    let private = ["env.", "secrets."].iter().any(|table| field.label.contains(table));
    let help = match &field.node.value {
        Value::Text(text) => return Some(text),
        Value::Integer(_) | Value::Float(_) | Value::Time(_) | Value::Boolean(_) if private => {
            "put the value in quotes".to_owned()
        }
        Value::Integer(integer) => format!("write \"{integer}\", with quotes"),
        Value::Float(literal) | Value::Time(literal) => format!("write \"{literal}\", with quotes"),
        Value::Boolean(boolean) => format!("write \"{boolean}\", with quotes"),
        Value::List(_) | Value::Table(_) => "write one text in quotes".to_owned(),
    };
    mismatch(field, "a string", &field.node.value, &help, walk);
    None
}

/// A string that obeys a rule, which the help repeats.
pub(super) fn text_that(
    field: Field<'_>,
    rule: &str,
    walk: &mut Walk<'_>,
    valid: impl FnOnce(&str) -> bool,
) -> Option<String> {
    let text = text(field, walk)?;
    if valid(text) {
        return Some(text.to_owned());
    }
    let message = match text {
        "" => format!("`{}` is empty", field.label),
        text => format!("`{}` is not a valid `{}`", shorten(text), field.label),
    };
    walk.error(field.place(), message, format!("it must be {rule}"));
    None
}

/// A validated name.
pub(super) fn name<T: FromStr<Err = NameError>>(field: Field<'_>, walk: &mut Walk<'_>) -> Option<T> {
    let text = text(field, walk)?;
    let refused = |error: NameError| {
        let (message, help) = message_and_help(&error);
        walk.error(field.place(), message, help);
    };
    text.parse().map_err(refused).ok()
}

/// What is wrong with a name, and the rule that it breaks.
pub(super) fn message_and_help(error: &NameError) -> (String, String) {
    let text = error.to_string();
    let (message, rule) = text.rsplit_once(": ").unwrap_or((&text, "another name"));
    let message = message.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    (message, format!("it must be {rule}"))
}

/// A text for people: not empty, at most 256 characters, no control characters.
pub(super) fn sentence(field: Field<'_>, walk: &mut Walk<'_>) -> Option<String> {
    let text = text(field, walk)?;
    let length = text.chars().count();
    let problem = if text.trim().is_empty() {
        Some(("is empty".to_owned(), "say why in a few words, or leave the key out"))
    } else if length > 256 {
        Some((format!("is {length} characters long; at most 256 are kept"), "shorten it"))
    } else if text.chars().any(char::is_control) {
        Some(("holds a line break or another control character".to_owned(), "write it on one line"))
    } else {
        None
    };
    let Some((problem, help)) = problem else { return Some(text.to_owned()) };
    walk.error(field.place(), format!("`{}` {problem}", field.label), help);
    None
}

/// A whole number within a range.
pub(super) fn integer(field: Field<'_>, range: RangeInclusive<u32>, walk: &mut Walk<'_>) -> Option<u32> {
    let Value::Integer(integer) = field.node.value else {
        let help = match &field.node.value {
            Value::Text(text) if text.parse::<u32>().is_ok() => format!("write {text}, without quotes"),
            _ => format!("write a whole number from {} to {}", range.start(), range.end()),
        };
        mismatch(field, "an integer", &field.node.value, &help, walk);
        return None;
    };
    match u32::try_from(integer) {
        Ok(number) if range.contains(&number) => Some(number),
        _ => {
            // What doesn't fit 64 bits was saturated, and isn't what stands there.
            let value = i64::try_from(integer).map_or(String::new(), |integer| format!(" of {integer}"));
            let message = format!("`{}`{value} is out of range", field.label);
            walk.error(
                field.place(),
                message,
                format!("write a whole number from {} to {}", range.start(), range.end()),
            );
            None
        }
    }
}

/// A TCP or UDP port.
pub(super) fn port(field: Field<'_>, walk: &mut Walk<'_>) -> Option<u16> {
    integer(field, 1..=65535, walk).and_then(|port| u16::try_from(port).ok())
}

/// `true` or `false`.
pub(super) fn boolean(field: Field<'_>, walk: &mut Walk<'_>) -> Option<bool> {
    if let Value::Boolean(boolean) = field.node.value {
        return Some(boolean);
    }
    mismatch(field, "a boolean", &field.node.value, "write true or false, without quotes", walk);
    None
}

/// A duration of any length.
pub(super) fn span(field: Field<'_>, walk: &mut Walk<'_>) -> Option<Span> {
    let help = "write a number with a unit out of ms, s, m, h and d, such as \"30s\" or \"1h30m\"";
    let Value::Text(text) = &field.node.value else {
        let help = match &field.node.value {
            Value::Integer(integer) => format!("durations carry a unit: write \"{integer}s\" for seconds"),
            _ => help.to_owned(),
        };
        mismatch(field, "a duration", &field.node.value, &help, walk);
        return None;
    };
    let span = Span::parse(text);
    if span.is_none() {
        let help = meant(text).map_or(help.to_owned(), |meant| format!("write \"{meant}\""));
        walk.error(field.place(), format!("`{}` is not a duration", shorten(text)), help);
    }
    span
}

/// The duration that was most likely meant: units written out, a unit left out.
fn meant(text: &str) -> Option<String> {
    const UNITS: [(&str, &[&str]); 5] = [
        ("ms", &["ms", "msec", "millis", "millisecond", "milliseconds"]),
        ("s", &["", "s", "sec", "secs", "second", "seconds"]),
        ("m", &["m", "min", "mins", "minute", "minutes"]),
        ("h", &["h", "hr", "hrs", "hour", "hours"]),
        ("d", &["d", "day", "days"]),
    ];
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) =
        lower.split_at_checked(digits).filter(|(number, _)| !number.is_empty() && number.len() < 10)?;
    let (unit, _) = UNITS.iter().find(|(_, words)| words.contains(&unit.trim()))?;
    Some(format!("{number}{unit}"))
}

/// A duration longer than zero.
pub(super) fn span_above_zero(field: Field<'_>, walk: &mut Walk<'_>) -> Option<Span> {
    let span = span(field, walk)?;
    if span == Span::ZERO {
        walk.error(
            field.place(),
            format!("`{}` must be longer than zero", field.label),
            "write a duration such as \"2m\"",
        );
        return None;
    }
    Some(span)
}

/// A duration in whole seconds within a range, as load balancers take it.
pub(super) fn seconds(field: Field<'_>, range: RangeInclusive<u64>, walk: &mut Walk<'_>) -> Option<Span> {
    seconds_of("load balancers", field, range, walk)
}

/// The same, as something else takes it.
pub(super) fn seconds_of(who: &str, field: Field<'_>, range: RangeInclusive<u64>, walk: &mut Walk<'_>) -> Option<Span> {
    let span = span(field, walk)?;
    if span.as_millis() % 1000 == 0 && range.contains(&span.as_secs_ceil()) {
        return Some(span);
    }
    let written = if let Value::Text(text) = &field.node.value { shorten(text) } else { span.to_string() };
    let message = format!("`{}` of {written} is out of range", field.label);
    walk.error(
        field.place(),
        message,
        format!("{who} take {} s to {} s, in whole seconds", range.start(), range.end()),
    );
    None
}

/// One of a few words.
pub(super) fn word<T: Copy>(field: Field<'_>, words: &[(&str, T)], walk: &mut Walk<'_>) -> Option<T> {
    let text = text(field, walk)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let message = format!("`{}` is not a valid `{}`", shorten(text), field.label);
    let same = names.iter().copied().find(|name| name.eq_ignore_ascii_case(text));
    let help = match same.or_else(|| keys::nearest(text, names.iter().copied())) {
        Some(near) => format!("did you mean \"{near}\"? The words are \"{}\"", names.join("\", \"")),
        None => format!("write one of \"{}\"", names.join("\", \"")),
    };
    walk.error(field.place(), message, help);
    None
}

/// Far more than any list here needs, and few enough to compare every item with every
/// other.
pub const LIST_MAX: usize = 500;

/// A list. Every item is read, also after a bad one.
pub(super) fn list<T>(
    field: Field<'_>,
    walk: &mut Walk<'_>,
    mut read: impl FnMut(Field<'_>, &mut Walk<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::List(items) = &field.node.value else {
        let help = match &field.node.value {
            Value::Table(_) => format!("write {0} = [{{ … }}], or [[{0}]] for each", field.label),
            _ => "write [ … ] around it".to_owned(),
        };
        mismatch(field, "a list", &field.node.value, &help, walk);
        return None;
    };
    if items.len() > LIST_MAX {
        walk.error(
            field.place(),
            format!("`{}` holds {} items", field.label, items.len()),
            format!("at most {LIST_MAX} are read"),
        );
        return None;
    }
    let mut item = |(index, node)| read(Field { label: &format!("{}[{index}]", field.label), node }, walk);
    let read: Vec<Option<T>> = items.iter().enumerate().map(&mut item).collect();
    read.into_iter().collect()
}

/// Notes the second of two equal items.
pub(super) fn no_repetition<T: PartialEq>(
    field: Field<'_>,
    items: &[T],
    walk: &mut Walk<'_>,
    show: impl Fn(&T) -> String,
) {
    let Value::List(nodes) = &field.node.value else { return };
    for (index, (item, node)) in items.iter().zip(nodes).enumerate() {
        if items.iter().take(index).any(|earlier| earlier == item) {
            walk.error(
                node.place,
                format!("{} stands in `{}` twice", shorten(&show(item)), field.label),
                "remove one of them",
            );
        }
    }
}
