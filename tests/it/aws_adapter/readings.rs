//! Listings of many pages, and what a reading costs.

use std::collections::{BTreeMap, BTreeSet};

use ionroller::cloud::observe::{Query, TagCache, observe};
use ionroller::cloud::{CloudReader as _, CloudWriter as _, ErrorKind, RuleSpec};
use ionroller::names::{RuleArn, ServiceName};
use ionroller::observed::resources::GroupSpec;
use ionroller::observed::state::{Place, Slot};
use serde_json::json;

use crate::harness::aws_server::Stage;

use super::{owner, release, release_of, rule_tags, scope};

#[tokio::test]
async fn a_listener_that_does_not_exist_fails_the_call() {
    let stage = Stage::new().await;
    let gone = stage.listener.as_str().rsplit_once('/').unwrap().0.to_owned() + "/0123456789abcdef";
    let arns = [stage.listener.clone(), gone.parse().unwrap()];
    let error = stage.cloud.listeners(&arns).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert_eq!(stage.cloud.listeners(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn one_that_is_gone_costs_no_other_its_tags() {
    let stage = Stage::new().await;
    let blue = stage.cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let mut arns = Vec::new();
    for priority in 1..=45 {
        arns.push(stage.cloud.create_rule(&stage.rule(priority, vec![(blue.clone(), 1)])).await.unwrap());
    }
    for gone in [0, 7, 8, 44] {
        stage.cloud.delete_rule(&arns[gone]).await.unwrap();
    }
    let asked: Vec<String> = arns.iter().map(RuleArn::to_string).collect();
    let found = stage.cloud.tags(&asked).await.unwrap();
    assert_eq!(found.len(), 41);
    assert!(found.values().all(|tags| *tags == rule_tags(&release(""))));
}

#[tokio::test]
async fn listings_go_on_to_the_last_page() {
    // A full account makes the server slow for all.
    let stage = Stage::alone().await;
    let cloud = &stage.cloud;
    let blue = cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&stage.config);
    let before = cloud.target_groups().await.unwrap().len();
    for number in 0..410 {
        let one = release(&number.to_string());
        // Of others, so that one call does.
        let other = elb.create_target_group().name(format!("other-{number}")).port(1).protocol("HTTP".into());
        other.vpc_id(&stage.vpc).send().await.unwrap();
        if number < 210 {
            cloud.create_template(&stage.template(&one)).await.unwrap();
        }
        if number < 105 {
            cloud.create_group(&GroupSpec { min: 0, ..stage.group(&one, None) }).await.unwrap();
        }
        if number < 60 {
            cloud.create_rule(&stage.rule(number + 1, vec![(blue.clone(), 1)])).await.unwrap();
        }
    }
    assert_eq!(cloud.target_groups().await.unwrap().len(), before + 410);
    assert_eq!(cloud.templates(&owner()).await.unwrap().len(), 210);
    assert_eq!(cloud.groups(&owner()).await.unwrap().len(), 105);
    assert_eq!(cloud.rules(&stage.listener).await.unwrap().len(), 61);
}

/// What a reading of some services behind one listener costs, by operation.
async fn costs(services: u32, region: &'static str) -> [BTreeMap<String, u32>; 2] {
    let stage = Stage::in_region(region).await;
    let mut places = BTreeMap::new();
    for number in 1..=services {
        let one = release_of(&format!("service-{number}"), "");
        let target_group = stage.base(&one).await;
        stage.cloud.create_group(&GroupSpec { min: 0, ..stage.group(&one, Some(&target_group)) }).await.unwrap();
        let rule = stage.rule(number, vec![(target_group, 100)]);
        stage.cloud.create_rule(&RuleSpec { tags: rule_tags(&one), ..rule }).await.unwrap();
        let place = Place { listener: stage.listener.clone(), priority: Some(number) };
        places.insert(ServiceName::parse(&format!("service-{number}")).unwrap(), place);
    }
    let query = Query { scope: scope(), service: None, places, listeners: BTreeSet::new() };
    let (cache, mut counts) = (TagCache::default(), Vec::new());
    for _ in 0..2 {
        let before = stage.calls_in(region).len();
        let seen = observe(&stage.cloud, &cache, &query).await.unwrap();
        assert_eq!(seen.services.len(), services as usize);
        for state in seen.services.values() {
            assert_eq!((state.incomplete.as_ref(), state.slot.as_ref()), (None, Some(&Slot::Ours)));
            assert_eq!(state.groups.values().map(|group| group.weight).collect::<Vec<_>>(), [Some(100)]);
        }
        let mut count: BTreeMap<String, u32> = BTreeMap::new();
        for operation in stage.calls_in(region).split_off(before) {
            *count.entry(operation).or_default() += 1;
        }
        counts.push(count);
    }
    counts.try_into().unwrap()
}

#[tokio::test]
async fn a_reading_costs_pages_and_not_services() {
    let steady: BTreeMap<String, u32> = [
        ("DescribeAutoScalingGroups", 1),
        ("DescribeLaunchTemplates", 1),
        ("DescribeListeners", 1),
        ("DescribeRules", 1),
        ("DescribeTargetGroups", 1),
    ]
    .map(|(operation, count)| (operation.to_owned(), count))
    .into();
    for (services, region) in [(1, "ap-south-1"), (30, "ap-east-1")] {
        let [mut first, again] = costs(services, region).await;
        assert_eq!(again, steady, "{services} services");
        let tags = first.remove("DescribeTags");
        assert_eq!(tags, Some(services.div_ceil(20)), "of the rules, twenty a call");
        assert_eq!(first, steady);
    }
}

#[tokio::test]
async fn a_throttled_call_is_tried_again_and_then_told() {
    let stage = Stage::alone().await;
    let fault = |times: u32| {
        let how = json!({ "operation": "DescribeRules", "mode": "error-before", "code": "Throttling", "times": times });
        stage.server.tell("faults", &how);
    };
    fault(1);
    assert_eq!(stage.cloud.rules(&stage.listener).await.unwrap().len(), 1);
    fault(0);
    let error = stage.cloud.rules(&stage.listener).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Throttled, "Throttling"));
}
