//! Files that are no good as samples: too large, no files at all, links that lead away.
//! They are made on disk and read as `ionroller validate` reads them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use ionroller::desired::spec::{Desired, ServiceFile};
use ionroller::desired::{DIAGNOSTICS_MAX, FILE_DIAGNOSTICS_MAX, load};
use ionroller::git;
use ionroller::render::text::{Style, diagnostics};

/// A copy of a valid folder with a script, to be spoilt.
struct Folder {
    dir: tempfile::TempDir,
}

const MIB: usize = 1024 * 1024;

impl Folder {
    fn new() -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sample-configs/valid/every-key");
        for file in ["ionroller.toml", "services/shop.toml", "files/shop.sh"] {
            std::fs::create_dir_all(folder.path(file).parent().unwrap()).unwrap();
            std::fs::copy(sample.join(file), folder.path(file)).unwrap();
        }
        folder
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join("config").join(below)
    }

    fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(below), content).unwrap();
    }

    fn read(&self, below: &str) -> String {
        std::fs::read_to_string(self.path(below)).unwrap()
    }

    fn load(&self) -> Desired {
        load(&git::read_folder(&self.path("")).unwrap(), None)
    }

    /// The diagnostics, and that the service `name` is there and broken.
    #[track_caller]
    fn breaks(&self, name: &str, expected: Expect) {
        let desired = self.load();
        expected.assert_eq(&rendered(&desired));
        let file = desired.services.iter().find(|(service, _)| service.as_str() == name);
        assert!(matches!(file, Some((_, ServiceFile::Broken))), "{name} must be broken, not gone");
    }
}

fn rendered(desired: &Desired) -> String {
    diagnostics(&desired.diagnostics, Style { color: false, verbose: 0, width: 80 })
}

#[test]
fn the_folder_is_good_before_it_is_spoilt() {
    assert_eq!(rendered(&Folder::new().load()), "");
}

#[test]
fn ten_megabytes() {
    let folder = Folder::new();
    folder.write("services/large.toml", vec![b'#'; 10 * MIB]);
    folder.write("files/shop.sh", vec![b'#'; 10 * MIB]);
    folder.breaks(
        "large",
        expect![[r#"
        error: services/large.toml: not read: it has 10485760 bytes, and files of at
          most 1 MiB are read
          help: is it the right file? shorten it, or have the machine fetch what is long
        error: services/shop.toml:18:13: files/shop.sh has 10485760 bytes, and files of
          at most 1 MiB are read
          help: is it the right file? shorten it, or have the machine fetch what is long
    "#]],
    );
    folder.breaks(
        "shop",
        expect![[r#"
        error: services/large.toml: not read: it has 10485760 bytes, and files of at
          most 1 MiB are read
          help: is it the right file? shorten it, or have the machine fetch what is long
        error: services/shop.toml:18:13: files/shop.sh has 10485760 bytes, and files of
          at most 1 MiB are read
          help: is it the right file? shorten it, or have the machine fetch what is long
    "#]],
    );
    assert_eq!(git::FILE_BYTES_MAX, MIB as u64, "what the message says");
}

#[test]
fn a_file_full_of_mistakes_names_the_first_and_says_so() {
    let folder = Folder::new();
    // Each second [tags] is a duplicate; each key is unknown, all on one line.
    let line = "# a comment\n[tags]\n";
    folder.write("services/large.toml", line.repeat(MIB / line.len()));
    let keys: Vec<String> = (0..MIB / 16).map(|number| format!("k{number}={{}}")).collect();
    folder.write("services/wide.toml", format!("network = {{ {} }}", keys.join(", ")));
    folder.write("services/equals.toml", "=".repeat(MIB));
    folder.write("services/lines.toml", "=\n".repeat(MIB / 2));
    let scope = folder.read("ionroller.toml");
    let frozen: Vec<String> = (0..500).map(|number| format!("'s{number}'")).collect();
    let freeze = format!(
        "{{ name = 'x', from = 2026-11-27T00:00:00Z, until = 2026-11-28T00:00:00Z, services = [{}] }}",
        frozen.join(",")
    );
    let freezes = vec![freeze; 100].join(", ");
    let kept = scope.split("[[freeze]]").next().unwrap();
    folder.write("ionroller.toml", format!("freeze = [{freezes}]\n{kept}"));
    let desired = folder.load();
    for name in ["large", "wide", "equals", "lines"] {
        let file = desired.services.iter().find(|(service, _)| service.as_str() == name);
        assert!(matches!(file, Some((_, ServiceFile::Broken))), "{name}");
    }
    let of = |file: &str| desired.diagnostics.iter().filter(|d| d.file.as_deref() == Some(file)).collect::<Vec<_>>();
    for file in ["services/large.toml", "services/wide.toml", "services/lines.toml", "ionroller.toml"] {
        let said = of(file);
        assert_eq!(said.len(), FILE_DIAGNOSTICS_MAX + 1, "{file}");
        assert_eq!(said[0].message, "it has more problems than the 100 that are listed");
    }
}

#[test]
fn a_folder_full_of_mistakes_blocks_all_of_it_and_names_some() {
    let folder = Folder::new();
    let wrong: String = (0..120).map(|number| format!("k{number} = 1\n")).collect();
    for number in 0..300 {
        folder.write(&format!("services/s{number}.toml"), &wrong);
    }
    let desired = folder.load();
    assert_eq!(desired.diagnostics.len(), DIAGNOSTICS_MAX + 1);
    assert_eq!(desired.diagnostics[0].message, "there are more problems than the 10000 that are listed");
    assert_eq!(desired.services.values().filter(|file| **file == ServiceFile::Broken).count(), 300);
}

#[test]
fn pointers_of_git_lfs_are_no_files() {
    let folder = Folder::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n";
    folder.write("services/stored.toml", pointer);
    folder.write("files/shop.sh", pointer);
    folder.breaks(
        "shop",
        expect![[r#"
            error: services/shop.toml:18:13: files/shop.sh is a pointer of Git LFS, and the
              file itself is not in the commit
              help: keep it in Git itself: git lfs untrack PATH, then git add --renormalize
                    PATH
            error: services/stored.toml:1:1: not read: it is a pointer of Git LFS, and the
              file itself is not in the commit
              help: keep it in Git itself: git lfs untrack PATH, then git add --renormalize
                    PATH
        "#]],
    );
}

#[test]
fn folders_for_files() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("services/folder.toml")).unwrap();
    std::fs::remove_file(folder.path("files/shop.sh")).unwrap();
    std::fs::create_dir_all(folder.path("files/shop.sh")).unwrap();
    folder.write("files/shop.sh/inside.sh", "");
    folder.breaks(
        "folder",
        expect![[r#"
            error: services/folder.toml: not read: it is a folder
              help: put a file there, or give the folder another name
            error: services/shop.toml:18:13: files/shop.sh is a folder
              help: name one of its files
        "#]],
    );
    std::fs::remove_file(folder.path("ionroller.toml")).unwrap();
    std::fs::create_dir_all(folder.path("ionroller.toml")).unwrap();
    folder.breaks(
        "shop",
        expect![[r#"
            error: ionroller.toml: not read: it is a folder
              help: put a file there, or give the folder another name
            error: services/folder.toml: not read: it is a folder
              help: put a file there, or give the folder another name
            error: services/shop.toml:18:13: files/shop.sh is a folder
              help: name one of its files
        "#]],
    );
    assert_eq!(folder.load().scope, None);
}

#[test]
fn links_are_not_followed() {
    let folder = Folder::new();
    let secret = folder.dir.path().join("secret");
    std::fs::write(&secret, "version = \"1\"\n").unwrap();
    symlink("../../secret", folder.path("services/out.toml")).unwrap();
    symlink("shop.toml", folder.path("services/twin.toml")).unwrap();
    symlink("nowhere", folder.path("services/dangling.toml")).unwrap();
    std::fs::remove_file(folder.path("files/shop.sh")).unwrap();
    symlink("/etc/passwd", folder.path("files/shop.sh")).unwrap();
    folder.breaks(
        "out",
        expect![[r#"
        error: services/dangling.toml: not read: it is a symbolic link to nowhere; links
          are not followed
          help: put the file itself there
        error: services/out.toml: not read: it is a symbolic link to ../../secret; links
          are not followed
          help: put the file itself there
        error: services/shop.toml:18:13: files/shop.sh is a symbolic link to
          /etc/passwd; links are not followed
          help: put the file itself there
        error: services/twin.toml: not read: it is a symbolic link to shop.toml; links
          are not followed
          help: put the file itself there
    "#]],
    );
}

#[test]
fn no_text() {
    let folder = Folder::new();
    folder.write("services/latin.toml", b"version = \"1\" # caf\xE9\n");
    folder.write("services/nul.toml", b"version = \"1\"\n\0\n");
    folder.write("services/binary.toml", [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0xff]);
    folder.write("files/shop.sh", b"#!/bin/sh\necho caf\xE9\n");
    folder.breaks(
        "latin",
        expect![[r#"
        error: services/binary.toml:1:9: not UTF-8
          help: save the file as UTF-8
        error: services/latin.toml:1:20: not UTF-8
          help: save the file as UTF-8
        error: services/nul.toml:2:1: not TOML: invalid unquoted key, expected letters,
          numbers, `-`, `_`
          help: correct the syntax; what follows on other lines may change once this is
                right
        error: services/shop.toml:18:13: files/shop.sh is not UTF-8 at line 2, column 9
          help: save it as UTF-8
    "#]],
    );
}

#[test]
fn the_boot_script_is_as_long_as_aws_takes() {
    let folder = Folder::new();
    let length = |desired: &Desired| match desired.services.values().next() {
        Some(ServiceFile::Valid(spec)) => spec.user_data.len(),
        _ => panic!("{}", rendered(desired)),
    };
    let script = folder.read("files/shop.sh");
    let room = 16_384 - length(&folder.load());
    folder.write("files/shop.sh", format!("{script}{}", "#".repeat(room - 1) + "\n"));
    assert_eq!(length(&folder.load()), 16_384);
    folder.write("files/shop.sh", format!("{script}{}", "#".repeat(room) + "\n"));
    folder.breaks(
        "shop",
        expect![[r#"
            error: services/shop.toml:18:13: the boot script has 16385 bytes, but AWS takes
              at most 16384
              help: ionroller's part takes 10210, files/shop.sh has 6175: shorten it, or
                    have it fetch the rest from S3
        "#]],
    );
}

#[test]
fn a_boot_script_is_long_without_a_script() {
    let folder = Folder::new();
    let service = folder.read("services/shop.toml").replace("user_data = \"files/shop.sh\"\n", "");
    let long = format!("[env]\nLONG = \"{}\"", "x".repeat(17_000));
    folder.write("services/shop.toml", service.replace("[env]", &long));
    folder.breaks(
        "shop",
        expect![[r#"
            error: services/shop.toml:1:1: the boot script has 27044 bytes, but AWS takes at
              most 16384
              help: shorten [env], [secrets] or image.command, or fetch what is long from S3
                    at start
        "#]],
    );
}

#[test]
fn lists_have_an_end() {
    let folder = Folder::new();
    let many: Vec<String> = (0..501).map(|number| format!("\"subnet-{number}\"")).collect();
    let service = folder.read("services/shop.toml").replace("\"subnet-a\", \"subnet-b\"", &many.join(", "));
    folder.write("services/shop.toml", service);
    folder.breaks(
        "shop",
        expect![[r#"
            error: services/shop.toml:29:11: `network.subnets` holds 501 items
              help: at most 500 are read
        "#]],
    );
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    let folder = Folder::new();
    folder.write("services/deep.toml", format!("version = {}{}", "[".repeat(100_000), "]".repeat(100_000)));
    folder.write("services/deeper.toml", format!("version = {}", "{ a = ".repeat(100_000)));
    let dots = vec!["a"; 100_000].join(".");
    folder.write("services/dots.toml", format!("{dots} = 1\n[{dots}]\n"));
    let desired = folder.load();
    for name in ["deep", "deeper", "dots"] {
        let file = desired.services.iter().find(|(service, _)| service.as_str() == name);
        assert!(matches!(file, Some((_, ServiceFile::Broken))), "{name}");
    }
}

/// A mistake in the defaults, taken by all, stays one diagnostic; a clash of all names a few.
#[test]
fn a_thousand_services_get_no_million_words() {
    let folder = Folder::new();
    let service = folder.read("services/shop.toml");
    for number in 0..1000 {
        folder.write(&format!("services/s{number}.toml"), &service);
    }
    let scope = folder.read("ionroller.toml");
    folder.write("ionroller.toml", format!("{scope}[defaults.rollout]\nbakes = \"5m\"\n"));
    let desired = folder.load();
    assert_eq!(desired.diagnostics.len(), 1 + 1001);
    assert!(rendered(&desired).len() < 500_000);
    let clash = desired.diagnostics.iter().find(|problem| problem.file.as_deref() == Some("services/shop.toml"));
    expect!["priority 120 of app/web/50dc6c495c0c9188 is taken by services/s0.toml, services/s1.toml, services/s10.toml and 997 more as well"].assert_eq(&clash.unwrap().message);
}
