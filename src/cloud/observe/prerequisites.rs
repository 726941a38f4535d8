//! What releases need and nobody has made for them: read in one batch for each kind, whatever
//! the number of services. What can't be read is a value, too: it makes nothing incomplete.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use crate::cloud::{CloudError, CloudReader};
use crate::mutant::Mutant;
use crate::names::ServiceName;
use crate::observed::prerequisites::{Found, Kind, Needed, Prerequisites, follow_up};
use crate::observed::state::{Observation, Wants};

/// Asks for all that is wanted, then for what follows from the first answers.
pub async fn look_up(cloud: &dyn CloudReader, observation: &mut Observation, wants: &BTreeMap<ServiceName, Wants>) {
    let first = wants.iter().map(|(service, wants)| (service, wants.prerequisites.clone()));
    let first: BTreeMap<&ServiceName, BTreeSet<Needed>> = first.filter(|(_, needed)| !needed.is_empty()).collect();
    answer(cloud, observation, &first).await;
    let second = first.keys().filter_map(|service| {
        let needed = follow_up(&observation.services.get(*service)?.prerequisites);
        (!needed.is_empty()).then_some((*service, needed))
    });
    let second: BTreeMap<&ServiceName, BTreeSet<Needed>> = second.collect();
    answer(cloud, observation, &second).await;
}

type Batch = Result<BTreeMap<String, Found>, CloudError>;

/// One call for each kind; each service gets its own part of the answers.
async fn answer(
    cloud: &dyn CloudReader,
    observation: &mut Observation,
    asked: &BTreeMap<&ServiceName, BTreeSet<Needed>>,
) {
    let mut batches: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
    for needed in asked.values().flatten() {
        batches.entry(needed.kind).or_default().insert(needed.id.clone());
    }
    let calls = batches.iter().map(|(kind, ids)| async move { (*kind, cloud.prerequisites(*kind, ids).await) });
    let batches: BTreeMap<Kind, Batch> = join_all(calls).await.into_iter().collect();
    for (service, needed) in asked {
        let Some(state) = observation.services.get_mut(*service) else { continue };
        let answers = needed.iter().map(|needed| (needed.clone(), of(&batches, needed)));
        state.prerequisites.extend(answers.collect::<Prerequisites>());
    }
}

/// What a batch says of one thing. An answer that lacks it says nothing of it.
fn of(batches: &BTreeMap<Kind, Batch>, needed: &Needed) -> Result<Found, String> {
    match batches.get(&needed.kind) {
        Some(Ok(found)) => match found.get(&needed.id) {
            Some(found) => Ok(found.clone()),
            None if Mutant::GapIsAbsence.on() => Ok(Found::Missing("it is not in the answer".to_owned())),
            None => Err(format!("it is not in the answer of {}", needed.kind.operation())),
        },
        Some(Err(error)) if Mutant::GapIsAbsence.on() => Ok(Found::Missing(error.to_string())),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it was not asked for".to_owned()),
    }
}
