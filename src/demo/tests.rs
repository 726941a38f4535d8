//! The simulated AWS with real machines, and time that only the test moves.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::{HeaderName, StatusCode};

use crate::cloud::sim::fixture::{Release, cloud};
use crate::observed::resources::TargetHealth;
use crate::time::Span;

use super::*;

fn healths(cloud: &SimCloud) -> Vec<TargetHealth> {
    let world = cloud.world();
    world.target_groups.values().flat_map(|group| group.targets.values().map(|target| target.health)).collect()
}

#[tokio::test]
async fn health_is_what_the_machines_really_answer() {
    let cloud = cloud(1);
    Release::at_120("checkout", "1.2.0").start(&cloud, 2).await;
    cloud.change(|world| {
        let checks = world.target_groups.values_mut().map(|group| &mut group.health_check);
        checks.for_each(|check| check.path = Some("/health".to_owned()));
    });
    let client = Client::new();
    let mut fleet = Fleet::new(client.clone());
    fleet.follow(&cloud.world()).await.unwrap();
    cloud.advance(Span::from_secs(40));
    fleet.check(&cloud).await;
    cloud.advance(Span::from_secs(20));
    assert_eq!(healths(&cloud), [TargetHealth::Healthy; 2]);

    let addresses = fleet.addresses();
    for address in addresses.values() {
        for _ in 0..10 {
            let answer = client.get(format!("http://{address}/").parse().unwrap()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }
    }
    cloud.advance(Span::from_mins(5));
    assert_eq!(healths(&cloud), [TargetHealth::Healthy; 2], "nobody has asked again");
    fleet.check(&cloud).await;
    cloud.advance(Span::from_mins(1));
    assert_eq!(healths(&cloud), [TargetHealth::Unhealthy; 2]);
    fleet.end().await;
}

#[tokio::test]
async fn a_machine_lives_as_long_as_in_the_world() {
    let cloud = cloud(1);
    let release = Release::at_120("checkout", "1.0.0");
    release.start(&cloud, 2).await;
    let client = Client::new();
    let mut fleet = Fleet::new(client.clone());
    fleet.follow(&cloud.world()).await.unwrap();
    let before: BTreeMap<_, _> = fleet.addresses();
    assert_eq!(before.len(), 2);
    cloud.kill_instances(release.name.as_str(), 1);
    fleet.follow(&cloud.world()).await.unwrap();
    // The killed one is replaced by another.
    let after = fleet.addresses();
    let gone: Vec<_> = before.iter().filter(|(id, _)| !after.contains_key(*id)).collect();
    assert_eq!((after.len(), gone.len()), (2, 1));
    // It ends soon, not at once.
    let uri: axum::http::Uri = format!("http://{}/", gone[0].1).parse().unwrap();
    while client.get(uri.clone()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    fleet.end().await;
}

/// What the clients count when every request is answered so.
async fn counted(status: StatusCode, header: &'static str) -> (BTreeMap<String, u64>, u64, String) {
    let (listener, address) = listen().await.unwrap();
    let page = move || async move { (status, [(HeaderName::from_static(header), "1.0.0")], "said") };
    let served = tokio::spawn(axum::serve(listener, Router::new().fallback(page)).into_future());
    let counted = counted_at(address).await;
    served.abort();
    counted
}

async fn counted_at(address: SocketAddr) -> (BTreeMap<String, u64>, u64, String) {
    let load = load::Load::start(address, 1_000);
    while load.tally().total() < 20 {
        tokio::task::yield_now().await;
    }
    let tally = load.end().await;
    assert_eq!(tally.total(), tally.failed() + tally.answered().values().sum::<u64>());
    (tally.answered(), tally.failed(), tally.first_failure().unwrap_or_default())
}

#[tokio::test]
async fn whatever_is_no_page_of_a_version_is_a_failed_request() {
    let (answered, failed, _) = counted(StatusCode::OK, "x-version").await;
    assert!(answered["1.0.0"] >= 20 && failed == 0);
    for (status, header) in [
        (StatusCode::INTERNAL_SERVER_ERROR, "x-version"),
        (StatusCode::NOT_FOUND, "x-version"),
        (StatusCode::OK, "x-other"),
    ] {
        let (answered, failed, first) = counted(status, header).await;
        assert!(answered.is_empty() && failed >= 20);
        assert_eq!(first, format!("{status}: said"));
    }
    let (listener, nobody) = listen().await.unwrap();
    drop(listener);
    let (answered, failed, first) = counted_at(nobody).await;
    assert!(answered.is_empty() && failed >= 20 && first.contains("refused"), "{first}");
}

#[test]
fn shares_are_percents_that_sum_to_a_hundred() {
    let of = |counts: &[(&str, u64)]| story::shares(&counts.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect());
    assert_eq!(of(&[]), []);
    let thirds: Vec<u32> = of(&[("a", 1), ("b", 1), ("c", 1)]).into_iter().map(|(_, share)| share).collect();
    assert_eq!(thirds, [33, 33, 34]);
    assert_eq!(of(&[("a", 199), ("b", 1)])[1].1, 0);
}
