//! The invariants, looked at from outside: by what AWS was and is, and by what the daemon was
//! told. Nothing here asks the planner.
//!
//! While readings may show the past, what a change does to the world can't be the daemon's
//! fault alone. So health, sizes and weights are compared with what it was told in the very
//! reading that the change rests on; and what takes machines away is compared with the world
//! only where no reading has shown the past for a while.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt as _;

use crate::cloud::CloudError;
use crate::cloud::sim::SimCloud;
use crate::cloud::sim::world::{SimGroup, World};
use crate::desired::spec::{ServiceFile, ServiceSpec};
use crate::names::{CommitId, ListenerArn, TargetGroupArn};
use crate::observed::marks::{self, Mark};
use crate::observed::resources::Tags;
use crate::plan::types::{Plan, ServicePlan};
use crate::reconcile::Target;
use crate::time::{Span, Timestamp};
use tokio::sync::watch;

use super::borne::Burdens;
use super::call::{Call, Done};
use super::facts::{
    self, actions, difference, group_of, has_weight, healthy, is_foreign, is_instant, is_of, is_stable,
};
use super::history::Commits;
use super::stage::Who;
use super::told::Reading;

/// How long after the last stale reading the world is not compared: what was read then may
/// still be acted on. In milliseconds.
const STALE_AFTER: i64 = 60_000;

/// So many passes without a change in so short a time are no waiting any more: the shortest
/// wait is half a second, and a clock may have jumped once.
const PASSES_MAX: usize = 300;
const PASSES_SPAN: Span = Span::from_secs(100);

/// What is known while a history runs.
pub struct Check {
    commits: Commits,
    /// The services whose listener's default action is theirs.
    defaults: BTreeMap<ListenerArn, usize>,
    readings: BTreeMap<(Who, Option<String>), Reading>,
    /// The daemons that make changes.
    acting: BTreeMap<Who, Acting>,
    /// Whose change is looked at.
    who: Who,
    /// Verdicts: service and digest.
    pub rejected: BTreeSet<(String, String)>,
    /// Way backs that must be one call, by service.
    pub reverts: BTreeMap<String, Revert>,
    /// Who bears what.
    pub burdens: Burdens,
    /// All calls about some service fail.
    pub curse: bool,
    /// Readings may show the past until then.
    pub stale_until: i64,
    /// When passes began in which nothing was changed, the last last.
    passes: VecDeque<Timestamp>,
    /// The first thing that was wrong.
    pub broken: Option<String>,
    /// Which checks had something to look at, and how often.
    pub seen: BTreeMap<&'static str, u64>,
}

/// What a daemon has planned.
pub type Planned = Option<Arc<Plan>>;

/// What is known of a daemon that makes changes.
struct Acting {
    /// What it was given last.
    given: watch::Receiver<Option<Target>>,
    /// What it planned last.
    plan: watch::Receiver<Planned>,
    /// The commit of the pass under way, and what it says of freezes.
    pass: Option<CommitId>,
    /// Nothing may start in this pass.
    frozen: bool,
}

/// A revert to a release that stands, is warm and well.
#[derive(Debug, Clone)]
pub struct Revert {
    /// The commit that wants it.
    pub commit: CommitId,
    /// The digest that it wants.
    pub digest: String,
}

impl Check {
    pub fn new(commits: Commits, defaults: BTreeMap<ListenerArn, usize>) -> Self {
        Self {
            commits,
            defaults,
            readings: BTreeMap::new(),
            acting: BTreeMap::new(),
            who: Who::Daemon,
            rejected: BTreeSet::new(),
            reverts: BTreeMap::new(),
            burdens: Burdens::default(),
            curse: false,
            stale_until: i64::MIN,
            passes: VecDeque::new(),
            broken: None,
            seen: BTreeMap::new(),
        }
    }

    pub fn reading(&mut self, who: Who, service: Option<&str>) -> &mut Reading {
        self.readings.entry((who, service.map(str::to_owned))).or_default()
    }

    /// A reading begins: of the whole scope with a pass, else of one service.
    /// The machine's clock, which decides on freezes, may be wrong: how often it reads is
    /// another's matter.
    pub fn begin(&mut self, who: Who, service: Option<&str>, (now, really): (Timestamp, Timestamp)) {
        *self.reading(who, service) = Reading::default();
        if service.is_some() {
            return;
        }
        if who == Who::Daemon {
            self.paced(really);
        }
        if let Some(acting) = self.acting.get_mut(&who) {
            // A pass takes what it is given in the same breath in which it begins to read.
            let target = acting.given.borrow().clone();
            let freezes = target.iter().flat_map(|target| &target.scope.freezes);
            acting.frozen = freezes.into_iter().any(|freeze| freeze.from <= now && now < freeze.until);
            acting.pass = target.and_then(|target| target.desired.commit.clone());
        }
    }

    /// 5 Convergent: it does not read again and again where nothing can have changed.
    fn paced(&mut self, now: Timestamp) {
        self.passes.push_back(now);
        if self.passes.len() > PASSES_MAX {
            self.passes.pop_front();
            let span =
                self.passes.back().copied().zip(self.passes.front().copied()).map(|(last, first)| last.since(first));
            if span.is_some_and(|span| span < PASSES_SPAN) {
                self.wrong(
                    "paced",
                    format!("{PASSES_MAX} passes in {} s that changed nothing", PASSES_SPAN.as_secs_ceil()),
                );
            }
        }
    }

    /// The process has died: what it was told is forgotten.
    pub fn died(&mut self) {
        self.readings.retain(|(who, _), _| *who != Who::Daemon);
        self.acting.remove(&Who::Daemon);
        self.passes.clear();
        self.burdens.forget();
    }

    /// A daemon that makes changes has started.
    pub fn starts(&mut self, who: Who, given: watch::Receiver<Option<Target>>, plan: watch::Receiver<Planned>) {
        self.acting.insert(who, Acting { given, plan, pass: None, frozen: false });
    }

    /// What the pass before has planned for each service.
    pub fn planned(&self) -> Vec<ServicePlan> {
        let plan = self.acting.get(&Who::Daemon).and_then(|acting| acting.plan.borrow().clone());
        plan.map(|plan| plan.services.clone()).unwrap_or_default()
    }

    /// What the daemon goes by for a service.
    fn spec(&self, service: &str) -> Option<ServiceSpec> {
        let target = self.acting.get(&Who::Daemon)?.given.borrow().clone()?;
        let found = target.desired.services.iter().find(|(name, _)| name.as_str() == service);
        match found {
            Some((_, ServiceFile::Valid(spec))) => Some((**spec).clone()),
            _ => None,
        }
    }

    /// The digest that the daemon wants of a service.
    pub fn wants(&self, service: &str) -> Option<String> {
        self.spec(service).map(|spec| spec.digest.to_string())
    }

    /// The least machines that its file says.
    pub fn min(&self, service: &str) -> u64 {
        self.spec(service).map_or(0, |spec| u64::from(spec.capacity.min))
    }

    /// Whose change is looked at.
    pub fn who(&self) -> Who {
        self.who
    }

    /// The commit of the pass that a change belongs to.
    fn pass(&self) -> Option<&CommitId> {
        self.acting.get(&self.who)?.pass.as_ref()
    }

    /// Whether the commit of the pass has a file for a service: one without may be taken away.
    fn has_file(&self, turn: &str) -> bool {
        self.pass().is_some_and(|pass| self.commits.has_file(pass, turn))
    }

    pub fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub fn wrong(&mut self, invariant: &str, how: String) {
        self.broken.get_or_insert(format!("{invariant}: {how}"));
    }

    /// One change was asked for, by whoever reads for `turn`.
    pub fn change(
        &mut self,
        who: Who,
        turn: Option<&str>,
        call: &Call,
        result: &Result<Done, CloudError>,
        (before, after): (&World, &World),
    ) {
        if who == Who::Dry {
            return self.wrong("dry is dry", format!("{call}"));
        }
        if let Some(first) = after.violations.first() {
            self.wrong("served", first.clone());
        }
        self.owned(turn, call, before, after);
        self.absolute(call, result, after);
        // An operator's word goes another way: what it may do is another matter.
        if who.is_acting() {
            self.who = who;
            if let Some(turn) = turn {
                self.known(turn, call);
                self.served(turn, call, before, after);
                self.kept(turn, call, before);
                self.untouched(turn, call);
                self.verdicts(turn, call, before);
                self.blameless(turn, call, before);
                self.fenced(turn, call, before);
                self.instant(turn, call, before, result.is_ok());
            } else {
                self.wrong("unknown is not absent", format!("{call} in no service's turn"));
            }
        }
        self.passes.clear();
        if result.is_err() {
            self.burdens.forget();
        }
        self.note_verdicts(call, before, after);
    }

    /// 8 Owned, 7 Isolated: only what is this service's changes, or the default action that
    /// its file names.
    fn owned(&mut self, turn: Option<&str>, call: &Call, before: &World, after: &World) {
        self.saw("owned");
        let mut others = Vec::new();
        let mine = |tags: &Tags| {
            tags.get(marks::SCOPE).is_some_and(|scope| scope == "prod")
                && tags.get(marks::SERVICE).map(String::as_str) == turn
        };
        for (id, was) in before.templates.iter().filter(|(_, was)| !mine(&was.tags)) {
            others.extend((after.templates.get(id) != Some(was)).then(|| id.clone()));
        }
        for (name, was) in before.groups.iter().filter(|(_, was)| !mine(&was.tags)) {
            let settings = |group: &SimGroup| {
                (group.min, group.max, group.desired, group.tags.clone(), group.policies.clone(), group.deleted_at)
            };
            others.extend((after.groups.get(name).map(settings) != Some(settings(was))).then(|| name.clone()));
        }
        for (arn, was) in before.target_groups.iter().filter(|(_, was)| !mine(&was.tags)) {
            let now = after.target_groups.get(arn).map(|now| (&now.tags, &now.health_check, now.deregistration_delay));
            others.extend(
                (now != Some((&was.tags, &was.health_check, was.deregistration_delay))).then(|| arn.to_string()),
            );
        }
        for (arn, was) in before.rules.iter().filter(|(_, was)| !mine(&was.tags)) {
            others.extend((after.rules.get(arn) != Some(was)).then(|| arn.to_string()));
        }
        for (arn, was) in &before.listeners {
            let number = turn.and_then(super::files::number);
            let may = self.defaults.get(arn).is_some_and(|owner| Some(*owner) == number);
            others.extend((!may && after.listeners.get(arn) != Some(was)).then(|| arn.to_string()));
        }
        let new = (after.templates.iter().filter(|(id, _)| !before.templates.contains_key(*id)).map(|(_, t)| &t.tags))
            .chain(after.groups.iter().filter(|(name, _)| !before.groups.contains_key(*name)).map(|(_, g)| &g.tags))
            .chain(
                after
                    .target_groups
                    .iter()
                    .filter(|(arn, _)| !before.target_groups.contains_key(*arn))
                    .map(|(_, t)| &t.tags),
            )
            .chain(after.rules.iter().filter(|(arn, _)| !before.rules.contains_key(*arn)).map(|(_, r)| &r.tags));
        others.extend(new.filter(|tags| !mine(tags)).map(|tags| format!("{tags:?}")));
        if let Some(other) = others.first() {
            self.wrong("owned", format!("{call} for {turn:?} changed {other}"));
        }
    }

    /// 4 Absolute: the same change again changes nothing.
    fn absolute(&mut self, call: &Call, result: &Result<Done, CloudError>, after: &World) {
        if result.is_err() {
            return;
        }
        self.saw("absolute");
        let again = SimCloud::new(after.clone());
        let _ = call.apply(&again).now_or_never();
        if let Some(what) = again.look(|twice| difference(after, twice)) {
            self.wrong("absolute", format!("{call} again changed {what}"));
        }
    }

    /// 3 Unknown is not absent: nothing is changed on an incomplete reading.
    fn known(&mut self, turn: &str, call: &Call) {
        self.saw("unknown is not absent");
        let reading = self.reading(self.who, Some(turn));
        let failed = reading.failed.clone().or_else(|| reading.listeners.values().next().cloned());
        if let Some(failed) = failed {
            self.wrong("unknown is not absent", format!("{call} after {failed}"));
        } else if reading.listings != 3 {
            let listings = reading.listings;
            self.wrong("unknown is not absent", format!("{call} after {listings} of 3 listings"));
        }
    }

    /// 1 Served: weight only for who answers, as the reading says, while another could.
    fn served(&mut self, turn: &str, call: &Call, before: &World, after: &World) {
        for (rule, weights) in actions(after) {
            let had: BTreeMap<TargetGroupArn, u32> =
                actions(before).find(|(arn, _)| *arn == rule).map(|(_, w)| w).unwrap_or_default().into_iter().collect();
            let raised = weights.iter().filter(|(arn, weight)| *weight > had.get(arn).copied().unwrap_or(0));
            for (arn, weight) in raised.cloned().collect::<Vec<_>>() {
                self.saw("served");
                self.raised(turn, call, before, (&arn, weight), &had);
            }
        }
    }

    fn raised(
        &mut self,
        turn: &str,
        call: &Call,
        before: &World,
        (arn, weight): (&TargetGroupArn, u32),
        had: &BTreeMap<TargetGroupArn, u32>,
    ) {
        let health =
            |arn: &TargetGroupArn| self.readings.get(&(self.who, Some(turn.to_owned())))?.health.get(arn).copied();
        let others: Vec<&TargetGroupArn> =
            had.iter().filter(|(other, weight)| *other != arn && **weight > 0).map(|(arn, _)| arn).collect();
        let another = others.iter().any(|other| health(other).is_some_and(|healthy| healthy > 0));
        let told = health(arn);
        if !others.is_empty() && told.is_none() {
            return self.wrong("served", format!("{call}: the health of {arn} was not read"));
        }
        if another && told == Some(0) {
            return self.wrong("served", format!("{call}: {weight} for {arn}, which has nobody healthy"));
        }
        // A release that never settled needs as many as live has.
        let stable = group_of(before, arn).is_some_and(|group| is_stable(before, group));
        let reading = self.readings.get(&(self.who, Some(turn.to_owned())));
        let settled = |other: &&&TargetGroupArn| group_of(before, other).is_some_and(|group| is_stable(before, group));
        let wanted = |other: &&TargetGroupArn| reading?.desired.get(*other).copied();
        // What stands in for live counts only where nothing that has settled has traffic.
        let live =
            others.iter().filter(settled).filter_map(wanted).max().or_else(|| others.iter().filter_map(wanted).max());
        // Going back to who was there before needs fewer: who stands in has not settled either.
        let made = |arn: &TargetGroupArn| group_of(before, arn).map(|group| group.created);
        let newest = others.iter().all(|other| made(other) < made(arn));
        let late = before.now <= self.stale_until + STALE_AFTER;
        // What protects passes a fence.
        let relief = self.is_relief(turn, &others, had);
        if !others.is_empty() && newest && !stable && !is_foreign(before, arn) && !late && !relief {
            self.descends(turn, call, before);
        }
        if let (false, Some(live), Some(told)) = (stable, live, told)
            && another
            && told < live
            && newest
            && !is_foreign(before, arn)
            && !(told * 2 >= live && relief)
        {
            self.wrong("served", format!("{call}: {weight} for {arn} with {told} healthy, live has {live}"));
        }
    }

    /// Whether nobody who has traffic bears its share any more, as was read: who could bear
    /// everything may then have all of it.
    fn is_relief(&self, turn: &str, others: &[&TargetGroupArn], had: &BTreeMap<TargetGroupArn, u32>) -> bool {
        let Some(reading) = self.readings.get(&(self.who, Some(turn.to_owned()))) else { return false };
        let sum: u32 = had.values().sum();
        others.iter().all(|other| {
            let told = |of: &BTreeMap<TargetGroupArn, u32>| of.get(*other).copied().unwrap_or(0);
            let (weight, healthy, desired) = (told(had), told(&reading.health), told(&reading.desired));
            u64::from(healthy) * 2 * u64::from(sum) < u64::from(desired) * u64::from(weight)
        })
    }

    /// Whether what is acted on may be past already: it was when it was read, or another daemon
    /// has acted since.
    pub fn shows_the_past(&self, before: &World) -> bool {
        before.now <= self.stale_until + STALE_AFTER || self.acting.contains_key(&Who::Second)
    }

    /// 2 Kept: who has traffic, or alone could answer, keeps its machines.
    fn kept(&mut self, turn: &str, call: &Call, before: &World) {
        let (name, was) = match call {
            Call::SetCapacity(name, _, _, Some(desired)) => match before.groups.get(name) {
                Some(group) if *desired < group.desired => (name, group),
                _ => return,
            },
            Call::DeleteGroup(name) => match before.groups.get(name) {
                Some(group) if group.desired > 0 || !group.instances.is_empty() => (name, group),
                _ => return,
            },
            _ => return,
        };
        self.saw("kept");
        let weights = &self.reading(self.who, Some(turn)).weights;
        if was.target_groups.iter().any(|arn| weights.get(arn).is_some_and(|weight| *weight > 0)) {
            return self.wrong("kept", format!("{call}: it was read that it has traffic"));
        }
        if self.shows_the_past(before) {
            return;
        }
        if was.target_groups.is_empty() {
            let works = |group: &SimGroup| is_stable(before, group) && !group.tags.contains_key(Mark::Retired.key());
            let others = before
                .groups
                .iter()
                .any(|(other, group)| other != name && is_of(&group.tags, turn) && works(group) && group.desired > 0);
            if works(was) && !others && self.has_file(turn) {
                self.wrong("kept", format!("{call}: it does the work"));
            }
            return;
        }
        let weight = |arn: &TargetGroupArn| {
            actions(before).flat_map(|(_, weights)| weights).any(|(other, weight)| other == *arn && weight > 0)
        };
        if was.target_groups.iter().any(weight) {
            return self.wrong("kept", format!("{call}: it has traffic"));
        }
        // The only one that could answer: those with traffic have nobody.
        let mine = was.target_groups.iter().map(|arn| healthy(before, arn)).sum::<usize>();
        for (_, shares) in
            actions(before).filter(|(_, shares)| shares.iter().any(|(arn, _)| was.target_groups.contains(arn)))
        {
            let serving: Vec<&TargetGroupArn> =
                shares.iter().filter(|(_, weight)| *weight > 0).map(|(arn, _)| arn).collect();
            if mine > 0 && !serving.is_empty() && serving.iter().all(|arn| healthy(before, arn) == 0) {
                self.wrong("kept", format!("{call}: nobody with traffic answers, and it could"));
            }
        }
    }

    /// 13 Fenced, 14 Frozen: nothing begins and nothing goes for a commit that does not
    /// descend from all that was acted on, and nothing new begins in a freeze.
    fn fenced(&mut self, turn: &str, call: &Call, before: &World) {
        let digest = match call {
            Call::CreateTemplate(spec) => spec.tags.get(marks::DIGEST),
            Call::CreateTargetGroup(spec) => spec.tags.get(marks::DIGEST),
            Call::SetTags(_, tags) if tags.contains_key(Mark::Fence.key()) => None,
            Call::DeleteGroup(_) | Call::DeleteTargetGroup(_) | Call::DeleteTemplate(_) => None,
            Call::SetCapacity(_, _, _, Some(0)) => None,
            _ => return,
        };
        self.descends(turn, call, before);
        // What stands in part has begun before.
        let begun = before
            .templates
            .values()
            .any(|template| is_of(&template.tags, turn) && template.tags.get(marks::DIGEST) == digest);
        if matches!(call, Call::CreateTemplate(_))
            && self.acting.get(&self.who).is_some_and(|acting| acting.frozen)
            && !begun
            && !self.damaged(turn, before, digest)
        {
            self.saw("frozen");
            self.wrong("freezes gate starts", format!("{call} in a freeze"));
        }
    }

    fn descends(&mut self, turn: &str, call: &Call, before: &World) {
        self.saw("fenced");
        let Some(pass) = self.pass().cloned() else {
            return self.wrong("fenced", format!("{call} without a commit"));
        };
        let mut claims = self.reading(self.who, Some(turn)).claims.clone();
        // What another daemon did since that reading could not be known.
        if !self.acting.contains_key(&Who::Second) {
            claims.extend(facts::claims(before, turn));
        }
        if let Some(claim) = claims.into_iter().find(|claim| !self.commits.descends(&pass, claim)) {
            self.wrong("fenced", format!("{call} for {pass}, which does not descend from {claim}"));
        }
    }

    /// A group that serves and has lost its template gets it back, freeze or not.
    fn damaged(&self, turn: &str, before: &World, digest: Option<&String>) -> bool {
        let serves = before
            .target_groups
            .iter()
            .filter(|(_, found)| is_of(&found.tags, turn) && found.tags.get(marks::DIGEST) == digest);
        serves.map(|(arn, _)| arn).any(|arn| has_weight(before, arn))
    }

    /// 9 Instant: the first change of a revert to a warm group brings all traffic back.
    fn instant(&mut self, turn: &str, call: &Call, before: &World, made: bool) {
        let Some(revert) = self.reverts.get(turn).cloned() else { return };
        if self.pass() != Some(&revert.commit) {
            return;
        }
        let Some((arn, _)) = is_instant(before, turn, &revert.digest) else {
            self.reverts.remove(turn);
            return;
        };
        // The daemon must have been told the same.
        let told = {
            let reading = self.reading(self.who, Some(turn));
            let live = reading
                .weights
                .iter()
                .filter(|(_, weight)| **weight > 0)
                .filter_map(|(arn, _)| reading.desired.get(arn))
                .max();
            let enough = live.and_then(|live| Some(reading.health.get(&arn)? >= live));
            enough == Some(true) && reading.weights.get(&arn) == Some(&0)
        };
        if !told {
            return;
        }
        let back = match call {
            Call::SetRule(_, _, weights, _) => weights.iter().all(|(other, weight)| (*weight > 0) == (*other == arn)),
            _ => false,
        };
        if !back {
            self.wrong("instant", format!("{call} goes before the one call that brings {arn} back"));
        } else if made {
            self.saw("instant");
            self.reverts.remove(turn);
        }
    }
}
