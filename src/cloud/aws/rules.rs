//! Making rules, and setting what rules and default actions do.

use aws_sdk_elasticloadbalancingv2::types as elb;

use crate::cloud::error::{CloudError, ErrorKind};
use crate::cloud::{CloudReader, RuleSpec};
use crate::names::{ListenerArn, RuleArn, TargetGroupArn};
use crate::observed::resources::{Conditions, Kept};

use super::errors::{not_ours, own, unreadable};
use super::kept;
use super::request::{actions, conditions as condition_list, elb_tags, number};
use super::writer::{gone, same_owner};
use super::{AwsCloud, Bucket};

const CREATE: &str = "CreateRule";

impl AwsCloud {
    pub(super) async fn make_rule(&self, spec: &RuleSpec) -> Result<RuleArn, CloudError> {
        let resource = format!("priority {} of {}", spec.priority, spec.listener);
        let call = self
            .balancing
            .create_rule()
            .listener_arn(spec.listener.as_str())
            .priority(number(spec.priority))
            .set_conditions(Some(condition_list(&spec.conditions)))
            .set_actions(Some(made_actions(spec).map_err(|why| own(CREATE, &resource, ErrorKind::Invalid, why))?))
            .set_transforms(kept::transforms(&spec.kept).filter(|all| !all.is_empty()))
            .set_tags(Some(elb_tags(&spec.tags)));
        match self.call(Bucket::ElbWrite, CREATE, &resource, call.send()).await {
            Ok(answer) => {
                let made = answer.rules().first().and_then(|rule| rule.rule_arn());
                let made = made.and_then(|arn| RuleArn::parse(arn).ok());
                made.ok_or_else(|| unreadable(CREATE, &resource, "RuleArn"))
            }
            Err(error) if error.code == "PriorityInUse" => self.adopt_rule(spec, &resource).await,
            Err(error) => Err(error),
        }
    }

    /// Takes over the rule at that priority. What it does stays as it is: it may carry
    /// traffic, and the next reading shows it.
    async fn adopt_rule(&self, spec: &RuleSpec, resource: &str) -> Result<RuleArn, CloudError> {
        let rules = self.rules(&spec.listener).await?;
        let Some(rule) = rules.into_iter().find(|rule| rule.priority == Some(spec.priority)) else {
            return Err(own(CREATE, resource, ErrorKind::Conflict, "the priority is in use, but no rule shows yet"));
        };
        let tags = self.tags(&[rule.arn.to_string()]).await?;
        match tags.get(rule.arn.as_str()) {
            Some(tags) if same_owner(tags, &spec.tags) => Ok(rule.arn),
            Some(_) => Err(not_ours(CREATE, resource, format!("{} has this priority and other tags", rule.arn))),
            None => Err(own(CREATE, resource, ErrorKind::Conflict, "the rule that had this priority is gone")),
        }
    }

    pub(super) async fn modify_rule(
        &self,
        arn: &RuleArn,
        conditions: Option<&Conditions>,
        weights: &[(TargetGroupArn, u32)],
        kept: &Kept,
    ) -> Result<(), CloudError> {
        if let Some(listener) = arn.default_of() {
            return self.modify_default(&listener, conditions, weights, kept).await;
        }
        let actions = actions(weights, kept).ok_or_else(|| unsent("ModifyRule", arn.as_str()))?;
        let call = self
            .balancing
            .modify_rule()
            .rule_arn(arn.as_str())
            .set_conditions(conditions.map(condition_list))
            .set_actions(Some(actions));
        self.call(Bucket::ElbWrite, "ModifyRule", arn.as_str(), call.send()).await?;
        Ok(())
    }

    /// A default action is changed through its listener; ModifyRule on it is refused.
    /// Source: API reference of ModifyRule.
    async fn modify_default(
        &self,
        listener: &ListenerArn,
        conditions: Option<&Conditions>,
        weights: &[(TargetGroupArn, u32)],
        kept: &Kept,
    ) -> Result<(), CloudError> {
        const OPERATION: &str = "ModifyListener";
        if conditions.is_some_and(|conditions| *conditions != Conditions::default()) {
            return Err(own(OPERATION, listener.as_str(), ErrorKind::Invalid, "a default action has no conditions"));
        }
        let actions = actions(weights, kept).ok_or_else(|| unsent(OPERATION, listener.as_str()))?;
        let call = self.balancing.modify_listener().listener_arn(listener.as_str()).set_default_actions(Some(actions));
        self.call(Bucket::ElbWrite, OPERATION, listener.as_str(), call.send()).await?;
        Ok(())
    }

    pub(super) async fn remove_rule(&self, arn: &RuleArn) -> Result<(), CloudError> {
        if arn.default_of().is_some() {
            let message = "a default action can't be deleted; point it elsewhere";
            return Err(own("DeleteRule", arn.as_str(), ErrorKind::Invalid, message));
        }
        let call = self.balancing.delete_rule().rule_arn(arn.as_str()).send();
        gone(self.call(Bucket::ElbWrite, "DeleteRule", arn.as_str(), call).await)
    }
}

/// The actions of a rule that takes another's place.
fn made_actions(spec: &RuleSpec) -> Result<Vec<elb::Action>, String> {
    if spec.kept.before.iter().any(|action| action.kind == "authenticate-oidc") {
        // `UseExistingClientSecret` holds for a rule that exists.
        // Source: API reference of AuthenticateOidcActionConfig.
        let why = "the rule that it replaces has an authenticate-oidc action, whose client secret AWS does not show: \
                   make the rule at its new place by hand";
        return Err(why.to_owned());
    }
    actions(&spec.weights, &spec.kept).ok_or_else(|| "its actions are in no form that can be sent".to_owned())
}

fn unsent(operation: &'static str, resource: &str) -> CloudError {
    own(operation, resource, ErrorKind::Invalid, "its other actions were read in no form that can be sent again")
}
