//! The policies of docs/iam at work: moto checks keys and signatures, the extension of the
//! server decides by resources and tags. The stories go through with the daemon's policy, each
//! of its statements is needed by one of them, and what isn't ours can't be touched with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::{Value, json};

use super::world::{ACCOUNT, Traffic, Web, World, shares, web};

/// The policy as its file says it, except for the listeners that it names: they are this world's.
fn policy(name: &str, listeners: &[(&str, &str)]) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/iam").join(name);
    let mut text = std::fs::read_to_string(path).unwrap();
    for (placeholder, listener) in listeners {
        let place = format!("{placeholder}/web/0123456789abcdef/0123456789abcdef");
        let arn = listener.split_once(":listener/").expect("a listener's ARN").1;
        let (kind, _) = placeholder.split_once('/').unwrap();
        let to = format!("{kind}/{arn}");
        assert!(text.contains(&place), "{name} has no {place}");
        text = text.replace(&place, &to);
    }
    serde_json::from_str(&text).unwrap()
}

/// From here on the program has the keys of a user with this policy and no other.
fn enforce(world: &mut World, policy: &Value) {
    let keys = world.post("iam", &json!({ "policy": policy }));
    let text = |key: &str| keys[key].as_str().unwrap().to_owned();
    world.keys = (text("access_key_id"), text("secret_access_key"));
}

/// Which statement allowed which actions; nothing was refused.
type Used = BTreeMap<String, BTreeSet<String>>;

fn used(world: &World) -> Used {
    let used: Used = serde_json::from_value(world.get("iam")).unwrap();
    assert!(!used.contains_key("nothing"), "refused: {:?}", used["nothing"]);
    used
}

fn in_full(version: &str) -> Web {
    Web {
        // Into the table of the machine.
        ami: "name:web-{version}\"\ninstance_profile = \"checkout".to_owned(),
        extra: "\n[tags]\nteam = \"payments\"\n".to_owned(),
        scaling: true,
        bake: "0s".to_owned(),
        ..web(version)
    }
}

/// Processes are suspended, machines protected, the target group detached; the file says that
/// all of it is put right.
fn somebody_interferes(world: &World) {
    let group = world.group_of("1.2.0");
    let name = group["name"].as_str().unwrap();
    let machine = group["instances"][0]["id"].as_str().unwrap();
    let arn = group["target_group_arns"][0].as_str().unwrap();
    for form in [
        [("Action", "SuspendProcesses"), ("ScalingProcesses.member.1", "AZRebalance"), ("x", "")],
        [("Action", "SetInstanceProtection"), ("InstanceIds.member.1", machine), ("ProtectedFromScaleIn", "true")],
        [("Action", "DetachLoadBalancerTargetGroups"), ("TargetGroupARNs.member.1", arn), ("x", "")],
    ] {
        let group = [("AutoScalingGroupName", name)];
        let form: Vec<_> = form.into_iter().filter(|(key, _)| *key != "x").chain(group).collect();
        world.by_hand("autoscaling", &form);
    }
    let file = std::fs::read_to_string(world.repo().join("services/web.toml")).unwrap();
    let drift = "\n[drift]\nsuspended_processes = \"heal\"\nscale_in_protection = \"heal\"\n";
    world.write("services/web.toml", &format!("{file}{drift}"));
    world.commit_all("drift is put right");
    world.apply();
}

fn images(world: &World, versions: &[&str]) {
    for version in versions {
        let name = format!("web-{version}");
        world.by_hand("ec2", &[("Action", "RegisterImage"), ("Name", &name), ("RootDeviceName", "/dev/xvda")]);
    }
}

/// By a rule of our own: every kind of release, going back, settings, words of operators, the end.
fn by_a_rule() -> Used {
    let scope = format!("account = \"{ACCOUNT}\"\n\n[prune]\nenabled = true\nmax_services = 1\n");
    let mut world = World::with(&json!({}), &scope);
    images(&world, &["1.0.0", "1.1.0", "1.2.0"]);
    let shared = world.text_with_shared_group(&web("1.0.0").at(30, "api.example.com"));
    enforce(&mut world, &policy("daemon.json", &[]));
    world.commit(&in_full("1.0.0"));
    world.apply();
    world.commit(&in_full("1.1.0"));
    world.apply();
    world.revert();
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    let sick_with_traffic =
        |state: Value| world.post("health", &json!({"version": "1.2.0", "state": state, "had_weight": true}));
    sick_with_traffic(json!("unhealthy"));
    world.commit(&in_full("1.2.0"));
    let ran = world.run(&["apply", "--timeout", "100s"]).ended(1);
    assert_eq!(world.status()["rejected"]["code"], "unhealthy", "{}", ran.stderr);
    sick_with_traffic(json!(null));
    world.run(&["retry", "web"]).ended(0);
    world.run(&["hold", "web"]).ended(0);
    world.run(&["resume", "web"]).ended(0);
    world.apply();
    // Everything that changes in place; then what was kept goes.
    let changed = Web { extra: String::new(), scaling: false, ..in_full("1.2.0").at(20, "www.example.com") };
    world.commit(&changed);
    world.apply();
    let text = world.text(&changed).replace("interval = \"5s\"", "interval = \"6s\"");
    world.write("services/web.toml", &text.replace("deregistration_delay = \"1s\"", "deregistration_delay = \"2s\""));
    world.commit_all("another health check");
    world.apply();
    somebody_interferes(&world);
    world.commit(&changed);
    world.apply();
    world.commit(&Web { warm: "0s".to_owned(), records: 0, ..changed });
    world.run(&["apply", "--wait", "retired", "--timeout", "100s"]).ended(0);
    assert_eq!((world.groups().len(), world.templates()), (1, vec!["1.2.0".to_owned()]));
    for args in [&["plan"][..], &["status"], &["diff", "web"], &["history", "web"]] {
        world.run(args).ended(0);
    }
    world.git(&["rm", "--quiet", "services/web.toml"]);
    world.write("services/api.toml", &shared);
    world.commit_all("api 1.0.0");
    world.apply();
    assert_eq!(world.state()["rules"].as_array().unwrap().len(), 1, "that of web is gone");
    used(&world)
}

/// By default actions that the policy names, of an ALB and of an NLB, that served somebody else.
fn by_default_actions() -> Used {
    let more = json!({"nlb": true, "foreign": 2, "listeners": [{"port": 8080, "foreign": true}]});
    let mut world = World::with(&more, &format!("account = \"{ACCOUNT}\"\n"));
    let of_balancers = world.made["listeners"]["8080"].as_str().unwrap().to_owned();
    let of_network = world.made["nlb_listener_arn"].as_str().unwrap().to_owned();
    let listeners = [("listener/app", of_balancers.as_str()), ("listener/net", &of_network)];
    let policy = policy("daemon.json", &listeners);
    enforce(&mut world, &policy);
    for (service, listener, traffic) in
        [("web", &of_balancers, Traffic::Default), ("tcp", &of_network, Traffic::Network)]
    {
        world.listener.clone_from(listener);
        let adopting =
            |version| Web { traffic: traffic.clone(), balancer: "adopt = true\n".to_owned(), ..web(version) };
        for version in ["1.0.0", "1.1.0"] {
            world.commit_as(service, &adopting(version));
            world.apply();
        }
        world.revert();
        world.apply();
        assert_eq!(world.default_weights(), shares(&[("1.0.0", 100)]), "{service}");
    }
    used(&world)
}

/// By a rule of somebody else's on a listener that the policy names.
fn by_a_rule_taken_over() -> Used {
    let mut world = World::with(&json!({"foreign": 2}), &format!("account = \"{ACCOUNT}\"\n"));
    let foreign = world.made["foreign_target_group_arn"].as_str().unwrap().to_owned();
    foreign_rule(&world, "10", &foreign);
    let listener = world.listener.clone();
    let policy = policy("daemon.json", &[("listener-rule/app", &listener)]);
    enforce(&mut world, &policy);
    for version in ["1.0.0", "1.1.0"] {
        world.commit(&Web { balancer: "adopt = true\n".to_owned(), ..web(version) });
        world.apply();
    }
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    used(&world)
}

fn foreign_rule(world: &World, priority: &str, target_group: &str) {
    let form = [
        ("Action", "CreateRule"),
        ("ListenerArn", &world.listener),
        ("Priority", priority),
        ("Conditions.member.1.Field", "host-header"),
        ("Conditions.member.1.HostHeaderConfig.Values.member.1", "web.example.com"),
        ("Actions.member.1.Type", "forward"),
        ("Actions.member.1.TargetGroupArn", target_group),
    ];
    world.by_hand("elasticloadbalancing", &form);
}

/// What each statement allows is what the stories made use of, action by action.
#[test]
fn the_daemons_policy_is_what_the_stories_call() {
    let mut all = Used::new();
    std::thread::scope(|scope| {
        let stories = [scope.spawn(by_a_rule), scope.spawn(by_default_actions), scope.spawn(by_a_rule_taken_over)];
        for story in stories {
            for (sid, actions) in story.join().expect("a story went wrong") {
                all.entry(sid).or_default().extend(actions);
            }
        }
    });
    // Everybody may ask who he is, so no statement is needed for it.
    let asked_for_free = all.remove("*").unwrap_or_default();
    assert_eq!(asked_for_free, BTreeSet::from(["sts:GetCallerIdentity".to_owned()]));
    let policy = policy("daemon.json", &[]);
    let said: Used = policy["Statement"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(all, said);
}

/// A statement's name and its actions, without the one that is allowed anyway.
fn said(statement: &Value) -> (String, BTreeSet<String>) {
    let actions = match &statement["Action"] {
        Value::Array(all) => all.iter().map(|action| action.as_str().unwrap().to_owned()).collect(),
        one => BTreeSet::from([one.as_str().unwrap().to_owned()]),
    };
    let sid = statement["Sid"].as_str().unwrap().to_owned();
    (sid, actions.into_iter().filter(|action| action != "sts:GetCallerIdentity").collect())
}

/// Who plans reads, and no more.
#[test]
fn the_policy_of_plans_reads_and_no_more() {
    let mut world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    world.half_way("1.0.0", "1.1.0");
    // A first release that is not begun, whose needs are looked at.
    let api = world.text_with_shared_group(&web("1.0.0").at(30, "api.example.com"));
    world.write("services/api.toml", &api);
    world.commit_all("api 1.0.0");
    enforce(&mut world, &policy("plan.json", &[]));
    world.forget_calls();
    for args in [&["plan"][..], &["status"], &["diff", "web"], &["history", "web"]] {
        world.run(args).ended(0);
    }
    let used = used(&world);
    let read = &used["Read"];
    let policy = policy("plan.json", &[]);
    let (_, said) = said(&policy["Statement"][0]);
    assert_eq!(said.difference(read).collect::<Vec<_>>(), Vec::<&String>::new());

    // Half of the way there may be nothing to do but to watch; a revert is to be done at once.
    world.commit(&web("1.0.0"));
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("not authorized"), "{}", ran.stderr);
    assert!(world.calls().iter().all(|call| call["mutating"] == false || call["done"] == false));
    assert_eq!(world.weights(), shares(&[("1.0.0", 50), ("1.1.0", 50)]));
}

/// With the daemon's keys and by hand: neither a group without our tags, nor its template,
/// its target group and its rule; nor can ours be given away, or theirs be taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_our_tags_cannot_be_touched() {
    let mut world = World::with(&json!({"foreign": 1}), &format!("account = \"{ACCOUNT}\"\n"));
    world.commit(&web("1.0.0"));
    world.apply();
    let target_group = world.made["foreign_target_group_arn"].as_str().unwrap().to_owned();
    foreign_rule(&world, "50", &target_group);
    let rule = arn_of_rule(&world, 50);
    world.by_hand(
        "ec2",
        &[
            ("Action", "CreateLaunchTemplate"),
            ("LaunchTemplateName", "theirs"),
            ("LaunchTemplateData.ImageId", "ami-0123456789abcdef0"),
            ("LaunchTemplateData.InstanceType", "t3.small"),
        ],
    );
    let subnet = world.made["subnet_ids"][0].as_str().unwrap();
    world.by_hand(
        "autoscaling",
        &[
            ("Action", "CreateAutoScalingGroup"),
            ("AutoScalingGroupName", "theirs"),
            ("LaunchTemplate.LaunchTemplateName", "theirs"),
            ("LaunchTemplate.Version", "1"),
            ("MinSize", "1"),
            ("MaxSize", "2"),
            ("VPCZoneIdentifier", subnet),
        ],
    );
    world.until("their machine", |world| world.get("dump")["groups"]["theirs"]["instances"] == json!({"InService": 1}));
    let ours = world.group_of("1.0.0")["name"].as_str().unwrap().to_owned();
    let our_rule = arn_of_rule(&world, 10);
    enforce(&mut world, &policy("daemon.json", &[]));
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(world.server.url())
        .credentials_provider(Credentials::new(&world.keys.0, &world.keys.1, None, None, "tests"))
        .load()
        .await;
    let (scaling, balancing, ec2) = (
        aws_sdk_autoscaling::Client::new(&config),
        aws_sdk_elasticloadbalancingv2::Client::new(&config),
        aws_sdk_ec2::Client::new(&config),
    );
    let before = world.get("dump");

    let resize = |name: &str| scaling.update_auto_scaling_group().auto_scaling_group_name(name).min_size(2).send();
    refused(resize("theirs").await);
    refused(scaling.delete_auto_scaling_group().auto_scaling_group_name("theirs").send().await);
    refused(scaling.set_desired_capacity().auto_scaling_group_name(&ours).desired_capacity(0).send().await);
    refused(scaling.delete_auto_scaling_group().auto_scaling_group_name(&ours).force_delete(true).send().await);
    let tag = |name: &str, scope: &str| {
        let tag = aws_sdk_autoscaling::types::Tag::builder().resource_id(name).resource_type("auto-scaling-group");
        let tag = tag.key("ionroller:scope").value(scope).propagate_at_launch(true).build();
        scaling.create_or_update_tags().tags(tag).send()
    };
    refused(tag("theirs", "prod").await);
    refused(tag(&ours, "other").await);
    refused(ec2.delete_launch_template().launch_template_name("theirs").send().await);
    refused(balancing.delete_target_group().target_group_arn(&target_group).send().await);
    refused(balancing.modify_target_group().target_group_arn(&target_group).health_check_path("/x").send().await);
    refused(balancing.delete_rule().rule_arn(&rule).send().await);
    let answer = aws_sdk_elasticloadbalancingv2::types::Action::builder()
        .r#type(aws_sdk_elasticloadbalancingv2::types::ActionTypeEnum::Forward)
        .target_group_arn(&target_group)
        .build();
    refused(balancing.modify_rule().rule_arn(&rule).actions(answer.clone()).send().await);
    refused(balancing.modify_listener().listener_arn(&world.listener).default_actions(answer).send().await);
    assert_eq!(world.get("dump"), before, "nothing has changed");

    // The same calls on what is ours go through: it is the tags that make the difference.
    resize(&ours).await.unwrap();
    tag(&ours, "prod").await.unwrap();
    balancing.delete_rule().rule_arn(&our_rule).send().await.unwrap();
}

#[track_caller]
fn refused<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(answer: Result<T, E>) {
    let error = answer.expect_err("it was allowed");
    assert!(matches!(error.code(), Some("AccessDenied" | "UnauthorizedOperation")), "{error:?}");
}

fn arn_of_rule(world: &World, priority: u64) -> String {
    let state = world.state();
    let mut rules = state["rules"].as_array().unwrap().iter();
    rules.find(|rule| rule["priority"] == priority).expect("the rule")["arn"].as_str().unwrap().to_owned()
}
