//! The reading half of the port.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::cloud::{Caller, CloudError, CloudReader, ErrorKind, Owner};
use crate::names::{AccountId, ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::marks;
use crate::observed::prerequisites::{Found, Kind};
use crate::observed::resources::{
    Activity, Conditions, Details, Group, Instance, Listener, Rule, Shape, Tags, Target, TargetGroup, Targets, Template,
};
use crate::time::Timestamp;

use super::world::{SimGroup, SimListener, SimTarget, SimTargetGroup, World};
use super::{SimCloud, error};

/// Page sizes of the API.
/// Source: the API reference; each is the largest that its operation allows.
const GROUPS_PAGE: usize = 100;
const TEMPLATES_PAGE: usize = 200;
const TARGET_GROUPS_PAGE: usize = 400;
const RULES_PAGE: usize = 400;
const TAGS_PAGE: usize = 20;

#[async_trait]
impl CloudReader for SimCloud {
    fn now(&self) -> Timestamp {
        self.lock().world.time()
    }

    async fn caller(&self) -> Result<Caller, CloudError> {
        self.read("GetCallerIdentity", "", |world| {
            let account = AccountId::parse(&world.account);
            let text = |why: crate::names::NameError| why.to_string();
            let invalid = |why| error("GetCallerIdentity", "", ErrorKind::Invalid, "", why);
            Ok((Caller { account: account.map_err(text).map_err(invalid)?, name: "simulated".to_owned() }, 1))
        })
    }

    async fn groups(&self, owner: &Owner) -> Result<Vec<Group>, CloudError> {
        self.read("DescribeAutoScalingGroups", "", |world| {
            let ours = world.groups.iter().filter(|(_, group)| world.shows(group.created) && owns(owner, &group.tags));
            let groups: Vec<Group> = ours.map(|(name, group)| describe_group(name, group)).collect();
            let pages = pages(groups.len(), GROUPS_PAGE);
            Ok((groups, pages))
        })
    }

    async fn templates(&self, owner: &Owner) -> Result<Vec<Template>, CloudError> {
        self.read("DescribeLaunchTemplates", "", |world| {
            let ours =
                world.templates.iter().filter(|(_, found)| world.shows(found.created) && owns(owner, &found.tags));
            let templates: Vec<Template> = ours
                .map(|(id, template)| Template {
                    id: id.clone(),
                    name: template.name.clone(),
                    created: Timestamp::from_millis(template.created),
                    tags: template.tags.clone(),
                })
                .collect();
            let pages = pages(templates.len(), TEMPLATES_PAGE);
            Ok((templates, pages))
        })
    }

    async fn target_groups(&self) -> Result<Vec<TargetGroup>, CloudError> {
        self.read("DescribeTargetGroups", "", |world| {
            let used = world.used();
            let describe = |(arn, group): (&TargetGroupArn, &SimTargetGroup)| {
                describe_target_group(arn, group, used.contains(arn))
            };
            let groups: Vec<TargetGroup> =
                world.target_groups.iter().filter(|(_, found)| world.shows(found.created)).map(describe).collect();
            let pages = pages(groups.len(), TARGET_GROUPS_PAGE);
            Ok((groups, pages))
        })
    }

    async fn listeners(&self, arns: &[ListenerArn]) -> Result<Vec<Listener>, CloudError> {
        self.read("DescribeListeners", "", |world| {
            let found = arns.iter().map(|arn| {
                let listener = find_listener(world, "DescribeListeners", arn)?;
                Ok(Listener {
                    arn: arn.clone(),
                    protocol: listener.protocol.clone(),
                    default_action: listener.default_action.clone(),
                })
            });
            Ok((found.collect::<Result<Vec<_>, CloudError>>()?, 1))
        })
    }

    async fn rules(&self, listener: &ListenerArn) -> Result<Vec<Rule>, CloudError> {
        self.read("DescribeRules", listener.as_str(), |world| {
            let last = find_listener(world, "DescribeRules", listener)?;
            let ours = world.rules.iter().filter(|(_, rule)| &rule.listener == listener && world.shows(rule.created));
            let mut rules: Vec<Rule> = ours
                .map(|(arn, rule)| Rule {
                    arn: arn.clone(),
                    listener: listener.clone(),
                    priority: Some(rule.priority),
                    conditions: rule.conditions.clone(),
                    action: rule.action.clone(),
                })
                .collect();
            rules.sort_by_key(|rule| rule.priority);
            rules.push(Rule {
                arn: listener.default_rule(),
                listener: listener.clone(),
                priority: None,
                conditions: Conditions::default(),
                action: last.default_action.clone(),
            });
            let pages = pages(rules.len(), RULES_PAGE);
            Ok((rules, pages))
        })
    }

    async fn tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>, CloudError> {
        self.read("DescribeTags", "", |world| {
            let found = arns.iter().filter_map(|arn| Some((arn.clone(), elb_tags(world, arn)?)));
            Ok((found.collect(), pages(arns.len(), TAGS_PAGE)))
        })
    }

    async fn target_health(&self, arn: &TargetGroupArn) -> Result<Targets, CloudError> {
        self.read("DescribeTargetHealth", arn.as_str(), |world| {
            let group = find_target_group(world, "DescribeTargetHealth", arn)?;
            let describe = |target: &SimTarget| Target { health: target.health, words: target.words.clone() };
            Ok((group.targets.iter().map(|(id, target)| (id.clone(), describe(target))).collect(), 1))
        })
    }

    async fn activities(&self, group: &str) -> Result<Vec<Activity>, CloudError> {
        self.read("DescribeScalingActivities", group, |world| {
            // Source: the API answers an unknown name with an empty list.
            let activities = world.groups.get(group).into_iter().flat_map(|group| &group.activities);
            let describe = |activity: &super::world::SimActivity| Activity {
                started: Timestamp::from_millis(activity.started),
                ended: activity.ended.map(Timestamp::from_millis),
                outcome: activity.outcome,
                message: activity.message.clone(),
                cause: activity.cause.clone(),
                instance: Some(activity.instance.clone()).filter(|id| !id.is_empty()),
                launch: activity.launch,
            };
            Ok((activities.map(describe).collect(), 1))
        })
    }

    async fn details(&self, group: &str, target_group: Option<&TargetGroupArn>) -> Result<Details, CloudError> {
        let policies = self.read("DescribePolicies", group, |world| {
            let found = world.groups.get(group).filter(|group| group.deleted_at.is_none());
            let missing =
                || error("DescribePolicies", group, ErrorKind::NotFound, "ValidationError", "Group not found");
            Ok((found.ok_or_else(missing)?.policies.clone(), 1))
        })?;
        let Some(arn) = target_group else {
            return Ok(Details { policies, deregistration_delay: None });
        };
        let delay = self.read("DescribeTargetGroupAttributes", arn.as_str(), |world| {
            Ok((find_target_group(world, "DescribeTargetGroupAttributes", arn)?.deregistration_delay, 1))
        })?;
        Ok(Details { policies, deregistration_delay: Some(delay) })
    }

    async fn prerequisites(&self, kind: Kind, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Found>, CloudError> {
        self.read(kind.operation(), "", |world| {
            let calls = if kind == Kind::TargetGroup { ids.len() } else { 1 };
            Ok((world.find_all(kind, ids)?, calls))
        })
    }
}

fn pages(count: usize, size: usize) -> usize {
    count.div_ceil(size).max(1)
}

fn owns(owner: &Owner, tags: &Tags) -> bool {
    let text = |key: &str| tags.get(key).map(String::as_str);
    text(marks::SCOPE) == Some(owner.scope.as_str())
        && owner.service.as_ref().is_none_or(|service| text(marks::SERVICE) == Some(service.as_str()))
}

fn elb_tags(world: &World, arn: &str) -> Option<Tags> {
    let rule = RuleArn::parse(arn).ok();
    if let Some(listener) = rule.as_ref().and_then(RuleArn::default_of) {
        return world.listeners.contains_key(&listener).then(Tags::new);
    }
    let rule = rule.and_then(|arn| world.rules.get(&arn)).map(|rule| rule.tags.clone());
    let target_group = || world.target_groups.get(&TargetGroupArn::parse(arn).ok()?).map(|group| group.tags.clone());
    rule.or_else(target_group)
}

pub(super) fn find_listener<'a>(
    world: &'a World,
    operation: &'static str,
    arn: &ListenerArn,
) -> Result<&'a SimListener, CloudError> {
    let missing = || {
        let text = "One or more listeners not found";
        error(operation, arn.as_str(), ErrorKind::NotFound, "ListenerNotFound", text)
    };
    world.listeners.get(arn).ok_or_else(missing)
}

pub(super) fn find_target_group<'a>(
    world: &'a World,
    operation: &'static str,
    arn: &TargetGroupArn,
) -> Result<&'a SimTargetGroup, CloudError> {
    let missing = || {
        let text = "One or more target groups not found";
        error(operation, arn.as_str(), ErrorKind::NotFound, "TargetGroupNotFound", text)
    };
    world.target_groups.get(arn).ok_or_else(missing)
}

fn describe_group(name: &str, group: &SimGroup) -> Group {
    let instances = group.instances.iter().map(|(id, machine)| Instance {
        id: id.clone(),
        lifecycle: machine.lifecycle,
        healthy: machine.healthy,
    });
    Group {
        name: name.to_owned(),
        min: group.min,
        max: group.max,
        desired: group.desired,
        instances: instances.collect(),
        deleting: group.deleted_at.is_some(),
        suspended: group.suspended.clone(),
        tags: group.tags.clone(),
        template: Some((group.template.clone(), group.template_version.clone())),
        target_groups: group.target_groups.clone(),
        shape: Some(shape(group)),
        created: Timestamp::from_millis(group.created),
    }
}

fn shape(group: &SimGroup) -> Shape {
    let health_check = match (group.health_check_type.as_str(), group.target_groups.is_empty()) {
        ("", true) => "EC2",
        ("", false) => "ELB",
        (word, _) => word,
    };
    let mut subnets = group.subnets.clone();
    subnets.sort();
    let protected = group.instances.iter().filter(|(_, machine)| machine.protected);
    let in_hooks = group.instances.values().filter(|machine| machine.waits_in_hook()).count();
    Shape {
        template_id: group.template_id.clone(),
        target_groups: group.target_groups.clone(),
        health_check: health_check.to_owned(),
        grace: group.grace,
        subnets,
        protects_new: group.protects_new,
        protected: protected.map(|(id, _)| id.clone()).collect(),
        in_hooks: u32::try_from(in_hooks).unwrap_or(u32::MAX),
        mixed_instances: group.mixed_instances,
        termination: group.termination.clone(),
        deletion_protection: Some(group.deletion_protection.clone()).filter(|word| !word.is_empty()),
    }
}

fn describe_target_group(arn: &TargetGroupArn, group: &SimTargetGroup, in_use: bool) -> TargetGroup {
    TargetGroup {
        arn: arn.clone(),
        name: group.name.clone(),
        port: group.port,
        protocol: group.protocol.clone(),
        health_check: group.health_check.clone(),
        in_use,
    }
}
