//! Why a forge did not do what it was asked.

use std::fmt;
use std::time::Duration;

use super::place::Kind;

/// What a forge was asked for, for the message and for the right that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    ReadComments,
    WriteComment,
    ReadLogin,
    SetStatus,
    ReadPullRequests,
    OpenPullRequest,
    ReadRepository,
}

impl Doing {
    pub fn words(self) -> &'static str {
        match self {
            Self::ReadComments => "list the comments",
            Self::WriteComment => "write the comment",
            Self::ReadLogin => "say whose token this is",
            Self::SetStatus => "set the commit's status",
            Self::ReadPullRequests => "list the pull requests",
            Self::OpenPullRequest => "open the pull request",
            Self::ReadRepository => "describe the repository",
        }
    }

    /// The right that a token needs for it, by the forge's own name.
    fn right(self, kind: Kind) -> &'static str {
        match (kind, self) {
            (Kind::GitHub, Self::SetStatus) => {
                "`statuses: write` in the workflow's permissions, `Commit statuses: write` of a fine-grained token, \
                 or the scope `repo:status`"
            }
            (Kind::GitHub, Self::OpenPullRequest) => {
                "`pull-requests: write` in the workflow's permissions and the repository's setting that Actions may \
                 create pull requests, `Pull requests: write` of a fine-grained token, or the scope `repo`"
            }
            (Kind::GitHub, Self::ReadComments | Self::WriteComment | Self::ReadPullRequests) => {
                "`pull-requests: write` in the workflow's permissions, `Pull requests: write` of a fine-grained \
                 token, or the scope `repo`"
            }
            (Kind::GitHub, Self::ReadLogin | Self::ReadRepository) => "`contents: read` or `Contents: read`",
            (Kind::GitLab, Self::SetStatus | Self::OpenPullRequest) => {
                "the scope `api` and the role Developer; CI_JOB_TOKEN has no such right"
            }
            (Kind::GitLab, Self::ReadComments | Self::WriteComment) => {
                "the scope `api` and the role Reporter; CI_JOB_TOKEN has no such right"
            }
            (Kind::GitLab, Self::ReadLogin | Self::ReadPullRequests | Self::ReadRepository) => "the scope `api`",
            (Kind::Gitea, Self::ReadComments | Self::WriteComment) => "the scope `write:issue`",
            (Kind::Gitea, Self::ReadLogin) => "the scope `read:user`",
            (Kind::Gitea, Self::SetStatus | Self::ReadPullRequests | Self::OpenPullRequest | Self::ReadRepository) => {
                "the scope `write:repository`"
            }
        }
    }
}

/// The kind of failure, for what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The token is unknown or has run out.
    Token,
    /// The token lacks a right.
    Rights,
    /// There is no such thing, or the token may not see it.
    NotFound,
    /// The text is too long.
    TooLong,
    /// The forge does not accept what was sent; sending it again can't help.
    Refused,
    /// Too many requests; it says until when.
    Limited,
    /// It can't be reached, or fails by itself.
    Unavailable,
    /// The address or the token can't be used at all.
    Unusable,
}

/// A forge did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeError {
    /// What follows from it.
    pub kind: ErrorKind,
    /// For people. Never with a token.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// How long the forge wants to be left alone; none: it did not say.
    pub wait: Option<Duration>,
}

impl ForgeError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, wait: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether doing the same again may help.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, ErrorKind::Limited | ErrorKind::Unavailable)
    }

    /// What an answer means that is no success. `said` is the forge's own text.
    pub(super) fn of_answer(forge: Kind, doing: Doing, status: u16, said: &str, wait: Option<Duration>) -> Self {
        let who = forge.name();
        let words = doing.words();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let make = |kind, what: &str| Self::new(kind, format!("{who} did not {words}: {what} (HTTP {status}{said})"));
        let needs = format!("the token needs {}", doing.right(forge));
        match status {
            401 => make(ErrorKind::Token, "it does not know the token, or the token has expired").hint(needs),
            _ if wait.is_some() && matches!(status, 403 | 429) => {
                Self { wait, ..make(ErrorKind::Limited, "too many requests") }
            }
            429 => make(ErrorKind::Limited, "too many requests"),
            403 => make(ErrorKind::Rights, "the token has no right to").hint(needs),
            404 => make(ErrorKind::NotFound, "there is no such thing, or the token may not see it")
                .hint(format!("check the repository, the number and the commit; {needs}")),
            413 => make(ErrorKind::TooLong, "the text is too long for it"),
            300..=399 => make(ErrorKind::Refused, "it sends us elsewhere, which a token must not follow")
                .hint("the repository was renamed or has moved: name it as it is called now"),
            408 | 500..=599 => Self { wait, ..make(ErrorKind::Unavailable, "it failed by itself") },
            _ => make(ErrorKind::Refused, "it refused"),
        }
    }
}

impl fmt::Display for ForgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ForgeError {}
