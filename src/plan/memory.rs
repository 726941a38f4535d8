//! What earlier readings showed, for the few decisions that need more than one. It is
//! lost on a restart, and that is safe: whatever it knows is only ever waited for again.

use std::collections::BTreeMap;

use crate::mutant::Mutant;
use crate::names::GroupName;
use crate::observed::marks::{Mark, Rejected};
use crate::observed::resources::Details;
use crate::observed::state::{ServerGroup, ServiceState};
use crate::time::{Span, Timestamp};

use super::action::{Action, Mutation};
#[cfg(test)]
use super::machines::MachineSeen;
use super::machines::{self, MachinesSeen};
use super::questions::Next;
use super::view::{Input, View};
use super::writes::{Lag, Writes};

/// How often the same change may be made without effect.
/// Two or three lost answers in a row happen; five mean that it can't work.
pub const ATTEMPTS_MAX: u32 = 5;

/// Two readings closer together than this count as one.
const READING_GAP: Span = Span::from_millis(400);

/// Readings further apart than this say nothing about the time between them: twice the
/// slowest poll of AWS.
const READINGS_APART: Span = Span::from_secs(60);

/// One service's memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    groups: BTreeMap<GroupName, Seen>,
    machines: BTreeMap<GroupName, MachinesSeen>,
    removals: BTreeMap<String, Sightings>,
    verdicts: BTreeMap<GroupName, Rejected>,
    attempts: BTreeMap<String, u32>,
    writes: Writes,
    failing: Option<FailingCall>,
    audit: Option<Audit>,
    waiting_since: Option<(String, Timestamp)>,
}

/// A call that failed, and fails until its service gets on again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingCall {
    /// What failed, in AWS's words, and what helps.
    pub text: String,
    /// Since when the answer has been the same.
    pub since: Timestamp,
    /// When it is tried again.
    pub until: Timestamp,
    /// Only a person or a commit can mend it.
    pub needs_somebody: bool,
}

/// The same answer for so long does not pass by itself: what AWS has just made or let go is seen
/// everywhere by then.
/// Source: controllers retry what is eventually consistent for two minutes.
const SAME_ANSWER: Span = Span::from_mins(3);

impl FailingCall {
    /// Whether only a person or a commit ends it.
    pub fn stays(&self, now: Timestamp) -> bool {
        self.needs_somebody || now.since(self.since) >= SAME_ANSWER
    }
}

/// When live's settings are held against its file next, and what they were the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Audit {
    due: Timestamp,
    found: Option<(GroupName, Details)>,
}

/// How often the settings of a live release are read that no listing shows.
const AUDIT_EVERY: Span = Span::from_mins(10);

/// When what an audit has put right is read again.
const AUDIT_AGAIN: Span = Span::from_secs(30);

/// What was seen of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    ready: Option<Sightings>,
    failing_since: Option<Timestamp>,
    unready_since: Option<Timestamp>,
    /// The most healthy machines that it had at its present size.
    most_healthy: u32,
    /// Since when readings have shown it without traffic.
    idle_since: Option<Timestamp>,
}

/// A run of readings that all showed the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sightings {
    /// The first of them.
    pub since: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many.
    pub readings: u32,
}

impl Sightings {
    fn next(run: Option<Self>, now: Timestamp) -> Self {
        match run {
            None => Self { since: now, last: now, readings: 1 },
            Some(run) if now.since(run.last) < READING_GAP => run,
            // Nobody looked meanwhile.
            Some(run) if now.since(run.last) > READINGS_APART => Self { since: now, last: now, readings: 1 },
            Some(run) => Self { last: now, readings: run.readings + 1, ..run },
        }
    }
}

impl Memory {
    /// Nothing seen yet.
    pub const fn empty() -> Self {
        Self {
            groups: BTreeMap::new(),
            machines: BTreeMap::new(),
            removals: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            attempts: BTreeMap::new(),
            writes: Writes::none(),
            failing: None,
            audit: None,
            waiting_since: None,
        }
    }

    /// Takes in a new reading and what it led to. One that is incomplete or shows the past
    /// says nothing and changes nothing.
    #[must_use]
    pub fn take_in(&self, input: &Input<'_>, answer: &Next) -> Self {
        let mut memory = self.note(input);
        if self.learns_nothing(input) {
            return memory;
        }
        memory.note_removals(&answer.removal().into_iter().collect::<Vec<_>>(), input.now);
        if answer.is_rest() {
            memory.note_rest();
            // What failed is no longer asked for. One that only waits for its next try still is.
            if !memory.is_left_alone(input.now) {
                memory.failing = None;
            }
        }
        memory
    }

    fn learns_nothing(&self, input: &Input<'_>) -> bool {
        input.state.incomplete.is_some() || self.lag(input.state, input.now).is_some()
    }

    /// Takes a new reading in, without what it led to.
    #[must_use]
    pub fn note(&self, input: &Input<'_>) -> Self {
        let mut memory = self.clone();
        if self.learns_nothing(input) {
            return memory;
        }
        // What can be seen has had its effect, however often it is to be done again.
        for mutation in self.writes.seen(input.state) {
            memory.attempts.remove(&attempt_key(mutation));
        }
        // What is written down by now needs no memory, and an operator may take it off.
        memory.verdicts.retain(|name, _| {
            let template = input.state.groups.get(name).and_then(|group| group.template.as_ref());
            template.is_some_and(|template| template.marks.rejected.is_none())
        });
        let view = View::new(input);
        let groups: Vec<&ServerGroup> = input.state.groups.values().filter(|g| g.group.is_some()).collect();
        memory.groups.retain(|name, _| groups.iter().any(|group| &group.name == name));
        memory.machines.retain(|name, _| groups.iter().any(|group| &group.name == name));
        for group in groups {
            let lost = machines::note(group, &mut memory.machines, view.weight(group) > 0, input.now);
            let seen = memory.groups.entry(group.name.clone()).or_default();
            let keep = |since: Option<Timestamp>, holds: bool| holds.then(|| since.unwrap_or(input.now));
            seen.idle_since = keep(seen.idle_since, view.weight(group) == 0);
            // Machines that end and are replaced between two readings look healthy in each.
            if lost > view.tolerated() && !Mutant::TrustReplaced.on() {
                seen.ready = None;
            }
            let Some(health) = view.health(group) else { continue };
            let ready = view.is_ready(group, &health);
            seen.ready = ready.then(|| Sightings::next(seen.ready, input.now));
            seen.failing_since = keep(seen.failing_since, health.failing > view.tolerated());
            seen.unready_since = keep(seen.unready_since, !ready);
            let desired = group.group.as_ref().map_or(0, |group| group.desired);
            seen.most_healthy = seen.most_healthy.max(health.healthy).min(desired.max(health.healthy));
        }
        memory.note_audit(&view);
        memory
    }

    /// The settings of live are read from time to time, those of one service at other times than
    /// those of the next.
    fn note_audit(&mut self, view: &View<'_>) {
        let (now, service) = (view.input.now, view.input.service.as_str());
        let spread = service.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let first = now + Span::from_millis(spread % AUDIT_EVERY.as_millis());
        let audit = self.audit.get_or_insert(Audit { due: first, found: None });
        if now >= audit.due {
            audit.due = now + AUDIT_EVERY;
        }
        let live = view.live.and_then(|live| Some((live.name.clone(), live.details.clone()?)));
        if live.is_some() {
            audit.found = live;
        }
    }

    /// Whether the settings of live are to be read in this pass.
    pub fn audits(&self, now: Timestamp) -> bool {
        self.audit.as_ref().is_some_and(|audit| now >= audit.due)
    }

    /// What the last audit has found of a group.
    pub fn audited(&self, group: &GroupName) -> Option<&Details> {
        let (name, details) = self.audit.as_ref()?.found.as_ref()?;
        (name == group).then_some(details)
    }

    /// Takes in which removals a reading gave reason for. Those it no longer gives reason
    /// for are forgotten.
    pub fn note_removals(&mut self, wanted: &[String], now: Timestamp) {
        self.removals.retain(|key, _| wanted.contains(key));
        for key in wanted {
            let run = Sightings::next(self.removals.get(key).copied(), now);
            self.removals.insert(key.clone(), run);
        }
    }

    /// Whether an earlier reading than this one gave reason for a removal, too.
    pub fn removal_confirmed(&self, key: &str, now: Timestamp) -> bool {
        self.removals.get(key).is_some_and(|run| run.readings >= 2 || now.since(run.last) >= READING_GAP)
    }

    /// Since when a group has had enough healthy machines, and over how many readings.
    pub fn ready(&self, group: &GroupName) -> Option<Sightings> {
        self.groups.get(group)?.ready
    }

    /// Since when more machines of a group have been failing than are tolerated.
    pub fn failing_since(&self, group: &GroupName) -> Option<Timestamp> {
        self.groups.get(group)?.failing_since
    }

    /// Since when a group has not been ready, at a stretch.
    pub fn unready_since(&self, group: &GroupName) -> Option<Timestamp> {
        self.groups.get(group)?.unready_since
    }

    /// The most healthy machines that a group had at its present size.
    pub fn most_healthy(&self, group: &GroupName) -> u32 {
        self.groups.get(group).map_or(0, |seen| seen.most_healthy)
    }

    /// Since when readings have shown a group without traffic.
    pub fn idle_since(&self, group: &GroupName) -> Option<Timestamp> {
        self.groups.get(group)?.idle_since
    }

    /// What was seen of a group's machines.
    pub fn machines(&self, group: &GroupName) -> Option<&MachinesSeen> {
        self.machines.get(group)
    }

    /// A verdict that could not be written down.
    pub fn verdict(&self, group: &GroupName) -> Option<&Rejected> {
        self.verdicts.get(group)
    }

    /// Keeps a verdict whose mark could not be written: the weights go back all the same.
    pub fn keep_verdict(&mut self, group: GroupName, verdict: Rejected) {
        self.verdicts.insert(group, verdict);
    }

    /// Takes in a change that was made to what a reading showed.
    pub fn note_done(&mut self, action: &Action, state: &ServiceState, now: Timestamp) {
        self.note_attempt(action);
        if let (Mutation::SetPolicies { .. } | Mutation::SetTargetGroup { .. }, Some(audit)) =
            (&action.mutation, &mut self.audit)
        {
            *audit = Audit { due: now + AUDIT_AGAIN, found: None };
        }
        self.writes.note(&action.mutation, state, now);
    }

    /// A look ahead sees only the moments in which something happens, and between them the model
    /// stays as it is: as if it had been read all the time.
    pub fn watched_until(&mut self, now: Timestamp) {
        let runs = self.groups.values_mut().filter_map(|seen| seen.ready.as_mut());
        for run in runs.filter(|run| now.since(run.last) > READING_GAP) {
            run.last = now - READING_GAP;
        }
    }

    /// Forgets what was changed: from now on all of it can be seen.
    pub fn forget_writes(&mut self) {
        self.writes = Writes::none();
    }

    /// Counts a change that was made.
    pub(super) fn note_attempt(&mut self, action: &Action) {
        *self.attempts.entry(attempt_key(&action.mutation)).or_default() += 1;
    }

    /// What a reading shows as it was before a change that was made a short while ago.
    pub fn lag(&self, state: &ServiceState, now: Timestamp) -> Option<Lag> {
        self.writes.lag(state, now)
    }

    /// Whether the same change was made so often without effect that it can't work.
    pub fn is_futile(&self, action: &Action) -> bool {
        self.attempts.get(&attempt_key(&action.mutation)).is_some_and(|count| *count >= ATTEMPTS_MAX)
    }

    /// A reading gave reason for no change: what was tried before has had its effect.
    pub fn note_rest(&mut self) {
        self.attempts.clear();
    }

    /// A call of it failed, or its calls work again.
    pub fn note_failing(&mut self, call: Option<FailingCall>) {
        let since =
            |known: &FailingCall, call: &FailingCall| if known.text == call.text { known.since } else { call.since };
        self.failing = call.map(|call| FailingCall {
            since: self.failing.as_ref().map_or(call.since, |known| since(known, &call)),
            ..call
        });
    }

    /// The call that has failed since its service last got on.
    pub fn failing(&self) -> Option<&FailingCall> {
        self.failing.as_ref()
    }

    /// Whether it is left alone because its calls failed.
    pub fn is_left_alone(&self, now: Timestamp) -> bool {
        self.failing.as_ref().is_some_and(|call| now < call.until)
    }

    /// Since when the present reason for waiting has held.
    pub fn note_waiting(&mut self, key: Option<&str>, now: Timestamp) -> Option<Timestamp> {
        let Some(key) = key else {
            self.waiting_since = None;
            return None;
        };
        match &self.waiting_since {
            Some((known, since)) if known == key => Some(*since),
            _ => {
                self.waiting_since = Some((key.to_owned(), now));
                Some(now)
            }
        }
    }
}

/// No decision asks for how long a group has had no traffic beyond this.
#[cfg(test)]
const IDLE_MAX: Span = Span::from_mins(1);

#[cfg(test)]
impl Memory {
    /// As little of it as makes a difference to what follows, without what was changed a short
    /// while ago: for whoever tells whether two memories are one. How old a time is counts up
    /// to a span beyond which nothing asks. Every decision follows a reading that was taken in,
    /// so a run of two readings and one whose next reading is the second are one. How long a
    /// group has been ready makes no difference where `healthy_for` is nothing.
    pub fn what_counts(&self, now: Timestamp, unhealthy_for: Span, deadline: Span) -> String {
        assert!(self.attempts.is_empty() && self.waiting_since.is_none(), "these are not told");
        assert_eq!(self.failing, None, "it is not told");
        let lone = |run: &Sightings| run.readings == 1 && now.since(run.last) < READING_GAP;
        let run = |run: &Sightings| if lone(run) { "once" } else { "seen" };
        let age = |since: Option<Timestamp>, most: Span| {
            since.map_or("-".to_owned(), |since| now.since(since).min(most).as_millis().to_string())
        };
        let mut text = String::new();
        for (group, seen) in self.groups.iter().filter(|(_, seen)| **seen != Seen::default()) {
            let ready = seen.ready.as_ref().filter(|run| now.since(run.last) <= READINGS_APART).map_or("-", run);
            let (failing, unready) = (age(seen.failing_since, unhealthy_for), age(seen.unready_since, deadline));
            let idle = age(seen.idle_since, IDLE_MAX);
            text += &format!("{group} {ready} {failing} {unready} {idle} {},", seen.most_healthy);
        }
        // How old a machine is counts only until it has been healthy, and its id never does.
        for (group, machines) in &self.machines {
            let told = |machine: &MachineSeen| match machine.was_healthy {
                true => "was healthy".to_owned(),
                false => age(Some(machine.in_service), deadline),
            };
            let mut told: Vec<String> = machines.values().map(told).collect();
            told.sort();
            text += &format!("{group} {},", told.join(" "));
        }
        self.removals.iter().for_each(|(key, removal)| text += &format!("{key} {},", run(removal)));
        self.verdicts.keys().for_each(|group| text += &format!("{group} rejected,"));
        text
    }

    /// What was changed a short while ago.
    pub fn writes(&self) -> &Writes {
        &self.writes
    }
}

/// What makes two changes the same: times in marks differ from try to try. Two commits'
/// fences are two changes, and so are two settings.
pub fn attempt_key(mutation: &Mutation) -> String {
    let target = match mutation {
        Mutation::SetMark { mark, value, .. } => {
            let said = match mark {
                Mark::Step | Mark::Retry => value.split('@').next().unwrap_or(""),
                Mark::Fence | Mark::Settings | Mark::Listener => value,
                Mark::Stable | Mark::Retired | Mark::Rejected | Mark::Hold | Mark::Operator => "",
            };
            format!("{} {said}", mark.word())
        }
        other => other.target(),
    };
    format!("{:?} {} {target}", mutation.kind(), mutation.resource())
}

#[cfg(test)]
mod tests {
    use crate::plan::action::Carrier;

    use super::*;

    fn mark(mark: Mark, value: &str) -> Action {
        let release = GroupName::parse("web-abcdefghij").unwrap();
        let on = Carrier::Group { release, name: "web-abcdefghij".to_owned() };
        let value = value.to_owned();
        super::super::answer::act(Mutation::SetMark { on, mark, value }, "a test")
    }

    #[test]
    fn what_was_tried_in_vain_for_one_commit_is_tried_for_the_next() {
        let mut memory = Memory::empty();
        for second in 0..ATTEMPTS_MAX {
            memory.note_attempt(&mark(Mark::Fence, "aaaa"));
            memory.note_attempt(&mark(Mark::Step, &format!("5@2026-01-01T00:00:0{second}Z")));
        }
        assert!(memory.is_futile(&mark(Mark::Fence, "aaaa")));
        assert!(!memory.is_futile(&mark(Mark::Fence, "bbbb")));
        assert!(memory.is_futile(&mark(Mark::Step, "5@2026-01-01T01:00:00Z")), "the time makes no difference");
        assert!(!memory.is_futile(&mark(Mark::Step, "25@2026-01-01T01:00:00Z")));
    }
}
