//! A bug to be let loose in tests: one service's changes go by the reading before the present
//! one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::Query;
use crate::mutant::Mutant;
use crate::names::ServiceName;
use crate::observed::state::Observation;

/// The last reading of each service.
#[derive(Debug, Default)]
pub(super) struct Readings(Mutex<BTreeMap<ServiceName, Observation>>);

impl Readings {
    pub(super) fn instead_of(&self, query: &Query, fresh: Observation) -> Observation {
        let Some(service) = query.service.clone().filter(|_| Mutant::StaleReading.on()) else { return fresh };
        let earlier = self.0.lock().unwrap().insert(service, fresh.clone());
        earlier.map_or_else(|| fresh.clone(), |earlier| Observation { at: fresh.at, ..earlier })
    }
}
