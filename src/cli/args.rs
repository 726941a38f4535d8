//! The command line, exactly as typed.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::forge::Kind;
use crate::names::{AccountId, Region, Scope, ServiceName, Version};
use crate::time::Span;

const AFTER_HELP: &str = "Exit status: 0 done; 1 failed, or cannot go on; 2 something would change \
(plan --detailed-exitcode); 64 wrong usage; 130 interrupted";

/// Release what Git says, on AWS Auto Scaling groups
#[derive(Debug, Clone, Parser)]
#[command(name = "ionroller", version, max_term_width = 100, propagate_version = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// When to colour the output; auto: on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        hide_possible_values = true,
        default_value_t = ColorChoice::Auto,
        value_name = "auto|always|never"
    )]
    pub color: ColorChoice,
    /// Say less on stderr
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for every call
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The verbs.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Write the first files of a config repository, with a check for pull requests
    Init(Init),
    /// Check the files of a folder, and report every problem at once
    Validate(Validate),
    /// Print the JSON Schema of the files, for editors, or of an answer
    Schema(Schema),
    /// Show what apply would do, and change nothing
    Plan(Plan),
    /// Compare the running release with the file
    Diff(Diff),
    /// Bring AWS to what the commit says, then exit
    Apply(Apply),
    /// Follow a branch for ever
    Run(Run),
    /// Show what is live, how far each rollout is, and why it waits
    Status(Status),
    /// Change the version line of a service's file, and commit
    Release(Release),
    /// Commit a service's file as it was for the last stable release
    Rollback(Rollback),
    /// Keep one comment with the plan on a pull request
    Comment(Comment),
    /// Show the releases of a service, what became of them, and their commits
    History(History),
    /// Keep a service as it is until it is resumed
    Hold(Operate),
    /// Let a held service go on
    Resume(Operate),
    /// Try a rejected release again
    Retry(Operate),
    /// Take a release back: traffic to live, the candidate withdrawn, the service held
    Abort(Operate),
    /// Show it all in a minute, without an AWS account
    Demo(Demo),
    /// Print a shell's completions
    Completions(Completions),
    /// Print a manual page
    Man(Man),
}

/// Where desired and real state come from.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where from, and in which form")]
pub struct Common {
    /// The config repository: a path or a URL
    #[arg(long, default_value = ".", value_name = "PATH|URL")]
    pub repo: String,
    /// The commit, branch or tag that counts; never uncommitted files
    #[arg(long = "ref", default_value = "HEAD", value_name = "REF")]
    pub reference: String,
    /// The config folder inside the repository
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub path: String,
    /// Only this service; may be given several times
    #[arg(long = "service", value_name = "NAME")]
    pub services: Vec<ServiceName>,
    /// The form of the answer
    #[arg(short, long, hide_possible_values = true, value_enum, default_value_t = Output::Text, value_name = "text|json|markdown")]
    pub output: Output,
    /// AWS, or a simulated world kept in a file
    #[arg(long, default_value = "aws", value_name = "aws|sim:FILE")]
    pub cloud: CloudChoice,
}

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
    /// For pull requests
    Markdown,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// When the answer goes to a terminal and NO_COLOR is not set
    Auto,
    /// In any case
    Always,
    /// In no case
    Never,
}

/// `--cloud`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudChoice {
    /// The real one.
    Aws,
    /// A simulated world in a file.
    Sim(PathBuf),
}

impl FromStr for CloudChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sim:") {
            Some("") => Err("sim: needs a file".to_owned()),
            Some(file) => Ok(Self::Sim(PathBuf::from(file))),
            None if text == "aws" => Ok(Self::Aws),
            None => Err("it is `aws`, or `sim:` and a file".to_owned()),
        }
    }
}

/// `init`.
#[derive(Debug, Clone, Args)]
pub struct Init {
    /// The folder; made if it is not there
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// The scope's name
    #[arg(long, default_value = "prod", value_name = "NAME")]
    pub scope: Scope,
    /// The region of all resources
    #[arg(long, env = "AWS_REGION", default_value = "eu-west-1", value_name = "NAME")]
    pub region: Region,
    /// The account that ionroller may act in
    #[arg(long, default_value = "123456789012", value_name = "ID")]
    pub account: AccountId,
    /// The check that is written, too
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Ci::Github, value_name = "github|gitlab|pre-commit|none")]
    pub ci: Ci,
}

/// `init --ci`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ci {
    /// A workflow that plans pull requests
    Github,
    /// A job that plans merge requests
    Gitlab,
    /// A hook that checks the files before each commit
    PreCommit,
    /// None
    None,
}

/// `completions`.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Clone, Args)]
pub struct Man {
    /// The command; without it, ionroller itself
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// Write the pages of all commands into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub dir: Option<PathBuf>,
}

/// `validate`.
#[derive(Debug, Clone, Args)]
pub struct Validate {
    /// The config folder, as it is on disk
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// The form of the answer
    #[arg(
        short,
        long,
        hide_possible_values = true,
        value_enum,
        default_value_t = super::commands::validate::Form::Text,
        value_name = "text|json|markdown|sarif|github"
    )]
    pub output: super::commands::validate::Form,
}

/// `schema`.
#[derive(Debug, Clone, Args)]
pub struct Schema {
    /// Of what; without it, of any file of a config repository
    #[arg(value_enum, value_name = "WHAT")]
    pub what: Option<SchemaOf>,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// services/NAME.toml
    Service,
    /// ionroller.toml
    Scope,
    /// plan -o json
    Plan,
    /// status -o json
    Status,
    /// apply -o json
    Apply,
    /// validate -o json
    Validate,
    /// diff -o json
    Diff,
    /// history -o json
    History,
    /// release -o json and rollback -o json
    Commit,
    /// comment -o json
    Comment,
    /// hold, resume, retry and abort with -o json
    Word,
}

/// `plan`.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// Plan the merge of --ref into this; nothing is written
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,
    /// Do not ask AWS: show what the files say, or with --base what changes in them
    #[arg(long)]
    pub offline: bool,
    /// Write the plan to a file, too, for apply --plan
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    pub out: Option<PathBuf>,
    /// Show every service, not only those that change, or that the merge touches
    #[arg(long)]
    pub all: bool,
    /// Show the values of env and secrets and the scripts in differences of files; else they are masked
    #[arg(long)]
    pub show_values: bool,
    /// Exit with 2 when anything would change, with 1 when anything is wrong
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Where states come from
    #[command(flatten)]
    pub common: Common,
}

/// `diff`.
#[derive(Debug, Clone, Args)]
pub struct Diff {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub service: ServiceName,
    /// Show the values of env and secrets, too; else they are masked
    #[arg(long)]
    pub show_values: bool,
    /// Where states come from
    #[command(flatten)]
    pub common: Common,
}

/// `apply`.
#[derive(Debug, Clone, Args)]
pub struct Apply {
    /// Only if the plan is still the one in this file, for the services that it names
    #[arg(long, value_name = "FILE", conflicts_with = "services")]
    pub plan: Option<PathBuf>,
    /// Make one pass and exit
    #[arg(long)]
    pub once: bool,
    /// Wait until warm groups are retired, too
    #[arg(long, value_enum, hide_possible_values = true, value_name = "retired")]
    pub wait: Option<WaitFor>,
    /// Give up after so long, such as 30m
    #[arg(long, value_parser = span, value_name = "DURATION")]
    pub timeout: Option<Span>,
    /// Act even where the commit does not descend from what was acted on
    #[arg(long)]
    pub allow_rewind: bool,
    /// Where states come from
    #[command(flatten)]
    pub common: Common,
}

/// `apply --wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// Until warm groups are retired
    Retired,
}

/// `run`.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// The daemon's file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Plan and report, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Check the file and what it refers to, and exit
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
    /// AWS, or a simulated world kept in a file
    #[arg(long, default_value = "aws", value_name = "aws|sim:FILE")]
    pub cloud: CloudChoice,
}

/// `status`.
#[derive(Debug, Clone, Args)]
pub struct Status {
    /// Only this service, in detail
    #[arg(value_name = "SERVICE")]
    pub service: Option<ServiceName>,
    /// Where states come from
    #[command(flatten)]
    pub common: Common,
}

/// Where a commit is made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where to, and in which form")]
pub struct Commit {
    /// The config repository: a clone of yours
    #[arg(long, default_value = ".", value_name = "PATH")]
    pub repo: String,
    /// The config folder inside the repository
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub path: String,
    /// Commit on this branch, made at HEAD if it is new; the working folder stays
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// Push the branch afterwards
    #[arg(long)]
    pub push: bool,
    /// Push the branch, and open a pull request from it
    #[arg(long, requires = "branch")]
    pub open: bool,
    /// The form of the answer
    #[arg(short, long, hide_possible_values = true, value_enum, default_value_t = Output::Text, value_name = "text|json|markdown")]
    pub output: Output,
    /// AWS, or a simulated world kept in a file
    #[arg(long, default_value = "aws", value_name = "aws|sim:FILE")]
    pub cloud: CloudChoice,
    /// Which forge
    #[command(flatten)]
    pub forge: Forge,
}

/// `release`.
#[derive(Debug, Clone, Args)]
pub struct Release {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub service: ServiceName,
    /// The version that should run
    #[arg(id = "release_version", value_name = "VERSION")]
    pub version: Version,
    /// The image's digest, needed where the file names one
    #[arg(long, value_name = "sha256:HEX")]
    pub digest: Option<String>,
    /// Where the commit is made
    #[command(flatten)]
    pub commit: Commit,
}

/// `rollback`.
#[derive(Debug, Clone, Args)]
pub struct Rollback {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub service: ServiceName,
    /// Back to this version; without it, to the last stable release
    #[arg(long, value_name = "VERSION")]
    pub to: Option<Version>,
    /// Without Git
    #[command(flatten)]
    pub live: super::commands::live_rollback::Live,
    /// Where the commit is made
    #[command(flatten)]
    pub commit: Commit,
}

/// Which repository on which forge.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which forge; CI or the Git remote tell")]
pub struct Forge {
    /// The kind of forge
    #[arg(long, env = "IONROLLER_FORGE", value_parser = forge_kind, hide_env_values = true, value_name = "github|gitlab|gitea")]
    pub forge: Option<Kind>,
    /// The address of its API, where it is not in the usual place
    #[arg(long, env = "IONROLLER_FORGE_URL", hide_env_values = true, value_name = "URL")]
    pub forge_url: Option<String>,
    /// The repository there
    #[arg(long, env = "IONROLLER_FORGE_PROJECT", hide_env_values = true, value_name = "OWNER/NAME")]
    pub project: Option<String>,
    /// The token, in a file; else from the environment
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// `comment`.
#[derive(Debug, Clone, Args)]
pub struct Comment {
    /// A plan in Markdown, - for stdin; without it, the plan is made here
    #[arg(value_name = "FILE", conflicts_with_all = ["base", "offline", "status"])]
    pub file: Option<PathBuf>,
    /// The pull or merge request; CI tells its own
    #[arg(long, value_name = "NUMBER")]
    pub pull_request: Option<u64>,
    /// The scope whose comment this is; else the one of ionroller.toml
    #[arg(long, value_name = "NAME")]
    pub scope: Option<Scope>,
    /// Set the commit's status, too: success, or failure when the plan has errors
    #[arg(long)]
    pub status: bool,
    /// Wait for a busy forge no longer than this in all
    #[arg(long, default_value = "2m", value_parser = span, value_name = "DURATION")]
    pub timeout: Span,
    /// Plan the merge of --ref into this; nothing is written
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,
    /// Do not ask AWS for the plan
    #[arg(long)]
    pub offline: bool,
    /// Which forge
    #[command(flatten)]
    pub forge: Forge,
    /// Where states come from
    #[command(flatten)]
    pub common: Common,
}

/// `history`.
#[derive(Debug, Clone, Args)]
pub struct History {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub service: ServiceName,
    /// Where states come from
    #[command(flatten)]
    pub common: Common,
}

/// `hold`, `resume`, `retry` and `abort`.
#[derive(Debug, Clone, Args)]
pub struct Operate {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub service: ServiceName,
    /// Why; it is kept with the mark
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub reason: String,
    /// The scope, when there is no repository at hand
    #[arg(long, value_name = "NAME")]
    pub scope: Option<Scope>,
    /// The region, when there is no repository at hand
    #[arg(long, env = "AWS_REGION", value_name = "NAME")]
    pub region: Option<Region>,
    /// Where states come from
    #[command(flatten)]
    pub common: Common,
}

/// `demo`.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// Keep it running afterwards, to try things
    #[arg(long)]
    pub serve: bool,
    /// The form of the answer
    #[arg(short, long, hide_possible_values = true, value_enum, default_value_t = Output::Text, value_name = "text|json|markdown")]
    pub output: Output,
}

fn forge_kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| "it is github, gitlab, or gitea, which Forgejo is, too".to_owned())
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "no duration such as 90s, 30m or 1h30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn documented_forms_are_read() {
        let good = [
            "ionroller validate",
            "ionroller validate conf -o json",
            "ionroller validate conf -o sarif",
            "ionroller validate -o github",
            "ionroller schema",
            "ionroller schema service",
            "ionroller schema plan",
            "ionroller plan --repo . --ref main --path conf --service a --service b -o json --cloud sim:w.json",
            "ionroller plan --offline --base main --detailed-exitcode --all --show-values",
            "ionroller diff web --show-values",
            "ionroller apply --once --wait retired --timeout 30m --allow-rewind",
            "ionroller run --config daemon.toml --dry-run",
            "ionroller run --config daemon.toml --check",
            "ionroller status web --color never -q",
            "ionroller hold web --reason incident --scope prod --region eu-west-1",
            "ionroller retry web -vv",
            "ionroller init conf --scope prod --region eu-west-1 --account 123456789012 --ci gitlab",
            "ionroller plan --out p.json",
            "ionroller apply --plan p.json",
            "ionroller completions zsh",
            "ionroller man plan",
            "ionroller man --dir man1",
            "ionroller rollback web --to 2.7.0 --push --branch back -o json",
            "ionroller rollback web --live --reason x --scope prod --region eu-west-1 --cloud sim:w.json -o json",
            "ionroller history web -o json",
            "ionroller release web 2.7.1 --digest sha256:00 --push --branch release/web --repo . --path conf",
            "ionroller demo --serve -o json",
            "ionroller rollback web --branch back --open --forge gitea --forge-url https://g/api/v1 --project o/c",
            "ionroller comment plan.md --scope prod --pull-request 7 --forge gitlab --project a/b/c -o json",
            "ionroller comment --base main --status --timeout 30s --token-file t --forge-url https://g/api/v4",
        ];
        for line in good {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        let bad = [
            "ionroller",
            "ionroller plan --cloud gcp",
            "ionroller plan -o sarif",
            "ionroller apply --timeout soon",
            "ionroller diff",
            "ionroller run",
            "ionroller release web 2.7.1 --open",
            "ionroller comment plan.md --status",
            "ionroller comment --forge bitbucket",
            "ionroller hold Web",
            "ionroller plan --offline --out p.json",
            "ionroller apply --plan p.json --service a",
            "ionroller completions cmd.exe",
            "ionroller release web",
            "ionroller rollback web --live --to 2.7.0",
            "ionroller rollback web --live --push",
            "ionroller rollback web --reason x",
            "ionroller release web /1",
        ];
        for line in bad {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
