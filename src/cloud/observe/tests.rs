//! Readings of a simulated world, and what they cost.

use std::collections::{BTreeMap, BTreeSet};

use crate::cloud::sim::SimCloud;
use crate::cloud::sim::fixture::{Release, cloud, run, scope, service};
use crate::names::ServiceName;
use crate::observed::state::{Observation, Place, Slot};
use crate::time::Span;

use super::{Query, TagCache, Wants, complete, observe};

fn query(places: impl IntoIterator<Item = (ServiceName, Place)>) -> Query {
    Query { scope: scope(), service: None, places: places.into_iter().collect(), listeners: BTreeSet::new() }
}

fn place_of(release: &Release) -> (ServiceName, Place) {
    (release.identity.service.clone(), release.place.clone())
}

fn read(cloud: &SimCloud, cache: &TagCache, query: &Query) -> Observation {
    run(observe(cloud, cache, query)).unwrap()
}

#[test]
fn a_running_service_is_read_whole() {
    let cloud = cloud(1);
    let release = Release::at_120("checkout", "1.0.0");
    run(release.start(&cloud, 2));
    cloud.advance(Span::from_mins(2));
    let mut seen = read(&cloud, &TagCache::default(), &query([place_of(&release)]));
    let name = service("checkout");
    let wants = Wants {
        health: vec![release.name.clone()],
        activities: vec![release.name.clone()],
        details: vec![release.name.clone()],
    };
    run(complete(&cloud, &mut seen, &BTreeMap::from([(name.clone(), wants)])));
    let state = &seen.services[&name];
    assert_eq!((state.incomplete.as_ref(), state.slot.as_ref()), (None, Some(&Slot::Ours)));
    let group = &state.groups[&release.name];
    assert_eq!(group.weight, Some(100));
    assert_eq!(group.health(true).unwrap().healthy, 2);
    assert_eq!(group.details.as_ref().unwrap().deregistration_delay, Some(Span::from_secs(30)));
    assert_eq!(group.activities.as_ref().unwrap().len(), 2);
    assert!(group.template.is_some() && group.step().is_some());
    assert_eq!(seen.unreadable, Vec::<String>::new());
}
