//! What releases need and nobody makes for them, read in batches.
//!
//! A listing by filter leaves out what doesn't exist, so one call answers for all that does.
//! What it lacks is asked for by its name alone: AWS says in its own words that it doesn't exist,
//! and nothing else counts as that.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types as ec2;

use crate::cloud::error::{CloudError, ErrorKind};
use crate::observed::prerequisites::{Facts, Found, Kind};

use super::reader::Pages;
use super::request::ec2_filter;
use super::templates::matches;
use super::{AwsCloud, Bucket};

/// The most values of one filter.
/// Source: EC2 API reference, request filtering.
const VALUES_A_FILTER: usize = 200;

/// The most load balancers or target groups that are asked for in one call.
/// Source: the API references of DescribeLoadBalancers and DescribeTargetGroups.
const BALANCING_A_CALL: usize = 20;

type All = BTreeMap<String, Found>;

impl AwsCloud {
    /// What is known of some things of one kind. What an answer lacks is not in it.
    pub(super) async fn find_prerequisites(&self, kind: Kind, ids: &BTreeSet<String>) -> Result<All, CloudError> {
        let all: Vec<String> = ids.iter().cloned().collect();
        match kind {
            Kind::Subnet => self.find_subnets(&all).await,
            Kind::SecurityGroup => self.find_security_groups(&all).await,
            Kind::Association => self.find_associations(&all).await,
            Kind::Image => self.find_images(&all).await,
            Kind::InstanceType => self.find_instance_types(&all).await,
            Kind::Offering => self.find_offerings(&all).await,
            Kind::LoadBalancer => self.find_load_balancers(&all).await,
            Kind::TargetGroup => self.find_target_groups(&all).await,
        }
    }

    async fn find_subnets(&self, ids: &[String]) -> Result<All, CloudError> {
        const OPERATION: &str = "DescribeSubnets";
        let mut all = All::new();
        let mut add = |found: &[ec2::Subnet]| {
            for subnet in found {
                let facts =
                    Facts { vpcs: one(subnet.vpc_id()), zones: one(subnet.availability_zone()), ..Facts::default() };
                insert(&mut all, ids, subnet.subnet_id(), facts);
            }
        };
        for batch in ids.chunks(VALUES_A_FILTER) {
            let mut pages = Pages::new(OPERATION, "");
            loop {
                let call = self.ec2.describe_subnets().filters(filter("subnet-id", batch));
                let call = call.set_next_token(pages.token.clone()).send();
                let page = self.call(Bucket::Ec2Read, OPERATION, "", call).await?;
                add(page.subnets());
                if !pages.more(page.next_token())? {
                    break;
                }
            }
        }
        for id in left(ids, &all) {
            let call = self.ec2.describe_subnets().subnet_ids(&id).send();
            let refused = self.call(Bucket::Ec2Read, OPERATION, &id, call).await.err();
            missing(&mut all, id, refused, "InvalidSubnetI");
        }
        Ok(all)
    }

    async fn find_security_groups(&self, ids: &[String]) -> Result<All, CloudError> {
        const OPERATION: &str = "DescribeSecurityGroups";
        let mut all = All::new();
        for batch in ids.chunks(VALUES_A_FILTER) {
            let mut pages = Pages::new(OPERATION, "");
            loop {
                let call = self.ec2.describe_security_groups().filters(filter("group-id", batch));
                let call = call.set_next_token(pages.token.clone()).send();
                let page = self.call(Bucket::Ec2Read, OPERATION, "", call).await?;
                for group in page.security_groups() {
                    let facts = Facts { vpcs: one(group.vpc_id()), ..Facts::default() };
                    insert(&mut all, ids, group.group_id(), facts);
                }
                if !pages.more(page.next_token())? {
                    break;
                }
            }
        }
        for id in left(ids, &all) {
            let call = self.ec2.describe_security_groups().group_ids(&id).send();
            let refused = self.call(Bucket::Ec2Read, OPERATION, &id, call).await.err();
            missing(&mut all, id, refused, "InvalidGroup");
        }
        Ok(all)
    }

    /// A group without an association is in no answer, and has none.
    async fn find_associations(&self, ids: &[String]) -> Result<All, CloudError> {
        const OPERATION: &str = "DescribeSecurityGroupVpcAssociations";
        let mut vpcs: BTreeMap<String, BTreeSet<String>> = ids.iter().map(|id| (id.clone(), BTreeSet::new())).collect();
        for batch in ids.chunks(VALUES_A_FILTER) {
            let mut pages = Pages::new(OPERATION, "");
            loop {
                let call = self.ec2.describe_security_group_vpc_associations().filters(filter("group-id", batch));
                let call = call.set_next_token(pages.token.clone()).send();
                let page = self.call(Bucket::Ec2Read, OPERATION, "", call).await?;
                let associations = page.security_group_vpc_associations().iter();
                for found in associations
                    .filter(|found| found.state() == Some(&ec2::SecurityGroupVpcAssociationState::Associated))
                {
                    if let Some(known) = found.group_id().and_then(|id| vpcs.get_mut(id)) {
                        known.extend(found.vpc_id().map(str::to_owned));
                    }
                }
                if !pages.more(page.next_token())? {
                    break;
                }
            }
        }
        let here = |(id, vpcs)| (id, Found::Here(Facts { vpcs, ..Facts::default() }));
        Ok(vpcs.into_iter().map(here).collect())
    }

    async fn find_images(&self, ids: &[String]) -> Result<All, CloudError> {
        const OPERATION: &str = "DescribeImages";
        let (names, by_id): (Vec<String>, Vec<String>) = ids.iter().cloned().partition(|id| id.starts_with("name:"));
        let mut all = All::new();
        for batch in by_id.chunks(VALUES_A_FILTER) {
            let mut pages = Pages::new(OPERATION, "");
            loop {
                let call = self.ec2.describe_images().include_deprecated(true).filters(filter("image-id", batch));
                let call = call.set_next_token(pages.token.clone()).send();
                let page = self.call(Bucket::Ec2Read, OPERATION, "", call).await?;
                for image in page.images() {
                    insert(&mut all, &by_id, image.image_id(), image_facts(image));
                }
                if !pages.more(page.next_token())? {
                    break;
                }
            }
        }
        for id in left(&by_id, &all) {
            let call = self.ec2.describe_images().image_ids(&id).send();
            let refused = self.call(Bucket::Ec2Read, OPERATION, &id, call).await.err();
            missing(&mut all, id, refused, "InvalidAMIID");
        }
        for name in names {
            let pattern = name.strip_prefix("name:").unwrap_or_default();
            let call = self.ec2.describe_images().owners("self").filters(ec2_filter("name", pattern));
            let call = call.filters(ec2_filter("state", "available")).send();
            let answer = self.call(Bucket::Ec2Read, OPERATION, pattern, call).await?;
            let named = answer.images().iter().filter(|image| image.name().is_none_or(|name| matches(pattern, name)));
            let found = match named.max_by_key(|image| (image.creation_date(), image.image_id())) {
                Some(image) => Found::Here(image_facts(image)),
                None => Found::Missing(format!("no available image of this account is named `{pattern}`")),
            };
            all.insert(name, found);
        }
        Ok(all)
    }

    async fn find_instance_types(&self, ids: &[String]) -> Result<All, CloudError> {
        const OPERATION: &str = "DescribeInstanceTypes";
        let mut all = All::new();
        for batch in ids.chunks(VALUES_A_FILTER) {
            let mut pages = Pages::new(OPERATION, "");
            loop {
                let call = self.ec2.describe_instance_types().filters(filter("instance-type", batch));
                let call = call.set_next_token(pages.token.clone()).send();
                let page = self.call(Bucket::Ec2Read, OPERATION, "", call).await?;
                for found in page.instance_types() {
                    let processor = found.processor_info().map(|processor| processor.supported_architectures());
                    let words = processor.unwrap_or_default().iter().map(|word| word.as_str().to_owned());
                    let facts = Facts { architectures: words.collect(), ..Facts::default() };
                    insert(&mut all, ids, found.instance_type().map(ec2::InstanceType::as_str), facts);
                }
                if !pages.more(page.next_token())? {
                    break;
                }
            }
        }
        for id in left(ids, &all) {
            let call = self.ec2.describe_instance_types().instance_types(ec2::InstanceType::from(id.as_str())).send();
            let refused = self.call(Bucket::Ec2Read, OPERATION, &id, call).await.err();
            missing(&mut all, id, refused, "InvalidInstanceType");
        }
        Ok(all)
    }

    /// A type that is offered nowhere is in no answer: whether it exists is another question.
    async fn find_offerings(&self, ids: &[String]) -> Result<All, CloudError> {
        const OPERATION: &str = "DescribeInstanceTypeOfferings";
        let mut zones: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for batch in ids.chunks(VALUES_A_FILTER) {
            let mut pages = Pages::new(OPERATION, "");
            loop {
                let call = self.ec2.describe_instance_type_offerings().filters(filter("instance-type", batch));
                let call = call.location_type(ec2::LocationType::AvailabilityZone);
                let call = call.set_next_token(pages.token.clone()).send();
                let page = self.call(Bucket::Ec2Read, OPERATION, "", call).await?;
                for offering in page.instance_type_offerings() {
                    if let (Some(found), Some(zone)) = (offering.instance_type(), offering.location()) {
                        zones.entry(found.as_str().to_owned()).or_default().insert(zone.to_owned());
                    }
                }
                if !pages.more(page.next_token())? {
                    break;
                }
            }
        }
        zones.retain(|found, _| ids.contains(found));
        let here = |(id, zones)| (id, Found::Here(Facts { zones, ..Facts::default() }));
        Ok(zones.into_iter().map(here).collect())
    }

    /// One that is gone fails the call for all, so a batch is cut in two until it is alone.
    async fn find_load_balancers(&self, arns: &[String]) -> Result<All, CloudError> {
        const OPERATION: &str = "DescribeLoadBalancers";
        let mut all = All::new();
        let mut batches: Vec<&[String]> = arns.chunks(BALANCING_A_CALL).collect();
        while let Some(batch) = batches.pop() {
            let call = self.balancing.describe_load_balancers().set_load_balancer_arns(Some(batch.to_vec())).send();
            match self.call(Bucket::ElbRead, OPERATION, named(batch), call).await {
                Ok(answer) => {
                    for balancer in answer.load_balancers() {
                        let zones = balancer.availability_zones().iter();
                        let zones = zones.filter_map(|zone| zone.zone_name().map(str::to_owned)).collect();
                        let facts = Facts { vpcs: one(balancer.vpc_id()), zones, ..Facts::default() };
                        insert(&mut all, batch, balancer.load_balancer_arn(), facts);
                    }
                }
                Err(error) => halve(error, batch, &mut batches, &mut all)?,
            }
        }
        Ok(all)
    }

    /// Protocol and version are of the target group itself, all else is an attribute.
    async fn find_target_groups(&self, arns: &[String]) -> Result<All, CloudError> {
        const OPERATION: &str = "DescribeTargetGroups";
        let mut all = All::new();
        let mut batches: Vec<&[String]> = arns.chunks(BALANCING_A_CALL).collect();
        while let Some(batch) = batches.pop() {
            let call = self.balancing.describe_target_groups().set_target_group_arns(Some(batch.to_vec())).send();
            match self.call(Bucket::ElbRead, OPERATION, named(batch), call).await {
                Ok(answer) => {
                    for group in answer.target_groups() {
                        let protocol = group.protocol().map(|word| ("protocol", word.as_str()));
                        let version = group.protocol_version().map(|word| ("protocol_version", word));
                        let own = protocol.into_iter().chain(version);
                        let attributes = own.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
                        let facts = Facts { attributes, ..Facts::default() };
                        insert(&mut all, batch, group.target_group_arn(), facts);
                    }
                }
                Err(error) => halve(error, batch, &mut batches, &mut all)?,
            }
        }
        for (arn, found) in &mut all {
            if let Found::Here(facts) = found {
                facts.attributes.extend(self.attributes(arn).await?);
            }
        }
        Ok(all)
    }

    async fn attributes(&self, arn: &str) -> Result<BTreeMap<String, String>, CloudError> {
        let call = self.balancing.describe_target_group_attributes().target_group_arn(arn).send();
        let answer = self.call(Bucket::ElbRead, "DescribeTargetGroupAttributes", arn, call).await?;
        let pair = |attribute: &aws_sdk_elasticloadbalancingv2::types::TargetGroupAttribute| {
            Some((attribute.key()?.to_owned(), attribute.value()?.to_owned()))
        };
        Ok(answer.attributes().iter().filter_map(pair).collect())
    }
}

/// Takes what was asked for into the answer. What was not asked for is none.
fn insert(all: &mut All, asked: &[String], id: Option<&str>, facts: Facts) {
    if let Some(id) = id.filter(|id| asked.iter().any(|asked| asked == id)) {
        all.insert(id.to_owned(), Found::Here(facts));
    }
}

/// What a listing lacks.
fn left(asked: &[String], all: &All) -> Vec<String> {
    asked.iter().filter(|id| !all.contains_key(*id)).cloned().collect()
}

/// One that was asked for alone doesn't exist if AWS says so. Any other answer says nothing.
fn missing(all: &mut All, id: String, refused: Option<CloudError>, code: &str) {
    if let Some(error) = refused.filter(|error| error.code.starts_with(code)) {
        all.insert(id, Found::Missing(words(&error)));
    }
}

/// AWS's words without the id of the request, which is another one in each pass.
fn words(error: &CloudError) -> String {
    let end = error.message.find(" (request ").unwrap_or(error.message.len());
    error.message[..end].to_owned()
}

/// After an answer that one of several doesn't exist: asks for the halves, or knows which.
fn halve<'a>(
    error: CloudError,
    batch: &'a [String],
    batches: &mut Vec<&'a [String]>,
    all: &mut All,
) -> Result<(), CloudError> {
    match (error.kind, batch) {
        (ErrorKind::NotFound, [only]) => {
            all.insert(only.clone(), Found::Missing(words(&error)));
        }
        (ErrorKind::NotFound, _) => {
            let (left, right) = batch.split_at(batch.len() / 2);
            batches.extend([right, left]);
        }
        _ => return Err(error),
    }
    Ok(())
}

fn image_facts(image: &ec2::Image) -> Facts {
    let state = image.state().filter(|state| **state != ec2::ImageState::Available);
    Facts {
        architectures: one(image.architecture().map(ec2::ArchitectureValues::as_str)),
        unusable: state.map(|state| state.as_str().to_owned()),
        ..Facts::default()
    }
}

fn one(text: Option<&str>) -> BTreeSet<String> {
    text.map(str::to_owned).into_iter().collect()
}

fn filter(name: &str, values: &[String]) -> ec2::Filter {
    ec2::Filter::builder().name(name).set_values(Some(values.to_vec())).build()
}

/// A batch in an error: the only one, or none in particular.
fn named(batch: &[String]) -> &str {
    match batch {
        [only] => only,
        _ => "",
    }
}
