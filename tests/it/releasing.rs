//! `release` and `rollback`: what they commit, and what they refuse.

use expect_test::expect;
use serde_json::Value;

use crate::harness::place::{Place, Ran};

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

impl Place {
    /// What git prints.
    fn git_says(&self, args: &[&str]) -> String {
        let output = self.command("git").args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn head(&self) -> String {
        self.git_says(&["rev-parse", "HEAD"])
    }

    fn file(&self, path: &str) -> String {
        std::fs::read_to_string(self.repo().join(path)).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.repo().join(path), text).unwrap();
    }

    /// The lines that the last commit took away and added.
    fn changed(&self) -> Vec<String> {
        let diff = self.git_says(&["show", "--format=", "-U0", "HEAD"]);
        let changed = diff.lines().filter(|line| line.starts_with(['+', '-']) && !line.contains("/services/"));
        changed.map(str::to_owned).collect()
    }

    /// Fails, and commits nothing.
    fn refuses(&self, args: &[&str]) -> Ran {
        let before = (self.head(), self.git_says(&["status", "--porcelain"]));
        let ran = self.run(args).ended(1);
        assert_eq!(before, (self.head(), self.git_says(&["status", "--porcelain"])), "{args:?}");
        ran
    }
}

#[test]
fn a_release_changes_one_line_and_commits_it() {
    let place = Place::new();
    let ran = place.run(&["release", "search", "1.5.0"]).ended(0);
    assert!(ran.stdout.starts_with("search  1.4.0 → 1.5.0   committed on main as "), "{}", ran.stdout);
    assert_eq!(ran.stderr, "", "without a remote there is nothing to push to");
    expect![[r#"
        t <t@example.com>
        search: release 1.5.0

        It follows 1.4.0.

        Ionroller-Release: search 1.5.0

    "#]]
    .assert_eq(&place.git_says(&["show", "--format=%an <%ae>%n%B", "--no-patch", "HEAD"]));
    assert_eq!(place.changed(), ["-version = \"1.4.0\"", "+version = \"1.5.0\""]);
    assert_eq!(place.git_says(&["status", "--porcelain"]), "");
    let trailers = place.git_says(&["log", "-1", "--format=%(trailers:key=Ionroller-Release)"]);
    assert_eq!(trailers.trim(), "Ionroller-Release: search 1.5.0");
}

#[test]
fn a_release_leaves_other_work_alone() {
    let place = Place::new();
    place.write("services/website.toml", &(place.file("services/website.toml") + "# mine\n"));
    place.git(&["add", "services/website.toml"]);
    place.write("notes", "mine");
    place.run(&["release", "search", "1.5.0"]).ended(0);
    assert_eq!(place.git_says(&["show", "--name-only", "--format=", "HEAD"]), "services/search.toml\n");
    assert_eq!(place.git_says(&["status", "--porcelain"]), "M  services/website.toml\n?? notes\n");
}

#[test]
fn a_pinned_image_needs_its_digest() {
    let place = Place::new();
    let refused = place.refuses(&["release", "checkout", "2.8.0"]);
    assert!(refused.stderr.contains("--digest"), "{}", refused.stderr);
    let wrong = place.refuses(&["release", "checkout", "2.8.0", "--digest", "sha256:12"]);
    assert!(wrong.stderr.contains("services/checkout.toml:"), "{}", wrong.stderr);
    let ran = place.run(&["release", "checkout", "2.8.0", "--digest", DIGEST, "-o", "json"]).ended(0).json();
    let fields = ["format_version", "service", "from", "to", "commit", "branch", "pushed_to", "pull_request"];
    assert_eq!(ran.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().len(), fields.len());
    assert_eq!((&ran["from"], &ran["to"], &ran["pushed_to"]), (&"2.7.1".into(), &"2.8.0".into(), &Value::Null));
    let changed = place.changed();
    assert_eq!(changed[0..2], ["-version = \"2.7.1\"", "+version = \"2.8.0\""]);
    assert_eq!(changed[3..], [format!("+digest = \"{DIGEST}\"")]);
    place.refuses(&["release", "checkout", "2.9.0", "--digest", DIGEST]);
}

/// A new file claims the place of a live service, which releases and goes back all the same.
#[test]
fn a_service_whose_place_another_file_claims_releases_and_goes_back() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    let text = place.file("services/search.toml").replace("search.", "copy.");
    place.write("services/copy.toml", &text);
    place.commit("a copy, with the same priority");
    for (args, version) in
        [(&["release", "search", "1.5.0"][..], "1.5.0"), (&["rollback", "search", "--to", "1.4.0"], "1.4.0")]
    {
        let ran = place.run(args).ended(0);
        assert!(ran.stderr.contains("services/copy.toml"), "{}", ran.stderr);
        let applied = place.run(&["apply", "-o", "json"]).ended(1).json();
        let services = applied["services"].as_array().unwrap();
        let service = |name: &str| services.iter().find(|service| service["name"] == name).unwrap();
        assert_eq!(service("search")["live"]["version"], version);
        assert_eq!(service("copy")["waiting_on"]["reason"], "invalid");
        assert!(applied["diagnostics"].to_string().contains("search has it in AWS and keeps it"), "{applied:#}");
        assert_eq!(applied["diagnostics"].as_array().unwrap().len(), 1);
    }
    // Without AWS nobody knows whose it is.
    let offline = place.bare(&["validate", "-o", "json"]).ended(1).json();
    assert_eq!(offline["diagnostics"].as_array().unwrap().len(), 2);
}

#[test]
fn what_release_refuses() {
    let place = Place::new();
    let unknown = place.refuses(&["release", "serach", "1.5.0"]);
    assert!(unknown.stderr.contains("did you mean `search`?"), "{}", unknown.stderr);
    let same = place.refuses(&["release", "search", "1.4.0"]);
    assert!(same.stderr.contains("says 1.4.0 already"), "{}", same.stderr);
    place.write("services/search.toml", &(place.file("services/search.toml") + "# half done\n"));
    let dirty = place.refuses(&["release", "search", "1.5.0"]);
    assert!(dirty.stderr.contains("not committed"), "{}", dirty.stderr);
    place.git(&["stash", "--quiet"]);
    place.write("services/search.toml", "version = \"1\"\nnonsense = 1\n");
    place.commit("a typo");
    let broken = place.refuses(&["release", "search", "1.5.0"]);
    assert!(broken.stderr.contains("nonsense"), "{}", broken.stderr);
    place.git(&["checkout", "--quiet", "--detach", "HEAD~1"]);
    let detached = place.refuses(&["release", "search", "1.5.0"]);
    assert!(detached.stderr.contains("--branch"), "{}", detached.stderr);
    place.run(&["release", "search", "1.5.0", "--branch", "no..good"]).ended(1);
    place.run(&["release", "search", "one two"]).ended(64);
    let remote = format!("file://{}", place.repo().display());
    place.run(&["release", "search", "1.5.0", "--repo", &remote]).ended(64);
}

#[test]
fn nobody_to_commit_as_is_said_before_anything_is_done() {
    let place = Place::new();
    let before = place.head();
    let mut command = place.command(env!("CARGO_BIN_EXE_ionroller"));
    for role in ["AUTHOR", "COMMITTER"] {
        command.env_remove(format!("GIT_{role}_NAME")).env_remove(format!("GIT_{role}_EMAIL"));
    }
    let output = command.args(["release", "search", "1.5.0"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("git config --global user.name"), "{said}");
    assert_eq!((place.head(), place.git_says(&["status", "--porcelain"])), (before, String::new()));
}

#[test]
fn a_release_on_a_branch_of_its_own_is_pushed() {
    let place = Place::new();
    let main = place.head();
    let none = place.run(&["release", "search", "1.5.0", "--push"]).ended(1);
    assert!(none.stderr.contains("git remote add"), "{}", none.stderr);
    place.git(&["init", "--quiet", "--bare", "../origin.git"]);
    place.git(&["remote", "add", "origin", "../origin.git"]);
    place.git(&["push", "--quiet", "origin", "main"]);
    place.run(&["release", "search", "1.5.0", "--branch", "release/search", "--push"]).ended(0);
    assert_eq!((place.head(), place.git_says(&["status", "--porcelain"])), (main.clone(), String::new()));
    let pushed = place.git_says(&["--git-dir", "../origin.git", "log", "--format=%s", "release/search"]);
    assert_eq!(pushed, "search: release 1.5.0\nfirst releases\n");
    // Once more: the branch is there, and goes on.
    let ran = place.run(&["release", "search", "1.5.1", "--branch", "release/search"]).ended(0);
    assert!(ran.stderr.contains("git push origin release/search"), "{}", ran.stderr);
    assert_eq!(place.git_says(&["rev-parse", "release/search~2"]), main);
    // A remote that has moved on takes nothing, and the commit stays here.
    place.git(&["update-ref", "refs/heads/elsewhere", "release/search"]);
    place.git(&["push", "--quiet", "origin", "elsewhere:main"]);
    let refused = place.run(&["release", "website", "2026.04.1", "--digest", DIGEST, "--push"]).ended(1);
    assert!(refused.stderr.contains("git pull --rebase"), "{}", refused.stderr);
    assert!(refused.stderr.contains("and not pushed"), "{}", refused.stderr);
    place.git(&["worktree", "add", "--quiet", "../other", "release/search"]);
    let shown = place.run(&["release", "search", "1.6.0", "--branch", "release/search"]).ended(1);
    assert!(shown.stderr.contains("another worktree"), "{}", shown.stderr);
}

#[test]
fn git_s_own_settings_are_kept() {
    let place = Place::new();
    let config = [
        ("core.autocrlf", "true"),
        ("author.name", "Ann"),
        ("committer.email", "bot@example.com"),
        ("commit.gpgSign", "true"),
    ];
    for (key, value) in config {
        place.git(&["config", key, value]);
    }
    std::fs::remove_file(place.repo().join("services/search.toml")).unwrap();
    place.git(&["checkout", "--", "services/search.toml"]);
    assert!(place.file("services/search.toml").contains("\r\n"));
    let mut command = place.command(env!("CARGO_BIN_EXE_ionroller"));
    command.env_remove("GIT_AUTHOR_NAME").env_remove("GIT_COMMITTER_EMAIL");
    place.git(&["config", "user.name", "nobody"]);
    place.git(&["config", "user.email", "nobody@example.com"]);
    let output = command.args(["release", "search", "1.5.0"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("not signed"), "{said}");
    // The working folder has its own line ends, and the commit has git's.
    assert!(place.file("services/search.toml").contains("version = \"1.5.0\"\r\n"));
    assert!(!place.git_says(&["show", "HEAD:services/search.toml"]).contains('\r'));
    assert_eq!(place.git_says(&["status", "--porcelain"]), "");
    let people = place.git_says(&["log", "-1", "--format=%an %ae %cn %ce"]);
    assert_eq!(people, "Ann t@example.com t bot@example.com\n");
}

#[test]
fn a_release_from_a_linked_worktree_and_into_a_bare_repository() {
    let place = Place::new();
    place.git(&["worktree", "add", "--quiet", "-b", "topic", "../linked"]);
    place.run(&["release", "search", "1.5.0", "--repo", "../linked"]).ended(0);
    assert_eq!(place.git_says(&["log", "-1", "--format=%s", "topic"]), "search: release 1.5.0\n");
    assert_eq!(place.git_says(&["-C", "../linked", "status", "--porcelain"]), "");
    place.git(&["clone", "--quiet", "--bare", ".", "../bare.git"]);
    place.run(&["release", "search", "1.6.0", "--repo", "../bare.git", "--branch", "main"]).ended(0);
    let log = place.git_says(&["--git-dir", "../bare.git", "log", "-1", "--format=%s", "main"]);
    assert_eq!(log, "search: release 1.6.0\n");
}

#[test]
fn a_release_in_the_middle_of_a_merge_is_refused() {
    let place = Place::new();
    place.git(&["branch", "other"]);
    place.run(&["release", "search", "1.5.0", "--branch", "other"]).ended(0);
    place.run(&["release", "website", "2026.04.1", "--digest", DIGEST]).ended(0);
    place.git(&["merge", "--quiet", "--no-commit", "other"]);
    let busy = place.refuses(&["release", "website", "2026.04.2", "--digest", &DIGEST.replace('1', "2")]);
    assert!(busy.stderr.contains("a merge is under way"), "{}", busy.stderr);
}

#[test]
fn a_freeze_is_no_reason_not_to_commit() {
    let place = Place::new();
    let scope =
        place.file("ionroller.toml").replace("2030-11-29", "2025-12-31").replace("[\"checkout\"]", "[\"search\"]");
    place.write("ionroller.toml", &scope);
    place.commit("freeze");
    // The simulated clock counts, once there is a world.
    place.run(&["apply", "--once", "--service", "website"]).ended(0);
    let ran = place.run(&["release", "search", "1.5.0"]).ended(0);
    assert!(ran.stderr.contains("search is frozen (black friday)"), "{}", ran.stderr);
}

/// A release that is applied.
fn released(place: &Place, version: &str) {
    place.run(&["release", "search", version]).ended(0);
    place.run(&["apply", "--service", "search"]).ended(0);
}

#[test]
fn a_rollback_goes_to_what_was_stable() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    let none = place.refuses(&["rollback", "search"]);
    assert!(none.stderr.contains("nothing to roll back to"), "{}", none.stderr);
    let before = place.file("services/search.toml");
    released(&place, "1.5.0");
    let ran = place.run(&["rollback", "search"]).ended(0);
    assert!(ran.stdout.starts_with("search  1.5.0 → 1.4.0   committed on main as "), "{}", ran.stdout);
    assert_eq!(place.file("services/search.toml"), before);
    let reverted = place.git_says(&["rev-parse", "HEAD~1"]);
    assert_eq!(
        place.git_says(&["show", "--no-patch", "--format=%B", "HEAD"]).trim_end(),
        format!(
            "search: roll back to 1.4.0\n\nIn services/search.toml:\nThis reverts commit {} (search: release 1.5.0).\n\n\
             Ionroller-Rollback: search 1.4.0",
            reverted.trim()
        )
    );
    // Said twice, it does not go forward again.
    let again = place.refuses(&["rollback", "search"]);
    assert!(again.stderr.contains("asks for 1.4.0 already"), "{}", again.stderr);
    let plan = place.run(&["plan", "-o", "json", "--service", "search"]).ended(0).json();
    assert_eq!(
        (&plan["services"][0]["change"], &plan["services"][0]["rollback"]),
        (&"rollback".into(), &"instant".into())
    );
    place.run(&["apply"]).ended(0);
    assert_eq!(place.service("search")["live"]["version"], "1.4.0");
    // 1.5.0 was left, so it is nothing to go back to.
    place.refuses(&["rollback", "search"]);
}

#[test]
fn a_rollback_in_mid_rollout_goes_to_live() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    released(&place, "1.5.0");
    place.run(&["release", "search", "1.6.0"]).ended(0);
    place.run(&["apply", "--service", "search", "--timeout", "4m"]).ended(1);
    place.run(&["rollback", "search", "-o", "json"]).ended(0);
    assert!(place.file("services/search.toml").contains("version = \"1.5.0\""));
}

#[test]
fn a_rollback_keeps_settings_that_came_later() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    released(&place, "1.5.0");
    place.write("services/search.toml", &place.file("services/search.toml").replace("min = 3", "min = 4"));
    place.commit("more machines");
    place.run(&["rollback", "search"]).ended(0);
    let text = place.file("services/search.toml");
    assert!(text.contains("version = \"1.4.0\"") && text.contains("min = 4"), "{text}");
}

#[test]
fn a_rollback_to_a_version_takes_several_commits_out() {
    let place = Place::new();
    let before = place.file("services/search.toml");
    for version in ["1.5.0", "1.6.0"] {
        place.run(&["release", "search", version]).ended(0);
    }
    let unknown = place.refuses(&["rollback", "search", "--to", "0.9"]);
    assert!(unknown.stderr.contains("0.9"), "{}", unknown.stderr);
    place.refuses(&["rollback", "search", "--to", "1.6.0"]);
    place.run(&["rollback", "search", "--to", "1.4.0"]).ended(0);
    assert_eq!(place.file("services/search.toml"), before);
    let said = place.git_says(&["show", "--no-patch", "--format=%b", "HEAD"]);
    assert_eq!(said.matches("This reverts commit").count(), 2, "{said}");
}

#[test]
fn without_aws_a_rollback_goes_by_git() {
    let place = Place::new();
    place.run(&["release", "search", "1.5.0"]).ended(0);
    place.write("world.json", "no world");
    let ran = place.bare(&["rollback", "search", "--cloud", "sim:world.json"]).ended(0);
    assert!(ran.stderr.contains("Git says what was before"), "{}", ran.stderr);
    assert!(place.file("services/search.toml").contains("version = \"1.4.0\""));
}

#[test]
fn a_rollback_with_a_conflict_does_nothing() {
    let place = Place::new();
    place.run(&["release", "search", "1.5.0"]).ended(0);
    // The neighbouring line changes with the settings, so the change can't be taken out alone.
    let text = place
        .file("services/search.toml")
        .replace("version = \"1.5.0\"", "paused = \"look\"\nversion = \"1.5.0\" # ours");
    place.write("services/search.toml", &text);
    place.commit("a note");
    let ran = place.refuses(&["rollback", "search", "--to", "1.4.0"]);
    assert!(ran.stderr.contains("conflict") && ran.stderr.contains("git revert"), "{}", ran.stderr);
}

#[test]
fn a_rollback_takes_out_what_a_merge_brought() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    let before = place.file("services/search.toml");
    // As a pull request is merged, with another commit in between.
    place.run(&["release", "search", "1.5.0", "--branch", "pr"]).ended(0);
    place.run(&["release", "search", "1.5.1", "--branch", "pr"]).ended(0);
    place.write("notes", "x");
    place.commit("notes");
    place.git(&["merge", "--quiet", "--no-ff", "--message", "Merge pull request 1", "pr"]);
    place.run(&["apply"]).ended(0);
    place.run(&["rollback", "search"]).ended(0);
    assert_eq!(place.file("services/search.toml"), before);
    let said = place.git_says(&["show", "--no-patch", "--format=%b", "HEAD"]);
    assert_eq!(said.matches("This reverts commit").count(), 2, "{said}");
}

#[test]
fn a_rollback_keeps_what_the_other_side_of_a_merge_changed() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.run(&["release", "search", "1.5.0", "--branch", "pr"]).ended(0);
    place.write("services/search.toml", &place.file("services/search.toml").replace("min = 3", "min = 4"));
    place.commit("more machines");
    // Both sides changed the file: the merge made something new.
    place.git(&["merge", "--quiet", "--no-ff", "--message", "Merge pull request 2", "pr"]);
    place.run(&["apply"]).ended(0);
    place.run(&["rollback", "search"]).ended(0);
    let text = place.file("services/search.toml");
    assert!(text.contains("version = \"1.4.0\"") && text.contains("min = 4"), "{text}");
    let said = place.git_says(&["show", "--no-patch", "--format=%b", "HEAD"]);
    assert!(said.contains("(Merge pull request 2)"), "{said}");
}

/// The pull request began before the last release, and its conflict was solved by taking its
/// own line: history, simplified, never had what ran before.
#[test]
fn a_rollback_finds_a_release_that_only_the_branch_itself_had() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.git(&["branch", "pr"]);
    released(&place, "1.5.0");
    let before = place.file("services/search.toml");
    place.run(&["release", "search", "1.6.0", "--branch", "pr"]).ended(0);
    place.git(&["merge", "--quiet", "--no-ff", "-X", "theirs", "--message", "Merge pull request 3", "pr"]);
    assert!(place.file("services/search.toml").contains("version = \"1.6.0\""));
    place.run(&["apply"]).ended(0);
    place.run(&["rollback", "search"]).ended(0);
    assert_eq!(place.file("services/search.toml"), before);
    place.run(&["apply"]).ended(0);
    assert_eq!(place.service("search")["live"]["version"], "1.5.0");
}

#[test]
fn a_conflict_after_a_merge_leaves_nothing_behind() {
    let place = Place::new();
    place.run(&["release", "search", "1.5.0", "--branch", "pr"]).ended(0);
    place.git(&["merge", "--quiet", "--no-ff", "--message", "Merge pull request 4", "pr"]);
    let text = place.file("services/search.toml").replace("version = \"1.5.0\"", "version = \"1.5.0\" # ours");
    place.write("services/search.toml", &text);
    place.commit("a note");
    let objects = || std::fs::read_dir(place.repo().join(".git/objects")).unwrap().count();
    let before = objects();
    let refused = place.refuses(&["rollback", "search", "--to", "1.4.0", "--branch", "back"]);
    assert!(refused.stderr.contains("conflict") && refused.stderr.contains("git revert"), "{}", refused.stderr);
    assert_eq!((objects(), place.git_says(&["branch", "--list", "back"])), (before, String::new()));
}

#[test]
fn a_change_of_the_defaults_is_no_change_of_the_file() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    let scope = place.file("ionroller.toml").replace("sg-0c3d4e5f607182930", "sg-0c3d4e5f607182931");
    place.write("ionroller.toml", &scope);
    place.commit("another security group");
    place.run(&["apply"]).ended(0);
    let ran = place.refuses(&["rollback", "search"]);
    assert!(ran.stderr.contains("ionroller.toml"), "{}", ran.stderr);
    // With a change of the file on top, the old release can't come back as it was.
    released(&place, "1.5.0");
    place.run(&["rollback", "search"]).ended(0);
    assert!(place.file("services/search.toml").contains("version = \"1.4.0\""));
}

#[test]
fn history_knows_what_became_of_each_release() {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    released(&place, "1.5.0");
    place.run(&["rollback", "search"]).ended(0);
    place.run(&["apply"]).ended(0);
    let json = place.run(&["history", "search", "-o", "json"]).ended(0).json();
    let seen: Vec<(&str, &str, usize)> = json["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            (r["version"].as_str().unwrap(), r["outcome"].as_str().unwrap(), r["commits"].as_array().unwrap().len())
        })
        .collect();
    assert_eq!(seen, [("1.4.0", "live", 2), ("1.5.0", "rolled-back", 1)]);
    let text = place.run(&["history", "search"]).ended(0).stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let shape: Vec<&str> = text.lines().map(|line| line.split_once("  ").map_or(line, |(first, _)| first)).collect();
    assert_eq!(shape[2], "1.4.0", "{text}");
    assert!(text.contains("  t  search: roll back to 1.4.0\n"), "{text}");
    let typo = place.run(&["history", "serach"]).ended(1);
    assert!(typo.stderr.contains("did you mean `search`?"), "{}", typo.stderr);
}
