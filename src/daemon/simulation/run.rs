//! Runs a script: the daemon's own loop over the stage, killed and started again, while the
//! events of the script happen; then faults stop, and all must come to rest.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;
use crate::cloud::faulty::{Failure, Odds, Trigger};
use crate::cloud::sim::SimCloud;
use crate::cloud::sim::fixture::add_foreign_target_group;
use crate::cloud::sim::world::{SimRule, World};
use crate::desired::spec::{Desired, ServiceFile};
use crate::names::{ListenerArn, RuleArn, Scope, ServiceName};
use crate::observed::marks;
use crate::observed::resources::{Conditions, RuleAction, Tags};
use crate::plan::operator::Word;
use crate::reconcile::ConfigRepository;
use crate::reconcile::operate::{Order, operate};
use crate::reconcile::pace::RealTime;
use crate::settings::Settings;
use crate::time::{Span, Timestamp};

use super::super::{Connect, Shared, Trouble, reload, source, work};
use super::check::{Check, Revert};
use super::facts::{claims, is_instant};
use super::files::{self, Files};
use super::history::Commits;
use super::script::{Event, Kind, Script, Second};
use super::stage::{BEGIN, Stage, Theatre, Who};

/// Everything under way.
pub struct Run {
    pub script: Script,
    pub theatre: Arc<Theatre>,
    pub commits: Commits,
    /// The folder at every commit, the newest last.
    pub past: Vec<Files>,
    /// What the newest commit says, read as the program reads it.
    pub desired: Desired,
    daemon: Option<Daemon>,
    /// A stopped or dead one is started again then.
    start_at: Timestamp,
    /// Polls until the process dies.
    polls: Option<u64>,
    second: Option<Daemon>,
    operators: Vec<BoxFuture<'static, ()>>,
    random: fastrand::Rng,
    /// How often everybody was polled.
    polled: u64,
}

/// Polls of one history: far more than any takes that goes forward.
const POLLS_MAX: u64 = 400_000;

/// The daemon's tasks, and what they share.
struct Daemon {
    tasks: BoxFuture<'static, ()>,
    shared: Shared,
}

impl Run {
    pub fn new(script: &Script) -> Self {
        let sim = SimCloud::new(world(script));
        let commits = Commits::default();
        let owned = script.kinds.iter().enumerate().filter(|(_, kind)| !matches!(kind, Kind::Rule | Kind::Worker));
        let defaults: BTreeMap<ListenerArn, usize> = owned.map(|(s, kind)| (files::listener(s, *kind), s)).collect();
        let theatre = Arc::new(Theatre::new(sim, script.seed, Check::new(commits.clone(), defaults)));
        let first = Files::first(script);
        let texts = first.texts(&script.kinds);
        let commit = commits.commit(0, texts.clone(), false);
        Self {
            script: script.clone(),
            desired: crate::desired::load(&texts, Some(commit)),
            theatre,
            commits,
            past: vec![first],
            daemon: None,
            start_at: BEGIN,
            polls: None,
            second: None,
            operators: Vec::new(),
            random: fastrand::Rng::with_seed(script.seed ^ 0xdead),
            polled: 0,
        }
    }

    fn settings() -> Settings {
        Settings::parse("repo = \"/simulated\"\nstate_dir = \"/simulated\"\n").unwrap()
    }

    fn start(&self, who: Who) -> Daemon {
        // A new process has parsed nothing yet.
        let commits = if who == Who::Second { self.commits.for_second() } else { self.commits.clone() };
        let repository = ConfigRepository::simulated(Box::new(commits));
        let shared = Shared {
            followed: watch::Sender::new(reload::Followed { settings: Self::settings(), repository }),
            target: watch::Sender::new(None),
            plan: watch::Sender::new(None),
            trouble: watch::Sender::new(Trouble::default()),
            last_read: Arc::default(),
            wake: Arc::new(Notify::new()),
            acts: Arc::default(),
            hooks: Arc::default(),
            stop: CancellationToken::new(),
        };
        let stage: Arc<dyn Cloud> = Arc::new(Stage { theatre: Arc::clone(&self.theatre), who });
        let connect: Connect = Arc::new(move |_| {
            let stage = Arc::clone(&stage);
            Box::pin(async move { Ok(stage) })
        });
        if who.is_acting() {
            self.theatre.state().check.starts(who, shared.target.subscribe(), shared.plan.subscribe());
        }
        let git = source::run(shared.clone());
        let work = work::run((connect, None), Arc::new(RealTime), who == Who::Dry, shared.clone());
        let tasks = Box::pin(async move {
            futures_util::future::join(git, work).await;
        });
        Daemon { tasks, shared }
    }

    /// The daemon's last plan, if it is one of the newest commit.
    pub fn plan(&self) -> Option<Arc<crate::plan::types::Plan>> {
        let plan = self.daemon.as_ref()?.shared.plan.borrow().clone()?;
        (plan.commit == Some(self.commits.tip())).then_some(plan)
    }

    /// Lets everybody go on until a second of the history.
    pub async fn until(&mut self, until: Timestamp) -> Result<(), String> {
        loop {
            let now = self.theatre.sync();
            if now >= until {
                return Ok(());
            }
            if self.daemon.is_none() && now >= self.start_at {
                self.theatre.note("the daemon starts");
                self.daemon = Some(self.start(Who::Daemon));
                if self.second.is_none() {
                    self.second = match self.script.second {
                        Second::Nobody => None,
                        Second::Dry => Some(self.start(Who::Dry)),
                        Second::Acts => Some(self.start(Who::Second)),
                    };
                }
            }
            let wake = if self.daemon.is_none() { self.start_at.min(until) } else { until };
            let sleep = tokio::time::sleep(wake.since(now).to_std().max(Duration::from_millis(1)));
            tokio::pin!(sleep);
            std::future::poll_fn(|cx| {
                let ended = self.poll(cx);
                if ended || sleep.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            let broken = self.theatre.state().check.broken.take();
            if let Some(mut broken) = broken {
                let plan = self.daemon.as_ref().and_then(|daemon| daemon.shared.plan.borrow().clone());
                for plan in plan.iter().flat_map(|plan| &plan.services) {
                    broken.push_str(&format!("\n    {}, again at {:?}", super::rest::why(plan), plan.look_again));
                }
                return Err(broken);
            }
        }
    }

    /// Polls everybody once; whether something has ended or gone wrong.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.polled += 1;
        if self.polled > POLLS_MAX {
            self.theatre.state().check.broken.get_or_insert("convergent: it works without end".to_owned());
        }
        if let Some(daemon) = &mut self.daemon {
            let stopped = daemon.tasks.as_mut().poll(cx).is_ready();
            self.polls = self.polls.map(|polls| polls.saturating_sub(1));
            let died = self.theatre.state().died || self.polls == Some(0);
            if stopped || died {
                // Dropped where it is: whatever it waited for, it will never know.
                self.daemon = None;
                self.polls = None;
                let now = self.theatre.sync();
                self.start_at = now + Span::from_millis(self.random.u64(100..40_000));
                self.theatre.note(if died { "the daemon dies" } else { "the daemon has stopped" });
                let mut state = self.theatre.state();
                state.died = false;
                state.check.died();
                drop(state);
                self.theatre.faulty.restart();
                return true;
            }
        }
        if let Some(second) = &mut self.second {
            let _ = second.tasks.as_mut().poll(cx);
        }
        self.operators.retain_mut(|operator| Pin::new(operator).poll(cx).is_pending());
        self.theatre.state().check.broken.is_some()
    }

    /// Makes one event happen.
    pub fn happen(&mut self, event: &Event) {
        self.theatre.note(&format!("{event:?}"));
        let sim = self.theatre.sim.clone();
        match *event {
            Event::Hold { s } => self.operate(s, Word::Hold { who: "ann".to_owned(), text: "wait".to_owned() }),
            Event::Resume { s } => self.operate(s, Word::Resume),
            Event::Retry { s } => self.operate(s, Word::Retry),
            Event::Abort { s } => self.operate(s, Word::Abort { who: "ann".to_owned(), text: "stop".to_owned() }),
            Event::Kill { s, nth, count } => self.with_group(s, nth, |name| sim.kill_instances(name, count)),
            Event::Autoscale { s, nth, desired } => self.with_group(s, nth, |name| sim.set_desired(name, desired)),
            Event::DeleteGroup { s, nth } => self.with_group(s, nth, |name| sim.delete_group_by_hand(name)),
            Event::Empty { s, nth } => self.with_group(s, nth, |name| {
                sim.change(|world| {
                    if let Some(group) = world.groups.get_mut(name) {
                        (group.min, group.desired) = (0, 0);
                    }
                });
            }),
            Event::MoveWeights { s, nth } => self.move_weights(s, nth),
            Event::Dress { s, which } => self.dress(s, which),
            Event::Sick { s, version } => sim.set_health(&files::version(s, version), false),
            Event::Well { s, version } => sim.set_health(&files::version(s, version), true),
            Event::CrashAfter { s, version, secs } => {
                self.rules(s, version, |rules| rules.crash_after = Some(Span::from_secs(secs)));
            }
            Event::NoLaunch { .. }
            | Event::Launch { .. }
            | Event::SlowStart { .. }
            | Event::Wrong { .. }
            | Event::Flap { .. }
            | Event::Vanish { .. }
            | Event::PowerOff { .. }
            | Event::DetachMachines { .. }
            | Event::Standby { .. }
            | Event::Back { .. }
            | Event::Protect { .. }
            | Event::Suspend { .. }
            | Event::Detach { .. }
            | Event::Attach { .. }
            | Event::Sticky { .. }
            | Event::ZoneOff { .. }
            | Event::Lacks { .. } => self.hand(event),
            Event::NoImage { s, version } => self.rules(s, version, |rules| rules.ami_missing = true),
            Event::SlowBoot { s, version, secs } => {
                self.rules(s, version, |rules| rules.boot = Some(Span::from_secs(secs)));
            }
            Event::NoCapacity { zones } => sim.change(|world| {
                let subnets = ["subnet-a", "subnet-b"].iter().take(zones);
                world.no_capacity = subnets.map(|subnet| (*subnet).to_owned()).collect();
            }),
            Event::Odds { before, after, throttled } => {
                let seed = self.random.u64(..);
                self.theatre.faulty.set_odds(Odds { seed, before, after, throttled });
            }
            Event::Curse { s, on } => {
                let mut state = self.theatre.state();
                (state.cursed, state.check.curse) = (on.then_some(s), on);
            }
            Event::Stale { percent, secs } => self.stale(percent, secs),
            Event::Slow { millis } => self.theatre.state().slow = millis,
            Event::CrashCall { nth, after } => {
                let nth = self.theatre.faulty.counts().1 + nth;
                let what = if after { Failure::CrashAfter } else { Failure::CrashBefore };
                self.theatre.faulty.add(Trigger::Mutation(nth), what);
            }
            Event::CrashPoll { nth } => self.polls = Some(nth),
            Event::Restart => {
                if let Some(daemon) = &self.daemon {
                    daemon.shared.stop.cancel();
                }
            }
            Event::Clock { secs } => self.theatre.state().clock += secs,
            Event::GitDown { down } => self.commits.set_down(down),
            Event::Behind { on } => self.commits.set_behind(on),
            _ => self.commit(event),
        }
    }

    fn stale(&mut self, percent: u32, secs: u64) {
        self.theatre.sim.set_staleness(self.random.u64(..), Span::from_secs(secs), percent);
        let now = self.theatre.sync().as_millis();
        self.theatre.state().check.stale_until = if percent > 0 { i64::MAX / 2 } else { now };
    }

    pub(super) fn rules(
        &self,
        s: usize,
        version: u32,
        change: impl FnOnce(&mut crate::cloud::sim::world::VersionRules),
    ) {
        let version = files::version(s, version);
        self.theatre.sim.change(|world| change(world.versions.entry(version).or_default()));
    }

    /// Does something with a service's nth group, if it has any.
    pub(super) fn with_group(&self, s: usize, nth: usize, act: impl FnOnce(&str)) {
        let names: Vec<String> = self.theatre.sim.look(|world| {
            let mine = |tags: &Tags| tags.get(marks::SERVICE).and_then(|name| files::number(name)) == Some(s);
            world.groups.iter().filter(|(_, group)| mine(&group.tags)).map(|(name, _)| name.clone()).collect()
        });
        if !names.is_empty() {
            act(&names[nth % names.len()]);
        }
    }

    fn move_weights(&self, s: usize, nth: usize) {
        let name = files::NAMES[s];
        let kind = self.script.kinds[s];
        self.theatre.sim.change(|world| {
            let mine = |rule: &&mut SimRule| rule.tags.get(marks::SERVICE).is_some_and(|found| found == name);
            let listener = files::listener(s, kind);
            let action = match kind {
                Kind::Rule => world.rules.values_mut().find(mine).map(|rule| &mut rule.action),
                Kind::Worker => None,
                _ => world.listeners.get_mut(&listener).map(|listener| &mut listener.default_action),
            };
            if let Some(weights) = action.and_then(RuleAction::weights_mut) {
                let nth = nth % weights.len();
                for (index, (_, weight)) in weights.iter_mut().enumerate() {
                    *weight = if index == nth { 100 } else { 0 };
                }
            }
        });
    }

    /// An operator's command, which runs beside the daemon.
    pub fn operate(&mut self, s: usize, word: Word) {
        let service = ServiceName::parse(self.past.last().map_or(files::NAMES[s], |files| files.name(s))).unwrap();
        let file = match self.desired.services.get(&service) {
            Some(ServiceFile::Valid(spec)) => Some((**spec).clone()),
            _ => None,
        };
        let stage = Stage { theatre: Arc::clone(&self.theatre), who: Who::Operator };
        self.operators.push(Box::pin(async move {
            let scope = Scope::parse("prod").unwrap();
            let order = Order { scope: &scope, service: &service, file: file.as_ref(), word };
            let said = operate(&stage, &RealTime, &order, &CancellationToken::new(), &|_| {}).await;
            stage.theatre.note(&format!("an operator: {said:?}"));
        }));
    }

    /// What the newest commit is followed by.
    pub fn commit(&mut self, event: &Event) {
        let now = self.theatre.sync();
        let Some(files) = self.past.last().and_then(|tip| tip.after(event, &self.past, now)) else { return };
        let back = match event {
            Event::ForcePush { back, .. } => *back,
            _ => 0,
        };
        self.push(files, back, matches!(event, Event::Override));
    }

    /// Makes a commit of files.
    pub fn push(&mut self, files: Files, back: usize, trailer: bool) {
        let texts = files.texts(&self.script.kinds);
        let commit = self.commits.commit(back, texts.clone(), trailer);
        self.desired = crate::desired::load(&texts, Some(commit.clone()));
        self.past.push(files);
        let mut state = self.theatre.state();
        state.check.reverts.clear();
        if self.desired.scope.is_none() {
            return;
        }
        for (name, file) in &self.desired.services {
            let ServiceFile::Valid(spec) = file else { continue };
            let digest = spec.digest.to_string();
            let instant = self.theatre.sim.look(|world| {
                let fenced =
                    claims(world, name.as_str()).into_iter().any(|claim| !self.commits.descends(&commit, &claim));
                (!fenced && spec.paused.is_none()).then(|| is_instant(world, name.as_str(), &digest)).flatten()
            });
            if instant.is_some() {
                state.check.reverts.insert(name.to_string(), Revert { commit: commit.clone(), digest });
            }
        }
    }

    /// All faults stop. What machines of a version do stays as it is where it is the
    /// release's own fault.
    pub fn calm(&mut self) {
        self.theatre.note("faults stop");
        self.theatre.faulty.set_odds(Odds::default());
        self.stale(0, 0);
        self.commits.set_down(false);
        self.commits.set_behind(false);
        self.theatre.state().slow = 0;
        self.theatre.sim.change(|world| {
            world.no_capacity.clear();
            for rules in world.versions.values_mut() {
                (rules.launch_failure, rules.launch_fails_every) = (None, None);
                (rules.boot, rules.warmup, rules.flaps, rules.vanishes_after) = (None, None, None, None);
            }
        });
        self.undo_hands();
    }
}

/// The listeners, and what others have beside us.
fn world(script: &Script) -> World {
    let listeners: Vec<ListenerArn> =
        script.kinds.iter().enumerate().map(|(s, kind)| files::listener(s, *kind)).collect();
    let mut world = World::for_places(listeners.iter().cloned());
    world.add_listener(files::listener(0, Kind::Rule));
    let shared = files::listener(0, Kind::Rule);
    let others = add_foreign_target_group(&mut world, "others", &shared, 1);
    let rule = SimRule {
        listener: shared.clone(),
        priority: 5,
        conditions: Conditions { hosts: vec!["others.example.com".to_owned()], paths: Vec::new(), more: Vec::new() },
        action: RuleAction::Forward(vec![(others, 1)]),
        tags: Tags::from([(marks::SCOPE.to_owned(), "test".to_owned()), (marks::SERVICE.to_owned(), "web".to_owned())]),
        created: world.now,
    };
    let arn = shared.as_str().replacen(":listener/", ":listener-rule/", 1);
    world.rules.insert(RuleArn::parse(&format!("{arn}/0000000000000001")).unwrap(), rule);
    for (s, kind) in script.kinds.iter().enumerate().filter(|(_, kind)| **kind == Kind::Adopt) {
        let place = files::listener(s, *kind);
        let old = add_foreign_target_group(&mut world, &format!("old{s}"), &place, 2);
        if let Some(listener) = world.listeners.get_mut(&place) {
            listener.default_action = RuleAction::Forward(vec![(old, 1)]);
        }
    }
    world
}
