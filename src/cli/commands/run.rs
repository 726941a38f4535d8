//! `ionroller run`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::bounded;
use crate::cli::args::{CloudChoice, Run};
use crate::cli::error::CliError;
use crate::cli::session::{access, connect, lease_table};
use crate::cli::ui::Ui;
use crate::cloud::lease::LeaseStore;
use crate::cloud::sim::SimCloud;
use crate::cloud::sim::lease::SimLeases;
use crate::daemon::{Connect, ConnectLease, Daemon, DaemonFile, Open, statuses};
use crate::git::exchange::Worker;
use crate::git::{KEY_BYTES_MAX, KNOWN_HOSTS_BYTES_MAX, Repository, Source, TOKEN_BYTES_MAX};
use crate::reconcile::ConfigRepository;
use crate::reconcile::pace::RealTime;
use crate::settings::{self, Settings};
use crate::time::Span;

/// Follows a branch until it is told to stop.
pub async fn run(args: &Run, ui: &Ui) -> Result<ExitCode, CliError> {
    let text = bounded::read_text(&args.config, settings::BYTES_MAX).map_err(|error| {
        CliError::user(format!("cannot read the daemon's file {}", args.config.display())).caused_by(&error)
    })?;
    let settings = Settings::parse(&text)?;
    if args.check {
        return check(&args.config, &settings, ui);
    }
    statuses::check(&settings).map_err(CliError::user)?;
    let set_log = crate::cli::log::start(settings.log, ui.verbose, ui.quiet);
    let repository = open(&settings)?;
    let open: Open = Arc::new(|settings| open(settings).map_err(|error| error.render().replace('\n', "; ")));
    let daemon = Daemon {
        file: Some(DaemonFile { path: args.config.clone(), text, open, set_log }),
        settings,
        repository,
        connect: connector(args.cloud.clone()),
        leases: Some(leases(args.cloud.clone())),
        pace: Arc::new(RealTime),
        dry_run: args.dry_run,
    };
    daemon.run(stop_signals()?).await?;
    Ok(ExitCode::SUCCESS)
}

/// The config repository that the daemon's file names.
fn open(settings: &Settings) -> Result<ConfigRepository, CliError> {
    let repository = match Source::parse(&settings.repo)? {
        Source::Local(path) => Repository::open_local(&path)?,
        Source::Remote(url) => {
            let mut access = access(&settings.git)?;
            // Nobody is asked for a password here, and what hangs is ended as a whole.
            access.worker = access.worker.map(|worker| Worker { own_group: true, ..worker });
            Repository::open_mirror(&url, &settings.state_dir.join("mirror"), &access)?
        }
    };
    refuse_shallow(&repository)?;
    Ok(ConfigRepository::new(repository, &settings.path))
}

fn refuse_shallow(repository: &Repository) -> Result<(), CliError> {
    if !repository.is_shallow() {
        return Ok(());
    }
    let message = "the config repository is a shallow clone, and run needs to know which commit descends from which";
    Err(CliError::user(message).hint("git fetch --unshallow"))
}

/// Checks what the daemon's file refers to, as far as that goes without the network and
/// without leaving anything behind.
fn check(file: &Path, settings: &Settings, ui: &Ui) -> Result<ExitCode, CliError> {
    let mut problems = Vec::new();
    match Source::parse(&settings.repo) {
        Ok(Source::Local(path)) => match Repository::open_local(&path) {
            Ok(repository) => problems.extend(refuse_shallow(&repository).err()),
            Err(error) => problems.push(error.into()),
        },
        Ok(Source::Remote(_)) => problems.extend(access(&settings.git).err()),
        Err(error) => problems.push(error.into()),
    }
    problems.extend(statuses::check(settings).err().map(CliError::user));
    let git = &settings.git;
    let named = [
        ("git.token_file", &git.token_file, TOKEN_BYTES_MAX),
        ("git.ssh_key_file", &git.ssh_key_file, KEY_BYTES_MAX),
        ("git.known_hosts_file", &git.known_hosts_file, KNOWN_HOSTS_BYTES_MAX),
        ("forge.token_file", &settings.forge.token_file, TOKEN_BYTES_MAX),
    ];
    for (key, path, max) in named {
        let Some(path) = path else { continue };
        if let Err(error) = bounded::read(path, max) {
            problems.push(CliError::user(format!("cannot read {key} {}", path.display())).caused_by(&error));
        }
    }
    let hook_secret = settings.hooks.secret_file.as_deref().and_then(crate::daemon::problem_of_hook_secret);
    problems.extend(hook_secret.map(CliError::user));
    problems.extend(crate::daemon::problem_of_trust(&settings.trust).map(CliError::user));
    if settings.state_dir.exists() && !settings.state_dir.is_dir() {
        problems.push(CliError::user(format!("state_dir {} is no folder", settings.state_dir.display())));
    }
    for problem in &problems {
        ui.insist(&problem.render());
    }
    if problems.is_empty() {
        ui.tell(&format!("{}: no errors", file.display()));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

fn connector(choice: CloudChoice) -> Connect {
    Arc::new(move |target| {
        let choice = choice.clone();
        Box::pin(async move {
            let listeners = target.listeners().into_iter().collect();
            match connect(&choice, &target.scope, listeners).await {
                Ok(connection) => {
                    if let Some((world, file)) = connection.simulated {
                        tokio::spawn(let_time_pass(world, file));
                    }
                    Ok(connection.cloud)
                }
                Err(error) => Err(error.render().replace('\n', "; ")),
            }
        })
    })
}

/// The table of leases of a scope. A simulated world has one of its own, in memory.
fn leases(choice: CloudChoice) -> ConnectLease {
    let simulated = SimLeases::default();
    Arc::new(move |target, table| {
        let (choice, simulated) = (choice.clone(), simulated.clone());
        Box::pin(async move {
            let store: Arc<dyn LeaseStore> = match choice {
                CloudChoice::Sim(_) => Arc::new(simulated),
                CloudChoice::Aws => {
                    lease_table(&target.scope, &table).await.map_err(|error| error.render().replace('\n', "; "))?
                }
            };
            Ok(store)
        })
    })
}

/// A simulated clock keeps step with the real one, and its world is kept every second.
async fn let_time_pass(world: SimCloud, file: PathBuf) {
    const TICK: Span = Span::from_millis(250);
    for tick in 1_u64.. {
        tokio::time::sleep(TICK.to_std()).await;
        world.advance(TICK);
        if tick % 4 == 0
            && let Err(why) = crate::cloud::sim::file::save(&file, &world.world())
        {
            tracing::warn!("the simulated world cannot be kept: {why}");
        }
    }
}

/// SIGTERM and SIGINT end the change in hand and stop.
pub(super) fn stop_signals() -> Result<CancellationToken, CliError> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(stop)
}
