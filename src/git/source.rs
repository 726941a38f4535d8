//! Where the config repository is, as people write it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::GitError;
use super::secret::{Secret, redact};

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
    ///
    /// # Errors
    /// Neither a path nor a URL of a kind that can be fetched.
    pub fn parse(text: &str) -> Result<Source, GitError> {
        if text.is_empty() {
            return Err(bad(text, "it is empty"));
        }
        if text.contains(|c: char| c.is_control()) {
            return Err(bad(text, "it contains control characters"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let url = match scheme.to_ascii_lowercase().as_str() {
                "file" => RemoteUrl::file(text, rest),
                "http" => RemoteUrl::network(Transport::Http, text, rest),
                "https" => RemoteUrl::network(Transport::Https, text, rest),
                "ssh" | "git+ssh" | "ssh+git" => RemoteUrl::network(Transport::Ssh, text, rest),
                "git" => Err(GitError::OpenProtocol { url: redact(text) }),
                _ => Err(bad(text, "its scheme is none of file, https, ssh, http")),
            };
            return url.map(Source::Remote);
        }
        if is_scp_like(text) && !Path::new(text).exists() {
            return RemoteUrl::scp(text).map(Source::Remote);
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

/// How a URL is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    File,
    Http,
    Https,
    Ssh,
}

impl Transport {
    /// The port where nothing else is said.
    pub fn default_port(self) -> u16 {
        match self {
            Transport::File => 0,
            Transport::Http => 80,
            Transport::Https => 443,
            Transport::Ssh => 22,
        }
    }
}

/// The URL of a repository that is mirrored. Shown without its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    transport: Transport,
    /// As people wrote it, with its secrets.
    written: Secret,
    /// For the transport: without password, and over http without the user. The
    /// library would offer both by itself, and quote them in its messages.
    plain: String,
    /// For people.
    shown: String,
    server: Server,
    user: Option<String>,
    password: Option<Secret>,
    /// The folder that a `file://` URL names.
    file: Option<PathBuf>,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Server {
    /// The name or address, in lower case, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Server {
    /// Whether what is sent there stays on this machine.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl RemoteUrl {
    fn file(text: &str, rest: &str) -> Result<RemoteUrl, GitError> {
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        if !path.starts_with('/') {
            return Err(bad(text, "file:// takes an absolute path, as in file:///srv/config.git"));
        }
        let file = percent_decode(path).ok_or_else(|| bad(text, "a `%` in it starts no hex number"))?;
        // libgit2 compares the scheme byte by byte.
        let plain = format!("file://{rest}");
        Ok(RemoteUrl {
            transport: Transport::File,
            written: Secret::new(text),
            shown: plain.clone(),
            plain,
            server: Server::default(),
            user: None,
            password: None,
            file: Some(PathBuf::from(file)),
        })
    }

    fn network(transport: Transport, text: &str, rest: &str) -> Result<RemoteUrl, GitError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.is_empty() {
            return Err(bad(text, "it names no repository after the host"));
        }
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let server = server(place, transport).map_err(|reason| bad(text, reason))?;
        let (user, password) = login_of(login).ok_or_else(|| bad(text, "a `%` in it starts no hex number"))?;
        let scheme = match transport {
            Transport::Http => "http",
            Transport::Https => "https",
            Transport::Ssh | Transport::File => "ssh",
        };
        let kept = match (transport, login.map(|login| login.split(':').next().unwrap_or_default())) {
            (Transport::Ssh, Some(user)) if !user.is_empty() => format!("{user}@"),
            _ => String::new(),
        };
        let plain = format!("{scheme}://{kept}{place}/{path}");
        let (written, shown) = (Secret::new(text), redact(text));
        Ok(RemoteUrl { transport, written, plain, shown, server, user, password, file: None })
    }

    /// `[user@]host:path`.
    fn scp(text: &str) -> Result<RemoteUrl, GitError> {
        let (login, rest) = match text.rsplit_once('@') {
            // An `@` in the path belongs to the path.
            Some((login, _)) if login.contains('/') => (None, text),
            Some((login, rest)) => (Some(login), rest),
            None => (None, text),
        };
        let (host, path) = rest.split_once(':').ok_or_else(|| bad(text, "it names no repository after the host"))?;
        if host.contains(['[', ']']) {
            return Err(bad(text, "write it as ssh://host:port/path"));
        }
        if path.is_empty() {
            return Err(bad(text, "it names no repository after the host"));
        }
        let server = server(host, Transport::Ssh).map_err(|reason| bad(text, reason))?;
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, password)) => (some(user.to_owned()), some(password.to_owned()).map(Secret::new)),
            None => (None, None),
        };
        let kept = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let plain = format!("{kept}{host}:{path}");
        let (written, shown) = (Secret::new(text), redact(text));
        Ok(RemoteUrl { transport: Transport::Ssh, written, plain, shown, server, user, password, file: None })
    }

    /// As people wrote it, for a process that parses it again.
    pub(super) fn written(&self) -> &Secret {
        &self.written
    }

    /// The URL for the transport. It holds no password; a query may hold a token.
    pub(super) fn plain(&self) -> &str {
        &self.plain
    }

    /// Where people see the server in a browser, and the path of the repository there:
    /// `https://HOST` and `OWNER/NAME.git`. None for a folder.
    pub fn web(&self) -> Option<(String, String)> {
        let Server { host, port } = &self.server;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let rest = self.plain.split_once("://").map(|(_, rest)| rest);
        let path = match rest {
            Some(rest) => rest.split_once('/').map(|(_, path)| path),
            None => self.plain.split_once(':').map(|(_, path)| path),
        };
        let path = path?.split('?').next().unwrap_or_default().trim_matches('/').to_owned();
        let web = match self.transport {
            Transport::File => return None,
            // The port of ssh is nobody's web page.
            Transport::Ssh => format!("https://{host}"),
            Transport::Https if *port == self.transport.default_port() => format!("https://{host}"),
            Transport::Https => format!("https://{host}:{port}"),
            Transport::Http => format!("http://{host}:{port}"),
        };
        Some((web, path))
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// Who answers; nobody for `file://`.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The folder on this machine that the URL names, if any.
    pub(super) fn local_folder(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Takes the secrets out of a message that may quote the URL.
    pub(super) fn redact_in(&self, message: &str) -> String {
        message.replace(&self.plain, &self.shown)
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUrl({self})")
    }
}

fn bad(text: &str, reason: &str) -> GitError {
    // Redacted first: what is cut off could have been what shows where a login ends.
    let shown = redact(text).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(400).collect();
    GitError::BadSource { text: shown, reason: reason.to_owned() }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// `user[:password]`; none if it cannot be decoded.
fn login_of(text: Option<&str>) -> Option<(Option<String>, Option<Secret>)> {
    let Some(text) = text else {
        return Some((None, None));
    };
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Some((some(percent_decode(user)?), some(percent_decode(password)?).map(Secret::new)))
}

/// `host[:port]`, `[address][:port]`.
fn server(place: &str, transport: Transport) -> Result<Server, &'static str> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("a `[` in it is not closed")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("what stands in brackets is no IPv6 address");
            }
            (host, port)
        }
        None => {
            let end = place.find(':').unwrap_or(place.len());
            let host = &place[..end];
            let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            if host.is_empty() || host.starts_with('-') || !plain {
                return Err("its host is no name that can be looked up");
            }
            (host, &place[end..])
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => transport.default_port(),
        Some(digits) => digits
            .parse()
            .map_err(|_| "its port is no number up to 65535; a slash or colon in a password is written %2F or %3A")?,
        None => return Err("after the `]` comes a port or the path"),
    };
    Ok(Server { host: host.to_ascii_lowercase(), port })
}

/// `[user@]host:path` and no slash before the colon.
pub(super) fn is_scp_like(text: &str) -> bool {
    text.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'))
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
