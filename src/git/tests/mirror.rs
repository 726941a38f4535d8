use std::fs;

use super::sandbox::{Sandbox, absent, chain, spoil_objects};
use crate::git::{Access, GitError, Repository};

#[test]
fn follows_the_remote() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let mut mirror = sandbox.mirror("repo");
    assert_eq!(mirror.tip("main").unwrap(), first);
    let second = sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    assert_eq!(mirror.tip("main").unwrap(), second);
    assert_eq!(mirror.tip("main").unwrap(), second);
    assert!(mirror.ancestry(&first, &second).unwrap().holds());
    assert_eq!(mirror.config_files(&second, "").unwrap().files.len(), 3);
    assert_eq!(mirror.location(), sandbox.url("repo").to_string());
}

#[test]
fn downloads_nothing_when_the_tip_is_known() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let mut mirror = sandbox.mirror("repo");
    let packs = || fs::read_dir(sandbox.path("state/mirror/objects/pack")).unwrap().count();
    mirror.tip("main").unwrap();
    let before = packs();
    mirror.tip("main").unwrap();
    assert_eq!(packs(), before);
}

#[test]
fn survives_a_restart_offline() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    sandbox.mirror("repo").tip("main").unwrap();
    let mut mirror = sandbox.mirror("repo");
    fs::rename(sandbox.path("repo"), sandbox.path("away")).unwrap();
    assert_eq!(mirror.resolve("main").unwrap(), first);
    let error = mirror.tip("main").unwrap_err();
    assert!(matches!(error, GitError::Fetch { .. }), "{error}");
    assert!(error.is_transient());
    // And nothing is lost by having tried.
    assert_eq!(mirror.resolve("main").unwrap(), first);
    mirror.config_files(&first, "").unwrap();
    fs::rename(sandbox.path("away"), sandbox.path("repo")).unwrap();
    assert_eq!(mirror.tip("main").unwrap(), first);
}

#[test]
fn follows_a_rewritten_branch_and_keeps_what_it_knew() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let second = sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    let mut mirror = sandbox.mirror("repo");
    assert_eq!(mirror.tip("main").unwrap(), second);
    sandbox.git("repo", &["reset", "--quiet", "--hard", first.as_str()]);
    assert_eq!(mirror.tip("main").unwrap(), first);
    let third = sandbox.change("repo", "services/web.toml", "version = \"3\"\n");
    assert_eq!(mirror.tip("main").unwrap(), third);
    assert!(!mirror.ancestry(&second, &third).unwrap().holds());
    assert!(mirror.ancestry(&first, &third).unwrap().holds());
}

#[test]
fn says_when_the_branch_has_vanished() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    sandbox.git("repo", &["branch", "deploy"]);
    let mut mirror = sandbox.mirror("repo");
    assert_eq!(mirror.tip("deploy").unwrap(), first);
    sandbox.git("repo", &["branch", "--delete", "--force", "deploy"]);
    let error = mirror.tip("deploy").unwrap_err();
    assert!(matches!(error, GitError::NoBranch { .. }), "{error}");
    // A folder may come where the branch was, and the other way round.
    sandbox.git("repo", &["branch", "deploy/eu"]);
    assert_eq!(mirror.tip("deploy/eu").unwrap(), first);
    sandbox.git("repo", &["branch", "--move", "deploy/eu", "deploy"]);
    assert_eq!(mirror.tip("deploy").unwrap(), first);
    mirror.fetch_all().unwrap();
    sandbox.git("repo", &["branch", "--move", "deploy", "deploy/us"]);
    mirror.fetch_all().unwrap();
    assert_eq!(mirror.resolve("deploy/us").unwrap(), first);
    assert!(mirror.resolve("deploy").is_err());
}

#[test]
fn names_the_default_branch_when_there_is_another() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let mut mirror = sandbox.mirror("repo");
    mirror.tip("main").unwrap();
    let error = mirror.tip("master").unwrap_err().to_string();
    assert!(error.ends_with("; its default branch is `main`"), "{error}");
}

#[test]
fn fetches_all_branches_and_tags() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    sandbox.git("repo", &["tag", "--annotate", "--message", "x", "v1"]);
    sandbox.git("repo", &["checkout", "--quiet", "-b", "side"]);
    let second = sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    let mut mirror = sandbox.mirror("repo");
    mirror.fetch_all().unwrap();
    for (revision, commit) in [
        ("HEAD", &second),
        ("main", &first),
        ("origin/main", &first),
        ("side", &second),
        ("v1", &first),
        (first.as_str(), &first),
    ] {
        assert_eq!(&mirror.resolve(revision).unwrap(), commit, "{revision}");
    }
    assert!(mirror.resolve("origin/nope").is_err());
}

#[test]
fn an_empty_remote_is_called_empty() {
    let sandbox = Sandbox::new();
    sandbox.init("repo");
    let mut mirror = sandbox.mirror("repo");
    let error = mirror.tip("main").unwrap_err();
    assert!(matches!(error, GitError::Empty { .. }), "{}", chain(&error));
    mirror.fetch_all().unwrap();
    let first = sandbox.init_config("repo");
    assert_eq!(mirror.tip("main").unwrap(), first);
}

#[test]
fn names_of_references_that_are_not_utf8_do_no_harm() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let name = OsStr::from_bytes(b"caf\xe9");
    let heads = sandbox.path("repo/.git/refs/heads");
    if fs::write(heads.join(name), format!("{first}\n")).is_err() {
        return; // A file system that takes UTF-8 only.
    }
    let mut mirror = sandbox.mirror("repo");
    assert_eq!(mirror.tip("main").unwrap(), first);
    mirror.fetch_all().unwrap();
    assert_eq!(mirror.resolve("HEAD").unwrap(), first);
}

#[test]
fn refuses_a_shallow_remote() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    let url = sandbox.url("repo").to_string();
    sandbox.git(".", &["clone", "--quiet", "--depth=1", &url, "shallow"]);
    let error = sandbox.mirror("shallow").tip("main").unwrap_err();
    assert!(matches!(error, GitError::ShallowRemote { .. }), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn a_corrupt_mirror_is_made_anew() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let dir = sandbox.path("state/mirror");
    let spoilers: [(&str, &dyn Fn()); 6] = [
        ("objects", &|| spoil_objects(&dir)),
        ("no objects", &|| fs::remove_dir_all(dir.join("objects")).unwrap()),
        ("head", &|| fs::write(dir.join("HEAD"), "rubbish").unwrap()),
        ("config", &|| fs::write(dir.join("config"), "[[[").unwrap()),
        ("reference", &|| fs::write(dir.join("refs/heads/main"), "rubbish").unwrap()),
        ("gone", &|| fs::remove_dir_all(&dir).unwrap()),
    ];
    for (what, spoil) in spoilers {
        // Found broken at the start.
        let mut mirror = sandbox.mirror("repo");
        mirror.tip("main").unwrap_or_else(|error| panic!("{what}: {}", chain(&error)));
        drop(mirror);
        spoil();
        let mut mirror = sandbox.mirror("repo");
        let tip = mirror.tip("main").unwrap_or_else(|error| panic!("{what}: {}", chain(&error)));
        assert_eq!(tip, first, "{what}");
        mirror.config_files(&first, "").unwrap();
        // Broken under the feet of a running daemon.
        spoil();
        let second = sandbox.commit("repo", what);
        let tip = mirror.tip("main").unwrap_or_else(|error| panic!("{what}: {}", chain(&error)));
        assert_eq!(tip, second, "{what}");
        mirror.config_files(&second, "").unwrap();
        sandbox.git("repo", &["reset", "--quiet", "--hard", first.as_str()]);
    }
}

#[test]
fn a_file_that_is_broken_in_the_mirror_is_fetched_again() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let mut mirror = sandbox.mirror("repo");
    mirror.tip("main").unwrap();
    drop(mirror);
    // Unpack, so that one blob alone can go.
    let dir = sandbox.path("state/mirror");
    let blob = sandbox.git("repo", &["rev-parse", "HEAD:services/web.toml"]);
    let packs: Vec<_> = fs::read_dir(dir.join("objects/pack")).unwrap().flatten().collect();
    for file in packs {
        fs::remove_file(file.path()).unwrap();
    }
    let repo_objects = sandbox.path("repo/.git/objects");
    for id in sandbox.git("repo", &["rev-list", "--objects", "--no-object-names", "HEAD"]).lines() {
        let folder = dir.join("objects").join(&id[..2]);
        fs::create_dir_all(&folder).unwrap();
        if id != blob {
            fs::copy(repo_objects.join(&id[..2]).join(&id[2..]), folder.join(&id[2..])).unwrap();
        }
    }
    let mut mirror = sandbox.mirror("repo");
    assert_eq!(mirror.tip("main").unwrap(), first);
    let error = mirror.config_files(&first, "").unwrap_err();
    assert!(matches!(error, GitError::Damaged { mirror: true, .. }), "{error}");
    assert!(error.is_transient());
    assert_eq!(mirror.tip("main").unwrap(), first);
    mirror.config_files(&first, "").unwrap();
}

#[test]
fn a_broken_remote_is_not_fetched_in_full_again_and_again() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let mut mirror = sandbox.mirror("repo");
    mirror.tip("main").unwrap();
    sandbox.change("repo", "services/web.toml", "version = \"2\"\n");
    spoil_objects(&sandbox.path("repo/.git"));
    for _ in 0..3 {
        let error = mirror.tip("main").unwrap_err();
        assert!(matches!(error, GitError::Fetch { .. }), "{error}");
    }
    // What was known stays readable.
    mirror.config_files(&first, "").unwrap();
}

#[test]
fn damage_that_a_new_mirror_does_not_heal_is_not_fought_at_every_poll() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let mut mirror = sandbox.mirror("repo");
    mirror.tip("main").unwrap();
    // A new mirror brings a new file; an ordinary exchange leaves it alone.
    let trace = sandbox.path("state/mirror/trace");
    let was_made_anew = |mirror: &mut Repository| {
        fs::write(&trace, "").unwrap();
        mirror.damaged.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(mirror.tip("main").unwrap(), first);
        !trace.exists()
    };
    assert!(was_made_anew(&mut mirror));
    assert!(!was_made_anew(&mut mirror));
    assert!(!was_made_anew(&mut mirror));
    mirror.config_files(&first, "").unwrap();
    assert!(was_made_anew(&mut mirror));
}

#[test]
fn several_processes_share_a_mirror() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    let (url, dir) = (sandbox.url("repo"), sandbox.path("state/mirror"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..4 {
                    let mut mirror = Repository::open_mirror(&url, &dir, &Access::default()).unwrap();
                    mirror.fetch_all().unwrap_or_else(|error| panic!("{round}: {}", chain(&error)));
                    assert_eq!(mirror.tip("main").unwrap(), first);
                    mirror.config_files(&first, "").unwrap();
                }
            });
        }
    });
}

#[test]
fn an_interrupted_creation_is_started_over() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("repo");
    sandbox.write("state", "mirror.new/HEAD", "ref: refs/");
    let mut mirror = sandbox.mirror("repo");
    assert_eq!(mirror.tip("main").unwrap(), first);
    assert!(!sandbox.path("state/mirror.new").exists());
}

#[test]
fn another_url_gets_a_new_mirror() {
    let sandbox = Sandbox::new();
    let first = sandbox.init_config("one");
    sandbox.mirror("one").tip("main").unwrap();
    sandbox.init("two");
    let second = sandbox.change("two", "services/web.toml", "version = \"2\"\n");
    let mut mirror = sandbox.mirror("two");
    assert_eq!(mirror.tip("main").unwrap(), second);
    assert!(mirror.config_files(&first, "").is_err());
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    sandbox.write("state", "mirror/thesis.tex", "years of work");
    let error = sandbox.try_mirror("repo").unwrap_err();
    assert!(matches!(error, GitError::Occupied { .. }), "{error}");
    assert!(sandbox.path("state/mirror/thesis.tex").exists());
}

#[test]
fn a_commit_that_nobody_has_is_unknown() {
    let sandbox = Sandbox::new();
    sandbox.init_config("repo");
    let mut mirror = sandbox.mirror("repo");
    mirror.tip("main").unwrap();
    let error = mirror.config_files(&absent(), "").unwrap_err();
    assert!(matches!(error, GitError::UnknownCommit { .. }), "{error}");
}
