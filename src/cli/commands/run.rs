//! `ionroller run`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::args::{CloudChoice, Run};
use crate::cli::error::CliError;
use crate::cli::session::{access, connect};
use crate::cli::ui::Ui;
use crate::cloud::sim::SimCloud;
use crate::daemon::{Connect, Daemon};
use crate::git::{Repository, Source};
use crate::reconcile::ConfigRepository;
use crate::reconcile::pace::RealTime;
use crate::settings::Settings;
use crate::time::Span;

/// Follows a branch until it is told to stop.
pub async fn run(args: &Run, ui: &Ui) -> Result<ExitCode, CliError> {
    let text = std::fs::read_to_string(&args.config).map_err(|error| {
        CliError::user(format!("cannot read the daemon's file {}", args.config.display())).caused_by(&error)
    })?;
    let settings = Settings::parse(&text)?;
    crate::cli::log::start(settings.log, ui.verbose, ui.quiet);
    let repository = match Source::parse(&settings.repo)? {
        Source::Local(path) => Repository::open_local(&path)?,
        Source::Remote(url) => {
            Repository::open_mirror(&url, &settings.state_dir.join("mirror"), &access(&settings.git)?)?
        }
    };
    if repository.is_shallow() {
        return Err(CliError::user(
            "the config repository is a shallow clone, and run needs to know which commit descends from which",
        )
        .hint("git fetch --unshallow"));
    }
    let repository = ConfigRepository::new(repository, &settings.path);
    let daemon = Daemon {
        settings,
        repository,
        connect: connector(args.cloud.clone()),
        pace: Arc::new(RealTime),
        dry_run: args.dry_run,
    };
    daemon.run(stop_signals()?).await?;
    Ok(ExitCode::SUCCESS)
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
