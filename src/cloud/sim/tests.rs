//! The simulated AWS against the documents.

use std::collections::BTreeMap;

use crate::cloud::{CloudError, CloudReader, CloudWriter, ErrorKind, Tagged};
use crate::observed::resources::{Conditions, Lifecycle, Outcome, Policy, Tags, TargetHealth};
use crate::time::Span;

use super::fixture::{Release, cloud, listener, network_listener, rule_tags, run};
use super::world::{VersionRules, World};
use super::{SimCloud, file};

fn healths(cloud: &SimCloud, arn: &crate::names::TargetGroupArn) -> Vec<TargetHealth> {
    run(cloud.target_health(arn)).unwrap().into_values().collect()
}

fn instances(cloud: &SimCloud, release: &Release) -> Vec<(Lifecycle, bool)> {
    let world = cloud.world();
    world.groups[release.name.as_str()].instances.values().map(|m| (m.lifecycle, m.healthy)).collect()
}

fn refused<T: std::fmt::Debug>(result: Result<T, CloudError>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, error.code)
}

#[test]
fn a_release_boots_is_checked_and_becomes_healthy() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let (arn, _) = release.start(&cloud, 2).await;
        assert_eq!(instances(&cloud, &release), [(Lifecycle::Pending, true); 2]);
        assert_eq!(healths(&cloud, &arn), []);
        cloud.advance(Span::from_secs(30));
        assert_eq!(instances(&cloud, &release), [(Lifecycle::InService, true); 2]);
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Initial; 2]);
        let event = cloud.next_event().unwrap();
        assert_eq!(event.since(cloud.now()), Span::from_secs(20));
        cloud.advance_to(event);
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Healthy; 2]);
        let shares = &cloud.traffic()[0].1;
        assert_eq!((shares[0].weight, shares[0].healthy, shares[0].registered), (100, 2, 2));
        let activities = cloud.activities(release.name.as_str()).await.unwrap();
        assert!(activities.len() == 2 && activities.iter().all(|a| a.launch && a.outcome == Outcome::Successful));
    });
}
