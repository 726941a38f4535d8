//! A forge on loopback that speaks as its documentation says: GitHub, GitLab, or Gitea and
//! Forgejo. It keeps comments, statuses and pull requests in memory, and can be told to
//! fail.
//!
//! Shapes: docs.github.com/rest, docs.gitlab.com/api, and the Swagger page of Gitea.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

pub const TOKEN: &str = "tok-3n-s3cret";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    GitHub,
    GitLab,
    Gitea,
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
}

#[derive(Debug, Clone)]
pub struct Trouble {
    /// The first request whose line begins so.
    pub on: &'static str,
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
    /// It does what it is asked all the same, and only the answer is lost.
    pub acts: bool,
}

#[derive(Debug, Default)]
pub struct State {
    pub comments: Vec<(u64, String, String)>,
    /// Commit and body.
    pub statuses: Vec<(String, Value)>,
    pub pulls: Vec<Value>,
    pub asked: Vec<Asked>,
    pub troubles: VecDeque<Trouble>,
    next: u64,
}

impl State {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn add_comment(&mut self, author: &str, body: &str) -> u64 {
        let id = self.id() + 100;
        self.comments.push((id, author.to_owned(), body.to_owned()));
        id
    }

    /// The requests that change something.
    pub fn writes(&self) -> Vec<String> {
        let writes = self.asked.iter().filter(|asked| !asked.line.starts_with("GET"));
        writes.map(|asked| asked.line.clone()).collect()
    }
}

pub struct ForgeServer {
    pub speaks: Speaks,
    /// The address of its API.
    pub api: String,
    /// The address of its pages.
    pub web: String,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Value,
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

fn reply(status: u16, body: Value) -> Reply {
    Reply { status, headers: Vec::new(), body }
}

impl ForgeServer {
    pub fn start(speaks: Speaks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = format!("http://{}", listener.local_addr().unwrap());
        let prefix = match speaks {
            Speaks::GitHub => "/api/v3",
            Speaks::GitLab => "/api/v4",
            Speaks::Gitea => "/api/v1",
        };
        let state = Arc::new(Mutex::new(State::default()));
        let server = Self { speaks, api: format!("{web}{prefix}"), web, state: Arc::clone(&state) };
        let web = server.web.clone();
        // It ends with the process: nobody closes the listener.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (state, web) = (Arc::clone(&state), web.clone());
                std::thread::spawn(move || serve(stream, speaks, prefix, &web, &state));
            }
        });
        server
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn fails(&self, on: &'static str, status: u16, headers: &[(&'static str, &str)], body: Value) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.state().troubles.push_back(Trouble { on, status, headers, body, acts: false });
    }
}

fn serve(stream: TcpStream, speaks: Speaks, prefix: &str, web: &str, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(request) = read(&mut reader) {
        let mut state = state.lock().unwrap();
        let line = format!(
            "{} {}{}",
            request.method,
            request.path,
            if request.query.is_empty() { String::new() } else { format!("?{}", request.query) }
        );
        state.asked.push(Asked { line: line.clone() });
        let trouble = state.troubles.iter().position(|trouble| line.contains(trouble.on));
        let trouble = trouble.and_then(|at| state.troubles.remove(at));
        let mut answer = match &trouble {
            Some(trouble) if !trouble.acts => reply(500, Value::Null),
            _ => answer(&request, speaks, prefix, web, &mut state),
        };
        if let Some(trouble) = trouble {
            answer = Reply { status: trouble.status, headers: trouble.headers, body: trouble.body };
        }
        drop(state);
        if write(&mut stream, &answer).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value.as_str());
    let mut bytes = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut bytes).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

fn write(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    let body = if reply.body.is_null() { String::new() } else { reply.body.to_string() };
    let mut head = format!("HTTP/1.1 {} Said\r\ncontent-length: {}\r\n", reply.status, body.len());
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    stream.flush()
}

fn answer(request: &Request, speaks: Speaks, prefix: &str, web: &str, state: &mut State) -> Reply {
    let header = |name: &str| request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let (name, expected) = match speaks {
        Speaks::GitHub => ("authorization", format!("Bearer {TOKEN}")),
        Speaks::GitLab => ("private-token", TOKEN.to_owned()),
        Speaks::Gitea => ("authorization", format!("token {TOKEN}")),
    };
    if header(name) != Some(&expected) {
        return reply(401, json!({ "message": "Bad credentials", "status": "401" }));
    }
    if speaks == Speaks::GitHub {
        // GitHub refuses whoever does not say who asks.
        let agent = header("user-agent").is_some_and(|agent| agent.starts_with("ionroller/"));
        let form = header("accept") == Some("application/vnd.github+json");
        if !agent || !form || header("x-github-api-version").is_none() {
            return reply(403, json!({ "message": "Request forbidden by administrative rules." }));
        }
    }
    let Some(path) = request.path.strip_prefix(prefix) else {
        return reply(404, json!({ "message": "Not Found" }));
    };
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match speaks {
        Speaks::GitHub | Speaks::Gitea => of_repos(request, &parts, speaks, web, state),
        Speaks::GitLab => of_projects(request, &parts, web, state),
    }
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// One page, with the headers that say whether there are more.
fn page(all: Vec<Value>, request: &Request, size: &str, most: usize) -> Reply {
    let size = parameter(&request.query, size).and_then(|text| text.parse().ok()).unwrap_or(20).min(most);
    let page: usize = parameter(&request.query, "page").and_then(|text| text.parse().ok()).unwrap_or(1);
    let more = page * size < all.len();
    let next = format!("<http://elsewhere.example.com{}?page={}>; rel=\"next\"", request.path, page + 1);
    let found: Vec<Value> = all.into_iter().skip((page - 1) * size).take(size).collect();
    let headers = if more { vec![("link", next)] } else { Vec::new() };
    Reply { status: 200, headers, body: Value::Array(found) }
}

fn of_repos(request: &Request, parts: &[&str], speaks: Speaks, web: &str, state: &mut State) -> Reply {
    let comment = |(id, author, body): &(u64, String, String)| {
        let kind = if author.ends_with("[bot]") { "Bot" } else { "User" };
        let url = format!("{web}/o/config/pull/7#issuecomment-{id}");
        json!({ "id": id, "body": body, "html_url": url, "user": { "login": author, "type": kind } })
    };
    let me = if speaks == Speaks::GitHub { "github-actions[bot]" } else { "bot" };
    let size = if speaks == Speaks::GitHub { "per_page" } else { "limit" };
    match (request.method.as_str(), parts) {
        ("GET", ["user"]) if speaks == Speaks::Gitea => reply(200, json!({ "id": 1, "login": me })),
        ("GET", ["user"]) => reply(403, json!({ "message": "Resource not accessible by integration" })),
        (_, ["repos", owner, name, ..]) if (*owner, *name) != ("o", "config") => {
            reply(404, json!({ "message": "Not Found" }))
        }
        ("GET", ["repos", _, _]) => reply(200, json!({ "default_branch": "main", "full_name": "o/config" })),
        ("GET", ["repos", _, _, "issues", "7", "comments"]) => {
            let all: Vec<Value> = state.comments.iter().map(comment).collect();
            match speaks {
                Speaks::GitHub => page(all, request, size, 100),
                // It knows no pages here.
                _ => reply(200, Value::Array(all)),
            }
        }
        ("POST", ["repos", _, _, "issues", "7", "comments"]) => {
            state.add_comment(me, request.body["body"].as_str().unwrap());
            reply(201, comment(state.comments.last().unwrap()))
        }
        ("PATCH", ["repos", _, _, "issues", "comments", id]) => {
            match state.comments.iter_mut().find(|(known, ..)| known.to_string() == *id) {
                Some(found) => {
                    found.2 = request.body["body"].as_str().unwrap().to_owned();
                    reply(200, comment(found))
                }
                None => reply(404, json!({ "message": "Not Found" })),
            }
        }
        ("DELETE", ["repos", _, _, "issues", "comments", id]) => {
            state.comments.retain(|(known, ..)| known.to_string() != *id);
            reply(204, Value::Null)
        }
        ("POST", ["repos", _, _, "statuses", commit]) => {
            state.statuses.push(((*commit).to_owned(), request.body.clone()));
            reply(201, json!({ "id": state.statuses.len(), "context": request.body["context"] }))
        }
        ("GET", ["repos", _, _, "pulls"]) => {
            let open = parameter(&request.query, "state") == Some("open");
            let head = parameter(&request.query, "head").map(|head| head.replace("%3A", ":").replace("%2F", "/"));
            let fits = |pull: &&Value| {
                (!open || pull["state"] == "open") && head.as_ref().is_none_or(|head| pull["head"]["label"] == **head)
            };
            let mut found: Vec<Value> = state.pulls.iter().filter(fits).cloned().collect();
            found.reverse();
            page(found, request, size, if speaks == Speaks::GitHub { 100 } else { 50 })
        }
        ("POST", ["repos", _, _, "pulls"]) => {
            let branch = request.body["head"].as_str().unwrap().to_owned();
            if state.pulls.iter().any(|pull| pull["head"]["ref"] == *branch && pull["state"] == "open") {
                let said = format!("A pull request already exists for o:{branch}.");
                let errors = json!([{ "resource": "PullRequest", "code": "custom", "message": said }]);
                return match speaks {
                    Speaks::GitHub => reply(422, json!({ "message": "Validation Failed", "errors": errors })),
                    _ => reply(409, json!({ "message": said })),
                };
            }
            let number = state.id();
            let label = if speaks == Speaks::GitHub { format!("o:{branch}") } else { branch.clone() };
            let pull = json!({
                "id": number + 1000, "number": number, "state": "open", "html_url": format!("{web}/o/config/pull/{number}"),
                "title": request.body["title"], "body": request.body["body"], "base": { "ref": request.body["base"] },
                "head": { "ref": branch, "label": label, "repo": { "owner": { "login": "o" } } },
            });
            state.pulls.push(pull.clone());
            reply(201, pull)
        }
        _ => reply(404, json!({ "message": "Not Found" })),
    }
}

fn of_projects(request: &Request, parts: &[&str], web: &str, state: &mut State) -> Reply {
    let note = |(id, author, body): &(u64, String, String)| json!({ "id": id, "body": body, "system": false, "author": { "username": author }, "noteable_iid": 7 });
    match (request.method.as_str(), parts) {
        ("GET", ["user"]) => reply(200, json!({ "id": 1, "username": "bot" })),
        (_, ["projects", project, ..]) if *project != "group%2Fsub%2Fconfig" => {
            reply(404, json!({ "message": "404 Project Not Found" }))
        }
        ("GET", ["projects", _]) => reply(200, json!({ "default_branch": "main" })),
        ("GET", ["projects", _, "merge_requests", "7", "notes"]) => {
            page(state.comments.iter().map(note).collect(), request, "per_page", 100)
        }
        ("POST", ["projects", _, "merge_requests", "7", "notes"]) => {
            state.add_comment("bot", request.body["body"].as_str().unwrap());
            reply(201, note(state.comments.last().unwrap()))
        }
        ("PUT", ["projects", _, "merge_requests", "7", "notes", id]) => {
            match state.comments.iter_mut().find(|(known, ..)| known.to_string() == *id) {
                Some(found) => {
                    // It trims what it keeps.
                    found.2 = request.body["body"].as_str().unwrap().trim().to_owned();
                    reply(200, note(found))
                }
                None => reply(404, json!({ "message": "404 Note Not Found" })),
            }
        }
        ("DELETE", ["projects", _, "merge_requests", "7", "notes", id]) => {
            state.comments.retain(|(known, ..)| known.to_string() != *id);
            reply(204, Value::Null)
        }
        ("POST", ["projects", _, "statuses", commit]) => {
            let last = state
                .statuses
                .iter()
                .rev()
                .find(|(known, body)| known == commit && body["name"] == request.body["name"]);
            if request.body["state"] == "pending" && last.is_some_and(|(_, body)| body["state"] == "pending") {
                let said = "Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via \"enqueue\")";
                return reply(400, json!({ "message": said }));
            }
            state.statuses.push(((*commit).to_owned(), request.body.clone()));
            reply(201, json!({ "id": state.statuses.len(), "status": request.body["state"] }))
        }
        ("GET", ["projects", _, "repository", "commits", commit, "statuses"]) => {
            let all = state.statuses.iter().enumerate().filter(|(_, (known, _))| known == commit);
            let all = all.map(|(id, (_, body))| json!({ "id": id, "name": body["name"], "status": body["state"] }));
            page(all.collect(), request, "per_page", 100)
        }
        ("GET", ["projects", _, "merge_requests"]) => {
            let open = parameter(&request.query, "state") == Some("opened");
            let branch = parameter(&request.query, "source_branch").unwrap_or_default().replace("%2F", "/");
            let fits = |pull: &&Value| (!open || pull["state"] == "opened") && pull["source_branch"] == *branch;
            page(state.pulls.iter().filter(fits).cloned().collect(), request, "per_page", 100)
        }
        ("POST", ["projects", _, "merge_requests"]) => {
            let branch = &request.body["source_branch"];
            if let Some(open) = state.pulls.iter().find(|p| p["source_branch"] == *branch && p["state"] == "opened") {
                let said =
                    format!("Another open merge request already exists for this source branch: !{}", open["iid"]);
                return reply(409, json!({ "message": [said] }));
            }
            let number = state.id();
            let pull = json!({
                "id": number + 1000, "iid": number, "state": "opened", "source_branch": branch,
                "source_project_id": 1, "target_project_id": 1, "target_branch": request.body["target_branch"],
                "title": request.body["title"], "description": request.body["description"],
                "web_url": format!("{web}/group/sub/config/-/merge_requests/{number}"),
            });
            state.pulls.push(pull.clone());
            reply(201, pull)
        }
        _ => reply(404, json!({ "message": "404 Not Found" })),
    }
}
