//! One reading of a scope, put together from single calls.
//!
//! The cost is pages of groups, templates and target groups, one call for all listeners
//! and one per Application Load Balancer listener, whatever the number of services. Tags
//! of rules cost once, then they are remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{join, join_all, join3};
use futures_util::stream::{self, StreamExt as _};

use crate::mutant::Mutant;
use crate::names::{GroupName, ListenerArn, Scope, ServiceName, TargetGroupArn};
use crate::observed::assemble::{Listings, assemble, forwarded};
use crate::observed::marks::{self, Identity, Marks};
use crate::observed::resources::{Activity, Details, Listener, Rule, RuleAction, Tags, Targets};
use crate::observed::state::{Observation, Place, Wants};

use super::{CloudError, CloudReader, ErrorKind, Owner};

/// Calls of the second stage under way at once.
const PARALLEL: usize = 8;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Whose resources.
    pub scope: Scope,
    /// Only this service.
    pub service: Option<ServiceName>,
    /// Where each file wants its rule; services without a load balancer are not in it.
    pub places: BTreeMap<ServiceName, Place>,
    /// Listeners to read besides.
    pub listeners: BTreeSet<ListenerArn>,
}

/// Tags of rules and target groups that were read once. Nobody but us changes the tags
/// by which we know an owner, so they stay until [`TagCache::forget`], or until a whole
/// reading needs them no more: each release has a target group, and most have a rule.
#[derive(Debug, Default)]
pub struct TagCache(Mutex<BTreeMap<String, Tags>>, #[cfg(test)] stale::Readings);

impl TagCache {
    /// To be called for each ARN whose tags were changed.
    pub fn forget(&self, arn: &str) {
        self.lock().remove(arn);
    }

    /// Keeps what a whole reading has used. What could not be read may come back.
    fn keep(&self, query: &Query, listings: &Listings) {
        let unread = listings.listeners.values().any(Result::is_err) || listings.rules.values().any(Result::is_err);
        if query.service.is_none() && !unread {
            self.lock().retain(|arn, _| listings.elb_tags.contains_key(arn));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Tags>> {
        // A panic elsewhere leaves at worst fewer entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads everything but health, activities and details.
///
/// # Errors
/// Groups, templates or target groups could not be read: nothing is known. A listener
/// that could not be read is no error but voids its services.
pub async fn observe(cloud: &dyn CloudReader, cache: &TagCache, query: &Query) -> Result<Observation, CloudError> {
    let at = cloud.now();
    let owner = Owner { scope: query.scope.clone(), service: query.service.clone() };
    let lists = join3(cloud.groups(&owner), cloud.templates(&owner), cloud.target_groups()).await;
    let mut listings = Listings {
        at,
        groups: lists.0.or_else(|error| if Mutant::EmptyPage.on() { Ok(Vec::new()) } else { Err(error) })?,
        templates: lists.1?,
        target_groups: lists.2?,
        listeners: BTreeMap::new(),
        rules: BTreeMap::new(),
        elb_tags: BTreeMap::new(),
    };
    let wanted = listeners(query, &listings);
    (listings.listeners, listings.rules) = join(read_listeners(cloud, &wanted), read_rules(cloud, &wanted)).await;
    read_tags(cloud, cache, query, &mut listings).await;
    cache.keep(query, &listings);
    let observation = assemble(&query.scope, query.service.as_ref(), &query.places, &listings);
    #[cfg(test)]
    let observation = cache.1.instead_of(query, observation);
    Ok(observation)
}

/// The listeners of the files, and those where groups say that their rule is.
fn listeners(query: &Query, listings: &Listings) -> Vec<ListenerArn> {
    let places = query.places.iter().filter(|(service, _)| query.service.as_ref().is_none_or(|only| only == *service));
    let marks = listings.groups.iter().filter_map(|group| Marks::read(&group.tags, listings.at).listener);
    let mut wanted: BTreeSet<ListenerArn> = query.listeners.clone();
    wanted.extend(places.map(|(_, place)| place.listener.clone()));
    wanted.extend(marks);
    wanted.into_iter().collect()
}

type Read<T> = BTreeMap<ListenerArn, Result<T, String>>;

/// All in one call; when that fails, one by one, so that a listener that is gone or
/// forbidden costs its own services alone.
async fn read_listeners(cloud: &dyn CloudReader, wanted: &[ListenerArn]) -> Read<Option<Listener>> {
    if wanted.is_empty() {
        return BTreeMap::new();
    }
    let mut read: Read<Option<Listener>> = match cloud.listeners(wanted).await {
        Ok(found) => found.into_iter().map(|listener| (listener.arn.clone(), Ok(Some(listener)))).collect(),
        Err(error) => {
            tracing::debug!(%error, "listeners are asked for one by one");
            BTreeMap::new()
        }
    };
    let missing: Vec<&ListenerArn> = wanted.iter().filter(|arn| !read.contains_key(*arn)).collect();
    let alone = join_all(missing.iter().map(|arn| cloud.listeners(std::slice::from_ref(*arn)))).await;
    for (arn, answer) in missing.into_iter().zip(alone) {
        let listener = match answer {
            Ok(found) => match found.into_iter().find(|listener| &listener.arn == arn) {
                Some(listener) => Ok(Some(listener)),
                None => Err(format!("listener {arn} is not in the answer")),
            },
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        read.insert(arn.clone(), listener);
    }
    read
}

async fn read_rules(cloud: &dyn CloudReader, wanted: &[ListenerArn]) -> Read<Vec<Rule>> {
    let asked: Vec<&ListenerArn> = wanted.iter().filter(|listener| !listener.is_network()).collect();
    let answers = join_all(asked.iter().map(|listener| cloud.rules(listener))).await;
    let unread = |error: CloudError| if Mutant::NoRules.on() { Ok(Vec::new()) } else { Err(error.to_string()) };
    asked.into_iter().cloned().zip(answers.into_iter().map(|answer| answer.or_else(unread))).collect()
}

/// Tags of all rules, then of target groups in our actions whose release we don't know
/// from a template or group. What fails makes its listeners unread: without its owner a
/// rule is nobody's.
async fn read_tags(cloud: &dyn CloudReader, cache: &TagCache, query: &Query, listings: &mut Listings) {
    let rules = proper_rules(listings).map(|rule| rule.arn.to_string()).collect();
    if let Err((unknown, error)) = add_tags(cloud, cache, rules, &mut listings.elb_tags).await {
        for rules in listings.rules.values_mut() {
            let affected = |rule: &Rule| unknown.contains(rule.arn.as_str());
            void(rules, |rules| rules.iter().any(affected), &error);
        }
    }
    let targets = unknown_targets(query, listings);
    if let Err((unknown, error)) = add_tags(cloud, cache, targets, &mut listings.elb_tags).await {
        let affected = |action: &RuleAction| forwarded(action).any(|arn| unknown.contains(arn.as_str()));
        for listener in listings.listeners.values_mut() {
            void(listener, |found| found.as_ref().is_some_and(|found| affected(&found.default_action)), &error);
        }
        for rules in listings.rules.values_mut() {
            void(rules, |rules| rules.iter().any(|rule| affected(&rule.action)), &error);
        }
    }
}

fn void<T>(read: &mut Result<T, String>, affected: impl Fn(&T) -> bool, error: &CloudError) {
    if read.as_ref().is_ok_and(affected) {
        *read = Err(error.to_string());
    }
}

/// Adds tags, asking only for what is not in the cache; what was asked for in vain.
async fn add_tags(
    cloud: &dyn CloudReader,
    cache: &TagCache,
    needed: BTreeSet<String>,
    tags: &mut BTreeMap<String, Tags>,
) -> Result<(), (BTreeSet<String>, CloudError)> {
    let unknown: BTreeSet<String> = {
        let cached = cache.lock();
        needed.iter().filter(|arn| !cached.contains_key(*arn)).cloned().collect()
    };
    let mut outcome = Ok(());
    if !unknown.is_empty() {
        let asked: Vec<String> = unknown.iter().cloned().collect();
        match cloud.tags(&asked).await {
            Ok(answer) => cache.lock().extend(answer),
            Err(error) => outcome = Err((unknown, error)),
        }
    }
    let cached = cache.lock();
    tags.extend(needed.into_iter().filter_map(|arn| cached.get(&arn).map(|tags| (arn, tags.clone()))));
    outcome
}

/// Rules that are not a listener's default action.
fn proper_rules(listings: &Listings) -> impl Iterator<Item = &Rule> {
    let rules = listings.rules.values().filter_map(|rules| rules.as_ref().ok()).flatten();
    rules.filter(|rule| rule.priority.is_some())
}

fn unknown_targets(query: &Query, listings: &Listings) -> BTreeSet<String> {
    let tags = listings.groups.iter().map(|group| &group.tags).chain(listings.templates.iter().map(|t| &t.tags));
    let releases: BTreeSet<String> = tags
        .filter_map(Identity::read)
        .map(|identity| GroupName::of(&query.scope, &identity.service, &identity.digest).to_string())
        .collect();
    let known: BTreeSet<&TargetGroupArn> =
        listings.target_groups.iter().filter(|group| releases.contains(&group.name)).map(|group| &group.arn).collect();
    let ours = |rule: &&Rule| {
        let text = |key: &str| listings.elb_tags.get(rule.arn.as_str())?.get(key).map(String::as_str);
        text(marks::SCOPE) == Some(query.scope.as_str())
            && query.service.as_ref().is_none_or(|only| text(marks::SERVICE) == Some(only.as_str()))
    };
    // What stands where a file wants its rule, and what forwards to a release of ours, may
    // be taken over or have been: whose its other target groups are must be known.
    let places: BTreeSet<(&ListenerArn, Option<u32>)> =
        query.places.values().map(|place| (&place.listener, place.priority)).collect();
    let at_a_place = |rule: &&Rule| places.contains(&(&rule.listener, rule.priority));
    let forwards_to_us = |rule: &&Rule| forwarded(&rule.action).any(|arn| known.contains(arn));
    let rules = proper_rules(listings).filter(|rule| ours(rule) || at_a_place(rule) || forwards_to_us(rule));
    let rules = rules.map(|rule| &rule.action);
    let defaults = listings.listeners.values().filter_map(|listener| listener.as_ref().ok()?.as_ref());
    let actions = rules.chain(defaults.map(|listener| &listener.default_action));
    actions.flat_map(forwarded).filter(|arn| !known.contains(arn)).map(ToString::to_string).collect()
}

/// One call of the second stage.
struct Ask {
    service: ServiceName,
    /// None for what isn't ours.
    group: Option<GroupName>,
    what: What,
}

enum What {
    Health(TargetGroupArn),
    Foreign(TargetGroupArn),
    Activities(String),
    Details(String, Option<TargetGroupArn>),
    Audit(String, Option<TargetGroupArn>),
}

enum Answer {
    Health(Targets),
    Foreign(TargetGroupArn, Targets),
    Activities(Vec<Activity>),
    Details(Details),
}

/// Reads what costs calls per group, into an observation. A call that fails voids its
/// service: unknown is not absent. One about what a release needs is kept as a value instead.
pub async fn complete(cloud: &dyn CloudReader, observation: &mut Observation, wants: &BTreeMap<ServiceName, Wants>) {
    let asks: Vec<Ask> = wants.iter().flat_map(|(service, wants)| asks(observation, service, wants)).collect();
    let calls: Vec<_> = asks
        .into_iter()
        .map(|ask| async move {
            let answer = answer(cloud, &ask.what).await;
            (ask, answer)
        })
        .collect();
    let answers: Vec<_> = stream::iter(calls).buffered(PARALLEL).collect().await;
    for (ask, answer) in answers {
        let Some(state) = observation.services.get_mut(&ask.service) else {
            continue;
        };
        let group = ask.group.as_ref().and_then(|name| state.groups.get_mut(name));
        match (answer, group) {
            (Ok(Answer::Foreign(arn, targets)), _) => {
                state.foreign.insert(arn, targets);
            }
            (Ok(Answer::Health(targets)), Some(group)) => group.targets = Some(targets),
            (Ok(Answer::Activities(activities)), Some(group)) => group.activities = Some(activities),
            (Ok(Answer::Details(details)), Some(group)) => group.details = Some(details),
            (Ok(_), None) => {}
            (Err(_), Some(group)) if Mutant::NobodyHealthy.on() => group.targets = Some(Targets::new()),
            // Nothing rests on an audit; the next one asks again.
            (Err(error), _) if matches!(ask.what, What::Audit(..)) => {
                tracing::debug!(service = %ask.service, %error, "the audit of its settings failed");
            }
            (Err(error), _) => {
                state.incomplete.get_or_insert_with(|| error.to_string());
            }
        }
    }
    prerequisites::look_up(cloud, observation, wants).await;
}

fn asks(observation: &Observation, service: &ServiceName, wants: &Wants) -> Vec<Ask> {
    let Some(state) = observation.services.get(service) else {
        return Vec::new();
    };
    let ask = |group: &GroupName, what: What| Ask { service: service.clone(), group: Some(group.clone()), what };
    let found = |name: &GroupName| {
        let group = state.groups.get(name);
        let target_group = group.and_then(|group| group.target_group.as_ref()).map(|found| found.arn.clone());
        (group.and_then(|group| group.group.as_ref()).map(|group| group.name.clone()), target_group)
    };
    let health = wants.health.iter().filter_map(|name| Some(ask(name, What::Health(found(name).1?))));
    let activities = wants.activities.iter().filter_map(|name| Some(ask(name, What::Activities(found(name).0?))));
    let details = wants.details.iter().filter_map(|name| {
        let (group, target_group) = found(name);
        Some(ask(name, What::Details(group?, target_group)))
    });
    let audit = wants.audit.iter().filter_map(|name| {
        let (group, target_group) = found(name);
        Some(ask(name, What::Audit(group?, target_group)))
    });
    let foreign =
        wants.foreign.iter().map(|arn| Ask { service: service.clone(), group: None, what: What::Foreign(arn.clone()) });
    health.chain(activities).chain(details).chain(audit).chain(foreign).collect()
}

async fn answer(cloud: &dyn CloudReader, what: &What) -> Result<Answer, CloudError> {
    Ok(match what {
        What::Health(arn) => Answer::Health(cloud.target_health(arn).await?),
        What::Foreign(arn) => Answer::Foreign(arn.clone(), cloud.target_health(arn).await?),
        What::Activities(group) => Answer::Activities(cloud.activities(group).await?),
        What::Details(group, target_group) | What::Audit(group, target_group) => {
            Answer::Details(cloud.details(group, target_group.as_ref()).await?)
        }
    })
}

mod prerequisites;
#[cfg(test)]
mod stale;
#[cfg(test)]
mod tests;
