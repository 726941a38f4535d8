//! The adapter to AWS against a server that speaks its protocols: every method of the
//! port, creations that find something there, and listings of more than one page.

mod account;
mod adoption;
mod readings;
mod resources;

use std::time::Duration;

use ionroller::cloud::{CloudReader as _, CloudWriter as _, Owner, RuleSpec};
use ionroller::names::{Digest, GroupName, Scope, ServiceName, TargetGroupArn};
use ionroller::observed::marks::{Identity, Mark, SCOPE, SERVICE};
use ionroller::observed::resources::{
    AmiSpec, Conditions, Group, GroupSpec, HealthCheck, Kept, Rule, Tags, TargetGroup, TargetGroupSpec, TemplateSpec,
};
use ionroller::time::Span;

use crate::harness::aws_server::Stage;

/// A release; another content makes another digest.
struct Release {
    name: GroupName,
    tags: Tags,
}

fn scope() -> Scope {
    Scope::parse("prod").unwrap()
}

fn release(content: &str) -> Release {
    release_of("checkout", content)
}

fn release_of(service: &str, content: &str) -> Release {
    let (service, digest) = (ServiceName::parse(service).unwrap(), Digest::of(content.as_bytes()));
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

fn rule_tags(of: &Release) -> Tags {
    of.tags.clone().into_iter().filter(|(key, _)| key == SCOPE || key == SERVICE).collect()
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
            ready_within: None,
            tags,
        }
    }

    fn rule(&self, priority: u32, weights: Vec<(TargetGroupArn, u32)>) -> RuleSpec {
        let conditions =
            Conditions { hosts: vec!["checkout.example.com".into()], paths: vec!["/*".into()], more: Vec::new() };
        RuleSpec {
            listener: self.listener.clone(),
            priority,
            conditions,
            weights,
            kept: Kept::default(),
            tags: rule_tags(&release("")),
        }
    }

    async fn rule_at(&self, priority: Option<u32>) -> Option<Rule> {
        self.cloud.rules(&self.listener).await.unwrap().into_iter().find(|rule| rule.priority == priority)
    }

    /// Template and target group of a release.
    async fn base(&self, of: &Release) -> TargetGroupArn {
        self.cloud.create_template(&self.template(of)).await.unwrap();
        self.cloud.create_target_group(&self.target_group(of)).await.unwrap()
    }

    /// A target group as it is read.
    async fn found(&self, arn: &TargetGroupArn) -> Option<TargetGroup> {
        self.cloud.target_groups().await.unwrap().into_iter().find(|found| found.arn == *arn)
    }

    /// The one group, as soon as it is as wished.
    async fn group_when(&self, wish: impl Fn(&Group) -> bool) -> Group {
        for _ in 0..100 {
            if let Some(group) = self.cloud.groups(&owner()).await.unwrap().into_iter().find(&wish) {
                return group;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no group became so: {:?}", self.cloud.groups(&owner()).await)
    }
}
