//! The answer to a question about a service: a change, or a wait.

use crate::observed::resources::Kept;
use crate::time::Timestamp;

use super::action::{Action, Mutation};
use super::types::{Reason, WaitingOn};

/// What a question that applies is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Make this change.
    Act(Box<Action>),
    /// Wait for this.
    Wait(Box<Wait>),
}

/// A wait, with what the loop needs besides the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What is said.
    pub on: WaitingOn,
    /// Nothing that may be done helps.
    pub halted: bool,
    /// A removal that a second reading must confirm.
    pub removal: Option<String>,
    /// When to look again at the latest, where that is before `until`.
    pub look_again: Option<Timestamp>,
    /// All is well, and only more readings are missing; they suffice then.
    pub brief_until: Option<Timestamp>,
}

/// A change, because of something.
pub fn act(mutation: Mutation, because: impl Into<String>) -> Action {
    Action { mutation, kept: Kept::default(), because: because.into(), expects: Vec::new() }
}

impl Action {
    /// Adds what was read and must still be so.
    #[must_use]
    pub fn expect(mut self, what: impl Into<String>) -> Self {
        self.expects.push(what.into());
        self
    }
}

/// A wait for something.
pub fn wait(reason: Reason, detail: impl Into<String>) -> Wait {
    Wait {
        on: WaitingOn { reason, detail: detail.into(), since: None, until: None },
        halted: false,
        removal: None,
        look_again: None,
        brief_until: None,
    }
}

impl Wait {
    /// Says since when.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.on.since = Some(since);
        self
    }

    /// Says until when at the latest.
    #[must_use]
    pub fn until(mut self, until: Timestamp) -> Self {
        self.on.until = Some(until);
        self
    }

    /// Says that nothing that may be done helps.
    #[must_use]
    pub fn halted(mut self) -> Self {
        self.halted = true;
        self
    }

    /// Says that only more readings are missing, and when they suffice.
    #[must_use]
    pub fn brief(mut self, until: Timestamp) -> Self {
        self.brief_until = Some(until);
        self
    }

    /// Says when something may have changed.
    #[must_use]
    pub fn look_again(mut self, at: Timestamp) -> Self {
        self.look_again = Some(at);
        self
    }
}

impl From<Action> for Answer {
    fn from(action: Action) -> Self {
        Self::Act(Box::new(action))
    }
}

impl From<Wait> for Answer {
    fn from(wait: Wait) -> Self {
        Self::Wait(Box::new(wait))
    }
}

impl From<WaitingOn> for Answer {
    fn from(on: WaitingOn) -> Self {
        Self::from(Wait { on, halted: false, removal: None, look_again: None, brief_until: None })
    }
}
