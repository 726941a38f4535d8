use crate::git::Source;

fn check(text: &str, expected: &str) {
    let found = match Source::parse(text) {
        Ok(Source::Local(path)) => format!("local {}", path.display()),
        Ok(Source::Remote(url)) => format!("remote {url}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "for {text}");
}

#[test]
fn paths_are_local() {
    for path in [".", "..", "/srv/config.git", "./a:b", "dir/a:b", "name@host"] {
        check(path, &format!("local {path}"));
    }
}

#[test]
fn file_urls_are_mirrored() {
    check("file:///srv/config.git", "remote file:///srv/config.git");
    check("FILE:///srv/a%20b", "remote file:///srv/a%20b");
    check("file://localhost/srv/a@b", "remote file://localhost/srv/a@b");
}

#[test]
fn nonsense_is_refused() {
    check("", "`` is not a repository: it is empty");
    check("a\nb", "`a\nb` is not a repository: it contains control characters");
    check(
        "file://srv/config",
        "`file://srv/config` is not a repository: file:// takes an absolute path, \
         as in file:///srv/config.git",
    );
    check("file:///a%2", "`file:///a%2` is not a repository: a `%` in it starts no hex number");
    check("file:///a%+1", "`file:///a%+1` is not a repository: a `%` in it starts no hex number");
    check("s3://token@bucket/x", "`s3://***@bucket/x` is not a repository: its scheme is none of file, https, ssh");
}

#[test]
fn other_transports_are_recognised_and_shown_without_secrets() {
    let missing = |url: &str, transport: &str| {
        format!(
            "cannot fetch {url}: this build reads local paths and file:// only, not {transport}; \
             clone it and give the path"
        )
    };
    for (text, shown, transport) in [
        ("https://example.com/a.git", "https://example.com/a.git", "https"),
        ("https://ann:s3cret@example.com/a", "https://***@example.com/a", "https"),
        ("https://t0ken@example.com/a", "https://***@example.com/a", "https"),
        ("https://ann:sl/ash@example.com/a", "https://***@example.com/a", "https"),
        ("https://s@example.com/a?private_token=x", "https://***@example.com/a?***", "https"),
        ("HTTP://ann:x@example.com", "HTTP://***@example.com", "http"),
        ("ssh://git@example.com/a", "ssh://git@example.com/a", "ssh"),
        ("ssh://git:pw@example.com/a", "ssh://***@example.com/a", "ssh"),
        ("git@example.com:team/a.git", "git@example.com:team/a.git", "ssh"),
        ("git:pw@example.com:team/a.git", "***@example.com:team/a.git", "ssh"),
        ("git://example.com/a", "git://example.com/a", "the git protocol"),
    ] {
        check(text, &missing(shown, transport));
    }
}
