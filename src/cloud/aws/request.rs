//! From our types to the SDK's. Nothing here sends anything.

use aws_sdk_autoscaling::types as asg;
use aws_sdk_ec2::types as ec2;
use aws_sdk_elasticloadbalancingv2::types as elb;
use data_encoding::BASE64;

use crate::names::{Digest, TargetGroupArn};
use crate::observed::marks::{COMMIT, DIGEST, PREFIX, SCOPE, SERVICE, VERSION};
use crate::observed::resources::{Condition, Conditions, Kept, Policy, Tags, TemplateSpec};

use super::kept;

/// The number of network hops that an answer of the instance metadata service lives. A
/// container on Docker's bridge is one hop further than its machine.
/// Source: EC2 user guide, instance metadata options.
const METADATA_HOPS: i32 = 2;

/// A size as the SDK takes it.
pub fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Tags for EC2.
pub fn ec2_tags(tags: &Tags) -> Vec<ec2::Tag> {
    tags.iter().map(|(key, value)| ec2::Tag::builder().key(key).value(value).build()).collect()
}

/// Tags for Elastic Load Balancing.
pub fn elb_tags(tags: &Tags) -> Vec<elb::Tag> {
    tags.iter().map(|(key, value)| elb::Tag::builder().key(key).value(value).build()).collect()
}

/// Tags for an Auto Scaling group. All but the marks go on to its machines: those speak of
/// the group and change while the machines stand.
pub fn asg_tags(group: &str, tags: &Tags) -> Vec<asg::Tag> {
    let tag =
        |(key, value): (&String, &String)| asg_tag(group, key).value(value).propagate_at_launch(!is_mark(key)).build();
    tags.iter().map(tag).collect()
}

/// A tag of an Auto Scaling group without a value, enough to delete it.
pub fn asg_tag(group: &str, key: &str) -> asg::builders::TagBuilder {
    asg::Tag::builder().resource_id(group).resource_type("auto-scaling-group").key(key)
}

fn is_mark(key: &str) -> bool {
    key.starts_with(PREFIX) && ![SCOPE, SERVICE, VERSION, DIGEST, COMMIT].contains(&key)
}

/// A filter of EC2.
pub fn ec2_filter(name: &str, value: &str) -> ec2::Filter {
    ec2::Filter::builder().name(name).values(value).build()
}

/// A filter of Auto Scaling.
pub fn asg_filter(name: &str, value: &str) -> asg::Filter {
    asg::Filter::builder().name(name).values(value).build()
}

/// A rule's whole list of actions: what comes before, then one forward with all weights.
/// None where something that was kept is in no form of ours.
pub fn actions(weights: &[(TargetGroupArn, u32)], kept: &Kept) -> Option<Vec<elb::Action>> {
    let group = |(arn, weight): &(TargetGroupArn, u32)| {
        elb::TargetGroupTuple::builder().target_group_arn(arn.as_str()).weight(number(*weight)).build()
    };
    let config = elb::ForwardActionConfig::builder()
        .set_target_groups(Some(weights.iter().map(group).collect()))
        .set_target_group_stickiness_config(kept::stickiness(kept));
    let forward = elb::Action::builder().r#type(elb::ActionTypeEnum::Forward).forward_config(config.build());
    let mut all = kept::actions(kept)?;
    // An order is required as soon as there is more than one.
    let order = i32::try_from(all.len() + 1).ok().filter(|order| *order > 1);
    all.push(forward.set_order(order).build());
    Some(all)
}

/// The conditions of a rule.
pub fn conditions(conditions: &Conditions) -> Vec<elb::RuleCondition> {
    let mut all = Vec::new();
    let regex_of = |wanted: fn(&Condition) -> Option<&Vec<String>>| conditions.more.iter().find_map(wanted).cloned();
    let hosts = regex_of(|condition| match condition {
        Condition::HostRegex(values) => Some(values),
        _ => None,
    });
    if !conditions.hosts.is_empty() || hosts.is_some() {
        let values = Some(conditions.hosts.clone()).filter(|values| !values.is_empty());
        let config = elb::HostHeaderConditionConfig::builder().set_values(values).set_regex_values(hosts);
        all.push(elb::RuleCondition::builder().field("host-header").host_header_config(config.build()).build());
    }
    let paths = regex_of(|condition| match condition {
        Condition::PathRegex(values) => Some(values),
        _ => None,
    });
    if !conditions.paths.is_empty() || paths.is_some() {
        let values = Some(conditions.paths.clone()).filter(|values| !values.is_empty());
        let config = elb::PathPatternConditionConfig::builder().set_values(values).set_regex_values(paths);
        all.push(elb::RuleCondition::builder().field("path-pattern").path_pattern_config(config.build()).build());
    }
    all.extend(conditions.more.iter().filter_map(condition));
    all
}

/// A condition of another kind. The regular expressions of hosts and paths are written with those.
fn condition(condition: &Condition) -> Option<elb::RuleCondition> {
    let built = elb::RuleCondition::builder();
    let some = |values: &[String]| Some(values.to_vec()).filter(|values| !values.is_empty());
    let built = match condition {
        Condition::HostRegex(_) | Condition::PathRegex(_) => return None,
        Condition::Header { name, values, regex } => {
            let config = elb::HttpHeaderConditionConfig::builder().http_header_name(name).set_values(some(values));
            built.field("http-header").http_header_config(config.set_regex_values(some(regex)).build())
        }
        Condition::Methods(values) => {
            let config = elb::HttpRequestMethodConditionConfig::builder().set_values(some(values)).build();
            built.field("http-request-method").http_request_method_config(config)
        }
        Condition::Query(pairs) => {
            let pair = |(key, value): &(Option<String>, String)| {
                elb::QueryStringKeyValuePair::builder().set_key(key.clone()).value(value).build()
            };
            let config = elb::QueryStringConditionConfig::builder().set_values(Some(pairs.iter().map(pair).collect()));
            built.field("query-string").query_string_config(config.build())
        }
        Condition::SourceIps(values) => {
            let config = elb::SourceIpConditionConfig::builder().set_values(some(values)).build();
            built.field("source-ip").source_ip_config(config)
        }
        // AWS refuses it, which is better than a rule without it.
        Condition::Unknown(kind) => built.field(kind),
    };
    Some(built.build())
}

/// The content of a launch template, for an image that is already resolved.
pub fn template_data(spec: &TemplateSpec, image: &str, root_device: Option<&str>) -> ec2::RequestLaunchTemplateData {
    let metadata = ec2::LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_tokens(ec2::LaunchTemplateHttpTokensState::Required)
        .http_put_response_hop_limit(METADATA_HOPS);
    let profile = spec
        .instance_profile
        .as_ref()
        .map(|name| ec2::LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(name).build());
    let tagged = |kind: ec2::ResourceType| {
        let tags = Some(ec2_tags(&spec.machine_tags));
        ec2::LaunchTemplateTagSpecificationRequest::builder().resource_type(kind).set_tags(tags).build()
    };
    let mut data = ec2::RequestLaunchTemplateData::builder()
        .image_id(image)
        .instance_type(ec2::InstanceType::from(spec.instance_type.as_str()))
        .set_iam_instance_profile(profile)
        .set_key_name(spec.key_name.clone())
        .set_security_group_ids((!spec.security_groups.is_empty()).then(|| spec.security_groups.clone()))
        // A boot script that fails powers the machine off. Nothing of it is kept, and its
        // group replaces it.
        .instance_initiated_shutdown_behavior(ec2::ShutdownBehavior::Terminate)
        .metadata_options(metadata.build());
    if !spec.user_data.is_empty() {
        data = data.user_data(BASE64.encode(spec.user_data.as_bytes()));
    }
    if !spec.machine_tags.is_empty() {
        data = data.tag_specifications(tagged(ec2::ResourceType::Instance));
        data = data.tag_specifications(tagged(ec2::ResourceType::Volume));
    }
    if let (Some(device), Some(gib)) = (root_device, spec.root_volume_gib) {
        data = data.block_device_mappings(root_volume(device, gib));
    }
    data.build()
}

/// Only the size differs from the image's own mapping; EC2 fills in the rest from there.
fn root_volume(device: &str, gib: u32) -> ec2::LaunchTemplateBlockDeviceMappingRequest {
    let disk = ec2::LaunchTemplateEbsBlockDeviceRequest::builder().volume_size(number(gib)).build();
    ec2::LaunchTemplateBlockDeviceMappingRequest::builder().device_name(device).ebs(disk).build()
}

/// The idempotency token of a template's creation. The same content, sent again by a
/// process that was restarted, is the same request to EC2.
pub fn client_token(spec: &TemplateSpec, image: &str) -> String {
    // `Debug` of plain values is stable within one build, which is as far as a token needs
    // to reach: another build's is refused, and then the template is taken over by name.
    Digest::of(format!("{spec:?}\0{image}").as_bytes()).to_string()
}

/// A target tracking policy, or none for a metric that AWS has no predefined word for.
pub fn target_tracking(policy: &Policy) -> Option<asg::TargetTrackingConfiguration> {
    let metric = asg::MetricType::try_parse(&policy.metric).ok()?;
    let metric = asg::PredefinedMetricSpecification::builder()
        .predefined_metric_type(metric)
        .set_resource_label(policy.resource_label.clone());
    Some(
        asg::TargetTrackingConfiguration::builder()
            .predefined_metric_specification(metric.build())
            .target_value(thousandths(policy.target_millis))
            .disable_scale_in(false)
            .build(),
    )
}

/// Exact up to 2^53, far above any target.
fn thousandths(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
