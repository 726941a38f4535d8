//! Creations that find the name taken, and creations whose answer got lost.

use ionroller::cloud::{CloudReader as _, CloudWriter as _, ErrorKind};
use ionroller::names::Digest;
use ionroller::observed::marks::{DIGEST, SERVICE};
use ionroller::observed::resources::{GroupSpec, TargetGroupSpec, TemplateSpec};
use serde_json::json;

use crate::harness::aws_server::Stage;

use super::{owner, release};

#[tokio::test]
async fn a_template_that_is_there_is_taken_over_if_it_is_ours() {
    let stage = Stage::new().await;
    let spec = stage.template(&release("one"));
    stage.cloud.create_template(&spec).await.unwrap();
    stage.cloud.create_template(&spec).await.unwrap();
    let changed = TemplateSpec { user_data: "#!/bin/sh\n".into(), ..spec.clone() };
    stage.cloud.create_template(&changed).await.unwrap();
    assert_eq!(stage.cloud.templates(&owner()).await.unwrap().len(), 1);
    let mut others = spec;
    others.tags.insert(DIGEST.into(), Digest::of(b"two").to_string());
    let error = stage.cloud.create_template(&others).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
}

#[tokio::test]
async fn a_target_group_that_is_there_is_taken_over_if_it_is_ours() {
    let stage = Stage::new().await;
    let (cloud, spec) = (&stage.cloud, stage.target_group(&release("one")));
    let arn = cloud.create_target_group(&spec).await.unwrap();
    assert_eq!(cloud.create_target_group(&spec).await.unwrap(), arn);
    let mut changed = spec.clone();
    changed.health_check.interval_secs = 30;
    assert_eq!(cloud.create_target_group(&changed).await.unwrap(), arn);
    assert_eq!(stage.found(&arn).await.unwrap().health_check.interval_secs, 30);
    let fixed = TargetGroupSpec { port: 8080, ..spec.clone() };
    let error = cloud.create_target_group(&fixed).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("HTTP 80, not HTTP 8080"), "{error}");
    let mut others = spec;
    others.tags.insert(DIGEST.into(), Digest::of(b"two").to_string());
    let error = cloud.create_target_group(&others).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
}

#[tokio::test]
async fn a_rule_that_is_there_is_taken_over_if_it_is_ours() {
    let stage = Stage::new().await;
    let blue = stage.cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let spec = stage.rule(120, vec![(blue, 100)]);
    let arn = stage.cloud.create_rule(&spec).await.unwrap();
    assert_eq!(stage.cloud.create_rule(&spec).await.unwrap(), arn);
    let mut others = spec;
    others.tags.insert(SERVICE.into(), "cart".into());
    let error = stage.cloud.create_rule(&others).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
}

#[tokio::test]
async fn a_group_that_is_there_is_taken_over_if_it_is_ours() {
    let stage = Stage::new().await;
    let (cloud, one, two) = (&stage.cloud, release("one"), release("two"));
    let target_group = stage.base(&one).await;
    stage.base(&two).await;
    let spec = stage.group(&one, Some(&target_group));
    cloud.create_group(&spec).await.unwrap();
    cloud.set_capacity(&spec.name, 3, 4, None).await.unwrap();
    cloud.create_group(&spec).await.unwrap();
    assert_eq!(cloud.groups(&owner()).await.unwrap()[0].min, 3, "what runs stays as it is");
    let others = GroupSpec { tags: two.tags.clone(), ..spec.clone() };
    let error = cloud.create_group(&others).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
    let template = GroupSpec { template: two.name.clone(), ..spec };
    let error = cloud.create_group(&template).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
}

#[tokio::test]
async fn a_name_that_is_being_deleted_is_for_later() {
    let stage = Stage::alone().await;
    // However busy the machine, it is not gone before the next call.
    stage.server.tell("settings", &json!({ "delete_delay_ms": 120_000 }));
    let one = release("one");
    stage.cloud.create_template(&stage.template(&one)).await.unwrap();
    let spec = GroupSpec { min: 0, ..stage.group(&one, None) };
    stage.cloud.create_group(&spec).await.unwrap();
    stage.cloud.delete_group(&spec.name).await.unwrap();
    let error = stage.cloud.create_group(&spec).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    let found = stage.cloud.groups(&owner()).await.unwrap();
    assert!(found.iter().all(|group| group.deleting));
    let error = stage.cloud.set_capacity(&spec.name, 1, 1, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
}

/// The server does each of them and hangs up; the client tries again and finds it done.
#[tokio::test]
async fn creations_survive_the_loss_of_their_answer() {
    let stage = Stage::alone().await;
    let lose = |operation: &str| {
        stage.server.tell("faults", &json!({ "operation": operation, "mode": "drop-after" }));
    };
    let one = release("one");
    lose("CreateLaunchTemplate");
    stage.cloud.create_template(&stage.template(&one)).await.unwrap();
    lose("CreateTargetGroup");
    let target_group = stage.cloud.create_target_group(&stage.target_group(&one)).await.unwrap();
    lose("CreateRule");
    stage.cloud.create_rule(&stage.rule(120, vec![(target_group.clone(), 100)])).await.unwrap();
    lose("CreateAutoScalingGroup");
    stage.cloud.create_group(&stage.group(&one, Some(&target_group))).await.unwrap();
    lose("DeleteRule");
    stage.cloud.delete_rule(&stage.rule_at(Some(120)).await.unwrap().arn).await.unwrap();
    let lost = stage.server.ask("calls");
    let lost = lost.as_array().unwrap().iter().filter(|call| call["fault"] == "drop-after").count();
    assert_eq!(lost, 5);
    assert_eq!(stage.cloud.templates(&owner()).await.unwrap().len(), 1);
    assert_eq!(stage.cloud.groups(&owner()).await.unwrap().len(), 1);
}

/// Somebody made a target group of the same name and settings: AWS says "made".
#[tokio::test]
async fn a_target_group_of_others_with_our_settings_is_not_ours() {
    let stage = Stage::new().await;
    let spec = stage.target_group(&release("one"));
    let arn = stage.cloud.create_target_group(&spec).await.unwrap();
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&stage.config);
    let keys = spec.tags.keys().map(ToString::to_string).collect();
    elb.remove_tags().resource_arns(arn.as_str()).set_tag_keys(Some(keys)).send().await.unwrap();
    let error = stage.cloud.create_target_group(&spec).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
}
