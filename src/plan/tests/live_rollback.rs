//! `rollback --live`: traffic back without Git, and a hold until Git agrees.

use super::story::{Story, file, hold};
use super::verdicts::say;
use crate::observed::marks::Mark;
use crate::plan::action::Mutation;
use crate::plan::check::check;
use crate::plan::operator::{self, Word};
use crate::plan::questions::Next;
use crate::plan::service::claims;
use crate::plan::types::{Change, Reason, Role, RollbackClass};
use crate::plan::view::{File, Input, View};
use crate::time::Span;

fn word() -> Word {
    Word::RollBack { who: "ann".to_owned(), text: "disk full".to_owned() }
}

/// What the operator's program sees: no commit, and no file.
fn asked(story: &Story) -> Next {
    let mut memory = story.memory.clone();
    memory.forget_writes();
    story.ask(|input| {
        let input = Input { commit: None, file: File::Missing, fallback: None, memory: &memory, ..input.clone() };
        operator::next(&View::new(&input), &word(), story.now)
    })
}

/// At most so many changes of the operator's; what each was.
fn put_back(story: &mut Story, most: usize) -> Vec<String> {
    let mut done = Vec::new();
    while done.len() < most {
        let Next::Act(action) = asked(story) else { break };
        let broken = story.ask(|input| check(input, &action));
        assert!(broken.is_empty(), "{action:?} breaks {broken:?}");
        done.push(match &action.mutation {
            Mutation::SetMark { mark, .. } => format!("{} on", mark.word()),
            Mutation::ClearMark { mark, .. } => format!("{} off", mark.word()),
            other => format!("{:?} {}", other.kind(), other.target()),
        });
        story.by_operator(&action.mutation);
    }
    done
}

fn refusal(story: &Story) -> String {
    match asked(story) {
        Next::Wait(wait) => wait.on.detail,
        other => panic!("{other:?}"),
    }
}

/// 1.1 has settled, and 1.0 is warm.
fn settled_twice() -> Story {
    let mut story = Story::settled("1.0");
    story.commit(file("1.1")).run();
    story.log();
    story
}

fn holds(story: &Story) -> usize {
    story.model.state.groups.values().filter(|group| group.template_marks().hold.is_some()).count()
}

#[test]
fn the_hold_comes_first_then_one_weight_call() {
    let mut story = settled_twice();
    let done = put_back(&mut story, 100);
    let marks = ["operator on", "retired on", "operator on", "stable off", "operator on", "retired off"];
    assert_eq!(done, [&["hold on", "SetWeights 1.1 0 %, 1.0 100 %"][..], &marks].concat());
    assert_eq!(asked(&story), Next::Rest, "said again, it is so already");
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    assert_eq!(story.role("1.0"), Role::Live);
}

#[test]
fn the_daemon_leaves_it_so() {
    let mut story = settled_twice();
    put_back(&mut story, 100);
    for _ in 0..50 {
        story.pass().later(Span::from_mins(10));
    }
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (100, 0));
    assert_eq!(story.members("1.1").desired, 2, "going forward again stays possible");
    assert_eq!(story.log(), "");
    assert_eq!(
        story.waits(),
        "hold: held by ann, who put 1.0 back (disk full); the commit wants 1.1: revert it, or `ionroller resume web`"
    );
    let plan = story.plan();
    assert_eq!(plan.change, Change::Release);
    assert!(crate::plan::live_rollback::disagrees(&plan));
    assert_eq!(plan.from.unwrap().version.to_string(), "1.0");
    // Another commit that wants something else is no agreement.
    story.commit(file("1.2")).run();
    assert_eq!(story.weight("1.0"), 100);
    assert!(story.waits().contains("the commit wants 1.2"), "{}", story.waits());
    // A broken file and a missing one are none either.
    story.commit_broken().run();
    story.commit_removal().run();
    assert_eq!((story.weight("1.0"), holds(&story)), (100, 1));
}

#[test]
fn protection_goes_on() {
    let mut story = settled_twice();
    put_back(&mut story, 100);
    story.group_mut("1.0").group = None;
    story.run();
    assert_eq!(story.members("1.0").desired, 2, "live's group is made again");
    assert_eq!(holds(&story), 1);
}

#[test]
fn when_git_agrees_nothing_is_left_over() {
    let mut story = settled_twice();
    put_back(&mut story, 100);
    story.later(Span::from_mins(90)).pass().log();
    story.commit(file("1.0"));
    let commit = story.commit_id();
    let first = story.step().unwrap();
    let Mutation::SetMark { mark: Mark::Fence, value, .. } = first.mutation else { panic!("{first:?}") };
    assert_eq!(value, commit, "no commit before it can bring 1.1 back");
    assert_eq!(story.members("1.0").marks.fence.as_deref(), Some(commit.as_str()));
    story.run();
    assert_eq!(story.waits(), "at rest");
    assert_eq!((story.weight("1.0"), holds(&story)), (100, 0));
    story.run_to_the_end().converged();
    assert!(story.group("1.1").group.is_none());
    assert_eq!(story.plan().change, Change::None);
}

#[test]
fn resumed_it_goes_forward_in_steps() {
    let mut story = settled_twice();
    put_back(&mut story, 100);
    say(&mut story, &Word::Resume);
    story.until_weight("1.1", 10);
    story.converged();
    assert_eq!((story.weight("1.0"), story.weight("1.1")), (0, 100));
    assert!(story.group("1.1").stable().is_some());
}

/// Killed after any of its calls, with a daemon beside it that still wants 1.1, and said
/// again: the end is the same. So it is when Git agrees instead.
#[test]
fn it_may_be_cut_off_anywhere() {
    for count in 0..5 {
        for daemon_first in [false, true] {
            let mut story = settled_twice();
            assert_eq!(put_back(&mut story, count).len(), count);
            if daemon_first {
                story.dies().later(Span::from_secs(30)).pass();
            }
            let expected = if count < 2 { "1.1" } else { "1.0" };
            assert_eq!(story.weight(expected), 100, "after {count} calls");
            put_back(&mut story, 100);
            story.converged();
            assert_eq!((story.weight("1.0"), holds(&story)), (100, 1), "after {count} calls");
            assert!(story.group("1.0").retired().is_none());
            assert!(story.group("1.1").retired().is_some() && story.group("1.1").stable().is_none());
        }
        let mut story = settled_twice();
        put_back(&mut story, count);
        story.commit(file("1.0")).converged();
        assert_eq!((story.weight("1.0"), holds(&story)), (100, 0), "after {count} calls");
        assert_eq!(story.waits(), "at rest");
        story.run_to_the_end().converged();
    }
}

/// It acts for no commit, so it claims none: whatever could act before still can.
#[test]
fn it_writes_no_fence() {
    let mut story = settled_twice();
    let before = story.ask(|input| claims(input.state));
    put_back(&mut story, 100);
    assert_eq!(story.ask(|input| claims(input.state)), before);
    assert!(before.contains(&story.commit_id()));
}

#[test]
fn what_others_hold_stays_held() {
    let mut story = settled_twice();
    hold(&mut story, "1.0");
    put_back(&mut story, 100);
    assert_eq!((story.weight("1.0"), holds(&story)), (100, 2));
    story.commit(file("1.0")).run();
    assert_eq!(story.waits(), "hold: held by ann: incident");
    assert_eq!(holds(&story), 1);
    say(&mut story, &Word::Resume);
    assert_eq!(holds(&story), 0);
}

#[test]
fn paused_in_the_file_is_no_agreement() {
    let mut story = settled_twice();
    put_back(&mut story, 100);
    let mut spec = file("1.0");
    spec.paused = Some("incident".to_owned());
    story.commit(spec).run();
    assert_eq!(holds(&story), 1);
    story.commit(file("1.0")).run();
    assert_eq!(holds(&story), 0);
}

#[test]
fn where_there_is_nothing_to_go_back_to_it_says_so() {
    let mut story = Story::settled("1.0");
    assert!(refusal(&story).starts_with("no release from before 1.0 has machines any more"), "{}", refusal(&story));
    // In the middle of a release another word is meant.
    story.commit(file("1.1")).until_weight("1.1", 10).pass();
    assert_eq!(refusal(&story), "1.1 has 10 % beside 1.0 and is not settled: `ionroller abort web` takes it back");
    story.run();
    story.sick.push("1.0".to_owned());
    assert_eq!(
        refusal(&story),
        "0 of the 2 machines that are needed now are healthy in 1.0, so traffic stays where it is"
    );
    story.sick.clear();
    // What Git has rolled back from is no way forward.
    story.commit(file("1.0")).run();
    assert!(refusal(&story).starts_with("1.1, whose machines still stand, was itself rolled back from"));
    assert_eq!(holds(&story), 0, "a refusal holds nothing");
    let mut worker = file("1.0");
    worker.load_balancer = None;
    let mut story = super::story::settle(worker);
    assert!(refusal(&story).starts_with("a worker has no traffic"));
    story.model.state.incomplete = Some("listener".to_owned());
    let Next::Wait(wait) = asked(&story) else { panic!("{:?}", asked(&story)) };
    assert_eq!(wait.on.reason, Reason::Unknown);
}

/// A size that autoscaling has raised since is what the old machines must match.
#[test]
fn a_warm_release_that_is_too_small_is_refused() {
    let mut story = settled_twice();
    assert_eq!(story.plan().rollback, Some(RollbackClass::Instant));
    let name = story.name("1.1");
    let size =
        Mutation::SetCapacity { release: name.clone(), group: name.to_string(), min: 2, max: 4, desired: Some(4) };
    story.meanwhile(&size).later(Span::from_mins(5));
    assert!(refusal(&story).starts_with("2 of the 4 machines that are needed now"), "{}", refusal(&story));
}
