//! `ionroller apply`

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use crate::cli::args::{Apply, Output, WaitFor};
use crate::cli::error::CliError;
use crate::cli::planned::Planned;
use crate::cli::session::{Commit, connect};
use crate::cli::ui::Ui;
use crate::names::ServiceName;
use crate::plan::outcome::{self, Outcome};
use crate::plan::types::{Plan, Reason, ServicePlan, WaitingOn};
use crate::reconcile::converge::{End, Until, converge};
use crate::reconcile::{Event, Pass, Reconciler};
use crate::render;

/// Exit status after SIGINT, as shells count it.
const INTERRUPTED: u8 = 130;

/// Brings AWS to what the commit says.
pub async fn run(args: &Apply, ui: &Ui) -> Result<ExitCode, CliError> {
    let commit = Commit::read(&args.common)?;
    if commit.shallow {
        return Err(CliError::user(
            "this is a shallow clone, and apply needs to know which commit descends from which",
        )
        .hint("git fetch --unshallow"));
    }
    let mut target = super::target_of(&commit, ui)?;
    target.allow_rewind = args.allow_rewind;
    let connection = connect(&args.common.cloud, &target.scope, target.listeners().into_iter().collect()).await?;
    let stop = CancellationToken::new();
    let interrupted = watch_for_interrupt(stop.clone());
    let planned = args.plan.as_deref().map(Planned::read).transpose()?;
    let only: BTreeSet<ServiceName> = match &planned {
        Some(planned) => planned.services().cloned().collect(),
        None => args.common.services.iter().cloned().collect(),
    };
    let reconciler = Reconciler::new(std::sync::Arc::clone(&connection.cloud), only, stop);
    if planned.is_some() || !args.common.services.is_empty() {
        let now = reconciler.plan(&target).await?;
        super::check_selection(&args.common, &now, &target.desired)?;
        planned.iter().try_for_each(|planned| planned.check(&now))?;
    }
    let until = Until { once: args.once, retired: args.wait == Some(WaitFor::Retired), timeout: args.timeout };
    let said = Mutex::new(Vec::new());
    let tell = |event: Event<'_>| tell(&event, ui);
    let mut kept = Ok(());
    let mut after = |pass: &Pass| {
        tell_waits(pass, &said, ui);
        if let Err(error) = connection.save() {
            kept = Err(error);
        }
    };
    let end = converge(&reconciler, &target, &*connection.pace, until, &tell, &mut after).await;
    interrupted.abort();
    kept?;
    connection.save()?;
    let mut end = end?;
    super::select_diagnostics(&args.common, &mut end.plan);
    report(args, &end, ui)
}

/// The first interrupt ends the change in hand and stops; a second one kills, as usual.
fn watch_for_interrupt(stop: CancellationToken) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(i32::from(INTERRUPTED));
            }
        }
    })
}

fn tell(event: &Event<'_>, ui: &Ui) {
    match event {
        Event::Acted { service, action } => {
            if let Some(line) = render::text::progress_action(service, action, super::style_story(ui)) {
                ui.tell(&line);
            }
        }
        Event::Failed { service, error, .. } => ui.insist(&format!("{service}: {error}")),
        Event::Unread { service, error } => ui.insist(&format!("{service}: reading failed: {error}")),
    }
}

/// What makes a wait another one: its reason, and each bake is one of its own. The words of
/// other waits change with every reading.
fn topic(wait: &WaitingOn) -> (Reason, String) {
    let detail = if wait.reason == Reason::Bake { wait.detail.clone() } else { String::new() };
    (wait.reason, detail)
}

/// Says what each service waits for, once for each reason.
fn tell_waits(pass: &Pass, said: &Mutex<Vec<(ServiceName, (Reason, String))>>, ui: &Ui) {
    let mut said = said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for service in &pass.plan.services {
        let reason = service.waiting_on.as_ref().map(topic);
        let known = said.iter().position(|(name, _)| *name == service.name);
        match (&reason, known) {
            (Some(reason), Some(at)) if said[at].1 == *reason => continue,
            (_, Some(at)) => drop(said.remove(at)),
            (_, None) => {}
        }
        if let (Some(reason), Some(wait)) = (reason, &service.waiting_on) {
            said.push((service.name.clone(), reason));
            let at = pass.plan.observed_at.unwrap_or_else(|| crate::time::Timestamp::from_secs(0));
            ui.tell(&render::text::progress_wait(&service.name, wait, at, super::style_story(ui)));
        }
    }
}

fn report(args: &Apply, end: &End, ui: &Ui) -> Result<ExitCode, CliError> {
    match args.common.output {
        Output::Json => ui.answer(&render::json::apply_json(&end.plan))?,
        Output::Markdown => ui.answer(&render::markdown::applied(&end.plan))?,
        Output::Text => {
            ui.answer(&render::text::status(&end.plan, None, super::style(ui)))?;
            super::tell_diagnostics(&end.plan.diagnostics, ui);
        }
    }
    tell_warm(&end.plan, ui);
    if end.stopped {
        ui.insist("stopped: run apply again, it goes on from here");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if end.timed_out {
        ui.insist("the time is over; run apply again, it goes on from here");
        return Ok(ExitCode::from(1));
    }
    let settled = |plan: &Plan| plan.services.iter().all(|service| outcome::of(service) == Outcome::Settled);
    let good = if args.once { end.failed.is_empty() } else { end.stuck.is_empty() && settled(&end.plan) };
    for name in end.stuck.iter().filter(|_| !args.once) {
        let service = end.plan.services.iter().find(|service| service.name == *name);
        let why = end.failed.get(name).map(ToString::to_string);
        let why = why.or_else(|| Some(service?.waiting_on.as_ref()?.detail.clone())).unwrap_or_default();
        ui.insist(&format!("{name} cannot go on: {why}"));
    }
    Ok(ExitCode::from(u8::from(!good)))
}

/// Without a daemon somebody has to come back for warm groups.
fn tell_warm(plan: &Plan, ui: &Ui) {
    // While a rollout goes on, the next look is not the one that retires a group.
    let rests = |service: &&ServicePlan| outcome::keeps_warm(service) && outcome::of(service) != Outcome::OnItsWay;
    let due = plan.services.iter().filter(rests);
    let due: Vec<String> = due
        .map(|service| match service.look_again {
            Some(at) => format!("{} at {at}", service.name),
            None => service.name.to_string(),
        })
        .collect();
    if !due.is_empty() {
        ui.tell(&format!("kept warm: {}; run apply again then, or let the daemon do it", due.join(", ")));
    }
}
