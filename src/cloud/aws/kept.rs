//! What a rule has besides conditions and weights: read as it is, and sent again as it was.
//!
//! Authentication, checks of tokens and transforms are JSON texts between the two, which
//! nobody else reads. What this program does not know of an action it could not send again,
//! so a rule with such an action is none that it changes.

use aws_sdk_elasticloadbalancingv2::types as elb;
use serde_json::{Map, Value, json};

use crate::observed::resources::{Kept, Opaque};

use super::request::number;

/// An action before the forward; none for one that can't be sent again.
pub fn opaque_action(action: &elb::Action) -> Option<Opaque> {
    let kind = action.r#type()?;
    let value = match kind {
        elb::ActionTypeEnum::AuthenticateOidc => oidc(action.authenticate_oidc_config()?),
        elb::ActionTypeEnum::AuthenticateCognito => cognito(action.authenticate_cognito_config()?),
        elb::ActionTypeEnum::JwtValidation => jwt(action.jwt_validation_config()?),
        _ => return None,
    };
    Some(Opaque { kind: kind.as_str().to_owned(), text: value.to_string() })
}

fn oidc(config: &elb::AuthenticateOidcActionConfig) -> Value {
    json!({
        "issuer": config.issuer(),
        "authorization_endpoint": config.authorization_endpoint(),
        "token_endpoint": config.token_endpoint(),
        "user_info_endpoint": config.user_info_endpoint(),
        "client_id": config.client_id(),
        "session_cookie_name": config.session_cookie_name(),
        "scope": config.scope(),
        "session_timeout": config.session_timeout(),
        "params": sorted(config.authentication_request_extra_params()),
        "unauthenticated": config.on_unauthenticated_request().map(|word| word.as_str()),
    })
}

fn cognito(config: &elb::AuthenticateCognitoActionConfig) -> Value {
    json!({
        "user_pool_arn": config.user_pool_arn(),
        "user_pool_client_id": config.user_pool_client_id(),
        "user_pool_domain": config.user_pool_domain(),
        "session_cookie_name": config.session_cookie_name(),
        "scope": config.scope(),
        "session_timeout": config.session_timeout(),
        "params": sorted(config.authentication_request_extra_params()),
        "unauthenticated": config.on_unauthenticated_request().map(|word| word.as_str()),
    })
}

fn jwt(config: &elb::JwtValidationActionConfig) -> Value {
    let claim = |claim: &elb::JwtValidationActionAdditionalClaim| {
        json!({
            "format": claim.format().map(|word| word.as_str()),
            "name": claim.name(),
            "values": claim.values(),
        })
    };
    json!({
        "jwks_endpoint": config.jwks_endpoint(),
        "issuer": config.issuer(),
        "claims": config.additional_claims().iter().map(claim).collect::<Vec<_>>(),
    })
}

/// A map without an order, in one.
fn sorted(params: Option<&std::collections::HashMap<String, String>>) -> std::collections::BTreeMap<&str, &str> {
    params.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// A transform; none for one that can't be sent again.
pub fn opaque_transform(transform: &elb::RuleTransform) -> Option<Opaque> {
    let kind = transform.r#type()?;
    let rewrites = match kind {
        elb::TransformTypeEnum::HostHeaderRewrite => transform.host_header_rewrite_config()?.rewrites(),
        elb::TransformTypeEnum::UrlRewrite => transform.url_rewrite_config()?.rewrites(),
        _ => return None,
    };
    let rewrite = |rewrite: &elb::RewriteConfig| json!({"regex": rewrite.regex(), "replace": rewrite.replace()});
    let text = json!(rewrites.iter().map(rewrite).collect::<Vec<_>>()).to_string();
    Some(Opaque { kind: kind.as_str().to_owned(), text })
}

/// The actions before a forward, in their order; none where one is in no form of ours.
pub fn actions(kept: &Kept) -> Option<Vec<elb::Action>> {
    let ordered = (1..).zip(&kept.before);
    ordered.map(|(order, opaque)| Some(action(opaque)?.order(order).build())).collect()
}

fn action(opaque: &Opaque) -> Option<elb::builders::ActionBuilder> {
    let value: Map<String, Value> = serde_json::from_str(&opaque.text).ok()?;
    let kind = elb::ActionTypeEnum::try_parse(&opaque.kind).ok()?;
    let action = elb::Action::builder().r#type(kind.clone());
    Some(match kind {
        elb::ActionTypeEnum::AuthenticateOidc => action.authenticate_oidc_config(
            elb::AuthenticateOidcActionConfig::builder()
                .set_issuer(text(&value, "issuer"))
                .set_authorization_endpoint(text(&value, "authorization_endpoint"))
                .set_token_endpoint(text(&value, "token_endpoint"))
                .set_user_info_endpoint(text(&value, "user_info_endpoint"))
                .set_client_id(text(&value, "client_id"))
                // AWS never shows the secret; this tells it to keep the one that it has.
                .use_existing_client_secret(true)
                .set_session_cookie_name(text(&value, "session_cookie_name"))
                .set_scope(text(&value, "scope"))
                .set_session_timeout(value.get("session_timeout").and_then(Value::as_i64))
                .set_authentication_request_extra_params(params(&value))
                .set_on_unauthenticated_request(text(&value, "unauthenticated").map(|word| word.as_str().into()))
                .build(),
        ),
        elb::ActionTypeEnum::AuthenticateCognito => action.authenticate_cognito_config(
            elb::AuthenticateCognitoActionConfig::builder()
                .set_user_pool_arn(text(&value, "user_pool_arn"))
                .set_user_pool_client_id(text(&value, "user_pool_client_id"))
                .set_user_pool_domain(text(&value, "user_pool_domain"))
                .set_session_cookie_name(text(&value, "session_cookie_name"))
                .set_scope(text(&value, "scope"))
                .set_session_timeout(value.get("session_timeout").and_then(Value::as_i64))
                .set_authentication_request_extra_params(params(&value))
                .set_on_unauthenticated_request(text(&value, "unauthenticated").map(|word| word.as_str().into()))
                .build(),
        ),
        elb::ActionTypeEnum::JwtValidation => {
            let claims = value.get("claims").and_then(Value::as_array).into_iter().flatten().map(claim);
            action.jwt_validation_config(
                elb::JwtValidationActionConfig::builder()
                    .set_jwks_endpoint(text(&value, "jwks_endpoint"))
                    .set_issuer(text(&value, "issuer"))
                    .set_additional_claims(some(claims.collect::<Option<Vec<_>>>()?))
                    .build(),
            )
        }
        _ => return None,
    })
}

fn claim(value: &Value) -> Option<elb::JwtValidationActionAdditionalClaim> {
    let value = value.as_object()?;
    let values = value.get("values").and_then(Value::as_array).into_iter().flatten();
    let claim = elb::JwtValidationActionAdditionalClaim::builder()
        .set_format(text(value, "format").map(|word| word.as_str().into()))
        .set_name(text(value, "name"))
        .set_values(some(values.filter_map(|value| value.as_str().map(str::to_owned)).collect()));
    Some(claim.build())
}

/// The transforms of a rule that takes another's place.
pub fn transforms(kept: &Kept) -> Option<Vec<elb::RuleTransform>> {
    kept.transforms.iter().map(transform).collect()
}

fn transform(opaque: &Opaque) -> Option<elb::RuleTransform> {
    let rewrites: Vec<Map<String, Value>> = serde_json::from_str(&opaque.text).ok()?;
    let rewrite = |value: &Map<String, Value>| {
        let rewrite = elb::RewriteConfig::builder().set_regex(text(value, "regex"));
        rewrite.set_replace(text(value, "replace")).build()
    };
    let rewrites: Vec<_> = rewrites.iter().map(rewrite).collect();
    let kind = elb::TransformTypeEnum::try_parse(&opaque.kind).ok()?;
    let transform = elb::RuleTransform::builder().r#type(kind.clone());
    let transform = match kind {
        elb::TransformTypeEnum::HostHeaderRewrite => transform
            .host_header_rewrite_config(elb::HostHeaderRewriteConfig::builder().set_rewrites(Some(rewrites)).build()),
        elb::TransformTypeEnum::UrlRewrite => {
            transform.url_rewrite_config(elb::UrlRewriteConfig::builder().set_rewrites(Some(rewrites)).build())
        }
        _ => return None,
    };
    Some(transform.build())
}

/// The stickiness of a forward between its target groups.
pub fn stickiness(kept: &Kept) -> Option<elb::TargetGroupStickinessConfig> {
    let secs = kept.stickiness_secs?;
    Some(elb::TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(number(secs)).build())
}

fn text(value: &Map<String, Value>, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn params(value: &Map<String, Value>) -> Option<std::collections::HashMap<String, String>> {
    let params = value.get("params").and_then(Value::as_object)?;
    let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    let params: std::collections::HashMap<_, _> = params.iter().filter_map(pair).collect();
    (!params.is_empty()).then_some(params)
}

fn some<T>(all: Vec<T>) -> Option<Vec<T>> {
    (!all.is_empty()).then_some(all)
}
