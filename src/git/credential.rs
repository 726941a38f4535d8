//! A login from git's credential helpers: all of them, in git's order and scopes.
//!
//! Where a git is installed, it is asked itself, with `git credential fill`. Where none is,
//! libgit2 asks the last helper that is set.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use git2::CredentialHelper;

use super::secret::Secret;
use super::source::RemoteUrl;
use super::url_match::as_credential;

/// User name and password.
pub(super) type Login = (String, Secret);

/// What the helpers have for a URL. `folder` is the repository whose configuration counts.
pub(super) fn ask(folder: &Path, config: &git2::Config, url: &RemoteUrl, user: Option<&str>) -> Option<Login> {
    match fill(folder, url, user) {
        Ok(login) => login,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut helper = CredentialHelper::new(url.plain());
            helper.username(user);
            let (name, password) = helper.config(config).execute()?;
            Some((name, Secret::new(password)))
        }
        Err(_) => None,
    }
}

/// Asks git. It asks its helpers, and nobody at a terminal.
fn fill(folder: &Path, url: &RemoteUrl, user: Option<&str>) -> std::io::Result<Option<Login>> {
    let Some(mut asked) = as_credential(url) else { return Ok(None) };
    if let Some(user) = user.filter(|user| !user.contains(['\n', '\r', '\0'])) {
        asked += &format!("username={user}\n");
    }
    asked.push('\n');
    let mut command = Command::new("git");
    command.args(["credential", "fill"]).current_dir(folder).env("GIT_TERMINAL_PROMPT", "0");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(asked.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let value =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
    Ok(value("username").zip(value("password").map(Secret::new)))
}
