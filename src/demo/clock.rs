//! The demo's clock: simulated time runs faster than real time, and never runs away from
//! what really happened. Before each step of it the machines that the simulated AWS wants
//! are started, asked for their health, and made known to the load balancer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::cloud::sim::SimCloud;
use crate::reconcile::pace::Pace;
use crate::time::{Span, Timestamp};

use super::balancer::Balancer;
use super::machines::Fleet;

/// Simulated seconds in a real one.
pub const SPEED: u64 = 20;

/// How often simulated time moves on.
const TICK: Duration = Duration::from_millis(20);

/// The most real time that one tick stands for. On a machine that is too slow the demo
/// takes longer; nothing in it times out.
const TICK_MAX: Duration = Duration::from_millis(50);

/// How often machines are asked, in simulated time. No check of the simulator decides
/// anything sooner.
const ASK_EVERY: Span = Span::from_secs(5);

/// Waits in simulated time.
#[derive(Debug, Clone, Copy)]
pub struct FastPace;

#[async_trait]
impl Pace for FastPace {
    async fn wait_until(&self, now: Timestamp, until: Timestamp) {
        let real = until.since(now).to_std() / u32::try_from(SPEED).unwrap_or(1);
        tokio::time::sleep(real.max(TICK)).await;
    }
}

/// Lets time pass until it is stopped, then shuts every machine down.
pub async fn run(cloud: SimCloud, mut fleet: Fleet, balancer: Arc<Balancer>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut asked) = (Instant::now(), None);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        let world = cloud.world();
        if let Err(error) = fleet.follow(&world).await {
            tracing::warn!(%error, "a machine could not be started");
        }
        balancer.route(&world, &fleet.addresses());
        if asked.is_none_or(|at: Timestamp| world.time().since(at) >= ASK_EVERY) {
            asked = Some(world.time());
            fleet.check(&cloud).await;
        }
        let passed = last.elapsed().min(TICK_MAX);
        last = Instant::now();
        cloud.advance(Span::from_millis(u64::try_from(passed.as_millis()).unwrap_or(0) * SPEED));
    }
    fleet.end().await;
}
