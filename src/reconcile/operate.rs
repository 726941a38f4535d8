//! Carries an operator's word out: read, one change, and again, until it is done.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::cloud::observe::{Query, TagCache, complete, observe};
use crate::cloud::{Cloud, CloudError};
use crate::desired::spec::ServiceSpec;
use crate::execute;
use crate::lease::NoLease;
use crate::names::{Scope, ServiceName};
use crate::observed::state::{ServiceState, Slot, Wants};
use crate::plan::memory::Memory;
use crate::plan::operator::{self, Word};
use crate::plan::questions::Next;
use crate::plan::removal::Orphan;
use crate::plan::types::WaitingOn;
use crate::plan::view::{File, Input, View};
use crate::time::Span;

use super::Event;
use super::pace::Pace;

/// What an operator's word is about.
pub struct Order<'a> {
    /// The owner.
    pub scope: &'a Scope,
    /// The service.
    pub service: &'a ServiceName,
    /// The service's file, where a repository is at hand.
    pub file: Option<&'a ServiceSpec>,
    /// What is said.
    pub word: Word,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// As the operator said; this many changes.
    Yes(usize),
    /// The service has nothing in AWS.
    NoSuchService,
    /// It can't be done, or not yet.
    Waiting(WaitingOn),
}

/// The wait between two readings while something drains.
const POLL: Span = Span::from_secs(2);

/// Carries a word out.
///
/// # Errors
/// A call failed. What was done stays done, and saying it again goes on from there.
pub async fn operate(
    cloud: &dyn Cloud,
    pace: &dyn Pace,
    order: &Order<'_>,
    stop: &CancellationToken,
    tell: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Done, CloudError> {
    let tags = TagCache::default();
    let mut memory = Memory::empty();
    let mut changes = 0;
    let begun = cloud.now();
    loop {
        let mut state = read(cloud, &tags, order).await?;
        if state.groups.is_empty() {
            return Ok(Done::NoSuchService);
        }
        state.slot = state.slot.or(Some(Slot::Ours));
        let input = input(order, &state, &memory, cloud);
        let view = View::new(&input);
        let next = operator::next(&view, &order.word, begun);
        let mut noted = memory.note(&input);
        noted.note_removals(&next.removal().into_iter().collect::<Vec<_>>(), input.now);
        match next {
            Next::Rest => return Ok(Done::Yes(changes)),
            Next::Wait(wait) if stop.is_cancelled() || wait.brief_until.or(wait.look_again).is_none() => {
                return Ok(Done::Waiting(wait.on));
            }
            Next::Wait(wait) => {
                let now = input.now;
                let until = wait.brief_until.or(wait.look_again).unwrap_or(now + POLL);
                pace.wait_until(now, until).await;
            }
            Next::Act(action) => {
                noted.note_done(&action, input.state, input.now);
                if let Err(error) = execute::act(cloud, &NoLease, &action).await {
                    tell(Event::Failed { service: order.service, action: &action, error: &error });
                    return Err(error);
                }
                changes += 1;
                tell(Event::Acted { service: order.service, action: &action });
            }
        }
        memory = noted;
    }
}

fn input<'a>(order: &'a Order<'_>, state: &'a ServiceState, memory: &'a Memory, cloud: &dyn Cloud) -> Input<'a> {
    Input {
        scope: order.scope,
        service: order.service,
        commit: None,
        // Nothing that Git asks is done here: only the words of the operator.
        file: File::Missing,
        fallback: order.file,
        fence: None,
        rewound: &[],
        gate: None,
        orphan: Orphan::Kept,
        desired: None,
        state,
        memory,
        now: cloud.now(),
    }
}

async fn read(cloud: &dyn Cloud, tags: &TagCache, order: &Order<'_>) -> Result<ServiceState, CloudError> {
    let query = Query {
        scope: order.scope.clone(),
        service: Some(order.service.clone()),
        places: BTreeMap::new(),
        listeners: order
            .file
            .and_then(|file| file.load_balancer.as_ref())
            .map(|lb| lb.listener.clone())
            .into_iter()
            .collect(),
    };
    let mut observed = observe(cloud, tags, &query).await?;
    let groups = observed.services.get(order.service).map(|state| state.groups.values().collect::<Vec<_>>());
    let standing = groups.unwrap_or_default().into_iter().filter(|group| group.group.is_some());
    let health = standing.filter(|group| group.target_group.is_some()).map(|group| group.name.clone()).collect();
    let foreign = observed.services.get(order.service).map(ServiceState::foreign_targets).unwrap_or_default();
    let foreign = foreign.into_iter().map(|(target_group, _)| target_group).collect();
    let wants = Wants { health, foreign, ..Wants::default() };
    complete(cloud, &mut observed, &BTreeMap::from([(order.service.clone(), wants)])).await;
    Ok(observed.services.remove(order.service).unwrap_or_default())
}
