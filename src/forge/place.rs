//! Which repository on which forge: from flags, from what CI sets, from the address of a
//! Git remote.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

/// A kind of forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// GitHub, also an Enterprise Server.
    GitHub,
    /// GitLab, anybody's.
    GitLab,
    /// Gitea and Forgejo, which speak alike.
    #[serde(alias = "forgejo")]
    Gitea,
}

impl Kind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
        }
    }

    /// Reads its name as it is written in files and flags.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "github" => Some(Self::GitHub),
            "gitlab" => Some(Self::GitLab),
            "gitea" | "forgejo" => Some(Self::Gitea),
            _ => None,
        }
    }

    /// Its name as it is written in files and flags.
    pub const fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
        }
    }

    /// What a host's name tells; none where it tells nothing.
    fn of_host(host: &str) -> Option<Self> {
        let first = host.split('.').next().unwrap_or_default();
        match host {
            "github.com" => Some(Self::GitHub),
            "gitlab.com" => Some(Self::GitLab),
            "codeberg.org" | "gitea.com" => Some(Self::Gitea),
            _ if host.ends_with(".ghe.com") => Some(Self::GitHub),
            _ if first.contains("gitlab") => Some(Self::GitLab),
            _ if first.contains("gitea") || first.contains("forgejo") => Some(Self::Gitea),
            _ if first.contains("github") => Some(Self::GitHub),
            _ => None,
        }
    }

    /// Where the API of a forge is whose pages are at `web`.
    fn api(self, web: &str) -> String {
        let host = web.split_once("://").map_or(web, |(_, host)| host);
        match self {
            Self::GitHub if host == "github.com" => "https://api.github.com".to_owned(),
            Self::GitHub if host.ends_with(".ghe.com") => format!("https://api.{host}"),
            Self::GitHub => format!("{web}/api/v3"),
            Self::GitLab => format!("{web}/api/v4"),
            Self::Gitea => format!("{web}/api/v1"),
        }
    }
}

/// A token, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    from: String,
}

impl Token {
    /// A token, and where it came from.
    pub fn new(text: &str, from: impl Into<String>) -> Self {
        Self { text: text.trim().to_owned(), from: from.into() }
    }

    /// Where it came from, for messages.
    pub fn from(&self) -> &str {
        &self.from
    }

    pub(super) fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(*** from {})", self.from)
    }
}

/// A repository on a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which forge.
    pub kind: Kind,
    /// The address of its API.
    pub api: String,
    /// `OWNER/NAME`; on GitLab with all groups, or the project's number.
    pub repository: String,
}

/// Why no place could be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The host tells nothing.
    #[error("which forge is at {0} can't be told from its name")]
    UnknownForge(String),
    /// It has no owner or no name.
    #[error("`{0}` is no repository on a forge; it looks like OWNER/NAME")]
    NoRepository(String),
}

impl Place {
    /// The repository whose Git remote is at `web` (`https://HOST[:PORT]`) under `path`. What
    /// is given counts before what the address tells.
    ///
    /// # Errors
    /// The address does not tell which forge it is, or names no repository.
    pub fn of_remote(
        web: &str,
        path: &str,
        kind: Option<Kind>,
        api: Option<&str>,
        repository: Option<&str>,
    ) -> Result<Self, PlaceError> {
        let host = web.split_once("://").map_or(web, |(_, rest)| rest);
        let name = host.rsplit_once(':').map_or(host, |(name, port)| match port.parse::<u16>() {
            Ok(_) => name,
            Err(_) => host,
        });
        let kind = kind.or_else(|| Kind::of_host(name)).ok_or_else(|| PlaceError::UnknownForge(host.to_owned()))?;
        let path = repository.unwrap_or(path).trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let place = Self {
            kind,
            api: api.map_or_else(|| kind.api(web), |api| api.trim_end_matches('/').to_owned()),
            repository: path.to_owned(),
        };
        place.check()
    }

    fn check(self) -> Result<Self, PlaceError> {
        let parts: Vec<&str> = self.repository.split('/').collect();
        let whole = parts.iter().all(|part| !part.is_empty() && *part != "." && *part != "..");
        let fits = match self.kind {
            Kind::GitLab => parts.len() >= 2 || self.repository.parse::<u64>().is_ok(),
            Kind::GitHub | Kind::Gitea => parts.len() == 2,
        };
        if whole && fits { Ok(self) } else { Err(PlaceError::NoRepository(self.repository)) }
    }

    /// With what flags say in place of what was found.
    ///
    /// # Errors
    /// It is no repository any more.
    pub fn with(self, kind: Option<Kind>, api: Option<&str>, repository: Option<&str>) -> Result<Self, PlaceError> {
        let place = Self {
            kind: kind.unwrap_or(self.kind),
            api: api.map_or(self.api, |api| api.trim_end_matches('/').to_owned()),
            repository: repository.map_or(self.repository, str::to_owned),
        };
        place.check()
    }
}

/// What a CI system says about the run that we are part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ci {
    /// The repository of the pull request.
    pub place: Place,
    /// The pull request that the run is for, if it is for one.
    pub number: Option<u64>,
    /// The commit whose status the run decides, where CI names it: of a pull request its
    /// head, and not the merge that was checked out.
    pub head: Option<String>,
    /// The run is for a group of a merge queue: the commit that the group comes after.
    pub queued_on: Option<String>,
}

impl Ci {
    /// Reads what GitHub Actions, Gitea and Forgejo Actions and GitLab CI set; none outside
    /// of them. `read` gives the text of a file.
    ///
    /// # Errors
    /// They name no repository.
    pub fn detect(
        variable: &dyn Fn(&str) -> Option<String>,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, PlaceError> {
        let is = |name: &str| variable(name).is_some_and(|value| value == "true" || value == "1");
        if is("GITLAB_CI") {
            return gitlab(variable).map(Some);
        }
        let gitea = is("GITEA_ACTIONS") || is("FORGEJO_ACTIONS");
        if is("GITHUB_ACTIONS") || gitea {
            return actions(variable, read, gitea).map(Some);
        }
        Ok(None)
    }
}

fn actions(
    variable: &dyn Fn(&str) -> Option<String>,
    read: &dyn Fn(&str) -> Option<String>,
    gitea: bool,
) -> Result<Ci, PlaceError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let api = set("GITHUB_API_URL");
    // An older runner of Gitea says that it is GitHub's; the address of the API does not.
    let gitea = gitea || api.as_ref().is_some_and(|api| api.trim_end_matches('/').ends_with("/api/v1"));
    let kind = if gitea { Kind::Gitea } else { Kind::GitHub };
    let web = set("GITHUB_SERVER_URL").unwrap_or_else(|| "https://github.com".to_owned());
    let repository = set("GITHUB_REPOSITORY").unwrap_or_default();
    let place = Place::of_remote(&web, &repository, Some(kind), api.as_deref(), None)?;
    let event: Value = set("GITHUB_EVENT_PATH")
        .and_then(|path| read(&path))
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let pull = &event["pull_request"];
    // A comment on a pull request is an event of an issue that says what it is.
    let of_issue = event["issue"]["pull_request"].is_object().then(|| event["issue"]["number"].as_u64()).flatten();
    let of_ref =
        set("GITHUB_REF").and_then(|reference| reference.strip_prefix("refs/pull/")?.split('/').next()?.parse().ok());
    let number = pull["number"].as_u64().or(of_issue).or(of_ref);
    let group = &event["merge_group"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let head = text(&pull["head"]["sha"]).or_else(|| text(&group["head_sha"]));
    let head = head.or_else(|| set("GITHUB_SHA").filter(|_| is_queued(&set)));
    let queued_on = text(&group["base_sha"]).filter(|_| is_queued(&set));
    Ok(Ci { place, number, head, queued_on })
}

/// Whether a group of a merge queue is checked: a commit of its own, with several pull
/// requests in it, which the queue moves the branch to once its checks are done.
fn is_queued(set: &dyn Fn(&str) -> Option<String>) -> bool {
    set("GITHUB_EVENT_NAME").is_some_and(|event| event == "merge_group")
}

fn gitlab(variable: &dyn Fn(&str) -> Option<String>) -> Result<Ci, PlaceError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let web = set("CI_SERVER_URL").unwrap_or_else(|| "https://gitlab.com".to_owned());
    // The pipeline of a merge request from a fork runs in the fork: its own project is
    // another one than the merge request's.
    let project = set("CI_MERGE_REQUEST_PROJECT_PATH").or_else(|| set("CI_PROJECT_PATH")).unwrap_or_default();
    let api = set("CI_API_V4_URL");
    let place = Place::of_remote(&web, &project, Some(Kind::GitLab), api.as_deref(), None)?;
    // The pipeline of a branch knows the merge requests that it is open in.
    let of_branch = set("CI_OPEN_MERGE_REQUESTS").and_then(|all| {
        let first = all.split(',').next()?.to_owned();
        first.rsplit_once('!')?.1.parse().ok()
    });
    let number = set("CI_MERGE_REQUEST_IID").and_then(|iid| iid.parse().ok()).or(of_branch);
    Ok(Ci { place, number, head: set("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"), queued_on: None })
}

/// The variables that hold a token for a place, the first that is set first. A token for
/// github.com goes nowhere else.
fn token_variables(place: &Place, own_ci: bool) -> &'static [&'static str] {
    match place.kind {
        Kind::GitHub if own_ci || place.api == "https://api.github.com" => &["GITHUB_TOKEN", "GH_TOKEN"],
        Kind::GitHub => &["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"],
        Kind::GitLab => &["GITLAB_TOKEN"],
        // Their Actions set the names of GitHub's, too.
        Kind::Gitea if own_ci => &["GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_TOKEN"],
        Kind::Gitea => &["GITEA_TOKEN", "FORGEJO_TOKEN"],
    }
}

/// The token for a place from the environment: `IONROLLER_FORGE_TOKEN`, the file that
/// `IONROLLER_FORGE_TOKEN_FILE` names, else what the forge's own tools take. The error
/// is for people.
///
/// # Errors
/// None is set, or its file can't be read.
pub fn token_from_environment(place: &Place, variable: &dyn Fn(&str) -> Option<String>) -> Result<Token, String> {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    if let Some(text) = set("IONROLLER_FORGE_TOKEN") {
        return Ok(Token::new(&text, "IONROLLER_FORGE_TOKEN"));
    }
    if let Some(file) = set("IONROLLER_FORGE_TOKEN_FILE") {
        return token_from_file(&PathBuf::from(file));
    }
    // Its own Actions have set the environment, and no others.
    let own_ci = set("GITHUB_API_URL").is_some_and(|api| api.trim_end_matches('/') == place.api);
    let names = token_variables(place, own_ci);
    let found = names.iter().find_map(|name| Some(Token::new(&set(name)?, *name)));
    found.ok_or_else(|| {
        let all: Vec<&str> =
            ["IONROLLER_FORGE_TOKEN", "IONROLLER_FORGE_TOKEN_FILE"].iter().chain(names).copied().collect();
        format!("there is no token for {}: set one of {}", place.api, all.join(", "))
    })
}

/// The token that a file holds. The error is for people.
///
/// # Errors
/// It can't be read.
pub fn token_from_file(file: &std::path::Path) -> Result<Token, String> {
    let shown = file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Token::new(&text, shown)),
        Err(error) => Err(format!("cannot read the token file {shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(web: &str, path: &str) -> Result<(Kind, String, String), PlaceError> {
        Place::of_remote(web, path, None, None, None).map(|place| (place.kind, place.api, place.repository))
    }

    #[test]
    fn a_remote_tells_the_forge() {
        let place = |kind, api: &str, repository: &str| Ok((kind, api.to_owned(), repository.to_owned()));
        for (web, path, expected) in [
            ("https://github.com", "o/config.git", place(Kind::GitHub, "https://api.github.com", "o/config")),
            ("https://o.ghe.com", "o/c", place(Kind::GitHub, "https://api.o.ghe.com", "o/c")),
            ("https://github.example.com", "/o/c", place(Kind::GitHub, "https://github.example.com/api/v3", "o/c")),
            ("https://gitlab.com", "a/b/c.git", place(Kind::GitLab, "https://gitlab.com/api/v4", "a/b/c")),
            ("https://codeberg.org", "o/c", place(Kind::Gitea, "https://codeberg.org/api/v1", "o/c")),
            (
                "https://gitea.example.com:3000",
                "o/c",
                place(Kind::Gitea, "https://gitea.example.com:3000/api/v1", "o/c"),
            ),
            ("https://git.example.com", "o/c", Err(PlaceError::UnknownForge("git.example.com".to_owned()))),
            ("https://github.com", "c.git", Err(PlaceError::NoRepository("c".to_owned()))),
            ("https://github.com", "a/../c", Err(PlaceError::NoRepository("a/../c".to_owned()))),
        ] {
            assert_eq!(of(web, path), expected, "{web} {path}");
        }
        let told = Place::of_remote(
            "https://git.example.com",
            "x/o/c",
            Some(Kind::Gitea),
            Some("https://g/x/api/v1/"),
            Some("o/c"),
        );
        let told = told.unwrap();
        assert_eq!((told.api.as_str(), told.repository.as_str()), ("https://g/x/api/v1", "o/c"));
    }

    fn detect(variables: &[(&str, &str)], event: &str) -> Ci {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        Ci::detect(&variable, &|path| (path == "/event").then(|| event.to_owned())).unwrap().unwrap()
    }

    #[test]
    fn actions_tell_the_pull_request_and_its_head() {
        let base = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_API_URL", "https://api.github.com"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "o/c"),
            ("GITHUB_EVENT_PATH", "/event"),
            ("GITHUB_SHA", "merge"),
            ("GITHUB_REF", "refs/pull/7/merge"),
        ];
        let ci = detect(&base, r#"{"number": 7, "pull_request": {"number": 7, "head": {"sha": "head"}}}"#);
        assert_eq!((ci.number, ci.head.as_deref(), ci.place.kind), (Some(7), Some("head"), Kind::GitHub));
        let of_ref = detect(&base, "");
        // What was checked out is what is planned: it needs no name.
        assert_eq!((of_ref.number, of_ref.head.as_deref()), (Some(7), None));
        let mut push = base.to_vec();
        push[6] = ("GITHUB_REF", "refs/heads/main");
        assert_eq!(detect(&push, "{}").number, None);
        let comment = detect(&push, r#"{"issue": {"number": 9, "pull_request": {}}}"#);
        assert_eq!(comment.number, Some(9));
        assert_eq!(detect(&push, r#"{"issue": {"number": 9}}"#).number, None, "an issue is no pull request");
    }

    #[test]
    fn a_group_of_a_merge_queue_is_no_pull_request() {
        let base = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", "merge_group"),
            ("GITHUB_REPOSITORY", "o/c"),
            ("GITHUB_EVENT_PATH", "/event"),
            ("GITHUB_SHA", "head"),
            ("GITHUB_REF", "refs/heads/gh-readonly-queue/main/pr-7-base"),
        ];
        let ci = detect(
            &base,
            r#"{"merge_group": {"head_sha": "head", "base_sha": "base", "base_ref": "refs/heads/main"}}"#,
        );
        assert_eq!((ci.number, ci.head.as_deref(), ci.queued_on.as_deref()), (None, Some("head"), Some("base")));
    }

    #[test]
    fn gitea_and_forgejo_set_the_names_of_github_s() {
        let base = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_API_URL", "https://code.example.com/api/v1"),
            ("GITHUB_SERVER_URL", "https://code.example.com"),
            ("GITHUB_REPOSITORY", "o/c"),
            ("GITHUB_REF", "refs/pull/3/head"),
        ];
        let ci = detect(&base, "");
        let place = Place { kind: Kind::Gitea, api: base[1].1.to_owned(), repository: "o/c".to_owned() };
        assert_eq!((ci.place, ci.number), (place, Some(3)));
    }

    #[test]
    fn gitlab_tells_the_merge_request_also_of_a_fork() {
        let base = [
            ("GITLAB_CI", "true"),
            ("CI_SERVER_URL", "https://gitlab.example.com"),
            ("CI_API_V4_URL", "https://gitlab.example.com/api/v4"),
            ("CI_PROJECT_PATH", "ann/config"),
            ("CI_COMMIT_SHA", "merge"),
        ];
        let mut fork = base.to_vec();
        fork.extend([
            ("CI_MERGE_REQUEST_IID", "12"),
            ("CI_MERGE_REQUEST_PROJECT_PATH", "group/config"),
            ("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "head"),
        ]);
        let ci = detect(&fork, "");
        assert_eq!(
            (ci.place.repository.as_str(), ci.number, ci.head.as_deref()),
            ("group/config", Some(12), Some("head"))
        );
        let mut branch = base.to_vec();
        branch.push(("CI_OPEN_MERGE_REQUESTS", "ann/config!5,ann/config!6"));
        let ci = detect(&branch, "");
        assert_eq!((ci.number, ci.head.as_deref()), (Some(5), None));
    }

    #[test]
    fn a_token_for_github_goes_nowhere_else() {
        let place = |kind, api: &str| Place { kind, api: api.to_owned(), repository: "o/c".to_owned() };
        let token = |place: &Place, own_api: &str| {
            let variable = |name: &str| match name {
                "GITHUB_TOKEN" => Some("s3cret".to_owned()),
                "GITHUB_API_URL" => Some(own_api.to_owned()),
                _ => None,
            };
            token_from_environment(place, &variable)
        };
        let github = place(Kind::GitHub, "https://api.github.com");
        let found = token(&github, "").unwrap();
        assert_eq!((found.expose(), found.from()), ("s3cret", "GITHUB_TOKEN"));
        assert!(!format!("{found:?}").contains("s3cret"));
        for other in [Kind::Gitea, Kind::GitHub] {
            let other = place(other, "https://git.example.com/api");
            let none = token(&other, "https://api.github.com").unwrap_err();
            assert!(none.contains("IONROLLER_FORGE_TOKEN"), "{none}");
            assert!(token(&other, "https://git.example.com/api/").is_ok(), "its own Actions set it");
        }
    }
}
