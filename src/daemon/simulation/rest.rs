//! How a history ends: faults stop, all comes to rest and stays there, and what stands is
//! what the last commit wants.

use crate::cloud::sim::world::{SimGroup, World};
use crate::desired::spec::{ServiceFile, ServiceSpec};
use crate::observed::marks::{self, Mark};
use crate::plan::operator::Word;
use crate::plan::outcome::{self, Outcome};
use crate::plan::types::{Reason, Role, ServicePlan};
use crate::time::Span;

use super::facts::{actions, claims, is_of, is_stable};
use super::files::{self, File, Files};
use super::run::Run;
use super::script::Kind;
use super::stage::BEGIN;

/// So long nothing was changed when all is at rest.
const QUIET: Span = Span::from_mins(6);

/// Within this everything must have come to rest. The longest wait is a retry's, an hour,
/// and one rollout after the other may have four bakes.
const REST: Span = Span::from_mins(6 * 60);

impl Run {
    /// The whole history.
    pub async fn go(&mut self) -> Result<(), String> {
        for (at, event) in self.script.events.clone() {
            self.until(BEGIN + Span::from_secs(at)).await?;
            self.happen(&event);
        }
        let now = self.theatre.sync();
        self.until(now + Span::from_mins(2)).await?;
        self.calm();
        self.rest("faults have stopped").await?;
        self.look()?;
        self.last_word().await?;
        self.rest("the last commit").await?;
        self.look_closely()
    }

    /// Waits until nothing is under way any more.
    async fn rest(&mut self, since: &str) -> Result<(), String> {
        let begun = self.theatre.sync();
        loop {
            let now = self.theatre.sync();
            let changed = self.theatre.state().changed;
            if now.since(changed) >= QUIET && now.since(begun) >= QUIET && self.is_at_rest() {
                return Ok(());
            }
            if now.since(begun) > REST {
                let plan = self.plan();
                let waits: Vec<String> =
                    plan.iter().flat_map(|plan| &plan.services).filter(|plan| !self.rests(plan)).map(why).collect();
                return Err(format!("convergent: no rest, hours after {since}: {}", waits.join("; ")));
            }
            self.until(now + Span::from_secs(60)).await?;
        }
    }

    fn is_at_rest(&self) -> bool {
        // A scope's file with errors leaves no plan of the commit, and nothing moves.
        if self.desired.scope.is_none() {
            return true;
        }
        self.plan().is_some_and(|plan| plan.services.iter().all(|service| self.rests(service)))
    }

    /// A warm release stays as long as live is not well, and what has turned sick is waited
    /// for. What is cursed rests on nothing.
    fn rests(&self, plan: &ServicePlan) -> bool {
        let Some(s) = files::number(plan.name.as_str()) else { return true };
        if self.theatre.state().cursed == Some(s) {
            return true;
        }
        let named = plan.from.iter().chain(&plan.to).any(|release| self.is_sick(release.version.as_str()));
        // What is stopped keeps a warm group as long as it is.
        let keeps_warm = outcome::keeps_warm(plan) && plan.from.is_some() && plan.held.is_none();
        named
            || self.waits_for_who_is_stopped(plan)
            || self.waits_for_a_place(plan)
            || match outcome::of(plan) {
                Outcome::Settled => !keeps_warm,
                Outcome::Stuck => true,
                Outcome::OnItsWay => false,
            }
    }

    /// A rollout that is held, or that can't go on, keeps its slot.
    fn waits_for_who_is_stopped(&self, plan: &ServicePlan) -> bool {
        let waits = plan.waiting_on.as_ref().is_some_and(|wait| wait.reason == Reason::Slot);
        let plans = self.plan();
        let mut others = plans.iter().flat_map(|plan| &plan.services).filter(|other| other.name != plan.name);
        let begun = |other: &ServicePlan| other.groups.iter().any(|group| group.role == Role::Candidate);
        waits && others.any(|other| begun(other) && outcome::of(other) == Outcome::Stuck)
    }

    /// Its place is another service's, and that one is not settled yet.
    fn waits_for_a_place(&self, plan: &ServicePlan) -> bool {
        let waits = plan.waiting_on.as_ref().is_some_and(|wait| wait.reason == Reason::Dependency);
        let plans = self.plan();
        let mut others = plans.iter().flat_map(|plan| &plan.services).filter(|other| other.name != plan.name);
        waits && others.any(|other| outcome::of(other) != Outcome::Settled)
    }

    fn is_sick(&self, version: &str) -> bool {
        self.theatre.sim.look(|world| {
            let rules = world.versions.get(version);
            rules.is_some_and(|rules| {
                let never_answers = rules.unhealthy || rules.answers_code.is_some() || rules.times_out;
                never_answers || rules.crash_after.is_some() || rules.ami_missing
            })
        })
    }

    /// Every service that nothing stops has what the commit wants.
    fn look(&self) -> Result<(), String> {
        if self.desired.scope.is_none() {
            return Ok(());
        }
        let Some(plan) = self.plan() else { return Err("convergent: there is no plan".to_owned()) };
        for service in &plan.services {
            if let (Some(ServiceFile::Valid(spec)), Some(s)) =
                (self.desired.services.get(&service.name), files::number(service.name.as_str()))
                && !self.is_stopped(s, service, spec)
            {
                self.theatre
                    .sim
                    .look(|world| settled(world, self.script.kinds[s], spec))
                    .map_err(|how| format!("restored: {how}, {}", why(service)))?;
            }
        }
        Ok(())
    }

    /// Whether anything but the program itself keeps a service from where its file wants it.
    fn is_stopped(&self, s: usize, plan: &ServicePlan, spec: &ServiceSpec) -> bool {
        let name = plan.name.as_str();
        let sick = plan.from.iter().chain(&plan.to).any(|release| self.is_sick(release.version.as_str()));
        let files = self.past.last();
        let now = self.theatre.sync();
        let clock = self.theatre.state().clock;
        let frozen = files
            .and_then(|files| files.frozen)
            .is_some_and(|(_, until)| now.as_millis() + clock * 1000 < until.as_millis());
        let limited = files.is_some_and(|files| files.limits.1 < 3);
        let commit = self.commits.tip();
        let cursed = self.theatre.state().cursed == Some(s);
        // After three tries a release is tried again by a person, a commit or nobody.
        let needs_somebody =
            plan.waiting_on.as_ref().is_some_and(|wait| wait.reason == Reason::Retry && wait.until.is_none());
        sick || frozen
            || needs_somebody
            || self.waits_for_who_is_stopped(plan)
            || limited
            || cursed
            || spec.paused.is_some()
            || self.is_displaced(s)
            || plan.waiting_on.as_ref().is_some_and(|on| matches!(on.reason, Reason::Dependency | Reason::Preflight))
            || self.theatre.sim.look(|world| {
                let mut templates = world.templates.values().filter(|template| is_of(&template.tags, name));
                let digest = spec.digest.to_string();
                let fenced = claims(world, name).iter().any(|claim| !self.commits.descends(&commit, claim));
                fenced
                    || templates.any(|template| {
                        let rejected = template.tags.get(marks::DIGEST) == Some(&digest)
                            && template.tags.contains_key(Mark::Rejected.key());
                        template.tags.contains_key(Mark::Hold.key()) || rejected
                    })
            })
    }

    /// Whether a service once had another name, or one that it may have traded places with:
    /// what it left may have its place.
    fn is_displaced(&self, s: usize) -> bool {
        let moved = |(s, file): (usize, &Option<File>)| file.as_ref().is_some_and(|file| file.place != s);
        let trades = self.past.iter().any(|files| files.services.iter().enumerate().any(moved));
        let renamed = |file: &Option<File>| file.as_ref().is_some_and(|file| file.renamed);
        self.past.iter().any(|files| renamed(&files.services[s]) || (trades && files.services.iter().any(renamed)))
    }

    /// Operators let everything go on, the clock is right, and a commit wants something new
    /// and good of every service. Nothing may be stuck for ever.
    async fn last_word(&mut self) -> Result<(), String> {
        self.theatre.note("the last commit");
        {
            let mut state = self.theatre.state();
            (state.cursed, state.check.curse) = (None, false);
        }
        // Marks of the future count as now; a clock that was behind is set right, too.
        self.theatre.state().clock = 0;
        let mut files = Files::first(&self.script);
        files.defaults = 99;
        files.limits = (files.limits.0, 20);
        for (s, file) in files.services.iter_mut().enumerate() {
            if let Some(file) = file {
                let lucky = u32::try_from(s).unwrap_or(0);
                (file.version, file.min, file.max, file.steps) = (50 + lucky, 1 + lucky % 2, 4, s % 4);
            }
        }
        // Two clocks are compared, and one was set back: nothing may wait for the difference.
        for s in 0..self.script.kinds.len() {
            self.operate(s, Word::Resume);
        }
        let now = self.theatre.sync();
        self.until(now + Span::from_mins(1)).await?;
        // It descends from everything, also from what a branch has lost.
        self.commits.merge_all();
        self.push(files, 0, true);
        Ok(())
    }

    /// Each service has exactly what its file says, and nothing else stands.
    fn look_closely(&self) -> Result<(), String> {
        let plan = self.plan();
        for (s, kind) in self.script.kinds.iter().enumerate().filter(|(s, _)| !self.is_displaced(*s)) {
            let name = files::NAMES[s];
            let Some((_, ServiceFile::Valid(spec))) =
                self.desired.services.iter().find(|(found, _)| found.as_str() == name)
            else {
                return Err(format!("convergent: {name} has no file"));
            };
            let planned = plan.iter().flat_map(|plan| &plan.services).find(|plan| plan.name.as_str() == name);
            let said = planned.map(why).unwrap_or_default();
            self.theatre
                .sim
                .look(|world| settled(world, *kind, spec).and_then(|()| nothing_else(world, *kind, spec)))
                .map_err(|how| format!("restored: {how} after the last commit, {said}"))?;
        }
        Ok(())
    }
}

/// How a service stands, for messages.
pub fn why(plan: &ServicePlan) -> String {
    let wait = plan.waiting_on.as_ref().map(|wait| format!("{:?}: {}", wait.reason, wait.detail));
    let actions: Vec<String> = plan.actions.iter().map(|action| format!("{:?}", action.mutation.kind())).collect();
    format!("{} {:?} {:?} {wait:?} {actions:?}", plan.name, plan.change, plan.phase)
}

/// 12 Restored: live is the wanted release, with all the traffic, and has the sizes and
/// policies of its file.
fn settled(world: &World, kind: Kind, spec: &ServiceSpec) -> Result<(), String> {
    let name = spec.name.as_str();
    let digest = spec.digest.to_string();
    let mine = |group: &&SimGroup| is_of(&group.tags, name) && group.tags.get(marks::DIGEST) == Some(&digest);
    let Some(group) = world.groups.values().filter(|group| group.deleted_at.is_none()).find(mine) else {
        return Err(format!("{name}: the wanted release has no group"));
    };
    let said = format!("{name} {}", spec.version);
    let sizes = (group.min, group.max);
    if sizes != (spec.capacity.min, spec.capacity.max) {
        return Err(format!("{said}: sizes {sizes:?}, the file says {} to {}", spec.capacity.min, spec.capacity.max));
    }
    if group.policies.len() != spec.capacity.scaling.len() {
        return Err(format!("{said}: {} policies", group.policies.len()));
    }
    if !is_stable(world, group) || group.tags.contains_key(Mark::Retired.key()) {
        return Err(format!("{said}: it has not settled"));
    }
    let Some(arn) = group.target_groups.first() else {
        return if kind == Kind::Worker { Ok(()) } else { Err(format!("{said}: no target group")) };
    };
    let mine = actions(world).find(|(_, shares)| shares.iter().any(|(other, weight)| other == arn && *weight > 0));
    match mine {
        Some((_, shares)) if shares.iter().all(|(other, weight)| (*weight > 0) == (other == arn)) => Ok(()),
        Some((_, shares)) => Err(format!("{said}: traffic is shared: {shares:?}")),
        None => Err(format!("{said}: no traffic")),
    }
}

/// Nothing is left over but records.
fn nothing_else(world: &World, kind: Kind, spec: &ServiceSpec) -> Result<(), String> {
    let name = spec.name.as_str();
    let groups = world.groups.values().filter(|group| is_of(&group.tags, name)).count();
    let target_groups = world.target_groups.values().filter(|group| is_of(&group.tags, name)).count();
    let rules: Vec<_> = world.rules.values().filter(|rule| is_of(&rule.tags, name)).collect();
    let wanted = (1, usize::from(kind != Kind::Worker), usize::from(kind == Kind::Rule));
    if (groups, target_groups, rules.len()) != wanted {
        return Err(format!("{name}: {groups} groups, {target_groups} target groups, {} rules", rules.len()));
    }
    let said = spec.load_balancer.as_ref().and_then(|lb| lb.rule.as_ref());
    if let (Some(rule), Some(said)) = (rules.first(), said)
        && (rule.conditions.hosts != said.hosts || rule.priority != said.priority)
    {
        return Err(format!("{name}: its rule is for {:?}", rule.conditions.hosts));
    }
    let templates: Vec<_> = world.templates.values().filter(|found| is_of(&found.tags, name)).collect();
    let stable = templates.iter().filter(|found| found.tags.contains_key(Mark::Stable.key())).count();
    let most = usize::try_from(spec.retention.records).unwrap_or(0) + 1;
    if stable > most {
        return Err(format!("{name}: {stable} records of stable releases"));
    }
    Ok(())
}
