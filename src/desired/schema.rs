//! JSON Schemas of the files, for editors and other tools. They say the structure, the
//! types and the ranges; what needs two keys at once, only the loader checks. What the
//! loader takes, the schemas take.
//!
//! Draft 7, because that is what TOML editors read.

use serde_json::{Map, Value, json};

use super::keys::{self, Key, Kind, Need, SCOPE, SERVICE, TextRule};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";
const DURATION: &str = "^([0-9]+(ms|s|m|h|d))+$";

/// The schema of either file: a file that has a key of `ionroller.toml` at its top level
/// is one, any other is a service file.
pub fn files() -> Value {
    let of_scope: Vec<Value> = top_level(SCOPE).map(|key| json!({ "required": [key.name] })).collect();
    let mut properties = Map::new();
    for (definition, keys) in [("service", SERVICE), ("scope", SCOPE)] {
        for key in top_level(keys) {
            let reference = format!("#/definitions/{definition}/properties/{}", key.name);
            properties.insert(key.name.to_owned(), json!({ "$ref": reference }));
        }
    }
    json!({
        "$schema": DRAFT,
        "title": "A file of an ionroller config repository",
        "type": "object",
        "properties": properties,
        "if": { "anyOf": of_scope },
        "then": { "$ref": "#/definitions/scope" },
        "else": { "$ref": "#/definitions/service" },
        "definitions": { "service": service_object(), "scope": scope_object() },
    })
}

/// The schema of `services/NAME.toml`.
pub fn service() -> Value {
    document("A service file of ionroller", service_object())
}

/// The schema of `ionroller.toml`.
pub fn scope() -> Value {
    document("ionroller.toml", scope_object())
}

fn document(title: &str, mut object: Value) -> Value {
    object["$schema"] = json!(DRAFT);
    object["title"] = json!(title);
    object
}

fn top_level(keys: &'static [Key]) -> impl Iterator<Item = &'static Key> {
    keys.iter().filter(|key| key.table.is_empty())
}

fn service_object() -> Value {
    // Whatever is a table may stand in the defaults instead.
    object(SERVICE, "", |key| key.name == "version")
}

fn scope_object() -> Value {
    let mut scope = object(SCOPE, "", |key| key.need == Need::Required);
    let mut defaults = object(SERVICE, "", |_| false);
    if let Some(properties) = defaults["properties"].as_object_mut() {
        properties.retain(|name, _| !keys::SCALARS.contains(&name.as_str()));
    }
    let described = scope["properties"]["defaults"]["description"].take();
    scope["properties"]["defaults"] = defaults;
    scope["properties"]["defaults"]["description"] = described;
    scope
}

/// The keys of one table and of those in it.
fn object(keys: &'static [Key], table: &str, required: fn(&Key) -> bool) -> Value {
    let here = || keys.iter().filter(|key| key.table == table);
    let properties: Map<String, Value> = here().map(|key| (key.name.to_owned(), property(keys, key))).collect();
    let required: Vec<&str> = here().filter(|key| required(key)).map(|key| key.name).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn property(keys: &'static [Key], key: &Key) -> Value {
    let mut property = match key.kind {
        Kind::Text(rule) => text(rule),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
        Kind::Integer(min, max) => integer(min, max),
        Kind::Number => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000 }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Duration | Kind::Seconds(..) => json!({ "type": "string", "pattern": DURATION }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
        // A table may have some of its keys in the defaults.
        Kind::Table => object(keys, &key.path(), |_| false),
        // Lists are never merged, so each item must be whole.
        Kind::Tables => {
            json!({ "type": "array", "items": object(keys, &key.path(), |key| key.need == Need::Required) })
        }
        Kind::Map(names, values) => {
            json!({ "type": "object", "propertyNames": text(names), "additionalProperties": text(values) })
        }
        Kind::Texts(rule) => json!({ "type": "array", "items": text(rule) }),
        Kind::Integers(min, max) => json!({ "type": "array", "items": integer(min, max), "minItems": 1 }),
    };
    if let (Kind::Texts(_), Need::Required) = (key.kind, key.need) {
        property["minItems"] = json!(1);
    }
    property["description"] = json!(description(key));
    if let Some(default) = default(key) {
        property["default"] = default;
    }
    property
}

fn text(rule: TextRule) -> Value {
    match rule.pattern {
        "" => json!({ "type": "string" }),
        pattern => json!({ "type": "string", "pattern": pattern }),
    }
}

fn integer(min: u32, max: u32) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max })
}

/// What an editor shows beside the key.
fn description(key: &Key) -> String {
    let need = match key.need {
        Need::Required => " Required.".to_owned(),
        Need::Default(default) => format!(" Default: {default}."),
        Need::Absent(without) => format!(" Without it: {without}."),
    };
    let digest = match (key.kind, key.in_digest) {
        (Kind::Table, _) | (_, false) => "",
        (_, true) => " A change means new machines.",
    };
    format!("{}{need}{digest}", key.meaning)
}

/// A default that is a value, not a description of one.
fn default(key: &Key) -> Option<Value> {
    let Need::Default(written) = key.need else { return None };
    match key.kind {
        Kind::Text(_) | Kind::Duration | Kind::Seconds(..) => Some(json!(written)),
        Kind::Word(words) if words.contains(&written) => Some(json!(written)),
        Kind::Word(_) => None,
        _ => serde_json::from_str(written).ok(),
    }
}
