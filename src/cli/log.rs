//! Where the daemon's log goes, and how.

use std::sync::Arc;

use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::daemon::SetLog;
use crate::settings::LogFormat;

type Form = Box<dyn Layer<Layered<EnvFilter, Registry>> + Send + Sync>;

/// Starts the log of a command that ends: warnings, and with `-vv` every call.
pub fn start_for_command(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0 | 1) => "warn",
        (false, _) => "ionroller=debug,warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false).without_time();
    let _ = tracing_subscriber::registry().with(filter).with(layer.with_ansi(false)).try_init();
}

/// Starts the log on stderr. `RUST_LOG` goes before what the flags say. What comes back
/// changes the form of the lines while the program runs.
pub fn start(format: LogFormat, verbose: u8, quiet: bool) -> SetLog {
    let level = match (quiet, verbose) {
        (true, _) => "warn",
        (false, 0) => "info",
        (false, 1) => "ionroller=debug,info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let (lines, handle) = reload::Layer::new(form(format));
    // A second start is a bug of a test at most, and the first one stays.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Arc::new(move |format| {
        // It fails only when the log itself is gone.
        let _ = handle.reload(form(format));
    })
}

fn form(format: LogFormat) -> Form {
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    }
}
