use super::*;
use crate::names::{GroupName, Version};
use crate::observed::marks::{Hold, Rejected};
use crate::plan::types::{GroupView, Phase, Reason, Record, Release, Role, WaitingOn};
use crate::time::{Span, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn commit(digit: char) -> CommitId {
    CommitId::parse(&digit.to_string().repeat(40)).unwrap()
}

fn release(version: &str) -> Release {
    Release { version: Version::parse(version).unwrap(), digest: Digest::of(version.as_bytes()) }
}

/// `web` is settled on a version.
pub(crate) fn steady(version: &str, made_for: char) -> ServicePlan {
    let release = release(version);
    let group = GroupName::parse("web-aaaaaaaaaa").unwrap();
    let record = Record {
        release: release.clone(),
        group: group.clone(),
        commit: commit(made_for).to_string(),
        outcome: RecordOutcome::Live,
        created: None,
        stable: Some(NOW),
        retired: None,
        rejected: None,
    };
    let view = GroupView {
        name: group,
        version: release.version.clone(),
        digest: release.digest.clone(),
        role: Role::Live,
        weight: Some(100),
        desired_capacity: 2,
        healthy: 2,
        marks: BTreeMap::new(),
    };
    ServicePlan {
        name: ServiceName::parse("web").unwrap(),
        change: Change::None,
        phase: Phase::Steady,
        from: Some(release.clone()),
        to: Some(release),
        because: String::new(),
        rollback: None,
        rollback_until: None,
        actions: Vec::new(),
        waiting_on: None,
        forecast: Vec::new(),
        strategy: None,
        file_diff: None,
        groups: vec![view],
        records: vec![record],
        held: None,
        rejected: None,
        live_commit: None,
        look_again: None,
        brief_until: None,
        drift: Vec::new(),
        settled: true,
    }
}

/// The same, on its way to another version.
fn rollout(to: &str, percent: u32, reason: Reason) -> ServicePlan {
    let mut service = steady("1", '1');
    service.to = Some(release(to));
    (service.change, service.phase) = (Change::Release, Phase::Baking);
    let candidate = GroupView {
        name: GroupName::parse("web-bbbbbbbbbb").unwrap(),
        version: Version::parse(to).unwrap(),
        digest: release(to).digest,
        role: Role::Candidate,
        weight: Some(percent),
        ..service.groups[0].clone()
    };
    service.groups.push(candidate);
    service.waiting_on = waiting(reason, "3 of 4 for 10 s");
    service
}

fn waiting(reason: Reason, detail: &str) -> Option<WaitingOn> {
    Some(WaitingOn { reason, detail: detail.to_owned(), since: None, until: None })
}

pub(crate) fn plan(tip: char, services: Vec<ServicePlan>) -> Plan {
    Plan {
        id: String::new(),
        scope: None,
        commit: Some(commit(tip)),
        base: None,
        observed_at: Some(NOW),
        complete: true,
        services,
        diagnostics: Vec::new(),
        review: None,
    }
}

/// What is told about one plan after another: the commit's digit, the verdict, the text.
fn story(plans: Vec<Plan>) -> Vec<Vec<String>> {
    let mut told = Told::default();
    let one = |message: Message| format!("{} {:?} {}", &message.commit.as_str()[..1], message.verdict, message.text);
    let tell = |plan: Plan| {
        let (now, messages) = news(&told, &plan);
        told = now;
        messages.into_iter().map(one).collect()
    };
    plans.into_iter().map(tell).collect()
}

#[test]
fn a_rollout_is_told_step_by_step_and_each_step_once() {
    let told = story(vec![
        plan('1', vec![steady("1", '1')]),
        plan('1', vec![steady("1", '1')]),
        plan('2', vec![rollout("2", 0, Reason::Health)]),
        plan(
            '2',
            vec![ServicePlan {
                waiting_on: waiting(Reason::Health, "4 of 4 for 20 s"),
                ..rollout("2", 0, Reason::Health)
            }],
        ),
        // A commit for another service changes nothing here.
        plan('3', vec![rollout("2", 10, Reason::Bake)]),
        plan('3', vec![rollout("2", 10, Reason::Bake)]),
        plan('4', vec![steady("2", '2')]),
        plan('4', vec![ServicePlan { phase: Phase::Retiring, ..steady("2", '2') }]),
        plan('5', vec![steady("2", '2')]),
    ]);
    let expected: [&[&str]; 9] = [
        &["1 Success 1 is live"],
        &[],
        &["2 Pending 2 comes up"],
        &[],
        &["2 Pending 2 has 10 % of the traffic"],
        &[],
        &["2 Success 2 is live"],
        &[],
        &[],
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_failure_is_told_with_its_reason_and_so_is_recovery() {
    let rejected = Rejected { at: NOW, code: "unhealthy".to_owned(), text: "2 of 4 unhealthy".to_owned() };
    let again = Rejected { at: NOW + Span::from_secs(60), ..rejected.clone() };
    let failed = |why: &Rejected| ServicePlan {
        change: Change::Blocked,
        phase: Phase::RollingBack,
        rejected: Some((release("2").digest, why.clone())),
        waiting_on: waiting(Reason::Rejected, "rejected"),
        ..rollout("2", 0, Reason::Rejected)
    };
    let told = story(vec![
        plan('2', vec![rollout("2", 10, Reason::Bake)]),
        plan('2', vec![failed(&rejected)]),
        plan('2', vec![ServicePlan { phase: Phase::Steady, ..failed(&rejected) }]),
        // `retry`, and it fails again.
        plan('2', vec![rollout("2", 10, Reason::Bake)]),
        plan('2', vec![failed(&again)]),
        // A revert is asked for by a commit of its own.
        plan('3', vec![steady("1", '1')]),
    ]);
    let expected: [&[&str]; 6] = [
        &["2 Pending 2 has 10 % of the traffic"],
        &["2 Failure 2 was rejected: 2 of 4 unhealthy"],
        &[],
        &["2 Pending 2 has 10 % of the traffic"],
        &["2 Failure 2 was rejected: 2 of 4 unhealthy"],
        &["3 Success 1 is live"],
    ];
    assert_eq!(told, expected);
}

#[test]
fn after_a_restart_the_present_state_is_told_once_to_the_commit_that_released_it() {
    let mut live = steady("1", '1');
    assert_eq!(
        story(vec![plan('9', vec![live.clone()]), plan('9', vec![live.clone()])]),
        [vec!["1 Success 1 is live".to_owned()], vec![]]
    );
    // A rollback acted for the newest commit: the release itself is older.
    live.groups[0].marks.insert("fence".to_owned(), commit('7').to_string());
    assert_eq!(story(vec![plan('9', vec![live])]), [["7 Success 1 is live"]]);
    // In the middle of a rollout, and after a verdict, it is the commit that was acted on.
    let mut middle = rollout("2", 10, Reason::Bake);
    let record = Record {
        release: release("2"),
        commit: commit('2').to_string(),
        outcome: RecordOutcome::Candidate,
        ..middle.records[0].clone()
    };
    middle.records.push(record);
    assert_eq!(story(vec![plan('9', vec![middle])]), [["2 Pending 2 has 10 % of the traffic"]]);
    // What waits to begin was not acted on.
    let frozen = ServicePlan {
        waiting_on: waiting(Reason::Freeze, "frozen: xmas"),
        phase: Phase::Steady,
        ..rollout("2", 0, Reason::Freeze)
    };
    assert_eq!(story(vec![plan('9', vec![frozen])]), [["9 Pending 2 waits: frozen: xmas"]]);
}

#[test]
fn of_what_is_unknown_nothing_is_told_and_nothing_forgotten() {
    let unknown = ServicePlan { waiting_on: waiting(Reason::Unknown, "AWS"), ..steady("1", '1') };
    let orphan = ServicePlan { to: None, ..steady("1", '1') };
    let told = story(vec![
        plan('1', vec![unknown.clone()]),
        plan('1', vec![steady("1", '1')]),
        plan('1', vec![unknown]),
        plan('1', vec![steady("1", '1')]),
        plan('2', vec![orphan]),
    ]);
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 0, 0, 0]);
}

#[test]
fn what_stands_still_says_why() {
    let said = |service: ServicePlan| story(vec![plan('2', vec![service])]).remove(0).remove(0);
    let hold = Hold { at: NOW, who: "ann".to_owned(), text: "look".to_owned() };
    let held = ServicePlan {
        held: Some(hold),
        waiting_on: waiting(Reason::Hold, "held by ann: look"),
        ..rollout("2", 10, Reason::Hold)
    };
    assert_eq!(said(held), "2 Pending 2 waits: held by ann: look");
    let broken = ServicePlan {
        to: None,
        change: Change::Blocked,
        waiting_on: waiting(Reason::Invalid, "its file has errors"),
        ..steady("1", '1')
    };
    assert_eq!(said(broken), "2 Failure blocked: its file has errors");
    let halted = ServicePlan {
        phase: Phase::Halted,
        waiting_on: waiting(Reason::Gate, "no weight may move"),
        ..rollout("2", 10, Reason::Gate)
    };
    assert_eq!(said(halted), "2 Failure halted: no weight may move");
    let repaired = ServicePlan { phase: Phase::Warming, ..steady("1", '1') };
    assert_eq!(said(repaired), "1 Pending 1 is brought back to full size".replace("1 Pending", "2 Pending"));
    let back = ServicePlan {
        change: Change::Rollback,
        phase: Phase::RollingBack,
        waiting_on: None,
        ..rollout("2", 10, Reason::Health)
    };
    assert_eq!(said(back), "2 Pending traffic goes back to 2");
}

#[test]
fn new_settings_are_told_at_their_own_commit_and_memory_is_bounded() {
    let update = ServicePlan { change: Change::Update, ..steady("1", '1') };
    let told =
        story(vec![plan('1', vec![steady("1", '1')]), plan('2', vec![update]), plan('2', vec![steady("1", '1')])]);
    assert_eq!(told[1..], [["2 Pending 1 gets new settings"], ["2 Success 1 is live"]]);
    let (told, _) = news(&Told::default(), &plan('1', vec![steady("1", '1')]));
    assert_eq!(told.0.len(), 1);
    assert_eq!(news(&told, &plan('1', Vec::new())).0, Told::default(), "a service that is gone is forgotten");
}

/// `web` on 1, whose commit asks for 2, which was rejected so long ago.
fn rejected(age: u64) -> Plan {
    let at = NOW - Span::from_secs(age);
    let why = Rejected { at, code: "unhealthy".to_owned(), text: "2 of 4 unhealthy".to_owned() };
    let service = ServicePlan {
        change: Change::Blocked,
        rejected: Some((release("2").digest, why)),
        ..rollout("2", 0, Reason::Rejected)
    };
    Plan { scope: Some(crate::names::Scope::parse("prod").unwrap()), ..plan('2', vec![service]) }
}

#[test]
fn a_rejected_release_that_is_still_asked_for_may_be_reverted_within_the_hour() {
    let found = revert::wanted(&rejected(60));
    assert_eq!(found.len(), 1);
    let digest = release("2").digest;
    assert_eq!(found[0].branch, format!("ionroller/revert-prod-web-{}", digest.short()));
    assert_eq!((&found[0].to, found[0].version.as_str()), (&release("1"), "2"));
    assert_eq!(revert::wanted(&rejected(3600)).len(), 1);
    assert!(revert::wanted(&rejected(3601)).is_empty());
    let change = |change: &dyn Fn(&mut ServicePlan)| {
        let mut plan = rejected(60);
        change(&mut plan.services[0]);
        revert::wanted(&plan)
    };
    assert!(change(&|service| service.to = Some(release("1"))).is_empty(), "Git asks for something else by now");
    assert!(change(&|service| service.to = None).is_empty());
    assert!(change(&|service| service.rejected = None).is_empty());
    assert!(change(&|service| service.records.clear()).is_empty(), "nothing to go back to");
}

#[test]
fn one_revert_a_digest_and_none_of_a_revert() {
    use revert::{Decision, Seen, decide};
    let wanted = revert::wanted(&rejected(60)).remove(0);
    let decide = |of_a_revert, seen| decide(&wanted, NOW, of_a_revert, seen);
    assert_eq!(decide(false, Seen::Nothing), Decision::Push);
    assert_eq!(decide(false, Seen::Branch), Decision::Open);
    for (of_a_revert, seen, why) in [
        (false, Seen::PullRequest, "pull request"),
        (true, Seen::Nothing, "a revert is not reverted"),
        (true, Seen::Branch, "a revert is not reverted"),
    ] {
        assert!(matches!(decide(of_a_revert, seen), Decision::Leave(said) if said.contains(why)));
    }
    // The attempts before it took too long.
    let late = revert::decide(&wanted, NOW + Span::from_secs(3600), false, Seen::Nothing);
    assert!(matches!(late, Decision::Leave(said) if said.contains("an hour")));
}
