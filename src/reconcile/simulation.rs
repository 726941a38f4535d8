//! Random histories on the simulated AWS: commits, reverts, broken files, sick releases,
//! autoscalers, lost answers, throttling and crashes before or after any call. The real
//! reconciler and executor run over it, and every change is looked at.
//!
//! A failure names its seed: `IONROLLER_SEED=N cargo test --no-default-features simulation`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use crate::cloud::faulty::{Failure, FaultyCloud, Odds, Trigger};
use crate::cloud::sim::fixture::add_foreign_target_group;
use crate::cloud::sim::world::World;
use crate::cloud::sim::{Share, SimCloud};
use crate::cloud::{CloudReader as _, ErrorKind};
use crate::desired::files::{ConfigFiles, FileContent};
use crate::names::{CommitId, ListenerArn, RuleArn};
use crate::observed::resources::RuleAction;
use crate::plan::outcome::{self, Outcome};
use crate::plan::types::ServicePlan;
use crate::time::{Span, Timestamp};

use super::{Event, Reconciler, Target};

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";

const NETWORK_LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/net/web/50dc/f2f7";

/// Seeds of an ordinary test run.
const SEEDS: u64 = 100;

/// What a commit says of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    File { version: u64, min: u64, max: u64, steps: &'static str },
    Broken,
    Nothing,
}

/// How traffic comes to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Rule,
    Worker,
    /// The listener's default action, a fixed response at first.
    Default,
    /// The default action of a network load balancer.
    Network,
    /// The listener's default action, which forwards to machines of somebody else at first.
    TakenOver,
}

impl Way {
    fn of(seed: u64) -> Self {
        match seed % 8 {
            3 => Self::Worker,
            4 => Self::Default,
            5 => Self::Network,
            6 => Self::TakenOver,
            _ => Self::Rule,
        }
    }

    fn listener(self) -> ListenerArn {
        let text = if self == Self::Network { NETWORK_LISTENER } else { LISTENER };
        ListenerArn::parse(text).unwrap()
    }

    fn world(self) -> World {
        let mut world = World::for_places([self.listener()]);
        if self == Self::TakenOver {
            let arn = add_foreign_target_group(&mut world, "old", &self.listener(), 2);
            let listener = world.listeners.get_mut(&self.listener()).unwrap();
            listener.default_action = RuleAction::Forward(vec![(arn, 1)]);
        }
        world
    }

    fn table(self) -> String {
        match self {
            Self::Rule => format!(
                "[load_balancer]\nlistener = \"{LISTENER}\"\nport = 80\n\
                 rule = {{ priority = 10, hosts = [\"web.example.com\"] }}\n"
            ),
            Self::Worker => String::new(),
            Self::Default => format!("[load_balancer]\nlistener = \"{LISTENER}\"\nport = 80\n"),
            Self::Network => {
                format!("[load_balancer]\nlistener = \"{NETWORK_LISTENER}\"\nport = 80\nprotocol = \"TCP\"\n")
            }
            Self::TakenOver => format!("[load_balancer]\nlistener = \"{LISTENER}\"\nport = 80\nadopt = true\n"),
        }
    }

    /// Target groups and rules of a service at rest.
    fn standing(self) -> (usize, usize) {
        match self {
            Self::Rule => (1, 1),
            Self::Worker => (0, 0),
            Self::Default | Self::Network => (1, 0),
            // What isn't ours stays.
            Self::TakenOver => (2, 0),
        }
    }
}

/// What a seed broke.
#[derive(Debug)]
pub(crate) struct Broken {
    seed: u64,
    why: String,
    /// All that happened until then.
    log: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.why)
    }
}

/// Runs one seed on the calling thread.
///
/// # Errors
/// What it broke.
pub(crate) fn try_seed(seed: u64) -> Result<(), Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = || runtime.block_on(async { Run::new(seed).run().await });
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).map_err(|thrown| match thrown.downcast::<Broken>() {
        Ok(broken) => *broken,
        Err(other) => std::panic::resume_unwind(other),
    })
}

struct Run {
    seed: u64,
    way: Way,
    random: fastrand::Rng,
    sim: SimCloud,
    cloud: Arc<FaultyCloud<SimCloud>>,
    reconciler: Reconciler,
    target: Target,
    said: Said,
    commits: u64,
    /// Versions whose machines never answer.
    sick: BTreeSet<u64>,
    log: Arc<Mutex<String>>,
}

fn text(way: Way, said: &Said) -> String {
    match said {
        Said::Nothing | Said::Broken => "version = \n".to_owned(),
        Said::File { version, min, max, steps } => format!(
            "version = \"{version}.0\"\n[machine]\nami = \"ami-0123456789abcdef0\"\ninstance_type = \"t3.small\"\n\
             [network]\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-a\"]\n[capacity]\nmin = {min}\nmax = {max}\n{}\
             [rollout]\nsteps = {steps}\nbake = \"2m\"\nhealthy_deadline = \"5m\"\n[retention]\nwarm = \"20m\"\nrecords = 2\n",
            way.table()
        ),
    }
}

fn target(seed: u64, commit: u64, said: &Said) -> Target {
    let way = Way::of(seed);
    let prune = if prunes(seed) { "[prune]\nenabled = true\n" } else { "" };
    let mut files = ConfigFiles::default();
    let mut add = |path: &str, text: String| files.files.insert(path.to_owned(), FileContent::Bytes(text.into_bytes()));
    let scope = format!("scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n{prune}");
    add("ionroller.toml", scope);
    // Another service keeps the scope from being empty; it has nothing to do.
    add("services/other.toml", "version = \n".to_owned());
    if *said != Said::Nothing {
        add("services/web.toml", text(way, said));
    }
    let commit = CommitId::parse(&format!("{commit:040x}")).unwrap();
    let desired = crate::desired::load(&files, Some(commit));
    if let Said::File { .. } = said {
        let web = desired.diagnostics.iter().filter(|problem| problem.file.as_deref() == Some("services/web.toml"));
        assert_eq!(web.count(), 0, "{:?}", desired.diagnostics);
    }
    Target::new(Arc::new(desired), None).unwrap()
}

/// Whether a service whose file is gone is taken away.
fn prunes(seed: u64) -> bool {
    seed % 16 < 8
}

impl Run {
    fn new(seed: u64) -> Self {
        let sim = SimCloud::new(Way::of(seed).world());
        let cloud = Arc::new(FaultyCloud::new(sim.clone()));
        let said = Said::File { version: 0, min: 2, max: 4, steps: "[100]" };
        Self {
            seed,
            way: Way::of(seed),
            random: fastrand::Rng::with_seed(seed),
            reconciler: Reconciler::new(cloud.clone(), BTreeSet::new(), CancellationToken::new()),
            target: target(seed, 0, &said),
            sim,
            cloud,
            said,
            commits: 0,
            sick: BTreeSet::new(),
            log: Arc::default(),
        }
    }

    fn note(&self, line: &str) {
        let at = self.sim.now().since(Timestamp::from_secs(1_767_225_600));
        let _ = writeln!(self.log.lock().unwrap(), "{:>6} s  {line}", at.as_secs_ceil());
    }

    /// Ends the seed. Not a panic to the hook that prints them: [`try_seed`] catches it.
    fn fail(&self, why: &str) -> ! {
        let log = self.log.lock().unwrap().clone();
        std::panic::resume_unwind(Box::new(Broken { seed: self.seed, why: why.to_owned(), log }))
    }

    /// One thing that people, Git or AWS do.
    fn happen(&mut self) {
        match self.random.u32(0..12) {
            0..=4 => self.commit_release(),
            5 => self.commit(Said::Broken),
            6 => self.commit(Said::Nothing),
            7 => {
                let groups: Vec<String> = self.sim.world().groups.keys().cloned().collect();
                if let Some(group) = self.random.choice(groups.iter()) {
                    let desired = self.random.u32(1..5);
                    self.note(&format!("an autoscaler sets {group} to {desired}"));
                    self.sim.set_desired(group, desired);
                }
            }
            8 => {
                let nth = self.cloud.counts().1 + self.random.u64(1..6);
                let what = if self.random.bool() { Failure::CrashBefore } else { Failure::CrashAfter };
                self.note(&format!("it will die: {what:?} at change {nth}"));
                self.cloud.add(Trigger::Mutation(nth), what);
            }
            9 => {
                let nth = self.cloud.counts().1 + self.random.u64(1..6);
                let what = if self.random.bool() { Failure::After } else { Failure::Before(ErrorKind::Throttled) };
                self.note(&format!("{what:?} at change {nth}"));
                self.cloud.add(Trigger::Mutation(nth), what);
            }
            10 => {
                let groups: Vec<String> = self.sim.world().groups.keys().cloned().collect();
                if let Some(group) = self.random.choice(groups.iter()) {
                    self.note(&format!("a machine of {group} dies"));
                    self.sim.kill_instances(group, 1);
                }
            }
            _ => {
                let odds = self.random.u32(0..8);
                self.note(&format!("{odds} % of calls fail"));
                self.cloud.set_odds(Odds { seed: self.seed, before: odds, after: odds / 2, ..Odds::default() });
            }
        }
    }

    fn commit_release(&mut self) {
        let version = self.random.u64(0..5);
        if version > 2 && self.random.u32(0..3) == 0 && self.sick.insert(version) {
            self.note(&format!("{version}.0 is sick"));
            self.sim.set_health(&format!("{version}.0"), false);
        }
        let min = self.random.u64(1..4);
        let steps = *self.random.choice(["[100]", "[10, 100]", "[25, 50, 100]"].iter()).unwrap();
        self.commit(Said::File { version, min, max: min + 2, steps });
    }

    fn commit(&mut self, said: Said) {
        self.commits += 1;
        self.note(&format!("commit {}: {said:?}", self.commits));
        self.target = target(self.seed, self.commits, &said);
        self.said = said;
    }

    /// One pass; a process that died is started again, with no memory.
    async fn pass(&mut self) -> Option<ServicePlan> {
        let (log, sim, broken) = (Arc::clone(&self.log), self.sim.clone(), Mutex::new(None));
        let began = Timestamp::from_secs(1_767_225_600);
        let before = Mutex::new(sim.traffic());
        let tell = |event: Event<'_>| {
            let line = match event {
                Event::Acted { action, .. } => {
                    format!("{:?} {} {}", action.mutation.kind(), action.mutation.resource(), action.mutation.target())
                }
                Event::Failed { action, error, .. } => format!("{:?} failed: {error}", action.mutation.kind()),
                Event::Unread { error, .. } => format!("unread: {error}"),
            };
            let _ = writeln!(log.lock().unwrap(), "{:>6} s    {line}", sim.now().since(began).as_secs_ceil());
            let mut before = before.lock().unwrap();
            if let Some(why) = violation(&sim, &before) {
                broken.lock().unwrap().get_or_insert(why);
            }
            *before = sim.traffic();
        };
        let pass = self.reconciler.pass(&self.target, &tell).await;
        if let Some(why) = broken.into_inner().unwrap() {
            self.fail(&why);
        }
        if self.cloud.crashed() {
            self.note("died, started again");
            self.cloud.restart();
            self.reconciler = Reconciler::new(self.cloud.clone(), BTreeSet::new(), CancellationToken::new());
        }
        pass.ok()?.plan.services.into_iter().find(|service| service.name.as_str() == "web")
    }

    async fn run(&mut self) {
        let events = self.random.usize(4..14);
        for _ in 0..events {
            self.happen();
            for _ in 0..self.random.usize(0..40) {
                self.pass().await;
                let wait = self.random.u64(1..40);
                self.sim.advance(Span::from_secs(wait));
            }
        }
        self.come_to_rest().await;
    }

    /// Faults stop; what remains must come to rest, and be what the last commit wants.
    async fn come_to_rest(&mut self) {
        self.cloud.set_odds(Odds::default());
        self.note("faults stop");
        let mut quiet = 0;
        let mut last = None;
        for _ in 0..2000 {
            let before = self.sim.mutations();
            last = self.pass().await;
            quiet = if self.sim.mutations() == before { quiet + 1 } else { 0 };
            let at_rest = last.as_ref().is_none_or(|plan| self.is_at_rest(plan));
            if quiet > 30 && at_rest {
                return self.look(last.as_ref());
            }
            self.sim.advance(Span::from_secs(10));
        }
        self.fail(&format!("it never comes to rest: {last:#?}"));
    }

    /// A warm release stays as long as live is not well, and a rollback to a release that
    /// has turned sick waits for it.
    fn is_at_rest(&self, plan: &ServicePlan) -> bool {
        let sick = |version: String| self.sick.iter().any(|sick| version == format!("{sick}.0"));
        let named = plan.from.iter().chain(&plan.to).any(|release| sick(release.version.to_string()));
        // A broken file in the midst of a removal leaves what stands, with nothing live.
        let keeps_warm = outcome::keeps_warm(plan) && plan.from.is_some();
        named || (outcome::of(plan) != Outcome::OnItsWay && !keeps_warm)
    }

    fn live_is_sick(&self, plan: &ServicePlan) -> bool {
        let live = plan.from.as_ref().map(|from| from.version.to_string());
        self.sick.iter().any(|version| live.as_deref() == Some(&format!("{version}.0")))
    }

    fn look(&self, plan: Option<&ServicePlan>) {
        if self.said == Said::Nothing && prunes(self.seed) && matches!(self.way, Way::Rule | Way::Worker) {
            let world = self.sim.world();
            if !world.groups.is_empty() || !world.target_groups.is_empty() || !world.rules.is_empty() {
                self.fail(&format!("the service was not taken away: {plan:#?}"));
            }
        }
        let Said::File { version, min, max, .. } = self.said else { return };
        let Some(plan) = plan else { self.fail("the service is not in the plan") };
        let wanted = format!("{version}.0");
        // Where the wanted release is sick nothing leads to it; where live is, no weight may
        // move away from whoever can answer.
        if self.sick.contains(&version) || self.live_is_sick(plan) {
            return;
        }
        let rejected = plan.rejected.is_some();
        let live = plan.from.as_ref().map(|from| from.version.to_string());
        if live.as_deref() != Some(&wanted) && !rejected {
            self.fail(&format!("{wanted} is not live: {plan:#?}"));
        }
        if rejected {
            return;
        }
        let world = self.sim.world();
        let group = world.groups.values().find(|group| !group.tags.contains_key("ionroller:retired"));
        let Some(group) = group else { self.fail("no group stands") };
        if (u64::from(group.min), u64::from(group.max)) != (min, max) {
            self.fail(&format!("sizes {} to {}, the file says {min} to {max}", group.min, group.max));
        }
        if world.groups.len() != 1 || (world.target_groups.len(), world.rules.len()) != self.way.standing() {
            self.fail(&format!(
                "left over: {} groups, {} target groups, {} rules",
                world.groups.len(),
                world.target_groups.len(),
                world.rules.len()
            ));
        }
    }
}

type Traffic = Vec<(RuleArn, Vec<Share>)>;

/// What no change may do: give traffic to a release that cannot answer while another could,
/// or take machines from one that has traffic.
fn violation(sim: &SimCloud, before: &Traffic) -> Option<String> {
    if let Some(first) = sim.violations().first() {
        return Some(first.clone());
    }
    let had = |rule: &RuleArn, share: &Share| {
        let shares = before.iter().find(|(known, _)| known == rule).map(|(_, shares)| shares);
        let known = shares.and_then(|shares| shares.iter().find(|old| old.target_group == share.target_group));
        known.map_or((0, 0), |old| (old.weight, old.registered))
    };
    for (rule, shares) in sim.traffic() {
        let someone = shares.iter().any(|share| share.healthy > 0);
        for share in shares.iter().filter(|share| share.weight > 0 && someone) {
            let (weight, registered) = had(&rule, share);
            if share.weight > weight && share.healthy == 0 {
                return Some(format!("{} gets {} % and has no healthy machine", share.target_group, share.weight));
            }
            if share.registered == 0 && registered > 0 {
                return Some(format!("{} loses its last machine while it has {} %", share.target_group, share.weight));
            }
        }
    }
    None
}

/// What AWS refuses for minutes after a change elsewhere is tried until it goes: only a
/// change that was made can be without effect.
#[test]
fn calls_that_fail_for_minutes_only_wait() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(0);
        for nth in 1..=9 {
            run.cloud.add(Trigger::Operation("CreateTargetGroup", nth), Failure::Before(ErrorKind::Conflict));
            run.cloud.add(Trigger::Operation("CreateAutoScalingGroup", nth), Failure::Before(ErrorKind::Throttled));
        }
        run.come_to_rest().await;
        let log = run.log.lock().unwrap().clone();
        assert_eq!(log.matches("CreateTargetGroup failed").count(), 9, "{log}");
        assert_eq!(log.matches("CreateGroup failed").count(), 9, "{log}");
    });
}

#[test]
fn random_histories_keep_the_invariants_and_come_to_rest() {
    let one = std::env::var("IONROLLER_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let count = std::env::var("IONROLLER_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    let seeds: Vec<u64> = one.map_or_else(|| (0..count).collect(), |seed| vec![seed]);
    for seed in seeds {
        if let Err(broken) = try_seed(seed) {
            panic!("{broken}\n{}", broken.log);
        }
    }
}
