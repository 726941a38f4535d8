//! Passwords and tokens, and text that must not show them.

use std::fmt;

use super::source::is_scp_like;

/// A password or a token. It is never shown, not even for debugging.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself: for the transport alone.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A URL fit for logs: without what stands before the `@`, and without a query,
/// either of which may be a token. Everything up to the last `@` goes, because a
/// password may hold a slash. The lone user of ssh (`git@`) is no secret.
pub(super) fn redact(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    // A path has no secrets, and may hold any character.
    if scheme == "file://" || (scheme.is_empty() && !is_scp_like(text)) {
        return text.to_owned();
    }
    let lone_user = scheme.is_empty() || scheme.contains("ssh");
    let shown = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        Some((user, host)) if lone_user && !user.contains([':', '/']) => format!("{user}@{host}"),
        Some((_, host)) => format!("***@{host}"),
    };
    match shown.split_once('?') {
        Some((before, _)) => format!("{scheme}{before}?***"),
        None => format!("{scheme}{shown}"),
    }
}

/// A message of a library or a remote, with every URL in it redacted: a proxy, a
/// redirect or a rule of git's own configuration may bring in one that holds a login.
pub(super) fn redact_urls(message: &str) -> String {
    let ends_word = |c: char| c.is_whitespace() || ['\'', '"', '`', '<', '>'].contains(&c);
    let mut shown = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(found) = rest.find("://") {
        let start =
            rest[..found].rfind(ends_word).map_or(0, |at| at + rest[at..].chars().next().map_or(1, char::len_utf8));
        let end = rest[found..].find(ends_word).map_or(rest.len(), |length| found + length);
        shown.push_str(&rest[..start]);
        shown.push_str(&redact(&rest[start..end]));
        rest = &rest[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_a_message_lose_their_logins() {
        for (message, shown) in [
            ("cannot redirect from 'a' to 'b'", "cannot redirect from 'a' to 'b'"),
            ("invalid URL: 'http://ann:pw@proxy:1/'", "invalid URL: 'http://***@proxy:1/'"),
            ("see https://a/?token=x or ssh://git@b/c", "see https://a/?*** or ssh://git@b/c"),
            ("é https://u:p@h", "é https://***@h"),
        ] {
            assert_eq!(redact_urls(message), shown);
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Secret::new("s3cret"))), "Some(***)");
    }
}
