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
    check("a\nb", "`a\u{fffd}b` is not a repository: it contains control characters");
    check(
        "file://srv/config",
        "`file://srv/config` is not a repository: file:// takes an absolute path, \
         as in file:///srv/config.git",
    );
    check("file:///a%2", "`file:///a%2` is not a repository: a `%` in it starts no hex number");
    check("file:///a%+1", "`file:///a%+1` is not a repository: a `%` in it starts no hex number");
    check(
        "s3://token@bucket/x",
        "`s3://***@bucket/x` is not a repository: its scheme is none of file, https, ssh, http",
    );
    check(
        "git://example.com/a",
        "cannot fetch git://example.com/a: git:// is neither encrypted nor does it say who answers; use https:// or ssh://",
    );
    let wrong =
        |text: &str, shown: &str, reason: &str| check(text, &format!("`{shown}` is not a repository: {reason}"));
    for (text, shown) in [("https://example.com", "https://example.com"), ("git@example.com:", "git@example.com:")] {
        wrong(text, shown, "it names no repository after the host");
    }
    let port = "its port is no number up to 65535; a slash or colon in a password is written %2F or %3A";
    wrong("https://ann:sl/ash@example.com/a", "https://***@example.com/a", port);
    wrong("ssh://git@example.com:99999/a", "ssh://git@example.com:99999/a", port);
    for host in ["-oProxyCommand=x", "", "ho st", "a%20b"] {
        wrong(&format!("ssh://{host}/a"), &format!("ssh://{host}/a"), "its host is no name that can be looked up");
    }
    wrong("https://[::1/a", "https://[::1/a", "a `[` in it is not closed");
    wrong("git@[::1]:a", "git@[::1]:a", "write it as ssh://host:port/path");
}

#[test]
fn remotes_are_taken_apart_and_shown_without_secrets() {
    // As written; as shown; as the transport gets it; user; host and port.
    for (text, shown, plain, user, server) in [
        ("https://example.com/a.git", "https://example.com/a.git", "https://example.com/a.git", "", "example.com 443"),
        (
            "https://ann:s3@Example.com/a",
            "https://***@Example.com/a",
            "https://Example.com/a",
            "ann",
            "example.com 443",
        ),
        (
            "https://t0ken@example.com/a",
            "https://***@example.com/a",
            "https://example.com/a",
            "t0ken",
            "example.com 443",
        ),
        (
            "https://a%40b:x@example.com:8/a",
            "https://***@example.com:8/a",
            "https://example.com:8/a",
            "a@b",
            "example.com 8",
        ),
        ("HTTP://ann:x@example.com/a", "HTTP://***@example.com/a", "http://example.com/a", "ann", "example.com 80"),
        ("https://e.com/a?private_token=x", "https://e.com/a?***", "https://e.com/a?private_token=x", "", "e.com 443"),
        ("ssh://git@example.com/a", "ssh://git@example.com/a", "ssh://git@example.com/a", "git", "example.com 22"),
        ("git+ssh://git@e.com:29/a", "git+ssh://git@e.com:29/a", "ssh://git@e.com:29/a", "git", "e.com 29"),
        ("ssh://git:pw@example.com/a", "ssh://***@example.com/a", "ssh://git@example.com/a", "git", "example.com 22"),
        ("ssh://git@[::1]:22/a", "ssh://git@[::1]:22/a", "ssh://git@[::1]:22/a", "git", "::1 22"),
        (
            "git@example.com:team/a.git",
            "git@example.com:team/a.git",
            "git@example.com:team/a.git",
            "git",
            "example.com 22",
        ),
        ("git:pw@example.com:team/a", "***@example.com:team/a", "git@example.com:team/a", "git", "example.com 22"),
    ] {
        let Ok(Source::Remote(url)) = Source::parse(text) else { panic!("{text}: {:?}", Source::parse(text)) };
        assert_eq!(url.to_string(), shown, "for {text}");
        assert_eq!(url.plain(), plain, "for {text}");
        assert_eq!(url.user().unwrap_or_default(), user, "for {text}");
        assert_eq!(format!("{} {}", url.server().host, url.server().port), server, "for {text}");
        assert_eq!(url.password().is_some(), text.contains(":pw@") || text.contains(":x@") || text.contains(":s3@"));
        assert!(!format!("{url:?}").contains("t0ken"));
    }
}
