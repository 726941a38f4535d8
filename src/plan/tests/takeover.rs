//! A listener's default action, and taking over what serves today.

use std::collections::BTreeMap;

use super::story::{Story, file};
use crate::desired::spec::{Protocol, ServiceSpec};
use crate::names::{ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::resources::{Condition, Conditions, Kept, Opaque, Rule, RuleAction, TargetHealth};
use crate::observed::state::Slot;
use crate::plan::action::{Kind, Mutation};
use crate::plan::types::Change;
use crate::plan::wants::wants;
use crate::time::Span;

const NETWORK: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/net/raw/50dc/f2f7";

/// The same release behind its listener's default action.
pub fn default_file(version: &str) -> ServiceSpec {
    let mut spec = file(version);
    spec.load_balancer.as_mut().unwrap().rule = None;
    spec
}

fn network_file(version: &str) -> ServiceSpec {
    let mut spec = default_file(version);
    let lb = spec.load_balancer.as_mut().unwrap();
    (lb.listener, lb.protocol) = (ListenerArn::parse(NETWORK).unwrap(), Protocol::Tcp);
    spec
}

pub fn adopting(mut spec: ServiceSpec) -> ServiceSpec {
    spec.load_balancer.as_mut().unwrap().adopt = true;
    spec
}

pub fn foreign() -> TargetGroupArn {
    TargetGroupArn::parse("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/old/73e2").unwrap()
}

/// A listener whose default action is this.
fn listener(spec: &ServiceSpec, action: RuleAction) -> Story {
    let lb = spec.load_balancer.as_ref().unwrap();
    let mut story = Story::new(spec.clone());
    let state = &mut story.model.state;
    state.slot = Some(match &action {
        RuleAction::Other(_) => Slot::Free,
        RuleAction::Forward(_) | RuleAction::ForwardAmong(..) => {
            Slot::Adoptable("the listener's default action (forwards to old)".to_owned())
        }
    });
    state.standing = Some(Rule {
        arn: lb.listener.default_rule(),
        listener: lb.listener.clone(),
        priority: None,
        conditions: Conditions::default(),
        action,
    });
    state.spare_priority = (!lb.listener.is_network()).then_some(50_000);
    story
}

fn fixed_response(spec: &ServiceSpec) -> Story {
    listener(spec, RuleAction::Other("fixed-response".to_owned()))
}

/// A listener whose default action forwards to three healthy machines of somebody else's.
pub fn taken(spec: &ServiceSpec) -> Story {
    let mut story = listener(spec, RuleAction::Forward(vec![(foreign(), 1)]));
    let targets = (1..=3).map(|n| (format!("i-old-{n}"), TargetHealth::Healthy.into())).collect();
    story.model.state.foreign = BTreeMap::from([(foreign(), targets)]);
    story
}

/// Who has what in the service's only action.
fn shares(story: &Story) -> Vec<(String, u32)> {
    let state = &story.model.state;
    let rule = state.rules.first().or(state.standing.as_ref()).unwrap();
    let name = |arn: &TargetGroupArn| match state.owner_of(arn) {
        Some(owner) => owner.identity.version.to_string(),
        None => "old".to_owned(),
    };
    rule.action.percents().iter().map(|(arn, percent)| (name(arn), *percent)).collect()
}

fn share(story: &Story, who: &str) -> Option<u32> {
    shares(story).into_iter().find(|(name, _)| name == who).map(|(_, percent)| percent)
}

#[test]
fn a_first_release_behind_a_fixed_response_is_checked_behind_a_rule_that_nobody_meets() {
    let mut story = fixed_response(&default_file("1"));
    story.pass();
    let log = story.log();
    assert!(log.contains("create-rule"), "{log}");
    assert!(!log.contains("set-weights"), "no traffic before it is healthy: {log}");
    story.run();
    let log = story.log();
    let [shift, gone] =
        ["set-weights", "delete-rule"].map(|kind| log.find(kind).unwrap_or_else(|| panic!("{kind}: {log}")));
    assert!(shift < gone, "{log}");
    assert_eq!(story.model.state.rules.len(), 1);
    assert_eq!(story.model.state.rules[0].priority, None);
    story.converged();
    assert_eq!(story.weight("1"), 100);
}

#[test]
fn a_bad_first_release_behind_a_fixed_response_leaves_it() {
    let mut story = fixed_response(&default_file("1"));
    story.sick = vec!["1".to_owned()];
    story.converged();
    assert!(story.model.state.rules.is_empty(), "{:?}", story.model.state.rules);
    story.sick.clear();
    story.commit(default_file("2")).converged();
    assert_eq!(story.weight("2"), 100);
}

/// Somebody gave all weight of the action away and deleted live's group while a release came up.
#[test]
fn an_action_that_serves_nobody_is_given_to_no_release_whose_health_was_not_read() {
    let mut story = fixed_response(&default_file("1"));
    story.converged();
    let first = story.group("1").target_group.as_ref().unwrap().arn.clone();
    let second = story.name("2");
    story.commit(default_file("2"));
    story.until(|story| story.model.state.groups.get(&second).is_some_and(|group| group.group.is_some()));
    story.model.state.rules[0].action = RuleAction::Forward(vec![(first, 0)]);
    story.group_mut("1").group = None;
    (story.group_mut("1").weight, story.group_mut("2").weight) = (Some(0), None);
    story.group_mut("2").targets = None;
    assert_eq!(story.waits(), "unknown: nobody has any traffic, and the health of 2 was not read");
}

/// Of a service at rest nobody's health is read, but it must be where live may get all.
#[test]
fn live_gets_an_action_that_serves_nobody_and_does_not_name_it() {
    let mut story = fixed_response(&default_file("1"));
    story.converged();
    let second = story.name("2");
    story.commit(default_file("2"));
    story.until(|story| story.model.state.groups.get(&second).is_some_and(|group| group.target_group.is_some()));
    let other = story.group("2").target_group.as_ref().unwrap().arn.clone();
    story.model.state.rules[0].action = RuleAction::Forward(vec![(other, 0)]);
    (story.group_mut("1").weight, story.group_mut("2").weight) = (None, Some(0));
    story.group_mut("2").group = None;
    story.commit(default_file("1"));
    assert_eq!(story.ask(wants).health, [story.name("1")]);
    story.step().unwrap();
    story.step().unwrap();
    assert_eq!((story.weight("1"), story.weight("2")), (100, 0), "{}", story.log());
    story.converged();
}

/// A first release that is well has lost its part of the action when a second one is wanted.
#[test]
fn an_action_that_serves_nobody_goes_to_who_is_well_before_another_enters() {
    let mut story = fixed_response(&network_file("1"));
    story.until(|story| story.model.state.groups.values().any(|group| group.group.is_some()));
    story.pass().later(Span::from_mins(3));
    story.commit(network_file("2"));
    story.model.state.rules[0].action =
        RuleAction::Forward(vec![(story.group("1").target_group.as_ref().unwrap().arn.clone(), 0)]);
    story.group_mut("1").weight = Some(0);
    while story.step().is_some_and(|action| action.mutation.kind() != Kind::SetWeights) {}
    assert_eq!(shares(&story), [("1".to_owned(), 100)], "{}", story.log());
    story.converged();
    assert_eq!(story.weight("2"), 100);
}

#[test]
fn releases_and_reverts_move_a_default_action() {
    for spec in [default_file as fn(&str) -> ServiceSpec, network_file] {
        let mut story = fixed_response(&spec("1"));
        story.converged();
        story.commit(spec("2")).until_weight("2", 10);
        assert_eq!(story.weight("1"), 90);
        story.converged();
        assert_eq!(story.weight("2"), 100);
        story.log();
        story.commit(spec("1"));
        let first = story.step().unwrap();
        assert_eq!(first.mutation.kind(), Kind::SetWeights);
        assert!(first.mutation.resource().contains(":listener/"), "{}", first.mutation.resource());
        assert_eq!(story.weight("1"), 100);
        story.converged();
    }
}

#[test]
fn a_default_action_that_was_taken_from_live_comes_back_when_it_is_free() {
    let mut story = fixed_response(&default_file("1"));
    story.converged();
    let state = &mut story.model.state;
    state.rules.clear();
    state.borrowed.clear();
    state.slot = Some(Slot::Free);
    state.standing.as_mut().unwrap().action = RuleAction::Other("fixed-response".to_owned());
    for group in state.groups.values_mut() {
        group.weight = None;
    }
    story.converged();
    assert_eq!(story.weight("1"), 100);
}

/// Whose a target group is that it forwards to could not be read.
#[test]
fn a_place_that_was_not_read_is_not_taken() {
    for mut story in [fixed_response(&default_file("1")), Story::new(file("1"))] {
        let free = story.model.state.slot.take();
        assert!(story.step().is_none(), "{}", story.log());
        assert!(story.waits().starts_with("unknown: "), "{}", story.waits());
        story.model.state.slot = free;
        story.converged();
        let state = &mut story.model.state;
        state.rules.clear();
        state.borrowed.clear();
        let unread = state.slot.take();
        state.groups.values_mut().for_each(|group| group.weight = None);
        assert!(unread.is_some() && story.step().is_none(), "{}", story.log());
        assert!(story.waits().starts_with("unknown: "), "{}", story.waits());
        story.model.state.slot = Some(Slot::Free);
        story.converged();
        assert_eq!(story.weight("1"), 100);
    }
}

/// A rule of somebody else's keeps the machines of an older release checked.
#[test]
fn what_was_taken_from_live_goes_to_who_answers_until_live_does() {
    for mut story in [fixed_response(&default_file("1")), Story::new(file("1"))] {
        let newer = if story.model.state.standing.is_some() { default_file("2") } else { file("2") };
        story.converged();
        story.commit(newer).until(|story| story.group("2").stable().is_some());
        let state = &mut story.model.state;
        state.rules.clear();
        state.borrowed.clear();
        state.slot = Some(Slot::Free);
        state.groups.values_mut().for_each(|group| group.weight = None);
        let read = |story: &mut Story, version, health: TargetHealth| {
            let targets = story.group_mut(version).targets.as_mut().unwrap();
            targets.values_mut().for_each(|known| *known = health.into());
        };
        read(&mut story, "1", TargetHealth::Healthy);
        read(&mut story, "2", TargetHealth::Unhealthy);
        let first = story.step().unwrap();
        assert_eq!((story.weight("1"), story.weight("2")), (100, 0), "{first:?}");
        read(&mut story, "2", TargetHealth::Healthy);
        story.converged();
        assert_eq!(story.weight("2"), 100, "{}", story.log());
    }
}

#[test]
fn a_default_action_that_forwards_to_others_blocks_before_anything_is_created() {
    let mut story = taken(&default_file("1"));
    assert!(story.step().is_none());
    assert!(story.waits().starts_with("preflight: "), "{}", story.waits());
    assert!(story.waits().contains("load_balancer.adopt"), "{}", story.waits());
    assert_eq!(story.plan().change, Change::Blocked);
    let weights =
        RuleAction::Forward(vec![(foreign(), 1), (TargetGroupArn::parse(&format!("{}0", foreign())).unwrap(), 1)]);
    let mut two = listener(&adopting(default_file("1")), weights);
    two.model.state.slot = Some(Slot::Foreign("the listener's default action (forwards to old, new)".to_owned()));
    assert!(two.step().is_none());
    assert!(two.waits().starts_with("preflight: "), "{}", two.waits());
}

#[test]
fn what_serves_is_taken_over_in_steps_and_never_touched() {
    for spec in [default_file as fn(&str) -> ServiceSpec, network_file] {
        let mut story = taken(&adopting(spec("1")));
        story.pass();
        assert_eq!(shares(&story), [("old".to_owned(), 100), ("1".to_owned(), 0)]);
        assert_eq!(story.members("1").desired, 3, "as many as are healthy there");
        story.until_weight("1", 10);
        assert_eq!(share(&story, "old"), Some(90));
        assert!(story.log().contains("old (not ours) 90 %"), "it is called by its name");
        story.until_weight("1", 100);
        assert_eq!(share(&story, "old"), Some(0), "until it settles, going back means back to it");
        story.converged();
        assert_eq!(shares(&story), [("1".to_owned(), 100)]);
        story.commit(adopting(spec("2"))).converged();
        assert_eq!(story.weight("2"), 100);
    }
}

#[test]
fn taking_over_survives_death_after_every_change() {
    let mut whole = taken(&adopting(default_file("1")));
    whole.converged();
    let changes = whole.log().lines().count();
    for death in 0..changes {
        let mut story = taken(&adopting(default_file("1")));
        let mut done = 0;
        while done < death {
            match story.step() {
                Some(_) => done += 1,
                None => drop(story.later(Span::from_secs(5))),
            }
        }
        story.dies().converged();
        assert_eq!(shares(&story), [("1".to_owned(), 100)], "death after {death}");
    }
}

#[test]
fn a_bad_takeover_goes_back_to_what_served() {
    let mut story = taken(&adopting(default_file("1")));
    story.sick = vec!["1".to_owned()];
    story.converged();
    assert_eq!(shares(&story), [("old".to_owned(), 100)]);
    assert!(story.waits().starts_with("rejected: "), "{}", story.waits());

    let mut story = taken(&adopting(default_file("1")));
    story.until_weight("1", 10);
    story.sick = vec!["1".to_owned()];
    story.converged();
    assert_eq!(shares(&story), [("old".to_owned(), 100)]);
    story.commit(adopting(default_file("2"))).converged();
    assert_eq!(story.weight("2"), 100);
}

#[test]
fn a_file_removed_during_a_takeover_gives_everything_back() {
    for percent in [10, 100] {
        let mut story = taken(&adopting(default_file("1")));
        story.until_weight("1", percent);
        story.commit_removal().converged();
        assert_eq!(shares(&story), [("old".to_owned(), 100)]);
        assert!(story.model.state.groups.values().all(|group| group.group.is_none() && group.target_group.is_none()));
    }
}

#[test]
fn a_newer_commit_during_a_takeover_begins_from_what_served() {
    let mut story = taken(&adopting(default_file("1")));
    story.until_weight("1", 10);
    story.commit(adopting(default_file("2"))).pass();
    assert_eq!(share(&story, "old"), Some(100));
    story.until_weight("2", 10);
    assert_eq!(share(&story, "old"), Some(90));
    story.converged();
    assert_eq!(shares(&story), [("2".to_owned(), 100)]);
}

#[test]
fn a_foreign_side_whose_health_was_not_read_is_not_taken_over() {
    let mut story = taken(&adopting(default_file("1")));
    story.model.state.foreign.clear();
    assert!(story.step().is_none());
    assert!(story.waits().starts_with("unknown: "), "{}", story.waits());
}

#[test]
fn a_rule_that_forwards_to_others_is_taken_over_with_its_conditions() {
    let spec = adopting(file("1"));
    let lb = spec.load_balancer.clone().unwrap();
    let mut story = taken(&spec);
    let standing = story.model.state.standing.as_mut().unwrap();
    standing.arn = RuleArn::parse(&lb.listener.as_str().replacen(":listener/", ":listener-rule/", 1)).unwrap();
    standing.priority = Some(10);
    standing.conditions = Conditions { hosts: vec!["web.example.com".to_owned()], ..Conditions::default() };
    let plan = story.plan();
    assert_eq!(plan.change, Change::Takeover);
    assert!(plan.because.contains("priority 10") && plan.because.contains("target group old"), "{}", plan.because);
    story.converged();
    assert_eq!(story.model.state.rules[0].conditions.hosts, ["web.example.com"]);
    // It is the user's, so it stays where it is.
    let mut moved = adopting(file("1"));
    moved.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().priority = 20;
    story.model.state.slot = Some(Slot::Free);
    story.commit(moved);
    story.run();
    assert!(story.waits().contains("never deleted"), "{}", story.waits());
}

/// A takeover changes who answers, and not which requests.
#[test]
fn a_rule_with_other_conditions_than_the_file_is_not_taken_over() {
    let spec = adopting(file("1"));
    let lb = spec.load_balancer.clone().unwrap();
    let same = || vec!["web.example.com".to_owned()];
    for conditions in [
        Conditions { hosts: vec!["old.example.com".to_owned()], ..Conditions::default() },
        Conditions {
            hosts: same(),
            more: vec![Condition::SourceIps(vec!["10.0.0.0/8".to_owned()])],
            ..Conditions::default()
        },
    ] {
        let mut story = taken(&spec);
        let standing = story.model.state.standing.as_mut().unwrap();
        standing.arn = RuleArn::parse(&lb.listener.as_str().replacen(":listener/", ":listener-rule/", 1)).unwrap();
        (standing.priority, standing.conditions) = (Some(10), conditions.clone());
        assert!(story.step().is_none(), "{}", story.log());
        let waits = story.waits();
        assert!(waits.starts_with("preflight: ") && waits.contains(&conditions.to_string()), "{waits}");
        assert!(waits.contains("the file says host web.example.com"), "{waits}");
        assert_eq!(story.plan().change, Change::Blocked);
        story.model.state.standing.as_mut().unwrap().conditions = Conditions { hosts: same(), ..Conditions::default() };
        story.converged();
        assert_eq!(shares(&story), [("1".to_owned(), 100)]);
    }
}

/// Authentication before the forward is the user's, and stays.
#[test]
fn a_rule_with_authentication_is_taken_over_with_it() {
    let spec = adopting(default_file("1"));
    let mut story = taken(&spec);
    let before = vec![Opaque { kind: "authenticate-oidc".to_owned(), text: "{}".to_owned() }];
    let kept = Kept { before, ..Kept::default() };
    story.model.state.standing.as_mut().unwrap().action = RuleAction::forward(vec![(foreign(), 1)], kept.clone());
    story.converged();
    assert_eq!(story.model.state.rules[0].action.kept(), kept, "{}", story.log());
}

#[test]
fn a_default_action_is_never_deleted_by_a_removal() {
    let mut story = fixed_response(&default_file("1"));
    story.converged();
    story.log();
    story.orphan = crate::plan::removal::Orphan::Removed;
    story.commit_removal();
    story.run();
    assert!(story.waits().contains("point it elsewhere"), "{}", story.waits());
    assert_eq!(story.plan().change, Change::Blocked);
    assert!(!story.log().contains("delete"), "it is blocked");
    story.meanwhile(&Mutation::DeleteRule { rule: story.model.state.rules[0].arn.clone() });
    story.run();
    assert!(story.model.state.groups.values().all(|group| group.group.is_none() && group.target_group.is_none()));
}

/// `terraform apply` after a takeover: the rule forwards to what it did before, without our tags.
#[test]
fn a_rule_that_another_tool_puts_back_is_known_and_comes_back_with_its_tags() {
    let mut story = Story::settled("1.0");
    let rule = story.model.state.rules.remove(0);
    let old = TargetGroupArn::parse(
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/before/0123456789abcdef",
    )
    .unwrap();
    let back = Rule { action: RuleAction::Forward(vec![(old, 100)]), ..rule };
    story.model.state.standing = Some(back.clone());
    story.model.state.slot = Some(Slot::Adoptable("rule 120, which forwards to before".to_owned()));
    story.group_mut("1.0").weight = None;
    let said = story.waits();
    assert!(
        said.starts_with("preflight: the traffic of 1.0 was taken from it: at its place stands rule 120"),
        "{said}"
    );
    assert!(said.contains("ignore_changes") && said.contains(back.arn.as_str()), "{said}");
    assert!(said.contains("Key=ionroller:scope,Value=prod Key=ionroller:service,Value=web"), "{said}");
    // As it says.
    story.model.state.rules.push(back);
    (story.model.state.standing, story.model.state.slot) = (None, Some(Slot::Ours));
    story.converged();
    assert_eq!(story.weight("1.0"), 100, "{}", story.log());
}
