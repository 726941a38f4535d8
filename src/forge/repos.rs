//! GitHub, and Gitea and Forgejo, whose API was made after it.
//!
//! Sources: docs.github.com/rest (issues/comments, commits/statuses, pulls), and the
//! Swagger page that each Gitea and Forgejo serves at `/api/swagger`.

use serde_json::{Value, json};

use super::error::{Doing, ErrorKind, ForgeError};
use super::http::Client;
use super::place::{Kind, Place};
use super::{Comment, Forge, NewPullRequest, PullRequest, State, Status, Which};

/// Characters of a status's description that GitHub takes.
const DESCRIPTION_MAX: usize = 140;

pub(super) struct Repos {
    client: Client,
    /// `/repos/OWNER/NAME`
    root: String,
    owner: String,
}

impl Repos {
    pub fn new(client: Client, place: &Place) -> Self {
        let (owner, name) = place.repository.split_once('/').unwrap_or_default();
        let root = format!("/repos/{}/{}", encoded(owner), encoded(name));
        Self { client, root, owner: owner.to_owned() }
    }

    fn comment(&self, doing: Doing, value: &Value) -> Result<Comment, ForgeError> {
        let (Some(id), Some(body)) = (value["id"].as_u64(), value["body"].as_str()) else {
            return Err(self.client.garbled(doing));
        };
        let user = &value["user"];
        Ok(Comment {
            id,
            body: body.to_owned(),
            author: user["login"].as_str().unwrap_or_default().to_owned(),
            is_bot: user["type"] == "Bot",
            url: value["html_url"].as_str().map(str::to_owned),
        })
    }

    fn pull_request(&self, doing: Doing, value: &Value) -> Result<PullRequest, ForgeError> {
        match (value["number"].as_u64(), value["html_url"].as_str()) {
            (Some(number), Some(url)) => Ok(PullRequest { number, url: url.to_owned() }),
            _ => Err(self.client.garbled(doing)),
        }
    }

    /// The parameter that says how long a page is.
    fn page_size(&self) -> &'static str {
        if self.client.kind() == Kind::Gitea { "limit" } else { "per_page" }
    }
}

impl Forge for Repos {
    fn kind(&self) -> Kind {
        self.client.kind()
    }

    fn comments(&self, number: u64) -> Result<Vec<Comment>, ForgeError> {
        let doing = Doing::ReadComments;
        let path = format!("{}/issues/{number}/comments", self.root);
        let found = self.client.list(doing, &path, self.page_size())?;
        let mut comments: Vec<Comment> =
            found.iter().map(|value| self.comment(doing, value)).collect::<Result<_, _>>()?;
        comments.sort_by_key(|comment| comment.id);
        Ok(comments)
    }

    fn create_comment(&self, number: u64, body: &str) -> Result<Comment, ForgeError> {
        let doing = Doing::WriteComment;
        let path = format!("{}/issues/{number}/comments", self.root);
        let answer = self.client.send(doing, "POST", &path, Some(&json!({ "body": body })))?;
        self.comment(doing, &answer.body)
    }

    fn update_comment(&self, _: u64, id: u64, body: &str) -> Result<(), ForgeError> {
        let path = format!("{}/issues/comments/{id}", self.root);
        self.client.send(Doing::WriteComment, "PATCH", &path, Some(&json!({ "body": body }))).map(drop)
    }

    fn delete_comment(&self, _: u64, id: u64) -> Result<(), ForgeError> {
        let path = format!("{}/issues/comments/{id}", self.root);
        gone(self.client.send(Doing::WriteComment, "DELETE", &path, None).map(drop))
    }

    fn login(&self) -> Result<Option<String>, ForgeError> {
        match self.client.send(Doing::ReadLogin, "GET", "/user", None) {
            Ok(answer) => Ok(answer.body["login"].as_str().map(str::to_owned)),
            Err(error) if error.may_pass() => Err(error),
            // The token of a workflow belongs to no user, and others may not ask.
            Err(_) => Ok(None),
        }
    }

    fn set_status(&self, status: &Status) -> Result<(), ForgeError> {
        let state = match status.state {
            State::Pending => "pending",
            State::Success => "success",
            State::Failure => "failure",
        };
        let description = cut(&status.description, DESCRIPTION_MAX);
        let body = json!({ "state": state, "context": status.context, "description": description });
        let path = format!("{}/statuses/{}", self.root, encoded(&status.commit));
        self.client.send(Doing::SetStatus, "POST", &path, Some(&body)).map(drop)
    }

    fn pull_requests(&self, branch: &str, which: Which) -> Result<Vec<PullRequest>, ForgeError> {
        let doing = Doing::ReadPullRequests;
        let state = match which {
            Which::Open => "open",
            Which::All => "all",
        };
        // Gitea knows no filter by branch; it gives all, and we look.
        let path = match self.client.kind() {
            Kind::GitHub => {
                let head = encoded(&format!("{}:{branch}", self.owner));
                format!("{}/pulls?state={state}&head={head}", self.root)
            }
            Kind::GitLab | Kind::Gitea => format!("{}/pulls?state={state}", self.root),
        };
        let found = self.client.list(doing, &path, self.page_size())?;
        let ours = found.iter().filter(|pull| {
            let owner = pull["head"]["repo"]["owner"]["login"].as_str();
            // A branch that is deleted has `refs/pull/N/head` here, and its name as label.
            let named = pull["head"]["ref"] == branch || pull["head"]["label"] == branch;
            named && owner.is_none_or(|owner| owner.eq_ignore_ascii_case(&self.owner))
        });
        let mut pulls: Vec<PullRequest> =
            ours.map(|value| self.pull_request(doing, value)).collect::<Result<_, _>>()?;
        pulls.sort_by_key(|pull| std::cmp::Reverse(pull.number));
        Ok(pulls)
    }

    fn open_pull_request(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let doing = Doing::OpenPullRequest;
        let body = json!({ "title": new.title, "body": new.body, "head": new.branch, "base": new.into });
        let answer = self.client.send(doing, "POST", &format!("{}/pulls", self.root), Some(&body))?;
        self.pull_request(doing, &answer.body)
    }

    fn default_branch(&self) -> Result<String, ForgeError> {
        let doing = Doing::ReadRepository;
        let answer = self.client.send(doing, "GET", &self.root, None)?;
        answer.body["default_branch"].as_str().map(str::to_owned).ok_or_else(|| self.client.garbled(doing))
    }
}

/// What is gone already need not be taken away.
pub(super) fn gone(done: Result<(), ForgeError>) -> Result<(), ForgeError> {
    match done {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Not more characters than a forge takes.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max - 1).chain(['…']).collect()
}

/// Text as one part of a path or a query.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit() {
        assert_eq!(encoded("a/b c:é"), "a%2Fb%20c%3A%C3%A9");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("äbcd", 3), "äb…");
    }
}
