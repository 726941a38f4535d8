//! The daemon's own file.

mod forge;

use std::path::PathBuf;

use serde::Deserialize;

use crate::time::Span;

pub use forge::ForgeSettings;

/// The largest daemon file that is read. It has a dozen lines.
pub const BYTES_MAX: u64 = 64 * 1024;

/// What the daemon's file says, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The config repository: a path or a URL.
    pub repo: String,
    /// The branch that is released from.
    #[serde(default = "main_branch")]
    pub branch: String,
    /// The config folder inside it.
    #[serde(default = "here")]
    pub path: String,
    /// How often Git is asked.
    #[serde(default = "poll_interval", deserialize_with = "span")]
    pub poll_interval: Span,
    /// Where the lock and the mirror of a remote repository are kept.
    pub state_dir: PathBuf,
    /// Where `/healthz`, `/readyz` and the status answer.
    #[serde(default = "listen")]
    pub listen: String,
    /// How the log is written.
    #[serde(default)]
    pub log: LogFormat,
    /// How to be let in by a remote repository.
    #[serde(default)]
    pub git: GitSettings,
    /// What is done on the forge that it is on.
    #[serde(default)]
    pub forge: ForgeSettings,
    /// Webhooks, which wake the daemon when somebody pushes.
    #[serde(default)]
    pub hooks: HookSettings,
    /// Which of several daemons makes changes; none: each does.
    pub lease: Option<LeaseSettings>,
    /// Whose commits are acted on.
    #[serde(default)]
    pub trust: TrustSettings,
}

/// `[trust]`. Off, whoever can push decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSettings {
    /// Which commits must be signed.
    #[serde(default)]
    pub mode: TrustMode,
    /// SSH keys whose signatures count, in the form of OpenSSH's allowed signers.
    pub ssh_allowed_signers_file: Option<PathBuf>,
    /// SSH keys that count no more, one public key a line.
    pub ssh_revoked_keys_file: Option<PathBuf>,
    /// OpenPGP keys whose signatures count, armored.
    pub gpg_keys_file: Option<PathBuf>,
}

/// `trust.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustMode {
    /// None.
    #[default]
    Off,
    /// The one at the head of the branch.
    Head,
    /// Every one since the last that was acted on.
    Strict,
}

/// `[hooks]`. Without a secret there are none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSettings {
    /// The secret that forges show, in a file; more than one, one a line, while it is
    /// changed. It is read anew for each request.
    pub secret_file: Option<PathBuf>,
}

/// `[lease]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseSettings {
    /// The table in DynamoDB, in the region and account of the scope.
    #[serde(deserialize_with = "table")]
    pub table: String,
    /// How long a holder may act after it has renewed the lease, and so how long the others
    /// wait for one that is gone.
    #[serde(default = "lease_duration", deserialize_with = "lease_span")]
    pub duration: Span,
}

/// `[git]`. What is not said here comes from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitSettings {
    /// The private key for ssh, without a passphrase. With it, no agent and no other key
    /// is tried.
    pub ssh_key_file: Option<PathBuf>,
    /// The keys of ssh servers, instead of those of the user and the machine.
    pub known_hosts_file: Option<PathBuf>,
    /// The token for https, in a file. It is read anew at each poll.
    pub token_file: Option<PathBuf>,
    /// The user name, where the URL has none.
    pub username: Option<String>,
}

/// `log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines, one object a line.
    Json,
}

/// Why the daemon's file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the daemon's file cannot be used: {0}")]
pub struct SettingsError(String);

impl Settings {
    /// Reads the text of a daemon file.
    ///
    /// # Errors
    /// Unknown keys, missing keys or wrong values, with line and column.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let settings: Self = toml::from_str(text).map_err(|error| SettingsError(place(text, &error)))?;
        if settings.poll_interval < Span::from_secs(1) {
            return Err(SettingsError("`poll_interval` is below 1s".to_owned()));
        }
        if settings.listen.parse::<std::net::SocketAddr>().is_err() {
            return Err(SettingsError(format!("`listen` is no address with a port: {}", shown(&settings.listen))));
        }
        let trust = &settings.trust;
        if trust.mode != TrustMode::Off && trust.ssh_allowed_signers_file.is_none() && trust.gpg_keys_file.is_none() {
            let said = "`trust.mode` asks for signatures, and there are no keys: add `ssh_allowed_signers_file` or `gpg_keys_file`";
            return Err(SettingsError(said.to_owned()));
        }
        Ok(settings)
    }
}

/// What is wrong and where. The library's own text shows the line, which may be the one
/// with a password in the URL.
fn place(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return shown(error.message());
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {}", shown(error.message()))
}

/// What is repeated of a file: it must neither flood the message nor move the cursor.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(400).collect()
}

fn main_branch() -> String {
    "main".to_owned()
}

fn here() -> String {
    ".".to_owned()
}

const fn poll_interval() -> Span {
    Span::from_secs(15)
}

fn listen() -> String {
    "127.0.0.1:7878".to_owned()
}

fn span<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
    let text = String::deserialize(from)?;
    Span::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no duration such as 15s or 1m30s")))
}

const fn lease_duration() -> Span {
    Span::from_secs(30)
}

/// Below it a slow answer or two would cost the lease; above it nobody takes over in time.
const LEASE_DURATIONS: std::ops::RangeInclusive<Span> = Span::from_secs(10)..=Span::from_mins(10);

fn lease_span<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
    let duration = span(from)?;
    if LEASE_DURATIONS.contains(&duration) {
        return Ok(duration);
    }
    Err(serde::de::Error::custom("the duration of a lease is from 10s to 10m"))
}

/// Source: the naming rules of DynamoDB.
fn table<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let sound = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if sound && (3..=255).contains(&name.len()) {
        return Ok(name);
    }
    Err(serde::de::Error::custom(format!("`{name}` is no name of a table: 3 to 255 of a-z, A-Z, 0-9, _, . and -")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_filled_in() {
        let settings = Settings::parse("repo = \"/srv/config\"\nstate_dir = \"/var/lib/ionroller\"\n").unwrap();
        assert_eq!(settings.branch, "main");
        assert_eq!(settings.poll_interval, Span::from_secs(15));
        assert_eq!(settings.listen, "127.0.0.1:7878");
        assert_eq!(settings.lease, None);
        let lease = "repo = \"x\"\nstate_dir = \"y\"\n[lease]\ntable = \"ionroller-lease\"\n";
        assert_eq!(Settings::parse(lease).unwrap().lease.unwrap().duration, Span::from_secs(30));
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            repo = "ssh://git@git.example.com/config.git"
            branch = "deploy"
            path = "aws"
            poll_interval = "1m30s"
            state_dir = "/var/lib/ionroller"
            listen = "0.0.0.0:80"
            log = "json"
            [git]
            ssh_key_file = "/key"
            known_hosts_file = "/known"
            token_file = "/token"
            username = "bot"
            [hooks]
            secret_file = "/secret"
            [forge]
            kind = "forgejo"
            url = "https://code.example.com/api/v1"
            project = "platform/config"
            token_file = "/forge"
            statuses = true
            auto_revert = true
            [trust]
            mode = "strict"
            ssh_allowed_signers_file = "/signers"
            ssh_revoked_keys_file = "/revoked"
            gpg_keys_file = "/gpg"
            [lease]
            table = "ionroller-lease"
            duration = "20s"
        "#;
        let expected = Settings {
            repo: "ssh://git@git.example.com/config.git".to_owned(),
            branch: "deploy".to_owned(),
            path: "aws".to_owned(),
            poll_interval: Span::from_secs(90),
            state_dir: PathBuf::from("/var/lib/ionroller"),
            listen: "0.0.0.0:80".to_owned(),
            log: LogFormat::Json,
            git: GitSettings {
                ssh_key_file: Some(PathBuf::from("/key")),
                known_hosts_file: Some(PathBuf::from("/known")),
                token_file: Some(PathBuf::from("/token")),
                username: Some("bot".to_owned()),
            },
            hooks: HookSettings { secret_file: Some(PathBuf::from("/secret")) },
            forge: ForgeSettings {
                kind: Some(crate::forge::Kind::Gitea),
                url: Some("https://code.example.com/api/v1".to_owned()),
                project: Some("platform/config".to_owned()),
                token_file: Some(PathBuf::from("/forge")),
                statuses: true,
                auto_revert: true,
            },
            trust: TrustSettings {
                mode: TrustMode::Strict,
                ssh_allowed_signers_file: Some(PathBuf::from("/signers")),
                ssh_revoked_keys_file: Some(PathBuf::from("/revoked")),
                gpg_keys_file: Some(PathBuf::from("/gpg")),
            },
            lease: Some(LeaseSettings { table: "ionroller-lease".to_owned(), duration: Span::from_secs(20) }),
        };
        assert_eq!(Settings::parse(text).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| Settings::parse(text).unwrap_err().to_string();
        assert!(error("repo = \"x\"\nstate_dir = \"y\"\nbranhc = \"z\"\n").contains("branhc"));
        assert!(error("repo = \"x\"\nstate_dir = \"y\"\n[git]\ntoken = \"z\"\n").contains("unknown field `token`"));
        assert!(error("state_dir = \"y\"\n").contains("repo"));
        assert!(error("repo = \"x\"\nstate_dir = \"y\"\n[trust]\nmode = \"head\"\n").contains("there are no keys"));
        assert!(error("repo = \"x\"\nstate_dir = \"y\"\nlog = \"loud\"\n").contains("line 3, column 7: "));
        assert!(!error("state_dir = \"y\"\nrepo = \"https://ann:s3cret@example.com/x\n").contains("s3cret"));
        assert!(error("repo = \"x\"\nstate_dir = \"y\"\npoll_interval = \"soon\"\n").contains("soon"));
        assert!(error("repo = \"x\"\nstate_dir = \"y\"\nlisten = \"nowhere\"\n").contains("listen"));
        let lease = |text: &str| error(&format!("repo = \"x\"\nstate_dir = \"y\"\n[lease]\n{text}"));
        assert!(lease("duration = \"30s\"\n").contains("`table`"));
        assert!(lease("table = \"t/1\"\n").contains("line 4, column 9: `t/1` is no name of a table"));
        assert!(lease("table = \"abc\"\nduration = \"5s\"\n").contains("line 5, column 12: "));
        assert!(lease("table = \"abc\"\nduration = \"11m\"\n").contains("from 10s to 10m"));
        assert!(lease("table = \"abc\"\nttl = \"30s\"\n").contains("unknown field `ttl`"));
        for key in ["listen", "poll_interval", "log"] {
            let said =
                error(&format!("repo = \"x\"\nstate_dir = \"y\"\n{key} = \"\\u001b[31m{}\"\n", "x".repeat(9_000)));
            assert!(said.contains("\u{fffd}[31mx") && said.len() < 600, "{said}");
        }
    }
}
