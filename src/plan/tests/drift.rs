//! What somebody else changes of what is ours: said, and put right where the file lets us.

use super::story::{Story, file, hold};
use crate::desired::drift::{Field, Policy};
use crate::desired::spec::{Metric, Scaling, ServiceSpec};
use crate::names::TargetGroupArn;
use crate::observed::resources::{Condition, Conditions, GroupChange, RuleAction, Shape, TargetHealth};
use crate::observed::resources::{Details, Policy as TrackingPolicy};
use crate::observed::state::Wants;
use crate::plan::action::{Kind, Mutation};
use crate::plan::types::{Change, RollbackClass};
use crate::plan::view::Input;
use crate::plan::wants::wants;
use crate::time::Span;

fn with(version: &str, field: Field, policy: Policy) -> ServiceSpec {
    let mut spec = file(version);
    spec.drift.0.insert(field, policy);
    spec
}

fn add_source_ip(story: &mut Story) {
    story.model.state.rules[0].conditions.more = vec![Condition::SourceIps(vec!["10.0.0.0/8".to_owned()])];
}

fn plain() -> Conditions {
    Conditions { hosts: vec!["web.example.com".to_owned()], ..Conditions::default() }
}

fn shape<'a>(story: &'a mut Story, version: &str) -> &'a mut Shape {
    story.group_mut(version).group.as_mut().unwrap().shape.as_mut().unwrap()
}

fn fields(story: &Story) -> Vec<(Field, Policy)> {
    story.plan().drift.iter().map(|drift| (drift.field, drift.policy)).collect()
}

#[test]
fn what_was_made_and_settled_has_not_drifted() {
    let mut story = Story::settled("1.0");
    assert_eq!(fields(&story), []);
    story.commit(file("1.1")).until_weight("1.1", 10);
    assert_eq!(fields(&story), []);
    story.converged();
    assert_eq!(fields(&story), []);
}

#[test]
fn a_condition_that_somebody_adds_is_said_and_taken_out() {
    let mut story = Story::settled("1.0");
    add_source_ip(&mut story);
    let plan = story.plan();
    assert_eq!(plan.change, Change::Update);
    assert_eq!((plan.drift[0].field, plan.drift[0].policy), (Field::Conditions, Policy::Heal));
    let action = &plan.actions[0];
    assert_eq!(action.mutation.kind(), Kind::SetRule);
    assert!(action.because.contains("host web.example.com, source IP 10.0.0.0/8 instead of host web"), "{action:?}");
    assert!(action.expects.iter().any(|what| what.contains("source IP 10.0.0.0/8")), "{action:?}");
    story.converged();
    assert_eq!(story.model.state.rules[0].conditions, plain());
    assert_eq!((story.weight("1.0"), story.plan().change), (100, Change::None));
}

#[test]
fn a_changed_host_is_put_back_before_a_release_settles_and_a_new_one_is_not_fought() {
    let mut story = Story::settled("1.0");
    story.model.state.rules[0].conditions.hosts = vec!["other.example.com".to_owned()];
    story.commit(file("1.1")).until_weight("1.1", 10);
    let now = story.model.state.rules[0].conditions.clone();
    assert_eq!(now, plain(), "{}", story.log());
    story.converged();
    // What the commit itself changes comes at settle, and is no drift before.
    let mut moved = file("1.2");
    moved.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().hosts = vec!["new.example.com".to_owned()];
    story.commit(moved).until_weight("1.2", 10);
    assert_eq!((fields(&story), &story.model.state.rules[0].conditions), (vec![], &plain()));
    story.converged();
    assert_eq!(story.model.state.rules[0].conditions.hosts, ["new.example.com"]);
}

#[test]
fn a_revert_says_which_conditions_its_one_call_changes() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).converged();
    add_source_ip(&mut story);
    story.commit(file("1.0"));
    let first = story.step().unwrap();
    assert_eq!(story.weight("1.0"), 100, "{first:?}");
    assert!(first.expects.iter().any(|what| what.contains("source IP 10.0.0.0/8")), "{first:?}");
}

#[test]
fn what_is_only_reported_stays() {
    let spec = with("1.0", Field::Conditions, Policy::Report);
    let mut story = super::story::settle(spec);
    add_source_ip(&mut story);
    assert!(story.step().is_none(), "{}", story.log());
    assert_eq!(fields(&story), [(Field::Conditions, Policy::Report)]);
    assert_eq!(story.plan().change, Change::None);
    let mut story = super::story::settle(with("1.0", Field::Conditions, Policy::Ignore));
    add_source_ip(&mut story);
    assert!(story.step().is_none() && fields(&story).is_empty());
}

#[test]
fn a_held_service_is_not_put_right_and_says_so() {
    let mut story = Story::settled("1.0");
    hold(&mut story, "1.0");
    add_source_ip(&mut story);
    assert!(story.step().is_none(), "{}", story.log());
    assert_eq!(fields(&story), [(Field::Conditions, Policy::Heal)]);
}

fn stranger() -> TargetGroupArn {
    TargetGroupArn::parse("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/theirs/73e2").unwrap()
}

fn let_in(story: &mut Story, weight: u32) {
    story.model.state.rules[0].action.weights_mut().unwrap().push((stranger(), weight));
    story.model.state.foreign.insert(stranger(), [("i-x".to_owned(), TargetHealth::Healthy.into())].into());
}

#[test]
fn a_stranger_in_our_action_is_said_and_leaves() {
    let mut story = Story::settled("1.0");
    let_in(&mut story, 5);
    let plan = story.plan();
    assert_eq!((plan.change, plan.drift[0].field), (Change::Update, Field::TargetGroups));
    assert_eq!(plan.drift[0].found, "theirs (not ours) 5 %");
    story.converged();
    assert_eq!(story.model.state.rules[0].action.percents().len(), 1, "{}", story.log());
    assert_eq!(story.weight("1.0"), 100);
}

#[test]
fn a_stranger_in_our_action_blocks_neither_a_release_nor_a_revert() {
    for policy in [Policy::Heal, Policy::Report] {
        let mut story = super::story::settle(with("1.0", Field::TargetGroups, policy));
        let_in(&mut story, 5);
        story.commit(with("1.1", Field::TargetGroups, policy)).converged();
        assert_eq!(story.weight("1.1"), 100, "{}", story.log());
        // Its machines are gone: a revert that needs new ones.
        story.later(Span::from_mins(90)).converged();
        let_in(&mut story, 5);
        story.commit(with("1.0", Field::TargetGroups, policy)).converged();
        assert_eq!(story.weight("1.0"), 100, "{}", story.log());
    }
}

#[test]
fn a_detached_target_group_is_attached_again() {
    let mut story = Story::settled("1.0");
    shape(&mut story, "1.0").target_groups.clear();
    assert_eq!(fields(&story), [(Field::Attachment, Policy::Heal)]);
    let arn = story.group("1.0").target_group.as_ref().unwrap().arn.clone();
    let action = story.step().unwrap();
    let Mutation::SetGroup { change, .. } = &action.mutation else { panic!("{action:?}") };
    assert_eq!(*change, GroupChange::Attach(arn));
    story.converged();
}

#[test]
fn each_part_of_a_group_is_put_right() {
    let mut story = Story::settled("1.0");
    let changed = shape(&mut story, "1.0");
    changed.health_check = "EC2".to_owned();
    changed.subnets = vec!["subnet-x".to_owned()];
    changed.termination = vec!["NewestInstance".to_owned()];
    assert_eq!(fields(&story).len(), 3, "{:?}", story.plan().drift);
    story.converged();
    assert_eq!(fields(&story), []);
    // The grace is the deadline of the file.
    let mut spec = file("1.0");
    spec.rollout.healthy_deadline = Span::from_mins(20);
    story.commit(spec).converged();
    assert_eq!(shape(&mut story, "1.0").grace, Span::from_mins(20));
}

#[test]
fn suspended_processes_are_reported_unless_the_file_says_more() {
    let suspend = |story: &mut Story| {
        story.group_mut("1.0").group.as_mut().unwrap().suspended = vec!["Launch".to_owned()];
    };
    let mut story = Story::settled("1.0");
    suspend(&mut story);
    assert!(story.step().is_none());
    assert_eq!(fields(&story), [(Field::SuspendedProcesses, Policy::Report)]);
    let mut story = super::story::settle(with("1.0", Field::SuspendedProcesses, Policy::Heal));
    suspend(&mut story);
    story.converged();
    assert!(story.members("1.0").suspended.is_empty(), "{}", story.log());
}

/// What a group waits for is said by its name: while it comes up, while it serves, and while
/// it is emptied.
#[test]
fn what_stands_still_because_of_a_suspended_process_says_so() {
    let still = |story: &mut Story, version: &str, process: &str, machines: usize| {
        let group = story.group_mut(version).group.as_mut().unwrap();
        group.suspended = vec![process.to_owned()];
        group.instances.truncate(machines);
    };
    let said = |story: &Story| story.plan().waiting_on.map(|wait| wait.detail).unwrap_or_default();
    let launch = "its process Launch is suspended, so no machine is launched";

    let mut story = Story::settled("1.0");
    story
        .commit(file("1.1"))
        .until(|story| story.model.state.groups.get(&story.name("1.1")).is_some_and(|owner| owner.group.is_some()));
    still(&mut story, "1.1", "Launch", 1);
    story.later(Span::from_secs(10));
    assert!(said(&story).contains(launch), "{}", said(&story));

    let mut story = Story::settled("1.0");
    still(&mut story, "1.0", "Launch", 0);
    story.later(Span::from_mins(30));
    assert!(said(&story).contains(launch), "{}", said(&story));

    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).converged();
    let group = story.group_mut("1.0").group.as_mut().unwrap();
    (group.min, group.desired) = (0, 0);
    still(&mut story, "1.0", "Terminate", 2);
    story.later(Span::from_mins(62)).pass();
    let stays = "2 machines of 1.0 stay: its process Terminate is suspended, so no machine is terminated";
    assert!(said(&story).contains(stays), "{}", said(&story));
}

#[test]
fn what_is_emptied_loses_its_protection() {
    let mut story = Story::settled("1.0");
    let machines: Vec<String> = story.members("1.0").instances.iter().map(|machine| machine.id.clone()).collect();
    shape(&mut story, "1.0").protected = machines.clone();
    assert_eq!(fields(&story), [(Field::ScaleInProtection, Policy::Report)]);
    story.commit(file("1.1")).converged();
    story.later(Span::from_mins(61));
    story.run_to_the_end();
    let log = story.log();
    let said = format!("{} of its machines are protected from scale-in, and it is being emptied", machines.len());
    assert!(log.contains("2 machines without scale-in protection") && log.contains(&said), "{log}");
    assert!(log.find("desired 0") < log.find(&said), "{log}");
}

/// Machines of unknown content may run behind another version.
#[test]
fn a_group_on_another_template_version_is_no_instant_way_back() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).converged();
    assert_eq!(story.plan().rollback, Some(RollbackClass::Instant));
    let name = story.name("1.0").to_string();
    story.group_mut("1.0").group.as_mut().unwrap().template = Some((name, "2".to_owned()));
    assert_eq!(story.plan().rollback, Some(RollbackClass::Full));
    assert_eq!(fields(&story), [(Field::Template, Policy::Report)]);
    assert!(story.step().is_none(), "{}", story.log());
    story.commit(file("1.0")).converged();
    assert_eq!(story.weight("1.0"), 100, "{}", story.log());
    assert_eq!(story.members("1.0").template.as_ref().unwrap().1, "1");
}

#[test]
fn a_template_that_is_gone_is_made_again_and_the_group_pointed_to_it() {
    let mut story = Story::settled("1.0");
    shape(&mut story, "1.0").template_id = Some("lt-gone".to_owned());
    assert_eq!(fields(&story), [(Field::LostTemplate, Policy::Heal)]);
    story.converged();
    let id = story.group("1.0").template.as_ref().unwrap().id.clone();
    assert_eq!(shape(&mut story, "1.0").template_id, Some(id));
}

#[test]
fn weights_are_not_touched_by_a_heal_of_conditions() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).until_weight("1.1", 10);
    add_source_ip(&mut story);
    story.converged();
    assert_eq!((story.weight("1.1"), story.weight("1.0")), (100, 0));
    assert!(matches!(story.model.state.rules[0].action, RuleAction::Forward(_)));
}

fn with_policies(version: &str) -> ServiceSpec {
    let mut spec = file(version);
    spec.capacity.scaling = vec![Scaling { metric: Metric::Cpu, target_millis: 60_000 }];
    spec
}

/// What no listing shows is read every ten minutes, and put right; policies of others stay.
#[test]
fn policies_and_the_delay_are_audited_and_put_right() {
    let mut story = super::story::settle(with_policies("1.0"));
    let details = story.group_mut("1.0").details.take().unwrap();
    assert_eq!(details.policies.len(), 1, "{details:?}");
    assert_eq!(story.ask(wants), Wants::default(), "what is at rest costs nothing");
    // What the next poll asks for.
    let poll = Span::from_secs(5);
    let audits = |story: &Story| story.ask(|input| wants(&Input { now: input.now + poll, ..input.clone() })).audit;
    let mut polls = 0;
    while audits(&story).is_empty() {
        story.later(poll);
        polls += 1;
        assert!(polls <= 120, "nothing is audited within ten minutes");
    }
    assert_eq!(audits(&story), [story.name("1.0")]);
    // Somebody has changed them, and another tool has a policy of its own.
    let others =
        TrackingPolicy { name: "night".to_owned(), metric: "other".to_owned(), resource_label: None, target_millis: 0 };
    let changed = Details { policies: vec![others], deregistration_delay: Some(Span::from_secs(1)) };
    story.group_mut("1.0").details = Some(changed);
    story.later(poll);
    assert_eq!(audits(&story), [], "once in ten minutes");
    // What was found is said until the next audit.
    story.group_mut("1.0").details = None;
    assert_eq!(fields(&story), [(Field::TargetGroup, Policy::Heal), (Field::ScalingPolicies, Policy::Heal)]);
    story.pass();
    let log = story.log();
    assert!(log.contains("the target group's settings were changed: deregistration delay 1 s instead of"), "{log}");
    story.group_mut("1.0").details = None;
    story.later(Span::from_secs(25));
    assert_eq!(audits(&story), [story.name("1.0")], "what was mended is read again soon");
}

/// What a listing shows is seen at once.
#[test]
fn tags_of_the_file_and_the_health_check_are_put_right_at_once() {
    let mut spec = file("1.0");
    spec.tags.insert("team".to_owned(), "shop".to_owned());
    let mut story = super::story::settle(spec);
    story.group_mut("1.0").group.as_mut().unwrap().tags.insert("team".to_owned(), "other".to_owned());
    story.group_mut("1.0").target_group.as_mut().unwrap().health_check.path = Some("/other".to_owned());
    assert_eq!(fields(&story), [(Field::TargetGroup, Policy::Heal), (Field::Tags, Policy::Heal)]);
    let said = format!("{:?}", story.plan().drift);
    assert!(said.contains("team = other") && said.contains("team = shop") && said.contains("path /other"), "{said}");
    story.converged();
    assert_eq!(fields(&story), []);
    assert_eq!(story.members("1.0").tags["team"], "shop");
}
