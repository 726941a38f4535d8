//! Config files as they may be shown to anybody: without the values of `env` and `secrets`.
//!
//! A pull request may be read by more people than a machine's environment. The keys stay,
//! the values are masked, and one that differs between the two sides still says that it
//! does. What stands where no key of ours belongs may be anything, so it is masked, too; so
//! are the comments beside what is masked, which like to hold the value of yesterday.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Kind, SCOPE, SERVICE};

const MASK: &str = "\"…\"";
const CHANGED: &str = "\"… (changed)\"";

/// A byte-order mark, which editors of Windows write.
const BOM: char = '\u{feff}';

/// Both sides of a difference, masked; a side without a file stays without one.
pub fn both(old: Option<&str>, new: Option<&str>) -> (Option<String>, Option<String>) {
    let hidden = |text: Option<&str>| text.map_or(Some(Vec::new()), hidden);
    let (Some(of_old), Some(of_new)) = (hidden(old), hidden(new)) else {
        // A key can't be told from a value any more, so lines are all that is left.
        return (old.map(|text| lines(text, None)), new.map(|text| lines(text, Some(old.unwrap_or_default()))));
    };
    let raw = |text: Option<&str>, hidden: &[Hidden]| -> BTreeMap<String, String> {
        let text = bare(text.unwrap_or_default()).to_owned();
        hidden.iter().map(|value| (value.path.clone(), text[value.span.clone()].to_owned())).collect()
    };
    let before = raw(old, &of_old);
    let old = old.map(|text| masked(text, &of_old, |_, _| MASK));
    let changed = |path: &str, value: &str| match before.get(path) {
        Some(known) if known != value => CHANGED,
        _ => MASK,
    };
    (old, new.map(|text| masked(text, &of_new, changed)))
}

/// A value that isn't shown.
struct Hidden {
    path: String,
    span: Range<usize>,
}

fn bare(text: &str) -> &str {
    text.trim_start_matches(BOM)
}

/// The values of a file that aren't shown; none when it is no TOML.
fn hidden(text: &str) -> Option<Vec<Hidden>> {
    let parsed = DeTable::parse(bare(text)).ok()?;
    let mut found = Vec::new();
    of_table(parsed.get_ref(), &[], false, &mut found);
    found.sort_by_key(|value| value.span.start);
    Some(found)
}

fn of_table(table: &DeTable<'_>, path: &[&str], inside: bool, found: &mut Vec<Hidden>) {
    for (key, value) in table {
        let path = [path, &[key.get_ref().as_ref()]].concat();
        of_value(value, &path, inside || is_hidden(&path), found);
    }
}

fn of_value(value: &Spanned<DeValue<'_>>, path: &[&str], inside: bool, found: &mut Vec<Hidden>) {
    match value.get_ref() {
        DeValue::Table(table) => of_table(table, path, inside, found),
        DeValue::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                match item.get_ref() {
                    // Its keys are judged as those of any item.
                    DeValue::Table(table) => of_table(table, path, inside, found),
                    _ => of_value(item, &[path, &[number.to_string().as_str()]].concat(), inside, found),
                }
            }
        }
        _ if inside => found.push(Hidden { path: path.join("."), span: value.span() }),
        _ => {}
    }
}

/// Whether what stands under a dotted path is not shown: an environment, or no key of ours.
fn is_hidden(path: &[&str]) -> bool {
    let in_environment = path.iter().any(|part| ["env", "secrets"].contains(&part.to_lowercase().as_str()));
    let within = path.strip_prefix(&["defaults"]).unwrap_or(path);
    let known = |path: &[&str]| {
        let (name, table) = path.split_last()?;
        let table = table.join(".");
        let mut keys = SERVICE.iter().chain(SCOPE);
        keys.find(|key| key.table == table && key.name == *name)
    };
    let chosen = |key: &Key| matches!(key.kind, Kind::Map(..));
    let of_map = within.split_last().and_then(|(_, map)| known(map)).is_some_and(chosen);
    let item = within.last().is_some_and(|last| last.parse::<usize>().is_ok());
    in_environment || !(within.is_empty() || of_map || item || known(within).is_some())
}

/// The text with its hidden values replaced, and the comments beside them.
fn masked(text: &str, hidden: &[Hidden], with: impl Fn(&str, &str) -> &'static str) -> String {
    let bare = bare(text);
    let mut out = text[..text.len() - bare.len()].to_owned();
    let mut end = 0;
    for value in hidden {
        out.push_str(&bare[end..value.span.start]);
        out.push_str(with(&value.path, &bare[value.span.clone()]));
        end = value.span.end;
    }
    out.push_str(&bare[end..]);
    without_comments(&out)
}

fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let said = line.trim();
        if let Some(table) = header(said) {
            inside = is_hidden(&table);
        }
        let comment = said.starts_with('#') && (inside || said.contains('='));
        let beside = line.rfind("…\"").or_else(|| line.rfind("(changed)\""));
        let from = if comment { line.find('#') } else { beside.and_then(|at| Some(at + line[at..].find('#')?)) };
        match from {
            Some(from) => {
                let end = &line[line.trim_end().len()..];
                out.push_str(&format!("{}# …{end}", &line[..from]));
            }
            None => out.push_str(line),
        }
    }
    out
}

/// The path of a table whose header a line is.
fn header(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('[')?.split(']').next()?.trim_start_matches('[');
    Some(inner.split('.').map(|part| part.trim().trim_matches(['"', '\''])).collect())
}

/// A file that is no TOML, line by line: nothing but the names of our own keys and tables
/// stays. A line that the other side doesn't have says so.
fn lines(text: &str, other: Option<&str>) -> String {
    let other: Option<Vec<&str>> = other.map(|other| other.lines().collect());
    let is_name = |part: &str| SERVICE.iter().chain(SCOPE).any(|key| key.name == part);
    let mut out = String::new();
    for line in text.lines() {
        let new = other.as_ref().is_some_and(|other| !other.contains(&line));
        let mask = if new { CHANGED } else { MASK };
        let table = header(line.trim()).filter(|table| table.iter().all(|part| is_name(part)));
        let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| is_name(key));
        match (table, key) {
            (_, _) if line.trim().is_empty() => {}
            (Some(table), _) => out.push_str(&format!("[{}]", table.join("."))),
            (None, Some(key)) => out.push_str(&format!("{key} = {mask}")),
            (None, None) => out.push_str(mask.trim_matches('"')),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::both;

    fn new(old: &str, text: &str) -> String {
        both(Some(old), Some(text)).1.unwrap()
    }

    const OLD: &str = r#"version = "1"
secrets.DB = "ssm:/hunter2" # it was hunter1

[image]
repository = "r" # the usual
ports = [{ host = 80, container = 9000 }]

[env]
# PASSWORD = "hunter0"
PASSWORD = "hunter2"  # hunter3
'quoted # key' = '''
hunter2
[image]
hunter2'''
LIST = [ "hunter2", { A = "hunter2" } ]

[capacity]
min = 2 # plenty
# not = "hunter2"

[capcity]
max = "hunter2"
[[env.odd]]
x = "hunter2"
"#;

    #[test]
    fn values_are_masked_and_keys_stay() {
        let said = new(OLD, OLD);
        expect![[r#"
            version = "1"
            secrets.DB = "…" # …

            [image]
            repository = "r" # the usual
            ports = [{ host = 80, container = 9000 }]

            [env]
            # …
            PASSWORD = "…"  # …
            'quoted # key' = "…"
            LIST = [ "…", { A = "…" } ]

            [capacity]
            min = 2 # plenty
            # …

            [capcity]
            max = "…"
            [[env.odd]]
            x = "…"
        "#]]
        .assert_eq(&said);
    }

    #[test]
    fn a_changed_value_says_so_and_no_more() {
        let (old, new) = both(
            Some("[env]\nA = \"hunter1\"\nB = 'same'\nC = 1\n[machine]\nami = \"a\"\n"),
            Some("[env]\nA = \"hunter2\" # from hunter1\nB = 'same'\nD = 2\n[machine]\nami = \"b\"\n"),
        );
        expect![[r#"
            [env]
            A = "…"
            B = "…"
            C = "…"
            [machine]
            ami = "a"
        "#]]
        .assert_eq(&old.unwrap());
        expect![[r#"
            [env]
            A = "… (changed)" # …
            B = "…"
            D = "…"
            [machine]
            ami = "b"
        "#]]
        .assert_eq(&new.unwrap());
    }

    #[test]
    fn defaults_inline_tables_and_windows_are_no_way_around() {
        let text = "\u{feff}scope = \"s\"\r\n[defaults]\r\nenv = { A = \"hunter2\", B = \"hunter2\" } # hunter2\r\n\
                    tags = { team = \"t\" }\r\n[defaults.secrets]\r\nA = \"ssm:hunter2\"\r\n\
                    [[freeze]]\r\nname = \"shown\"\r\n[Env]\r\nA = \"hunter2\"\r\n";
        let said = new(text, text);
        assert!(
            said.starts_with("\u{feff}scope = \"s\"\r\n[defaults]\r\nenv = { A = \"…\", B = \"…\" } # …\r\n"),
            "{said}"
        );
        assert!(!said.contains("hunter2") && said.contains("team = \"t\"") && said.contains("\"shown\""), "{said}");
        assert_eq!(said.matches('\n').count(), said.matches("\r\n").count());
    }

    #[test]
    fn of_what_is_no_toml_only_our_own_words_stay() {
        let text = "version = \"1\n[env]\nPASSWORD = \"\"\"\nhunter2=\n[hunter2]\n\"\"\"\n# hunter2\n";
        let said = new("version = \"1\n", text);
        expect![[r#"
            version = "…"
            [env]
            … (changed)
            … (changed)
            … (changed)
            … (changed)
            … (changed)
        "#]]
        .assert_eq(&said);
        // Nor of the other side, which could be read.
        let (old, _) = both(Some("[env]\nA = \"hunter2\"\n"), Some(text));
        assert_eq!(old.unwrap(), "[env]\n…\n");
    }

    #[test]
    fn a_file_that_comes_or_goes() {
        assert_eq!(both(None, Some("env.A = \"x\"\n")), (None, Some("env.A = \"…\"\n".to_owned())));
        assert_eq!(both(Some("env.A = \"x\"\n"), None), (Some("env.A = \"…\"\n".to_owned()), None));
    }
}
