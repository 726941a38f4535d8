//! The simulated AWS against the documents.

use std::collections::BTreeSet;

use crate::cloud::{CloudError, CloudReader, CloudWriter, ErrorKind, Owner, Tagged};
use crate::names::TargetGroupArn;
use crate::observed::prerequisites::{Found, Kind};
use crate::observed::resources::{Conditions, Kept, Lifecycle, Outcome, Policy, RuleAction, Tags, TargetHealth};
use crate::observed::state::Place;
use crate::time::Span;

use super::fixture::{Release, cloud, listener, network_listener, rule_tags, run};
use super::world::{VersionRules, World};
use super::{SimCloud, file};

pub(super) fn healths(cloud: &SimCloud, arn: &TargetGroupArn) -> Vec<TargetHealth> {
    run(cloud.target_health(arn)).unwrap().into_values().map(|target| target.health).collect()
}

fn instances(cloud: &SimCloud, release: &Release) -> Vec<(Lifecycle, bool)> {
    let world = cloud.world();
    world.groups[release.name.as_str()].instances.values().map(|m| (m.lifecycle, m.healthy)).collect()
}

fn refused<T: std::fmt::Debug>(result: Result<T, CloudError>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind, error.code)
}

const SECOND: Span = Span::from_secs(1);
const MINUTE: Span = Span::from_mins(1);

#[test]
fn a_release_boots_is_checked_and_becomes_healthy() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let (arn, _) = release.start(&cloud, 2).await;
        assert_eq!(instances(&cloud, &release), [(Lifecycle::Pending, true); 2]);
        assert_eq!(healths(&cloud, &arn), []);
        cloud.advance(Span::from_secs(30));
        assert_eq!(instances(&cloud, &release), [(Lifecycle::InService, true); 2]);
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Initial; 2]);
        let event = cloud.next_event().unwrap();
        assert_eq!(event.since(cloud.now()), Span::from_secs(20));
        cloud.advance_to(event);
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Healthy; 2]);
        let shares = &cloud.traffic()[0].1;
        assert_eq!((shares[0].weight, shares[0].healthy, shares[0].registered), (100, 2, 2));
        let activities = cloud.activities(release.name.as_str()).await.unwrap();
        assert!(activities.len() == 2 && activities.iter().all(|a| a.launch && a.outcome == Outcome::Successful));
    });
}

#[test]
fn a_target_group_that_no_action_names_is_not_checked() {
    run(async {
        let cloud = cloud(1);
        let (old, rule) = Release::at_120("checkout", "1.0.0").start(&cloud, 1).await;
        let new = Release::at_120("checkout", "1.1.0").provision(&cloud, 1).await;
        cloud.advance(MINUTE * 10);
        assert_eq!(healths(&cloud, &new), [TargetHealth::Unused]);
        // At weight 0 it is.
        cloud.set_rule(&rule, None, &[(old.clone(), 100), (new.clone(), 0)], &Kept::default()).await.unwrap();
        assert_eq!(healths(&cloud, &new), [TargetHealth::Initial]);
        cloud.advance(Span::from_secs(20));
        assert_eq!(healths(&cloud, &new), [TargetHealth::Healthy]);
        cloud.set_rule(&rule, None, &[(old, 100)], &Kept::default()).await.unwrap();
        assert_eq!(healths(&cloud, &new), [TargetHealth::Unused]);
    });
}

#[test]
fn an_unhealthy_version_is_replaced_only_after_the_grace_period() {
    run(async {
        let cloud = cloud(1);
        cloud.set_health("1.0.0", false);
        let release = Release::at_120("checkout", "1.0.0");
        let (arn, _) = release.start(&cloud, 2).await;
        // Three failed checks, ten seconds apart.
        cloud.advance(Span::from_secs(59));
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Initial; 2]);
        cloud.advance(SECOND);
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Unhealthy; 2]);
        assert_eq!(instances(&cloud, &release), [(Lifecycle::InService, true); 2]);
        cloud.advance(MINUTE * 15);
        // One at a time: the other waits until the first one's successor serves.
        let states = instances(&cloud, &release);
        assert!(states.contains(&(Lifecycle::Pending, true)) && states.contains(&(Lifecycle::InService, false)));
        // It can be cured.
        cloud.set_health("1.0.0", true);
        cloud.advance(MINUTE * 5);
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Healthy; 2]);
    });
}

#[test]
fn a_version_may_crash_later() {
    run(async {
        let cloud = cloud(1);
        let crash_after = Some(MINUTE * 5);
        cloud.set_version("1.0.0", VersionRules { crash_after, ..VersionRules::default() });
        let (arn, _) = Release::at_120("checkout", "1.0.0").start(&cloud, 1).await;
        cloud.advance(MINUTE * 5 + Span::from_secs(30));
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Healthy]);
        // Three failed checks, ten seconds apart.
        cloud.advance(Span::from_secs(30));
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Unhealthy]);
    });
}

#[test]
fn workers_are_judged_by_their_group() {
    run(async {
        let cloud = cloud(1);
        cloud.set_health("1.0.0", false);
        let release = Release::at_120("worker", "1.0.0");
        cloud.create_template(&release.template()).await.unwrap();
        cloud.create_group(&release.group(None, 1, 1)).await.unwrap();
        cloud.advance(Span::from_secs(30));
        assert_eq!(instances(&cloud, &release), [(Lifecycle::InService, true)]);
        cloud.advance(MINUTE * 15 + Span::from_secs(20));
        assert!(!instances(&cloud, &release).contains(&(Lifecycle::InService, true)));
    });
}

#[test]
fn failed_launches_say_why_in_the_words_of_aws() {
    run(async {
        for (rules, words) in [
            (VersionRules { ami_missing: true, ..VersionRules::default() }, "The image id '[ami-1]' does not exist"),
            (
                VersionRules { launch_failure: Some("Your quota allows for 0".into()), ..VersionRules::default() },
                "Your quota allows for 0",
            ),
        ] {
            let cloud = cloud(1);
            cloud.set_version("1.0.0", rules);
            let release = Release::at_120("checkout", "1.0.0");
            release.start(&cloud, 1).await;
            cloud.advance(MINUTE);
            let activities = cloud.activities(release.name.as_str()).await.unwrap();
            assert_eq!(activities.len(), 3, "one at once and one every 30 seconds");
            assert!(activities.iter().all(|a| a.outcome == Outcome::Failed && a.message.contains(words)));
            assert!(activities[0].started > activities[2].started);
            cloud.set_version("1.0.0", VersionRules::default());
            cloud.advance(MINUTE);
            assert_eq!(instances(&cloud, &release), [(Lifecycle::InService, true)]);
        }
    });
}

#[test]
fn without_its_template_a_group_launches_nothing() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        release.start(&cloud, 1).await;
        let id = cloud.world().templates.keys().next().unwrap().clone();
        cloud.delete_template(&id).await.unwrap();
        cloud.delete_template(&id).await.unwrap();
        cloud.advance(MINUTE);
        cloud.kill_instances(release.name.as_str(), 1);
        cloud.advance(MINUTE);
        assert_eq!(instances(&cloud, &release), []);
        let newest = &cloud.activities(release.name.as_str()).await.unwrap()[0];
        assert!(newest.message.contains("valid fully-formed launch template"), "{newest:?}");
    });
}

#[test]
fn scaling_in_drains_and_killing_does_not() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let name = release.name.as_str();
        let (arn, _) = release.start(&cloud, 2).await;
        cloud.advance(MINUTE * 2);
        cloud.set_capacity(name, 1, 4, Some(1)).await.unwrap();
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Draining, TargetHealth::Healthy]);
        cloud.advance(Span::from_secs(29));
        assert_eq!(instances(&cloud, &release).len(), 2);
        cloud.advance(SECOND);
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Healthy]);
        assert_eq!(instances(&cloud, &release).len(), 2, "it takes its time to shut down");
        cloud.advance(Span::from_secs(10));
        assert_eq!(instances(&cloud, &release).len(), 1);
        cloud.kill_instances(name, 1);
        assert_eq!(healths(&cloud, &arn), []);
        assert_eq!(instances(&cloud, &release), [(Lifecycle::Pending, true)], "the group makes up for it");
    });
}

#[test]
fn sizes_keep_their_order() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let name = release.name.as_str();
        release.start(&cloud, 2).await;
        let invalid = (ErrorKind::Invalid, "ValidationError".to_owned());
        assert_eq!(refused(cloud.set_capacity(name, 3, 2, None).await), invalid);
        assert_eq!(refused(cloud.set_capacity(name, 2, 4, Some(5)).await), invalid);
        assert_eq!(refused(cloud.set_capacity("nobody", 1, 1, None).await).0, ErrorKind::NotFound);
        cloud.set_capacity(name, 3, 8, None).await.unwrap();
        assert_eq!(cloud.world().groups[name].desired, 3);
        cloud.set_desired(name, 20);
        assert_eq!(cloud.world().groups[name].desired, 8);
        cloud.set_capacity(name, 1, 5, None).await.unwrap();
        assert_eq!(cloud.world().groups[name].desired, 5);
    });
}

#[test]
fn a_deleted_group_blocks_its_name_for_a_while() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let name = release.name.as_str();
        let (arn, _) = release.start(&cloud, 1).await;
        let in_use = (ErrorKind::Conflict, "ResourceInUse".to_owned());
        assert_eq!(refused(cloud.delete_group(name).await), in_use);
        cloud.set_capacity(name, 0, 0, Some(0)).await.unwrap();
        assert_eq!(refused(cloud.delete_group(name).await), in_use, "a machine is still there");
        cloud.advance(MINUTE);
        cloud.delete_group(name).await.unwrap();
        cloud.delete_group(name).await.unwrap();
        let again = release.group(Some(arn), 1, 1);
        assert_eq!(refused(cloud.create_group(&again).await).0, ErrorKind::Conflict);
        assert_eq!(refused(cloud.set_capacity(name, 0, 1, None).await).0, ErrorKind::Conflict);
        cloud.advance(Span::from_secs(20));
        assert!(cloud.world().groups.is_empty());
        cloud.create_group(&again).await.unwrap();
        cloud.advance(MINUTE);
        cloud.delete_group_by_hand(name);
        assert!(cloud.world().groups[name].deleted_at.is_some() && instances(&cloud, &release).is_empty());
        cloud.advance(Span::from_secs(20));
        assert_eq!(cloud.next_event(), None);
        cloud.delete_group(name).await.unwrap();
    });
}

#[test]
fn what_exists_is_taken_over_by_its_owner_alone() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let (arn, rule) = release.start(&cloud, 1).await;
        let before = cloud.world();
        assert_eq!(release.start(&cloud, 1).await, (arn.clone(), rule));
        assert_eq!(cloud.world(), before, "nothing is made or changed twice");
        let mut other = release.clone();
        other.identity.service = super::fixture::service("cart");
        assert_eq!(refused(cloud.create_template(&other.template()).await).0, ErrorKind::NotOurs);
        assert_eq!(refused(cloud.create_target_group(&other.target_group()).await).0, ErrorKind::NotOurs);
        assert_eq!(refused(cloud.create_group(&other.group(None, 1, 1)).await).0, ErrorKind::NotOurs);
        let taken = (ErrorKind::NotOurs, "PriorityInUse".to_owned());
        assert_eq!(refused(cloud.create_rule(&other.rule(vec![(arn, 100)])).await), taken);
    });
}

#[test]
fn an_action_has_its_limits() {
    run(async {
        let cloud = cloud(2);
        let mut arns = Vec::new();
        for version in 0..6 {
            let release = Release::at_120("checkout", &format!("{version}.0.0"));
            arns.push(cloud.create_target_group(&release.target_group()).await.unwrap());
        }
        let release = Release::at_120("checkout", "0.0.0");
        let all = |weight| arns.iter().map(|arn| (arn.clone(), weight)).collect::<Vec<_>>();
        assert_eq!(refused(cloud.create_rule(&release.rule(all(1))).await).0, ErrorKind::Quota);
        let rule = cloud.create_rule(&release.rule(vec![(arns[0].clone(), 100)])).await.unwrap();
        assert_eq!(
            refused(cloud.set_rule(&rule, None, &[(arns[0].clone(), 1000)], &Kept::default()).await).0,
            ErrorKind::Invalid
        );
        assert_eq!(refused(cloud.set_rule(&rule, None, &[], &Kept::default()).await).0, ErrorKind::Invalid);
        assert_eq!(
            refused(cloud.set_rule(&rule, None, &[(arns[0].clone(), 1), (arns[0].clone(), 1)], &Kept::default()).await)
                .0,
            ErrorKind::Invalid
        );
        assert_eq!(cloud.violations(), Vec::<String>::new());
        cloud.set_rule(&rule, None, &[(arns[0].clone(), 0)], &Kept::default()).await.unwrap();
        assert_eq!(cloud.violations().len(), 1);
        // A target group belongs to one load balancer.
        let elsewhere = Release::new("checkout", "0.0.0", Place { listener: listener(1), priority: Some(1) });
        let twice = (ErrorKind::Invalid, "TargetGroupAssociationLimit".to_owned());
        assert_eq!(refused(cloud.create_rule(&elsewhere.rule(vec![(arns[0].clone(), 1)])).await), twice);
        assert_eq!(refused(cloud.delete_target_group(&arns[0]).await).0, ErrorKind::Conflict);
        cloud.delete_rule(&rule).await.unwrap();
        cloud.delete_rule(&rule).await.unwrap();
        cloud.delete_target_group(&arns[0]).await.unwrap();
        cloud.delete_target_group(&arns[0]).await.unwrap();
        assert_eq!(refused(cloud.target_health(&arns[0]).await).1, "TargetGroupNotFound");
        assert_eq!(refused(cloud.set_rule(&rule, None, &all(1)[1..2], &Kept::default()).await).1, "RuleNotFound");
    });
}

#[test]
fn a_rule_changes_conditions_and_weights_in_one_call() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let arn = release.provision(&cloud, 1).await;
        let mut spec = release.rule(vec![(arn.clone(), 100)]);
        spec.conditions.hosts = vec![release.name.invalid_host()];
        let rule = cloud.create_rule(&spec).await.unwrap();
        cloud.advance(MINUTE);
        assert_eq!(healths(&cloud, &arn), [TargetHealth::Healthy]);
        assert_eq!(cloud.traffic().len(), 1, "no client sends such a host; the default action remains");
        cloud.forget_calls();
        let paths = Conditions { hosts: Vec::new(), paths: vec!["/*".to_owned()], more: Vec::new() };
        cloud.set_rule(&rule, Some(&paths), &[(arn.clone(), 100)], &Kept::default()).await.unwrap();
        assert_eq!((cloud.mutations(), cloud.calls()[0].operation), (1, "ModifyRule"));
        assert_eq!(cloud.traffic().len(), 2);
        let read = cloud.rules(&listener(0)).await.unwrap();
        assert_eq!((read[0].priority, &read[0].conditions), (Some(120), &paths));
        assert_eq!((read[1].priority, &read[1].action), (None, &RuleAction::Other("fixed-response".to_owned())));
        let none = Conditions::default();
        assert_eq!(
            refused(cloud.set_rule(&rule, Some(&none), &[(arn, 100)], &Kept::default()).await).0,
            ErrorKind::Invalid
        );
    });
}

#[test]
fn a_default_action_belongs_to_its_listener() {
    run(async {
        let cloud = SimCloud::new(World::for_places([network_listener()]));
        let mut release = Release::new("raw", "1.0.0", Place { listener: network_listener(), priority: None });
        let wrong = release.provision(&cloud, 1).await;
        let rule = network_listener().default_rule();
        let mixed = (ErrorKind::Invalid, "IncompatibleProtocols".to_owned());
        assert_eq!(refused(cloud.set_rule(&rule, None, &[(wrong, 100)], &Kept::default()).await), mixed);
        release = Release::new("raw", "1.1.0", release.place);
        release.protocol = "TCP";
        let arn = release.provision(&cloud, 1).await;
        cloud.forget_calls();
        cloud.set_rule(&rule, None, &[(arn.clone(), 100)], &Kept::default()).await.unwrap();
        assert_eq!(cloud.calls()[0].operation, "ModifyListener");
        assert_eq!(cloud.listeners(&[network_listener()]).await.unwrap()[0].default_action, forward(&arn));
        assert_eq!(refused(cloud.delete_rule(&rule).await).1, "OperationNotPermitted");
        assert_eq!(refused(cloud.listeners(&[network_listener(), listener(9)]).await).1, "ListenerNotFound");
    });
}

fn forward(arn: &TargetGroupArn) -> RuleAction {
    RuleAction::Forward(vec![(arn.clone(), 100)])
}

#[test]
fn tags_have_limits() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let (arn, rule) = release.start(&cloud, 1).await;
        let group = Tagged::Group(release.name.to_string());
        let template = Tagged::Template(cloud.world().templates.keys().next().unwrap().clone());
        let tag = |key: &str, value: &str| Tags::from([(key.to_owned(), value.to_owned())]);
        for on in [&group, &template, &Tagged::TargetGroup(arn), &Tagged::Rule(rule.clone())] {
            cloud.set_tags(on, &tag("team", "pay + ments")).await.unwrap();
            cloud.clear_tags(on, &["team".to_owned(), "absent".to_owned()]).await.unwrap();
            for wrong in [tag("team", "päd"), tag("aws:x", "y"), tag("", "y"), tag("team", &"x".repeat(257))] {
                assert_eq!(refused(cloud.set_tags(on, &wrong).await).0, ErrorKind::Invalid, "{wrong:?}");
            }
            let many: Tags = (0..51).map(|n| (format!("key{n}"), String::new())).collect();
            assert_eq!(refused(cloud.set_tags(on, &many).await).0, ErrorKind::Invalid);
        }
        let gone = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/gone/1".to_owned();
        let read = cloud.tags(&[rule.to_string(), gone]).await.unwrap();
        assert_eq!(read.into_values().collect::<Vec<_>>(), [rule_tags("prod", "checkout")]);
    });
}

#[test]
fn policies_become_exactly_the_given_ones() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let (arn, _) = release.start(&cloud, 1).await;
        let policy = |name: &str| Policy {
            name: name.to_owned(),
            metric: "ASGAverageCPUUtilization".to_owned(),
            resource_label: None,
            target_millis: 60_000,
        };
        let name = release.name.as_str();
        cloud.set_policies(name, &[policy("b"), policy("a")]).await.unwrap();
        cloud.forget_calls();
        cloud.set_policies(name, &[policy("b")]).await.unwrap();
        let operations: Vec<_> = cloud.calls().iter().map(|call| call.operation).collect();
        assert_eq!(operations, ["PutScalingPolicy", "DeletePolicy"]);
        assert_eq!(cloud.details(name, Some(&arn)).await.unwrap().policies, [policy("b")]);
        assert_eq!(cloud.details(name, None).await.unwrap().deregistration_delay, None);
    });
}

#[test]
fn suspended_processes_stand_still() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let name = release.name.to_string();
        let (arn, _) = release.start(&cloud, 1).await;
        let suspend = |process: &str| {
            cloud.change(|world| world.groups.get_mut(&name).unwrap().suspended = vec![process.to_owned()]);
        };
        suspend("AddToLoadBalancer");
        cloud.advance(MINUTE);
        assert_eq!(healths(&cloud, &arn), []);
        suspend("Launch");
        cloud.kill_instances(&name, 1);
        cloud.advance(MINUTE);
        assert_eq!(instances(&cloud, &release), []);
        assert_eq!(cloud.next_event(), None);
        cloud.change(|world| world.groups.get_mut(&name).unwrap().suspended.clear());
        suspend("Terminate");
        cloud.set_capacity(&name, 0, 0, Some(0)).await.unwrap();
        cloud.advance(MINUTE);
        assert_eq!(instances(&cloud, &release).len(), 1);
    });
}

#[test]
fn a_world_survives_its_file() {
    let cloud = cloud(1);
    run(Release::at_120("checkout", "1.0.0").start(&cloud, 2));
    cloud.advance(Span::from_millis(40_123));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("world.json");
    assert_eq!(file::load(&path).unwrap(), None);
    file::save(&path, &cloud.world()).unwrap();
    let read = file::load(&path).unwrap().unwrap();
    assert_eq!(read, cloud.world());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    // It goes on as if nothing had been.
    let other = SimCloud::new(read);
    for cloud in [&cloud, &other] {
        cloud.advance(MINUTE);
    }
    assert_eq!(other.world(), cloud.world());
    std::fs::write(&path, "{}").unwrap();
    assert!(file::load(&path).unwrap_err().contains("world.json: not a simulated world"));
    let other_form = cloud.world().save().unwrap().replace("\"format\": 1", "\"format\": 7");
    assert!(World::load(&other_form).unwrap_err().contains("form 7"));
}

#[test]
fn one_long_wait_is_many_short_ones() {
    let story = |steps: u64| {
        let cloud = cloud(1);
        let crash_after = Some(MINUTE * 3);
        cloud.set_version("1.0.0", VersionRules { crash_after, ..VersionRules::default() });
        let release = Release::at_120("checkout", "1.0.0");
        run(release.start(&cloud, 3));
        for _ in 0..steps {
            cloud.advance(Span::from_millis(3_600_000 / steps));
        }
        cloud.world()
    };
    assert_eq!(story(1), story(3600));
}

#[test]
fn a_world_without_delays_does_not_spin() {
    let mut world = World::for_places([listener(0)]);
    let zero = Span::ZERO;
    world.pace = super::world::Pace {
        boot: zero,
        warmup: zero,
        replace: zero,
        shutdown: zero,
        deletion: zero,
        launch_retry: zero,
        lag: zero,
    };
    let cloud = SimCloud::new(world);
    cloud.set_health("1.0.0", false);
    let release = Release::at_120("checkout", "1.0.0");
    run(release.start(&cloud, 1));
    cloud.change(|world| world.groups.get_mut(release.name.as_str()).unwrap().grace = zero);
    cloud.advance(Span::from_millis(50));
    cloud.set_version("1.0.0", VersionRules { ami_missing: true, ..VersionRules::default() });
    cloud.kill_instances(release.name.as_str(), 1);
    cloud.advance(Span::from_millis(50));
    assert!(instances(&cloud, &release).iter().all(|(lifecycle, _)| *lifecycle == Lifecycle::Leaving));
}

#[test]
fn listings_may_lag_behind_creations() {
    run(async {
        let cloud = cloud(1);
        cloud.change(|world| world.pace.lag = MINUTE);
        let release = Release::at_120("checkout", "1.0.0");
        release.start(&cloud, 1).await;
        let owner = Owner { scope: super::fixture::scope(), service: None };
        let seen = async || {
            let lists = (cloud.groups(&owner).await.unwrap(), cloud.templates(&owner).await.unwrap());
            let rules = cloud.rules(&listener(0)).await.unwrap().len() - 1;
            (lists.0.len(), lists.1.len(), cloud.target_groups().await.unwrap().len(), rules)
        };
        assert_eq!(seen().await, (0, 0, 0, 0));
        release.start(&cloud, 1).await;
        cloud.advance(MINUTE);
        assert_eq!(seen().await, (1, 1, 1, 1));
    });
}

/// What CreateAutoScalingGroup refuses can be read before, in the same words.
#[test]
fn what_does_not_exist_is_refused_and_can_be_read() {
    type Spoils = fn(&mut World);
    let spoilt: [(&str, Kind, &str, Spoils); 4] = [
        ("subnet-a", Kind::Subnet, "The subnet ID 'subnet-a' does not exist", |world| {
            world.surroundings.missing.insert("subnet-a".to_owned());
        }),
        ("sg-1", Kind::SecurityGroup, "The security group 'sg-1' does not exist", |world| {
            world.surroundings.missing.insert("sg-1".to_owned());
        }),
        ("ami-1", Kind::Image, "The image id '[ami-1]' does not exist", |world| {
            world.missing_amis.push("ami-1".to_owned());
        }),
        ("t3.small", Kind::InstanceType, "instance types do not exist: [t3.small]", |world| {
            world.surroundings.missing.insert("t3.small".to_owned());
        }),
    ];
    for (id, kind, words, spoil) in spoilt {
        let cloud = cloud(1);
        let ids = BTreeSet::from([id.to_owned()]);
        let find = || run(cloud.prerequisites(kind, &ids)).unwrap()[id].clone();
        assert!(matches!(find(), Found::Here(_)), "{id}");
        cloud.change(spoil);
        let Found::Missing(said) = find() else { panic!("{id} is there") };
        assert!(said.contains(words), "{said}");
        let release = Release::at_120("checkout", "1.0.0");
        run(cloud.create_template(&release.template())).unwrap();
        let error = run(cloud.create_group(&release.group(None, 1, 2))).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Invalid, "ValidationError"));
        assert!(error.message.contains(words), "{error}");
        assert!(cloud.look(|world| world.groups.is_empty()));
    }
}

/// A subnet that is off the load balancer is in a zone that this hasn't.
#[test]
fn zones_of_subnets_and_load_balancers_tell_who_gets_no_traffic() {
    let cloud = cloud(1);
    let zones = |kind: Kind, id: &str| {
        let ids = BTreeSet::from([id.to_owned()]);
        match run(cloud.prerequisites(kind, &ids)).unwrap().remove(id) {
            Some(Found::Here(facts)) => facts.zones,
            other => panic!("{other:?}"),
        }
    };
    let balancer = listener(0).load_balancer_arn();
    assert!(zones(Kind::LoadBalancer, &balancer).is_superset(&zones(Kind::Subnet, "subnet-b")));
    cloud.change(|world| world.subnets_off_balancer.insert("subnet-b".to_owned()));
    assert!(zones(Kind::LoadBalancer, &balancer).is_disjoint(&zones(Kind::Subnet, "subnet-b")));
    assert!(zones(Kind::LoadBalancer, &balancer).is_superset(&zones(Kind::Subnet, "subnet-a")));
    assert!(zones(Kind::Offering, "t3.small").is_superset(&zones(Kind::Subnet, "subnet-b")));
}
