//! What a remote may be shown so that it lets us in, and how long it may take.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::GitError;
use super::exchange::Worker;
use super::secret::Secret;
use crate::bounded;
use crate::time::Span;

/// The largest file with a token that is read. A token is one word.
pub const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// The largest private key that is read.
pub const KEY_BYTES_MAX: u64 = 1024 * 1024;

/// The token for `https://`.
pub const TOKEN_VARIABLE: &str = "IONROLLER_GIT_TOKEN";
/// A file that holds the token for `https://`.
pub const TOKEN_FILE_VARIABLE: &str = "IONROLLER_GIT_TOKEN_FILE";
/// The user name, where the URL has none.
pub const USERNAME_VARIABLE: &str = "IONROLLER_GIT_USERNAME";
/// The private key for ssh.
pub const SSH_KEY_FILE_VARIABLE: &str = "IONROLLER_GIT_SSH_KEY_FILE";
/// The keys of ssh servers, instead of `~/.ssh/known_hosts`.
pub const KNOWN_HOSTS_FILE_VARIABLE: &str = "IONROLLER_GIT_KNOWN_HOSTS_FILE";
/// How long a remote may be silent, such as `30s`.
pub const TIMEOUT_VARIABLE: &str = "IONROLLER_GIT_TIMEOUT";
/// How long a whole exchange with a remote may take, such as `10m`.
pub const DEADLINE_VARIABLE: &str = "IONROLLER_GIT_DEADLINE";

/// How to be let in by a remote. Files are read at each exchange, so that a token or
/// a key may be replaced while the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The user name, where the URL has none.
    pub username: Option<String>,
    /// The token for `https://`.
    pub token: Option<Token>,
    /// The private key for ssh. With it, no agent and no other key is tried.
    pub ssh_key_file: Option<PathBuf>,
    /// The keys of ssh servers; none: those of the user and of the machine.
    pub known_hosts_file: Option<PathBuf>,
    /// How long a remote may be silent before the exchange is given up.
    pub timeout: Span,
    /// How long a whole exchange may take: login, references and objects together.
    pub deadline: Span,
    /// Whether an ssh-agent can be asked.
    pub agent: bool,
    /// The user's folder, with `.ssh` in it.
    pub home: Option<PathBuf>,
    /// The user's name on this machine, for ssh where nothing else is said.
    pub login: Option<String>,
    /// Exchanges are made in a process of their own, which the deadline can end; none: in
    /// this one, where only a silent remote is given up.
    pub worker: Option<Worker>,
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// It is at hand; this is the environment variable that held it.
    Text(&'static str, Secret),
    /// It is in a file.
    File(PathBuf),
}

impl Default for Access {
    /// Nothing to show: for remotes that let everybody in.
    fn default() -> Self {
        Access {
            username: None,
            token: None,
            ssh_key_file: None,
            known_hosts_file: None,
            timeout: Span::from_secs(30),
            deadline: Span::from_mins(10),
            agent: false,
            home: None,
            login: None,
            worker: None,
        }
    }
}

impl Access {
    /// What environment variables say. Empty ones count as unset.
    ///
    /// # Errors
    /// A variable whose value makes no sense.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Access, GitError> {
        let raw = |name: &str| variable(name).filter(|value| !value.is_empty());
        let bad = |name: &'static str, reason: &str| GitError::BadVariable { name, reason: reason.to_owned() };
        let text = |name: &'static str| match raw(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(bad(name, "it is not UTF-8")),
        };
        let path = |name: &str| raw(name).map(PathBuf::from);
        let token = match (text(TOKEN_VARIABLE)?, path(TOKEN_FILE_VARIABLE)) {
            (Some(_), Some(_)) => return Err(bad(TOKEN_VARIABLE, "IONROLLER_GIT_TOKEN_FILE is set, too; unset one")),
            (Some(text), None) => Some(Token::Text(TOKEN_VARIABLE, Secret::new(text))),
            (None, file) => file.map(Token::File),
        };
        let timeout = match text(TIMEOUT_VARIABLE)? {
            None => Access::default().timeout,
            Some(text) => Span::parse(&text)
                .filter(|timeout| *timeout >= Span::from_secs(1) && *timeout <= Span::from_secs(3600))
                .ok_or_else(|| bad(TIMEOUT_VARIABLE, "it is no duration from 1s to 1h"))?,
        };
        let deadline = match text(DEADLINE_VARIABLE)? {
            None => Access::default().deadline,
            Some(text) => Span::parse(&text)
                .filter(|deadline| *deadline >= Span::from_secs(1) && *deadline <= Span::from_secs(24 * 3600))
                .ok_or_else(|| bad(DEADLINE_VARIABLE, "it is no duration from 1s to 24h"))?,
        };
        Ok(Access {
            username: text(USERNAME_VARIABLE)?,
            token,
            ssh_key_file: path(SSH_KEY_FILE_VARIABLE),
            known_hosts_file: path(KNOWN_HOSTS_FILE_VARIABLE),
            timeout,
            deadline,
            worker: None,
            agent: raw("SSH_AUTH_SOCK").is_some(),
            home: path("HOME"),
            login: text("USER").unwrap_or_default(),
        })
    }
}

/// Why a private key cannot be used, found before the library says something about a
/// format. It can't ask for a passphrase, and neither can a daemon.
pub(super) fn check_key_file(path: &Path) -> Result<(), GitError> {
    let bad = |reason: &str| GitError::KeyFile { path: path.to_owned(), reason: reason.to_owned() };
    let bytes = bounded::read(path, KEY_BYTES_MAX).map_err(|error| bad(&format!("it cannot be read: {error}")))?;
    let text = String::from_utf8_lossy(&bytes);
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
        return Err(bad("it is a public key; name the file beside it without `.pub`"));
    }
    if !text.contains("PRIVATE KEY-----") {
        return Err(bad("it holds no private key"));
    }
    if is_encrypted(&text) {
        return Err(bad("it has a passphrase; load it into an ssh-agent, or use a deploy key without one"));
    }
    Ok(())
}

fn is_encrypted(text: &str) -> bool {
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return true;
    }
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    // "openssh-key-v1", a zero, and the name of a cipher with its length before it.
    let head: String = body.chars().filter(|c| !c.is_whitespace()).take(40).collect();
    let head = data_encoding::BASE64.decode(head.as_bytes()).unwrap_or_default();
    head.strip_prefix(b"openssh-key-v1\0").is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Access, GitError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Access::from_environment(find)
    }

    #[test]
    fn the_environment_says_it_all() {
        let access = read(&[
            (TOKEN_VARIABLE, "s3cret"),
            (USERNAME_VARIABLE, "bot"),
            (SSH_KEY_FILE_VARIABLE, "/key"),
            (KNOWN_HOSTS_FILE_VARIABLE, "/known"),
            (TIMEOUT_VARIABLE, "5s"),
            (DEADLINE_VARIABLE, "2m"),
            ("SSH_AUTH_SOCK", "/agent"),
            ("HOME", "/home/ann"),
            ("USER", "ann"),
        ])
        .unwrap();
        let expected = Access {
            username: Some("bot".to_owned()),
            token: Some(Token::Text(TOKEN_VARIABLE, Secret::new("s3cret"))),
            ssh_key_file: Some("/key".into()),
            known_hosts_file: Some("/known".into()),
            timeout: Span::from_secs(5),
            deadline: Span::from_mins(2),
            worker: None,
            agent: true,
            home: Some("/home/ann".into()),
            login: Some("ann".to_owned()),
        };
        assert_eq!(access, expected);
        assert!(!format!("{access:?}").contains("s3cret"));
        let file = read(&[(TOKEN_FILE_VARIABLE, "/token"), (TOKEN_VARIABLE, "")]).unwrap();
        assert_eq!(file.token, Some(Token::File("/token".into())));
        assert_eq!(read(&[]).unwrap(), Access::default());
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (variables, expected) in [
            (&[(TIMEOUT_VARIABLE, "soon")][..], "IONROLLER_GIT_TIMEOUT: it is no duration from 1s to 1h"),
            (&[(TIMEOUT_VARIABLE, "0s")], "IONROLLER_GIT_TIMEOUT: it is no duration from 1s to 1h"),
            (&[(DEADLINE_VARIABLE, "25h")], "IONROLLER_GIT_DEADLINE: it is no duration from 1s to 24h"),
            (
                &[(TOKEN_VARIABLE, "x"), (TOKEN_FILE_VARIABLE, "y")],
                "IONROLLER_GIT_TOKEN: IONROLLER_GIT_TOKEN_FILE is set, too; unset one",
            ),
        ] {
            assert!(read(variables).unwrap_err().to_string().ends_with(expected));
        }
    }

    #[test]
    fn keys_that_cannot_work_are_found_before_they_are_tried() {
        let dir = tempfile::tempdir().unwrap();
        let said = |name: &str, args: &[&str], file: &str| {
            let path = dir.path().join(name);
            let status = std::process::Command::new("ssh-keygen").args(["-q", "-f"]).arg(&path).args(args).status();
            assert!(status.unwrap().success());
            check_key_file(&dir.path().join(file)).map_err(|error| error.to_string())
        };
        assert_eq!(said("plain", &["-t", "ed25519", "-N", ""], "plain"), Ok(()));
        assert_eq!(said("rsa", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""], "rsa"), Ok(()));
        let locked = said("locked", &["-t", "ed25519", "-N", "passphrase"], "locked").unwrap_err();
        assert!(locked.contains("it has a passphrase; load it into an ssh-agent"), "{locked}");
        let pem = said("pem", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "passphrase"], "pem").unwrap_err();
        assert!(pem.contains("it has a passphrase"), "{pem}");
        let public = said("public", &["-t", "ed25519", "-N", ""], "public.pub").unwrap_err();
        assert!(public.contains("it is a public key"), "{public}");
        let absent = check_key_file(&dir.path().join("absent")).unwrap_err().to_string();
        assert!(absent.contains("it cannot be read: No such file"), "{absent}");
    }
}
