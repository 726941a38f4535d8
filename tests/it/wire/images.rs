//! Images by the pattern of their name: the own account's newest, when the template is made.

use serde_json::json;

use super::world::{Web, World, shares, web};

fn by_name(version: &str, pattern: &str) -> Web {
    Web { ami: format!("name:{pattern}"), ..web(version) }
}

fn register(world: &World, name: &str) -> String {
    let form = [("Action", "RegisterImage"), ("Name", name), ("RootDeviceName", "/dev/xvda")];
    let answer = world.by_hand("ec2", &form);
    answer.split("<imageId>").nth(1).and_then(|rest| rest.split('<').next()).expect("an image").to_owned()
}

/// The image of a version's launch template.
fn image(world: &World, version: &str) -> String {
    let state = world.state();
    let mut templates = state["launch_templates"].as_array().unwrap().iter();
    let found = templates.find(|one| one["tags"]["ionroller:version"] == version).expect("a template");
    found["image_id"].as_str().unwrap().to_owned()
}

#[test]
fn the_newest_match_of_the_own_account_is_taken_once() {
    let world = World::new();
    register(&world, "checkout-1.0.0-1");
    let newest = register(&world, "checkout-1.0.0-2");
    register(&world, "checkout-1.0.1-1");
    world.commit(&by_name("1.0.0", "checkout-{version}-*"));
    world.apply();
    assert_eq!(image(&world, "1.0.0"), newest);
    let asked = world.calls().into_iter().find(|call| call["operation"] == "DescribeImages").unwrap();
    assert_eq!(asked["params"]["Owner.1"], "self", "an image of somebody else with this name is none");
    // A newer image changes nothing: what runs is what was released.
    let newer = register(&world, "checkout-1.0.0-3");
    world.forget_calls();
    world.apply();
    assert_eq!((world.mutations(), image(&world, "1.0.0")), (Vec::<String>::new(), newest));
    world.commit(&Web {
        keys: "redeploy = \"the newer image\"\n".to_owned(),
        ..by_name("1.0.0", "checkout-{version}-*")
    });
    world.apply();
    let images: Vec<_> =
        world.state()["launch_templates"].as_array().unwrap().iter().map(|t| t["image_id"].clone()).collect();
    assert!(images.contains(&json!(newer)), "{images:?}");
}

#[test]
fn no_match_is_said_with_the_pattern_and_nothing_is_made() {
    let world = World::new();
    let first = register(&world, "checkout-1.0.0");
    world.commit(&by_name("1.0.0", "checkout-{version}"));
    world.apply();
    assert_eq!(image(&world, "1.0.0"), first);
    world.commit(&by_name("1.1.0", "checkout-{version}"));
    let ran = world.run(&["apply", "--timeout", "60s"]).ended(1);
    assert!(ran.stderr.contains("no available image of this account is named `checkout-1.1.0`"), "{}", ran.stderr);
    assert_eq!(world.templates(), ["1.0.0"]);
    assert_eq!(world.groups(), shares(&[("1.0.0", 2)]));
    // It is there now: nothing else has to be done.
    register(&world, "checkout-1.1.0");
    world.apply();
    assert_eq!(world.weights(), shares(&[("1.1.0", 100)]));
}
