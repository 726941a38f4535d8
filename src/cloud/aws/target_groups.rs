//! Making target groups, and bringing their settings about.

use aws_sdk_elasticloadbalancingv2::types as elb;

use crate::cloud::CloudReader;
use crate::cloud::error::{CloudError, ErrorKind};
use crate::names::{ListenerArn, TargetGroupArn};
use crate::observed::resources::TargetGroupSpec;

use super::errors::{not_ours, own, unreadable};
use super::reader::{DEREGISTRATION_DELAY, not_asked};
use super::request::{elb_tags, number};
use super::writer::same_release;
use super::{AwsCloud, Bucket, convert, locked};

const CREATE: &str = "CreateTargetGroup";

impl AwsCloud {
    pub(super) async fn make_target_group(&self, spec: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError> {
        match self.send_target_group(spec).await {
            Ok(arn) => {
                // AWS answers with the existing one if its settings are the same, whoever
                // made it, and doesn't say which of the two it was.
                self.verify_target_group(&arn, spec).await?;
                self.set_deregistration_delay(&arn, spec).await?;
                Ok(arn)
            }
            Err(error) if error.code == "DuplicateTargetGroupName" => self.adopt_target_group(spec).await,
            Err(error) => Err(error),
        }
    }

    async fn send_target_group(&self, spec: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError> {
        let name = spec.name.as_str();
        let vpc = self.vpc(&spec.listener).await?;
        let check = &spec.health_check;
        let call = self
            .balancing
            .create_target_group()
            .name(name)
            .protocol(elb::ProtocolEnum::from(spec.protocol.as_str()))
            .port(i32::from(spec.port))
            .vpc_id(vpc)
            .target_type(elb::TargetTypeEnum::Instance)
            .health_check_enabled(true)
            .health_check_protocol(elb::ProtocolEnum::from(check.protocol.as_str()))
            .health_check_port(&check.port)
            .set_health_check_path(check.path.clone())
            .set_matcher(matcher(spec))
            .health_check_interval_seconds(number(check.interval_secs))
            .health_check_timeout_seconds(number(check.timeout_secs))
            .healthy_threshold_count(number(check.healthy))
            .unhealthy_threshold_count(number(check.unhealthy))
            .set_tags(Some(elb_tags(&spec.tags)));
        let answer = self.call(Bucket::ElbWrite, CREATE, name, call.send()).await?;
        let made = answer.target_groups().first().and_then(|group| group.target_group_arn());
        let made = made.and_then(|arn| TargetGroupArn::parse(arn).ok());
        let made = made.ok_or_else(|| unreadable(CREATE, name, "TargetGroupArn"))?;
        if made.name() != name {
            return Err(not_asked(CREATE, name, "a target group of another name"));
        }
        Ok(made)
    }

    /// Takes over the target group of that name, whose settings differ.
    async fn adopt_target_group(&self, spec: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError> {
        const OPERATION: &str = "DescribeTargetGroups";
        let name = spec.name.as_str();
        let call = self.balancing.describe_target_groups().names(name).send();
        let answer = self.call(Bucket::ElbRead, OPERATION, name, call).await.map_err(not_yet)?;
        let mut all = answer.target_groups().iter();
        let found = all.find(|group| group.target_group_name() == Some(name));
        let found = found.ok_or_else(|| not_asked(OPERATION, name, "target groups of other names"))?;
        let vpc = found.vpc_id().map(str::to_owned);
        let found = convert::target_group(found).map_err(|field| unreadable(OPERATION, name, field))?;
        self.verify_target_group(&found.arn, spec).await?;
        // These three are fixed for the life of a target group.
        let differs = if found.port != spec.port || found.protocol != spec.protocol {
            Some(format!("{} {}, not {} {}", found.protocol, found.port, spec.protocol, spec.port))
        } else if vpc.is_some() && vpc != Some(self.vpc(&spec.listener).await?) {
            Some("in another VPC than the load balancer".to_owned())
        } else {
            None
        };
        if let Some(differs) = differs {
            let message = format!("ours exists with settings that can't be changed: it is {differs}");
            return Err(own(CREATE, name, ErrorKind::Invalid, message));
        }
        self.modify_target_group(&found.arn, spec).await?;
        Ok(found.arn)
    }

    async fn verify_target_group(&self, arn: &TargetGroupArn, spec: &TargetGroupSpec) -> Result<(), CloudError> {
        let found = self.tags(&[arn.to_string()]).await?;
        match found.get(arn.as_str()) {
            Some(tags) if same_release(tags, &spec.tags) => Ok(()),
            Some(_) => Err(not_ours(CREATE, spec.name.as_str(), format!("{arn} has this name and other tags"))),
            None => Err(own(CREATE, spec.name.as_str(), ErrorKind::Conflict, "it was made and doesn't show yet")),
        }
    }

    pub(super) async fn modify_target_group(
        &self,
        arn: &TargetGroupArn,
        spec: &TargetGroupSpec,
    ) -> Result<(), CloudError> {
        let check = &spec.health_check;
        let call = self
            .balancing
            .modify_target_group()
            .target_group_arn(arn.as_str())
            .health_check_enabled(true)
            .health_check_protocol(elb::ProtocolEnum::from(check.protocol.as_str()))
            .health_check_port(&check.port)
            .set_health_check_path(check.path.clone())
            .set_matcher(matcher(spec))
            .health_check_interval_seconds(number(check.interval_secs))
            .health_check_timeout_seconds(number(check.timeout_secs))
            .healthy_threshold_count(number(check.healthy))
            .unhealthy_threshold_count(number(check.unhealthy));
        self.call(Bucket::ElbWrite, "ModifyTargetGroup", arn.as_str(), call.send()).await?;
        self.set_deregistration_delay(arn, spec).await
    }

    async fn set_deregistration_delay(&self, arn: &TargetGroupArn, spec: &TargetGroupSpec) -> Result<(), CloudError> {
        let seconds = spec.deregistration_delay.as_secs_ceil().to_string();
        let delay = elb::TargetGroupAttribute::builder().key(DEREGISTRATION_DELAY).value(seconds).build();
        let call = self.balancing.modify_target_group_attributes().target_group_arn(arn.as_str()).attributes(delay);
        self.call(Bucket::ElbWrite, "ModifyTargetGroupAttributes", arn.as_str(), call.send()).await?;
        Ok(())
    }

    /// The VPC of a listener's load balancer.
    async fn vpc(&self, listener: &ListenerArn) -> Result<String, CloudError> {
        const OPERATION: &str = "DescribeLoadBalancers";
        let arn = listener.load_balancer_arn();
        if let Some(vpc) = locked(&self.vpcs).get(&arn) {
            return Ok(vpc.clone());
        }
        let call = self.balancing.describe_load_balancers().load_balancer_arns(&arn).send();
        let answer = self.call(Bucket::ElbRead, OPERATION, &arn, call).await?;
        let mut all = answer.load_balancers().iter();
        let vpc = all.find(|found| found.load_balancer_arn() == Some(&arn)).and_then(|balancer| balancer.vpc_id());
        let vpc = vpc.ok_or_else(|| unreadable(OPERATION, &arn, "VpcId"))?.to_owned();
        locked(&self.vpcs).insert(arn, vpc.clone());
        Ok(vpc)
    }
}

fn matcher(spec: &TargetGroupSpec) -> Option<elb::Matcher> {
    let codes = spec.health_check.matcher.as_ref()?;
    Some(elb::Matcher::builder().http_code(codes).build())
}

/// "Does not exist" about a name that was just said to be taken: look again later.
fn not_yet(error: CloudError) -> CloudError {
    match error.kind {
        ErrorKind::NotFound => CloudError { kind: ErrorKind::Conflict, ..error },
        _ => error,
    }
}
