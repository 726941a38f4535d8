//! From the SDK's types to ours. What AWS always sends and is missing makes the answer
//! unreadable: nothing is guessed.

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::types as ec2;
use aws_sdk_elasticloadbalancingv2::types as elb;
use aws_smithy_types::DateTime;

use crate::names::{ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::resources::{
    Activity, Condition, Conditions, Group, HealthCheck, Instance, Kept, Lifecycle, Listener, Opaque, Outcome, Policy,
    Rule, RuleAction, Shape, Tags, Target, TargetGroup, TargetHealth, Targets, Template,
};
use crate::time::{Span, Timestamp};

use super::kept;

/// The field that is missing or malformed.
pub type Missing = &'static str;

// Where the API model calls a field required, the SDK puts an empty text, a zero or 1970 in
// its place. No name is empty and nothing was made in 1970; a zero can't be told.

fn text(value: Option<&str>, field: Missing) -> Result<String, Missing> {
    value.filter(|text| !text.is_empty()).map(str::to_owned).ok_or(field)
}

fn time(value: Option<&DateTime>, field: Missing) -> Result<Timestamp, Missing> {
    let millis = value.and_then(|time| time.to_millis().ok());
    millis.filter(|millis| *millis != 0).map(Timestamp::from_millis).ok_or(field)
}

fn size(value: Option<i32>, field: Missing) -> Result<u32, Missing> {
    value.and_then(|value| u32::try_from(value).ok()).ok_or(field)
}

fn pairs<'a>(tags: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Tags {
    tags.filter_map(|(key, value)| Some((key?.to_owned(), value.unwrap_or_default().to_owned()))).collect()
}

/// Tags of EC2.
pub fn ec2_tags(tags: &[ec2::Tag]) -> Tags {
    pairs(tags.iter().map(|tag| (tag.key(), tag.value())))
}

/// Tags of Elastic Load Balancing.
pub fn elb_tags(tags: &[elb::Tag]) -> Tags {
    pairs(tags.iter().map(|tag| (tag.key(), tag.value())))
}

/// A launch template.
pub fn template(template: &ec2::LaunchTemplate) -> Result<Template, Missing> {
    Ok(Template {
        id: text(template.launch_template_id(), "LaunchTemplateId")?,
        name: text(template.launch_template_name(), "LaunchTemplateName")?,
        created: time(template.create_time(), "CreateTime")?,
        tags: ec2_tags(template.tags()),
    })
}

/// An Auto Scaling group.
pub fn group(group: &asg::AutoScalingGroup) -> Result<Group, Missing> {
    let mut suspended: Vec<String> =
        group.suspended_processes().iter().filter_map(|process| process.process_name()).map(str::to_owned).collect();
    suspended.sort();
    Ok(Group {
        name: text(group.auto_scaling_group_name(), "AutoScalingGroupName")?,
        min: size(group.min_size(), "MinSize")?,
        max: size(group.max_size(), "MaxSize")?,
        desired: size(group.desired_capacity(), "DesiredCapacity")?,
        instances: instances(group.instances())?,
        deleting: group.status().is_some_and(|status| !status.is_empty()),
        suspended,
        tags: pairs(group.tags().iter().map(|tag| (tag.key(), tag.value()))),
        template: group.launch_template().and_then(|template| {
            // Without a version AWS means the template's default one, which may move.
            let version = template.version().unwrap_or("$Default");
            Some((template.launch_template_name()?.to_owned(), version.to_owned()))
        }),
        target_groups: target_groups(group.target_group_arns())?,
        shape: Some(shape(group)?),
        created: time(group.created_time(), "CreatedTime")?,
    })
}

fn shape(group: &asg::AutoScalingGroup) -> Result<Shape, Missing> {
    let subnets = group.vpc_zone_identifier().unwrap_or_default().split(',').map(str::trim);
    let mut subnets: Vec<String> = subnets.filter(|subnet| !subnet.is_empty()).map(str::to_owned).collect();
    subnets.sort();
    let grace = group.health_check_grace_period().and_then(|secs| u64::try_from(secs).ok()).unwrap_or(0);
    let protected = group.instances().iter().filter(|machine| machine.protected_from_scale_in().unwrap_or(false));
    let mut protected: Vec<String> = protected.filter_map(|machine| machine.instance_id()).map(str::to_owned).collect();
    protected.sort();
    let word = |machine: &asg::Instance| machine.lifecycle_state().map_or("", asg::LifecycleState::as_str).to_owned();
    let in_hooks = group.instances().iter().filter(|machine| word(machine).ends_with(":Wait")).count();
    Ok(Shape {
        template_id: group.launch_template().and_then(|template| template.launch_template_id()).map(str::to_owned),
        target_groups: target_groups(group.target_group_arns())?,
        health_check: group.health_check_type().unwrap_or("EC2").to_owned(),
        grace: Span::from_secs(grace),
        subnets,
        protects_new: group.new_instances_protected_from_scale_in().unwrap_or(false),
        protected,
        in_hooks: u32::try_from(in_hooks).unwrap_or(u32::MAX),
        mixed_instances: group.mixed_instances_policy().is_some(),
        termination: group.termination_policies().to_vec(),
        deletion_protection: group.deletion_protection().map(|word| word.as_str().to_owned()),
    })
}

fn target_groups(arns: &[String]) -> Result<Vec<TargetGroupArn>, Missing> {
    arns.iter().map(|arn| TargetGroupArn::parse(arn).map_err(|_| "TargetGroupARNs")).collect()
}

fn instances(all: &[asg::Instance]) -> Result<Vec<Instance>, Missing> {
    let mut instances = all.iter().map(instance).collect::<Result<Vec<_>, _>>()?;
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(instances)
}

fn instance(instance: &asg::Instance) -> Result<Instance, Missing> {
    Ok(Instance {
        id: text(instance.instance_id(), "InstanceId")?,
        lifecycle: lifecycle(instance.lifecycle_state().map_or("", asg::LifecycleState::as_str)),
        // Source: the API has the two words `Healthy` and `Unhealthy`.
        healthy: instance.health_status().is_some_and(|status| status.eq_ignore_ascii_case("healthy")),
    })
}

/// A word of AWS, or one that it has not yet had when this was written.
pub fn lifecycle(word: &str) -> Lifecycle {
    match word {
        "InService" => Lifecycle::InService,
        _ if ["Terminat", "Detach"].iter().any(|leaving| word.starts_with(leaving)) => Lifecycle::Leaving,
        // Out of service on somebody's word; it does not come back by itself.
        "EnteringStandby" | "Standby" => Lifecycle::Leaving,
        _ => Lifecycle::Pending,
    }
}

/// A target group.
pub fn target_group(group: &elb::TargetGroup) -> Result<TargetGroup, Missing> {
    let arn = group.target_group_arn().and_then(|arn| TargetGroupArn::parse(arn).ok());
    Ok(TargetGroup {
        arn: arn.ok_or("TargetGroupArn")?,
        name: text(group.target_group_name(), "TargetGroupName")?,
        // A target group for Lambda functions has neither port nor protocol.
        port: group.port().and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        protocol: group.protocol().map_or("", elb::ProtocolEnum::as_str).to_owned(),
        health_check: health_check(group),
        in_use: !group.load_balancer_arns().is_empty(),
    })
}

/// All target groups are listed, others' too, so this one takes what there is.
fn health_check(group: &elb::TargetGroup) -> HealthCheck {
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    HealthCheck {
        protocol: group.health_check_protocol().map_or("", elb::ProtocolEnum::as_str).to_owned(),
        port: group.health_check_port().unwrap_or_default().to_owned(),
        path: group.health_check_path().map(str::to_owned),
        matcher: group.matcher().and_then(|matcher| matcher.http_code().or(matcher.grpc_code())).map(str::to_owned),
        interval_secs: number(group.health_check_interval_seconds()),
        timeout_secs: number(group.health_check_timeout_seconds()),
        healthy: number(group.healthy_threshold_count()),
        unhealthy: number(group.unhealthy_threshold_count()),
    }
}

/// A listener with its default action.
pub fn listener(listener: &elb::Listener) -> Result<Listener, Missing> {
    let arn = listener.listener_arn().and_then(|arn| ListenerArn::parse(arn).ok());
    Ok(Listener {
        arn: arn.ok_or("ListenerArn")?,
        protocol: listener.protocol().map_or("", elb::ProtocolEnum::as_str).to_owned(),
        default_action: action(listener.default_actions()),
    })
}

/// A rule of a listener. The default rule gets the ARN under which we speak of default
/// actions, see [`ListenerArn::default_rule`].
pub fn rule(rule: &elb::Rule, listener: &ListenerArn) -> Result<Rule, Missing> {
    let arn = rule.rule_arn().and_then(|arn| RuleArn::parse(arn).ok()).ok_or("RuleArn")?;
    let (arn, priority) = match rule.priority() {
        Some("default") => (listener.default_rule(), None),
        Some(number) => (arn, Some(number.parse().map_err(|_| "Priority")?)),
        None => return Err("Priority"),
    };
    let conditions = conditions(rule.conditions());
    let action = with_transforms(action(rule.actions()), rule.transforms());
    Ok(Rule { arn, listener: listener.clone(), priority, conditions, action })
}

/// The conditions of a rule. AWS answers with both the old `Values` and the newer
/// `…Config` of a condition, so each value is taken once.
pub fn conditions(all: &[elb::RuleCondition]) -> Conditions {
    let (mut hosts, mut paths, mut more) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for condition in all {
        let plain = || condition.values().iter().cloned();
        let old_regex = || condition.regex_values().iter().cloned();
        match condition.field().unwrap_or("?") {
            "host-header" => {
                let config = condition.host_header_config();
                hosts.extend(plain().chain(config.map(|c| c.values()).unwrap_or_default().iter().cloned()));
                let regex = config.map(|c| c.regex_values()).unwrap_or_default().iter().cloned();
                more.extend(some(old_regex().chain(regex)).map(Condition::HostRegex));
            }
            "path-pattern" => {
                let config = condition.path_pattern_config();
                paths.extend(plain().chain(config.map(|c| c.values()).unwrap_or_default().iter().cloned()));
                let regex = config.map(|c| c.regex_values()).unwrap_or_default().iter().cloned();
                more.extend(some(old_regex().chain(regex)).map(Condition::PathRegex));
            }
            other => {
                more.insert(other_condition(other, condition));
            }
        }
    }
    Conditions {
        hosts: hosts.into_iter().collect(),
        paths: paths.into_iter().collect(),
        more: more.into_iter().collect(),
    }
}

/// One of a kind that files don't say. What it means is read from its `…Config`; a kind
/// without one that we know is unknown, never nothing.
fn other_condition(field: &str, condition: &elb::RuleCondition) -> Condition {
    let sorted = |values: &[String]| some(values.iter().cloned()).unwrap_or_default();
    let known = match field {
        "http-header" => condition.http_header_config().map(|config| Condition::Header {
            name: config.http_header_name().unwrap_or_default().to_owned(),
            values: sorted(config.values()),
            regex: sorted(config.regex_values()),
        }),
        "http-request-method" => {
            condition.http_request_method_config().map(|config| Condition::Methods(sorted(config.values())))
        }
        "query-string" => condition.query_string_config().map(|config| {
            let pair = |pair: &elb::QueryStringKeyValuePair| {
                (pair.key().map(str::to_owned), pair.value().unwrap_or_default().to_owned())
            };
            let pairs: BTreeSet<_> = config.values().iter().map(pair).collect();
            Condition::Query(pairs.into_iter().collect())
        }),
        "source-ip" => condition.source_ip_config().map(|config| Condition::SourceIps(sorted(config.values()))),
        _ => None,
    };
    known.unwrap_or_else(|| Condition::Unknown(field.to_owned()))
}

/// Values in order, each once; none of none.
fn some(values: impl Iterator<Item = String>) -> Option<Vec<String>> {
    let values: BTreeSet<String> = values.collect();
    (!values.is_empty()).then(|| values.into_iter().collect())
}

/// The action of a rule or listener: a forward with what comes before it, or what else it is.
pub fn action(actions: &[elb::Action]) -> RuleAction {
    let words = || {
        let words: Vec<&str> =
            actions.iter().map(|a| a.r#type().map_or("unknown", elb::ActionTypeEnum::as_str)).collect();
        words.join(", then ")
    };
    let mut ordered: Vec<&elb::Action> = actions.iter().collect();
    ordered.sort_by_key(|action| action.order().unwrap_or(i32::MAX));
    let Some((last, before)) = ordered.split_last() else {
        return RuleAction::Other("no action".to_owned());
    };
    if last.r#type() != Some(&elb::ActionTypeEnum::Forward) {
        return RuleAction::Other(words());
    }
    match before.iter().map(|action| kept::opaque_action(action)).collect::<Option<Vec<_>>>() {
        Some(before) => forward(last, before),
        None => RuleAction::Other(words()),
    }
}

/// A forward to one target group comes with `TargetGroupArn`, with `ForwardConfig`, or with
/// both; the weight of a single one may be missing and means nothing.
fn forward(action: &elb::Action, before: Vec<Opaque>) -> RuleAction {
    let config = action.forward_config();
    let sticky = config.and_then(|config| config.target_group_stickiness_config());
    let sticky = sticky.filter(|sticky| sticky.enabled().unwrap_or(false));
    let stickiness_secs = sticky.map(|sticky| sticky.duration_seconds().and_then(|secs| u32::try_from(secs).ok()));
    if stickiness_secs == Some(None) {
        return RuleAction::Other("forward with group stickiness of unknown length".to_owned());
    }
    let weighed: Vec<(&str, i32)> = config
        .map(|config| config.target_groups())
        .unwrap_or_default()
        .iter()
        .map(|group| (group.target_group_arn().unwrap_or_default(), group.weight().unwrap_or(1)))
        .collect();
    let single = action.target_group_arn().map(|arn| (arn, 1));
    let weighed = if weighed.is_empty() { single.into_iter().collect() } else { weighed };
    let parsed = weighed.into_iter().map(|(arn, weight)| {
        let arn = TargetGroupArn::parse(arn).ok()?;
        Some((arn, u32::try_from(weight).ok()?))
    });
    let kept = Kept { stickiness_secs: stickiness_secs.flatten(), before, transforms: Vec::new() };
    match parsed.collect::<Option<Vec<_>>>() {
        Some(weights) if !weights.is_empty() => RuleAction::forward(weights, kept),
        _ => RuleAction::Other("forward to something that is no target group".to_owned()),
    }
}

/// The same action with the transforms of its rule.
fn with_transforms(action: RuleAction, transforms: &[elb::RuleTransform]) -> RuleAction {
    let mut kept = action.kept();
    match (action, transforms.iter().map(kept::opaque_transform).collect::<Option<Vec<_>>>()) {
        (action, Some(transforms)) if transforms.is_empty() => action,
        (RuleAction::Forward(weights) | RuleAction::ForwardAmong(weights, _), Some(transforms)) => {
            kept.transforms = transforms;
            RuleAction::forward(weights, kept)
        }
        (_, None) => RuleAction::Other("forward with a transform of an unknown kind".to_owned()),
        (other @ RuleAction::Other(_), Some(_)) => other,
    }
}

/// The health of a target group's targets. One machine on two ports counts as well only
/// when both are.
pub fn targets(all: &[elb::TargetHealthDescription]) -> Targets {
    let mut targets = Targets::new();
    for description in all {
        let Some(id) = description.target().and_then(|target| target.id()) else {
            continue;
        };
        let state = description.target_health().and_then(|health| health.state());
        let said = description.target_health();
        let health = target_health(state.map_or("", elb::TargetHealthStateEnum::as_str));
        let reason = said.and_then(|said| said.reason()).map(elb::TargetHealthReasonEnum::as_str);
        let parts = [reason, said.and_then(|said| said.description())];
        let parts: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        let target = Target { health, words: parts.join(": ") };
        let entry = targets.entry(id.to_owned()).or_insert_with(|| target.clone());
        if entry.health == TargetHealth::Healthy {
            *entry = target;
        }
    }
    targets
}

fn target_health(word: &str) -> TargetHealth {
    match word {
        "initial" => TargetHealth::Initial,
        "healthy" => TargetHealth::Healthy,
        "unhealthy" => TargetHealth::Unhealthy,
        "draining" | "unhealthy.draining" => TargetHealth::Draining,
        "unused" => TargetHealth::Unused,
        _ => TargetHealth::Unavailable,
    }
}

/// A scaling activity.
pub fn activity(activity: &asg::Activity) -> Result<Activity, Missing> {
    let description = activity.description().unwrap_or_default();
    let message = activity.status_message().filter(|message| !message.is_empty()).or(activity.description());
    Ok(Activity {
        started: time(activity.start_time(), "StartTime")?,
        ended: activity.end_time().and_then(|end| time(Some(end), "EndTime").ok()),
        outcome: match activity.status_code().map_or("", asg::ScalingActivityStatusCode::as_str) {
            "Successful" => Outcome::Successful,
            "Failed" | "Cancelled" => Outcome::Failed,
            _ => Outcome::Running,
        },
        message: message.unwrap_or_default().to_owned(),
        // Source: descriptions read `Launching a new EC2 instance: i-…` and `Terminating
        // EC2 instance: i-…`; the API has no field for it.
        launch: description.starts_with("Launching"),
        cause: activity.cause().unwrap_or_default().to_owned(),
        instance: description.rsplit(' ').next().filter(|word| word.starts_with("i-")).map(str::to_owned),
    })
}

/// A scaling policy. One that we would never write gets a metric that says what it is.
pub fn policy(policy: &asg::ScalingPolicy) -> Result<Policy, Missing> {
    let tracking = policy.target_tracking_configuration();
    let metric = tracking.and_then(|tracking| tracking.predefined_metric_specification());
    let word = metric.and_then(|metric| metric.predefined_metric_type()).map(asg::MetricType::as_str);
    let mut word = match (tracking, word) {
        (Some(_), Some(word)) => word.to_owned(),
        (Some(_), None) => "customized metric".to_owned(),
        (None, _) => policy.policy_type().unwrap_or("unknown").to_owned(),
    };
    if tracking.and_then(|tracking| tracking.disable_scale_in()).unwrap_or(false) {
        word.push_str(" without scale-in");
    }
    if policy.enabled() == Some(false) {
        word.push_str(" disabled");
    }
    Ok(Policy {
        name: text(policy.policy_name(), "PolicyName")?,
        metric: word,
        resource_label: metric.and_then(|metric| metric.resource_label()).map(str::to_owned),
        target_millis: tracking.and_then(|tracking| tracking.target_value()).map_or(0, millis),
    })
}

/// A float of AWS in thousandths, which compare exactly.
fn millis(value: f64) -> u64 {
    (value * 1000.0).round().clamp(0.0, 9.0e15) as u64
}
