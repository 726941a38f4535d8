//! Services as no history of ours would leave them: any marks, weights, sizes and healths,
//! with parts missing. Only what AWS itself would not allow is left out.

use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::story::{START, Said, Story, file};
use crate::desired::spec::{OnFailure, ServiceSpec};
use crate::names::{GroupName, RuleArn, TargetGroupArn};
use crate::observed::marks::{Identity, Mark, Marks, Rejected, Step};
use crate::observed::resources::{
    Conditions, Details, HealthCheck, Instance, Lifecycle, Policy, Rule, RuleAction, Tags, TargetGroup, TargetHealth,
};
use crate::observed::state::{GroupState, ServerGroup, ServiceState, Slot, TemplateState};
use crate::plan::model::{Model, empty_group};
use crate::plan::removal::Orphan;
use crate::time::{Span, Timestamp};

/// So many releases may have left something.
pub const RELEASES: usize = 4;

/// A service, and what the commit says of it.
#[derive(Debug, Clone)]
pub struct Wild {
    pub worker: bool,
    pub releases: Vec<Option<Release>>,
    rule: WildRule,
    held: Option<usize>,
    pub said: WildFile,
    pub wanted: Wanted,
    fallback: Option<usize>,
    pruned: bool,
    pub fenced: bool,
    pub gated: bool,
    pub incomplete: bool,
    pub sick: Vec<bool>,
}

#[derive(Debug, Clone)]
pub struct Release {
    template: Option<Template>,
    group: Option<Group>,
    target_group: bool,
    /// In the rule, as it was written there.
    weight: Option<u32>,
    deleting: bool,
}

#[derive(Debug, Clone)]
struct Template {
    age: u64,
    stable: Option<u64>,
    rejected: bool,
    retry: Option<(u32, u64)>,
}

#[derive(Debug, Clone)]
struct Group {
    age: u64,
    below: u32,
    desired: u32,
    above: u32,
    step: Option<(u32, u64)>,
    retired: Option<u64>,
    settings: bool,
    machines: Vec<(Lifecycle, bool, TargetHealth)>,
    policy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WildRule {
    Ours,
    OtherConditions,
    OtherPlace,
    Moving,
    Temporary,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WildFile {
    Valid,
    Paused,
    Broken,
    Missing,
}

#[derive(Debug, Clone)]
pub struct Wanted {
    pub version: usize,
    min: u32,
    more: u32,
    steps: Vec<u32>,
    bake: u64,
    warm: u64,
    hold: bool,
}

fn minutes() -> impl Strategy<Value = u64> {
    0..90_u64
}

fn template() -> impl Strategy<Value = Template> {
    (minutes(), weighted(0.5, minutes()), prop::bool::weighted(0.1), weighted(0.1, (1..4_u32, 0..20_u64)))
        .prop_map(|(age, stable, rejected, retry)| Template { age, stable, rejected, retry })
}

fn group() -> impl Strategy<Value = Group> {
    let lifecycle = select(vec![
        Lifecycle::InService,
        Lifecycle::InService,
        Lifecycle::InService,
        Lifecycle::InService,
        Lifecycle::Pending,
        Lifecycle::Leaving,
    ]);
    let health = select(vec![
        TargetHealth::Healthy,
        TargetHealth::Healthy,
        TargetHealth::Healthy,
        TargetHealth::Unhealthy,
        TargetHealth::Initial,
        TargetHealth::Draining,
    ]);
    let machine = (lifecycle, prop::bool::weighted(0.9), health);
    let step = (select(vec![0_u32, 5, 10, 50, 99, 100]), minutes());
    let sizes = (0..3_u32, 0..5_u32, 0..4_u32);
    let machines = prop::collection::vec(machine, 0..5);
    let marks = (weighted(0.8, step), weighted(0.4, minutes()), any::<bool>());
    (minutes(), sizes, marks, machines, prop::bool::weighted(0.2)).prop_map(
        |(age, (below, desired, above), (step, retired, settings), machines, policy)| Group {
            age,
            below,
            desired,
            above,
            step,
            retired,
            settings,
            machines,
            policy,
        },
    )
}

fn release() -> impl Strategy<Value = Release> {
    let weight = select(vec![0_u32, 0, 1, 5, 10, 50, 90, 100]);
    let parts = (weighted(0.9, template()), weighted(0.7, group()), prop::bool::weighted(0.85));
    (parts, weighted(0.8, weight), prop::bool::weighted(0.1)).prop_map(
        |((template, group, target_group), weight, deleting)| Release {
            template,
            group,
            target_group,
            weight,
            deleting,
        },
    )
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let steps = select(vec![vec![100], vec![10, 100], vec![5, 50, 100]]);
    (0..=RELEASES, 1..4_u32, 0..4_u32, steps, select(vec![0_u64, 5]), select(vec![0_u64, 60]), any::<bool>()).prop_map(
        |(version, min, more, steps, bake, warm, hold)| Wanted { version, min, more, steps, bake, warm, hold },
    )
}

/// Any service.
pub fn wild() -> impl Strategy<Value = Wild> {
    let rule = select(vec![
        WildRule::Ours,
        WildRule::Ours,
        WildRule::Ours,
        WildRule::Ours,
        WildRule::OtherConditions,
        WildRule::OtherPlace,
        WildRule::Moving,
        WildRule::Temporary,
        WildRule::None,
    ]);
    let said = select(vec![
        WildFile::Valid,
        WildFile::Valid,
        WildFile::Valid,
        WildFile::Valid,
        WildFile::Paused,
        WildFile::Broken,
        WildFile::Missing,
    ]);
    let releases = prop::collection::vec(weighted(0.75, release()), RELEASES);
    let stops = (prop::bool::weighted(0.08), prop::bool::weighted(0.08), prop::bool::weighted(0.05));
    let sick = prop::collection::vec(prop::bool::weighted(0.15), RELEASES + 1);
    let file = (said, wanted(), weighted(0.7, 0..=RELEASES), any::<bool>());
    (prop::bool::weighted(0.25), releases, rule, weighted(0.08, 0..RELEASES), file, stops, sick).prop_map(
        |(worker, releases, rule, held, (said, wanted, fallback, pruned), (fenced, gated, incomplete), sick)| Wild {
            worker,
            releases,
            rule,
            held,
            said,
            wanted,
            fallback,
            pruned,
            fenced,
            gated,
            incomplete,
            sick,
        },
    )
}

pub fn version(index: usize) -> String {
    format!("1.{index}")
}

impl Wild {
    /// The file of one version.
    pub fn file(&self, index: usize) -> ServiceSpec {
        let Wanted { min, more, steps, bake, warm, hold, .. } = self.wanted.clone();
        let mut spec = file(&version(index));
        (spec.capacity.min, spec.capacity.max) = (min, min + more);
        (spec.rollout.steps, spec.rollout.bake) = (steps, Span::from_mins(bake));
        spec.rollout.on_failure = if hold { OnFailure::Hold } else { OnFailure::RollBack };
        spec.retention.warm = Span::from_mins(warm);
        if self.worker {
            spec.load_balancer = None;
        }
        spec
    }

    /// The story that begins here.
    pub fn story(&self) -> Story {
        let mut story = Story::new(self.file(self.wanted.version));
        story.model = Model::new(&self.state(&story), START);
        match self.said {
            WildFile::Valid => {}
            WildFile::Paused => {
                let paused = Some("incident".to_owned());
                story.said = Said::File(Box::new(ServiceSpec { paused, ..self.file(self.wanted.version) }));
            }
            WildFile::Broken => story.said = Said::Broken,
            WildFile::Missing => story.said = Said::Nothing,
        }
        story.fallback = self.fallback.map(|index| self.file(index));
        if self.pruned && self.said == WildFile::Missing {
            story.orphan = Orphan::Removed;
        }
        if self.fenced {
            story.fence = Some(crate::plan::service::fenced_by(&"f".repeat(40), true));
        }
        if self.gated {
            story.gate = Some(crate::plan::types::WaitingOn {
                reason: crate::plan::types::Reason::Slot,
                detail: "1 rollout runs already".to_owned(),
                since: None,
                until: None,
            });
        }
        story.sick = self.sick.iter().enumerate().filter(|(_, sick)| **sick).map(|(i, _)| version(i)).collect();
        story
    }

    fn state(&self, story: &Story) -> ServiceState {
        let mut state = ServiceState { slot: Some(Slot::Free), ..ServiceState::default() };
        for (index, release) in self.releases.iter().enumerate() {
            let Some(release) = release else { continue };
            let owner = self.server_group(story, index, release);
            let nothing = owner.template.is_none() && owner.group.is_none() && owner.target_group.is_none();
            if !nothing || !owner.deleting.is_empty() {
                state.groups.insert(owner.name.clone(), owner);
            }
        }
        if !self.worker {
            self.rules(&mut state);
        }
        for owner in state.groups.values_mut() {
            let arn = owner.target_group.as_ref().map(|target_group| target_group.arn.clone());
            let percents = state.rules.iter().flat_map(|rule| rule.action.percents());
            owner.weight = arn.and_then(|arn| percents.filter(|(other, _)| *other == arn).map(|(_, p)| p).max());
            unchecked(owner);
        }
        if self.incomplete {
            state.incomplete = Some("target health failed".to_owned());
        }
        state
    }

    fn rules(&self, state: &mut ServiceState) {
        let spec = self.file(0);
        let lb = spec.load_balancer.as_ref().unwrap();
        let raw: Vec<(TargetGroupArn, u32)> = (0..RELEASES)
            .filter_map(|index| {
                let release = self.releases[index].as_ref()?;
                let owner = state.groups.values().find(|owner| owner.identity.version.as_str() == version(index))?;
                Some((owner.target_group.as_ref()?.arn.clone(), release.weight?))
            })
            .collect();
        if raw.is_empty() || self.rule == WildRule::None {
            return;
        }
        let first = state.groups.values().find(|owner| owner.target_group.is_some()).unwrap().name.invalid_host();
        let rule = |number: u32, priority: u32, host: &str| Rule {
            arn: RuleArn::parse(&format!("arn:aws:elasticloadbalancing:model:0:listener-rule/{number}")).unwrap(),
            listener: lb.listener.clone(),
            priority: Some(priority),
            conditions: Conditions { hosts: vec![host.to_owned()], paths: Vec::new(), more: Vec::new() },
            action: RuleAction::Forward(raw.clone()),
        };
        let real = "web.example.com";
        state.rules = match self.rule {
            WildRule::Ours => vec![rule(1, 10, real)],
            WildRule::OtherConditions => vec![rule(1, 10, "www.example.com")],
            WildRule::OtherPlace => vec![rule(1, 20, real)],
            WildRule::Moving => vec![rule(1, 10, real), rule(2, 20, real)],
            WildRule::Temporary => vec![rule(1, 10, &first)],
            WildRule::None => Vec::new(),
        };
        state.slot = Some(if self.rule == WildRule::OtherPlace { Slot::Free } else { Slot::Ours });
    }

    fn server_group(&self, story: &Story, index: usize, release: &Release) -> ServerGroup {
        let spec = self.file(index);
        let identity = Identity {
            scope: crate::names::Scope::parse("prod").unwrap(),
            service: spec.name.clone(),
            version: spec.version.clone(),
            digest: spec.digest.clone(),
            commit: "0".repeat(40),
        };
        let name = story.name(&version(index));
        let mut owner = empty_group(&name, identity);
        owner.template = release.template.as_ref().map(|template| self.template(index, &owner, template));
        if release.deleting {
            owner.deleting.push(name.to_string());
        }
        let own_name = if release.deleting { format!("{name}-2") } else { name.to_string() };
        owner.group = release.group.as_ref().map(|group| members(&owner, own_name, group));
        owner.target_group = (release.target_group && !self.worker).then(|| target_group(&name));
        if owner.target_group.is_some()
            && let (Some(group), Some(members)) = (&release.group, &owner.group)
        {
            let machines = members.instances.iter().zip(&group.machines);
            let machines = machines.filter(|(instance, _)| instance.lifecycle == Lifecycle::InService);
            let health = |(instance, (_, _, health)): (&Instance, &(_, _, TargetHealth))| {
                (instance.id.clone(), (*health).into())
            };
            owner.targets = Some(machines.map(health).collect());
        }
        let policy = Policy {
            name: "ionroller-cpu".into(),
            metric: "ASGAverageCPUUtilization".into(),
            resource_label: None,
            target_millis: 50_000,
        };
        let policies = if release.group.as_ref().is_some_and(|group| group.policy) { vec![policy] } else { Vec::new() };
        let deregistration_delay = owner.target_group.as_ref().map(|_| Span::from_secs(30));
        owner.details = Some(Details { policies, deregistration_delay });
        owner.activities = Some(Vec::new());
        owner
    }

    fn template(&self, index: usize, owner: &ServerGroup, template: &Template) -> TemplateState {
        let mut tags = owner.identity.tags();
        let mut mark =
            |mark: Mark, value: Option<String>| tags.extend(value.map(|value| (mark.key().to_owned(), value)));
        mark(Mark::Stable, template.stable.map(|age| ago(age).to_string()));
        let verdict = Rejected { at: ago(5), code: "deadline".to_owned(), text: "0 of 2 healthy".to_owned() };
        mark(Mark::Rejected, template.rejected.then(|| verdict.to_string()));
        mark(Mark::Retry, template.retry.map(|(tries, age)| format!("{tries}@{}", ago(age))));
        mark(Mark::Hold, (self.held == Some(index)).then(|| format!("{} ann incident", ago(7))));
        TemplateState {
            id: format!("lt-{}", owner.name),
            created: ago(template.age),
            marks: Marks::read(&tags, START),
            commit: "0".repeat(40),
            tags,
        }
    }
}

/// Nobody checks the machines of a target group that no rule names.
pub fn unchecked(owner: &mut ServerGroup) {
    if owner.weight.is_none() {
        owner
            .targets
            .iter_mut()
            .flat_map(|targets| targets.values_mut())
            .for_each(|target| *target = TargetHealth::Unused.into());
    }
}

fn ago(minutes: u64) -> Timestamp {
    START - Span::from_mins(minutes)
}

fn members(owner: &ServerGroup, name: String, group: &Group) -> GroupState {
    let mut tags: Tags = owner.identity.tags();
    let mut mark = |mark: Mark, value: Option<String>| tags.extend(value.map(|value| (mark.key().to_owned(), value)));
    mark(Mark::Step, group.step.map(|(percent, age)| Step { percent, at: ago(age) }.to_string()));
    mark(Mark::Retired, group.retired.map(|age| ago(age).to_string()));
    mark(Mark::Settings, group.settings.then(|| "0123456789".to_owned()));
    let machines = group.machines.iter().enumerate();
    let mut instances: Vec<Instance> = machines
        .map(|(number, (lifecycle, healthy, _))| Instance {
            id: format!("i-{}-{number}", owner.identity.version),
            lifecycle: *lifecycle,
            healthy: *healthy,
        })
        .collect();
    // What is more than the group aims at is on its way out.
    let mut stays = 0;
    for instance in instances.iter_mut().filter(|instance| instance.lifecycle != Lifecycle::Leaving) {
        stays += 1;
        if stays > group.desired {
            instance.lifecycle = Lifecycle::Leaving;
        }
    }
    GroupState {
        name,
        min: group.desired.saturating_sub(group.below),
        max: group.desired + group.above,
        desired: group.desired,
        instances,
        suspended: Vec::new(),
        created: ago(group.age),
        marks: Marks::read(&tags, START),
        commit: "0".repeat(40),
        tags,
        template: Some((owner.name.to_string(), "1".to_owned())),
        shape: None,
    }
}

fn target_group(name: &GroupName) -> TargetGroup {
    TargetGroup {
        arn: TargetGroupArn::parse(&format!("arn:aws:elasticloadbalancing:model:0:targetgroup/{name}/0")).unwrap(),
        name: name.to_string(),
        port: 80,
        protocol: "HTTP".to_owned(),
        health_check: HealthCheck {
            protocol: "HTTP".to_owned(),
            port: "traffic-port".to_owned(),
            path: Some("/".to_owned()),
            matcher: Some("200".to_owned()),
            interval_secs: 10,
            timeout_secs: 5,
            healthy: 2,
            unhealthy: 3,
        },
        in_use: false,
    }
}
