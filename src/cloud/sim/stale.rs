//! Readings that show the past.

use std::collections::VecDeque;

use crate::time::Span;

use super::world::{World, after};

/// Worlds as they were, and who is shown one.
#[derive(Debug)]
pub(super) struct Past {
    random: fastrand::Rng,
    up_to: Span,
    percent: u32,
    /// The oldest first.
    worlds: VecDeque<World>,
}

/// Two worlds closer together than this are one, unless something was changed.
const GAP: i64 = 1_000;

impl Past {
    pub(super) fn new(seed: u64, up_to: Span, percent: u32) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), up_to, percent, worlds: VecDeque::new() }
    }

    /// Remembers how the world is before it changes.
    pub(super) fn keep(&mut self, world: &World) {
        let oldest = world.now - after(0, self.up_to);
        // One that is older than all that may be shown stays: it is how the world was then.
        while self.worlds.get(1).is_some_and(|second| second.now <= oldest) {
            self.worlds.pop_front();
        }
        if self.worlds.back().is_none_or(|last| last.now + GAP <= world.now || !same(last, world)) {
            self.worlds.push_back(world.clone());
        }
    }

    /// The world that one reading shows; none: the present one.
    pub(super) fn pick(&mut self, now: i64) -> Option<&World> {
        if self.random.u32(0..100) >= self.percent {
            return None;
        }
        let then = now - after(0, Span::from_millis(self.random.u64(0..=self.up_to.as_millis())));
        self.worlds.iter().rev().find(|world| world.now <= then)
    }
}

/// Whether two worlds say the same, the clock aside.
fn same(a: &World, b: &World) -> bool {
    (&a.groups, &a.templates, &a.target_groups, &a.rules, &a.listeners)
        == (&b.groups, &b.templates, &b.target_groups, &b.rules, &b.listeners)
}

#[cfg(test)]
mod tests {
    use crate::cloud::sim::SimCloud;
    use crate::cloud::sim::fixture::{Release, cloud, run, scope};
    use crate::cloud::{CloudReader as _, Owner};
    use crate::observed::resources::{Group, Lifecycle, Outcome};
    use crate::time::Span;

    /// How many machines each reading shows in service.
    fn shown(cloud: &SimCloud, group: &str) -> Vec<usize> {
        let owner = Owner { scope: scope(), service: None };
        let found = || run(cloud.groups(&owner)).unwrap().into_iter().find(|found| found.name == group);
        let serving = |group: Group| group.instances.iter().filter(|i| i.lifecycle == Lifecycle::InService).count();
        (0..50).map(|_| found().map_or(0, serving)).collect()
    }

    #[test]
    fn readings_may_show_the_past_but_not_longer_ago_than_they_may() {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        cloud.set_staleness(7, Span::from_secs(30), 50);
        run(release.start(&cloud, 2));
        cloud.advance(Span::from_secs(40));
        let early = shown(&cloud, release.name.as_str());
        assert!(early.contains(&0) && early.contains(&2), "{early:?}");
        cloud.advance(Span::from_secs(60));
        cloud.advance(Span::from_secs(60));
        assert_eq!(shown(&cloud, release.name.as_str()), [2; 50]);
        cloud.kill_instances(release.name.as_str(), 2);
        cloud.set_staleness(7, Span::from_secs(30), 0);
        assert_eq!(shown(&cloud, release.name.as_str()), [0; 50], "that they were there is past");
    }

    #[test]
    fn where_one_zone_has_no_capacity_the_next_one_is_tried() {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        run(release.start(&cloud, 1));
        cloud.change(|world| {
            let subnets = vec!["subnet-a".to_owned(), "subnet-b".to_owned()];
            world.groups.get_mut(release.name.as_str()).unwrap().subnets = subnets;
            world.no_capacity = std::iter::once("subnet-b".to_owned()).collect();
        });
        cloud.kill_instances(release.name.as_str(), 1);
        let newest = |cloud: &SimCloud| run(cloud.activities(release.name.as_str())).unwrap()[0].clone();
        let failed = newest(&cloud);
        assert_eq!(failed.outcome, Outcome::Failed, "{failed:?}");
        assert!(failed.message.contains("sufficient t3.small capacity") && failed.message.contains("subnet-b"));
        cloud.advance(Span::from_secs(30));
        assert_eq!(newest(&cloud).outcome, Outcome::Running);
    }
}
