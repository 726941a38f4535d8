//! The demo as a user runs it: the real binary, real requests.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Nothing of the user's is needed: no home, no settings, no git in the path.
fn demo(args: &[&str], temporary: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ionroller"));
    command.arg("demo").args(args).env_clear().env("TMPDIR", temporary.path());
    command
}

fn assert_empty(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(left.is_empty(), "the demo leaves something behind: {left:?}");
}

#[test]
fn no_request_fails_and_the_revert_takes_one_call() {
    let temporary = TempDir::new().unwrap();
    let output = demo(&["-o", "json"], &temporary).output().unwrap();
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
    assert_empty(temporary.path());
}

#[test]
fn it_keeps_running_and_releases_what_is_committed_there() {
    let temporary = TempDir::new().unwrap();
    let mut running = demo(&["--serve"], &temporary).stdout(Stdio::piped()).spawn().unwrap();
    let story = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = Vec::new();
    // Its own limit ends the story, and with it these lines.
    for line in story {
        let serves = line.starts_with("It keeps running");
        told.push(line);
        if serves {
            break;
        }
    }
    let after = |word: &str| {
        let found = told.iter().find_map(|line| line.trim_start().strip_prefix(word));
        found.unwrap_or_else(|| panic!("no {word} in\n{}", told.join("\n"))).trim().to_owned()
    };
    let (repository, page) = (after("repository"), after("load balancer"));

    let file = Path::new(&repository).join("services/shop.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("version = \"1.0.0\"", "version = \"2.0.0\"")).unwrap();
    let commit = Command::new("git")
        .args(["commit", "--quiet", "--all", "--message", "shop 2.0.0"])
        .current_dir(&repository)
        .env("HOME", temporary.path())
        .status();
    assert!(commit.unwrap().success());
    let begun = Instant::now();
    loop {
        let said = ureq::get(&page).call().unwrap().body_mut().read_to_string().unwrap();
        if said.starts_with("shop 2.0.0") {
            break;
        }
        assert!(said.starts_with("shop 1.0.0"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(120), "2.0.0 gets no traffic");
        std::thread::sleep(Duration::from_millis(50));
    }

    let kill = format!("kill -INT {}", running.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(0));
    assert_empty(temporary.path());
}
