//! The demo as a user runs it: the real binary, real requests.

use std::process::{Command, Output};

use serde_json::Value;

fn demo(args: &[&str]) -> Output {
    let home = tempfile::TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ionroller"))
        .arg("demo")
        .args(args)
        // Nothing of the user's is needed: no home, no settings, no git in the path.
        .env_clear()
        .env("TMPDIR", home.path())
        .output()
        .unwrap();
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert!(left.is_empty(), "the demo leaves something behind: {left:?}");
    output
}

#[test]
fn no_request_fails_and_the_revert_takes_one_call() {
    let output = demo(&["-o", "json"]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "--- stdout\n{stdout}\n--- stderr\n{stderr}");
    let summary: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let keys: Vec<&String> = summary.as_object().unwrap().keys().collect();
    let expected = ["aws_calls", "failed", "mutating_calls_of_revert", "requests", "revert_to_all_traffic_ms"];
    assert_eq!(keys, expected);
    assert_eq!(summary["failed"], 0);
    assert_eq!(summary["mutating_calls_of_revert"], 1);
    assert!(summary["revert_to_all_traffic_ms"].is_u64());
    let requests = summary["requests"].as_object().unwrap();
    let counts: Vec<u64> = requests.values().map(|count| count.as_u64().unwrap()).collect();
    assert_eq!(requests.keys().collect::<Vec<_>>(), ["1.0.0", "1.1.0", "1.2.0"]);
    assert!(counts.iter().all(|count| *count > 0) && counts.iter().sum::<u64>() >= 10_000, "{counts:?}");
    let calls = summary["aws_calls"].as_object().unwrap();
    for operation in ["CreateAutoScalingGroup", "ModifyRule", "DescribeTargetHealth", "DeleteAutoScalingGroup"] {
        assert!(calls[operation].as_u64().unwrap() > 0, "{operation}");
    }
    // The story goes beside the answer.
    assert_eq!(stdout.lines().count(), 1);
    assert!(stderr.contains("1.2.0 went back by itself"), "{stderr}");
}
