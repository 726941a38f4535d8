//! One attempt at one action.
//!
//! Nothing is decided here: an action carries its whole target, and this module only says
//! it in the cloud's words. The reading that proves it comes from the next pass.

#[cfg(test)]
mod tests;

use crate::cloud::{CloudError, CloudWriter, ErrorKind, RuleSpec, Tagged};
use crate::lease::{Guard, Leave};
use crate::mutant::Mutant;
use crate::names::TargetGroupArn;
use crate::observed::resources::Tags;
use crate::plan::action::{Action, Carrier, Mutation, Weight};

/// Does what one action asks for, once, while the guard lets it. A call of the port may be
/// several of AWS, wait for our own limits, and try again: when leave ends it is cut off,
/// and nothing more is sent.
///
/// # Errors
/// There is no leave, the call failed, or nobody knows whether it was done. Either way the
/// next reading tells, and doing it again is safe.
pub async fn act(cloud: &dyn CloudWriter, guard: &dyn Guard, action: &Action) -> Result<(), CloudError> {
    let mutation = &action.mutation;
    let mut leave = guard.may_begin();
    if let Leave::No(why) = leave {
        return Err(refused(mutation, ErrorKind::NotOurTurn, why));
    }
    let call = carry_out(cloud, action);
    tokio::pin!(call);
    loop {
        let time = match leave {
            Leave::Always => return call.await,
            Leave::For(time) => time,
            Leave::No(why) => {
                let why = format!("cut off, and perhaps done: {why}");
                return Err(refused(mutation, ErrorKind::Unavailable, why));
            }
        };
        if let Ok(done) = tokio::time::timeout(time, &mut call).await {
            return done;
        }
        leave = guard.may_go_on();
    }
}

fn refused(mutation: &Mutation, kind: ErrorKind, message: String) -> CloudError {
    CloudError { operation: "a change", resource: mutation.resource(), kind, code: String::new(), message }
}

async fn carry_out(cloud: &dyn CloudWriter, action: &Action) -> Result<(), CloudError> {
    match &action.mutation {
        Mutation::CreateTemplate(spec) => cloud.create_template(spec).await,
        Mutation::CreateTargetGroup(spec) => cloud.create_target_group(spec).await.map(drop),
        Mutation::SetTargetGroup { arn, spec } => cloud.set_target_group(arn, spec).await,
        Mutation::CreateRule { listener, priority, conditions, weights, tags } => {
            let rule = RuleSpec {
                listener: listener.clone(),
                priority: *priority,
                conditions: conditions.clone(),
                weights: shares(weights),
                kept: action.kept.clone(),
                tags: tags.clone(),
            };
            cloud.create_rule(&rule).await.map(drop)
        }
        Mutation::SetRule { rule, conditions, weights } => {
            let conditions = Some(conditions).filter(|_| !Mutant::DropConditions.on());
            cloud.set_rule(rule, conditions, &shares(weights), &action.kept).await
        }
        Mutation::SetWeights { rule, weights } => cloud.set_rule(rule, None, &shares(weights), &action.kept).await,
        Mutation::CreateGroup { spec, .. } => cloud.create_group(spec).await,
        Mutation::SetCapacity { group, min, max, desired, .. } => {
            let desired = desired.or(Mutant::SendDesired.on().then_some(*min));
            cloud.set_capacity(group, *min, *max, desired).await
        }
        Mutation::SetGroup { group, change, .. } => cloud.set_group(group, change).await,
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
