//! Worlds and specs for the tests of the port.

use crate::cloud::{CloudWriter, RuleSpec};
use crate::names::{Digest, GroupName, ListenerArn, RuleArn, Scope, ServiceName, TargetGroupArn, Version};
use crate::observed::marks::{self, Identity, Mark};
use crate::observed::resources::{
    AmiSpec, Conditions, GroupSpec, HealthCheck, Kept, Tags, TargetGroupSpec, TargetHealth, TemplateSpec,
};
use crate::observed::state::Place;
use crate::time::Span;

use super::SimCloud;
use super::world::{SimTarget, SimTargetGroup, World};

/// A listener of load balancer `n`.
pub(crate) fn listener(n: usize) -> ListenerArn {
    ListenerArn::parse(&format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web{n}/50dc/f2f7"))
        .unwrap()
}

/// A listener of a Network Load Balancer.
pub(crate) fn network_listener() -> ListenerArn {
    ListenerArn::parse("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/net/raw/50dc/f2f7").unwrap()
}

/// The scope of all tests.
pub(crate) fn scope() -> Scope {
    Scope::parse("prod").unwrap()
}

/// A service by name.
pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

/// A cloud with some Application Load Balancers.
pub(crate) fn cloud(balancers: usize) -> SimCloud {
    SimCloud::new(World::for_places((0..balancers).map(listener)))
}

/// A release of a service, and where its rule is.
#[derive(Clone)]
pub(crate) struct Release {
    pub identity: Identity,
    pub name: GroupName,
    pub place: Place,
    pub protocol: &'static str,
}

impl Release {
    /// Its digest follows from its version.
    pub(crate) fn new(name: &str, version: &str, place: Place) -> Self {
        let identity = Identity {
            scope: scope(),
            service: service(name),
            version: Version::parse(version).unwrap(),
            digest: Digest::of(version.as_bytes()),
            commit: "0".repeat(40),
        };
        let name = GroupName::of(&identity.scope, &identity.service, &identity.digest);
        Self { identity, name, place, protocol: "HTTP" }
    }

    /// The same at priority 120 of the first listener.
    pub(crate) fn at_120(name: &str, version: &str) -> Self {
        Self::new(name, version, Place { listener: listener(0), priority: Some(120) })
    }

    pub(crate) fn template(&self) -> TemplateSpec {
        TemplateSpec {
            name: self.name.clone(),
            ami: AmiSpec::Id("ami-1".to_owned()),
            instance_type: "t3.small".to_owned(),
            instance_profile: None,
            key_name: None,
            root_volume_gib: None,
            security_groups: vec!["sg-1".to_owned()],
            user_data: "#!/bin/sh\n".to_owned(),
            tags: self.identity.tags(),
            machine_tags: Tags::new(),
        }
    }

    pub(crate) fn target_group(&self) -> TargetGroupSpec {
        TargetGroupSpec {
            name: self.name.clone(),
            listener: self.place.listener.clone(),
            port: 80,
            protocol: self.protocol.to_owned(),
            health_check: HealthCheck {
                protocol: self.protocol.to_owned(),
                port: "traffic-port".to_owned(),
                path: Some("/".to_owned()),
                matcher: Some("200".to_owned()),
                interval_secs: 10,
                timeout_secs: 5,
                healthy: 2,
                unhealthy: 3,
            },
            deregistration_delay: Span::from_secs(30),
            tags: self.identity.tags(),
        }
    }

    pub(crate) fn group(&self, target_group: Option<TargetGroupArn>, min: u32, max: u32) -> GroupSpec {
        let mut tags = self.identity.tags();
        tags.insert(Mark::Step.key().to_owned(), "0@2026-01-01T00:00:00Z".to_owned());
        tags.insert(Mark::Listener.key().to_owned(), self.place.listener.to_string());
        GroupSpec {
            name: self.name.to_string(),
            template: self.name.clone(),
            target_group,
            subnets: vec!["subnet-a".to_owned()],
            min,
            max,
            grace: Span::from_mins(15),
            ready_within: None,
            tags,
        }
    }

    pub(crate) fn rule(&self, weights: Vec<(TargetGroupArn, u32)>) -> RuleSpec {
        RuleSpec {
            listener: self.place.listener.clone(),
            priority: self.place.priority.unwrap(),
            conditions: Conditions {
                hosts: vec!["checkout.example.com".to_owned()],
                paths: Vec::new(),
                more: Vec::new(),
            },
            weights,
            kept: Kept::default(),
            tags: rule_tags(self.identity.scope.as_str(), self.identity.service.as_str()),
        }
    }

    /// Template, target group and group, in no rule.
    pub(crate) async fn provision(&self, cloud: &SimCloud, min: u32) -> TargetGroupArn {
        cloud.create_template(&self.template()).await.unwrap();
        let arn = cloud.create_target_group(&self.target_group()).await.unwrap();
        cloud.create_group(&self.group(Some(arn.clone()), min, min + 2)).await.unwrap();
        arn
    }

    /// All that and a rule with the whole weight.
    pub(crate) async fn start(&self, cloud: &SimCloud, min: u32) -> (TargetGroupArn, RuleArn) {
        let arn = self.provision(cloud, min).await;
        let rule = cloud.create_rule(&self.rule(vec![(arn.clone(), 100)])).await.unwrap();
        (arn, rule)
    }
}

/// Adds a target group of somebody else's with so many healthy targets, and returns it.
pub(crate) fn add_foreign_target_group(
    world: &mut World,
    name: &str,
    listener: &ListenerArn,
    healthy: usize,
) -> TargetGroupArn {
    let id = world.id("");
    let text =
        format!("arn:aws:elasticloadbalancing:{}:{}:targetgroup/{name}/{}", world.region, world.account, &id[1..]);
    let arn = TargetGroupArn::parse(&text).unwrap();
    let protocol = if listener.is_network() { "TCP" } else { "HTTP" }.to_owned();
    let http = !listener.is_network();
    let health_check = HealthCheck {
        protocol: protocol.clone(),
        port: "traffic-port".to_owned(),
        path: http.then(|| "/".to_owned()),
        matcher: http.then(|| "200".to_owned()),
        interval_secs: 30,
        timeout_secs: 5,
        healthy: 2,
        unhealthy: 2,
    };
    let target = SimTarget { health: TargetHealth::Healthy, flips_at: None, words: String::new() };
    let group = SimTargetGroup {
        name: name.to_owned(),
        port: 80,
        protocol,
        health_check,
        deregistration_delay: Span::from_secs(300),
        tags: Tags::new(),
        sticky: false,
        attributes: std::collections::BTreeMap::new(),
        targets: (1..=healthy).map(|n| (format!("i-{name}-{n}"), target.clone())).collect(),
        created: world.now,
    };
    world.target_groups.insert(arn.clone(), group);
    arn
}

/// What our rules carry.
pub(crate) fn rule_tags(scope: &str, service: &str) -> Tags {
    let pairs = [(marks::SCOPE, scope), (marks::SERVICE, service)];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Runs a future of the simulated cloud, which never waits.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).unwrap()
}
