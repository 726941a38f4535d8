//! The lease table of the simulated cloud, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::cloud::CloudError;
use crate::cloud::lease::{LeaseStore, Record};

/// A table of leases. Clones share one table.
#[derive(Debug, Clone, Default)]
pub struct SimLeases(Arc<Mutex<BTreeMap<String, Record>>>);

impl SimLeases {
    /// A test that panicked leaves a table that others may still look at.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that stands in it.
    pub fn records(&self) -> BTreeMap<String, Record> {
        self.lock().clone()
    }
}

#[async_trait]
impl LeaseStore for SimLeases {
    async fn read(&self, key: &str) -> Result<Option<Record>, CloudError> {
        Ok(self.lock().get(key).cloned())
    }

    async fn put(&self, key: &str, over: Option<&str>, record: &Record) -> Result<bool, CloudError> {
        let mut records = self.lock();
        let stands = records.get(key).map(|record| record.version.as_str());
        if stands != over {
            return Ok(false);
        }
        records.insert(key.to_owned(), record.clone());
        Ok(true)
    }

    async fn remove(&self, key: &str, version: &str) -> Result<(), CloudError> {
        let mut records = self.lock();
        if records.get(key).is_some_and(|record| record.version == version) {
            records.remove(key);
        }
        Ok(())
    }
}
