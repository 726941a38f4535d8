//! One history as a plain list of what happens when. A seed is first made into this, so that
//! it can be shrunk, printed and kept.

use std::fmt;

/// A world, and what happens in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Of everything that is left to chance while it runs.
    pub seed: u64,
    /// How traffic comes to each service.
    pub kinds: Vec<Kind>,
    /// Whether a service without a file is taken away.
    pub prune: bool,
    /// `max_concurrent_rollouts` and `max_releases_per_change`.
    pub limits: (u32, u32),
    /// What runs beside the daemon.
    pub second: Second,
    /// By second.
    pub events: Vec<(u64, Event)>,
}

/// A second daemon on the same scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Second {
    Nobody,
    /// It may change nothing.
    Dry,
    /// It makes changes like the first, and there is no lease.
    Acts,
}

/// How traffic comes to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A rule of a listener that services share.
    Rule,
    /// The default action of a listener, a fixed response at first.
    Default,
    /// The default action of a network load balancer.
    Network,
    /// None comes.
    Worker,
    /// The default action of a listener, which forwards to machines of somebody else at first.
    Adopt,
}

/// Something that Git, people or AWS do. `s` is a service by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A commit: another version and size.
    Release { s: usize, version: u32, min: u32, steps: usize },
    /// A commit: other sizes.
    Resize { s: usize, min: u32, max: u32 },
    /// A commit: another host in the rule, other intervals, another drain time.
    Retouch { s: usize, host: u32 },
    /// A commit: two services trade the priorities of their rules.
    Trade { s: usize, with: usize },
    /// A commit: a service asks for the priority that another one's file names, too.
    Claim { s: usize, of: usize },
    /// A commit: `on_failure = "hold"` or not.
    OnFailure { s: usize, hold: bool },
    /// A commit: the file has errors.
    Break { s: usize },
    /// A commit: the file is gone.
    Delete { s: usize },
    /// A commit: the file is as it was when it last said something.
    PutBack { s: usize },
    /// A commit: the file has another name, or its old one again.
    Rename { s: usize },
    /// A commit: `paused`, or not any more.
    Pause { s: usize, on: bool },
    /// A commit: `ionroller.toml` has errors.
    BreakScope,
    /// A commit: something else in `[defaults]`, so that every service is another release.
    Defaults { n: u32 },
    /// A commit: nothing may start for so many seconds.
    Freeze { secs: u64 },
    /// A commit that says again what stood so many commits ago.
    Revert { back: usize },
    /// A branch is moved to a commit beside the newest ones, which are lost.
    ForcePush { back: usize, s: usize, version: u32 },
    /// A commit with the trailer that lifts the limit on releases.
    Override,
    /// An operator.
    Hold { s: usize },
    /// An operator.
    Resume { s: usize },
    /// An operator.
    Retry { s: usize },
    /// An operator.
    Abort { s: usize },
    /// Machines of a service's nth group die.
    Kill { s: usize, nth: usize, count: usize },
    /// Machines of a service's nth group are powered off.
    PowerOff { s: usize, nth: usize, count: usize },
    /// Machines of a service's nth group are detached from it.
    DetachMachines { s: usize, nth: usize, count: usize },
    /// Machines of a service's nth group go into standby.
    Standby { s: usize, nth: usize, count: usize },
    /// Those in standby come back.
    Back { s: usize, nth: usize },
    /// Machines of a service's nth group are protected from scale-in.
    Protect { s: usize, nth: usize, count: usize },
    /// Some of its processes are suspended, by number; or none any more.
    Suspend { s: usize, nth: usize, which: Option<usize> },
    /// Its target group is detached from it.
    Detach { s: usize, nth: usize },
    /// Its target group is attached to it again.
    Attach { s: usize, nth: usize },
    /// Target stickiness is switched on or off for its target group.
    Sticky { s: usize, nth: usize, on: bool },
    /// An autoscaler's word to a service's nth group.
    Autoscale { s: usize, nth: usize, desired: u32 },
    /// Somebody deletes a service's nth group by force.
    DeleteGroup { s: usize, nth: usize },
    /// Somebody scales a service's nth group to zero.
    Empty { s: usize, nth: usize },
    /// Somebody moves a service's weights: all to the nth target group of its action.
    MoveWeights { s: usize, nth: usize },
    /// Somebody puts something into the rule that has a service's traffic, by number.
    Dress { s: usize, which: usize },
    /// Machines of a version never answer.
    Sick { s: usize, version: u32 },
    /// They answer again.
    Well { s: usize, version: u32 },
    /// Machines of a version stop answering so many seconds after they came into service.
    CrashAfter { s: usize, version: u32, secs: u64 },
    /// Their application takes so long until it answers, once they are in service.
    SlowStart { s: usize, version: u32, secs: u64 },
    /// They answer health checks with 502, or not in time.
    Wrong { s: usize, version: u32, in_time: bool },
    /// The load balancer's word about them changes that often.
    Flap { s: usize, version: u32, secs: u64 },
    /// They vanish so many seconds after they came into service, as spot machines do.
    Vanish { s: usize, version: u32, secs: u64 },
    /// Every nth launch of a version fails, for a reason that is none of its own; or every one.
    NoLaunch { s: usize, version: u32, text: usize, every: Option<u32> },
    /// They can be launched again.
    Launch { s: usize, version: u32 },
    /// Their image does not exist.
    NoImage { s: usize, version: u32 },
    /// They take so long to boot.
    SlowBoot { s: usize, version: u32, secs: u64 },
    /// No machines are to be had in that many of the two zones.
    NoCapacity { zones: usize },
    /// One of the two zones is not enabled for the load balancers, or is.
    ZoneOff { off: bool },
    /// Something that files name does not exist or does not fit, by number; or all of it does
    /// again.
    Lacks { what: Option<usize> },
    /// Calls fail: out of a thousand before and after they were done, and throttled.
    Odds { before: u32, after: u32, throttled: u32 },
    /// Every call about one service fails, or none any more.
    Curse { s: usize, on: bool },
    /// Of a hundred readings so many show the past, up to so many seconds ago.
    Stale { percent: u32, secs: u64 },
    /// An answer takes up to so long.
    Slow { millis: u64 },
    /// The process dies around the nth call from now that changes something.
    CrashCall { nth: u64, after: bool },
    /// The process dies when it has been polled so often.
    CrashPoll { nth: u64 },
    /// The process is told to stop, and started again.
    Restart,
    /// The machine's clock jumps.
    Clock { secs: i64 },
    /// Git can't be read, or can again.
    GitDown { down: bool },
    /// The second daemon alone can't read Git, so it goes by what it knows; or can again.
    Behind { on: bool },
}

impl Event {
    /// The service that it happens to, where it is one alone.
    pub fn only(&self) -> Option<usize> {
        match *self {
            Self::Release { s, .. }
            | Self::Resize { s, .. }
            | Self::Retouch { s, .. }
            | Self::OnFailure { s, .. }
            | Self::Break { s }
            | Self::Delete { s }
            | Self::PutBack { s }
            | Self::Rename { s }
            | Self::Pause { s, .. }
            | Self::Hold { s }
            | Self::Resume { s }
            | Self::Retry { s }
            | Self::Abort { s }
            | Self::Kill { s, .. }
            | Self::PowerOff { s, .. }
            | Self::DetachMachines { s, .. }
            | Self::Standby { s, .. }
            | Self::Back { s, .. }
            | Self::Protect { s, .. }
            | Self::Suspend { s, .. }
            | Self::Detach { s, .. }
            | Self::Attach { s, .. }
            | Self::Sticky { s, .. }
            | Self::SlowStart { s, .. }
            | Self::Wrong { s, .. }
            | Self::Flap { s, .. }
            | Self::Vanish { s, .. }
            | Self::Autoscale { s, .. }
            | Self::DeleteGroup { s, .. }
            | Self::Empty { s, .. }
            | Self::MoveWeights { s, .. }
            | Self::Dress { s, .. }
            | Self::Sick { s, .. }
            | Self::Well { s, .. }
            | Self::CrashAfter { s, .. }
            | Self::NoLaunch { s, .. }
            | Self::Launch { s, .. }
            | Self::NoImage { s, .. }
            | Self::SlowBoot { s, .. }
            | Self::Curse { s, .. } => Some(s),
            _ => None,
        }
    }
}

impl fmt::Display for Script {
    /// As Rust that can be pasted among the stories.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Script {{")?;
        writeln!(f, "    seed: {},", self.seed)?;
        writeln!(f, "    kinds: vec!{:?},", self.kinds)?;
        writeln!(f, "    prune: {},", self.prune)?;
        writeln!(f, "    limits: {:?},", self.limits)?;
        writeln!(f, "    second: {:?},", self.second)?;
        writeln!(f, "    events: vec![")?;
        for (at, event) in &self.events {
            writeln!(f, "        ({at}, {event:?}),")?;
        }
        writeln!(f, "    ],")?;
        write!(f, "}}")
    }
}
