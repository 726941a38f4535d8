//! Putting right what somebody else has changed of an Auto Scaling group.

use aws_sdk_autoscaling::types as asg;

use crate::cloud::error::CloudError;
use crate::observed::resources::GroupChange;

use super::groups::VERSION;
use super::request::number;
use super::{AwsCloud, Bucket};

/// The most machines that one call of SetInstanceProtection takes.
/// Source: its API reference.
const PROTECTED_A_CALL: usize = 50;

impl AwsCloud {
    pub(super) async fn mend_group(&self, group: &str, change: &GroupChange) -> Result<(), CloudError> {
        let update = || self.autoscaling.update_auto_scaling_group().auto_scaling_group_name(group);
        let call = match change {
            GroupChange::Template(name) => {
                let template = asg::LaunchTemplateSpecification::builder().launch_template_name(name.as_str());
                update().launch_template(template.version(VERSION).build())
            }
            GroupChange::HealthCheck { kind, grace } => {
                let grace = u32::try_from(grace.as_secs_ceil()).unwrap_or(u32::MAX);
                update().health_check_type(kind).health_check_grace_period(number(grace))
            }
            GroupChange::Subnets(subnets) => update().vpc_zone_identifier(subnets.join(",")),
            GroupChange::Termination(policies) => update().set_termination_policies(Some(policies.clone())),
            GroupChange::Attach(arn) => {
                let call = self.autoscaling.attach_load_balancer_target_groups().auto_scaling_group_name(group);
                let call = call.target_group_arns(arn.as_str()).send();
                return self.call(Bucket::Asg, "AttachLoadBalancerTargetGroups", group, call).await.map(drop);
            }
            GroupChange::Resume(processes) => {
                let call = self.autoscaling.resume_processes().auto_scaling_group_name(group);
                let call = call.set_scaling_processes(Some(processes.clone())).send();
                return self.call(Bucket::Asg, "ResumeProcesses", group, call).await.map(drop);
            }
            GroupChange::Unprotect(machines) => {
                // New ones first, so that none comes between the two.
                let call = update().new_instances_protected_from_scale_in(false).send();
                self.call(Bucket::Asg, "UpdateAutoScalingGroup", group, call).await?;
                for machines in machines.chunks(PROTECTED_A_CALL) {
                    let call = self.autoscaling.set_instance_protection().auto_scaling_group_name(group);
                    let call = call.set_instance_ids(Some(machines.to_vec())).protected_from_scale_in(false).send();
                    self.call(Bucket::Asg, "SetInstanceProtection", group, call).await?;
                }
                return Ok(());
            }
        };
        self.call(Bucket::Asg, "UpdateAutoScalingGroup", group, call.send()).await.map(drop)
    }
}
