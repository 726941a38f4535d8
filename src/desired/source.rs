//! A TOML text as a tree in which every key and value knows its place.
//!
//! Defaults come from another file than the service that takes them; with the place in the
//! value itself, a problem is reported where it was written.

use std::collections::BTreeMap;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Severity};

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The file, relative to the repository's root.
    pub file: Rc<str>,
    /// Line and column, from 1, in characters.
    pub place: (u32, u32),
}

impl At {
    /// A problem here.
    pub fn problem(&self, severity: Severity, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(severity, message).at(self.file.as_ref(), Some(self.place))
    }

    /// An error here.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.problem(Severity::Error, message)
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub at: At,
    /// What it is.
    pub value: Value,
}

/// A TOML value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A date or time, as written.
    Time(String),
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// A table: key → where the key stands, and its value.
pub type Table = BTreeMap<String, (At, Node)>;

impl Value {
    /// What it is, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "true or false",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads a file's bytes. Syntax errors are reported, and what could be read is returned;
/// none when it is no text at all.
pub fn parse(file: &str, bytes: &[u8], problems: &mut Vec<Diagnostic>) -> Option<Node> {
    // A byte order mark is no character of the file.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let place = place_in(&String::from_utf8_lossy(good), good.len());
            let message = "the file is not UTF-8 text";
            problems.push(Diagnostic::new(Severity::Error, message).at(file, Some(place)).help("save it as UTF-8"));
            return None;
        }
    };
    let lines = Lines::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = lines.at(error.span().map_or(0, |span| span.start));
        problems.push(at.error(format!("this is not TOML: {}", error.message())).help("see https://toml.io"));
    }
    let span = table.span();
    let table = lines.table(table.get_ref(), problems);
    Some(Node { at: lines.at(span.start), value: Value::Table(table) })
}

/// Line and column of an offset.
fn place_in(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(start..).unwrap_or("").chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// Where lines begin, so that a place costs a search and not the whole text.
struct Lines<'a> {
    file: Rc<str>,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: Rc::from(file), text, starts }
    }

    fn at(&self, offset: usize) -> At {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).unwrap_or("").chars().count() + 1;
        let number = |n| u32::try_from(n).unwrap_or(u32::MAX);
        At { file: Rc::clone(&self.file), place: (number(line.max(1)), number(column)) }
    }

    fn table(&self, table: &DeTable<'_>, problems: &mut Vec<Diagnostic>) -> Table {
        let entries = table.iter().filter_map(|(key, value)| {
            let key_at = self.at(key.span().start);
            Some((key.get_ref().to_string(), (key_at, self.node(value, problems)?)))
        });
        entries.collect()
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, problems: &mut Vec<Diagnostic>) -> Option<Node> {
        let at = self.at(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => {
                    problems.push(at.error("this number is too large"));
                    return None;
                }
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Value::Float(number),
                Err(_) => {
                    problems.push(at.error("this is no number"));
                    return None;
                }
            },
            DeValue::Boolean(truth) => Value::Bool(*truth),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Array(list) => Value::List(list.iter().filter_map(|item| self.node(item, problems)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table, problems)),
        };
        Some(Node { at, value })
    }
}

/// Puts defaults beneath a table: tables merge key by key, all else is replaced whole.
pub fn merge_beneath(table: &mut Table, defaults: &Table) {
    for (key, default) in defaults {
        match table.get_mut(key) {
            None => {
                table.insert(key.clone(), default.clone());
            }
            Some((_, node)) => {
                if let (Value::Table(own), Value::Table(default)) = (&mut node.value, &default.1.value) {
                    merge_beneath(own, default);
                }
            }
        }
    }
}
