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
