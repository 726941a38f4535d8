//! What would follow, told by the planner itself.

use super::questions::half_way;
use super::story::{Story, file};
use crate::desired::spec::ServiceSpec;
use crate::plan::action::Mutation;
use crate::plan::strategy;

/// The forecast, a line per moment.
fn foreseen(story: &Story) -> String {
    let weights = |weights: &[crate::plan::types::ReleaseWeight]| {
        weights.iter().map(|weight| format!("{} {}", weight.version, weight.percent)).collect::<Vec<_>>().join(", ")
    };
    let plan = story.plan();
    let moments = plan.forecast.iter();
    let line = |m: &crate::plan::types::Forecast| {
        format!("{:<5} {} [{} running; {}]\n", m.after_secs, m.event, m.instances, weights(&m.weights))
    };
    moments.map(line).collect()
}

#[test]
fn of_a_first_release() {
    let story = Story::new(file("1.0"));
    expect_test::expect![[r#"
        0     2 instances of 1.0 [2 running; 1.0 0]
        190   100 %, bake 5 min [2 running; 1.0 100]
        490   settled [2 running; 1.0 100]
    "#]]
    .assert_eq(&foreseen(&story));
}

#[test]
fn of_a_release_with_steps() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    expect_test::expect![[r#"
        0     2 instances of 1.1, as many as live has [4 running; 1.0 100, 1.1 0]
        190   10 %, bake 5 min [4 running; 1.0 90, 1.1 10]
        490   100 %, bake 5 min [4 running; 1.1 100, 1.0 0]
        790   settled, 1.0 kept warm [4 running; 1.1 100, 1.0 0]
        4391  1.0 retired [2 running; 1.1 100]
    "#]]
    .assert_eq(&foreseen(&story));
}

#[test]
fn of_an_instant_rollback() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.commit(file("1.0"));
    expect_test::expect![[r#"
        0     all traffic on 1.0 [4 running; 1.0 100, 1.1 0]
        3601  1.1 retired [2 running; 1.0 100]
    "#]]
    .assert_eq(&foreseen(&story));
}

#[test]
fn of_a_full_rollback() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run_to_the_end();
    story.commit(file("1.0"));
    expect_test::expect![[r#"
        0     2 instances of 1.0, as many as live has [4 running; 1.1 100, 1.0 0]
        180   all traffic on 1.0 [4 running; 1.0 100, 1.1 0]
        3781  1.1 retired [2 running; 1.0 100]
    "#]]
    .assert_eq(&foreseen(&story));
}

#[test]
fn of_a_third_version() {
    let mut story = half_way();
    story.commit(file("1.2"));
    expect_test::expect![[r#"
        0     all traffic on 1.0 [4 running; 1.0 100, 1.1 0]
        0     2 instances of 1.2, as many as live has [6 running; 1.0 100, 1.1 0, 1.2 0]
        61    1.1 retired [4 running; 1.0 100, 1.2 0]
        190   10 %, bake 5 min [4 running; 1.0 90, 1.2 10]
        490   100 %, bake 5 min [4 running; 1.2 100, 1.0 0]
        790   settled, 1.0 kept warm [4 running; 1.2 100, 1.0 0]
        4391  1.0 retired [2 running; 1.2 100]
    "#]]
    .assert_eq(&foreseen(&story));
}

#[test]
fn of_a_removal() {
    let mut story = Story::settled("1.0");
    story.orphan = crate::plan::removal::Orphan::Removed;
    story.commit_removal();
    expect_test::expect![[r#"
        62    1.0 retired [0 running; ]
    "#]]
    .assert_eq(&foreseen(&story));
}

/// What waits for a person has no future.
#[test]
fn of_what_waits_for_a_person_there_is_none() {
    let mut story = Story::settled("1.0");
    story.commit(ServiceSpec { paused: Some("incident".to_owned()), ..file("1.1") });
    assert_eq!(foreseen(&story), "");
    super::story::hold(&mut story, "1.0");
    story.commit(file("1.1"));
    assert_eq!(foreseen(&story), "");
}

/// "a plan is not an estimate of what apply will do": what was foreseen comes.
#[test]
fn what_is_foreseen_comes_when_it_was_foreseen() {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1"));
    let began = story.now;
    let plan = story.plan();
    let settles = plan.forecast.iter().find(|moment| moment.event.starts_with("settled")).unwrap().after_secs;
    story.until(|story| story.model.state.groups.get(&story.name("1.1")).is_some_and(|g| g.stable().is_some()));
    let took = story.now.since(began).as_secs_ceil();
    assert!(took.abs_diff(settles) <= 15, "foreseen {settles}, took {took}");
}

/// Somebody may set any size, and a release gets as many machines as live has.
#[test]
fn of_more_machines_than_memory_holds() {
    const MANY: u32 = 2_000_000_000;
    let story = Story::settled("1.0");
    let (mut model, name) = (story.model.clone(), story.name("1.0"));
    for size in [MANY, 1, MANY] {
        let (release, group) = (name.clone(), story.members("1.0").name.clone());
        let capacity = Mutation::SetCapacity { release, group, min: size, max: MANY, desired: Some(size) };
        model.apply(&capacity, story.now);
        let members = model.state.groups[&name].group.as_ref().unwrap();
        assert_eq!(members.desired, size);
        assert!(members.instances.len() <= 10_000, "{}", members.instances.len());
    }
}

/// Somebody wrote sizes whose sum is beyond 32 bits. Found by fuzzing.
#[test]
fn of_more_machines_than_can_be_counted() {
    let mut story = half_way();
    for version in ["1.0", "1.1"] {
        story.group_mut(version).group.as_mut().unwrap().desired = u32::MAX;
    }
    assert_eq!(strategy::peak(&story.plan()), None);
}
