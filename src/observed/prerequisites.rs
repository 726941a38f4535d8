//! What a release needs and this program doesn't make: subnets, security groups, an image, an
//! instance type, the zones of a load balancer.
//!
//! AWS refuses what names one that doesn't exist when the rest is made already, so all of them
//! are looked at before. They are read only while nothing of a release stands.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What kind of thing. Each kind is read in one batch for all services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A subnet, by id.
    Subnet,
    /// A security group, by id.
    SecurityGroup,
    /// The VPCs that a security group is associated with besides its own, by the group's id.
    Association,
    /// A machine image, by id; or `name:PATTERN`, the newest of the own account.
    Image,
    /// An instance type.
    InstanceType,
    /// The zones where an instance type is offered, by the type.
    Offering,
    /// A load balancer, by ARN.
    LoadBalancer,
    /// The attributes of a target group, by ARN.
    TargetGroup,
}

impl Kind {
    /// The operation that reads it, as AWS names it.
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Subnet => "DescribeSubnets",
            Self::SecurityGroup => "DescribeSecurityGroups",
            Self::Association => "DescribeSecurityGroupVpcAssociations",
            Self::Image => "DescribeImages",
            Self::InstanceType => "DescribeInstanceTypes",
            Self::Offering => "DescribeInstanceTypeOfferings",
            Self::LoadBalancer => "DescribeLoadBalancers",
            Self::TargetGroup => "DescribeTargetGroupAttributes",
        }
    }

    /// The action that a policy must allow for that.
    pub fn permission(self) -> String {
        let service = match self {
            Self::LoadBalancer | Self::TargetGroup => "elasticloadbalancing",
            _ => "ec2",
        };
        format!("{service}:{}", self.operation())
    }

    /// As people call it.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Subnet => "subnet",
            Self::SecurityGroup => "security group",
            Self::Association => "VPC associations of security group",
            Self::Image => "image",
            Self::InstanceType => "instance type",
            Self::Offering => "zones of instance type",
            Self::LoadBalancer => "load balancer",
            Self::TargetGroup => "attributes of target group",
        }
    }
}

/// One thing that is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    /// What kind.
    pub kind: Kind,
    /// Which.
    pub id: String,
}

impl Needed {
    /// One of a kind.
    pub fn new(kind: Kind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }
}

/// What AWS says of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It doesn't exist, in AWS's words.
    Missing(String),
    /// It exists.
    Here(Facts),
}

/// What matters of a thing that exists. What its kind doesn't have is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where it is, or may be used.
    pub vpcs: BTreeSet<String>,
    /// The zones that it is in, or serves.
    pub zones: BTreeSet<String>,
    /// The architectures that it has, or can run.
    pub architectures: BTreeSet<String>,
    /// The state of an image that can't be launched from, such as `pending`.
    pub unusable: Option<String>,
    /// The attributes of a target group; its `protocol` and `protocol_version` are among them.
    pub attributes: BTreeMap<String, String>,
}

/// What was asked of AWS and what it said. What could not be read is neither there nor absent:
/// the text says why.
pub type Prerequisites = BTreeMap<Needed, Result<Found, String>>;

/// What is known of one thing; none where it wasn't asked for, or doesn't exist, or was not read.
pub fn facts<'a>(prerequisites: &'a Prerequisites, kind: Kind, id: &str) -> Option<&'a Facts> {
    match prerequisites.get(&Needed::new(kind, id)) {
        Some(Ok(Found::Here(facts))) => Some(facts),
        _ => None,
    }
}

/// The VPCs of all subnets; none where one of them was not read or doesn't exist.
pub fn subnet_vpcs(prerequisites: &Prerequisites) -> Option<BTreeSet<&String>> {
    let mut vpcs = BTreeSet::new();
    for (_, found) in of_kind(prerequisites, Kind::Subnet) {
        let Ok(Found::Here(facts)) = found else { return None };
        vpcs.extend(&facts.vpcs);
    }
    Some(vpcs)
}

/// What was asked of one kind.
pub fn of_kind(prerequisites: &Prerequisites, kind: Kind) -> impl Iterator<Item = (&Needed, &Result<Found, String>)> {
    prerequisites.iter().filter(move |(needed, _)| needed.kind == kind)
}

/// What must be asked after the first answers: whether security groups of other VPCs than the
/// subnets' are associated with those.
pub fn follow_up(prerequisites: &Prerequisites) -> BTreeSet<Needed> {
    let Some(vpcs) = subnet_vpcs(prerequisites) else { return BTreeSet::new() };
    let elsewhere = of_kind(prerequisites, Kind::SecurityGroup).filter(|(_, found)| match found {
        Ok(Found::Here(facts)) => vpcs.iter().any(|vpc| !facts.vpcs.contains(*vpc)),
        _ => false,
    });
    elsewhere.map(|(needed, _)| Needed::new(Kind::Association, needed.id.as_str())).collect()
}
