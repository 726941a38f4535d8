//! The published schemas: the same as the binary prints, and able to find a fault.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::place::Place;
use crate::harness::schema::problems;

const ANSWERS: &[&str] = &["plan", "status", "apply", "validate", "diff", "history", "commit", "comment", "word"];

/// `UPDATE_EXPECT=1` writes them anew, as for snapshots.
#[test]
fn published_schemas_are_those_of_the_binary() {
    let place = Place::new();
    for name in ANSWERS {
        let printed = place.bare(&["schema", name]).ended(0).stdout;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schemas/{name}.json"));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &printed).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), printed, "{}", file.display());
    }
}

/// Our own check is small; another one must agree that the schemas are schemas, and take
/// what the binary prints.
#[test]
fn another_judge_agrees() {
    let place = Place::new();
    place.run(&["apply", "--service", "website"]).ended(0);
    place.release("2026.03.2");
    for command in ["plan", "status", "validate", "diff", "history"] {
        let mut args = vec![command, "-o", "json"];
        if ["diff", "history"].contains(&command) {
            args.insert(1, "website");
        }
        let answer = if command == "validate" { place.bare(&args) } else { place.run(&args) }.ended(0).json();
        let schema = ionroller::render::schema::of(command).unwrap();
        if let Some(found) = crate::harness::json_schema::problems(&schema, &[answer]) {
            assert_eq!(found, [Vec::<String>::new()], "{command}");
        }
    }
}

#[test]
fn the_check_finds_faults() {
    let schema = ionroller::render::schema::validate();
    let good = json!({"format_version": "1", "diagnostics": [
        {"severity": "error", "file": null, "line": 1, "column": null, "message": "m", "help": null}
    ]});
    assert_eq!(problems(&good, &schema), Vec::<String>::new());
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        problems(&value, &schema)
    };
    let faults: [&dyn Fn(&mut Value); 6] = [
        &|v| v["format_version"] = json!("2"),
        &|v| v["more"] = json!(1),
        &|v| drop(v["diagnostics"][0].as_object_mut().unwrap().remove("help")),
        &|v| v["diagnostics"][0]["severity"] = json!("fatal"),
        &|v| v["diagnostics"][0]["line"] = json!(0),
        &|v| v["diagnostics"][0]["line"] = json!("1"),
    ];
    for fault in faults {
        assert_eq!(broken(fault).len(), 1, "{:?}", broken(fault));
    }
}

#[test]
fn an_operators_word_as_json() {
    let place = Place::new();
    place.run(&["apply", "--service", "website"]).ended(0);
    let said = place.run(&["hold", "website", "-o", "json"]).ended(0).json();
    assert_eq!((&said["word"], &said["changes"]), (&"hold".into(), &1.into()));
    place.run(&["resume", "website", "-o", "json"]).ended(0).json();
    assert_eq!(place.run(&["resume", "website", "-o", "json"]).ended(0).json()["changes"], 0);
}
