//! The resources of a release, worked out from its file.

use crate::desired::spec::{Ami, HealthCheckSpec, LoadBalancer, Metric, Protocol, RuleSpec, ServiceSpec};
use crate::names::{GroupName, ListenerArn, TargetGroupArn};
use crate::observed::marks::{self, Identity};
use crate::observed::resources::{AmiSpec, Conditions, HealthCheck, Policy, Tags, TargetGroupSpec, TemplateSpec};
use crate::observed::state::ServerGroup;
use crate::time::Span;

/// The prefix of the policies that we write; others on our groups are left alone.
pub const POLICY_PREFIX: &str = "ionroller-";

/// The launch template of a release.
pub fn template(name: &GroupName, spec: &ServiceSpec, identity: &Identity) -> TemplateSpec {
    let mut machine_tags = user_tags(spec);
    machine_tags.extend(identity.tags());
    machine_tags.insert("Name".to_owned(), name.to_string());
    TemplateSpec {
        name: name.clone(),
        ami: match &spec.machine.ami {
            Ami::Id(id) => AmiSpec::Id(id.clone()),
            Ami::Name(pattern) => AmiSpec::Name(pattern.clone()),
        },
        instance_type: spec.machine.instance_type.clone(),
        instance_profile: spec.machine.instance_profile.clone(),
        key_name: spec.machine.key_name.clone(),
        root_volume_gib: spec.machine.root_volume_gib,
        security_groups: spec.network.security_groups.clone(),
        user_data: spec.user_data.clone(),
        tags: owned_tags(spec, identity),
        machine_tags,
    }
}

/// The target group of a release.
pub fn target_group(name: &GroupName, spec: &ServiceSpec, lb: &LoadBalancer, identity: &Identity) -> TargetGroupSpec {
    TargetGroupSpec {
        name: name.clone(),
        listener: lb.listener.clone(),
        port: lb.port,
        protocol: lb.protocol.as_str().to_owned(),
        health_check: health_check(&lb.health_check, lb.protocol),
        deregistration_delay: lb.deregistration_delay,
        tags: owned_tags(spec, identity),
    }
}

fn health_check(check: &HealthCheckSpec, traffic: Protocol) -> HealthCheck {
    let protocol = check.protocol.unwrap_or(traffic);
    let http = matches!(protocol, Protocol::Http | Protocol::Https);
    HealthCheck {
        protocol: protocol.as_str().to_owned(),
        port: check.port.map_or_else(|| "traffic-port".to_owned(), |port| port.to_string()),
        path: http.then(|| check.path.clone()),
        matcher: http.then(|| check.matcher.clone()),
        interval_secs: secs(check.interval),
        timeout_secs: secs(check.timeout),
        healthy: check.healthy,
        unhealthy: check.unhealthy,
    }
}

fn secs(span: Span) -> u32 {
    u32::try_from(span.as_secs_ceil()).unwrap_or(u32::MAX)
}

/// The conditions that a file asks for.
pub fn conditions(rule: &RuleSpec) -> Conditions {
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list.dedup();
        list
    };
    Conditions { hosts: sorted(&rule.hosts), paths: sorted(&rule.paths), more: Vec::new() }
}

/// The scaling policies that a file asks for. One that counts requests per target names
/// the release's own target group.
pub fn policies(spec: &ServiceSpec, target_group: Option<(&ListenerArn, &TargetGroupArn)>) -> Vec<Policy> {
    let mut policies: Vec<Policy> = spec
        .capacity
        .scaling
        .iter()
        .map(|scaling| match scaling.metric {
            Metric::Cpu => Policy {
                name: format!("{POLICY_PREFIX}cpu"),
                metric: "ASGAverageCPUUtilization".to_owned(),
                resource_label: None,
                target_millis: scaling.target_millis,
            },
            Metric::RequestsPerTarget => Policy {
                name: format!("{POLICY_PREFIX}requests-per-target"),
                metric: "ALBRequestCountPerTarget".to_owned(),
                resource_label: target_group.map(|(listener, arn)| resource_label(listener, arn)),
                target_millis: scaling.target_millis,
            },
        })
        .collect();
    policies.sort();
    policies
}

/// `app/NAME/ID/targetgroup/NAME/ID`.
/// Source: `PredefinedMetricSpecification` of the Auto Scaling API.
fn resource_label(listener: &ListenerArn, target_group: &TargetGroupArn) -> String {
    let path = target_group.as_str().rsplit(':').next().unwrap_or("");
    format!("{}/{path}", listener.load_balancer())
}

/// How long the machines of a group may take to become ready. Only the boot script of a release
/// that asks for it ends the wait in the hook, so another release's file says nothing here.
pub fn ready_within(owner: &ServerGroup, spec: &ServiceSpec) -> Option<Span> {
    let ready = spec.machine.ready.as_ref()?;
    (owner.identity.digest == spec.digest).then_some(ready.timeout)
}

/// The user's tags, in characters that every service takes.
pub fn user_tags(spec: &ServiceSpec) -> Tags {
    spec.tags.iter().map(|(key, value)| (key.clone(), marks::portable(value))).collect()
}

/// So many tags a group takes at its creation.
/// Source: `Tags` of CreateAutoScalingGroup: at most 25 in a call, and 50 on a group.
pub const GROUP_TAGS_AT_ONCE: usize = 25;

/// The tags that a group is made with, ours before the user's. What does not fit follows before
/// the group gets traffic.
pub fn first_tags(tags: Tags) -> Tags {
    let (ours, users): (Tags, Tags) = tags.into_iter().partition(|(key, _)| key.starts_with(marks::PREFIX));
    ours.into_iter().chain(users).take(GROUP_TAGS_AT_ONCE).collect()
}

/// The user's tags and ours.
pub fn owned_tags(spec: &ServiceSpec, identity: &Identity) -> Tags {
    let mut tags = user_tags(spec);
    tags.extend(identity.tags());
    tags
}
