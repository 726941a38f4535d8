//! What was changed a short while ago.
//!
//! AWS answers some readings from copies that lag behind. A reading that shows a thing as it
//! was before our last change of it shows the past, and nothing may be concluded from it:
//! the same change would be made again, or an older one on top of it.

use std::collections::BTreeMap;

use crate::observed::marks::Mark;
use crate::observed::resources::{Rule, Tags};
use crate::observed::state::{GroupState, ServerGroup, ServiceState};
use crate::time::{Span, Timestamp};

use super::action::{Carrier, Mutation};
use super::model::Model;

/// How long after a mark was written a reading may still show what was before it. Only
/// ionroller writes marks, so one that shows that is late, and not somebody else's doing. What an
/// operator's command wrote carries a mark of its own, see [`said`].
/// Source: EC2 and Auto Scaling are eventually consistent, and no bound is documented.
const LAG_OF_MARKS: Span = Span::from_secs(60);

/// The same where people change things, too: sooner or later it is they who put it back.
const LAG: Span = Span::from_secs(15);

/// One service's changes of the last minute, by what they changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes(BTreeMap<Subject, Write>);

/// A resource, and what of it a change alters.
type Subject = (String, &'static str);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Write {
    mutation: Mutation,
    /// What it was before, each time that it was changed, and until when that may be shown.
    before: Vec<(String, Timestamp)>,
    /// What it is now.
    after: String,
    at: Timestamp,
    /// When an operator's command had last changed marks there.
    said: Option<Timestamp>,
}

/// A reading that shows the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// What it shows as it was before.
    pub resource: String,
    /// When that was changed.
    pub since: Timestamp,
    /// When the reading is believed all the same.
    pub until: Timestamp,
}

impl Writes {
    /// Nothing was changed.
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes in a change that was made to what a reading showed.
    pub fn note(&mut self, mutation: &Mutation, state: &ServiceState, now: Timestamp) {
        self.0.retain(|_, write| now < write.at + LAG_OF_MARKS && write.at <= now);
        let Some(until) = lag_of(mutation).map(|lag| now + lag) else {
            // What is made anew, or is gone, has nothing of what was written on it before.
            let resource = mutation.resource();
            self.0.retain(|(on, _), _| *on != resource);
            return;
        };
        let mut model = Model::new(state, now);
        model.apply(mutation, now);
        let (Some(was), Some(after)) = (shown(state, mutation), shown(&model.state, mutation)) else { return };
        if was == after {
            return;
        }
        let subject = subject(mutation);
        let mut before = self.0.remove(&subject).map(|write| write.before).unwrap_or_default();
        before.retain(|(value, until)| *value != was && now < *until);
        before.push((was, until));
        let said = said(state, mutation);
        self.0.insert(subject, Write { mutation: mutation.clone(), before, after, at: now, said });
    }

    /// The changes of the last minute that a reading shows.
    pub fn seen(&self, state: &ServiceState) -> impl Iterator<Item = &Mutation> {
        let seen = |write: &&Write| shown(state, &write.mutation).is_some_and(|found| found == write.after);
        self.0.values().filter(seen).map(|write| &write.mutation)
    }

    /// What is still remembered: each change, what was before it, and what it is now. For
    /// whoever tells whether two memories are one.
    #[cfg(test)]
    pub fn remembered(&self, now: Timestamp) -> impl Iterator<Item = (&Mutation, Vec<&str>, &str)> {
        let writes = self.0.values().filter(move |write| write.at <= now);
        let told = writes.map(move |write| {
            let before = write.before.iter().filter(|(_, until)| now < *until).map(|(value, _)| value.as_str());
            (&write.mutation, before.collect::<Vec<_>>(), write.after.as_str())
        });
        told.filter(|(_, before, _)| !before.is_empty())
    }

    /// What a reading shows as it was before a change of the last minute.
    pub fn lag(&self, state: &ServiceState, now: Timestamp) -> Option<Lag> {
        // A clock that was set back says nothing about how long ago it was.
        self.0.values().filter(|write| write.at <= now).find_map(|write| {
            let found = shown(state, &write.mutation).filter(|found| *found != write.after)?;
            // An operator's command came after our change, and the reading shows that.
            if said(state, &write.mutation) > write.said {
                return None;
            }
            let (_, until) = write.before.iter().find(|(value, until)| *value == found && now < *until)?;
            Some(Lag { resource: write.mutation.resource(), since: write.at, until: *until })
        })
    }
}

/// How long what was before a change may still be shown; none where acting on that does no
/// harm: what is made or deleted twice is there, or gone, all the same.
fn lag_of(mutation: &Mutation) -> Option<Span> {
    match mutation {
        Mutation::SetMark { mark, .. } | Mutation::ClearMark { mark, .. } => match mark {
            // Operators clear a verdict, too, and one of theirs is seen after a minute at most.
            // Believed too soon, a release that failed would be tried again.
            Mark::Step
            | Mark::Stable
            | Mark::Retired
            | Mark::Fence
            | Mark::Settings
            | Mark::Listener
            | Mark::Rejected => Some(LAG_OF_MARKS),
            Mark::Retry => Some(LAG),
            Mark::Hold | Mark::Operator => None,
        },
        Mutation::SetRule { .. }
        | Mutation::SetWeights { .. }
        | Mutation::SetCapacity { .. }
        | Mutation::SetPolicies { .. }
        | Mutation::SetTargetGroup { .. } => Some(LAG),
        Mutation::CreateTemplate(_)
        | Mutation::CreateTargetGroup(_)
        | Mutation::CreateRule { .. }
        | Mutation::CreateGroup { .. }
        | Mutation::SetTags { .. }
        | Mutation::SetGroup { .. }
        | Mutation::DeleteTemplate { .. }
        | Mutation::DeleteTargetGroup { .. }
        | Mutation::DeleteGroup { .. }
        | Mutation::DeleteRule { .. } => None,
    }
}

fn subject(mutation: &Mutation) -> Subject {
    let what = match mutation {
        Mutation::SetMark { mark, .. } | Mutation::ClearMark { mark, .. } => mark.word(),
        Mutation::SetRule { .. } | Mutation::SetWeights { .. } => "action",
        Mutation::SetCapacity { .. } => "sizes",
        Mutation::SetPolicies { .. } => "policies",
        _ => "settings of its own",
    };
    (mutation.resource(), what)
}

/// What a reading shows of that which a change alters; none where it does not tell.
fn shown(state: &ServiceState, mutation: &Mutation) -> Option<String> {
    let of = |release| state.groups.get(release);
    match mutation {
        Mutation::SetMark { on, mark, .. } | Mutation::ClearMark { on, mark } => {
            Some(tags_of(state, on)?.get(mark.key()).cloned().unwrap_or_default())
        }
        Mutation::SetRule { rule, .. } | Mutation::SetWeights { rule, .. } => {
            state.rules.iter().chain(&state.standing).find(|known| known.arn == *rule).map(action)
        }
        Mutation::SetCapacity { release, group, desired, .. } => {
            let group = member(of(release)?, group)?;
            // What the autoscaler decides is no change of ours.
            Some(format!("{} to {}, {:?}", group.min, group.max, desired.map(|_| group.desired)))
        }
        Mutation::SetPolicies { release, .. } => Some(format!("{:?}", of(release)?.details.as_ref()?.policies)),
        Mutation::SetTargetGroup { spec, .. } => settings(of(&spec.name)?),
        _ => None,
    }
}

/// When an operator's command last changed marks of that which a change alters. Only commands
/// write it, each a later time, so a reading that shows a new one shows all that was there before.
fn said(state: &ServiceState, mutation: &Mutation) -> Option<Timestamp> {
    match mutation {
        Mutation::SetMark { on, .. } | Mutation::ClearMark { on, .. } => last_word(state, on),
        _ => None,
    }
}

/// When an operator's command last changed marks of a resource, as its clock had it.
pub(super) fn last_word(state: &ServiceState, on: &Carrier) -> Option<Timestamp> {
    Timestamp::parse(tags_of(state, on)?.get(Mark::Operator.key())?)
}

fn tags_of<'a>(state: &'a ServiceState, on: &Carrier) -> Option<&'a Tags> {
    match on {
        Carrier::Template { release, .. } => Some(&state.groups.get(release)?.template.as_ref()?.tags),
        Carrier::Group { release, name } => Some(&member(state.groups.get(release)?, name)?.tags),
    }
}

fn member<'a>(owner: &'a ServerGroup, name: &str) -> Option<&'a GroupState> {
    owner.group.as_ref().filter(|group| group.name == name)
}

fn settings(owner: &ServerGroup) -> Option<String> {
    let delay = owner.details.as_ref()?.deregistration_delay?;
    Some(format!("{:?} {delay}", owner.target_group.as_ref()?.health_check))
}

fn action(rule: &Rule) -> String {
    let mut shares = rule.action.percents();
    shares.sort();
    format!("{:?} {shares:?}", rule.conditions)
}
