//! The steps of a release: entry, machines, weights, settle, retirement, records.

use super::questions::half_way;
use super::story::{Story, file};
use crate::desired::spec::{Metric, Scaling};
use crate::observed::marks::{Mark, Step};
use crate::observed::resources::TargetHealth;
use crate::plan::action::{Action, Kind, Mutation};
use crate::plan::questions::Next;
use crate::plan::types::{Change, Phase, Reason, Role, RollbackClass};
use crate::time::Span;

/// Changes until this holds, with what must be waited for.
fn changes_until(story: &mut Story, holds: impl Fn(&Story) -> bool) -> Vec<Action> {
    let mut done = Vec::new();
    for _ in 0..2_000 {
        if holds(story) {
            return done;
        }
        match story.step() {
            Some(action) => done.push(action),
            None => drop(story.later(Span::from_secs(5))),
        }
    }
    panic!("it never came:\n{}", story.log());
}

/// "Before a candidate enters a full action (5 target groups) the warm one leaves it."
#[test]
fn the_warm_release_leaves_a_full_action() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    let mut shares = story.model.state.rules[0].action.percents();
    for number in 0..3 {
        let arn = format!("arn:aws:elasticloadbalancing:model:0:targetgroup/spare-{number}/0");
        shares.push((crate::names::TargetGroupArn::parse(&arn).unwrap(), 0));
    }
    story.model.state.rules[0].action = crate::observed::resources::RuleAction::Forward(shares);
    story.commit(file("1.2"));
    // What isn't ours and has no weight makes room before the warm one does.
    story.until_weight("1.2", 10);
    assert_eq!(story.model.state.rules[0].action.percents().len(), 3, "{}", story.log());
    let mut story = Story::settled("1.0");
    for version in ["1.1", "1.2", "1.3", "1.4"] {
        let mut next = file(version);
        (next.rollout.bake, next.rollout.steps) = (Span::ZERO, vec![100]);
        story.commit(next);
        let name = story.name(version);
        story.until(|story| story.model.state.groups.get(&name).is_some_and(|group| group.stable().is_some()));
        let named = story.model.state.rules[0].action.percents().len();
        assert!(named <= 5, "{named} target groups");
    }
    story.run_to_the_end().converged();
}

/// Commits that come before the candidates of earlier ones have gone: whoever has no weight
/// makes room.
#[test]
fn an_action_full_of_former_candidates_makes_room() {
    let mut story = Story::settled("1.0");
    let named = |story: &Story| story.model.state.rules[0].action.percents().len();
    for (version, entries) in [("1.1", 2), ("1.2", 3), ("1.3", 4), ("1.4", 5), ("1.5", 5)] {
        story.commit(file(version));
        let name = story.name(version);
        changes_until(&mut story, |story| {
            story.model.state.groups.get(&name).is_some_and(|group| group.weight.is_some())
        });
        assert_eq!(named(&story), entries, "with {version}");
    }
    story.run_to_the_end().converged();
}

/// "when healthy, the real conditions and weight 100 in one ModifyRule"
#[test]
fn a_first_release_is_hidden_until_it_is_healthy() {
    let mut story = Story::new(file("1.0"));
    story.pass();
    assert!(story.model.state.rules[0].conditions.hosts[0].ends_with(".ionroller.invalid"));
    let done = changes_until(&mut story, |story| story.weight("1.0") > 0);
    assert_eq!(done.iter().map(|action| action.mutation.kind()).collect::<Vec<_>>(), [Kind::SetRule]);
    assert_eq!(story.model.state.rules[0].conditions.hosts, ["web.example.com"]);
    story.converged();
}

/// "ASG with `step 0@T`, min = desired = need, max as above, health check ELB with the
/// deadline as grace period; scaling policies right after"
#[test]
fn a_group_begins_at_need_and_gets_its_policies_before_any_weight() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    spec.capacity.scaling = vec![Scaling { metric: Metric::Cpu, target_millis: 60_000 }];
    spec.rollout.healthy_deadline = Span::from_mins(20);
    story.commit(spec);
    let done = changes_until(&mut story, |story| {
        story.model.state.groups.get(&story.name("1.1")).is_some_and(|group| group.group.is_some())
    });
    let Mutation::CreateGroup { spec, .. } = &done.last().unwrap().mutation else { panic!("{done:?}") };
    assert_eq!((spec.min, spec.max, spec.grace), (2, 4, Span::from_mins(20)));
    assert!(spec.tags[Mark::Step.key()].starts_with("0@") && spec.target_group.is_some());
    assert_eq!(story.step().unwrap().mutation.kind(), Kind::SetPolicies);
    assert_eq!(story.weight("1.1"), 0);
    story.converged();
}

/// "TG (attributes reconciled always)": settings that changed in mid-rollout go to the
/// candidate, and nothing begins anew.
#[test]
fn settings_in_mid_rollout_go_to_the_candidate() {
    let mut story = half_way();
    let began = story.group("1.1").step();
    let mut spec = file("1.1");
    spec.rollout.steps = vec![50, 100];
    spec.load_balancer.as_mut().unwrap().health_check.interval = Span::from_secs(20);
    spec.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().hosts = vec!["www.example.com".to_owned()];
    story.commit(spec).pass();
    assert_eq!(story.group("1.1").target_group.as_ref().unwrap().health_check.interval_secs, 20);
    assert_eq!(story.group("1.0").target_group.as_ref().unwrap().health_check.interval_secs, 10);
    assert_eq!(story.model.state.rules[0].conditions.hosts, ["web.example.com"], "conditions change at settle only");
    assert_eq!(story.group("1.1").step(), began, "the bake goes on");
    story.converged();
    assert_eq!(story.model.state.rules[0].conditions.hosts, ["www.example.com"]);
}

/// "For each percent of `steps`: … weights as percents that sum to 100 in one call, read
/// back, mark, bake"
#[test]
fn every_step_is_one_call_a_mark_and_a_bake() {
    let mut story = Story::settled("1.0");
    let mut spec = file("1.1");
    spec.rollout.steps = vec![5, 25, 50, 100];
    story.commit(spec);
    for percent in [5, 25, 50, 100] {
        let done = changes_until(&mut story, |story| story.weight("1.1") == percent);
        assert!(matches!(done.last().unwrap().mutation, Mutation::SetWeights { .. }));
        assert_eq!(story.weight("1.0"), 100 - percent);
        let marked = story.step().unwrap();
        assert!(marked.mutation.target().starts_with(&format!("step {percent}@")), "{marked:?}");
        let wait = story.plan().waiting_on.unwrap();
        assert_eq!((wait.reason, wait.until), (Reason::Bake, Some(story.now + Span::from_mins(5))));
        assert_eq!(story.plan().phase, Phase::Baking);
    }
    story.converged();
}

/// "Settle …, in this order: `fence` on the new group, `stable`, `retired` on the old, the
/// new group's min, max and policies as in the file, conditions, `settings`"
#[test]
fn settle_in_its_order() {
    let mut story = half_way();
    let live = story.name("1.0");
    story.until_weight("1.1", 100);
    let group = story.group_mut("1.0").group.as_mut().unwrap();
    group.desired = 3;
    let mut spec = file("1.1");
    spec.rollout.steps = vec![50, 100];
    spec.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().hosts = vec!["www.example.com".to_owned()];
    story.commit(spec);
    let done = changes_until(&mut story, |story| story.plan().settled);
    let words: Vec<String> = done
        .iter()
        .skip_while(|action| !action.mutation.target().starts_with("stable"))
        .map(|action| format!("{:?} {}", action.mutation.kind(), action.mutation.target().split(' ').next().unwrap()))
        .collect();
    assert_eq!(words, ["SetMark stable", "SetMark retired", "SetCapacity min", "SetRule 1.1", "SetMark settings"]);
    assert_eq!(story.members("1.1").marks.fence, Some(story.commit_id()));
    // "A warm group stays in the action at weight 0, so its health stays known."
    assert_eq!(story.model.state.groups[&live].weight, Some(0));
    story.converged();
}

/// "After `retention.warm`, if live was read with H ≥ its desired: out of the rule, drained,
/// min = desired = 0, ASG deleted without force, TG deleted."
#[test]
fn retirement_in_its_order() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    let retired = story.group("1.0").retired().unwrap();
    story.later((retired + Span::from_secs(3599)).since(story.now)).pass();
    assert_eq!(story.members("1.0").desired, 2, "until its last moment");
    let done = changes_until(&mut story, |story| story.group("1.0").target_group.is_none());
    let kinds: Vec<Kind> = done.iter().map(|action| action.mutation.kind()).collect();
    assert_eq!(kinds, [Kind::SetWeights, Kind::SetCapacity, Kind::DeleteGroup, Kind::DeleteTargetGroup]);
    assert!(story.group("1.0").template.is_some(), "its template stays as a record");
    story.converged();
}

#[test]
fn the_warm_release_stays_while_live_is_not_whole() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.later(Span::from_mins(55)).pass();
    let group = story.group_mut("1.1");
    let first = group.group.as_ref().unwrap().instances[0].id.clone();
    group.targets.as_mut().unwrap().insert(first.clone(), TargetHealth::Unhealthy.into());
    story.later(Span::from_mins(30)).pass();
    // A removal needs two readings.
    story.later(Span::from_secs(5)).pass();
    assert_eq!((story.role("1.0"), story.members("1.0").desired), (Role::Warm, 2));
    assert_eq!(story.group("1.0").weight, Some(0), "its health stays known");
    let targets = story.group_mut("1.1").targets.as_mut().unwrap();
    targets.insert(first, TargetHealth::Healthy.into());
    story.run_to_the_end().converged();
}

/// "LTs go when `records` newer *stable* ones exist; those of live, warm, desired and held
/// releases always stay."
#[test]
fn records_of_stable_releases_are_kept_and_failed_ones_do_not_count() {
    let mut story = Story::settled("1.0");
    let quick = |version: &str| {
        let mut spec = file(version);
        (spec.rollout.bake, spec.retention.warm, spec.retention.records) = (Span::ZERO, Span::ZERO, 1);
        spec
    };
    story.commit(quick("1.1")).run_to_the_end().converged();
    story.sick.push("1.2".to_owned());
    story.commit(quick("1.2")).run();
    story.sick.clear();
    story.commit(quick("1.3")).run_to_the_end().converged();
    let mut left: Vec<String> = story.model.state.groups.values().map(|g| g.identity.version.to_string()).collect();
    left.sort();
    assert_eq!(left, ["1.1", "1.2", "1.3"], "one stable record, the verdict, and live");
    super::story::hold(&mut story, "1.1");
    story.later(Span::from_mins(1)).pass();
    let on = story.template("1.1");
    story.commit(quick("1.4")).converged();
    story.meanwhile(&Mutation::ClearMark { on, mark: Mark::Hold }).run_to_the_end().converged();
    assert!(!story.model.state.groups.contains_key(&story.name("1.1")));
}

/// "Every plan of a release says which class a revert of it would have, and until when."
#[test]
fn every_plan_says_how_fast_its_revert_is() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    let plan = story.plan();
    assert_eq!((plan.change, plan.rollback), (Change::Release, Some(RollbackClass::Instant)));
    let foreseen = plan.rollback_until.unwrap();
    story.run();
    let plan = story.plan();
    assert_eq!(plan.rollback, Some(RollbackClass::Instant));
    let due = plan.rollback_until.unwrap();
    assert_eq!(due, story.group("1.0").retired().unwrap() + Span::from_mins(60));
    assert!(foreseen.since(due).max(due.since(foreseen)) < Span::from_mins(1), "{foreseen} {due}");
    story.run_to_the_end().converged();
    assert_eq!((story.plan().rollback, story.plan().rollback_until), (Some(RollbackClass::Full), None));
}

/// "After the weight call, in this order: `fence`, `retired` on the left group, `stable` off
/// its LT, capacity and settings, `retired` off the new live last."
#[test]
fn a_rollback_in_its_order() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    let mut back = file("1.0");
    back.capacity.max = 7;
    story.commit(back);
    let words: Vec<String> = changes_until(&mut story, |story| story.plan().settled)
        .iter()
        .map(|action| format!("{:?} {}", action.mutation.kind(), action.mutation.target().split(' ').next().unwrap()))
        .collect();
    assert_eq!(
        words,
        [
            "SetWeights 1.1",
            "SetMark fence",
            "SetMark retired",
            "ClearMark stable",
            "SetCapacity min",
            "ClearMark retired"
        ]
    );
    assert_eq!(story.members("1.0").max, 7);
    story.converged();
}

/// "a rollback puts its conditions into its one weight call"
#[test]
fn a_rollback_takes_its_conditions_with_it() {
    let mut story = Story::settled("1.0");
    let mut other = file("1.1");
    other.load_balancer.as_mut().unwrap().rule.as_mut().unwrap().hosts = vec!["www.example.com".to_owned()];
    story.commit(other).run();
    assert_eq!(story.model.state.rules[0].conditions.hosts, ["www.example.com"]);
    story.commit(file("1.0"));
    assert_eq!(story.step().unwrap().mutation.kind(), Kind::SetRule);
    assert_eq!(
        (story.weight("1.0"), story.model.state.rules[0].conditions.hosts[0].as_str()),
        (100, "web.example.com")
    );
    story.converged();
}

/// "(or ≥ live's H while live is failing)"
#[test]
fn a_rollback_from_a_failing_release_is_instant_with_fewer_machines() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    let warm = story.group_mut("1.0");
    let first = warm.group.as_ref().unwrap().instances[0].id.clone();
    warm.targets.as_mut().unwrap().insert(first, TargetHealth::Unhealthy.into());
    story.commit(file("1.0"));
    assert_eq!(story.plan().rollback, Some(RollbackClass::ScaleUp), "1 of 2, and live is well");
    story.sick.push("1.1".to_owned());
    assert_eq!(story.plan().rollback, Some(RollbackClass::Instant));
    assert!(matches!(story.next(), Next::Act(action) if matches!(action.mutation, Mutation::SetWeights { .. })));
}

/// "`full`: it is gone: a new group (created with `retired` on it), all at once when healthy"
#[test]
fn a_full_rollback_comes_back_at_once_when_it_is_healthy() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run_to_the_end();
    story.commit(file("1.0"));
    let done = changes_until(&mut story, |story| story.weight("1.0") > 0);
    let created = done.iter().find_map(|action| match &action.mutation {
        Mutation::CreateGroup { spec, .. } => Some(spec.tags.contains_key(Mark::Retired.key())),
        _ => None,
    });
    assert_eq!((created, story.weight("1.0")), (Some(true), 100));
    story.converged();
    assert_eq!(story.group("1.0").retired(), None);
}

/// "A live group whose ASG is gone is created again at need, without steps."
#[test]
fn live_is_made_again_with_its_traffic_on_it() {
    let mut story = Story::settled("1.0");
    let mut large = file("1.0");
    large.capacity.min = 3;
    story.commit(large).run();
    story.group_mut("1.0").group = None;
    story.run();
    assert_eq!((story.weight("1.0"), story.members("1.0").desired), (100, 3));
    assert_eq!(story.members("1.0").marks.step.map(|step: Step| step.percent), Some(0));
    story.converged();
}
