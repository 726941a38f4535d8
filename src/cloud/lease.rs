//! Where the lease of a scope is kept: one record, written only over what was read.

use async_trait::async_trait;

use crate::time::Span;

use super::CloudError;

/// What stands under a lease's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who wrote it, for people.
    pub holder: String,
    /// Another one with every writing; never used twice.
    pub version: String,
    /// How long its holder may act after a writing. Whoever else wants the lease has to see
    /// the same version for as long.
    pub duration: Span,
}

/// Keeps records. Every answer is of the one true copy, never of one that lags behind.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// What stands under a key.
    async fn read(&self, key: &str) -> Result<Option<Record>, CloudError>;
    /// Writes a record in the place of the version `over`, or of nothing. False: something
    /// else stood there, and still does. After an error nobody knows.
    async fn put(&self, key: &str, over: Option<&str>, record: &Record) -> Result<bool, CloudError>;
    /// Deletes the record if it still is this version.
    async fn remove(&self, key: &str, version: &str) -> Result<(), CloudError>;
}
