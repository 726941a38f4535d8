//! Rules of a listener: when they apply, and what they do.
//!
//! Of an action only the weights between target groups are ours. All else that a rule has
//! is read as data, so that it can be sent again: AWS replaces the whole list of actions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::{ListenerArn, RuleArn, TargetGroupArn};

/// A rule of a listener, or a listener's default action (with `priority` none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The rule; its ARN stays when conditions and action change.
    pub arn: RuleArn,
    /// Its listener.
    pub listener: ListenerArn,
    /// Its place; none for the listener's default rule.
    pub priority: Option<u32>,
    /// When it applies.
    pub conditions: Conditions,
    /// What it does.
    pub action: RuleAction,
}

/// The conditions of a rule: all must hold. Lists are sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Conditions {
    /// Host names.
    pub hosts: Vec<String>,
    /// Path patterns.
    pub paths: Vec<String>,
    /// Those of other kinds.
    #[serde(default)]
    pub more: Vec<Condition>,
}

/// A condition of another kind than plain hosts and paths. Lists are sorted.
/// Source: `RuleCondition` of the Elastic Load Balancing API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Condition {
    /// Regular expressions for the host.
    HostRegex(Vec<String>),
    /// Regular expressions for the path.
    PathRegex(Vec<String>),
    /// A header has one of these values, or matches one of these regular expressions.
    Header {
        /// The header's name.
        name: String,
        /// Patterns.
        values: Vec<String>,
        /// Regular expressions.
        regex: Vec<String>,
    },
    /// Request methods.
    Methods(Vec<String>),
    /// Pairs of key, if any, and value in the query string.
    Query(Vec<(Option<String>, String)>),
    /// Source addresses in CIDR form.
    SourceIps(Vec<String>),
    /// A kind that this program does not know; it can't be written.
    Unknown(String),
}

/// What a rule or a listener does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleAction {
    /// A plain forward: target group → raw weight, in the order of AWS.
    Forward(Vec<(TargetGroupArn, u32)>),
    /// A forward, and what is kept beside its weights.
    ForwardAmong(Vec<(TargetGroupArn, u32)>, Box<Kept>),
    /// Anything else: what it is, for messages.
    Other(String),
}

/// What a rule has besides conditions and weights. It is not ours, and every call leaves it
/// as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// For how many seconds a client stays with a target group; none: it doesn't.
    #[serde(default)]
    pub stickiness_secs: Option<u32>,
    /// Actions before the forward: authentication, checks of tokens.
    #[serde(default)]
    pub before: Vec<Opaque>,
    /// Changes of host and URL on the way. A rule keeps them where they are not sent.
    #[serde(default)]
    pub transforms: Vec<Opaque>,
}

/// Something that is only read to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Opaque {
    /// As AWS calls it: `authenticate-oidc`.
    pub kind: String,
    /// All of it, in a form that only the cloud's adapter reads.
    pub text: String,
}

impl Kept {
    /// Whether there is nothing to be kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RuleAction {
    /// A forward with these weights among what is kept.
    pub fn forward(weights: Vec<(TargetGroupArn, u32)>, kept: Kept) -> Self {
        if kept.is_empty() { Self::Forward(weights) } else { Self::ForwardAmong(weights, Box::new(kept)) }
    }

    /// The raw weights of the forward; none where it is something else.
    pub fn weights(&self) -> Option<&[(TargetGroupArn, u32)]> {
        match self {
            Self::Forward(weights) | Self::ForwardAmong(weights, _) => Some(weights),
            Self::Other(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn weights_mut(&mut self) -> Option<&mut Vec<(TargetGroupArn, u32)>> {
        match self {
            Self::Forward(weights) | Self::ForwardAmong(weights, _) => Some(weights),
            Self::Other(_) => None,
        }
    }

    /// What it has besides the weights.
    pub fn kept(&self) -> Kept {
        match self {
            Self::ForwardAmong(_, kept) => (**kept).clone(),
            Self::Forward(_) | Self::Other(_) => Kept::default(),
        }
    }

    /// The same action with other weights.
    #[must_use]
    pub fn with_weights(&self, weights: Vec<(TargetGroupArn, u32)>) -> Self {
        Self::forward(weights, self.kept())
    }

    /// The weights in percent of their sum; all zero when the sum is.
    pub fn percents(&self) -> Vec<(TargetGroupArn, u32)> {
        let weights = self.weights().unwrap_or_default();
        // AWS takes weights up to 999, and what answers is not always AWS.
        let sum: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let percent = |weight: u32| match (u64::from(weight), sum) {
            (0, _) | (_, 0) => 0,
            // A part that gets traffic never reads as none.
            (weight, _) => u32::try_from(((weight * 100 + sum / 2) / sum).max(1)).unwrap_or(100),
        };
        weights.iter().map(|(arn, weight)| (arn.clone(), percent(*weight))).collect()
    }
}

/// As people write it: `host a.example or b.example, source IP 10.0.0.0/8`.
impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Vec::new();
        if !self.hosts.is_empty() {
            all.push(format!("host {}", self.hosts.join(" or ")));
        }
        if !self.paths.is_empty() {
            all.push(format!("path {}", self.paths.join(" or ")));
        }
        all.extend(self.more.iter().map(ToString::to_string));
        f.write_str(if all.is_empty() { "no condition" } else { "" })?;
        f.write_str(&crate::observed::marks::plain(&all.join(", ")))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostRegex(values) => write!(f, "host like {}", values.join(" or ")),
            Self::PathRegex(values) => write!(f, "path like {}", values.join(" or ")),
            Self::Header { name, values, regex } => {
                let like = regex.iter().map(|regex| format!("like {regex}"));
                let values: Vec<String> = values.iter().cloned().chain(like).collect();
                write!(f, "header {name} {}", values.join(" or "))
            }
            Self::Methods(values) => write!(f, "method {}", values.join(" or ")),
            Self::Query(pairs) => {
                let pair = |(key, value): &(Option<String>, String)| match key {
                    Some(key) => format!("{key}={value}"),
                    None => value.clone(),
                };
                write!(f, "query {}", pairs.iter().map(pair).collect::<Vec<_>>().join(" or "))
            }
            Self::SourceIps(values) => write!(f, "source IP {}", values.join(" or ")),
            Self::Unknown(kind) => write!(f, "a condition of kind {kind}"),
        }
    }
}
