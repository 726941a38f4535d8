//! From the SDK's errors to ours: what a failed call means for the caller.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::cloud::error::{CloudError, ErrorKind};

/// The codes with which AWS says "too many calls".
/// Source: the retry classifier of the AWS SDKs.
const THROTTLED: [&str; 14] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
];

/// The codes for credentials that are missing, wrong, expired or not enough.
/// Source: the common errors of the EC2, Auto Scaling and STS API references.
const DENIED: [&str; 21] = [
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "UnauthorizedAccess",
    "Client.UnauthorizedOperation",
    "AuthFailure",
    "Blocked",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "PendingVerification",
    "RequestExpired",
    "RegionDisabledException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// The codes for "not in this state".
/// Source: the errors of the Auto Scaling and Elastic Load Balancing API references.
const CONFLICT: [&str; 12] = [
    "AlreadyExists",
    "DependencyViolation",
    "DuplicateTargetGroupName",
    "IdempotentCallInProgress",
    "IdempotentParameterMismatch",
    "IncorrectState",
    "InstanceRefreshInProgress",
    "PriorityInUse",
    "ResourceContention",
    "ResourceInUse",
    "ResourceInUseException",
    "ScalingActivityInProgress",
];

/// The codes for a fault on their side. Most of them come with a status of 5xx anyway.
/// A page token that is no longer valid means that the listing must begin again.
const UNAVAILABLE: [&str; 11] = [
    "HealthUnavailable",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "InvalidNextToken",
    "InvalidNextTokenException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceLinkedRoleFailure",
    "ServiceUnavailable",
    "Unavailable",
];

/// What follows from an error code, its message and the HTTP status, in this order of
/// trust. Codes that nobody knows are the request's fault below 500 and theirs above.
pub fn classify(code: &str, message: &str, status: Option<u16>) -> ErrorKind {
    let message = message.to_ascii_lowercase();
    if THROTTLED.contains(&code) || status == Some(429) {
        ErrorKind::Throttled
    } else if DENIED.contains(&code) || message.contains("not authorized to") {
        ErrorKind::Denied
    } else if message.contains("pending delete") || CONFLICT.contains(&code) || code.contains("AlreadyExists") {
        ErrorKind::Conflict
    } else if UNAVAILABLE.contains(&code) {
        ErrorKind::Unavailable
    } else if is_quota(code) {
        ErrorKind::Quota
    } else if code.contains("NotFound") {
        ErrorKind::NotFound
    } else if code == "ValidationError" {
        validation(&message)
    } else if status.is_some_and(|status| status >= 500) || code.is_empty() {
        // Without a code it is no answer of AWS: a proxy's page, or one cut off.
        ErrorKind::Unavailable
    } else {
        ErrorKind::Invalid
    }
}

/// Source: `LimitExceeded` (Auto Scaling), `VcpuLimitExceeded` and its like (EC2),
/// `TooManyRules` and its like and `TargetGroupAssociationLimit` (load balancing).
fn is_quota(code: &str) -> bool {
    code.ends_with("LimitExceeded") || code.starts_with("TooMany") || code == "TargetGroupAssociationLimit"
}

/// Auto Scaling says in words, under one code, what other services have codes for.
/// Source: no list exists; these are the words that controllers match.
fn validation(message: &str) -> ErrorKind {
    let has = |text: &str| message.contains(text);
    let no_group = has("name not found") || has("groups not found") || (has("group") && has("not found"));
    let no_template = has("the specified launch template") && has("does not exist");
    if no_group || no_template {
        ErrorKind::NotFound
    } else if has("invalid iam instance profile")
        || has("parameter iaminstanceprofile")
        || has("target groups may not be valid")
    {
        // What was just made takes up to two minutes to be seen everywhere.
        ErrorKind::Conflict
    } else {
        ErrorKind::Invalid
    }
}

/// Our error for a failed call.
pub fn from_sdk<E>(operation: &'static str, resource: &str, error: &SdkError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let (kind, code, message) = match error {
        SdkError::ServiceError(service) => {
            let (code, message) = (service.err().code().unwrap_or(""), service.err().message().unwrap_or(""));
            (classify(code, message, status), code.to_owned(), readable(message))
        }
        SdkError::ConstructionFailure(_) => {
            credentials(error).unwrap_or((ErrorKind::Invalid, String::new(), chain(error)))
        }
        _ => credentials(error).unwrap_or((ErrorKind::Unavailable, String::new(), chain(error))),
    };
    let request = match error {
        SdkError::ServiceError(service) => service.err().meta().request_id(),
        _ => None,
    };
    let message = with_request(message, request.or_else(|| error.request_id()), status.filter(|_| code.is_empty()));
    CloudError { operation, resource: resource.to_owned(), kind, code, message }
}

/// Our error for something that we found out ourselves.
pub fn own(operation: &'static str, resource: &str, kind: ErrorKind, message: impl Into<String>) -> CloudError {
    CloudError { operation, resource: resource.to_owned(), kind, code: String::new(), message: message.into() }
}

/// An answer that lacks what AWS always sends: nothing may be concluded from it.
pub fn unreadable(operation: &'static str, resource: &str, field: &str) -> CloudError {
    own(operation, resource, ErrorKind::Unavailable, format!("the answer has no readable {field}"))
}

/// A name that somebody else has taken.
pub fn not_ours(operation: &'static str, resource: &str, why: impl Into<String>) -> CloudError {
    own(operation, resource, ErrorKind::NotOurs, why)
}

/// What follows if the call failed for want of credentials: it was never sent.
fn credentials(error: &(dyn Error + 'static)) -> Option<(ErrorKind, String, String)> {
    let found = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    if let Some(refused) = causes(found).find_map(|cause| cause.downcast_ref::<AssumeRoleError>()) {
        let (code, message) = (refused.code().unwrap_or(""), refused.message().unwrap_or(""));
        return Some((classify(code, message, None), code.to_owned(), format!("AssumeRole: {}", readable(message))));
    }
    let kind = match found {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => ErrorKind::Denied,
        // A metadata service or a token endpoint that doesn't answer may answer later.
        _ => ErrorKind::Unavailable,
    };
    Some((kind, String::new(), format!("no credentials: {}", chain(found))))
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}

/// An error and its causes in one line. Each is its `Display`, never its `Debug`, which
/// could print a request with its headers.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in causes(error).take(8) {
        let text = cause.to_string();
        if parts.last().is_none_or(|last| !last.ends_with(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// A message without the kilobyte of ciphertext that EC2 adds to a refusal.
fn readable(message: &str) -> String {
    let end = message.find("Encoded authorization failure message").unwrap_or(message.len());
    message[..end].trim_end().to_owned()
}

/// The message with what AWS's support asks for first.
fn with_request(message: String, request: Option<&str>, status: Option<u16>) -> String {
    let status = status.map(|status| format!("HTTP status {status}"));
    let request = request.map(|request| format!("request {request}"));
    let facts: Vec<String> = [status, request].into_iter().flatten().collect();
    match (message.is_empty(), facts.is_empty()) {
        (_, true) => message,
        (true, false) => facts.join(", "),
        (false, false) => format!("{message} ({})", facts.join(", ")),
    }
}
