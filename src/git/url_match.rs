//! Whether a URL in git's configuration, as in `http.URL.extraHeader`, means a remote.

use super::source::{RemoteUrl, Transport};

/// How exactly a pattern means a URL: the longer one of two counts, first by host, then by
/// path, then by user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    host: usize,
    path: usize,
    user: bool,
}

/// How exactly `pattern` means `url`; none if it does not. As in git: scheme and port are the
/// same, `*` is any one part of a host's name, and the path is one of the folders above.
pub(super) fn matches(pattern: &str, url: &RemoteUrl) -> Option<Match> {
    let (scheme, rest) = pattern.split_once("://")?;
    let is_scheme = match url.transport() {
        Transport::Http => scheme.eq_ignore_ascii_case("http"),
        Transport::Https => scheme.eq_ignore_ascii_case("https"),
        Transport::Ssh | Transport::File => false,
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (user.split(':').next(), place),
        None => (None, authority),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (place, url.transport().default_port()),
    };
    let server = url.server();
    let fits = is_scheme && port == server.port && host_fits(&host.to_ascii_lowercase(), &server.host);
    let path = path.trim_matches('/');
    let is_below =
        path.is_empty() || path_of(url).strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_user = user.is_none() || user == url.user();
    (fits && is_below && is_user).then(|| Match { host: host.len(), path: path.len(), user: user.is_some() })
}

fn path_of(url: &RemoteUrl) -> &str {
    let rest = url.plain().split_once("://").map_or("", |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path.trim_start_matches('/'))
}

fn host_fits(pattern: &str, host: &str) -> bool {
    let (mut pattern, mut host) = (pattern.split('.'), host.split('.'));
    loop {
        match (pattern.next(), host.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(part)) if wanted == part => {}
            _ => return false,
        }
    }
}

/// The headers that git's configuration adds to requests to a URL, the last ones last. An
/// empty one takes back those before it.
pub(super) fn extra_headers(config: &git2::Config, url: &RemoteUrl) -> Vec<String> {
    let mut headers = Vec::new();
    let mut best: Option<Match> = None;
    let Ok(mut entries) = config.entries(Some("^http\\..*extraheader$")) else { return headers };
    while let Some(Ok(entry)) = entries.next() {
        let (Ok(name), Ok(value)) = (entry.name(), entry.value()) else { continue };
        let found = match name.strip_prefix("http.").and_then(|rest| rest.strip_suffix(".extraheader")) {
            // `http.extraHeader` itself.
            None => Some(Match { host: 0, path: 0, user: false }),
            Some(pattern) => matches(pattern, url),
        };
        let Some(found) = found.filter(|found| best.is_none_or(|best| *found >= best)) else { continue };
        best = Some(found);
        if value.is_empty() {
            headers.clear();
        } else if !value.contains(|c: char| c.is_control()) {
            headers.push(value.to_owned());
        }
    }
    headers
}

/// The URL of a remote that is asked for a login, as `git credential` takes it.
pub(super) fn as_credential(url: &RemoteUrl) -> Option<String> {
    let scheme = match url.transport() {
        Transport::Http => "http",
        Transport::Https => "https",
        Transport::Ssh | Transport::File => return None,
    };
    let server = url.server();
    let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
    let port = if server.port == url.transport().default_port() { String::new() } else { format!(":{}", server.port) };
    let path = path_of(url);
    let clean = |text: &str| !text.contains(['\n', '\r', '\0']);
    (clean(&host) && clean(path)).then(|| format!("protocol={scheme}\nhost={host}{port}\npath={path}\n"))
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;

    fn url(text: &str) -> RemoteUrl {
        match Source::parse(text).unwrap() {
            Source::Remote(url) => url,
            Source::Local(_) => panic!("{text} is no URL"),
        }
    }

    #[test]
    fn scopes_are_gits() {
        let remote = url("https://git.example.com/team/config.git");
        for pattern in [
            "https://git.example.com",
            "https://git.example.com/",
            "https://git.example.com:443/team",
            "HTTPS://*.example.com",
            "https://git.example.com/team/config.git",
        ] {
            assert!(matches(pattern, &remote).is_some(), "{pattern}");
        }
        for pattern in [
            "http://git.example.com",
            "https://example.com",
            "https://*",
            "https://git.example.com:8443",
            "https://git.example.com/tea",
            "https://ann@git.example.com",
            "git.example.com",
        ] {
            assert_eq!(matches(pattern, &remote), None, "{pattern}");
        }
        let order = ["https://*.example.com/team", "https://git.example.com", "https://git.example.com/team"];
        assert!(order.map(|pattern| matches(pattern, &remote)).is_sorted());
        assert!(matches("https://*:8444", &url("https://localhost:8444/c")).is_some());
    }

    #[test]
    fn headers_are_added_up_to_the_most_exact_scope() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        let text = "[http]\n\textraHeader = X-One: 1\n[http \"https://other\"]\n\textraHeader = X-Other: 1\n\
                    [http \"https://host/Team\"]\n\textraHeader =\n\textraHeader = X-Two: 2\n\textraHeader = X-Three: 3\n\
                    [http \"https://host\"]\n\textraHeader = X-Late: 1\n";
        std::fs::write(&file, text).unwrap();
        let config = git2::Config::open(&file).unwrap();
        assert_eq!(extra_headers(&config, &url("https://host/Team/c")), ["X-Two: 2", "X-Three: 3"]);
        assert_eq!(extra_headers(&config, &url("https://host/c")), ["X-One: 1", "X-Late: 1"]);
        assert_eq!(extra_headers(&config, &url("https://elsewhere/c")), ["X-One: 1"]);
    }

    #[test]
    fn a_login_is_asked_for_as_git_does() {
        assert_eq!(
            as_credential(&url("https://ann@host:8444/team/c.git")).unwrap(),
            "protocol=https\nhost=host:8444\npath=team/c.git\n"
        );
        assert_eq!(as_credential(&url("ssh://host/c")), None);
    }
}
