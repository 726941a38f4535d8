//! The protocol on random networks, clocks and deaths; and the guard that stands on it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::cloud::lease::{LeaseStore, Record};
use crate::cloud::sim::lease::SimLeases;
use crate::cloud::{CloudError, ErrorKind};
use crate::time::Span;

use super::clock::{Clock, Moment};
use super::keeper::{Keeper, Turn};
use super::machine::{Machine, Standing, Step};
use super::{Guard, Leave};

mod network;

const LEASE: Span = Span::from_secs(30);

const fn at(secs: u64) -> Moment {
    Moment::after_start(Span::from_secs(secs))
}

fn machine(name: &str) -> Machine {
    Machine::new(name, format!("nonce-{name}"), LEASE)
}

/// Writes as asked, and the record.
fn put(machine: &mut Machine, now: Moment) -> (Option<String>, Record) {
    match machine.next(now) {
        Step::Put { over, record } => (over, record),
        other => panic!("{other:?}"),
    }
}

/// One that has taken the free lease.
fn holder(now: Moment) -> (Machine, Record) {
    let mut machine = machine("a");
    assert_eq!(machine.next(now), Step::Read);
    machine.was_read(now, Some(None));
    let (over, record) = put(&mut machine, now);
    assert_eq!(over, None);
    machine.was_put(now, Some(true));
    assert_eq!(machine.standing(), Standing::Ours(now + LEASE));
    (machine, record)
}

#[test]
fn the_holder_renews_at_a_third_over_its_own_version() {
    let (mut machine, first) = holder(at(100));
    assert_eq!(machine.next(at(100)), Step::Wait(at(110)));
    let (over, second) = put(&mut machine, at(110));
    assert_eq!(over, Some(first.version.clone()));
    assert_ne!(second.version, first.version);
    // What counts is when it was sent, not when the answer came.
    machine.was_put(at(114), Some(true));
    assert_eq!(machine.standing(), Standing::Ours(at(140)));
}

#[test]
fn another_waits_for_one_whole_lease_without_a_change_by_its_own_clock() {
    let (_, record) = holder(at(0));
    let mut other = machine("b");
    assert_eq!(other.next(at(5000)), Step::Read);
    other.was_read(at(5001), Some(Some(record.clone())));
    assert_eq!(other.standing(), Standing::Theirs("a".to_owned()));
    for look in [5004, 5007, 5028] {
        assert_eq!(other.next(at(look)), Step::Read);
        other.was_read(at(look), Some(Some(record.clone())));
    }
    assert_eq!(other.next(at(5030)), Step::Wait(at(5031)));
    let (over, ours) = put(&mut other, at(5031));
    assert_eq!(over, Some(record.version));
    other.was_put(at(5031), Some(true));
    assert_eq!(other.standing(), Standing::Ours(at(5061)));
    assert_eq!(ours.holder, "b");
}

/// The time that the record names counts, not the one in the waiter's own file.
#[test]
fn the_holders_duration_counts() {
    let long = Record { duration: Span::from_mins(5), ..holder(at(0)).1 };
    let mut other = machine("b");
    other.next(at(0));
    other.was_read(at(0), Some(Some(long.clone())));
    for secs in (3..300).step_by(3) {
        assert_eq!(other.next(at(secs)), Step::Read);
        other.was_read(at(secs), Some(Some(long.clone())));
    }
    assert_eq!(put(&mut other, at(300)).0, Some(long.version));
}

/// A stop makes up to two requests, and systemd waits for it for 90 seconds.
#[test]
fn nobody_waits_long_for_the_table() {
    assert_eq!(Machine::new("a", "n", LEASE).patience(), Span::from_secs(5));
    assert_eq!(Machine::new("a", "n", Span::from_mins(10)).patience(), Span::from_secs(10));
}

#[test]
fn every_change_begins_the_wait_anew() {
    let (mut first, record) = holder(at(0));
    let mut other = machine("b");
    other.next(at(0));
    other.was_read(at(0), Some(Some(record)));
    let (_, renewed) = put(&mut first, at(10));
    assert_eq!(other.next(at(29)), Step::Read);
    other.was_read(at(29), Some(Some(renewed)));
    assert_eq!(other.next(at(58)), Step::Read);
    assert_eq!(other.standing(), Standing::Theirs("a".to_owned()));
}

/// The writing was done and its answer lost; what the SDK sent again was refused.
#[test]
fn a_writing_without_an_answer_is_found_again() {
    for answer in [None, Some(false)] {
        let (mut machine, first) = holder(at(0));
        let (_, second) = put(&mut machine, at(10));
        machine.was_put(at(15), answer);
        assert_eq!(machine.standing(), Standing::Ours(at(30)), "nothing is won yet, nothing is lost");
        assert_eq!(machine.next(at(17)), Step::Read);
        machine.was_read(at(17), Some(Some(second.clone())));
        assert_eq!(machine.standing(), Standing::Ours(at(40)));
        assert_eq!(put(&mut machine, at(20)).0, Some(second.version));

        // Or it was not done: the same is sent again, so that either may be carried out.
        let (mut machine, _) = holder(at(0));
        let (_, second) = put(&mut machine, at(10));
        machine.was_put(at(15), answer);
        machine.next(at(17));
        machine.was_read(at(17), Some(Some(first.clone())));
        assert_eq!(put(&mut machine, at(17)), (Some(first.version), second));
        machine.was_put(at(17), Some(true));
        assert_eq!(machine.standing(), Standing::Ours(at(40)), "since it was sent first");
    }
}

#[test]
fn a_lease_that_another_took_is_lost_at_once() {
    let (mut machine, _) = holder(at(0));
    put(&mut machine, at(10));
    machine.was_put(at(10), Some(false));
    machine.next(at(10));
    let theirs = Record { holder: "b".to_owned(), version: "theirs".to_owned(), duration: LEASE };
    machine.was_read(at(10), Some(Some(theirs)));
    assert_eq!(machine.standing(), Standing::Theirs("b".to_owned()));
}

#[test]
fn a_record_that_somebody_deleted_is_nobodys() {
    let (mut machine, _) = holder(at(0));
    put(&mut machine, at(10));
    machine.was_put(at(10), Some(false));
    machine.next(at(10));
    machine.was_read(at(10), Some(None));
    assert_eq!(machine.standing(), Standing::Unknown);
    assert_eq!(put(&mut machine, at(10)).0, None);
}

#[test]
fn what_is_given_up_is_all_that_may_stand_there() {
    let (mut machine, first) = holder(at(0));
    let (_, second) = put(&mut machine, at(10));
    machine.was_put(at(15), None);
    assert_eq!(machine.give_up(), [first.version, second.version]);
    assert_eq!(machine.standing(), Standing::Unknown);
}

/// A clock that a test moves.
#[derive(Clone, Default)]
struct HandClock(Arc<Mutex<Moment>>);

impl HandClock {
    fn set(&self, secs: u64) {
        *self.0.lock().unwrap() = at(secs);
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, _: Span) {
        std::future::pending().await
    }
}

/// A table that can be out of reach.
#[derive(Clone, Default)]
struct Table {
    leases: SimLeases,
    away: Arc<Mutex<bool>>,
}

impl Table {
    fn reach(&self) -> Result<&SimLeases, CloudError> {
        if !*self.away.lock().unwrap() {
            return Ok(&self.leases);
        }
        let (resource, code) = ("table t".to_owned(), String::new());
        let message = "out of reach".to_owned();
        Err(CloudError { operation: "PutItem", resource, kind: ErrorKind::Unavailable, code, message })
    }
}

#[async_trait]
impl LeaseStore for Table {
    async fn read(&self, key: &str) -> Result<Option<Record>, CloudError> {
        self.reach()?.read(key).await
    }

    async fn put(&self, key: &str, over: Option<&str>, record: &Record) -> Result<bool, CloudError> {
        self.reach()?.put(key, over, record).await
    }

    async fn remove(&self, key: &str, version: &str) -> Result<(), CloudError> {
        self.reach()?.remove(key, version).await
    }
}

fn keeper(name: &str, table: &Table, clock: &HandClock) -> Keeper {
    Keeper::new("prod/1/eu", machine(name), Arc::new(table.clone()), Arc::new(clock.clone()))
}

/// Every request that is due.
async fn steps(keeper: &mut Keeper) {
    while keeper.step().await.is_none() {
        if keeper.lease().trouble().is_some() {
            return;
        }
    }
}

fn refused(guard: &dyn Guard) -> String {
    match guard.may_begin() {
        Leave::No(why) => why,
        leave => panic!("{leave:?}"),
    }
}

#[tokio::test]
async fn changes_begin_until_two_thirds_and_are_cut_off_before_the_end() {
    let (table, clock) = (Table::default(), HandClock::default());
    let mut keeper = keeper("a", &table, &clock);
    let lease = keeper.lease();
    assert_eq!(refused(&*lease), "the lease of prod/1/eu is not ours yet");
    steps(&mut keeper).await;
    *table.away.lock().unwrap() = true;
    clock.set(19);
    assert!(matches!(lease.may_begin(), Leave::For(_)));
    clock.set(20);
    assert_eq!(refused(&*lease), "the lease of prod/1/eu was not renewed in time");
    clock.set(24);
    assert!(matches!(lease.may_go_on(), Leave::For(time) if time <= Span::from_secs(1).to_std()));
    clock.set(25);
    assert!(matches!(lease.may_go_on(), Leave::No(_)));
    steps(&mut keeper).await;
    let said = "the lease of prod/1/eu cannot be kept: PutItem of table t got no usable answer: out of reach";
    assert_eq!(refused(&*lease), said);

    // It comes back before anybody else wanted the lease, or after.
    *table.away.lock().unwrap() = false;
    clock.set(40);
    steps(&mut keeper).await;
    assert!(matches!(lease.may_begin(), Leave::For(_)));
    assert_eq!(lease.trouble(), None);
}

#[tokio::test]
async fn the_second_stands_by_and_takes_over() {
    let (table, clock) = (Table::default(), HandClock::default());
    let (mut first, mut second) = (keeper("a", &table, &clock), keeper("b", &table, &clock));
    let (turns, guard) = (second.lease().turns(), second.lease());
    steps(&mut first).await;
    steps(&mut second).await;
    assert_eq!(*turns.borrow(), Turn::Theirs("a".to_owned()));
    assert_eq!(refused(&*guard), "a holds the lease of prod/1/eu");
    // The first one is killed.
    for secs in 1..30 {
        clock.set(secs);
        steps(&mut second).await;
        assert_eq!(*turns.borrow(), Turn::Theirs("a".to_owned()), "after {secs} s");
    }
    clock.set(30);
    steps(&mut second).await;
    assert_eq!(*turns.borrow(), Turn::Ours);
    // It was only asleep, and learns that at its next request; its own clock told it before.
    assert!(matches!(first.lease().may_go_on(), Leave::No(_)));
    steps(&mut first).await;
    assert_eq!(*first.lease().turns().borrow(), Turn::Theirs("b".to_owned()));

    second.give_up().await;
    assert!(table.leases.records().is_empty());
    clock.set(33);
    steps(&mut first).await;
    assert_eq!(*first.lease().turns().borrow(), Turn::Ours, "at its next look");
}
