//! The port on the real AWS SDK. Nothing else in the project names it.
//!
//! - `connect`: credentials, region, retries, and whose account it is.
//! - `limiter`: our own limits on calls; `errors`: what a failed call means.
//! - `reader` and `writer`: the two halves of the port. `templates`, `target_groups`,
//!   `rules` and `groups` hold the creations, each with its way to take over what is
//!   already there; `mend` puts right what others changed; `prerequisites` reads what a
//!   release needs and that isn't ours.
//! - `lease`: the table of leases in DynamoDB.
//! - `convert` and `request`: values to and from the SDK's types, pure; `kept`: what a rule
//!   has that is only sent again.
//!
//! The clients retry by themselves, so an answer that got lost on its way shows up as
//! "already exists" for our own creation. Taking over is therefore not a special case.

mod connect;
mod convert;
mod errors;
mod groups;
mod kept;
mod lease;
mod limiter;
mod mend;
mod prerequisites;
mod reader;
mod request;
mod rules;
mod target_groups;
mod templates;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
mod writer;

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::names::{AccountId, Region};

use super::error::CloudError;

pub use connect::Connection;
pub use lease::LeaseTable;
pub use limiter::{Bucket, Limiter};

/// One account and region of AWS.
pub struct AwsCloud {
    autoscaling: aws_sdk_autoscaling::Client,
    balancing: aws_sdk_elasticloadbalancingv2::Client,
    ec2: aws_sdk_ec2::Client,
    sts: aws_sdk_sts::Client,
    region: Region,
    /// The only account that may be acted on, when it is known.
    account: Option<AccountId>,
    limiter: Arc<Limiter>,
    /// The VPC of each load balancer, by ARN. It never changes.
    vpcs: Mutex<BTreeMap<String, String>>,
}

impl AwsCloud {
    /// The region that all calls go to.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Sends one call when its bucket allows it.
    async fn call<T, E>(
        &self,
        bucket: Bucket,
        operation: &'static str,
        resource: &str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, CloudError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.limiter.take(bucket).await;
        let result = request.await.map_err(|error| errors::from_sdk(operation, resource, &error));
        match &result {
            Ok(_) => tracing::debug!(operation, resource, "called"),
            Err(error) => tracing::debug!(operation, resource, kind = ?error.kind, code = error.code, "call failed"),
        }
        result
    }
}

/// A cache's content. A panic elsewhere leaves at worst fewer entries.
fn locked<T>(cache: &Mutex<T>) -> MutexGuard<'_, T> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}
