//! `init`: what it writes works, and it overwrites nothing. `completions` and `man`.

use std::path::Path;

use crate::harness::place::{Place, Ran};

impl Place {
    /// An empty folder, and nothing committed.
    fn empty() -> Self {
        let place = Self { dir: tempfile::TempDir::new().unwrap() };
        std::fs::create_dir(place.repo()).unwrap();
        place
    }
}

fn script_of(workflow: &str, step: &str) -> String {
    let step = workflow.split_once(&format!("- name: {step}\n")).unwrap().1;
    let run = step.split_once("run: |\n").unwrap().1;
    let lines = run.lines().take_while(|line| line.starts_with("          "));
    lines.map(|line| format!("{}\n", &line[10..])).collect()
}

#[test]
fn a_new_config_repository_validates_and_plans() {
    let place = Place::empty();
    let ran =
        place.bare(&["init", "--scope", "shop", "--region", "eu-central-1", "--account", "210987654321"]).ended(0);
    let written: Vec<&str> = ran.stdout.lines().collect();
    let expected = [
        "ionroller.toml",
        "services/hello.toml",
        "files/hello.sh",
        ".schemas/scope.json",
        ".schemas/service.json",
        ".github/workflows/ionroller-plan-shop.yml",
        "README.md",
    ];
    assert_eq!(written, expected);
    let valid = place.bare(&["validate"]).ended(0);
    assert_eq!((valid.stdout.as_str(), valid.stderr.as_str()), ("", "1 service, no errors\n"));
    place.commit("first service");
    let plan = place.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!((&plan["scope"], &plan["summary"]["create"]), (&"shop".into(), &1.into()));
    place.run(&["apply"]).ended(0);
    assert_eq!(place.service("hello")["live"]["version"], "1.0.0");
    place.run(&["release", "hello", "1.1.0"]).ended(0);
    let released = std::fs::read_to_string(place.repo().join("services/hello.toml")).unwrap();
    assert!(released.starts_with("#:schema ../.schemas/service.json\n"), "the editor's line stays: {released}");
    for of in ["scope", "service"] {
        let written = std::fs::read_to_string(place.repo().join(format!(".schemas/{of}.json"))).unwrap();
        assert_eq!(written, place.bare(&["schema", of]).ended(0).stdout);
    }
    let script = place.command("bash").args(["-n", "files/hello.sh"]).status().unwrap();
    assert!(script.success());
    // No word is left to fill in, but for GitHub's own.
    for file in expected {
        let text = std::fs::read_to_string(place.repo().join(file)).unwrap();
        let ours = ["{scope}", "{region}", "{account}", "{path_flag}", "{dir_argument}"];
        assert!(ours.iter().all(|word| !text.contains(word)), "{file}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let place = Place::empty();
    let conf = place.repo().join("conf");
    std::fs::create_dir_all(conf.join("services")).unwrap();
    std::fs::write(conf.join("services/hello.toml"), "mine").unwrap();
    let refused = place.bare(&["init", "conf"]).ended(1);
    assert!(refused.stderr.contains("conf/services/hello.toml"), "{}", refused.stderr);
    assert!(!conf.join("ionroller.toml").exists(), "nothing was written");
    std::fs::remove_file(conf.join("services/hello.toml")).unwrap();
    std::fs::write(conf.join("README.md"), "mine").unwrap();
    place.bare(&["init", "conf"]).ended(0);
    assert_eq!(std::fs::read_to_string(conf.join("README.md")).unwrap(), "mine");
    place.bare(&["init", "conf"]).ended(1);
    place.bare(&["init", "x", "--scope", "No Scope"]).ended(64);
}

/// Runs a step of the check as GitHub does: with `bash -e`, the binary on the path.
fn check(place: &Place, workflow: &Path, flags: &str) -> Ran {
    let script = script_of(&std::fs::read_to_string(workflow).unwrap(), "Plan");
    let binary = Path::new(env!("CARGO_BIN_EXE_ionroller")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = place.command("bash");
    command
        .args(["-e", "-c", &script])
        .env("PATH", path)
        .env("PLAN_FLAGS", flags)
        .env("GITHUB_STEP_SUMMARY", "summary.md")
        .env("GITHUB_BASE_REF", "main");
    let output = command.output().unwrap();
    Ran {
        command: "plan".to_owned(),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn the_check_plans_what_a_pull_request_would_do() {
    let place = Place::empty();
    place.git(&["init", "--quiet", "--initial-branch", "main", "."]);
    place.bare(&["init", "conf/prod"]).ended(0);
    let workflow = place.repo().join(".github/workflows/ionroller-plan-prod.yml");
    let text = std::fs::read_to_string(&workflow).unwrap();
    assert!(text.contains("run: ionroller validate conf/prod -o github\n"), "{text}");
    place.commit("first service");
    place.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    place.bare(&["release", "hello", "1.1.0", "--path", "conf/prod"]).ended(0);
    check(&place, &workflow, "--offline").ended(0);
    let summary = std::fs::read_to_string(place.repo().join("summary.md")).unwrap();
    assert!(summary.contains("| `hello` | release | `1.0.0` | `1.1.0` |"), "{summary}");
    let world = format!("--detailed-exitcode --cloud sim:{}", place.dir.path().join("world.json").display());
    check(&place, &workflow, &world).ended(0);
    let summary = std::fs::read_to_string(place.repo().join("summary.md")).unwrap();
    assert!(summary.contains("| `hello` | create | – | `1.1.0` |"), "{summary}");
    std::fs::write(place.repo().join("conf/prod/services/hello.toml"), "nonsense = 1\n").unwrap();
    place.commit("a mistake");
    check(&place, &workflow, &world).ended(1);
    assert!(std::fs::read_to_string(place.repo().join("summary.md")).unwrap().contains("**error**"));
}

#[test]
fn completions_and_manual_pages() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.bare(&["completions", shell]).ended(0).stdout;
        assert!(script.contains("detailed-exitcode"), "{shell}");
    }
    place.bare(&["completions", "tcsh"]).ended(64);
    let page = place.bare(&["man"]).ended(0).stdout;
    assert!(page.contains(".TH ionroller 1") && page.contains("ionroller\\-plan(1)"), "{page}");
    let page = place.bare(&["man", "plan"]).ended(0).stdout;
    assert!(page.contains(".TH ionroller-plan 1") && page.contains("detailed\\-exitcode"), "{page}");
    let typo = place.bare(&["man", "plam"]).ended(64);
    assert!(typo.stderr.contains("did you mean `plan`?"), "{}", typo.stderr);
    place.bare(&["man", "--dir", "man1"]).ended(0);
    assert!(place.repo().join("man1/ionroller-rollback.1").is_file());
}
