//! Who may start when there are fewer slots than services that want to.

use std::collections::BTreeSet;

use super::scope::{Many, service, settled, spec};
use super::story::hold;
use crate::desired::spec::{Limits, ServiceSpec};
use crate::plan::memory::FailingCall;
use crate::plan::types::{Change, Phase, Reason};
use crate::time::{Span, Timestamp};

/// A call that failed and is tried again then.
fn failing(until: Timestamp) -> FailingCall {
    FailingCall { text: "it failed".to_owned(), since: until, until, needs_somebody: false }
}

#[test]
fn rollouts_beyond_the_slots_wait_for_one() {
    let mut many = Many::settled(&["a", "b", "back", "idle"]);
    many.config.limits.max_concurrent_rollouts = 1;
    let mut back = settled("back");
    back.commit(spec("back", "1.1")).run();
    back.commit(spec("back", "1.0")).now = many.now;
    many.stories.insert(service("back"), back);
    many.wants("b", "1.1").wants("a", "1.1");
    assert_eq!((many.waits("a"), many.waits("b")), (None, Some(Reason::Slot)));
    assert_eq!(
        (many.of("b").change, many.of("b").phase, many.of("b").actions.len()),
        (Change::Release, Phase::Pending, 0)
    );
    assert!(!many.of("back").actions.is_empty(), "rollbacks are exempt");
    assert_eq!(many.says(), [], "nobody needs to do anything");
    // What has started keeps its slot, whoever comes first in the alphabet.
    let mut many = Many::settled(&["a", "b"]);
    many.config.limits.max_concurrent_rollouts = 1;
    many.wants("b", "1.1").story("b").pass();
    many.wants("a", "1.1");
    assert_eq!((many.waits("a"), many.waits("b")), (Some(Reason::Slot), Some(Reason::Health)));
    many.story("b").run();
    assert_eq!(many.waits("a"), None, "the slot is free");
}

/// A service that stands still takes no slot from others.
#[test]
fn who_is_not_selected_takes_a_slot_only_while_its_rollout_runs() {
    let mut many = Many::settled(&["a", "b", "c"]);
    many.config.limits.max_concurrent_rollouts = 1;
    many.wants("a", "2.0").wants("b", "2.0").wants("c", "2.0");
    many.only = BTreeSet::from([service("c")]);
    let plan = many.plan();
    assert_eq!(plan.services.len(), 1, "only who was asked for is planned");
    assert!(!plan.services[0].actions.is_empty(), "{:?}", plan.services[0].waiting_on);
    many.story("a").until_weight("2.0", 10);
    assert_eq!(many.plan().services[0].waiting_on.as_ref().unwrap().reason, Reason::Slot);
}

#[test]
fn who_may_not_start_takes_no_slot() {
    let mut many = Many::settled(&["forbidden", "held", "paused", "rejected", "stale", "z"]);
    many.config.limits = Limits { max_concurrent_rollouts: 1, max_releases_per_change: 1 };
    // Its file leaves the load balancer, which nothing could undo.
    let worker = ServiceSpec { load_balancer: None, ..spec("forbidden", "1.1") };
    many.story("forbidden").commit(worker);
    assert_eq!(many.waits("forbidden"), Some(Reason::Preflight));
    hold(many.story("held"), "1.0");
    many.wants("held", "1.1");
    let stop = ServiceSpec { paused: Some("incident".to_owned()), ..spec("paused", "1.1") };
    many.story("paused").commit(stop);
    many.story("rejected").sick.push("1.1".to_owned());
    many.wants("rejected", "1.1").story("rejected").run();
    many.wants("stale", "1.1");
    many.fences.insert(service("stale"), crate::plan::service::fenced_by(&"f".repeat(40), true));
    many.wants("z", "1.1");
    assert_eq!((many.of("z").change, many.waits("z")), (Change::Release, None));
}

/// Else one that AWS refuses every call would keep all others from ever starting.
#[test]
fn a_service_whose_calls_fail_leaves_its_slot_to_others() {
    let mut many = Many::settled(&["a", "b"]);
    many.config.limits.max_concurrent_rollouts = 1;
    many.wants("a", "1.1").wants("b", "1.1");
    let until = many.now + Span::from_secs(30);
    many.story("a").memory.note_failing(Some(failing(until)));
    assert_eq!((many.waits("a"), many.waits("b")), (Some(Reason::Error), None));
    let now = many.now;
    many.story("a").memory.note_failing(Some(failing(now)));
    assert_eq!((many.waits("a"), many.waits("b")), (Some(Reason::Error), Some(Reason::Slot)), "its time is over");
}
