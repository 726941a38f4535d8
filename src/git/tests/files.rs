use std::fs;
use std::os::unix::fs::symlink;

use super::sandbox::{Sandbox, listing};
use crate::desired::files::FileContent;
use crate::git::{FILE_BYTES_MAX, GitError, read_folder};

#[test]
fn reads_what_is_needed_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    sandbox.write("repo", "README.md", "hello");
    sandbox.write("repo", "files/deep/er/x.sh", "x");
    sandbox.write("repo", "services/sub/api.toml", "x");
    let commit = sandbox.commit("repo", "second");
    sandbox.write("repo", "services/uncommitted.toml", "x");
    let expected = [
        r#"files/deep/er/x.sh "x""#,
        r#"files/web.sh "true\n""#,
        r#"ionroller.toml "scope = \"prod\"\n""#,
        "services/sub Folder",
        r#"services/web.toml "version = \"1\"\n""#,
    ];
    let config = sandbox.open("repo").config_files(&commit, ".").unwrap();
    assert_eq!(listing(&config), expected);
    fs::remove_file(sandbox.path("repo/services/uncommitted.toml")).unwrap();
    assert_eq!(read_folder(&sandbox.path("repo")).unwrap(), config);
}

#[test]
fn reads_a_folder_inside_the_repository() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    sandbox.write("repo", "deploy/eu/ionroller.toml", "x");
    let commit = sandbox.commit("repo", "first");
    let repository = sandbox.open("repo");
    for folder in ["deploy/eu", "./deploy//eu/", "deploy/./eu"] {
        let config = repository.config_files(&commit, folder).unwrap();
        assert_eq!(listing(&config), [r#"deploy/eu/ionroller.toml "x""#], "{folder}");
    }
    assert_eq!(read_folder(&sandbox.path("repo/deploy/eu")).unwrap().root, "deploy/eu/");
    let config = repository.config_files(&commit, "deploy").unwrap();
    assert_eq!((config.root.as_str(), config.files.len()), ("deploy/", 0));
}

#[test]
fn says_why_a_config_folder_cannot_be_read() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    symlink("services", sandbox.path("repo/link")).unwrap();
    let first = sandbox.commit("repo", "link");
    let cacheinfo = format!("160000,{first},module");
    sandbox.git("repo", &["update-index", "--add", "--cacheinfo", &cacheinfo]);
    sandbox.git("repo", &["commit", "--quiet", "--message", "module"]);
    let commit = sandbox.head("repo");
    let repository = sandbox.open("repo");
    let check = |folder: &str, expected: &str| {
        for error in [
            repository.config_files(&commit, folder).unwrap_err(),
            repository.config_version(&commit, folder).unwrap_err(),
        ] {
            assert!(error.to_string().ends_with(expected), "{folder}: {error}");
        }
    };
    check("absent", "nothing has that name");
    check("services/absent", "nothing has that name");
    check("link", "it is a symbolic link, which is not followed");
    check("module", "it is a submodule");
    check("ionroller.toml", "it is a file");
    for folder in ["..", "services/../..", "/etc", "a\0b"] {
        check(folder, "give a relative path without `..`");
    }
}

#[test]
fn symbolic_links_and_submodules_are_reported_and_not_followed() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    sandbox.write(".", "outside/secret.toml", "secret");
    symlink("../../outside/secret.toml", sandbox.path("repo/services/api.toml")).unwrap();
    symlink("/etc/\n", sandbox.path("repo/files/link")).unwrap();
    sandbox.commit("repo", "links");
    let cacheinfo = format!("160000,{first},services/module.toml");
    sandbox.git("repo", &["update-index", "--add", "--cacheinfo", &cacheinfo]);
    sandbox.git("repo", &["commit", "--quiet", "--message", "module"]);
    let config = sandbox.open("repo").config_files(&sandbox.head("repo"), "").unwrap();
    let linked = |target: &str| FileContent::Symlink { target: target.to_owned() };
    assert_eq!(config.files["services/api.toml"], linked("../../outside/secret.toml"));
    assert_eq!(config.files["files/link"], linked("/etc/\\n"));
    assert_eq!(config.files["services/module.toml"], FileContent::Submodule);

    let on_disk = read_folder(&sandbox.path("repo")).unwrap();
    assert_eq!(on_disk.files["services/api.toml"], config.files["services/api.toml"]);
    assert_eq!(on_disk.files["files/link"], config.files["files/link"]);
}

#[test]
fn a_linked_services_folder_is_reported_too() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    sandbox.write("repo", "real/web.toml", "x");
    symlink("real", sandbox.path("repo/services")).unwrap();
    sandbox.write("repo", "ionroller.toml/x", "a folder");
    let commit = sandbox.commit("repo", "first");
    let config = sandbox.open("repo").config_files(&commit, "").unwrap();
    let expected = ["ionroller.toml Folder", r#"services Symlink { target: "real" }"#];
    assert_eq!(listing(&config), expected);
    assert_eq!(listing(&read_folder(&sandbox.path("repo")).unwrap()), expected);
}

#[test]
fn names_that_are_not_utf8_are_reported_on_disk_too() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let sandbox = Sandbox::new();
    sandbox.write("plain", "services/web.toml", "x");
    let name = OsStr::from_bytes(b"caf\xe9.toml");
    if fs::write(sandbox.path("plain/services").join(name), "x").is_err() {
        return; // A file system that takes UTF-8 only.
    }
    let config = read_folder(&sandbox.path("plain")).unwrap();
    let expected =
        [r#"services/caf\xe9.toml Unreadable { reason: "its name is not UTF-8" }"#, r#"services/web.toml "x""#];
    assert_eq!(listing(&config), expected);
}

#[test]
fn large_files_are_not_read() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let limit = usize::try_from(FILE_BYTES_MAX).unwrap();
    sandbox.write("repo", "files/most", &"x".repeat(limit));
    let commit = sandbox.change("repo", "files/more", &"x".repeat(limit + 1));
    let config = sandbox.open("repo").config_files(&commit, "").unwrap();
    assert_eq!(config.files["files/more"], FileContent::TooLarge { size: FILE_BYTES_MAX + 1 });
    assert!(matches!(&config.files["files/most"], FileContent::Bytes(all) if all.len() == limit));
    assert_eq!(read_folder(&sandbox.path("repo")).unwrap(), config);
}

#[test]
fn deep_folders_end_as_folders() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let deep = "d/".repeat(20);
    let commit = sandbox.change("repo", &format!("files/{deep}x"), "x");
    let config = sandbox.open("repo").config_files(&commit, "").unwrap();
    let expected = format!("files/{} Folder", "d/".repeat(16).trim_end_matches('/'));
    assert_eq!(listing(&config), [expected]);
    assert_eq!(read_folder(&sandbox.path("repo")).unwrap(), config);
}

#[test]
fn the_version_changes_with_the_content_alone() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let second = sandbox.change("repo", "README.md", "hello");
    let third = sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    let fourth = sandbox.change("repo", "files/web.sh", "false\n");
    let fifth = sandbox.change("repo", "services/web.toml", "version = \"1\"\n");
    let sixth = sandbox.change("repo", "files/web.sh", "true\n");
    let repository = sandbox.open("repo");
    let version = |commit| repository.config_version(commit, "").unwrap();
    assert_eq!(version(&first), version(&second));
    assert_ne!(version(&second), version(&third));
    assert_ne!(version(&third), version(&fourth));
    assert_ne!(version(&first), version(&fifth));
    assert_eq!(version(&first), version(&sixth));
    assert_ne!(repository.config_version(&first, "services").unwrap(), version(&first));
}

#[test]
fn a_file_missing_from_a_partial_clone_is_no_deleted_file() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let blob = sandbox.git("repo", &["rev-parse", "HEAD:services/web.toml"]);
    fs::remove_file(sandbox.path("repo/.git/objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let config = sandbox.open("repo").config_files(&first, "").unwrap();
    assert!(matches!(&config.files["services/web.toml"], FileContent::Unreadable { .. }));
    assert!(matches!(&config.files["ionroller.toml"], FileContent::Bytes(_)));
}

#[test]
fn a_folder_on_disk_needs_no_repository() {
    let sandbox = Sandbox::new();
    sandbox.write("plain", "services/web.toml", "x");
    let config = read_folder(&sandbox.path("plain")).unwrap();
    assert_eq!(listing(&config), [r#"services/web.toml "x""#]);
    let error = read_folder(&sandbox.path("absent")).unwrap_err();
    assert!(matches!(error, GitError::NoSuchPath { .. }), "{error}");
    let error = read_folder(&sandbox.path("plain/services/web.toml")).unwrap_err();
    assert!(matches!(error, GitError::ReadFolder { .. }), "{error}");
}

#[test]
fn a_pipe_on_disk_is_not_waited_for() {
    let sandbox = Sandbox::new();
    sandbox.write("plain", "services/web.toml", "x");
    let pipe = sandbox.path("plain/services/pipe.toml");
    if !std::process::Command::new("mkfifo").arg(pipe).status().is_ok_and(|it| it.success()) {
        return; // No such command here.
    }
    let config = read_folder(&sandbox.path("plain")).unwrap();
    assert!(matches!(&config.files["services/pipe.toml"], FileContent::Unreadable { .. }));
}
