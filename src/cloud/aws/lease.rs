//! The lease's table in DynamoDB: one item a key, written on condition that it still has the
//! version that was read.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::cloud::error::CloudError;
use crate::cloud::lease::{LeaseStore, Record};
use crate::time::Span;

use super::Connection;
use super::errors::{from_sdk, unreadable};

/// The attributes of an item; the first is the table's partition key.
const KEY: &str = "lease";
const HOLDER: &str = "holder";
const VERSION: &str = "version";
const DURATION: &str = "duration_ms";

/// Another version stands there, or nothing does.
const OTHER_STANDS: &str = "ConditionalCheckFailedException";

/// A call is tried twice: whoever keeps the lease asks again soon, with what it knows then.
const ATTEMPTS: u32 = 2;

/// A table of leases.
pub struct LeaseTable {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl LeaseTable {
    /// Makes the client, with the credentials and the region of the scope. Nothing is sent.
    ///
    /// # Errors
    /// The configuration can't be read.
    pub async fn connect(settings: &Connection, table: &str) -> Result<Self, CloudError> {
        Ok(Self::from_config(&super::connect::config(settings).await?, table))
    }

    /// Makes the client from a configuration of the SDK that is already loaded.
    pub fn from_config(config: &SdkConfig, table: &str) -> Self {
        let config = aws_sdk_dynamodb::config::Builder::from(config)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        Self { client: aws_sdk_dynamodb::Client::from_conf(config.build()), table: table.to_owned() }
    }

    async fn send<T, E>(
        &self,
        operation: &'static str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, CloudError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let result = request.await.map_err(|error| from_sdk(operation, &format!("table {}", self.table), &error));
        tracing::trace!(operation, table = self.table, "called");
        result
    }
}

#[async_trait]
impl LeaseStore for LeaseTable {
    async fn read(&self, key: &str) -> Result<Option<Record>, CloudError> {
        let call = self.client.get_item().table_name(&self.table).key(KEY, text(key)).consistent_read(true);
        let answer = self.send("GetItem", call.send()).await?;
        let Some(item) = answer.item().filter(|item| !item.is_empty()) else { return Ok(None) };
        // Without all three nobody can tell when it may be taken: somebody must look.
        record(item).map(Some).ok_or_else(|| unreadable("GetItem", &format!("lease {key}"), "version and duration"))
    }

    async fn put(&self, key: &str, over: Option<&str>, record: &Record) -> Result<bool, CloudError> {
        let call = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(KEY, text(key))
            .item(HOLDER, text(&record.holder))
            .item(VERSION, text(&record.version))
            .item(DURATION, AttributeValue::N(record.duration.as_millis().to_string()));
        let call = match over {
            None => call.condition_expression("attribute_not_exists(#key)").expression_attribute_names("#key", KEY),
            Some(version) => call
                .condition_expression("#version = :version")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":version", text(version)),
        };
        met(self.send("PutItem", call.send()).await)
    }

    async fn remove(&self, key: &str, version: &str) -> Result<(), CloudError> {
        let call = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(KEY, text(key))
            .condition_expression("#version = :version")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":version", text(version));
        met(self.send("DeleteItem", call.send()).await).map(drop)
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn record(item: &HashMap<String, AttributeValue>) -> Option<Record> {
    let text = |name: &str| item.get(name)?.as_s().ok().filter(|text| !text.is_empty()).cloned();
    let millis = item.get(DURATION)?.as_n().ok()?.parse().ok()?;
    Some(Record { holder: text(HOLDER)?, version: text(VERSION)?, duration: Span::from_millis(millis) })
}

/// Whether the condition of a writing was met.
fn met<T>(result: Result<T, CloudError>) -> Result<bool, CloudError> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.code == OTHER_STANDS => Ok(false),
        Err(error) => Err(error),
    }
}
