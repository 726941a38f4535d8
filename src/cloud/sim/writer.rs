//! The changing half of the port.

use async_trait::async_trait;

use crate::cloud::{CloudError, CloudWriter, ErrorKind, RuleSpec, Tagged};
use crate::names::{RuleArn, TargetGroupArn};
use crate::observed::resources::{
    AmiSpec, Conditions, GroupChange, GroupSpec, Kept, Policy, RuleAction, Tags, TargetGroupSpec, TemplateSpec,
};

use super::SimCloud;
use super::check::{self, Asked};
use super::reader::{find_listener, find_target_group};
use super::world::{SimGroup, SimRule, SimTargetGroup, SimTemplate, World, after};

#[async_trait]
impl CloudWriter for SimCloud {
    async fn create_template(&self, spec: &TemplateSpec) -> Result<(), CloudError> {
        if let AmiSpec::Name(pattern) = &spec.ami {
            self.read("DescribeImages", pattern, |_| Ok(((), 1)))?;
        }
        self.write(&["CreateLaunchTemplate"], spec.name.as_str(), |world| world.create_template(spec))
    }

    async fn create_target_group(&self, spec: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError> {
        let operations = ["CreateTargetGroup", "ModifyTargetGroupAttributes"];
        self.write(&operations, spec.name.as_str(), |world| world.create_target_group(spec))
    }

    async fn set_target_group(&self, arn: &TargetGroupArn, spec: &TargetGroupSpec) -> Result<(), CloudError> {
        let operations = ["ModifyTargetGroup", "ModifyTargetGroupAttributes"];
        self.write(&operations, arn.as_str(), |world| {
            find_target_group(world, operations[0], arn)?;
            if let Some(group) = world.target_groups.get_mut(arn) {
                group.health_check = spec.health_check.clone();
                group.deregistration_delay = spec.deregistration_delay;
            }
            Ok(())
        })
    }

    async fn create_rule(&self, spec: &RuleSpec) -> Result<RuleArn, CloudError> {
        self.write(&["CreateRule"], spec.listener.as_str(), |world| world.create_rule(spec))
    }

    async fn set_rule(
        &self,
        arn: &RuleArn,
        conditions: Option<&Conditions>,
        weights: &[(TargetGroupArn, u32)],
        kept: &Kept,
    ) -> Result<(), CloudError> {
        let operation = if arn.default_of().is_some() { "ModifyListener" } else { "ModifyRule" };
        let asked = Asked { operation, resource: arn.as_str() };
        self.write(&[operation], arn.as_str(), |world| world.set_rule(asked, arn, conditions, weights, kept))
    }

    async fn create_group(&self, spec: &GroupSpec) -> Result<(), CloudError> {
        self.write(&["CreateAutoScalingGroup"], &spec.name, |world| world.create_group(spec))
    }

    async fn set_capacity(&self, group: &str, min: u32, max: u32, desired: Option<u32>) -> Result<(), CloudError> {
        let asked = Asked { operation: "UpdateAutoScalingGroup", resource: group };
        self.write(&[asked.operation], group, |world| {
            let group = world.standing_group(asked)?;
            // Source: the API moves desired into the bounds, but refuses one that is given outside.
            let wanted = desired.unwrap_or_else(|| group.desired.max(min).min(max));
            if min > max || wanted < min || wanted > max {
                return Err(asked.invalid(format!("desired {wanted} is not between {min} and {max}")));
            }
            (group.min, group.max, group.desired) = (min, max, wanted);
            Ok(())
        })
    }

    async fn set_group(&self, group: &str, change: &GroupChange) -> Result<(), CloudError> {
        let asked = Asked { operation: change.operation(), resource: group };
        let batches = match change {
            // Source: API reference of SetInstanceProtection, at most 50 machines a call.
            GroupChange::Unprotect(machines) => machines.len().div_ceil(50),
            _ => 1,
        };
        let mut operations = vec![asked.operation; batches];
        if matches!(change, GroupChange::Unprotect(_)) {
            operations.push("UpdateAutoScalingGroup");
        }
        self.write(&operations, group, |world| world.set_group(asked, change))
    }

    async fn set_policies(&self, group: &str, policies: &[Policy]) -> Result<(), CloudError> {
        let operation = "PutScalingPolicy";
        let gone = |old: &&Policy| !policies.iter().any(|new| new.name == old.name);
        let before = self.lock().world.groups.get(group).map(|g| g.policies.clone()).unwrap_or_default();
        let mut operations = vec![operation; policies.len()];
        operations.extend(before.iter().filter(gone).map(|_| "DeletePolicy"));
        self.write(&operations, group, |world| {
            let mut policies = policies.to_vec();
            policies.sort();
            world.standing_group(Asked { operation, resource: group })?.policies = policies;
            Ok(())
        })
    }

    async fn set_tags(&self, on: &Tagged, tags: &Tags) -> Result<(), CloudError> {
        let (operation, resource) = on.operation_and_name("CreateTags", "CreateOrUpdateTags", "AddTags");
        let asked = Asked { operation, resource };
        self.write(&[operation], resource, |world| {
            let found = world.tags_of(asked, on)?;
            let mut all = found.clone();
            all.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
            check::tags(asked, &all)?;
            *found = all;
            Ok(())
        })
    }

    async fn clear_tags(&self, on: &Tagged, keys: &[String]) -> Result<(), CloudError> {
        let (operation, resource) = on.operation_and_name("DeleteTags", "DeleteTags", "RemoveTags");
        self.write(&[operation], resource, |world| {
            world.tags_of(Asked { operation, resource }, on)?.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }

    async fn delete_rule(&self, arn: &RuleArn) -> Result<(), CloudError> {
        let asked = Asked { operation: "DeleteRule", resource: arn.as_str() };
        self.write(&[asked.operation], arn.as_str(), |world| {
            if arn.default_of().is_some() {
                return Err(asked.error(ErrorKind::Invalid, "OperationNotPermitted", "a default rule stays"));
            }
            world.rules.remove(arn);
            Ok(())
        })
    }

    async fn delete_group(&self, group: &str) -> Result<(), CloudError> {
        let asked = Asked { operation: "DeleteAutoScalingGroup", resource: group };
        self.write(&[asked.operation], group, |world| world.delete_group(asked))
    }

    async fn delete_target_group(&self, arn: &TargetGroupArn) -> Result<(), CloudError> {
        let asked = Asked { operation: "DeleteTargetGroup", resource: arn.as_str() };
        self.write(&[asked.operation], arn.as_str(), |world| {
            if world.in_use(arn) {
                let text = "Target group is currently in use by a listener or a rule";
                return Err(asked.error(ErrorKind::Conflict, "ResourceInUse", text));
            }
            world.target_groups.remove(arn);
            Ok(())
        })
    }

    async fn delete_template(&self, id: &str) -> Result<(), CloudError> {
        // Source: the API does not ask whether a group still launches from it.
        self.write(&["DeleteLaunchTemplate"], id, |world| {
            world.templates.remove(id);
            Ok(())
        })
    }
}

impl World {
    fn create_template(&mut self, spec: &TemplateSpec) -> Result<(), CloudError> {
        let asked = Asked { operation: "CreateLaunchTemplate", resource: spec.name.as_str() };
        check::tags(asked, &spec.tags)?;
        check::tags(asked, &spec.machine_tags)?;
        if let Some(found) = self.templates.values().find(|template| template.name == spec.name.as_str()) {
            return adopt(asked, &found.tags, &spec.tags, "InvalidLaunchTemplateName.AlreadyExistsException");
        }
        let ami = match &spec.ami {
            AmiSpec::Id(id) => id.clone(),
            AmiSpec::Name(pattern) if self.missing_amis.contains(pattern) => {
                let text = format!("no image of this account is called {pattern}");
                return Err(asked.error(ErrorKind::NotFound, "InvalidAMIID.NotFound", text));
            }
            AmiSpec::Name(pattern) => format!("ami-of-{pattern}"),
        };
        let template = SimTemplate {
            name: spec.name.to_string(),
            created: self.now,
            ami,
            instance_type: spec.instance_type.clone(),
            security_groups: spec.security_groups.clone(),
            user_data: spec.user_data.clone(),
            tags: spec.tags.clone(),
        };
        let id = self.id("lt-");
        self.templates.insert(id, template);
        Ok(())
    }

    fn create_target_group(&mut self, spec: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError> {
        let asked = Asked { operation: "CreateTargetGroup", resource: spec.name.as_str() };
        check::tags(asked, &spec.tags)?;
        find_listener(self, asked.operation, &spec.listener)?;
        let found = self.target_groups.iter_mut().find(|(_, group)| group.name == spec.name.as_str());
        if let Some((arn, group)) = found {
            adopt(asked, &group.tags, &spec.tags, "DuplicateTargetGroupName")?;
            // Attributes are a second call, so one that was cut off is made good here.
            group.deregistration_delay = spec.deregistration_delay;
            return Ok(arn.clone());
        }
        if self.target_groups.len() >= self.limits.target_groups {
            return Err(asked.error(ErrorKind::Quota, "TooManyTargetGroups", "the account's quota is reached"));
        }
        let id = self.id("");
        let text = format!(
            "arn:aws:elasticloadbalancing:{}:{}:targetgroup/{}/{}",
            self.region,
            self.account,
            spec.name,
            &id[1..]
        );
        let arn = TargetGroupArn::parse(&text).map_err(|why| asked.invalid(why.to_string()))?;
        let group = SimTargetGroup {
            name: spec.name.to_string(),
            port: spec.port,
            protocol: spec.protocol.clone(),
            health_check: spec.health_check.clone(),
            deregistration_delay: spec.deregistration_delay,
            tags: spec.tags.clone(),
            sticky: false,
            attributes: std::collections::BTreeMap::new(),
            targets: std::collections::BTreeMap::new(),
            created: self.now,
        };
        self.target_groups.insert(arn.clone(), group);
        Ok(arn)
    }

    fn create_rule(&mut self, spec: &RuleSpec) -> Result<RuleArn, CloudError> {
        let asked = Asked { operation: "CreateRule", resource: spec.listener.as_str() };
        check::tags(asked, &spec.tags)?;
        check::conditions(asked, &spec.conditions)?;
        find_listener(self, asked.operation, &spec.listener)?;
        check::weights(self, asked, &spec.listener, None, &spec.weights, &spec.kept)?;
        if !(1..=50_000).contains(&spec.priority) {
            return Err(asked.invalid(format!("the priority {} is not between 1 and 50000", spec.priority)));
        }
        let taken = |rule: &SimRule| rule.listener == spec.listener && rule.priority == spec.priority;
        if let Some((arn, rule)) = self.rules.iter().find(|(_, rule)| taken(rule)) {
            adopt(asked, &rule.tags, &spec.tags, "PriorityInUse")?;
            return Ok(arn.clone());
        }
        let balancer = spec.listener.load_balancer();
        let rules = self.rules.values().filter(|rule| rule.listener.load_balancer() == balancer).count();
        if rules >= self.limits.rules_per_balancer {
            return Err(asked.error(ErrorKind::Quota, "TooManyRules", "the load balancer's quota is reached"));
        }
        let id = self.id("");
        let text = format!("{}/{}", spec.listener.as_str().replacen(":listener/", ":listener-rule/", 1), &id[1..]);
        let arn = RuleArn::parse(&text).map_err(|why| asked.invalid(why.to_string()))?;
        self.flag_zero_weights(&arn, &spec.weights);
        let rule = SimRule {
            listener: spec.listener.clone(),
            priority: spec.priority,
            conditions: spec.conditions.clone(),
            action: RuleAction::forward(spec.weights.clone(), spec.kept.clone()),
            tags: spec.tags.clone(),
            created: self.now,
        };
        self.rules.insert(arn.clone(), rule);
        Ok(arn)
    }

    fn set_rule(
        &mut self,
        asked: Asked<'_>,
        arn: &RuleArn,
        conditions: Option<&Conditions>,
        weights: &[(TargetGroupArn, u32)],
        kept: &Kept,
    ) -> Result<(), CloudError> {
        // What the call doesn't send of transforms stays; of actions it is gone.
        let transforms = self.actions().find(|(found, _)| found == arn).map(|(_, action)| action.kept().transforms);
        let kept = Kept { transforms: transforms.unwrap_or_default(), ..kept.clone() };
        let action = RuleAction::forward(weights.to_vec(), kept.clone());
        if let Some(place) = arn.default_of() {
            find_listener(self, asked.operation, &place)?;
            check::weights(self, asked, &place, Some(arn), weights, &kept)?;
            if conditions.is_some_and(|conditions| *conditions != Conditions::default()) {
                return Err(asked.invalid("a default action has no conditions"));
            }
            if let Some(listener) = self.listeners.get_mut(&place) {
                listener.default_action = action;
            }
        } else {
            let missing = || asked.error(ErrorKind::NotFound, "RuleNotFound", "One or more rules not found");
            let place = self.rules.get(arn).ok_or_else(missing)?.listener.clone();
            check::weights(self, asked, &place, Some(arn), weights, &kept)?;
            conditions.map_or(Ok(()), |conditions| check::conditions(asked, conditions))?;
            if let Some(rule) = self.rules.get_mut(arn) {
                rule.action = action;
                rule.conditions = conditions.unwrap_or(&rule.conditions).clone();
            }
        }
        self.flag_zero_weights(arn, weights);
        Ok(())
    }

    /// AWS allows it, and every request then fails.
    fn flag_zero_weights(&mut self, arn: &RuleArn, weights: &[(TargetGroupArn, u32)]) {
        if weights.iter().all(|(_, weight)| *weight == 0) {
            self.violations.push(format!("{arn} has only zero weights at {}", self.time()));
        }
    }

    fn create_group(&mut self, spec: &GroupSpec) -> Result<(), CloudError> {
        let asked = Asked { operation: "CreateAutoScalingGroup", resource: &spec.name };
        check::tags(asked, &spec.tags)?;
        check::tags_in_a_call(asked, &spec.tags)?;
        if let Some(found) = self.groups.get(&spec.name) {
            if found.deleted_at.is_some() {
                let text = "Group already exists and is pending delete";
                return Err(asked.error(ErrorKind::Conflict, "AlreadyExists", text));
            }
            return adopt(asked, &found.tags, &spec.tags, "AlreadyExists");
        }
        if spec.min > spec.max || spec.subnets.is_empty() {
            return Err(asked.invalid("the minimum is above the maximum, or there is no subnet"));
        }
        let mut templates = self.templates.iter();
        let Some((template, _)) = templates.find(|(_, template)| template.name == spec.template.as_str()) else {
            return Err(asked.invalid("You must use a valid fully-formed launch template."));
        };
        let template = template.clone();
        self.check_surroundings(asked, spec, &template)?;
        if let Some(arn) = &spec.target_group {
            find_target_group(self, asked.operation, arn)?;
        }
        if self.groups.len() >= self.limits.groups {
            return Err(asked.error(ErrorKind::Quota, "LimitExceeded", "the account's quota is reached"));
        }
        self.groups.insert(spec.name.clone(), new_group(spec, template, self.now));
        Ok(())
    }

    fn set_group(&mut self, asked: Asked<'_>, change: &GroupChange) -> Result<(), CloudError> {
        if let GroupChange::Attach(arn) = change {
            find_target_group(self, asked.operation, arn)?;
        }
        let template = match change {
            GroupChange::Template(name) => {
                let found = self.templates.iter().find(|(_, template)| template.name == name.as_str());
                let missing = || asked.invalid("You must use a valid fully-formed launch template.");
                Some(found.map(|(id, _)| id.clone()).ok_or_else(missing)?)
            }
            _ => None,
        };
        let group = self.standing_group(asked)?;
        match change {
            GroupChange::Template(name) => {
                (group.template, group.template_id) = (name.to_string(), template);
                (group.template_version, group.mixed_instances) = ("1".to_owned(), false);
            }
            GroupChange::Attach(arn) if group.target_groups.contains(arn) => {}
            GroupChange::Attach(arn) => group.target_groups.push(arn.clone()),
            GroupChange::HealthCheck { kind, grace } => (group.health_check_type, group.grace) = (kind.clone(), *grace),
            GroupChange::Subnets(subnets) => group.subnets = subnets.clone(),
            GroupChange::Resume(processes) => group.suspended.retain(|process| !processes.contains(process)),
            GroupChange::Unprotect(machines) => {
                group.protects_new = false;
                for machine in machines {
                    if let Some(machine) = group.instances.get_mut(machine) {
                        machine.protected = false;
                    }
                }
            }
            GroupChange::Termination(policies) => group.termination = policies.clone(),
        }
        Ok(())
    }

    fn delete_group(&mut self, asked: Asked<'_>) -> Result<(), CloudError> {
        let deleted_at = Some(after(self.now, self.pace.deletion));
        let Some(group) = self.groups.get_mut(asked.resource) else {
            return Ok(());
        };
        if group.deleted_at.is_some() {
            return Ok(());
        }
        if !group.instances.is_empty() || group.desired > 0 {
            let text = "You cannot delete an AutoScalingGroup while there are instances still in the group.";
            return Err(asked.error(ErrorKind::Conflict, "ResourceInUse", text));
        }
        group.deleted_at = deleted_at;
        Ok(())
    }

    /// A group that may be changed.
    fn standing_group(&mut self, asked: Asked<'_>) -> Result<&mut SimGroup, CloudError> {
        let code = "ValidationError";
        match self.groups.get_mut(asked.resource) {
            None => Err(asked.error(ErrorKind::NotFound, code, "AutoScalingGroup name not found")),
            Some(group) if group.deleted_at.is_some() => {
                let text = "The group may not be modified while it is pending delete";
                Err(asked.error(ErrorKind::Conflict, code, text))
            }
            Some(group) => Ok(group),
        }
    }

    fn tags_of(&mut self, asked: Asked<'_>, on: &Tagged) -> Result<&mut Tags, CloudError> {
        let missing = asked.error(ErrorKind::NotFound, "ResourceNotFound", "it does not exist");
        match on {
            Tagged::Template(id) => self.templates.get_mut(id).map(|found| &mut found.tags).ok_or(missing),
            Tagged::Group(_) => Ok(&mut self.standing_group(asked)?.tags),
            Tagged::TargetGroup(arn) => self.target_groups.get_mut(arn).map(|found| &mut found.tags).ok_or(missing),
            Tagged::Rule(arn) => self.rules.get_mut(arn).map(|found| &mut found.tags).ok_or(missing),
        }
    }
}

/// What exists is taken over when its tags say the same release.
fn adopt(asked: Asked<'_>, found: &Tags, wanted: &Tags, code: &str) -> Result<(), CloudError> {
    if check::same_release(found, wanted) {
        return Ok(());
    }
    Err(asked.error(ErrorKind::NotOurs, code, "the name is taken by something with other tags"))
}

fn new_group(spec: &GroupSpec, template_id: String, now: i64) -> SimGroup {
    SimGroup {
        min: spec.min,
        max: spec.max,
        desired: spec.min,
        template: spec.template.to_string(),
        template_id: Some(template_id),
        template_version: "1".to_owned(),
        health_check_type: if spec.target_group.is_some() { "ELB" } else { "EC2" }.to_owned(),
        protects_new: false,
        mixed_instances: false,
        termination: Vec::new(),
        deletion_protection: String::new(),
        target_groups: spec.target_group.iter().cloned().collect(),
        grace: spec.grace,
        ready_within: spec.ready_within,
        subnets: spec.subnets.clone(),
        suspended: Vec::new(),
        tags: spec.tags.clone(),
        policies: Vec::new(),
        instances: std::collections::BTreeMap::new(),
        activities: Vec::new(),
        created: now,
        next_launch: now,
        launches: 0,
        deleted_at: None,
    }
}
