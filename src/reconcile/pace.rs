//! How the loop waits: on the real clock, or by moving a simulated one.

use async_trait::async_trait;

use crate::time::{Span, Timestamp};

/// Waits.
#[async_trait]
pub trait Pace: Send + Sync {
    /// Returns when the cloud's clock shows a time, or earlier.
    async fn wait_until(&self, now: Timestamp, until: Timestamp);
}

/// The real clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealTime;

#[async_trait]
impl Pace for RealTime {
    async fn wait_until(&self, now: Timestamp, until: Timestamp) {
        tokio::time::sleep(until.since(now).to_std()).await;
    }
}

/// A span within ten percent of another, so that many daemons don't ask in step.
pub fn jittered(span: Span) -> Span {
    let tenth = span.as_millis() / 10;
    Span::from_millis(span.as_millis() - tenth + fastrand::u64(0..=2 * tenth))
}
