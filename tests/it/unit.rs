//! The unit for systemd, and the daemon's file that goes with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use ionroller::settings::Settings;
use tempfile::TempDir;

use super::harness::place::Place;

/// The highest exposure that is let pass, in tenths: 0 is a service that can do nothing.
const EXPOSURE_MAX: u32 = 15;

const PROGRAM: &str = "/usr/local/bin/ionroller";

fn file(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)).unwrap()
}

/// Asks systemd about the unit, with the program where this build has it. Nothing where
/// systemd is not installed.
fn analyze(args: &[&str]) -> Option<Output> {
    let dir = TempDir::new().unwrap();
    let unit = dir.path().join("ionroller.service");
    fs::write(&unit, file("ionroller.service").replace(PROGRAM, env!("CARGO_BIN_EXE_ionroller"))).unwrap();
    match Command::new("systemd-analyze").args(args).arg(&unit).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: systemd-analyze is not installed");
            None
        }
        Err(error) => panic!("systemd-analyze: {error}"),
    }
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let Some(output) = analyze(&["verify"]) else { return };
    let said = said(&output);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn the_unit_is_exposed_to_little() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let Some(output) = analyze(&["security", "--offline=true", "--no-pager", &threshold]) else { return };
    let said = said(&output);
    assert!(said.contains("Overall exposure level"), "{said}");
    assert!(output.status.success(), "{said}");
}

/// Whoever edits the unit must not lose what the scores don't show.
#[test]
fn the_unit_keeps_its_promises() {
    let unit = file("ionroller.service");
    for line in [
        "Type=notify",
        "DynamicUser=yes",
        "StateDirectory=ionroller",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallFilter=@system-service",
        "LoadCredential=git-token:/etc/ionroller/git-token",
    ] {
        assert!(unit.lines().any(|written| written == line), "{line}");
    }
    assert!(unit.contains("WatchdogSec="));
    let command = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
    let start = command("ExecStart=");
    assert_eq!(start, format!("{PROGRAM} run --config /etc/ionroller/daemon.toml"));
    assert_eq!(command("ExecStartPre="), format!("{start} --check"));
}

/// The example with every key that stands behind a `#`.
fn every_key_in_use() -> String {
    let uncommented = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| is_key(key)) => rest.to_owned(),
        Some(rest) if rest.starts_with('[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    file("daemon.toml").lines().map(uncommented).collect::<Vec<_>>().join("\n")
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The fields of the daemon's settings, from the code.
fn fields() -> BTreeSet<String> {
    let text = ["settings.rs", "settings/forge.rs"]
        .map(|name| fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src").join(name)).unwrap());
    let text = text.join("\n");
    let fields = text.lines().filter_map(|line| Some(line.strip_prefix("    pub ")?.split_once(": ")?.0.to_owned()));
    fields.filter(|field| is_key(field)).collect()
}

#[test]
fn the_example_file_has_every_key() {
    let text = file("daemon.toml");
    let settings = Settings::parse(&text).unwrap();
    let defaults =
        Settings::parse(&format!("repo = {:?}\nstate_dir = \"/var/lib/ionroller\"\n", settings.repo)).unwrap();
    assert_eq!(Settings { git: defaults.git.clone(), ..settings }, defaults, "it shows the defaults");
    let all = every_key_in_use();
    Settings::parse(&all).unwrap();
    let keys = all.lines().filter_map(|line| {
        let key = line.split_once(" = ").map(|(key, _)| key).or_else(|| line.strip_prefix('[')?.strip_suffix(']'));
        key.filter(|key| is_key(key)).map(ToOwned::to_owned)
    });
    assert_eq!(keys.collect::<BTreeSet<_>>(), fields());
}

#[test]
fn a_daemon_file_is_checked_before_anything_starts() {
    let place = Place::new();
    let path = place.dir.path().join("daemon.toml");
    let check = |text: String| {
        fs::write(&path, text).unwrap();
        place.bare(&["run", "--check", "--config", &path.to_string_lossy()])
    };
    let (repo, state) = (place.repo(), place.dir.path().join("state"));
    let base = format!("repo = {repo:?}\nstate_dir = {state:?}\n");
    assert!(check(base.clone()).ended(0).stderr.contains("daemon.toml: no errors"));
    assert!(!state.exists(), "a check leaves nothing behind");
    let typo = check(format!("{base}brnach = \"x\"\n")).ended(1);
    assert!(typo.stderr.contains("brnach"), "{}", typo.stderr);
    let two = "[git]\ntoken_file = \"/nowhere/token\"\nknown_hosts_file = \"/nowhere/hosts\"\n";
    let two = check(format!("{base}{two}")).ended(1).stderr;
    assert!(two.contains("git.token_file /nowhere/token") && two.contains("/nowhere/hosts"), "all of them: {two}");
    let elsewhere = place.dir.path().join("nothing");
    let nothing = check(format!("repo = {elsewhere:?}\nstate_dir = {state:?}\n")).ended(1).stderr;
    assert!(nothing.contains("there is no folder"), "{nothing}");
    check("repo = \"https://git.example.com/config.git\"\nstate_dir = \"/nowhere\"\n".to_owned()).ended(0);
}
