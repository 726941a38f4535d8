//! The protocol of the lease, pure: times and answers in, the next request out.
//!
//! It is that of the known lock clients for DynamoDB. The record has a version that is
//! another one with every writing. Whoever wants the lease remembers the version that it
//! saw and when, on its own clock; only when that version has stood for the whole duration
//! that the record names does it write its own over it, on condition that it still stands.
//! The holder writes a new version in the same way, well before that. No time of one
//! machine is ever compared with a time of another.
//!
//! How long the holder may act counts from before its last writing was *sent*; the others
//! count from after they *read* it. So the holder stops first, whatever the network does.

use crate::cloud::lease::Record;
use crate::time::Span;

use super::clock::Moment;

/// Longer than any answer of the table that is still to come.
const PATIENCE_MAX: Span = Span::from_secs(10);

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then.
    Wait(Moment),
    /// Read the record.
    Read,
    /// Write a record over a version, or over nothing.
    Put {
        /// What must stand there.
        over: Option<String>,
        /// What to write.
        record: Record,
    },
}

/// Where the lease stands, as far as this side knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known yet.
    Unknown,
    /// Ours, up to a moment.
    Ours(Moment),
    /// Another one's.
    Theirs(String),
}

/// One side of the protocol.
#[derive(Debug, Clone)]
pub struct Machine {
    holder: String,
    duration: Span,
    /// Makes our versions differ from those of every other process.
    nonce: String,
    count: u64,
    /// The last version that surely was written by us.
    held: Option<Held>,
    /// A writing of which nobody knows whether it was done.
    attempt: Option<Attempt>,
    /// Another one's record, and since when it was seen unchanged.
    seen: Option<Seen>,
    /// What stands there was read, and nothing of unknown outcome was sent since.
    read: bool,
    due: Moment,
}

#[derive(Debug, Clone)]
struct Held {
    version: String,
    sent: Moment,
}

#[derive(Debug, Clone)]
struct Attempt {
    over: Option<String>,
    version: String,
    /// When it was sent first. A retry writes the same version, and either may be the one
    /// that was carried out.
    sent: Moment,
}

#[derive(Debug, Clone)]
struct Seen {
    record: Record,
    since: Moment,
}

impl Machine {
    /// A side that knows nothing yet. The nonce is another one for every process.
    pub fn new(holder: impl Into<String>, nonce: impl Into<String>, duration: Span) -> Self {
        Self {
            holder: holder.into(),
            duration,
            nonce: nonce.into(),
            count: 0,
            held: None,
            attempt: None,
            seen: None,
            read: false,
            due: Moment::default(),
        }
    }

    /// The share of the lease that is left unused at its end: for what is on its way when
    /// the call is cut off, and for clocks that don't run equally fast.
    pub fn margin(&self) -> Span {
        self.part(6)
    }

    /// What must be left for a change to begin.
    pub fn needed(&self) -> Span {
        self.part(6)
    }

    /// The longest that one request to the table may take. A long lease is no reason to wait
    /// for long, above all at a stop.
    pub fn patience(&self) -> Span {
        self.part(6).min(PATIENCE_MAX)
    }

    fn part(&self, of: u64) -> Span {
        Span::from_millis(self.duration.as_millis() / of)
    }

    /// How often another one's record is looked at.
    fn poll(&self) -> Span {
        self.part(10)
    }

    /// The wait after a request that failed.
    fn pause(&self) -> Span {
        self.part(15)
    }

    /// Where the lease stands.
    pub fn standing(&self) -> Standing {
        match (&self.held, &self.seen) {
            (Some(held), _) => Standing::Ours(held.sent + self.duration),
            (None, Some(seen)) => Standing::Theirs(seen.record.holder.clone()),
            (None, None) => Standing::Unknown,
        }
    }

    /// What to do next. A `Put` counts as sent now.
    pub fn next(&mut self, now: Moment) -> Step {
        if now < self.due {
            return Step::Wait(self.due);
        }
        if !self.read {
            return Step::Read;
        }
        match (&self.held, &self.seen) {
            (Some(held), _) => {
                let over = Some(held.version.clone());
                self.put(over, now)
            }
            (None, Some(seen)) if now.since(seen.since) >= seen.record.duration => {
                let over = Some(seen.record.version.clone());
                self.put(over, now)
            }
            (None, Some(_)) => Step::Read,
            (None, None) => self.put(None, now),
        }
    }

    /// A writing over a version; the same one again where nobody knows about the last.
    fn put(&mut self, over: Option<String>, now: Moment) -> Step {
        let known = self.attempt.take().filter(|attempt| attempt.over == over);
        let attempt = known.unwrap_or_else(|| {
            self.count += 1;
            Attempt { over, version: format!("{}-{}", self.nonce, self.count), sent: now }
        });
        let (over, version) = (attempt.over.clone(), attempt.version.clone());
        self.attempt = Some(attempt);
        // Whatever comes of it is read, unless the answer is a plain yes.
        self.read = false;
        Step::Put { over, record: Record { holder: self.holder.clone(), version, duration: self.duration } }
    }

    /// The answer to a `Put`, as it came; none: there was no answer, or an error.
    pub fn was_put(&mut self, now: Moment, done: Option<bool>) {
        match done {
            Some(true) => self.hold(),
            // What stands there tells, also whether an earlier try of ours was carried out.
            Some(false) => self.due = now,
            None => self.due = now + self.pause(),
        }
    }

    /// The answer to a `Read`, as it came; none: there was no answer, or an error.
    pub fn was_read(&mut self, now: Moment, found: Option<Option<Record>>) {
        let Some(found) = found else {
            self.due = now + self.pause();
            return;
        };
        self.read = true;
        let Some(record) = found else {
            // Somebody deleted what was ours, too: from now on anybody may take it.
            self.held = None;
            self.seen = None;
            self.due = now;
            return;
        };
        let version = &record.version;
        if self.attempt.as_ref().is_some_and(|attempt| attempt.version == *version) {
            return self.hold();
        }
        if self.held.as_ref().is_some_and(|held| held.version == *version) {
            self.due = now;
            return;
        }
        self.held = None;
        self.attempt = self.attempt.take().filter(|attempt| attempt.over.as_ref() == Some(version));
        let since = self.seen.take().filter(|seen| seen.record.version == *version).map_or(now, |seen| seen.since);
        self.due = (now + self.poll()).min((since + record.duration).max(now));
        self.seen = Some(Seen { record, since });
    }

    /// The attempt is what stands in the table.
    fn hold(&mut self) {
        let Some(attempt) = self.attempt.take() else { return };
        self.read = true;
        self.seen = None;
        self.due = attempt.sent + self.part(3);
        self.held = Some(Held { version: attempt.version, sent: attempt.sent });
    }

    /// Gives the lease up: the versions to delete, one of which may stand there. Nothing is
    /// held from now on.
    pub fn give_up(&mut self) -> Vec<String> {
        let versions = [self.held.take().map(|held| held.version), self.attempt.take().map(|attempt| attempt.version)];
        (self.read, self.seen) = (false, None);
        versions.into_iter().flatten().collect()
    }
}
