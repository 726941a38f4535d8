//! Question 16: what has no part any more goes: out of the rule, emptied, deleted. Records
//! of past releases go when enough newer ones exist.

use crate::desired::spec::Retention;
use crate::mutant::Mutant;
use crate::names::GroupName;
use crate::observed::marks::Mark;
use crate::observed::state::{GroupState, ServerGroup};
use crate::time::{Span, Timestamp};

use super::action::{Action, Carrier, Mutation};
use super::answer::{Answer, Wait, act, wait};
use super::types::Reason;
use super::view::{View, is_temporary};
use super::{machines, rollout, traffic};

/// The newest verdicts are kept, so that a rejected release stays rejected.
const REJECTED_RECORDS: usize = 50;

/// The group, as a carrier of marks.
pub fn group_carrier(owner: &ServerGroup, group: &GroupState) -> Carrier {
    Carrier::Group { release: owner.name.clone(), name: group.name.clone() }
}

/// The template, as a carrier of marks.
pub fn template_carrier(owner: &ServerGroup) -> Carrier {
    let id = owner.template.as_ref().map(|template| template.id.clone()).unwrap_or_default();
    Carrier::Template { release: owner.name.clone(), id }
}

/// Whether one call could bring all traffic back to a warm release: it settled, or it had all the
/// traffic until its successor settled.
pub fn is_way_back(group: &ServerGroup) -> bool {
    group.stable().is_some() || stood_in(group)
}

/// Whether a release that never settled had all the traffic until its successor settled: no
/// rollback left it.
pub fn stood_in(group: &ServerGroup) -> bool {
    let marks = group.group_marks();
    let had_all = marks.step.is_some_and(|step| step.percent == 100);
    had_all && marks.retired.is_some() && !marks.left && group.template_marks().rejected.is_none()
}

/// A newer release has taken its traffic.
pub fn mark_retired(view: &View<'_>, owner: &ServerGroup, because: &str) -> Action {
    retired(owner, view.input.now.ceil_secs().to_string(), because)
}

/// A rollback has taken its traffic.
pub fn mark_left(view: &View<'_>, owner: &ServerGroup, because: &str) -> Action {
    retired(owner, format!("{} left", view.input.now.ceil_secs()), because)
}

fn retired(owner: &ServerGroup, value: String, because: &str) -> Action {
    let on = match &owner.group {
        Some(group) => group_carrier(owner, group),
        None => Carrier::Group { release: owner.name.clone(), name: owner.name.to_string() },
    };
    act(Mutation::SetMark { on, mark: Mark::Retired, value }, because)
}

/// When the warm group has been kept long enough.
pub fn warm_until(view: &View<'_>) -> Option<Timestamp> {
    let retired = view.warm?.retired()?;
    Some(if Mutant::ForgetWarm.on() { retired } else { retired + retention(view).warm })
}

/// What the file that counts keeps of old releases.
pub fn retention(view: &View<'_>) -> Retention {
    view.spec.map(|spec| spec.retention).unwrap_or_default()
}

/// The next thing to clear up.
pub fn next(view: &View<'_>) -> Option<Answer> {
    if let Some(rule) = superseded_rule(view) {
        return Some(rule);
    }
    let mut waits = None;
    for leftover in &view.leftovers {
        match retire(view, leftover, "it has no part any more") {
            Some(Answer::Act(action)) => return Some(Answer::Act(action)),
            Some(answer) => waits = waits.or(Some(answer)),
            None => {}
        }
    }
    match expired(view) {
        Some(Answer::Act(action)) => return Some(Answer::Act(action)),
        Some(answer) => waits = waits.or(Some(answer)),
        None => {}
    }
    records(view).or(waits)
}

/// The rule that a first release was checked behind, once the default action has taken over.
fn superseded_rule(view: &View<'_>) -> Option<Answer> {
    let rules = &view.input.state.rules;
    let real = rules.iter().find(|rule| !is_temporary(&rule.conditions))?;
    let temporary = rules.iter().find(|rule| is_temporary(&rule.conditions))?;
    let mutation = Mutation::DeleteRule { rule: temporary.arn.clone() };
    Some(act(mutation, "no traffic passes it").expect(format!("{} has the traffic", real.arn)).into())
}

/// The warm group, once its time is over and live can do without it.
fn expired(view: &View<'_>) -> Option<Answer> {
    let warm = view.warm?;
    let due = warm_until(view)?;
    let early = view.input.now < due;
    if early && !works_on(warm) {
        return None;
    }
    let live = view.live?;
    let Some(health) = view.health(live) else {
        return Some(wait(Reason::Unknown, "the health of the live release was not read").into());
    };
    if health.healthy < view.live_desired() && !Mutant::ExpireBesideSick.on() {
        let detail = format!(
            "{} stays: live has {} of {} machines healthy",
            warm.identity.version,
            health.healthy,
            view.live_desired()
        );
        return Some(wait(Reason::Warm, detail).since(due).into());
    }
    if early {
        return empty(view, warm, "its work is done by another; it stays without machines while it is warm");
    }
    retire(view, warm, "it was kept warm long enough")
}

/// Whether a worker's group, being warm, still has machines that would take work.
fn works_on(warm: &ServerGroup) -> bool {
    warm.target_group.is_none() && warm.group.as_ref().is_some_and(|group| group.min > 0 || group.desired > 0)
}

/// Takes a release's machines away, in this order: out of the rule, to zero, the group, the
/// target group. Its template stays as a record. None when nothing is left.
pub fn retire(view: &View<'_>, group: &ServerGroup, because: &str) -> Option<Answer> {
    if view.weight(group) > 0 {
        return Some(traffic::halted(view, format!("{} still has traffic", group.identity.version)));
    }
    if let Some(answer) = only_healthy(view, group) {
        return Some(answer);
    }
    if let Some(wait) = still_in_use(view, group) {
        return Some(wait.into());
    }
    leave_rule(view, group, because)
        .filter(|_| !Mutant::DeleteBeforeLeaving.on())
        .or_else(|| empty(view, group, because).filter(|_| !Mutant::DeleteBeforeDrain.on()))
        .or_else(|| delete(view, group, because))
}

/// A group that is well while nobody is who serves stays, whatever its role: it may be
/// needed. Who serves has traffic; of workers it is live.
fn only_healthy(view: &View<'_>, group: &ServerGroup) -> Option<Answer> {
    let others = || view.input.state.groups.values().filter(|other| other.name != group.name && other.group.is_some());
    let mut serving: Vec<&ServerGroup> = others().filter(|other| view.weight(other) > 0).collect();
    // Machines behind no target group are no help where there is traffic to be had.
    if serving.is_empty() && (group.target_group.is_some() || view.is_worker()) {
        serving = others().filter(|other| view.is_live(other)).collect();
    }
    let own = group.group.as_ref().map_or(0, GroupState::inline_healthy);
    if own == 0 || serving.is_empty() || Mutant::OnlyHealthyGoes.on() {
        return None;
    }
    let well: Option<u32> = serving.iter().map(|other| view.health(other).map(|health| health.healthy)).sum();
    let (Some(well), Some(own)) = (well, view.health(group)) else {
        return Some(wait(Reason::Unknown, "health was not read").into());
    };
    (well == 0 && own.healthy > 0).then(|| {
        let detail = format!("{} stays: it is the only one with healthy machines", group.identity.version);
        wait(Reason::Gate, detail).halted().into()
    })
}

/// How long connections may still reach a group after its weight was read as 0, before it leaves
/// the action or shrinks.
/// Source: AWS publishes no bound for Application Load Balancers; controllers take a minute. For
/// Network Load Balancers AWS's own blue/green deployments of ECS wait 10 minutes at each shift.
const APPLICATION_LINGER: Span = Span::from_secs(60);
const NETWORK_LINGER: Span = Span::from_mins(10);

/// Whether some release that is no longer needed stays only for connections under way.
pub fn lingers(view: &View<'_>) -> bool {
    view.leftovers.iter().any(|group| still_in_use(view, group).is_some())
}

/// A group whose traffic has just left keeps its place and its machines for the connections that
/// are under way. One without a healthy machine can serve none.
pub fn still_in_use(view: &View<'_>, group: &ServerGroup) -> Option<Wait> {
    let members = group.group.as_ref().filter(|_| group.target_group.is_some())?;
    let leaves = group.weight.is_some() || members.desired > 0;
    if !leaves || Mutant::LeaveAtOnce.on() || view.health(group).is_some_and(|health| health.healthy == 0) {
        return None;
    }
    let marks = &members.marks;
    let returned = group.template_marks().retry.is_some_and(|retry| retry.returns > 0);
    let had_traffic = group.stable().is_some()
        || marks.retired.is_some()
        || returned
        || marks.step.is_some_and(|step| step.percent > 0);
    if !had_traffic {
        return None;
    }
    // At the time of its last step it had traffic, whatever was read before.
    let step = marks.step.filter(|step| step.percent > 0).map(|step| step.at);
    let seen = view.input.memory.idle_since(&group.name).into_iter().chain(marks.retired).min();
    // Where nothing was seen before a restart, its time begins now.
    let since = seen.map_or(view.input.now, |seen| step.map_or(seen, |step| step.max(seen)));
    let network = view.rule().is_some_and(|rule| rule.listener.is_network());
    let linger = if network { NETWORK_LINGER } else { APPLICATION_LINGER };
    let until = since + linger;
    let detail = format!(
        "{} lost its traffic; the load balancer may send it connections for {linger} more at most",
        group.identity.version
    );
    let wait = wait(Reason::Drain, detail).since(since).until(until);
    (view.input.now < until).then(|| wait.look_again(until.min(view.input.now + DRAIN_LOOK * 2)))
}

fn leave_rule(view: &View<'_>, group: &ServerGroup, because: &str) -> Option<Answer> {
    group.weight?;
    let arn = &group.target_group.as_ref()?.arn;
    let state = view.input.state;
    let rule = state.rules.iter().find(|rule| rule.action.percents().iter().any(|(other, _)| other == arn))?;
    let mutation = match traffic::without(view, rule, group) {
        Some(weights) => Mutation::SetWeights { rule: rule.arn.clone(), weights },
        None if is_temporary(&rule.conditions) => Mutation::DeleteRule { rule: rule.arn.clone() },
        // A rule without any traffic is hidden first; then it can go.
        None if traffic::serves_nobody(view, rule) => Mutation::SetRule {
            rule: rule.arn.clone(),
            conditions: traffic::temporary_conditions(&group.name),
            weights: traffic::named(view, vec![(arn.clone(), 100)]),
        },
        None => return Some(traffic::halted(view, "nobody else in its rule has any traffic".to_owned())),
    };
    Some(act(mutation, because).expect(format!("{} has no traffic", group.identity.version)).into())
}

fn empty(view: &View<'_>, owner: &ServerGroup, because: &str) -> Option<Answer> {
    let group = owner.group.as_ref()?;
    if group.min > 0 || group.desired > 0 {
        let mutation = Mutation::SetCapacity {
            release: owner.name.clone(),
            group: group.name.clone(),
            min: 0,
            max: group.max,
            desired: Some(0),
        };
        return Some(act(mutation, because).expect(format!("{} has no traffic", owner.identity.version)).into());
    }
    if group.instances.is_empty() {
        return None;
    }
    let (count, version) = (group.instances.len(), &owner.identity.version);
    let detail = match machines::stands_still(group, view.has_ready_hook(owner)) {
        Some(still) => format!("{count} machines of {version} stay: {still}"),
        None => format!("{count} machines of {version} finish their requests"),
    };
    Some(wait(Reason::Drain, detail).look_again(view.input.now + DRAIN_LOOK).into())
}

/// Draining ends with the machines' termination, which nothing announces.
const DRAIN_LOOK: Span = Span::from_secs(5);

fn delete(view: &View<'_>, owner: &ServerGroup, because: &str) -> Option<Answer> {
    if let Some(group) = &owner.group {
        let mutation = Mutation::DeleteGroup { release: owner.name.clone(), group: group.name.clone() };
        return Some(act(mutation, because).expect("it has no machines").into());
    }
    if !owner.deleting.is_empty() {
        let detail = format!("the group of {} is being deleted", owner.identity.version);
        return Some(wait(Reason::Drain, detail).look_again(view.input.now + DRAIN_LOOK).into());
    }
    let target_group = owner.target_group.as_ref()?;
    if target_group.in_use && owner.weight.is_none() {
        // Neither a file nor a mark leads to the listener; AWS refuses the deletion as long.
        let detail = format!(
            "an action of a listener that this service has no part in forwards to target group {}: point it elsewhere",
            target_group.name
        );
        return Some(wait(Reason::Preflight, detail).look_again(view.input.now + DRAIN_LOOK).into());
    }
    let mutation = Mutation::DeleteTargetGroup { release: owner.name.clone(), arn: target_group.arn.clone() };
    Some(act(mutation, because).expect("no rule names it").into())
}

/// Templates of past releases, beyond those that are kept.
fn records(view: &View<'_>) -> Option<Answer> {
    let live = view.live?;
    live.stable()?;
    let records = if Mutant::KeepNoRecords.on() { 0 } else { retention(view).records };
    let keep = usize::try_from(records).unwrap_or(usize::MAX);
    let is_record = |group: &&ServerGroup| {
        (!view.leaves_something(group) || Mutant::RecordsOfStanding.on())
            && Some(&group.name) != view.wanted_name.as_ref()
    };
    let past: Vec<(&ServerGroup, Timestamp)> = view
        .input
        .state
        .groups
        .values()
        .filter(|group| !view.is_live(group))
        .filter_map(|group| Some((group, group.template.as_ref()?.created)))
        .collect();
    let newer = |than: (Timestamp, &GroupName), counts: &dyn Fn(&ServerGroup) -> bool| {
        past.iter().filter(|(group, created)| counts(group) && (*created, &group.name) > than).count()
    };
    let mut oldest_first = past.clone();
    oldest_first.sort_by_key(|(group, created)| (*created, group.name.clone()));
    let superfluous = oldest_first.into_iter().find(|(group, created)| {
        let than = (*created, &group.name);
        let marks = group.template_marks();
        is_record(group)
            && marks.hold.is_none()
            && if marks.rejected.is_some() {
                newer(than, &|other| other.template_marks().rejected.is_some()) >= REJECTED_RECORDS
            } else {
                newer(than, &|other| other.stable().is_some()) >= keep
            }
    })?;
    let (group, _) = superfluous;
    let id = group.template.as_ref()?.id.clone();
    let mutation = Mutation::DeleteTemplate { release: group.name.clone(), id };
    Some(act(mutation, format!("{keep} newer releases are on record")).expect("nothing runs from it").into())
}

/// Whether nothing of the service still has to go; a warm group may stay.
pub fn is_tidy(view: &View<'_>) -> bool {
    let withdrawn = view.candidate.is_none_or(|candidate| !view.leaves_something(candidate));
    let warm_rests = view.warm.is_none_or(|warm| !works_on(warm));
    view.leftovers.is_empty() && warm_rests && (withdrawn || rollout::started(view))
}
