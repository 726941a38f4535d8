//! `ionroller rollback --live`: an operator's word, not a commit.

use std::process::ExitCode;

use clap::Args;

use crate::cli::args::{Common, Operate, Rollback};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::names::{Region, Scope};

use super::operate::{self, Verb};

/// The flags of a rollback without Git.
#[derive(Debug, Clone, Args)]
pub struct Live {
    /// Without Git, at once: all traffic back to the release that is kept warm, and the service held
    #[arg(long, conflicts_with_all = ["to", "branch", "push", "open"])]
    pub live: bool,
    /// Why; it is kept with the hold
    #[arg(long, default_value = "", value_name = "TEXT", requires = "live")]
    pub reason: String,
    /// The scope, when there is no repository at hand
    #[arg(long, value_name = "NAME", requires = "live")]
    pub scope: Option<Scope>,
    /// The region, when there is no repository at hand
    #[arg(long, env = "AWS_REGION", value_name = "NAME")]
    pub region: Option<Region>,
}

/// Puts traffic back, and holds the service.
pub async fn run(args: &Rollback, ui: &Ui) -> Result<ExitCode, CliError> {
    let common = Common {
        repo: args.commit.repo.clone(),
        reference: "HEAD".to_owned(),
        path: args.commit.path.clone(),
        services: Vec::new(),
        output: args.commit.output,
        cloud: args.commit.cloud.clone(),
    };
    let word = Operate {
        service: args.service.clone(),
        reason: args.live.reason.clone(),
        scope: args.live.scope.clone(),
        region: args.live.region.clone(),
        common,
    };
    operate::run(Verb::LiveRollback, &word, ui).await
}
