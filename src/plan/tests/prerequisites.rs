//! What a release needs and nobody makes for it: found before anything is made.

use std::collections::BTreeSet;

use super::scope::Many;
use super::story::{Story, file, hold};
use super::takeover::{adopting, default_file, foreign, taken};
use crate::desired::diagnostic::Severity;
use crate::desired::spec::{Ami, ServiceSpec};
use crate::observed::prerequisites::{Facts, Found, Kind, Needed, facts, follow_up};
use crate::observed::resources::Kept;
use crate::observed::state::Slot;
use crate::plan::prerequisites::{look, needed};
use crate::plan::types::{Change, Phase, Reason};
use crate::plan::view::View;
use crate::plan::wants::wants;
use crate::time::Span;

const BALANCER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/50dc";

fn set(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// Everything exists and fits.
fn well(needed: &Needed) -> Facts {
    let (vpcs, zones, architectures) = (set(&["vpc-1"]), set(&["eu-west-1a"]), set(&["x86_64"]));
    match needed.kind {
        Kind::Subnet | Kind::LoadBalancer => Facts { vpcs, zones, ..Facts::default() },
        Kind::SecurityGroup => Facts { vpcs, ..Facts::default() },
        Kind::Image | Kind::InstanceType => Facts { architectures, ..Facts::default() },
        Kind::Offering => Facts { zones, ..Facts::default() },
        Kind::Association | Kind::TargetGroup => Facts::default(),
    }
}

/// Asks for what is needed, and answers that all is well but for what is said otherwise.
fn answer(story: &mut Story, otherwise: &[(Kind, Result<Found, String>)]) {
    let needed = story.ask(|input| needed(&View::new(input)));
    let find = |needed: &Needed| {
        let other = otherwise.iter().find(|(kind, _)| *kind == needed.kind);
        other.map_or_else(|| Ok(Found::Here(well(needed))), |(_, found)| found.clone())
    };
    story.model.state.prerequisites = needed.iter().map(|needed| (needed.clone(), find(needed))).collect();
    let more = follow_up(&story.model.state.prerequisites);
    story.model.state.prerequisites.extend(more.iter().map(|needed| (needed.clone(), find(needed))));
}

fn missing(words: &str) -> Result<Found, String> {
    Ok(Found::Missing(words.to_owned()))
}

fn here(change: impl FnOnce(&mut Facts)) -> Result<Found, String> {
    let mut facts = Facts::default();
    change(&mut facts);
    Ok(Found::Here(facts))
}

fn attributes(pairs: &[(&str, &str)]) -> Result<Found, String> {
    here(|facts| facts.attributes = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

/// A release that isn't begun yet, beside one that has settled.
fn new_release() -> Story {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    story
}

#[track_caller]
fn blocks(story: &mut Story, what: &[(Kind, Result<Found, String>)], says: &[&str]) {
    answer(story, what);
    let plan = story.plan();
    let wait = plan.waiting_on.clone().unwrap_or_else(|| panic!("nothing is waited for: {plan:?}"));
    assert_eq!((plan.change, wait.reason, plan.actions.len()), (Change::Blocked, Reason::Preflight, 0), "{plan:?}");
    for text in says {
        assert!(wait.detail.contains(text), "{text}: {}", wait.detail);
    }
}

#[test]
fn what_does_not_exist_blocks_before_anything_is_made() {
    let all = [
        (Kind::Subnet, "The subnet ID 'subnet-a' does not exist", "network.subnets"),
        (Kind::SecurityGroup, "The security group 'sg-1' does not exist", "network.security_groups"),
        (Kind::Image, "The image id '[ami-0123456789]' does not exist", "machine.ami"),
        (Kind::InstanceType, "The following supplied instance types do not exist: [t3.small]", "machine.instance_type"),
    ];
    for (kind, words, key) in all {
        for mut story in [Story::new(file("1.1")), new_release()] {
            blocks(&mut story, &[(kind, missing(words))], &[words, &format!("correct {key}")]);
            story.run();
            assert_eq!(story.log(), "", "nothing is made");
            // Somebody makes it.
            answer(&mut story, &[]);
            story.run();
            assert_eq!(story.weight("1.1"), 100);
        }
    }
}

#[test]
fn all_problems_are_said_at_once() {
    let mut story = new_release();
    let both = [(Kind::Subnet, missing("no subnet")), (Kind::Image, missing("no image"))];
    blocks(&mut story, &both, &["no subnet", "no image"]);
}

#[test]
fn what_does_not_fit_blocks_too() {
    let zone = |zone: &str| {
        let zones = set(&[zone]);
        here(|facts| (facts.vpcs, facts.zones) = (set(&["vpc-1"]), zones))
    };
    let table = [
        (Kind::Subnet, zone("eu-west-1c"), "zone eu-west-1c, which is not enabled for load balancer app/web/50dc"),
        (Kind::LoadBalancer, zone("eu-west-1b"), "name subnets in eu-west-1b"),
        (
            Kind::LoadBalancer,
            here(|facts| (facts.vpcs, facts.zones) = (set(&["vpc-2"]), set(&["eu-west-1a"]))),
            "subnet subnet-a is in vpc-1, and load balancer app/web/50dc is in vpc-2",
        ),
        (Kind::Offering, here(|facts| facts.zones = set(&["eu-west-1b"])), "is not offered in eu-west-1a (subnet-a)"),
        (
            Kind::Image,
            here(|facts| facts.architectures = set(&["arm64"])),
            "image ami-0123456789 is made for arm64, and instance type t3.small runs x86_64",
        ),
        (Kind::Image, here(|facts| facts.unusable = Some("pending".to_owned())), "image ami-0123456789 is pending"),
        (
            Kind::SecurityGroup,
            here(|facts| facts.vpcs = set(&["vpc-9"])),
            "security group sg-1 is in vpc-9, and the subnets are in vpc-1",
        ),
    ];
    for (kind, found, says) in table {
        blocks(&mut new_release(), &[(kind, found)], &[says]);
    }
}

/// AWS lets a security group be used in other VPCs that it is associated with.
#[test]
fn a_security_group_that_is_shared_with_the_vpc_is_well() {
    let elsewhere = here(|facts| facts.vpcs = set(&["vpc-9"]));
    let mut story = new_release();
    let shared = (Kind::Association, here(|facts| facts.vpcs = set(&["vpc-1"])));
    answer(&mut story, &[(Kind::SecurityGroup, elsewhere.clone()), shared]);
    assert_eq!(story.plan().change, Change::Release);
    // Where that can't be read, nothing follows, and that is said.
    answer(&mut story, &[(Kind::SecurityGroup, elsewhere), (Kind::Association, Err("denied".to_owned()))]);
    assert_eq!(story.plan().change, Change::Release);
    let warnings = story.ask(|input| look(&View::new(input))).warnings;
    assert!(warnings[0].help.contains("ec2:DescribeSecurityGroupVpcAssociations"), "{warnings:?}");
}

/// Of several subnets one in a zone without the instance type is a pity, and no more.
#[test]
fn a_type_that_is_offered_in_some_of_the_zones_is_a_warning() {
    let mut spec = file("1.1");
    spec.network.subnets.push("subnet-b".to_owned());
    let mut story = Story::settled("1.0");
    story.commit(spec);
    answer(&mut story, &[]);
    let b = Needed::new(Kind::Subnet, "subnet-b");
    let other = Facts { vpcs: set(&["vpc-1"]), zones: set(&["eu-west-1b"]), ..Facts::default() };
    let balancer = Needed::new(Kind::LoadBalancer, BALANCER);
    let both = Facts { vpcs: set(&["vpc-1"]), zones: set(&["eu-west-1a", "eu-west-1b"]), ..Facts::default() };
    let asked = &mut story.model.state.prerequisites;
    asked.insert(b, Ok(Found::Here(other)));
    asked.insert(balancer, Ok(Found::Here(both)));
    assert_eq!(story.plan().change, Change::Release);
    let warnings = story.ask(|input| look(&View::new(input))).warnings;
    assert!(warnings[0].message.contains("not offered in eu-west-1b (subnet-b)"), "{warnings:?}");
}

#[test]
fn what_could_not_be_read_blocks_nothing_and_is_said() {
    let kinds = [
        Kind::Subnet,
        Kind::SecurityGroup,
        Kind::Image,
        Kind::InstanceType,
        Kind::Offering,
        Kind::LoadBalancer,
        Kind::TargetGroup,
    ];
    for kind in kinds {
        let mut story = new_release();
        answer(&mut story, &[(kind, Err("not authorized".to_owned()))]);
        let plan = story.plan();
        assert_eq!((plan.change, plan.waiting_on), (Change::Release, None), "{kind:?}");
        let warnings = story.ask(|input| look(&View::new(input))).warnings;
        assert!(warnings[0].message.contains("could not be checked: not authorized"), "{warnings:?}");
        assert!(warnings[0].help.contains(&kind.permission()), "{warnings:?}");
        story.run();
        assert_eq!(story.weight("1.1"), 100);
    }
}

/// "An existing release must never be blocked by a preflight": what stands asks for nothing,
/// and no answer of earlier holds it.
#[test]
fn nothing_that_stands_is_held_back() {
    let mut story = new_release();
    answer(&mut story, &[]);
    story.run();
    let gone = || (Kind::Subnet, missing("gone"));
    assert_eq!(story.ask(wants).prerequisites, BTreeSet::new(), "at rest");
    // A revert to a group that runs, while its subnet is gone.
    story.commit(file("1.2"));
    answer(&mut story, &[gone()]);
    let stale = story.model.state.prerequisites.clone();
    story.commit(file("1.0"));
    assert_eq!(story.ask(wants).prerequisites, BTreeSet::new());
    story.model.state.prerequisites = stale.clone();
    story.pass();
    assert_eq!(story.weight("1.0"), 100);
    // A release in its midst.
    let mut story = new_release();
    answer(&mut story, &[]);
    story.until_weight("1.1", 10);
    story.model.state.prerequisites = stale;
    assert_eq!(story.ask(wants).prerequisites, BTreeSet::new());
    story.run();
    assert_eq!(story.weight("1.1"), 100);
}

/// Nobody waits for live's traffic.
#[test]
fn a_live_release_gets_its_rule_back_whatever_the_next_one_lacks() {
    let mut story = new_release();
    answer(&mut story, &[(Kind::Subnet, missing("gone"))]);
    story.model.state.rules.clear();
    story.model.state.slot = Some(Slot::Free);
    story.pass();
    assert_eq!(story.weight("1.0"), 100, "{}", story.log());
}

#[test]
fn nothing_is_asked_where_nothing_begins() {
    let mut held = new_release();
    hold(&mut held, "1.0");
    let mut paused = new_release();
    paused.commit(ServiceSpec { paused: Some("for now".to_owned()), ..file("1.1") });
    let mut rejected = new_release();
    rejected.sick.push("1.1".to_owned());
    rejected.run();
    for story in [held, paused, rejected] {
        assert_eq!(story.ask(wants).prerequisites, BTreeSet::new(), "{}", story.waits());
    }
}

/// What waits for a freeze or a slot is looked at all the same; what is blocked takes no slot.
#[test]
fn a_release_that_lacks_something_takes_no_slot() {
    let mut many = Many::settled(&["a", "b"]);
    many.config.limits.max_concurrent_rollouts = 1;
    many.wants("a", "1.1").wants("b", "1.1");
    answer(many.story("a"), &[(Kind::Image, missing("no image"))]);
    assert_eq!((many.waits("a"), many.waits("b")), (Some(Reason::Preflight), None));
    assert_eq!(many.of("a").phase, Phase::Blocked);
    let says: Vec<_> = many.says().into_iter().filter(|(_, text)| text.contains("no image")).collect();
    assert_eq!(says.len(), 1, "each problem is said once: {says:?}");
    assert_eq!(says[0].0, Severity::Error);
}

/// A pattern was resolved when the launch template was made.
#[test]
fn a_template_that_is_there_needs_no_image_of_the_name() {
    let mut spec = file("1.1");
    spec.machine.ami = Ami::Name("web-1.1-*".to_owned());
    let mut story = Story::settled("1.0");
    story.commit(spec);
    let asks = |story: &Story| story.ask(|input| needed(&View::new(input)));
    assert!(asks(&story).contains(&Needed::new(Kind::Image, "name:web-1.1-*")));
    // The fence, then the template.
    while story.model.state.groups.get(&story.name("1.1")).is_none_or(|group| group.template.is_none()) {
        story.step().unwrap();
    }
    assert!(asks(&story).iter().all(|needed| needed.kind != Kind::Image), "{:?}", asks(&story));
    assert!(!asks(&story).is_empty());
}

/// field 9: "stickiness.enabled = true on live's target group, then a release".
#[test]
fn stickiness_of_a_target_group_blocks_the_second_one_in_its_action() {
    let mut story = new_release();
    let is_on = attributes(&[("stickiness.enabled", "true")]);
    let words = "You must enable group stickiness on a rule if you enabled target stickiness";
    blocks(&mut story, &[(Kind::TargetGroup, is_on.clone())], &[words, "set stickiness.enabled of", "to false"]);
    // With stickiness between target groups AWS takes it.
    let rule = &mut story.model.state.rules[0];
    let kept = Kept { stickiness_secs: Some(60), ..Kept::default() };
    rule.action = crate::observed::resources::RuleAction::forward(rule.action.weights().unwrap().to_vec(), kept);
    let arn = story.group("1.0").target_group.as_ref().unwrap().arn.to_string();
    assert!(!story.ask(wants).prerequisites.contains(&Needed::new(Kind::TargetGroup, arn.as_str())), "not asked for");
    answer(&mut story, &[(Kind::TargetGroup, is_on)]);
    assert_eq!(story.plan().change, Change::Release);
}

/// A5: "protocol, protocol version, stickiness, slow start, algorithm of an adopted group are
/// compared with what the file would make".
#[test]
fn a_target_group_with_other_attributes_is_not_taken_over() {
    let same = [
        ("protocol", "HTTP"),
        ("protocol_version", "HTTP1"),
        ("stickiness.enabled", "false"),
        ("slow_start.duration_seconds", "0"),
        ("load_balancing.algorithm.type", "round_robin"),
    ];
    let story = || {
        let mut story = taken(&adopting(default_file("1")));
        story.now = story.now + Span::from_secs(1);
        story
    };
    let mut plain = story();
    answer(&mut plain, &[(Kind::TargetGroup, attributes(&same))]);
    let asked = &plain.model.state.prerequisites;
    assert!(facts(asked, Kind::TargetGroup, foreign().as_str()).is_some());
    assert_eq!(plain.plan().change, Change::Takeover);
    let others = ["HTTPS", "GRPC", "true", "30", "least_outstanding_requests"];
    for (index, other) in others.into_iter().enumerate() {
        let mut theirs = same;
        theirs[index].1 = other;
        let says = format!("has {} {other}, and the file makes {}", same[index].0, same[index].1);
        blocks(&mut story(), &[(Kind::TargetGroup, attributes(&theirs))], &[&says]);
    }
}
