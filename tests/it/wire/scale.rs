//! More than one page of everything.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use ionroller::cloud::aws::{AwsCloud, Connection, Limiter};
use ionroller::git::Repository;
use ionroller::reconcile::converge::{Until, converge};
use ionroller::reconcile::pace::RealTime;
use ionroller::reconcile::{ConfigRepository, Reconciler, Target};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::world::{ACCOUNT, World, web};

/// Applies with the library: the same loop as the program's, without its limit on calls,
/// which would make this test wait for minutes.
async fn apply_unlimited(world: &World) {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(world.server.url())
        .credentials_provider(Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "tests"))
        .load()
        .await;
    let connection = Connection { limiter: Arc::new(Limiter::off()), ..Connection::default() };
    let cloud = Arc::new(AwsCloud::from_config(&config, &connection).unwrap());
    let repository = Repository::open_local(&world.repo()).unwrap();
    let commit = repository.resolve("HEAD").unwrap();
    let repository = ConfigRepository::new(repository, ".");
    let target = Target::new(repository.desired(&commit).unwrap(), Some(repository)).unwrap();
    let reconciler = Reconciler::new(cloud, BTreeSet::new(), CancellationToken::new());
    let end = converge(&reconciler, &target, &RealTime, Until::default(), &|_| {}, &mut |_| {}).await.unwrap();
    assert!(end.stuck.is_empty() && end.failed.is_empty(), "{:?} {:?}", end.stuck, end.failed);
}

/// Nine services on three listeners, and pages of four at most, then of two: a listing that
/// stopped at its first page would make things again, or take them for gone. Pages of
/// AWS's own size are among the tests of the adapter. The calls of a reading at rest are
/// pages, not services.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_one_page() {
    let mut world = World::with(
        &json!({"listeners": [8081, 8082]}),
        &format!("account = \"{ACCOUNT}\"\n\n[limits]\nmax_concurrent_rollouts = 200\nmax_releases_per_change = 50\n"),
    );
    world.post("settings", &json!({"most_per_page": 4}));
    write_all(&mut world, "1.0.0");
    apply_unlimited(&world).await;
    write_all(&mut world, "1.1.0");
    apply_unlimited(&world).await;
    let state = world.state();
    let count = |kind: &str| state[kind].as_array().unwrap().len();
    assert_eq!(["groups", "launch_templates", "target_groups", "rules"].map(count), [18, 18, 18, 9]);
    assert!(
        state["rules"]
            .as_array()
            .unwrap()
            .iter()
            .all(|rule| rule["actions"][0]["weights"].as_array().unwrap().len() == 2)
    );

    world.post("settings", &json!({"most_per_page": 2}));
    world.forget_calls();
    world.run(&["plan", "--detailed-exitcode"]).ended(0);
    let counts = world.get("calls/counts");
    assert_eq!(counts["DescribeAutoScalingGroups"], 9, "{counts}");
    assert_eq!(counts["DescribeLaunchTemplates"], 9, "{counts}");
    assert_eq!(counts["DescribeTargetGroups"], 9, "{counts}");
    assert_eq!(counts["DescribeRules"], 3 * 2, "three rules and the default one on each listener: {counts}");
    assert_eq!(counts["DescribeListeners"], 2, "{counts}");
}

fn write_all(world: &mut World, version: &str) {
    let listeners = ["80", "8081", "8082"].map(|port| world.made["listeners"][port].as_str().unwrap().to_owned());
    for number in 0..9_u32 {
        let mut file = web(version).at(number + 1, &format!("s{number}.example.com"));
        (file.min, file.max, file.bake, file.steps) = (1, 1, "0s".to_owned(), "[100]".to_owned());
        file.deadline = "10m".to_owned();
        world.listener.clone_from(&listeners[number as usize % 3]);
        world.write(&format!("services/s{number}.toml"), &world.text(&file));
    }
    world.commit_all(version);
}
