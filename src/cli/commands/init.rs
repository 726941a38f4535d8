//! `ionroller init`

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::args::{Ci, Init};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::desired::schema;
use crate::git::Repository;

/// The files of a new config repository, with the words to fill in in braces.
const SCOPE_FILE: &str = include_str!("../scaffold/ionroller.toml");
const SERVICE_FILE: &str = include_str!("../scaffold/hello.toml");
const SCRIPT: &str = include_str!("../scaffold/hello.sh");
const GITHUB_CHECK: &str = include_str!("../scaffold/ionroller-plan.yml");
const GITLAB_CHECK: &str = include_str!("../scaffold/ionroller-plan.gitlab.yml");
const GITLAB_CI: &str = include_str!("../scaffold/gitlab-ci.yml");
const PRE_COMMIT: &str = include_str!("../scaffold/pre-commit-config.yaml");
const README: &str = include_str!("../scaffold/README.md");

/// A file to write.
struct File {
    path: PathBuf,
    text: String,
    /// One that is there stays, and nobody minds.
    optional: bool,
}

/// Writes the first files of a config repository. Nothing is overwritten.
pub fn run(args: &Init, ui: &Ui) -> Result<ExitCode, CliError> {
    let place = Place::of(&args.dir);
    let files = files(args, &place);
    let there: Vec<String> =
        files.iter().filter(|file| !file.optional && file.path.exists()).map(|file| shown(&file.path)).collect();
    if !there.is_empty() {
        return Err(CliError::user(format!("nothing was written, for there is already: {}", there.join(", ")))
            .hint("name an empty folder, or add services to what is there"));
    }
    for file in &files {
        if file.path.exists() {
            ui.tell(&format!("{} is there already, and stays", shown(&file.path)));
            if file.path.extension().is_some_and(|name| name == "yml" || name == "yaml") {
                ui.tell(&format!("this belongs into it:\n\n{}", file.text));
            }
            continue;
        }
        write(&file.path, &file.text)
            .map_err(|error| CliError::user(format!("cannot write {}", shown(&file.path))).caused_by(&error))?;
        ui.answer(&format!("{}\n", shown(&file.path)))?;
    }
    if !place.is_in_repository {
        Repository::create(&args.dir)?;
        ui.tell(&format!("{} is a Git repository now", args.dir.display()));
    }
    let (go, check) = match (place.inside.is_empty(), args.dir == Path::new(".")) {
        (true, false) => (format!("  cd {}\n", args.dir.display()), String::new()),
        (true, true) => (String::new(), String::new()),
        (false, _) => (String::new(), format!(" --path {}", place.inside)),
    };
    let validate = if place.inside.is_empty() { String::new() } else { format!(" {}", args.dir.display()) };
    ui.tell(&format!(
        "Next: put your own subnets, security groups, listener and machine image in, then\n\
         {go}  ionroller validate{validate}\n  git add . && git commit -m 'first service'\n  ionroller plan{check}"
    ));
    Ok(ExitCode::SUCCESS)
}

/// A path without the dot that it begins with.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

/// Where the folder is in its Git repository, if it is in one.
struct Place {
    /// The folder that the check belongs into.
    root: PathBuf,
    /// The config folder relative to it; empty if they are the same.
    inside: String,
    is_in_repository: bool,
}

impl Place {
    fn of(dir: &Path) -> Self {
        let alone = Self { root: dir.to_owned(), inside: String::new(), is_in_repository: false };
        let Ok(whole) = std::path::absolute(dir) else { return alone };
        // A folder that is to be made is where its nearest parent is.
        let Some(there) = whole.ancestors().find(|path| path.exists()) else { return alone };
        let (Ok(repository), Ok(real)) = (Repository::open_local(there), there.canonicalize()) else { return alone };
        let Some(root) = repository.working_folder() else { return alone };
        let whole = whole.strip_prefix(there).map_or(real.clone(), |below| real.join(below));
        // Joined with nothing, it would end with a slash.
        let whole: PathBuf = whole.components().collect();
        let Some(inside) = whole.strip_prefix(&root).ok().and_then(Path::to_str) else { return alone };
        if inside.is_empty() {
            return Self { is_in_repository: true, ..alone };
        }
        Self { inside: inside.to_owned(), root, is_in_repository: true }
    }
}

fn files(args: &Init, place: &Place) -> Vec<File> {
    let (path_flag, dir_argument, prefix) = match place.inside.as_str() {
        "" => (String::new(), String::new(), String::new()),
        inside => (format!(" --path {inside}"), format!(" {inside}"), format!("{}/", inside.replace('.', "\\."))),
    };
    let fill = |text: &str| {
        text.replace("{check}", check_of(args.ci))
            .replace("{scope}", args.scope.as_str())
            .replace("{region}", args.region.as_str())
            .replace("{account}", args.account.as_str())
            .replace("{path_flag}", &path_flag)
            .replace("{dir_argument}", &dir_argument)
            .replace("{prefix}", &prefix)
    };
    let file = |path: PathBuf, text: &str, optional| File { path, text: fill(text), optional };
    let mut files = vec![
        file(args.dir.join("ionroller.toml"), SCOPE_FILE, false),
        file(args.dir.join("services/hello.toml"), SERVICE_FILE, false),
        file(args.dir.join("files/hello.sh"), SCRIPT, false),
        schema_file(args, "scope", &schema::scope()),
        schema_file(args, "service", &schema::service()),
    ];
    let at_root = |name: String| place.root.join(name);
    match args.ci {
        Ci::Github => {
            files.push(file(
                at_root(format!(".github/workflows/ionroller-plan-{}.yml", args.scope)),
                GITHUB_CHECK,
                false,
            ));
        }
        Ci::Gitlab => {
            files.push(file(at_root(format!(".gitlab/ionroller-plan-{}.yml", args.scope)), GITLAB_CHECK, false));
            files.push(file(at_root(".gitlab-ci.yml".to_owned()), GITLAB_CI, true));
        }
        Ci::PreCommit => files.push(file(at_root(".pre-commit-config.yaml".to_owned()), PRE_COMMIT, true)),
        Ci::None => {}
    }
    files.push(file(args.dir.join("README.md"), README, true));
    files
}

/// What the README says of the check.
fn check_of(ci: Ci) -> &'static str {
    match ci {
        Ci::Github => {
            "- `.github/workflows/ionroller-plan-{scope}.yml` is the check of pull requests. It needs two repository\n  \
             variables, which its first lines explain."
        }
        Ci::Gitlab => {
            "- `.gitlab/ionroller-plan-{scope}.yml` is the check of merge requests. It needs CI/CD variables, which\n  \
             its first lines explain."
        }
        Ci::PreCommit => "- `.pre-commit-config.yaml` checks the files before each commit: `pre-commit install`.",
        Ci::None => "- A check of pull requests is `ionroller plan --base BRANCH`.",
    }
}

/// What editors check the files by; the first line of each file names its schema. One that
/// is there may be of another version, and stays.
fn schema_file(args: &Init, of: &str, schema: &serde_json::Value) -> File {
    let path = args.dir.join(format!(".schemas/{of}.json"));
    File { path, text: format!("{schema:#}\n"), optional: true }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    // Not even a file that somebody made in this moment is overwritten.
    fs::File::create_new(path)?.write_all(text.as_bytes())
}
