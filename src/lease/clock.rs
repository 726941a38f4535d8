//! A machine's own clock. Two of them are never compared.

use async_trait::async_trait;

use crate::time::Span;

/// A point on one machine's clock, from a start that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(u64);

impl Moment {
    /// So long after the clock's start.
    pub const fn after_start(span: Span) -> Self {
        Self(span.as_millis())
    }

    /// How long after `earlier` this is; zero when it isn't after.
    pub const fn since(self, earlier: Self) -> Span {
        Span::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Span> for Moment {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.as_millis()))
    }
}

/// A clock that only goes forward.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Moment;
    /// Lets some time pass.
    async fn sleep(&self, span: Span);
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineClock;

/// The clock of the standard library stands still on Linux while the machine sleeps, and a
/// holder that woke up would think that its lease is still good.
#[cfg(target_os = "linux")]
const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

#[async_trait]
impl Clock for MachineClock {
    fn now(&self) -> Moment {
        let time = rustix::time::clock_gettime(CLOCK);
        let secs = u64::try_from(time.tv_sec).unwrap_or(0);
        let millis = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
        Moment(secs.saturating_mul(1000).saturating_add(millis))
    }

    async fn sleep(&self, span: Span) {
        tokio::time::sleep(span.to_std()).await;
    }
}
