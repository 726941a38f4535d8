//! GitLab.
//!
//! Source: docs.gitlab.com/api (notes, commits, merge_requests).

use serde_json::{Value, json};

use super::error::{Doing, ForgeError};
use super::http::Client;
use super::place::{Kind, Place};
use super::repos::{cut, encoded, gone};
use super::{Comment, Forge, NewPullRequest, PullRequest, State, Status, Which};

/// Characters of a status's description that it takes.
const DESCRIPTION_MAX: usize = 255;

pub(super) struct GitLab {
    client: Client,
    /// `/projects/GROUP%2FNAME`
    root: String,
}

impl GitLab {
    pub fn new(client: Client, place: &Place) -> Self {
        Self { client, root: format!("/projects/{}", encoded(&place.repository)) }
    }

    fn comment(&self, doing: Doing, value: &Value) -> Result<Comment, ForgeError> {
        let (Some(id), Some(body)) = (value["id"].as_u64(), value["body"].as_str()) else {
            return Err(self.client.garbled(doing));
        };
        let author = value["author"]["username"].as_str().unwrap_or_default().to_owned();
        // It does not say which users are programs, and a note has no address of its own.
        Ok(Comment { id, body: body.to_owned(), author, is_bot: false, url: None })
    }

    fn pull_request(&self, doing: Doing, value: &Value) -> Result<PullRequest, ForgeError> {
        match (value["iid"].as_u64(), value["web_url"].as_str()) {
            (Some(number), Some(url)) => Ok(PullRequest { number, url: url.to_owned() }),
            _ => Err(self.client.garbled(doing)),
        }
    }

    /// The state of a commit in a context as it stands.
    fn state_of(&self, status: &Status) -> Result<Option<String>, ForgeError> {
        let (commit, name) = (encoded(&status.commit), encoded(&status.context));
        let path = format!("{}/repository/commits/{commit}/statuses?name={name}", self.root);
        let found = self.client.list(Doing::SetStatus, &path, "per_page")?;
        let newest = found.iter().filter(|found| found["name"] == *status.context).max_by_key(|s| s["id"].as_u64());
        Ok(newest.and_then(|found| found["status"].as_str()).map(str::to_owned))
    }
}

impl Forge for GitLab {
    fn kind(&self) -> Kind {
        Kind::GitLab
    }

    fn comments(&self, number: u64) -> Result<Vec<Comment>, ForgeError> {
        let doing = Doing::ReadComments;
        let path = format!("{}/merge_requests/{number}/notes?sort=asc&order_by=created_at", self.root);
        let found = self.client.list(doing, &path, "per_page")?;
        let mut comments: Vec<Comment> =
            found.iter().map(|value| self.comment(doing, value)).collect::<Result<_, _>>()?;
        comments.sort_by_key(|comment| comment.id);
        Ok(comments)
    }

    fn create_comment(&self, number: u64, body: &str) -> Result<Comment, ForgeError> {
        let doing = Doing::WriteComment;
        let path = format!("{}/merge_requests/{number}/notes", self.root);
        let answer = self.client.send(doing, "POST", &path, Some(&json!({ "body": body })))?;
        self.comment(doing, &answer.body)
    }

    fn update_comment(&self, number: u64, id: u64, body: &str) -> Result<(), ForgeError> {
        let path = format!("{}/merge_requests/{number}/notes/{id}", self.root);
        self.client.send(Doing::WriteComment, "PUT", &path, Some(&json!({ "body": body }))).map(drop)
    }

    fn delete_comment(&self, number: u64, id: u64) -> Result<(), ForgeError> {
        let path = format!("{}/merge_requests/{number}/notes/{id}", self.root);
        gone(self.client.send(Doing::WriteComment, "DELETE", &path, None).map(drop))
    }

    fn login(&self) -> Result<Option<String>, ForgeError> {
        match self.client.send(Doing::ReadLogin, "GET", "/user", None) {
            Ok(answer) => Ok(answer.body["username"].as_str().map(str::to_owned)),
            Err(error) if error.may_pass() => Err(error),
            Err(_) => Ok(None),
        }
    }

    fn set_status(&self, status: &Status) -> Result<(), ForgeError> {
        let state = match status.state {
            State::Pending => "pending",
            State::Success => "success",
            State::Failure => "failed",
        };
        let description = cut(&status.description, DESCRIPTION_MAX);
        let body = json!({ "state": state, "name": status.context, "description": description });
        let path = format!("{}/statuses/{}", self.root, encoded(&status.commit));
        match self.client.send(Doing::SetStatus, "POST", &path, Some(&body)) {
            Ok(_) => Ok(()),
            // It refuses the state that stands already; anything else is said.
            Err(error)
                if error.message.contains("Cannot transition status")
                    && self.state_of(status)?.as_deref() == Some(state) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn pull_requests(&self, branch: &str, which: Which) -> Result<Vec<PullRequest>, ForgeError> {
        let doing = Doing::ReadPullRequests;
        let state = match which {
            Which::Open => "opened",
            Which::All => "all",
        };
        let path = format!("{}/merge_requests?state={state}&source_branch={}", self.root, encoded(branch));
        let found = self.client.list(doing, &path, "per_page")?;
        // A fork may have a branch of the same name.
        let ours = found.iter().filter(|value| {
            value["source_branch"] == branch && value["source_project_id"] == value["target_project_id"]
        });
        let mut pulls: Vec<PullRequest> =
            ours.map(|value| self.pull_request(doing, value)).collect::<Result<_, _>>()?;
        pulls.sort_by_key(|pull| std::cmp::Reverse(pull.number));
        Ok(pulls)
    }

    fn open_pull_request(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let doing = Doing::OpenPullRequest;
        let body = json!({
            "title": new.title, "description": new.body, "source_branch": new.branch, "target_branch": new.into,
        });
        let answer = self.client.send(doing, "POST", &format!("{}/merge_requests", self.root), Some(&body))?;
        self.pull_request(doing, &answer.body)
    }

    fn default_branch(&self) -> Result<String, ForgeError> {
        let doing = Doing::ReadRepository;
        let answer = self.client.send(doing, "GET", &self.root, None)?;
        answer.body["default_branch"].as_str().map(str::to_owned).ok_or_else(|| self.client.garbled(doing))
    }
}
