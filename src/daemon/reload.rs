//! Follows the daemon's own file. A good one takes effect while the daemon runs; a broken
//! one changes nothing, and the log says what is wrong with it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::bounded;
use crate::reconcile::ConfigRepository;
use crate::settings::{self, LogFormat, Settings};

use super::Shared;

/// Editors write a file in several steps. What they leave is read, not what is in between.
const QUIET: Duration = Duration::from_millis(200);

/// The daemon's own file, and what following it takes.
pub struct DaemonFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its text when the daemon was started.
    pub text: String,
    /// Opens the config repository that settings name.
    pub open: Open,
    /// Changes the form of the log.
    pub set_log: SetLog,
}

/// Opens the config repository that settings name; the error is for people. It blocks.
pub type Open = Arc<dyn Fn(&Settings) -> Result<ConfigRepository, String> + Send + Sync>;

/// Changes the form of the log.
pub type SetLog = Arc<dyn Fn(LogFormat) + Send + Sync>;

/// What is followed at present.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub settings: Settings,
    pub repository: ConfigRepository,
}

/// Reads the file whenever it may have changed and at each SIGHUP, until it is stopped.
pub(super) async fn run(file: DaemonFile, shared: Shared) {
    let changed = Arc::new(Notify::new());
    let _watch = watch(&file.path, &changed);
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be caught");
            None
        }
    };
    let mut seen: Result<String, String> = Ok(file.text.clone());
    // It may have changed since the daemon was started and before it was watched.
    changed.notify_one();
    while !shared.stop.is_cancelled() {
        let asked = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed.notified() => tokio::time::sleep(QUIET).await,
            _ = asked => {
                tracing::info!("SIGHUP: the daemon's file is read, and Git is asked");
                shared.wake.notify_one();
            }
            () = shared.stop.cancelled() => return,
        }
        let read = bounded::read_text(&file.path, settings::BYTES_MAX).map_err(|error| error.to_string());
        if read != seen {
            take(&file, &read, &shared).await;
            seen = read;
        }
    }
}

/// Watches the folder, not the file: editors and configuration tools put a new file in its
/// place, and a watch on the old one would see nothing more.
fn watch(path: &Path, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let wake = Arc::clone(changed);
    let name = path.file_name().map(OsStr::to_owned);
    let told = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| concerns(&event, name.as_deref())) {
            wake.notify_one();
        }
    };
    let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| tracing::warn!(%error, "the daemon's file is not watched; SIGHUP makes it be read again"))
        .ok()
}

/// Whether an event may mean that the file has changed. Reading must not count, or each look
/// would cause the next one; nor what others do in the same folder.
fn concerns(event: &Event, name: Option<&OsStr>) -> bool {
    let named = event.paths.is_empty() || event.paths.iter().any(|path| path.file_name() == name);
    event.need_rescan() || (named && !matches!(event.kind, EventKind::Access(_)))
}

/// Follows what the file says now, as far as it can be used.
async fn take(file: &DaemonFile, read: &Result<String, String>, shared: &Shared) {
    let old = shared.followed.borrow().clone();
    match followed(file, read, &old).await {
        Ok((new, changed)) => {
            if new.settings.log != old.settings.log {
                (file.set_log)(new.settings.log);
            }
            tracing::info!(changed = changed.join(", "), "the daemon's file was read again");
            shared.followed.send_replace(new);
        }
        Err(said) => tracing::error!(error = %said, "nothing changes: what was followed before still is"),
    }
}

/// What follows from a text, and the keys that have changed by it.
async fn followed(
    file: &DaemonFile,
    read: &Result<String, String>,
    old: &Followed,
) -> Result<(Followed, Vec<&'static str>), String> {
    let text = read.as_ref().map_err(Clone::clone)?;
    let settings = Settings::parse(text).map_err(|error| error.to_string())?;
    super::statuses::check(&settings)?;
    for (key, differs) in pinned(&old.settings, &settings) {
        if differs {
            tracing::warn!(key, "this key takes effect at the next start only");
        }
    }
    let was = &old.settings;
    let settings =
        Settings { repo: was.repo.clone(), state_dir: was.state_dir.clone(), listen: was.listen.clone(), ..settings };
    let settings = Settings { lease: was.lease.clone(), ..settings };
    let changed = [
        ("branch", was.branch != settings.branch),
        ("path", was.path != settings.path),
        ("poll_interval", was.poll_interval != settings.poll_interval),
        ("log", was.log != settings.log),
        ("git", was.git != settings.git),
        ("hooks", was.hooks != settings.hooks),
        ("forge", was.forge != settings.forge),
        ("trust", was.trust != settings.trust),
    ];
    let changed = changed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect();
    let same = was.path == settings.path && was.git == settings.git;
    let repository = if same { old.repository.clone() } else { open(file, &settings).await? };
    Ok((Followed { settings, repository }, changed))
}

/// What the daemon has taken hold of: the lock, the mirror, the address and the lease.
fn pinned(old: &Settings, new: &Settings) -> [(&'static str, bool); 4] {
    [
        ("repo", old.repo != new.repo),
        ("state_dir", old.state_dir != new.state_dir),
        ("listen", old.listen != new.listen),
        ("lease", old.lease != new.lease),
    ]
}

async fn open(file: &DaemonFile, settings: &Settings) -> Result<ConfigRepository, String> {
    let (open, settings) = (Arc::clone(&file.open), settings.clone());
    let opened = tokio::task::spawn_blocking(move || open(&settings)).await;
    opened.unwrap_or_else(|error| Err(format!("opening the repository ended early: {error}")))
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, ModifyKind};

    use super::*;

    #[test]
    fn only_changes_of_the_file_itself_wake() {
        let name = OsStr::new("daemon.toml");
        let event = |kind, path: &str| Event::new(kind).add_path(PathBuf::from(path));
        let (written, opened) = (EventKind::Modify(ModifyKind::Any), EventKind::Access(AccessKind::Any));
        assert!(concerns(&event(written, "/etc/ionroller/daemon.toml"), Some(name)));
        assert!(concerns(&Event::new(written), Some(name)), "one that does not say what it is about");
        assert!(!concerns(&event(opened, "/etc/ionroller/daemon.toml"), Some(name)));
        assert!(!concerns(&event(written, "/etc/ionroller/environment"), Some(name)));
    }
}
