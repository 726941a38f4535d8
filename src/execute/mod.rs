//! One attempt at one action.
//!
//! Nothing is decided here: an action carries its whole target, and this module only says
//! it in the cloud's words. The reading that proves it comes from the next pass.

use crate::cloud::{CloudError, CloudWriter, RuleSpec, Tagged};
use crate::names::TargetGroupArn;
use crate::observed::resources::Tags;
use crate::plan::action::{Carrier, Mutation, Weight};

/// Does what one action asks for, once.
///
/// # Errors
/// The call failed, or nobody knows whether it was done. Either way the next reading tells,
/// and doing it again is safe.
pub async fn act(cloud: &dyn CloudWriter, mutation: &Mutation) -> Result<(), CloudError> {
    match mutation {
        Mutation::CreateTemplate(spec) => cloud.create_template(spec).await,
        Mutation::CreateTargetGroup(spec) => cloud.create_target_group(spec).await.map(drop),
        Mutation::SetTargetGroup { arn, spec } => cloud.set_target_group(arn, spec).await,
        Mutation::CreateRule { listener, priority, conditions, weights, tags } => {
            let rule = RuleSpec {
                listener: listener.clone(),
                priority: *priority,
                conditions: conditions.clone(),
                weights: shares(weights),
                tags: tags.clone(),
            };
            cloud.create_rule(&rule).await.map(drop)
        }
        Mutation::SetRule { rule, conditions, weights } => {
            cloud.set_rule(rule, Some(conditions), &shares(weights)).await
        }
        Mutation::SetWeights { rule, weights } => cloud.set_rule(rule, None, &shares(weights)).await,
        Mutation::CreateGroup { spec, .. } => cloud.create_group(spec).await,
        Mutation::SetCapacity { group, min, max, desired, .. } => cloud.set_capacity(group, *min, *max, *desired).await,
        Mutation::SetPolicies { group, policies, .. } => cloud.set_policies(group, policies).await,
        Mutation::SetMark { on, mark, value } => {
            let tags = Tags::from([(mark.key().to_owned(), value.clone())]);
            cloud.set_tags(&tagged(on), &tags).await
        }
        Mutation::ClearMark { on, mark } => cloud.clear_tags(&tagged(on), &[mark.key().to_owned()]).await,
        Mutation::SetTags { on, tags } => cloud.set_tags(&tagged(on), tags).await,
        Mutation::DeleteRule { rule } => cloud.delete_rule(rule).await,
        Mutation::DeleteGroup { group, .. } => cloud.delete_group(group).await,
        Mutation::DeleteTargetGroup { arn, .. } => cloud.delete_target_group(arn).await,
        Mutation::DeleteTemplate { id, .. } => cloud.delete_template(id).await,
    }
}

fn shares(weights: &[Weight]) -> Vec<(TargetGroupArn, u32)> {
    weights.iter().map(|weight| (weight.target_group.clone(), weight.percent)).collect()
}

fn tagged(on: &Carrier) -> Tagged {
    match on {
        Carrier::Template { id, .. } => Tagged::Template(id.clone()),
        Carrier::Group { name, .. } => Tagged::Group(name.clone()),
    }
}
