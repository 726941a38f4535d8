//! Conversions and errors. What needs a server is among the integration tests.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_autoscaling::types as asg;
use aws_sdk_elasticloadbalancingv2::types as elb;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use crate::cloud::error::ErrorKind;
use crate::names::{GroupName, ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::marks::{DIGEST, Mark, SCOPE, SERVICE};
use crate::observed::resources::{
    AmiSpec, Condition, Conditions, Lifecycle, Policy, RuleAction, Tags, TargetHealth, TemplateSpec,
};

use super::errors::{classify, from_sdk};
use super::writer::{same_owner, same_release};
use super::{connect, convert, kept, request};

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/50dc/f2f7";

fn target_group(name: &str) -> TargetGroupArn {
    TargetGroupArn::parse(&format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/1")).unwrap()
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn codes_say_what_follows() {
    use ErrorKind::{Conflict, Denied, Invalid, NotFound, Quota, Throttled, Unavailable};
    let check = |kind: ErrorKind, codes: &[&str]| {
        for code in codes {
            assert_eq!(classify(code, "", Some(400)), kind, "{code}");
        }
    };
    check(Throttled, &["Throttling", "ThrottlingException", "RequestLimitExceeded", "PriorRequestNotComplete"]);
    check(Denied, &["AccessDenied", "UnauthorizedOperation", "ExpiredToken", "InvalidClientTokenId", "AuthFailure"]);
    check(Conflict, &["ResourceInUse", "ScalingActivityInProgress", "ResourceContention", "PriorityInUse"]);
    check(Conflict, &["InvalidLaunchTemplateName.AlreadyExistsException", "IdempotentParameterMismatch"]);
    check(
        Quota,
        &["LimitExceeded", "TooManyRules", "TooManyTargetGroups", "VcpuLimitExceeded", "TargetGroupAssociationLimit"],
    );
    check(NotFound, &["TargetGroupNotFound", "RuleNotFound", "ListenerNotFound", "InvalidLaunchTemplateId.NotFound"]);
    check(NotFound, &["InvalidLaunchTemplateName.NotFoundException", "LoadBalancerNotFound"]);
    check(Invalid, &["ValidationError", "InvalidParameterValue", "OperationNotPermitted", "InvalidAMIID.Malformed"]);
    check(Unavailable, &["HealthUnavailable", "InternalFailure", "InvalidNextToken", ""]);
    assert_eq!(classify("NobodyKnows", "", Some(503)), Unavailable);
    assert_eq!(classify("NobodyKnows", "", Some(400)), Invalid);
    assert_eq!(classify("", "", Some(429)), Throttled);
}

/// What AWS says shortly after a change elsewhere, although it is no refusal of this call:
/// each is tried again, for as long as it takes.
#[test]
fn what_ends_by_itself_is_tried_again() {
    let eventual = [
        ("ValidationError", "Invalid IAM Instance Profile name", 400),
        (
            "ValidationError",
            "You must use a valid fully-formed launch template. Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
            400,
        ),
        ("ValidationError", "One or more target groups not found. Validating load balancer configuration failed.", 400),
        ("ValidationError", "Provided Target Groups may not be valid. Please ensure they exist and try again.", 400),
        (
            "ValidationError",
            "You must use a valid fully-formed launch template. The specified launch template, with template name x, does not exist.",
            400,
        ),
        ("ValidationError", "AutoScalingGroup name not found - null", 400),
        (
            "ValidationError",
            "AutoScalingGroup by this name already exists - A group with the name x already exists and is pending delete",
            400,
        ),
        ("ValidationError", "AutoScalingGroup 'x' may not be modified while it is pending delete.", 400),
        ("AlreadyExists", "A group with the name x already exists and is pending delete", 400),
        ("ListenerNotFound", "One or more listeners not found", 400),
        ("RuleNotFound", "One or more rules not found", 400),
        ("TargetGroupNotFound", "One or more target groups not found", 400),
        ("InvalidLaunchTemplateId.NotFound", "The specified launch template does not exist", 400),
        ("InvalidLaunchTemplateName.NotFoundException", "The specified launch template does not exist", 400),
        ("ResourceInUse", "Target group 'x' is currently in use by a listener or a rule", 400),
        ("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances still in the group.", 400),
        ("ScalingActivityInProgress", "there are scaling activities in progress for that group", 400),
        ("ResourceContention", "You already have a pending update to an Amazon EC2 Auto Scaling resource", 500),
        ("ServiceLinkedRoleFailure", "The service-linked role is not yet ready for use.", 500),
        ("IdempotentCallInProgress", "", 500),
        (
            "PriorRequestNotComplete",
            "The request was rejected because a previous request is still being processed",
            429,
        ),
        (
            "HealthUnavailable",
            "The health of the specified targets could not be retrieved due to an internal error.",
            500,
        ),
        ("InvalidNextToken", "", 400),
        ("Throttling", "Rate exceeded", 400),
        ("RequestLimitExceeded", "Request limit exceeded.", 503),
        ("InternalError", "An internal error has occurred", 500),
        ("Unavailable", "The server is overloaded and can't handle the request.", 503),
    ];
    for (code, message, status) in eventual {
        let kind = classify(code, message, Some(status));
        assert!(!kind.needs_somebody(), "{code}: {message}: {kind:?}");
    }
}

/// What no waiting mends is told at once.
#[test]
fn what_does_not_end_by_itself_is_told() {
    let terminal = [
        (
            "ValidationError",
            "You must use a valid fully-formed launch template. The image id '[ami-1]' does not exist",
            400,
        ),
        (
            "ValidationError",
            "You must use a valid fully-formed launch template. The security group 'sg-1' does not exist in VPC 'vpc-1'",
            400,
        ),
        (
            "ValidationError",
            "You must use a valid fully-formed launch template. The key pair 'team' does not exist",
            400,
        ),
        (
            "ValidationError",
            "You must use a valid fully-formed launch template. The requested configuration is currently not supported.",
            400,
        ),
        ("ValidationError", "The subnet ID 'subnet-1' does not exist", 400),
        ("ValidationError", "Max bound, 1, must be greater than or equal to min bound, 2", 400),
        ("ValidationError", "You are not authorized to perform this operation.", 400),
        ("InvalidUserData.Malformed", "User data is limited to 16384 bytes", 400),
        ("InvalidConfigurationRequest", "This target group appears behind a rule with group stickiness disabled", 400),
        ("InvalidLoadBalancerAction", "You must enable group stickiness on a rule", 400),
        ("IncompatibleProtocols", "", 400),
        ("UnsupportedProtocol", "", 400),
        ("OperationNotPermitted", "Default rule 'x' cannot be modified", 400),
        ("LimitExceeded", "You have already reached a limit for your Amazon EC2 Auto Scaling resources", 400),
        ("TooManyRules", "", 400),
        ("TooManyTargetGroups", "", 400),
        ("TooManyUniqueTargetGroupsPerLoadBalancer", "", 400),
        ("TooManyRegistrationsForTargetId", "", 400),
        ("TargetGroupAssociationLimit", "", 400),
        ("VcpuLimitExceeded", "", 400),
        ("UnauthorizedOperation", "You are not authorized to perform this operation.", 403),
        ("AccessDenied", "User: x is not authorized to perform: sts:AssumeRole on resource: y", 403),
        ("ExpiredToken", "The security token included in the request is expired", 400),
        ("OptInRequired", "", 403),
        ("InvalidParameterValue", "", 400),
        ("MissingParameter", "", 400),
    ];
    for (code, message, status) in terminal {
        let kind = classify(code, message, Some(status));
        assert!(kind.needs_somebody(), "{code}: {message}: {kind:?}");
    }
}

#[test]
fn one_code_of_auto_scaling_says_the_rest_in_words() {
    let kind = |message: &str| classify("ValidationError", message, Some(400));
    assert_eq!(kind("AutoScalingGroup name not found - no such group: x"), ErrorKind::NotFound);
    assert_eq!(kind("Group x not found"), ErrorKind::NotFound);
    assert_eq!(
        kind("One or more target groups not found. Validating load balancer configuration failed."),
        ErrorKind::NotFound
    );
    assert_eq!(kind("AutoScalingGroup x may not be modified while it is pending delete"), ErrorKind::Conflict);
    assert_eq!(
        kind(
            "You must use a valid fully-formed launch template. Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
        ),
        ErrorKind::Conflict
    );
    assert_eq!(
        kind("Provided Target Groups may not be valid. Please ensure they exist and try again."),
        ErrorKind::Conflict
    );
    assert_eq!(
        kind("You must use a valid fully-formed launch template. The image id '[ami-1]' does not exist"),
        ErrorKind::Invalid
    );
    assert_eq!(
        kind(
            "You must use a valid fully-formed launch template. The specified launch template, with template name x, does not exist."
        ),
        ErrorKind::NotFound
    );
    assert_eq!(kind("You are not authorized to use launch template: x"), ErrorKind::Denied);
    assert_eq!(kind("Max bound, 1, must be greater than or equal to min bound, 2"), ErrorKind::Invalid);
}

fn response(status: u16) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty())
}

#[test]
fn an_error_keeps_code_message_and_request() {
    let answer = ErrorMetadata::builder().code("RuleNotFound").message("gone").custom("aws_request_id", "4711").build();
    let error = from_sdk("ModifyRule", "rule 1", &SdkError::service_error(answer, response(400)));
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(error.to_string(), "ModifyRule of rule 1 failed: RuleNotFound: gone (request 4711)");
}

#[test]
fn a_refusal_of_ec2_stays_readable() {
    let message = "You are not authorized to perform this operation. Encoded authorization failure message: aGVsbG8";
    let answer = ErrorMetadata::builder().code("UnauthorizedOperation").message(message).build();
    let error = from_sdk("CreateTags", "lt-1", &SdkError::service_error(answer, response(403)));
    let says =
        "CreateTags of lt-1 is not allowed: UnauthorizedOperation: You are not authorized to perform this operation.";
    assert_eq!(error.to_string(), says);
}

#[test]
fn what_is_no_answer_is_unavailable() {
    type Error = SdkError<ErrorMetadata, HttpResponse>;
    let page = Error::response_error("unexpected root element `html`", response(502));
    let error = from_sdk("DescribeRules", "", &page);
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.ends_with("`html` (HTTP status 502)"), "{}", error.message);
    let unreachable = Error::dispatch_failure(ConnectorError::io("connection refused".into()));
    assert_eq!(from_sdk("DescribeRules", "", &unreachable).kind, ErrorKind::Unavailable);
    assert_eq!(from_sdk("DescribeRules", "", &Error::timeout_error("15 s")).kind, ErrorKind::Unavailable);
    assert_eq!(from_sdk("DescribeRules", "", &Error::construction_failure("no name")).kind, ErrorKind::Invalid);
}

#[test]
fn missing_credentials_are_for_somebody_to_set() {
    type Error = SdkError<ErrorMetadata, HttpResponse>;
    let none = CredentialsError::not_loaded("no providers in chain provided credentials");
    let error = from_sdk("DescribeRules", "", &Error::dispatch_failure(ConnectorError::other(none.into(), None)));
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.starts_with("no credentials: "), "{}", error.message);
    let late = CredentialsError::provider_timed_out(std::time::Duration::from_secs(5));
    let error = from_sdk("DescribeRules", "", &Error::dispatch_failure(ConnectorError::other(late.into(), None)));
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[test]
fn machines_count_only_in_the_one_state() {
    let states = asg::LifecycleState::values();
    let of = |wanted| states.iter().copied().filter(move |word| convert::lifecycle(word) == wanted).collect::<Vec<_>>();
    assert_eq!(of(Lifecycle::InService), ["InService"]);
    assert_eq!(
        of(Lifecycle::Leaving),
        [
            "Detached",
            "Detaching",
            "EnteringStandby",
            "Standby",
            "Terminated",
            "Terminating",
            "Terminating:Proceed",
            "Terminating:Retained",
            "Terminating:Wait"
        ]
    );
    assert_eq!(convert::lifecycle("SomethingNew"), Lifecycle::Pending);
}

fn forward(groups: &[(&str, Option<i32>)]) -> elb::ForwardActionConfig {
    let tuple = |(name, weight): &(&str, Option<i32>)| {
        elb::TargetGroupTuple::builder().target_group_arn(target_group(name).as_str()).set_weight(*weight).build()
    };
    elb::ForwardActionConfig::builder().set_target_groups(Some(groups.iter().map(tuple).collect())).build()
}

#[test]
fn a_plain_forward_reads_the_same_in_each_of_its_forms() {
    let action = || elb::Action::builder().r#type(elb::ActionTypeEnum::Forward);
    let blue = target_group("blue");
    let one = RuleAction::Forward(vec![(blue.clone(), 1)]);
    assert_eq!(convert::action(&[action().target_group_arn(blue.as_str()).build()]), one);
    assert_eq!(convert::action(&[action().forward_config(forward(&[("blue", None)])).build()]), one);
    let both = action().target_group_arn(blue.as_str()).forward_config(forward(&[("blue", Some(100))])).build();
    assert_eq!(convert::action(&[both]), RuleAction::Forward(vec![(blue.clone(), 100)]));
    let two = action().forward_config(forward(&[("green", Some(0)), ("blue", Some(100))])).build();
    assert_eq!(convert::action(&[two]), RuleAction::Forward(vec![(target_group("green"), 0), (blue, 100)]));
}

#[test]
fn what_is_not_a_plain_forward_says_what_it_is() {
    let action = |kind: elb::ActionTypeEnum| elb::Action::builder().r#type(kind);
    let says = |actions: &[elb::Action]| match convert::action(actions) {
        RuleAction::Other(text) => text,
        RuleAction::Forward(_) | RuleAction::ForwardAmong(..) => "a forward".to_owned(),
    };
    use elb::ActionTypeEnum::{AuthenticateOidc, FixedResponse, Forward, Redirect};
    assert_eq!(says(&[]), "no action");
    assert_eq!(says(&[action(FixedResponse).build()]), "fixed-response");
    assert_eq!(says(&[action(Redirect).build()]), "redirect");
    let blue = || action(Forward).forward_config(forward(&[("blue", None)])).build();
    assert_eq!(says(&[action(AuthenticateOidc).order(1).build(), blue()]), "authenticate-oidc, then forward");
    assert_eq!(says(&[action("new-kind".into()).order(1).build(), blue()]), "new-kind, then forward");
    let mut config = forward(&[("blue", Some(1))]);
    config.target_group_stickiness_config = Some(elb::TargetGroupStickinessConfig::builder().enabled(true).build());
    assert!(says(&[action(Forward).forward_config(config).build()]).contains("stickiness of unknown length"));
    assert_eq!(says(&[action(Forward).build()]), "forward to something that is no target group");
    assert_eq!(says(&[action("new-kind".into()).build()]), "new-kind");
}

#[test]
fn conditions_read_the_same_in_both_forms() {
    let both =
        Conditions { hosts: vec!["a.example".into(), "b.example".into()], paths: vec!["/x".into()], more: Vec::new() };
    let written = request::conditions(&both);
    assert_eq!(convert::conditions(&written), both);
    let old = [
        elb::RuleCondition::builder().field("host-header").values("b.example").values("a.example").build(),
        elb::RuleCondition::builder().field("path-pattern").values("/x").build(),
    ];
    assert_eq!(convert::conditions(&old), both);
    assert_eq!(convert::conditions(&[old.as_slice(), &written].concat()), both);
    assert_eq!(request::conditions(&Conditions::default()), []);
}

#[test]
fn conditions_of_other_kinds_show() {
    let kind = |field: &str| elb::RuleCondition::builder().field(field);
    let more = |condition: elb::RuleCondition| convert::conditions(&[condition]).more;
    assert_eq!(more(kind("source-ip").build()), [Condition::Unknown("source-ip".into())]);
    assert_eq!(more(kind("new-kind").build()), [Condition::Unknown("new-kind".into())]);
    assert_eq!(more(kind("path-pattern").regex_values("^/a").build()), [Condition::PathRegex(vec!["^/a".into()])]);
    let regex = elb::HostHeaderConditionConfig::builder().regex_values("^a").build();
    let host = Condition::HostRegex(vec!["^a".into()]);
    assert_eq!(more(kind("host-header").host_header_config(regex).build()), [host]);
    assert_eq!(more(kind("path-pattern").values("/a").build()), []);
}

#[test]
fn conditions_of_every_kind_are_written_as_they_were_read() {
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let all = Conditions {
        hosts: texts(&["a.example"]),
        paths: Vec::new(),
        more: vec![
            Condition::PathRegex(texts(&["^/a", "^/b"])),
            Condition::Header { name: "x-a".into(), values: texts(&["1*"]), regex: Vec::new() },
            Condition::Header { name: "x-b".into(), values: Vec::new(), regex: texts(&["^2"]) },
            Condition::Methods(texts(&["GET", "HEAD"])),
            Condition::Query(vec![(None, "x".into()), (Some("v".into()), "2".into())]),
            Condition::SourceIps(texts(&["10.0.0.0/8"])),
        ],
    };
    let written = request::conditions(&all);
    assert_eq!(written.len(), 7);
    assert_eq!(convert::conditions(&written), all);
}

/// All that a rule may have besides its weights, as AWS answers it.
#[test]
fn what_stands_beside_the_weights_is_sent_again_as_it_was_read() {
    let oidc = elb::AuthenticateOidcActionConfig::builder()
        .issuer("https://id.example")
        .authorization_endpoint("https://id.example/a")
        .token_endpoint("https://id.example/t")
        .user_info_endpoint("https://id.example/u")
        .client_id("shop")
        .session_cookie_name("c")
        .scope("openid")
        .session_timeout(3600)
        .authentication_request_extra_params("prompt", "login")
        .on_unauthenticated_request(elb::AuthenticateOidcActionConditionalBehaviorEnum::Deny);
    let cognito = elb::AuthenticateCognitoActionConfig::builder()
        .user_pool_arn("arn:aws:cognito-idp:eu-west-1:1:userpool/p")
        .user_pool_client_id("c")
        .user_pool_domain("d")
        .build();
    let claim = elb::JwtValidationActionAdditionalClaim::builder()
        .format(elb::JwtValidationActionAdditionalClaimFormatEnum::StringArray)
        .name("aud")
        .values("a")
        .build();
    let jwt = elb::JwtValidationActionConfig::builder()
        .jwks_endpoint("https://id.example/k")
        .issuer("https://id.example")
        .additional_claims(claim)
        .build();
    let action = |kind: elb::ActionTypeEnum, order| elb::Action::builder().r#type(kind).order(order);
    let mut config = forward(&[("blue", Some(100))]);
    config.target_group_stickiness_config =
        Some(elb::TargetGroupStickinessConfig::builder().enabled(true).duration_seconds(60).build());
    let read = [
        action(elb::ActionTypeEnum::Forward, 4).forward_config(config).build(),
        action(elb::ActionTypeEnum::AuthenticateCognito, 2).authenticate_cognito_config(cognito).build(),
        action(elb::ActionTypeEnum::AuthenticateOidc, 1).authenticate_oidc_config(oidc.clone().build()).build(),
        action(elb::ActionTypeEnum::JwtValidation, 3).jwt_validation_config(jwt).build(),
    ];
    let known = convert::action(&read);
    let sent = request::actions(known.weights().unwrap(), &known.kept()).unwrap();
    // The secret is never shown: AWS is told to keep the one that it has.
    let kept_secret = oidc.use_existing_client_secret(true).build();
    assert_eq!(sent[0].authenticate_oidc_config(), Some(&kept_secret));
    assert_eq!((&sent[1], &sent[2], &sent[3]), (&read[1], &read[3], &read[0]));
    assert_eq!(convert::action(&sent), known);
}

#[test]
fn transforms_are_kept_and_made_again() {
    let rewrite = elb::RewriteConfig::builder().regex("^/a").replace("/b").build();
    let transform = elb::RuleTransform::builder()
        .r#type(elb::TransformTypeEnum::UrlRewrite)
        .url_rewrite_config(elb::UrlRewriteConfig::builder().rewrites(rewrite).build())
        .build();
    let action = elb::Action::builder().r#type(elb::ActionTypeEnum::Forward);
    let rule = elb::Rule::builder()
        .rule_arn(LISTENER.replace(":listener/", ":listener-rule/") + "/9")
        .priority("1")
        .actions(action.forward_config(forward(&[("blue", None)])).build())
        .transforms(transform.clone())
        .build();
    let read = convert::rule(&rule, &ListenerArn::parse(LISTENER).unwrap()).unwrap();
    assert_eq!(kept::transforms(&read.action.kept()), Some(vec![transform]));
}

#[test]
fn priorities_are_numbers_or_the_default() {
    let listener = ListenerArn::parse(LISTENER).unwrap();
    let arn = LISTENER.replace(":listener/", ":listener-rule/") + "/9";
    let rule = |priority: &str| {
        let rule = elb::Rule::builder().rule_arn(&arn).priority(priority).build();
        convert::rule(&rule, &listener).map(|rule| (rule.priority, rule.arn))
    };
    assert_eq!(rule("120"), Ok((Some(120), RuleArn::parse(&arn).unwrap())));
    assert_eq!(rule("default"), Ok((None, listener.default_rule())));
    assert_eq!(rule("first"), Err("Priority"));
    assert_eq!(convert::rule(&elb::Rule::builder().priority("1").build(), &listener).unwrap_err(), "RuleArn");
    assert_eq!(
        listener.load_balancer_arn(),
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/50dc"
    );
}

#[test]
fn a_machine_on_two_ports_is_as_well_as_the_worse() {
    let target = |state: &str| {
        elb::TargetHealthDescription::builder()
            .target(elb::TargetDescription::builder().id("i-1").build())
            .target_health(elb::TargetHealth::builder().state(state.into()).build())
            .build()
    };
    let health =
        |states: &[&str]| convert::targets(&states.iter().map(|s| target(s)).collect::<Vec<_>>())["i-1"].health;
    assert_eq!(health(&["healthy", "unhealthy"]), TargetHealth::Unhealthy);
    assert_eq!(health(&["unhealthy", "healthy"]), TargetHealth::Unhealthy);
    assert_eq!(health(&["healthy"]), TargetHealth::Healthy);
    assert_eq!(health(&["unhealthy.draining"]), TargetHealth::Draining);
    assert_eq!(health(&["a new word"]), TargetHealth::Unavailable);
}

#[test]
fn a_policy_comes_back_as_it_was_written() {
    let wanted = Policy {
        name: "ionroller-cpu".into(),
        metric: "ASGAverageCPUUtilization".into(),
        resource_label: None,
        target_millis: 62_500,
    };
    let written = request::target_tracking(&wanted).unwrap();
    let described = asg::ScalingPolicy::builder().policy_name("ionroller-cpu").enabled(true);
    let read = convert::policy(&described.clone().target_tracking_configuration(written.clone()).build()).unwrap();
    assert_eq!(read, wanted);
    let mut one_way = written;
    one_way.disable_scale_in = Some(true);
    let read = convert::policy(&described.target_tracking_configuration(one_way).build()).unwrap();
    assert_eq!(read.metric, "ASGAverageCPUUtilization without scale-in");
    assert_eq!(request::target_tracking(&read), None, "what we don't know is never written");
}

#[test]
fn marks_stay_on_the_group_and_identity_goes_on_to_machines() {
    let all = tags(&[(SCOPE, "prod"), (Mark::Step.key(), "0@now"), ("team", "payments")]);
    let propagated: Vec<_> = request::asg_tags("g", &all)
        .into_iter()
        .filter(|tag| tag.propagate_at_launch() == Some(true))
        .map(|tag| tag.key().unwrap().to_owned())
        .collect();
    assert_eq!(propagated, [SCOPE, "team"]);
}

#[test]
fn a_release_is_told_by_scope_service_and_digest() {
    let ours = tags(&[(SCOPE, "prod"), (SERVICE, "checkout"), (DIGEST, "a")]);
    let other = tags(&[(SCOPE, "prod"), (SERVICE, "checkout"), (DIGEST, "b"), ("team", "x")]);
    assert!(same_release(&ours, &ours));
    assert!(!same_release(&other, &ours));
    assert!(same_owner(&other, &ours));
    assert!(!same_owner(&tags(&[(SCOPE, "test"), (SERVICE, "checkout")]), &ours));
    assert!(!same_owner(&Tags::new(), &Tags::new()), "without a scope nothing is ours");
}

fn template() -> TemplateSpec {
    TemplateSpec {
        name: GroupName::parse("checkout-1").unwrap(),
        ami: AmiSpec::Id("ami-1".into()),
        instance_type: "t3.small".into(),
        instance_profile: Some("checkout".into()),
        key_name: None,
        root_volume_gib: Some(20),
        security_groups: vec!["sg-1".into()],
        user_data: "#!/bin/sh\n".into(),
        tags: tags(&[(SCOPE, "prod")]),
        machine_tags: tags(&[("team", "payments")]),
    }
}

#[test]
fn a_template_asks_for_what_its_release_says() {
    let data = request::template_data(&template(), "ami-1", Some("/dev/xvda"));
    assert_eq!(data.user_data(), Some("IyEvYmluL3NoCg=="));
    let metadata = data.metadata_options().unwrap();
    assert_eq!(metadata.http_tokens().map(|tokens| tokens.as_str()), Some("required"));
    assert_eq!(metadata.http_put_response_hop_limit(), Some(2));
    let disk = &data.block_device_mappings()[0];
    assert_eq!((disk.device_name(), disk.ebs().unwrap().volume_size()), (Some("/dev/xvda"), Some(20)));
    let tagged: Vec<_> = data.tag_specifications().iter().map(|spec| spec.resource_type().unwrap().as_str()).collect();
    assert_eq!(tagged, ["instance", "volume"]);
    let bare =
        TemplateSpec { user_data: String::new(), machine_tags: Tags::new(), root_volume_gib: None, ..template() };
    let data = request::template_data(&bare, "ami-1", None);
    assert_eq!(data.user_data(), None);
    assert!(data.tag_specifications().is_empty() && data.block_device_mappings().is_empty());
}

#[test]
fn a_token_changes_with_content_and_image_only() {
    let token = request::client_token(&template(), "ami-1");
    assert_eq!(token.len(), 64);
    assert_eq!(token, request::client_token(&template(), "ami-1"));
    assert_ne!(token, request::client_token(&template(), "ami-2"));
    assert_ne!(token, request::client_token(&TemplateSpec { key_name: Some("k".into()), ..template() }, "ami-1"));
}

#[test]
fn callers_have_short_names() {
    assert_eq!(connect::caller_name("arn:aws:iam::123456789012:user/team/alice"), "alice");
    assert_eq!(connect::caller_name("arn:aws:sts::123456789012:assumed-role/ionroller/i-0abc"), "i-0abc");
    assert_eq!(connect::caller_name("arn:aws:iam::123456789012:root"), "root");
}

#[test]
fn image_names_match_as_the_filters_of_ec2_do() {
    let matches = super::templates::matches;
    for (pattern, name, found) in [
        ("web-1", "web-1", true),
        ("web-1", "web-12", false),
        ("web-*", "web-", true),
        ("*-web-?", "a-web-1", true),
        ("*-web-?", "a-web-12", false),
        ("**", "", true),
        ("?", "", false),
    ] {
        assert_eq!(matches(pattern, name), found, "{pattern} {name}");
    }
}
