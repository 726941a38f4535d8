//! From lists of resources to services.
//!
//! What belongs together is decided by tags and by the name that is derived from them,
//! never by one of the two alone. What doesn't fit is reported and never touched.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{GroupName, ListenerArn, Scope, ServiceName, TargetGroupArn};
use crate::time::Timestamp;

use super::marks::{self, Identity, Marks};
use super::resources::{Group, Listener, Rule, RuleAction, Tags, TargetGroup, Template};
use super::state::{GroupState, Neighbour, Observation, Place, ServerGroup, ServiceState, Slot, TemplateState};

/// Everything that one reading returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listings {
    /// When the reading began.
    pub at: Timestamp,
    /// Auto Scaling groups of the scope.
    pub groups: Vec<Group>,
    /// Launch templates of the scope.
    pub templates: Vec<Template>,
    /// Target groups of the whole account and region.
    pub target_groups: Vec<TargetGroup>,
    /// The listeners that were asked for: none for one that does not exist, or why it
    /// could not be read.
    pub listeners: BTreeMap<ListenerArn, Result<Option<Listener>, String>>,
    /// The rules of their listeners, or why they could not be read.
    pub rules: BTreeMap<ListenerArn, Result<Vec<Rule>, String>>,
    /// Tags of rules and of target groups that no release is known to have, by ARN. A
    /// rule without an entry makes its listener unreadable.
    pub elb_tags: BTreeMap<String, Tags>,
}

/// Puts a reading together. With `only`, all other services are left out.
pub fn assemble(
    scope: &Scope,
    only: Option<&ServiceName>,
    places: &BTreeMap<ServiceName, Place>,
    listings: &Listings,
) -> Observation {
    let mut work = Work {
        scope,
        only,
        listings,
        observation: Observation { at: listings.at, services: BTreeMap::new(), unreadable: Vec::new() },
    };
    let asked = places.keys().filter(|service| work.wants(service)).chain(only);
    work.observation.services = asked.map(|service| (service.clone(), ServiceState::default())).collect();
    work.add_templates();
    work.add_groups();
    work.add_target_groups();
    work.add_tagged_rules();
    work.add_target_groups_of_rules();
    work.add_borrowed_rules();
    work.add_weights();
    work.add_slots(places);
    work.add_gaps(places);
    work.observation.unreadable.sort();
    work.observation
}

/// The ARN of the action that stands at a listener's end, as a rule of ours has it.
fn default_action(listener: &Listener) -> Rule {
    Rule {
        arn: listener.arn.default_rule(),
        listener: listener.arn.clone(),
        priority: None,
        conditions: super::resources::Conditions::default(),
        action: listener.default_action.clone(),
    }
}

/// What the tags of a resource say about its owner.
enum Owner {
    /// Another scope, another service than the one asked for, or nobody of ours.
    Other,
    /// Ours, but the rest can't be read: why.
    Unreadable(&'static str),
    /// A release of ours.
    Release(Identity, GroupName),
}

struct Work<'a> {
    scope: &'a Scope,
    only: Option<&'a ServiceName>,
    listings: &'a Listings,
    observation: Observation,
}

impl<'a> Work<'a> {
    fn wants(&self, service: &ServiceName) -> bool {
        self.only.is_none_or(|only| only == service)
    }

    fn owner(&self, tags: &Tags, name: &str) -> Owner {
        if tags.get(marks::SCOPE).map(String::as_str) != Some(self.scope.as_str()) {
            return Owner::Other;
        }
        let Some(identity) = Identity::read(tags) else {
            return Owner::Unreadable("its tags don't say which release it belongs to");
        };
        if !self.wants(&identity.service) {
            return Owner::Other;
        }
        let derived = GroupName::of(self.scope, &identity.service, &identity.digest);
        if !is_name_of(name, &derived) {
            return Owner::Unreadable("its name isn't the one of the release in its tags");
        }
        Owner::Release(identity, derived)
    }

    fn unreadable(&mut self, kind: &str, name: &str, why: &str) {
        self.observation.unreadable.push(format!("{kind}/{}: {why}", marks::plain(name)));
    }

    fn server_group(&mut self, identity: Identity, name: &GroupName) -> &mut ServerGroup {
        let service = self.observation.services.entry(identity.service.clone()).or_default();
        service.groups.entry(name.clone()).or_insert_with(|| ServerGroup {
            name: name.clone(),
            identity,
            template: None,
            group: None,
            deleting: Vec::new(),
            target_group: None,
            weight: None,
            targets: None,
            details: None,
            activities: None,
        })
    }

    fn add_templates(&mut self) {
        for template in &self.listings.templates {
            match self.owner(&template.tags, &template.name) {
                Owner::Other => {}
                Owner::Unreadable(why) => self.unreadable("launch-template", &template.name, why),
                // Only groups have to get out of the way of a name that is being deleted.
                Owner::Release(_, name) if template.name != name.as_str() => {
                    self.unreadable("launch-template", &template.name, "its name has an ending");
                }
                Owner::Release(identity, name) => {
                    let state = TemplateState {
                        id: template.id.clone(),
                        created: template.created,
                        marks: Marks::read(&template.tags, self.listings.at),
                        commit: identity.commit.clone(),
                        tags: template.tags.clone(),
                    };
                    self.server_group(identity, &name).template = Some(state);
                }
            }
        }
    }

    fn add_groups(&mut self) {
        let mut groups: Vec<&Group> = self.listings.groups.iter().collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        for group in groups {
            match self.owner(&group.tags, &group.name) {
                Owner::Other => {}
                Owner::Unreadable(why) => self.unreadable("group", &group.name, why),
                Owner::Release(identity, name) => {
                    let state = group_state(group, &identity, self.listings.at);
                    let entry = self.server_group(identity, &name);
                    if group.deleting {
                        entry.deleting.push(group.name.clone());
                    } else if entry.group.is_none() {
                        entry.group = Some(state);
                    } else {
                        self.unreadable("group", &group.name, "another group of the same release stands");
                    }
                }
            }
        }
    }

    /// By name alone: a target group that somebody attached to a group of ours is not
    /// ours, and one of ours has the name of its release.
    fn add_target_groups(&mut self) {
        let by_name: BTreeMap<&str, &TargetGroup> =
            self.listings.target_groups.iter().map(|group| (group.name.as_str(), group)).collect();
        let groups = self.observation.services.values_mut().flat_map(|service| service.groups.values_mut());
        for group in groups {
            group.target_group = by_name.get(group.name.as_str()).map(|found| (*found).clone());
        }
    }

    fn add_tagged_rules(&mut self) {
        for rule in self.readable_rules().filter(|rule| rule.priority.is_some()) {
            let Some(tags) = self.listings.elb_tags.get(rule.arn.as_str()) else {
                continue;
            };
            if tags.get(marks::SCOPE).map(String::as_str) != Some(self.scope.as_str()) {
                continue;
            }
            match tags.get(marks::SERVICE).and_then(|text| ServiceName::parse(text).ok()) {
                Some(service) if self.wants(&service) => {
                    self.observation.services.entry(service).or_default().rules.push(rule.clone());
                }
                Some(_) => {}
                None => self.unreadable("rule", rule.arn.as_str(), "its tags don't say which service it belongs to"),
            }
        }
    }

    fn readable_rules(&self) -> impl Iterator<Item = &'a Rule> + use<'a> {
        self.listings.rules.values().filter_map(|rules| rules.as_ref().ok()).flatten()
    }

    fn readable_listeners(&self) -> impl Iterator<Item = &'a Listener> + use<'a> {
        self.listings.listeners.values().filter_map(|listener| listener.as_ref().ok()?.as_ref())
    }

    /// A target group in an action whose release left neither template nor group.
    fn add_target_groups_of_rules(&mut self) {
        let ours = self.observation.services.values().flat_map(|service| &service.rules).map(|rule| &rule.action);
        let defaults = self.readable_listeners().map(|listener| &listener.default_action);
        let named: BTreeSet<TargetGroupArn> = ours.chain(defaults).flat_map(forwarded).cloned().collect();
        let known: BTreeSet<&TargetGroupArn> = self.known_target_groups().map(|(arn, _)| arn).collect();
        let unknown: Vec<TargetGroupArn> = named.iter().filter(|arn| !known.contains(arn)).cloned().collect();
        for arn in unknown {
            let found = self.listings.target_groups.iter().find(|group| group.arn == arn);
            let (Some(target_group), Some(tags)) = (found, self.listings.elb_tags.get(arn.as_str())) else {
                continue;
            };
            match self.owner(tags, &target_group.name) {
                Owner::Other => {}
                Owner::Unreadable(why) => self.unreadable("target-group", &target_group.name, why),
                Owner::Release(identity, name) => {
                    self.server_group(identity, &name).target_group = Some(target_group.clone());
                }
            }
        }
    }

    fn known_target_groups(&self) -> impl Iterator<Item = (&TargetGroupArn, &ServiceName)> {
        self.observation.services.iter().flat_map(|(service, state)| {
            let target_groups = state.groups.values().filter_map(|group| group.target_group.as_ref());
            target_groups.map(move |target_group| (&target_group.arn, service))
        })
    }

    /// Default actions carry no tags, and rules that were taken over carry none of ours: one
    /// is a service's when it forwards to it.
    fn add_borrowed_rules(&mut self) {
        let owners: BTreeMap<TargetGroupArn, ServiceName> =
            self.known_target_groups().map(|(arn, service)| (arn.clone(), service.clone())).collect();
        let listings = self.listings;
        let unowned = |rule: &&Rule| {
            let tags = listings.elb_tags.get(rule.arn.as_str());
            rule.priority.is_some() && tags.is_some_and(|tags| !tags.contains_key(marks::SCOPE))
        };
        let rules = self.readable_rules().filter(unowned).cloned();
        let candidates: Vec<Rule> = rules.chain(self.readable_listeners().map(default_action)).collect();
        for rule in candidates {
            let services: BTreeSet<&ServiceName> = forwarded(&rule.action).filter_map(|arn| owners.get(arn)).collect();
            for service in services {
                let state = self.observation.services.entry(service.clone()).or_default();
                state.borrowed.insert(rule.arn.clone());
                state.rules.push(rule.clone());
            }
        }
        for state in self.observation.services.values_mut() {
            state.rules.sort_by(|a, b| a.arn.cmp(&b.arn));
        }
    }

    fn add_weights(&mut self) {
        for state in self.observation.services.values_mut() {
            let mut percents: BTreeMap<TargetGroupArn, u32> = BTreeMap::new();
            for (arn, percent) in state.rules.iter().flat_map(|rule| rule.action.percents()) {
                let entry = percents.entry(arn).or_default();
                *entry = percent.max(*entry);
            }
            for group in state.groups.values_mut() {
                group.weight = group.target_group.as_ref().and_then(|found| percents.get(&found.arn).copied());
            }
        }
    }

    fn add_slots(&mut self, places: &BTreeMap<ServiceName, Place>) {
        for (service, place) in places {
            let standing = self.standing(place);
            let slot = self.slot(service, place, standing.as_ref());
            let spare = self.spare_priority(place);
            if let Some(state) = self.observation.services.get_mut(service) {
                (state.slot, state.standing, state.spare_priority) = (slot, standing, spare);
            }
        }
    }

    /// A place for a rule that lives only as long as a first release behind a default action
    /// is checked. From the end, where users rarely have theirs.
    fn spare_priority(&self, place: &Place) -> Option<u32> {
        if place.priority.is_some() || place.listener.is_network() {
            return None;
        }
        let rules = self.listings.rules.get(&place.listener)?.as_ref().ok()?;
        let taken: BTreeSet<u32> = rules.iter().filter_map(|rule| rule.priority).collect();
        (1..=PRIORITY_MAX).rev().find(|priority| !taken.contains(priority))
    }

    /// Whatever is at a place; none also when that could not be read.
    fn standing(&self, place: &Place) -> Option<Rule> {
        let listener = self.listings.listeners.get(&place.listener)?.as_ref().ok()?.as_ref()?;
        if place.priority.is_none() {
            return Some(default_action(listener));
        }
        let rules = self.listings.rules.get(&place.listener)?.as_ref().ok()?;
        rules.iter().find(|rule| rule.priority == place.priority).cloned()
    }

    /// None when it could not be read.
    fn slot(&self, service: &ServiceName, place: &Place, standing: Option<&Rule>) -> Option<Slot> {
        if self.listings.listeners.get(&place.listener)?.as_ref().ok()?.is_none() {
            return Some(Slot::NoListener);
        }
        if self.observation.services.get(service)?.rule_at(&place.listener, place.priority).is_some() {
            return Some(Slot::Ours);
        }
        if place.priority.is_none() {
            return self.default_slot(place, &standing?.action);
        }
        self.listings.rules.get(&place.listener)?.as_ref().ok()?;
        let Some(rule) = standing else {
            return Some(Slot::Free);
        };
        let tags = self.listings.elb_tags.get(rule.arn.as_str())?;
        let text = |key: &str| tags.get(key).map_or_else(|| "?".to_owned(), |value| marks::plain(value));
        if tags.contains_key(marks::SCOPE) {
            let what = format!("a rule of scope {}, service {}", text(marks::SCOPE), text(marks::SERVICE));
            return Some(self.tagged_slot(place, tags, what));
        }
        let what = format!(
            "a rule without our tags (priority {}, {})",
            place.priority.unwrap_or_default(),
            self.describe(&rule.action)
        );
        self.unowned_slot(&rule.action, what)
    }

    /// What carries an owner's tags is another service's of this scope, or somebody else's.
    fn tagged_slot(&self, place: &Place, tags: &Tags, what: String) -> Slot {
        match self.service_of(tags) {
            Some(service) => Slot::Neighbour(Box::new(self.neighbour(place, service, what))),
            None => Slot::Foreign(what),
        }
    }

    fn neighbour(&self, place: &Place, service: ServiceName, what: String) -> Neighbour {
        let has_tags = |rule: &&Rule| {
            let tags = self.listings.elb_tags.get(rule.arn.as_str());
            let has = |key: &str, value: &str| tags.and_then(|tags| tags.get(key)).is_some_and(|found| found == value);
            rule.priority.is_some() && has(marks::SCOPE, self.scope.as_str()) && has(marks::SERVICE, service.as_str())
        };
        let rules = self.readable_rules().filter(has_tags).cloned().collect();
        let on_listener = self.readable_rules().filter(|rule| rule.listener == place.listener);
        let taken = on_listener.filter_map(|rule| rule.priority).collect();
        Neighbour { service, what, rules, taken }
    }

    /// The service of this scope that tags name.
    fn service_of(&self, tags: &Tags) -> Option<ServiceName> {
        if tags.get(marks::SCOPE).map(String::as_str) != Some(self.scope.as_str()) {
            return None;
        }
        ServiceName::parse(tags.get(marks::SERVICE)?).ok()
    }

    /// The service of this scope that alone has what an action forwards to.
    fn only_service(&self, action: &RuleAction) -> Option<ServiceName> {
        let known: BTreeMap<&TargetGroupArn, &ServiceName> = self.known_target_groups().collect();
        let owner = |arn: &TargetGroupArn| {
            if let Some(service) = known.get(arn) {
                return Some((*service).clone());
            }
            let tags = self.listings.elb_tags.get(arn.as_str())?;
            self.service_of(tags)
        };
        let owners: BTreeSet<Option<ServiceName>> = forwarded(action).map(owner).collect();
        let mut owners = owners.into_iter();
        owners.next().flatten().filter(|_| owners.next().is_none())
    }

    /// A fixed response is what a listener that waits for its first service has.
    fn default_slot(&self, place: &Place, action: &RuleAction) -> Option<Slot> {
        match action {
            RuleAction::Other(text) if text.starts_with("fixed-response") => Some(Slot::Free),
            action => {
                let what = format!("the listener's default action ({})", self.describe(action));
                match self.only_service(action) {
                    Some(service) => Some(Slot::Neighbour(Box::new(self.neighbour(place, service, what)))),
                    None => self.unowned_slot(action, what),
                }
            }
        }
    }

    /// Whether what nobody has tagged may be taken over: it is a plain forward, one target
    /// group has all its traffic, and none belongs to another scope. None when the tags of a
    /// target group could not be read.
    fn unowned_slot(&self, action: &RuleAction, what: String) -> Option<Slot> {
        let weighted = action.percents().into_iter().filter(|(_, percent)| *percent > 0).count();
        for arn in forwarded(action) {
            let Some(tags) = self.listings.elb_tags.get(arn.as_str()) else {
                // One that is ours is known by its name; whose else's must be read.
                let known = self.known_target_groups().any(|(known, _)| known == arn);
                let listed = self.listings.target_groups.iter().any(|group| &group.arn == arn);
                if known || !listed {
                    return Some(Slot::Foreign(what));
                }
                return None;
            };
            if let Some(scope) = tags.get(marks::SCOPE) {
                let service = tags.get(marks::SERVICE).map_or_else(|| "?".to_owned(), |value| marks::plain(value));
                let scope = marks::plain(scope);
                return Some(Slot::Foreign(format!("{what}, of scope {scope}, service {service}")));
            }
        }
        Some(if weighted == 1 { Slot::Adoptable(what) } else { Slot::Foreign(what) })
    }

    fn describe(&self, action: &RuleAction) -> String {
        let weights = match action {
            RuleAction::Forward(weights) | RuleAction::ForwardAmong(weights, _) => weights,
            RuleAction::Other(text) => return marks::plain(text),
        };
        let name = |arn: &TargetGroupArn| {
            let known = self.listings.target_groups.iter().find(|group| &group.arn == arn);
            known.map_or_else(|| arn.to_string(), |group| marks::plain(&group.name))
        };
        let names: Vec<String> = weights.iter().map(|(arn, _)| name(arn)).collect();
        format!("forwards to {}", names.join(", "))
    }

    /// A service is unknown as long as any listener that may have a rule of it is.
    fn add_gaps(&mut self, places: &BTreeMap<ServiceName, Place>) {
        let listings = self.listings;
        for (service, state) in &mut self.observation.services {
            let place = places.get(service).map(|place| &place.listener);
            let marks = state.groups.values().filter_map(|group| group.group.as_ref()?.marks.listener.as_ref());
            let needed: BTreeSet<&ListenerArn> = place.into_iter().chain(marks).collect();
            let listener = needed.into_iter().find_map(|listener| gap(listings, listener));
            state.incomplete = listener.or_else(|| stranger(listings, state));
        }
    }
}

/// What is missing of a listener, if anything.
fn gap(listings: &Listings, listener: &ListenerArn) -> Option<String> {
    match listings.listeners.get(listener) {
        None => return Some(format!("listener {listener} was not read")),
        Some(Err(why)) => return Some(why.clone()),
        // With the listener its rules are gone.
        Some(Ok(None)) => return None,
        Some(Ok(Some(_))) if listener.is_network() => return None,
        Some(Ok(Some(_))) => {}
    }
    let rules = match listings.rules.get(listener) {
        None => return Some(format!("the rules of listener {listener} were not read")),
        Some(Err(why)) => return Some(why.clone()),
        Some(Ok(rules)) => rules,
    };
    let tagged = |rule: &&Rule| rule.priority.is_none() || listings.elb_tags.contains_key(rule.arn.as_str());
    let untagged = rules.iter().find(|rule| !tagged(rule))?;
    Some(format!("the tags of rule {} were not read", untagged.arn))
}

/// A target group in one of a service's actions of which we can't say whose it is. It
/// exists, whatever the listing says, and may well be ours.
fn stranger(listings: &Listings, state: &ServiceState) -> Option<String> {
    let named = state.rules.iter().flat_map(|rule| forwarded(&rule.action));
    let listed = |arn: &TargetGroupArn| listings.target_groups.iter().any(|group| &group.arn == arn);
    let unknown = |arn: &&TargetGroupArn| !listed(arn) || !listings.elb_tags.contains_key(arn.as_str());
    let arn = named.filter(|arn| state.owner_of(arn).is_none()).find(unknown)?;
    Some(format!("target group {arn} is in an action, but what it is could not be read"))
}

/// The last priority of a listener.
/// Source: the API reference of CreateRule.
const PRIORITY_MAX: u32 = 50_000;

/// NAME or NAME-n.
fn is_name_of(name: &str, derived: &GroupName) -> bool {
    match name.strip_prefix(derived.as_str()) {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix('-')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())),
        None => false,
    }
}

/// The target groups that an action names.
pub fn forwarded(action: &RuleAction) -> impl Iterator<Item = &TargetGroupArn> {
    action.weights().unwrap_or_default().iter().map(|(arn, _)| arn)
}

fn group_state(group: &Group, identity: &Identity, at: Timestamp) -> GroupState {
    GroupState {
        name: group.name.clone(),
        min: group.min,
        max: group.max,
        desired: group.desired,
        instances: group.instances.clone(),
        suspended: group.suspended.clone(),
        created: group.created,
        marks: Marks::read(&group.tags, at),
        commit: identity.commit.clone(),
        tags: group.tags.clone(),
        template: group.template.clone(),
        shape: group.shape.clone(),
    }
}

#[cfg(test)]
mod tests;
