//! What is read of single words and lines: names, versions, times, durations, addresses and
//! known hosts.

use std::path::Path;

use ionroller::git::{KnownHosts, Server, Source};
use ionroller::names::{
    AccountId, CommitId, Digest, GroupName, ListenerArn, NameError, Region, RuleArn, Scope, ServiceName,
    TargetGroupArn, Version,
};
use ionroller::observed::marks::portable;
use ionroller::time::{Span, Timestamp};

use super::says::{self, SECRET};

/// Reads the bytes as each of them.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    names(&text);
    times(&text);
    let kept = portable(&text);
    assert!(kept.len() <= 256 && kept.is_ascii() && portable(&kept) == kept, "{kept:?}");
    hosts(&text);
    addresses(&text);
}

fn names(text: &str) {
    let check = |read: Result<String, NameError>| match read {
        Ok(name) => assert_eq!(name, text, "a name is the text"),
        Err(error) => says::one_line(&error.to_string()),
    };
    check(Scope::parse(text).map(|name| name.to_string()));
    check(ServiceName::parse(text).map(|name| name.to_string()));
    check(Version::parse(text).map(|name| name.to_string()));
    check(Digest::parse(text).map(|name| name.to_string()));
    check(CommitId::parse(text).map(|name| name.to_string()));
    check(Region::parse(text).map(|name| name.to_string()));
    check(AccountId::parse(text).map(|name| name.to_string()));
    check(GroupName::parse(text).map(|name| name.to_string()));
    check(TargetGroupArn::parse(text).map(|name| name.to_string()));
    check(ListenerArn::parse(text).map(|name| name.to_string()));
    check(RuleArn::parse(text).map(|name| name.to_string()));
    if let Ok(arn) = ListenerArn::parse(text) {
        assert!(text.ends_with(arn.load_balancer()) || text.contains(&format!("{}/", arn.load_balancer())), "{text}");
        assert!(!arn.region().contains(':'));
        if let Some(back) = arn.default_rule().default_of() {
            assert_eq!(back.is_network(), arn.is_network(), "{text}");
        }
    }
    if let (Ok(service), Ok(scope)) = (ServiceName::parse(text), Scope::parse("prod")) {
        let name = GroupName::of(&scope, &service, &Digest::of(text.as_bytes()));
        assert!(GroupName::parse(name.as_str()).is_ok(), "{name}");
    }
}

fn times(text: &str) {
    if let Some(span) = Span::parse(text) {
        assert!(span.as_millis() <= 100 * 366 * 24 * 3_600_000);
        says::one_line(&span.to_string());
        assert!(span.as_secs_ceil() * 1_000 >= span.as_millis());
    }
    if let Some(time) = Timestamp::parse(text) {
        let ceiled = time.ceil_secs();
        assert!(ceiled >= time);
        says::one_line(&ceiled.to_string());
        let _ = (time + Span::from_millis(u64::MAX), time - Span::from_millis(u64::MAX), ceiled.since(time));
    }
}

/// Only a line that names the server and holds the key vouches for it.
fn hosts(text: &str) {
    const KEY: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x04abcd";
    let server = Server { host: "git.example.com".to_owned(), port: 22 };
    let mut known = KnownHosts::default();
    known.add(Path::new("known_hosts"), text);
    let verdict = known.check(&server, KEY, 0);
    assert_eq!(verdict, known.check(&server, KEY, 0));
    if verdict == ionroller::git::Verdict::Known {
        // The key in base64, without what its last characters share with others.
        assert!(text.contains("AAAAC3NzaC1lZDI1NTE5AAAABGFiY2"), "nobody has vouched for it: {text:?}");
    }
    says::no_control(&format!("{verdict:?}"), &[]);
}

/// A password is not shown, wherever the rest of the address comes from.
fn addresses(text: &str) {
    if text.contains(SECRET) {
        return;
    }
    for address in
        [text.to_owned(), format!("https://ann:{SECRET}@{text}"), format!("ssh://{SECRET}:{SECRET}@host/{text}")]
    {
        match Source::parse(&address) {
            Ok(source) => {
                says::no_secret(&source.to_string());
                says::no_secret(&format!("{source:?}"));
            }
            Err(error) => {
                says::one_line(&error.to_string());
                says::no_secret(&error.to_string());
                says::no_secret(&format!("{error:?}"));
            }
        }
    }
}
