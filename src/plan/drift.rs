//! What is ours and is not as we made it: found in every reading, said, and put right where
//! the file lets us.
//!
//! A heal comes after all that a release, a revert or a removal asks, so that a call that
//! AWS refuses holds up none of them. What was tried in vain is only said.

use crate::desired::drift::{Field, Policy};
use crate::desired::spec::ServiceSpec;
use crate::names::TargetGroupArn;
use crate::observed::resources::{Conditions, Details, GroupChange, HealthCheck, Policy as TrackingPolicy};
use crate::observed::state::{GroupState, ServerGroup};
use crate::time::Span;

use super::action::{Action, Carrier, Mutation};
use super::answer::{Answer, act};
use super::types::Drift;
use super::view::{View, is_temporary};
use super::{resources, rollout, settings, traffic};

/// How a group's load balancer health is believed; of workers AWS's own word is.
/// Source: `HealthCheckType` of the Auto Scaling API.
const BY_BALANCER: &str = "ELB";
const BY_MACHINE: &str = "EC2";

/// What a group terminates first where nothing is said.
/// Source: `TerminationPolicies` of the Auto Scaling API.
const TERMINATION: &str = "Default";

/// One thing that is not as it was made, and what puts it right.
struct Found {
    drift: Drift,
    heal: Option<Action>,
}

/// All that is not as it was made.
pub fn list(view: &View<'_>) -> Vec<Drift> {
    found(view).into_iter().map(|found| found.drift).collect()
}

/// Whether something would be put right that is not as it was made.
pub fn heals(view: &View<'_>) -> bool {
    next(view).is_some()
}

/// Puts one thing right, after an answer that changes nothing.
pub fn after(view: &View<'_>, answer: Option<Answer>) -> Option<Answer> {
    match answer {
        Some(Answer::Act(_)) => answer,
        waits => next(view).map(Answer::from).or(waits),
    }
}

fn next(view: &View<'_>) -> Option<Action> {
    view.wanted.filter(|spec| spec.paused.is_none() && view.hold().is_none())?;
    let heals = found(view).into_iter().filter(|found| found.drift.policy == Policy::Heal);
    heals.filter_map(|found| found.heal).find(|action| !view.input.memory.is_futile(action))
}

fn found(view: &View<'_>) -> Vec<Found> {
    let Some(spec) = view.spec else { return Vec::new() };
    let mut all = Vec::new();
    all.extend(conditions(view, spec));
    all.extend(strangers(view));
    for owner in view.input.state.groups.values() {
        if let Some(group) = owner.group.as_ref().filter(|group| group.desired > 0) {
            groups(view, spec, owner, group, &mut all);
        }
    }
    all.extend(view.live.into_iter().flat_map(|live| settings_of(view, live)));
    all.retain(|found| found.drift.policy != Policy::Ignore);
    all
}

impl Found {
    fn new(view: &View<'_>, field: Field, resource: String, found: String, expected: String) -> Self {
        let policy = view.spec.map_or_else(|| field.default_policy(), |spec| spec.drift.of(field));
        Self { drift: Drift { resource, field, found, expected, policy }, heal: None }
    }

    fn heal(mut self, mutation: Mutation) -> Self {
        let Drift { found, expected, field, .. } = &self.drift;
        let because = format!("{}: {found} instead of {expected}", field.words());
        self.heal = Some(act(mutation, because));
        self
    }
}

/// The conditions that our rule should have now. The file's, once they were brought about;
/// of a commit that changes them, too, those as of the commit acted on last.
fn expected(view: &View<'_>) -> Option<Conditions> {
    let of = |spec: &ServiceSpec| spec.load_balancer.as_ref()?.rule.as_ref().map(resources::conditions);
    let live = view.live.and_then(|live| live.group.as_ref());
    let applied = |spec: &&ServiceSpec| {
        live.is_some_and(|group| group.marks.settings.as_deref() == Some(settings::hash(spec).as_str()))
    };
    view.wanted.filter(applied).or(view.input.fallback.filter(applied)).and_then(of)
}

/// Conditions that somebody else has changed.
fn conditions(view: &View<'_>, _spec: &ServiceSpec) -> Option<Found> {
    let lb = view.load_balancer()?;
    let wanted = lb.rule.as_ref()?;
    let rule = view.rule().filter(|rule| !is_temporary(&rule.conditions) && view.foreign.is_none())?;
    let in_place = rule.listener == lb.listener && rule.priority == Some(wanted.priority);
    let expected = expected(view).or_else(|| {
        // What no file can say is nobody's wish, whatever the file says now.
        let more = !rule.conditions.more.is_empty() && view.live.is_some_and(|live| live.stable().is_some());
        more.then(|| Conditions { more: Vec::new(), ..rule.conditions.clone() })
    })?;
    if rule.conditions == expected || !in_place || view.input.state.rules.iter().all(|known| known.arn != rule.arn) {
        return None;
    }
    let found =
        Found::new(view, Field::Conditions, rule.arn.to_string(), rule.conditions.to_string(), expected.to_string());
    let weights = traffic::named(view, view.weights());
    if weights.iter().all(|weight| weight.percent == 0) {
        return Some(found);
    }
    Some(found.heal(Mutation::SetRule { rule: rule.arn.clone(), conditions: expected, weights }))
}

/// Target groups with weight in our action that are nobody's of ours.
fn strangers(view: &View<'_>) -> Option<Found> {
    let state = view.input.state;
    let live = view.live.filter(|live| live.stable().is_some())?;
    let rule = view.rule().filter(|_| view.foreign.is_none())?;
    let percents = rule.action.percents();
    let strange = |(arn, percent): &&(TargetGroupArn, u32)| *percent > 0 && state.owner_of(arn).is_none();
    let strangers: Vec<String> = percents
        .iter()
        .filter(strange)
        .map(|(arn, percent)| format!("{} (not ours) {percent} %", arn.name()))
        .collect();
    if strangers.is_empty() {
        return None;
    }
    let found = Found::new(
        view,
        Field::TargetGroups,
        rule.arn.default_of().map_or_else(|| rule.arn.to_string(), |listener| listener.to_string()),
        strangers.join(", "),
        "only releases of the service".to_owned(),
    );
    // Its part goes to live, if live can answer; a rollout takes it in its own next call.
    let healthy = view.health(live).map_or(0, |health| health.healthy);
    let arn = live.target_group.as_ref().map(|target_group| &target_group.arn);
    match arn.filter(|_| healthy > 0 && view.live_is_wanted()) {
        Some(arn) => {
            Some(found.heal(Mutation::SetWeights { rule: rule.arn.clone(), weights: traffic::all_to(view, rule, arn) }))
        }
        None => Some(found),
    }
}

/// What was brought about of live's file, once it was all read back. What no listing shows is
/// as the last audit has found it.
fn settings_of(view: &View<'_>, live: &ServerGroup) -> Vec<Found> {
    let applied = |spec: &&ServiceSpec| {
        let mark = live.group.as_ref().and_then(|group| group.marks.settings.as_deref());
        mark == Some(settings::hash(spec).as_str())
    };
    let own = view.wanted.filter(|_| view.live_is_wanted()).filter(applied);
    let (Some(spec), Some(group)) = (own, live.group.as_ref()) else { return Vec::new() };
    let details = live.details.as_ref().or_else(|| view.input.memory.audited(&live.name));
    let resource = || format!("group/{}", group.name);
    let mut all = Vec::new();
    let mut say = |field, resource: String, found: String, expected: String, mutation| {
        all.push(Found::new(view, field, resource, found, expected).heal(mutation));
    };
    if let Some(mutation) = settings::target_group(live, spec, details) {
        let (found, expected) = target_group_words(live, &mutation, details);
        let name = live.target_group.as_ref().map(|group| group.name.to_string()).unwrap_or_default();
        say(Field::TargetGroup, format!("target-group/{name}"), found, expected, mutation);
    }
    if let Some((details, mutation)) = details.and_then(|found| Some((found, settings::policies(live, spec, found)?))) {
        let ours = details.policies.iter().filter(|policy| policy.name.starts_with(resources::POLICY_PREFIX));
        let found = policy_words(ours);
        let expected = match &mutation {
            Mutation::SetPolicies { policies, .. } => policy_words(policies),
            _ => String::new(),
        };
        say(Field::ScalingPolicies, resource(), found, expected, mutation);
    }
    if let Some(mutation) = settings::missing_tags(live, group, spec) {
        let (resource, found, expected) = tag_words(live, group, &mutation);
        say(Field::Tags, resource, found, expected, mutation);
    }
    all
}

/// Only what differs.
fn target_group_words(live: &ServerGroup, mutation: &Mutation, details: Option<&Details>) -> (String, String) {
    let (Mutation::SetTargetGroup { spec, .. }, Some(target_group)) = (mutation, &live.target_group) else {
        return Default::default();
    };
    let check = |check: &HealthCheck| {
        [
            format!("check {}", check.protocol),
            format!("port {}", check.port),
            format!("path {}", check.path.as_deref().unwrap_or("none")),
            format!("matcher {}", check.matcher.as_deref().unwrap_or("none")),
            format!("interval {} s", check.interval_secs),
            format!("timeout {} s", check.timeout_secs),
            format!("healthy after {}", check.healthy),
            format!("unhealthy after {}", check.unhealthy),
        ]
    };
    let delay = |delay: Option<Span>| {
        delay.map_or("no deregistration delay".to_owned(), |delay| format!("deregistration delay {delay}"))
    };
    let (mut found, mut expected) = (check(&target_group.health_check).to_vec(), check(&spec.health_check).to_vec());
    if let Some(details) = details {
        found.push(delay(details.deregistration_delay));
        expected.push(delay(Some(spec.deregistration_delay)));
    }
    let (found, expected): (Vec<String>, Vec<String>) =
        found.into_iter().zip(expected).filter(|(found, expected)| found != expected).unzip();
    (found.join(", "), expected.join(", "))
}

fn policy_words<'a>(policies: impl IntoIterator<Item = &'a TrackingPolicy>) -> String {
    let said: Vec<String> = policies
        .into_iter()
        .map(|policy| {
            format!(
                "{} {} at {}",
                policy.name,
                policy.metric,
                f64::from(u32::try_from(policy.target_millis).unwrap_or(u32::MAX)) / 1000.0
            )
        })
        .collect();
    if said.is_empty() { "none".to_owned() } else { said.join(", ") }
}

fn tag_words(live: &ServerGroup, group: &GroupState, mutation: &Mutation) -> (String, String, String) {
    let Mutation::SetTags { on, tags } = mutation else { return Default::default() };
    let present = match on {
        Carrier::Group { .. } => Some(&group.tags),
        _ => live.template.as_ref().map(|template| &template.tags),
    };
    let found = tags.keys().map(|key| {
        let value = present.and_then(|present| present.get(key));
        value.map_or(format!("no {key}"), |value| format!("{key} = {value}"))
    });
    let expected = tags.iter().map(|(key, value)| format!("{key} = {value}"));
    let resource = match on {
        Carrier::Group { .. } => format!("group/{}", group.name),
        _ => format!("launch-template/{}", live.name),
    };
    (resource, found.collect::<Vec<_>>().join(", "), expected.collect::<Vec<_>>().join(", "))
}

/// What the listing shows of a group, against how it was made.
fn groups(view: &View<'_>, spec: &ServiceSpec, owner: &ServerGroup, group: &GroupState, all: &mut Vec<Found>) {
    let Some(shape) = &group.shape else { return };
    let resource = || format!("group/{}", group.name);
    let say = |field, found: String, expected: String| Found::new(view, field, resource(), found, expected);
    let change = |change| Mutation::SetGroup { release: owner.name.clone(), group: group.name.clone(), change };
    all.extend(template(view, spec, owner, group));
    let attached = owner.target_group.as_ref().filter(|target_group| !shape.target_groups.contains(&target_group.arn));
    if let Some(target_group) = attached {
        let found = say(Field::Attachment, "not attached".to_owned(), format!("target group {}", target_group.name));
        all.push(found.heal(change(GroupChange::Attach(target_group.arn.clone()))));
    }
    // A release's own file says the rest; that of another digest is not this group's.
    let own = Some(spec).filter(|spec| spec.digest == owner.identity.digest);
    let kind = if owner.target_group.is_some() { BY_BALANCER } else { BY_MACHINE };
    let grace = own.map_or(shape.grace, |spec| spec.rollout.healthy_deadline);
    if !shape.health_check.split(',').any(|word| word == kind) || (kind == BY_BALANCER && shape.grace != grace) {
        let found = format!("{}, grace {}", shape.health_check, shape.grace);
        let found = say(Field::HealthCheck, found, format!("{kind}, grace {grace}"));
        all.push(found.heal(change(GroupChange::HealthCheck { kind: kind.to_owned(), grace })));
    }
    if let Some(spec) = own.filter(|spec| sorted(&spec.network.subnets) != shape.subnets) {
        let found = say(Field::Subnets, shape.subnets.join(", "), sorted(&spec.network.subnets).join(", "));
        all.push(found.heal(change(GroupChange::Subnets(spec.network.subnets.clone()))));
    }
    if !group.suspended.is_empty() {
        let found = say(Field::SuspendedProcesses, group.suspended.join(", "), "none suspended".to_owned());
        all.push(found.heal(change(GroupChange::Resume(group.suspended.clone()))));
    }
    if shape.protects_new || !shape.protected.is_empty() {
        let found = format!("{} machines protected, new ones {}", shape.protected.len(), yes(shape.protects_new));
        let found = say(Field::ScaleInProtection, found, "none".to_owned());
        all.push(found.heal(change(GroupChange::Unprotect(shape.protected.clone()))));
    }
    if !shape.termination.is_empty() && shape.termination != [TERMINATION] {
        let found = say(Field::TerminationPolicies, shape.termination.join(", "), TERMINATION.to_owned());
        all.push(found.heal(change(GroupChange::Termination(vec![TERMINATION.to_owned()]))));
    }
    if let Some(protection) = shape.deletion_protection.as_ref().filter(|word| *word != "none") {
        all.push(say(Field::DeletionProtection, protection.clone(), "none".to_owned()));
    }
}

/// What a group launches from: version 1 of its own template.
fn template(view: &View<'_>, spec: &ServiceSpec, owner: &ServerGroup, group: &GroupState) -> Option<Found> {
    let shape = group.shape.as_ref()?;
    let own = format!("{} version 1", owner.name);
    let found = if shape.mixed_instances {
        "a mixed instances policy".to_owned()
    } else {
        match &group.template {
            None => "no launch template".to_owned(),
            Some((name, version)) => format!("{} version {version}", crate::observed::marks::plain(name)),
        }
    };
    let resource = format!("group/{}", group.name);
    let point = GroupChange::Template(owner.name.clone());
    let point = Mutation::SetGroup { release: owner.name.clone(), group: group.name.clone(), change: point };
    if found != own {
        // Machines of unknown content may run behind: what they are is a person's to say.
        return Some(Found::new(view, Field::Template, resource, found, own).heal(point));
    }
    let Some(template) = &owner.template else {
        let found = Found::new(view, Field::LostTemplate, resource, "a template that is gone".to_owned(), own);
        let mine = spec.digest == owner.identity.digest;
        let Some(wanted) = view.wanted.filter(|_| mine) else { return Some(found) };
        let create = rollout::create_template(view, wanted, "its launch template is gone");
        return Some(Found { heal: Some(create), ..found });
    };
    // The same name, made anew: the group still asks for the one that is gone.
    let other = shape.template_id.as_ref().filter(|id| **id != template.id)?;
    let found = Found::new(view, Field::LostTemplate, resource, format!("{other}, which is gone"), template.id.clone());
    Some(found.heal(point))
}

/// Whether a group launches from anything but version 1 of its own template: what runs
/// behind it nobody has reviewed.
pub fn unreviewed(owner: &ServerGroup) -> bool {
    let Some(group) = owner.group.as_ref() else { return false };
    let Some(shape) = &group.shape else { return false };
    let own = (owner.name.to_string(), "1".to_owned());
    shape.mixed_instances || group.template.as_ref() != Some(&own)
}

/// What we empty loses its protection: protected machines would stay for ever.
pub fn unprotect(view: &View<'_>) -> Option<Answer> {
    let emptied = view.input.state.groups.values().filter_map(|owner| Some((owner, owner.group.as_ref()?)));
    let protected = |group: &GroupState| group.shape.as_ref().is_some_and(|shape| !shape.protected.is_empty());
    let (owner, group) = emptied.into_iter().find(|(_, group)| group.desired == 0 && protected(group))?;
    let machines = group.shape.as_ref()?.protected.clone();
    let count = machines.len();
    let change = GroupChange::Unprotect(machines);
    let mutation = Mutation::SetGroup { release: owner.name.clone(), group: group.name.clone(), change };
    Some(act(mutation, format!("{count} of its machines are protected from scale-in, and it is being emptied")).into())
}

fn sorted(list: &[String]) -> Vec<String> {
    let mut list = list.to_vec();
    list.sort();
    list
}

fn yes(is_so: bool) -> &'static str {
    if is_so { "too" } else { "not" }
}
