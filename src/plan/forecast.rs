//! Looking ahead: the planner run forward on a model in which everything goes well.

use crate::names::GroupName;
use crate::observed::marks::Mark;
use crate::observed::state::ServiceState;
use crate::time::{Span, Timestamp};

use super::action::{Action, Carrier, Mutation};
use super::answer::Wait;
use super::memory::Memory;
use super::model::Model;
use super::questions::{Next, next};
use super::types::{Forecast, Reason, ReleaseWeight};
use super::view::{Input, View};

/// No rollout takes more changes than this; a planner that flaps must not run for ever.
const CHANGES_MAX: usize = 400;

/// Looks at machines of which nothing new comes: as many as what must be seen twice takes. More
/// show nothing else, and where thousands are counted each costs milliseconds.
const LOOKS_MAX: u8 = 3;

/// What one pass does and what follows.
pub struct Ahead {
    /// The changes of one pass, now.
    pub actions: Vec<Action>,
    /// What that pass ends with; none when all is as it should be.
    pub wait: Option<Wait>,
    /// What follows, with the changes of now first.
    pub forecast: Vec<Forecast>,
    /// When the release that is live now is retired.
    pub retired_at: Option<Timestamp>,
}

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One pass: what would be done now.
    Now,
    /// All that would follow, too.
    ToTheEnd,
}

/// Runs one pass on a model, and all that would follow.
pub fn look(input: &Input<'_>, reach: Reach) -> Ahead {
    let mut run = Run::new(input);
    let wait = run.pass();
    let actions = std::mem::take(&mut run.actions);
    if reach == Reach::Now {
        return Ahead { actions, wait, forecast: Vec::new(), retired_at: None };
    }
    let hopeless = wait.as_ref().is_some_and(|wait| !ends_by_itself(wait));
    if !hopeless && (wait.is_some() || !actions.is_empty() || View::new(input).warm.is_some()) {
        run.until_rest(wait.clone());
    }
    Ahead { actions, wait, forecast: run.forecast, retired_at: run.retired_at }
}

/// Whether a wait is over without a person, a commit or a change that nobody can foresee.
fn ends_by_itself(wait: &Wait) -> bool {
    match wait.on.reason {
        Reason::Capacity | Reason::Health | Reason::Bake | Reason::Warm | Reason::Drain => !wait.halted,
        Reason::Retry => wait.on.until.is_some() && !wait.halted,
        Reason::Freeze => wait.on.until.is_some(),
        Reason::Hold
        | Reason::Paused
        | Reason::Approval
        | Reason::Gate
        | Reason::Dependency
        | Reason::Slot
        | Reason::Limit
        | Reason::Preflight
        | Reason::Unknown
        | Reason::Fence
        | Reason::Rejected
        | Reason::Invalid
        | Reason::Error
        | Reason::Down => false,
    }
}

/// What was so before a change, to tell what it has changed.
struct Before {
    warm: Option<GroupName>,
    traffic: Vec<(GroupName, u32)>,
}

/// Who has traffic.
fn traffic(view: &View<'_>) -> Vec<(GroupName, u32)> {
    let groups = view.input.state.groups.values();
    groups.map(|group| (group.name.clone(), view.weight(group))).filter(|(_, weight)| *weight > 0).collect()
}

struct Run<'a> {
    input: &'a Input<'a>,
    model: Model,
    memory: Memory,
    now: Timestamp,
    actions: Vec<Action>,
    forecast: Vec<Forecast>,
    retired_at: Option<Timestamp>,
    /// Looks since anything was changed or happened.
    looks: u8,
}

impl<'a> Run<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        Self {
            input,
            model: Model::new(input.state, input.now),
            memory: input.memory.clone(),
            now: input.now,
            actions: Vec::new(),
            forecast: Vec::new(),
            retired_at: None,
            looks: 0,
        }
    }

    fn at<'b>(&'b self, state: &'b ServiceState, memory: &'b Memory) -> Input<'b>
    where
        'a: 'b,
    {
        let gate = self.input.gate.clone().filter(|gate| gate.until.is_none_or(|until| self.now < until));
        Input { state, memory, now: self.now, gate, ..self.input.clone() }
    }

    /// Changes until something must be waited for.
    fn pass(&mut self) -> Option<Wait> {
        for _ in 0..CHANGES_MAX {
            // The first decision is made on what was read, not on what the model thinks of it.
            let state = if self.actions.is_empty() && self.now == self.input.now {
                self.input.state.clone()
            } else {
                self.model.state.clone()
            };
            let memory = self.memory.clone();
            let here = self.at(&state, &memory);
            let view = View::new(&here);
            match next(&view) {
                Next::Act(action) => {
                    let before = Before { warm: view.warm.map(|warm| warm.name.clone()), traffic: traffic(&view) };
                    self.model.apply(&action.mutation, self.now);
                    // What the model does can be seen at once.
                    self.memory.forget_writes();
                    self.remember(&action, &before);
                    self.actions.push(*action);
                }
                Next::Wait(wait) => return Some(*wait),
                Next::Rest => return None,
            }
        }
        None
    }

    /// Passes, each when something is due, until nothing is.
    fn until_rest(&mut self, mut wait: Option<Wait>) {
        let horizon = self.now + Span::from_mins(60 * 24 * 60);
        for _ in 0..CHANGES_MAX {
            let Some(due) = self.due(wait.as_ref()).filter(|due| *due < horizon) else { return };
            self.now = due;
            self.model.advance(due);
            self.note(wait.as_ref());
            let (changes, quiet) = (self.actions.len(), self.model.next_event().is_none());
            wait = self.pass();
            self.looks = if quiet && self.actions.len() == changes { self.looks.saturating_add(1) } else { 0 };
            if wait.as_ref().is_some_and(|wait| !ends_by_itself(wait)) {
                return;
            }
        }
    }

    /// The next time at which anything can be different.
    fn due(&self, wait: Option<&Wait>) -> Option<Timestamp> {
        let confirm = wait.filter(|wait| wait.removal.is_some()).map(|_| self.now + Span::from_secs(1));
        let healthy = wait
            .filter(|wait| wait.on.reason == Reason::Health && self.model.next_event().is_none())
            .filter(|_| self.looks < LOOKS_MAX)
            .map(|_| self.now + Span::from_secs(1));
        let until = wait.and_then(|wait| wait.on.until).filter(|until| *until > self.now);
        let until = until.filter(|_| wait.is_some_and(|wait| wait.on.reason != Reason::Health || self.is_ready()));
        let warm = self.warm_until().filter(|due| *due > self.now);
        let event = self.model.next_event();
        let linger = self.linger_until().filter(|due| *due > self.now);
        [confirm, healthy, until, warm, event, linger].into_iter().flatten().min()
    }

    fn is_ready(&self) -> bool {
        let here = self.at(&self.model.state, &self.memory);
        let view = View::new(&here);
        view.candidate.is_some_and(|candidate| self.memory.ready(&candidate.name).is_some())
    }

    fn warm_until(&self) -> Option<Timestamp> {
        let here = self.at(&self.model.state, &self.memory);
        super::retire::warm_until(&View::new(&here))
    }

    /// When connections under way keep the next group no longer.
    fn linger_until(&self) -> Option<Timestamp> {
        let here = self.at(&self.model.state, &self.memory);
        let view = View::new(&here);
        let leaving = view.leftovers.iter().filter_map(|group| super::retire::still_in_use(&view, group));
        leaving.filter_map(|wait| wait.on.until).min()
    }

    fn note(&mut self, wait: Option<&Wait>) {
        self.memory.watched_until(self.now);
        let here = self.at(&self.model.state, &self.memory);
        let mut memory = self.memory.note(&here);
        let removals: Vec<String> = wait.and_then(|wait| wait.removal.clone()).into_iter().collect();
        memory.note_removals(&removals, self.now - Span::from_secs(1));
        memory.note_rest();
        self.memory = memory;
    }

    fn remember(&mut self, action: &Action, before: &Before) {
        let Some(event) = self.event(action, before) else { return };
        self.forecast.push(Forecast {
            after_secs: self.now.since(self.input.now).as_secs_ceil(),
            event,
            instances: self.model.instances(),
            weights: self.weights(),
        });
    }

    fn weights(&self) -> Vec<ReleaseWeight> {
        let state = &self.model.state;
        let mut weights: Vec<ReleaseWeight> = state
            .groups
            .values()
            .filter_map(|group| {
                let here = self.at(state, &self.memory);
                let percent = group.weight.map(|_| View::new(&here).weight(group))?;
                let identity = &group.identity;
                Some(ReleaseWeight { version: identity.version.clone(), digest: identity.digest.clone(), percent })
            })
            .collect();
        weights.sort_by(|a, b| (b.percent, &a.version).cmp(&(a.percent, &b.version)));
        weights
    }

    /// The moments that a reader plans by; the steps between them are left out.
    fn event(&mut self, action: &Action, before: &Before) -> Option<String> {
        let here = self.at(&self.model.state, &self.memory);
        let view = View::new(&here);
        let version = |name| self.model.version(name).map(ToString::to_string).unwrap_or_default();
        match &action.mutation {
            Mutation::CreateGroup { release, spec } => {
                let like_live = view.live.is_some() && spec.min == view.live_desired();
                let size = if like_live { ", as many as live has" } else { "" };
                let noun = if spec.min == 1 { "instance" } else { "instances" };
                Some(format!("{} {noun} of {}{size}", spec.min, version(release)))
            }
            Mutation::SetWeights { .. } | Mutation::SetRule { .. } => {
                let candidate = view.candidate.or(view.live)?;
                let percent = view.weight(candidate);
                let step = candidate.step().map_or(0, |step| step.percent);
                // An entry at weight 0, or one that leaves, moves no traffic.
                if traffic(&view) == before.traffic || (percent <= step && candidate.stable().is_none()) {
                    return None;
                }
                let bake = view.spec.map(|spec| spec.rollout.bake).filter(|bake| *bake > Span::ZERO);
                Some(match (candidate.stable(), bake) {
                    (Some(_), _) => format!("all traffic on {}", candidate.identity.version),
                    (None, Some(bake)) => format!("{percent} %, bake {bake}"),
                    (None, None) => format!("{percent} %"),
                })
            }
            Mutation::SetMark { mark: Mark::Stable, on: Carrier::Template { release, .. }, .. } => {
                let old = view.input.state.groups.values().find(|group| {
                    &group.name != release
                        && group.group.is_some()
                        && group.stable().is_some()
                        && group.retired().is_none()
                });
                Some(match old {
                    Some(old) => format!("settled, {} kept warm", old.identity.version),
                    None => "settled".to_owned(),
                })
            }
            Mutation::SetMark { mark: Mark::Step, on: Carrier::Group { release, .. }, .. } if view.is_worker() => {
                let candidate = view.candidate.filter(|candidate| view.serves(candidate))?;
                let bake = view.spec.map(|spec| spec.rollout.bake).filter(|bake| *bake > Span::ZERO);
                let beside = view.live.map(|live| format!(" beside {}", live.identity.version)).unwrap_or_default();
                let bake = bake.map(|bake| format!(", bake {bake}")).unwrap_or_default();
                (candidate.name == *release).then(|| format!("{} works{beside}{bake}", version(release)))
            }
            Mutation::SetCapacity { release, desired: Some(0), .. }
                if view.is_worker()
                    && view.warm.is_some_and(|warm| warm.name == *release)
                    && super::retire::warm_until(&view).is_some_and(|due| self.now < due) =>
            {
                Some(format!("{} has no machines any more", version(release)))
            }
            Mutation::SetCapacity { release, desired: Some(0), .. } => {
                if Some(release) == before.warm.as_ref() {
                    self.retired_at = self.retired_at.or(Some(self.now));
                }
                Some(format!("{} retired", version(release)))
            }
            Mutation::DeleteGroup { release, .. } if view.is_worker() => {
                self.retired_at = self.retired_at.or(Some(self.now));
                Some(format!("{} retired", version(release)))
            }
            _ => None,
        }
    }
}
