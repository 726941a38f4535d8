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

use super::world::{World, web};

/// Applies with the library: the same loop as the program's, without its limit on calls,
/// which would make this test wait for minutes.
async fn apply_unlimited(world: &World) {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(&world.url)
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

/// 105 services: two pages of groups. The calls of a reading at rest are pages, not services.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_one_page() {
    let world = World::new();
    world.post("settings", &json!({"max_rules_per_load_balancer": 200, "max_target_groups_per_load_balancer": 300}));
    world.write(
        "ionroller.toml",
        "scope = \"prod\"\nregion = \"eu-west-1\"\naccount = \"123456789012\"\n\n[limits]\nmax_concurrent_rollouts = 200\n",
    );
    for number in 0..105 {
        let mut file = web("1.0.0");
        (file.min, file.max, file.bake) = (1, 1, "0s".to_owned());
        file.deadline = "10m".to_owned();
        (file.priority, file.host) = (number + 1, format!("s{number}.example.com"));
        world.write(&format!("services/s{number}.toml"), &world.text(&file));
    }
    world.commit_all("all of them");
    apply_unlimited(&world).await;
    assert_eq!(world.groups().len(), 105);
    world.forget_calls();
    world.run(&["plan", "--detailed-exitcode"]).ended(0);
    let counts = world.get("calls/counts");
    assert_eq!(counts["DescribeAutoScalingGroups"], 2, "{counts}");
    assert_eq!(counts["DescribeLaunchTemplates"], 1, "{counts}");
    assert_eq!(counts["DescribeTargetGroups"], 1, "{counts}");
    assert_eq!(counts["DescribeRules"], 1, "{counts}");
    assert_eq!(counts["DescribeListeners"], 1, "{counts}");
    assert!(counts.get("DescribeTargetHealth").is_none(), "nothing is in a rollout: {counts}");
}
