//! One service's desired and observed state side by side, with the role of each server
//! group. Computed once for a decision; everything that decides reads from here.

use std::collections::BTreeMap;

use crate::desired::spec::{Desired, LoadBalancer, Rollout, ServiceSpec};
use crate::mutant::Mutant;
use crate::names::{CommitId, Digest, GroupName, Scope, ServiceName, TargetGroupArn};
use crate::observed::marks::{Hold, Identity, Rejected, Retry, RetryKind};
use crate::observed::resources::{Conditions, Lifecycle, Rule};
use crate::observed::state::{GroupState, Health, ServerGroup, ServiceState, Slot};
use crate::time::{Span, Timestamp};

use super::memory::Memory;
use super::removal::Orphan;
use super::traffic;
use super::types::{Release, Role, WaitingOn};
use super::{launches, machines, resources, retire};

/// What the commit says about a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File<'a> {
    /// What should run.
    Valid(&'a ServiceSpec),
    /// It has errors: nothing follows from it but a block.
    Broken,
    /// There is none.
    Missing,
}

/// Everything that a decision about one service rests on.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// The owner.
    pub scope: &'a Scope,
    /// The service.
    pub service: &'a ServiceName,
    /// The commit acted for; none for a plain folder, which is never acted for.
    pub commit: Option<&'a CommitId>,
    /// The file at that commit.
    pub file: File<'a>,
    /// The file as of the `fence` commit, for when `file` says nothing.
    pub fallback: Option<&'a ServiceSpec>,
    /// Why the commit may not be acted for, if so.
    pub fence: Option<WaitingOn>,
    /// What marks claim that the commit does not descend from, and that it may overrule:
    /// its own fence is written over them.
    pub rewound: &'a [String],
    /// Why nothing new may start, if so.
    pub gate: Option<WaitingOn>,
    /// What becomes of it if it has no file.
    pub orphan: Orphan,
    /// What the commit says of all services; none where only an operator's word counts.
    pub desired: Option<&'a Desired>,
    /// What AWS showed.
    pub state: &'a ServiceState,
    /// What earlier readings showed.
    pub memory: &'a Memory,
    /// The time of the reading.
    pub now: Timestamp,
}

/// A target group that isn't ours and has the traffic, or had it until a first release that
/// has not settled took it. It is never changed; going back means back to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Which one.
    pub target_group: TargetGroupArn,
    /// How its targets are; none when that was not read.
    pub health: Option<Health>,
}

/// The roles and numbers that follow from an [`Input`].
pub struct View<'a> {
    /// What it was made from.
    pub input: &'a Input<'a>,
    /// The file that capacity, protection and retirement go by: the commit's, else that
    /// of the `fence` commit.
    pub spec: Option<&'a ServiceSpec>,
    /// The release that the commit wants; none where it may not act.
    pub wanted: Option<&'a ServiceSpec>,
    /// The name of the wanted release, else of the one that was coming up.
    pub wanted_name: Option<GroupName>,
    /// What serves and isn't ours, until the first release settles.
    pub foreign: Option<Foreign>,
    /// Serves.
    pub live: Option<&'a ServerGroup>,
    /// The wanted release's group when it isn't live; none when it left nothing in AWS.
    pub candidate: Option<&'a ServerGroup>,
    /// Served last.
    pub warm: Option<&'a ServerGroup>,
    /// All others that stand.
    pub leftovers: Vec<&'a ServerGroup>,
    /// The machines of each group, counted once: they may be thousands, and are asked for often.
    healths: BTreeMap<&'a GroupName, Option<Health>>,
}

impl<'a> View<'a> {
    /// Works the roles out.
    pub fn new(input: &'a Input<'a>) -> Self {
        let said = match input.file {
            File::Valid(spec) => Some(spec),
            File::Broken | File::Missing => None,
        };
        // What a commit says that may not act is not wanted.
        let fenced = input.fence.is_some() && !Mutant::IgnoreFence.on();
        let wanted = said.filter(|_| !fenced);
        let spec = wanted.or(input.fallback).or(said);
        // Neither a broken file nor a commit that may not act takes a step, but what was
        // under way is not undone either.
        let undecided = input.file == File::Broken || fenced;
        let aim = if undecided { input.fallback } else { wanted };
        let wanted_name = aim.map(|spec| GroupName::of(input.scope, input.service, &spec.digest));
        let mut view = Self {
            input,
            spec,
            wanted,
            wanted_name,
            foreign: None,
            live: None,
            candidate: None,
            warm: None,
            leftovers: Vec::new(),
            healths: BTreeMap::new(),
        };
        let grace = view.rollout().healthy_deadline;
        let counted = |group: &'a ServerGroup| (&group.name, health(input, grace, view.weight(group) > 0, group));
        view.healths = input.state.groups.values().map(counted).collect();
        view.foreign = view.find_foreign();
        view.live = view.find_live();
        if undecided && aim.is_none() {
            view.wanted_name = view.under_way();
        }
        view.candidate = view
            .wanted_name
            .as_ref()
            .and_then(|name| input.state.groups.get(name))
            .filter(|group| !view.is_live(group));
        view.warm = view.find_warm();
        view.leftovers = input
            .state
            .groups
            .values()
            .filter(|group| view.leaves_something(group))
            .filter(|group| !view.is_live(group) && !view.is_candidate(group) && !view.is_warm(group))
            .collect();
        view
    }

    fn find_live(&self) -> Option<&'a ServerGroup> {
        let standing = || self.input.state.groups.values().filter(|group| self.stands(group));
        let stable = || standing().filter(|group| group.stable().is_some());
        let latest = |group: &&ServerGroup| (group.stable(), group.name.clone());
        if let Some(live) = stable()
            .filter(|g| self.weight(g) > 0 && !Mutant::LiveIsNewest.on())
            .max_by_key(|g| (self.weight(g), latest(g)))
        {
            return Some(live);
        }
        // Machines behind no target group can't get any traffic: they are made again.
        let reachable = |group: &&ServerGroup| {
            group.target_group.is_some() || self.is_worker() || Some(&group.name) != self.wanted_name.as_ref()
        };
        if let Some(live) = stable().filter(|g| g.retired().is_none()).filter(reachable).max_by_key(latest) {
            let bears_nothing = self.weight(live) == 0 && self.standing_health(live).healthy == 0;
            return self.most_traffic_beside(Some(live)).filter(|_| bears_nothing).or(Some(live));
        }
        if self.foreign.is_some() {
            return None;
        }
        if stable().next().is_some() {
            // All that have settled have left their traffic to one that has not.
            return self.most_traffic_beside(None);
        }
        // Nothing ever settled: a release that has real work and isn't wanted stands in.
        let stand_in = standing()
            .filter(|group| self.serves(group) && Some(&group.name) != self.wanted_name.as_ref())
            // Of nothing but a target group no machines can be made.
            .filter(|group| group.group.is_some() || group.template.is_some())
            .max_by_key(|group| (self.weight(group), group.name.clone()));
        stand_in.or_else(|| self.had_all_traffic())
    }

    /// Beside a live release that bears nothing and has no traffic, or where none is live: the
    /// one that has most of it and isn't wanted.
    fn most_traffic_beside(&self, live: Option<&ServerGroup>) -> Option<&'a ServerGroup> {
        let live = live.map(|live| &live.name);
        let groups = self.input.state.groups.values().filter(|group| self.stands(group) && Some(&group.name) != live);
        groups
            .filter(|group| self.weight(group) > 0 && Some(&group.name) != self.wanted_name.as_ref())
            .filter(|group| group.group.is_some())
            .max_by_key(|group| (self.weight(group), has_reached_all(group), group.name.clone()))
    }

    /// A release that had all traffic and has not settled is the way back until its successor
    /// settles, at weight 0, too.
    fn had_all_traffic(&self) -> Option<&'a ServerGroup> {
        let groups = &self.input.state.groups;
        let wanted = self.wanted_name.as_ref();
        let others = groups.values().filter(|group| Some(&group.name) != wanted);
        others
            .filter(|group| group.weight.is_some() && group.group.is_some() && group.retired().is_none())
            .filter(|group| has_reached_all(group) && self.rejected(group).is_none())
            .max_by_key(|group| (group.step().map(|step| step.at), group.name.clone()))
    }

    /// Whether some release of ours has settled and stands, so that nothing else can be live.
    fn has_settled(&self) -> bool {
        self.input.state.groups.values().any(|group| group.stable().is_some() && self.stands(group))
    }

    /// The one target group in our action that isn't ours and has the traffic. Where the
    /// first release has all of it, the one that has none any more.
    fn find_foreign(&self) -> Option<Foreign> {
        let rule = self.rule().filter(|rule| !is_temporary(&rule.conditions) && !self.has_settled())?;
        let state = self.input.state;
        let others: Vec<_> =
            rule.action.percents().into_iter().filter(|(arn, _)| state.owner_of(arn).is_none()).collect();
        let mut weighted = others.iter().filter(|(_, percent)| *percent > 0);
        let (arn, _) = match (weighted.next(), weighted.next(), others.as_slice()) {
            (Some(only), None, _) | (None, None, [only]) => only,
            _ => return None,
        };
        let health = state.foreign.get(arn).map(Health::of_targets);
        Some(Foreign { target_group: arn.clone(), health })
    }

    /// Whether somebody serves who could take the traffic back: live, or what isn't ours.
    /// Machines behind no target group can take none.
    pub fn has_side(&self) -> bool {
        let live = self.live.is_some_and(|live| live.target_group.is_some() || self.is_worker());
        live || self.foreign.is_some()
    }

    /// The target group of whoever serves beside a release: live's, else the foreign one.
    pub fn side_beside(&self, group: &ServerGroup) -> Option<&TargetGroupArn> {
        let live = self.live.filter(|live| live.name != group.name).and_then(|live| live.target_group.as_ref());
        live.map(|target_group| &target_group.arn)
            .or_else(|| self.foreign.as_ref().map(|foreign| &foreign.target_group))
    }

    /// The release that was coming up, where nothing says what is wanted.
    fn under_way(&self) -> Option<GroupName> {
        let groups = self.input.state.groups.values().filter(|group| !self.is_live(group));
        let unsettled = groups.filter(|group| group.stable().is_none() && group.retired().is_none());
        let newest = unsettled.max_by_key(|group| (self.weight(group), group.group.as_ref().map(|g| g.created)))?;
        newest.group.is_some().then(|| newest.name.clone())
    }

    fn find_warm(&self) -> Option<&'a ServerGroup> {
        let groups = self.input.state.groups.values();
        groups
            .filter(|group| group.group.is_some() && self.weight(group) == 0)
            .filter(|group| !self.is_live(group) && !self.is_candidate(group))
            .filter(|group| group.retired().is_some())
            .max_by_key(|group| (group.retired(), group.name.clone()))
    }

    /// It has a group, or weight. A template alone is a record.
    pub fn stands(&self, group: &ServerGroup) -> bool {
        group.group.is_some() || self.weight(group) > 0
    }

    /// It has anything but a template, which is more than a record needs.
    pub fn leaves_something(&self, group: &ServerGroup) -> bool {
        group.group.is_some() || group.target_group.is_some() || !group.deleting.is_empty() || group.weight.is_some()
    }

    /// Whether it is the live one.
    pub fn is_live(&self, group: &ServerGroup) -> bool {
        self.live.is_some_and(|live| live.name == group.name)
    }

    /// Whether it is the candidate.
    pub fn is_candidate(&self, group: &ServerGroup) -> bool {
        !self.is_live(group) && Some(&group.name) == self.wanted_name.as_ref()
    }

    fn is_warm(&self, group: &ServerGroup) -> bool {
        self.warm.is_some_and(|warm| warm.name == group.name)
    }

    /// Its role.
    pub fn role(&self, group: &ServerGroup) -> Role {
        if self.is_live(group) {
            Role::Live
        } else if self.is_candidate(group) {
            Role::Candidate
        } else if self.is_warm(group) {
            Role::Warm
        } else {
            Role::Leftover
        }
    }

    /// Percent of the real traffic. Behind a condition that no client meets it is 0.
    pub fn weight(&self, group: &ServerGroup) -> u32 {
        let Some(target_group) = &group.target_group else {
            return group.percent();
        };
        let real = self.input.state.rules.iter().filter(|rule| !is_temporary(&rule.conditions));
        real.map(|rule| percent_of(rule, &target_group.arn).unwrap_or(0)).max().unwrap_or(0)
    }

    /// Whether it has real work: traffic, or a worker's bake.
    pub fn serves(&self, group: &ServerGroup) -> bool {
        let bakes = group.step().is_some_and(|step| step.percent > 0) && group.retired().is_none();
        self.weight(group) > 0 || (group.target_group.is_none() && bakes)
    }

    /// The rule that stands where the file wants it, else any rule of ours, else one that
    /// the file asks to take over.
    pub fn rule(&self) -> Option<&'a Rule> {
        let state = self.input.state;
        let place = self.load_balancer().and_then(|lb| {
            let priority = lb.rule.as_ref().map(|rule| rule.priority);
            state.rule_at(&lb.listener, priority)
        });
        place.or_else(|| state.rules.first()).or_else(|| self.to_take_over())
    }

    /// Whether clients reach it by a rule of its own, wherever that is.
    pub fn has_rule(&self) -> bool {
        self.input.state.rules.iter().any(|rule| !is_temporary(&rule.conditions))
    }

    /// A rule under real conditions that gives a group traffic, else the rule as above.
    pub fn rule_of(&self, group: &ServerGroup) -> Option<&'a Rule> {
        let arn = group.target_group.as_ref().map(|target_group| &target_group.arn);
        let gives = |rule: &&Rule| arn.and_then(|arn| percent_of(rule, arn)).is_some_and(|percent| percent > 0);
        let real = self.input.state.rules.iter().filter(|rule| !is_temporary(&rule.conditions));
        self.rule().filter(gives).or_else(|| real.clone().find(gives)).or_else(|| self.rule())
    }

    /// What stands where the file wants its rule, isn't ours, and may be taken over.
    fn to_take_over(&self) -> Option<&'a Rule> {
        let asked = self.load_balancer().is_some_and(|lb| lb.adopt) && !self.has_settled();
        let adoptable = matches!(self.input.state.slot, Some(Slot::Adoptable(_)));
        self.input.state.standing.as_ref().filter(|_| asked && adoptable)
    }

    /// How traffic comes, by the file that counts.
    pub fn load_balancer(&self) -> Option<&'a LoadBalancer> {
        self.spec?.load_balancer.as_ref()
    }

    /// Whether no traffic comes through a load balancer, by the file or by what stands.
    pub fn is_worker(&self) -> bool {
        match self.spec {
            Some(spec) => spec.load_balancer.is_none(),
            None => self.input.state.groups.values().all(|group| group.target_group.is_none()),
        }
    }

    /// The machines of a group; where their targets were not read, the group's own word counts.
    pub fn standing_health(&self, group: &ServerGroup) -> Health {
        let inline = || {
            let Some(members) = &group.group else { return Health::default() };
            let healthy = members.inline_healthy();
            let pending = members.instances.iter().filter(|instance| instance.lifecycle == Lifecycle::Pending);
            let booting = u32::try_from(pending.count()).unwrap_or(u32::MAX);
            let missing = members.desired.saturating_sub(healthy.saturating_add(booting));
            Health { healthy, booting, failing: 0, missing }
        };
        self.health(group).unwrap_or_else(inline)
    }

    /// The machines of a group, by condition; none when that was not read.
    pub fn health(&self, group: &ServerGroup) -> Option<Health> {
        self.healths
            .get(&group.name)
            .copied()
            .unwrap_or_else(|| health(self.input, self.rollout().healthy_deadline, self.weight(group) > 0, group))
    }

    /// How many machines a candidate needs: the file's minimum, and as many as live has now.
    /// How large a foreign side is, only its healthy targets tell.
    pub fn need(&self) -> u32 {
        let file = self.spec.map_or(0, |spec| spec.capacity.min);
        let live = if Mutant::NeedFromFile.on() { 0 } else { self.live_desired() };
        let foreign = self.foreign.as_ref().and_then(|foreign| foreign.health).map_or(0, |health| health.healthy);
        file.max(live).max(foreign).max(1)
    }

    /// How many machines a group needs to do all the work. A candidate that has grown beyond
    /// that needs what it has grown to.
    pub fn need_of(&self, group: &ServerGroup) -> u32 {
        let own = group.group.as_ref().filter(|_| self.is_candidate(group)).map_or(0, |group| group.desired);
        self.need().max(own)
    }

    /// How many machines of a group may fail without blame: of many, some always do.
    pub fn tolerated(&self) -> u32 {
        self.need() / TOLERATED_PART
    }

    /// Whether a group could take the next step.
    pub fn is_ready(&self, group: &ServerGroup, health: &Health) -> bool {
        health.healthy >= self.need_of(group) && health.failing <= self.tolerated()
    }

    /// Whether traffic goes back to a release at once: it settled before, or had all the traffic
    /// until its successor settled.
    pub fn is_way_back(&self, group: &ServerGroup) -> bool {
        group.stable().is_some() || (retire::stood_in(group) && self.live.is_some())
    }

    /// What live aims at now; 0 when there is none.
    pub fn live_desired(&self) -> u32 {
        self.live.and_then(|live| live.group.as_ref()).map_or(0, |group| group.desired)
    }

    /// The largest size that a candidate may grow to until it settles.
    pub fn candidate_max(&self) -> u32 {
        self.spec.map_or(0, |spec| spec.capacity.max).max(self.need())
    }

    /// How a release takes over and when it has failed, by the file that counts, else by
    /// the defaults.
    pub fn rollout(&self) -> Rollout {
        self.spec.map(|spec| spec.rollout.clone()).unwrap_or_default()
    }

    /// The steps of this rollout. With no side to go back to there is nothing to compare
    /// with, so all traffic comes at once. So it does from a third release whose traffic live
    /// can't take: the rest of a step would go there.
    pub fn steps(&self) -> Vec<u32> {
        let beside = self.foreign.is_some() || self.live.is_some_and(|live| live.target_group.is_some());
        let mut stray = self.leftovers.iter().filter(|group| self.weight(group) > 0);
        let stranded = stray.any(|stray| traffic::can_go_back(self, stray) == Some(false));
        match self.spec {
            Some(spec) if beside && !stranded && !Mutant::SkipSteps.on() => spec.rollout.steps.clone(),
            _ => vec![100],
        }
    }

    /// The first step above a percentage.
    pub fn step_after(&self, percent: u32) -> Option<u32> {
        self.steps().into_iter().find(|step| *step > percent)
    }

    /// The hold on the service, from any of its templates.
    pub fn hold(&self) -> Option<Hold> {
        let holds = self.input.state.groups.values().filter_map(|group| group.template.as_ref()?.marks.hold.clone());
        holds.min_by_key(|hold| hold.at)
    }

    /// The verdict on a group: its mark, or what could not be marked.
    pub fn rejected(&self, group: &ServerGroup) -> Option<Rejected> {
        if group.stable().is_some() || Mutant::IgnoreRejected.on() {
            return None;
        }
        let mark = group.template.as_ref().and_then(|template| template.marks.rejected.clone());
        mark.or_else(|| self.input.memory.verdict(&group.name).cloned())
    }

    /// A try that failed through no fault of the release, as long as the next one hasn't come.
    pub fn retry_pending(&self, group: &ServerGroup) -> Option<PendingRetry> {
        if Mutant::RetryAtOnce.on() {
            return None;
        }
        let retry = group.template.as_ref()?.marks.retry.clone()?;
        let due = (!needs_a_person(&retry)).then(|| retry.at + retry_delay(&retry));
        let step = group.step().filter(|step| step.percent == 0);
        let deadline = self.rollout().healthy_deadline;
        let late = step.is_some_and(|step| self.input.now >= step.at + deadline);
        let withdraws = match retry.kind {
            RetryKind::Launch | RetryKind::Late => late,
            RetryKind::Returned => due.is_none() && self.weight(group) == 0,
        };
        // Machines that the last try left go first, even if the next one is due meanwhile.
        let left_over = withdraws && group.group.is_some() && step.is_some_and(|step| retry.at >= step.at + deadline);
        // Machines that came all the same are used.
        let came = retry.kind != RetryKind::Returned
            && self.health(group).is_some_and(|health| group.group.is_some() && self.is_ready(group, &health));
        let waits = !came && (due.is_none_or(|due| due > self.input.now) || left_over);
        waits.then_some(PendingRetry { retry, due, withdraws })
    }

    /// Who a group is, with the version and digest of its release.
    pub fn release(&self, group: &ServerGroup) -> Release {
        Release { version: group.identity.version.clone(), digest: group.identity.digest.clone() }
    }

    /// The identity that new resources of the wanted release get.
    pub fn new_identity(&self, spec: &ServiceSpec) -> Identity {
        Identity {
            scope: self.input.scope.clone(),
            service: self.input.service.clone(),
            version: spec.version.clone(),
            digest: spec.digest.clone(),
            commit: self.input.commit.map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// The live group's Auto Scaling group.
    pub fn live_group(&self) -> Option<&'a GroupState> {
        self.live?.group.as_ref()
    }

    /// All weights of our action as they are now: target group, percent.
    pub fn weights(&self) -> Vec<(TargetGroupArn, u32)> {
        self.rule().map(|rule| rule.action.percents()).unwrap_or_default()
    }

    /// Whether the live digest is the wanted one.
    pub fn live_is_wanted(&self) -> bool {
        self.live.is_some_and(|live| Some(&live.name) == self.wanted_name.as_ref())
    }

    /// Whether the machines of a group wait in our own launch hook until they are ready.
    pub fn has_ready_hook(&self, group: &ServerGroup) -> bool {
        self.spec.is_some_and(|spec| resources::ready_within(group, spec).is_some())
    }

    /// The digest of the wanted release.
    pub fn wanted_digest(&self) -> Option<&'a Digest> {
        self.wanted.map(|spec| &spec.digest)
    }
}

/// One in so many machines may fail without blame: none below 20, five of 100.
const TOLERATED_PART: u32 = 20;

/// Whether a release has had all the traffic in its present try.
fn has_reached_all(group: &ServerGroup) -> bool {
    group.step().is_some_and(|step| step.percent == 100)
}

/// Whether no client can meet some conditions: a first release before it takes traffic.
pub fn is_temporary(conditions: &Conditions) -> bool {
    conditions.hosts.iter().any(|host| host.ends_with(".ionroller.invalid"))
}

/// The percent that a rule gives a target group; none when it doesn't name it.
pub fn percent_of(rule: &Rule, arn: &TargetGroupArn) -> Option<u32> {
    rule.action.percents().into_iter().find(|(other, _)| other == arn).map(|(_, percent)| percent)
}

/// A try that failed through no fault of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRetry {
    /// Its mark.
    pub retry: Retry,
    /// When the next try comes; none where it is not tried again by itself.
    pub due: Option<Timestamp>,
    /// Its machines go meanwhile.
    pub withdraws: bool,
}

/// So many tries of a kind that waiting does not mend are made without a person.
const TRIES_MAX: u32 = 3;

/// Whether a release is not tried again by itself. Capacity and quotas come back, so for them it
/// always is.
fn needs_a_person(retry: &Retry) -> bool {
    let others = retry.tries.saturating_sub(retry.returns);
    match retry.kind {
        RetryKind::Returned => retry.returns >= TRIES_MAX,
        RetryKind::Late => others >= TRIES_MAX,
        RetryKind::Launch => others >= TRIES_MAX && launches::is_unobtainable(&retry.text),
    }
}

/// The wait after a try that failed: a minute where traffic had to be taken back, else five,
/// doubling with each such try to an hour.
pub fn retry_delay(retry: &Retry) -> Span {
    let (first, tries) = match retry.kind {
        RetryKind::Returned => (Span::from_mins(1), retry.returns),
        RetryKind::Launch | RetryKind::Late => (Span::from_mins(5), retry.tries.saturating_sub(retry.returns)),
    };
    (first * (1 << tries.saturating_sub(1).min(6))).min(Span::from_mins(60))
}

fn health(input: &Input<'_>, grace: Span, serves: bool, group: &ServerGroup) -> Option<Health> {
    let seen = input.memory.machines(&group.name);
    machines::count(group, &machines::Evidence { seen, grace, serves, now: input.now })
}
