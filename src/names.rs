//! Validated names. A value of one of these types has passed its rules, so that no
//! other module checks them again.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The launch hook in which a new machine waits until its boot script says that it is ready. The
/// group is made with it, and the boot script names it.
pub const READY_HOOK: &str = "ionroller-ready";

/// Why a text is no valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {rule}")]
pub struct NameError {
    kind: &'static str,
    text: String,
    rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Checks the rules and takes the text.
            ///
            /// # Errors
            /// The text breaks the rules; the message says which.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    // A hostile text must neither flood the message nor break its line.
                    let text = text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
                    Err(NameError { kind: $kind, text, rule: $rule })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn all(text: &str, allowed: fn(char) -> bool) -> bool {
    text.chars().all(allowed)
}

fn lower_digit_hyphen(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && all(text, |c| matches!(c, '0'..='9' | 'a'..='f'))
}

name!(
    /// The owner of a set of services. Two scopes never touch each other's resources.
    Scope,
    "scope",
    "1 to 16 characters out of a-z, 0-9 and hyphen",
    |t| (1..=16).contains(&t.len()) && all(t, lower_digit_hyphen)
);
name!(
    /// A service: the stem of its file's name.
    ServiceName,
    "service name",
    "a lower-case letter, then up to 62 characters out of a-z, 0-9 and hyphen",
    |t| (1..=63).contains(&t.len())
        && t.starts_with(|c: char| c.is_ascii_lowercase())
        && all(t, lower_digit_hyphen)
);
name!(
    /// The version of a release, as people write it. It becomes a tag and, with an
    /// image, the image's tag, so it keeps to the characters that both allow.
    Version,
    "version",
    "1 to 128 characters out of letters, digits, `.`, `_`, `-` and `+`, beginning with a letter or digit",
    |t| (1..=128).contains(&t.len())
        && t.starts_with(|c: char| c.is_ascii_alphanumeric())
        && all(t, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'))
);
name!(
    /// The identity of a release: SHA-256 over everything that shapes its machines,
    /// 64 lower-case hex digits.
    Digest,
    "release digest",
    "64 lower-case hex digits",
    |t| lower_hex(t, 64)
);
name!(
    /// A commit of the config repository, 40 lower-case hex digits.
    CommitId,
    "commit",
    "40 lower-case hex digits",
    |t| lower_hex(t, 40)
);
name!(
    /// An AWS region such as `eu-west-1`.
    Region,
    "region",
    "a name such as eu-west-1",
    is_region
);
name!(
    /// An AWS account, 12 digits.
    AccountId,
    "account",
    "12 digits, as a string",
    |t| t.len() == 12 && all(t, |c| c.is_ascii_digit())
);
name!(
    /// The name that the launch template, the Auto Scaling group and the target
    /// group of a release share. It is the idempotency key of their creation.
    GroupName,
    "server group name",
    "1 to 32 characters out of letters, digits and hyphen",
    |t| (1..=32).contains(&t.len())
        && all(t, |c| c.is_ascii_alphanumeric() || c == '-')
        && !t.starts_with('-')
        && !t.ends_with('-')
);
name!(
    /// The ARN of a target group.
    TargetGroupArn,
    "target group ARN",
    "arn:…:targetgroup/…",
    |t| is_arn(t, "targetgroup/")
);
name!(
    /// The ARN of a listener.
    ListenerArn,
    "listener ARN",
    "arn:…:listener/app/NAME/ID/ID or arn:…:listener/net/NAME/ID/ID",
    |t| is_arn(t, "listener/app/") || is_arn(t, "listener/net/")
);
name!(
    /// The ARN of a listener rule.
    RuleArn,
    "rule ARN",
    "arn:…:listener-rule/…",
    |t| is_arn(t, "listener-rule/")
);

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:` and then `part`, which no other field repeats.
/// Source: the general reference's format of ARNs; no resource of load balancing has a colon.
fn is_arn(text: &str, part: &str) -> bool {
    let fields: Vec<&str> = text.split(':').collect();
    text.len() <= 512
        && fields.len() == 6
        && fields[0] == "arn"
        && fields[5].starts_with(part)
        && text.chars().all(|c| c.is_ascii_graphic())
}

/// Words and a number, with hyphens between them.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let word = |word: &str| !word.is_empty() && all(word, |c| c.is_ascii_lowercase());
    text.len() <= 32
        && words.contains('-')
        && words.split('-').all(word)
        && !number.is_empty()
        && all(number, |c| c.is_ascii_digit())
}

/// The last part of a default action's ARN; ids of AWS are hex.
const DEFAULT_RULE: &str = "default";

impl ListenerArn {
    /// `app/NAME/ID` or `net/NAME/ID` of the load balancer that the listener is on.
    pub fn load_balancer(&self) -> &str {
        let path = self.0.rsplit_once(":listener/").map_or("", |(_, path)| path);
        path.rsplit_once('/').map_or(path, |(balancer, _)| balancer)
    }

    /// The ARN of the load balancer that the listener is on.
    pub fn load_balancer_arn(&self) -> String {
        let prefix = self.0.split_once(":listener/").map_or("", |(prefix, _)| prefix);
        format!("{prefix}:loadbalancer/{}", self.load_balancer())
    }

    /// Whether the listener belongs to a Network Load Balancer.
    pub fn is_network(&self) -> bool {
        self.load_balancer().starts_with("net/")
    }

    /// The ARN under which we speak of the listener's default action. AWS has no rule
    /// ARN for that everywhere, so this one is made up, the same for both kinds of load
    /// balancer; a writer that is given it changes the listener itself.
    pub fn default_rule(&self) -> RuleArn {
        RuleArn(format!("{}/{DEFAULT_RULE}", self.0.replacen(":listener/", ":listener-rule/", 1)))
    }

    /// The region of the ARN, empty when it has none.
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or("")
    }
}

impl TargetGroupArn {
    /// The name of the target group: `arn:…:targetgroup/NAME/ID`.
    pub fn name(&self) -> &str {
        let path = self.0.split_once(":targetgroup/").map_or("", |(_, path)| path);
        path.split_once('/').map_or(path, |(name, _)| name)
    }
}

impl RuleArn {
    /// The listener whose default action this stands for, see
    /// [`ListenerArn::default_rule`]; none for a rule proper.
    pub fn default_of(&self) -> Option<ListenerArn> {
        let path = self.0.strip_suffix(DEFAULT_RULE)?.strip_suffix('/')?;
        ListenerArn::parse(&path.replacen(":listener-rule/", ":listener/", 1)).ok()
    }
}

impl Digest {
    /// SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)))
    }

    /// The first ten digits, enough for people to tell releases apart.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl CommitId {
    /// The first seven digits, as git prints them.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl GroupName {
    /// The name of a release's resources: the service cut to 20 characters without a
    /// trailing hyphen, a hyphen, and ten characters of base32 over SHA-256 of scope,
    /// service and digest, separated by NUL. It fits a target group's 32 characters.
    pub fn of(scope: &Scope, service: &ServiceName, digest: &Digest) -> Self {
        let mut hash = Sha256::new();
        hash.update(scope.as_str());
        hash.update([0]);
        hash.update(service.as_str());
        hash.update([0]);
        hash.update(digest.as_str());
        let code = BASE32_NOPAD.encode(&hash.finalize()).to_ascii_lowercase();
        let stem: String = service.as_str().chars().take(20).collect();
        Self(format!("{}-{}", stem.trim_end_matches('-'), &code[..10]))
    }

    /// The host name that no client sends: a rule with it gives a first release
    /// health checks and no traffic.
    pub fn invalid_host(&self) -> String {
        format!("{self}.ionroller.invalid")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_release_is_fixed_for_ever() {
        let digest = Digest::of(b"x");
        let scope = Scope::parse("prod").unwrap();
        let name = |service: &str| GroupName::of(&scope, &ServiceName::parse(service).unwrap(), &digest).to_string();
        assert_eq!(name("checkout"), "checkout-jbwrnk7htz");
        assert_eq!(name("a-service-with-a-ver-long-name").split_at(20).0, "a-service-with-a-ver");
        assert_eq!(name("a-service-with-a-ve-rlong-name").split_at(20).0, "a-service-with-a-ve-");
    }

    #[test]
    fn names_say_which_rule_they_break() {
        let error = ServiceName::parse("Checkout").unwrap_err().to_string();
        assert_eq!(
            error,
            "`Checkout` is not a valid service name: a lower-case letter, then up to 62 \
             characters out of a-z, 0-9 and hyphen"
        );
        assert!(Scope::parse("").is_err());
        let hostile = Scope::parse(&format!("a\u{1b}[31m\n{}", "x".repeat(1000))).unwrap_err().to_string();
        assert!(hostile.starts_with("`a\u{fffd}[31m\u{fffd}xx") && hostile.len() < 200, "{hostile}");
        for region in ["eu-west-1", "us-gov-west-1", "eusc-de-east-1"] {
            assert!(Region::parse(region).is_ok(), "{region}");
        }
        for region in ["eu-west1", "eu-west-1a", "eu-west-", "eu-1", "Ireland", "eu--west-1", "eu-west-1-"] {
            assert!(Region::parse(region).is_err(), "{region}");
        }
        assert!(Version::parse("-rf").is_err());
        assert!(Digest::parse(&"A".repeat(64)).is_err());
    }

    #[test]
    fn a_listener_names_its_load_balancer() {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";
        let listener = ListenerArn::parse(arn).unwrap();
        assert_eq!(listener.load_balancer(), "app/web/50dc");
        assert_eq!(listener.region(), "eu-west-1");
        assert!(!listener.is_network());
        // What stands in another field is no listener.
        let odd = arn.replace("eu-west-1", "listener/net/eu");
        assert!(!ListenerArn::parse(&odd).unwrap().is_network());
        for odd in [arn.replace("123456789012:", "123456789012:listener/net/x:"), arn.replace(":listener/", ":x/")] {
            assert!(ListenerArn::parse(&odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_default_action_has_an_arn_that_leads_back() {
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/net/web/50dc/f2f7";
        let listener = ListenerArn::parse(arn).unwrap();
        let rule = listener.default_rule();
        assert!(RuleArn::parse(rule.as_str()).is_ok());
        assert_eq!(rule.default_of(), Some(listener));
        let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/50dc/f2f7/9683";
        assert_eq!(RuleArn::parse(rule).unwrap().default_of(), None);
    }
}
