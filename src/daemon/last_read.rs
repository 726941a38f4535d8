//! When Git and AWS were last read, for `/readyz`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::time::Span;

/// So many polls in a row without an answer, and the daemon isn't ready.
const POLLS_MAX: u32 = 5;

/// When each was last read to the end. A reading that goes on and on is none.
#[derive(Debug)]
pub(super) struct LastRead {
    started: Instant,
    read: Mutex<Read>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Read {
    git: Option<Instant>,
    cloud: Option<Instant>,
}

impl Default for LastRead {
    fn default() -> Self {
        Self { started: Instant::now(), read: Mutex::default() }
    }
}

impl LastRead {
    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Git was read now.
    pub fn git(&self) {
        self.read().git = Some(Instant::now());
    }

    /// AWS was read now.
    pub fn cloud(&self) {
        self.read().cloud = Some(Instant::now());
    }

    /// A line for each: when it was last read; and whether that is too long ago.
    pub fn report(&self, git_poll: Span, cloud_poll: Span) -> [(String, bool); 2] {
        let (now, read) = (Instant::now(), *self.read());
        let line = |name: &str, at: Option<Instant>, poll: Span| {
            let age = now.duration_since(at.unwrap_or(self.started));
            // What is being answered at this moment may be a little late.
            let late = age > poll.to_std() * POLLS_MAX + Duration::from_secs(1);
            let age = Span::from_secs(age.as_secs());
            let said = match at {
                Some(_) => format!("{name}: last read {age} ago"),
                None => format!("{name}: not read yet, {age} after the start"),
            };
            let said = if late { format!("{said}, which is more than {POLLS_MAX} polls") } else { said };
            (said, late)
        };
        [line("git", read.git, git_poll), line("aws", read.cloud, cloud_poll)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_five_polls_without_an_answer_it_is_late() {
        let (read, poll) = (LastRead::default(), Span::from_secs(10));
        let late = |read: &LastRead| read.report(poll, poll).map(|(_, late)| late);
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(late(&read), [false, false]);
        read.git();
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(late(&read), [false, true]);
        let said = read.report(poll, poll).map(|(said, _)| said);
        assert_eq!(
            said,
            ["git: last read 40 s ago", "aws: not read yet, 1 min 20 s after the start, which is more than 5 polls"]
        );
        read.cloud();
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(late(&read), [true, false]);
    }
}
