//! The ready-made checks: what `init --ci` writes, the action, the hooks. Their shell steps
//! are run as GitHub and GitLab run them, and their YAML is judged by the published schemas.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::place::{Place, Ran};

/// The block scalar that begins after a line, once what is before `after` was passed.
fn block(text: &str, after: &str, begin: &str) -> String {
    let rest = text.split_once(after).unwrap_or_else(|| panic!("no {after}")).1;
    let body = rest.split_once(begin).unwrap_or_else(|| panic!("no {begin}")).1;
    let wide = body.len() - body.trim_start_matches(' ').len();
    let inside = body.lines().take_while(|line| line.trim().is_empty() || line.len() - line.trim_start().len() >= wide);
    inside.map(|line| format!("{}\n", line.get(wide..).unwrap_or_default())).collect()
}

/// A config repository below a folder, whose `origin/main` is what a release is merged into.
fn place(ci: &str) -> Place {
    let place = Place::empty();
    place.git(&["init", "--quiet", "--initial-branch", "main", "."]);
    place.bare(&["init", "conf/prod", "--ci", ci]).ended(0);
    place.commit("first service");
    place.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    let bin = place.dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // Plans of a simulated AWS, and a comment that is only written down: there is no forge.
    let script = format!(
        "#!/bin/bash\ncase \"$*\" in\n  comment*) echo \"$*\" >> {dir}/comments; cat \"$2\" >> {dir}/comments ;;\n  \
         plan*--offline*|validate*) exec {ionroller} \"$@\" ;;\n  *) exec {ionroller} \"$@\" --cloud sim:{dir}/world.json ;;\n\
         esac\n",
        dir = place.dir.path().display(),
        ionroller = env!("CARGO_BIN_EXE_ionroller"),
    );
    std::fs::write(bin.join("ionroller"), script).unwrap();
    std::fs::set_permissions(bin.join("ionroller"), std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn shell(place: &Place, flags: &[&str], script: &str, variables: &[(&str, &str)]) -> Ran {
    let path = format!("{}/bin:{}", place.dir.path().display(), std::env::var("PATH").unwrap());
    let mut command = place.command("bash");
    command.args(flags).args(["-c", script]).env("PATH", path).envs(variables.iter().copied());
    let output = command.output().unwrap();
    Ran {
        command: "plan".to_owned(),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn root(file: &str) -> String {
    read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
}

fn release(place: &Place) {
    place.bare(&["release", "hello", "1.1.0", "--path", "conf/prod"]).ended(0);
}

fn break_it(place: &Place) {
    std::fs::write(place.repo().join("conf/prod/services/hello.toml"), "nonsense = 1\n").unwrap();
    place.commit("a mistake");
}

#[test]
fn the_workflow_plans_and_comments() {
    let place = place("github");
    let workflow = read(place.repo().join(".github/workflows/ionroller-plan-prod.yml"));
    assert!(workflow.contains("run: ionroller validate conf/prod -o github\n"), "{workflow}");
    release(&place);
    // GitHub runs a step without `shell` so.
    let step = |name: &str, fork: &str, role: &str| {
        let script = block(&workflow, &format!("- name: {name}\n"), "run: |\n");
        let summary = ("GITHUB_STEP_SUMMARY", "summary.md");
        shell(
            &place,
            &["-e"],
            &script,
            &[("FORK", fork), ("IONROLLER_ROLE", role), ("GITHUB_BASE_REF", "main"), summary],
        )
    };
    let summary = || std::fs::read_to_string(place.repo().join("summary.md")).unwrap();
    step("Plan", "true", "arn").ended(0);
    assert!(summary().contains("| `hello` | release | `1.0.0` | `1.1.0` | replaced | at least "), "{}", summary());
    assert!(summary().contains("**Not complete.** Not known, for AWS was not asked"), "a fork has no credentials");
    assert!(!place.repo().join("plan.json").exists());
    step("Plan", "false", "").ended(0);
    assert!(!place.repo().join("plan.json").exists(), "nor has who set no role");
    step("Plan", "false", "arn").ended(0);
    assert!(summary().contains("| `hello` | create | – | `1.1.0` | new, 2 |"), "{}", summary());
    step("Comment", "false", "arn").ended(0);
    let comments = read(place.dir.path().join("comments"));
    assert!(comments.starts_with("comment plan.md --path conf/prod\n**prod**, "), "{comments}");
    // What was kept is what is applied once it is merged.
    place.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    place.run(&["apply", "--path", "conf/prod", "--plan", "plan.json"]).ended(0);
    break_it(&place);
    step("Plan", "false", "arn").ended(1);
    assert!(summary().contains("**error**"));
}

#[test]
fn the_action_plans_and_comments() {
    let place = place("none");
    assert!(!place.repo().join(".github").exists());
    let action = root("action.yml");
    release(&place);
    let temp = place.dir.path().display().to_string();
    let step = |name: &str, more: &[(&str, &str)]| {
        let script = block(&action, &format!("- name: {name}\n"), "run: |\n");
        let mut variables = vec![
            ("CONFIG", "conf/prod"),
            ("BASE", ""),
            ("GITHUB_BASE_REF", "main"),
            ("RUNNER_TEMP", temp.as_str()),
            ("GITHUB_OUTPUT", "../output"),
            ("GITHUB_STEP_SUMMARY", "../summary.md"),
        ];
        variables.extend(more);
        let _ = std::fs::remove_file(place.dir.path().join("output"));
        // As GitHub runs `shell: bash`.
        shell(&place, &["--noprofile", "--norc", "-eo", "pipefail"], &script, &variables)
    };
    let output = |name: &str| {
        let text = read(place.dir.path().join("output"));
        text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap_or_default().to_owned()
    };
    step("Check the files", &[]).ended(0);
    step("Plan", &[("OFFLINE", "auto")]).ended(0);
    assert_eq!((output("changes").as_str(), output("json").as_str()), ("true", ""), "nobody set credentials");
    step("Plan", &[("OFFLINE", "auto"), ("AWS_ACCESS_KEY_ID", "x")]).ended(0);
    assert_eq!(output("changes"), "true");
    let (markdown, json) = (output("markdown"), output("json"));
    assert!(
        read(PathBuf::from(&markdown)).contains("| `hello` | create |")
            && read(PathBuf::from(&json)).contains("\"id\"")
    );
    step("Comment", &[("MARKDOWN", &markdown)]).ended(0);
    assert!(read(place.dir.path().join("comments")).contains(" --path conf/prod\n**prod**, "));
    place.run(&["apply", "--path", "conf/prod"]).ended(0);
    step("Plan", &[("OFFLINE", "false"), ("BASE", "HEAD")]).ended(0);
    assert_eq!(output("changes"), "false");
    step("Plan", &[("OFFLINE", "true"), ("BASE", "HEAD")]).ended(0);
    assert_eq!(output("changes"), "false");
    break_it(&place);
    step("Plan", &[("OFFLINE", "false")]).ended(1);
    assert!(read(place.dir.path().join("summary.md")).contains("**error**") && !output("markdown").is_empty());
    step("Check the files", &[]).ended(1);
}

#[test]
fn the_gitlab_job_plans_and_comments() {
    let place = place("gitlab");
    let job = read(place.repo().join(".gitlab/ionroller-plan-prod.yml"));
    assert_eq!(read(place.repo().join(".gitlab-ci.yml")), "include:\n  - local: /.gitlab/ionroller-plan-prod.yml\n");
    place.git(&["branch", "--quiet", "topic"]);
    place.git(&["checkout", "--quiet", "topic"]);
    release(&place);
    let url = place.repo().display().to_string();
    place.git(&["clone", "--quiet", "--bare", &url, &format!("{url}.git")]);
    let run = |variables: &[(&str, &str)]| {
        let script = block(&job, "  script:\n", "    - |\n");
        let mut all = vec![
            ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"),
            ("CI_MERGE_REQUEST_PROJECT_URL", url.as_str()),
            ("CI_PROJECT_ID", "7"),
            ("TMPDIR", url.as_str()),
        ];
        all.extend(variables);
        shell(&place, &["-eo", "pipefail"], &script, &all)
    };
    let fork = run(&[("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "8"), ("IONROLLER_ROLE", "arn")]).ended(0);
    assert!(fork.stdout.contains("| `hello` | release | `1.0.0` | `1.1.0` |"), "{}", fork.stdout);
    assert!(!place.repo().join("plan.json").exists() && !place.dir.path().join("comments").exists());
    let own = [
        ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "7"),
        ("IONROLLER_ROLE", "arn"),
        ("IONROLLER_ID_TOKEN", "jwt"),
        ("GITLAB_TOKEN", "t"),
    ];
    let ran = run(&own).ended(0);
    assert!(ran.stdout.contains("| `hello` | create | – | `1.1.0` |"), "{}", ran.stdout);
    assert_eq!(read(place.repo().join("ionroller-id-token")), "jwt");
    assert!(read(place.dir.path().join("comments")).starts_with("comment plan.md --path conf/prod\n**prod**, "));
    assert!(place.repo().join("plan.json").exists());
    break_it(&place);
    run(&own).ended(1);
}

#[test]
fn the_pre_commit_hooks_check_the_files() {
    let place = place("pre-commit");
    let config = read(place.repo().join(".pre-commit-config.yaml"));
    assert!(config.contains("entry: ionroller validate conf/prod\n"), "{config}");
    assert!(config.contains(r"files: ^conf/prod/(ionroller\.toml|services/.*|files/.*)$"), "{config}");
    // What is there stays, and what belongs into it is said.
    let again = place.bare(&["init", "conf/test", "--scope", "test", "--ci", "pre-commit"]).ended(0);
    assert!(again.stderr.contains(".pre-commit-config.yaml is there already, and stays"), "{}", again.stderr);
    assert!(again.stderr.contains("entry: ionroller validate conf/test\n"), "{}", again.stderr);
    let Some(pre_commit) = tool("pre-commit") else { return };
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join(".pre-commit-hooks.yaml");
    let valid = Command::new(&pre_commit).arg("validate-manifest").arg(hooks).output().unwrap();
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stdout));
    place.git(&["add", "--all"]);
    let run = format!("{} run --all-files", pre_commit.display());
    shell(&place, &["-e"], &run, &[]).ended(0);
    break_it(&place);
    let failed = shell(&place, &["-e"], &run, &[]).ended(1);
    assert!(failed.stdout.contains("unknown key `nonsense`"), "{}", failed.stdout);
}

/// A tool of the environment that `scripts/checks-venv` makes; none, said aloud, without it.
fn tool(name: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_ionroller")).parent()?.parent()?;
    let path = target.join("checks-venv/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: scripts/checks-venv was not run, so there is no {name}");
    None
}

#[test]
fn the_published_schemas_take_the_yaml() {
    let Some(judge) = tool("check-jsonschema") else { return };
    let (github, gitlab) = (place("github"), place("gitlab"));
    let workflow = github.repo().join(".github/workflows/ionroller-plan-prod.yml");
    let job = gitlab.repo().join(".gitlab/ionroller-plan-prod.yml");
    let action = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
    let wrong = github.dir.path().join("wrong.yml");
    std::fs::write(&wrong, read(workflow.clone()).replace("runs-on:", "run-on:")).unwrap();
    for (schema, file, good) in [
        ("vendor.github-workflows", &workflow, true),
        ("vendor.github-actions", &action, true),
        ("vendor.gitlab-ci", &job, true),
        ("vendor.github-workflows", &wrong, false),
    ] {
        let transform =
            if schema == "vendor.gitlab-ci" { ["--data-transform", "gitlab-ci"] } else { ["--color", "never"] };
        let mut command = Command::new(&judge);
        let said = command.args(["--builtin-schema", schema]).args(transform).arg(file).output().unwrap();
        assert_eq!(said.status.success(), good, "{}", String::from_utf8_lossy(&said.stdout));
    }
}

/// The comment as GitHub shows it: every block is closed, and the table is a table.
#[test]
fn a_plan_is_markdown_as_github_reads_it() {
    let Some(python) = tool("python") else { return };
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.git(&["checkout", "--quiet", "-b", "topic"]);
    place.release("2026.03.2");
    std::fs::write(place.repo().join("services/search.toml"), "nonsense = \"@all | `x` </details>\"\n").unwrap();
    place.commit("a mistake");
    let said = place.run(&["plan", "--base", "main", "-o", "markdown"]).ended(0).stdout;
    let script = "import sys, cmarkgfm\nfrom cmarkgfm.cmark import Options\n\
                  sys.stdout.write(cmarkgfm.github_flavored_markdown_to_html(sys.stdin.read(), options=Options.CMARK_OPT_UNSAFE))";
    std::fs::write(place.dir.path().join("plan.md"), &said).unwrap();
    let file = std::fs::File::open(place.dir.path().join("plan.md")).unwrap();
    let output = Command::new(python).args(["-c", script]).stdin(file).output().unwrap();
    let html = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(html.matches("<table>").count(), 1, "{html}");
    // The heading, and a row for each service that the merge touches.
    assert_eq!(html.matches("<tr>").count(), 3, "{html}");
    assert_eq!(html.matches("<td>").count(), 2 * 7, "{html}");
    assert_eq!((html.matches("<details>").count(), html.matches("</details>").count()), (4, 4), "{html}");
    assert_eq!(html.matches("<pre").count(), 4, "{html}");
    assert!(!html.contains("```") && !html.contains("| `"), "{html}");
}
