//! The house rules as tests: layers, purity, sizes and names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each layer may use besides itself, `names`, `time` and `mutant`.
const LAYERS: &[(&str, &[&str])] = &[
    ("names", &[]),
    ("time", &[]),
    // Bugs for tests; without tests a constant.
    ("mutant", &[]),
    ("bounded", &[]),
    ("settings", &["forge"]),
    ("forge", &[]),
    ("desired", &[]),
    ("observed", &[]),
    ("plan", &["desired", "observed"]),
    ("render", &["desired", "observed", "plan"]),
    ("cloud", &["observed", "bounded"]),
    // The files of a commit are handed over as the loader's own input type.
    ("git", &["desired", "bounded"]),
    ("lease", &["cloud"]),
    ("execute", &["plan", "observed", "cloud", "lease"]),
    ("reconcile", &["git", "desired", "observed", "cloud", "plan", "lease", "execute"]),
    ("notifications", &["plan", "execute"]),
    (
        "daemon",
        &[
            "reconcile",
            "notifications",
            "lease",
            "render",
            "settings",
            "forge",
            "cloud",
            "git",
            "desired",
            "plan",
            "bounded",
        ],
    ),
    ("demo", &["settings", "desired", "observed", "plan", "render", "cloud", "git", "execute", "reconcile", "daemon"]),
    (
        "cli",
        &[
            "bounded",
            "settings",
            "desired",
            "observed",
            "plan",
            "render",
            "cloud",
            "git",
            "lease",
            "execute",
            "reconcile",
            "daemon",
            "demo",
            "forge",
        ],
    ),
];

/// Layers without async, I/O, clock, environment and hash-ordered maps.
const PURE: &[&str] = &["desired", "observed", "plan", "render", "notifications"];

/// Files longer than this are hard to hold in mind.
const LINES_MAX: usize = 800;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Every source file: its path from `src/`, its layer, its text.
fn sources() -> Vec<(String, String, String)> {
    let src = root().join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        let layer = name.split(['/', '.']).next().unwrap().to_owned();
        (name, layer, fs::read_to_string(&path).unwrap())
    };
    files.into_iter().map(read).collect()
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("tests.rs") || name.contains("/simulation/")
}

/// Code without comments, and without the test module at the end of a file.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_arrow_points_against_the_layers() {
    let allowed: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut broken = Vec::new();
    for (name, layer, text) in sources() {
        if layer == "lib" || layer == "main" || is_test(&name) {
            continue;
        }
        let Some(may_use) = allowed.get(layer.as_str()) else {
            broken.push(format!("{name}: the layer {layer} is not in the table"));
            continue;
        };
        let code = code(&text);
        for (other, _) in LAYERS.iter().filter(|(other, _)| *other != layer) {
            let everyone = ["names", "time", "mutant"].contains(other);
            if !everyone && !may_use.contains(other) && code.contains(&format!("crate::{other}")) {
                broken.push(format!("{name} uses {other}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pure_layers_are_pure() {
    let words =
        ["async ", "tokio", "std::fs", "std::env", "std::net", "SystemTime", "Instant::now", "HashMap", "HashSet"];
    let mut broken = Vec::new();
    for (name, layer, text) in
        sources().into_iter().filter(|(name, layer, _)| PURE.contains(&layer.as_str()) && !is_test(name))
    {
        let code = code(&text);
        broken
            .extend(words.iter().filter(|word| code.contains(**word)).map(|word| format!("{name} ({layer}): {word}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn one_layer_a_library() {
    let mut broken = Vec::new();
    for (name, layer, text) in sources() {
        let code = code(&text);
        if code.contains("aws_sdk_") && !name.starts_with("cloud/aws") {
            broken.push(format!("{name} names the AWS SDK"));
        }
        if code.contains("git2::") && layer != "git" {
            broken.push(format!("{name} names git2"));
        }
        let prints = ["println!", "print!(", "eprint!(", "stdout()", "stderr()"];
        if layer != "cli" && !is_test(&name) && prints.iter().any(|word| code.contains(word)) {
            broken.push(format!("{name} prints"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_can_be_held_in_mind() {
    let long = sources().into_iter().filter(|(_, _, text)| text.lines().count() > LINES_MAX).map(|(name, _, _)| name);
    let long: Vec<String> = long.collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {}", long.join(", "));
}

#[test]
fn no_drawer_for_everything() {
    for (name, _, _) in sources() {
        for word in ["util", "helper", "manager", "misc"] {
            assert!(!name.contains(word), "{name}: name it after what it does");
        }
    }
}

#[test]
fn every_integration_test_file_is_run() {
    let folder = root().join("tests/it");
    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let stem = name.trim_end_matches(".rs");
        if stem != "main" {
            assert!(main.contains(&format!("mod {stem};")), "tests/it/main.rs does not name {name}");
        }
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(dependencies.lines().filter(|line| line.starts_with('#')).count() > 10);
    assert!(!manifest.contains("git ="), "only published crates");
}
