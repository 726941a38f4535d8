//! An exchange with a remote in a process of its own.
//!
//! libgit2 can't be interrupted: a remote that sends a line every two seconds, a credential
//! helper that sleeps, an ssh-agent that never answers hold a thread for as long as they like.
//! A process can be ended at any moment, and a mirror that is cut off is none the worse for it.
//!
//! The process is this program again. It reads one request from its standard input, and ends
//! when that is closed, so it never outlives the one that asked.

use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

use super::access::{Access, Token};
use super::environment;
use super::error::{Cause, GitError};
use super::mirror::{Mirror, RemoteState, Rest};
use super::secret::Secret;
use super::source::{RemoteUrl, Source};
use crate::time::Span;

/// The argument that makes this program answer one exchange.
pub const ARGUMENT: &str = "git-exchange";

/// The largest request that is read.
const REQUEST_BYTES_MAX: u64 = 1024 * 1024;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// How exchanges are made in a process of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The program: this one.
    pub program: PathBuf,
    /// It is ended with all that it has started. Not where somebody at a terminal may be asked
    /// for a password: only the group in front may read there.
    pub own_group: bool,
}

/// What is asked of the process.
#[derive(Serialize, Deserialize)]
pub struct Request {
    url: String,
    dir: PathBuf,
    refspecs: Vec<String>,
    damaged: bool,
    rest: Rest,
    access: Shown,
}

/// [`Access`] as it is handed over.
#[derive(Serialize, Deserialize)]
struct Shown {
    username: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    ssh_key_file: Option<PathBuf>,
    known_hosts_file: Option<PathBuf>,
    timeout: u64,
    deadline: u64,
    agent: bool,
    home: Option<PathBuf>,
    login: Option<String>,
}

/// What the process says at its end.
#[derive(Serialize, Deserialize)]
struct Answer {
    rest: Rest,
    remade: bool,
    outcome: Result<RemoteState, Failed>,
}

/// A [`GitError`] that was met in the process.
#[derive(Serialize, Deserialize)]
struct Failed {
    said: String,
    cause: Option<String>,
    transient: bool,
}

impl Shown {
    fn of(access: &Access) -> Self {
        let (token, token_file) = match &access.token {
            None => (None, None),
            Some(Token::Text(_, token)) => (Some(token.expose().to_owned()), None),
            Some(Token::File(file)) => (None, Some(file.clone())),
        };
        Self {
            username: access.username.clone(),
            token,
            token_file,
            ssh_key_file: access.ssh_key_file.clone(),
            known_hosts_file: access.known_hosts_file.clone(),
            timeout: access.timeout.as_millis(),
            deadline: access.deadline.as_millis(),
            agent: access.agent,
            home: access.home.clone(),
            login: access.login.clone(),
        }
    }

    fn access(self) -> Access {
        let token = self.token.map(|token| Token::Text(super::access::TOKEN_VARIABLE, Secret::new(token)));
        Access {
            username: self.username,
            token: token.or(self.token_file.map(Token::File)),
            ssh_key_file: self.ssh_key_file,
            known_hosts_file: self.known_hosts_file,
            timeout: Span::from_millis(self.timeout),
            deadline: Span::from_millis(self.deadline),
            agent: self.agent,
            home: self.home,
            login: self.login,
            worker: None,
        }
    }
}

/// Ends an exchange that is under way, from another thread.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    running: Arc<Mutex<Option<Running>>>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    process: Pid,
    own_group: bool,
}

impl Breaker {
    /// Ends it, if there is one. The exchange fails, and the mirror stays as it was.
    pub fn end(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = *running {
            // It was not waited for yet, so its number is nobody else's.
            let _ = match running.own_group {
                true => kill_process_group(running.process, Signal::KILL),
                false => kill_process(running.process, Signal::KILL),
            };
        }
    }

    fn begin(&self, child: &Child, own_group: bool) {
        let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) =
            process.map(|process| Running { process, own_group });
    }

    fn is_over(&self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// One exchange of a mirror in a process of its own. True if a new mirror was put in place.
pub(super) fn ask(
    worker: &Worker,
    mirror: &mut Mirror,
    refspecs: &[String],
    damaged: bool,
    breaker: &Breaker,
) -> Result<bool, GitError> {
    let url = mirror.url().to_string();
    let failed = |error: &dyn std::fmt::Display| GitError::Fetch {
        url: url.clone(),
        source: Cause::new(format!("the process that fetches: {error}")),
    };
    let request = Request {
        url: mirror.url().written().expose().to_owned(),
        dir: mirror.dir().to_owned(),
        refspecs: refspecs.to_vec(),
        damaged,
        rest: mirror.rest(),
        access: Shown::of(mirror.access()),
    };
    let request = serde_json::to_vec(&request).map_err(|error| failed(&error))?;
    let deadline = mirror.access().deadline;
    let answer = talk(worker, request, deadline.to_std(), breaker).map_err(|error| match error {
        Ended::Late => GitError::Late { url: url.clone(), deadline },
        Ended::Io(error) => failed(&error),
    })?;
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| failed(&"it ended early"))?;
    mirror.set_rest(answer.rest);
    match answer.outcome {
        Ok(remote) => {
            mirror.set_remote(remote);
            Ok(answer.remade)
        }
        Err(Failed { said, cause, transient }) => {
            Err(GitError::Told { said, transient, source: cause.map(Cause::new) })
        }
    }
}

enum Ended {
    Late,
    Io(io::Error),
}

fn talk(worker: &Worker, mut request: Vec<u8>, deadline: Duration, breaker: &Breaker) -> Result<Vec<u8>, Ended> {
    let mut command = Command::new(&worker.program);
    command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(folder) = environment::folder() {
        command.env(environment::FOLDER_VARIABLE, folder);
    }
    if worker.own_group {
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(Ended::Io)?;
    breaker.begin(&child, worker.own_group);
    request.push(b'\n');
    // It stays open until the answer is there: that it is closed ends the process.
    let mut asked = child.stdin.take();
    let written = asked.as_mut().map_or(Ok(()), |stdin| stdin.write_all(&request));
    let said = match written {
        Ok(()) => until(child.stdout.take(), deadline),
        Err(error) => Err(Ended::Io(error)),
    };
    if said.is_err() {
        breaker.end();
    }
    drop(asked);
    let _ = child.kill();
    breaker.is_over();
    let _ = child.wait();
    said
}

fn until(stdout: Option<impl Read + Send + 'static>, deadline: Duration) -> Result<Vec<u8>, Ended> {
    let Some(stdout) = stdout else { return Ok(Vec::new()) };
    let (tell, answer) = mpsc::channel();
    let begun = std::thread::Builder::new().name("git answer".to_owned()).spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        let _ = tell.send(read.map(|_| bytes));
    });
    begun.map_err(Ended::Io)?;
    match answer.recv_timeout(deadline) {
        Ok(read) => read.map_err(Ended::Io),
        Err(RecvTimeoutError::Timeout) => Err(Ended::Late),
        Err(RecvTimeoutError::Disconnected) => Ok(Vec::new()),
    }
}

/// Reads what another process asks for.
///
/// # Errors
/// It is no request.
pub fn read(input: &mut dyn io::BufRead) -> io::Result<Request> {
    let mut line = Vec::new();
    io::BufRead::read_until(&mut input.take(REQUEST_BYTES_MAX), b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(io::Error::other)
}

/// Makes one exchange: what the process does. What goes wrong is part of the answer.
#[must_use]
pub fn answer(request: Request) -> Vec<u8> {
    let Request { url, dir, refspecs, damaged, rest, access } = request;
    let answer = match remote(&url) {
        Ok(url) => {
            let mut mirror = Mirror::with_rest(&url, &dir, &access.access(), rest);
            let refreshed = mirror.refresh(&refspecs, damaged);
            let remade = matches!(refreshed, Ok((_, true)));
            let outcome = refreshed.map(|_| mirror.remote().clone()).map_err(|error| Failed::of(&error));
            Answer { rest: mirror.rest(), remade, outcome }
        }
        Err(error) => Answer { rest, remade: false, outcome: Err(Failed::of(&error)) },
    };
    serde_json::to_vec(&answer).unwrap_or_default()
}

fn remote(url: &str) -> Result<RemoteUrl, GitError> {
    match Source::parse(url)? {
        Source::Remote(url) => Ok(url),
        Source::Local(path) => Err(GitError::NoSuchPath { path }),
    }
}

impl Failed {
    fn of(error: &GitError) -> Self {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        Self { said: error.to_string(), cause, transient: error.is_transient() }
    }
}

/// This program, also when its file has been replaced since it was started.
#[must_use]
pub fn this_program() -> Option<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Some(running.to_owned()) } else { std::env::current_exe().ok() }
}
