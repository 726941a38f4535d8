//! The daemon's own file.

use std::path::PathBuf;

use serde::Deserialize;

use crate::time::Span;

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
        let settings: Self = toml::from_str(text).map_err(|error| SettingsError(error.to_string()))?;
        if settings.poll_interval < Span::from_secs(1) {
            return Err(SettingsError("`poll_interval` is below 1s".to_owned()));
        }
        if settings.listen.parse::<std::net::SocketAddr>().is_err() {
            return Err(SettingsError(format!("`listen` is no address with a port: {}", settings.listen)));
        }
        Ok(settings)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_filled_in() {
        let settings = Settings::parse("repo = \"/srv/config\"\nstate_dir = \"/var/lib/ionroller\"\n").unwrap();
        assert_eq!(settings.branch, "main");
        assert_eq!(settings.poll_interval, Span::from_secs(15));
        assert_eq!(settings.listen, "127.0.0.1:7878");
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| Settings::parse(text).unwrap_err().to_string();
        assert!(error("repo = \"x\"\nstate_dir = \"y\"\nbranhc = \"z\"\n").contains("branhc"));
        assert!(error("state_dir = \"y\"\n").contains("repo"));
        assert!(error("repo = \"x\"\nstate_dir = \"y\"\npoll_interval = \"soon\"\n").contains("soon"));
        assert!(error("repo = \"x\"\nstate_dir = \"y\"\nlisten = \"nowhere\"\n").contains("listen"));
    }
}
