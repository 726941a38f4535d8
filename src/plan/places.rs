//! Places on listeners: which service has one, and which comes to it next.
//!
//! A place is a listener with a priority, or its default action. AWS lets one rule have it.
//!
//! Services that trade their places all wait for each other. So one whose own place another
//! file wants makes way: its rule is made again at a priority that nobody wants, then the old
//! one goes, as in every other move. Each call changes a rule of one service, and the next
//! reading alone tells what is left to do: a rule at a place that another file wants goes, one
//! at a place that nobody wants stays until the place of the file is free.
//!
//! `SetRulePriorities` could change all rules of a trade in one call. It is not used: no IAM
//! condition confines it to rules with our tags, it reaches no further than one listener and
//! no default action, and it would move the rule of a service that is held, paused or fenced.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::diagnostic::Diagnostic;
use crate::desired::spec::{Desired, LoadBalancer, ServiceFile, ServiceSpec};
use crate::names::ServiceName;
use crate::observed::resources::Rule;
use crate::observed::state::{Neighbour, Observation, Place};

use super::action::Mutation;
use super::answer::{Answer, Wait, act, wait};
use super::types::Reason;
use super::view::{View, is_temporary};
use super::{resources, rollout, settings, traffic};

/// The priorities that rules have.
/// Source: the API reference of CreateRule.
const PRIORITIES: std::ops::RangeInclusive<u32> = 1..=50_000;

/// Where a file wants its rule.
pub fn place(spec: &ServiceSpec) -> Option<Place> {
    let lb = spec.load_balancer.as_ref()?;
    Some(Place { listener: lb.listener.clone(), priority: lb.rule.as_ref().map(|rule| rule.priority) })
}

/// Of files that claim one place, that of the service which has it in AWS counts; the others
/// stay broken. None where nothing is decided so.
///
/// A service of which not all was read has nothing for certain.
pub fn award(desired: &Desired, observed: &Observation) -> Option<Desired> {
    let has = |name: &ServiceName, place: &Place| {
        let state = observed.services.get(name).filter(|state| state.incomplete.is_none());
        state.is_some_and(|state| state.rule_at(&place.listener, place.priority).is_some())
    };
    let mut holders: BTreeMap<Place, Vec<&ServiceName>> = BTreeMap::new();
    for (name, contested) in &desired.contested {
        if let Some(place) = place(&contested.spec).filter(|place| has(name, place)) {
            holders.entry(place).or_default().push(name);
        }
    }
    holders.retain(|_, names| names.len() == 1);
    if holders.is_empty() {
        return None;
    }
    let mut awarded = desired.clone();
    let key = |known: &Diagnostic| (known.file.clone(), known.message.clone());
    let mut settled: BTreeMap<_, Option<Diagnostic>> = BTreeMap::new();
    for (name, contested) in &desired.contested {
        let holder = place(&contested.spec).and_then(|place| holders.get(&place)?.first().copied());
        let Some(holder) = holder else { continue };
        if holder == name {
            awarded.services.insert(name.clone(), ServiceFile::Valid(contested.spec.clone()));
            awarded.contested.remove(name);
            settled.insert(key(&contested.diagnostic), None);
        } else {
            let help = format!("{holder} has it in AWS and keeps it: give {name} another place");
            settled.insert(key(&contested.diagnostic), Some(contested.diagnostic.clone().help(help)));
        }
    }
    let replaced = |known: Diagnostic| match settled.get(&key(&known)) {
        Some(new) => new.clone(),
        None => Some(known),
    };
    awarded.diagnostics = awarded.diagnostics.into_iter().filter_map(replaced).collect();
    Some(awarded)
}

/// Where another service's file wants its rule, if the service may go there now.
fn goes_to(view: &View<'_>, service: &ServiceName) -> Option<Place> {
    match view.input.desired?.services.get(service)? {
        ServiceFile::Valid(spec) if spec.paused.is_none() => place(spec),
        ServiceFile::Valid(_) | ServiceFile::Broken => None,
    }
}

/// Why a service must leave its place to another for now, or has to wait for it.
pub fn kept_by(view: &View<'_>, lb: &LoadBalancer, other: &Neighbour) -> Option<Wait> {
    if may_take(view, lb, other) {
        return None;
    }
    let mine = Place { listener: lb.listener.clone(), priority: lb.rule.as_ref().map(|rule| rule.priority) };
    let next = goes_to(view, &other.service)
        .filter(|next| *next != mine && next.listener.load_balancer() == mine.listener.load_balancer());
    Some(match next {
        Some(next) => {
            let service = &other.service;
            let detail = format!("{} is {service}'s, which moves to {}", words(&mine), words(&next));
            wait(Reason::Dependency, detail)
        }
        None => wait(Reason::Preflight, format!("its place on the listener is taken: {}", other.what)),
    })
}

/// Whether a default action that another service has may be taken from it: its file names a
/// rule, and that rule serves already, if at another priority.
pub fn may_take(view: &View<'_>, lb: &LoadBalancer, other: &Neighbour) -> bool {
    if lb.rule.is_some() || lb.listener.is_network() {
        return false;
    }
    let file = view.input.desired.and_then(|desired| desired.services.get(&other.service));
    let Some(ServiceFile::Valid(spec)) = file else { return false };
    let wanted = spec.load_balancer.as_ref().and_then(|lb| lb.rule.as_ref()).map(resources::conditions);
    let serves = |rule: &Rule| rule.action.percents().iter().any(|(_, percent)| *percent > 0);
    wanted.is_some_and(|wanted| other.rules.iter().any(|rule| rule.conditions == wanted && serves(rule)))
}

/// The service whose file wants the place that a rule of ours has.
pub fn next_owner<'a>(view: &View<'a>, rule: &Rule) -> Option<&'a ServiceName> {
    let own = Place { listener: rule.listener.clone(), priority: rule.priority };
    let others = view.input.desired?.services.iter().filter(|(name, _)| *name != view.input.service);
    let mut wanted = others.filter_map(|(name, file)| match file {
        ServiceFile::Valid(spec) => Some((name, place(spec)?)),
        ServiceFile::Broken => None,
    });
    wanted.find(|(_, place)| *place == own).map(|(name, _)| name)
}

/// The place that the file wants is another service's. That one moves away, and so does ours,
/// to a priority that nobody wants, where another file wants the place that ours has: services
/// that trade places wait for each other, and one of them has to begin.
pub fn make_way(view: &View<'_>, lb: &LoadBalancer, other: &Neighbour, old: &Rule) -> Answer {
    let Some(waits) = kept_by(view, lb, other) else {
        return wait(Reason::Unknown, "who has its place was not read").into();
    };
    if waits.on.reason != Reason::Dependency {
        return waits.into();
    }
    let state = view.input.state;
    let real = || state.rules.iter().filter(|rule| !is_temporary(&rule.conditions));
    let Some((leaves, next)) = real().find_map(|rule| Some((rule, next_owner(view, rule)?))) else {
        return waits.into();
    };
    let aside = real().find(|rule| next_owner(view, rule).is_none() && !state.borrowed.contains(&rule.arn));
    let weights = traffic::named(view, old.action.percents());
    if weights.iter().all(|weight| weight.percent == 0) {
        return waits.into();
    }
    let because = format!("{next} moves to its place, and {} is not free yet", words_of(lb));
    // A default action has no conditions that a rule could have; then it keeps its old ones.
    let conditions = lb.rule.as_ref().map_or_else(|| old.conditions.clone(), resources::conditions);
    match aside {
        Some(aside) if aside.conditions != conditions || !settings::replaces(view, aside, leaves) => {
            act(Mutation::SetRule { rule: aside.arn.clone(), conditions, weights }, because).into()
        }
        Some(_) if state.borrowed.contains(&leaves.arn) => {
            wait(Reason::Dependency, format!("the listener's default action goes over to {next}")).into()
        }
        Some(_) => act(Mutation::DeleteRule { rule: leaves.arn.clone() }, because).into(),
        // Of two that wait for each other one goes first.
        None if *view.input.service > other.service => waits.into(),
        None => {
            let Some(priority) = on_the_way(view, lb, other, leaves) else {
                return wait(Reason::Preflight, "the listener has no free priority for a rule").into();
            };
            let (listener, tags) = (lb.listener.clone(), rollout::rule_tags(view));
            act(Mutation::CreateRule { listener, priority, conditions, weights, tags }, because).into()
        }
    }
}

/// A free priority that nobody's file wants. Between the old and the new place the rule stands
/// to every other one as it does before or after; where none is free, as near as possible.
fn on_the_way(view: &View<'_>, lb: &LoadBalancer, other: &Neighbour, old: &Rule) -> Option<u32> {
    let desired = view.input.desired?;
    let specs = desired.services.keys().filter_map(|name| desired.spec_of(name));
    let wanted = specs.filter_map(place).filter(|place| place.listener == lb.listener);
    let wanted: BTreeSet<u32> = wanted.filter_map(|place| place.priority).collect();
    let is_free = |priority: &u32| !other.taken.contains(priority) && !wanted.contains(priority);
    // A default action comes after all rules.
    let end = PRIORITIES.end() + 1;
    let to = lb.rule.as_ref().map_or(end, |rule| rule.priority);
    let from = if old.listener == lb.listener { old.priority.unwrap_or(end) } else { to };
    let (first, last) = (from.min(to), from.max(to));
    let between = || (first + 1)..last;
    if let Some(priority) = between().find(is_free) {
        return Some(priority);
    }
    let before = (*PRIORITIES.start()..first).rev().find(is_free);
    let after = ((last + 1)..=*PRIORITIES.end()).find(is_free);
    // How many others it would stand before, or after, that it does not now and will not then.
    let passes = |priority: u32| match priority < first {
        true => other.taken.range(priority..first).count(),
        false => other.taken.range((last + 1)..priority).count(),
    };
    before.into_iter().chain(after).min_by_key(|priority| (passes(*priority), priority.abs_diff(from)))
}

fn words(place: &Place) -> String {
    match place.priority {
        Some(priority) => format!("priority {priority}"),
        None => "the listener's default action".to_owned(),
    }
}

fn words_of(lb: &LoadBalancer) -> String {
    words(&Place { listener: lb.listener.clone(), priority: lb.rule.as_ref().map(|rule| rule.priority) })
}
