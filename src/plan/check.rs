//! An independent checker of any plan.
//!
//! It shares no code with the questions that made the plan: it looks at one action and at
//! the reading that it rests on, and names every invariant that the action would break.

use std::collections::BTreeMap;
use std::fmt;

use crate::names::{GroupName, TargetGroupArn};
use crate::observed::marks::Mark;
use crate::observed::resources::{Conditions, Lifecycle, Rule, TargetHealth};
use crate::observed::state::{ServerGroup, ServiceState, Slot};

use super::action::{Action, Carrier, Kind, Mutation, Weight};
use super::view::{File, Input};

/// An invariant that an action would break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one, by its name.
    pub invariant: &'static str,
    /// How.
    pub how: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.how)
    }
}

/// Everything that is wrong with an action on a reading.
pub fn check(input: &Input<'_>, action: &Action) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut violation = |invariant, how: String| broken.push(Violation { invariant, how });
    let state = input.state;
    if let Some(what) = &state.incomplete {
        violation("unknown is not absent", format!("{:?} on an incomplete reading ({what})", action.mutation.kind()));
    }
    if action.because.is_empty() {
        violation("explained", format!("{:?} has no because", action.mutation.kind()));
    }
    owned(input, &action.mutation, &mut violation);
    untouched(state, action, &mut violation);
    match &action.mutation {
        Mutation::SetWeights { rule, weights } => {
            let known = state.rules.iter().chain(&state.standing).find(|known| known.arn == *rule);
            let conditions = known.map(|known| &known.conditions);
            traffic(state, conditions, weights, &mut violation);
        }
        Mutation::SetRule { conditions, weights, .. } | Mutation::CreateRule { conditions, weights, .. } => {
            traffic(state, Some(conditions), weights, &mut violation);
        }
        Mutation::SetCapacity { release, desired, min, max, .. } => {
            if min > max || desired.is_some_and(|desired| desired < *min || desired > *max) {
                violation("absolute", format!("sizes {min}, {desired:?}, {max} do not fit"));
            }
            let now = group(state, release).and_then(|owner| owner.group.as_ref()).map_or(0, |g| g.desired);
            // A file whose maximum is below what runs asks for less itself.
            if desired.is_some_and(|desired| desired < now) {
                kept(state, release, "scaled down", &mut violation);
            }
        }
        Mutation::DeleteGroup { release, .. } => kept(state, release, "deleted", &mut violation),
        Mutation::DeleteTargetGroup { release, .. } => {
            if group(state, release).is_some_and(|owner| owner.weight.is_some()) {
                violation("kept", format!("target group of {release} is deleted while a rule names it"));
            }
        }
        Mutation::DeleteTemplate { release, .. } => {
            if group(state, release).is_some_and(|owner| owner.group.is_some() || !owner.deleting.is_empty()) {
                violation("kept", format!("launch template of {release} is deleted while its group stands"));
            }
            if group(state, release).is_some_and(|owner| owner.template_marks().hold.is_some()) {
                violation("kept", format!("launch template of {release} is deleted with its hold"));
            }
        }
        Mutation::DeleteRule { rule } => {
            let known = state.rules.iter().find(|known| known.arn == *rule);
            let last = known.is_some_and(|known| real(&known.conditions))
                && state.rules.iter().filter(|r| real(&r.conditions)).count() == 1;
            if last && input.file != File::Missing {
                violation("served", "the only rule with traffic is deleted".to_owned());
            }
        }
        Mutation::SetMark { on: Carrier::Template { release, .. }, mark: Mark::Rejected, .. } => {
            if group(state, release).is_some_and(|owner| owner.stable().is_some()) {
                violation("stable is never rejected", release.to_string());
            }
        }
        Mutation::CreateTemplate(_)
        | Mutation::CreateTargetGroup(_)
        | Mutation::SetTargetGroup { .. }
        | Mutation::CreateGroup { .. }
        | Mutation::SetPolicies { .. }
        | Mutation::SetGroup { .. }
        | Mutation::SetMark { .. }
        | Mutation::ClearMark { .. }
        | Mutation::SetTags { .. } => {}
    }
    starts(input, &action.mutation, &mut violation);
    broken
}

fn group<'a>(state: &'a ServiceState, name: &GroupName) -> Option<&'a ServerGroup> {
    state.groups.get(name)
}

fn real(conditions: &Conditions) -> bool {
    !conditions.hosts.iter().any(|host| host.ends_with(".ionroller.invalid"))
}

/// Machines that get requests and answer them.
fn healthy(owner: &ServerGroup) -> usize {
    let Some(members) = &owner.group else { return 0 };
    if owner.target_group.is_none() {
        return usize::try_from(members.inline_healthy()).unwrap_or(usize::MAX);
    }
    let serving = members.instances.iter().filter(|i| i.lifecycle == Lifecycle::InService && i.healthy);
    match &owner.targets {
        Some(targets) => {
            serving.filter(|i| targets.get(&i.id).map(|target| target.health) == Some(TargetHealth::Healthy)).count()
        }
        None => 0,
    }
}

fn shares(rule: &Rule) -> BTreeMap<TargetGroupArn, u32> {
    rule.action.percents().into_iter().collect()
}

/// Served: no weight for a group without healthy machines while another has them.
fn traffic(
    state: &ServiceState,
    conditions: Option<&Conditions>,
    weights: &[Weight],
    violation: &mut impl FnMut(&'static str, String),
) {
    let sum: u32 = weights.iter().map(|weight| weight.percent).sum();
    if sum != 100 {
        violation("absolute", format!("weights sum to {sum}"));
    }
    if weights.len() > 5 {
        violation("absolute", format!("{} target groups in one action", weights.len()));
    }
    if !conditions.is_some_and(real) {
        return;
    }
    // A rule that moves gets what the one in its old place gives.
    let mut before: BTreeMap<TargetGroupArn, u32> = BTreeMap::new();
    for (arn, percent) in state.rules.iter().filter(|rule| real(&rule.conditions)).flat_map(shares) {
        let most = before.entry(arn).or_default();
        *most = percent.max(*most);
    }
    let foreign_health = |arn: &TargetGroupArn| {
        let targets = state.foreign.get(arn)?;
        Some(targets.values().filter(|target| target.health == TargetHealth::Healthy).count())
    };
    // Machines behind no target group can't answer instead.
    let someone_is_well = state.groups.values().any(|owner| owner.target_group.is_some() && healthy(owner) > 0)
        || before.iter().any(|(arn, percent)| *percent > 0 && foreign_health(arn).is_some_and(|well| well > 0));
    for weight in weights {
        let had = before.get(&weight.target_group).copied().unwrap_or(0);
        let owner = state.owner_of(&weight.target_group);
        // Of a release without a group there is nothing to be read.
        let was_read = |owner: &ServerGroup| owner.targets.is_some() || owner.group.is_none();
        if weight.percent > had && someone_is_well && owner.is_some_and(|owner| was_read(owner) && healthy(owner) == 0)
        {
            violation("served", format!("{} % for a group without healthy machines", weight.percent));
        }
        if weight.percent > had
            && owner.is_none()
            && !before.is_empty()
            && foreign_health(&weight.target_group) == Some(0)
        {
            violation("served", format!("{} % for a foreign side without healthy targets", weight.percent));
        }
        if weight.percent > had && !before.is_empty() && owner.is_some_and(|owner| !was_read(owner)) {
            violation("served", format!("{} % for a group whose health was not read", weight.percent));
        }
    }
}

/// Kept: what has traffic, or is the only one that could, is not taken away.
fn kept(state: &ServiceState, release: &GroupName, how: &str, violation: &mut impl FnMut(&'static str, String)) {
    let Some(owner) = group(state, release) else { return };
    // Behind conditions that no client meets nobody is served.
    let real_weight = |group: &ServerGroup| {
        let arn = group.target_group.as_ref().map(|target_group| &target_group.arn);
        let rules = state.rules.iter().filter(|rule| real(&rule.conditions));
        rules.filter_map(|rule| shares(rule).get(arn?).copied()).any(|percent| percent > 0)
    };
    if real_weight(owner) {
        violation("kept", format!("{release} is {how} while it has traffic"));
    }
    let others = state.groups.values().filter(|other| other.name != *release);
    // Of workers the one that settled last works, unless it was left since.
    let works = |owner: &ServerGroup| {
        owner.target_group.is_none() && owner.group.is_some() && owner.retired().is_none() && owner.stable().is_some()
    };
    if works(owner) && !others.clone().any(|other| works(other) && healthy(other) > 0) {
        violation("kept", format!("{release} is {how} while it does the work"));
    }
    let mut serving = others.filter(|other| real_weight(other) && other.group.is_some()).peekable();
    if healthy(owner) > 0 && serving.peek().is_some() && serving.all(|other| healthy(other) == 0) {
        violation("kept", format!("{release} is {how} while it is the only one with healthy machines"));
    }
}

/// Owned: nothing that isn't this service's.
fn owned(input: &Input<'_>, mutation: &Mutation, violation: &mut impl FnMut(&'static str, String)) {
    let state = input.state;
    let known = |release: &GroupName| state.groups.contains_key(release);
    let ours = match mutation {
        Mutation::SetCapacity { release, .. }
        | Mutation::SetPolicies { release, .. }
        | Mutation::SetGroup { release, .. }
        | Mutation::CreateGroup { release, .. }
        | Mutation::DeleteGroup { release, .. }
        | Mutation::DeleteTargetGroup { release, .. }
        | Mutation::DeleteTemplate { release, .. } => known(release),
        Mutation::SetMark { on, .. } | Mutation::ClearMark { on, .. } | Mutation::SetTags { on, .. } => match on {
            Carrier::Template { release, .. } | Carrier::Group { release, .. } => known(release),
        },
        Mutation::SetTargetGroup { spec, .. } => known(&spec.name),
        Mutation::SetRule { rule, .. } | Mutation::SetWeights { rule, .. } | Mutation::DeleteRule { rule } => {
            let named = |known: &Rule| known.arn == *rule;
            // The rule or default action that the file names, aside.
            let left = match &state.slot {
                Some(Slot::Neighbour(other)) => other.rules.iter().any(|rule| real(&rule.conditions)),
                _ => false,
            };
            let may_take = (left || matches!(state.slot, Some(Slot::Free | Slot::Adoptable(_))))
                && !matches!(mutation, Mutation::DeleteRule { .. })
                && state.standing.as_ref().is_some_and(named);
            let is_mine = state.rules.iter().any(named);
            (is_mine || may_take) && !(matches!(mutation, Mutation::DeleteRule { .. }) && state.borrowed.contains(rule))
        }
        Mutation::CreateTemplate(_) | Mutation::CreateTargetGroup(_) | Mutation::CreateRule { .. } => true,
    };
    if !ours {
        violation("owned", format!("{:?} of {}", mutation.kind(), mutation.resource()));
    }
}

/// Untouched: what a rule has besides our weights survives every call.
fn untouched(state: &ServiceState, action: &Action, violation: &mut impl FnMut(&'static str, String)) {
    let (Mutation::SetRule { rule, .. } | Mutation::SetWeights { rule, .. }) = &action.mutation else { return };
    let Some(known) = state.rules.iter().chain(&state.standing).find(|known| known.arn == *rule) else { return };
    if known.action.kept() != action.kept {
        violation("untouched", format!("{rule} would lose what it has besides its weights"));
    }
    let hidden = !real(&known.conditions);
    if let Mutation::SetRule { conditions, .. } = &action.mutation
        && *conditions != known.conditions
        && !hidden
        && real(conditions)
        && !action.expects.iter().any(|what| what.contains(&known.conditions.to_string()))
    {
        violation("untouched", format!("the conditions of {rule} change unsaid"));
    }
}

/// Fenced, held and gated: nothing begins.
fn starts(input: &Input<'_>, mutation: &Mutation, violation: &mut impl FnMut(&'static str, String)) {
    let begins = matches!(mutation.kind(), Kind::CreateLaunchTemplate | Kind::CreateTargetGroup);
    let held = input.state.groups.values().any(|owner| owner.template_marks().hold.is_some());
    if begins && input.fence.is_some() {
        violation("fenced", format!("{:?} for a commit that may not act", mutation.kind()));
    }
    if begins && held && !input.state.groups.values().any(|owner| owner.percent() > 0 && owner.group.is_none()) {
        violation("held", format!("{:?} while the service is held", mutation.kind()));
    }
    if begins && !matches!(input.file, File::Valid(_)) && input.fallback.is_none() {
        violation("unknown is not absent", format!("{:?} without a file", mutation.kind()));
    }
}
