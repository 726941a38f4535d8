//! 16 Borne: no side keeps weight that it can't bear for longer than one pass while another
//! side can bear it all. 19 Said: what can't bear its load is not called well.
//!
//! Both are looked at from outside, when a pass begins: what was so when the last one but one
//! began, was read by it, and still is. What may be either way, by how much is needed, counts
//! as borne.

use std::collections::{BTreeMap, BTreeSet};

use crate::cloud::sim::world::{SimGroup, World};
use crate::names::TargetGroupArn;
use crate::observed::marks::{self, Mark};
use crate::observed::resources::{Lifecycle, TargetHealth};
use crate::plan::types::ServicePlan;

use super::check::Check;
use super::facts::{actions, is_of, is_stable};

/// So many passes may begin with the same: it came after the first had read, the second acts.
const PASSES: u32 = 2;

/// What was found at the beginnings of passes.
#[derive(Debug, Default)]
pub struct Burdens {
    /// How many passes in a row began with a side that can't bear its weight.
    unborne: BTreeMap<TargetGroupArn, u32>,
    /// How many passes in a row began with a service that is down and called well.
    unsaid: BTreeMap<String, u32>,
    /// Whose health the pass under way has read.
    read: BTreeSet<TargetGroupArn>,
    /// The most healthy machines that a target group was ever seen with.
    most: BTreeMap<TargetGroupArn, usize>,
    /// Targets that were read as healthy once.
    pub was_healthy: BTreeSet<String>,
}

/// A standing group that has weight, or may get it.
struct Side {
    arn: TargetGroupArn,
    percent: u64,
    healthy: u64,
    desired: u64,
}

impl Burdens {
    /// Something failed, or nobody was there: what was counted was no fault of the program.
    pub fn forget(&mut self) {
        (self.unborne, self.unsaid) = (BTreeMap::new(), BTreeMap::new());
    }

    /// A target group's health was read.
    pub fn was_read(&mut self, arn: &TargetGroupArn) {
        self.read.insert(arn.clone());
    }
}

impl Check {
    /// A pass of the daemon begins.
    pub fn burdens(&mut self, world: &World, plans: &[ServicePlan]) {
        if self.shows_the_past(world) || self.curse {
            return self.burdens.forget();
        }
        let read = std::mem::take(&mut self.burdens.read);
        let before = std::mem::take(&mut self.burdens.unborne);
        for (service, arn, how) in self.unborne(world) {
            self.saw("borne");
            let passes = before.get(&arn).map_or(0, |passes| passes + u32::from(read.contains(&arn)));
            if passes > PASSES {
                self.wrong("borne", format!("{service}: {how}, for {passes} passes"));
            }
            self.burdens.unborne.insert(arn, passes);
        }
        let before = std::mem::take(&mut self.burdens.unsaid);
        for plan in plans.iter().filter(|plan| plan.waiting_on.is_none() && plan.actions.is_empty()) {
            let Some(how) = down(world, plan.name.as_str()) else { continue };
            self.saw("said");
            let passes = before.get(plan.name.as_str()).map_or(0, |passes| passes + 1);
            if passes > PASSES {
                self.wrong("said", format!("{}: {how}, and it is {:?}, waiting for nothing", plan.name, plan.phase));
            }
            self.burdens.unsaid.insert(plan.name.to_string(), passes);
        }
    }

    /// The world as the daemon reads it: what is borne now was not unborne all the time.
    pub fn relieved(&mut self, world: &World) {
        if self.burdens.unborne.is_empty() {
            return;
        }
        let still: BTreeSet<TargetGroupArn> = self.unborne(world).into_iter().map(|(_, arn, _)| arn).collect();
        self.burdens.unborne.retain(|arn, _| still.contains(arn));
    }

    /// Sides that can't bear their weight while another could bear everything.
    fn unborne(&mut self, world: &World) -> Vec<(String, TargetGroupArn, String)> {
        let mut found = Vec::new();
        for (_, shares) in actions(world) {
            let Some((service, sides)) = self.sides(world, &shares) else { continue };
            for side in &sides {
                let most = self.burdens.most.entry(side.arn.clone()).or_default();
                *most = (*most).max(usize::try_from(side.healthy).unwrap_or(usize::MAX));
            }
            let most = |side: &Side| self.burdens.most.get(&side.arn).map_or(0, |most| *most as u64);
            let high = sides.iter().map(|side| side.desired).max().unwrap_or(0).max(self.min(&service));
            let low = sides.iter().map(|side| side.desired).min().unwrap_or(0);
            for side in sides.iter().filter(|side| side.percent > 0) {
                let need = low.min(most(side)).max(1);
                let bears = side.healthy > 0 && side.healthy * 200 >= need * side.percent;
                let another = sides
                    .iter()
                    .find(|other| other.arn != side.arn && other.healthy > 0 && other.healthy * 2 >= high.max(1));
                if let (false, Some(another)) = (bears, another) {
                    let name = |arn: &TargetGroupArn| arn.as_str().split('/').nth(1).unwrap_or_default().to_owned();
                    let how = format!(
                        "{} has {} % of the traffic and {} healthy machines, {} has {}",
                        name(&side.arn),
                        side.percent,
                        side.healthy,
                        name(&another.arn),
                        another.healthy
                    );
                    found.push((service.clone(), side.arn.clone(), how));
                }
            }
        }
        found
    }

    /// The sides of an action: who has weight, who is live, and the candidate. None where others
    /// have traffic there.
    fn sides(&self, world: &World, shares: &[(TargetGroupArn, u32)]) -> Option<(String, Vec<Side>)> {
        let sum: u64 = shares.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut service = None;
        let mut sides = Vec::new();
        for (arn, weight) in shares {
            let target_group = world.target_groups.get(arn)?;
            let owner = target_group.tags.get(marks::SERVICE).filter(|owner| is_of(&target_group.tags, owner))?;
            // AWS refuses every call that would move weights between them.
            if target_group.sticky {
                return None;
            }
            service = Some(owner.clone());
            let digest = target_group.tags.get(marks::DIGEST);
            let mut groups = world.groups.values().filter(|group| is_of(&group.tags, owner));
            let standing = groups.find(|group| group.tags.get(marks::DIGEST) == digest && group.deleted_at.is_none());
            let Some(group) = standing else {
                // Who has lost its group can bear nothing, and is no side to go to.
                let percent = u64::from(*weight) * 100 / sum.max(1);
                sides.push(Side { arn: arn.clone(), percent, healthy: 0, desired: 1 });
                continue;
            };
            if *weight == 0 && !self.may_get_weight(world, owner, group) {
                continue;
            }
            let percent = u64::from(*weight) * 100 / sum.max(1);
            let healthy = serving(world, group, Some(arn)) as u64;
            sides.push(Side { arn: arn.clone(), percent, healthy, desired: u64::from(group.desired) });
        }
        service.map(|service| (service, sides))
    }

    /// Whether a group without weight is a side: live, or the release that the commit wants and
    /// that nothing speaks against.
    fn may_get_weight(&self, world: &World, service: &str, group: &SimGroup) -> bool {
        let retired = group.tags.contains_key(Mark::Retired.key());
        if is_stable(world, group) {
            return !retired;
        }
        let template = world.templates.values().find(|template| template.name == group.template);
        let against = [Mark::Rejected, Mark::Retry, Mark::Hold];
        let spoken = template.is_none_or(|found| against.iter().any(|mark| found.tags.contains_key(mark.key())));
        !spoken && !retired && self.wants(service) == group.tags.get(marks::DIGEST).cloned()
    }
}

/// Machines that are in service and well, by the word of the group and of the load balancer.
fn serving(world: &World, group: &SimGroup, arn: Option<&TargetGroupArn>) -> usize {
    let targets = arn.and_then(|arn| world.target_groups.get(arn)).map(|found| &found.targets);
    let well = |id: &String| {
        targets.is_none_or(|targets| targets.get(id).is_some_and(|target| target.health == TargetHealth::Healthy))
    };
    let machines = group.instances.iter();
    machines.filter(|(id, m)| m.lifecycle == Lifecycle::InService && m.healthy && !m.stopped && well(id)).count()
}

/// How a service does not bear its load by the word of its group, which is read in every pass:
/// the release that has settled has traffic, or does the work, and no machine at all is well.
fn down(world: &World, service: &str) -> Option<String> {
    let live = world.groups.iter().find(|(_, group)| {
        let retired = group.tags.contains_key(Mark::Retired.key());
        is_of(&group.tags, service) && group.deleted_at.is_none() && is_stable(world, group) && !retired
    });
    let (name, group) = live?;
    let is_down = group.desired > 0 && serving(world, group, None) == 0;
    is_down.then(|| format!("{name} wants {} machines and has none that is well", group.desired))
}
