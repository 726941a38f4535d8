//! `ionroller release`

use std::process::ExitCode;

use crate::cli::args::Release;
use crate::cli::commit::{Clone, now, warn_of_freeze};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::desired::edit;

/// Changes the version line of a service's file, and commits.
pub fn run(args: &Release, ui: &Ui) -> Result<ExitCode, CliError> {
    let clone = Clone::open(&args.commit)?;
    let text = clone.text(&args.service)?;
    clone.check_unchanged(&args.service)?;
    let said = edit::said(&text);
    let shown = clone.shown(&args.service);
    let (service, version) = (&args.service, &args.version);
    if said.version.as_deref() == Some(version.as_str()) {
        return Err(CliError::user(format!("{shown} says {version} already"))
            .hint("for fresh machines with the same version, put a new text into `redeploy`"));
    }
    let before = clone.desired();
    let pinned = before.spec_of(service).and_then(|spec| spec.image.as_ref()?.digest.clone()).or(said.digest);
    if let (Some(pinned), None) = (&pinned, &args.digest) {
        return Err(CliError::user(format!(
            "{shown} pins the image to {}, which is the build of another version",
            short(pinned)
        ))
        .hint(format!("ionroller release {service} {version} --digest sha256:…")));
    }
    if pinned.is_some() && pinned == args.digest {
        return Err(CliError::user(format!("{shown} has this digest already, so {version} would be the same build"))
            .hint("give the digest of the new image"));
    }
    let new = edit::release(&text, version, args.digest.as_deref())
        .map_err(|error| CliError::user(format!("{shown} can't be edited: {error}")))?;
    let after = clone.desired_with(service, &new, ui)?;
    warn_of_freeze(&after, service, now(&args.commit.cloud), ui);
    let from = said.version.unwrap_or_else(|| "–".to_owned());
    let message = message(args, &from);
    clone.commit(&args.commit, service, (&from, version.as_str()), &new, &message, ui)?;
    Ok(ExitCode::SUCCESS)
}

/// Enough of an image's digest to know it again.
fn short(digest: &str) -> String {
    if digest.chars().count() > 19 {
        format!("{}…", digest.chars().take(19).collect::<String>())
    } else {
        digest.to_owned()
    }
}

fn message(args: &Release, from: &str) -> String {
    let Release { service, version, digest, .. } = args;
    let mut message = format!("{service}: release {version}\n\nIt follows {from}.\n\n");
    message += &format!("Ionroller-Release: {service} {version}\n");
    if let Some(digest) = digest {
        message += &format!("Ionroller-Image: {digest}\n");
    }
    message
}
