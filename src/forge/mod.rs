//! The forges that config repositories live on: comments, commit statuses and pull requests
//! on GitHub, GitLab, Gitea and Forgejo.
//!
//! A [`Forge`] is one repository there, and each of its methods is safe to do again: what
//! was lost on the way is looked for before it is made a second time. Methods block, read
//! no clock but that of the answers, and never wait: [`Patience`] does.

mod comment;
mod error;
mod gitlab;
mod http;
mod patience;
mod place;
mod pull_request;
mod repos;

pub use comment::{Marker, Outcome, Put, put};
pub use error::{ErrorKind, ForgeError};
pub use patience::{Patience, pause};
pub use place::{Ci, Kind, Place, PlaceError, Token, token_from_environment, token_from_file};
pub use pull_request::{Opened, ensure};

/// One repository on a forge.
pub trait Forge: Send + Sync {
    /// The comments of a pull request, the oldest first.
    ///
    /// # Errors
    /// The forge can't be reached or refuses; so for every method.
    fn comments(&self, number: u64) -> Result<Vec<Comment>, ForgeError>;

    /// Writes a new comment.
    ///
    /// # Errors
    /// As [`Forge::comments`].
    fn create_comment(&self, number: u64, body: &str) -> Result<Comment, ForgeError>;

    /// Puts another text into a comment.
    ///
    /// # Errors
    /// As [`Forge::comments`].
    fn update_comment(&self, number: u64, id: u64, body: &str) -> Result<(), ForgeError>;

    /// Takes a comment away. That it is gone already is no error.
    ///
    /// # Errors
    /// As [`Forge::comments`].
    fn delete_comment(&self, number: u64, id: u64) -> Result<(), ForgeError>;

    /// The login of the token's owner; none where it may not know.
    ///
    /// # Errors
    /// As [`Forge::comments`], rights aside.
    fn login(&self) -> Result<Option<String>, ForgeError>;

    /// Sets the status of a commit in its context.
    ///
    /// # Errors
    /// As [`Forge::comments`].
    fn set_status(&self, status: &Status) -> Result<(), ForgeError>;

    /// The pull requests from a branch of this very repository, the newest first.
    ///
    /// # Errors
    /// As [`Forge::comments`].
    fn pull_requests(&self, branch: &str, which: Which) -> Result<Vec<PullRequest>, ForgeError>;

    /// Opens a pull request.
    ///
    /// # Errors
    /// As [`Forge::comments`].
    fn open_pull_request(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError>;

    /// The branch that pull requests go to where nothing else is said.
    ///
    /// # Errors
    /// As [`Forge::comments`].
    fn default_branch(&self) -> Result<String, ForgeError>;

    /// Which forge it is.
    fn kind(&self) -> Kind;
}

/// Connects to a repository. Nothing is sent yet.
///
/// # Errors
/// The address can't be used, or the token would go over the wire in the open.
pub fn connect(place: &Place, token: Token) -> Result<Box<dyn Forge>, ForgeError> {
    let client = http::Client::new(place, token)?;
    Ok(match place.kind {
        Kind::GitHub | Kind::Gitea => Box::new(repos::Repos::new(client, place)),
        Kind::GitLab => Box::new(gitlab::GitLab::new(client, place)),
    })
}

/// A comment of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its number on the forge.
    pub id: u64,
    /// Its text.
    pub body: String,
    /// Who wrote it.
    pub author: String,
    /// A program wrote it, as far as the forge says so.
    pub is_bot: bool,
    /// Where people read it, if the forge says so.
    pub url: Option<String>,
}

/// What a commit's status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not decided yet.
    Pending,
    /// All is well.
    Success,
    /// It failed.
    Failure,
}

/// The status of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The commit's 40 hex characters.
    pub commit: String,
    /// Whose it is; the newest in a context counts.
    pub context: String,
    /// What it says.
    pub state: State,
    /// Why, on one line; cut where the forge takes less.
    pub description: String,
}

/// Which pull requests are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that can still be merged.
    Open,
    /// Closed and merged ones, too.
    All,
}

/// A pull request, or a merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Where people read it.
    pub url: String,
}

/// A pull request to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPullRequest {
    /// The branch with the commits, of this very repository.
    pub branch: String,
    /// The branch that they go to.
    pub into: String,
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
}
