//! More than one page of everything.

use serde_json::json;

use super::world::{World, web};

/// 105 services: two pages of groups; the calls of a reading at rest are pages, not services.
#[test]
fn more_than_one_page() {
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
    world.run(&["apply", "--timeout", "10m"]).ended(0);
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
