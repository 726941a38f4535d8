//! Readings of a simulated world, and what they cost.

use std::collections::{BTreeMap, BTreeSet};

use crate::cloud::faulty::{Failure, FaultyCloud, Odds, Trigger};
use crate::cloud::sim::SimCloud;
use crate::cloud::sim::fixture::{Release, cloud, listener, network_listener, run, scope, service};
use crate::cloud::{CloudReader, CloudWriter, ErrorKind, Tagged};
use crate::names::{RuleArn, ServiceName};
use crate::observed::marks;
use crate::observed::prerequisites::{Found, Kind, Needed};
use crate::observed::resources::Kept;
use crate::observed::state::{Observation, Place, Slot};
use crate::time::Span;

use super::{Query, TagCache, Wants, complete, observe};

fn query(places: impl IntoIterator<Item = (ServiceName, Place)>) -> Query {
    Query { scope: scope(), service: None, places: places.into_iter().collect(), listeners: BTreeSet::new() }
}

fn place_of(release: &Release) -> (ServiceName, Place) {
    (release.identity.service.clone(), release.place.clone())
}

fn read(cloud: &dyn CloudReader, cache: &TagCache, query: &Query) -> Observation {
    run(observe(cloud, cache, query)).unwrap()
}

/// Two services on two load balancers.
fn checkout_and_cart() -> (SimCloud, Release, Release) {
    let cloud = cloud(2);
    let checkout = Release::at_120("checkout", "1.0.0");
    let cart = Release::new("cart", "1.0.0", Place { listener: listener(1), priority: Some(7) });
    run(checkout.start(&cloud, 1));
    run(cart.start(&cloud, 1));
    cloud.advance(Span::from_mins(2));
    (cloud, checkout, cart)
}

#[test]
fn a_running_service_is_read_whole() {
    let cloud = cloud(1);
    let release = Release::at_120("checkout", "1.0.0");
    run(release.start(&cloud, 2));
    cloud.advance(Span::from_mins(2));
    let mut seen = read(&cloud, &TagCache::default(), &query([place_of(&release)]));
    let name = service("checkout");
    run(complete(&cloud, &mut seen, &BTreeMap::from([(name.clone(), all(&release))])));
    let state = &seen.services[&name];
    assert_eq!((state.incomplete.as_ref(), state.slot.as_ref()), (None, Some(&Slot::Ours)));
    let group = &state.groups[&release.name];
    assert_eq!(group.weight, Some(100));
    let healthy = group
        .targets
        .as_ref()
        .unwrap()
        .values()
        .filter(|target| target.health == crate::observed::resources::TargetHealth::Healthy);
    assert_eq!(healthy.count(), 2);
    assert_eq!(group.details.as_ref().unwrap().deregistration_delay, Some(Span::from_secs(30)));
    assert_eq!(group.activities.as_ref().unwrap().len(), 2);
    assert!(group.template.is_some() && group.step().is_some());
    assert_eq!(seen.unreadable, Vec::<String>::new());
}

fn all(release: &Release) -> Wants {
    let group = vec![release.name.clone()];
    Wants { health: group.clone(), activities: group.clone(), details: group, ..Wants::default() }
}

/// Operations and how often they were called.
fn costs(cloud: &SimCloud) -> BTreeMap<&'static str, usize> {
    let mut costs = BTreeMap::new();
    for call in cloud.calls() {
        *costs.entry(call.operation).or_default() += 1;
    }
    costs
}

#[test]
fn a_reading_costs_pages_and_not_services() {
    // Services, listeners; then pages of groups, templates, target groups, and of tags when
    // nothing is remembered yet.
    for (services, listeners, [groups, templates, target_groups, tags]) in
        [(1, 1, [1, 1, 1, 1]), (60, 1, [1, 1, 1, 3]), (250, 3, [3, 2, 1, 13])]
    {
        let cloud = cloud(listeners);
        let release = |n: usize| {
            let place = Place { listener: listener(n % listeners), priority: Some(u32::try_from(n).unwrap() + 1) };
            Release::new(&format!("service-{n}"), "1.0.0", place)
        };
        for n in 0..services {
            run(release(n).start(&cloud, 1));
        }
        cloud.advance(Span::from_mins(2));
        let (cache, query) = (TagCache::default(), query((0..services).map(|n| place_of(&release(n)))));
        for tags in [Some(("DescribeTags", tags)), None] {
            cloud.forget_calls();
            let seen = read(&cloud, &cache, &query);
            assert_eq!(seen.services.len(), services);
            let whole = seen.services.values().filter(|s| s.incomplete.is_none() && s.slot == Some(Slot::Ours));
            assert_eq!(whole.count(), services);
            let expected = [
                ("DescribeAutoScalingGroups", groups),
                ("DescribeLaunchTemplates", templates),
                ("DescribeTargetGroups", target_groups),
                ("DescribeListeners", 1),
                ("DescribeRules", listeners),
            ];
            assert_eq!(costs(&cloud), expected.into_iter().chain(tags).collect(), "{services} services");
        }
    }
}

#[test]
fn an_empty_scope_asks_for_no_listener() {
    let cloud = cloud(1);
    let seen = read(&cloud, &TagCache::default(), &query([]));
    assert_eq!(seen.services.len(), 0);
    assert_eq!(cloud.calls().len(), 3);
}

#[test]
fn a_failed_page_voids_the_whole_pass() {
    for operation in ["DescribeAutoScalingGroups", "DescribeLaunchTemplates", "DescribeTargetGroups"] {
        let (cloud, checkout, _) = checkout_and_cart();
        let cloud = FaultyCloud::new(cloud);
        cloud.add(Trigger::Operation(operation, 1), Failure::Before(ErrorKind::Throttled));
        let error = run(observe(&cloud, &TagCache::default(), &query([place_of(&checkout)]))).unwrap_err();
        assert_eq!((error.operation, error.kind), (operation, ErrorKind::Throttled));
    }
}

#[test]
fn rules_or_tags_that_fail_void_their_listener_alone() {
    for operation in ["DescribeRules", "DescribeTags"] {
        let (sim, checkout, cart) = checkout_and_cart();
        let cloud = FaultyCloud::new(sim);
        let cache = TagCache::default();
        if operation == "DescribeTags" {
            // Only the rule of the first listener is not known yet.
            read(&cloud, &cache, &query([place_of(&cart)]));
            cache.forget(cloud.inner().world().rules.keys().next().unwrap().as_str());
        }
        let again = if operation == "DescribeTags" { 2 } else { 1 };
        cloud.add(Trigger::Operation(operation, again), Failure::After);
        let seen = read(&cloud, &cache, &query([place_of(&checkout), place_of(&cart)]));
        let incomplete = |name: &str| seen.services[&service(name)].incomplete.clone();
        assert!(incomplete("checkout").unwrap().contains("no usable answer"), "{operation}");
        assert_eq!(incomplete("cart"), None, "{operation}");
        assert_eq!(seen.services[&service("cart")].slot, Some(Slot::Ours));
    }
}

#[test]
fn a_listener_that_is_gone_does_not_hide_the_others() {
    let (cloud, checkout, _) = checkout_and_cart();
    let gone = Place { listener: listener(9), priority: Some(1) };
    cloud.forget_calls();
    let seen = read(&cloud, &TagCache::default(), &query([place_of(&checkout), (service("search"), gone)]));
    let slot = |name: &str| seen.services[&service(name)].slot.clone();
    assert_eq!((slot("checkout"), slot("search")), (Some(Slot::Ours), Some(Slot::NoListener)));
    assert_eq!(seen.services[&service("search")].incomplete, None);
    // One for all, then one each: also the one that cart's group says its rule is on.
    assert_eq!(costs(&cloud)["DescribeListeners"], 1 + 3);
}

#[test]
fn a_listener_that_still_fails_voids_its_services() {
    let (cloud, checkout, cart) = checkout_and_cart();
    let cloud = FaultyCloud::new(cloud);
    for nth in [1, 2] {
        let denied = Failure::Before(ErrorKind::Denied);
        cloud.add(Trigger::Operation("DescribeListeners", nth), denied);
    }
    let seen = read(&cloud, &TagCache::default(), &query([place_of(&checkout), place_of(&cart)]));
    let state = |name: &str| &seen.services[&service(name)];
    assert!(state("checkout").incomplete.as_ref().unwrap().contains("is not allowed"));
    assert_eq!(state("checkout").slot, None);
    assert_eq!((state("cart").incomplete.as_ref(), state("cart").slot.as_ref()), (None, Some(&Slot::Ours)));
}

#[test]
fn one_service_is_read_without_the_others() {
    let (cloud, checkout, cart) = checkout_and_cart();
    cloud.forget_calls();
    let mut query = query([place_of(&checkout), place_of(&cart)]);
    query.service = Some(service("cart"));
    let seen = read(&cloud, &TagCache::default(), &query);
    assert_eq!(seen.services.keys().collect::<Vec<_>>(), [&service("cart")]);
    assert_eq!(seen.services[&service("cart")].groups.len(), 1);
    assert_eq!(costs(&cloud)["DescribeRules"], 1);
}

#[test]
fn a_network_load_balancer_needs_no_rules() {
    let cloud = cloud(0);
    cloud.change(|world| world.add_listener(network_listener()));
    let mut release = Release::new("raw", "1.0.0", Place { listener: network_listener(), priority: None });
    release.protocol = "TCP";
    let arn = run(release.provision(&cloud, 1));
    let slot = || {
        let seen = read(&cloud, &TagCache::default(), &query([place_of(&release)]));
        let state = &seen.services[&service("raw")];
        (state.slot.clone().unwrap(), state.groups[&release.name].weight)
    };
    assert_eq!(slot(), (Slot::Free, None));
    run(cloud.set_rule(&network_listener().default_rule(), None, &[(arn, 100)], &Kept::default())).unwrap();
    assert_eq!(slot(), (Slot::Ours, Some(100)));
    assert_eq!(costs(&cloud).get("DescribeRules"), None);
}

#[test]
fn what_is_left_of_a_release_in_a_rule_is_known_by_its_tags() {
    let (cloud, checkout, _) = checkout_and_cart();
    cloud.delete_group_by_hand(checkout.name.as_str());
    cloud.change(|world| world.templates.clear());
    cloud.advance(Span::from_mins(1));
    let seen = read(&cloud, &TagCache::default(), &query([place_of(&checkout)]));
    let group = &seen.services[&service("checkout")].groups[&checkout.name];
    assert_eq!((group.weight, group.group.is_none(), group.template.is_none()), (Some(100), true, true));
    // A remembered rule and an unread target group: its rule can't be understood.
    let cloud = FaultyCloud::new(cloud);
    cloud.add(Trigger::Operation("DescribeTags", 2), Failure::After);
    let seen = read(&cloud, &TagCache::default(), &query([place_of(&checkout)]));
    assert!(seen.services[&service("checkout")].incomplete.is_some());
}

#[test]
fn a_rule_that_changes_hands_is_forgotten_on_request() {
    let (cloud, checkout, _) = checkout_and_cart();
    let (cache, query) = (TagCache::default(), query([place_of(&checkout)]));
    read(&cloud, &cache, &query);
    let world = cloud.world();
    let (rule, _) = world.rules.iter().find(|(_, rule)| rule.listener == listener(0)).unwrap();
    let tags = [(marks::SCOPE.to_owned(), "other".to_owned())];
    run(cloud.set_tags(&Tagged::Rule(rule.clone()), &BTreeMap::from(tags))).unwrap();
    let slot = || read(&cloud, &cache, &query).services[&service("checkout")].slot.clone().unwrap();
    assert_eq!(slot(), Slot::Ours);
    cache.forget(rule.as_str());
    assert_eq!(slot(), Slot::Foreign("a rule of scope other, service checkout".to_owned()));
}

/// A daemon sees rules and target groups come and go for as long as it lives.
#[test]
fn tags_of_what_is_gone_are_forgotten() {
    let (cloud, checkout, cart) = checkout_and_cart();
    let (cache, both) = (TagCache::default(), query([place_of(&checkout), place_of(&cart)]));
    read(&cloud, &cache, &both);
    let (rule, kept) = {
        let world = cloud.world();
        let at = |nth: usize| world.rules.iter().find(|(_, rule)| rule.listener == listener(nth)).unwrap().0.clone();
        (at(0), at(1))
    };
    let known = |arn: &RuleArn| cache.lock().contains_key(arn.as_str());
    cloud.change(|world| world.rules.retain(|arn, _| *arn != rule));
    let mut alone = both.clone();
    alone.service = Some(service("cart"));
    read(&cloud, &cache, &alone);
    assert!(known(&rule), "the reading of one service knows too little");
    let faulty = FaultyCloud::new(cloud.clone());
    faulty.add(Trigger::Operation("DescribeRules", 2), Failure::After);
    read(&faulty, &cache, &both);
    assert!(known(&rule) && known(&kept), "what can't be read is not gone");
    read(&cloud, &cache, &both);
    assert!(!known(&rule) && known(&kept));
}

#[test]
fn a_failed_second_stage_voids_its_service_alone() {
    for operation in ["DescribeTargetHealth", "DescribeScalingActivities", "DescribePolicies"] {
        let (cloud, checkout, cart) = checkout_and_cart();
        let cloud = FaultyCloud::new(cloud);
        let mut seen = read(&cloud, &TagCache::default(), &query([place_of(&checkout), place_of(&cart)]));
        // Services go by name: the second is checkout.
        cloud.add(Trigger::Operation(operation, 2), Failure::Before(ErrorKind::Unavailable));
        let wants = BTreeMap::from([(service("cart"), all(&cart)), (service("checkout"), all(&checkout))]);
        run(complete(&cloud, &mut seen, &wants));
        let (cart, checkout) = (&seen.services[&service("cart")], &seen.services[&service("checkout")]);
        assert_eq!(cart.incomplete, None);
        assert!(checkout.incomplete.as_ref().unwrap().starts_with(operation));
        let group = cart.groups.values().next().unwrap();
        assert!(group.targets.is_some() && group.activities.is_some() && group.details.is_some());
    }
}

#[test]
fn the_second_stage_asks_only_for_what_there_is() {
    let (cloud, checkout, _) = checkout_and_cart();
    let mut seen = read(&cloud, &TagCache::default(), &query([place_of(&checkout)]));
    cloud.forget_calls();
    let unknown = Release::at_120("checkout", "9.9.9");
    let wants = BTreeMap::from([(service("checkout"), all(&unknown)), (service("nobody"), all(&checkout))]);
    run(complete(&cloud, &mut seen, &wants));
    assert_eq!(cloud.calls().len(), 0);
    assert_eq!(seen.services[&service("checkout")].incomplete, None);
}

#[test]
fn whatever_fails_a_reading_is_right_or_says_that_it_is_not_whole() {
    let (sim, checkout, cart) = checkout_and_cart();
    // Something of every kind: a half weight, a default action, a group deleted by hand.
    let next = Release::at_120("checkout", "1.1.0");
    let candidate = run(next.provision(&sim, 1));
    let world = sim.world();
    let (rule, old) = world.rules.iter().find(|(_, rule)| rule.listener == listener(0)).unwrap();
    let live = crate::observed::assemble::forwarded(&old.action).next().unwrap().clone();
    run(sim.set_rule(rule, None, &[(live.clone(), 50), (candidate, 50)], &Kept::default())).unwrap();
    run(sim.set_rule(&listener(0).default_rule(), None, &[(live, 100)], &Kept::default())).unwrap();
    sim.change(|world| world.templates.retain(|_, template| template.name != checkout.name.as_str()));
    sim.delete_group_by_hand(checkout.name.as_str());
    sim.advance(Span::from_mins(1));

    let query = query([place_of(&checkout), place_of(&cart)]);
    let wants = BTreeMap::from([(service("cart"), all(&cart)), (service("checkout"), all(&next))]);
    let whole = |cloud: &dyn CloudReader| {
        run(async {
            let mut seen = observe(cloud, &TagCache::default(), &query).await?;
            complete(cloud, &mut seen, &wants).await;
            Ok::<_, crate::cloud::CloudError>(seen)
        })
    };
    let truth = whole(&sim).unwrap();
    assert!(truth.services.values().all(|state| state.incomplete.is_none() && state.groups.len() < 3));
    assert_eq!(truth.services[&service("checkout")].groups.len(), 2);
    let (mut right, mut gaps, mut voids) = (0, 0, 0);
    for seed in 0..500 {
        let cloud = FaultyCloud::new(sim.clone());
        cloud.set_odds(Odds { seed, before: 50, after: 50, throttled: 50 });
        let Ok(seen) = whole(&cloud) else {
            voids += 1;
            continue;
        };
        for (service, state) in &seen.services {
            if state.incomplete.is_some() {
                gaps += 1;
            } else {
                right += 1;
                assert_eq!(state, &truth.services[service], "seed {seed}");
            }
        }
    }
    assert!(right > 100 && gaps > 100 && voids > 100, "{right} right, {gaps} gaps, {voids} voids");
}

/// One call for each kind serves all services, and each gets its own part.
#[test]
fn what_releases_need_is_read_in_one_batch_for_each_kind() {
    let (cloud, checkout, cart) = checkout_and_cart();
    let mut seen = read(&cloud, &TagCache::default(), &query([place_of(&checkout), place_of(&cart)]));
    cloud.change(|world| world.surroundings.missing.insert("subnet-b".to_owned()));
    cloud.forget_calls();
    run(complete(&cloud, &mut seen, &needs(&["cart", "checkout"])));
    let operations: Vec<&str> = cloud.calls().iter().map(|call| call.operation).collect();
    assert_eq!(operations, ["DescribeSubnets", "DescribeSecurityGroups"]);
    for name in ["cart", "checkout"] {
        let found = &seen.services[&service(name)].prerequisites;
        assert!(matches!(found[&Needed::new(Kind::Subnet, "subnet-a")], Ok(Found::Here(_))));
        assert!(matches!(found[&Needed::new(Kind::Subnet, "subnet-b")], Ok(Found::Missing(_))));
        assert_eq!(found.len(), if name == "cart" { 3 } else { 4 });
    }
}

/// Two services need these subnets, the second a security group besides.
fn needs(names: &[&str]) -> BTreeMap<ServiceName, Wants> {
    let of = |name: &&str| {
        let mut all = vec![
            Needed::new(Kind::Subnet, "subnet-a"),
            Needed::new(Kind::Subnet, "subnet-b"),
            Needed::new(Kind::SecurityGroup, "sg-1"),
        ];
        all.extend((*name == "checkout").then(|| Needed::new(Kind::SecurityGroup, "sg-2")));
        (service(name), Wants { prerequisites: all.into_iter().collect(), ..Wants::default() })
    };
    names.iter().map(of).collect()
}

/// A denied read is a value: it neither voids the service nor says that anything is absent.
#[test]
fn what_of_that_can_not_be_read_is_neither_there_nor_absent() {
    let (sim, checkout, cart) = checkout_and_cart();
    for denied in [true, false] {
        let cloud = FaultyCloud::new(sim.clone());
        if denied {
            sim.change(|world| world.surroundings.denied.insert("DescribeSubnets".to_owned()));
        } else {
            sim.change(|world| world.surroundings.denied.clear());
            cloud.add(Trigger::Operation("DescribeSubnets", 1), Failure::After);
        }
        let mut seen = read(&cloud, &TagCache::default(), &query([place_of(&checkout), place_of(&cart)]));
        run(complete(&cloud, &mut seen, &needs(&["checkout"])));
        let state = &seen.services[&service("checkout")];
        assert_eq!(state.incomplete, None);
        let why = state.prerequisites[&Needed::new(Kind::Subnet, "subnet-a")].as_ref().unwrap_err();
        assert!(why.contains("DescribeSubnets"), "{why}");
        assert!(matches!(state.prerequisites[&Needed::new(Kind::SecurityGroup, "sg-1")], Ok(Found::Here(_))));
    }
}

/// Only a security group of another VPC is asked for once more.
#[test]
fn a_security_group_of_another_vpc_is_asked_for_its_associations() {
    let (cloud, checkout, _) = checkout_and_cart();
    let mut seen = read(&cloud, &TagCache::default(), &query([place_of(&checkout)]));
    cloud.change(|world| {
        world.surroundings.vpcs.insert("sg-2".to_owned(), "vpc-9".to_owned());
        world.surroundings.associations.insert("sg-2".to_owned(), ["vpc-1".to_owned()].into());
    });
    run(complete(&cloud, &mut seen, &needs(&["checkout"])));
    let state = &seen.services[&service("checkout")];
    let asked: Vec<&str> =
        state.prerequisites.keys().filter(|n| n.kind == Kind::Association).map(|n| n.id.as_str()).collect();
    assert_eq!(asked, ["sg-2"]);
    let Ok(Found::Here(facts)) = &state.prerequisites[&Needed::new(Kind::Association, "sg-2")] else { panic!() };
    assert!(facts.vpcs.contains("vpc-1"));
}
