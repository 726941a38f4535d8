//! Two daemons on one scope, whose calls meet in every order: with and without a lease, on
//! the same commit and on different ones.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::cloud::faulty::FaultyCloud;
use crate::cloud::sim::lease::SimLeases;
use crate::cloud::sim::world::World;
use crate::cloud::sim::{Share, SimCloud};
use crate::cloud::{CloudReader as _, ErrorKind};
use crate::desired::files::{ConfigFiles, FileContent};
use crate::git::Repository;
use crate::lease::clock::{Clock, Moment};
use crate::lease::keeper::{Keeper, Lease};
use crate::lease::machine::Machine;
use crate::lease::{Guard, Leave};
use crate::names::{CommitId, ListenerArn, RuleArn};
use crate::plan::types::{Plan, Reason};
use crate::time::{Span, Timestamp};

use super::{ConfigRepository, Event, Reconciler, Target};

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";

const SCOPE: &str = "scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n";

const LEASE: Span = Span::from_secs(30);

fn service(version: &str) -> String {
    format!(
        "version = \"{version}\"\n[machine]\nami = \"ami-0123456789abcdef0\"\ninstance_type = \"t3.small\"\n\
         [network]\nsubnets = [\"subnet-a\"]\nsecurity_groups = [\"sg-a\"]\n[capacity]\nmin = 2\n\
         [load_balancer]\nlistener = \"{LISTENER}\"\nport = 80\nrule = {{ priority = 1, hosts = [\"web.example.com\"] }}\n\
         [rollout]\nsteps = [50, 100]\nbake = \"1m\"\n[retention]\nwarm = \"2m\"\nrecords = 1\n"
    )
}

/// A commit without a repository: there is no history to ask.
fn target(commit: u64, version: &str) -> Target {
    let mut files = ConfigFiles::default();
    let mut add = |path: &str, text: String| files.files.insert(path.to_owned(), FileContent::Bytes(text.into_bytes()));
    add("ionroller.toml", SCOPE.to_owned());
    add("services/web.toml", service(version));
    let commit = CommitId::parse(&format!("{commit:040x}")).unwrap();
    Target::new(Arc::new(crate::desired::load(&files, Some(commit))), None).unwrap()
}

/// A repository with one commit for each of these versions, as targets.
fn history(dir: &Path, versions: &[&str]) -> Vec<Target> {
    let git = |args: &[&str]| {
        let command = std::process::Command::new("git")
            .args(args)
            .current_dir(dir)
            .envs([("HOME", dir.as_os_str()), ("GIT_CONFIG_NOSYSTEM", "1".as_ref())])
            .envs([("GIT_AUTHOR_NAME", "t"), ("GIT_AUTHOR_EMAIL", "t@example.com")])
            .envs([("GIT_COMMITTER_NAME", "t"), ("GIT_COMMITTER_EMAIL", "t@example.com")])
            .output();
        assert!(command.unwrap().status.success(), "git {args:?}");
    };
    git(&["init", "--quiet", "--initial-branch", "main", "."]);
    std::fs::create_dir(dir.join("services")).unwrap();
    std::fs::write(dir.join("ionroller.toml"), SCOPE).unwrap();
    let commit = |version: &&str| {
        std::fs::write(dir.join("services/web.toml"), service(version)).unwrap();
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--message", version]);
        let repository = Repository::open_local(dir).unwrap();
        let commit = repository.resolve("main").unwrap();
        let repository = ConfigRepository::new(repository, ".");
        Target::new(repository.desired(&commit).unwrap(), Some(repository)).unwrap()
    };
    versions.iter().map(commit).collect()
}

struct Daemon {
    cloud: Arc<FaultyCloud<SimCloud>>,
    reconciler: Reconciler,
    keeper: Option<Keeper>,
    alive: bool,
}

/// Two daemons and what they see.
struct Together {
    sim: SimCloud,
    daemons: [Daemon; 2],
    before: Mutex<Traffic>,
    log: Mutex<String>,
}

/// The simulated clock, for both.
#[derive(Clone)]
struct SimClock(SimCloud);

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Moment {
        Moment::after_start(self.0.now().since(Timestamp::from_secs(0)))
    }

    async fn sleep(&self, _: Span) {
        std::future::pending().await
    }
}

impl Together {
    fn new(seed: u64, leased: bool) -> Self {
        let sim = SimCloud::new(World::for_places([ListenerArn::parse(LISTENER).unwrap()]));
        let table = SimLeases::default();
        let daemon = |name: &str, seed: u64| {
            let cloud = Arc::new(FaultyCloud::new(sim.clone()));
            cloud.set_pauses(seed);
            let mut reconciler = Reconciler::new(cloud.clone(), BTreeSet::new(), CancellationToken::new());
            let keeper = leased.then(|| {
                let clock = Arc::new(SimClock(sim.clone()));
                Keeper::new("prod", Machine::new(name, name, LEASE), Arc::new(table.clone()), clock)
            });
            if let Some(keeper) = &keeper {
                reconciler = reconciler.guarded(keeper.lease());
            }
            Daemon { cloud, reconciler, keeper, alive: true }
        };
        let daemons = [daemon("one", 2 * seed), daemon("two", 2 * seed + 1)];
        let before = Mutex::new(sim.traffic());
        Self { sim, daemons, before, log: Mutex::default() }
    }

    /// One pass of each that lives, both at once.
    async fn round(&mut self, targets: [&Target; 2]) -> [Option<Plan>; 2] {
        for daemon in self.daemons.iter_mut().filter(|daemon| daemon.alive) {
            if let Some(keeper) = &mut daemon.keeper {
                while keeper.step().await.is_none() {}
            }
        }
        let pass = |which: usize| {
            let (this, daemon, target) = (&*self, &self.daemons[which], targets[which]);
            async move {
                if !daemon.alive {
                    return None;
                }
                let pass = daemon.reconciler.pass(target, &|event| this.tell(which, &event)).await;
                Some(pass.unwrap().plan)
            }
        };
        let (one, two) = tokio::join!(pass(0), pass(1));
        self.sim.advance(Span::from_secs(5));
        [one, two]
    }

    fn tell(&self, which: usize, event: &Event<'_>) {
        let line = match event {
            Event::Acted { action, .. } => {
                format!("{:?} {} {}", action.mutation.kind(), action.mutation.resource(), action.mutation.target())
            }
            Event::Failed { action, error, .. } => format!("{:?} failed: {error}", action.mutation.kind()),
            Event::Unread { error, .. } => format!("unread: {error}"),
        };
        let mut log = self.log.lock().unwrap();
        let _ = writeln!(log, "{} daemon {which}: {line}", self.sim.now());
        let mut before = self.before.lock().unwrap();
        if let Some(why) = violation(&self.sim, &before) {
            panic!("{why}\n{log}");
        }
        *before = self.sim.traffic();
    }

    /// Rounds until nothing has changed for long.
    async fn rest(&mut self, targets: [&Target; 2]) -> [Option<Plan>; 2] {
        let mut quiet = 0;
        for _ in 0..1000 {
            let before = self.sim.mutations();
            let plans = self.round(targets).await;
            quiet = if self.sim.mutations() == before { quiet + 1 } else { 0 };
            // Longer than a release is kept warm.
            if quiet > 40 {
                return plans;
            }
        }
        panic!("it never comes to rest:\n{}", self.log.lock().unwrap());
    }

    /// How many changes each has asked for.
    fn changes(&self) -> [u64; 2] {
        [0, 1].map(|which: usize| self.daemons[which].cloud.counts().1)
    }

    /// Versions with weight, and how much.
    fn weights(&self) -> Vec<(String, u32)> {
        let world = self.sim.world();
        let version = |share: &Share| {
            let group = &world.target_groups[&share.target_group];
            group.tags["ionroller:version"].clone()
        };
        let shares = self.sim.traffic().into_iter().flat_map(|(_, shares)| shares);
        shares.filter(|share| share.weight > 0).map(|share| (version(&share), share.weight)).collect()
    }

    /// One release stands, whole and alone.
    fn stands(&self, version: &str) {
        let (world, log) = (self.sim.world(), self.log.lock().unwrap());
        let versions: Vec<&String> = world.groups.values().map(|group| &group.tags["ionroller:version"]).collect();
        assert_eq!(versions, [version], "{log}");
        assert_eq!(self.weights(), [(version.to_owned(), 100)], "{log}");
        assert_eq!((world.target_groups.len(), world.rules.len()), (1, 1), "{log}");
        assert!(world.groups.values().all(|group| (group.min, group.max) == (2, 2)), "{log}");
    }
}

fn waits_for(plan: &Option<Plan>) -> Option<Reason> {
    plan.as_ref()?.services[0].waiting_on.as_ref().map(|wait| wait.reason)
}

/// Both do the same things by the same names: what one has done, the other finds.
#[tokio::test]
async fn without_a_lease_two_at_one_commit_end_as_one_does() {
    for seed in 0..6 {
        let mut both = Together::new(seed, false);
        for (commit, version) in [(1, "1.0.0"), (2, "1.1.0"), (3, "1.2.0")] {
            let target = target(commit, version);
            both.rest([&target, &target]).await;
            both.stands(version);
        }
        let [one, two] = both.changes();
        assert!(one > 5 && two > 5, "seed {seed}: both were at work: {one} and {two}");
    }
}

/// A rollback in the midst of a rollout, seen by both at once.
#[tokio::test]
async fn without_a_lease_two_take_a_release_back() {
    for seed in 0..6 {
        let mut both = Together::new(seed, false);
        let (first, second) = (target(1, "1.0.0"), target(2, "1.1.0"));
        both.rest([&first, &first]).await;
        for _ in 0..1000 {
            both.round([&second, &second]).await;
            if both.weights().len() == 2 {
                break;
            }
        }
        assert_eq!(both.weights().len(), 2, "seed {seed}: half of the traffic");
        let third = target(3, "1.0.0");
        both.rest([&third, &third]).await;
        both.stands("1.0.0");
    }
}

/// One has not seen the newest commit yet. The fence holds it off, whatever it would do.
#[tokio::test]
async fn without_a_lease_one_that_is_behind_is_fenced() {
    for seed in 0..6 {
        let dir = TempDir::new().unwrap();
        let commits = history(dir.path(), &["1.0.0", "1.1.0", "1.0.0"]);
        let mut both = Together::new(seed, false);
        both.rest([&commits[0], &commits[0]]).await;
        both.stands("1.0.0");
        let [behind, _] = both.rest([&commits[0], &commits[1]]).await;
        assert_eq!(waits_for(&behind), Some(Reason::Fence));
        both.stands("1.1.0");
        // The newest commit is a rollback, and the other one is behind this time.
        let [_, behind] = both.rest([&commits[2], &commits[1]]).await;
        assert_eq!(waits_for(&behind), Some(Reason::Fence));
        both.stands("1.0.0");
    }
}

#[tokio::test]
async fn with_a_lease_the_second_changes_nothing_until_it_takes_over() {
    for seed in 0..4 {
        let mut both = Together::new(seed, true);
        let (first, second) = (target(1, "1.0.0"), target(2, "1.1.0"));
        both.rest([&first, &first]).await;
        assert_eq!(both.changes()[1], 0, "seed {seed}");
        for _ in 0..1000 {
            both.round([&second, &second]).await;
            if both.weights().len() == 2 {
                break;
            }
        }
        let changes = both.changes();
        assert_eq!(changes[1], 0, "seed {seed}");
        both.daemons[0].alive = false;
        let killed = both.sim.now();
        while both.changes()[1] == 0 && both.sim.now().since(killed) < Span::from_mins(10) {
            both.round([&second, &second]).await;
        }
        // It took the lease over within one lease and one look; what it found there was a
        // bake of a minute, and what comes after that is its own work.
        let lease: Arc<Lease> = both.daemons[1].keeper.as_ref().unwrap().lease();
        assert!(matches!(lease.may_begin(), Leave::For(_)));
        both.rest([&second, &second]).await;
        both.stands("1.1.0");
        assert_eq!(both.changes()[0], changes[0], "the dead change nothing");
    }
}

/// The lease makes no commit newer: one that takes over and is behind is fenced all the same.
#[tokio::test]
async fn with_a_lease_one_that_is_behind_takes_over_and_waits() {
    let dir = TempDir::new().unwrap();
    let commits = history(dir.path(), &["1.0.0", "1.1.0"]);
    let mut both = Together::new(1, true);
    both.rest([&commits[0], &commits[0]]).await;
    for _ in 0..1000 {
        both.round([&commits[1], &commits[0]]).await;
        if both.weights().len() == 2 {
            break;
        }
    }
    both.daemons[0].alive = false;
    let [_, behind] = both.rest([&commits[1], &commits[0]]).await;
    assert_eq!(waits_for(&behind), Some(Reason::Fence));
    assert_eq!(both.changes()[1], 0);
    assert_eq!(both.weights().len(), 2, "it stands as it stood");
    both.rest([&commits[1], &commits[1]]).await;
    both.stands("1.1.0");
}

/// Lets so many changes begin.
struct Only(AtomicUsize);

impl Guard for Only {
    fn may_begin(&self) -> Leave {
        let left = self.0.load(Ordering::Relaxed);
        if left == 0 { Leave::No("it is lost".to_owned()) } else { Leave::Always }
    }

    fn may_go_on(&self) -> Leave {
        Leave::Always
    }
}

/// The lease is lost after any number of changes of a release: not one more is made, and
/// the next holder ends it from there.
#[tokio::test]
async fn a_holder_that_lost_it_stops_before_its_next_change() {
    let mut most = 0;
    for changes in 0..200 {
        let both = Together::new(changes, false);
        let (sim, target) = (both.sim.clone(), target(1, "1.0.0"));
        let only = Arc::new(Only(AtomicUsize::new(usize::try_from(changes).unwrap())));
        let reconciler = Reconciler::new(Arc::new(sim.clone()), BTreeSet::new(), CancellationToken::new());
        let reconciler = reconciler.guarded(Arc::<Only>::clone(&only));
        let tell = |event: Event<'_>| match event {
            Event::Acted { .. } => drop(only.0.fetch_sub(1, Ordering::Relaxed)),
            Event::Failed { error, .. } => assert_eq!(error.kind, ErrorKind::NotOurTurn),
            Event::Unread { .. } => {}
        };
        for _ in 0..100 {
            reconciler.pass(&target, &tell).await.unwrap();
            sim.advance(Span::from_secs(5));
        }
        let left = only.0.load(Ordering::Relaxed);
        if left > 0 {
            both.stands("1.0.0");
            most = changes;
            break;
        }
        let mut both = both;
        let made = sim.mutations();
        reconciler.pass(&target, &tell).await.unwrap();
        assert_eq!(sim.mutations(), made);
        both.rest([&target, &target]).await;
        both.stands("1.0.0");
    }
    assert!(most > 8, "a release is more than {most} changes");
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
