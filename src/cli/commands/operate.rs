//! `ionroller hold`, `resume`, `retry` and `abort`, and `rollback --live`

use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::args::{CloudChoice, Operate, Output};
use crate::cli::error::CliError;
use crate::cli::session::{Commit, connect, usual_region};
use crate::cli::ui::Ui;
use crate::cloud::Cloud;
use crate::desired::spec::{Limits, Prune, ScopeConfig, ServiceSpec};
use crate::names::{Scope, ServiceName};
use crate::plan::action::{Action, Mutation};
use crate::plan::operator::Word;
use crate::reconcile::Event;
use crate::reconcile::operate::{Done, Order, operate};
use crate::render;

/// Which word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Stand still.
    Hold,
    /// Go on.
    Resume,
    /// Try a rejected release again.
    Retry,
    /// Take the release back, and hold.
    Abort,
    /// Put traffic back on the release that is kept warm, and hold.
    LiveRollback,
}

impl Verb {
    /// What is so now.
    fn done(self) -> &'static str {
        match self {
            Self::Hold => "is held; `ionroller resume` lets it go on",
            Self::Resume => "is held no longer",
            Self::Retry => "will be tried again",
            Self::Abort => "is taken back, and held; `ionroller resume` lets it go on",
            Self::LiveRollback => {
                "is put back, and held until Git wants the same, too: revert it there, or `ionroller resume` goes forward again"
            }
        }
    }
}

/// What was said and done, for the answer.
#[derive(Serialize)]
struct Said<'a> {
    format_version: &'static str,
    scope: &'a Scope,
    service: &'a ServiceName,
    word: Verb,
    changes: usize,
}

/// Says an operator's word.
pub async fn run(verb: Verb, args: &Operate, ui: &Ui) -> Result<ExitCode, CliError> {
    let (scope, file, known) = place(args, ui).await?;
    let listeners = file.iter().filter_map(|file| Some(file.load_balancer.as_ref()?.listener.clone())).collect();
    let connection = connect(&args.common.cloud, &scope, listeners).await?;
    let word = word(verb, args, &*connection.cloud).await?;
    let order = Order { scope: &scope.scope, service: &args.service, file: file.as_ref(), word };
    let tell = |event: Event<'_>| {
        // The word itself is a mark, and is told at the end.
        let is_word = |action: &Action| matches!(action.mutation, Mutation::SetMark { .. }) && ui.verbose == 0;
        if let Event::Acted { service, action } = event
            && !is_word(action)
            && let Some(line) = render::text::progress_action(service, action, super::style_story(ui))
        {
            ui.tell(&line);
        }
    };
    let cloud = Arc::clone(&connection.cloud);
    let done = operate(&*cloud, &*connection.pace, &order, &CancellationToken::new(), &tell).await;
    connection.save()?;
    match done? {
        Done::Yes(changes) if args.common.output == Output::Json => {
            let (scope, service) = (&scope.scope, &args.service);
            let said = Said { format_version: render::json::FORMAT_VERSION, scope, service, word: verb, changes };
            ui.answer(&render::json::text(&said))?;
        }
        Done::Yes(0) if matches!(verb, Verb::Abort) => ui.tell(&format!(
            "{service}: nothing was coming up, and nothing is changed; `ionroller hold {service}` keeps a release from starting",
            service = args.service
        )),
        Done::Yes(0) => ui.tell(&format!("{}: nothing to do, it is so already", args.service)),
        Done::Yes(_) => ui.tell(&format!("{} {}", args.service, verb.done())),
        Done::NoSuchService => {
            let error = CliError::user(format!("the scope {} has no service {} in AWS", scope.scope, args.service));
            let others = known.iter().filter(|name| **name != args.service);
            return Err(super::did_you_mean(error, args.service.as_str(), others.map(ServiceName::as_str)));
        }
        Done::Waiting(wait) => return Err(CliError::user(format!("{}: {}", args.service, wait.detail))),
    }
    Ok(ExitCode::SUCCESS)
}

/// The scope, the service's file where there is one, and all services that have a file.
/// `--scope` and the region are enough: an operator must not need Git.
async fn place(args: &Operate, ui: &Ui) -> Result<(ScopeConfig, Option<ServiceSpec>, Vec<ServiceName>), CliError> {
    if let Some(scope) = &args.scope {
        let region = match (args.region.clone(), &args.common.cloud) {
            (Some(region), _) => region,
            (None, CloudChoice::Aws) => usual_region().await.ok_or_else(|| {
                CliError::usage("--scope needs the region, too").hint("give --region, or set AWS_REGION")
            })?,
            (None, CloudChoice::Sim(_)) => {
                crate::names::Region::parse("eu-west-1").map_err(|error| CliError::user(error.to_string()))?
            }
        };
        let scope = ScopeConfig {
            scope: scope.clone(),
            region,
            account: None,
            role_arn: None,
            external_id: None,
            limits: Limits::default(),
            prune: Prune::default(),
            freezes: Vec::new(),
        };
        return Ok((scope, None, Vec::new()));
    }
    let commit = Commit::read(&args.common)?;
    let target = super::target_of(&commit, ui)?;
    let file = target.desired.spec_of(&args.service).cloned();
    Ok(((*target.scope).clone(), file, target.desired.services.keys().cloned().collect()))
}

async fn word(verb: Verb, args: &Operate, cloud: &dyn Cloud) -> Result<Word, CliError> {
    let text = args.reason.clone();
    Ok(match verb {
        Verb::Hold => Word::Hold { who: who(cloud).await?, text },
        Verb::LiveRollback => Word::RollBack { who: who(cloud).await?, text },
        Verb::Abort => Word::Abort { who: who(cloud).await?, text },
        Verb::Resume => Word::Resume,
        Verb::Retry => Word::Retry,
    })
}

/// One word for whoever speaks.
async fn who(cloud: &dyn Cloud) -> Result<String, CliError> {
    let user = std::env::var("USER").ok().filter(|user| !user.trim().is_empty());
    let name = match user {
        Some(user) => user,
        None => cloud.caller().await?.name,
    };
    Ok(name.split_whitespace().collect::<Vec<_>>().join("-"))
}
