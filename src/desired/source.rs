//! One TOML file as a tree in which every key and value knows its place.
//!
//! The tree is our own, so that the tables of `[defaults]` can be merged beneath a
//! service and each value still points into the file that it came from.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::walk::FILE_DIAGNOSTICS_MAX;

/// Which of the two files that shape a service a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The file that is being read.
    Own,
    /// `[defaults]` of `ionroller.toml`, merged beneath a service file.
    Defaults,
}

/// A place in one of the two files. Byte offsets become lines and columns only for the
/// problems that are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub origin: Origin,
    /// The byte in the text; none: the file as a whole.
    pub offset: Option<usize>,
}

impl Place {
    /// The file that is being read, as a whole.
    pub(super) const FILE: Self = Self { origin: Origin::Own, offset: None };

    /// Where a key of the top level that is missing could stand.
    pub(super) const START: Self = Self { origin: Origin::Own, offset: Some(0) };

    pub(super) fn at(origin: Origin, offset: usize) -> Self {
        Self { origin, offset: Some(offset) }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// Saturates: whatever doesn't fit is out of every range that we accept.
    Integer(i128),
    /// As it is written.
    Float(String),
    Boolean(bool),
    /// RFC 3339, possibly without an offset.
    Time(String),
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    /// What people call the type, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "a boolean",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A table: its entries in the order of the text.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key when it is a table.
    pub(super) fn table(&self, key: &str) -> Option<(&Table, Place)> {
        match self.get(key) {
            Some(Entry { place, node: Node { value: Value::Table(table), .. }, .. }) => Some((table, *place)),
            _ => None,
        }
    }

    /// This table with `beneath` under it: tables merge key by key, anything else here
    /// replaces what is beneath.
    pub(super) fn over(&self, beneath: &Self) -> Self {
        let mut lower: BTreeMap<&str, &Entry> =
            beneath.entries.iter().map(|entry| (entry.key.as_str(), entry)).collect();
        let mut entries = self.entries.clone();
        for upper in &mut entries {
            if let Some(lower) = lower.remove(upper.key.as_str())
                && let (Value::Table(upper), Value::Table(lower)) = (&mut upper.node.value, &lower.node.value)
            {
                *upper = upper.over(lower);
            }
        }
        entries.extend(lower.into_values().cloned());
        Self { entries }
    }

    /// The same table, its places moved to another origin.
    pub(super) fn with_origin(mut self, origin: Origin) -> Self {
        for entry in &mut self.entries {
            entry.place.origin = origin;
            entry.node.move_to(origin);
        }
        self
    }
}

impl Node {
    fn move_to(&mut self, origin: Origin) {
        self.place.origin = origin;
        match &mut self.value {
            Value::Table(table) => *table = std::mem::take(table).with_origin(origin),
            Value::List(items) => items.iter_mut().for_each(|item| item.move_to(origin)),
            Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Time(_) => {}
        }
    }
}

/// A text that is no TOML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub offset: usize,
    pub message: String,
    pub help: String,
}

/// Reads a whole text. After an error the parser goes on with the next line, so that
/// the table holds what could be read.
pub(super) fn parse(text: &str) -> (Table, Vec<SyntaxError>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut errors: Vec<SyntaxError> = errors
        .iter()
        .map(|error| {
            let offset = error.span().map_or(text.len(), |span| span.start.min(text.len()));
            let key = error.span().and_then(|span| text.get(span)).filter(|key| key.len() < 80);
            match (error.message(), key) {
                ("duplicate key", key) => {
                    let key = key.map_or_else(String::new, |key| format!(" `{}`", key.trim()));
                    let help = "remove one of the two, or join the two tables".to_owned();
                    SyntaxError { offset, message: format!("not TOML: duplicate key{key}"), help }
                }
                (message, _) => {
                    let help = "correct the syntax; what follows on other lines may change once this is right";
                    SyntaxError { offset, message: format!("not TOML: {message}"), help: help.to_owned() }
                }
            }
        })
        .collect();
    errors.sort_by_key(|error| error.offset);
    // Only the first error of a line is the author's: the rest of the line is what the
    // parser made of it.
    let lines = Lines::of(text);
    errors.dedup_by_key(|error| lines.line(error.offset));
    let conflicts = if errors.is_empty() { Vec::new() } else { conflicts(text) };
    if !conflicts.is_empty() {
        return (table(root.get_ref()), conflicts);
    }
    // The first ones are all that is reported, and each looks back for the head of its table.
    for error in errors.iter_mut().take(FILE_DIAGNOSTICS_MAX) {
        if let Some(unquoted) = unquoted(text, error.offset) {
            *error = unquoted;
        }
    }
    (table(root.get_ref()), errors)
}

/// The error that a value without quotes is, where the line of a syntax error is no more than
/// a key and one.
fn unquoted(text: &str, offset: usize) -> Option<SyntaxError> {
    let start = text.get(..offset)?.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(start..)?.lines().next()?;
    let (key, rest) = line.split_once('=').or_else(|| line.split_once(": "))?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let (key, written) = (key.trim(), rest.split('#').next()?.trim());
    // As word processors make them.
    let value = written.trim_matches(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']);
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_-+.:/@*~".contains(c);
    if key.is_empty() || value.is_empty() || value.len() > 80 || !key.chars().all(is_key) || !value.chars().all(is_bare)
    {
        return None;
    }
    // What is a value is not what is wrong with the line.
    if DeTable::parse(&format!("x = {written}")).is_ok() && line.contains('=') {
        return None;
    }
    let is_private =
        is_private(key) || text.get(..start)?.lines().rev().find(|line| line.starts_with('[')).is_some_and(is_private);
    let quoted =
        if is_private { "put the value in quotes".to_owned() } else { format!("write \"{value}\", with quotes") };
    let (message, help) = match value.to_ascii_lowercase() {
        _ if !line.contains('=') => {
            let value = if is_private { "\"VALUE\"".to_owned() } else { format!("\"{value}\"") };
            (format!("no `=` after `{key}`"), format!("write {key} = {value}"))
        }
        _ if value != written => (format!("the value of `{key}` is in quotes that TOML does not have"), quoted),
        word if !is_private && (word == "true" || word == "false") => {
            (format!("not TOML: `{value}`"), format!("write {word}, in lower case"))
        }
        _ => (format!("the value of `{key}` has no quotes"), quoted),
    };
    let at = start + line.len() - rest.trim_start().len();
    Some(SyntaxError { offset: at, message, help })
}

/// Whether the values below a key or a table's head are nobody's business but the machine's.
fn is_private(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "env" || word == "secrets")
}

/// The places where a merge has left both sides, as Git marks them.
fn conflicts(text: &str) -> Vec<SyntaxError> {
    let mut found = Vec::new();
    let (mut begun, mut offset) = (None, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        match begun {
            None if is_marker(line, "<<<<<<<") => begun = Some((number, offset)),
            Some((first, start)) if is_marker(line, ">>>>>>>") => {
                found.push(conflict(start, first, number));
                begun = None;
            }
            _ => {}
        }
        offset += line.len();
    }
    found
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\r', '\n']))
}

fn conflict(offset: usize, first: usize, last: usize) -> SyntaxError {
    let message = format!("unresolved merge conflict, lines {first}–{last}");
    let help = "keep what is right of both sides, and remove the lines with <<<<<<<, ======= and >>>>>>>";
    SyntaxError { offset, message, help: help.to_owned() }
}

/// The lines, from 1, of the first merge conflict in a text that is no TOML.
pub(super) fn has_conflict(text: &str) -> Option<String> {
    conflicts(text).into_iter().next().map(|conflict| conflict.message)
}

fn table(from: &DeTable<'_>) -> Table {
    let mut entries: Vec<Entry> = from
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            place: Place::at(Origin::Own, key.span().start),
            node: node(value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.place.offset);
    Table { entries }
}

fn node(from: &Spanned<DeValue<'_>>) -> Node {
    let value = match from.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let digits = integer.as_str();
            let saturated = if digits.starts_with('-') { i128::MIN } else { i128::MAX };
            Value::Integer(i128::from_str_radix(digits, integer.radix()).unwrap_or(saturated))
        }
        DeValue::Float(float) => Value::Float(float.as_str().to_owned()),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(node).collect()),
        DeValue::Table(entries) => Value::Table(table(entries)),
    };
    Node { place: Place::at(Origin::Own, from.span().start), value }
}

/// What stands in Git where Git LFS has the file: a phrase that follows the path.
pub(super) const LFS_POINTER: &str = "is a pointer of Git LFS, and the file itself is not in the commit";

/// What to do about it.
pub(super) const NO_LFS: &str = "keep it in Git itself: git lfs untrack PATH, then git add --renormalize PATH";

/// Whether a text only says where Git LFS has the file.
/// Source: the specification of Git LFS pointers.
pub(super) fn is_lfs_pointer(text: &str) -> bool {
    text.starts_with("version https://git-lfs.github.com/spec/")
}

/// Bytes to text without a byte order mark.
///
/// # Errors
/// The text before the first byte that is not UTF-8.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, &str> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        std::str::from_utf8(good).unwrap_or_default()
    })
}

/// The line starts of a text.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The line, from 1.
    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    /// Line and column, both from 1, the column in characters.
    pub(super) fn position(&self, offset: usize) -> (u32, u32) {
        let line = self.line(offset);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or("");
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (number(line), number(before.chars().count() + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let text = "a = 1\nß = \"é\" # x\n";
        let lines = Lines::of(text);
        assert_eq!(lines.position(0), (1, 1));
        assert_eq!(lines.position(6), (2, 1));
        assert_eq!(lines.position(text.find('#').unwrap()), (2, 9));
        assert_eq!(lines.position(text.len()), (3, 1));
    }

    #[test]
    fn the_first_bad_byte_is_named() {
        assert_eq!(text_of(b"a = 1\nb\xC3\xA9\xFF"), Err("a = 1\nb\u{e9}"));
        assert_eq!(text_of(b"\xEF\xBB\xBFa"), Ok("a"));
    }

    #[test]
    fn merging_replaces_all_but_tables() {
        let (upper, _) = parse("a = { x = 1, l = [1] }\n");
        let (lower, _) = parse("a = { x = 2, y = 3, l = [2, 3] }\nb = 1\n");
        let merged = upper.over(&lower.with_origin(Origin::Defaults));
        let (a, _) = merged.table("a").unwrap();
        let keys: Vec<_> = a.entries.iter().map(|entry| (entry.key.as_str(), entry.place.origin)).collect();
        assert_eq!(keys, [("x", Origin::Own), ("l", Origin::Own), ("y", Origin::Defaults)]);
        assert!(merged.get("b").is_some());
    }
}
