//! The reading half of the port.
//!
//! Every listing goes on to its last page, and one page that fails fails it all: what a
//! partial listing lacks would look like something that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_sdk_autoscaling::types as asg;
use aws_sdk_elasticloadbalancingv2::types as elb;

use crate::cloud::error::{CloudError, ErrorKind};
use crate::cloud::{Caller, CloudReader, Owner, PAGES_MAX};
use crate::names::{ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::marks::{SCOPE, SERVICE};
use crate::observed::prerequisites::{Found, Kind};
use crate::observed::resources::{Activity, Details, Group, Listener, Rule, Tags, TargetGroup, Targets, Template};
use crate::time::{Span, Timestamp};

use super::convert::{self, Missing};
use super::errors::{own, unreadable};
use super::request::{asg_filter, ec2_filter};
use super::{AwsCloud, Bucket};

/// The largest pages that AWS gives.
/// Source: the API references of the three services.
const GROUPS_A_PAGE: i32 = 100;
const TEMPLATES_A_PAGE: i32 = 200;
const BALANCING_A_PAGE: i32 = 400;
const POLICIES_A_PAGE: i32 = 100;
const ACTIVITIES: i32 = 100;

/// The most ARNs that one DescribeTags of Elastic Load Balancing takes.
/// Source: its API reference.
const TAGGED_A_CALL: usize = 20;

/// The attribute of a target group for the time that a leaving target may finish.
pub(super) const DEREGISTRATION_DELAY: &str = "deregistration_delay.timeout_seconds";

#[async_trait]
impl CloudReader for AwsCloud {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    async fn caller(&self) -> Result<Caller, CloudError> {
        self.identity().await
    }

    async fn groups(&self, owner: &Owner) -> Result<Vec<Group>, CloudError> {
        let (scope, service) = tag_filters(owner);
        let mut filters = vec![asg_filter(&scope.0, scope.1)];
        filters.extend(service.map(|(name, value)| asg_filter(&name, value)));
        self.list_groups(owner.scope.as_str(), Some(filters), None).await
    }

    async fn templates(&self, owner: &Owner) -> Result<Vec<Template>, CloudError> {
        let (scope, service) = tag_filters(owner);
        let mut filters = vec![ec2_filter(&scope.0, scope.1)];
        filters.extend(service.map(|(name, value)| ec2_filter(&name, value)));
        self.list_templates(owner.scope.as_str(), filters).await
    }

    async fn target_groups(&self) -> Result<Vec<TargetGroup>, CloudError> {
        const OPERATION: &str = "DescribeTargetGroups";
        let (mut all, mut pages) = (Vec::new(), Pages::new(OPERATION, ""));
        loop {
            let call = self.balancing.describe_target_groups().page_size(BALANCING_A_PAGE);
            let call = call.set_marker(pages.token.clone()).send();
            let page = self.call(Bucket::ElbRead, OPERATION, "", call).await?;
            read_all(&mut all, page.target_groups(), convert::target_group, OPERATION, "")?;
            if !pages.more(page.next_marker())? {
                return Ok(all);
            }
        }
    }

    async fn listeners(&self, arns: &[ListenerArn]) -> Result<Vec<Listener>, CloudError> {
        const OPERATION: &str = "DescribeListeners";
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let resource = match arns {
            [only] => only.to_string(),
            _ => format!("{} listeners", arns.len()),
        };
        let wanted: Vec<String> = arns.iter().map(ToString::to_string).collect();
        let (mut all, mut pages) = (Vec::new(), Pages::new(OPERATION, &resource));
        loop {
            let call = self.balancing.describe_listeners().set_listener_arns(Some(wanted.clone()));
            let call = call.set_marker(pages.token.clone()).send();
            let page = self.call(Bucket::ElbRead, OPERATION, &resource, call).await?;
            read_all(&mut all, page.listeners(), convert::listener, OPERATION, &resource)?;
            if !pages.more(page.next_marker())? {
                break;
            }
        }
        // What was not asked for is no answer.
        all.retain(|found: &Listener| arns.contains(&found.arn));
        // AWS fails the call for one that is gone; an answer without it must not pass either.
        match arns.iter().find(|arn| all.iter().all(|found: &Listener| found.arn != **arn)) {
            Some(gone) => Err(own(OPERATION, gone.as_str(), ErrorKind::NotFound, "the answer lacks it")),
            None => Ok(all),
        }
    }

    async fn rules(&self, listener: &ListenerArn) -> Result<Vec<Rule>, CloudError> {
        const OPERATION: &str = "DescribeRules";
        let resource = listener.as_str();
        let (mut all, mut pages) = (Vec::new(), Pages::new(OPERATION, resource));
        loop {
            let call = self.balancing.describe_rules().listener_arn(resource).page_size(BALANCING_A_PAGE);
            let call = call.set_marker(pages.token.clone()).send();
            let page = self.call(Bucket::ElbRead, OPERATION, resource, call).await?;
            let read = |rule: &elb::Rule| convert::rule(rule, listener);
            if page.rules().iter().any(|rule| !is_of(rule, listener)) {
                return Err(not_asked(OPERATION, resource, "rules of another listener"));
            }
            read_all(&mut all, page.rules(), read, OPERATION, resource)?;
            if !pages.more(page.next_marker())? {
                return Ok(all);
            }
        }
    }

    async fn tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>, CloudError> {
        let mut found = BTreeMap::new();
        // One that is gone fails the call for all of its batch, so a batch is cut in two
        // until that one is alone.
        let arns: Vec<String> = arns.iter().filter(|arn| !is_made_up(arn)).cloned().collect();
        let mut batches: Vec<&[String]> = arns.chunks(TAGGED_A_CALL).rev().collect();
        while let Some(batch) = batches.pop() {
            match self.describe_tags(batch).await {
                Ok(tags) => found.extend(tags),
                Err(error) if error.kind == ErrorKind::NotFound => {
                    if batch.len() > 1 {
                        let (left, right) = batch.split_at(batch.len() / 2);
                        batches.extend([right, left]);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn target_health(&self, arn: &TargetGroupArn) -> Result<Targets, CloudError> {
        let call = self.balancing.describe_target_health().target_group_arn(arn.as_str()).send();
        let answer = self.call(Bucket::ElbRead, "DescribeTargetHealth", arn.as_str(), call).await?;
        Ok(convert::targets(answer.target_health_descriptions()))
    }

    async fn activities(&self, group: &str) -> Result<Vec<Activity>, CloudError> {
        const OPERATION: &str = "DescribeScalingActivities";
        let call = self.autoscaling.describe_scaling_activities();
        let call = call.auto_scaling_group_name(group).max_records(ACTIVITIES).send();
        let page = self.call(Bucket::Asg, OPERATION, group, call).await?;
        let mut all = Vec::new();
        if page.activities().iter().any(|found| found.auto_scaling_group_name().is_some_and(|name| name != group)) {
            return Err(not_asked(OPERATION, group, "activities of another group"));
        }
        read_all(&mut all, page.activities(), convert::activity, OPERATION, group)?;
        // AWS says so too, but it is cheaper to be sure than to be wrong about a verdict.
        all.sort_by_key(|activity: &Activity| std::cmp::Reverse(activity.started));
        Ok(all)
    }

    async fn details(&self, group: &str, target_group: Option<&TargetGroupArn>) -> Result<Details, CloudError> {
        let policies = self.policies(group).await?;
        let deregistration_delay = match target_group {
            Some(arn) => self.deregistration_delay(arn).await?,
            None => None,
        };
        Ok(Details { policies, deregistration_delay })
    }

    async fn prerequisites(&self, kind: Kind, ids: &BTreeSet<String>) -> Result<BTreeMap<String, Found>, CloudError> {
        self.find_prerequisites(kind, ids).await
    }
}

impl AwsCloud {
    /// Groups by filter or by name. A name that does not exist is left out.
    pub(super) async fn list_groups(
        &self,
        resource: &str,
        filters: Option<Vec<asg::Filter>>,
        name: Option<&str>,
    ) -> Result<Vec<Group>, CloudError> {
        const OPERATION: &str = "DescribeAutoScalingGroups";
        let names = name.map(|name| vec![name.to_owned()]);
        let (mut all, mut pages) = (Vec::new(), Pages::new(OPERATION, resource));
        loop {
            let call = self.autoscaling.describe_auto_scaling_groups().max_records(GROUPS_A_PAGE);
            let call = call.set_filters(filters.clone()).set_auto_scaling_group_names(names.clone());
            let call = call.set_next_token(pages.token.clone()).send();
            let page = self.call(Bucket::Asg, OPERATION, resource, call).await?;
            read_all(&mut all, page.auto_scaling_groups(), convert::group, OPERATION, resource)?;
            if !pages.more(page.next_token())? {
                // A filter that is ignored must not make others' groups ours.
                all.retain(|found: &Group| name.is_none_or(|name| found.name == name));
                return Ok(all);
            }
        }
    }

    /// Templates by filter. By name or id, a missing one would be an error instead.
    pub(super) async fn list_templates(
        &self,
        resource: &str,
        filters: Vec<aws_sdk_ec2::types::Filter>,
    ) -> Result<Vec<Template>, CloudError> {
        const OPERATION: &str = "DescribeLaunchTemplates";
        let (mut all, mut pages) = (Vec::new(), Pages::new(OPERATION, resource));
        loop {
            let call = self.ec2.describe_launch_templates().max_results(TEMPLATES_A_PAGE);
            let call = call.set_filters(Some(filters.clone())).set_next_token(pages.token.clone()).send();
            let page = self.call(Bucket::Ec2Read, OPERATION, resource, call).await?;
            read_all(&mut all, page.launch_templates(), convert::template, OPERATION, resource)?;
            if !pages.more(page.next_token())? {
                return Ok(all);
            }
        }
    }

    /// A group's policies, sorted by name.
    pub(super) async fn policies(&self, group: &str) -> Result<Vec<crate::observed::resources::Policy>, CloudError> {
        const OPERATION: &str = "DescribePolicies";
        let (mut all, mut pages) = (Vec::new(), Pages::new(OPERATION, group));
        loop {
            let call = self.autoscaling.describe_policies().auto_scaling_group_name(group);
            let call = call.max_records(POLICIES_A_PAGE).set_next_token(pages.token.clone()).send();
            let page = self.call(Bucket::Asg, OPERATION, group, call).await?;
            if page
                .scaling_policies()
                .iter()
                .any(|found| found.auto_scaling_group_name().is_some_and(|name| name != group))
            {
                return Err(not_asked(OPERATION, group, "policies of another group"));
            }
            read_all(&mut all, page.scaling_policies(), convert::policy, OPERATION, group)?;
            if !pages.more(page.next_token())? {
                all.sort();
                return Ok(all);
            }
        }
    }

    async fn deregistration_delay(&self, arn: &TargetGroupArn) -> Result<Option<Span>, CloudError> {
        let call = self.balancing.describe_target_group_attributes().target_group_arn(arn.as_str()).send();
        let answer = self.call(Bucket::ElbRead, "DescribeTargetGroupAttributes", arn.as_str(), call).await?;
        let delay = answer.attributes().iter().find(|attribute| attribute.key() == Some(DEREGISTRATION_DELAY));
        Ok(delay.and_then(|attribute| attribute.value()?.parse().ok()).map(Span::from_secs))
    }

    /// Tags of at most twenty load balancing resources.
    async fn describe_tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>, CloudError> {
        let resource = match arns {
            [only] => only.clone(),
            _ => format!("{} resources", arns.len()),
        };
        let call = self.balancing.describe_tags().set_resource_arns(Some(arns.to_vec())).send();
        let answer = self.call(Bucket::ElbRead, "DescribeTags", &resource, call).await?;
        let pair =
            |found: &elb::TagDescription| Some((found.resource_arn()?.to_owned(), convert::elb_tags(found.tags())));
        let asked = |(arn, _): &(String, Tags)| arns.contains(arn);
        Ok(answer.tag_descriptions().iter().filter_map(pair).filter(asked).collect())
    }
}

/// `tag:KEY` and the value, for the scope and, when given, the service.
fn tag_filters(owner: &Owner) -> ((String, &str), Option<(String, &str)>) {
    let service = owner.service.as_ref().map(|service| (format!("tag:{SERVICE}"), service.as_str()));
    ((format!("tag:{SCOPE}"), owner.scope.as_str()), service)
}

/// A default action's ARN in our words means nothing to AWS.
fn is_made_up(arn: &str) -> bool {
    RuleArn::parse(arn).is_ok_and(|rule| rule.default_of().is_some())
}

/// Converts a page onto the end of a listing.
fn read_all<T, U>(
    all: &mut Vec<U>,
    page: &[T],
    read: impl Fn(&T) -> Result<U, Missing>,
    operation: &'static str,
    resource: &str,
) -> Result<(), CloudError> {
    for item in page {
        all.push(read(item).map_err(|field| unreadable(operation, resource, field))?);
    }
    Ok(())
}

/// Whether a rule is one of the listener that was asked for.
fn is_of(rule: &elb::Rule, listener: &ListenerArn) -> bool {
    let prefix = listener.as_str().replacen(":listener/", ":listener-rule/", 1);
    let rest = rule.rule_arn().and_then(|arn| arn.strip_prefix(&prefix));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// An answer to another question than the one that was asked. Nothing follows from it.
pub(super) fn not_asked(operation: &'static str, resource: &str, what: &str) -> CloudError {
    own(operation, resource, ErrorKind::Unavailable, format!("the answer holds {what}, which was not asked for"))
}

/// Where a listing stands.
pub(super) struct Pages<'a> {
    pub(super) token: Option<String>,
    read: usize,
    operation: &'static str,
    resource: &'a str,
}

impl<'a> Pages<'a> {
    pub(super) fn new(operation: &'static str, resource: &'a str) -> Self {
        Self { token: None, read: 0, operation, resource }
    }

    /// Takes the token for the next page, if there is one.
    pub(super) fn more(&mut self, next: Option<&str>) -> Result<bool, CloudError> {
        let next = next.filter(|token| !token.is_empty()).map(str::to_owned);
        if next.is_some() && next == self.token {
            // It would never end.
            let message = "the listing came back to the page that it was on";
            return Err(own(self.operation, self.resource, ErrorKind::Unavailable, message));
        }
        self.read += 1;
        if next.is_some() && self.read >= PAGES_MAX {
            let message = format!("the listing has more than {PAGES_MAX} pages, and no more are read");
            return Err(own(self.operation, self.resource, ErrorKind::Unavailable, message));
        }
        self.token = next;
        Ok(self.token.is_some())
    }
}
