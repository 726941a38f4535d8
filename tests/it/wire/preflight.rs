//! What a release needs and nobody made, asked of the AWS-compatible server.

use serde_json::{Value, json};

use super::world::{World, shares, web};

/// What the plan of `web` waits for, and that a run of `apply` makes nothing.
#[track_caller]
fn blocked(world: &World) -> String {
    let plan = world.run(&["plan", "--detailed-exitcode", "-o", "json"]).ended(1).json();
    let service = plan["services"].as_array().unwrap().iter().find(|one| one["name"] == "web").unwrap().clone();
    assert_eq!(
        (&service["change"], &service["waiting_on"]["reason"]),
        (&json!("blocked"), &json!("preflight")),
        "{service:#}"
    );
    world.forget_calls();
    world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert_eq!(world.mutations(), Vec::<String>::new());
    service["waiting_on"]["detail"].as_str().unwrap().to_owned()
}

fn with(world: &World, from: &str, to: &str) {
    let text = world.text(&web("1.1.0"));
    assert!(text.contains(from), "{from}: {text}");
    world.write("services/web.toml", &text.replace(from, to));
    world.commit_all(to);
}

/// field 17 and 13: everything that AWS refuses when the rest is made, each alone.
#[test]
fn what_does_not_exist_or_does_not_fit_is_found_before_anything_is_made() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    let (vpc, subnet) = (world.made["vpc_id"].as_str().unwrap(), world.made["subnet_ids"][0].as_str().unwrap());
    let group = world.made["security_group_id"].as_str().unwrap();
    // A third zone, which the load balancer hasn't.
    let made = world.by_hand(
        "ec2",
        &[
            ("Action", "CreateSubnet"),
            ("VpcId", vpc),
            ("CidrBlock", "10.0.192.0/18"),
            ("AvailabilityZone", "eu-west-1c"),
        ],
    );
    let (_, rest) = made.split_once("<subnetId>").unwrap_or_else(|| panic!("{made}"));
    let other = rest.split('<').next().unwrap();
    let ami = "ami-0123456789abcdef0";
    let (stranger, shared) = (world.group_of_another_vpc(), world.group_of_another_vpc());
    world.by_hand("ec2", &[("Action", "AssociateSecurityGroupVpc"), ("GroupId", &shared), ("VpcId", vpc)]);
    for (from, to, says) in [
        (subnet, "subnet-0000000000000dead", "subnet subnet-0000000000000dead does not exist"),
        (subnet, other, "is in zone eu-west-1c, which is not enabled for load balancer app/world"),
        (group, "sg-0000000000000dead", "security group sg-0000000000000dead does not exist"),
        (group, &stranger, &format!("security group {stranger} is in vpc-")),
        (ami, "ami-0000000000000dead", "image ami-0000000000000dead does not exist"),
        (ami, "name:nothing-{version}-*", "no available image of this account is named `nothing-1.1.0-*`"),
        ("t3.small", "t4g.small", "is made for x86_64, and instance type t4g.small runs arm64"),
    ] {
        with(&world, from, to);
        let detail = blocked(&world);
        assert!(detail.contains(says), "{to}: {detail}");
    }
    with(&world, group, &shared);
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
}

/// field 9: AWS lets no second target group into an action beside one with stickiness.
#[test]
fn stickiness_on_lives_target_group_is_found_before_anything_is_made() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    world.apply();
    let arn = world.group_of("1.0.0")["target_group_arns"][0].as_str().unwrap().to_owned();
    let set = |on: &str| {
        let attribute = [("Attributes.member.1.Key", "stickiness.enabled"), ("Attributes.member.1.Value", on)];
        let kind = [("Attributes.member.2.Key", "stickiness.type"), ("Attributes.member.2.Value", "lb_cookie")];
        let call = [("Action", "ModifyTargetGroupAttributes"), ("TargetGroupArn", arn.as_str())];
        let form: Vec<_> = call.into_iter().chain(attribute).chain(kind).collect();
        world.by_hand("elasticloadbalancing", &form);
    };
    set("true");
    world.commit(&web("1.1.0"));
    let detail = blocked(&world);
    assert!(detail.contains("You must enable group stickiness on a rule"), "{detail}");
    set("false");
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
}

/// Who may not look is told so, and releases all the same.
#[test]
fn a_denied_look_is_a_warning() {
    let world = World::new();
    world.commit(&web("1.0.0"));
    let faults: Vec<Value> = ["DescribeSubnets", "DescribeImages", "DescribeInstanceTypes"]
        .iter()
        .map(|operation| {
            let (code, message) = ("UnauthorizedOperation", "You are not authorized to perform this operation.");
            json!({"mode": "error-before", "operation": operation, "times": 0, "code": code, "message": message,
                "status": 403})
        })
        .collect();
    world.post("faults", &json!(faults));
    let plan = world.run(&["plan", "-o", "json"]).ended(0).json();
    let warnings = plan["diagnostics"].to_string();
    for permission in ["ec2:DescribeSubnets", "ec2:DescribeImages", "ec2:DescribeInstanceTypes"] {
        assert!(warnings.contains(permission), "{permission}: {warnings}");
    }
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.0.0", 100)]));
}
