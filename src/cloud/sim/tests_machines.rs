//! Machines, their health and launches, against the documents.

use crate::cloud::{CloudReader, CloudWriter, ErrorKind, Owner};
use crate::names::TargetGroupArn;
use crate::observed::resources::{Activity, GroupSpec, Kept, Lifecycle, Outcome, Target, TargetHealth};
use crate::time::Span;

use super::SimCloud;
use super::fixture::{Release, cloud, run};
use super::tests::healths;
use super::world::{SimInstance, VersionRules, World};

const MINUTE: Span = Span::from_mins(1);

/// A release with so many machines that are in service, and all traffic.
fn started(machines: u32, rules: VersionRules) -> (SimCloud, Release, TargetGroupArn) {
    let cloud = cloud(1);
    cloud.set_version("1.0.0", rules);
    let release = Release::at_120("checkout", "1.0.0");
    let (arn, _) = run(release.start(&cloud, machines));
    cloud.advance(Span::from_secs(30));
    (cloud, release, arn)
}

fn targets(cloud: &SimCloud, arn: &TargetGroupArn) -> Vec<Target> {
    run(cloud.target_health(arn)).unwrap().into_values().collect()
}

fn target(health: TargetHealth, words: &str) -> Target {
    Target { health, words: words.to_owned() }
}

fn machines(cloud: &SimCloud, release: &Release) -> Vec<SimInstance> {
    cloud.look(|world| world.groups[release.name.as_str()].instances.values().cloned().collect())
}

fn serving(cloud: &SimCloud, release: &Release) -> usize {
    machines(cloud, release).iter().filter(|machine| machine.lifecycle == Lifecycle::InService).count()
}

fn activities(cloud: &SimCloud, release: &Release) -> Vec<Activity> {
    run(cloud.activities(release.name.as_str())).unwrap()
}

#[test]
fn a_machine_that_boots_longer_than_its_checks_allow_is_unhealthy_until_it_answers() {
    let warmup = Some(MINUTE * 2);
    let (cloud, release, arn) = started(1, VersionRules { warmup, ..VersionRules::default() });
    let initial = target(TargetHealth::Initial, "Elb.InitialHealthChecking: Initial health checks in progress");
    assert_eq!(targets(&cloud, &arn), [initial]);
    cloud.advance(Span::from_secs(30));
    let failed = target(TargetHealth::Unhealthy, "Target.FailedHealthChecks: Health checks failed");
    assert_eq!(targets(&cloud, &arn)[0], failed, "three checks, ten seconds apart, have failed");
    cloud.advance(Span::from_secs(90));
    assert_eq!(targets(&cloud, &arn), [failed], "it answers, and two checks must say so");
    cloud.advance(Span::from_secs(20));
    assert_eq!(targets(&cloud, &arn), [target(TargetHealth::Healthy, "")]);
    assert!(activities(&cloud, &release).iter().all(|activity| activity.launch), "it was in its grace period");
}

#[test]
fn what_answered_before_it_was_checked_is_healthy_at_the_first_check() {
    let (cloud, release, arn) = started(1, VersionRules::default());
    cloud.advance(MINUTE * 5);
    let new = Release::at_120("checkout", "1.1.0");
    let other = run(new.provision(&cloud, 1));
    cloud.advance(MINUTE * 5);
    let rule = cloud.look(|world| world.rules.keys().next().unwrap().clone());
    run(cloud.set_rule(&rule, None, &[(arn.clone(), 100), (other.clone(), 0)], &Kept::default())).unwrap();
    assert_eq!(healths(&cloud, &other), [TargetHealth::Initial]);
    cloud.advance_to(cloud.next_event().unwrap());
    assert_eq!(healths(&cloud, &other), [TargetHealth::Healthy]);
    assert_eq!(serving(&cloud, &release), 1);
}

#[test]
fn an_unhealthy_target_says_why() {
    let failing = |rules: VersionRules| {
        let (cloud, _, arn) = started(1, rules);
        cloud.advance(MINUTE);
        targets(&cloud, &arn)[0].clone()
    };
    let none = VersionRules::default;
    for (rules, words) in [
        (
            VersionRules { answers_code: Some(502), ..none() },
            "Target.ResponseCodeMismatch: Health checks failed with these codes: [502]",
        ),
        (VersionRules { times_out: true, ..none() }, "Target.Timeout: Request timed out"),
        (VersionRules { unhealthy: true, ..none() }, "Target.FailedHealthChecks: Health checks failed"),
        (
            VersionRules { unhealthy: true, target_words: Some("Elb.InternalError: oh".to_owned()), ..none() },
            "Elb.InternalError: oh",
        ),
    ] {
        assert_eq!(failing(rules), target(TargetHealth::Unhealthy, words));
    }
    assert_eq!(failing(VersionRules { answers_code: Some(200), ..none() }).health, TargetHealth::Healthy);
}

#[test]
fn a_target_that_is_not_checked_says_why() {
    run(async {
        let cloud = cloud(1);
        let release = Release::at_120("checkout", "1.0.0");
        let (arn, rule) = release.start(&cloud, 2).await;
        let other = Release::at_120("checkout", "1.1.0").provision(&cloud, 1).await;
        cloud.change(|world| {
            world.groups.get_mut(release.name.as_str()).unwrap().subnets.push("subnet-b".to_owned());
            world.subnets_off_balancer.insert("subnet-b".to_owned());
        });
        cloud.kill_instances(release.name.as_str(), 2);
        cloud.advance(MINUTE);
        let off = "Target.NotInUse: Target is in an Availability Zone that is not enabled for the load balancer";
        let (mut words, shares) = (targets(&cloud, &arn), cloud.traffic());
        words.sort_by_key(|target| target.health);
        assert_eq!(words, [target(TargetHealth::Healthy, ""), target(TargetHealth::Unused, off)]);
        assert_eq!((shares[0].1[0].healthy, shares[0].1[0].registered), (1, 1));
        let not_in_use = "Target.NotInUse: Target group is not configured to receive traffic from the load balancer";
        assert_eq!(targets(&cloud, &other), [target(TargetHealth::Unused, not_in_use)]);
        cloud.set_capacity(release.name.as_str(), 0, 0, Some(0)).await.unwrap();
        let leaving = "Target.DeregistrationInProgress: Target deregistration is in progress";
        assert!(targets(&cloud, &arn).contains(&target(TargetHealth::Draining, leaving)));
        cloud.delete_rule(&rule).await.unwrap();
    });
}

#[test]
fn a_group_says_why_it_takes_a_machine_out() {
    let unhealthy = VersionRules { unhealthy: true, ..VersionRules::default() };
    let (cloud, release, _) = started(20, unhealthy);
    cloud.advance(MINUTE * 15);
    assert!(activities(&cloud, &release).iter().all(|activity| activity.launch), "its grace period lasts");
    cloud.advance(Span::from_secs(15));
    let newest = activities(&cloud, &release);
    let out: Vec<&Activity> = newest.iter().filter(|activity| !activity.launch).collect();
    assert_eq!(out.len(), 2, "a tenth at a time");
    let why = "an instance was taken out of service in response to an ELB system health check failure.";
    assert!(out.iter().all(|activity| activity.cause.starts_with("At 20") && activity.cause.ends_with(why)), "{out:?}");
    assert!(out.iter().all(|activity| activity.instance.is_some() && activity.outcome == Outcome::Running));
    let gone = "in response to an EC2 health check indicating it has been terminated or stopped.";
    let lost = |cloud: &SimCloud| activities(cloud, &release).into_iter().find(|a| a.cause.ends_with(gone));
    assert_eq!(lost(&cloud), None);
    cloud.kill_instances(release.name.as_str(), 1);
    assert_eq!(lost(&cloud).map(|activity| activity.outcome), Some(Outcome::Successful));
    let started = &activities(&cloud, &release).into_iter().find(|activity| activity.launch).unwrap().cause;
    assert!(started.contains("a difference between desired and actual capacity"), "{started}");
}

#[test]
fn machines_that_are_powered_off_or_vanish_are_replaced_in_the_grace_period_too() {
    let stops_after = Some(MINUTE);
    let (cloud, release, arn) = started(1, VersionRules { stops_after, ..VersionRules::default() });
    cloud.advance(MINUTE);
    let stopped = "Target.InvalidState: Target is in the stopped state";
    assert_eq!(targets(&cloud, &arn), [target(TargetHealth::Unused, stopped)]);
    cloud.advance(Span::from_secs(15));
    let cause = &activities(&cloud, &release).into_iter().find(|activity| !activity.launch).unwrap().cause;
    assert!(cause.ends_with("an EC2 health check indicating it has been terminated or stopped."), "{cause}");
    let vanishes_after = Some(MINUTE);
    let (cloud, release, arn) = started(1, VersionRules { vanishes_after, ..VersionRules::default() });
    cloud.advance(MINUTE);
    assert_eq!(targets(&cloud, &arn), []);
    assert_eq!(machines(&cloud, &release)[0].lifecycle, Lifecycle::Pending, "the group makes up for it");
    cloud.stop_instances(release.name.as_str(), 1);
    assert!(machines(&cloud, &release)[0].stopped);
}

#[test]
fn a_machine_may_flap() {
    let flaps = Some(Span::from_secs(1));
    let (cloud, _, arn) = started(1, VersionRules { flaps, ..VersionRules::default() });
    cloud.advance(MINUTE);
    let words: Vec<TargetHealth> = (0..6)
        .map(|_| {
            cloud.advance(Span::from_secs(1));
            healths(&cloud, &arn)[0]
        })
        .collect();
    assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "{words:?}");
}

#[test]
fn some_launches_fail_and_others_do_not() {
    let launch_failure = Some("Your account is currently blocked".to_owned());
    let (cloud, release, _) =
        started(4, VersionRules { launch_failure, launch_fails_every: Some(3), ..VersionRules::default() });
    let failed =
        |cloud: &SimCloud| activities(cloud, &release).into_iter().filter(|a| a.outcome == Outcome::Failed).count();
    cloud.advance(MINUTE * 2);
    assert_eq!((failed(&cloud), serving(&cloud, &release)), (1, 4));
    cloud.change(|world| {
        world.versions.clear();
        world.subnet_failures.insert("subnet-a".to_owned(), "Subnet is not well".to_owned());
    });
    cloud.kill_instances(release.name.as_str(), 1);
    assert_eq!(activities(&cloud, &release)[0].message, "Subnet is not well");
}

#[test]
fn a_template_that_is_made_anew_is_another_one() {
    run(async {
        let (cloud, release, _) = started(1, VersionRules::default());
        let id = cloud.look(|world| world.templates.keys().next().unwrap().clone());
        cloud.delete_template(&id).await.unwrap();
        cloud.create_template(&release.template()).await.unwrap();
        cloud.kill_instances(release.name.as_str(), 1);
        cloud.advance(MINUTE);
        assert_eq!(serving(&cloud, &release), 0);
        let newest = &activities(&cloud, &release)[0];
        assert!(newest.message.contains(&format!("with template ID {id}, does not exist")), "{newest:?}");
        cloud.change(|world| world.groups.get_mut(release.name.as_str()).unwrap().template_id = None);
        cloud.advance(MINUTE);
        assert_eq!(serving(&cloud, &release), 1, "a world of old knows templates by their names");
    });
}

#[test]
fn a_detached_target_group_loses_its_machines_and_an_attached_one_gets_them() {
    let (cloud, release, arn) = started(2, VersionRules::default());
    cloud.advance(MINUTE);
    let name = release.name.as_str();
    cloud.change(|world| world.detach(name, &arn));
    assert_eq!(healths(&cloud, &arn), [TargetHealth::Draining; 2]);
    cloud.advance(MINUTE);
    assert_eq!((healths(&cloud, &arn).len(), serving(&cloud, &release)), (0, 2));
    cloud.change(|world| world.attach(name, &arn));
    assert_eq!(healths(&cloud, &arn), [TargetHealth::Initial; 2]);
    cloud.advance(MINUTE);
    cloud.change(|world| world.attach(name, &arn));
    assert_eq!(healths(&cloud, &arn), [TargetHealth::Healthy; 2]);
}

#[test]
fn protected_machines_stay_and_those_in_standby_do_not_count() {
    let (cloud, release, arn) = started(2, VersionRules::default());
    let name = release.name.as_str();
    cloud.protect_instances(name, 1, true);
    run(cloud.set_capacity(name, 0, 2, Some(0))).unwrap();
    cloud.advance(MINUTE * 2);
    assert_eq!(serving(&cloud, &release), 1, "one is protected");
    cloud.protect_instances(name, 1, false);
    cloud.advance(MINUTE * 2);
    assert_eq!(machines(&cloud, &release).len(), 0);
    run(cloud.set_capacity(name, 1, 2, Some(1))).unwrap();
    cloud.advance(MINUTE * 2);
    cloud.enter_standby(name, 1);
    cloud.advance(MINUTE * 2);
    assert_eq!((serving(&cloud, &release), machines(&cloud, &release).len(), healths(&cloud, &arn).len()), (1, 2, 1));
    cloud.leave_standby(name);
    cloud.advance(MINUTE * 5);
    assert_eq!(serving(&cloud, &release), 1, "there was one too many");
    cloud.detach_instances(name, 1);
    cloud.advance(MINUTE * 2);
    assert_eq!(serving(&cloud, &release), 1, "another was launched");
    cloud.suspend(name, &["Launch", "HealthCheck"]);
    cloud.kill_instances(name, 1);
    cloud.advance(MINUTE * 2);
    assert_eq!(serving(&cloud, &release), 0);
}

#[test]
fn stickiness_that_another_hand_switched_on_keeps_a_second_target_group_out() {
    run(async {
        let (cloud, _, arn) = started(1, VersionRules::default());
        let other = Release::at_120("checkout", "1.1.0").provision(&cloud, 1).await;
        cloud.change(|world| world.target_groups.get_mut(&arn).unwrap().sticky = true);
        let rule = cloud.look(|world| world.rules.keys().next().unwrap().clone());
        let refused =
            cloud.set_rule(&rule, None, &[(arn.clone(), 100), (other.clone(), 0)], &Kept::default()).await.unwrap_err();
        assert_eq!((refused.kind, refused.code.as_str()), (ErrorKind::Invalid, "InvalidLoadBalancerAction"));
        assert!(refused.message.starts_with("You must enable group stickiness on a rule"), "{refused}");
        let among = Kept { stickiness_secs: Some(60), ..Kept::default() };
        cloud.set_rule(&rule, None, &[(arn.clone(), 100), (other, 0)], &among).await.unwrap();
        cloud.set_rule(&rule, None, &[(arn, 100)], &Kept::default()).await.unwrap();
    });
}

#[test]
fn a_world_file_of_before_is_read_and_rules_may_be_short() {
    let (cloud, release, _) = started(1, VersionRules::default());
    let mut value: serde_json::Value = serde_json::from_str(&cloud.world().save().unwrap()).unwrap();
    let group = value["groups"][release.name.as_str()].as_object_mut().unwrap();
    for new in ["template_id", "template_version", "health_check_type", "protects_new", "ready_within"] {
        assert!(group.remove(new).is_some(), "{new}");
    }
    for machine in group["instances"].as_object_mut().unwrap().values_mut() {
        let new = ["subnet", "protected", "standby", "stopped", "in_hook"];
        new.iter().for_each(|new| drop(machine.as_object_mut().unwrap().remove(*new)));
    }
    for new in ["subnet_failures", "subnets_off_balancer", "surroundings"] {
        assert!(value.as_object_mut().unwrap().remove(new).is_some(), "{new}");
    }
    value["versions"] = serde_json::json!({ "1.0.0": { "answers_code": 502 } });
    let world = World::load(&value.to_string()).unwrap();
    assert_eq!(world.versions["1.0.0"].answers_code, Some(502));
    let cloud = SimCloud::new(world);
    cloud.kill_instances(release.name.as_str(), 1);
    cloud.advance(MINUTE);
    assert_eq!(serving(&cloud, &release), 1);
    value["versions"] = serde_json::json!({ "1.0.0": { "flaps": 1 } });
    assert!(World::load(&value.to_string()).unwrap_err().contains("at least 100 ms"));
}

/// A worker whose machines wait in their launch hook, five minutes at most.
fn with_hook(rules: VersionRules) -> (SimCloud, Release) {
    let cloud = cloud(1);
    cloud.set_version("1.0.0", rules);
    let release = Release::at_120("checkout", "1.0.0");
    run(cloud.create_template(&release.template())).unwrap();
    let spec = GroupSpec { ready_within: Some(MINUTE * 5), ..release.group(None, 2, 2) };
    run(cloud.create_group(&spec)).unwrap();
    cloud.advance(Span::from_secs(40));
    (cloud, release)
}

fn in_hooks(cloud: &SimCloud, release: &Release) -> u32 {
    let groups = run(cloud.groups(&Owner { scope: release.identity.scope.clone(), service: None })).unwrap();
    groups[0].shape.as_ref().unwrap().in_hooks
}

#[test]
fn a_machine_waits_in_its_launch_hook_until_its_application_answers() {
    let warmup = Some(MINUTE * 2);
    let (cloud, release) = with_hook(VersionRules { warmup, ..VersionRules::default() });
    cloud.advance(MINUTE);
    assert_eq!((in_hooks(&cloud, &release), serving(&cloud, &release)), (2, 0), "they have booted");
    assert!(machines(&cloud, &release).iter().all(|machine| machine.lifecycle == Lifecycle::Pending));
    cloud.advance(MINUTE);
    assert_eq!((in_hooks(&cloud, &release), serving(&cloud, &release)), (0, 2), "they answer");
    let launches = activities(&cloud, &release);
    assert!(launches.iter().all(|activity| activity.outcome == Outcome::Successful), "{launches:?}");
    cloud.advance(MINUTE * 20);
    assert_eq!(activities(&cloud, &release).len(), 2, "nobody is replaced");
}

#[test]
fn a_machine_that_never_answers_is_given_up_in_its_launch_hook_and_replaced() {
    let (cloud, release) = with_hook(VersionRules { unhealthy: true, ..VersionRules::default() });
    cloud.advance(MINUTE * 5);
    let activities = activities(&cloud, &release);
    let given_up: Vec<&Activity> = activities.iter().filter(|a| a.launch && a.outcome == Outcome::Failed).collect();
    assert_eq!(given_up.len(), 2, "{activities:?}");
    let words = "Instance failed to complete user's Lifecycle Action";
    assert!(given_up.iter().all(|activity| activity.message.starts_with(words)), "{given_up:?}");
    cloud.advance(MINUTE);
    assert_eq!((in_hooks(&cloud, &release), serving(&cloud, &release)), (2, 0), "others have their turn");
    cloud.set_version("1.0.0", VersionRules::default());
    cloud.advance(MINUTE);
    assert_eq!(serving(&cloud, &release), 2);
}
