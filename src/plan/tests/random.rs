//! Random desired × random observed: every change keeps the invariants, and when people and
//! machines come to rest, the service comes to what its file says.
//!
//! The cases are the same in every run. `IONROLLER_CASES=N` runs more of them,
//! `IONROLLER_SEED=N` others. What fails is shrunk and printed.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use super::story::Story;
use super::wild::{Wild, unchecked, version, wild};
use crate::observed::marks::Mark;
use crate::observed::resources::{Lifecycle, TargetHealth};
use crate::observed::state::{ServerGroup, ServiceState};
use crate::plan::action::{Action, Carrier, Kind, Mutation};
use crate::plan::check::check;
use crate::plan::forecast::Reach;
use crate::plan::model::Model;
use crate::plan::questions::Next;
use crate::plan::service;
use crate::plan::types::{Change, Reason};
use crate::plan::view::{View, is_temporary, percent_of};
use crate::time::Span;

/// Cases of an ordinary test run.
pub(crate) const CASES: u32 = 60;

/// No service takes more changes than this to come to rest.
const CHANGES_MAX: usize = 150;

/// So many readings without a change, with nothing on its way: it rests.
const QUIET: usize = 12;

/// Nor more readings.
const READINGS_MAX: usize = 20_000;

type Outcome = Result<(), TestCaseError>;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_services_keep_the_invariants_and_come_to_rest() {
    let cases = number("IONROLLER_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    let seed = number("IONROLLER_SEED").unwrap_or(0);
    if let Err(failure) = runner(cases, seed, 4_000).run(&wild(), |wild| live_through(&wild)) {
        panic!("{failure}");
    }
}

fn runner(cases: u32, seed: u64, max_shrink_iters: u32) -> TestRunner {
    let mut bytes = [0_u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// The first of the ordinary cases that breaks something, counted from 1.
pub(crate) fn first_broken(cases: u32) -> Option<u32> {
    let begun = Cell::new(0);
    let run = runner(cases, 0, 0).run(&wild(), |wild| {
        begun.set(begun.get() + 1);
        live_through(&wild)
    });
    run.is_err().then(|| begun.get())
}

fn live_through(wild: &Wild) -> Outcome {
    let mut story = wild.story();
    let verdicts = rejected(&story.model.state);
    plan_is_what_is_done(wild, &story)?;
    run(&mut story, &verdicts)?;
    // People and machines come to rest, and the file is as its author meant it.
    story.fence = None;
    story.gate = None;
    story.orphan = crate::plan::removal::Orphan::Kept;
    story.sick.clear();
    heal(&mut story);
    resume(&mut story);
    story.commit(wild.file(wild.wanted.version)).dies();
    let verdicts = rejected(&story.model.state);
    run(&mut story, &verdicts)?;
    as_its_file_says(wild, &story)
}

fn fail(story: &Story, why: &str) -> TestCaseError {
    TestCaseError::fail(format!("{why}\nwaits: {}\n{}", story.waits(), story.log_so_far()))
}

/// Releases that must not be tried again.
fn rejected(state: &ServiceState) -> BTreeSet<String> {
    let groups = state.groups.values();
    let rejected = groups.filter(|g| g.template_marks().rejected.is_some() && g.stable().is_none());
    rejected.map(|group| group.name.to_string()).collect()
}

/// "A plan is not an estimate of what apply will do, it is it", and the same every time.
fn plan_is_what_is_done(wild: &Wild, story: &Story) -> Outcome {
    let plan = story.plan();
    if plan != story.plan() {
        return Err(TestCaseError::fail("the same inputs give another plan"));
    }
    if wild.incomplete && !plan.actions.is_empty() {
        return Err(TestCaseError::fail(format!("changes on an incomplete reading: {:?}", plan.actions)));
    }
    if !story.sick.is_empty() {
        return Ok(());
    }
    let mut copy = wild.story();
    for planned in &plan.actions {
        let done = copy.step();
        if done.as_ref() != Some(planned) {
            return Err(TestCaseError::fail(format!("planned {planned:?}, done {done:?}")));
        }
    }
    Ok(())
}

/// Changes and waits until nothing moves and nothing is on its way.
fn run(story: &mut Story, verdicts: &BTreeSet<String>) -> Outcome {
    let (mut changes, mut quiet, mut readings) = (0, 0, 0);
    while quiet < QUIET {
        readings += 1;
        if readings > READINGS_MAX {
            return Err(fail(story, "there is no end of waiting"));
        }
        while let Next::Act(action) = story.next() {
            quiet = 0;
            changes += 1;
            if changes > CHANGES_MAX {
                return Err(fail(story, "there is no end of changes"));
            }
            let before = story.model.clone();
            if let Err(why) = look_before(story, &action, verdicts) {
                return Err(fail(story, &why));
            }
            story.step();
            if let Err(why) = look_after(story, &before, &action) {
                return Err(fail(story, &why));
            }
        }
        if story.waits().contains("without effect") {
            return Err(fail(story, "a change has no effect"));
        }
        let due = story.due();
        if due.is_none() {
            quiet += 1;
        }
        story.later(due.map_or(Span::from_secs(5), |due| due.since(story.now).max(Span::from_secs(1))));
    }
    Ok(())
}

fn look_before(story: &Story, action: &Action, verdicts: &BTreeSet<String>) -> Result<(), String> {
    let broken = story.ask(|input| check(input, action));
    if !broken.is_empty() {
        return Err(format!("{action:?} breaks {broken:?}"));
    }
    // "Rejected stays rejected"
    let again = match &action.mutation {
        Mutation::CreateGroup { release, .. } => verdicts.contains(release.as_str()),
        Mutation::ClearMark { on: Carrier::Template { .. }, mark } => *mark == Mark::Rejected,
        _ => false,
    };
    if again && story.ask(|input| View::new(input).live.is_some_and(|live| !touches(action, live))) {
        return Err(format!("{action:?} tries a rejected release again"));
    }
    // "Never act for a commit that does not descend from all that was acted on"
    let starts = [Kind::CreateLaunchTemplate, Kind::CreateTargetGroup].contains(&action.mutation.kind());
    if story.fence.is_some() && starts && story.ask(|input| View::new(input).live.is_none()) {
        return Err(format!("{action:?} for a stale commit"));
    }
    Ok(())
}

fn touches(action: &Action, owner: &ServerGroup) -> bool {
    matches!(&action.mutation, Mutation::CreateGroup { release, .. } if *release == owner.name)
}

fn look_after(story: &Story, before: &Model, action: &Action) -> Result<(), String> {
    // "Doing it twice is doing it once."
    let creates = matches!(action.mutation, Mutation::CreateRule { .. } | Mutation::CreateGroup { .. })
        || matches!(action.mutation, Mutation::DeleteGroup { .. } | Mutation::SetCapacity { .. });
    if !creates {
        let mut twice = story.model.clone();
        twice.apply(&action.mutation, story.now);
        if twice.state != story.model.state {
            return Err(format!("{action:?} done twice is not as done once"));
        }
    }
    // "Served": no change takes traffic from machines that answer to such that don't.
    let removal = matches!(story.said, super::story::Said::Nothing);
    let (had, has) = (answered(story, &before.state), answered(story, &story.model.state));
    // Percents of weights that somebody wrote are rounded.
    if has + 4 < had && !removal {
        return Err(format!("{action:?}: {had} % of the traffic was answered, now {has} %"));
    }
    Ok(())
}

/// Percent of the real traffic that meets machines which answer.
fn answered(story: &Story, state: &ServiceState) -> u32 {
    let rules = state.rules.iter().filter(|rule| !is_temporary(&rule.conditions));
    let of_rule = |rule| -> u32 {
        let answers = |group: &&ServerGroup| {
            let sick = story.sick.contains(&group.identity.version.to_string());
            let healthy =
                group.targets.iter().flat_map(|t| t.values()).any(|target| target.health == TargetHealth::Healthy);
            group.group.is_some() && healthy && !sick
        };
        let arns = state.groups.values().filter(answers).filter_map(|group| Some(&group.target_group.as_ref()?.arn));
        arns.filter_map(|arn| percent_of(rule, arn)).sum()
    };
    rules.map(of_rule).max().unwrap_or(0)
}

/// Machines answer again.
fn heal(story: &mut Story) {
    let mut state = story.model.state.clone();
    state.incomplete = None;
    for group in state.groups.values_mut() {
        for instance in group.group.iter_mut().flat_map(|members| &mut members.instances) {
            if instance.lifecycle == Lifecycle::InService {
                instance.healthy = true;
            }
        }
        for health in group.targets.iter_mut().flat_map(|targets| targets.values_mut()) {
            *health = TargetHealth::Healthy.into();
        }
        unchecked(group);
    }
    story.model = Model::new(&state, story.now);
}

fn resume(story: &mut Story) {
    let held: Vec<Carrier> = story
        .model
        .state
        .groups
        .values()
        .filter(|group| group.template_marks().hold.is_some())
        .map(crate::plan::retire::template_carrier)
        .collect();
    for on in held {
        story.meanwhile(&Mutation::ClearMark { on, mark: Mark::Hold });
    }
}

/// The end: what the file says is live, alone, and as large as the file says.
fn as_its_file_says(wild: &Wild, story: &Story) -> Outcome {
    let wanted = version(wild.wanted.version);
    let name = story.name(&wanted);
    let spec = wild.file(wild.wanted.version);
    let plan = story.ask(|input| service::plan(input, Reach::ToTheEnd));
    let owner = story.model.state.groups.get(&name).cloned();
    let refused = owner.as_ref().is_some_and(|g| g.template_marks().rejected.is_some() && g.stable().is_none());
    if refused {
        let reason = plan.waiting_on.as_ref().map(|wait| wait.reason);
        // With nobody to take it over it keeps its traffic.
        let has_traffic = story.weight(&wanted) > 0 && reason == Some(Reason::Rejected);
        if !matches!(reason, Some(Reason::Rejected | Reason::Gate | Reason::Hold)) || has_traffic {
            return Err(fail(story, &format!("rejected, but {:?} {:?}", plan.change, plan.waiting_on)));
        }
        return Ok(());
    }
    let mut wrong = Vec::new();
    let live = plan.from.as_ref().map(|from| from.version.to_string());
    if live.as_deref() != Some(&wanted) {
        wrong.push(format!("{live:?} is live"));
    }
    if (plan.change, plan.settled) != (Change::None, true) {
        wrong.push(format!("{:?}, settled {}: {:?} {:?}", plan.change, plan.settled, plan.because, plan.waiting_on));
    }
    let standing: Vec<String> = plan.groups.iter().map(|group| group.version.to_string()).collect();
    if standing != [wanted.clone()] {
        wrong.push(format!("{standing:?} stand"));
    }
    let sizes = owner.as_ref().and_then(|owner| owner.group.as_ref()).map(|group| (group.min, group.max));
    if sizes != Some((spec.capacity.min, spec.capacity.max)) {
        wrong.push(format!("sizes {sizes:?}"));
    }
    if owner.as_ref().is_none_or(|owner| owner.stable().is_none() || owner.retired().is_some()) {
        wrong.push("its marks don't say that it is live".to_owned());
    }
    if !wild.worker {
        let hosts: Vec<&Vec<String>> = story.model.state.rules.iter().map(|rule| &rule.conditions.hosts).collect();
        if story.weight(&wanted) != 100 || hosts != [&vec!["web.example.com".to_owned()]] {
            wrong.push(format!("{} % under {hosts:?}", story.weight(&wanted)));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(fail(story, &wrong.join("; "))) }
}
