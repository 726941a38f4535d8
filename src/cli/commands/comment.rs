//! `ionroller comment`

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::args::{Comment as Args, Output, Plan as PlanArgs};
use crate::cli::error::CliError;
use crate::cli::session::Commit;
use crate::cli::ui::Ui;
use crate::cli::{forge, session};
use crate::forge::{Forge, Marker, Outcome, Patience, Place, Put, State, Status, put};
use crate::git::Source;
use crate::plan::types::Plan;
use crate::render;

/// More than any forge takes.
const TEXT_MAX: u64 = 4 * 1024 * 1024;

/// What to say on the pull request.
struct Text {
    /// Which comment it is.
    scope: String,
    markdown: String,
    /// The commit's status, if one is to be set.
    status: Option<(State, String)>,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    format_version: &'static str,
    forge: &'static str,
    project: &'a str,
    pull_request: Option<u64>,
    comment: Option<u64>,
    url: Option<&'a str>,
    outcome: &'static str,
    status: Option<AnsweredStatus<'a>>,
}

#[derive(Debug, Serialize)]
struct AnsweredStatus<'a> {
    commit: &'a str,
    context: &'a str,
    state: &'static str,
    description: &'a str,
}

/// Keeps one comment with the plan on a pull request.
pub async fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CliError> {
    if args.common.output == Output::Markdown {
        return Err(CliError::usage("-o markdown is what is posted, not the answer").hint("-o text or -o json"));
    }
    // What can't work is said before AWS is asked for anything.
    let ci = forge::ci()?;
    let place = forge::place(&args.forge, ci.as_ref(), || remote(args))?;
    let ci = ci.as_ref();
    let number = args.pull_request.or_else(|| ci?.number);
    let queued_on = ci.and_then(|ci| ci.queued_on.clone()).filter(|_| number.is_none());
    if number.is_none() && queued_on.is_none() {
        return Err(CliError::user("this run is for no pull request, as far as CI tells")
            .hint("--pull-request NUMBER says which; without one there is nothing to comment on"));
    }
    let planned = match args.file {
        Some(_) => None,
        None => Some(planned(args, ci.and_then(|ci| ci.head.as_deref()))?),
    };
    let commit = planned.filter(|_| args.status);
    if queued_on.is_some() && commit.is_none() {
        ui.tell("a group of a merge queue has no pull request: there is nothing to comment on");
    }
    let forge = forge::connect(&args.forge, &place)?;
    let text = match &args.file {
        Some(file) => of_file(args, file)?,
        None => of_plan(args, queued_on, ui).await?,
    };
    let patience = Patience { budget: args.timeout.to_std(), wait: &forge::wait(ui) };
    let marker = Marker::of_scope(&text.scope);
    let done = match number {
        Some(number) => Some(patience.run(|| put(&*forge, number, &marker, &text.markdown))?),
        None => None,
    };
    let status = set_status(&*forge, &patience, &text, commit)?;
    answer(args, ui, (&place, number), done.as_ref(), status.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

/// The remote that pull requests are made at, where CI does not tell.
fn remote(args: &Args) -> Option<(String, String)> {
    if let Ok(Source::Remote(url)) = Source::parse(&args.common.repo) {
        return url.web();
    }
    let (repository, _) = session::open(&args.common.repo, &args.common.path).ok()?;
    let name = repository.push_remote("HEAD").ok()?;
    repository.remote_web(&name)
}

/// The commit that is planned, and whose status may be set: of a pull request its head, of
/// which CI checks out the merge into the base. What CI says of another commit than the one
/// that is planned would be said of nothing that was looked at.
fn planned(args: &Args, head: Option<&str>) -> Result<String, CliError> {
    let (repository, _) = session::open(&args.common.repo, &args.common.path)?;
    let planned = repository.resolve(&args.common.reference)?;
    let Some(head) = head else { return Ok(planned.to_string()) };
    if planned.as_str() == head || repository.merges(&planned, head)? {
        return Ok(head.to_owned());
    }
    let short = |commit: &str| commit.chars().take(7).collect::<String>();
    let (reference, planned) = (&args.common.reference, planned.short());
    Err(CliError::user(format!(
        "the run is for commit {}, and {reference} is {planned}, which neither is that commit nor merges it: nothing \
         would be said of what is to be merged",
        short(head)
    ))
    .hint(format!("check out the pull request's head or its merge, or name it: --ref {head}")))
}

fn of_file(args: &Args, file: &Path) -> Result<Text, CliError> {
    let shown = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
    let mut markdown = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(TEXT_MAX).read_to_string(&mut markdown)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(TEXT_MAX).read_to_string(&mut markdown))
    };
    read.map_err(|error| CliError::user(format!("cannot read {shown}")).caused_by(&error))?;
    if markdown.trim().is_empty() {
        return Err(CliError::user(format!("{shown} is empty: there is nothing to say"))
            .hint("did `ionroller plan -o markdown` fail?"));
    }
    Ok(Text { scope: scope(args)?, markdown, status: None })
}

async fn of_plan(args: &Args, queued_on: Option<String>, ui: &Ui) -> Result<Text, CliError> {
    let asked = PlanArgs {
        // A group comes after others that are not on the branch yet.
        base: queued_on.or_else(|| args.base.clone()),
        offline: args.offline,
        out: None,
        all: false,
        show_values: false,
        detailed_exitcode: false,
        common: args.common.clone(),
    };
    let plan = super::plan::make(&asked, ui).await?;
    let scope = match &plan.scope {
        Some(scope) if args.scope.is_none() => scope.to_string(),
        _ => scope(args)?,
    };
    let status = args.status.then(|| state(&plan, args.offline));
    Ok(Text { scope, markdown: render::markdown::plan(&plan), status })
}

/// What a plan means for the commit that it is of.
fn state(plan: &Plan, offline: bool) -> (State, String) {
    let summary = render::text::summary_line(plan);
    if super::has_errors(&plan.diagnostics) {
        let errors = plan.diagnostics.iter().filter(|problem| super::is_error(problem)).count();
        let noun = if errors == 1 { "error" } else { "errors" };
        return (State::Failure, format!("{errors} {noun}; {summary}"));
    }
    if !plan.complete && !offline {
        return (State::Failure, format!("some of AWS could not be read; {summary}"));
    }
    (State::Success, summary)
}

/// Whose comment it is: the scope's; where its file is broken, the base's; at last the
/// folder's, so that what is wrong is said all the same.
fn scope(args: &Args) -> Result<String, CliError> {
    if let Some(scope) = &args.scope {
        return Ok(scope.to_string());
    }
    let unknown = |error: CliError| error.hint("--scope NAME says whose comment it is");
    let commit = Commit::read(&args.common).map_err(unknown)?;
    if let Some(scope) = &commit.desired.scope {
        return Ok(scope.scope.to_string());
    }
    let before = args.base.as_ref().and_then(|base| {
        let base = commit.repository.with(|repository| repository.resolve(base)).ok()?;
        Some(commit.repository.past(&base).ok()?.scope.as_ref()?.scope.to_string())
    });
    Ok(before.unwrap_or_else(|| format!("folder {}", commit.repository.folder())))
}

fn set_status(
    forge: &dyn Forge,
    patience: &Patience<'_>,
    text: &Text,
    commit: Option<String>,
) -> Result<Option<Status>, CliError> {
    let (Some((state, description)), Some(commit)) = (text.status.clone(), commit) else { return Ok(None) };
    let context = format!("ionroller/{}", text.scope);
    let status = Status { commit, context, state, description };
    patience.run(|| forge.set_status(&status))?;
    Ok(Some(status))
}

fn answer(
    args: &Args,
    ui: &Ui,
    (place, number): (&Place, Option<u64>),
    done: Option<&Put>,
    status: Option<&Status>,
) -> Result<(), CliError> {
    let outcome = match done.map(|done| done.outcome) {
        Some(Outcome::Created) => "created",
        Some(Outcome::Updated) => "updated",
        Some(Outcome::Unchanged) => "unchanged",
        None => "none",
    };
    let url = done.and_then(|done| done.url.as_deref());
    if args.common.output == Output::Json {
        let status = status.map(|status| AnsweredStatus {
            commit: &status.commit,
            context: &status.context,
            state: word(status.state),
            description: &status.description,
        });
        let (forge, project) = (place.kind.word(), place.repository.as_str());
        let answer = Answer {
            format_version: "1",
            forge,
            project,
            pull_request: number,
            comment: done.map(|done| done.id),
            url,
            outcome,
            status,
        };
        return Ok(ui.answer(&render::json::text(&answer))?);
    }
    let url = url.map(|url| format!("  {url}")).unwrap_or_default();
    if let Some(number) = number {
        ui.answer(&format!("comment on {} {number} {outcome}{url}\n", place.repository))?;
    }
    if let Some(status) = status {
        ui.answer(&format!("status {}: {}, {}\n", status.context, word(status.state), status.description))?;
    }
    Ok(())
}

const fn word(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Success => "success",
        State::Failure => "failure",
    }
}
