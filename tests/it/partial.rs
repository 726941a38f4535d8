//! Clones that lack objects: a rule that needs what is missing refuses, and never passes.

use std::process::Command;

use crate::harness::place::{Place, Ran};

const DIGESTS: [char; 2] = ['a', 'b'];

/// A repository whose `website` changes its version beside the digest of the version before.
fn place() -> Place {
    let place = Place::new();
    write(&place, "2.0.0", DIGESTS[0]);
    place.commit("2.0.0");
    write(&place, "2.1.0", DIGESTS[0]);
    place.commit("a new version and the old build");
    place
}

fn write(place: &Place, version: &str, digest: char) {
    let file = place.repo().join("services/website.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| match line.split_once(" = ") {
        Some(("version", _)) => format!("version = \"{version}\""),
        Some(("digest", _)) => format!("digest = \"sha256:{}\"", digest.to_string().repeat(64)),
        _ => line.to_owned(),
    });
    std::fs::write(file, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
}

/// Clones it with `git clone ARGS`, and runs a command there.
fn clone(place: &Place, name: &str, args: &[&str]) {
    place.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", place.repo().display());
    let to = place.dir.path().join(name).display().to_string();
    place.git(&[&["clone", "--quiet"], args, &[url.as_str(), to.as_str()]].concat());
}

fn run(place: &Place, name: &str, args: &[&str]) -> Ran {
    let mut command: Command = place.command(env!("CARGO_BIN_EXE_ionroller"));
    let output = command.current_dir(place.dir.path().join(name)).args(args).output().unwrap();
    Ran {
        command: args[0].to_owned(),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_version_beside_an_old_digest_is_refused_in_every_clone() {
    let place = place();
    let lacking = "whether image.digest came with this version can't be told";
    for (name, args, expected) in [
        ("whole", &[][..], "image.digest is still the build that came with 2.0.0"),
        ("blobless", &["--filter=blob:none"], lacking),
        ("treeless", &["--filter=tree:0"], lacking),
    ] {
        clone(&place, name, args);
        let ran = run(&place, name, &["plan", "--offline"]);
        // Lines are broken where the terminal ends.
        let said = (ran.stdout + &ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(expected) && said.contains("website – blocked"), "{name}: {said}");
    }
}

#[test]
fn nothing_is_rolled_back_by_what_is_missing() {
    let place = place();
    write(&place, "2.2.0", DIGESTS[1]);
    place.commit("2.2.0");
    write(&place, "2.3.0", 'c');
    place.commit("2.3.0");
    for (name, args) in [("blobless", "--filter=blob:none"), ("treeless", "--filter=tree:0")] {
        clone(&place, name, &[args]);
        let before = run(&place, name, &["rollback", "website", "--to", "2.2.0"]);
        let said = before.stdout.clone() + &before.stderr;
        assert!(before.code == 1 && said.contains("damaged or a partial clone"), "{name}: {said}");
    }
}
