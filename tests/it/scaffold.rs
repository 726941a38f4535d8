//! `init`: what it writes works, and it overwrites nothing. `completions` and `man`.

use crate::harness::place::Place;

impl Place {
    /// An empty folder, and nothing committed.
    pub fn empty() -> Self {
        let place = Self { dir: tempfile::TempDir::new().unwrap() };
        std::fs::create_dir(place.repo()).unwrap();
        place
    }
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
        let ours = ["{scope}", "{region}", "{account}", "{path_flag}", "{dir_argument}", "{prefix}", "{check}"];
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
