//! 18 Untouched: what others have put into a rule beside our weights survives every call, and
//! its conditions become nobody's but the file's.

use std::collections::BTreeMap;

use crate::cloud::sim::world::World;
use crate::names::RuleArn;
use crate::observed::resources::{Condition, Conditions, Kept, Opaque, Rule, RuleAction};

use super::call::{Call, weights};
use super::check::Check;
use super::facts::{is_hidden, is_of};
use super::files;
use super::run::Run;
use super::stage::Who;

/// What a reading showed of the actions of rules, beside the weights.
pub type KeptRead = BTreeMap<RuleArn, Kept>;

impl Check {
    /// A reading shows a rule, or a listener's default action.
    pub fn dressed(&mut self, who: Who, service: Option<&str>, arn: &RuleArn, action: &RuleAction) {
        self.reading(who, service).kept.insert(arn.clone(), action.kept());
    }

    /// A call changes a rule.
    pub fn untouched(&mut self, turn: &str, call: &Call) {
        let Call::SetRule(arn, conditions, _, kept) = call else { return };
        let who = self.who();
        if let Some(read) = self.reading(who, Some(turn)).kept.get(arn).cloned() {
            self.saw("untouched");
            if read != *kept {
                self.wrong("untouched", format!("{call}: {kept:?} in place of {read:?}"));
            }
        }
        let name = files::number(turn).map_or(turn, |s| files::NAMES[s]);
        let ours = |conditions: &Conditions| {
            let of_file = |host: &String| host.starts_with(&format!("{name}-")) && host.ends_with(".example.com");
            is_hidden(conditions)
                || (conditions.more.is_empty() && conditions.paths.is_empty() && conditions.hosts.iter().all(of_file))
        };
        if let Some(conditions) = conditions.as_ref().filter(|conditions| !ours(conditions)) {
            self.wrong("untouched", format!("{call}: no file of {turn} says {conditions}"));
        }
    }
}

/// What somebody puts into an action.
fn dress(kept: &mut Kept, which: usize) {
    let opaque = |kind: &str| Opaque { kind: kind.to_owned(), text: format!("{kind} of {which}") };
    match which % 3 {
        0 => kept.before = vec![opaque("authenticate-oidc")],
        1 => kept.stickiness_secs = Some(600),
        _ => kept.transforms = vec![opaque("url-rewrite")],
    }
}

impl Run {
    /// Somebody changes the rule that has a service's traffic, or its listener's default action:
    /// authentication, stickiness, transforms, or who may reach it.
    pub fn dress(&self, s: usize, which: usize) {
        let name = files::NAMES[s];
        self.theatre.sim.change(|world| {
            if which % 5 > 2 {
                let mut rules = world.rules.values_mut().filter(|rule| is_of(&rule.tags, name));
                if let Some(rule) = rules.find(|rule| !is_hidden(&rule.conditions)) {
                    match which % 5 {
                        3 => rule.conditions.more = vec![Condition::SourceIps(vec!["10.0.0.0/8".to_owned()])],
                        _ => rule.conditions.hosts = vec![format!("moved.example.com")],
                    }
                }
                return;
            }
            let ours = |world: &World, action: &RuleAction| {
                let mut named = weights(action).iter().filter_map(|(arn, _)| world.target_groups.get(arn));
                named.any(|group| is_of(&group.tags, name))
            };
            let listeners =
                world.listeners.iter().filter(|(arn, found)| !arn.is_network() && ours(world, &found.default_action));
            let listeners: Vec<_> = listeners.map(|(arn, _)| arn.clone()).collect();
            let rules =
                world.rules.iter().filter(|(_, rule)| !is_hidden(&rule.conditions) && ours(world, &rule.action));
            let rules: Vec<_> = rules.map(|(arn, _)| arn.clone()).collect();
            let again = |action: &mut RuleAction| {
                let mut kept = action.kept();
                dress(&mut kept, which);
                *action = RuleAction::forward(weights(action).to_vec(), kept);
            };
            for arn in &rules {
                world.rules.get_mut(arn).into_iter().for_each(|rule| again(&mut rule.action));
            }
            for arn in &listeners {
                world.listeners.get_mut(arn).into_iter().for_each(|found| again(&mut found.default_action));
            }
        });
    }
}

/// A rule as a reading shows it.
pub fn read(check: &mut Check, who: Who, service: Option<&str>, rules: &[Rule]) {
    for rule in rules.iter().filter(|rule| rule.priority.is_some()) {
        check.dressed(who, service, &rule.arn, &rule.action);
    }
}
