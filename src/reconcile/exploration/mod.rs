//! A small world, explored to its end: one service, some commits, daemons that read and act
//! whenever they like, a crash, a call that fails. The real planner, executor and simulated
//! AWS decide what follows from a state; [`search`] goes through all states that can be
//! reached, and [`same`] tells which of them are one.
//!
//! `docs/exploration.md` says what is explored, what is not, and what was found.

mod invariants;
mod kept;
mod same;
mod search;
mod start;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use self::invariants::{fenced, rejected, served, wanted_alone};
use self::start::{empty_account, target};
use super::Target;
use crate::cloud::CloudError;
use crate::cloud::observe::{Query, TagCache, complete, observe};
use crate::cloud::sim::fixture::run;
use crate::cloud::sim::world::World;
use crate::cloud::sim::{Share, SimCloud};
use crate::execute;
use crate::lease::NoLease;
use crate::names::{RuleArn, ServiceName};
use crate::observed::marks::{Mark, Rejected};
use crate::observed::resources::Tags;
use crate::observed::state::{Observation, ServiceState};
use crate::plan::action::{Action, Carrier, Mutation};
use crate::plan::check::check;
use crate::plan::memory::Memory;
use crate::plan::questions::{Next, next};
use crate::plan::retire::warm_until;
use crate::plan::scope::{self, ScopeInput};
use crate::plan::service::{claims, fenced_by};
use crate::plan::types::WaitingOn;
use crate::plan::view::View;
use crate::plan::wants;
use crate::time::{Span, Timestamp};

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";

/// The rule of somebody else.
const FOREIGN_RULE: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/50dc/f2f7/9999aaaa";

/// Time goes on in ticks. Whatever takes time in a small world takes whole ticks, so that a
/// few numbers tell how far everything is. None is shorter than memory of what was changed.
const TICK: Span = Span::from_secs(60);
const BAKE: Span = TICK;
const WARM: Span = Span::from_secs(120);
/// Longer than a machine takes to boot and to be found well.
const DEADLINE: Span = Span::from_secs(180);

/// What may happen in a small world.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    /// The version that each commit asks for. The first is known to everybody.
    pub commits: Vec<&'static str>,
    /// The steps of a rollout.
    pub steps: &'static str,
    /// Daemons for the same scope.
    pub daemons: usize,
    /// Deaths of a daemon.
    pub crashes: u8,
    /// Calls that fail: not done, or done with no answer.
    pub faults: u8,
    /// A version whose machines never answer.
    pub sick: Option<&'static str>,
    /// Others may do something between a daemon's reading and its change.
    pub apart: bool,
}

/// The small world's rules, and what its commits say.
pub(super) struct Small {
    bounds: Bounds,
    targets: Vec<Target>,
    service: ServiceName,
    start: Arc<World>,
}

/// Everything that can be different.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub world: Arc<World>,
    pub daemons: Vec<Daemon>,
    pub crashes: u8,
    pub faults: u8,
}

/// One process.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Daemon {
    /// The commit that it acts for.
    pub commit: usize,
    pub memory: Memory,
    pub intends: Option<Intent>,
}

/// A change that is about to be made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Intent {
    pub action: Box<Action>,
    /// What the reading showed.
    pub seen: Arc<ServiceState>,
    /// Nothing has happened since the reading.
    pub fresh: bool,
}

impl Intent {
    /// What a daemon remembers when it has made the change. How often it was made is not
    /// counted.
    fn done(&self, memory: &Memory, now: Timestamp) -> Memory {
        let mut memory = memory.clone();
        memory.note_done(&self.action, &self.seen, now);
        memory.note_rest();
        memory
    }
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A daemon reads, and decides what it will do.
    Read(u8),
    /// It does it.
    Act(u8),
    /// Its call fails, and nothing is done.
    Refused(u8),
    /// It is done, and the answer gets lost.
    Lost(u8),
    /// The process dies and is started again.
    Crash(u8),
    /// It fetches the next commit.
    Fetch(u8),
    /// Time goes on by one tick.
    Wait,
}

/// What followed from a step.
pub(super) enum After {
    /// Another state.
    State(Box<State>),
    /// An invariant is broken.
    Broken(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, what) = match self {
            Self::Read(who) => (who, "reads"),
            Self::Act(who) => (who, "acts"),
            Self::Refused(who) => (who, "calls, and nothing is done"),
            Self::Lost(who) => (who, "acts, and gets no answer"),
            Self::Crash(who) => (who, "dies and is started again"),
            Self::Fetch(who) => (who, "fetches the next commit"),
            Self::Wait => return f.write_str("time goes on"),
        };
        write!(f, "daemon {who} {what}")
    }
}

type Traffic = Vec<(RuleArn, Vec<Share>)>;

impl Small {
    pub fn new(bounds: Bounds) -> Self {
        let targets = bounds.commits.iter().enumerate().map(|(n, version)| target(n, version, bounds.steps)).collect();
        let start = Arc::new(SimCloud::new(empty_account(&bounds)).world());
        Self { targets, service: ServiceName::parse("web").unwrap(), start, bounds }
    }

    /// The same, but the first commit's release is live already.
    pub fn settled(bounds: Bounds) -> Self {
        let mut small = Self::new(bounds);
        let alone =
            Bounds { commits: small.bounds.commits[..1].to_vec(), daemons: 1, faults: 0, ..small.bounds.clone() };
        let alone = Self::new(Bounds { crashes: 0, apart: false, ..alone });
        let mut state = alone.first();
        while !alone.is_end(&state) {
            state = alone.after(&state, Step::Act(0)).unwrap_or_else(|| {
                let read = alone.after(&state, Step::Read(0)).expect("nothing to do is an answer, too");
                alone.after(&read, Step::Wait).expect("the first release settles")
            });
        }
        small.start = state.world;
        small
    }

    pub fn first(&self) -> State {
        let daemon = Daemon { commit: 0, memory: Memory::empty(), intends: None };
        State {
            world: Arc::clone(&self.start),
            daemons: vec![daemon; self.bounds.daemons],
            crashes: self.bounds.crashes,
            faults: self.bounds.faults,
        }
    }

    /// All that may happen in a state, and what follows from it.
    pub fn moves(&self, state: &State) -> Vec<(Step, After)> {
        let mut moves = Vec::new();
        for (who, daemon) in (0_u8..).zip(&state.daemons) {
            match &daemon.intends {
                Some(intent) => self.carry_out(state, who, intent, &mut moves),
                None => self.look(state, who, &mut moves),
            }
            if state.crashes > 0 {
                let mut new = state.clone();
                new.crashes -= 1;
                new.daemons[usize::from(who)] =
                    Daemon { commit: daemon.commit, memory: Memory::empty(), intends: None };
                moves.push((Step::Crash(who), After::State(Box::new(new))));
            }
            // A process does one thing at a time.
            if daemon.intends.is_none() && daemon.commit + 1 < self.targets.len() {
                let mut new = state.clone();
                new.daemons[usize::from(who)].commit += 1;
                moves.push((Step::Fetch(who), After::State(Box::new(new))));
            }
        }
        let mut new = state.clone();
        Arc::make_mut(&mut new.world).advance(TICK);
        stale(&mut new.daemons);
        moves.push((Step::Wait, After::State(Box::new(new))));
        moves
    }

    /// A daemon reads. Where nothing comes between, it acts at once.
    fn look(&self, state: &State, who: u8, moves: &mut Vec<(Step, After)>) {
        let read = match self.read(state, usize::from(who)) {
            Ok((read, _)) => read,
            Err(why) => return moves.push((Step::Read(who), After::Broken(why))),
        };
        let mut new = state.clone();
        let intent = read.intends.clone().filter(|_| !self.bounds.apart);
        new.daemons[usize::from(who)] = read;
        match intent {
            Some(intent) => self.carry_out(&new, who, &intent, moves),
            None => moves.push((Step::Read(who), After::State(Box::new(new)))),
        }
    }

    /// A daemon makes its change, or tries to.
    fn carry_out(&self, state: &State, who: u8, intent: &Intent, moves: &mut Vec<(Step, After)>) {
        let mut rid = state.clone();
        rid.daemons[usize::from(who)].intends = None;
        let mut acts = |step: Step| {
            let mut new = rid.clone();
            new.faults -= u8::from(step != Step::Act(who));
            let after = match step {
                Step::Refused(_) => {
                    goes_on_without(&mut new, usize::from(who), &intent.action);
                    Ok(())
                }
                _ => self.act(&mut new, usize::from(who), intent, step != Step::Act(who)),
            };
            moves.push((step, after.map_or_else(After::Broken, |()| After::State(Box::new(new)))));
        };
        acts(Step::Act(who));
        if state.faults > 0 {
            acts(Step::Refused(who));
            acts(Step::Lost(who));
        }
    }

    /// What follows from one step.
    pub fn after(&self, state: &State, step: Step) -> Option<State> {
        let moves = self.moves(state).into_iter();
        moves.filter(|(other, _)| *other == step).find_map(|(_, after)| match after {
            After::State(new) => Some(*new),
            After::Broken(_) => None,
        })
    }

    /// What a turn of the reconciler begins with: a reading of the service, taken into
    /// memory, and the planner's answer to it; and when it would look again, if nothing
    /// happens.
    fn read(&self, state: &State, who: usize) -> Result<(Daemon, Option<Timestamp>), String> {
        let daemon = &state.daemons[who];
        let target = &self.targets[daemon.commit];
        let cloud = SimCloud::new(World::clone(&state.world));
        let observed = self.observe(&cloud, target).map_err(|error| format!("a reading failed: {error}"))?;
        let fences = self.fences(&observed, daemon.commit);
        let (none, empty, gates) = (BTreeMap::new(), ServiceState::default(), BTreeMap::new());
        let (nobody, fallbacks) = (BTreeSet::new(), BTreeMap::new());
        let memories = BTreeMap::from([(self.service.clone(), daemon.memory.clone())]);
        let scoped = |observed, memories| ScopeInput {
            desired: &target.desired,
            scope: &target.scope,
            observed,
            memories,
            fences: &fences,
            rewound: &none,
            fallbacks: &fallbacks,
            limit_overridden: false,
            orphans: scope::orphans(&target.desired, observed),
            only: &nobody,
            now: observed.at,
        };
        let mut complete_one = observed.clone();
        let wanted = wants::wants(&scoped(&observed, &memories).service(&self.service, &gates, &empty));
        run(complete(&cloud, &mut complete_one, &BTreeMap::from([(self.service.clone(), wanted)])));
        let observed = complete_one;
        let memory = {
            let scope = scoped(&observed, &memories);
            let input = scope.service(&self.service, &gates, &empty);
            let answer = next(&View::new(&input));
            input.memory.take_in(&input, &answer)
        };
        let memories = BTreeMap::from([(self.service.clone(), memory.clone())]);
        let scope = scoped(&observed, &memories);
        let input = scope.service(&self.service, &gates, &empty);
        let view = View::new(&input);
        let mut dues: Vec<Timestamp> = warm_until(&view).into_iter().collect();
        for group in input.state.groups.keys() {
            dues.extend(memory.failing_since(group).map(|since| since + view.rollout().unhealthy_for));
            dues.extend(memory.unready_since(group).map(|since| since + view.rollout().healthy_deadline));
        }
        let intends = match next(&view) {
            Next::Act(action) => {
                if let Some(broken) = check(&input, &action).first() {
                    return Err(format!("daemon {who} would break {broken}: {action:?}"));
                }
                Some(Intent { action, seen: Arc::new(input.state.clone()), fresh: true })
            }
            Next::Wait(wait) => {
                dues.extend([wait.on.until, wait.brief_until].into_iter().flatten());
                None
            }
            Next::Rest => None,
        };
        let due = dues.into_iter().filter(|due| *due > input.now).min();
        Ok((Daemon { commit: daemon.commit, memory, intends }, due))
    }

    fn observe(&self, cloud: &SimCloud, target: &Target) -> Result<Observation, CloudError> {
        let (places, listeners) = (target.places(), BTreeSet::new());
        let scope = target.scope.scope.clone();
        let query = Query { scope, service: Some(self.service.clone()), places, listeners };
        let mut observed = run(observe(cloud, &TagCache::default(), &query))?;
        observed.services.retain(|name, _| *name == self.service);
        Ok(observed)
    }

    /// History is a line: a commit descends from those before it.
    fn fences(&self, observed: &Observation, commit: usize) -> BTreeMap<ServiceName, WaitingOn> {
        let state = observed.services.get(&self.service);
        let claims = state.map(claims).unwrap_or_default();
        let newer = claims.into_iter().find(|claim| number(claim) > commit);
        newer.map(|claim| (self.service.clone(), fenced_by(&claim, true))).into_iter().collect()
    }

    fn act(&self, new: &mut State, who: usize, intent: &Intent, lost: bool) -> Result<(), String> {
        let cloud = SimCloud::new(World::clone(&new.world));
        let before = cloud.traffic();
        let done = run(execute::act(&cloud, &NoLease, &intent.action));
        let world = cloud.world();
        let said = |why: &str| format!("{why}: {:?}", intent.action);
        if let Some(first) = world.violations.first() {
            return Err(said(first));
        }
        if !self.owned(&world) {
            return Err(said("something of somebody else was changed"));
        }
        if intent.fresh {
            if let Err(error) = &done {
                return Err(said(&format!("AWS refuses what a fresh reading asked for ({error})")));
            }
            served(&before, &cloud.traffic()).map_err(|why| said(&why))?;
            fenced(&new.world, &world).map_err(|why| said(&why))?;
            rejected(&new.world, &world).map_err(|why| said(&why))?;
        }
        if *new.world != world {
            new.world = Arc::new(world);
            stale(&mut new.daemons);
        }
        if lost || done.is_err() {
            goes_on_without(new, who, &intent.action);
        } else {
            let now = new.world.time();
            new.daemons[who].memory = intent.done(&new.daemons[who].memory, now);
        }
        Ok(())
    }

    fn owned(&self, world: &World) -> bool {
        let theirs = |world: &World| {
            let rule = world.rules.get(&RuleArn::parse(FOREIGN_RULE).unwrap()).cloned();
            let target_groups: Vec<_> =
                world.target_groups.values().filter(|group| group.name == "theirs").cloned().collect();
            let actions: Vec<_> = world.listeners.values().map(|listener| listener.default_action.clone()).collect();
            (rule, target_groups, actions)
        };
        theirs(world) == theirs(&self.start)
    }

    /// What everything must be able to come to: the last commit's release alone has the
    /// traffic, and no daemon has anything to do.
    pub fn is_end(&self, state: &State) -> bool {
        let last = self.targets.len() - 1;
        let at_rest = state.daemons.iter().all(|daemon| daemon.commit == last && daemon.intends.is_none());
        if !at_rest || state.world.next_event().is_some() {
            return false;
        }
        let world = &state.world;
        let tag = |tags: &Tags, key: &str| tags.get(key).cloned();
        let wanted = self.bounds.commits[last];
        let is_settled = wanted_alone(world, wanted)
            && world.templates.values().any(|template| {
                tag(&template.tags, "ionroller:version").as_deref() == Some(wanted)
                    && tag(&template.tags, Mark::Stable.key()).is_some()
            });
        is_settled
            && (0..state.daemons.len()).all(|who| {
                let rests = |(read, due): (Daemon, Option<Timestamp>)| read.intends.is_none() && due.is_none();
                self.read(state, who).is_ok_and(rests)
            })
    }

    /// What it looks like when a daemon decides, for people.
    pub fn describe(&self, state: &State, step: Step) -> String {
        let at = state.world.time().since(self.start.time());
        let what = match step {
            Step::Act(who) | Step::Refused(who) | Step::Lost(who) => state.daemons[usize::from(who)]
                .intends
                .clone()
                .or_else(|| self.read(state, usize::from(who)).ok()?.0.intends)
                .map(|intent| {
                    let mutation = &intent.action.mutation;
                    format!(
                        "{:?} {} {} ({})",
                        mutation.kind(),
                        mutation.resource(),
                        mutation.target(),
                        intent.action.because
                    )
                })
                .unwrap_or_default(),
            _ => String::new(),
        };
        format!("{:>6} s  {step}  {what}", at.as_secs_ceil())
    }
}

/// Others' readings are no longer what there is.
fn stale(daemons: &mut [Daemon]) {
    for intent in daemons.iter_mut().filter_map(|daemon| daemon.intends.as_mut()) {
        intent.fresh = false;
    }
}

/// As the reconciler does: a verdict that could not be written is executed all the same.
fn goes_on_without(state: &mut State, who: usize, action: &Action) {
    let Mutation::SetMark { on: Carrier::Template { release, .. }, mark: Mark::Rejected | Mark::Hold, .. } =
        &action.mutation
    else {
        return;
    };
    let verdict = Rejected { at: state.world.time(), code: "unwritten".to_owned(), text: action.because.clone() };
    state.daemons[who].memory.keep_verdict(release.clone(), verdict);
}

/// The place of a commit in history.
fn number(commit: &str) -> usize {
    usize::from_str_radix(commit, 16).unwrap_or(usize::MAX)
}
