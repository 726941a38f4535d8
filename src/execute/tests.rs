//! What the guard of a change keeps from being sent.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use crate::cloud::sim::SimCloud;
use crate::cloud::sim::fixture::{Release, cloud};
use crate::cloud::sim::world::World;
use crate::cloud::{CloudError, CloudWriter, ErrorKind, RuleSpec, Tagged};
use crate::lease::{Guard, Leave, NoLease};
use crate::names::{RuleArn, TargetGroupArn};
use crate::observed::resources::{
    Conditions, GroupChange, GroupSpec, Kept, Policy, Tags, TargetGroupSpec, TemplateSpec,
};
use crate::plan::action::{Action, Mutation};

use super::act;

/// Gives these answers, one after the other, and the last one for ever.
struct Says(Mutex<Vec<Leave>>);

impl Says {
    fn new(mut answers: Vec<Leave>) -> Self {
        answers.reverse();
        Self(Mutex::new(answers))
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Guard for Says {
    fn may_begin(&self) -> Leave {
        self.may_go_on()
    }

    fn may_go_on(&self) -> Leave {
        let mut answers = self.0.lock().unwrap();
        if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() }
    }
}

/// A cloud that never answers.
struct Silent;

#[async_trait]
impl CloudWriter for Silent {
    async fn create_template(&self, _: &TemplateSpec) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn create_target_group(&self, _: &TargetGroupSpec) -> Result<TargetGroupArn, CloudError> {
        std::future::pending().await
    }
    async fn set_target_group(&self, _: &TargetGroupArn, _: &TargetGroupSpec) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn create_rule(&self, _: &RuleSpec) -> Result<RuleArn, CloudError> {
        std::future::pending().await
    }
    async fn set_rule(
        &self,
        _: &RuleArn,
        _: Option<&Conditions>,
        _: &[(TargetGroupArn, u32)],
        _: &Kept,
    ) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn create_group(&self, _: &GroupSpec) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn set_capacity(&self, _: &str, _: u32, _: u32, _: Option<u32>) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn set_group(&self, _: &str, _: &GroupChange) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn set_policies(&self, _: &str, _: &[Policy]) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn set_tags(&self, _: &Tagged, _: &Tags) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn clear_tags(&self, _: &Tagged, _: &[String]) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn delete_rule(&self, _: &RuleArn) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn delete_group(&self, _: &str) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn delete_target_group(&self, _: &TargetGroupArn) -> Result<(), CloudError> {
        std::future::pending().await
    }
    async fn delete_template(&self, _: &str) -> Result<(), CloudError> {
        std::future::pending().await
    }
}

fn deletion() -> Mutation {
    let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/50dc/f2f7/9683";
    Mutation::DeleteRule { rule: RuleArn::parse(rule).unwrap() }
}

fn asked(mutation: Mutation) -> Action {
    crate::plan::answer::act(mutation, "a test")
}

#[tokio::test]
async fn without_leave_nothing_is_sent() {
    let sim = SimCloud::new(World::for_places([]));
    let guard = Says::new(vec![Leave::No("two holds the lease of prod".to_owned())]);
    let error = act(&sim, &guard, &asked(deletion())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotOurTurn);
    assert!(!error.kind.needs_somebody());
    assert!(error.to_string().ends_with("was not made: two holds the lease of prod"), "{error}");
    assert_eq!(sim.mutations(), 0);
    act(&sim, &NoLease, &asked(deletion())).await.unwrap();
    assert_eq!(sim.mutations(), 1);
}

/// A call may wait and try again for long. It is asked about again and again, and cut off
/// when leave has ended: nobody knows then whether it was done.
#[tokio::test]
async fn a_call_is_cut_off_when_leave_ends() {
    let short = Leave::For(Duration::from_millis(1));
    let guard = Says::new(vec![short.clone(), short.clone(), short, Leave::No("it is lost".to_owned())]);
    let error = act(&Silent, &guard, &asked(deletion())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("cut off, and perhaps done: it is lost"), "{error}");
    assert_eq!(guard.left(), 1, "it was asked each time");
}

/// How large a group is now is its autoscaler's matter, where a change doesn't say it.
#[tokio::test]
async fn sizes_without_a_desired_one_leave_that_alone() {
    let sim = cloud(1);
    let release = Release::at_120("checkout", "1.0");
    release.start(&sim, 2).await;
    let group = release.name.to_string();
    sim.set_desired(&group, 4);
    let sizes = |desired| Mutation::SetCapacity {
        release: release.name.clone(),
        group: group.clone(),
        min: 1,
        max: 4,
        desired,
    };
    act(&sim, &NoLease, &asked(sizes(None))).await.unwrap();
    let found = sim.world().groups[&group].clone();
    assert_eq!((found.min, found.max, found.desired), (1, 4, 4));
    act(&sim, &NoLease, &asked(sizes(Some(3)))).await.unwrap();
    assert_eq!(sim.world().groups[&group].desired, 3);
}
