//! A small world, explored to its end: one service, some commits, daemons that read and act
//! whenever they like, a crash, a call that fails. The real planner, executor and simulated
//! AWS decide what follows from a state; [`search`] goes through all states that can be
//! reached, and [`same`] tells which of them are one.
//!
//! `docs/exploration.md` says what is explored, what is not, and what was found.

mod same;
mod search;
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::Target;
use crate::cloud::CloudError;
use crate::cloud::observe::{Query, TagCache, complete, observe};
use crate::cloud::sim::fixture::{add_foreign_target_group, run};
use crate::cloud::sim::world::{SimRule, World};
use crate::cloud::sim::{Share, SimCloud};
use crate::desired::files::{ConfigFiles, FileContent};
use crate::execute;
use crate::lease::NoLease;
use crate::names::{CommitId, ListenerArn, RuleArn, ServiceName};
use crate::observed::marks::{Mark, Rejected};
use crate::observed::resources::{Conditions, RuleAction, Tags};
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

/// Spans of the small world. All that anything is compared with is at most [`HORIZON`].
const BAKE: &str = "20s";
const WARM: &str = "40s";
const DEADLINE: &str = "100s";

/// What is older than this is past every deadline, bake and warm time.
const HORIZON: Span = Span::from_secs(101);

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
    start: World,
}

/// Everything that can be different.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub world: World,
    pub daemons: Vec<Daemon>,
    pub crashes: u8,
    pub faults: u8,
}

/// One process.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    /// The commit that it acts for.
    pub commit: usize,
    pub memory: Memory,
    /// When it would look again by itself.
    pub due: Option<Timestamp>,
    pub intends: Option<Intent>,
}

/// A change that is about to be made.
#[derive(Debug, Clone)]
pub(super) struct Intent {
    pub action: Box<Action>,
    /// Nothing has happened since the reading.
    pub fresh: bool,
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
    /// Time passes until something is due.
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
            Self::Wait => return f.write_str("time passes"),
        };
        write!(f, "daemon {who} {what}")
    }
}

fn target(commit: usize, version: &str, steps: &str) -> Target {
    let mut files = ConfigFiles::default();
    let mut add = |path: &str, text: String| files.files.insert(path.to_owned(), FileContent::Bytes(text.into_bytes()));
    add("ionroller.toml", "scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n".to_owned());
    let text = format!(
        "version = \"{version}\"\n[machine]\nami = \"ami-0123456789abcdef0\"\ninstance_type = \"t3.small\"\n\
         [network]\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-a\"]\n[capacity]\nmin = 1\n\
         [load_balancer]\nlistener = \"{LISTENER}\"\nport = 80\nrule = {{ priority = 10, hosts = [\"web.example.com\"] }}\n\
         [rollout]\nsteps = {steps}\nbake = \"{BAKE}\"\nhealthy_deadline = \"{DEADLINE}\"\nhealthy_for = \"0s\"\n\
         unhealthy_for = \"20s\"\n[retention]\nwarm = \"{WARM}\"\nrecords = 1\n"
    );
    add("services/web.toml", text);
    let desired = crate::desired::load(&files, Some(CommitId::parse(&format!("{commit:040x}")).unwrap()));
    assert!(desired.diagnostics.iter().all(|found| found.file.as_deref() != Some("services/web.toml")), "{desired:?}");
    Target::new(Arc::new(desired), None).unwrap()
}

/// An account with a rule of somebody else, and nothing of ours.
fn empty_account(sick: Option<&str>) -> World {
    let listener = ListenerArn::parse(LISTENER).unwrap();
    let mut world = World::for_places([listener.clone()]);
    let arn = add_foreign_target_group(&mut world, "theirs", &listener, 1);
    let rule = SimRule {
        listener,
        priority: 99,
        conditions: Conditions { hosts: vec!["theirs.example.com".to_owned()], paths: Vec::new(), others: false },
        action: RuleAction::Forward(vec![(arn, 1)]),
        tags: Tags::new(),
        created: world.now,
    };
    world.rules.insert(RuleArn::parse(FOREIGN_RULE).unwrap(), rule);
    if let Some(version) = sick {
        world.versions.entry(version.to_owned()).or_default().unhealthy = true;
    }
    world
}

type Traffic = Vec<(RuleArn, Vec<Share>)>;

impl Small {
    pub fn new(bounds: Bounds) -> Self {
        let targets = bounds.commits.iter().enumerate().map(|(n, version)| target(n, version, bounds.steps)).collect();
        let start = SimCloud::new(empty_account(bounds.sick)).world();
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
        let daemon = Daemon { commit: 0, memory: Memory::empty(), due: None, intends: None };
        State {
            world: self.start.clone(),
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
                    Daemon { commit: daemon.commit, memory: Memory::empty(), due: None, intends: None };
                moves.push((Step::Crash(who), After::State(Box::new(new))));
            }
            // A process does one thing at a time.
            if daemon.intends.is_none() && daemon.commit + 1 < self.targets.len() {
                let mut new = state.clone();
                new.daemons[usize::from(who)].commit += 1;
                moves.push((Step::Fetch(who), After::State(Box::new(new))));
            }
        }
        if let Some(due) = self.next_due(state) {
            let mut new = state.clone();
            new.world.advance(due.since(state.world.time()));
            stale(&mut new.daemons);
            moves.push((Step::Wait, After::State(Box::new(new))));
        }
        moves
    }

    /// A daemon reads. Where nothing comes between, it acts at once.
    fn look(&self, state: &State, who: u8, moves: &mut Vec<(Step, After)>) {
        let read = match self.read(state, usize::from(who)) {
            Ok(read) => read,
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

    /// When something happens by itself, or a daemon looks again.
    fn next_due(&self, state: &State) -> Option<Timestamp> {
        let now = state.world.time();
        let looks = state.daemons.iter().filter_map(|daemon| daemon.due).filter(|due| *due > now);
        state.world.next_event().into_iter().chain(looks).min()
    }

    /// What a turn of the reconciler begins with: a reading of the service, taken into
    /// memory, and the planner's answer to it.
    fn read(&self, state: &State, who: usize) -> Result<Daemon, String> {
        let daemon = &state.daemons[who];
        let target = &self.targets[daemon.commit];
        let cloud = SimCloud::new(state.world.clone());
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
            dues.extend(memory.unhealthy_since(group).map(|since| since + view.rollout().unhealthy_for));
            dues.extend(memory.short_since(group).map(|since| since + view.rollout().healthy_deadline));
        }
        let intends = match next(&view) {
            Next::Act(action) => {
                if let Some(broken) = check(&input, &action).first() {
                    return Err(format!("daemon {who} would break {broken}: {action:?}"));
                }
                Some(Intent { action, fresh: true })
            }
            Next::Wait(wait) => {
                dues.extend([wait.on.until, wait.brief_until].into_iter().flatten());
                None
            }
            Next::Rest => None,
        };
        let due = dues.into_iter().filter(|due| *due > input.now).min();
        Ok(Daemon { commit: daemon.commit, memory, due, intends })
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
        let cloud = SimCloud::new(new.world.clone());
        let before = cloud.traffic();
        let done = run(execute::act(&cloud, &NoLease, &intent.action.mutation));
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
        let changed = new.world != world;
        new.world = world;
        if changed {
            stale(&mut new.daemons);
        }
        if lost || done.is_err() {
            goes_on_without(new, who, &intent.action);
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
                let rests = |read: Daemon| read.intends.is_none() && read.due.is_none();
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
                .or_else(|| self.read(state, usize::from(who)).ok()?.intends)
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

fn wanted_alone(world: &World, wanted: &str) -> bool {
    let mut groups = world.groups.values();
    let (Some(group), None) = (groups.next(), groups.next()) else { return false };
    let ours: Vec<_> = world.rules.values().filter(|rule| rule.priority == 10).collect();
    let [rule] = ours[..] else { return false };
    let RuleAction::Forward(weights) = &rule.action else { return false };
    let in_rule: Vec<_> = weights.iter().map(|(arn, _)| arn.clone()).collect();
    group.tags.get("ionroller:version").is_some_and(|version| version == wanted)
        && (group.min, group.max, group.desired) == (1, 1, 1)
        && !group.tags.contains_key(Mark::Retired.key())
        && in_rule == group.target_groups
        && world.target_groups.len() == 2
        && rule.conditions.hosts == ["web.example.com"]
}

/// Others' readings are no longer what there is.
fn stale(daemons: &mut [Daemon]) {
    for intent in daemons.iter_mut().filter_map(|daemon| daemon.intends.as_mut()) {
        intent.fresh = false;
    }
}

/// As the reconciler does: a verdict that could not be written is executed all the same.
fn goes_on_without(state: &mut State, who: usize, action: &Action) {
    let now = state.world.time();
    let Mutation::SetMark { on: Carrier::Template { release, .. }, mark: Mark::Rejected | Mark::Hold, .. } =
        &action.mutation
    else {
        return;
    };
    let verdict = Rejected { at: now, code: "unwritten".to_owned(), text: action.because.clone() };
    state.daemons[who].memory.keep_verdict(release.clone(), verdict);
}

/// The place of a commit in history.
fn number(commit: &str) -> usize {
    usize::from_str_radix(commit, 16).unwrap_or(usize::MAX)
}

/// No change takes traffic from machines that answer, or machines from traffic.
fn served(before: &Traffic, after: &Traffic) -> Result<(), String> {
    let answered = |shares: &[Share]| {
        let sum: u32 = shares.iter().map(|share| share.weight).sum();
        let well: u32 = shares.iter().filter(|share| share.healthy > 0).map(|share| share.weight).sum();
        (well * 100).checked_div(sum).unwrap_or(0)
    };
    for (rule, shares) in before {
        let Some((_, now)) = after.iter().find(|(known, _)| known == rule) else {
            return Err("served: a rule with traffic is gone".to_owned());
        };
        if answered(now) < answered(shares) {
            return Err(format!("served: {} % were answered, now {} %", answered(shares), answered(now)));
        }
    }
    for (_, shares) in after {
        let someone = shares.iter().any(|share| share.healthy > 0);
        let had = |share: &Share| {
            let old = before.iter().flat_map(|(_, shares)| shares);
            old.filter(|old| old.target_group == share.target_group).map(|old| (old.weight, old.registered)).max()
        };
        for share in shares.iter().filter(|share| share.weight > 0 && someone) {
            let (weight, registered) = had(share).unwrap_or_default();
            if share.weight > weight && share.healthy == 0 {
                return Err(format!("served: {} has no healthy machine", share.target_group));
            }
            if share.registered == 0 && registered > 0 {
                return Err(format!("kept: {} loses its last machine", share.target_group));
            }
        }
    }
    Ok(())
}

/// No fence goes back to an older commit.
fn fenced(before: &World, after: &World) -> Result<(), String> {
    let fence = |tags: &Tags| tags.get(Mark::Fence.key()).map(|fence| number(fence));
    for (name, group) in &after.groups {
        let old = before.groups.get(name).and_then(|old| fence(&old.tags));
        if old > fence(&group.tags) {
            return Err(format!("fenced: the fence of {name} goes back"));
        }
    }
    Ok(())
}

/// A verdict stays.
fn rejected(before: &World, after: &World) -> Result<(), String> {
    let verdict = |world: &World, id: &String| {
        world.templates.get(id).is_some_and(|found| found.tags.contains_key(Mark::Rejected.key()))
    };
    let lost = before.templates.keys().find(|id| verdict(before, id) && !verdict(after, id));
    lost.map_or(Ok(()), |id| Err(format!("rejected stays rejected: {id}")))
}
