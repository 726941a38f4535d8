//! Commits and trees that no tool of git makes, and anybody who can push can.
//!
//! The bytes choose objects, which are written as they are: names with newlines, `..`,
//! slashes and any bytes, twice or out of order, any mode, objects that are not there, trees
//! that hold themselves many times, commits with any header.

use std::cell::RefCell;

use arbitrary::{Result, Unstructured};
use git2::{ObjectType, Oid};
use ionroller::desired::files::ConfigFiles;
use ionroller::git::{GitError, Repository};
use ionroller::names::CommitId;

use super::{config, says};

/// A repository for some runs; then a new one, so that no disk is filled.
struct Place {
    written: git2::Repository,
    read: Repository,
    runs: u32,
    _folder: tempfile::TempDir,
}

const RUNS_MAX: u32 = 1_000;

impl Place {
    fn new() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let written = git2::Repository::init_bare(folder.path()).unwrap();
        let read = Repository::open_local(folder.path()).unwrap();
        Self { written, read, runs: 0, _folder: folder }
    }
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Writes what the bytes choose, and asks all that is asked of a commit.
pub fn run(data: &[u8]) {
    PLACE.with_borrow_mut(|place| {
        let here = place.get_or_insert_with(Place::new);
        let mut u = Unstructured::new(data);
        if let Ok(made) = made(&mut u, &here.written) {
            asked(&here.read, &made);
        }
        here.runs += 1;
        if here.runs >= RUNS_MAX {
            *place = None;
        }
    });
}

/// What was written.
struct Made {
    commit: CommitId,
    parent: CommitId,
    /// The plain names in `services`, if its folder was written with them.
    services: Vec<String>,
}

fn made(u: &mut Unstructured<'_>, repository: &git2::Repository) -> Result<Made> {
    let mut known = Vec::new();
    let mut services = Vec::new();
    let mut top = vec![
        Entry { mode: b"100644".to_vec(), name: b"ionroller.toml".to_vec(), id: blob(u, repository, SCOPE)? },
        Entry { mode: b"40000".to_vec(), name: b"files".to_vec(), id: tree(u, repository, &mut known, 0)? },
    ];
    let entries = entries(u, repository, &mut known, 1)?;
    if u.ratio(9, 10)? {
        services = entries.iter().map(|entry| entry.name.clone()).collect();
        top.push(Entry { mode: b"40000".to_vec(), name: b"services".to_vec(), id: written(repository, &entries) });
    }
    if u.ratio(1, 4)? {
        top.extend(self::entries(u, repository, &mut known, 1)?);
    }
    if u.ratio(1, 8)? {
        let at = u.choose_index(top.len())?;
        top[at] = entry(u, repository, &mut known, 0)?;
        services.clear();
    }
    // Two entries of one name hide each other, and what is looked for is only one of them.
    if ["services", "services/"].iter().any(|name| top.iter().filter(|entry| entry.name == name.as_bytes()).count() > 1)
    {
        services.clear();
    }
    let top = written(repository, &top);
    let parent = commit(u, repository, top, None)?;
    let commit = commit(u, repository, top, Some(parent))?;
    let id = |id: Oid| CommitId::parse(&id.to_string()).unwrap();
    let mut plain: Vec<String> = services
        .iter()
        .filter_map(|name| String::from_utf8(name.clone()).ok())
        .filter(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
        .collect();
    plain.sort();
    Ok(Made { commit: id(commit), parent: id(parent), services: plain })
}

const SCOPE: &[u8] = b"scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n";
const SERVICE: &[u8] = include_bytes!("../../tests/sample-configs/valid/least/services/shop.toml");

#[derive(Clone)]
struct Entry {
    mode: Vec<u8>,
    name: Vec<u8>,
    id: Oid,
}

/// A tree as git stores it, in the order and with the names that were chosen.
fn written(repository: &git2::Repository, entries: &[Entry]) -> Oid {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&entry.mode);
        bytes.push(b' ');
        bytes.extend_from_slice(&entry.name);
        bytes.push(0);
        bytes.extend_from_slice(entry.id.as_bytes());
    }
    object(repository, ObjectType::Tree, &bytes)
}

fn object(repository: &git2::Repository, kind: ObjectType, bytes: &[u8]) -> Oid {
    repository.odb().unwrap().write(kind, bytes).unwrap()
}

fn tree(u: &mut Unstructured<'_>, repository: &git2::Repository, known: &mut Vec<Oid>, depth: u32) -> Result<Oid> {
    if u.ratio(1, 30)? {
        return Ok(object(repository, ObjectType::Tree, u.arbitrary()?));
    }
    let mut entries = entries(u, repository, known, depth + 1)?;
    if u.ratio(5, 6)? {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let id = written(repository, &entries);
    known.push(id);
    Ok(id)
}

fn entries(
    u: &mut Unstructured<'_>,
    repository: &git2::Repository,
    known: &mut Vec<Oid>,
    depth: u32,
) -> Result<Vec<Entry>> {
    (0..u.int_in_range(0..=6)?).map(|_| entry(u, repository, known, depth)).collect()
}

fn entry(u: &mut Unstructured<'_>, repository: &git2::Repository, known: &mut Vec<Oid>, depth: u32) -> Result<Entry> {
    const NAMES: [&[u8]; 30] = [
        b"shop.toml",
        b"web.toml",
        b"Web.toml",
        b"a.sh",
        b"README.md",
        b"x",
        b".",
        b"..",
        b".git",
        b".GIT",
        b"../../etc/passwd",
        b"a/b.toml",
        b"line\nbreak.toml",
        b"\x1b[31mred.toml",
        b"caf\xe9.toml",
        b"e\xcc\x81.toml",
        b"\xc3\xa9.toml",
        b"evil\xe2\x80\xaelmot.toml",
        b"",
        b" .toml",
        b".toml",
        b"con.toml",
        b"git~1",
        b".gitmodules",
        b"CRLF\r.toml",
        b"\xef\xbb\xbfbom.toml",
        b"services",
        b"files",
        b"\\.toml",
        b"a b.toml",
    ];
    const MODES: [&[u8]; 14] = [
        b"100644",
        b"100644",
        b"100644",
        b"100644",
        b"100755",
        b"120000",
        b"160000",
        b"40000",
        b"040000",
        b"100664",
        b"0",
        b"777",
        b"1",
        b"37777777777",
    ];
    let name = if u.ratio(4, 5)? {
        u.choose(&NAMES)?.to_vec()
    } else {
        u.arbitrary::<&[u8]>()?.iter().copied().filter(|byte| *byte != 0).take(300).collect()
    };
    let mut mode = u.choose(&MODES)?.to_vec();
    let id = match u.int_in_range(0..=9)? {
        0 => Oid::from_bytes(&[7; 20]).unwrap(),
        1 if !known.is_empty() => *u.choose(known)?,
        2..=3 if depth < 4 => {
            mode = b"40000".to_vec();
            tree(u, repository, known, depth)?
        }
        4 if depth < 4 => {
            // A tree of one tree many times over, each level of it: it unpacks to more than
            // any memory holds.
            let mut inner = blob(u, repository, b"x")?;
            let mut mode: &[u8] = b"100644";
            // A few files, more than are read, or more than are merged. What lies in between
            // is near a limit and takes a second: not often.
            let levels = if u.ratio(1, 50)? { u.int_in_range(4..=7)? } else { *u.choose(&[1, 2, 3, 18])? };
            for _ in 0..levels {
                let many: Vec<Entry> =
                    (b'a'..=b'h').map(|name| Entry { mode: mode.to_vec(), name: vec![name], id: inner }).collect();
                inner = written(repository, &many);
                mode = b"40000";
            }
            return Ok(Entry { mode: mode.to_vec(), name, id: inner });
        }
        _ => {
            let sound = *u.choose(&[SERVICE, SCOPE, b"#!/bin/sh\n", b"", LFS])?;
            blob(u, repository, sound)?
        }
    };
    Ok(Entry { mode, name, id })
}

const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

fn blob(u: &mut Unstructured<'_>, repository: &git2::Repository, sound: &[u8]) -> Result<Oid> {
    let bytes = if u.ratio(4, 5)? { sound } else { u.arbitrary()? };
    Ok(object(repository, ObjectType::Blob, bytes))
}

fn commit(u: &mut Unstructured<'_>, repository: &git2::Repository, tree: Oid, parent: Option<Oid>) -> Result<Oid> {
    let who = |u: &mut Unstructured<'_>| -> Result<Vec<u8>> {
        const ODD: [&[u8]; 8] = [
            b"Ann <ann@example.com> 1700000000 +0000",
            b"Ann <ann@example.com> 9223372036854775807 +9999",
            b"Ann <ann@example.com> -9223372036854775808 -9999",
            b"Ann <ann@example.com> 99999999999999999999999999 +0000",
            b"\x1b[31m\xe9 <> 0 +0000",
            b"<<<>>> x y",
            b" < > 1",
            b"",
        ];
        Ok(if u.ratio(9, 10)? { u.choose(&ODD)?.to_vec() } else { u.arbitrary::<&[u8]>()?.to_vec() })
    };
    let mut bytes = format!("tree {tree}\n").into_bytes();
    if let Some(parent) = parent {
        bytes.extend(format!("parent {parent}\n").bytes());
    }
    if u.ratio(1, 8)? {
        bytes.extend(format!("parent {}\n", "7".repeat(40)).bytes());
    }
    for role in [b"author ".as_slice(), b"committer "] {
        bytes.extend(role);
        bytes.extend(who(u)?);
        bytes.push(b'\n');
    }
    if u.ratio(1, 8)? {
        bytes.extend(b"encoding x\xff\nunknown header\n continued\n");
    }
    bytes.extend(*u.choose(&[
        b"\nchange\n\nIonroller-Override: all of them\n".as_slice(),
        b"\n\xff\x1b[2J\n\nIonroller-Override: \x1b[31m\n continued\n",
        b"\n",
        b"",
    ])?);
    if u.ratio(1, 20)? {
        bytes = u.arbitrary::<&[u8]>()?.to_vec();
    }
    Ok(object(repository, ObjectType::Commit, &bytes))
}

/// Everything that is asked of a commit: an answer, or an error that people can read.
fn asked(repository: &Repository, made: &Made) {
    for folder in ["", "services", "files/x", ".git", "a/b"] {
        let files = answer(repository.config_files(&made.commit, folder));
        assert_eq!(files, answer(repository.config_files(&made.commit, folder)), "read again, it is something else");
        if let Some(files) = files {
            plain(&files);
            config::look(&files, false);
            if folder.is_empty() {
                let here = |name: &String| {
                    let (path, below) = (format!("services/{name}"), format!("services/{name}/"));
                    files.files.keys().any(|known| *known == path || known.starts_with(&below))
                };
                assert!(
                    made.services.iter().all(here),
                    "{:?} has lost some of {:?}",
                    files.files.keys(),
                    made.services
                );
            }
        }
        let _ = answer(repository.config_version(&made.commit, folder));
    }
    if let Some(files) = answer(repository.config_files_of(&made.commit, "", "shop")) {
        plain(&files);
    }
    for change in answer(repository.file_changes(&made.commit, "services/shop.toml", 10)).unwrap_or_default() {
        says::no_control(&format!("{}{}{}", change.at, change.author, change.subject), &[]);
    }
    for trailer in answer(repository.trailers(&made.commit, &[], "Ionroller-Override")).unwrap_or_default() {
        says::one_line(&trailer.value);
    }
    let _ = repository.last_change(&made.commit, "services/shop.toml");
    let _ = answer(repository.ancestry(&made.parent, &made.commit));
    let _ = answer(repository.resolve(made.commit.as_str()));
    if let Some(ionroller::git::Merge::Clean(files)) = answer(repository.merged_files(&made.parent, &made.commit, "")) {
        plain(&files);
    }
    repository.older_contents(&made.commit, "services", ["shop.toml".to_owned()], |_, _| true);
}

/// Paths that read as what they are and lead nowhere else.
fn plain(files: &ConfigFiles) {
    for path in files.files.keys() {
        says::no_control(path, &[]);
        assert!(path == "ionroller.toml" || path.starts_with("services") || path.starts_with("files"), "{path}");
    }
}

fn answer<T>(answer: std::result::Result<T, GitError>) -> Option<T> {
    let mut error: &dyn std::error::Error = match &answer {
        Ok(_) => return answer.ok(),
        Err(error) => error,
    };
    loop {
        says::no_control(&error.to_string(), &[]);
        match error.source() {
            Some(source) => error = source,
            None => return None,
        }
    }
}
