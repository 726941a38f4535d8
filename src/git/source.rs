//! Where the config repository is, as people write it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::GitError;

/// Where the config repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path: opened where it lies, shallow clones and worktrees included.
    Local(PathBuf),
    /// A URL: mirrored into the state folder.
    Remote(RemoteUrl),
}

impl Source {
    /// Reads a path, a URL or `[user@]host:path`, with git's own rule for the
    /// last: a colon before the first slash, unless such a path exists.
    pub fn parse(text: &str) -> Result<Source, GitError> {
        let bad = |reason: &str| GitError::BadSource { text: redact(text), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.contains(|c: char| c.is_control()) {
            return Err(bad("it contains control characters"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return match Transport::of(scheme) {
                Some(Transport::File) => RemoteUrl::file(text, rest).map(Source::Remote),
                Some(transport) => Err(transport.missing(text)),
                None => Err(bad("its scheme is none of file, https, ssh")),
            };
        }
        if is_scp_like(text) && !Path::new(text).exists() {
            return Err(Transport::Ssh.missing(text));
        }
        Ok(Source::Local(PathBuf::from(text)))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Local(path) => path.display().fmt(f),
            Source::Remote(url) => url.fmt(f),
        }
    }
}

/// How a URL is fetched. Only `File` is built in; the others are recognised so
/// that the answer is better than "no such path".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    File,
    Http,
    Https,
    Ssh,
    Git,
}

impl Transport {
    fn of(scheme: &str) -> Option<Transport> {
        match scheme.to_ascii_lowercase().as_str() {
            "file" => Some(Transport::File),
            "http" => Some(Transport::Http),
            "https" => Some(Transport::Https),
            "ssh" | "git+ssh" | "ssh+git" => Some(Transport::Ssh),
            "git" => Some(Transport::Git),
            _ => None,
        }
    }

    fn missing(self, text: &str) -> GitError {
        let transport = match self {
            Transport::File => "file",
            Transport::Http => "http",
            Transport::Https => "https",
            Transport::Ssh => "ssh",
            Transport::Git => "the git protocol",
        };
        GitError::TransportMissing { url: redact(text), transport: transport.to_owned() }
    }
}

/// The URL of a repository that is mirrored. Shown without its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    /// As written, password and all.
    secret: String,
    /// The folder that a `file://` URL names.
    file: PathBuf,
}

impl RemoteUrl {
    fn file(text: &str, rest: &str) -> Result<RemoteUrl, GitError> {
        let bad = |reason: &str| GitError::BadSource { text: redact(text), reason: reason.to_owned() };
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        if !path.starts_with('/') {
            return Err(bad("file:// takes an absolute path, as in file:///srv/config.git"));
        }
        let file = percent_decode(path).ok_or_else(|| bad("a `%` in it starts no hex number"))?;
        // libgit2 compares the scheme byte by byte.
        Ok(RemoteUrl { secret: format!("file://{rest}"), file: PathBuf::from(file) })
    }

    /// The URL with its secrets: for the transport alone.
    pub(super) fn with_secrets(&self) -> &str {
        &self.secret
    }

    /// The folder on this machine that the URL names, if any.
    pub(super) fn local_folder(&self) -> Option<&Path> {
        Some(&self.file)
    }

    /// Takes the secrets out of a message that may quote the URL.
    pub(super) fn redact_in(&self, message: &str) -> String {
        message.replace(&self.secret, &self.to_string())
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.secret))
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUrl({self})")
    }
}

/// `[user@]host:path` and no slash before the colon.
fn is_scp_like(text: &str) -> bool {
    text.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'))
}

/// A URL fit for logs: without what stands before the `@`, and without a query,
/// either of which may be a token. Everything up to the last `@` goes, because a
/// password may hold a slash. The lone user of ssh (`git@`) is no secret.
fn redact(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    // A path has no secrets, and may hold any character.
    if scheme == "file://" || (scheme.is_empty() && !is_scp_like(text)) {
        return text.to_owned();
    }
    let lone_user = scheme.is_empty() || scheme.contains("ssh");
    let shown = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        Some((user, host)) if lone_user && !user.contains([':', '/']) => format!("{user}@{host}"),
        Some((_, host)) => format!("***@{host}"),
    };
    match shown.split_once('?') {
        Some((before, _)) => format!("{scheme}{before}?***"),
        None => format!("{scheme}{shown}"),
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}
