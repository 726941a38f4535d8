//! Every key of the two kinds of file: what editors, the documentation and hints about
//! unknown keys are told.

mod table;

pub use table::{SCOPE, SERVICE};

/// One key of a file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The dotted path of its table, empty for the top level.
    pub table: &'static str,
    /// The key.
    pub name: &'static str,
    /// What may stand there.
    pub kind: Kind,
    /// What happens without it.
    pub need: Need,
    /// Whether it shapes the machines, so that a change is a new release. For a table:
    /// whether any of its keys does.
    pub in_digest: bool,
    /// One or two sentences. Markdown.
    pub meaning: &'static str,
}

impl Key {
    /// The dotted path.
    pub fn path(&self) -> String {
        if self.table.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.table, self.name) }
    }
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// In a service's own file or in `[defaults]`.
    Required,
    /// Without it this value counts, or what the words say.
    Default(&'static str),
    /// It may be absent; the words say what that means.
    Absent(&'static str),
}

/// A type and its range.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A string.
    Text(TextRule),
    /// One of a few strings.
    Word(&'static [&'static str]),
    /// A whole number from the first to the second.
    Integer(u32, u32),
    /// A number above zero with at most three decimals.
    Number,
    /// True or false.
    Boolean,
    /// A string such as `1h30m`.
    Duration,
    /// A duration in whole seconds from the first to the second.
    Seconds(u32, u32),
    /// A TOML time with an offset.
    Time,
    /// A table whose keys are in this list.
    Table,
    /// A list of such tables.
    Tables,
    /// A table whose keys the user chooses: rules for keys and values.
    Map(TextRule, TextRule),
    /// A list of strings.
    Texts(TextRule),
    /// A list of whole numbers.
    Integers(u32, u32),
}

/// What strings are allowed.
#[derive(Debug, Clone, Copy)]
pub struct TextRule {
    /// In words. Markdown.
    pub says: &'static str,
    /// A regular expression that holds for all of them, and perhaps for others. Empty: any.
    pub pattern: &'static str,
}

/// The name most like `written`, when one is like enough for a typo.
pub(super) fn nearest<'k>(written: &str, names: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A hostile key of a megabyte must not cost a quadratic comparison.
    if written.chars().count() > 64 {
        return None;
    }
    let lower = written.to_lowercase().replace('-', "_");
    let score = |name: &str| strsim::jaro_winkler(&lower, &name.replace('-', "_"));
    names
        .into_iter()
        .map(|name| (score(name), name))
        .filter(|(score, _)| *score >= 0.82)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}

/// What to do about a key that `table` doesn't have.
pub(super) fn hint(key: &str, table: &str, valid: &[&str]) -> String {
    let table = table.split('[').next().unwrap_or(table);
    let in_scope_file = table.is_empty() && valid.contains(&"defaults");
    let of_scope = in_scope_file || SCOPE.iter().any(|other| !table.is_empty() && other.table == table);
    let elsewhere = |keys: &'static [Key], same_file: bool| {
        keys.iter().filter(move |other| other.name == key && !(same_file && other.table == table))
    };
    let mut homes: Vec<String> =
        elsewhere(SERVICE, !of_scope).map(|other| home_in_service(key, other.table, in_scope_file)).collect();
    homes.extend(elsewhere(SCOPE, of_scope).map(|other| home_in_scope(other.table)));
    match (nearest(key, valid.iter().copied()), homes.first()) {
        (Some(near), None) => format!("did you mean `{near}`?"),
        (Some(near), Some(home)) => format!("did you mean `{near}`? `{key}` is a key of {home}"),
        (None, Some(home)) => format!("`{key}` is a key of {home}"),
        (None, None) => format!("the keys here are {}", valid.join(", ")),
    }
}

/// Keys of the top level of a service file that are no tables.
pub(super) const SCALARS: [&str; 3] = ["version", "redeploy", "paused"];

fn home_in_service(key: &str, table: &str, in_scope_file: bool) -> String {
    match (table, SCALARS.contains(&key)) {
        ("", false) if in_scope_file => format!("service files; write [defaults.{key}] for all of them"),
        ("", false) => "the top level of a service file".to_owned(),
        ("", true) => "the top level of a service file, before the first table".to_owned(),
        (table, _) => format!("[{table}]"),
    }
}

fn home_in_scope(table: &str) -> String {
    if table.is_empty() { "ionroller.toml".to_owned() } else { format!("[{table}] in ionroller.toml") }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::files::{ConfigFiles, FileContent};
    use super::super::load;
    use super::*;

    #[test]
    fn typos_find_the_key() {
        let keys = ["steps", "bake", "healthy_deadline", "healthy_for", "unhealthy_for"];
        assert_eq!(nearest("step", keys), Some("steps"));
        assert_eq!(nearest("healthy-deadline", keys), Some("healthy_deadline"));
        assert_eq!(nearest("Bake", keys), Some("bake"));
        assert_eq!(nearest("colour", keys), None);
    }

    /// The keys here and those that the readers ask for are the same.
    #[test]
    fn every_key_is_read() {
        for (file, keys) in [("ionroller.toml", SCOPE), ("services/a.toml", SERVICE)] {
            let mut tables: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for key in keys {
                assert!(tables.entry(key.table).or_default().insert(key.name), "{} is there twice", key.path());
            }
            for (name, keys) in tables {
                let header = match name {
                    "" => String::new(),
                    "image.ports" | "image.volumes" | "capacity.scaling" | "freeze" => format!("[[{name}]]\n"),
                    name => format!("[{name}]\n"),
                };
                let mut files = ConfigFiles::default();
                files.files.insert(file.to_owned(), FileContent::Bytes(format!("{header}zzz = 1\n").into()));
                let diagnostics = load(&files, None).diagnostics;
                let unknown = diagnostics.iter().find(|diagnostic| diagnostic.message.contains("zzz"));
                let help = unknown.and_then(|diagnostic| diagnostic.help.clone()).unwrap();
                let listed = help.strip_prefix("the keys here are ").unwrap_or_else(|| panic!("{name}: {help}"));
                assert_eq!(BTreeSet::from_iter(listed.split(", ")), keys, "{file} [{name}]");
            }
        }
    }
}
