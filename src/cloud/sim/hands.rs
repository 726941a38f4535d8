//! What people and AWS itself do to machines and groups, beside the program.

use crate::names::TargetGroupArn;
use crate::observed::resources::{Lifecycle, TargetHealth};

use super::SimCloud;
use super::world::{SimGroup, SimTarget, World, after};

impl SimCloud {
    /// The autoscaler's word: within the group's minimum and maximum.
    pub fn set_desired(&self, group: &str, desired: u32) {
        self.change(|world| {
            if let Some(group) = world.groups.get_mut(group) {
                group.desired = desired.clamp(group.min, group.max);
            }
        });
    }

    /// Kills some of a group's machines, the oldest first, without draining.
    pub fn kill_instances(&self, group: &str, count: usize) {
        self.change(|world| {
            let ids = world.standing_machines(group, count);
            world.vanish(group, &ids);
        });
    }

    /// Powers some of a group's machines off, the oldest first. The group replaces them.
    pub fn stop_instances(&self, group: &str, count: usize) {
        self.change(|world| world.each_machine(group, count, |machine| machine.stopped = true));
    }

    /// Protects some of a group's machines from scale-in, or none any more.
    pub fn protect_instances(&self, group: &str, count: usize, protected: bool) {
        self.change(|world| world.each_machine(group, count, |machine| machine.protected = protected));
    }

    /// Somebody deletes a group by force.
    pub fn delete_group_by_hand(&self, group: &str) {
        self.change(|world| {
            let ids: Vec<String> =
                world.groups.get(group).into_iter().flat_map(|group| group.instances.keys().cloned()).collect();
            world.vanish(group, &ids);
            let deleted_at = Some(after(world.now, world.pace.deletion));
            if let Some(group) = world.groups.get_mut(group) {
                (group.min, group.desired, group.deleted_at) = (0, 0, deleted_at);
            }
        });
    }

    /// Somebody takes some machines out of a group; they go on running as nobody's, and the
    /// group launches others.
    pub fn detach_instances(&self, group: &str, count: usize) {
        self.change(|world| {
            let ids = world.standing_machines(group, count);
            for id in &ids {
                world.deregister(group, id);
            }
            if let Some(group) = world.groups.get_mut(group) {
                group.instances.retain(|id, _| !ids.contains(id));
            }
        });
    }

    /// Somebody puts some of a group's machines into standby; the group launches others.
    pub fn enter_standby(&self, group: &str, count: usize) {
        self.change(|world| {
            for id in world.standing_machines(group, count) {
                world.deregister(group, &id);
                world.each_of(group, &[id], |machine| {
                    (machine.lifecycle, machine.standby) = (Lifecycle::Leaving, true);
                });
            }
        });
    }

    /// All machines of a group that are in standby serve again.
    pub fn leave_standby(&self, group: &str) {
        self.change(|world| {
            let standby = world.groups.get(group).into_iter().flat_map(|group| &group.instances);
            let ids: Vec<String> = standby.filter(|(_, m)| m.standby).map(|(id, _)| id.clone()).collect();
            world.each_of(group, &ids, |machine| {
                (machine.lifecycle, machine.standby) = (Lifecycle::InService, false);
            });
            let attached = world.groups.get(group).map(|group| group.target_groups.clone()).unwrap_or_default();
            attached.iter().for_each(|arn| world.register(arn, &ids));
        });
    }

    /// Somebody suspends processes of a group; with none, all go on.
    pub fn suspend(&self, group: &str, processes: &[&str]) {
        self.change(|world| {
            if let Some(group) = world.groups.get_mut(group) {
                group.suspended = processes.iter().map(|process| (*process).to_owned()).collect();
                group.suspended.sort();
            }
        });
    }
}

impl World {
    /// Attaches a target group to a group, which registers its machines there; one that is
    /// attached stays as it is.
    pub fn attach(&mut self, group: &str, arn: &TargetGroupArn) {
        let Some(found) = self.groups.get_mut(group).filter(|group| !group.target_groups.contains(arn)) else {
            return;
        };
        found.target_groups.push(arn.clone());
        if found.suspends("AddToLoadBalancer") {
            return;
        }
        let serving = found.instances.iter().filter(|(_, machine)| machine.lifecycle == Lifecycle::InService);
        let ids: Vec<String> = serving.map(|(id, _)| id.clone()).collect();
        self.register(arn, &ids);
    }

    /// Detaches a target group from a group; its machines drain.
    pub fn detach(&mut self, group: &str, arn: &TargetGroupArn) {
        let ids: Vec<String> =
            self.groups.get(group).into_iter().flat_map(|group| group.instances.keys().cloned()).collect();
        for id in &ids {
            self.deregister_from(arn, id);
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.target_groups.retain(|other| other != arn);
        }
    }

    pub(super) fn register(&mut self, arn: &TargetGroupArn, ids: &[String]) {
        if let Some(target_group) = self.target_groups.get_mut(arn) {
            let new = || SimTarget { health: TargetHealth::Unused, flips_at: None, words: String::new() };
            target_group.targets.extend(ids.iter().map(|id| (id.clone(), new())));
        }
    }

    /// So many of a group's machines that are not on their way out.
    fn standing_machines(&self, group: &str, count: usize) -> Vec<String> {
        let machines = self.groups.get(group).into_iter().flat_map(|group| &group.instances);
        let standing = machines.filter(|(_, machine)| machine.lifecycle != Lifecycle::Leaving);
        standing.take(count).map(|(id, _)| id.clone()).collect()
    }

    fn each_machine(&mut self, group: &str, count: usize, change: impl Fn(&mut super::world::SimInstance)) {
        let ids = self.standing_machines(group, count);
        self.each_of(group, &ids, change);
    }

    fn each_of(&mut self, group: &str, ids: &[String], change: impl Fn(&mut super::world::SimInstance)) {
        let machines = self.groups.get_mut(group).map(|group: &mut SimGroup| &mut group.instances);
        let found = machines.into_iter().flatten().filter(|(id, _)| ids.contains(id));
        found.for_each(|(_, machine)| change(machine));
    }
}
