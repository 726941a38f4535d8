//! `ionroller rollback`

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::cli::args::Rollback;
use crate::cli::commit::{Clone, now, warn_of_freeze};
use crate::cli::error::CliError;
use crate::cli::session::{self, connect};
use crate::cli::ui::Ui;
use crate::desired::spec::Desired;
use crate::git::FileChange;
use crate::names::{ServiceName, Version};
use crate::plan::live_rollback::is_live_rollback;
use crate::plan::records::last_stable;
use crate::plan::types::{Change, Release, ServicePlan};
use crate::reconcile::past::{Past, release};
use crate::reconcile::undo::{Goal, UndoError, changes_to_undo, reverted, undone};
use crate::reconcile::{ConfigRepository, Reconciler, Target};

/// Makes the commit that takes a service's file back.
pub async fn run(args: &Rollback, ui: &Ui) -> Result<ExitCode, CliError> {
    if args.live.live {
        return super::live_rollback::run(args, ui).await;
    }
    let service = &args.service;
    let clone = Clone::open(&args.commit)?;
    let text = clone.text(service)?;
    clone.check_unchanged(service)?;
    let desired = clone.desired();
    let current = desired.spec_of(service).map(release);
    let goal = goal(args, &clone, &desired, ui).await?;
    let path = clone.shown(service);
    let mut past = Past::new(&clone.repository, &clone.files.root, service);
    let undo = changes_to_undo(&goal, &mut past, &clone.branch.tip, &path, current.as_ref())?;
    let new = undone(&clone.repository, &path, &text, &undo)?;
    let after = clone.desired_with(service, &new, ui)?;
    let Some(to) = after.spec_of(service).map(release) else {
        return Err(CliError::user(format!("{path} would not be valid, so nothing was committed")));
    };
    check_goal(&goal, &to, &path, ui)?;
    warn_of_freeze_unless_rollback(&goal, &after, service, args, ui);
    let from = current.map_or_else(|| "–".to_owned(), |current| current.version.to_string());
    let message = message(service, &to.version, &path, &undo);
    clone.commit(&args.commit, service, (&from, to.version.as_str()), &new, &message, ui)?;
    Ok(ExitCode::SUCCESS)
}

/// What to go back to: what was asked for, else the last stable release, which AWS knows,
/// else the one before in Git.
async fn goal(args: &Rollback, clone: &Clone, desired: &Desired, ui: &Ui) -> Result<Goal, CliError> {
    if let Some(version) = &args.to {
        let says = desired.spec_of(&args.service).is_some_and(|spec| spec.version == *version);
        return match says {
            true => Err(CliError::user(format!("{} says {version} already", clone.shown(&args.service)))),
            false => Ok(Goal::Version(version.clone())),
        };
    }
    let plan = match ask(args, desired).await {
        Ok(plan) => plan,
        Err(error) => {
            ui.tell(&format!("AWS can't be asked what was stable, so Git says what was before: {}", error.message));
            return Ok(Goal::Before);
        }
    };
    // One that was put back by hand is held only until the commit says the same.
    let held = plan.as_ref().and_then(|plan| plan.held.as_ref()).filter(|hold| !is_live_rollback(hold));
    if let Some(hold) = held {
        let (service, who) = (&args.service, &hold.who);
        ui.insist(&format!(
            "warning: {service} is held by {who}; it goes back when it is resumed: ionroller resume {service}"
        ));
    }
    if let Some(to) = plan.as_ref().filter(|plan| plan.change == Change::Rollback).and_then(|plan| plan.to.as_ref()) {
        // Once more would go forward again, to what is live and was to be left.
        return Err(CliError::user(format!(
            "{} asks for {} already, and that rollback is not done yet",
            clone.shown(&args.service),
            to.version
        ))
        .hint(format!("ionroller apply does it, or the daemon; --to VERSION goes back further than {}", to.version)));
    }
    match plan.as_ref().and_then(last_stable) {
        Some(record) => Ok(Goal::Release(record.release.clone())),
        None => Err(CliError::user(format!(
            "there is nothing to roll back to: no other release of {} has settled, as far as AWS knows",
            args.service
        ))
        .hint(format!("ionroller rollback {} --to VERSION goes back to any version in Git", args.service))),
    }
}

async fn ask(args: &Rollback, desired: &Desired) -> Result<Option<ServicePlan>, CliError> {
    let (repository, folder) = session::open(&args.commit.repo, &args.commit.path)?;
    let repository = ConfigRepository::new(repository, &folder);
    let target = Target::new(Arc::new(desired.clone()), Some(repository))
        .ok_or_else(|| CliError::user("ionroller.toml has errors"))?;
    let connection = connect(&args.commit.cloud, &target.scope, target.listeners().into_iter().collect()).await?;
    let only = BTreeSet::from([args.service.clone()]);
    let plan = Reconciler::new(connection.cloud, only, CancellationToken::new()).plan(&target).await?;
    Ok(plan.services.into_iter().find(|service| service.name == args.service))
}

/// Says so when what the commit asks for is not quite what was to come back.
fn check_goal(goal: &Goal, to: &Release, path: &str, ui: &Ui) -> Result<(), CliError> {
    let wanted = match goal {
        Goal::Before => return Ok(()),
        Goal::Version(version) => version,
        Goal::Release(release) if release.digest == to.digest => return Ok(()),
        Goal::Release(release) => {
            ui.insist(&format!(
                "warning: ionroller.toml or files/ have changed since {} ran, so it comes back on new machines, in steps",
                release.version
            ));
            &release.version
        }
    };
    if *wanted == to.version {
        return Ok(());
    }
    Err(CliError::user(format!("{path} would say {} and not {wanted}, so nothing was committed", to.version))
        .hint("the file was changed in ways that can't be taken apart; edit it by hand"))
}

/// A release that was stable passes every freeze; any other is a release like all.
fn warn_of_freeze_unless_rollback(goal: &Goal, after: &Desired, service: &ServiceName, args: &Rollback, ui: &Ui) {
    if matches!(goal, Goal::Version(_)) {
        warn_of_freeze(after, service, now(&args.commit.cloud), ui);
    }
}

fn message(service: &ServiceName, to: &Version, path: &str, undo: &[FileChange]) -> String {
    format!("{service}: roll back to {to}\n\n{}\nIonroller-Rollback: {service} {to}\n", reverted(path, undo))
}

impl From<UndoError> for CliError {
    fn from(error: UndoError) -> Self {
        let made = Self::user(error.to_string());
        match error {
            UndoError::Git(error) => error.into(),
            UndoError::Unchanged { .. } => made.hint(
                "git log -- ionroller.toml files/ shows the commit, and git revert takes it back, for every service",
            ),
            UndoError::Nothing { shallow: true, .. } => {
                made.hint("this is a shallow clone: git fetch --unshallow gets the rest")
            }
            UndoError::Conflict { path, commit, .. } => made.hint(format!(
                "git revert {} and solve it, or put the version and digest of before into {path}",
                commit.short()
            )),
            UndoError::Nothing { path, .. } => {
                made.hint(format!("what ran is in `ionroller history`; put its version and digest into {path}"))
            }
            UndoError::NotUtf8 { .. } => made,
        }
    }
}
