//! What a dry run says it would do: each change once a commit, however often it is planned.

use std::collections::BTreeSet;

use crate::names::{CommitId, ServiceName};
use crate::plan::action::{Action, Mutation};

/// What was said for the present commit.
#[derive(Debug, Default)]
pub struct Foretold {
    commit: Option<CommitId>,
    said: BTreeSet<String>,
}

impl Foretold {
    /// Whether a change is to be said: it was not yet, for this commit.
    pub fn is_new(&mut self, commit: Option<&CommitId>, service: &ServiceName, action: &Action) -> bool {
        if self.commit.as_ref() != commit {
            *self = Self { commit: commit.cloned(), said: BTreeSet::new() };
        }
        self.said.insert(format!("{service} {}", key(&action.mutation)))
    }
}

/// What makes two planned changes the same. A mark's time is that of the plan.
fn key(mutation: &Mutation) -> String {
    let target = match mutation {
        Mutation::SetMark { mark, value, .. } => {
            let count = value.split_once('@').and_then(|(count, _)| count.parse::<u32>().ok());
            count.map_or_else(|| mark.word().to_owned(), |count| format!("{} {count}", mark.word()))
        }
        other => other.target(),
    };
    format!("{:?} {} {target}", mutation.kind(), mutation.resource())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::GroupName;
    use crate::observed::marks::Mark;
    use crate::plan::action::Carrier;

    fn step(percent: u32, at: &str) -> Action {
        let release = GroupName::parse("web-abcdefghij").unwrap();
        let on = Carrier::Group { release, name: "web-abcdefghij".to_owned() };
        let mutation = Mutation::SetMark { on, mark: Mark::Step, value: format!("{percent}@2026-01-01T00:00:{at}Z") };
        crate::plan::answer::act(mutation, "a test")
    }

    #[test]
    fn each_change_is_said_once_a_commit() {
        let (a, b) = (ServiceName::parse("a").unwrap(), ServiceName::parse("b").unwrap());
        let commit = |n: u64| CommitId::parse(&format!("{n:040x}")).unwrap();
        let mut foretold = Foretold::default();
        let mut said =
            |n: u64, service: &ServiceName, action: &Action| foretold.is_new(Some(&commit(n)), service, action);
        assert!(said(1, &a, &step(10, "00")));
        assert!(!said(1, &a, &step(10, "30")), "the next pass plans it for later");
        assert!(said(1, &a, &step(100, "30")));
        assert!(said(1, &b, &step(10, "30")));
        assert!(said(2, &a, &step(10, "30")));
    }
}
