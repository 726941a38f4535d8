//! One exchange's side of the talk with a remote: who it is, and who we are.
//!
//! libgit2 asks for a login until it gets one that works or an error. So each way is
//! offered once, in order, and what was offered is remembered for the message. The
//! answer to a callback can't carry an error of ours; it is kept here until libgit2
//! has given up.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{SystemTime, UNIX_EPOCH};

use git2::{CertificateCheckStatus, Cred, CredentialType, ErrorClass, ErrorCode, RemoteCallbacks};

use super::access::{Access, TOKEN_BYTES_MAX, Token, check_key_file};
use super::credential;
use super::error::{Cause, GitError};
use super::known_hosts::{self, KnownHosts, Verdict};
use super::secret::{Secret, redact_urls};
use super::source::{RemoteUrl, Source, Transport};
use super::url_match;
use crate::bounded;
use crate::time::Span;

/// Who a token says that it is where nobody gave a name. GitHub's applications need
/// this one; GitLab and Gitea take any.
const TOKEN_USERNAME: &str = "x-access-token";

/// The keys that ssh tries by itself.
const USUAL_KEYS: [&str; 3] = [".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"];

/// The known hosts of the machine.
const MACHINE_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// The talk with one remote.
pub(super) struct Login<'a> {
    /// As people wrote it.
    url: &'a RemoteUrl,
    /// As it is fetched: git's configuration may put another one in its place.
    effective: RemoteUrl,
    access: &'a Access,
    config: git2::Config,
    /// The repository whose configuration that is.
    folder: PathBuf,
    /// What is left to offer; none before the first question.
    ways: RefCell<Option<VecDeque<Way>>>,
    offered: RefCell<Vec<String>>,
    /// Why a way could not be offered.
    passed_over: RefCell<Vec<String>>,
    /// What was shown to the remote, which no message may repeat.
    secrets: RefCell<Vec<Secret>>,
    failure: RefCell<Option<GitError>>,
    was_asked: Cell<bool>,
}

/// A way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    UrlPassword,
    Token,
    Helper,
    KeyFile(PathBuf),
    Agent,
}

impl<'a> Login<'a> {
    /// Prepares for an exchange. `effective` is the URL that the remote is fetched by.
    pub fn new(
        url: &'a RemoteUrl,
        effective: &str,
        access: &'a Access,
        repository: &git2::Repository,
    ) -> Result<Login<'a>, git2::Error> {
        let effective = match Source::parse(effective) {
            Ok(Source::Remote(effective)) if effective.plain() != url.plain() => effective,
            _ => url.clone(),
        };
        set_timeouts(access.timeout);
        Ok(Login {
            url,
            effective,
            access,
            config: repository.config()?,
            folder: repository.path().to_owned(),
            ways: RefCell::new(None),
            offered: RefCell::default(),
            passed_over: RefCell::default(),
            secrets: RefCell::default(),
            failure: RefCell::new(None),
            was_asked: Cell::new(false),
        })
    }

    /// The headers that git's configuration adds to each request. They may hold a login, so
    /// none goes over the wire in the open.
    pub fn extra_headers(&self) -> Vec<String> {
        let open = self.effective.transport() == Transport::Http && !self.effective.server().is_loopback();
        if open { Vec::new() } else { url_match::extra_headers(&self.config, &self.effective) }
    }

    /// The answers to libgit2's questions.
    pub fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(|asking, user, allowed| self.credentials(asking, user, allowed));
        callbacks.certificate_check(|certificate, _| match certificate.as_hostkey() {
            Some(key) => self.check_host_key(key.hostkey().unwrap_or_default()),
            // What OpenSSL thinks of the certificate counts.
            None => Ok(CertificateCheckStatus::CertificatePassthrough),
        });
        callbacks
    }

    /// What went wrong, in our words.
    pub fn explain(&self, error: &git2::Error) -> GitError {
        if let Some(failure) = self.failure.take() {
            return failure;
        }
        let url = self.url.to_string();
        let message = self.cleaned(error.message());
        let source = Cause::new(message.clone());
        let is = |text: &str| message.to_ascii_lowercase().contains(text);
        let forbidden = is("unexpected http status code: 403") || error.code() == ErrorCode::Auth;
        if forbidden && self.was_asked.get() {
            return self.denied();
        }
        // Where libgit2 has no code of its own, its text has to do; tests on real
        // servers hold each of them.
        match error.class() {
            _ if error.code() == ErrorCode::Timeout => GitError::Silent { url, timeout: self.access.timeout },
            ErrorClass::Ssh if is("timed out") || is("timeout") => {
                GitError::Silent { url, timeout: self.access.timeout }
            }
            _ if is("the ssl certificate is invalid") || is("hostname does not match certificate") => {
                GitError::Certificate { url, source }
            }
            _ if is("unexpected http status code: 404") => GitError::NoSuchRemote { url, source },
            _ if is("cannot redirect from") => GitError::Redirected { url, source },
            _ if is("invalid packet line") => GitError::Garbled { url, source },
            _ => GitError::Fetch { url, source },
        }
    }

    fn cleaned(&self, message: &str) -> String {
        let mut message = redact_urls(&self.url.redact_in(&self.effective.redact_in(message)));
        for secret in self.secrets.borrow().iter() {
            message = message.replace(secret.expose(), "***");
        }
        message
    }

    /// Keeps an error for later, and gives libgit2 one that ends the exchange.
    fn fail(&self, failure: GitError) -> git2::Error {
        let error = git2::Error::new(ErrorCode::User, ErrorClass::Callback, "the exchange was given up");
        self.failure.replace(Some(failure));
        error
    }

    fn denied(&self) -> GitError {
        let url = self.url.to_string();
        let ssh = self.effective.transport() == Transport::Ssh;
        let passed_over = self.passed_over.borrow().join("; ");
        let offered = self.offered.borrow().join(", ");
        GitError::Denied { url, ssh, offered, passed_over }
    }

    fn credentials(&self, asking: &str, user: Option<&str>, allowed: CredentialType) -> Result<Cred, git2::Error> {
        self.was_asked.set(true);
        if allowed.is_username() {
            return Cred::username(&self.ssh_user());
        }
        self.check_asking(asking)?;
        loop {
            let way = self.ways.borrow_mut().get_or_insert_with(|| self.ways()).pop_front();
            let Some(way) = way else {
                return Err(self.fail(self.denied()));
            };
            if let Some(offer) = self.offer(&way, user, allowed)? {
                return Ok(offer);
            }
        }
    }

    /// A secret goes to the host that it is for, and not over the wire in the open.
    fn check_asking(&self, asking: &str) -> Result<(), git2::Error> {
        let Ok(Source::Remote(asking)) = Source::parse(asking) else {
            let source = Cause::new("it leads to an address that is no address of a repository".to_owned());
            return Err(self.fail(GitError::Redirected { url: self.url.to_string(), source }));
        };
        if asking.server().host != self.effective.server().host {
            let source = Cause::new(format!("it leads to {}", asking.server().host));
            return Err(self.fail(GitError::Redirected { url: self.url.to_string(), source }));
        }
        if asking.transport() == Transport::Http && !asking.server().is_loopback() {
            return Err(self.fail(GitError::PlainHttp { url: self.url.to_string() }));
        }
        Ok(())
    }

    /// All ways there are, in order.
    fn ways(&self) -> VecDeque<Way> {
        let mut ways = VecDeque::new();
        if self.effective.password().is_some() {
            ways.push_back(Way::UrlPassword);
        }
        if self.effective.transport() != Transport::Ssh {
            if self.access.token.is_some() {
                ways.push_back(Way::Token);
            }
            ways.push_back(Way::Helper);
            return ways;
        }
        if let Some(file) = &self.access.ssh_key_file {
            ways.push_back(Way::KeyFile(file.clone()));
            return ways;
        }
        if self.access.agent {
            ways.push_back(Way::Agent);
        }
        let home = self.access.home.iter();
        let usual = home.flat_map(|home| USUAL_KEYS.map(|key| home.join(key)));
        ways.extend(usual.filter(|file| file.exists()).map(Way::KeyFile));
        ways
    }

    /// What to show for one way; none if it does not apply.
    fn offer(&self, way: &Way, user: Option<&str>, allowed: CredentialType) -> Result<Option<Cred>, git2::Error> {
        let name = user.or(self.effective.user()).or(self.access.username.as_deref());
        match way {
            Way::UrlPassword => {
                if !allowed.is_user_pass_plaintext() {
                    return Ok(None);
                }
                let Some(password) = self.effective.password() else { return Ok(None) };
                self.show("the password in the URL", name.unwrap_or_default(), password).map(Some)
            }
            Way::Token => {
                let Some((from, token)) = self.token()? else { return Ok(None) };
                let name = name.unwrap_or(TOKEN_USERNAME);
                self.show(&format!("{from} with the user name `{name}`"), name, &token).map(Some)
            }
            Way::Helper => {
                let found = credential::ask(&self.folder, &self.config, &self.effective, name);
                let Some((name, password)) = found else { return Ok(None) };
                let from = format!("what git's credential helper has for the user name `{name}`");
                self.show(&from, &name, &password).map(Some)
            }
            Way::KeyFile(path) => self.key_file(path, user),
            Way::Agent => {
                self.offered.borrow_mut().push("the keys of the ssh-agent".to_owned());
                Cred::ssh_key_from_agent(user.unwrap_or(&self.ssh_user())).map(Some)
            }
        }
    }

    fn show(&self, from: &str, name: &str, password: &Secret) -> Result<Cred, git2::Error> {
        self.offered.borrow_mut().push(from.to_owned());
        self.secrets.borrow_mut().push(password.clone());
        Cred::userpass_plaintext(name, password.expose())
    }

    fn token(&self) -> Result<Option<(String, Secret)>, git2::Error> {
        match &self.access.token {
            None => Ok(None),
            Some(Token::Text(variable, token)) => Ok(Some((format!("the token in {variable}"), token.clone()))),
            Some(Token::File(path)) => {
                let bad = |reason: String| self.fail(GitError::TokenFile { path: path.clone(), reason });
                let text = bounded::read_text(path, TOKEN_BYTES_MAX).map_err(|error| bad(error.to_string()))?;
                let text = text.trim();
                if text.is_empty() || text.contains(char::is_whitespace) {
                    return Err(bad("it does not hold one word".to_owned()));
                }
                Ok(Some((format!("the token in {}", path.display()), Secret::new(text))))
            }
        }
    }

    fn key_file(&self, path: &Path, user: Option<&str>) -> Result<Option<Cred>, git2::Error> {
        if let Err(error) = check_key_file(path) {
            if self.access.ssh_key_file.is_some() {
                return Err(self.fail(error));
            }
            self.passed_over.borrow_mut().push(error.to_string());
            return Ok(None);
        }
        self.offered.borrow_mut().push(format!("the key {}", path.display()));
        Cred::ssh_key(user.unwrap_or(&self.ssh_user()), None, path, None).map(Some)
    }

    fn ssh_user(&self) -> String {
        let named = self.effective.user().or(self.access.username.as_deref()).or(self.access.login.as_deref());
        named.unwrap_or("git").to_owned()
    }

    /// Whether the server is the one it should be. libgit2's own check knows only
    /// `~/.ssh/known_hosts`, which a daemon may not have.
    fn check_host_key(&self, key: &[u8]) -> Result<CertificateCheckStatus, git2::Error> {
        let mut known = KnownHosts::default();
        let files = self.known_hosts_files();
        for file in &files {
            match known.read(file) {
                Ok(()) => {}
                Err(error) if self.access.known_hosts_file.is_some() => {
                    let reason = error.to_string();
                    return Err(self.fail(GitError::KnownHostsFile { path: file.clone(), reason }));
                }
                Err(_) => {}
            }
        }
        let server = self.effective.server();
        let (url, host) = (self.url.to_string(), known_hosts::name(server));
        let plain = known_hosts::plain_key(key);
        let shown = format!("{} {}", known_hosts::key_type(&plain), known_hosts::fingerprint(&plain));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let failure = match known.check(server, key, now) {
            Verdict::Known => return Ok(CertificateCheckStatus::CertificateOk),
            Verdict::Unknown { other_types } => {
                let port = if server.port == 22 { String::new() } else { format!("-p {} ", server.port) };
                let file = self.file_to_add_to();
                let add = format!("ssh-keyscan {port}{} >> {file}", server.host);
                GitError::UnknownHost { url, host, shown, other_types: other_types.join(", "), add }
            }
            Verdict::Changed(line) => GitError::ChangedHost { url, host, shown, file: line.file, line: line.number },
            Verdict::Revoked(line) => GitError::RevokedHost { url, host, shown, file: line.file, line: line.number },
        };
        Err(self.fail(failure))
    }

    fn known_hosts_files(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.access.known_hosts_file {
            return vec![file.clone()];
        }
        let mine = self.access.home.iter().map(|home| home.join(".ssh/known_hosts"));
        mine.chain([PathBuf::from(MACHINE_KNOWN_HOSTS)]).collect()
    }

    fn file_to_add_to(&self) -> String {
        match (&self.access.known_hosts_file, &self.access.home) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(home)) => home.join(".ssh/known_hosts").display().to_string(),
            (None, None) => MACHINE_KNOWN_HOSTS.to_owned(),
        }
    }
}

/// libgit2 waits for ever unless it is told otherwise, once for the whole process.
#[allow(unsafe_code, reason = "libgit2 keeps these two numbers in variables of its own")]
fn set_timeouts(timeout: Span) {
    static ONCE: Once = Once::new();
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    ONCE.call_once(|| {
        // SAFETY: the variables are plain integers that connections read when they are
        // made. Every connection of this process is made after this call, in `fetch`.
        let set = unsafe {
            git2::opts::set_server_timeout_in_milliseconds(millis)
                .and_then(|()| git2::opts::set_server_connect_timeout_in_milliseconds(millis.min(10_000)))
        };
        if let Err(error) = set {
            tracing::warn!(error = error.message(), "a remote that hangs may hang for ever");
        }
    });
}
