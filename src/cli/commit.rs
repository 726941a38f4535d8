//! A commit that a command makes in the user's own clone: of one service's file.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::cloud::sim::file as sim_file;
use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::desired::files::{ConfigFiles, FileContent};
use crate::desired::spec::{Desired, ServiceFile};
use crate::forge::{Forge, NewPullRequest, Opened, Patience, ensure};
use crate::git::{Branch, FileCommit, Repository, Source};
use crate::names::{CommitId, ServiceName};
use crate::settings::GitSettings;
use crate::time::Timestamp;

use super::args::{CloudChoice, Commit as Args, Output};
use super::error::CliError;
use super::forge;
use super::ui::Ui;

/// How long a busy forge is waited for in all.
const PATIENCE: Duration = Duration::from_secs(120);

/// A clone, the branch that the commit goes onto, and the config folder at its tip.
pub struct Clone {
    /// The clone.
    pub repository: Repository,
    /// Where the commit goes.
    pub branch: Branch,
    /// The files at the branch's tip.
    pub files: ConfigFiles,
    /// Where the branch is pushed to, if that was asked for.
    remote: Option<String>,
    /// Where a pull request is opened, if that was asked for.
    opening: Option<Opening>,
}

/// Where a pull request is opened, and what it goes into.
struct Opening {
    forge: Box<dyn Forge>,
    into: Option<String>,
}

/// What was committed, for the answer.
#[derive(Debug, Serialize)]
pub struct Committed<'a> {
    format_version: &'static str,
    service: &'a ServiceName,
    from: &'a str,
    to: &'a str,
    commit: &'a CommitId,
    branch: &'a str,
    pushed_to: Option<&'a str>,
    pull_request: Option<&'a str>,
}

impl Clone {
    /// Opens the clone and looks at the branch, so that what can't work is said before
    /// anything is done.
    pub fn open(args: &Args) -> Result<Self, CliError> {
        if args.output == Output::Markdown {
            return Err(CliError::usage("-o markdown is for plans, and this makes a commit").hint("-o text or -o json"));
        }
        let place = match Source::parse(&args.repo)? {
            Source::Local(place) => place,
            Source::Remote(url) => {
                return Err(CliError::usage(format!("{url} is a URL, and a commit needs a clone of yours"))
                    .hint(format!("git clone {url}, then --repo FOLDER")));
            }
        };
        let repository = Repository::open_local(&place)?;
        let folder = super::session::join(&repository.opened_at(), &args.path);
        let branch = repository.branch_to_commit_on(args.branch.as_deref())?;
        let push = args.push || args.open;
        let remote = push.then(|| repository.push_remote(&branch.name)).transpose()?;
        let opening = remote.as_deref().filter(|_| args.open);
        let opening = opening.map(|remote| Opening::prepare(args, &repository, &branch, remote)).transpose()?;
        let files = repository.config_files(&branch.tip, &folder)?;
        Ok(Self { repository, branch, files, remote, opening })
    }

    /// The text of a service's file at the tip of the branch.
    pub fn text(&self, service: &ServiceName) -> Result<String, CliError> {
        let path = file_of(service);
        let shown = self.shown(service);
        match self.files.files.get(&path) {
            None => {
                let known =
                    self.files.files.keys().filter_map(|path| path.strip_prefix("services/")?.strip_suffix(".toml"));
                let error = CliError::user(format!("there is no {shown} on branch {}", self.branch.name));
                Err(super::commands::did_you_mean(error, service.as_str(), known))
            }
            Some(FileContent::Bytes(bytes)) => String::from_utf8(bytes.clone())
                .map_err(|_| CliError::user(format!("{shown} is not UTF-8, so it can't be edited"))),
            Some(other) => Err(CliError::user(format!("{shown} {}", other.instead_of_a_file()))),
        }
    }

    /// The service's file relative to the root of the repository.
    pub fn shown(&self, service: &ServiceName) -> String {
        format!("{}{}", self.files.root, file_of(service))
    }

    /// Refuses when a commit would take along, or overwrite, what somebody is working on.
    pub fn check_unchanged(&self, service: &ServiceName) -> Result<(), CliError> {
        let path = self.shown(service);
        if self.branch.is_shown && self.repository.is_file_changed(&path)? {
            return Err(CliError::user(format!("{path} has changes that are not committed"))
                .hint("commit them, or put them aside with git stash"));
        }
        Ok(())
    }

    /// What the files say at the tip.
    pub fn desired(&self) -> Desired {
        crate::desired::load(&self.files, Some(self.branch.tip.clone()))
    }

    /// What they would say with another text for one service, if that is valid.
    pub fn desired_with(&self, service: &ServiceName, text: &str, ui: &Ui) -> Result<Desired, CliError> {
        let mut files = self.files.clone();
        files.files.insert(file_of(service), FileContent::Bytes(text.as_bytes().to_vec()));
        let desired = crate::desired::load(&files, None);
        let shown = self.shown(service);
        if let Some(ServiceFile::Valid(_)) = desired.services.get(service) {
            return Ok(desired);
        }
        // Another file claims its place, and did so before: this commit is no reason.
        if let Some(contested) = desired.contested.get(service)
            && self
                .desired()
                .contested
                .get(service)
                .is_some_and(|b| b.diagnostic.message == contested.diagnostic.message)
        {
            super::commands::tell_diagnostics(std::slice::from_ref(&contested.diagnostic), ui);
            ui.insist("warning: it takes effect only if the service has that place in AWS, and keeps it");
            return Ok(desired);
        }
        let of_service =
            |problem: &&Diagnostic| problem.severity == Severity::Error && problem.file.as_ref() == Some(&shown);
        let problems: Vec<Diagnostic> = desired.diagnostics.iter().filter(of_service).cloned().collect();
        super::commands::tell_diagnostics(&problems, ui);
        Err(CliError::user(format!("{shown} would not be valid, so nothing was committed"))
            .hint("`ionroller validate` shows all problems of what is there now"))
    }

    /// Commits a service's new file, pushes if that was asked for, and answers.
    pub fn commit(
        &self,
        args: &Args,
        service: &ServiceName,
        versions: (&str, &str),
        text: &str,
        message: &str,
        ui: &Ui,
    ) -> Result<(), CliError> {
        let path = self.shown(service);
        let commit =
            self.repository.commit_file(&self.branch, FileCommit { path: &path, content: text.as_bytes(), message })?;
        if self.repository.wants_signatures() {
            ui.insist("warning: git is set to sign commits; this one is not signed (git commit --amend -S signs it)");
        }
        let push = |remote: &str| -> Result<(), CliError> {
            let access = super::session::access(&GitSettings::default())?;
            Ok(self.repository.push(&self.branch, remote, &access)?)
        };
        let pushed = self.remote.as_deref().map(push).transpose();
        let (from, to) = versions;
        let branch = self.branch.name.as_str();
        if let Err(error) = pushed {
            ui.insist(&format!("{service} {to} is committed on {branch} as {}, and not pushed", commit.short()));
            return Err(error);
        }
        let opened = self.opening.as_ref().map(|opening| opening.open(branch, message, ui)).transpose();
        let opened = opened.inspect_err(|_| {
            ui.insist(&format!(
                "{service} {to} is pushed on {branch} as {}, and no pull request was opened",
                commit.short()
            ));
        })?;
        if args.output == Output::Json {
            let pushed_to = self.remote.as_deref();
            let pull_request = opened.as_ref().map(|opened| opened.pull_request.url.as_str());
            let answer =
                Committed { format_version: "1", service, from, to, commit: &commit, branch, pushed_to, pull_request };
            return Ok(ui.answer(&crate::render::json::text(&answer))?);
        }
        ui.answer(&format!("{service}  {from} → {to}   committed on {branch} as {}\n", commit.short()))?;
        match &self.remote {
            Some(remote) => ui.tell(&format!("pushed to {remote}")),
            None => {
                if let Ok(remote) = self.repository.push_remote(branch) {
                    ui.tell(&format!("not pushed yet: git push {remote} {branch}"));
                }
            }
        }
        if let Some(Opened { pull_request, is_new }) = &opened {
            let what = if *is_new { "pull request opened" } else { "there is a pull request already" };
            ui.answer(&format!("{what}: {}\n", pull_request.url))?;
        }
        Ok(())
    }
}

impl Opening {
    /// Finds the forge and its token, before anything is done.
    fn prepare(args: &Args, repository: &Repository, branch: &Branch, remote: &str) -> Result<Self, CliError> {
        let place = forge::place(&args.forge, None, || repository.remote_web(remote))?;
        let forge = forge::connect(&args.forge, &place)?;
        // What is checked out, if the remote knows it; else what the forge goes by.
        let into = repository.current_branch().filter(|into| repository.is_on_remote(remote, into));
        if into.as_ref() == Some(&branch.name) {
            return Err(CliError::usage(format!("--open needs another branch than {}", branch.name))
                .hint("--branch NAME names a new one; the pull request goes from it into what is checked out"));
        }
        Ok(Self { forge, into })
    }

    /// Opens the pull request, with the commit's subject and body.
    fn open(&self, branch: &str, message: &str, ui: &Ui) -> Result<Opened, CliError> {
        let patience = Patience { budget: PATIENCE, wait: &forge::wait(ui) };
        let into = match &self.into {
            Some(into) => into.clone(),
            None => patience.run(|| self.forge.default_branch())?,
        };
        let (title, body) = message.split_once('\n').unwrap_or((message, ""));
        let (title, body) = (title.to_owned(), body.trim().to_owned());
        let new = NewPullRequest { branch: branch.to_owned(), into, title, body };
        Ok(patience.run(|| ensure(&*self.forge, &new))?)
    }
}

/// A service's file inside the config folder.
pub fn file_of(service: &ServiceName) -> String {
    format!("services/{service}.toml")
}

/// The time by the clock of the chosen cloud, as far as that is known without asking it.
pub fn now(cloud: &CloudChoice) -> Timestamp {
    if let CloudChoice::Sim(file) = cloud
        && let Ok(Some(world)) = sim_file::load(&PathBuf::from(file))
    {
        return world.time();
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Says so when a freeze would hold the start of a release. It is no reason not to commit.
pub fn warn_of_freeze(desired: &Desired, service: &ServiceName, now: Timestamp, ui: &Ui) {
    let Some(scope) = &desired.scope else {
        ui.insist("warning: ionroller.toml has errors, so nothing will be done for any service until it is mended");
        return;
    };
    let holds = |services: &[ServiceName]| services.is_empty() || services.contains(service);
    for freeze in scope.freezes.iter().filter(|freeze| freeze.from <= now && now < freeze.until) {
        if holds(&freeze.services) {
            ui.insist(&format!(
                "warning: {service} is frozen ({}); its release starts at {}",
                freeze.name, freeze.until
            ));
        }
    }
}
