//! The adapter to AWS against a server that speaks its protocols: every method of the
//! port, creations that find something there, and listings of more than one page.

use ionroller::cloud::{CloudReader as _, CloudWriter as _, ErrorKind, Owner, RuleSpec, Tagged};
use ionroller::names::{Digest, GroupName, RuleArn, Scope, ServiceName, TargetGroupArn};
use ionroller::observed::marks::{DIGEST, Identity, Mark, SCOPE, SERVICE};
use ionroller::observed::resources::{
    AmiSpec, Conditions, GroupSpec, HealthCheck, Policy, Rule, RuleAction, Tags, TargetGroupSpec, TemplateSpec,
};
use ionroller::time::Span;

use crate::harness::aws_server::Stage;

/// A release of the service `checkout`; the text makes another digest.
struct Release {
    name: GroupName,
    tags: Tags,
}

fn scope() -> Scope {
    Scope::parse("prod").unwrap()
}

fn release(content: &str) -> Release {
    let (service, digest) = (ServiceName::parse("checkout").unwrap(), Digest::of(content.as_bytes()));
    let tags = Identity {
        scope: scope(),
        service: service.clone(),
        version: "1.0".parse().unwrap(),
        digest: digest.clone(),
        commit: "c".repeat(40),
    };
    Release { name: GroupName::of(&scope(), &service, &digest), tags: tags.tags() }
}

fn owner() -> Owner {
    Owner { scope: scope(), service: None }
}

fn rule_tags() -> Tags {
    release("").tags.into_iter().filter(|(key, _)| key == SCOPE || key == SERVICE).collect()
}

impl Stage {
    fn template(&self, of: &Release) -> TemplateSpec {
        TemplateSpec {
            name: of.name.clone(),
            ami: AmiSpec::Id(self.ami.clone()),
            instance_type: "t3.small".into(),
            instance_profile: None,
            key_name: None,
            root_volume_gib: None,
            security_groups: Vec::new(),
            user_data: "#!/bin/sh\necho hello\n".into(),
            tags: of.tags.clone(),
            machine_tags: Tags::from([("team".into(), "payments".into())]),
        }
    }

    fn target_group(&self, of: &Release) -> TargetGroupSpec {
        TargetGroupSpec {
            name: of.name.clone(),
            listener: self.listener.clone(),
            port: 80,
            protocol: "HTTP".into(),
            health_check: HealthCheck {
                protocol: "HTTP".into(),
                port: "traffic-port".into(),
                path: Some("/health".into()),
                matcher: Some("200-299".into()),
                interval_secs: 10,
                timeout_secs: 5,
                healthy: 2,
                unhealthy: 3,
            },
            deregistration_delay: Span::from_secs(30),
            tags: of.tags.clone(),
        }
    }

    fn group(&self, of: &Release, target_group: Option<&TargetGroupArn>) -> GroupSpec {
        let mut tags = of.tags.clone();
        tags.insert(Mark::Step.key().into(), "0@2026-11-23T10:00:00Z".into());
        tags.insert("team".into(), "payments".into());
        GroupSpec {
            name: of.name.to_string(),
            template: of.name.clone(),
            target_group: target_group.cloned(),
            subnets: self.subnets.clone(),
            min: 2,
            max: 4,
            grace: Span::from_secs(900),
            tags,
        }
    }

    fn rule(&self, priority: u32, weights: Vec<(TargetGroupArn, u32)>) -> RuleSpec {
        let conditions =
            Conditions { hosts: vec!["checkout.example.com".into()], paths: vec!["/*".into()], others: false };
        RuleSpec { listener: self.listener.clone(), priority, conditions, weights, tags: rule_tags() }
    }

    async fn rule_at(&self, priority: Option<u32>) -> Option<Rule> {
        self.cloud.rules(&self.listener).await.unwrap().into_iter().find(|rule| rule.priority == priority)
    }

    /// Template and target group of a release.
    async fn base(&self, of: &Release) -> TargetGroupArn {
        self.cloud.create_template(&self.template(of)).await.unwrap();
        self.cloud.create_target_group(&self.target_group(of)).await.unwrap()
    }
}

#[tokio::test]
async fn templates_are_made_marked_and_deleted() {
    let stage = Stage::new().await;
    let (cloud, one) = (&stage.cloud, release("one"));
    assert_eq!(cloud.templates(&owner()).await.unwrap(), []);
    cloud.create_template(&stage.template(&one)).await.unwrap();
    let found = cloud.templates(&owner()).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), &found[0].tags), (one.name.as_str(), &one.tags));
    assert!(cloud.now().since(found[0].created) < Span::from_mins(5));
    let of_others = [
        Owner { scope: Scope::parse("test").unwrap(), service: None },
        Owner { scope: scope(), service: Some(ServiceName::parse("cart").unwrap()) },
    ];
    for other in of_others {
        assert_eq!(cloud.templates(&other).await.unwrap(), []);
    }
    let on = Tagged::Template(found[0].id.clone());
    let stable = Tags::from([(Mark::Stable.key().into(), "2026-11-23T10:00:00Z".into())]);
    cloud.set_tags(&on, &stable).await.unwrap();
    cloud.set_tags(&on, &stable).await.unwrap();
    assert_eq!(cloud.templates(&owner()).await.unwrap()[0].tags.len(), one.tags.len() + 1);
    for _ in 0..2 {
        cloud.clear_tags(&on, &[Mark::Stable.key().to_owned()]).await.unwrap();
        assert_eq!(cloud.templates(&owner()).await.unwrap()[0].tags, one.tags);
    }
    for _ in 0..2 {
        cloud.delete_template(&found[0].id).await.unwrap();
    }
    assert_eq!(cloud.templates(&owner()).await.unwrap(), []);
}

#[tokio::test]
async fn templates_resolve_images_and_carry_the_whole_machine() {
    let stage = Stage::new().await;
    let ec2 = aws_sdk_ec2::Client::new(&stage.config);
    let mut spec = stage.template(&release("one"));
    spec.ami = AmiSpec::Name("checkout-1*".into());
    spec.root_volume_gib = Some(20);
    let error = stage.cloud.create_template(&spec).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "DescribeImages of checkout-1* failed: no available image of this account is named `checkout-1*`"
    );
    let image = ec2.register_image().name("checkout-1.0").root_device_name("/dev/xvda").send().await.unwrap();
    stage.cloud.create_template(&spec).await.unwrap();
    let versions = ec2.describe_launch_template_versions().launch_template_name(spec.name.as_str());
    let versions = versions.send().await.unwrap();
    let [version] = versions.launch_template_versions() else { panic!("one version") };
    let data = version.launch_template_data().unwrap();
    assert_eq!(version.version_number(), Some(1));
    assert_eq!(data.image_id(), image.image_id());
    assert_eq!(data.user_data(), Some("IyEvYmluL3NoCmVjaG8gaGVsbG8K"));
    let disk = &data.block_device_mappings()[0];
    assert_eq!(disk.ebs().and_then(|disk| disk.volume_size()), Some(20));
    let tagged: Vec<_> = data.tag_specifications().iter().map(|spec| spec.resource_type().unwrap().as_str()).collect();
    assert_eq!(tagged[..2], ["instance", "volume"]);
}

#[tokio::test]
async fn a_template_that_is_there_is_taken_over_if_it_is_ours() {
    let stage = Stage::new().await;
    let spec = stage.template(&release("one"));
    stage.cloud.create_template(&spec).await.unwrap();
    stage.cloud.create_template(&spec).await.unwrap();
    let changed = TemplateSpec { user_data: "#!/bin/sh\n".into(), ..spec.clone() };
    stage.cloud.create_template(&changed).await.unwrap();
    assert_eq!(stage.cloud.templates(&owner()).await.unwrap().len(), 1);
    let mut others = spec;
    others.tags.insert(DIGEST.into(), Digest::of(b"two").to_string());
    let error = stage.cloud.create_template(&others).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
}

#[tokio::test]
async fn boot_scripts_that_ec2_would_refuse_at_launch_are_refused_at_once() {
    let stage = Stage::new().await;
    let spec = TemplateSpec { user_data: "x".repeat(16 * 1024 + 1), ..stage.template(&release("one")) };
    let error = stage.cloud.create_template(&spec).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Invalid, ""));
}

#[tokio::test]
async fn target_groups_are_made_changed_and_deleted() {
    let stage = Stage::new().await;
    let (cloud, spec) = (&stage.cloud, stage.target_group(&release("one")));
    let arn = cloud.create_target_group(&spec).await.unwrap();
    let found = cloud.target_groups().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].arn, found[0].name.as_str(), found[0].in_use), (&arn, spec.name.as_str(), false));
    assert_eq!((found[0].port, found[0].protocol.as_str()), (80, "HTTP"));
    assert_eq!(found[0].health_check, spec.health_check);
    assert_eq!(cloud.tags(&[arn.to_string()]).await.unwrap()[arn.as_str()], spec.tags);
    assert_eq!(cloud.target_health(&arn).await.unwrap().len(), 0);

    let mut changed = spec.clone();
    changed.health_check.interval_secs = 30;
    changed.deregistration_delay = Span::from_mins(2);
    for _ in 0..2 {
        cloud.set_target_group(&arn, &changed).await.unwrap();
    }
    assert_eq!(cloud.target_groups().await.unwrap()[0].health_check, changed.health_check);
    for _ in 0..2 {
        cloud.delete_target_group(&arn).await.unwrap();
    }
    assert_eq!(cloud.target_health(&arn).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(cloud.tags(&[arn.to_string()]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_target_group_that_is_there_is_taken_over_if_it_is_ours() {
    let stage = Stage::new().await;
    let (cloud, spec) = (&stage.cloud, stage.target_group(&release("one")));
    let arn = cloud.create_target_group(&spec).await.unwrap();
    assert_eq!(cloud.create_target_group(&spec).await.unwrap(), arn);
    let mut changed = spec.clone();
    changed.health_check.interval_secs = 30;
    assert_eq!(cloud.create_target_group(&changed).await.unwrap(), arn);
    assert_eq!(cloud.target_groups().await.unwrap()[0].health_check.interval_secs, 30);
    let fixed = TargetGroupSpec { port: 8080, ..spec.clone() };
    let error = cloud.create_target_group(&fixed).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("HTTP 80, not HTTP 8080"), "{error}");
    let mut others = spec;
    others.tags.insert(DIGEST.into(), Digest::of(b"two").to_string());
    let error = cloud.create_target_group(&others).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
}

#[tokio::test]
async fn rules_carry_all_weights_in_one_call() {
    let stage = Stage::new().await;
    let cloud = &stage.cloud;
    let blue = cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let green = cloud.create_target_group(&stage.target_group(&release("green"))).await.unwrap();
    let spec = stage.rule(120, vec![(blue.clone(), 100)]);
    let arn = cloud.create_rule(&spec).await.unwrap();
    let found = stage.rule_at(Some(120)).await.unwrap();
    assert_eq!((&found.arn, &found.conditions), (&arn, &spec.conditions));
    let RuleAction::Forward(weights) = found.action else { panic!("a forward") };
    assert_eq!(weights[0].0, blue);
    assert_eq!(cloud.tags(&[arn.to_string()]).await.unwrap()[arn.as_str()], rule_tags());

    let weights = vec![(blue.clone(), 95), (green.clone(), 5)];
    for _ in 0..2 {
        cloud.set_rule(&arn, None, &weights).await.unwrap();
        let found = stage.rule_at(Some(120)).await.unwrap();
        assert_eq!(found.action, RuleAction::Forward(weights.clone()));
        assert_eq!(found.conditions, spec.conditions, "conditions stay when none are given");
    }
    let others = Conditions { hosts: vec!["b.example".into()], ..Conditions::default() };
    cloud.set_rule(&arn, Some(&others), &weights).await.unwrap();
    assert_eq!(stage.rule_at(Some(120)).await.unwrap().conditions, others);

    let error = cloud.delete_target_group(&green).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Conflict, "ResourceInUse"));
    for _ in 0..2 {
        cloud.delete_rule(&arn).await.unwrap();
    }
    assert_eq!(stage.rule_at(Some(120)).await, None);
    assert_eq!(cloud.set_rule(&arn, None, &weights).await.unwrap_err().kind, ErrorKind::NotFound);
    cloud.delete_target_group(&green).await.unwrap();
}

#[tokio::test]
async fn a_rule_that_is_there_is_taken_over_if_it_is_ours() {
    let stage = Stage::new().await;
    let blue = stage.cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let spec = stage.rule(120, vec![(blue, 100)]);
    let arn = stage.cloud.create_rule(&spec).await.unwrap();
    assert_eq!(stage.cloud.create_rule(&spec).await.unwrap(), arn);
    let mut others = spec;
    others.tags.insert(SERVICE.into(), "cart".into());
    let error = stage.cloud.create_rule(&others).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
}

#[tokio::test]
async fn default_actions_are_set_through_their_listener() {
    let stage = Stage::new().await;
    let blue = stage.cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let listeners = || stage.cloud.listeners(std::slice::from_ref(&stage.listener));
    assert_eq!(listeners().await.unwrap()[0].default_action, RuleAction::Other("fixed-response".into()));
    let rule = stage.rule_at(None).await.unwrap();
    assert_eq!(rule.arn, stage.listener.default_rule());
    let weights = vec![(blue, 100)];
    stage.cloud.set_rule(&rule.arn, None, &weights).await.unwrap();
    let found = listeners().await.unwrap();
    assert_eq!((found[0].arn.clone(), found[0].protocol.as_str()), (stage.listener.clone(), "HTTP"));
    assert!(matches!(&found[0].default_action, RuleAction::Forward(found) if found[0].0 == weights[0].0));
    assert_eq!(stage.cloud.tags(&[rule.arn.to_string()]).await.unwrap().len(), 0);
    let error = stage.cloud.delete_rule(&rule.arn).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let hosts = Conditions { hosts: vec!["a.example".into()], ..Conditions::default() };
    let error = stage.cloud.set_rule(&rule.arn, Some(&hosts), &weights).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_listener_that_does_not_exist_fails_the_call() {
    let stage = Stage::new().await;
    let gone = stage.listener.as_str().rsplit_once('/').unwrap().0.to_owned() + "/0123456789abcdef";
    let arns = [stage.listener.clone(), gone.parse().unwrap()];
    let error = stage.cloud.listeners(&arns).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert_eq!(stage.cloud.listeners(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn groups_are_made_sized_marked_and_deleted() {
    let stage = Stage::new().await;
    let (cloud, one) = (&stage.cloud, release("one"));
    let target_group = stage.base(&one).await;
    let spec = stage.group(&one, Some(&target_group));
    cloud.create_group(&spec).await.unwrap();
    let found = cloud.groups(&owner()).await.unwrap();
    let [group] = found.as_slice() else { panic!("one group") };
    assert_eq!((group.name.as_str(), group.min, group.max, group.desired), (spec.name.as_str(), 2, 4, 2));
    assert_eq!(group.tags, spec.tags);
    assert_eq!(group.template, Some((one.name.to_string(), "1".to_owned())));
    assert_eq!(group.target_groups, std::slice::from_ref(&target_group));
    assert!(!group.deleting && group.suspended.is_empty());
    assert_eq!(group.instances.len(), 2);
    assert_eq!(cloud.target_health(&target_group).await.unwrap().len(), 2);

    for _ in 0..2 {
        cloud.set_capacity(&spec.name, 1, 6, Some(3)).await.unwrap();
    }
    cloud.set_capacity(&spec.name, 2, 6, None).await.unwrap();
    let group = cloud.groups(&owner()).await.unwrap().remove(0);
    assert_eq!((group.min, group.max, group.desired), (2, 6, 3));

    let on = Tagged::Group(spec.name.clone());
    let marks = Tags::from([(Mark::Step.key().into(), "5@2026-11-23T10:05:00Z".into())]);
    cloud.set_tags(&on, &marks).await.unwrap();
    assert_eq!(cloud.groups(&owner()).await.unwrap()[0].tags[Mark::Step.key()], marks[Mark::Step.key()]);
    for _ in 0..2 {
        cloud.clear_tags(&on, &[Mark::Step.key().to_owned()]).await.unwrap();
    }
    assert_eq!(cloud.groups(&owner()).await.unwrap()[0].tags.len(), spec.tags.len() - 1);

    let _ = cloud.activities(&spec.name).await.unwrap();
    cloud.set_capacity(&spec.name, 0, 0, Some(0)).await.unwrap();
    for _ in 0..2 {
        cloud.delete_group(&spec.name).await.unwrap();
    }
}

#[tokio::test]
async fn policies_become_exactly_ours() {
    let stage = Stage::new().await;
    let (cloud, one) = (&stage.cloud, release("one"));
    let target_group = stage.base(&one).await;
    let spec = stage.group(&one, Some(&target_group));
    cloud.create_group(&spec).await.unwrap();
    let policy = |name: &str, metric: &str, label: Option<&str>, target_millis| Policy {
        name: name.into(),
        metric: metric.into(),
        resource_label: label.map(str::to_owned),
        target_millis,
    };
    let cpu = policy("ionroller-cpu", "ASGAverageCPUUtilization", None, 60_000);
    let balancer = stage.listener.load_balancer();
    let label = format!("{balancer}/targetgroup/{}", target_group.as_str().split_once(":targetgroup/").unwrap().1);
    let requests = policy("ionroller-requests", "ALBRequestCountPerTarget", Some(&label), 1_500);
    let both = vec![cpu, requests.clone()];
    for _ in 0..2 {
        cloud.set_policies(&spec.name, &both).await.unwrap();
        let details = cloud.details(&spec.name, Some(&target_group)).await.unwrap();
        assert_eq!(details.policies, both);
        assert_eq!(details.deregistration_delay, Some(Span::from_secs(30)));
    }
    cloud.set_policies(&spec.name, std::slice::from_ref(&requests)).await.unwrap();
    let details = cloud.details(&spec.name, None).await.unwrap();
    assert_eq!((details.policies, details.deregistration_delay), (vec![requests], None));
    let unknown = policy("ionroller-x", "a metric of tomorrow", None, 1);
    let error = cloud.set_policies(&spec.name, &[unknown]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn a_group_that_is_there_is_taken_over_if_it_is_ours() {
    let stage = Stage::new().await;
    let (cloud, one, two) = (&stage.cloud, release("one"), release("two"));
    let target_group = stage.base(&one).await;
    stage.base(&two).await;
    let spec = stage.group(&one, Some(&target_group));
    cloud.create_group(&spec).await.unwrap();
    cloud.set_capacity(&spec.name, 3, 4, None).await.unwrap();
    cloud.create_group(&spec).await.unwrap();
    assert_eq!(cloud.groups(&owner()).await.unwrap()[0].min, 3, "what runs stays as it is");
    let others = GroupSpec { tags: two.tags.clone(), ..spec.clone() };
    let error = cloud.create_group(&others).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
    let template = GroupSpec { template: two.name.clone(), ..spec };
    let error = cloud.create_group(&template).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurs, "{error}");
}

#[tokio::test]
async fn groups_are_never_deleted_by_force() {
    let stage = Stage::new().await;
    let one = release("one");
    let target_group = stage.base(&one).await;
    let spec = stage.group(&one, Some(&target_group));
    stage.cloud.create_group(&spec).await.unwrap();
    let error = stage.cloud.delete_group(&spec.name).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn target_groups_and_rules_can_be_tagged() {
    let stage = Stage::new().await;
    let blue = stage.cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let rule = stage.cloud.create_rule(&stage.rule(1, vec![(blue.clone(), 1)])).await.unwrap();
    let team = Tags::from([("team".into(), "payments".into())]);
    for (on, arn) in [(Tagged::TargetGroup(blue.clone()), blue.as_str()), (Tagged::Rule(rule.clone()), rule.as_str())] {
        let before = stage.cloud.tags(&[arn.to_owned()]).await.unwrap()[arn].len();
        stage.cloud.set_tags(&on, &team).await.unwrap();
        assert_eq!(stage.cloud.tags(&[arn.to_owned()]).await.unwrap()[arn].len(), before + 1);
        for _ in 0..2 {
            stage.cloud.clear_tags(&on, &["team".to_owned()]).await.unwrap();
        }
        assert_eq!(stage.cloud.tags(&[arn.to_owned()]).await.unwrap()[arn].len(), before);
    }
}

#[tokio::test]
async fn one_that_is_gone_costs_no_other_its_tags() {
    let stage = Stage::new().await;
    let blue = stage.cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let mut arns = Vec::new();
    for priority in 1..=45 {
        arns.push(stage.cloud.create_rule(&stage.rule(priority, vec![(blue.clone(), 1)])).await.unwrap());
    }
    for gone in [0, 7, 8, 44] {
        stage.cloud.delete_rule(&arns[gone]).await.unwrap();
    }
    let asked: Vec<String> = arns.iter().map(RuleArn::to_string).collect();
    let found = stage.cloud.tags(&asked).await.unwrap();
    assert_eq!(found.len(), 41);
    assert!(found.values().all(|tags| *tags == rule_tags()));
}

#[tokio::test]
async fn listings_go_on_to_the_last_page() {
    let stage = Stage::new().await;
    let cloud = &stage.cloud;
    let blue = cloud.create_target_group(&stage.target_group(&release("blue"))).await.unwrap();
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&stage.config);
    for number in 0..410 {
        let one = release(&number.to_string());
        // Of others, so that one call does.
        elb.create_target_group().name(format!("other-{number}")).port(1).protocol("HTTP".into()).send().await.unwrap();
        if number < 210 {
            cloud.create_template(&stage.template(&one)).await.unwrap();
        }
        if number < 105 {
            cloud.create_group(&GroupSpec { min: 0, ..stage.group(&one, None) }).await.unwrap();
        }
        if number < 60 {
            cloud.create_rule(&stage.rule(number + 1, vec![(blue.clone(), 1)])).await.unwrap();
        }
    }
    assert_eq!(cloud.target_groups().await.unwrap().len(), 411);
    assert_eq!(cloud.templates(&owner()).await.unwrap().len(), 210);
    assert_eq!(cloud.groups(&owner()).await.unwrap().len(), 105);
    assert_eq!(cloud.rules(&stage.listener).await.unwrap().len(), 61);
}

#[tokio::test]
async fn the_caller_and_the_account_are_told() {
    use ionroller::cloud::aws::{AwsCloud, Connection};
    let stage = Stage::new().await;
    let caller = stage.cloud.check_account().await.unwrap();
    assert_eq!(caller.account, stage.account);
    assert_eq!(caller, stage.cloud.caller().await.unwrap());
    let other = Connection { account: Some("999999999999".parse().unwrap()), ..Connection::default() };
    let other = AwsCloud::from_config(&stage.config, &other).unwrap();
    let error = other.check_account().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    let says = format!(
        "GetCallerIdentity of account 999999999999 is not allowed: the credentials are of account {}, \
         the configuration is for 999999999999",
        stage.account
    );
    assert_eq!(error.to_string(), says);
}

/// What a process of its own does for the test below, which alone can set its environment.
#[tokio::test]
#[ignore = "run by another test"]
async fn connect_from_the_environment() {
    use ionroller::cloud::aws::{AwsCloud, Connection};
    let mut settings = Connection { region: Some("eu-central-1".parse().unwrap()), ..Connection::default() };
    let cloud = AwsCloud::connect(&settings).await.unwrap();
    println!("region {} caller {}", cloud.region(), cloud.check_account().await.unwrap().name);
    settings.role_arn = Some("arn:aws:iam::123456789012:role/deployer".to_owned());
    settings.external_id = Some("4711".into());
    let cloud = AwsCloud::connect(&settings).await.unwrap();
    println!("assumed {}", cloud.check_account().await.unwrap().name);
    settings.region = None;
    println!("own region {}", AwsCloud::connect(&settings).await.unwrap().region());
}

#[tokio::test]
async fn credentials_region_and_endpoint_come_from_the_environment() {
    let stage = Stage::new().await;
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "aws_adapter::connect_from_the_environment"])
        .env_clear()
        .env("HOME", home.path())
        .env("AWS_ENDPOINT_URL", stage.server.url())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_REGION", "us-east-1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("region eu-central-1 caller "), "{said}");
    assert!(said.contains("assumed ionroller"), "{said}");
    assert!(said.contains("own region us-east-1"), "{said}");
}
