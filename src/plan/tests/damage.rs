//! What people, other tools and crashes leave behind: parts that are missing, sizes and
//! weights that no plan would make. The random services of `wild` found most of these.

use super::questions::half_way;
use super::story::{Story, file, hold};
use crate::names::{RuleArn, TargetGroupArn};
use crate::observed::marks::Mark;
use crate::observed::resources::{RuleAction, TargetHealth, Targets};
use crate::plan::action::{Action, Mutation, Weight};
use crate::plan::traffic;
use crate::plan::types::{Change, Phase, Reason, Role, RollbackClass};
use crate::plan::view::View;
use crate::time::Span;

/// Somebody sets all weights of the rule by hand.
fn weights(story: &mut Story, shares: &[(&str, u32)]) {
    let weight = |(version, percent): &(&str, u32)| Weight {
        target_group: story.group(version).target_group.as_ref().unwrap().arn.clone(),
        release: None,
        percent: *percent,
    };
    let weights = shares.iter().map(weight).collect();
    let rule = story.model.state.rules[0].arn.clone();
    story.meanwhile(&Mutation::SetWeights { rule, weights });
}

/// Somebody scales a group to zero.
fn scale_to_zero(story: &mut Story, version: &str) {
    let (release, group) = (story.name(version), story.members(version).name.clone());
    story.meanwhile(&Mutation::SetCapacity { release, group, min: 0, max: 0, desired: Some(0) });
}

fn settled_alone(story: &mut Story, version: &str) {
    story.run_to_the_end().converged();
    assert_eq!((story.weight(version), story.role(version)), (100, Role::Live), "{}", story.log());
    let rule = &story.model.state.rules;
    assert_eq!((rule.len(), rule[0].conditions.hosts.as_slice()), (1, ["web.example.com".to_owned()].as_slice()));
    assert!(story.plan().settled);
}

/// "Weights go back if live has a healthy target …; otherwise no weight moves": the fix of
/// all this is brought up meanwhile, and takes everything at once. A step would give the
/// rest to machines that don't answer.
#[test]
fn a_fix_is_released_while_live_and_a_third_release_are_sick() {
    let mut story = half_way();
    story.sick.extend(["1.0".to_owned(), "1.1".to_owned()]);
    story.commit(file("1.2")).pass();
    assert_eq!(story.plan().phase, Phase::Halted, "no weight may move yet");
    story.until(|story| story.weight("1.2") > 0);
    assert_eq!((story.weight("1.2"), story.weight("1.1"), story.weight("1.0")), (100, 0, 0));
    story.until(|story| story.group("1.2").stable().is_some());
    story.sick.clear();
    settled_alone(&mut story, "1.2");
}

/// The same where the third release answers: it keeps what it has until the fix is ready.
#[test]
fn a_third_release_keeps_its_traffic_until_the_fix_is_ready() {
    let mut story = half_way();
    story.sick.push("1.0".to_owned());
    story.commit(file("1.2")).pass();
    assert_eq!((story.weight("1.1"), story.weight("1.0")), (50, 50));
    story.until(|story| story.weight("1.2") > 0);
    assert_eq!(story.weight("1.2"), 100);
    story.until(|story| story.group("1.2").stable().is_some());
    story.sick.clear();
    settled_alone(&mut story, "1.2");
}

/// "Rollback … passes everything but a hold": also what keeps weights from a sick live side.
#[test]
fn a_rollback_does_not_wait_for_a_live_side_that_is_sick() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run_to_the_end();
    let mut third = file("1.2");
    third.rollout.steps = vec![50, 100];
    story.commit(third).until_weight("1.2", 50).pass();
    story.sick.push("1.1".to_owned());
    story.commit(file("1.0"));
    assert_eq!((story.plan().change, story.plan().rollback), (Change::Rollback, Some(RollbackClass::Full)));
    story.until_weight("1.0", 100);
    assert_eq!((story.weight("1.1"), story.weight("1.2")), (0, 0));
    story.sick.clear();
    settled_alone(&mut story, "1.0");
}

/// As "live has weight but no ASG": a group at zero is none. A hold lets people do it.
#[test]
fn live_that_was_scaled_to_zero_gets_machines_again() {
    let mut story = Story::settled("1.0");
    scale_to_zero(&mut story, "1.0");
    hold(&mut story, "1.0");
    story.converged();
    assert_eq!(story.members("1.0").desired, 0);
    let on = story.template("1.0");
    story.meanwhile(&Mutation::ClearMark { on, mark: Mark::Hold }).converged();
    assert_eq!((story.members("1.0").min, story.members("1.0").desired, story.members("1.0").max), (2, 2, 4));
    // And beside a candidate with traffic.
    let mut story = half_way();
    scale_to_zero(&mut story, "1.0");
    story.commit(file("1.2")).pass();
    assert_eq!(story.members("1.0").desired, 2);
    settled_alone(&mut story, "1.2");
}

/// "one weight call, before any other mutation": somebody has taken live's machines, and the
/// commit wants the one before, which is warm.
#[test]
fn a_revert_from_live_that_was_scaled_to_zero_goes_before_its_machines() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    scale_to_zero(&mut story, "1.1");
    story.commit(file("1.0"));
    let first = story.step().unwrap();
    assert!(matches!(first.mutation, Mutation::SetWeights { .. }), "{first:?}");
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    settled_alone(&mut story, "1.0");
}

/// "One that no rule names is never health-checked": nothing could go back to live.
#[test]
fn live_that_was_taken_out_of_the_action_enters_it_again() {
    let mut story = half_way();
    weights(&mut story, &[("1.1", 100)]);
    let entry = story.step().unwrap();
    assert!(entry.because.contains("checked"), "{entry:?}");
    assert_eq!((story.group("1.0").weight, story.weight("1.1")), (Some(0), 100));
    story.commit(file("1.0"));
    settled_alone(&mut story, "1.0");
}

fn moved(version: &str, priority: u32) -> crate::desired::spec::ServiceSpec {
    let mut spec = file(version);
    spec.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().priority = priority;
    spec
}

/// "new rule with the same action first, then the old one goes", and a release that comes
/// between the two does not fall back to what the old rule says.
#[test]
fn a_move_to_another_priority_that_is_cut_off_comes_to_its_end_before_a_release() {
    for next in ["1.0", "1.1", "1.2"] {
        let mut story = Story::settled("1.0");
        story.commit(file("1.1")).run();
        story.commit(moved("1.1", 20));
        story.until(|story| story.model.state.rules.len() == 2).dies().log();
        story.commit(moved(next, 20));
        let mut back = Vec::new();
        story.until(|story| story.weight(next) == 100 && story.model.state.rules.len() == 1);
        for line in story.log().lines().filter(|line| line.contains("1.1 100 %")) {
            back.push(line.to_owned());
        }
        assert!(next != "1.2" || back.len() <= 2, "{back:#?}");
        assert_eq!(story.model.state.rules[0].priority, Some(20));
        settled_alone(&mut story, next);
    }
}

/// Two moves that were cut off, and then somebody hid the newest rule and took all weights from
/// the old ones. Found by fuzzing.
#[test]
fn nothing_moves_from_rules_that_serve_nobody() {
    let mut story = Story::settled("1.0");
    story.commit(moved("1.0", 20));
    story.until(|story| story.model.state.rules.len() == 2);
    let (hidden, group) = (story.name("1.0").invalid_host(), story.group("1.0").target_group.clone().unwrap());
    let rules = &mut story.model.state.rules;
    let mut third = rules[0].clone();
    (third.arn, third.priority) = (RuleArn::parse(&third.arn.as_str().replace("/10", "/30")).unwrap(), Some(30));
    rules.push(third);
    for rule in rules {
        if rule.priority == Some(20) {
            rule.conditions.hosts = vec![hidden.clone()];
        } else {
            rule.action = RuleAction::Forward(vec![(group.arn.clone(), 0)]);
        }
    }
    settled_alone(&mut story, "1.0");
    assert_eq!(story.model.state.rules[0].priority, Some(20));
}

/// AWS lists the target groups of an action in any order.
#[test]
fn a_move_is_complete_in_whatever_order_the_action_is_read() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.commit(moved("1.1", 20));
    story.until(|story| story.model.state.rules.len() == 2).log();
    let RuleAction::Forward(shares) = &mut story.model.state.rules[1].action else { panic!("a forward") };
    shares.reverse();
    let action: Action = loop {
        match story.step() {
            Some(action) => break action,
            None => drop(story.later(Span::from_secs(5))),
        }
    };
    assert!(matches!(action.mutation, Mutation::DeleteRule { .. }), "{action:?}");
    story.converged();
}

/// "No action ever has only zero weights", whoever wrote it.
#[test]
fn only_zero_weights_are_mended() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    weights(&mut story, &[("1.0", 0), ("1.1", 0)]);
    settled_alone(&mut story, "1.1");
    // Live has no part in it at all, and is served before anything is cleared up.
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    weights(&mut story, &[("1.0", 0)]);
    story.later(Span::from_mins(70)).pass();
    assert_eq!(story.weight("1.1") + story.weight("1.0"), 100);
    settled_alone(&mut story, "1.1");
    // Nothing has settled: the rule is hidden until somebody can answer.
    let mut story = Story::new(file("1.0"));
    story.until_weight("1.0", 100);
    weights(&mut story, &[("1.0", 0)]);
    story.group_mut("1.0").group = None;
    story.commit(file("1.1")).pass();
    assert!(story.model.state.rules[0].conditions.hosts[0].ends_with(".ionroller.invalid"));
    story.run();
    assert_eq!(story.weight("1.1"), 100);
}

/// Live behind a condition that no client meets serves nobody.
#[test]
fn live_behind_a_hidden_rule_gets_its_conditions() {
    let mut story = Story::settled("1.0");
    story.model.state.rules[0].conditions.hosts = vec![story.name("1.0").invalid_host()];
    settled_alone(&mut story, "1.0");
    story.model.state.rules[0].conditions.hosts = vec![story.name("1.0").invalid_host()];
    // A gate keeps a release from starting, not live from its clients.
    story.gate = Some(crate::plan::types::WaitingOn {
        reason: Reason::Slot,
        detail: "1 rollout runs already".to_owned(),
        since: None,
        until: None,
    });
    story.commit(file("1.1")).pass();
    assert_eq!(story.weight("1.0"), 100);
}

/// Somebody hid the rule, took the last release out of it and stopped the machines of live. Found
/// by fuzzing.
#[test]
fn a_hidden_rule_goes_to_who_is_well_outside_it_where_live_is_not() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    weights(&mut story, &[("1.1", 100)]);
    assert_eq!(story.group("1.0").weight, None);
    story.group_mut("1.1").targets = Some(Targets::new());
    story.model.state.rules[0].conditions.hosts = vec![story.name("1.1").invalid_host()];
    while story.step().is_some_and(|action| !matches!(action.mutation, Mutation::SetRule { .. })) {}
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0), "{}", story.log());
    settled_alone(&mut story, "1.1");
}

/// Machines that register in a target group that is gone are registered nowhere.
#[test]
fn a_group_without_its_target_group_is_made_again() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).pass();
    weights(&mut story, &[("1.0", 100)]);
    let group = story.group_mut("1.1");
    (group.target_group, group.targets) = (None, None);
    story.run();
    assert_eq!(story.members("1.1").name, format!("{}-2", story.name("1.1")));
    settled_alone(&mut story, "1.1");
    // The same for live, whose rule is gone, too.
    let mut story = Story::settled("1.0");
    story.model.state.rules.clear();
    story.model.state.slot = Some(crate::observed::state::Slot::Free);
    let group = story.group_mut("1.0");
    (group.target_group, group.targets, group.weight) = (None, None, None);
    settled_alone(&mut story, "1.0");
}

/// Of a target group alone no machines can be made: it is no side to go back to.
#[test]
fn a_release_of_which_only_traffic_is_left_is_not_live() {
    let mut story = Story::new(file("1.0"));
    story.until_weight("1.0", 100).pass();
    let group = story.group_mut("1.0");
    (group.group, group.template, group.targets) = (None, None, None);
    story.commit(file("1.1"));
    settled_alone(&mut story, "1.1");
}

/// A part of the traffic, and nobody who could have the rest.
#[test]
fn a_candidate_with_a_part_of_the_traffic_and_nobody_beside_it_goes_on() {
    let mut story = half_way();
    let group = story.group_mut("1.0");
    (group.group, group.template, group.targets) = (None, None, None);
    let on = story.carrier("1.1");
    let value = "0@2027-01-15T08:00:00Z".to_owned();
    story.meanwhile(&Mutation::SetMark { on, mark: Mark::Step, value });
    settled_alone(&mut story, "1.1");
}

/// "the only healthy one is never drained", whoever has the traffic.
#[test]
fn a_group_that_is_well_stays_while_nobody_who_has_traffic_is() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.sick.push("1.1".to_owned());
    story.later(Span::from_mins(70)).pass();
    assert_eq!(story.members("1.0").desired, 2);
    story.sick.clear();
    settled_alone(&mut story, "1.1");
}

/// Nor is a candidate that a newer commit no longer wants, as long as it is the only one.
#[test]
fn a_former_candidate_that_is_well_stays_while_live_is_not() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    let name = story.name("1.1");
    story.until(|story| {
        let targets = story.model.state.groups.get(&name).and_then(|group| group.targets.as_ref());
        targets.is_some_and(|targets| targets.values().any(|target| target.health == TargetHealth::Healthy))
    });
    story.sick.push("1.0".to_owned());
    story.commit(file("1.2"));
    for _ in 0..6 {
        story.later(Span::from_secs(5)).pass();
    }
    assert_eq!((story.role("1.1"), story.weight("1.1"), story.members("1.1").desired), (Role::Leftover, 0, 2));
    story.sick.clear();
    settled_alone(&mut story, "1.2");
}

/// A try that failed waits for its time, also where nobody could take the traffic.
#[test]
fn a_retry_with_traffic_and_nobody_beside_it_waits_and_goes_on() {
    let mut story = Story::new(file("1.0"));
    story.until_weight("1.0", 100).pass();
    let on = story.template("1.0");
    let value = format!("1@{} returned 1", story.now.ceil_secs());
    story.meanwhile(&Mutation::SetMark { on, mark: Mark::Retry, value });
    let wait = story.plan().waiting_on.unwrap();
    assert_eq!((wait.reason, wait.until), (Reason::Retry, Some(story.now + Span::from_mins(1))));
    settled_alone(&mut story, "1.0");
}

/// "one attempt; if it fails, the weights go all the same": so they do where the template
/// that would carry the verdict is gone.
#[test]
fn a_failing_candidate_without_its_template_goes_back() {
    let mut story = half_way();
    story.group_mut("1.1").template = None;
    story.commit_broken();
    story.sick.push("1.1".to_owned());
    story.converged();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
}

/// A warm group that is larger than its file's maximum is raised, never cut.
#[test]
fn a_rollback_to_a_group_above_the_maximum_keeps_its_size() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    let (release, group) = (story.name("1.0"), story.members("1.0").name.clone());
    story.meanwhile(&Mutation::SetCapacity { release, group, min: 1, max: 6, desired: Some(6) });
    story.sick.push("1.0".to_owned());
    story.commit(file("1.0")).pass();
    assert_eq!((story.members("1.0").min, story.members("1.0").desired, story.members("1.0").max), (2, 6, 6));
    story.sick.clear();
    settled_alone(&mut story, "1.0");
}

/// Weights that somebody wrote are not percents; what we write sums to 100.
#[test]
fn weights_sum_to_100_when_one_enters_and_one_leaves() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    weights(&mut story, &[("1.0", 2), ("1.1", 3)]);
    story.run();
    for (first, second) in [(1, 1), (1, 2), (7, 0), (999, 1)] {
        let mut story = Story::settled("1.0");
        story.commit(file("1.1")).run();
        weights(&mut story, &[("1.0", second), ("1.1", first)]);
        story.commit(file("1.2"));
        settled_alone(&mut story, "1.2");
    }
}

/// "Any other weight above its step: weights to live" needs a live side that can take it.
/// With all of the traffic there is only one way.
#[test]
fn all_traffic_without_its_mark_goes_on_where_live_is_sick() {
    let mut story = half_way();
    weights(&mut story, &[("1.0", 0), ("1.1", 100)]);
    let on = story.carrier("1.1");
    let value = "0@2027-01-15T08:00:00Z".to_owned();
    story.meanwhile(&Mutation::SetMark { on, mark: Mark::Step, value });
    story.sick.push("1.0".to_owned());
    let marked = story.step().unwrap();
    assert!(marked.mutation.target().starts_with("step 100@"), "{marked:?}");
    story.until(|story| story.group("1.1").stable().is_some());
    story.sick.clear();
    settled_alone(&mut story, "1.1");
}

/// The group of a leftover is gone already, and its deletion ends in the forecast, too.
#[test]
fn a_forecast_sees_a_deletion_end() {
    let mut story = half_way();
    story.commit(file("1.0")).until(|story| !story.group("1.1").deleting.is_empty());
    let model = crate::plan::model::Model::new(&story.model.state, story.now);
    assert!(model.next_event().is_some());
    story.model = model;
    settled_alone(&mut story, "1.0");
}

/// "`scale-up`: it stands but is smaller: raise, wait, one weight call"
#[test]
fn a_warm_group_that_was_scaled_to_zero_is_raised_first() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    scale_to_zero(&mut story, "1.0");
    story.commit(file("1.0")).pass();
    assert_eq!((story.weight("1.1"), story.members("1.0").desired), (100, 2));
    settled_alone(&mut story, "1.0");
}

/// Somebody's weights: the parts that round up to a percent make more than all. Found by fuzzing.
#[test]
fn shares_of_more_than_all_are_cut_where_there_is_most() {
    let mut story = half_way();
    story.group_mut("1.1").targets = Some(Targets::new());
    let arn = |version: &str| story.group(version).target_group.as_ref().unwrap().arn.clone();
    let other = TargetGroupArn::parse(&arn("1.0").as_str().replace("targetgroup/", "targetgroup/x")).unwrap();
    let shares = vec![(arn("1.0"), 1), (arn("1.1"), 100), (other, 1)];
    let weights = story.ask(|input| traffic::named(&View::new(input), shares));
    assert_eq!(weights.iter().map(|weight| weight.percent).collect::<Vec<_>>(), [1, 98, 1], "{weights:?}");
}

/// Where nobody answers, the rest goes to whoever has most. Found by fuzzing.
#[test]
fn the_rest_of_a_division_does_not_go_to_strangers_that_do_not_answer() {
    let mut story = half_way();
    let arn = |story: &Story, version: &str| story.group(version).target_group.as_ref().unwrap().arn.clone();
    let ours = [arn(&story, "1.0"), arn(&story, "1.1")];
    let other = TargetGroupArn::parse(&ours[0].as_str().replace("targetgroup/", "targetgroup/x")).unwrap();
    for (health, percent) in [(TargetHealth::Unhealthy, 9), (TargetHealth::Healthy, 10)] {
        for version in ["1.0", "1.1"] {
            story.group_mut(version).targets = Some(Targets::new());
        }
        story.model.state.foreign.insert(other.clone(), Targets::from([("i-9".to_owned(), health.into())]));
        let shares = vec![(ours[0].clone(), 45), (ours[1].clone(), 45), (other.clone(), 9)];
        let weights = story.ask(|input| traffic::named(&View::new(input), shares));
        let given = weights.iter().find(|weight| weight.target_group == other).map(|weight| weight.percent);
        assert_eq!(given, Some(percent), "{weights:?}");
    }
}

/// Somebody made our rule a fixed response, and the file moves it.
#[test]
fn a_rule_that_became_another_action_is_mended_before_it_moves() {
    let mut story = Story::settled("1.0");
    story.model.state.rules[0].action = RuleAction::Other("fixed-response".to_owned());
    let mut spec = file("1.0");
    let rule = spec.load_balancer.as_mut().unwrap().rule.as_mut().unwrap();
    rule.priority += 1;
    let place = Some(rule.priority);
    story.commit(spec).converged();
    assert_eq!((story.weight("1.0"), story.model.state.rules[0].priority), (100, place));
}
