//! What a JSON Schema accepts, judged by Python's `jsonschema`, which nobody here wrote.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const JUDGE: &str = r#"
import json, sys
import jsonschema
schema, documents = json.load(sys.stdin)
judge = jsonschema.validators.validator_for(schema)
judge.check_schema(schema)
judge = judge(schema)
say = lambda error: error.json_path + ": " + error.message[:200]
print(json.dumps([[say(error) for error in judge.iter_errors(document)] for document in documents]))
"#;

/// The problems of each document. None, said aloud, where `jsonschema` is not installed.
///
/// # Panics
/// The schema itself is not sound.
pub fn problems(schema: &Value, documents: &[Value]) -> Option<Vec<Vec<String>>> {
    let Some(python) = python() else {
        eprintln!("skipped: python3 has no jsonschema (Debian: python3-jsonschema)");
        return None;
    };
    let mut python =
        Command::new(python).args(["-c", JUDGE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(json!([schema, documents]).to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the schema is not sound, see above");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A Python that has `jsonschema`: the first on the path, or Debian's own.
fn python() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let has = Command::new(python).args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
        has.is_ok_and(|status| status.success())
    })
}
