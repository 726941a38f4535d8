//! The program dies at a call and is started again: the same end as if it had not died.
//!
//! A story is prepared once. Each point of it gets a copy of the server; the server kills the
//! program there with SIGKILL, by itself: before the n-th call is done, with the call done and
//! its answer unsent, or with the answer sent. What a second run leaves is compared with what
//! an undisturbed run left. `scripts/crash-points` plays every call of every story; without it
//! a fixed choice is played.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::copies::Copy;
use super::world::{Web, World, web};

const KINDS: [&str; 3] = ["before", "done", "answered"];

/// Longer than any story takes, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(150);

struct Story {
    name: &'static str,
    prepare: fn(&World),
    args: &'static [&'static str],
    /// How the undisturbed run ends, and the one after a crash.
    code: i32,
    /// Whether each change is died at in all three ways, however few points are played.
    thorough: bool,
}

const STORIES: [Story; 6] = [
    Story {
        name: "first release",
        prepare: |world| release(world, "1.0.0"),
        args: &["apply"],
        code: 0,
        thorough: false,
    },
    Story { name: "upgrade", prepare: upgrade, args: &["apply"], code: 0, thorough: true },
    Story { name: "failed release", prepare: bad_upgrade, args: &["apply"], code: 1, thorough: false },
    Story { name: "revert in mid-shift", prepare: mid_shift, args: &["apply"], code: 0, thorough: true },
    Story { name: "instant rollback", prepare: rollback, args: &["apply"], code: 0, thorough: false },
    Story { name: "retirement", prepare: retirement, args: &["apply", "--wait", "retired"], code: 0, thorough: false },
];

fn quick(version: &str) -> Web {
    // However busy the machine, no deadline passes.
    let deadline = "10m".to_owned();
    Web { bake: "0s".to_owned(), deadline, min: 1, max: 2, scaling: true, ..web(version) }
}

fn release(world: &World, version: &str) {
    world.commit(&quick(version));
}

fn released(world: &World, version: &str) {
    release(world, version);
    world.apply();
}

fn upgrade(world: &World) {
    released(world, "1.0.0");
    release(world, "1.1.0");
}

/// Well until it gets traffic.
fn bad_upgrade(world: &World) {
    upgrade(world);
    world.post("health", &json!({"version": "1.1.0", "state": "unhealthy", "had_weight": true}));
}

fn mid_shift(world: &World) {
    released(world, "1.0.0");
    world.commit(&quick("1.1.0").slow());
    world.apply_until("half of the traffic", |world| world.weights().len() == 2);
    world.revert();
}

fn rollback(world: &World) {
    upgrade(world);
    world.apply();
    world.revert();
}

fn retirement(world: &World) {
    upgrade(world);
    world.apply();
    world.commit(&Web { warm: "0s".to_owned(), records: 0, ..quick("1.1.0") });
}

/// Which points are played.
#[derive(Debug, Clone, Copy)]
enum Choice {
    /// Changes of the thorough stories in every way, of the others in one; some readings.
    Few,
    /// Every change in every way, some readings.
    Changes,
    /// Every change in every way, every reading in one. A reading leaves nothing behind, and what
    /// the program knew is gone with it: its three ways leave the same world.
    Calls,
    /// Every call in every way.
    All,
}

/// A place to die at.
#[derive(Debug, Clone)]
struct Point {
    call: usize,
    operation: String,
    kind: &'static str,
}

/// A story ready to be run, and how it ends undisturbed.
struct Stage<'a> {
    story: &'a Story,
    world: World,
    calls: Vec<Value>,
    end: Value,
}

impl<'a> Stage<'a> {
    fn of(story: &'a Story) -> Self {
        let world = World::new();
        let quick = json!({"launch_delay_ms": 20, "health_delay_ms": 20, "drain_cap_ms": 20, "terminate_delay_ms": 5, "delete_delay_ms": 20});
        world.post("settings", &quick);
        (story.prepare)(&world);
        world.forget_calls();
        let copy = Copy::of(&world);
        let begun = Instant::now();
        let end = run(copy.spawn(&world, story.args));
        let took = begun.elapsed();
        assert_eq!(end, Some(story.code), "{}, undisturbed", story.name);
        let calls = copy.get("calls").as_array().unwrap().clone();
        let end = copy.dump();
        say(&format!("{}: {} calls in {:.1} s undisturbed", story.name, calls.len(), took.as_secs_f64()));
        Self { story, world, calls, end }
    }

    fn points(&self, choice: Choice) -> Vec<Point> {
        let mut points = Vec::new();
        let mut changes = 0;
        for (number, call) in self.calls.iter().enumerate() {
            let operation = call["operation"].as_str().unwrap();
            let change = call["mutating"] == true;
            changes += usize::from(change);
            for (nth, kind) in KINDS.into_iter().enumerate() {
                let chosen = match choice {
                    Choice::All => true,
                    Choice::Changes if change => true,
                    Choice::Calls => change || (number + nth).is_multiple_of(KINDS.len()),
                    Choice::Few if change => self.story.thorough || (changes + nth).is_multiple_of(KINDS.len()),
                    // A stride that shares no factor with the three kinds.
                    _ => (number * KINDS.len() + nth) % 50 == 49,
                };
                if chosen {
                    points.push(Point { call: number + 1, operation: operation.to_owned(), kind });
                }
            }
        }
        points
    }

    /// Dies there and is started again.
    ///
    /// # Errors
    /// What came out otherwise than undisturbed.
    fn play(&self, point: &Point) -> Result<(), String> {
        let copy = Copy::of(&self.world);
        copy.post("crash", &json!({"n": point.call, "kind": point.kind}));
        let first = copy.spawn(&self.world, self.story.args);
        copy.post("crash/pid", &json!({"pid": first.id()}));
        let first = run(first);
        // What a run does depends on the clock, so it may have been over a call or two earlier.
        let reached = copy.post("crash/clear", &json!({}))["reached"] == true;
        if !reached && first != Some(self.story.code) {
            return Err(format!("it ended with {first:?} before the point came"));
        }
        let output = copy.command(&self.world, self.story.args).output().map_err(|error| error.to_string())?;
        if output.status.code() != Some(self.story.code) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("started again it ended with {}:\n{said}", output.status));
        }
        let end = copy.dump();
        if end == self.end {
            return Ok(());
        }
        let (before, after) = (format!("{:#}", self.end), format!("{end:#}"));
        Err(similar::TextDiff::from_lines(&before, &after)
            .unified_diff()
            .header("undisturbed", "with a crash")
            .to_string())
    }
}

/// How a run ended; none: killed.
fn run(mut child: Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.code().is_some() || status.signal() == Some(9), "{status}");
            return status.code();
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it neither ended nor came to its point");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Beside what the test harness keeps to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Plays the points of a story side by side; the answer is how many there were and the failures.
fn play(story: &Story, choice: Choice, side_by_side: usize) -> (usize, Vec<String>) {
    let begun = Instant::now();
    let stage = Stage::of(story);
    let points = stage.points(choice);
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..side_by_side {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = stage.play(point) {
                        let Point { call, operation, kind } = point;
                        let place = format!("{}, call {call} ({operation}), {kind}", story.name);
                        say(&format!("FAILED {place}\n{why}"));
                        failures.lock().unwrap().push(place);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let (calls, changes) = (stage.calls.len(), stage.calls.iter().filter(|call| call["mutating"] == true).count());
    say(&format!(
        "crash points, {}: {} of {calls} calls ({changes} changes), {} failed, {:.0} s",
        story.name,
        points.len(),
        failures.len(),
        begun.elapsed().as_secs_f64()
    ));
    (points.len(), failures)
}

fn story(name: &str) {
    let story = STORIES.iter().find(|story| story.name == name).unwrap();
    let choice = match std::env::var("IONROLLER_CRASH_POINTS").as_deref() {
        Ok("all") => Choice::All,
        Ok("calls") => Choice::Calls,
        Ok("changes") => Choice::Changes,
        Ok(other) => panic!("IONROLLER_CRASH_POINTS is {other}, not `all`, `calls` or `changes`"),
        Err(_) => Choice::Few,
    };
    let side_by_side = std::env::var("IONROLLER_CRASH_RUNS").ok().and_then(|many| many.parse().ok());
    let (points, failures) = play(story, choice, side_by_side.unwrap_or(2));
    assert!(points > 0 && failures.is_empty(), "{} of {points}: {failures:#?}", failures.len());
}

#[test]
fn in_a_first_release() {
    story("first release");
}

#[test]
fn in_an_upgrade() {
    story("upgrade");
}

#[test]
fn in_a_failed_release() {
    story("failed release");
}

#[test]
fn in_a_revert_in_mid_shift() {
    story("revert in mid-shift");
}

#[test]
fn in_an_instant_rollback() {
    story("instant rollback");
}

#[test]
fn in_a_retirement() {
    story("retirement");
}
