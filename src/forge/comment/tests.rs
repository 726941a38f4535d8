use std::sync::Mutex;

use super::*;
use crate::forge::{NewPullRequest, PullRequest, Status, Which};

/// A pull request in memory. Before a call of ours with a given count, somebody else acts.
#[derive(Default)]
struct Fake {
    comments: Mutex<Vec<Comment>>,
    next: Mutex<u64>,
    calls: Mutex<Vec<String>>,
    /// After so many listings, another run writes this.
    other_run: Mutex<Option<(usize, String)>>,
    login: Option<&'static str>,
    kind: Option<Kind>,
}

impl Fake {
    fn add(&self, author: &str, body: &str) -> u64 {
        let mut next = self.next.lock().unwrap();
        *next += 1;
        let (id, is_bot) = (*next, author.ends_with("[bot]"));
        let comment = Comment { id, body: body.to_owned(), author: author.to_owned(), is_bot, url: None };
        self.comments.lock().unwrap().push(comment);
        id
    }

    fn called(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }

    fn me(&self) -> &str {
        self.login.unwrap_or("github-actions[bot]")
    }

    fn texts(&self) -> Vec<(u64, String)> {
        let comments = self.comments.lock().unwrap();
        comments.iter().map(|c| (c.id, c.body.lines().next().unwrap_or_default().to_owned())).collect()
    }
}

impl Forge for Fake {
    fn comments(&self, _: u64) -> Result<Vec<Comment>, ForgeError> {
        let found = self.comments.lock().unwrap().clone();
        let mut other = self.other_run.lock().unwrap();
        if let Some((left, body)) = other.take() {
            if left == 0 {
                self.add(self.me(), &body);
            } else {
                *other = Some((left - 1, body));
            }
        }
        Ok(found)
    }

    fn create_comment(&self, _: u64, body: &str) -> Result<Comment, ForgeError> {
        self.called("create".to_owned());
        let id = self.add(self.me(), body);
        Ok(self.comments.lock().unwrap().iter().find(|comment| comment.id == id).unwrap().clone())
    }

    fn update_comment(&self, _: u64, id: u64, body: &str) -> Result<(), ForgeError> {
        self.called(format!("update {id}"));
        self.comments.lock().unwrap().iter_mut().find(|comment| comment.id == id).unwrap().body = body.to_owned();
        Ok(())
    }

    fn delete_comment(&self, _: u64, id: u64) -> Result<(), ForgeError> {
        self.called(format!("delete {id}"));
        self.comments.lock().unwrap().retain(|comment| comment.id != id);
        Ok(())
    }

    fn login(&self) -> Result<Option<String>, ForgeError> {
        Ok(self.login.map(str::to_owned))
    }

    fn set_status(&self, _: &Status) -> Result<(), ForgeError> {
        unreachable!("no comment needs it")
    }

    fn pull_requests(&self, _: &str, _: Which) -> Result<Vec<PullRequest>, ForgeError> {
        unreachable!("no comment needs it")
    }

    fn open_pull_request(&self, _: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        unreachable!("no comment needs it")
    }

    fn default_branch(&self) -> Result<String, ForgeError> {
        unreachable!("no comment needs it")
    }

    fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::GitHub)
    }
}

fn prod() -> Marker {
    Marker::of_scope("prod")
}

#[test]
fn one_comment_is_kept_up_to_date() {
    let fake = Fake::default();
    fake.add("ann", "looks good");
    assert_eq!(put(&fake, 1, &prod(), "one\n").unwrap().outcome, Outcome::Created);
    assert_eq!(put(&fake, 1, &prod(), "one").unwrap().outcome, Outcome::Unchanged);
    // A forge may trim what it keeps and change the ends of lines.
    for comment in fake.comments.lock().unwrap().iter_mut() {
        comment.body = comment.body.trim_end().replace('\n', "\r\n");
    }
    assert_eq!(put(&fake, 1, &prod(), "one").unwrap().outcome, Outcome::Unchanged);
    let put = put(&fake, 1, &prod(), "two").unwrap();
    assert_eq!((put.id, put.outcome), (2, Outcome::Updated));
    assert_eq!(*fake.calls.lock().unwrap(), ["create", "update 2"]);
}

#[test]
fn two_scopes_keep_two_comments() {
    let fake = Fake::default();
    put(&fake, 1, &prod(), "a").unwrap();
    put(&fake, 1, &Marker::of_scope("prod-eu"), "b").unwrap();
    put(&fake, 1, &prod(), "c").unwrap();
    assert_eq!(fake.texts(), [(1, "c".to_owned()), (2, "b".to_owned())]);
    // Whatever a folder is called, the marker is one comment of HTML.
    assert_eq!(Marker::of_scope("a--> <b>").0, "<!-- ionroller plan a-____b_ -->");
}

#[test]
fn a_race_ends_with_one_comment_whoever_is_first() {
    let other = format!("theirs\n\n{}\n", prod().0);
    // They write after we have looked and before we do: theirs is the oldest.
    let fake = Fake { other_run: Mutex::new(Some((0, other.clone()))), ..Fake::default() };
    let put_first = put(&fake, 1, &prod(), "ours").unwrap();
    assert_eq!((put_first.id, put_first.outcome), (1, Outcome::Updated));
    assert_eq!(fake.texts(), [(1, "ours".to_owned())]);
    // They write after us, and we see it only the next time.
    let fake = Fake { other_run: Mutex::new(Some((1, other))), ..Fake::default() };
    assert_eq!(put(&fake, 1, &prod(), "ours").unwrap().outcome, Outcome::Created);
    assert_eq!(fake.texts().len(), 2);
    assert_eq!(put(&fake, 1, &prod(), "ours").unwrap().outcome, Outcome::Unchanged);
    assert_eq!(fake.texts(), [(1, "ours".to_owned())]);
}

#[test]
fn a_marker_that_somebody_copied_stays_theirs() {
    let copied = format!("nothing to see\n\n{}\n", prod().0);
    for login in [None, Some("bot")] {
        let fake = Fake { login, ..Fake::default() };
        fake.add("mallory", &copied);
        fake.add("ann", &format!("> {}", prod().0));
        let put = put(&fake, 1, &prod(), "ours").unwrap();
        assert_eq!((put.id, put.outcome), (3, Outcome::Created));
    }
}

#[test]
fn what_is_too_long_is_not_sent() {
    let fake = Fake::default();
    let error = put(&fake, 1, &prod(), &"x".repeat(65_536)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLong);
    assert!(fake.calls.lock().unwrap().is_empty());
    // The limit is of characters, and GitLab takes more.
    put(&fake, 1, &prod(), &"é".repeat(65_000)).unwrap();
    let gitlab = Fake { kind: Some(Kind::GitLab), ..Fake::default() };
    put(&gitlab, 1, &prod(), &"x".repeat(65_536)).unwrap();
}
