//! Clients with the user's credentials, the way every AWS tool takes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;

use crate::cloud::Caller;
use crate::cloud::error::{CloudError, ErrorKind};
use crate::names::{AccountId, Region};

use super::errors::{from_sdk, own, unreadable};
use super::{AwsCloud, Limiter};

/// What AWS sees in the user agent and in the sessions of an assumed role.
const APP: &str = "ionroller";

/// How often a call is tried before its error is ours. The SDK waits in between, at first
/// half a second, then twice as long each time.
const ATTEMPTS: u32 = 5;
const FIRST_BACKOFF: Duration = Duration::from_millis(500);

/// The SDK has no limit on the time of a call by itself.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Where to connect to, and as whom. Profile, credentials and endpoint come from the
/// environment and the shared files, as for every AWS tool.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// The region; none: the environment's.
    pub region: Option<Region>,
    /// A role to assume first.
    pub role_arn: Option<String>,
    /// The external id that the role asks for.
    pub external_id: Option<String>,
    /// The account that it must be; none: any.
    pub account: Option<AccountId>,
    /// The limits on calls. Connections to one account and region should share them.
    pub limiter: Arc<Limiter>,
}

impl AwsCloud {
    /// Makes the clients. Nothing is sent yet, so that wrong credentials show at the first
    /// call: make that [`AwsCloud::check_account`].
    ///
    /// # Errors
    /// No region is known.
    pub async fn connect(settings: &Connection) -> Result<Self, CloudError> {
        Self::from_config(&config(settings).await?, settings)
    }

    /// Makes the clients from a configuration of the SDK that is already loaded. Of the
    /// settings, only the account and the limits count.
    ///
    /// # Errors
    /// The configuration has no region.
    pub fn from_config(config: &SdkConfig, settings: &Connection) -> Result<Self, CloudError> {
        let region = config.region().map(|region| Region::parse(region.as_ref()));
        let Some(Ok(region)) = region else {
            return Err(own("connect", "AWS", ErrorKind::Invalid, "no region; set `region` or AWS_REGION"));
        };
        Ok(Self {
            autoscaling: aws_sdk_autoscaling::Client::new(config),
            balancing: aws_sdk_elasticloadbalancingv2::Client::new(config),
            ec2: aws_sdk_ec2::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
            region,
            account: settings.account.clone(),
            limiter: settings.limiter.clone(),
            vpcs: Mutex::new(BTreeMap::new()),
        })
    }

    /// The region that the environment, the profile or the machine names.
    pub async fn usual_region() -> Option<Region> {
        let found = aws_config::default_provider::region::DefaultRegionChain::builder().build().region().await?;
        Region::parse(found.as_ref()).ok()
    }

    /// Asks AWS whose credentials these are.
    ///
    /// # Errors
    /// The call failed, or the account is another than the connection's.
    pub async fn check_account(&self) -> Result<Caller, CloudError> {
        let caller = self.identity().await?;
        match &self.account {
            Some(wanted) if *wanted != caller.account => Err(own(
                "GetCallerIdentity",
                &format!("account {wanted}"),
                ErrorKind::Denied,
                format!("the credentials are of account {}, the configuration is for {wanted}", caller.account),
            )),
            _ => Ok(caller),
        }
    }

    pub(super) async fn identity(&self) -> Result<Caller, CloudError> {
        const OPERATION: &str = "GetCallerIdentity";
        let answer = self.sts.get_caller_identity().send().await;
        let answer = answer.map_err(|error| from_sdk(OPERATION, "", &error))?;
        let account = answer.account().and_then(|account| AccountId::parse(account).ok());
        let account = account.ok_or_else(|| unreadable(OPERATION, "", "account"))?;
        Ok(Caller { account, name: caller_name(answer.arn().unwrap_or_default()) })
    }
}

/// `alice` of `arn:aws:iam::123456789012:user/alice`, `session` of
/// `arn:aws:sts::123456789012:assumed-role/role/session`, `root` of `…:root`.
pub(super) fn caller_name(arn: &str) -> String {
    arn.rsplit(['/', ':']).next().unwrap_or_default().to_owned()
}

/// The configuration of the SDK for a connection, with the credentials of its role.
pub(super) async fn config(settings: &Connection) -> Result<SdkConfig, CloudError> {
    let base = base(settings.region.as_ref()).await?;
    Ok(match &settings.role_arn {
        Some(role) => assume(base, role, settings.external_id.as_deref()).await,
        None => base,
    })
}

async fn base(region: Option<&Region>) -> Result<SdkConfig, CloudError> {
    let app = AppName::new(APP).map_err(|error| own("connect", "AWS", ErrorKind::Invalid, error.to_string()))?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .app_name(app)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_BACKOFF))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(CALL_TIMEOUT)
                .build(),
        );
    if let Some(region) = region {
        loader = loader.region(aws_config::Region::new(region.to_string()));
    }
    Ok(loader.load().await)
}

/// The same configuration with the credentials of a role, renewed as they run out.
pub(super) async fn assume(base: SdkConfig, role: &str, external_id: Option<&str>) -> SdkConfig {
    let mut provider = AssumeRoleProvider::builder(role).session_name(APP).configure(&base);
    if let Some(id) = external_id {
        provider = provider.external_id(id);
    }
    let provider = provider.build().await;
    base.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}
