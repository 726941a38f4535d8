//! Typed reading of a table: each getter reports what is wrong at its place, and goes on.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::time::Span;

use super::diagnostic::{Diagnostic, Severity};
use super::source::{At, Node, Table, Value};

/// A table being read.
pub struct Reader<'a> {
    table: &'a Table,
    /// Where the table begins, for what is missing in it.
    pub at: At,
    /// Its name in messages, such as `capacity`; empty for the file itself.
    name: String,
    known: BTreeSet<&'static str>,
}

/// The problems found so far.
pub type Problems = Vec<Diagnostic>;

impl<'a> Reader<'a> {
    /// Reads a table.
    pub fn new(table: &'a Table, at: At, name: impl Into<String>) -> Self {
        Self { table, at, name: name.into(), known: BTreeSet::new() }
    }

    /// The key's full name.
    pub fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// A value of any type, if the key is there.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.insert(key);
        self.table.get(key).map(|(_, node)| node)
    }

    /// Where a key's value stands, else where the table begins.
    pub fn place(&self, key: &str) -> At {
        self.table.get(key).map_or_else(|| self.at.clone(), |(_, node)| node.at.clone())
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn wrong(&self, node: &Node, key: &str, wanted: &str, example: &str, problems: &mut Problems) {
        let message = format!("`{}` is {}, and must be {wanted}", self.path(key), node.value.kind());
        problems.push(node.at.error(message).help(format!("such as {example}")));
    }

    /// A text.
    pub fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a str> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) => Some(text),
            _ => {
                self.wrong(node, key, "a text", &format!("{key} = \"…\""), problems);
                None
            }
        }
    }

    /// A text that something reads: its rules' message is reported at its place.
    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<T> {
        let text = self.text(key, problems)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(error) => {
                problems.push(self.place(key).error(format!("`{}`: {error}", self.path(key))));
                None
            }
        }
    }

    /// Reports a required key that is missing.
    pub fn require(&self, key: &str, example: &str, problems: &mut Problems) {
        if !self.has(key) {
            let message = format!("`{}` is missing", self.path(key));
            problems.push(self.at.error(message).help(format!("add {example}")));
        }
    }

    /// A whole number within a range.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<u32>, problems: &mut Problems) -> Option<u32> {
        let node = self.node(key)?;
        let Value::Integer(number) = node.value else {
            self.wrong(node, key, "a whole number", &format!("{key} = {}", range.start()), problems);
            return None;
        };
        match u32::try_from(number).ok().filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => {
                let message =
                    format!("`{}` is {number}, and must be {} to {}", self.path(key), range.start(), range.end());
                problems.push(node.at.error(message));
                None
            }
        }
    }

    /// True or false.
    pub fn truth(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let node = self.node(key)?;
        match node.value {
            Value::Bool(truth) => Some(truth),
            _ => {
                self.wrong(node, key, "true or false", &format!("{key} = true"), problems);
                None
            }
        }
    }

    /// A duration with its unit, within a range.
    pub fn span(&mut self, key: &'static str, range: RangeInclusive<Span>, problems: &mut Problems) -> Option<Span> {
        let node = self.node(key)?;
        let example = format!("{key} = \"30s\" or \"1h30m\"");
        let Value::Text(text) = &node.value else {
            self.wrong(node, key, "a duration with its unit", &example, problems);
            return None;
        };
        let Some(span) = Span::parse(text) else {
            let message = format!("`{}` is `{text}`, which is no duration", self.path(key));
            problems.push(node.at.error(message).help(format!("units are ms, s, m, h and d, such as {example}")));
            return None;
        };
        if range.contains(&span) {
            return Some(span);
        }
        let message = format!("`{}` is {span}, and must be {} to {}", self.path(key), range.start(), range.end());
        problems.push(node.at.error(message));
        None
    }

    /// A list; none when the key is missing or is something else.
    pub fn list(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a [Node]> {
        let node = self.node(key)?;
        match &node.value {
            Value::List(list) => Some(list),
            _ => {
                self.wrong(node, key, "a list", &format!("{key} = [ … ]"), problems);
                None
            }
        }
    }

    /// A list of texts that each pass a rule; what does not is reported at its own place.
    pub fn texts(
        &mut self,
        key: &'static str,
        rule: fn(&str) -> Result<(), String>,
        problems: &mut Problems,
    ) -> Vec<String> {
        let mut texts = Vec::new();
        for item in self.list(key, problems).unwrap_or_default() {
            match &item.value {
                Value::Text(text) => match rule(text) {
                    Ok(()) => texts.push(text.clone()),
                    Err(why) => problems.push(item.at.error(format!("`{text}` in `{}` {why}", self.path(key)))),
                },
                other => {
                    let message = format!("`{}` holds {}, and must hold texts", self.path(key), other.kind());
                    problems.push(item.at.error(message));
                }
            }
        }
        texts
    }

    /// A table below this one.
    pub fn table(&mut self, key: &'static str, problems: &mut Problems) -> Option<Reader<'a>> {
        let node = self.node(key)?;
        match &node.value {
            Value::Table(table) => Some(Reader::new(table, node.at.clone(), self.path(key))),
            _ => {
                self.wrong(node, key, "a table", &format!("[{}]", self.path(key)), problems);
                None
            }
        }
    }

    /// Every entry of a table whose keys are the user's own.
    pub fn entries(&self) -> impl Iterator<Item = (&'a String, &'a At, &'a Node)> + use<'a> {
        self.table.iter().map(|(key, (at, node))| (key, at, node))
    }

    /// Reports every key that nobody asked for, with the nearest one that exists.
    pub fn finish(self, elsewhere: &[(&str, &str)], problems: &mut Problems) {
        for (key, (at, _)) in self.table.iter().filter(|(key, _)| !self.known.contains(key.as_str())) {
            let place = if self.name.is_empty() { "here".to_owned() } else { format!("in `{}`", self.name) };
            let shown: String = key.chars().take(80).collect();
            let problem = at.error(format!("there is no key `{shown}` {place}"));
            let help =
                match (nearest(key, self.known.iter().copied()), elsewhere.iter().find(|(other, _)| other == key)) {
                    (_, Some((_, table))) => format!("`{key}` belongs in `{table}`"),
                    (Some(near), None) => format!("did you mean `{near}`?"),
                    (None, None) => {
                        let known: Vec<&str> = self.known.iter().copied().collect();
                        format!("keys {place} are {}", known.join(", "))
                    }
                };
            problems.push(problem.help(help));
        }
    }
}

/// The nearest of some words, if one is near.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: String = word.chars().take(80).collect();
    let distance = |known: &str| strsim::damerau_levenshtein(&word, known);
    let (distance, near) = known.map(|known| (distance(known), known)).min()?;
    (distance <= 2.max(near.len() / 3)).then_some(near)
}

/// Whether nothing that was found is an error.
pub fn is_clean(problems: &[Diagnostic]) -> bool {
    problems.iter().all(|problem| problem.severity != Severity::Error)
}
