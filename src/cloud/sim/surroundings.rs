//! What files name and nobody makes here: subnets, security groups, images, instance types and
//! the zones of load balancers. Every name stands for one that exists and fits, but those that a
//! world says otherwise of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::cloud::{CloudError, ErrorKind};
use crate::names::{ListenerArn, TargetGroupArn};
use crate::observed::prerequisites::{Facts, Found, Kind};
use crate::observed::resources::GroupSpec;

use super::check::Asked;
use super::error;
use super::world::World;

/// Where everything is of which a world says nothing.
const VPC: &str = "vpc-1";

/// What is not as anybody would expect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Surroundings {
    /// Subnets, security groups and instance types that do not exist.
    pub missing: BTreeSet<String>,
    /// The VPCs of subnets, of security groups, and of load balancers by `app/NAME/ID`.
    pub vpcs: BTreeMap<String, String>,
    /// The VPCs that security groups are associated with besides.
    pub associations: BTreeMap<String, BTreeSet<String>>,
    /// The zones of subnets.
    pub zones: BTreeMap<String, String>,
    /// The architecture of images and of instance types.
    pub architectures: BTreeMap<String, String>,
    /// Zones in which instance types are not offered.
    pub not_offered: BTreeMap<String, BTreeSet<String>>,
    /// The states of images that no machine can be launched from.
    pub image_states: BTreeMap<String, String>,
    /// Operations that the caller may not use.
    pub denied: BTreeSet<String>,
}

impl World {
    /// What is known of some things of one kind.
    pub(super) fn find_all(&self, kind: Kind, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Found>, CloudError> {
        if self.surroundings.denied.contains(kind.operation()) {
            let text = format!("You are not authorized to perform this operation: {}", kind.permission());
            return Err(error(kind.operation(), "", ErrorKind::Denied, "UnauthorizedOperation", text));
        }
        Ok(ids.iter().map(|id| (id.clone(), self.find(kind, id))).collect())
    }

    fn find(&self, kind: Kind, id: &str) -> Found {
        if let Some(words) = self.lacks(kind, id) {
            return Found::Missing(words);
        }
        let around = &self.surroundings;
        let one = |text: String| BTreeSet::from([text]);
        let of = |map: &BTreeMap<String, String>, other: &str| map.get(id).map_or(other, String::as_str).to_owned();
        let facts = match kind {
            Kind::Subnet => Facts { vpcs: one(of(&around.vpcs, VPC)), zones: one(self.zone(id)), ..Facts::default() },
            Kind::SecurityGroup => Facts { vpcs: one(of(&around.vpcs, VPC)), ..Facts::default() },
            Kind::Association => {
                let vpcs = around.associations.get(id).cloned().unwrap_or_default();
                Facts { vpcs, ..Facts::default() }
            }
            Kind::Image | Kind::InstanceType => {
                let architectures = around.architectures.get(id).cloned().into_iter().collect();
                Facts { architectures, unusable: around.image_states.get(id).cloned(), ..Facts::default() }
            }
            Kind::Offering => {
                let nowhere = BTreeSet::new();
                let without = around.not_offered.get(id).unwrap_or(&nowhere);
                let zones = self.all_zones().into_iter().filter(|zone| !without.contains(zone)).collect();
                Facts { zones, ..Facts::default() }
            }
            Kind::LoadBalancer => {
                let name = id.rsplit_once(":loadbalancer/").map_or(id, |(_, name)| name);
                let vpc = around.vpcs.get(name).map_or(VPC, String::as_str).to_owned();
                let off: BTreeSet<String> = self.subnets_off_balancer.iter().map(|subnet| self.zone(subnet)).collect();
                let zones = self.all_zones().into_iter().filter(|zone| !off.contains(zone)).collect();
                Facts { vpcs: one(vpc), zones, ..Facts::default() }
            }
            Kind::TargetGroup => Facts { attributes: self.attributes(id), ..Facts::default() },
        };
        Found::Here(facts)
    }

    /// AWS's words for what doesn't exist.
    /// Source: the errors of the EC2 and Elastic Load Balancing API references.
    fn lacks(&self, kind: Kind, id: &str) -> Option<String> {
        let missing = self.surroundings.missing.contains(id);
        match kind {
            Kind::Subnet => missing.then(|| format!("The subnet ID '{id}' does not exist")),
            Kind::SecurityGroup => missing.then(|| format!("The security group '{id}' does not exist")),
            Kind::InstanceType => {
                missing.then(|| format!("The following supplied instance types do not exist: [{id}]"))
            }
            Kind::Image => {
                let name = id.strip_prefix("name:").unwrap_or(id);
                let is_gone = self.missing_amis.iter().any(|gone| gone == name);
                is_gone.then(|| format!("The image id '[{name}]' does not exist"))
            }
            Kind::LoadBalancer => {
                let is_there = |arn: &ListenerArn| arn.load_balancer_arn() == id;
                let text = || format!("Load balancers '[{id}]' not found");
                (!self.listeners.keys().any(is_there)).then(text)
            }
            Kind::TargetGroup => {
                let found = TargetGroupArn::parse(id).is_ok_and(|arn| self.target_groups.contains_key(&arn));
                (!found).then(|| "One or more target groups not found".to_owned())
            }
            Kind::Association | Kind::Offering => None,
        }
    }

    /// Those that are not enabled for the load balancers have one of their own.
    fn zone(&self, subnet: &str) -> String {
        let off = self.subnets_off_balancer.contains(subnet);
        let other = format!("{}{}", self.region, if off { 'z' } else { 'a' });
        self.surroundings.zones.get(subnet).cloned().unwrap_or(other)
    }

    fn all_zones(&self) -> BTreeSet<String> {
        let named = self.surroundings.zones.values().cloned();
        let off = self.subnets_off_balancer.iter().map(|subnet| self.zone(subnet));
        named.chain(off).chain([format!("{}a", self.region)]).collect()
    }

    fn attributes(&self, id: &str) -> BTreeMap<String, String> {
        let found = TargetGroupArn::parse(id).ok().and_then(|arn| self.target_groups.get(&arn));
        let Some(group) = found else { return BTreeMap::new() };
        let mut all = vec![("protocol", group.protocol.clone()), ("stickiness.enabled", group.sticky.to_string())];
        if group.protocol.starts_with("HTTP") {
            let defaults = [
                ("protocol_version", "HTTP1"),
                ("slow_start.duration_seconds", "0"),
                ("load_balancing.algorithm.type", "round_robin"),
            ];
            all.extend(defaults.map(|(key, value)| (key, value.to_owned())));
        }
        let own = group.attributes.iter().map(|(key, value)| (key.clone(), value.clone()));
        all.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(own).collect()
    }

    /// What CreateAutoScalingGroup refuses, in AWS's words. It makes no machine to find out, so
    /// zones and architectures show later.
    pub(super) fn check_surroundings(
        &self,
        asked: Asked<'_>,
        spec: &GroupSpec,
        template: &str,
    ) -> Result<(), CloudError> {
        if let Some(words) = spec.subnets.iter().find_map(|subnet| self.lacks(Kind::Subnet, subnet)) {
            return Err(asked.invalid(words));
        }
        let Some(template) = self.templates.get(template) else { return Ok(()) };
        let mut groups = template.security_groups.iter();
        let words = groups
            .find_map(|group| self.lacks(Kind::SecurityGroup, group))
            .or_else(|| self.lacks(Kind::Image, &template.ami))
            .or_else(|| self.lacks(Kind::InstanceType, &template.instance_type));
        match words {
            Some(words) => Err(asked.invalid(format!("You must use a valid fully-formed launch template. {words}"))),
            None => Ok(()),
        }
    }
}
