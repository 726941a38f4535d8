//! Making, reading, changing and deleting; most of it twice.

use ionroller::cloud::{CloudReader as _, CloudWriter as _, ErrorKind, Owner, Tagged};
use ionroller::names::{Scope, ServiceName, TargetGroupArn};
use ionroller::observed::marks::Mark;
use ionroller::observed::resources::{
    AmiSpec, Conditions, Group, GroupSpec, HealthCheck, Kept, Lifecycle, Outcome, Policy, RuleAction, Tags,
    TargetGroupSpec, TargetHealth, TemplateSpec,
};
use ionroller::time::Span;
use serde_json::json;

use crate::harness::aws_server::Stage;

use super::{owner, release, rule_tags, scope};

#[tokio::test]
async fn templates_are_made_marked_and_deleted() {
    let stage = Stage::new().await;
    let (cloud, one) = (&stage.cloud, release("one"));
    assert_eq!(cloud.templates(&owner()).await.unwrap(), []);
    cloud.create_template(&stage.template(&one)).await.unwrap();
    let found = cloud.templates(&owner()).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), &found[0].tags), (one.name.as_str(), &one.tags));
    assert!(cloud.now().since(found[0].created) < Span::from_mins(5));
    let of_others = [
        Owner { scope: Scope::parse("test").unwrap(), service: None },
        Owner { scope: scope(), service: Some(ServiceName::parse("cart").unwrap()) },
    ];
    for other in of_others {
        assert_eq!(cloud.templates(&other).await.unwrap(), []);
    }
    let on = Tagged::Template(found[0].id.clone());
    let stable = Tags::from([(Mark::Stable.key().into(), "2026-11-23T10:00:00Z".into())]);
    cloud.set_tags(&on, &stable).await.unwrap();
    cloud.set_tags(&on, &stable).await.unwrap();
    assert_eq!(cloud.templates(&owner()).await.unwrap()[0].tags.len(), one.tags.len() + 1);
    for _ in 0..2 {
        cloud.clear_tags(&on, &[Mark::Stable.key().to_owned()]).await.unwrap();
        assert_eq!(cloud.templates(&owner()).await.unwrap()[0].tags, one.tags);
    }
    for _ in 0..2 {
        cloud.delete_template(&found[0].id).await.unwrap();
    }
    assert_eq!(cloud.templates(&owner()).await.unwrap(), []);
}

#[tokio::test]
async fn templates_resolve_images_and_carry_the_whole_machine() {
    let stage = Stage::new().await;
    let ec2 = aws_sdk_ec2::Client::new(&stage.config);
    let mut spec = stage.template(&release("one"));
    spec.ami = AmiSpec::Name("checkout-1*".into());
    spec.root_volume_gib = Some(20);
    let error = stage.cloud.create_template(&spec).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "DescribeImages of checkout-1* failed: no available image of this account is named `checkout-1*`"
    );
    let image = ec2.register_image().name("checkout-1.0").root_device_name("/dev/xvda").send().await.unwrap();
    stage.cloud.create_template(&spec).await.unwrap();
    let versions = ec2.describe_launch_template_versions().launch_template_name(spec.name.as_str());
    let versions = versions.send().await.unwrap();
    let [version] = versions.launch_template_versions() else { panic!("one version") };
    let data = version.launch_template_data().unwrap();
    assert_eq!(version.version_number(), Some(1));
    assert_eq!(data.image_id(), image.image_id());
    assert_eq!(data.user_data(), Some("IyEvYmluL3NoCmVjaG8gaGVsbG8K"));
    let disk = &data.block_device_mappings()[0];
    assert_eq!(disk.ebs().and_then(|disk| disk.volume_size()), Some(20));
    let tagged: Vec<_> = data.tag_specifications().iter().map(|spec| spec.resource_type().unwrap().as_str()).collect();
    assert_eq!(tagged, ["instance", "volume"]);
}

#[tokio::test]
async fn boot_scripts_that_ec2_would_refuse_at_launch_are_refused_at_once() {
    let stage = Stage::new().await;
    let spec = TemplateSpec { user_data: "x".repeat(16 * 1024 + 1), ..stage.template(&release("one")) };
    let error = stage.cloud.create_template(&spec).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Invalid, ""));
}

#[tokio::test]
async fn target_groups_are_made_changed_and_deleted() {
    let stage = Stage::new().await;
    let (cloud, spec) = (&stage.cloud, stage.target_group(&release("one")));
    let arn = cloud.create_target_group(&spec).await.unwrap();
    let found = stage.found(&arn).await.unwrap();
    assert_eq!((found.name.as_str(), found.in_use), (spec.name.as_str(), false));
    assert_eq!((found.port, found.protocol.as_str()), (80, "HTTP"));
    assert_eq!(found.health_check, spec.health_check);
    assert_eq!(cloud.tags(&[arn.to_string()]).await.unwrap()[arn.as_str()], spec.tags);
    assert_eq!(cloud.target_health(&arn).await.unwrap().len(), 0);

    let mut changed = spec.clone();
    changed.health_check.interval_secs = 30;
    changed.deregistration_delay = Span::from_mins(2);
    for _ in 0..2 {
        cloud.set_target_group(&arn, &changed).await.unwrap();
    }
    assert_eq!(stage.found(&arn).await.unwrap().health_check, changed.health_check);
    for _ in 0..2 {
        cloud.delete_target_group(&arn).await.unwrap();
    }
    assert_eq!(cloud.target_health(&arn).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(cloud.tags(&[arn.to_string()]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn rules_carry_all_weights_in_one_call() {
    let stage = Stage::new().await;
    let cloud = &stage.cloud;
    let blue = cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let green = cloud.create_target_group(&stage.target_group(&release("green"))).await.unwrap();
    let spec = stage.rule(120, vec![(blue.clone(), 100)]);
    let arn = cloud.create_rule(&spec).await.unwrap();
    let found = stage.rule_at(Some(120)).await.unwrap();
    assert_eq!((&found.arn, &found.conditions), (&arn, &spec.conditions));
    let RuleAction::Forward(weights) = found.action else { panic!("a forward") };
    assert_eq!(weights[0].0, blue);
    assert_eq!(cloud.tags(&[arn.to_string()]).await.unwrap()[arn.as_str()], rule_tags(&release("")));

    let weights = vec![(blue.clone(), 95), (green.clone(), 5)];
    for _ in 0..2 {
        cloud.set_rule(&arn, None, &weights, &Kept::default()).await.unwrap();
        let found = stage.rule_at(Some(120)).await.unwrap();
        assert_eq!(found.action, RuleAction::Forward(weights.clone()));
        assert_eq!(found.conditions, spec.conditions, "conditions stay when none are given");
    }
    let others = Conditions { hosts: vec!["b.example".into()], ..Conditions::default() };
    cloud.set_rule(&arn, Some(&others), &weights, &Kept::default()).await.unwrap();
    assert_eq!(stage.rule_at(Some(120)).await.unwrap().conditions, others);

    let error = cloud.delete_target_group(&green).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Conflict, "ResourceInUse"));
    for _ in 0..2 {
        cloud.delete_rule(&arn).await.unwrap();
    }
    assert_eq!(stage.rule_at(Some(120)).await, None);
    assert_eq!(cloud.set_rule(&arn, None, &weights, &Kept::default()).await.unwrap_err().kind, ErrorKind::NotFound);
    cloud.delete_target_group(&green).await.unwrap();
}

#[tokio::test]
async fn default_actions_are_set_through_their_listener() {
    let stage = Stage::new().await;
    let blue = stage.cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let listeners = || stage.cloud.listeners(std::slice::from_ref(&stage.listener));
    assert_eq!(listeners().await.unwrap()[0].default_action, RuleAction::Other("fixed-response".into()));
    let rule = stage.rule_at(None).await.unwrap();
    assert_eq!(rule.arn, stage.listener.default_rule());
    let weights = vec![(blue, 100)];
    stage.cloud.set_rule(&rule.arn, None, &weights, &Kept::default()).await.unwrap();
    let found = listeners().await.unwrap();
    assert_eq!((found[0].arn.clone(), found[0].protocol.as_str()), (stage.listener.clone(), "HTTP"));
    assert!(matches!(&found[0].default_action, RuleAction::Forward(found) if found[0].0 == weights[0].0));
    assert_eq!(stage.cloud.tags(&[rule.arn.to_string()]).await.unwrap().len(), 0);
    let error = stage.cloud.delete_rule(&rule.arn).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let hosts = Conditions { hosts: vec!["a.example".into()], ..Conditions::default() };
    let error = stage.cloud.set_rule(&rule.arn, Some(&hosts), &weights, &Kept::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn groups_are_made_sized_marked_and_deleted() {
    let stage = Stage::new().await;
    let (cloud, one) = (&stage.cloud, release("one"));
    let target_group = stage.base(&one).await;
    let spec = stage.group(&one, Some(&target_group));
    cloud.create_group(&spec).await.unwrap();
    let group = stage.group_when(|group| group.instances.len() == 2).await;
    assert_eq!((group.name.as_str(), group.min, group.max, group.desired), (spec.name.as_str(), 2, 4, 2));
    assert_eq!(group.tags, spec.tags);
    assert_eq!(group.template, Some((one.name.to_string(), "1".to_owned())));
    assert_eq!(group.target_groups, std::slice::from_ref(&target_group));
    assert!(!group.deleting && group.suspended.is_empty());

    for _ in 0..2 {
        cloud.set_capacity(&spec.name, 1, 6, Some(3)).await.unwrap();
    }
    cloud.set_capacity(&spec.name, 2, 6, None).await.unwrap();
    let group = cloud.groups(&owner()).await.unwrap().remove(0);
    assert_eq!((group.min, group.max, group.desired), (2, 6, 3));

    let on = Tagged::Group(spec.name.clone());
    let marks = Tags::from([(Mark::Step.key().into(), "5@2026-11-23T10:05:00Z".into())]);
    cloud.set_tags(&on, &marks).await.unwrap();
    assert_eq!(cloud.groups(&owner()).await.unwrap()[0].tags[Mark::Step.key()], marks[Mark::Step.key()]);
    for _ in 0..2 {
        cloud.clear_tags(&on, &[Mark::Step.key().to_owned()]).await.unwrap();
    }
    assert_eq!(cloud.groups(&owner()).await.unwrap()[0].tags.len(), spec.tags.len() - 1);

    let error = cloud.delete_group(&spec.name).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "never by force: {error}");
    cloud.set_capacity(&spec.name, 0, 0, Some(0)).await.unwrap();
    stage.group_when(|group| group.instances.is_empty()).await;
    for _ in 0..2 {
        cloud.delete_group(&spec.name).await.unwrap();
    }
}

#[tokio::test]
async fn machines_come_up_and_their_health_shows() {
    let stage = Stage::new().await;
    // What is forced on a name is forced in every account.
    let (cloud, one) = (&stage.cloud, release("sick"));
    let target_group = stage.base(&one).await;
    cloud.create_group(&stage.group(&one, Some(&target_group))).await.unwrap();
    let in_service = |group: &Group| {
        group.instances.iter().filter(|i| i.lifecycle == Lifecycle::InService && i.healthy).count() == 2
    };
    let group = stage.group_when(in_service).await;
    let targets = cloud.target_health(&target_group).await.unwrap();
    assert_eq!(targets.keys().collect::<Vec<_>>(), group.instances.iter().map(|i| &i.id).collect::<Vec<_>>());
    assert!(targets.values().all(|target| target.health == TargetHealth::Unused), "no rule names them: {targets:?}");
    assert!(!stage.found(&target_group).await.unwrap().in_use);
    cloud.create_rule(&stage.rule(1, vec![(target_group.clone(), 1)])).await.unwrap();
    assert!(stage.found(&target_group).await.unwrap().in_use);
    stage.server.tell("health", &json!({ "target_group": one.name, "state": "unhealthy" }));
    for _ in 0..100 {
        let targets = cloud.target_health(&target_group).await.unwrap();
        if targets.values().all(|target| target.health == TargetHealth::Unhealthy) {
            break;
        }
        assert!(targets.values().all(|target| target.health <= TargetHealth::Unhealthy), "{targets:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let targets = cloud.target_health(&target_group).await.unwrap();
    assert!(targets.values().all(|target| target.health == TargetHealth::Unhealthy), "{targets:?}");
    let activities = cloud.activities(&group.name).await.unwrap();
    let launched = activities.iter().filter(|activity| activity.launch && activity.outcome == Outcome::Successful);
    assert_eq!(launched.count(), 2, "{activities:?}");
}

#[tokio::test]
async fn launches_that_fail_say_why() {
    let stage = Stage::new().await;
    let one = release("never launched");
    stage.cloud.create_template(&stage.template(&one)).await.unwrap();
    let why = "We currently do not have sufficient t3.small capacity in the Availability Zone you requested.";
    stage.server.tell("launches", &json!({ "group": one.name, "fail": why }));
    stage.cloud.create_group(&stage.group(&one, None)).await.unwrap();
    for _ in 0..100 {
        let activities = stage.cloud.activities(one.name.as_str()).await.unwrap();
        if activities.iter().any(|activity| activity.outcome == Outcome::Failed) {
            assert!(activities.iter().all(|activity| activity.launch));
            assert!(activities.iter().any(|activity| activity.message.contains(why)), "{activities:?}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no launch failed");
}

#[tokio::test]
async fn policies_become_exactly_ours() {
    let stage = Stage::new().await;
    let (cloud, one) = (&stage.cloud, release("one"));
    let target_group = stage.base(&one).await;
    let spec = stage.group(&one, Some(&target_group));
    cloud.create_group(&spec).await.unwrap();
    let policy = |name: &str, metric: &str, label: Option<&str>, target_millis| Policy {
        name: name.into(),
        metric: metric.into(),
        resource_label: label.map(str::to_owned),
        target_millis,
    };
    let cpu = policy("ionroller-cpu", "ASGAverageCPUUtilization", None, 60_000);
    let balancer = stage.listener.load_balancer();
    let label = format!("{balancer}/targetgroup/{}", target_group.as_str().split_once(":targetgroup/").unwrap().1);
    let requests = policy("ionroller-requests", "ALBRequestCountPerTarget", Some(&label), 1_500);
    let both = vec![cpu, requests.clone()];
    for _ in 0..2 {
        cloud.set_policies(&spec.name, &both).await.unwrap();
        let details = cloud.details(&spec.name, Some(&target_group)).await.unwrap();
        assert_eq!(details.policies, both);
        assert_eq!(details.deregistration_delay, Some(Span::from_secs(30)));
    }
    cloud.set_policies(&spec.name, std::slice::from_ref(&requests)).await.unwrap();
    let details = cloud.details(&spec.name, None).await.unwrap();
    assert_eq!((details.policies, details.deregistration_delay), (vec![requests], None));
    let unknown = policy("ionroller-x", "a metric of tomorrow", None, 1);
    let error = cloud.set_policies(&spec.name, &[unknown]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn target_groups_and_rules_can_be_tagged() {
    let stage = Stage::new().await;
    let blue = stage.cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let rule = stage.cloud.create_rule(&stage.rule(1, vec![(blue.clone(), 1)])).await.unwrap();
    let team = Tags::from([("team".into(), "payments".into())]);
    for (on, arn) in [(Tagged::TargetGroup(blue.clone()), blue.as_str()), (Tagged::Rule(rule.clone()), rule.as_str())] {
        let before = stage.cloud.tags(&[arn.to_owned()]).await.unwrap()[arn].len();
        stage.cloud.set_tags(&on, &team).await.unwrap();
        assert_eq!(stage.cloud.tags(&[arn.to_owned()]).await.unwrap()[arn].len(), before + 1);
        for _ in 0..2 {
            stage.cloud.clear_tags(&on, &["team".to_owned()]).await.unwrap();
        }
        assert_eq!(stage.cloud.tags(&[arn.to_owned()]).await.unwrap()[arn].len(), before);
    }
}

#[tokio::test]
async fn network_load_balancers_have_default_actions_alone() {
    let stage = Stage::new().await;
    let listeners = || stage.cloud.listeners(std::slice::from_ref(&stage.network_listener));
    let before = listeners().await.unwrap().remove(0);
    assert!(stage.network_listener.is_network() && before.protocol == "TCP");
    let RuleAction::Forward(foreign) = before.default_action else { panic!("a forward") };
    let spec = stage.target_group(&release("one"));
    let health_check = HealthCheck { protocol: "TCP".into(), path: None, matcher: None, ..spec.health_check.clone() };
    let listener = stage.network_listener.clone();
    let spec = TargetGroupSpec { listener, protocol: "TCP".into(), health_check, ..spec };
    let ours = stage.cloud.create_target_group(&spec).await.unwrap();
    assert_eq!(stage.found(&ours).await.unwrap().health_check.path, None);
    let weights: Vec<(TargetGroupArn, u32)> = vec![(foreign[0].0.clone(), 95), (ours, 5)];
    stage.cloud.set_rule(&stage.network_listener.default_rule(), None, &weights, &Kept::default()).await.unwrap();
    assert_eq!(listeners().await.unwrap()[0].default_action, RuleAction::Forward(weights));
}

#[tokio::test]
async fn quotas_are_told_apart() {
    let stage = Stage::new().await;
    let mut weights = Vec::new();
    for number in 0..6 {
        let spec = stage.target_group(&release(&number.to_string()));
        weights.push((stage.cloud.create_target_group(&spec).await.unwrap(), 10));
    }
    let error = stage.cloud.create_rule(&stage.rule(1, weights)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Quota, "{error}");
}

/// The first machines wait in the launch hook, too, since it is part of the group's creation.
#[tokio::test]
async fn groups_are_made_with_a_launch_hook_in_which_machines_become_ready() {
    let stage = Stage::new().await;
    let (cloud, one) = (&stage.cloud, release("one"));
    cloud.create_template(&stage.template(&one)).await.unwrap();
    let spec = GroupSpec { ready_within: Some(Span::from_secs(90)), ..stage.group(&one, None) };
    cloud.create_group(&spec).await.unwrap();
    let group = stage.group_when(|group| in_hooks(group) == 2).await;
    assert!(group.instances.iter().all(|machine| machine.lifecycle == Lifecycle::Pending), "{group:?}");
    let autoscaling = aws_sdk_autoscaling::Client::new(&stage.config);
    let hooks = autoscaling.describe_lifecycle_hooks().auto_scaling_group_name(&spec.name).send().await.unwrap();
    let [hook] = hooks.lifecycle_hooks() else { panic!("one hook") };
    assert_eq!(hook.lifecycle_hook_name(), Some("ionroller-ready"));
    assert_eq!(hook.lifecycle_transition(), Some("autoscaling:EC2_INSTANCE_LAUNCHING"));
    assert_eq!((hook.heartbeat_timeout(), hook.default_result()), (Some(90), Some("ABANDON")));

    // As the boot script says it: one is ready, the other is not.
    for (machine, result) in group.instances.iter().zip(["CONTINUE", "ABANDON"]) {
        let call = autoscaling.complete_lifecycle_action().auto_scaling_group_name(&spec.name);
        let call = call.lifecycle_hook_name("ionroller-ready").instance_id(&machine.id);
        call.lifecycle_action_result(result).send().await.unwrap();
    }
    let serves = |group: &Group| {
        group.instances.iter().filter(|machine| machine.lifecycle == Lifecycle::InService).count() == 1
            && in_hooks(group) == 1
    };
    let after = stage.group_when(serves).await;
    assert!(after.instances.iter().all(|machine| machine.id != group.instances[1].id), "{after:?}");
    let activities = cloud.activities(&spec.name).await.unwrap();
    let given_up: Vec<_> =
        activities.iter().filter(|activity| activity.launch && activity.outcome == Outcome::Failed).collect();
    assert_eq!(given_up.len(), 1, "{activities:?}");
    assert_eq!(given_up[0].instance.as_ref(), Some(&group.instances[1].id));
    assert!(given_up[0].message.contains("was abandoned: Lifecycle Action Completed with ABANDON"), "{given_up:?}");
}

fn in_hooks(group: &Group) -> u32 {
    group.shape.as_ref().map_or(0, |shape| shape.in_hooks)
}
