//! The changing half of the port.

use async_trait::async_trait;

use crate::cloud::error::{CloudError, ErrorKind};
use crate::cloud::{CloudWriter, RuleSpec, Tagged};
use crate::names::{RuleArn, TargetGroupArn};
use crate::observed::marks::{DIGEST, SCOPE, SERVICE};
use crate::observed::resources::{
    Conditions, GroupChange, GroupSpec, Kept, Policy, Tags, TargetGroupSpec, TemplateSpec,
};

use super::errors::own;
use super::request::{asg_tag, asg_tags, ec2_tags, elb_tags};
use super::{AwsCloud, Bucket};

/// The most tags that one call of Auto Scaling takes.
/// Source: the quotas of Auto Scaling.
const GROUP_TAGS_A_CALL: usize = 25;

#[async_trait]
impl CloudWriter for AwsCloud {
    async fn create_template(&self, spec: &TemplateSpec) -> Result<(), CloudError> {
        self.make_template(spec).await
    }

    async fn create_target_group(&self, spec: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError> {
        self.make_target_group(spec).await
    }

    async fn set_target_group(&self, arn: &TargetGroupArn, spec: &TargetGroupSpec) -> Result<(), CloudError> {
        self.modify_target_group(arn, spec).await
    }

    async fn create_rule(&self, spec: &RuleSpec) -> Result<RuleArn, CloudError> {
        self.make_rule(spec).await
    }

    async fn set_rule(
        &self,
        arn: &RuleArn,
        conditions: Option<&Conditions>,
        weights: &[(TargetGroupArn, u32)],
        kept: &Kept,
    ) -> Result<(), CloudError> {
        self.modify_rule(arn, conditions, weights, kept).await
    }

    async fn create_group(&self, spec: &GroupSpec) -> Result<(), CloudError> {
        self.make_group(spec).await
    }

    async fn set_capacity(&self, group: &str, min: u32, max: u32, desired: Option<u32>) -> Result<(), CloudError> {
        self.resize(group, min, max, desired).await
    }

    async fn set_group(&self, group: &str, change: &GroupChange) -> Result<(), CloudError> {
        self.mend_group(group, change).await
    }

    async fn set_policies(&self, group: &str, policies: &[Policy]) -> Result<(), CloudError> {
        self.replace_policies(group, policies).await
    }

    async fn set_tags(&self, on: &Tagged, tags: &Tags) -> Result<(), CloudError> {
        if tags.is_empty() {
            return Ok(());
        }
        match on {
            Tagged::Template(id) => {
                let call = self.ec2.create_tags().resources(id).set_tags(Some(ec2_tags(tags)));
                self.call(Bucket::Ec2Write, "CreateTags", id, call.send()).await?;
            }
            Tagged::Group(name) => {
                for tags in asg_tags(name, tags).chunks(GROUP_TAGS_A_CALL) {
                    let call = self.autoscaling.create_or_update_tags().set_tags(Some(tags.to_vec()));
                    self.call(Bucket::Asg, "CreateOrUpdateTags", name, call.send()).await?;
                }
            }
            Tagged::TargetGroup(_) | Tagged::Rule(_) => {
                let arn = arn(on)?;
                let call = self.balancing.add_tags().resource_arns(arn).set_tags(Some(elb_tags(tags)));
                self.call(Bucket::ElbWrite, "AddTags", arn, call.send()).await?;
            }
        }
        Ok(())
    }

    async fn clear_tags(&self, on: &Tagged, keys: &[String]) -> Result<(), CloudError> {
        if keys.is_empty() {
            return Ok(());
        }
        match on {
            Tagged::Template(id) => {
                // A tag without a value is deleted whatever its value is.
                let tag = |key: &String| aws_sdk_ec2::types::Tag::builder().key(key).build();
                let call = self.ec2.delete_tags().resources(id).set_tags(Some(keys.iter().map(tag).collect()));
                self.call(Bucket::Ec2Write, "DeleteTags", id, call.send()).await?;
            }
            Tagged::Group(name) => {
                for keys in keys.chunks(GROUP_TAGS_A_CALL) {
                    let tags = keys.iter().map(|key| asg_tag(name, key).build()).collect();
                    let call = self.autoscaling.delete_tags().set_tags(Some(tags));
                    self.call(Bucket::Asg, "DeleteTags", name, call.send()).await?;
                }
            }
            Tagged::TargetGroup(_) | Tagged::Rule(_) => {
                let arn = arn(on)?;
                let call = self.balancing.remove_tags().resource_arns(arn).set_tag_keys(Some(keys.to_vec()));
                self.call(Bucket::ElbWrite, "RemoveTags", arn, call.send()).await?;
            }
        }
        Ok(())
    }

    async fn delete_rule(&self, arn: &RuleArn) -> Result<(), CloudError> {
        self.remove_rule(arn).await
    }

    async fn delete_group(&self, group: &str) -> Result<(), CloudError> {
        self.remove_group(group).await
    }

    async fn delete_target_group(&self, arn: &TargetGroupArn) -> Result<(), CloudError> {
        let call = self.balancing.delete_target_group().target_group_arn(arn.as_str()).send();
        gone(self.call(Bucket::ElbWrite, "DeleteTargetGroup", arn.as_str(), call).await)
    }

    async fn delete_template(&self, id: &str) -> Result<(), CloudError> {
        let call = self.ec2.delete_launch_template().launch_template_id(id).send();
        gone(self.call(Bucket::Ec2Write, "DeleteLaunchTemplate", id, call).await)
    }
}

/// The ARN to tag. A default action has none that AWS knows.
fn arn(on: &Tagged) -> Result<&str, CloudError> {
    match on {
        Tagged::Template(id) | Tagged::Group(id) => Ok(id),
        Tagged::TargetGroup(arn) => Ok(arn.as_str()),
        Tagged::Rule(arn) if arn.default_of().is_none() => Ok(arn.as_str()),
        Tagged::Rule(arn) => Err(own("AddTags", arn.as_str(), ErrorKind::Invalid, "a default action has no tags")),
    }
}

/// The end of a deletion: what doesn't exist is deleted.
pub(super) fn gone<T>(result: Result<T, CloudError>) -> Result<(), CloudError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether what was found belongs to the scope and service that we make something for.
/// Without a scope nothing is anybody's.
pub(super) fn same_owner(found: &Tags, wanted: &Tags) -> bool {
    found.contains_key(SCOPE) && [SCOPE, SERVICE].iter().all(|key| found.get(*key) == wanted.get(*key))
}

/// Whether it is of the same release, too.
pub(super) fn same_release(found: &Tags, wanted: &Tags) -> bool {
    same_owner(found, wanted) && found.get(DIGEST) == wanted.get(DIGEST)
}
