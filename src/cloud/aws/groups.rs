//! Making Auto Scaling groups, and their policies.

use aws_sdk_autoscaling::types as asg;

use crate::cloud::error::{CloudError, ErrorKind};
use crate::names::READY_HOOK;
use crate::observed::resources::{GroupSpec, Policy};
use crate::time::Span;

use super::errors::{not_ours, own};
use super::request::{asg_tags, number, target_tracking};
use super::writer::{gone, same_release};
use super::{AwsCloud, Bucket};

const CREATE: &str = "CreateAutoScalingGroup";
const DELETE: &str = "DeleteAutoScalingGroup";

/// The one version of every template of ours. `$Latest` would change under a group's feet.
pub(super) const VERSION: &str = "1";

/// Policies whose name begins so are ours to delete.
pub(super) const POLICY_PREFIX: &str = "ionroller-";

impl AwsCloud {
    pub(super) async fn make_group(&self, spec: &GroupSpec) -> Result<(), CloudError> {
        let name = spec.name.as_str();
        let template = asg::LaunchTemplateSpecification::builder()
            .launch_template_name(spec.template.as_str())
            .version(VERSION)
            .build();
        let grace = u32::try_from(spec.grace.as_secs_ceil()).unwrap_or(u32::MAX);
        let call = self
            .autoscaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(name)
            .launch_template(template)
            .min_size(number(spec.min))
            .max_size(number(spec.max))
            .desired_capacity(number(spec.min))
            .vpc_zone_identifier(spec.subnets.join(","))
            .set_target_group_arns(spec.target_group.as_ref().map(|arn| vec![arn.to_string()]))
            .health_check_type(if spec.target_group.is_some() { "ELB" } else { "EC2" })
            .health_check_grace_period(number(grace))
            .set_lifecycle_hook_specification_list(spec.ready_within.map(|span| vec![ready_hook(span)]))
            .set_tags(Some(asg_tags(name, &spec.tags)));
        match self.call(Bucket::Asg, CREATE, name, call.send()).await {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => self.adopt_group(spec).await,
            Err(error) => Err(error),
        }
    }

    /// Takes over a group of that name if it is this release's and stands.
    async fn adopt_group(&self, spec: &GroupSpec) -> Result<(), CloudError> {
        let name = spec.name.as_str();
        let found = self.list_groups(name, None, Some(name)).await?;
        let Some(group) = found.first() else {
            return Err(own(CREATE, name, ErrorKind::Conflict, "the name is taken, but no group shows yet"));
        };
        if !same_release(&group.tags, &spec.tags) {
            return Err(not_ours(CREATE, name, "a group with other tags has this name"));
        }
        if group.deleting {
            return Err(own(CREATE, name, ErrorKind::Conflict, "the group of this name is being deleted"));
        }
        let wanted = (spec.template.to_string(), VERSION.to_owned());
        match &group.template {
            Some(template) if *template == wanted => Ok(()),
            other => {
                let other =
                    other.as_ref().map_or("none".to_owned(), |(name, version)| format!("{name} version {version}"));
                Err(not_ours(CREATE, name, format!("the group of this name has another launch template: {other}")))
            }
        }
    }

    pub(super) async fn resize(&self, group: &str, min: u32, max: u32, desired: Option<u32>) -> Result<(), CloudError> {
        let call = self
            .autoscaling
            .update_auto_scaling_group()
            .auto_scaling_group_name(group)
            .min_size(number(min))
            .max_size(number(max))
            .set_desired_capacity(desired.map(number));
        self.call(Bucket::Asg, "UpdateAutoScalingGroup", group, call.send()).await?;
        Ok(())
    }

    /// Writes what is missing or differs, then deletes ours that are not wanted: a group
    /// is never without any policy on the way.
    pub(super) async fn replace_policies(&self, group: &str, wanted: &[Policy]) -> Result<(), CloudError> {
        let present = self.policies(group).await?;
        for policy in wanted.iter().filter(|policy| !present.contains(policy)) {
            self.put_policy(group, policy).await?;
        }
        let unwanted = present.iter().filter(|policy| {
            policy.name.starts_with(POLICY_PREFIX) && wanted.iter().all(|wanted| wanted.name != policy.name)
        });
        for policy in unwanted {
            let call = self.autoscaling.delete_policy().auto_scaling_group_name(group).policy_name(&policy.name);
            gone(self.call(Bucket::Asg, "DeletePolicy", &format!("{group}/{}", policy.name), call.send()).await)?;
        }
        Ok(())
    }

    async fn put_policy(&self, group: &str, policy: &Policy) -> Result<(), CloudError> {
        const OPERATION: &str = "PutScalingPolicy";
        let resource = format!("{group}/{}", policy.name);
        let tracking = target_tracking(policy).ok_or_else(|| {
            own(OPERATION, &resource, ErrorKind::Invalid, format!("`{}` is no predefined metric", policy.metric))
        })?;
        let call = self
            .autoscaling
            .put_scaling_policy()
            .auto_scaling_group_name(group)
            .policy_name(&policy.name)
            .policy_type("TargetTrackingScaling")
            .target_tracking_configuration(tracking)
            .enabled(true);
        self.call(Bucket::Asg, OPERATION, &resource, call.send()).await?;
        Ok(())
    }

    /// Without force: AWS refuses as long as there are machines. It also refuses, with the
    /// same code, when the deletion was asked for before and is on its way.
    pub(super) async fn remove_group(&self, group: &str) -> Result<(), CloudError> {
        let call = self.autoscaling.delete_auto_scaling_group().auto_scaling_group_name(group).send();
        match gone(self.call(Bucket::Asg, DELETE, group, call).await) {
            Err(error) if error.kind == ErrorKind::Conflict => {
                let found = self.list_groups(group, None, Some(group)).await?;
                if found.iter().all(|found| found.deleting) { Ok(()) } else { Err(error) }
            }
            other => other,
        }
    }
}

/// The hook in which a new machine waits until its boot script says that it is ready. It is part
/// of the creation, so that the first machines wait in it, too; one that says nothing is given up.
fn ready_hook(within: Span) -> asg::LifecycleHookSpecification {
    let seconds = u32::try_from(within.as_secs_ceil()).unwrap_or(u32::MAX);
    asg::LifecycleHookSpecification::builder()
        .lifecycle_hook_name(READY_HOOK)
        .lifecycle_transition("autoscaling:EC2_INSTANCE_LAUNCHING")
        .heartbeat_timeout(number(seconds))
        .default_result("ABANDON")
        .build()
}

/// A name that is blocked by a deletion in progress comes with the same code and stays
/// the caller's to wait for.
fn is_taken(error: &CloudError) -> bool {
    error.code.starts_with("AlreadyExists") && !error.message.to_ascii_lowercase().contains("pending delete")
}
