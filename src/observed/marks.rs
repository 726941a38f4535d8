//! Our memory in AWS: the tags that begin with `ionroller:`.

use std::fmt;

use crate::names::{CommitId, Digest, ListenerArn, Scope, ServiceName, Version};
use crate::time::Timestamp;

use super::resources::Tags;

/// The prefix of all our tags.
pub const PREFIX: &str = "ionroller:";
/// Owner: the scope.
pub const SCOPE: &str = "ionroller:scope";
/// Owner: the service.
pub const SERVICE: &str = "ionroller:service";
/// The release's version.
pub const VERSION: &str = "ionroller:version";
/// The release's digest.
pub const DIGEST: &str = "ionroller:digest";
/// The commit that made the resource.
pub const COMMIT: &str = "ionroller:commit";

/// The mutable marks. Each is a tag `ionroller:WORD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// `PERCENT@TIME` on the group.
    Step,
    /// TIME on the template.
    Stable,
    /// TIME on the group.
    Retired,
    /// `TIME CODE TEXT` on the template.
    Rejected,
    /// `N@TIME` on the template.
    Retry,
    /// `TIME WHO TEXT` on the template.
    Hold,
    /// A commit, on the group; after a removal or a rewind also on the template.
    Fence,
    /// A hash, on the group.
    Settings,
    /// A listener's ARN, on the group.
    Listener,
    /// TIME, on whatever an operator's command changed marks of: a reading that shows it is from
    /// after that command.
    Operator,
}

impl Mark {
    /// The tag's key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Step => "ionroller:step",
            Self::Stable => "ionroller:stable",
            Self::Retired => "ionroller:retired",
            Self::Rejected => "ionroller:rejected",
            Self::Retry => "ionroller:retry",
            Self::Hold => "ionroller:hold",
            Self::Fence => "ionroller:fence",
            Self::Settings => "ionroller:settings",
            Self::Listener => "ionroller:listener",
            Self::Operator => "ionroller:operator",
        }
    }

    /// The word after the prefix.
    pub fn word(self) -> &'static str {
        &self.key()[PREFIX.len()..]
    }
}

/// All marks of one resource, read with tolerance: another tool may have written
/// anything. What can't be read counts as the more careful meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// The step that was reached, and when. Unreadable: none, so weights go back.
    pub step: Option<Step>,
    /// Settled then. Unreadable: not stable.
    pub stable: Option<Timestamp>,
    /// Traffic left then. Unreadable: none, so nothing is retired by it.
    pub retired: Option<Timestamp>,
    /// It was a rollback that took the traffic, so the release comes back with steps only.
    pub left: bool,
    /// Not to be tried again. Unreadable: rejected, for an unreadable reason.
    pub rejected: Option<Rejected>,
    /// Tried in vain. Unreadable: none.
    pub retry: Option<Retry>,
    /// Held. Unreadable: held, for an unreadable reason.
    pub hold: Option<Hold>,
    /// The newest commit acted on, as text: what is no commit is no ancestor either.
    pub fence: Option<String>,
    /// The hash of the settings last applied.
    pub settings: Option<String>,
    /// Where the rule is. Unreadable: none.
    pub listener: Option<ListenerArn>,
}

/// `ionroller:step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The weight that was read back.
    pub percent: u32,
    /// When; the bake and, at 0, the deadline count from it.
    pub at: Timestamp,
}

/// `ionroller:rejected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// When.
    pub at: Timestamp,
    /// One word for the kind of failure.
    pub code: String,
    /// For people.
    pub text: String,
}

/// `ionroller:retry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How many tries failed, of any kind.
    pub tries: u32,
    /// When the last one did.
    pub at: Timestamp,
    /// How the last one did.
    pub kind: RetryKind,
    /// After how many of them traffic had to be taken back.
    pub returns: u32,
    /// For people: what AWS said.
    pub text: String,
}

/// How a try failed through no fault of the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryKind {
    /// Its machines could not be launched.
    Launch,
    /// It was not ready in time.
    Late,
    /// It had traffic and could not bear it.
    Returned,
}

impl RetryKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Late => "late",
            Self::Returned => "returned",
        }
    }
}

impl Retry {
    /// Reads `N@TIME`, then a word, `returned R`, and a colon before the text, all of which may be
    /// missing.
    fn read(value: &str, time: impl Fn(&str) -> Option<Timestamp>) -> Option<Self> {
        let (head, rest) = value.split_once(' ').unwrap_or((value, ""));
        let (tries, at) = head.split_once('@')?;
        let (tries, at) = (tries.parse().ok()?, time(at)?);
        let (words, text) = rest.split_once(':').unwrap_or((rest, ""));
        let words: Vec<&str> = words.split_whitespace().collect();
        let kind = match words.first() {
            Some(&"returned") => RetryKind::Returned,
            Some(&"late") => RetryKind::Late,
            _ => RetryKind::Launch,
        };
        let count = words.iter().position(|word| *word == "returned").and_then(|at| words.get(at + 1));
        let returns = count.and_then(|count| count.parse().ok()).unwrap_or(0);
        Some(Self { tries, at, kind, returns, text: text.trim().to_owned() })
    }
}

/// `ionroller:hold`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Since when.
    pub at: Timestamp,
    /// Who, one word.
    pub who: String,
    /// Why.
    pub text: String,
}

impl Marks {
    /// Reads the marks among some tags. A time after `now` counts as `now`.
    pub fn read(tags: &Tags, now: Timestamp) -> Self {
        let text = |mark: Mark| tags.get(mark.key()).map(|value| plain(value));
        let time = |text: &str| Timestamp::parse(text).map(|at| at.min(now));
        let retired = text(Mark::Retired);
        let counted = |text: &str| {
            let (count, at) = text.split_once('@')?;
            Some((count.parse().ok()?, time(at)?))
        };
        let worded = |text: &str| {
            let mut words = text.splitn(3, ' ');
            let at = words.next().and_then(time);
            match (at, words.next()) {
                (Some(at), Some(word)) => (at, word.to_owned(), words.next().unwrap_or("").to_owned()),
                _ => (now, "unreadable".to_owned(), text.to_owned()),
            }
        };
        let words = |mark: Mark| text(mark).map(|text| worded(&text));
        let count = |mark: Mark| text(mark).and_then(|text| counted(&text));
        let moment = |mark: Mark| text(mark).and_then(|text| time(&text));
        Self {
            step: count(Mark::Step).filter(|(percent, _)| *percent <= 100).map(|(percent, at)| Step { percent, at }),
            stable: moment(Mark::Stable),
            retired: retired.as_ref().and_then(|text| time(text.split(' ').next()?)),
            left: retired.is_some_and(|text| text.ends_with(" left")),
            rejected: words(Mark::Rejected).map(|(at, code, text)| Rejected { at, code, text }),
            retry: text(Mark::Retry).and_then(|text| Retry::read(&text, time)),
            hold: words(Mark::Hold).map(|(at, who, text)| Hold { at, who, text }),
            fence: text(Mark::Fence),
            settings: text(Mark::Settings),
            listener: text(Mark::Listener).and_then(|text| ListenerArn::parse(&text).ok()),
        }
    }
}

/// Who owns a resource, by its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The scope.
    pub scope: Scope,
    /// The service.
    pub service: ServiceName,
    /// The release's version.
    pub version: Version,
    /// The release's digest.
    pub digest: Digest,
    /// The commit that made it, as text.
    pub commit: String,
}

impl Identity {
    /// Reads the identity among some tags; none when a part is missing or malformed.
    pub fn read(tags: &Tags) -> Option<Self> {
        let text = |key: &str| tags.get(key).map_or("", String::as_str);
        Some(Self {
            scope: Scope::parse(text(SCOPE)).ok()?,
            service: ServiceName::parse(text(SERVICE)).ok()?,
            version: Version::parse(text(VERSION)).ok()?,
            digest: Digest::parse(text(DIGEST)).ok()?,
            commit: plain(text(COMMIT)),
        })
    }

    /// The identity as tags.
    pub fn tags(&self) -> Tags {
        let pairs = [
            (SCOPE, self.scope.as_str()),
            (SERVICE, self.service.as_str()),
            (VERSION, self.version.as_str()),
            (DIGEST, self.digest.as_str()),
            (COMMIT, &self.commit),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// The commit, when the tag is one.
    pub fn commit_id(&self) -> Option<CommitId> {
        CommitId::parse(&self.commit).ok()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.percent, self.at.ceil_secs())
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = format!("{}@{}", self.tries, self.at.ceil_secs());
        match (self.kind, self.returns) {
            (RetryKind::Launch, 0) if self.text.is_empty() => {}
            (RetryKind::Returned, returns) => value += &format!(" returned {returns}"),
            (kind, 0) => value += &format!(" {}", kind.word()),
            (kind, returns) => value += &format!(" {} returned {returns}", kind.word()),
        }
        if !self.text.is_empty() {
            value += &format!(": {}", self.text);
        }
        f.write_str(&portable(&value))
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&portable(&format!("{} {} {}", self.at.ceil_secs(), self.code, self.text)))
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&portable(&format!("{} {} {}", self.at.ceil_secs(), self.who, self.text)))
    }
}

/// The longest value of a tag.
/// Source: the tag rules of EC2, Auto Scaling and Elastic Load Balancing.
pub const TAG_CHARS_MAX: usize = 256;

/// Text of AWS, or of whoever answers in its place, as it may be shown: on one line, without
/// what moves a cursor, and no longer than a tag can be.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(TAG_CHARS_MAX).collect()
}

/// Text as every AWS service takes it in a tag: other characters become a hyphen, and it
/// is cut at 256.
/// Source: the common subset of the tag rules of EC2, Auto Scaling and Elastic Load Balancing.
pub fn portable(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " +-=._:/@".contains(c);
    let plainer = |c: char| match c {
        '×' => 'x',
        ';' => '.',
        c if allowed(c) => c,
        _ => '-',
    };
    let text: String = text.chars().map(plainer).take(TAG_CHARS_MAX).collect();
    text.trim_end().to_owned()
}
