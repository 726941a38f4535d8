//! How a one-shot command waits on a simulated clock: it jumps.

use async_trait::async_trait;

use crate::cloud::sim::SimCloud;
use crate::reconcile::pace::Pace;
use crate::time::Timestamp;

/// Moves the simulated clock to whatever is due.
pub struct Jumping(pub SimCloud);

#[async_trait]
impl Pace for Jumping {
    async fn wait_until(&self, _: Timestamp, until: Timestamp) {
        self.0.advance_to(until);
        // Other tasks get their turn, a signal handler above all.
        tokio::task::yield_now().await;
    }
}
