//! What must be read besides the listings, and for which services.
//!
//! Listings cost pages; health, activities and settings cost a call per group. They are
//! read only where a decision needs them.

use crate::observed::state::{ServerGroup, Wants};

use super::view::{Input, View};
use super::{machines, prerequisites, settings, sides};

/// What the decision about a service needs. Services at rest need nothing: a service is in a
/// rollout when more than one group stands, or when the wanted release isn't live. One that
/// has traffic and no machines stands, too.
pub fn wants(input: &Input<'_>) -> Wants {
    let view = View::new(input);
    let stands = |group: &&ServerGroup| group.group.is_some() || view.weight(group) > 0;
    let standing = || input.state.groups.values().filter(stands);
    let rollout = standing().count() > 1
        // What isn't ours gives its part to live, and that takes live's health.
        || input.state.foreign_targets().iter().any(|(_, percent)| *percent > 0)
        || (view.wanted_name.is_some() && !view.live_is_wanted())
        || (view.foreign.is_some() && standing().count() > 0)
        // Somebody took it out of its action; whether it may have all of that rests on its health.
        || view.live.is_some_and(|live| live.target_group.is_some() && live.weight.is_none());
    let unwell = view.live.is_some_and(|live| {
        live.target_group.is_some() && !sides::suffices(view.standing_health(live), view.need(), 100)
    });
    let mut wants = Wants::default();
    if let Some(live) = view.live.filter(|_| unwell && !rollout) {
        wants.health.push(live.name.clone());
    }
    if rollout {
        let checked = standing().filter(|group| group.target_group.is_some());
        wants.health = checked.map(|group| group.name.clone()).collect();
    }
    if rollout {
        wants.foreign.extend(view.foreign.as_ref().map(|foreign| foreign.target_group.clone()));
    }
    if let Some(candidate) = view.candidate.filter(|candidate| candidate.group.is_some() && view.wanted.is_some()) {
        let seen = input.memory.machines(&candidate.name);
        let asks = candidate.group.as_ref().is_some_and(|group| {
            let missing = group.inline_healthy() < view.need_of(candidate);
            missing || (candidate.target_group.is_some() && machines::has_unknown_age(group, seen))
        });
        wants.activities.extend(asks.then(|| candidate.name.clone()));
        wants.details.push(candidate.name.clone());
    }
    if let Some(live) = view.live.filter(|_| settings::differ(&view)) {
        wants.details.push(live.name.clone());
    }
    let settled = view.live.filter(|live| !rollout && wants.details.is_empty() && live.group.is_some());
    if let Some(live) = settled.filter(|_| view.live_is_wanted() && input.memory.audits(input.now)) {
        wants.audit.push(live.name.clone());
    }
    wants.prerequisites = prerequisites::needed(&view);
    wants
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::story::{Story, file};

    use super::*;

    /// Its weight goes to live, and that takes live's health.
    #[test]
    fn a_group_that_was_deleted_by_hand_and_has_traffic_is_no_rest() {
        let mut story = Story::settled("1.0");
        assert_eq!(story.ask(wants), Wants::default());
        story.commit(file("1.1")).until_weight("1.1", 10);
        story.commit(file("1.0"));
        story.group_mut("1.1").group = None;
        let mut wanted = story.ask(wants).health;
        wanted.sort();
        let mut standing = vec![story.name("1.0"), story.name("1.1")];
        standing.sort();
        assert_eq!(wanted, standing);
    }
}
