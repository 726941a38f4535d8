//! docs/SAFETY.md and docs/lease.md: what they name exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// What stands between backticks and is a path of this repository, with the function in it.
fn named(text: &str) -> Vec<(&str, Option<&str>)> {
    let words = text.split('`').skip(1).step_by(2);
    let paths = words.filter(|word| ["src/", "tests/", "docs/"].iter().any(|folder| word.starts_with(folder)));
    paths.map(|word| word.split_once("::").map_or((word, None), |(path, function)| (path, Some(function)))).collect()
}

fn is_attribute(line: &str) -> bool {
    ["#[test]", "#[tokio::test"].iter().any(|begins| line.starts_with(begins))
}

#[test]
fn every_test_and_file_of_the_safety_page_exists() {
    let text = page("SAFETY.md");
    let named = named(&text);
    let mut missing = Vec::new();
    for (path, function) in &named {
        let Ok(source) = fs::read_to_string(root().join(path)) else {
            missing.push((*path).to_owned());
            continue;
        };
        let Some(function) = function else { continue };
        let declared = format!("fn {function}()");
        let test = source.split(&declared).next().filter(|before| before.len() < source.len());
        // Its attribute is one of the few lines above.
        let marked = test.is_some_and(|before| before.lines().rev().take(3).any(is_attribute));
        if !marked {
            missing.push(format!("{path}::{function}"));
        }
    }
    assert!(missing.is_empty(), "docs/SAFETY.md names what is no test: {missing:#?}");
    assert!(named.iter().filter(|(_, function)| function.is_some()).count() > 60, "the page was not understood");
}

/// Each order has a row for each way in which it can be unsafe.
#[test]
fn every_order_is_asked_every_question() {
    let text = page("SAFETY.md");
    for order in ["Shift", "Drain", "Delete", "Retry", "Take over"] {
        let section = text.split("\n## ").find(|section| section.starts_with(order)).unwrap();
        for way in ["not given", "given", "too early"] {
            assert!(section.contains(&format!("\n| {way}")), "{order}: {way}");
        }
        let ends = ["\n| too late", "\n| too long", "\n| too often", "\n| stopped too soon"];
        assert!(ends.iter().any(|way| section.contains(way)), "{order}: how it ends");
    }
}

/// The policy allows the calls of the lease's table, and nothing besides.
#[test]
fn the_lease_may_do_what_it_calls() {
    let source = fs::read_to_string(root().join("src/cloud/aws/lease.rs")).unwrap();
    let sent = source.split("self.send(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let sent: BTreeSet<String> = sent.map(|operation| format!("dynamodb:{operation}")).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    let policy: Value = serde_json::from_str(&page("iam/lease.json")).unwrap();
    let statement = &policy["Statement"][0];
    let actions = statement["Action"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned());
    assert_eq!(actions.collect::<BTreeSet<_>>(), sent);
    let (resource, keys) = (&statement["Resource"], &statement["Condition"]["ForAllValues:StringEquals"]);
    assert!(resource.as_str().unwrap().ends_with(":table/ionroller-lease"));
    assert_eq!(keys["dynamodb:LeadingKeys"], "prod/123456789012/eu-west-1");
}

/// The attribute names of the program and of the page are the same.
#[test]
fn the_lease_page_makes_the_table_that_the_program_uses() {
    let source = fs::read_to_string(root().join("src/cloud/aws/lease.rs")).unwrap();
    let text = page("lease.md");
    for (constant, attribute) in
        [("KEY", "lease"), ("HOLDER", "holder"), ("VERSION", "version"), ("DURATION", "duration_ms")]
    {
        assert!(source.contains(&format!("const {constant}: &str = \"{attribute}\";")), "{constant}");
        assert!(text.contains(attribute));
    }
    assert!(text.contains("AttributeName=lease,KeyType=HASH"));
}
