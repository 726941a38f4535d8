//! Our own limits on calls, below those of AWS.
//!
//! AWS counts calls for the whole account and region, whoever makes them, and answers
//! above its limits with errors. Waiting here instead keeps one observation of many
//! services from starving the one call that moves traffic.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// The calls that share one allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// EC2 calls that read.
    Ec2Read,
    /// EC2 calls that change.
    Ec2Write,
    /// Elastic Load Balancing calls that read.
    ElbRead,
    /// Elastic Load Balancing calls that change.
    ElbWrite,
    /// All calls of Auto Scaling.
    Asg,
}

impl Bucket {
    const ALL: [Self; 5] = [Self::Ec2Read, Self::Ec2Write, Self::ElbRead, Self::ElbWrite, Self::Asg];

    /// Calls a second, and calls at once after a pause.
    ///
    /// Source: EC2 documents 100 at once and 20/s for reads, 50 and 5/s for changes. Elastic
    /// Load Balancing has documented 40 and 10/s for `Describe*`, 20 and 3/s for `Modify*`.
    /// Auto Scaling publishes no numbers, so that one is a guess on the safe side.
    const fn allowance(self) -> (f64, f64) {
        match self {
            Self::Ec2Read => (20.0, 100.0),
            Self::Ec2Write => (5.0, 50.0),
            Self::ElbRead => (10.0, 40.0),
            Self::ElbWrite => (3.0, 20.0),
            Self::Asg => (5.0, 20.0),
        }
    }
}

/// Token buckets for one account and region. Share one among all clients of these.
#[derive(Debug)]
pub struct Limiter {
    /// Calls a second are multiplied by it; none: no limits.
    factor: Option<f64>,
    buckets: Mutex<[Level; Bucket::ALL.len()]>,
}

/// What a bucket held, and when.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// Negative: calls that wait have taken from the future.
    tokens: f64,
    at: Option<Instant>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::with_factor(1.0)
    }
}

impl Limiter {
    /// Limits of `factor` times the usual rate; the calls at once stay the same. A factor
    /// that is no positive number counts as 1.
    pub fn with_factor(factor: f64) -> Self {
        let factor = if factor.is_finite() && factor > 0.0 { factor } else { 1.0 };
        Self::new(Some(factor))
    }

    /// No limits, for tests.
    pub fn off() -> Self {
        Self::new(None)
    }

    fn new(factor: Option<f64>) -> Self {
        let full = |bucket: Bucket| Level { tokens: bucket.allowance().1, at: None };
        Self { factor, buckets: Mutex::new(Bucket::ALL.map(full)) }
    }

    /// Waits until a call may be made. Calls of one bucket pass in the order they came.
    pub async fn take(&self, bucket: Bucket) {
        let wait = self.reserve(bucket, Instant::now());
        if !wait.is_zero() {
            tracing::debug!(?bucket, wait_ms = wait.as_millis(), "holding a call back");
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes one token, on credit if need be, and says how long until it is there.
    fn reserve(&self, bucket: Bucket, now: Instant) -> Duration {
        let Some(factor) = self.factor else {
            return Duration::ZERO;
        };
        let (rate, burst) = bucket.allowance();
        let rate = rate * factor;
        // Nothing in here can panic, so a poisoned lock holds sound levels all the same.
        let mut buckets = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let level = &mut buckets[bucket as usize];
        let idle = level.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        level.tokens = (level.tokens + idle.as_secs_f64() * rate).min(burst) - 1.0;
        level.at = level.at.max(Some(now));
        Duration::from_secs_f64((-level.tokens / rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock of a caller that makes calls one after the other.
    struct Caller {
        limiter: Limiter,
        now: Instant,
    }

    impl Caller {
        fn new(limiter: Limiter) -> Self {
            Self { limiter, now: Instant::now() }
        }

        /// How long some calls take in all, in milliseconds.
        fn millis_for(&mut self, bucket: Bucket, calls: u32) -> u128 {
            let start = self.now;
            for _ in 0..calls {
                self.now += self.limiter.reserve(bucket, self.now);
            }
            (self.now - start + Duration::from_micros(500)).as_millis()
        }
    }

    #[test]
    fn a_burst_is_free_and_then_the_rate_holds() {
        let mut caller = Caller::new(Limiter::default());
        assert_eq!(caller.millis_for(Bucket::ElbWrite, 20), 0);
        assert_eq!(caller.millis_for(Bucket::ElbWrite, 30), 10_000);
        assert_eq!(caller.millis_for(Bucket::ElbRead, 40), 0, "buckets are apart");
    }

    #[test]
    fn a_pause_refills_but_never_above_the_burst() {
        let mut caller = Caller::new(Limiter::default());
        assert_eq!(caller.millis_for(Bucket::Asg, 25), 1000);
        caller.now += Duration::from_secs(3600);
        assert_eq!(caller.millis_for(Bucket::Asg, 20), 0);
        assert_eq!(caller.millis_for(Bucket::Asg, 5), 1000);
    }

    #[test]
    fn calls_that_come_at_once_are_spread_out_in_order() {
        let (limiter, now) = (Limiter::with_factor(2.0), Instant::now());
        let waits: Vec<Duration> = (0..26).map(|_| limiter.reserve(Bucket::ElbWrite, now)).collect();
        assert!(waits[..20].iter().all(Duration::is_zero));
        assert!(waits[20..].is_sorted());
        assert_eq!(waits[25].as_secs_f64().round(), 1.0, "6 calls above 20, at 6 a second");
    }

    #[test]
    fn a_clock_that_steps_back_gives_no_tokens() {
        let (limiter, now) = (Limiter::default(), Instant::now() + Duration::from_secs(60));
        for _ in 0..20 {
            limiter.reserve(Bucket::ElbWrite, now);
        }
        assert!(!limiter.reserve(Bucket::ElbWrite, now - Duration::from_secs(30)).is_zero());
    }

    #[test]
    fn it_can_be_off() {
        let mut caller = Caller::new(Limiter::off());
        assert_eq!(caller.millis_for(Bucket::ElbWrite, 1000), 0);
    }
}
