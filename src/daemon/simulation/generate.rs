//! A seed becomes a script.

use super::script::{Event, Kind, Script, Second};

/// Versions of a service that there are.
const VERSIONS: u32 = 5;

/// Makes the script of a seed.
pub fn script(seed: u64) -> Script {
    let mut random = fastrand::Rng::with_seed(seed);
    let kinds: Vec<Kind> = (0..random.usize(2..=4)).map(|_| kind(&mut random)).collect();
    let mut script = Script {
        seed,
        prune: random.bool(),
        limits: (random.u32(1..=4), *random.choice([1, 2, 20, 20].iter()).unwrap_or(&20)),
        second: match random.u32(0..8) {
            0 => Second::Dry,
            1 => Second::Acts,
            _ => Second::Nobody,
        },
        events: Vec::new(),
        kinds,
    };
    // A history has a few themes, else everything happens and nothing goes far.
    let themes: Vec<Theme> = (0..random.usize(2..=4)).filter_map(|_| random.choice(THEMES.iter()).copied()).collect();
    let mut at = 0;
    for _ in 0..random.usize(5..=18) {
        // Often at once, often in the midst of what runs, sometimes when all is at rest.
        at += match random.u32(0..6) {
            0 => random.u64(0..5),
            1..=3 => random.u64(5..200),
            4 => random.u64(200..500),
            _ => random.u64(500..1000),
        };
        let theme = if random.u32(0..3) == 0 {
            Theme::Commits
        } else {
            *random.choice(themes.iter()).unwrap_or(&Theme::Commits)
        };
        theme.happen(&mut random, at, &mut script);
    }
    if script.second == Second::Acts {
        falls_behind(at, &mut script);
    }
    places(at, &mut script);
    colleagues(at, &mut script);
    script.events.sort_by_key(|(at, _)| *at);
    script
}

/// Colleagues work at the rules that have the traffic, in every third history.
fn colleagues(until: u64, script: &mut Script) {
    let mut random = fastrand::Rng::with_seed(script.seed ^ 0xc011ea);
    if random.u32(0..3) > 0 {
        return;
    }
    for _ in 0..random.usize(1..4) {
        let (s, which) = (random.usize(0..script.kinds.len()), random.usize(0..5));
        script.events.push((random.u64(0..=until), Event::Dress { s, which }));
    }
}

/// The second daemon goes by an older commit for a while.
fn falls_behind(until: u64, script: &mut Script) {
    let mut random = fastrand::Rng::with_seed(script.seed ^ 0xbe41d);
    for _ in 0..random.usize(0..3) {
        let from = random.u64(0..=until);
        script.events.push((from, Event::Behind { on: true }));
        script.events.push((from + random.u64(10..600), Event::Behind { on: false }));
    }
}

/// In every fourth history services trade their places, or one file claims another's.
fn places(until: u64, script: &mut Script) {
    let mut random = fastrand::Rng::with_seed(script.seed ^ 0x91ace);
    if random.u32(0..4) > 0 {
        return;
    }
    for _ in 0..random.usize(1..5) {
        let (s, other) = (random.usize(0..script.kinds.len()), random.usize(0..script.kinds.len()));
        let at = random.u64(0..=until + 1);
        if random.u32(0..4) > 0 {
            script.events.push((at, Event::Trade { s, with: other }));
        } else {
            script.events.push((at, Event::Claim { s, of: other }));
        }
        // With what else a commit brings, in the same moment or soon after.
        if random.bool() {
            let (version, min) = (random.u32(0..VERSIONS), random.u32(1..4));
            script.events.push((at + random.u64(0..30), Event::Release { s, version, min, steps: random.usize(0..4) }));
        }
    }
}

/// Something of any theme happens.
pub fn anything(random: &mut fastrand::Rng, at: u64, script: &mut Script) {
    let theme = random.choice(THEMES.iter()).unwrap_or(&Theme::Commits);
    theme.happen(random, at, script);
}

pub fn kind(random: &mut fastrand::Rng) -> Kind {
    match random.u32(0..9) {
        0 => Kind::Worker,
        1 => Kind::Default,
        2 => Kind::Network,
        3 => Kind::Adopt,
        _ => Kind::Rule,
    }
}

#[derive(Debug, Clone, Copy)]
enum Theme {
    Commits,
    Reverts,
    OddCommits,
    Scope,
    Operators,
    Hands,
    Calls,
    Stale,
    Machines,
    Launches,
    Process,
    Starts,
    Sides,
    MachineHands,
    GroupHands,
}

const THEMES: [Theme; 15] = [
    Theme::Commits,
    Theme::Reverts,
    Theme::OddCommits,
    Theme::Scope,
    Theme::Operators,
    Theme::Hands,
    Theme::Calls,
    Theme::Stale,
    Theme::Machines,
    Theme::Launches,
    Theme::Process,
    Theme::Starts,
    Theme::Sides,
    Theme::MachineHands,
    Theme::GroupHands,
];

impl Theme {
    fn happen(self, random: &mut fastrand::Rng, at: u64, script: &mut Script) {
        let s = random.usize(0..script.kinds.len());
        let nth = random.usize(0..3);
        let version = random.u32(0..VERSIONS);
        let later = at + random.u64(10..400);
        let release = |random: &mut fastrand::Rng| {
            let (version, min, steps) = (random.u32(0..VERSIONS), random.u32(1..4), random.usize(0..4));
            Event::Release { s, version, min, steps }
        };
        let mut add = |at: u64, event: Event| script.events.push((at, event));
        match self {
            Self::Commits => match random.u32(0..6) {
                0 => {
                    let min = random.u32(1..5);
                    add(at, Event::Resize { s, min, max: min + random.u32(0..4) });
                }
                1 => add(at, Event::Retouch { s, host: random.u32(0..3) }),
                _ => add(at, release(random)),
            },
            Self::Reverts => {
                add(at, release(random));
                add(later, Event::Revert { back: random.usize(1..3) });
                if random.bool() {
                    add(later + random.u64(1..300), Event::Revert { back: 1 });
                }
            }
            Self::OddCommits => match random.u32(0..7) {
                0 => {
                    add(at, Event::Break { s });
                    add(later, release(random));
                }
                1 => add(at, Event::Break { s }),
                2 => {
                    add(at, Event::Delete { s });
                    add(later + random.u64(0..1200), Event::PutBack { s });
                }
                3 => add(at, Event::Delete { s }),
                4 => add(at, Event::Rename { s }),
                5 => {
                    add(at, Event::Pause { s, on: true });
                    add(later, Event::Pause { s, on: false });
                }
                _ => add(at, Event::OnFailure { s, hold: random.bool() }),
            },
            Self::Scope => match random.u32(0..6) {
                0 => {
                    add(at, Event::BreakScope);
                    add(later, release(random));
                }
                1 => add(at, Event::Defaults { n: random.u32(0..3) }),
                2 => {
                    add(at, Event::Defaults { n: random.u32(0..3) });
                    add(later, Event::Override);
                }
                3 => {
                    add(at, Event::Freeze { secs: random.u64(60..2400) });
                    add(at + random.u64(0..60), release(random));
                }
                4 => add(at, Event::ForcePush { back: random.usize(1..4), s, version }),
                _ => {
                    add(at, Event::ForcePush { back: random.usize(1..3), s, version });
                    add(later, Event::Revert { back: random.usize(0..3) });
                }
            },
            Self::Operators => match random.u32(0..4) {
                0 => {
                    add(at, Event::Hold { s });
                    add(later, Event::Resume { s });
                }
                1 => add(at, Event::Retry { s }),
                2 => {
                    add(at, release(random));
                    add(at + random.u64(1..300), Event::Abort { s });
                    add(later + 600, Event::Resume { s });
                }
                _ => add(at, Event::Hold { s }),
            },
            Self::Hands => match random.u32(0..6) {
                0 => add(at, Event::Kill { s, nth, count: random.usize(1..4) }),
                1 | 2 => add(at, Event::Autoscale { s, nth, desired: random.u32(1..7) }),
                3 => add(at, Event::DeleteGroup { s, nth }),
                4 => add(at, Event::Empty { s, nth }),
                _ => add(at, Event::MoveWeights { s, nth }),
            },
            Self::Calls => {
                match random.u32(0..4) {
                    0 => {
                        add(at, Event::Curse { s, on: true });
                        if random.bool() {
                            add(later, Event::Curse { s, on: false });
                        }
                    }
                    1 => {
                        add(at, Event::Slow { millis: random.u64(100..20_000) });
                        add(later, Event::Slow { millis: 0 });
                    }
                    _ => {
                        let odds = |random: &mut fastrand::Rng| if random.bool() { random.u32(5..250) } else { 0 };
                        add(at, Event::Odds { before: odds(random), after: odds(random), throttled: odds(random) });
                        add(later, Event::Odds { before: 0, after: 0, throttled: 0 });
                    }
                }
                add(at + 1, release(random));
            }
            Self::Stale => {
                add(at, Event::Stale { percent: random.u32(5..60), secs: random.u64(2..=60) });
                add(at + random.u64(0..30), release(random));
                add(later + 100, Event::Stale { percent: 0, secs: 0 });
            }
            Self::Machines => {
                match random.u32(0..4) {
                    0 => add(at, Event::Sick { s, version }),
                    1 => {
                        // Health that flaps.
                        for flap in 0..random.u64(1..4) {
                            add(at + flap * 90, Event::Sick { s, version });
                            add(at + flap * 90 + random.u64(20..90), Event::Well { s, version });
                        }
                    }
                    2 => add(at, Event::CrashAfter { s, version, secs: random.u64(30..600) }),
                    _ => add(at, Event::SlowBoot { s, version, secs: random.u64(60..400) }),
                }
                if random.bool() {
                    add(at + 1, Event::Release { s, version, min: random.u32(1..4), steps: random.usize(0..4) });
                }
            }
            Self::Launches => {
                match random.u32(0..4) {
                    0 => {
                        let (text, every) = (random.usize(..), random.bool().then(|| random.u32(2..4)));
                        add(at, Event::NoLaunch { s, version, text, every });
                        add(later, Event::Launch { s, version });
                    }
                    1 => add(at, Event::NoImage { s, version }),
                    _ => {
                        add(at, Event::NoCapacity { zones: random.usize(1..3) });
                        add(later + random.u64(0..900), Event::NoCapacity { zones: 0 });
                    }
                }
                add(at + 1, Event::Release { s, version, min: random.u32(1..4), steps: random.usize(0..4) });
            }
            Self::Starts | Self::Sides | Self::MachineHands | Self::GroupHands => self.hands(random, at, script),
            Self::Process => {
                if random.bool() {
                    add(at, release(random));
                }
                let during = at + random.u64(0..300);
                match random.u32(0..6) {
                    0 | 1 => add(during, Event::CrashCall { nth: random.u64(1..8), after: random.bool() }),
                    2 => add(during, Event::CrashPoll { nth: random.u64(1..60) }),
                    3 => add(during, Event::Restart),
                    4 => add(during, Event::Clock { secs: [-3600, -300, -30, 30, 300, 3600][random.usize(0..6)] }),
                    _ => {
                        add(at, Event::GitDown { down: true });
                        add(later, Event::GitDown { down: false });
                    }
                }
            }
        }
    }

    /// What the field has shown: machines that take long to start, and what people do to
    /// machines and groups in the midst of a rollout.
    fn hands(self, random: &mut fastrand::Rng, at: u64, script: &mut Script) {
        let s = random.usize(0..script.kinds.len());
        let (nth, count) = (random.usize(0..3), random.usize(1..4));
        let old = random.u32(0..VERSIONS);
        let version = (old + random.u32(1..VERSIONS)) % VERSIONS;
        let (soon, later) = (at + random.u64(20..400), at + random.u64(100..900));
        let release = |random: &mut fastrand::Rng, version: u32| {
            let (min, steps) = (random.u32(1..4), random.usize(1..4));
            Event::Release { s, version, min, steps }
        };
        let first = release(random, version);
        let mut add = |at: u64, event: Event| script.events.push((at, event));
        match self {
            // Longer than the checks allow, and a group that grows in the midst of it.
            Self::Starts => {
                let secs = random.u64(20..240);
                add(at, Event::SlowStart { s, version, secs });
                add(at + 1, first);
                add(soon + secs, Event::Autoscale { s, nth, desired: random.u32(2..7) });
                if random.bool() {
                    add(soon + secs + 10, Event::Kill { s, nth, count });
                }
            }
            // One of two sides dies while the other could do everything.
            Self::Sides => {
                let dies = if random.bool() { old } else { version };
                add(at, release(random, old));
                let second = at + random.u64(300..700);
                add(second, first);
                let dead = second + random.u64(60..400);
                add(dead, Event::Sick { s, version: dies });
                if random.bool() {
                    add(dead + random.u64(30..600), Event::Well { s, version: dies });
                }
                if random.bool() {
                    add(second, Event::Pause { s, on: true });
                    add(dead + 300, Event::Pause { s, on: false });
                }
            }
            Self::MachineHands => {
                if random.bool() {
                    add(at, first);
                }
                match random.u32(0..8) {
                    0 => add(soon, Event::PowerOff { s, nth, count }),
                    1 => add(soon, Event::DetachMachines { s, nth, count }),
                    2 => {
                        add(soon, Event::Standby { s, nth, count });
                        add(later, Event::Back { s, nth });
                    }
                    3 => add(soon, Event::Protect { s, nth, count }),
                    4 => add(at, Event::Vanish { s, version, secs: random.u64(40..900) }),
                    5 => add(at, Event::Flap { s, version, secs: *random.choice([1, 7, 45].iter()).unwrap_or(&1) }),
                    6 => add(at, Event::Wrong { s, version, in_time: random.bool() }),
                    // None can be had while they are gone.
                    _ => {
                        add(soon, Event::NoLaunch { s, version, text: random.usize(..), every: None });
                        add(soon, Event::Kill { s, nth, count });
                        add(later, Event::Launch { s, version });
                    }
                }
            }
            _ => {
                add(at, first);
                match random.u32(0..5) {
                    0 => {
                        add(soon, Event::Detach { s, nth });
                        if random.bool() {
                            add(later, Event::Attach { s, nth });
                        }
                    }
                    1 => {
                        add(soon, Event::Suspend { s, nth, which: Some(random.usize(..)) });
                        add(later, Event::Suspend { s, nth, which: None });
                    }
                    2 => {
                        add(soon, Event::Sticky { s, nth, on: true });
                        add(later, Event::Sticky { s, nth, on: false });
                    }
                    3 => {
                        add(at, Event::Lacks { what: Some(random.usize(..)) });
                        add(later, Event::Lacks { what: None });
                    }
                    _ => {
                        add(at, Event::ZoneOff { off: true });
                        add(later, Event::ZoneOff { off: false });
                    }
                }
            }
        }
    }
}
