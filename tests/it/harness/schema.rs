//! A check of JSON against the schemas that we publish. It knows the words that those use
//! and refuses any other, so that none is passed over; and it minds fields that the schema
//! doesn't name, which a reader must not.

use serde_json::Value;

/// What is wrong with a value.
pub fn problems(value: &Value, schema: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    check("", value, schema, &mut problems);
    problems
}

fn check(at: &str, value: &Value, schema: &Value, problems: &mut Vec<String>) {
    let mut say = |what: String| problems.push(format!("{at}: {what}"));
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "title" | "description" | "properties" | "required" => {}
            "type" => {
                let kinds: Vec<&str> = match rule {
                    Value::String(kind) => vec![kind],
                    kinds => kinds.as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect(),
                };
                if !kinds.iter().any(|kind| is(value, kind)) {
                    say(format!("{value} is none of {}", kinds.join(", ")));
                }
            }
            "const" if value != rule => say(format!("{value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => say(format!("{value} is none of {rule}")),
            "minimum" if value.as_i64().is_some_and(|value| value < rule.as_i64().unwrap()) => {
                say(format!("{value} is below {rule}"));
            }
            "maximum" if value.as_i64().is_some_and(|value| value > rule.as_i64().unwrap()) => {
                say(format!("{value} is above {rule}"));
            }
            "pattern" => {
                assert_eq!(rule, "^[0-9a-f]{40}$", "the one pattern that this knows");
                if value.as_str().is_some_and(|text| text.len() != 40 || !text.chars().all(|c| c.is_ascii_hexdigit())) {
                    say(format!("{value} is no commit"));
                }
            }
            "format" => {
                assert_eq!(rule, "date-time", "the one format that this knows");
                if value.as_str().is_some_and(|text| ionroller::time::Timestamp::parse(text).is_none()) {
                    say(format!("{value} is no time"));
                }
            }
            "const" | "enum" | "minimum" | "maximum" => {}
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(&format!("{at}/{index}"), item, rule, problems);
                }
                return check_rest(at, value, schema, problems);
            }
            "anyOf" => {
                let alternatives = rule.as_array().unwrap();
                let best =
                    alternatives.iter().map(|schema| self::problems(value, schema)).min_by_key(Vec::len).unwrap();
                problems.extend(best.into_iter().map(|problem| format!("{at}{problem}")));
                return check_rest(at, value, schema, problems);
            }
            "additionalProperties" => {
                for (name, item) in value.as_object().into_iter().flatten() {
                    check(&format!("{at}/{name}"), item, rule, problems);
                }
                return check_rest(at, value, schema, problems);
            }
            other => panic!("this does not know `{other}`"),
        }
    }
    check_rest(at, value, schema, problems);
}

/// The fields of an object: those that must be there, and no others.
fn check_rest(at: &str, value: &Value, schema: &Value, problems: &mut Vec<String>) {
    let (Some(object), Some(properties)) = (value.as_object(), schema.get("properties")) else { return };
    for name in schema["required"].as_array().unwrap() {
        if !object.contains_key(name.as_str().unwrap()) {
            problems.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, item) in object {
        match properties.get(name) {
            Some(schema) => check(&format!("{at}/{name}"), item, schema, problems),
            None => problems.push(format!("{at}: the schema does not know {name}")),
        }
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("this does not know the type `{other}`"),
    }
}
