//! A whole config folder: `ionroller.toml`, service files and scripts.
//!
//! The bytes are either text with a line `=== PATH` before each file (`=== PATH link`,
//! `submodule`, `folder` or `large` for what is no file), so that samples are seeds as they
//! are; or, after a zero, choices: of keys that exist, with values that mostly fit.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use ionroller::desired::diagnostic::{Diagnostic, Severity};
use ionroller::desired::edit;
use ionroller::desired::files::{ConfigFiles, FileContent};
use ionroller::desired::keys::{self, Key, Kind};
use ionroller::desired::load;
use ionroller::desired::spec::{Desired, ServiceFile, ServiceSpec};
use ionroller::names::Version;

use super::says::{self, SECRET};

/// Reads a folder made of the bytes.
pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, choices)) => {
            if let Ok(files) = chosen(&mut Unstructured::new(choices)) {
                look(&files, true);
            }
        }
        _ => {
            look(&listed(data), false);
        }
    }
}

/// Everything that must hold of what the loader makes of some files.
pub fn look(files: &ConfigFiles, planted: bool) -> Desired {
    let desired = load(files, None);
    assert_eq!(desired, load(files, None), "the same files give something else");
    says::diagnostics(&desired.diagnostics, planted);
    for problem in &desired.diagnostics {
        has_a_place(files, problem);
    }
    nothing_is_lost(files, &desired);
    for spec in desired.services.values().filter_map(valid) {
        assert!(spec.user_data.len() <= 16_384, "a boot script of {} bytes", spec.user_data.len());
    }
    for (path, content) in &files.files {
        if let FileContent::Bytes(bytes) = content
            && let Ok(text) = std::str::from_utf8(bytes)
            && path.starts_with("services/")
        {
            edited(text);
        }
    }
    desired
}

fn valid(file: &ServiceFile) -> Option<&ServiceSpec> {
    match file {
        ServiceFile::Valid(spec) => Some(spec),
        ServiceFile::Broken => None,
    }
}

/// Line and column lie inside the file that is named.
fn has_a_place(files: &ConfigFiles, problem: &Diagnostic) {
    let (Some(line), Some(column)) = (problem.line, problem.column) else {
        assert_eq!((problem.line, problem.column), (None, None));
        return;
    };
    let path = problem.file.as_deref().and_then(|file| file.strip_prefix(&files.root)).expect("a line is of a file");
    let Some(FileContent::Bytes(bytes)) = files.files.get(path) else { panic!("a line of {path}, which was not read") };
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let text = line.checked_sub(1).and_then(|line| lines.get(usize::try_from(line).unwrap()));
    let length = text.map(|text| String::from_utf8_lossy(text).chars().count()).expect("the line is there");
    let column = usize::try_from(column).unwrap();
    assert!((1..=length + 1).contains(&column), "{path}:{line}:{column}, and the line has {length}: {problem:?}");
}

/// What stands for a service stays one, or is complained about: it never looks deleted.
fn nothing_is_lost(files: &ConfigFiles, desired: &Desired) {
    let broken = |file: &str| {
        let here = |problem: &&Diagnostic| problem.file.as_deref() == Some(file);
        desired.diagnostics.iter().filter(here).any(|problem| problem.severity == Severity::Error)
    };
    for path in files.files.keys().filter(|path| path.to_ascii_lowercase().ends_with(".toml")) {
        let Some(below) = path.strip_prefix("services/") else { continue };
        let first = below.split('/').next().unwrap_or_default();
        let name = first.strip_suffix(".toml").unwrap_or_default();
        let stands = desired.services.keys().any(|service| service.as_str() == name);
        assert!(stands || broken(&format!("{}{path}", files.root)), "{path} is neither a service nor an error");
    }
    for (name, file) in &desired.services {
        let says = broken(&format!("{}services/{name}.toml", files.root));
        assert!(!says || valid(file).is_none(), "{name} has an error and counts as valid");
    }
    if desired.scope.is_none() {
        assert!(desired.diagnostics.iter().any(|problem| problem.severity == Severity::Error), "blocked, silently");
    }
}

/// `release` changes the version and nothing else, or says why not.
fn edited(text: &str) {
    let version = Version::parse("9.9.9").unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    for digest in [None, Some(digest.as_str())] {
        match edit::release(text, &version, digest) {
            Ok(new) => {
                let said = edit::said(&new);
                assert_eq!(said.version.as_deref(), Some("9.9.9"), "{new}");
                assert!(digest.is_none() || said.digest.as_deref() == digest, "{new}");
                assert!(edit::version_place(&new).is_some());
            }
            Err(why) => says::one_line(&why.to_string()),
        }
    }
}

/// The files of a listing.
pub fn listed(data: &[u8]) -> ConfigFiles {
    let mut files = ConfigFiles::default();
    let mut rest = data.strip_prefix(b"=== ").unwrap_or(data);
    while !rest.is_empty() {
        let end = find(rest, b"\n=== ").unwrap_or(rest.len());
        let (file, more) = rest.split_at(end);
        rest = more.strip_prefix(b"\n=== ").unwrap_or_default();
        let head = find(file, b"\n").unwrap_or(file.len());
        let body = file.get(head + 1..).unwrap_or_default();
        let head = String::from_utf8_lossy(&file[..head]).into_owned();
        let (path, kind) = head.split_once(' ').unwrap_or((&head, ""));
        // Paths reach the loader escaped, as git's part hands them over.
        let path: String = path.chars().filter(|c| !c.is_control()).collect();
        let content = match kind {
            "link" => FileContent::Symlink { target: String::from_utf8_lossy(body).escape_debug().to_string() },
            "submodule" => FileContent::Submodule,
            "folder" => FileContent::Folder,
            "large" => FileContent::TooLarge { size: u64::MAX },
            "unreadable" => FileContent::Unreadable { reason: "it is listed and cannot be found".to_owned() },
            _ => FileContent::Bytes(body.to_vec()),
        };
        files.files.insert(path, content);
    }
    files
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// A scope and up to three services, each of a sound file with some keys set otherwise.
pub fn chosen(u: &mut Unstructured<'_>) -> Result<ConfigFiles> {
    let mut files =
        ConfigFiles { root: if u.ratio(1, 4)? { "aws/".to_owned() } else { String::new() }, ..Default::default() };
    let scope = table(u, &SCOPE, keys::SCOPE)?;
    files.files.insert("ionroller.toml".to_owned(), FileContent::Bytes(scope.into_bytes()));
    for name in ["a", "b", "c"].iter().take(u.int_in_range(1..=3)?) {
        let service = table(u, &SERVICE, keys::SERVICE)?;
        files.files.insert(format!("services/{name}.toml"), FileContent::Bytes(service.into_bytes()));
    }
    if u.arbitrary()? {
        let script =
            u.choose(&["#!/bin/sh\necho hello\n", "", "no script", "#!/bin/sh\r\n", "\u{feff}#!/bin/bash\n"])?;
        files.files.insert("files/a.sh".to_owned(), FileContent::Bytes(script.as_bytes().to_vec()));
    }
    Ok(files)
}

const SCOPE: [(&str, &str); 3] = [("scope", "'prod'"), ("region", "'eu-west-1'"), ("account", "'123456789012'")];

const SERVICE: [(&str, &str); 7] = [
    ("version", "'1.2.3'"),
    ("image", "{ repository = 'registry.example.com/shop', ports = [{ host = 80, container = 8080 }] }"),
    ("machine", "{ ami = 'ami-0abcdef1234567890', instance_type = 't3.small' }"),
    ("network", "{ subnets = ['subnet-a'], security_groups = ['sg-a'] }"),
    ("capacity", "{ min = 2 }"),
    (
        "load_balancer",
        "{ listener = 'arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2', \
         rule = { priority = 120, paths = ['/*'] } }",
    ),
    ("rollout", "{ bake = '5m' }"),
];

/// A table of keys as TOML, each on a line of its own, some replaced, added or left out.
fn table(u: &mut Unstructured<'_>, sound: &[(&str, &str)], all: &[Key]) -> Result<String> {
    let mut lines: BTreeMap<String, String> =
        sound.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    for _ in 0..u.int_in_range(0..=6)? {
        let key = u.choose(all)?;
        // The key alone, or beside what its table has.
        let (path, whole) = match key.table {
            "" | "freeze" => (key.name.to_owned(), true),
            table if table.contains('.') || table == "limits" || table == "prune" => (key.path(), true),
            table => (format!("{table}.{}", key.name), u.arbitrary()?),
        };
        let value = value(u, key)?;
        if whole || !lines.contains_key(key.table) {
            lines.insert(path, value);
        } else if let Some(table) = lines.get_mut(key.table)
            && let Some(open) = table.strip_suffix('}')
        {
            *table = format!("{open}, {} = {value} }}", key.name);
        }
    }
    // A literal where only a reference may stand, and a secret where it is only warned of.
    if u.arbitrary()? {
        let place =
            u.choose(&["secrets.DB_PASSWORD", "env.DB_PASSWORD", "env.TOKEN", "secrets.x-y", "secrets.'a b'"])?;
        let forms = [
            "'M'",
            "'ssm:M M'",
            "'M:x'",
            "['M']",
            "{ a = 'M' }",
            "'secretsmanager:M\\n'",
            "'''M\nM'''",
            "\"M\\u0000\"",
        ];
        lines.insert((*place).to_owned(), u.choose(&forms)?.replace('M', SECRET));
    }
    if u.ratio(1, 8)? {
        lines.pop_first();
    }
    Ok(lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect())
}

/// A value for a key: of its kind, at the edges of its kind, or of another.
fn value(u: &mut Unstructured<'_>, key: &Key) -> Result<String> {
    const ODD: [&str; 22] = [
        "''",
        "' '",
        "'é'",
        "\"\\u0000\"",
        "\"\\u001b[31m\"",
        "\"a\\nb\"",
        "\"\\u202e\"",
        "0",
        "-1",
        "1.5",
        "1e400",
        "nan",
        "-inf",
        "9223372036854775807",
        "true",
        "[]",
        "{}",
        "[[]]",
        "2026-11-27T00:00:00Z",
        "2026-11-27",
        "07:32:00",
        "['', 1, {}]",
    ];
    let words = |u: &mut Unstructured<'_>, words: &[&str]| Ok(format!("'{}'", u.choose(words)?));
    if u.ratio(1, 3)? {
        return Ok((*u.choose(&ODD)?).to_owned());
    }
    match key.kind {
        Kind::Word(known) => words(u, known),
        Kind::Integer(low, high) | Kind::Seconds(low, high) => {
            let near = [low, low.saturating_sub(1), high, high.saturating_add(1)];
            let number = if u.arbitrary()? { *u.choose(&near)? } else { u.int_in_range(low..=high)? };
            Ok(if matches!(key.kind, Kind::Seconds(..)) { format!("'{number}s'") } else { number.to_string() })
        }
        Kind::Number => Ok(format!("{}.{:03}", u.int_in_range(0..=200_000)?, u.int_in_range(0..=1_200)?)),
        Kind::Boolean => Ok(u.arbitrary::<bool>()?.to_string()),
        Kind::Duration => words(
            u,
            &["0s", "1ms", "5m", "1h30m", "36500d", "36600d", "99999999999999999999d", "5", "-1s", "5 m", "1h1h"],
        ),
        Kind::Time => {
            Ok((*u.choose(&["2026-11-27T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:60+23:59"])?).to_owned())
        }
        Kind::Integers(low, high) => Ok(format!("[{low}, {}, {high}]", u.int_in_range(low..=high)?)),
        Kind::Texts(_) => {
            words(u, &["a", "/*", "*.example.com", "?", "a b", "$(x)"]).map(|text| format!("[{text}, {text}]"))
        }
        Kind::Map(..) => {
            Ok(format!("{{ {} = {} }}", u.choose(&["a", "A_B", "'é'", "aws-x", "'aws:x'", "'ionroller:x'"])?, free(u)?))
        }
        Kind::Table | Kind::Tables | Kind::Text(_) => free(u),
    }
}

/// Any text in quotes.
fn free(u: &mut Unstructured<'_>) -> Result<String> {
    let known = [
        "ami-0123456789abcdef0",
        "name:shop-{version}",
        "files/a.sh",
        "files/../x",
        "/health",
        "200-299",
        "200,301-",
        "HTTP",
        "TLS",
        "ssm:/a",
        "secretsmanager:arn:aws:secretsmanager:eu-west-1:1:secret:x",
        "t3.small",
        "{version}",
        "prod",
        "eu-west-1",
        "traffic-port",
        "arn:aws:elasticloadbalancing:us-east-1:1:listener/net/a/b/c",
        "arn:aws:iam::123456789012:role/x",
    ];
    if u.arbitrary()? {
        return Ok(format!("'{}'", u.choose(&known)?));
    }
    let text: String = u.arbitrary::<&str>()?.chars().take(300).collect();
    let escaped: String = text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
    let times = if u.ratio(1, 20)? { 300 } else { 1 };
    Ok(format!("\"{}\"", escaped.repeat(times)))
}
