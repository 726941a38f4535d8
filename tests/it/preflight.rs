//! What a release needs and nobody made: the plan says it, and nothing of it is made.

use std::collections::BTreeSet;

use ionroller::cloud::sim::world::World;
use serde_json::Value;

use crate::harness::place::Place;

/// The world file, changed between two runs.
fn change<T>(place: &Place, change: impl FnOnce(&mut World) -> T) {
    let path = place.dir.path().join("world.json");
    let mut world = World::load(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut world);
    std::fs::write(&path, world.save().unwrap()).unwrap();
}

/// Groups, templates, target groups and rules.
fn things(place: &Place) -> [usize; 4] {
    let path = place.dir.path().join("world.json");
    let world = World::load(&std::fs::read_to_string(&path).unwrap()).unwrap();
    [world.groups.len(), world.templates.len(), world.target_groups.len(), world.rules.len()]
}

fn website(plan: &Value) -> Value {
    plan["services"].as_array().unwrap().iter().find(|service| service["name"] == "website").unwrap().clone()
}

/// A place whose `website` has settled, with a new release in Git.
fn new_release() -> Place {
    let place = Place::new();
    place.run(&["apply"]).ended(0);
    place.release("2026.04.0");
    place
}

/// field 17: "plan '1 create', exit 0; apply fails half-way".
#[test]
fn a_subnet_that_does_not_exist_is_found_by_the_plan() {
    let place = new_release();
    change(&place, |world| world.surroundings.missing.insert("subnet-0a1b2c3d4e5f60718".to_owned()));
    let before = things(&place);
    let ran = place.run(&["plan", "--detailed-exitcode", "-o", "json"]).ended(1);
    let (plan, service) = (ran.json(), website(&ran.json()));
    assert_eq!((&service["change"], &service["phase"]), (&"blocked".into(), &"blocked".into()), "{service:#}");
    assert_eq!(service["waiting_on"]["reason"], "preflight");
    let detail = service["waiting_on"]["detail"].as_str().unwrap();
    assert!(detail.contains("The subnet ID 'subnet-0a1b2c3d4e5f60718' does not exist"), "{detail}");
    // Where the file says it, or the defaults do.
    let said = plan["diagnostics"].as_array().unwrap().iter().find(|said| {
        said["severity"] == "error" && said["message"].as_str().unwrap().contains("service website: subnet")
    });
    let said = said.unwrap_or_else(|| panic!("{plan:#}"));
    let file = std::fs::read_to_string(place.repo().join(said["file"].as_str().unwrap())).unwrap();
    let line = usize::try_from(said["line"].as_u64().unwrap()).unwrap();
    assert!(file.lines().nth(line - 1).unwrap().starts_with("subnets"), "{said}");
    assert!(said["help"].as_str().unwrap().contains("network.subnets"), "{said}");
    // Everybody says the same, and nothing is made.
    let apply = place.run(&["apply"]).ended(1);
    assert!(apply.stderr.contains("does not exist"), "{}", apply.stderr);
    assert_eq!(things(&place), before);
    assert_eq!(place.service("website")["waiting_on"]["reason"], "preflight");
    change(&place, |world| world.surroundings.missing.clear());
    place.run(&["apply"]).ended(0);
    assert_eq!(place.service("website")["live"]["version"], "2026.04.0");
}

/// field 13: "a subnet in a zone that the load balancer doesn't have".
#[test]
fn a_zone_that_the_load_balancer_does_not_have_is_found_by_the_plan() {
    let place = new_release();
    change(&place, |world| world.subnets_off_balancer.insert("subnet-0b2c3d4e5f6071829".to_owned()));
    let before = things(&place);
    let service = website(&place.run(&["plan", "-o", "json"]).json());
    let detail = service["waiting_on"]["detail"].as_str().unwrap_or_else(|| panic!("{service:#}"));
    assert!(detail.contains("not enabled for load balancer") && detail.contains("Target.NotInUse"), "{detail}");
    place.run(&["apply"]).ended(1);
    assert_eq!(things(&place), before);
}

/// field 9: target stickiness on live's target group.
#[test]
fn stickiness_on_lives_target_group_is_found_by_the_plan() {
    let place = new_release();
    change(&place, |world| world.target_groups.values_mut().for_each(|group| group.sticky = true));
    let before = things(&place);
    let service = website(&place.run(&["plan", "-o", "json"]).json());
    let detail = service["waiting_on"]["detail"].as_str().unwrap_or_else(|| panic!("{service:#}"));
    assert!(detail.contains("You must enable group stickiness on a rule"), "{detail}");
    place.run(&["apply"]).ended(1);
    assert_eq!(things(&place), before);
}

/// Who may not look is told so, and releases all the same.
#[test]
fn a_denied_look_is_a_warning() {
    let place = new_release();
    let denied = ["DescribeSubnets", "DescribeImages", "DescribeLoadBalancers"];
    let denied: BTreeSet<String> = denied.map(str::to_owned).into();
    change(&place, |world| world.surroundings.denied = denied);
    let plan = place.run(&["plan", "-o", "json"]).ended(0).json();
    assert_eq!(website(&plan)["change"], "release");
    let help = |permission: &str| {
        plan["diagnostics"].as_array().unwrap().iter().any(|said| {
            let help = said["help"].as_str().unwrap_or_default();
            said["severity"] == "warning" && help.contains(permission)
        })
    };
    for permission in ["ec2:DescribeSubnets", "ec2:DescribeImages", "elasticloadbalancing:DescribeLoadBalancers"] {
        assert!(help(permission), "{permission}: {plan:#}");
    }
    place.run(&["apply"]).ended(0);
    assert_eq!(place.service("website")["live"]["version"], "2026.04.0");
}

/// A revert to machines that stand asks for nothing.
#[test]
fn a_revert_is_never_held_back() {
    let place = new_release();
    place.run(&["apply"]).ended(0);
    change(&place, |world| {
        let all = ["subnet-0a1b2c3d4e5f60718", "sg-0c3d4e5f607182930", "t3.micro"];
        world.surroundings.missing.extend(all.map(str::to_owned));
        world.surroundings.vpcs.insert("subnet-0b2c3d4e5f6071829".to_owned(), "vpc-2".to_owned());
    });
    place.git(&["revert", "--no-edit", "HEAD"]);
    place.run(&["apply"]).ended(0);
    assert_eq!(place.service("website")["live"]["version"], "2026.03.1");
}
