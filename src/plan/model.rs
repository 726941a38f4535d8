//! A model of AWS in which everything goes well, for looking ahead.
//!
//! The planner itself is run forward on it: what one pass would do now, and what would
//! follow. It is deliberately simpler than the simulator, which is there to be trusted less.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{GroupName, RuleArn, TargetGroupArn, Version};
use crate::observed::marks::{Identity, Marks};
use crate::observed::resources::{
    Details, GroupChange, GroupSpec, Instance, Lifecycle, Rule, RuleAction, Shape, TargetGroup, TargetGroupSpec,
    TargetHealth, Targets, TemplateSpec,
};
use crate::observed::state::{GroupState, ServerGroup, ServiceState, Slot, TemplateState};
use crate::time::{Span, Timestamp};

use super::action::{Carrier, Mutation, Weight};
use super::view::is_temporary;

/// From a launch to a healthy target, where nothing better is known: a machine boots,
/// fetches its container and answers its checks in about three minutes.
pub const BOOT: Span = Span::from_mins(3);

/// The machines that a group gets in the model. No file asks for more; what was read may
/// say any number, and each machine takes memory.
const MACHINES_MAX: usize = 10_000;

/// From the deletion of an empty group until its name is free.
const DELETION: Span = Span::from_secs(30);

/// A service as it would become.
#[derive(Debug, Clone)]
pub struct Model {
    /// As it is at the model's time.
    pub state: ServiceState,
    due: BTreeMap<Timestamp, Vec<Event>>,
    machines: u32,
}

#[derive(Debug, Clone)]
enum Event {
    Booted(GroupName),
    Emptied(GroupName),
    Deleted(GroupName, String),
}

impl Model {
    /// Begins with what was read. What is on its way is taken to arrive.
    pub fn new(state: &ServiceState, now: Timestamp) -> Self {
        let mut model = Self { state: state.clone(), due: BTreeMap::new(), machines: 0 };
        for group in state.groups.values() {
            for name in &group.deleting {
                model.schedule(now + DELETION, Event::Deleted(group.name.clone(), name.clone()));
            }
            let Some(members) = &group.group else { continue };
            let healthy = group.targets.as_ref().map_or(members.inline_healthy(), |targets| {
                u32::try_from(targets.values().filter(|target| target.health == TargetHealth::Healthy).count())
                    .unwrap_or(0)
            });
            if healthy < members.desired {
                model.schedule(now + BOOT, Event::Booted(group.name.clone()));
            }
            if members.instances.iter().any(|instance| instance.lifecycle == Lifecycle::Leaving) || members.desired == 0
            {
                model.schedule(now + Span::from_secs(30), Event::Emptied(group.name.clone()));
            }
        }
        model
    }

    fn schedule(&mut self, at: Timestamp, event: Event) {
        self.due.entry(at).or_default().push(event);
    }

    /// When something happens by itself next.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.due.keys().next().copied()
    }

    /// Lets everything happen that is due.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(entry) = self.due.first_entry().filter(|entry| *entry.key() <= now) {
            for event in entry.remove() {
                self.happen(event);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Booted(name) => self.fill(&name),
            Event::Emptied(name) => {
                if let Some(group) = self.group(&name) {
                    group.instances.retain(|instance| instance.lifecycle != Lifecycle::Leaving);
                }
            }
            Event::Deleted(name, group) => {
                self.forget(&name, |owner| owner.deleting.retain(|other| *other != group));
            }
        }
        self.settle_health();
    }

    fn group(&mut self, name: &GroupName) -> Option<&mut GroupState> {
        self.state.groups.get_mut(name)?.group.as_mut()
    }

    /// Every machine that the group aims at is there and in service.
    fn fill(&mut self, name: &GroupName) {
        let mut next = self.machines;
        let Some(group) = self.group(name) else { return };
        for instance in &mut group.instances {
            if instance.lifecycle == Lifecycle::Pending {
                instance.lifecycle = Lifecycle::InService;
            }
            instance.healthy = true;
        }
        let standing = group.instances.iter().filter(|i| i.lifecycle == Lifecycle::InService).count();
        let missing = usize::try_from(group.desired).unwrap_or(0).min(MACHINES_MAX).saturating_sub(standing);
        for _ in 0..missing {
            next += 1;
            group.instances.push(Instance {
                id: format!("model-{next}"),
                lifecycle: Lifecycle::InService,
                healthy: true,
            });
        }
        self.machines = next;
        if let Some(owner) = self.state.groups.get_mut(name) {
            owner.targets = None;
        }
    }

    /// Machines in service are healthy once a rule names their target group. What was read
    /// stays as it was read.
    fn settle_health(&mut self) {
        let rules = &self.state.rules;
        for owner in self.state.groups.values_mut() {
            let (Some(group), Some(target_group)) = (&owner.group, &owner.target_group) else {
                owner.targets = owner.group.as_ref().and(owner.targets.take());
                continue;
            };
            let named = |rule: &Rule| rule.action.percents().iter().any(|(arn, _)| *arn == target_group.arn);
            let health = if rules.iter().any(named) { TargetHealth::Healthy } else { TargetHealth::Unused };
            let known = owner.targets.take().unwrap_or_default();
            let serving = group.instances.iter().filter(|i| i.lifecycle == Lifecycle::InService);
            let targets: Targets = serving
                .map(|i| {
                    let read = known.get(&i.id).cloned().filter(|read| read.health != TargetHealth::Unused);
                    (i.id.clone(), read.unwrap_or(health.into()))
                })
                .collect();
            owner.targets = Some(targets);
        }
    }

    /// Does what a change asks for.
    pub fn apply(&mut self, mutation: &Mutation, now: Timestamp) {
        match mutation {
            Mutation::CreateTemplate(spec) => self.create_template(spec, now),
            Mutation::CreateTargetGroup(spec) => self.create_target_group(spec),
            Mutation::SetTargetGroup { spec, .. } => self.set_target_group(spec),
            Mutation::CreateRule { listener, priority, conditions, weights, .. } => {
                let text = format!("arn:aws:elasticloadbalancing:model:0:listener-rule/{priority}");
                let Ok(arn) = RuleArn::parse(&text) else { return };
                // As the rule whose place it takes.
                let old = self.state.rules.iter().find(|rule| !is_temporary(&rule.conditions));
                let kept = old.filter(|_| !is_temporary(conditions)).map(|rule| rule.action.kept()).unwrap_or_default();
                self.state.rules.push(Rule {
                    arn,
                    listener: listener.clone(),
                    priority: Some(*priority),
                    conditions: conditions.clone(),
                    action: RuleAction::forward(shares(weights), kept),
                });
                // A rule before a listener's default action is not yet where the file wants to be.
                let makes_way = matches!(self.state.slot, Some(Slot::Neighbour(_)));
                if self.state.spare_priority.is_none() && !makes_way {
                    self.state.slot = Some(Slot::Ours);
                }
            }
            Mutation::SetRule { rule, conditions, weights } => {
                if let Some(rule) = self.state.rules.iter_mut().find(|known| known.arn == *rule) {
                    rule.conditions = conditions.clone();
                    rule.action = rule.action.with_weights(shares(weights));
                }
            }
            Mutation::SetWeights { rule, weights } => self.set_weights(rule, weights),
            Mutation::DeleteRule { rule } => {
                self.state.rules.retain(|known| known.arn != *rule);
                if self.state.rules.is_empty() && self.state.slot == Some(Slot::Ours) {
                    self.state.slot = Some(Slot::Free);
                }
            }
            Mutation::CreateGroup { release, spec } => self.create_group(release, spec, now),
            Mutation::SetCapacity { release, min, max, desired, .. } => {
                self.set_capacity(release, *min, *max, *desired, now);
            }
            Mutation::SetGroup { release, change, .. } => self.set_group(release, change),
            Mutation::SetPolicies { release, policies, .. } => {
                if let Some(details) = self.state.groups.get_mut(release).and_then(|owner| owner.details.as_mut()) {
                    details.policies = policies.clone();
                }
            }
            Mutation::SetMark { on, mark, value } => {
                self.tags(on, now, |tags| {
                    tags.insert(mark.key().to_owned(), value.clone());
                });
            }
            Mutation::ClearMark { on, mark } => self.tags(on, now, |tags| {
                tags.remove(mark.key());
            }),
            Mutation::SetTags { on, tags: new } => self.tags(on, now, |tags| tags.extend(new.clone())),
            Mutation::DeleteGroup { release, group } => self.delete_group(release, group, now),
            Mutation::DeleteTargetGroup { release, .. } => self.forget(release, |owner| {
                owner.target_group = None;
                owner.targets = None;
            }),
            Mutation::DeleteTemplate { release, .. } => self.forget(release, |owner| owner.template = None),
        }
        self.weigh();
        self.settle_health();
    }

    /// A rule that isn't ours yet, and that the file names, becomes so.
    fn set_weights(&mut self, arn: &RuleArn, weights: &[Weight]) {
        let state = &mut self.state;
        if state.rules.iter().all(|known| known.arn != *arn) {
            let Some(standing) = state.standing.clone().filter(|standing| standing.arn == *arn) else { return };
            state.rules.push(standing);
            state.borrowed.insert(arn.clone());
            state.slot = Some(Slot::Ours);
        }
        if let Some(rule) = state.rules.iter_mut().find(|known| known.arn == *arn) {
            rule.action = rule.action.with_weights(shares(weights));
            if state.standing.as_ref().is_some_and(|standing| standing.arn == *arn) {
                state.standing = Some(rule.clone());
            }
        }
        self.disown();
    }

    /// What was taken over and names no release of ours any more is the user's again.
    fn disown(&mut self) {
        let ours: Vec<TargetGroupArn> =
            self.state.groups.values().filter_map(|owner| Some(owner.target_group.as_ref()?.arn.clone())).collect();
        let borrowed = self.state.borrowed.clone();
        let names_us = |rule: &Rule| rule.action.percents().iter().any(|(arn, _)| ours.contains(arn));
        self.state.rules.retain(|rule| !borrowed.contains(&rule.arn) || names_us(rule));
        let (rules, borrowed) = (&self.state.rules, &mut self.state.borrowed);
        borrowed.retain(|arn| rules.iter().any(|rule| rule.arn == *arn));
        let standing = self.state.standing.as_ref().map(|rule| &rule.arn);
        let is_left = standing.is_some_and(|arn| rules.iter().all(|rule| rule.arn != *arn));
        if self.state.slot == Some(Slot::Ours) && is_left {
            self.state.slot = Some(Slot::Adoptable("what served before".to_owned()));
        }
    }

    fn create_template(&mut self, spec: &TemplateSpec, now: Timestamp) {
        let Some(identity) = Identity::read(&spec.tags) else { return };
        let template = TemplateState {
            id: format!("lt-{}", spec.name),
            created: now,
            marks: Marks::read(&spec.tags, now),
            commit: identity.commit.clone(),
            tags: spec.tags.clone(),
        };
        let owner = self.state.groups.entry(spec.name.clone()).or_insert_with(|| empty_group(&spec.name, identity));
        owner.template = Some(template);
    }

    fn create_target_group(&mut self, spec: &TargetGroupSpec) {
        let text = format!("arn:aws:elasticloadbalancing:model:0:targetgroup/{}/0", spec.name);
        let Ok(arn) = TargetGroupArn::parse(&text) else { return };
        let Some(owner) = self.state.groups.get_mut(&spec.name) else { return };
        owner.target_group = Some(TargetGroup {
            arn,
            name: spec.name.to_string(),
            port: spec.port,
            protocol: spec.protocol.clone(),
            health_check: spec.health_check.clone(),
            in_use: false,
        });
        owner.details = Some(Details { policies: Vec::new(), deregistration_delay: Some(spec.deregistration_delay) });
    }

    fn set_target_group(&mut self, spec: &TargetGroupSpec) {
        let Some(owner) = self.state.groups.get_mut(&spec.name) else { return };
        if let Some(target_group) = &mut owner.target_group {
            target_group.health_check = spec.health_check.clone();
        }
        if let Some(details) = &mut owner.details {
            details.deregistration_delay = Some(spec.deregistration_delay);
        }
    }

    fn create_group(&mut self, release: &GroupName, spec: &GroupSpec, now: Timestamp) {
        let Some(owner) = self.state.groups.get_mut(release) else { return };
        owner.details.get_or_insert(Details { policies: Vec::new(), deregistration_delay: None });
        let template_id = owner.template.as_ref().map(|template| template.id.clone());
        owner.group = Some(GroupState {
            name: spec.name.clone(),
            min: spec.min,
            max: spec.max,
            desired: spec.min,
            instances: Vec::new(),
            suspended: Vec::new(),
            created: now,
            marks: Marks::read(&spec.tags, now),
            commit: owner.identity.commit.clone(),
            tags: spec.tags.clone(),
            template: Some((spec.template.to_string(), "1".to_owned())),
            shape: Some(made(spec, template_id)),
        });
        owner.activities = Some(Vec::new());
        self.launch(release, spec.min);
        self.schedule(now + BOOT, Event::Booted(release.clone()));
    }

    fn set_group(&mut self, release: &GroupName, change: &GroupChange) {
        let template_id = self.state.groups.get(release).and_then(|owner| Some(owner.template.as_ref()?.id.clone()));
        let Some(group) = self.group(release) else { return };
        let Some(shape) = &mut group.shape else { return };
        match change {
            GroupChange::Template(name) => {
                group.template = Some((name.to_string(), "1".to_owned()));
                (shape.template_id, shape.mixed_instances) = (template_id, false);
            }
            GroupChange::Attach(arn) => shape.target_groups.push(arn.clone()),
            GroupChange::HealthCheck { kind, grace } => (shape.health_check, shape.grace) = (kind.clone(), *grace),
            GroupChange::Subnets(subnets) => shape.subnets = sorted(subnets),
            GroupChange::Resume(processes) => group.suspended.retain(|process| !processes.contains(process)),
            GroupChange::Unprotect(machines) => {
                shape.protects_new = false;
                shape.protected.retain(|machine| !machines.contains(machine));
            }
            GroupChange::Termination(policies) => shape.termination = policies.clone(),
        }
    }

    fn launch(&mut self, release: &GroupName, count: u32) {
        let mut next = self.machines;
        let Some(group) = self.group(release) else { return };
        let room = MACHINES_MAX.saturating_sub(group.instances.len());
        for _ in 0..usize::try_from(count).unwrap_or(usize::MAX).min(room) {
            next += 1;
            group.instances.push(Instance {
                id: format!("model-{next}"),
                lifecycle: Lifecycle::Pending,
                healthy: true,
            });
        }
        self.machines = next;
    }

    fn set_capacity(&mut self, release: &GroupName, min: u32, max: u32, desired: Option<u32>, now: Timestamp) {
        let targets = self.state.groups.get(release).and_then(|owner| owner.targets.clone()).unwrap_or_default();
        let failing: BTreeSet<String> = targets
            .into_iter()
            .filter(|(_, target)| target.health != TargetHealth::Healthy)
            .map(|(id, _)| id)
            .collect();
        let Some(group) = self.group(release) else { return };
        let old = group.desired;
        (group.min, group.max) = (min, max);
        group.desired = desired.unwrap_or(old).clamp(min, max.max(min));
        let new = group.desired;
        if new > old {
            self.launch(release, new - old);
            self.schedule(now + BOOT, Event::Booted(release.clone()));
        } else if new < old {
            // Those that fail go first.
            let keep = usize::try_from(new).unwrap_or(usize::MAX);
            group
                .instances
                .sort_by_cached_key(|i| i.lifecycle != Lifecycle::InService || !i.healthy || failing.contains(&i.id));
            for instance in group.instances.iter_mut().skip(keep) {
                instance.lifecycle = Lifecycle::Leaving;
            }
            let drain = self.state.groups.get(release).and_then(|owner| owner.details.as_ref()?.deregistration_delay);
            self.schedule(now + drain.unwrap_or(Span::from_secs(30)), Event::Emptied(release.clone()));
        }
    }

    fn delete_group(&mut self, release: &GroupName, name: &str, now: Timestamp) {
        if let Some(owner) = self.state.groups.get_mut(release) {
            owner.group = None;
            owner.targets = None;
            owner.deleting.push(name.to_owned());
        }
        self.schedule(now + DELETION, Event::Deleted(release.clone(), name.to_owned()));
    }

    fn forget(&mut self, release: &GroupName, change: impl FnOnce(&mut ServerGroup)) {
        let Some(owner) = self.state.groups.get_mut(release) else { return };
        change(owner);
        let nothing = owner.template.is_none() && owner.group.is_none() && owner.target_group.is_none();
        if nothing && owner.deleting.is_empty() {
            self.state.groups.remove(release);
        }
    }

    fn tags(&mut self, on: &Carrier, now: Timestamp, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let (Carrier::Template { release, .. } | Carrier::Group { release, .. }) = on;
        let Some(owner) = self.state.groups.get_mut(release) else { return };
        match on {
            Carrier::Template { .. } => {
                let Some(template) = &mut owner.template else { return };
                change(&mut template.tags);
                template.marks = Marks::read(&template.tags, now);
            }
            Carrier::Group { .. } => {
                let Some(group) = &mut owner.group else { return };
                change(&mut group.tags);
                group.marks = Marks::read(&group.tags, now);
            }
        }
    }

    /// Weights of server groups follow from the rules.
    fn weigh(&mut self) {
        let rules = self.state.rules.clone();
        for owner in self.state.groups.values_mut() {
            let arn = owner.target_group.as_ref().map(|target_group| target_group.arn.clone());
            let percents = rules.iter().flat_map(|rule| rule.action.percents());
            owner.weight = arn.and_then(|arn| percents.filter(|(other, _)| *other == arn).map(|(_, p)| p).max());
            if let Some(target_group) = &mut owner.target_group {
                target_group.in_use = owner.weight.is_some();
            }
        }
    }

    /// Machines of the service, booting ones included, leaving ones not.
    pub fn instances(&self) -> u32 {
        let groups = self.state.groups.values().filter_map(|owner| owner.group.as_ref());
        let staying = groups.flat_map(|group| &group.instances).filter(|i| i.lifecycle != Lifecycle::Leaving);
        u32::try_from(staying.count()).unwrap_or(u32::MAX)
    }

    /// The version of a release.
    pub fn version(&self, release: &GroupName) -> Option<&Version> {
        Some(&self.state.groups.get(release)?.identity.version)
    }
}

fn made(spec: &GroupSpec, template_id: Option<String>) -> Shape {
    Shape {
        template_id,
        target_groups: spec.target_group.iter().cloned().collect(),
        health_check: if spec.target_group.is_some() { "ELB" } else { "EC2" }.to_owned(),
        grace: spec.grace,
        subnets: sorted(&spec.subnets),
        termination: vec!["Default".to_owned()],
        ..Shape::default()
    }
}

fn sorted(list: &[String]) -> Vec<String> {
    let mut list = list.to_vec();
    list.sort();
    list
}

fn shares(weights: &[Weight]) -> Vec<(TargetGroupArn, u32)> {
    weights.iter().map(|weight| (weight.target_group.clone(), weight.percent)).collect()
}

/// A server group of which nothing stands yet.
pub fn empty_group(name: &GroupName, identity: Identity) -> ServerGroup {
    ServerGroup {
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
    }
}
