//! `comment` against forges on loopback: one comment, kept up to date, and what each kind
//! of failure says.

use serde_json::{Value, json};

use crate::harness::forge_server::{ForgeServer, Speaks, TOKEN, Trouble};
use crate::harness::place::{Place, Ran};

const ALL: [Speaks; 3] = [Speaks::GitHub, Speaks::GitLab, Speaks::Gitea];

/// What the forge's CI sets for pull request 7.
pub fn ci(server: &ForgeServer) -> Vec<(&'static str, String)> {
    let own = |text: &str| text.to_owned();
    match server.speaks {
        Speaks::GitLab => vec![
            ("GITLAB_CI", own("true")),
            ("CI_SERVER_URL", server.web.clone()),
            ("CI_API_V4_URL", server.api.clone()),
            ("CI_PROJECT_PATH", own("group/sub/config")),
            ("CI_MERGE_REQUEST_IID", own("7")),
            ("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", own("1111111111111111111111111111111111111111")),
            ("GITLAB_TOKEN", own(TOKEN)),
        ],
        Speaks::GitHub | Speaks::Gitea => vec![
            ("GITHUB_ACTIONS", own("true")),
            ("GITHUB_SERVER_URL", server.web.clone()),
            ("GITHUB_API_URL", server.api.clone()),
            ("GITHUB_REPOSITORY", own("o/config")),
            ("GITHUB_REF", own("refs/pull/7/merge")),
            ("GITHUB_SHA", own("1111111111111111111111111111111111111111")),
            ("GITHUB_TOKEN", own(TOKEN)),
        ],
    }
}

/// Runs the binary as part of the forge's CI.
pub fn run_in(place: &Place, variables: &[(&'static str, String)], args: &[&str]) -> Ran {
    let mut command = place.command(env!("CARGO_BIN_EXE_ionroller"));
    let world = format!("sim:{}", place.dir.path().join("world.json").display());
    command.envs(variables.iter().map(|(name, value)| (*name, value.as_str()))).args(args).args(["--cloud", &world]);
    let output = command.output().unwrap();
    let ran = Ran {
        command: args[0].to_owned(),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(!(ran.stdout.clone() + &ran.stderr).contains(TOKEN), "the token is shown: {}{}", ran.stdout, ran.stderr);
    ran
}

fn head_of(place: &Place) -> String {
    let output = place.command("git").args(["rev-parse", "HEAD"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn write(place: &Place, text: &str) {
    std::fs::write(place.repo().join("../plan.md"), text).unwrap();
}

#[test]
fn one_comment_is_written_found_again_and_changed() {
    for speaks in ALL {
        let (place, server) = (Place::new(), ForgeServer::start(speaks));
        // More than a page before ours, and one that quotes us.
        for number in 0..130 {
            server.state().add_comment("ann", &format!("comment {number}"));
        }
        write(&place, "the plan\n");
        let comment = |outcome: &str| {
            let ran = run_in(&place, &ci(&server), &["comment", "../plan.md", "-o", "json"]).ended(0).json();
            assert_eq!(ran["outcome"], outcome, "{speaks:?}");
            (ran["comment"].as_u64().unwrap(), ran["pull_request"].clone(), ran["forge"].clone())
        };
        let first = comment("created");
        assert_eq!(first.1, 7);
        assert_eq!(comment("unchanged"), first);
        write(&place, "another plan\r\n");
        assert_eq!(comment("updated"), first);
        assert_eq!(comment("unchanged"), first);
        let state = server.state();
        let ours: Vec<&str> = state.comments[130..].iter().map(|(_, _, body)| body.trim_end()).collect();
        assert_eq!(ours, ["another plan\n\n<!-- ionroller plan prod -->"], "{speaks:?}");
        assert_eq!(state.writes().len(), 2, "{:?}", state.writes());
    }
}

#[test]
fn the_plan_is_made_here_and_decides_the_commit_s_status() {
    for speaks in ALL {
        let (place, server) = (Place::new(), ForgeServer::start(speaks));
        place.run(&["apply"]).ended(0);
        place.git(&["branch", "base"]);
        place.run(&["release", "search", "1.5.0"]).ended(0);
        let args = ["comment", "--base", "base", "--status", "-o", "json"];
        let first = head_of(&place);
        let ran = run_in(&place, &with_head(&place, &server, &first), &args).ended(0).json();
        assert_eq!((&ran["status"]["state"], &ran["status"]["context"]), (&json!("success"), &json!("ionroller/prod")));
        let posted = server.state().comments[0].2.clone();
        assert!(posted.contains("| `search` | release | `1.4.0` | `1.5.0` |"), "{posted}");
        // With an error it fails, and the comment says which.
        std::fs::write(place.repo().join("services/website.toml"), "nonsense = 1\n").unwrap();
        place.commit("a mistake");
        // CI checks out the merge into the base, and the status is the head's.
        let second = head_of(&place);
        place.git(&["checkout", "--quiet", "--detach", "base"]);
        place.git(&["merge", "--quiet", "--no-ff", "--message", "merge", &second]);
        let ran = run_in(&place, &with_head(&place, &server, &second), &args).ended(0).json();
        assert_eq!((&ran["status"]["state"], &ran["outcome"]), (&json!("failure"), &json!("updated")));
        let state = server.state();
        let commits: Vec<&str> = state.statuses.iter().map(|(commit, _)| commit.as_str()).collect();
        assert_eq!(commits, [first.as_str(), second.as_str()]);
        let said: Vec<&Value> = state.statuses.iter().map(|(_, body)| &body["state"]).collect();
        assert_eq!(said, if speaks == Speaks::GitLab { ["success", "failed"] } else { ["success", "failure"] });
        assert!(state.statuses[0].1["description"].as_str().unwrap().starts_with("1 release"), "{speaks:?}");
    }
}

/// What CI sets for pull request 7 whose head is a commit.
fn with_head(place: &Place, server: &ForgeServer, head: &str) -> Vec<(&'static str, String)> {
    let event = place.dir.path().join("event.json");
    std::fs::write(&event, json!({ "pull_request": { "number": 7, "head": { "sha": head } } }).to_string()).unwrap();
    let mut variables = ci(server);
    variables.retain(|(name, _)| *name != "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA");
    variables.push(("GITHUB_EVENT_PATH", event.display().to_string()));
    variables.push(("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", head.to_owned()));
    variables
}

/// Under `pull_request_target` CI checks out the base: what is planned is not what is to be
/// merged.
#[test]
fn nothing_is_said_of_a_commit_that_was_not_planned() {
    for speaks in ALL {
        let (place, server) = (Place::new(), ForgeServer::start(speaks));
        place.run(&["apply"]).ended(0);
        let base = head_of(&place);
        place.git(&["checkout", "--quiet", "-b", "topic"]);
        std::fs::write(place.repo().join("services/website.toml"), "nonsense = 1\n").unwrap();
        place.commit("a mistake");
        let head = head_of(&place);
        let variables = with_head(&place, &server, &head);
        for (at, why) in [(base.as_str(), "the base"), ("child", "a commit on top of the head")] {
            if at == "child" {
                place.git(&["commit", "--quiet", "--allow-empty", "--message", "more"]);
            } else {
                place.git(&["checkout", "--quiet", at]);
            }
            for status in [&["--status"][..], &[]] {
                let ran = run_in(&place, &variables, &[&["comment", "--base", &base][..], status].concat()).ended(1);
                assert!(ran.stderr.contains(&format!("the run is for commit {}", &head[..7])), "{why}: {}", ran.stderr);
            }
            place.git(&["checkout", "--quiet", "topic"]);
        }
        assert!(server.state().writes().is_empty(), "{:?}", server.state().writes());
        let named = ["comment", "--base", &base, "--status", "--ref", &head, "-o", "json"];
        let ran = run_in(&place, &variables, &named).ended(0).json();
        assert_eq!((&ran["status"]["commit"], &ran["status"]["state"]), (&json!(head), &json!("failure")));
    }
}

/// A group of a merge queue has no pull request, and its check must be there all the same.
#[test]
fn a_group_of_a_merge_queue_gets_its_status_and_no_comment() {
    let (place, server) = (Place::new(), ForgeServer::start(Speaks::GitHub));
    place.run(&["apply"]).ended(0);
    let base = head_of(&place);
    place.run(&["release", "search", "1.5.0"]).ended(0);
    let head = head_of(&place);
    let event = place.dir.path().join("event.json");
    std::fs::write(&event, json!({ "merge_group": { "head_sha": head, "base_sha": base } }).to_string()).unwrap();
    let mut variables = ci(&server);
    variables.retain(|(name, _)| !["GITHUB_REF", "GITHUB_SHA"].contains(name));
    variables.push(("GITHUB_EVENT_NAME", "merge_group".to_owned()));
    variables.push(("GITHUB_REF", "refs/heads/gh-readonly-queue/main/pr-7-x".to_owned()));
    variables.push(("GITHUB_SHA", head.clone()));
    variables.push(("GITHUB_EVENT_PATH", event.display().to_string()));
    let ran = run_in(&place, &variables, &["comment", "--status", "-o", "json"]).ended(0).json();
    assert_eq!((&ran["status"]["commit"], &ran["status"]["state"]), (&json!(head), &json!("success")));
    assert_eq!((&ran["pull_request"], &ran["comment"], &ran["outcome"]), (&Value::Null, &Value::Null, &json!("none")));
    let state = server.state();
    assert!(state.comments.is_empty() && state.statuses[0].1["description"].as_str().unwrap().starts_with("1 release"));
}

#[test]
fn a_broken_scope_file_is_said_in_the_scope_s_comment() {
    let (place, server) = (Place::new(), ForgeServer::start(Speaks::GitHub));
    place.git(&["branch", "base"]);
    write(&place, "fine");
    run_in(&place, &ci(&server), &["comment", "../plan.md"]).ended(0);
    std::fs::write(place.repo().join("ionroller.toml"), "nonsense = 1\n").unwrap();
    place.commit("a mistake");
    let ran = run_in(&place, &ci(&server), &["comment", "--base", "base", "--offline"]).ended(0);
    assert!(ran.stdout.starts_with("comment on o/config 7 updated  http://"), "{}", ran.stdout);
    let state = server.state();
    assert_eq!(state.comments.len(), 1);
    assert!(state.comments[0].2.contains("nonsense"), "{}", state.comments[0].2);
}

#[test]
fn flags_take_the_place_of_ci_and_the_remote_is_asked_without_it() {
    let (place, server) = (Place::new(), ForgeServer::start(Speaks::Gitea));
    write(&place, "the plan");
    let token = place.dir.path().join("token");
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let token = token.display().to_string();
    let lost = run_in(&place, &[], &["comment", "../plan.md", "--pull-request", "7"]).ended(1);
    assert!(lost.stderr.contains("--forge KIND"), "{}", lost.stderr);
    place.git(&["remote", "add", "origin", &format!("{}/o/config.git", server.web)]);
    let unknown = run_in(&place, &[], &["comment", "../plan.md", "--pull-request", "7"]).ended(1);
    assert!(unknown.stderr.contains("can't be told from its name"), "{}", unknown.stderr);
    let args = ["comment", "../plan.md", "--pull-request", "7", "--forge", "forgejo", "--scope", "other"];
    let none = run_in(&place, &[], &args).ended(1);
    assert!(none.stderr.contains("set one of IONROLLER_FORGE_TOKEN"), "{}", none.stderr);
    let with = [&args[..], &["--token-file", &token]].concat();
    run_in(&place, &[], &with).ended(0);
    assert!(server.state().comments[0].2.contains("<!-- ionroller plan other -->"));
    let no_number =
        run_in(&place, &[], &["comment", "../plan.md", "--forge", "gitea", "--token-file", &token]).ended(1);
    assert!(no_number.stderr.contains("--pull-request NUMBER"), "{}", no_number.stderr);
    let github = ForgeServer::start(Speaks::GitHub);
    let flags = ["--forge", "github", "--forge-url", &github.api, "--project", "o/config"];
    run_in(&place, &[], &[&with[..4], &flags, &["--token-file", &token]].concat()).ended(0);
    assert_eq!(github.state().comments.len(), 1);
}

#[test]
fn what_passes_is_waited_for_and_nothing_is_written_twice() {
    for speaks in ALL {
        let (place, server) = (Place::new(), ForgeServer::start(speaks));
        write(&place, "the plan");
        server.fails("GET", 502, &[("retry-after", "0")], Value::Null);
        server.fails("GET", 429, &[("retry-after", "0")], json!({ "message": "slow down" }));
        // The comment is written, and the answer is lost.
        let lost = Trouble {
            on: "POST",
            status: 504,
            headers: vec![("retry-after", "0".to_owned())],
            body: Value::Null,
            acts: true,
        };
        server.state().troubles.push_back(lost);
        let ran = run_in(&place, &ci(&server), &["comment", "../plan.md"]).ended(0);
        assert!(ran.stdout.contains(" 7 unchanged"), "{}", ran.stdout);
        assert!(ran.stderr.contains("too many requests (HTTP 429: slow down); again in 0 s"), "{}", ran.stderr);
        assert_eq!(server.state().comments.len(), 1, "{speaks:?}");
    }
}

#[test]
fn a_limit_that_takes_too_long_is_said() {
    let (place, server) = (Place::new(), ForgeServer::start(Speaks::GitHub));
    write(&place, "the plan");
    let limited = json!({ "message": "You have exceeded a secondary rate limit. Please wait a few minutes." });
    server.fails("GET", 403, &[("x-ratelimit-remaining", "10")], limited);
    let ran = run_in(&place, &ci(&server), &["comment", "../plan.md", "--timeout", "1s"]).ended(1);
    assert!(ran.stderr.contains("it wants to be left alone for 60 s"), "{}", ran.stderr);
    let date = "Tue, 24 Nov 2026 12:00:00 GMT";
    let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795522000"), ("date", date)];
    server.fails("GET", 403, &headers, json!({ "message": "API rate limit exceeded" }));
    let ran = run_in(&place, &ci(&server), &["comment", "../plan.md", "--timeout", "1s"]).ended(1);
    assert!(ran.stderr.contains("it wants to be left alone for 400 s"), "{}", ran.stderr);
}

#[test]
fn a_failure_names_the_right_that_is_needed() {
    let read_only = "Resource not accessible by integration";
    let cases = [
        (Speaks::GitHub, "POST", 403, json!({ "message": read_only }), "`pull-requests: write` in the workflow's"),
        (
            Speaks::GitLab,
            "POST",
            403,
            json!({ "error": "insufficient_scope" }),
            "the scope `api` and the role Reporter",
        ),
        (Speaks::Gitea, "POST", 403, json!({ "message": "token does not have" }), "the scope `write:issue`"),
        (Speaks::GitHub, "GET", 404, json!({ "message": "Not Found" }), "check the repository, the number"),
        (Speaks::GitHub, "POST", 413, Value::Null, "the text is too long for it"),
        (
            Speaks::GitHub,
            "POST",
            422,
            json!({ "message": "Validation Failed" }),
            "it refused (HTTP 422: Validation Failed)",
        ),
        (Speaks::GitHub, "GET", 301, json!({ "message": "Moved Permanently" }), "name it as it is called now"),
        (Speaks::GitLab, "GET", 200, json!({ "not": "a list" }), "its answer makes no sense"),
    ];
    for (speaks, on, status, body, expected) in cases {
        let (place, server) = (Place::new(), ForgeServer::start(speaks));
        write(&place, "the plan");
        server.fails(on, status, &[], body);
        let ran = run_in(&place, &ci(&server), &["comment", "../plan.md"]).ended(1);
        assert!(ran.stderr.contains(expected), "{status}: {}", ran.stderr);
    }
    let (place, server) = (Place::new(), ForgeServer::start(Speaks::GitHub));
    write(&place, "the plan");
    let mut variables = ci(&server);
    // The server repeats the token, and we don't.
    variables.push(("IONROLLER_FORGE_TOKEN", "wr0ng-t0ken".to_owned()));
    server.fails("GET", 401, &[], json!({ "message": "Bad credentials: wr0ng-t0ken" }));
    let ran = run_in(&place, &variables, &["comment", "../plan.md"]).ended(1);
    assert!(ran.stderr.contains("it does not know the token") && !ran.stderr.contains("wr0ng"), "{}", ran.stderr);
}

#[test]
fn what_can_not_be_posted_is_not_sent() {
    let (place, server) = (Place::new(), ForgeServer::start(Speaks::GitHub));
    write(&place, &"x".repeat(65_536));
    let long = run_in(&place, &ci(&server), &["comment", "../plan.md"]).ended(1);
    assert!(long.stderr.contains("GitHub takes 65536"), "{}", long.stderr);
    write(&place, " \n");
    let empty = run_in(&place, &ci(&server), &["comment", "../plan.md"]).ended(1);
    assert!(empty.stderr.contains("is empty"), "{}", empty.stderr);
    let mut open = ci(&server);
    open[2].1 = "http://git.example.com/api/v3".to_owned();
    let plain = run_in(&place, &open, &["comment", "../plan.md"]).ended(1);
    assert!(plain.stderr.contains("in the open") || plain.stderr.contains("no token"), "{}", plain.stderr);
    assert!(server.state().asked.is_empty());
}

/// The environment for a clone that is pushed to a folder and whose forge is elsewhere.
fn clone_of(place: &Place, server: &ForgeServer, kind: &str) -> Vec<(&'static str, String)> {
    place.git(&["init", "--quiet", "--bare", "--initial-branch", "main", "../origin.git"]);
    place.git(&["remote", "add", "origin", "../origin.git"]);
    place.git(&["push", "--quiet", "origin", "main"]);
    let project = if server.speaks == Speaks::GitLab { "group/sub/config" } else { "o/config" };
    vec![
        ("IONROLLER_FORGE", kind.to_owned()),
        ("IONROLLER_FORGE_URL", server.api.clone()),
        ("IONROLLER_FORGE_PROJECT", project.to_owned()),
        ("IONROLLER_FORGE_TOKEN", TOKEN.to_owned()),
    ]
}

#[test]
fn a_release_and_a_rollback_open_a_pull_request_once() {
    for (speaks, kind) in [(Speaks::GitHub, "github"), (Speaks::GitLab, "gitlab"), (Speaks::Gitea, "gitea")] {
        let (place, server) = (Place::new(), ForgeServer::start(speaks));
        let token = clone_of(&place, &server, kind);
        let none = run_in(&place, &token[..3], &["release", "search", "1.5.0", "--branch", "new", "--open"]).ended(1);
        assert!(none.stderr.contains("there is no token"), "{}", none.stderr);
        place.run(&["release", "search", "1.5.0", "--open"]).ended(64);
        run_in(&place, &token, &["release", "search", "1.5.0", "--branch", "main", "--open"]).ended(64);
        place.git(&["diff", "--quiet", "origin/main"]);
        let open = ["release", "search", "1.5.0", "--branch", "search/1.5.0", "--open", "-o", "json"];
        let ran = run_in(&place, &token, &open).ended(0).json();
        let url = ran["pull_request"].as_str().unwrap().to_owned();
        assert_eq!(ran["pushed_to"], "origin");
        let pull = server.state().pulls[0].clone();
        let (body, into) = match speaks {
            Speaks::GitLab => (&pull["description"], &pull["target_branch"]),
            Speaks::GitHub | Speaks::Gitea => (&pull["body"], &pull["base"]["ref"]),
        };
        assert_eq!((&pull["title"], into), (&json!("search: release 1.5.0"), &json!("main")));
        assert_eq!(body, "It follows 1.4.0.\n\nIonroller-Release: search 1.5.0");
        // The branch goes on, and its pull request with it.
        let again =
            run_in(&place, &token, &["release", "search", "1.5.1", "--branch", "search/1.5.0", "--open"]).ended(0);
        assert!(again.stdout.contains(&format!("there is a pull request already: {url}")), "{}", again.stdout);
        // A rollback that the forge refuses at last: commit and push stand.
        server.fails("POST", 403, &[], json!({ "message": "not permitted" }));
        let back = ["rollback", "search", "--to", "1.4.0", "--branch", "search/1.5.0", "--open"];
        assert_eq!(std::mem::take(&mut server.state().pulls).len(), 1);
        let refused = run_in(&place, &token, &back).ended(1);
        assert!(
            refused.stderr.contains("is pushed on search/1.5.0") && refused.stderr.contains("the token needs"),
            "{}",
            refused.stderr
        );
        let tip = place
            .command("git")
            .args(["-C", "../origin.git", "log", "-1", "--format=%s", "search/1.5.0"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&tip.stdout), "search: roll back to 1.4.0\n");
    }
}

/// Ends the encryption before a server that has none: `PORT CERTIFICATE KEY`.
const TLS: &str = r#"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
def serve(plain):
    try:
        client = context.wrap_socket(plain, server_side=True)
    except OSError:
        return
    server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    threading.Thread(target=pump, args=(server, client), daemon=True).start()
    pump(client, server)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

struct Ending(std::process::Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn over_https_with_a_certificate_of_ones_own() {
    let (place, server) = (Place::new(), ForgeServer::start(Speaks::Gitea));
    let path = |name: &str| place.dir.path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let made = place
        .command("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", &key, "-out", &certificate])
        .output();
    assert!(made.unwrap().status.success());
    let plain = server.web.rsplit(':').next().unwrap();
    let mut python = place.command("python3");
    let child = python.args(["-c", TLS, plain, &certificate, &key]).stdout(std::process::Stdio::piped()).spawn();
    let mut child = Ending(child.unwrap());
    let mut port = String::new();
    let mut said = std::io::BufReader::new(child.0.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut port).unwrap();
    write(&place, "the plan");
    let mut variables = ci(&server);
    variables[2].1 = format!("https://localhost:{}/api/v1", port.trim());
    let untrusted = run_in(&place, &variables, &["comment", "../plan.md"]).ended(1);
    assert!(untrusted.stderr.contains("SSL_CERT_FILE names"), "{}", untrusted.stderr);
    assert!(server.state().asked.is_empty(), "no token before the certificate is trusted");
    variables.push(("SSL_CERT_FILE", certificate));
    run_in(&place, &variables, &["comment", "../plan.md"]).ended(0);
    assert_eq!(server.state().comments.len(), 1);
    // The name in it counts, too.
    variables[2].1 = format!("https://127.0.0.1:{}/api/v1", port.trim());
    run_in(&place, &variables, &["comment", "../plan.md"]).ended(1);
}
