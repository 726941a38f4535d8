//! A small world for planner tests: the model of AWS, a clock, a file and a log.

use std::cell::Cell;
use std::fmt::Write as _;

use crate::desired::spec::{
    Ami, Capacity, HealthCheckSpec, LoadBalancer, Machine, Network, Protocol, Retention, Rollout, RuleSpec, ServiceSpec,
};
use crate::names::{CommitId, Digest, GroupName, ListenerArn, Scope, ServiceName, Version};
use crate::observed::marks::Mark;
use crate::observed::resources::{Lifecycle, TargetHealth};
use crate::observed::state::{GroupState, ServerGroup, ServiceState, Slot};
use crate::plan::action::{Action, Carrier, Mutation};
use crate::plan::check::check;
use crate::plan::forecast::Reach;
use crate::plan::memory::Memory;
use crate::plan::model::Model;
use crate::plan::questions::{Next, next};
use crate::plan::removal::Orphan;
use crate::plan::retire::{group_carrier, template_carrier, warm_until};
use crate::plan::service;
use crate::plan::types::{Reason, Role, ServicePlan, WaitingOn};
use crate::plan::view::{File, Input, View};
use crate::time::{Span, Timestamp};

pub const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// What the story's commit says of its one service, `web` where it doesn't matter.
#[derive(Clone)]
pub enum Said {
    File(Box<ServiceSpec>),
    Broken,
    Nothing,
}

pub struct Story {
    pub model: Model,
    pub memory: Memory,
    pub now: Timestamp,
    pub commits: u32,
    pub said: Said,
    pub fallback: Option<ServiceSpec>,
    pub fence: Option<WaitingOn>,
    pub gate: Option<WaitingOn>,
    pub orphan: Orphan,
    pub rewound: Vec<String>,
    /// The machines of these versions are unhealthy.
    pub sick: Vec<String>,
    scope: Scope,
    service: ServiceName,
    commit: CommitId,
    log: String,
    /// How often the planner was asked: a story that waits for what never comes has an end.
    asked: Cell<u32>,
}

/// How often AWS is read when nothing is due.
const POLL: Span = Span::from_secs(30);

/// No story needs half as many answers.
const ANSWERS_MAX: u32 = 200_000;

/// A file: 2 machines behind a rule, steps 10 and 100, bake 5 min, warm 60 min.
pub fn file(version: &str) -> ServiceSpec {
    let listener = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";
    ServiceSpec {
        name: ServiceName::parse("web").unwrap(),
        version: Version::parse(version).unwrap(),
        redeploy: None,
        paused: None,
        image: None,
        machine: Machine {
            ami: Ami::Id("ami-0123456789".to_owned()),
            instance_type: "t3.small".to_owned(),
            instance_profile: None,
            key_name: None,
            root_volume_gib: None,
            user_data: None,
            ready: None,
        },
        env: Default::default(),
        secrets: Default::default(),
        network: Network { subnets: vec!["subnet-a".to_owned()], security_groups: vec!["sg-1".to_owned()] },
        capacity: Capacity { min: 2, max: 4, scaling: Vec::new() },
        load_balancer: Some(LoadBalancer {
            listener: ListenerArn::parse(listener).unwrap(),
            rule: Some(RuleSpec { priority: 10, hosts: vec!["web.example.com".to_owned()], paths: Vec::new() }),
            port: 80,
            protocol: Protocol::Http,
            health_check: HealthCheckSpec {
                path: "/".to_owned(),
                port: None,
                protocol: None,
                interval: Span::from_secs(10),
                timeout: Span::from_secs(5),
                healthy: 2,
                unhealthy: 3,
                matcher: "200".to_owned(),
            },
            deregistration_delay: Span::from_secs(30),
            adopt: false,
        }),
        rollout: Rollout { steps: vec![10, 100], ..Rollout::default() },
        retention: Retention::default(),
        drift: Default::default(),
        tags: Default::default(),
        digest: Digest::of(version.as_bytes()),
        user_data: String::new(),
    }
}

/// Somebody holds the service, by a mark on this release.
pub fn hold(story: &mut Story, version: &str) {
    let value = "2027-01-15T08:00:00Z ann incident".to_owned();
    let on = story.template(version);
    story.meanwhile(&Mutation::SetMark { on, mark: Mark::Hold, value });
}

/// A service at rest with what this file says.
pub fn settle(spec: ServiceSpec) -> Story {
    let mut story = Story::new(spec);
    story.run();
    story.log.clear();
    story
}

impl Story {
    /// An empty account whose file says this.
    pub fn new(spec: ServiceSpec) -> Self {
        let state = ServiceState { slot: Some(Slot::Free), ..ServiceState::default() };
        let mut story = Self {
            model: Model::new(&state, START),
            memory: Memory::empty(),
            now: START,
            commits: 0,
            said: Said::Nothing,
            fallback: None,
            fence: None,
            gate: None,
            orphan: Orphan::Kept,
            rewound: Vec::new(),
            sick: Vec::new(),
            scope: Scope::parse("prod").unwrap(),
            service: spec.name.clone(),
            commit: CommitId::parse(&"0".repeat(40)).unwrap(),
            log: String::new(),
            asked: Cell::new(0),
        };
        story.commit(spec);
        story
    }

    /// A service at rest: this release settled, and nothing else stands.
    pub fn settled(version: &str) -> Self {
        settle(file(version))
    }

    /// A new commit with this file.
    pub fn commit(&mut self, spec: ServiceSpec) -> &mut Self {
        self.fallback = Some(spec.clone());
        self.said = Said::File(Box::new(spec));
        self.bump()
    }

    /// A new commit in which the file is broken.
    pub fn commit_broken(&mut self) -> &mut Self {
        self.said = Said::Broken;
        self.bump()
    }

    /// A new commit without the file.
    pub fn commit_removal(&mut self) -> &mut Self {
        self.said = Said::Nothing;
        self.bump()
    }

    fn bump(&mut self) -> &mut Self {
        self.commits += 1;
        self.commit = CommitId::parse(&format!("{:040x}", self.commits)).unwrap();
        self
    }

    /// Asks the planner something on the present reading.
    pub fn ask<T>(&self, question: impl FnOnce(&Input<'_>) -> T) -> T {
        let mut state = self.model.state.clone();
        for group in state.groups.values_mut() {
            if !self.sick.contains(&group.identity.version.to_string()) {
                continue;
            }
            for target in group.targets.iter_mut().flat_map(|targets| targets.values_mut()) {
                if target.health == TargetHealth::Healthy {
                    *target = TargetHealth::Unhealthy.into();
                }
            }
            // A worker has only the group's own word.
            if group.target_group.is_none() {
                let machines = group.group.iter_mut().flat_map(|members| &mut members.instances);
                machines.filter(|machine| machine.lifecycle == Lifecycle::InService).for_each(|m| m.healthy = false);
            }
        }
        question(&Input {
            scope: &self.scope,
            service: &self.service,
            commit: Some(&self.commit),
            file: match &self.said {
                Said::File(spec) => File::Valid(spec),
                Said::Broken => File::Broken,
                Said::Nothing => File::Missing,
            },
            fallback: self.fallback.as_ref(),
            fence: self.fence.clone(),
            rewound: &self.rewound,
            gate: self.gate.clone(),
            orphan: self.orphan.clone(),
            desired: None,
            state: &state,
            memory: &self.memory,
            now: self.now,
        })
    }

    /// The whole plan.
    pub fn plan(&self) -> ServicePlan {
        let plan = self.ask(|input| service::plan(input, Reach::ToTheEnd));
        let again = plan.look_again;
        assert!(again.is_none_or(|at| at > self.now), "it looks again without end: {plan:?}");
        plan
    }

    /// The next action or wait.
    pub fn next(&self) -> Next {
        self.asked.set(self.asked.get() + 1);
        assert!(self.asked.get() <= ANSWERS_MAX, "it never came:\n{}", self.log);
        self.ask(|input| next(&View::new(input)))
    }

    /// One action, checked, done and logged. None when there is nothing to do now.
    pub fn step(&mut self) -> Option<Action> {
        let Next::Act(action) = self.next() else { return None };
        let violations = self.ask(|input| check(input, &action));
        assert!(violations.is_empty(), "{action:?} breaks {violations:?}\n{}", self.log);
        self.memory.note_done(&action, &self.model.state, self.now);
        self.model.apply(&action.mutation, self.now);
        let line = describe(&action);
        self.say(&line);
        Some(*action)
    }

    /// Actions until something must be waited for; at most `limit` of them.
    pub fn pass(&mut self) -> &mut Self {
        for _ in 0..200 {
            if self.step().is_none() {
                return self;
            }
        }
        panic!("no end of actions:\n{}", self.log);
    }

    /// So many changes, with whatever must be waited for between them.
    pub fn changes(&mut self, count: usize) -> &mut Self {
        let mut made = 0;
        for _ in 0..20_000 {
            if made == count {
                return self;
            }
            if self.step().is_some() {
                made += 1;
            } else {
                self.later(Span::from_secs(5));
            }
        }
        panic!("only {made} of {count} changes:\n{}", self.log);
    }

    fn say(&mut self, line: &str) {
        let secs = self.now.since(START).as_secs_ceil();
        let _ = writeln!(self.log, "{:02}:{:02}:{:02} {line}", secs / 3600, secs / 60 % 60, secs % 60);
    }

    /// A new reading, so much later.
    pub fn later(&mut self, span: Span) -> &mut Self {
        self.watch(span).looks()
    }

    /// Time passes, with the readings of an ordinary poll and none at its end.
    fn watch(&mut self, span: Span) -> &mut Self {
        let end = self.now + span;
        while end.since(self.now) > POLL {
            self.now = self.now + POLL;
            self.looks();
        }
        self.now = end;
        self
    }

    /// A reading now.
    pub fn looks(&mut self) -> &mut Self {
        let now = self.now;
        self.model.advance(now);
        let answer = self.next();
        self.memory = self.ask(|input| self.memory.take_in(input, &answer));
        self
    }

    /// Passes until this holds, each when something is due, at whole five seconds; fails
    /// when it never comes.
    pub fn until(&mut self, holds: impl Fn(&Self) -> bool) -> &mut Self {
        for _ in 0..2_000 {
            self.pass();
            if holds(self) {
                return self;
            }
            // Whoever is sick is looked at more often.
            let due = self.due().filter(|_| self.sick.is_empty());
            let ahead = due.map_or(0, |due| due.since(self.now).as_millis());
            self.later(Span::from_secs(5 * ahead.div_ceil(5_000).max(1)));
        }
        panic!("it never came:\n{}", self.log);
    }

    /// When anything can be different next; none when nothing is foreseen.
    pub fn due(&self) -> Option<Timestamp> {
        self.ask(|input| {
            let view = View::new(input);
            let wait = match next(&view) {
                Next::Act(_) => return Some(self.now),
                Next::Wait(wait) => Some(wait),
                Next::Rest => None,
            };
            let mut moments: Vec<Timestamp> =
                [warm_until(&view), self.model.next_event()].into_iter().flatten().collect();
            for group in input.state.groups.keys() {
                moments.extend(self.memory.failing_since(group).map(|since| since + view.rollout().unhealthy_for));
                moments.extend(self.memory.unready_since(group).map(|since| since + view.rollout().healthy_deadline));
            }
            let wait = wait.as_ref();
            moments.extend(wait.into_iter().flat_map(|wait| [wait.on.until, wait.brief_until]).flatten());
            moments.into_iter().filter(|moment| *moment > self.now).min()
        })
    }

    /// Runs until the service is settled, or until nothing more comes by itself.
    pub fn run(&mut self) -> &mut Self {
        self.until(|story| match story.next() {
            Next::Rest => true,
            Next::Wait(wait) => {
                matches!(
                    wait.on.reason,
                    Reason::Rejected | Reason::Hold | Reason::Paused | Reason::Invalid | Reason::Fence | Reason::Gate
                ) || matches!(wait.on.reason, Reason::Freeze | Reason::Preflight)
                    || (wait.on.reason == Reason::Retry && wait.on.until.is_none())
                    || (wait.halted && story.model.next_event().is_none())
            }
            Next::Act(_) => false,
        })
    }

    /// Runs to the end and looks again and again: nothing is left to do, and the plan says so.
    pub fn converged(&mut self) -> &mut Self {
        self.run();
        for _ in 0..20 {
            self.later(Span::from_secs(5));
            assert!(self.plan().actions.is_empty(), "{:?}\n{}", self.plan().actions, self.log);
        }
        self
    }

    /// The program dies, and with it all that it remembers.
    pub fn dies(&mut self) -> &mut Self {
        self.memory = Memory::empty();
        self
    }

    /// The commit that is acted for.
    pub fn commit_id(&self) -> String {
        self.commit.to_string()
    }

    /// Runs until a group of this version has this percentage of the traffic.
    pub fn until_weight(&mut self, version: &str, percent: u32) -> &mut Self {
        let version = version.to_owned();
        self.until(move |story| story.weight(&version) == percent)
    }

    /// Runs on through the warm time, until only the live release stands.
    pub fn run_to_the_end(&mut self) -> &mut Self {
        self.until(|story| {
            let rest = !matches!(story.next(), Next::Act(_));
            rest && story.model.state.groups.values().filter(|g| g.group.is_some() || g.target_group.is_some()).count()
                <= 1
        })
    }

    /// What was done since the last time this was asked.
    pub fn log(&mut self) -> String {
        std::mem::take(&mut self.log)
    }

    /// All that was done since the log was asked for last, without clearing it.
    pub fn log_so_far(&self) -> &str {
        &self.log
    }

    /// What is waited for, as `reason: detail`.
    pub fn waits(&self) -> String {
        match self.next() {
            Next::Wait(wait) => {
                let reason = serde_json::to_string(&wait.on.reason).unwrap();
                format!("{}: {}", reason.trim_matches('"'), wait.on.detail)
            }
            Next::Rest => "at rest".to_owned(),
            Next::Act(action) => format!("acts: {}", describe(&action)),
        }
    }

    pub fn name(&self, version: &str) -> GroupName {
        GroupName::of(&self.scope, &self.service, &Digest::of(version.as_bytes()))
    }

    pub fn group(&self, version: &str) -> &ServerGroup {
        &self.model.state.groups[&self.name(version)]
    }

    pub fn group_mut(&mut self, version: &str) -> &mut ServerGroup {
        let name = self.name(version);
        self.model.state.groups.get_mut(&name).unwrap()
    }

    /// The group of this version, as a carrier of marks.
    pub fn carrier(&self, version: &str) -> Carrier {
        group_carrier(self.group(version), self.members(version))
    }

    /// The template of this version, as a carrier of marks.
    pub fn template(&self, version: &str) -> Carrier {
        template_carrier(self.group(version))
    }

    pub fn members(&self, version: &str) -> &GroupState {
        self.group(version).group.as_ref().unwrap()
    }

    /// Percent of the real traffic.
    pub fn weight(&self, version: &str) -> u32 {
        let name = self.name(version);
        self.ask(|input| {
            let view = View::new(input);
            input.state.groups.get(&name).map_or(0, |group| view.weight(group))
        })
    }

    pub fn role(&self, version: &str) -> Role {
        let name = self.name(version);
        self.ask(|input| View::new(input).role(&input.state.groups[&name]))
    }

    /// Somebody or something changes AWS behind our back, when whatever we changed ourselves
    /// can be seen.
    pub fn meanwhile(&mut self, mutation: &Mutation) -> &mut Self {
        let now = self.now;
        self.memory.forget_writes();
        self.model.apply(mutation, now);
        self
    }

    /// An operator's command, which is another program, changes AWS: what the daemon changed
    /// itself a short while ago stays in its memory.
    pub fn by_operator(&mut self, mutation: &Mutation) -> &mut Self {
        self.model.apply(mutation, self.now);
        self
    }
}

fn describe(action: &Action) -> String {
    let kind = serde_json::to_string(&action.mutation.kind()).unwrap();
    let target = match &action.mutation {
        // Times would hide what matters.
        Mutation::SetMark { mark, value, .. } => match value.split_once('@') {
            Some((percent, _)) => format!("{} {percent}", mark.word()),
            None => mark.word().to_owned(),
        },
        other => other.target(),
    };
    let resource = action.mutation.resource();
    let resource = if resource.starts_with("arn:") { "rule".to_owned() } else { resource };
    format!("{} {resource} {target}  ({})", kind.trim_matches('"'), action.because).replace("  (", " (")
}
