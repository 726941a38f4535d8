//! A service whose file is gone and whose scope prunes: everything of it goes, but for the
//! newest launch template, whose fence keeps an older commit from bringing it back.

use crate::mutant::Mutant;
use crate::observed::marks::Mark;
use crate::observed::state::ServerGroup;

use super::action::{Carrier, Mutation};
use super::answer::{Answer, act};
use super::retire::{self, group_carrier, mark_retired, template_carrier};
use super::traffic;
use super::types::WaitingOn;
use super::view::{File, View};

/// What becomes of a service without a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Orphan {
    /// It keeps running.
    #[default]
    Kept,
    /// It would be removed, but for this.
    Waits(WaitingOn),
    /// It is removed.
    Removed,
}

const BECAUSE: &str = "its file is gone, and the scope prunes";

/// The next thing to take away; none when only the record is left.
pub fn next(view: &View<'_>) -> Option<Answer> {
    if view.input.file != File::Missing || !stands(view) {
        return None;
    }
    match &view.input.orphan {
        Orphan::Kept => return None,
        Orphan::Waits(on) if !started(view) => return Some(on.clone().into()),
        Orphan::Waits(_) | Orphan::Removed => {}
    }
    blocked(view)
        .or_else(|| fence(view))
        .or_else(|| rules(view).filter(|_| !Mutant::MachinesBeforeRule.on()))
        .or_else(|| retired(view))
        .or_else(|| not_stable(view))
        .or_else(|| machines(view))
        .or_else(|| records(view))
}

/// Whether more than the record is there.
pub fn stands(view: &View<'_>) -> bool {
    let mut groups = view.input.state.groups.values();
    let stable = |group: &ServerGroup| group.stable().is_some();
    !view.input.state.rules.is_empty()
        || groups.any(|group| view.leaves_something(group) || stable(group))
        || records(view).is_some()
}

/// Whether its work was taken from it already: then no freeze stops the rest.
pub fn started(view: &View<'_>) -> bool {
    view.live.is_none_or(|live| live.target_group.is_some() && view.input.state.rules.is_empty())
}

/// What is not ours to delete keeps the service.
fn blocked(view: &View<'_>) -> Option<Answer> {
    let state = view.input.state;
    let rule = state.rules.iter().find(|rule| state.borrowed.contains(&rule.arn))?;
    Some(traffic::never_deleted(rule).into())
}

/// The record's template and what serves, so that no older commit undoes the removal.
fn fence(view: &View<'_>) -> Option<Answer> {
    let commit = view.input.commit.filter(|_| !Mutant::RemovalUnfenced.on())?;
    let is_ours = |fence: &Option<String>| fence.as_deref() == Some(commit.as_str());
    let on_record = record(view)
        .filter(|owner| owner.template.as_ref().is_some_and(|template| !is_ours(&template.marks.fence)))
        .map(template_carrier);
    let on_live = view.live.and_then(|live| {
        let group = live.group.as_ref().filter(|group| !is_ours(&group.marks.fence))?;
        Some(group_carrier(live, group))
    });
    let on = on_record.or(on_live)?;
    let mutation = Mutation::SetMark { on, mark: Mark::Fence, value: commit.to_string() };
    Some(act(mutation, format!("no older commit may act after {}", commit.short())).into())
}

/// The newest template.
fn record<'a>(view: &View<'a>) -> Option<&'a ServerGroup> {
    let groups = view.input.state.groups.values().filter(|group| group.template.is_some());
    groups.max_by_key(|group| (group.template.as_ref().map(|template| template.created), group.name.clone()))
}

fn rules(view: &View<'_>) -> Option<Answer> {
    let rule = view.input.state.rules.first()?;
    Some(act(Mutation::DeleteRule { rule: rule.arn.clone() }, BECAUSE).expect("its file is gone").into())
}

fn retired(view: &View<'_>) -> Option<Answer> {
    let mut standing = view.input.state.groups.values().filter(|group| group.group.is_some());
    let serving = standing.find(|group| group.retired().is_none())?;
    Some(mark_retired(view, serving, BECAUSE).into())
}

/// What comes back comes as a first release.
fn not_stable(view: &View<'_>) -> Option<Answer> {
    let stable = view.input.state.groups.values().find(|group| group.stable().is_some())?;
    let on: Carrier = template_carrier(stable);
    Some(act(Mutation::ClearMark { on, mark: Mark::Stable }, BECAUSE).into())
}

fn machines(view: &View<'_>) -> Option<Answer> {
    let mut waits = None;
    for group in view.input.state.groups.values().filter(|group| view.leaves_something(group)) {
        match retire::retire(view, group, BECAUSE) {
            Some(Answer::Act(action)) => return Some(Answer::Act(action)),
            answer => waits = waits.or(answer),
        }
    }
    waits
}

/// All templates but the newest, and those with a verdict: it outlives the service.
fn records(view: &View<'_>) -> Option<Answer> {
    let kept = record(view)?;
    let mut others = view.input.state.groups.values().filter(|group| group.name != kept.name);
    let other = others.find(|group| group.template.is_some() && group.template_marks().rejected.is_none())?;
    let id = other.template.as_ref()?.id.clone();
    let mutation = Mutation::DeleteTemplate { release: other.name.clone(), id };
    Some(act(mutation, BECAUSE).expect("nothing runs from it").into())
}
