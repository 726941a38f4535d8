//! One request and its answer. Whatever a forge does, it takes a bounded time and a bounded
//! number of bytes, and the token goes nowhere else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use ureq::config::Config;
use ureq::http::{HeaderMap, Request, Response};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use super::error::{Doing, ErrorKind, ForgeError};
use super::place::{Kind, Place, Token};

/// For a whole request.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Until somebody answers at all.
const TIMEOUT_CONNECT: Duration = Duration::from_secs(8);

/// A page of a hundred comments of the greatest length is below this.
const BODY_MAX: u64 = 16 * 1024 * 1024;

/// How much of a forge's own words is passed on.
const SAID_MAX: usize = 300;

/// Entries of a page, the most that all of them give.
pub(super) const PER_PAGE: usize = 100;

/// Pages that are read: ten thousand comments.
const PAGES_MAX: u32 = 100;

/// How long GitHub wants to be left alone after too many requests at once where it does
/// not say so.
/// Source: its documentation, "wait for at least one minute before retrying".
const SECONDARY_LIMIT: Duration = Duration::from_secs(60);

/// The way to one forge.
pub(super) struct Client {
    agent: Agent,
    kind: Kind,
    api: String,
    token: Token,
}

/// An answer that is a success.
pub(super) struct Answer {
    pub body: Value,
    headers: HeaderMap,
}

impl Client {
    pub fn new(place: &Place, token: Token) -> Result<Self, ForgeError> {
        let api = place.api.trim_end_matches('/').to_owned();
        let unusable = |why: &str| ForgeError::new(ErrorKind::Unusable, format!("`{api}` {why}"));
        let uri: ureq::http::Uri = api.parse().map_err(|_| unusable("is no address of an API"))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(host) => {}
            Some("http") => {
                return Err(unusable("is plain http, over which a token would go in the open").hint("use https"));
            }
            _ => return Err(unusable("is no address of an API").hint("it looks like https://git.example.com/api/v4")),
        }
        if token.expose().is_empty() || token.expose().chars().any(|c| !c.is_ascii_graphic()) {
            return Err(ForgeError::new(
                ErrorKind::Unusable,
                format!("the token from {} is empty, or has characters that no token has", token.from()),
            ));
        }
        // The system's certificates; SSL_CERT_FILE and SSL_CERT_DIR take their place.
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
        let config = Config::builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // A token follows nobody.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(TIMEOUT_CONNECT))
            .user_agent(concat!("ionroller/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: Agent::new_with_config(config), kind: place.kind, api, token })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// One request. An answer that is no success is an error.
    pub fn send(&self, doing: Doing, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, ForgeError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.api));
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let broken = |_| ForgeError::new(ErrorKind::Unusable, format!("`{}{path}` is no address", self.api));
        let answer = match body {
            None => self.agent.run(request.body(()).map_err(broken)?),
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).map_err(broken)?)
            }
        };
        let answer = answer.map_err(|error| self.unreachable(doing, &error))?;
        self.read(doing, answer)
    }

    /// All entries of a list, over all its pages. A forge that gives no pages gives all at
    /// once; then a second page is like the first, and ends it.
    pub fn list(&self, doing: Doing, path: &str, size: &str) -> Result<Vec<Value>, ForgeError> {
        let mut entries: Vec<Value> = Vec::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        for page in 1..=PAGES_MAX {
            let answer = self.send(doing, "GET", &format!("{path}{joint}{size}={PER_PAGE}&page={page}"), None)?;
            let Value::Array(found) = answer.body else {
                return Err(self.garbled(doing));
            };
            let is_full = found.len() >= PER_PAGE;
            if found.first().is_none_or(|first| entries.iter().any(|known| known["id"] == first["id"])) {
                break;
            }
            entries.extend(found);
            let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
            let total: Option<usize> = header("x-total-count").and_then(|total| total.parse().ok());
            let more = match (header("link"), total) {
                (Some(link), _) => link.contains("rel=\"next\""),
                (None, Some(total)) => entries.len() < total,
                (None, None) => is_full,
            };
            if !more {
                break;
            }
        }
        Ok(entries)
    }

    pub fn garbled(&self, doing: Doing) -> ForgeError {
        let message = format!("{} did not {}: its answer makes no sense", self.kind.name(), doing.words());
        ForgeError::new(ErrorKind::Refused, message).hint(format!("is {} the address of its API?", self.api))
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let token = self.token.expose();
        match self.kind {
            Kind::GitHub => vec![
                ("accept", "application/vnd.github+json".to_owned()),
                ("x-github-api-version", "2022-11-28".to_owned()),
                ("authorization", format!("Bearer {token}")),
            ],
            Kind::GitLab => vec![("accept", "application/json".to_owned()), ("private-token", token.to_owned())],
            Kind::Gitea => {
                vec![("accept", "application/json".to_owned()), ("authorization", format!("token {token}"))]
            }
        }
    }

    fn read(&self, doing: Doing, answer: Response<Body>) -> Result<Answer, ForgeError> {
        let (parts, mut body) = answer.into_parts();
        let status = parts.status.as_u16();
        let bytes = body.with_config().limit(BODY_MAX).read_to_vec();
        let bytes = bytes.map_err(|error| self.unreachable(doing, &error))?;
        let parsed: Option<Value> = serde_json::from_slice(&bytes).ok();
        if !parts.status.is_success() {
            let said = self.clean(&parsed.as_ref().map(said).unwrap_or_default());
            let wait = wait(&parts.headers, status, &said);
            return Err(ForgeError::of_answer(self.kind, doing, status, &said, wait));
        }
        match parsed {
            Some(body) => Ok(Answer { body, headers: parts.headers }),
            None if bytes.is_empty() => Ok(Answer { body: Value::Null, headers: parts.headers }),
            None => Err(self.garbled(doing)),
        }
    }

    fn unreachable(&self, doing: Doing, error: &ureq::Error) -> ForgeError {
        let kind = match error {
            ureq::Error::BodyExceedsLimit(_) | ureq::Error::BadUri(_) | ureq::Error::Http(_) => ErrorKind::Refused,
            // A certificate does not get better by asking again.
            ureq::Error::NativeTls(_) | ureq::Error::Tls(_) => ErrorKind::Unusable,
            _ => ErrorKind::Unavailable,
        };
        let said = self.clean(&error.to_string());
        let message = format!("{} did not {}: {}: {said}", self.kind.name(), doing.words(), self.api);
        let error = ForgeError::new(kind, message);
        match kind {
            ErrorKind::Unusable => error.hint("SSL_CERT_FILE names the certificates of an authority of your own"),
            _ => error,
        }
    }

    /// Words of others: on one line, not long, without the token.
    fn clean(&self, said: &str) -> String {
        let said = said.replace(self.token.expose(), "***").replace(|c: char| c.is_control(), " ");
        match said.char_indices().nth(SAID_MAX) {
            Some((end, _)) => format!("{}…", &said[..end]),
            None => said,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a forge says about a failure: `message`, which GitLab makes a list or a table, the
/// single `errors` of GitHub, or `error`.
fn said(body: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            items.join("; ")
        }
        other => other.to_string(),
    };
    let message = text(&body["message"]);
    let details: Vec<String> = body["errors"].as_array().into_iter().flatten().map(detail).collect();
    let all = [message, details.join("; "), text(&body["error_description"]), text(&body["error"])];
    let all: Vec<&str> = all.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    all.join(": ")
}

fn detail(error: &Value) -> String {
    let field = |name: &str| error[name].as_str().unwrap_or_default();
    match (error.as_str(), field("message")) {
        (Some(text), _) => text.to_owned(),
        (None, "") => format!("{} {} {}", field("resource"), field("field"), field("code")).trim().to_owned(),
        (None, message) => message.to_owned(),
    }
}

/// How long a forge wants to be left alone.
fn wait(headers: &HeaderMap, status: u16, said: &str) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let now = || text("date").and_then(http_date).unwrap_or_else(system_seconds);
    let until = |at: i64| Duration::from_secs(u64::try_from(at - now()).unwrap_or(0));
    if let Some(after) = text("retry-after") {
        let seconds = after.parse().ok().map(Duration::from_secs);
        return seconds.or_else(|| http_date(after).map(until));
    }
    let limited = status == 429 || status == 403;
    if limited && text("x-ratelimit-remaining") == Some("0") {
        return Some(text("x-ratelimit-reset").and_then(|at| at.parse().ok()).map_or(SECONDARY_LIMIT, until));
    }
    if status == 429
        && let Some(at) = text("ratelimit-reset").and_then(|at| at.parse().ok())
    {
        return Some(until(at));
    }
    let said = said.to_ascii_lowercase();
    (limited && (said.contains("rate limit") || said.contains("abuse detection"))).then_some(SECONDARY_LIMIT)
}

fn http_date(text: &str) -> Option<i64> {
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text);
    zoned.ok().map(jiff::Timestamp::as_second)
}

fn system_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn how_long_to_wait() {
        const DATE: (&str, &str) = ("date", "Tue, 24 Nov 2026 12:00:00 GMT");
        let seconds = |pairs: &[(&'static str, &str)], status, said| {
            wait(&headers(pairs), status, said).map(|wait| wait.as_secs())
        };
        assert_eq!(seconds(&[("retry-after", "7")], 429, ""), Some(7));
        assert_eq!(seconds(&[("retry-after", "30")], 503, ""), Some(30));
        assert_eq!(seconds(&[DATE, ("retry-after", "Tue, 24 Nov 2026 12:01:30 GMT")], 503, ""), Some(90));
        let reset = 1_795_521_600 + 40;
        let reset = reset.to_string();
        let primary = [DATE, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)];
        assert_eq!(seconds(&primary, 403, "API rate limit exceeded"), Some(40));
        let plenty = [DATE, ("x-ratelimit-remaining", "4999"), ("x-ratelimit-reset", &reset)];
        assert_eq!(seconds(&plenty, 403, "Resource not accessible by integration"), None);
        assert_eq!(seconds(&plenty, 403, "You have exceeded a secondary rate limit"), Some(60));
        assert_eq!(seconds(&[DATE, ("ratelimit-reset", &reset)], 429, ""), Some(40));
        assert_eq!(seconds(&[], 500, ""), None);
    }

    #[test]
    fn what_forges_say() {
        for (body, expected) in [
            (json!({"message": "Bad credentials"}), "Bad credentials"),
            (
                json!({"message": "Validation Failed", "errors": [{"resource": "PullRequest", "code": "custom",
                    "message": "A pull request already exists for o:b."}]}),
                "Validation Failed: A pull request already exists for o:b.",
            ),
            (
                json!({"message": "Validation Failed", "errors": [{"resource": "Issue", "field": "body", "code": "invalid"}]}),
                "Validation Failed: Issue body invalid",
            ),
            (json!({"message": ["Another open merge request"]}), "Another open merge request"),
            (json!({"message": {"base": ["no"]}}), r#"{"base":["no"]}"#),
            (
                json!({"error": "insufficient_scope", "error_description": "needs higher privileges", "scope": "api"}),
                "needs higher privileges: insufficient_scope",
            ),
            (json!({}), ""),
        ] {
            assert_eq!(said(&body), expected);
        }
    }
}
