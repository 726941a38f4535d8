//! Git's own variables for its configuration: `GIT_CONFIG_GLOBAL`, `GIT_CONFIG_SYSTEM`,
//! `GIT_CONFIG_NOSYSTEM`, and the pairs of `GIT_CONFIG_COUNT`, `_KEY_n` and `_VALUE_n`.
//!
//! libgit2 reads none of them, and looks in folders for files with fixed names. So it is led
//! into a folder of ours, whose files name those that the variables mean. The pairs count more
//! than a repository's own configuration, and are added to each repository that is opened.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use git2::ConfigLevel;

use super::error::GitError;

/// Where the folder is, for the processes that this program starts.
pub(super) const FOLDER_VARIABLE: &str = "IONROLLER_GIT_CONFIG_FOLDER";

/// The most pairs that are read.
const PAIRS_MAX: usize = 1_000;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The folder, which goes with this value.
#[derive(Debug)]
pub struct ConfigFolder {
    _folder: Option<tempfile::TempDir>,
}

/// Takes in what the variables say. It is called once, before a repository is opened.
///
/// # Errors
/// A variable makes no sense, or the folder can't be made.
pub fn take_configuration(variable: impl Fn(&str) -> Option<OsString>) -> Result<ConfigFolder, GitError> {
    if let Some(folder) = variable(FOLDER_VARIABLE) {
        lead_into(Path::new(&folder))?;
        return Ok(ConfigFolder { _folder: None });
    }
    let Some(files) = files(&variable)? else { return Ok(ConfigFolder { _folder: None }) };
    let failed = |dir: PathBuf| move |source| GitError::ReadFolder { path: dir, source };
    let folder = tempfile::Builder::new().prefix("ionroller-git-").tempdir();
    let folder = folder.map_err(failed(std::env::temp_dir()))?;
    for (name, text) in files {
        let path = folder.path().join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        written.map_err(failed(path))?;
    }
    lead_into(folder.path())?;
    Ok(ConfigFolder { _folder: Some(folder) })
}

/// The folder, if there is one.
pub(super) fn folder() -> Option<&'static Path> {
    FOLDER.get().map(PathBuf::as_path)
}

/// Adds the pairs of the environment to the configuration of a repository.
pub(super) fn add_pairs(repository: &git2::Repository) -> Result<(), git2::Error> {
    let Some(pairs) = folder().map(|folder| folder.join("pairs")).filter(|pairs| pairs.exists()) else { return Ok(()) };
    repository.config()?.add_file(&pairs, ConfigLevel::App, true)
}

/// The files of the folder; none if no variable is set.
fn files(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<Vec<(&'static str, String)>>, GitError> {
    let pairs = pairs(variable)?;
    let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
    let (global, system) = (text("GIT_CONFIG_GLOBAL"), text("GIT_CONFIG_SYSTEM"));
    let yes = |value: &str| !["", "0", "false", "no", "off"].contains(&value.to_ascii_lowercase().as_str());
    let without_system = text("GIT_CONFIG_NOSYSTEM").is_some_and(|value| yes(&value));
    let mut files = Vec::new();
    if !pairs.is_empty() {
        files.push(("pairs", pairs.clone()));
    }
    if global.is_some() || !pairs.is_empty() {
        // Before a repository is opened, too: that it is safe stands here.
        let named = match &global {
            Some(file) => include(file),
            None => usual_global(variable),
        };
        files.push(("global/.gitconfig", named + &pairs));
    }
    match (without_system, &system) {
        (true, _) => files.push(("system/gitconfig", String::new())),
        (false, Some(file)) => files.push(("system/gitconfig", include(file))),
        (false, None) => {}
    }
    Ok((!files.is_empty()).then_some(files))
}

/// The user's two usual files, the second of which counts more.
fn usual_global(variable: &dyn Fn(&str) -> Option<OsString>) -> String {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("HOME");
    let xdg = set("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
    let files = [xdg.map(|folder| folder.join("git/config")), home.map(|home| home.join(".gitconfig"))];
    files.into_iter().flatten().map(|file| include(&file.display().to_string())).collect()
}

fn include(file: &str) -> String {
    if file.is_empty() { String::new() } else { format!("[include]\n\tpath = {}\n", quoted(file)) }
}

/// The pairs as a file of git's configuration.
fn pairs(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<String, GitError> {
    const COUNT: &str = "GIT_CONFIG_COUNT";
    let bad = |reason: String| GitError::BadVariable { name: COUNT, reason };
    let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
    let Some(count) = text(COUNT).filter(|count| !count.is_empty()) else { return Ok(String::new()) };
    let count: usize = count
        .parse()
        .ok()
        .filter(|count| *count <= PAIRS_MAX)
        .ok_or_else(|| bad(format!("it is no number up to {PAIRS_MAX}")))?;
    let mut pairs = String::new();
    for number in 0..count {
        let of = |what: &str| text(&format!("GIT_CONFIG_{what}_{number}"));
        let (Some(key), Some(value)) = (of("KEY"), of("VALUE")) else {
            return Err(bad(format!("GIT_CONFIG_KEY_{number} or GIT_CONFIG_VALUE_{number} is missing")));
        };
        // A login would go along to another host.
        if key.to_ascii_lowercase().ends_with(".followredirects") {
            continue;
        }
        let pair = pair(&key, &value).ok_or_else(|| bad(format!("GIT_CONFIG_KEY_{number} is no key of git")))?;
        pairs += &pair;
    }
    Ok(pairs)
}

fn pair(key: &str, value: &str) -> Option<String> {
    let (rest, name) = key.rsplit_once('.')?;
    let (section, below) = rest.split_once('.').map_or((rest, None), |(section, below)| (section, Some(below)));
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !word(section) || !word(name) || key.contains(['\n', '\0']) || value.contains('\0') {
        return None;
    }
    let mut pair = format!("[{section}");
    if let Some(below) = below {
        let _ = write!(pair, " \"{}\"", below.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let _ = writeln!(pair, "]\n\t{name} = {}", quoted(value));
    Some(pair)
}

fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
    format!("\"{escaped}\"")
}

/// Makes libgit2 look into the folder.
#[allow(unsafe_code, reason = "libgit2 keeps its search paths in variables of its own")]
fn lead_into(folder: &Path) -> Result<(), GitError> {
    let lead = |level, below: &str| {
        let path = folder.join(below);
        // SAFETY: called once at the start, before any other thread uses libgit2.
        unsafe { git2::opts::set_search_path(level, path) }
    };
    let failed =
        |error: git2::Error| GitError::Open { location: "git's configuration".to_owned(), source: error.into() };
    if folder.join("global").is_dir() {
        lead(ConfigLevel::Global, "global").and_then(|()| lead(ConfigLevel::XDG, "none")).map_err(failed)?;
    }
    if folder.join("system").is_dir() {
        lead(ConfigLevel::System, "system").map_err(failed)?;
    }
    let _ = FOLDER.set(folder.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Vec<(&'static str, String)>>, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        files(&find).map_err(|error| error.to_string())
    }

    #[test]
    fn the_files_say_what_the_variables_do() {
        assert_eq!(read(&[("HOME", "/home/ann"), ("GIT_CONFIG_COUNT", "0")]), Ok(None));
        let global = read(&[("GIT_CONFIG_GLOBAL", "/g"), ("GIT_CONFIG_NOSYSTEM", "1")]).unwrap().unwrap();
        let expected = [("global/.gitconfig", "[include]\n\tpath = \"/g\"\n"), ("system/gitconfig", "")];
        assert_eq!(global, expected.map(|(name, text)| (name, text.to_owned())));
        let variables = [
            ("HOME", "/home/ann"),
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", "user.name"),
            ("GIT_CONFIG_VALUE_0", "Ann \"A\" \\ B"),
            ("GIT_CONFIG_KEY_1", "http.https://a.b/c.extraHeader"),
            ("GIT_CONFIG_VALUE_1", "X: 1"),
        ];
        let pairs = "[user]\n\tname = \"Ann \\\"A\\\" \\\\ B\"\n[http \"https://a.b/c\"]\n\textraHeader = \"X: 1\"\n";
        let files = read(&variables).unwrap().unwrap();
        assert_eq!(files[0], ("pairs", pairs.to_owned()));
        assert!(files[1].1.ends_with(pairs) && files[1].1.contains("path = \"/home/ann/.gitconfig\""), "{files:?}");
    }

    #[test]
    fn nonsense_is_said() {
        for (variables, expected) in [
            (&[("GIT_CONFIG_COUNT", "x")][..], "it is no number up to 1000"),
            (&[("GIT_CONFIG_COUNT", "1")], "GIT_CONFIG_KEY_0 or GIT_CONFIG_VALUE_0 is missing"),
            (
                &[("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "name"), ("GIT_CONFIG_VALUE_0", "x")],
                "GIT_CONFIG_KEY_0 is no key of git",
            ),
        ] {
            assert!(read(variables).unwrap_err().ends_with(expected), "{variables:?}");
        }
    }
}
