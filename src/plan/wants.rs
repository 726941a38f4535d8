//! What must be read besides the listings, and for which services.
//!
//! Listings cost pages; health, activities and settings cost a call per group. They are
//! read only where a decision needs them.

use crate::observed::state::Wants;

use super::settings;
use super::view::{Input, View};

/// What the decision about a service needs. Services at rest need nothing: a service is in a
/// rollout when more than one group stands, or when the wanted release isn't live.
pub fn wants(input: &Input<'_>) -> Wants {
    let view = View::new(input);
    let standing = || input.state.groups.values().filter(|group| group.group.is_some());
    let rollout = standing().count() > 1
        || (view.wanted_name.is_some() && !view.live_is_wanted())
        || (view.foreign.is_some() && standing().count() > 0);
    let mut wants = Wants::default();
    if rollout {
        let checked = standing().filter(|group| group.target_group.is_some());
        wants.health = checked.map(|group| group.name.clone()).collect();
    }
    if rollout {
        wants.foreign.extend(view.foreign.as_ref().map(|foreign| foreign.target_group.clone()));
    }
    if let Some(candidate) = view.candidate.filter(|candidate| candidate.group.is_some() && view.wanted.is_some()) {
        let missing = candidate.group.as_ref().is_some_and(|group| group.inline_healthy() < view.need());
        wants.activities.extend(missing.then(|| candidate.name.clone()));
        wants.details.push(candidate.name.clone());
    }
    if let Some(live) = view.live.filter(|_| settings::differ(&view)) {
        wants.details.push(live.name.clone());
    }
    wants
}
