//! A TOML file as a value that tests change key by key.

use serde_json::Value as Json;
use toml::{Table, Value};

/// Reads a text.
pub fn parse(text: &str) -> Table {
    text.parse().unwrap()
}

/// One value, as it is written in TOML.
pub fn value(text: &str) -> Value {
    parse(&format!("x = {text}")).remove("x").unwrap()
}

/// The table that holds the key at a dotted path; of a list, its first table.
fn holder<'t>(file: &'t mut Table, path: &str) -> Option<&'t mut Table> {
    let Some((above, _)) = path.rsplit_once('.') else { return Some(file) };
    let (name, above) = (above.rsplit('.').next().unwrap(), above);
    match holder(file, above)?.get_mut(name)? {
        Value::Table(table) => Some(table),
        Value::Array(items) => items.first_mut()?.as_table_mut(),
        _ => None,
    }
}

/// The file with another value at a dotted path.
pub fn with(file: &Table, path: &str, value: Value) -> Table {
    let mut file = file.clone();
    let name = path.rsplit('.').next().unwrap();
    holder(&mut file, path).unwrap().insert(name.to_owned(), value);
    file
}

/// The file without a key that stands in it.
pub fn without(file: &Table, path: &str) -> Table {
    let mut file = file.clone();
    let name = path.rsplit('.').next().unwrap();
    let gone = holder(&mut file, path).and_then(|table| table.remove(name));
    assert!(gone.is_some(), "{path} doesn't stand in the file");
    file
}

/// As text, every table inline.
pub fn text(file: &Table) -> String {
    file.iter().map(|(key, value)| format!("{} = {}\n", quoted(key), inline(value))).collect()
}

fn quoted(text: &str) -> String {
    Json::from(text).to_string()
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => format!("{float:?}"),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let entries: Vec<String> =
                table.iter().map(|(key, value)| format!("{} = {}", quoted(key), inline(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// As editors hand it to a schema: times are strings.
pub fn json(value: &Value) -> Json {
    match value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Integer(integer) => Json::from(*integer),
        Value::Float(float) => Json::from(*float),
        Value::Boolean(boolean) => Json::from(*boolean),
        Value::Datetime(time) => Json::from(time.to_string()),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
    }
}
