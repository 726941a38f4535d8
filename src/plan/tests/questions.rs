//! The order of the questions: each of them once, on the least that makes it apply.

use super::story::{Story, file, hold};
use crate::names::{Digest, GroupName, Scope, ServiceName};
use crate::observed::marks::{Mark, Step};
use crate::plan::action::{Carrier, Kind, Mutation};
use crate::plan::questions::Next;
use crate::plan::types::{Change, Phase, Reason, Role};
use crate::time::Span;

/// The kind of the next change.
fn acts(story: &Story) -> Kind {
    match story.next() {
        Next::Act(action) => action.mutation.kind(),
        other => panic!("no change: {other:?}"),
    }
}

fn waits(story: &Story) -> Reason {
    match story.next() {
        Next::Wait(wait) => wait.on.reason,
        other => panic!("no wait: {other:?}"),
    }
}

/// Half of the traffic is on 1.1, and its bake has begun.
pub fn half_way() -> Story {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    spec.rollout.steps = vec![50, 100];
    story.commit(spec).until_weight("1.1", 50);
    story.pass().log();
    story
}

fn mark_on_group(story: &Story, version: &str, mark: Mark, value: &str) -> Mutation {
    let name = story.name(version);
    let on = Carrier::Group { release: name.clone(), name: name.to_string() };
    Mutation::SetMark { on, mark, value: value.to_owned() }
}

#[test]
fn question_01_an_incomplete_reading_waits() {
    let mut story = half_way();
    story.model.state.incomplete = Some("target health failed".to_owned());
    assert_eq!(waits(&story), Reason::Unknown);
    let plan = story.plan();
    assert!(plan.actions.is_empty());
    let wait = plan.look_again.unwrap().since(story.now);
    assert!(wait <= Span::from_secs(10), "a broken answer stopped it for {wait:?}");
}

#[test]
fn question_02_live_has_weight_but_no_group() {
    let mut story = Story::settled("1.0");
    story.group_mut("1.0").group = None;
    assert_eq!(acts(&story), Kind::CreateGroup);
    story.run();
    assert_eq!(story.members("1.0").desired, 2);
    assert_eq!(story.waits(), "at rest");
}

#[test]
fn question_03_live_has_weight_and_retired() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.commit(file("1.0"));
    // The weight call alone, then death.
    assert_eq!(story.step().map(|action| action.mutation.kind()), Some(Kind::SetWeights));
    assert!(story.group("1.0").retired().is_some());
    story.run();
    assert!(story.group("1.0").retired().is_none());
    assert!(story.group("1.1").retired().is_some());
    assert!(story.group("1.1").stable().is_none(), "what was rolled back from is no target");
    assert_eq!(story.waits(), "at rest");
}

#[test]
fn question_04_a_settle_that_was_cut_off() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    story.until(|story| story.model.state.groups.get(&story.name("1.1")).is_some_and(|g| g.stable().is_some()));
    let name = story.name("1.0");
    let on = Carrier::Group { release: name.clone(), name: name.to_string() };
    story.meanwhile(&Mutation::ClearMark { on, mark: Mark::Retired });
    let Next::Act(action) = story.next() else { panic!("{:?}", story.next()) };
    assert_eq!(action.mutation.target().split(' ').next(), Some("retired"));
    story.run();
    assert_eq!(story.role("1.0"), Role::Warm);
}

#[test]
fn question_05_weight_on_a_group_that_is_neither_live_nor_candidate() {
    let mut story = half_way();
    story.commit(file("1.2"));
    assert_eq!(acts(&story), Kind::SetMark, "the fence of the newer commit");
    story.step();
    assert_eq!(acts(&story), Kind::SetWeights);
    story.step();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    story.run();
    assert_eq!(story.weight("1.2"), 100);
}

#[test]
fn question_06_hold_stops_what_git_asks() {
    let mut story = Story::settled("1.0");
    hold(&mut story, "1.0");
    story.commit(file("1.1"));
    assert_eq!(waits(&story), Reason::Hold);
    assert_eq!(story.plan().change, Change::Release);
}

#[test]
fn question_06_hold_does_not_stop_failure_protection() {
    let mut story = half_way();
    hold(&mut story, "1.0");
    assert_eq!(waits(&story), Reason::Hold);
    story.sick.push("1.1".to_owned());
    story.run();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    assert_eq!(story.members("1.0").min, 2, "un-pinned");
    assert_eq!(waits(&story), Reason::Hold);
}

/// Also when death came between the weights and their mark.
#[test]
fn question_06_protection_needs_no_mark() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).until_weight("1.1", 10);
    let began = Step { percent: 0, at: story.now }.to_string();
    story.meanwhile(&mark_on_group(&story, "1.1", Mark::Step, &began));
    hold(&mut story, "1.0");
    story.sick.push("1.1".to_owned());
    story.later(Span::from_secs(10)).run();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    assert_eq!(waits(&story), Reason::Hold);
}

#[test]
fn question_06_paused_in_the_file() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    spec.paused = Some("incident 4711".to_owned());
    story.commit(spec);
    assert_eq!(story.waits(), "paused: paused in its file: incident 4711");
}

#[test]
fn question_06_a_broken_file_takes_no_step() {
    let mut story = half_way();
    story.commit_broken();
    assert_eq!(waits(&story), Reason::Invalid);
    story.later(Span::from_mins(30)).pass();
    assert_eq!(story.weight("1.1"), 50, "it stays as it is");
    assert_eq!(story.plan().change, Change::Blocked);
    story.sick.push("1.1".to_owned());
    story.run();
    assert_eq!(story.weight("1.0"), 100, "and is protected");
}

#[test]
fn question_06_a_missing_file_takes_the_candidate_back() {
    let mut story = half_way();
    story.commit_removal().run();
    assert_eq!(story.weight("1.0"), 100);
    assert_eq!(story.members("1.0").min, 2, "un-pinned by the file as of the fence");
    assert!(story.group("1.1").group.is_none() && story.group("1.1").target_group.is_none());
    assert!(story.group("1.1").template_marks().rejected.is_none(), "without blame");
    assert_eq!(story.waits(), "at rest");
}

#[test]
fn question_06_the_fence() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    story.fence = Some(crate::plan::service::fenced_by(&"f".repeat(40), true));
    assert_eq!(waits(&story), Reason::Fence);
    assert_eq!((story.plan().change, story.plan().phase), (Change::Blocked, Phase::Blocked));
}

#[test]
fn question_07_the_candidate_is_stable_and_another_is_live() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.commit(file("1.0"));
    assert_eq!(story.plan().change, Change::Rollback);
    assert_eq!(acts(&story), Kind::SetWeights);
    story.step();
    assert_eq!(story.weight("1.0"), 100);
}

#[test]
fn question_08_the_candidate_is_rejected() {
    let mut story = Story::settled("1.0");
    story.sick.push("1.1".to_owned());
    story.commit(file("1.1")).run();
    assert_eq!(waits(&story), Reason::Rejected);
    assert!(story.group("1.1").group.is_none());
    assert_eq!(story.members("1.0").min, 2);
    // Across a revert and a second merge, and when it is well again.
    story.sick.clear();
    story.commit(file("1.0")).run();
    story.commit(file("1.1")).run();
    assert_eq!(waits(&story), Reason::Rejected);
}

#[test]
fn question_09_template_target_group_and_rule_entry() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    let kinds: Vec<Kind> = std::iter::from_fn(|| story.step().map(|action| action.mutation.kind())).collect();
    assert_eq!(
        kinds,
        [Kind::SetMark, Kind::CreateLaunchTemplate, Kind::CreateTargetGroup, Kind::SetWeights, Kind::CreateGroup],
        "fence, template, target group, entry at 0, group"
    );
    assert_eq!(story.weight("1.1"), 0);
}

#[test]
fn question_10_live_is_pinned_before_the_group_is_made() {
    let mut story = Story::settled("1.0");
    story.group_mut("1.0").group.as_mut().unwrap().desired = 3;
    story.commit(file("1.1")).pass();
    assert_eq!(story.members("1.0").min, 3, "pinned");
    assert_eq!(story.members("1.1").min, 3, "as many as live has");
    story.run();
    assert_eq!(story.members("1.1").min, 2, "restored at settle");
}

#[test]
fn question_11_a_release_that_was_left_is_used_again() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.commit(file("1.0")).run();
    story.commit(file("1.1"));
    story.step();
    let first = story.step().unwrap();
    assert!(first.mutation.target().starts_with("step 0@"), "{first:?}");
    assert_eq!(story.step().unwrap().mutation.kind(), Kind::ClearMark);
    story.run();
    assert_eq!(story.weight("1.1"), 100);
}

#[test]
fn question_12_the_weight_is_the_next_step() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    spec.rollout.steps = vec![50, 100];
    story.commit(spec);
    // Cut off between the weights and their mark.
    while !matches!(story.next(), Next::Act(action) if action.mutation.target().starts_with("step 50")) {
        if story.step().is_none() {
            story.later(Span::from_secs(5));
        }
    }
    let marked = story.step().unwrap();
    assert!(marked.mutation.target().starts_with("step 50@"));
    assert_eq!(story.weight("1.1"), 50);
    assert_eq!(waits(&story), Reason::Bake);
}

#[test]
fn question_12_weight_below_the_step_mark_was_taken_back() {
    let mut story = half_way();
    // An operator, or another process, gave everything back.
    let rule = story.model.state.rules[0].arn.clone();
    let arn = |version: &str| story.group(version).target_group.as_ref().unwrap().arn.clone();
    let weight =
        |version: &str, percent| crate::plan::action::Weight { target_group: arn(version), release: None, percent };
    let weights = vec![weight("1.0", 100), weight("1.1", 0)];
    story.meanwhile(&Mutation::SetWeights { rule, weights });
    let again = story.step().unwrap();
    assert!(again.mutation.target().starts_with("step 0@"), "{again:?}");
    story.run();
    assert_eq!(story.weight("1.1"), 100, "on its standing machines");
}

#[test]
fn question_12_weight_above_the_next_step_goes_back_first() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).until_weight("1.1", 10);
    let step = mark_on_group(&story, "1.1", Mark::Step, "0@2027-01-15T08:00:00Z");
    let rule = story.model.state.rules[0].arn.clone();
    let arn = |version: &str| story.group(version).target_group.as_ref().unwrap().arn.clone();
    let weight =
        |version: &str, percent| crate::plan::action::Weight { target_group: arn(version), release: None, percent };
    let weights = vec![weight("1.0", 40), weight("1.1", 60)];
    story.meanwhile(&step).meanwhile(&Mutation::SetWeights { rule, weights });
    assert_eq!(acts(&story), Kind::SetWeights);
    story.step();
    assert_eq!(story.weight("1.0"), 100);
}

#[test]
fn question_13_more_than_half_unhealthy_is_a_verdict_at_once() {
    let mut story = half_way();
    story.sick.push("1.1".to_owned());
    let Next::Act(verdict) = story.next() else { panic!("{:?}", story.next()) };
    assert!(verdict.mutation.target().contains("rejected"), "the verdict comes before the weights");
    assert!(verdict.mutation.target().contains("unhealthy"));
    story.run();
    assert_eq!(story.weight("1.0"), 100);
}

#[test]
fn question_14_waits_for_health_then_for_the_bake() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).pass();
    assert_eq!((waits(&story), story.plan().phase), (Reason::Health, Phase::Warming));
    story.until_weight("1.1", 10).pass();
    let plan = story.plan();
    assert_eq!((waits(&story), plan.phase), (Reason::Bake, Phase::Baking));
    let wait = plan.waiting_on.unwrap();
    assert_eq!(wait.until.unwrap().since(wait.since.unwrap()), Span::from_mins(5));
}

#[test]
fn question_15_no_next_step_settles() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    assert!(story.group("1.1").stable().is_some());
    assert_eq!(story.role("1.1"), Role::Live);
    assert_eq!(story.role("1.0"), Role::Warm);
    assert!(story.plan().settled);
}

#[test]
fn question_16_expired_groups_go_and_records_stay() {
    let mut story = Story::settled("1.0");
    for version in ["1.1", "1.2", "1.3", "1.4", "1.5"] {
        story.commit(file(version)).run_to_the_end();
    }
    story.pass().later(Span::from_secs(5)).pass().later(Span::from_secs(5)).pass();
    let past: Vec<String> = story.model.state.groups.values().map(|group| group.identity.version.to_string()).collect();
    assert_eq!(past.len(), 4, "live, and the three newest past releases: {past:?}");
    assert!(!past.contains(&"1.0".to_owned()) && !past.contains(&"1.1".to_owned()));
}

/// Each run of `apply` reads anew, so none may end between the two readings of a removal.
#[test]
fn question_16_a_record_that_goes_is_seen_to_its_end() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    (spec.retention.records, spec.retention.warm) = (0, Span::ZERO);
    story.commit(spec).until(|story| {
        let past = story.model.state.groups.get(&story.name("1.0"));
        past.is_some_and(|past| past.group.is_none() && past.target_group.is_none())
            && matches!(story.next(), Next::Wait(wait) if wait.removal.is_some())
    });
    assert!(!story.plan().settled);
    story.until(|story| !story.model.state.groups.contains_key(&story.name("1.0")));
    story.later(Span::from_secs(5));
    assert!(story.plan().settled, "{}", story.waits());
}

#[test]
fn question_17_settings_change_in_place() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.0");
    spec.capacity.min = 3;
    spec.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().hosts = vec!["www.example.com".to_owned()];
    spec.load_balancer.as_mut().unwrap().health_check.interval = Span::from_secs(20);
    spec.tags.insert("team".to_owned(), "payments".to_owned());
    story.commit(spec);
    assert_eq!(story.plan().change, Change::Update);
    story.run();
    assert_eq!(story.members("1.0").min, 3);
    assert_eq!(story.members("1.0").tags["team"], "payments");
    assert_eq!(story.model.state.rules[0].conditions.hosts, ["www.example.com"]);
    assert_eq!(story.group("1.0").target_group.as_ref().unwrap().health_check.interval_secs, 20);
    assert_eq!(story.model.state.groups.len(), 1, "no new machines");
    assert_eq!(story.waits(), "at rest");
}

#[test]
fn a_name_that_is_being_deleted_is_not_used_again() {
    let mut story = Story::settled("1.0");
    let scope = Scope::parse("prod").unwrap();
    let name = GroupName::of(&scope, &ServiceName::parse("web").unwrap(), &Digest::of(b"1.1"));
    story.commit(file("1.1"));
    story.until(|story| story.model.state.groups.get(&name).is_some_and(|group| group.group.is_some()));
    let group = Mutation::DeleteGroup { release: name.clone(), group: name.to_string() };
    story.meanwhile(&group);
    story.pass();
    assert_eq!(story.members("1.1").name, format!("{name}-2"));
    story.run();
    assert_eq!(story.weight("1.1"), 100);
}
