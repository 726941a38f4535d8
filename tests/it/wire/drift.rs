//! What somebody else changes of what is ours, and what of a rule is not ours, on the wire.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{ACCOUNT, Web, World, shares, web};

fn with_foreign() -> World {
    World::with(&json!({"foreign": 2}), &format!("account = \"{ACCOUNT}\"\n"))
}

fn foreign(world: &World) -> String {
    world.made["foreign_target_group_arn"].as_str().unwrap().to_owned()
}

/// All rules of the listener, as AWS answers.
fn rules(world: &World) -> String {
    world.by_hand("elasticloadbalancing", &[("Action", "DescribeRules"), ("ListenerArn", &world.listener)])
}

/// The ARN of our only rule.
fn rule(world: &World) -> String {
    world.state()["rules"][0]["arn"].as_str().unwrap().to_owned()
}

/// Somebody adds `source-ip` to our rule.
fn add_source_ip(world: &World) {
    let rule = rule(world);
    let form = [
        ("Action", "ModifyRule"),
        ("RuleArn", &rule),
        ("Conditions.member.1.Field", "host-header"),
        ("Conditions.member.1.HostHeaderConfig.Values.member.1", "web.example.com"),
        ("Conditions.member.2.Field", "source-ip"),
        ("Conditions.member.2.SourceIpConfig.Values.member.1", "10.0.0.0/8"),
    ];
    world.by_hand("elasticloadbalancing", &form);
    assert!(rules(world).contains("10.0.0.0/8"));
}

fn drift(plan: &Value) -> Vec<(String, String)> {
    let all = plan["drift"].as_array().unwrap().iter();
    all.map(|one| (one["field"].as_str().unwrap().to_owned(), one["found"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_rule_that_asks_more_than_the_file_is_not_taken_over() {
    let world = with_foreign();
    let foreign = foreign(&world);
    let form = [
        ("Action", "CreateRule"),
        ("ListenerArn", world.listener.as_str()),
        ("Priority", "10"),
        ("Conditions.member.1.Field", "host-header"),
        ("Conditions.member.1.HostHeaderConfig.Values.member.1", "web.example.com"),
        ("Conditions.member.2.Field", "source-ip"),
        ("Conditions.member.2.SourceIpConfig.Values.member.1", "10.0.0.0/8"),
        ("Actions.member.1.Type", "forward"),
        ("Actions.member.1.TargetGroupArn", &foreign),
    ];
    world.by_hand("elasticloadbalancing", &form);
    world.commit(&Web { balancer: "adopt = true\n".to_owned(), ..web("1.0.0") });
    world.forget_calls();
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(
        ran.stdout.contains("source IP 10.0.0.0/8") || ran.stderr.contains("source IP 10.0.0.0/8"),
        "{}",
        ran.stderr
    );
    assert_eq!(world.mutations(), Vec::<String>::new());
    assert!(rules(&world).contains("10.0.0.0/8"));
}

#[test]
fn a_condition_that_somebody_adds_is_shown_and_taken_out_at_rest_before_a_release_and_a_revert() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    add_source_ip(&world);
    let plan = world.plan();
    assert_eq!(plan["change"], "update");
    assert_eq!(drift(&plan), [("conditions".to_owned(), "host web.example.com, source IP 10.0.0.0/8".to_owned())]);
    let text = world.run(&["plan", "--detailed-exitcode"]).ended(2).stdout;
    assert!(text.contains("source IP 10.0.0.0/8"), "{text}");
    let markdown = world.run(&["plan", "-o", "markdown"]).ended(0).stdout;
    assert!(markdown.contains("source IP 10.0.0.0/8"), "{markdown}");
    world.apply();
    assert!(!rules(&world).contains("10.0.0.0/8"), "{}", rules(&world));

    add_source_ip(&world);
    world.commit(&web("1.1.0"));
    assert_eq!(drift(&world.plan())[0].0, "conditions");
    world.apply();
    assert!(!rules(&world).contains("10.0.0.0/8"));
    add_source_ip(&world);
    world.revert();
    let text = world.run(&["plan"]).ended(0).stdout;
    assert!(text.contains("source IP 10.0.0.0/8"), "{text}");
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    assert!(!rules(&world).contains("10.0.0.0/8"));
}

#[test]
fn a_target_group_of_somebody_elses_blocks_neither_a_release_nor_a_revert() {
    let world = with_foreign();
    world.commit(&web("1.0.0"));
    world.apply();
    let let_in = |world: &World| {
        let (rule, foreign) = (rule(world), foreign(world));
        let ours = world.state()["target_groups"].as_array().unwrap().iter().find_map(|group| {
            let name = group["name"].as_str().unwrap();
            name.starts_with("web-").then(|| group["arn"].as_str().unwrap().to_owned())
        });
        let form = [
            ("Action", "ModifyRule"),
            ("RuleArn", rule.as_str()),
            ("Actions.member.1.Type", "forward"),
            ("Actions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", &ours.unwrap()),
            ("Actions.member.1.ForwardConfig.TargetGroups.member.1.Weight", "95"),
            ("Actions.member.1.ForwardConfig.TargetGroups.member.2.TargetGroupArn", &foreign),
            ("Actions.member.1.ForwardConfig.TargetGroups.member.2.Weight", "5"),
        ];
        world.by_hand("elasticloadbalancing", &form);
    };
    let_in(&world);
    assert_eq!(drift(&world.plan())[0].0, "target-groups");
    world.commit(&web("1.1.0"));
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
    world.revert();
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
    assert_eq!(drift(&world.plan()), []);
}

#[test]
fn a_target_group_that_was_detached_is_attached_again() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    let group = world.group_of("1.0.0")["name"].as_str().unwrap().to_owned();
    let arn = world.state()["target_groups"][0]["arn"].as_str().unwrap().to_owned();
    let form = [
        ("Action", "DetachLoadBalancerTargetGroups"),
        ("AutoScalingGroupName", group.as_str()),
        ("TargetGroupARNs.member.1", &arn),
    ];
    world.by_hand("autoscaling", &form);
    assert_eq!(drift(&world.plan())[0].0, "attachment");
    let text = world.run(&["plan", "--detailed-exitcode"]).ended(2).stdout;
    assert!(text.contains("target group was detached"), "{text}");
    world.apply();
    assert_eq!(drift(&world.plan()), []);
    world.until("machines behind it", |world| {
        world.state()["target_groups"][0]["targets"].as_array().is_some_and(|targets| targets.len() == 2)
    });
}

/// Protected machines would stay for ever.
#[test]
fn what_is_emptied_loses_its_scale_in_protection() {
    let world = World::new();
    let short = |version| Web { warm: "3s".to_owned(), ..web(version) };
    world.commit(&short("1.0.0"));
    world.apply();
    let group = world.group_of("1.0.0");
    let name = group["name"].as_str().unwrap().to_owned();
    let machines: Vec<String> = group["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|machine| machine["id"].as_str().unwrap().to_owned())
        .collect();
    let mut form = vec![
        ("Action", "SetInstanceProtection"),
        ("AutoScalingGroupName", name.as_str()),
        ("ProtectedFromScaleIn", "true"),
    ];
    let keys = ["InstanceIds.member.1", "InstanceIds.member.2"];
    form.extend(keys.into_iter().zip(machines.iter().map(String::as_str)));
    world.by_hand("autoscaling", &form);
    assert_eq!(drift(&world.plan())[0].0, "scale-in-protection");
    world.commit(&short("1.1.0"));
    let ran = world.run(&["apply", "--wait", "retired", "--timeout", "120s"]);
    ran.ended(0);
    world.until_within(Duration::from_secs(30), "the old group gone", |world| world.groups().len() == 1);
}
