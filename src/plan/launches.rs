//! What a group's activities say: launches that failed, and machines that were replaced
//! because the load balancer's checks failed.

use crate::mutant::Mutant;
use crate::observed::resources::{Activity, Outcome};
use crate::observed::state::{GroupState, ServerGroup};
use crate::time::{Span, Timestamp};

use super::machines::quoted;
use super::view::View;

/// So many launches must have failed, and none succeeded, before a release is blamed: a group
/// tries its other zones by itself.
const FAILED_LAUNCHES: usize = 3;

/// Parts of messages about what only a new release can change, of which all words of one line
/// must occur: its machine image or its launch template does not exist, or is refused.
/// Source: the Auto Scaling guide's troubleshooting of launch failures, and the error codes of
/// EC2.
const REFUSED: [&[&str]; 6] = [
    &["image id", "does not exist"],
    &["invalidamiid"],
    &["ami", "does not exist"],
    &["launch template", "does not exist"],
    &["valid fully-formed launch template"],
    &["invalidlaunchtemplate"],
];

/// Parts of messages about what this release can't get, though nothing says that it is wrong:
/// somebody must offer it, or must release something else.
/// Source: as above.
const UNOBTAINABLE: [&str; 9] = [
    "not supported",
    "unsupported",
    "invalid iam instance profile",
    "not authorized",
    "unauthorizedoperation",
    "key pair",
    "security group",
    "client.internalerror",
    "kms",
];

/// Whether a message is about what this release alone can't get.
pub fn is_unobtainable(message: &str) -> bool {
    let message = message.to_lowercase();
    UNOBTAINABLE.iter().any(|part| message.contains(part))
}

fn is_refused(message: &str) -> bool {
    let message = message.to_lowercase();
    let eventual = message.contains("iam instance profile");
    let refused = REFUSED.iter().any(|parts| parts.iter().all(|part| message.contains(part)));
    !eventual && (refused || Mutant::BlameRelease.on())
}

/// The launches of a group since it was made, newest first.
fn launches<'a>(candidate: &'a ServerGroup, group: &GroupState) -> Option<impl Iterator<Item = &'a Activity>> {
    let made = group.created;
    Some(candidate.activities.as_ref()?.iter().filter(move |a| a.launch && a.started >= made))
}

/// Why no machine of a release can be launched until something else is released, in AWS's words.
pub fn refused(candidate: &ServerGroup, group: &GroupState) -> Option<String> {
    let mut failed = Vec::new();
    for activity in launches(candidate, group)? {
        match activity.outcome {
            Outcome::Successful => return None,
            Outcome::Failed => failed.push(activity.message.as_str()),
            Outcome::Running => {}
        }
    }
    let newest = failed.first().filter(|_| failed.len() >= FAILED_LAUNCHES)?;
    is_refused(newest).then(|| quoted(newest))
}

/// What the newest launch that ended said, if it failed while machines are missing.
pub fn trouble(view: &View<'_>, candidate: &ServerGroup) -> Option<String> {
    let group = candidate.group.as_ref()?;
    let there = u32::try_from(group.instances.len()).unwrap_or(u32::MAX);
    if there >= view.need_of(candidate) {
        return None;
    }
    let newest = launches(candidate, group)?.find(|activity| activity.outcome != Outcome::Running)?;
    (newest.outcome == Outcome::Failed && !is_given_up(newest)).then(|| quoted(&newest.message))
}

/// Whether a machine could be launched, and was given up in a launch hook: it was not ready in
/// time, or its boot script could not finish.
/// Source: the Auto Scaling guide on lifecycle hooks, the words of a launch that was abandoned.
fn is_given_up(activity: &Activity) -> bool {
    let message = activity.message.to_lowercase();
    let abandoned = message.contains("lifecycle action") && message.contains("abandon");
    activity.launch && activity.outcome == Outcome::Failed && abandoned
}

/// The words about a lifecycle action without its token, which says nothing to anybody and is
/// another one for each machine.
fn without_token(message: &str) -> String {
    let Some((before, rest)) = message.split_once(" with token ") else { return message.to_owned() };
    let after = rest.split_once(' ').map_or("", |(_, after)| after);
    format!("{before} {after}")
}

/// How many machines of the present try were given up before they were ready, with AWS's words
/// about the last one.
pub fn given_up(candidate: &ServerGroup) -> Option<String> {
    let group = candidate.group.as_ref()?;
    let begun = group.marks.step.map_or(group.created, |step| step.at);
    let given_up: Vec<&Activity> =
        launches(candidate, group)?.filter(|activity| activity.started >= begun && is_given_up(activity)).collect();
    let words = quoted(&without_token(&given_up.first()?.message));
    let what = if given_up.len() == 1 { "machine was" } else { "machines were" };
    Some(format!("{} {what} given up before being ready: {words}", given_up.len()))
}

/// How many machines a group has replaced since some time because the load balancer's checks
/// failed. Machines that were stopped, by hand, by their own power-off or as spot
/// interruptions, have another cause, which is the same for all of them and no evidence.
pub fn replaced_as_unhealthy(candidate: &ServerGroup, since: Timestamp) -> u32 {
    let of_checks = |activity: &&Activity| {
        let cause = activity.cause.to_lowercase();
        let stopped = Mutant::BlameStopped.on() && cause.contains("ec2 health check");
        !activity.launch && activity.started >= since && (stopped || cause.contains("elb system health check"))
    };
    let activities = candidate.activities.iter().flatten();
    u32::try_from(activities.filter(of_checks).count()).unwrap_or(u32::MAX)
}

/// From when on replaced machines count: within one deadline, and not from before the present
/// try.
pub fn counted_since(view: &View<'_>, candidate: &ServerGroup, group: &GroupState, deadline: Span) -> Timestamp {
    let last_try = candidate.template.as_ref().and_then(|template| template.marks.retry.as_ref()).map(|retry| retry.at);
    let begun = last_try.map_or(group.created, |at| at.max(group.created));
    begun.max(view.input.now - deadline)
}
