//! Which resource goes where, and what is left alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{Digest, GroupName, ListenerArn, RuleArn, Scope, ServiceName, TargetGroupArn, Version};
use crate::observed::marks::{self, Identity};
use crate::observed::resources::{
    Conditions, Group, HealthCheck, Listener, Rule, RuleAction, Tags, TargetGroup, Template,
};
use crate::observed::state::{Observation, Place, ServiceState, Slot};
use crate::time::Timestamp;

use super::{Listings, assemble};

const AT: Timestamp = Timestamp::from_secs(1_800_000_000);

fn scope() -> Scope {
    Scope::parse("prod").unwrap()
}

fn checkout() -> ServiceName {
    ServiceName::parse("checkout").unwrap()
}

fn listener(kind: &str) -> ListenerArn {
    ListenerArn::parse(&format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/{kind}/web/1/2")).unwrap()
}

fn app() -> ListenerArn {
    listener("app")
}

fn arn(name: &str) -> TargetGroupArn {
    TargetGroupArn::parse(&format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/{name}/1")).unwrap()
}

fn identity(version: &str) -> Identity {
    Identity {
        scope: scope(),
        service: checkout(),
        version: Version::parse(version).unwrap(),
        digest: Digest::of(version.as_bytes()),
        commit: "0".repeat(40),
    }
}

fn name(version: &str) -> GroupName {
    let identity = identity(version);
    GroupName::of(&identity.scope, &identity.service, &identity.digest)
}

fn template(version: &str) -> Template {
    Template {
        id: format!("lt-{version}"),
        name: name(version).to_string(),
        created: AT,
        tags: identity(version).tags(),
    }
}

fn group(version: &str, ending: &str) -> Group {
    Group {
        name: format!("{}{ending}", name(version)),
        min: 1,
        max: 2,
        desired: 1,
        instances: Vec::new(),
        deleting: false,
        suspended: Vec::new(),
        tags: identity(version).tags(),
        template: None,
        target_groups: Vec::new(),
        shape: None,
        created: AT,
    }
}

fn target_group(name: &str) -> TargetGroup {
    TargetGroup {
        arn: arn(name),
        name: name.to_owned(),
        port: 80,
        protocol: "HTTP".to_owned(),
        health_check: HealthCheck {
            protocol: "HTTP".to_owned(),
            port: "traffic-port".to_owned(),
            path: None,
            matcher: None,
            interval_secs: 10,
            timeout_secs: 5,
            healthy: 2,
            unhealthy: 2,
        },
        in_use: true,
    }
}

fn rule(id: &str, priority: u32, weights: &[(&str, u32)]) -> Rule {
    Rule {
        arn: RuleArn::parse(&format!("{}/{id}", app().as_str().replace(":listener/", ":listener-rule/"))).unwrap(),
        listener: app(),
        priority: Some(priority),
        conditions: Conditions::default(),
        action: forward(weights),
    }
}

fn forward(weights: &[(&str, u32)]) -> RuleAction {
    RuleAction::Forward(weights.iter().map(|(name, weight)| (arn(name), *weight)).collect())
}

fn with_default(arn: ListenerArn, default_action: RuleAction) -> Result<Option<Listener>, String> {
    Ok(Some(Listener { arn, protocol: "HTTP".to_owned(), default_action }))
}

fn fixed_response() -> RuleAction {
    RuleAction::Other("fixed-response".to_owned())
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn owned() -> Tags {
    tags(&[(marks::SCOPE, "prod"), (marks::SERVICE, "checkout")])
}

/// One listener with a fixed response and some rules, each with its tags.
fn listings(rules: &[(Rule, Tags)]) -> Listings {
    Listings {
        at: AT,
        groups: Vec::new(),
        templates: Vec::new(),
        target_groups: Vec::new(),
        listeners: BTreeMap::from([(app(), with_default(app(), fixed_response()))]),
        rules: BTreeMap::from([(app(), Ok(rules.iter().map(|(rule, _)| rule.clone()).collect()))]),
        elb_tags: rules.iter().map(|(rule, tags)| (rule.arn.to_string(), tags.clone())).collect(),
    }
}

fn at(priority: Option<u32>) -> BTreeMap<ServiceName, Place> {
    BTreeMap::from([(checkout(), Place { listener: app(), priority })])
}

fn seen(listings: &Listings, places: &BTreeMap<ServiceName, Place>) -> Observation {
    assemble(&scope(), None, places, listings)
}

fn state(listings: &Listings, priority: Option<u32>) -> ServiceState {
    seen(listings, &at(priority)).services.remove(&checkout()).unwrap()
}

#[test]
fn the_parts_of_a_release_find_each_other() {
    let (old, new) = (name("1.0.0").to_string(), name("1.1.0").to_string());
    let mut listings = listings(&[(rule("1", 120, &[(&old, 900), (&new, 100)]), owned())]);
    listings.templates = vec![template("1.0.0"), template("1.1.0")];
    listings.groups = vec![group("1.1.0", "-2"), group("1.0.0", "")];
    listings.target_groups = vec![target_group("other"), target_group(&new), target_group(&old)];
    let mut deleting = group("1.1.0", "");
    deleting.deleting = true;
    listings.groups.push(deleting);
    let state = state(&listings, Some(120));
    assert_eq!(state.slot, Some(Slot::Ours));
    assert_eq!(state.incomplete, None);
    let weights: Vec<_> = state.groups.values().map(|group| group.weight).collect();
    assert_eq!(weights.iter().copied().flatten().sum::<u32>(), 100);
    let candidate = &state.groups[&name("1.1.0")];
    assert_eq!(candidate.weight, Some(10));
    assert_eq!(candidate.group.as_ref().unwrap().name, format!("{new}-2"));
    assert_eq!(candidate.deleting, [new]);
    assert_eq!(candidate.template.as_ref().unwrap().id, "lt-1.1.0");
    assert_eq!(state.standing.unwrap().priority, Some(120));
}

#[test]
fn of_two_standing_groups_the_first_by_name_counts() {
    let mut listings = listings(&[]);
    listings.groups = vec![group("1.0.0", "-2"), group("1.0.0", "")];
    let seen = seen(&listings, &BTreeMap::new());
    let group = &seen.services[&checkout()].groups[&name("1.0.0")];
    assert_eq!(group.group.as_ref().unwrap().name, name("1.0.0").as_str());
    assert_eq!(seen.unreadable, [format!("group/{}-2: another group of the same release stands", name("1.0.0"))]);
}

#[test]
fn what_does_not_fit_is_reported_and_left_alone() {
    let mut listings = listings(&[(rule("1", 1, &[]), tags(&[(marks::SCOPE, "prod"), (marks::SERVICE, "Ugly")]))]);
    let mut nameless = group("1.0.0", "");
    nameless.tags.remove(marks::DIGEST);
    let mut renamed = template("1.0.0");
    renamed.name = "somebody-s".to_owned();
    let mut ending = template("1.1.0");
    ending.name.push_str("-2");
    listings.groups = vec![nameless, group("1.1.0", "-x"), group("1.1.0", "-")];
    listings.templates = vec![renamed, ending];
    let seen = seen(&listings, &BTreeMap::new());
    assert_eq!(seen.services, BTreeMap::new());
    let kinds: Vec<_> = seen.unreadable.iter().map(|text| text.split('/').next().unwrap()).collect();
    assert_eq!(kinds, ["group", "group", "group", "launch-template", "launch-template", "rule"]);
}

#[test]
fn other_scopes_and_services_are_not_seen() {
    let foreign = tags(&[(marks::SCOPE, "test"), (marks::SERVICE, "checkout")]);
    let cart = tags(&[(marks::SCOPE, "prod"), (marks::SERVICE, "cart")]);
    let mut listings = listings(&[(rule("1", 1, &[]), foreign.clone()), (rule("2", 2, &[]), cart)]);
    let mut other = template("1.0.0");
    other.tags.extend(foreign);
    listings.templates = vec![other];
    let seen = assemble(&scope(), Some(&checkout()), &BTreeMap::new(), &listings);
    assert_eq!(seen.services, BTreeMap::from([(checkout(), ServiceState::default())]));
    assert_eq!(seen.unreadable, Vec::<String>::new());
}

#[test]
fn a_place_is_free_ours_foreign_or_nowhere() {
    let foreign = tags(&[(marks::SCOPE, "test"), (marks::SERVICE, "cart")]);
    let mut listings = listings(&[
        (rule("1", 1, &[("blue", 1), ("unlisted", 1)]), Tags::new()),
        (rule("2", 2, &[]), foreign),
        (rule("3", 3, &[("blue", 1)]), owned()),
    ]);
    listings.target_groups = vec![target_group("blue")];
    listings.elb_tags.insert(arn("blue").to_string(), Tags::new());
    let slot = |listings: &Listings, priority| state(listings, priority).slot.unwrap();
    let text = format!("a rule without our tags (priority 1, forwards to blue, {})", arn("unlisted"));
    assert_eq!(slot(&listings, Some(1)), Slot::Foreign(text));
    assert_eq!(slot(&listings, Some(2)), Slot::Foreign("a rule of scope test, service cart".to_owned()));
    assert_eq!(slot(&listings, Some(3)), Slot::Ours);
    assert_eq!(slot(&listings, Some(4)), Slot::Free);
    assert_eq!(slot(&listings, None), Slot::Free);
    assert_eq!(state(&listings, None).standing.unwrap().arn, app().default_rule());
    listings.listeners.insert(app(), with_default(app(), RuleAction::Other("redirect".to_owned())));
    assert_eq!(slot(&listings, None), Slot::Foreign("the listener's default action (redirect)".to_owned()));
    listings.listeners.insert(app(), Ok(None));
    listings.rules.insert(app(), Err("ListenerNotFound".to_owned()));
    let gone = state(&listings, Some(1));
    assert_eq!((gone.slot, gone.incomplete, gone.standing), (Some(Slot::NoListener), None, None));
}

/// Of another service of the scope, what else it has on the listener is known, too.
#[test]
fn a_place_may_be_a_neighbours() {
    let cart = tags(&[(marks::SCOPE, "prod"), (marks::SERVICE, "cart")]);
    let others = [(rule("2", 2, &[("green", 1)]), cart.clone()), (rule("5", 5, &[("green", 1)]), cart.clone())];
    let mut listings = listings(&[&others[..], &[(rule("3", 3, &[]), Tags::new())]].concat());
    listings.target_groups = vec![target_group("green")];
    listings.elb_tags.insert(arn("green").to_string(), cart);
    listings.listeners.insert(app(), with_default(app(), forward(&[("green", 1)])));
    for (place, what) in
        [(Some(2), "a rule of scope prod, service cart"), (None, "the listener's default action (forwards to green)")]
    {
        let Some(Slot::Neighbour(neighbour)) = state(&listings, place).slot else { panic!("{place:?}") };
        assert_eq!((neighbour.service.as_str(), neighbour.what.as_str()), ("cart", what));
        assert_eq!(neighbour.rules.iter().filter_map(|rule| rule.priority).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(neighbour.taken, BTreeSet::from([2, 3, 5]));
    }
}

#[test]
fn what_nobody_has_tagged_and_forwards_to_one_may_be_taken_over() {
    let mut listings = listings(&[(rule("1", 1, &[("blue", 1), ("green", 0)]), Tags::new())]);
    listings.target_groups = vec![target_group("blue"), target_group("green")];
    for name in ["blue", "green"] {
        listings.elb_tags.insert(arn(name).to_string(), Tags::new());
    }
    let slot = |listings: &Listings, priority| state(listings, priority).slot;
    let words = "a rule without our tags (priority 1, forwards to blue, green)";
    assert_eq!(slot(&listings, Some(1)), Some(Slot::Adoptable(words.to_owned())));
    listings.listeners.insert(app(), with_default(app(), forward(&[("blue", 1)])));
    let words = "the listener's default action (forwards to blue)";
    assert_eq!(slot(&listings, None), Some(Slot::Adoptable(words.to_owned())));
    listings.listeners.insert(app(), with_default(app(), forward(&[("blue", 1), ("green", 1)])));
    assert!(matches!(slot(&listings, None), Some(Slot::Foreign(_))), "two have traffic");
    // Another scope's, and one of which nobody knows whose it is.
    let other = tags(&[(marks::SCOPE, "test"), (marks::SERVICE, "cart")]);
    listings.elb_tags.insert(arn("blue").to_string(), other);
    let text = "a rule without our tags (priority 1, forwards to blue, green), of scope test, service cart";
    assert_eq!(slot(&listings, Some(1)), Some(Slot::Foreign(text.to_owned())));
    listings.elb_tags.remove(arn("blue").as_str());
    assert_eq!(slot(&listings, Some(1)), None);
}

#[test]
fn a_rule_that_was_taken_over_is_known_by_what_it_forwards_to() {
    let ours = name("1.0.0").to_string();
    let mut listings = listings(&[(rule("1", 1, &[("blue", 90), (&ours, 10)]), Tags::new())]);
    listings.templates = vec![template("1.0.0")];
    listings.target_groups = vec![target_group(&ours), target_group("blue")];
    listings.elb_tags.insert(arn("blue").to_string(), Tags::new());
    let state = state(&listings, Some(1));
    assert_eq!((state.slot, state.rules.len()), (Some(Slot::Ours), 1));
    assert!(state.borrowed.contains(&state.rules[0].arn), "it is never deleted");
    assert_eq!(state.groups[&name("1.0.0")].weight, Some(10));
}

#[test]
fn the_last_free_priority_is_for_a_rule_before_the_default_action() {
    let listings = listings(&[(rule("1", 50_000, &[]), owned()), (rule("2", 49_999, &[]), owned())]);
    assert_eq!(state(&listings, None).spare_priority, Some(49_998));
    assert_eq!(state(&listings, Some(3)).spare_priority, None);
}

#[test]
fn a_default_action_is_whose_release_it_forwards_to() {
    let ours = name("1.0.0").to_string();
    let net = listener("net");
    let mut listings = listings(&[]);
    listings.templates = vec![template("1.0.0")];
    listings.target_groups = vec![target_group(&ours), target_group("blue")];
    listings.listeners =
        BTreeMap::from([(net.clone(), with_default(net.clone(), forward(&[(&ours, 1), ("blue", 3)])))]);
    listings.rules = BTreeMap::new();
    listings.elb_tags.insert(arn("blue").to_string(), Tags::new());
    let places = BTreeMap::from([(checkout(), Place { listener: net.clone(), priority: None })]);
    let state = &seen(&listings, &places).services[&checkout()];
    assert_eq!((&state.slot, &state.incomplete), (&Some(Slot::Ours), &None));
    assert_eq!(state.rules[0].arn, net.default_rule());
    assert!(state.borrowed.contains(&state.rules[0].arn));
    assert_eq!(state.groups[&name("1.0.0")].weight, Some(25));
    assert_eq!(state.foreign_targets(), [(arn("blue"), 75)]);
}

#[test]
fn the_largest_weight_of_several_rules_counts() {
    let ours = name("1.0.0").to_string();
    let rules = [(rule("1", 1, &[(&ours, 0), ("b", 1)]), owned()), (rule("2", 2, &[(&ours, 40), ("b", 60)]), owned())];
    let mut listings = listings(&rules);
    listings.templates = vec![template("1.0.0"), template("1.1.0")];
    listings.target_groups = vec![target_group(&ours), target_group(name("1.1.0").as_str())];
    let state = state(&listings, Some(1));
    assert_eq!(state.groups[&name("1.0.0")].weight, Some(40));
    assert_eq!(state.groups[&name("1.1.0")].weight, None, "no rule names it");
}

#[test]
fn a_target_group_in_a_rule_says_by_its_tags_what_it_was() {
    let ours = name("1.0.0").to_string();
    let mut listings = listings(&[(rule("1", 120, &[(&ours, 50), ("blue", 50)]), owned())]);
    listings.target_groups = vec![target_group(&ours), target_group("blue")];
    listings.elb_tags.insert(arn(&ours).to_string(), identity("1.0.0").tags());
    listings.elb_tags.insert(arn("blue").to_string(), Tags::new());
    let known = state(&listings, Some(120));
    let group = &known.groups[&name("1.0.0")];
    assert_eq!((group.weight, group.template.is_none(), group.group.is_none()), (Some(50), true, true));
    assert_eq!(known.foreign_targets(), [(arn("blue"), 50)]);
    // Ours by the scope, but not by the rest.
    listings.elb_tags.insert(arn("blue").to_string(), identity("1.1.0").tags());
    let seen = seen(&listings, &at(Some(120)));
    assert_eq!(seen.unreadable, ["target-group/blue: its name isn't the one of the release in its tags"]);
}

#[test]
fn what_was_not_read_makes_its_services_incomplete() {
    let throttled = || "DescribeRules was throttled".to_owned();
    let whole = listings(&[(rule("1", 1, &[]), Tags::new())]);
    assert_eq!(state(&whole, Some(120)).incomplete, None);
    let mut cases = Vec::new();
    let mut listings = whole.clone();
    listings.rules.insert(app(), Err(throttled()));
    cases.push((listings, throttled()));
    let mut listings = whole.clone();
    listings.listeners.insert(app(), Err(throttled()));
    cases.push((listings, throttled()));
    let mut listings = whole.clone();
    listings.rules.clear();
    cases.push((listings, format!("the rules of listener {} were not read", app())));
    let mut listings = whole.clone();
    listings.listeners.clear();
    cases.push((listings, format!("listener {} was not read", app())));
    let mut listings = whole.clone();
    listings.elb_tags.clear();
    cases.push((listings, format!("the tags of rule {} were not read", rule("1", 1, &[]).arn)));
    for (listings, why) in cases {
        assert_eq!(state(&listings, Some(120)).incomplete, Some(why.clone()));
        if !why.starts_with("the tags") {
            assert_eq!(state(&listings, Some(120)).slot, None);
        }
        // A service that has nothing to do with the listener is whole.
        assert_eq!(seen(&listings, &BTreeMap::new()).services.len(), 0);
    }
}

#[test]
fn a_group_that_says_where_its_rule_is_needs_that_listener() {
    let mut listings = listings(&[]);
    let mut marked = group("1.0.0", "");
    marked.tags.insert(marks::Mark::Listener.key().to_owned(), app().to_string());
    listings.groups = vec![marked, group("1.1.0", "")];
    let incomplete = |listings: &Listings| seen(listings, &BTreeMap::new()).services[&checkout()].incomplete.clone();
    assert_eq!(incomplete(&listings), None);
    listings.rules.insert(app(), Err("no".to_owned()));
    assert_eq!(incomplete(&listings), Some("no".to_owned()));
}

#[test]
fn marks_of_the_future_count_as_now() {
    let mut listings = listings(&[]);
    let mut stable = template("1.0.0");
    stable.tags.insert(marks::Mark::Stable.key().to_owned(), "2199-01-01T00:00:00Z".to_owned());
    listings.templates = vec![stable];
    let seen = seen(&listings, &BTreeMap::new());
    assert_eq!(seen.services[&checkout()].groups[&name("1.0.0")].stable(), Some(AT));
}

#[test]
fn a_target_group_of_our_rule_that_is_not_listed_is_not_foreign_but_unknown() {
    let ours = name("1.0.0").to_string();
    let mut listings = listings(&[(rule("1", 120, &[(&ours, 1)]), owned())]);
    listings.templates = vec![template("1.0.0")];
    assert!(state(&listings, Some(120)).incomplete.is_some());
    listings.target_groups = vec![target_group(&ours)];
    assert_eq!(state(&listings, Some(120)).incomplete, None);
    // Without its template only its tags could say what it is.
    listings.templates.clear();
    assert!(state(&listings, Some(120)).incomplete.is_some());
    listings.elb_tags.insert(arn(&ours).to_string(), Tags::new());
    assert_eq!(state(&listings, Some(120)).incomplete, None);
}
