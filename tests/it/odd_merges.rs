//! `plan --base` on repositories that CI and people really have, and on files that are none.

use crate::harness::place::{Place, Ran};

/// `topic` is one release ahead of `main`, which has another commit of its own.
fn diverged() -> Place {
    let place = Place::new();
    place.git(&["checkout", "--quiet", "-b", "topic"]);
    place.release("2026.03.2");
    place.git(&["checkout", "--quiet", "main"]);
    std::fs::write(place.repo().join("notes"), "main\n").unwrap();
    place.commit("notes");
    place
}

fn offline(place: &Place, args: &[&str]) -> Ran {
    place.bare(&[&["plan", "--offline", "-o", "json"], args].concat())
}

#[track_caller]
fn plans_the_release(ran: Ran) {
    let plan = ran.ended(0).json();
    let changes: Vec<&str> =
        plan["services"].as_array().unwrap().iter().map(|service| service["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["none", "none", "none", "release"], "checkout, mailer, search, website");
}

#[test]
fn a_merge_ref_a_detached_head_and_a_shallow_clone() {
    let place = diverged();
    place.git(&["checkout", "--quiet", "--detach", "main"]);
    place.git(&["merge", "--quiet", "--no-ff", "-m", "merge", "topic"]);
    place.git(&["update-ref", "refs/pull/1/merge", "HEAD"]);
    // As CI has it: the merge, detached, with all history.
    plans_the_release(offline(&place, &["--base", "main"]));
    plans_the_release(offline(&place, &["--base", "main", "--ref", "refs/pull/1/merge"]));
    plans_the_release(offline(&place, &["--base", "main", "--ref", "topic"]));
    // As CI has it by default: two commits, and none of what lies between them.
    let remote = format!("file://{}", place.repo().display());
    let clone = Place { dir: tempfile::TempDir::new().unwrap() };
    std::fs::create_dir(clone.repo()).unwrap();
    clone.git(&["init", "--quiet", "."]);
    clone.git(&["fetch", "--quiet", "--depth=1", &remote, "+refs/pull/1/merge:refs/remotes/pull/1/merge"]);
    clone.git(&["checkout", "--quiet", "--detach", "refs/remotes/pull/1/merge"]);
    let absent = offline(&clone, &["--base", "origin/main"]).ended(1);
    assert!(absent.stderr.contains("there is no revision `origin/main`"), "{}", absent.stderr);
    clone.git(&["fetch", "--quiet", "--depth=1", &remote, "+refs/heads/main:refs/remotes/origin/main"]);
    let ran = offline(&clone, &["--base", "origin/main"]);
    assert!(ran.stdout.contains("this is a shallow clone"), "{}", ran.stdout);
    plans_the_release(ran);
    // The branch itself does not name the base: that is said, with what to do.
    clone.git(&["fetch", "--quiet", "--depth=1", &remote, "+refs/heads/topic:refs/remotes/origin/topic"]);
    let cut = offline(&clone, &["--base", "origin/main", "--ref", "origin/topic"]).ended(1);
    assert!(cut.stderr.contains("git fetch --unshallow"), "{}", cut.stderr);
    clone.git(&["fetch", "--quiet", "--deepen=5", &remote, "main", "topic"]);
    plans_the_release(offline(&clone, &["--base", "origin/main", "--ref", "origin/topic"]));
}

/// Each is an error at its service, and says nothing of the others.
#[test]
fn files_that_are_none() {
    let place = diverged();
    place.git(&["checkout", "--quiet", "topic"]);
    let services = place.repo().join("services");
    std::os::unix::fs::symlink("../../../etc/passwd", services.join("link.toml")).unwrap();
    std::fs::create_dir(services.join("folder.toml")).unwrap();
    std::fs::write(services.join("folder.toml/x"), "x").unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    std::fs::write(services.join("pointer.toml"), pointer).unwrap();
    std::fs::write(place.repo().join("files/checkout.sh"), pointer).unwrap();
    place.git(&["add", "--all"]);
    place.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        "160000,0123456789012345678901234567890123456789,services/module.toml",
    ]);
    place.git(&["commit", "--quiet", "-m", "odd"]);
    let plan = offline(&place, &["--base", "main"]).ended(0).json();
    let found: Vec<String> = plan["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| format!("{}: {}", problem["file"].as_str().unwrap(), problem["message"].as_str().unwrap()))
        .collect();
    expect_test::expect![[r#"
        services/checkout.toml: files/checkout.sh is a pointer of Git LFS, and the file itself is not in the commit
        services/folder.toml: not read: it is a folder
        services/link.toml: not read: it is a symbolic link to ../../../etc/passwd; links are not followed
        services/module.toml: not read: it is a submodule, whose files are in another repository
        services/pointer.toml: not read: it is a pointer of Git LFS, and the file itself is not in the commit
    "#]]
    .assert_eq(&format!("{}\n", found.join("\n")));
    for name in ["checkout", "folder", "link", "module", "pointer"] {
        let service = plan["services"].as_array().unwrap().iter().find(|service| service["name"] == name).unwrap();
        assert_eq!((&service["change"], &service["touched"]), (&"blocked".into(), &true.into()), "{name}");
    }
    assert!(!plan.to_string().contains("12345"));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark() {
    let place = diverged();
    place.git(&["checkout", "--quiet", "topic"]);
    let file = place.repo().join("services/search.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    place.git(&["config", "core.autocrlf", "false"]);
    place.commit("windows");
    let plan = offline(&place, &["--base", "main"]).ended(0).json();
    let search = plan["services"].as_array().unwrap().iter().find(|service| service["name"] == "search").unwrap();
    assert_eq!(
        (&search["change"], &search["touched"], &search["changed_keys"]),
        (&"none".into(), &true.into(), &serde_json::json!([]))
    );
    assert!(!search["file_diff"].as_str().unwrap().contains("example-search-index"));
}

/// Only what the plan needs is read: the limit is far below the file.
#[test]
fn a_gigabyte_beside_the_files_costs_no_memory() {
    let place = diverged();
    place.git(&["checkout", "--quiet", "topic"]);
    let sparse = std::fs::File::create(place.repo().join("services/disk.toml")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    place.git(&["-c", "core.compression=1", "add", "--all"]);
    let disk = place.command("git").args(["rev-parse", ":services/disk.toml"]).output().unwrap();
    let disk = format!("100644,{},disk.img", String::from_utf8(disk.stdout).unwrap().trim());
    place.git(&["update-index", "--add", "--cacheinfo", &disk]);
    place.git(&["commit", "--quiet", "-m", "a disk"]);
    let script = "ulimit -v 700000; exec \"$0\" plan --offline --base main -o json";
    let ran = place.command("bash").args(["-c", script, env!("CARGO_BIN_EXE_ionroller")]).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("services/disk.toml") && said.contains("1073741824 bytes"), "{said}");
}
