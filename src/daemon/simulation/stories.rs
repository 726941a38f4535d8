//! Scripts that once broke something, as short as they could be made.

use super::script::{Event::*, Kind::*, Script, Second::*};
use super::try_script;

#[track_caller]
fn ends_well(script: &Script) {
    if let Err(failure) = try_script(script) {
        panic!("{}\n{failure}", failure.log);
    }
}

/// Its calls failed, then a gate left it nothing to do: the time until which it was left
/// alone passed, and the loop went on at once, 20 times a second, for as long as that stayed.
#[test]
fn a_service_whose_calls_failed_and_that_may_not_start_is_no_reason_to_hurry() {
    ends_well(&Script {
        seed: 1107,
        kinds: vec![Adopt, Network, Rule],
        prune: true,
        limits: (3, 1),
        second: Nobody,
        events: vec![
            (146, Curse { s: 0, on: true }),
            (147, Release { s: 0, version: 2, min: 3, steps: 1 }),
            (342, Release { s: 2, version: 2, min: 1, steps: 1 }),
        ],
    });
}

/// A reading that did not show the verdict yet, and another that showed the group as gone, made
/// a group for a release that had just been rejected.
#[test]
fn a_verdict_holds_also_where_a_reading_does_not_show_it_yet() {
    ends_well(&Script {
        seed: 93,
        kinds: vec![Network, Rule],
        prune: true,
        limits: (2, 20),
        second: Nobody,
        events: vec![
            (312, Release { s: 1, version: 2, min: 1, steps: 0 }),
            (488, Stale { percent: 56, secs: 56 }),
            (497, Release { s: 1, version: 1, min: 1, steps: 1 }),
            (611, Release { s: 1, version: 0, min: 1, steps: 0 }),
            (719, Stale { percent: 0, secs: 0 }),
            (1105, Delete { s: 1 }),
            (1107, Resize { s: 0, min: 4, max: 5 }),
            (1235, Stale { percent: 13, secs: 34 }),
            (1259, Release { s: 0, version: 1, min: 2, steps: 0 }),
            (1381, Resize { s: 0, min: 3, max: 4 }),
            (1450, Stale { percent: 0, secs: 0 }),
            (1470, Release { s: 0, version: 4, min: 1, steps: 1 }),
            (1473, NoCapacity { zones: 2 }),
            (1670, Release { s: 0, version: 1, min: 2, steps: 0 }),
            (2065, Stale { percent: 20, secs: 30 }),
            (2091, Release { s: 0, version: 1, min: 1, steps: 2 }),
            (2196, NoImage { s: 0, version: 2 }),
            (2197, Release { s: 0, version: 2, min: 3, steps: 1 }),
            (2202, PutBack { s: 1 }),
            (2233, Retouch { s: 0, host: 2 }),
        ],
    });
}

/// Late readings let the step mark be written to and fro, and the service was halted for good.
#[test]
fn late_readings_do_not_halt_a_service_for_good() {
    ends_well(&Script {
        seed: 142,
        kinds: vec![Rule, Rule],
        prune: false,
        limits: (4, 20),
        second: Nobody,
        events: vec![
            (51, Release { s: 1, version: 2, min: 3, steps: 3 }),
            (153, Stale { percent: 0, secs: 0 }),
            (719, Slow { millis: 16599 }),
            (720, Release { s: 1, version: 1, min: 1, steps: 2 }),
            (753, Release { s: 1, version: 1, min: 3, steps: 2 }),
            (780, Slow { millis: 0 }),
            (1315, Odds { before: 0, after: 0, throttled: 0 }),
            (1324, Release { s: 1, version: 1, min: 3, steps: 0 }),
            (1563, Stale { percent: 0, secs: 0 }),
            (2247, Stale { percent: 27, secs: 52 }),
            (2268, Release { s: 0, version: 3, min: 2, steps: 1 }),
            (2381, Stale { percent: 0, secs: 0 }),
            (2857, Stale { percent: 36, secs: 43 }),
            (2863, Release { s: 0, version: 4, min: 2, steps: 1 }),
        ],
    });
}

/// Who waited for the limit on releases never saw a removal confirmed: its old group stayed.
#[test]
fn who_may_not_start_clears_up_all_the_same() {
    ends_well(&Script {
        seed: 76,
        kinds: vec![Default, Rule, Rule, Default],
        prune: false,
        limits: (2, 1),
        second: Nobody,
        events: vec![
            (619, Release { s: 1, version: 4, min: 1, steps: 1 }),
            (1247, Release { s: 1, version: 1, min: 3, steps: 0 }),
            (1250, Release { s: 2, version: 2, min: 3, steps: 3 }),
        ],
    });
}

/// All calls about one service failed, and it got the only slot at every pass.
#[test]
fn who_can_not_start_leaves_its_slot_to_others() {
    ends_well(&Script {
        seed: 297,
        kinds: vec![Adopt, Rule],
        prune: true,
        limits: (1, 20),
        second: Nobody,
        events: vec![(831, Curse { s: 0, on: true }), (1479, Defaults { n: 1 })],
    });
}

/// Its machines were deleted by hand, and its share of the traffic stayed lost: who stood beside
/// it was alone, so its health was not read.
#[test]
fn traffic_leaves_a_group_that_was_deleted_by_hand() {
    ends_well(&Script {
        seed: 858,
        kinds: vec![Default, Rule, Default, Rule],
        prune: false,
        limits: (2, 1),
        second: Nobody,
        events: vec![
            (1752, Release { s: 2, version: 3, min: 3, steps: 3 }),
            (1842, Release { s: 1, version: 1, min: 2, steps: 1 }),
            (1842, Release { s: 1, version: 3, min: 1, steps: 0 }),
            (1844, ForcePush { back: 3, s: 0, version: 3 }),
            (2226, DeleteGroup { s: 2, nth: 0 }),
        ],
    });
}

/// A new service whose place was taken got the only slot at every pass.
#[test]
fn who_may_never_start_takes_no_slot() {
    ends_well(&Script {
        seed: 1243,
        kinds: vec![Default, Rule, Rule],
        prune: true,
        limits: (1, 20),
        second: Nobody,
        events: vec![(820, Rename { s: 0 }), (2479, Release { s: 2, version: 4, min: 3, steps: 2 })],
    });
}

/// Nothing led to the action that it had taken over any more, and its target group was deleted
/// again and again, in vain.
#[test]
fn a_target_group_that_an_unknown_action_names_stays() {
    ends_well(&Script {
        seed: 1013,
        kinds: vec![Adopt, Rule],
        prune: true,
        limits: (2, 20),
        second: Nobody,
        events: vec![(128, Delete { s: 0 }), (187, DeleteGroup { s: 0, nth: 2 })],
    });
}

/// No lease keeps two daemons apart; one of them goes by an older commit while the other
/// releases, goes back and releases again.
#[test]
fn two_daemons_come_to_rest_where_one_does() {
    let release = |s, version| Release { s, version, min: 2, steps: 1 };
    ends_well(&Script {
        seed: 7,
        kinds: vec![Rule, Default, Worker],
        prune: true,
        limits: (3, 20),
        second: Acts,
        events: vec![
            (300, release(0, 1)),
            (305, Behind { on: true }),
            (310, release(1, 1)),
            (420, Revert { back: 2 }),
            (430, release(2, 2)),
            (700, Behind { on: false }),
            (710, release(0, 3)),
            (760, CrashCall { nth: 2, after: true }),
            (790, Revert { back: 1 }),
        ],
    });
}

/// Two daemons had rejected a release; one of them read, 16 s later, that there was no verdict,
/// and made a new group for it.
#[test]
fn a_verdict_is_not_taken_off_by_a_late_reading() {
    ends_well(&Script {
        seed: 2653,
        kinds: vec![Rule, Worker, Rule, Rule],
        prune: false,
        limits: (3, 1),
        second: Acts,
        events: vec![
            (349, SlowBoot { s: 1, version: 2, secs: 315 }),
            (350, Release { s: 1, version: 2, min: 2, steps: 1 }),
            (475, Stale { percent: 44, secs: 42 }),
            (704, Release { s: 3, version: 3, min: 1, steps: 3 }),
        ],
    });
}

/// A group that was raised for a way back has a machine that boots longer than its checks allow;
/// it was looked at three times a second until that machine was well.
#[test]
fn a_way_back_that_waits_for_machines_is_no_reason_to_hurry() {
    ends_well(&Script {
        seed: 11,
        kinds: vec![Rule, Worker, Rule, Network],
        prune: true,
        limits: (2, 2),
        second: Nobody,
        events: vec![
            (196, SlowStart { s: 2, version: 3, secs: 189 }),
            (197, Release { s: 2, version: 3, min: 2, steps: 1 }),
            (841, Resize { s: 2, min: 3, max: 5 }),
            (1027, SlowStart { s: 2, version: 0, secs: 102 }),
            (1028, Release { s: 2, version: 0, min: 2, steps: 3 }),
            (1339, ZoneOff { off: false }),
        ],
    });
}

/// A release that had all of the traffic and never settled was wanted again in the midst of its
/// successor's rollout, while one zone was off: all of its traffic went to that successor.
#[test]
fn a_revert_sends_nothing_more_to_the_release_that_it_takes_back() {
    ends_well(&Script {
        seed: 191,
        kinds: vec![Rule, Network, Network],
        prune: true,
        limits: (4, 2),
        second: Nobody,
        events: vec![
            (52, Release { s: 2, version: 1, min: 1, steps: 1 }),
            (52, Lacks { what: Some(8_952_996_986_662_936_196) }),
            (854, Lacks { what: None }),
            (971, ZoneOff { off: true }),
            (1391, Release { s: 2, version: 3, min: 3, steps: 1 }),
            (1403, ZoneOff { off: false }),
            (1473, Lacks { what: Some(18_331_716_868_836_592_885) }),
            (1590, Release { s: 2, version: 2, min: 3, steps: 3 }),
            (1625, Lacks { what: None }),
            (1845, ZoneOff { off: true }),
            (1849, Release { s: 2, version: 3, min: 3, steps: 3 }),
        ],
    });
}
