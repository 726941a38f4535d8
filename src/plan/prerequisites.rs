//! What AWS refuses late is checked early: whether all that a release needs exists and fits
//! together, before anything of it is made.
//!
//! Only what was read counts. What could not be read blocks nothing, and is said.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::spec::{Ami, LoadBalancer, Protocol, ServiceSpec};
use crate::names::TargetGroupArn;
use crate::observed::prerequisites::{Facts, Found, Kind, Needed, Prerequisites, facts, of_kind, subnet_vpcs};
use crate::observed::resources::Rule;

use super::answer::{Answer, wait};
use super::machines::quoted;
use super::types::Reason;
use super::view::{View, is_temporary};

/// What is wrong with one thing, or not known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The key of the file that names it.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: String,
}

/// All that is said of what a release needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// With these AWS would refuse the release, or it could never work.
    pub problems: Vec<Remark>,
    /// What could not be checked, and what is only half as good as it looks.
    pub warnings: Vec<Remark>,
}

impl Findings {
    fn problem(&mut self, key: &'static str, message: String, help: impl Into<String>) {
        self.problems.push(Remark { key, message, help: help.into() });
    }

    fn warning(&mut self, key: &'static str, message: String, help: impl Into<String>) {
        self.warnings.push(Remark { key, message, help: help.into() });
    }

    /// All problems in one text.
    pub fn detail(&self) -> String {
        let texts = self.problems.iter().map(|problem| format!("{}: {}", problem.message, problem.help));
        texts.collect::<Vec<_>>().join("; ")
    }
}

/// The release whose prerequisites matter: it is wanted, nothing of it stands yet, and nothing
/// else keeps it from being begun. What stands already is never held back by what it needs.
fn due<'a>(view: &View<'a>) -> Option<&'a ServiceSpec> {
    let spec = view.wanted.filter(|spec| spec.paused.is_none())?;
    let is_held = view.hold().is_some() || view.input.state.incomplete.is_some();
    let begins = view.candidate.is_none_or(|candidate| {
        let stands = candidate.group.is_some() || candidate.target_group.is_some();
        !stands && view.rejected(candidate).is_none() && view.retry_pending(candidate).is_none()
    });
    (begins && !is_held && !view.live_is_wanted()).then_some(spec)
}

/// What must be asked before the wanted release is begun; nothing where that isn't due.
pub fn needed(view: &View<'_>) -> BTreeSet<Needed> {
    let Some(spec) = due(view) else { return BTreeSet::new() };
    let mut needed = BTreeSet::new();
    let mut add = |kind: Kind, id: &str| needed.insert(Needed::new(kind, id));
    for subnet in &spec.network.subnets {
        add(Kind::Subnet, subnet);
    }
    for group in &spec.network.security_groups {
        add(Kind::SecurityGroup, group);
    }
    if let Some(image) = image(view, spec) {
        add(Kind::Image, &image);
    }
    add(Kind::InstanceType, &spec.machine.instance_type);
    add(Kind::Offering, &spec.machine.instance_type);
    if let Some(lb) = &spec.load_balancer {
        add(Kind::LoadBalancer, &lb.listener.load_balancer_arn());
        for target_group in beside(view) {
            add(Kind::TargetGroup, target_group.as_str());
        }
    }
    needed
}

/// The image that machines will be launched from. A pattern was resolved when the launch
/// template was made.
fn image(view: &View<'_>, spec: &ServiceSpec) -> Option<String> {
    let has_template = view.candidate.is_some_and(|candidate| candidate.template.is_some());
    match &spec.machine.ami {
        Ami::Id(id) => Some(id.clone()),
        Ami::Name(pattern) if !has_template => Some(format!("name:{pattern}")),
        Ami::Name(_) => None,
    }
}

/// The rule that the release will enter beside others.
fn entered<'a>(view: &View<'a>) -> Option<&'a Rule> {
    view.rule().filter(|rule| !is_temporary(&rule.conditions))
}

/// The target groups beside which the release will stand in one action, where their attributes
/// matter: those of a rule without stickiness between them, and what is taken over.
fn beside(view: &View<'_>) -> BTreeSet<TargetGroupArn> {
    let mut beside: BTreeSet<TargetGroupArn> =
        view.foreign.iter().map(|foreign| foreign.target_group.clone()).collect();
    if let Some(rule) = entered(view).filter(|rule| rule.action.kept().stickiness_secs.is_none()) {
        beside.extend(rule.action.percents().into_iter().map(|(arn, _)| arn));
    }
    beside
}

/// Why the wanted release is not begun, if anything that it needs is not there or doesn't fit.
pub fn refused(view: &View<'_>) -> Option<Answer> {
    let findings = look(view);
    (!findings.problems.is_empty()).then(|| wait(Reason::Preflight, findings.detail()).into())
}

/// What is known of all that the wanted release needs.
pub fn look(view: &View<'_>) -> Findings {
    let mut findings = Findings::default();
    let Some(spec) = due(view) else { return findings };
    let asked = &view.input.state.prerequisites;
    if asked.is_empty() {
        return findings;
    }
    let image = image(view, spec);
    missing(asked, &mut findings);
    machine(asked, spec, image.as_deref(), &mut findings);
    offered(asked, spec, &mut findings);
    networks(asked, spec, &mut findings);
    if let Some(lb) = &spec.load_balancer {
        balancer(asked, spec, lb, &mut findings);
        sticky(view, &mut findings);
        taken_over(view, lb, &mut findings);
    }
    unread(asked, &mut findings);
    findings
}

/// The key of the file that names things of a kind.
const fn key(kind: Kind) -> &'static str {
    match kind {
        Kind::Subnet => "network.subnets",
        Kind::SecurityGroup | Kind::Association => "network.security_groups",
        Kind::Image => "machine.ami",
        Kind::InstanceType | Kind::Offering => "machine.instance_type",
        Kind::LoadBalancer | Kind::TargetGroup => "load_balancer.listener",
    }
}

fn missing(asked: &Prerequisites, findings: &mut Findings) {
    for (needed, found) in asked {
        let Ok(Found::Missing(words)) = found else { continue };
        // The other kinds are about things that have a kind of their own.
        if matches!(needed.kind, Kind::Association | Kind::Offering | Kind::TargetGroup) {
            continue;
        }
        let key = key(needed.kind);
        let message = format!("{} {} does not exist ({})", needed.kind.noun(), quoted(&needed.id), quoted(words));
        findings.problem(key, message, format!("correct {key}, or make it first"));
    }
}

fn machine(asked: &Prerequisites, spec: &ServiceSpec, image: Option<&str>, findings: &mut Findings) {
    let instance_type = &spec.machine.instance_type;
    let Some((name, image)) = image.and_then(|name| Some((name, facts(asked, Kind::Image, name)?))) else { return };
    let name = quoted(name);
    if let Some(state) = &image.unusable {
        let message = format!("image {name} is {}, and no machine is launched from such a one", quoted(state));
        findings.problem("machine.ami", message, "wait until it is available, or name another in machine.ami");
    }
    let Some(runs) = facts(asked, Kind::InstanceType, instance_type).map(|found| &found.architectures) else { return };
    let known = !runs.is_empty() && !image.architectures.is_empty();
    if known && runs.is_disjoint(&image.architectures) {
        let (made_for, runs) = (listed(&image.architectures), listed(runs));
        let message = format!("image {name} is made for {made_for}, and instance type {instance_type} runs {runs}");
        findings.problem("machine.ami", message, "name an image and an instance type of one architecture");
    }
}

/// An instance type is had in some zones only.
fn offered(asked: &Prerequisites, spec: &ServiceSpec, findings: &mut Findings) {
    let instance_type = &spec.machine.instance_type;
    let exists = facts(asked, Kind::InstanceType, instance_type).is_some();
    let offering = facts(asked, Kind::Offering, instance_type).filter(|_| exists);
    let subnets: Option<BTreeMap<&String, &Facts>> =
        spec.network.subnets.iter().map(|id| Some((id, facts(asked, Kind::Subnet, id)?))).collect();
    let (Some(offering), Some(subnets)) = (offering, subnets) else { return };
    let lacks = |facts: &Facts| !facts.zones.is_empty() && facts.zones.is_disjoint(&offering.zones);
    let without: Vec<String> = subnets
        .iter()
        .filter(|(_, facts)| lacks(facts))
        .map(|(id, facts)| format!("{} ({id})", listed(&facts.zones)))
        .collect();
    if without.is_empty() {
        return;
    }
    let (key, zones) = ("machine.instance_type", without.join(", "));
    let message = format!("instance type {instance_type} is not offered in {zones}");
    let help = match offering.zones.is_empty() {
        true => "name another instance type".to_owned(),
        false => format!("name another instance type, or subnets in {}", listed(&offering.zones)),
    };
    if without.len() == subnets.len() {
        findings.problem(key, message, help);
    } else {
        findings.warning(key, message, format!("all machines come up in the other zones, or {help}"));
    }
}

/// Machines, their security groups and their target group are of one network.
fn networks(asked: &Prerequisites, spec: &ServiceSpec, findings: &mut Findings) {
    let Some(vpcs) = subnet_vpcs(asked) else { return };
    if vpcs.len() > 1 {
        let places = spec.network.subnets.iter().filter_map(|id| {
            let facts = facts(asked, Kind::Subnet, id)?;
            Some(format!("{id} in {}", listed(&facts.vpcs)))
        });
        let message = format!("the subnets are in several VPCs: {}", places.collect::<Vec<_>>().join(", "));
        findings.problem("network.subnets", message, "name subnets of one VPC");
        return;
    }
    let Some(vpc) = vpcs.first() else { return };
    for id in &spec.network.security_groups {
        let Some(group) = facts(asked, Kind::SecurityGroup, id).filter(|found| !found.vpcs.contains(*vpc)) else {
            continue;
        };
        // It may be associated with the subnets' VPC; where that was not read nothing follows.
        let Some(associated) = facts(asked, Kind::Association, id) else { continue };
        if !associated.vpcs.contains(*vpc) {
            let message = format!("security group {id} is in {}, and the subnets are in {vpc}", listed(&group.vpcs));
            findings.problem("network.security_groups", message, format!("name security groups of {vpc}"));
        }
    }
}

/// A load balancer reaches machines in its own VPC, and in the zones that are enabled for it.
fn balancer(asked: &Prerequisites, spec: &ServiceSpec, lb: &LoadBalancer, findings: &mut Findings) {
    let Some(balancer) = facts(asked, Kind::LoadBalancer, &lb.listener.load_balancer_arn()) else { return };
    let name = lb.listener.load_balancer();
    for id in &spec.network.subnets {
        let Some(subnet) = facts(asked, Kind::Subnet, id) else { continue };
        let (key, zones) = ("network.subnets", listed(&subnet.zones));
        let known = |one: &BTreeSet<String>, other: &BTreeSet<String>| !one.is_empty() && !other.is_empty();
        if known(&subnet.vpcs, &balancer.vpcs) && subnet.vpcs.is_disjoint(&balancer.vpcs) {
            let (vpc, there) = (listed(&balancer.vpcs), listed(&subnet.vpcs));
            let message = format!("subnet {id} is in {there}, and load balancer {name} is in {vpc}");
            findings.problem(key, message, format!("name subnets of {vpc}, or a listener in {there}"));
        } else if known(&subnet.zones, &balancer.zones) && subnet.zones.is_disjoint(&balancer.zones) {
            let message = format!(
                "subnet {id} is in zone {zones}, which is not enabled for load balancer {name}: machines there are \
                 never checked and get no traffic (Target.NotInUse)"
            );
            let help = format!("enable the zone for the load balancer, or name subnets in {}", listed(&balancer.zones));
            findings.problem(key, message, help);
        }
    }
}

/// With target stickiness on one of its target groups an action needs stickiness between them.
/// Source: the message of ModifyRule, as users of other controllers quote it.
fn sticky(view: &View<'_>, findings: &mut Findings) {
    let Some(rule) = entered(view).filter(|rule| rule.action.kept().stickiness_secs.is_none()) else { return };
    for (arn, _) in rule.action.percents() {
        let Some(found) = facts(&view.input.state.prerequisites, Kind::TargetGroup, arn.as_str()) else { continue };
        if found.attributes.get("stickiness.enabled").is_none_or(|value| value != "true") {
            continue;
        }
        let name = arn.name();
        let message = format!(
            "target group {name} has stickiness, and its rule has none between target groups, so AWS lets no second \
             one in (\"You must enable group stickiness on a rule if you enabled target stickiness on one of its \
             target groups\")"
        );
        let help = format!(
            "set stickiness.enabled of {name} to false, or turn on the stickiness between target groups in the \
             rule, which is kept"
        );
        findings.problem("load_balancer.listener", message, help);
    }
}

/// What is taken over is what the file would make, or its users would be served otherwise.
fn taken_over(view: &View<'_>, lb: &LoadBalancer, findings: &mut Findings) {
    let Some(foreign) = &view.foreign else { return };
    let arn = &foreign.target_group;
    let Some(found) = facts(&view.input.state.prerequisites, Kind::TargetGroup, arn.as_str()) else { return };
    for (attribute, ours) in made(lb.protocol) {
        let Some(theirs) = found.attributes.get(attribute).filter(|theirs| *theirs != ours) else { continue };
        let theirs = quoted(theirs);
        let name = arn.name();
        let message = format!(
            "target group {name}, which would be taken over, has {attribute} {theirs}, and the file makes {ours}"
        );
        let help = match attribute {
            "protocol" => "set load_balancer.protocol to what serves today".to_owned(),
            _ => format!("set {attribute} of {name} to {ours} first, and see that its users are well"),
        };
        findings.problem("load_balancer.adopt", message, help);
    }
}

/// The attributes of a target group as a file makes it, where AWS's defaults are made.
/// Source: the API references of CreateTargetGroup and of target group attributes.
fn made(protocol: Protocol) -> Vec<(&'static str, &'static str)> {
    let mut made = vec![("protocol", protocol.as_str()), ("stickiness.enabled", "false")];
    if matches!(protocol, Protocol::Http | Protocol::Https) {
        made.extend([
            ("protocol_version", "HTTP1"),
            ("slow_start.duration_seconds", "0"),
            ("load_balancing.algorithm.type", "round_robin"),
        ]);
    }
    made
}

/// What could not be read is said once for each kind.
fn unread(asked: &Prerequisites, findings: &mut Findings) {
    let kinds: BTreeSet<Kind> = asked.keys().map(|needed| needed.kind).collect();
    let is_no_type = of_kind(asked, Kind::InstanceType).any(|(_, found)| matches!(found, Ok(Found::Missing(_))));
    // A type that does not exist is offered nowhere.
    for kind in kinds.into_iter().filter(|kind| *kind != Kind::Offering || !is_no_type) {
        let mut by_reason: BTreeMap<&String, Vec<String>> = BTreeMap::new();
        for (needed, found) in of_kind(asked, kind) {
            if let Err(why) = found {
                by_reason.entry(why).or_default().push(quoted(&needed.id));
            }
        }
        for (why, ids) in by_reason {
            let message = format!("{} {} could not be checked: {}", kind.noun(), ids.join(", "), quoted(why));
            let help = format!(
                "it needs {}; without, what does not exist or does not fit shows when AWS refuses it",
                kind.permission()
            );
            findings.warning(key(kind), message, help);
        }
    }
}

fn listed(all: &BTreeSet<String>) -> String {
    let all: Vec<String> = all.iter().map(|one| quoted(one)).collect();
    all.join(" or ")
}
