//! What a call that changes a rule must leave as it is, and what it says of the rest.
//!
//! AWS replaces the whole list of a rule's actions. So each call takes along what the
//! reading showed beside the weights, whichever question asked for it.

use crate::mutant::Mutant;
use crate::names::RuleArn;
use crate::observed::resources::{Kept, Rule};
use crate::observed::state::ServiceState;

use super::action::{Action, Mutation};
use super::view::{View, is_temporary};

/// A rule of the service, or what stands where it wants one.
pub fn rule<'a>(state: &'a ServiceState, arn: &RuleArn) -> Option<&'a Rule> {
    state.rules.iter().chain(&state.standing).find(|known| known.arn == *arn)
}

/// The same action with everything that its rule has and that isn't ours.
pub fn keep(view: &View<'_>, mut action: Box<Action>) -> Box<Action> {
    if Mutant::ForgetKept.on() {
        return action;
    }
    let state = view.input.state;
    match &action.mutation {
        Mutation::SetWeights { rule: arn, .. } => action.kept = kept(state, arn),
        Mutation::SetRule { rule: arn, conditions, .. } => {
            action.kept = kept(state, arn);
            let before = rule(state, arn).map(|rule| &rule.conditions).filter(|before| *before != conditions);
            if let Some(before) = before.filter(|before| !is_temporary(before) && !is_temporary(conditions)) {
                action.expects.push(format!("its conditions change from {before} to {conditions}"));
            }
        }
        // One that takes another's place does what that did.
        Mutation::CreateRule { conditions, .. } if !is_temporary(conditions) => {
            let old = state.rules.iter().find(|rule| !is_temporary(&rule.conditions));
            action.kept = old.map(|rule| rule.action.kept()).unwrap_or_default();
        }
        _ => {}
    }
    action
}

fn kept(state: &ServiceState, arn: &RuleArn) -> Kept {
    rule(state, arn).map(|rule| rule.action.kept()).unwrap_or_default()
}
