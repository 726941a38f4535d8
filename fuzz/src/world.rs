//! The file of a simulated world: a broken one is an error, and what is accepted can be
//! lived in.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use futures_util::FutureExt as _;
use ionroller::cloud::observe::{Query, TagCache, observe};
use ionroller::cloud::sim::SimCloud;
use ionroller::cloud::sim::world::World;
use ionroller::names::Scope;
use ionroller::time::Span;
use serde_json::Value;

use super::says;

/// A world in the middle of a rollout, as it was saved.
const SOUND: &str = include_str!("../seeds/world/rollout.json");

/// Reads the bytes as a world; or, after a zero, as changes to a sound one.
pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, choices)) => {
            if let Ok(text) = spoilt(&mut Unstructured::new(choices)) {
                look(&text);
            }
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(data) {
                look(text);
            }
        }
    }
}

fn look(text: &str) {
    let world = match World::load(text) {
        Ok(world) => world,
        Err(why) => return says::one_line(&why),
    };
    let saved = world.save().expect("a world can be saved");
    assert_eq!(World::load(&saved).as_ref(), Ok(&world), "what is saved is what was there");
    let cloud = SimCloud::new(world);
    let query = Query {
        scope: Scope::parse("prod").unwrap(),
        service: None,
        places: BTreeMap::new(),
        listeners: cloud.world().listeners.keys().cloned().collect(),
    };
    for _ in 0..3 {
        let observed = observe(&cloud, &TagCache::default(), &query).now_or_never().expect("it never waits");
        if let Err(error) = observed {
            says::one_line(&error.to_string());
        }
        cloud.traffic();
        cloud.advance(Span::from_mins(7));
    }
    let world = cloud.world();
    let machines: usize = world.groups.values().map(|group| group.instances.len()).sum();
    assert!(machines < 200_000, "{machines} machines");
}

/// The sound world with some values replaced, at any depth.
fn spoilt(u: &mut Unstructured<'_>) -> Result<String> {
    let mut world: Value = serde_json::from_str(SOUND).expect("the sound world is JSON");
    for _ in 0..u.int_in_range(1..=4)? {
        spoil(u, &mut world)?;
    }
    Ok(world.to_string())
}

/// Replaces a value somewhere below, or gives a key another name.
fn spoil(u: &mut Unstructured<'_>, at: &mut Value) -> Result<()> {
    match at {
        Value::Object(fields) if !fields.is_empty() => {
            let index = u.choose_index(fields.len())?;
            let key = fields.keys().nth(index).cloned().unwrap_or_default();
            if u.ratio(1, 20)? {
                let value = fields.remove(&key).unwrap_or_default();
                fields.insert(u.arbitrary::<&str>()?.chars().take(40).collect(), value);
                return Ok(());
            }
            fields.get_mut(&key).map_or(Ok(()), |value| spoil(u, value))
        }
        Value::Array(items) if !items.is_empty() => {
            let index = u.choose_index(items.len())?;
            spoil(u, &mut items[index])
        }
        _ => {
            *at = odd(u)?;
            Ok(())
        }
    }
}

fn odd(u: &mut Unstructured<'_>) -> Result<Value> {
    let numbers =
        [0, 1, -1, 2, 100, 1_000_000, i64::MAX, i64::MIN, 4_294_967_295, 1_767_225_600_000, 1_767_225_600_001];
    Ok(match u.int_in_range(0..=6)? {
        0 => Value::Null,
        1 => Value::Bool(u.arbitrary()?),
        2 => Value::Array(Vec::new()),
        3 => Value::String(u.arbitrary::<&str>()?.chars().take(300).collect()),
        4 => Value::from(u64::MAX),
        _ => Value::from(*u.choose(&numbers)?),
    })
}
