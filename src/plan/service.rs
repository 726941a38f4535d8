//! The plan of one service: what would be done, how that is called, and why.

use std::collections::BTreeMap;

use crate::mutant::Mutant;
use crate::observed::marks;
use crate::observed::resources::Lifecycle;
use crate::observed::state::{GroupState, ServerGroup};
use crate::time::Timestamp;

use super::action::{Action, Mutation};
use super::answer::Wait;
use super::forecast::Reach;
use super::memory::Memory;
use super::removal::{self, Orphan};
use super::types::{Change, GroupView, Phase, Reason, RollbackClass, ServicePlan, WaitingOn};
use super::view::{File, Input, View, is_temporary};
use super::{drift, forecast, records, retire, rollback, rollout, settings, strategy};

/// Plans one service.
pub fn plan(input: &Input<'_>, reach: Reach) -> ServicePlan {
    let view = View::new(input);
    let ahead = forecast::look(input, reach);
    let change = classify(&view, ahead.wait.as_ref());
    let phase = phase(&view, change, &ahead.actions, ahead.wait.as_ref());
    let (rollback, rollback_until) = way_back(&view, change, ahead.retired_at);
    let said = match input.file {
        File::Valid(spec) => Some(spec),
        File::Broken | File::Missing => None,
    };
    let rejected = view.candidate.and_then(|group| Some((group.identity.digest.clone(), view.rejected(group)?)));
    let settled = is_settled(&view, change, &ahead.actions, ahead.wait.as_ref());
    let mut plan = ServicePlan {
        name: input.service.clone(),
        change,
        phase,
        from: view.live.map(|live| view.release(live)),
        to: said.map(|spec| super::types::Release { version: spec.version.clone(), digest: spec.digest.clone() }),
        because: because(&view, change, ahead.wait.as_ref()),
        rollback,
        rollback_until,
        look_again: look_again(&view, ahead.wait.as_ref()),
        brief_until: ahead.wait.as_ref().and_then(|wait| wait.brief_until),
        // What has something to do now does not wait, whatever comes after that.
        waiting_on: ahead.wait.filter(|_| ahead.actions.is_empty()).map(|wait| wait.on),
        actions: ahead.actions,
        forecast: ahead.forecast,
        strategy: strategy::of(change, view.wanted, view.has_side()),
        file_diff: None,
        groups: groups(&view),
        records: records::records(&view),
        held: view.hold(),
        rejected,
        live_commit: view.live.map(|live| live.identity.commit.clone()),
        drift: drift::list(&view),
        settled,
    };
    tell_failing(&mut plan, input.memory, input.now);
    plan
}

/// A service with a failing call waits for that, whatever else it would do or wait for.
pub fn tell_failing(plan: &mut ServicePlan, memory: &Memory, now: Timestamp) {
    let Some(call) = memory.failing() else { return };
    let until = (!call.stays(now)).then_some(call.until);
    let wait = WaitingOn { reason: Reason::Error, detail: call.text.clone(), since: Some(call.since), until };
    plan.waiting_on = Some(wait);
    plan.settled = false;
}

/// What kind of difference there is.
fn classify(view: &View<'_>, wait: Option<&Wait>) -> Change {
    let blocked = [Reason::Invalid, Reason::Rejected, Reason::Fence, Reason::Limit, Reason::Preflight];
    if wait.is_some_and(|wait| blocked.contains(&wait.on.reason)) {
        return Change::Blocked;
    }
    match view.input.file {
        File::Broken => return Change::Blocked,
        File::Missing if view.input.orphan != Orphan::Kept && removal::stands(view) => return Change::Remove,
        File::Missing => return Change::None,
        File::Valid(_) => {}
    }
    let stray = view.leftovers.iter().any(|group| view.weight(group) > 0);
    match (view.live, view.candidate) {
        (Some(_), _) if view.live_is_wanted() && (stray || rollback_unfinished(view)) => Change::Rollback,
        (Some(_), _) if view.live_is_wanted() && (settings::differ(view) || drift::heals(view)) => Change::Update,
        (Some(_), _) if view.live_is_wanted() => Change::None,
        (Some(_), Some(candidate)) if view.is_way_back(candidate) => Change::Rollback,
        (Some(_), _) => Change::Release,
        (None, _) if view.foreign.is_some() => Change::Takeover,
        (None, _) => Change::Create,
    }
}

fn rollback_unfinished(view: &View<'_>) -> bool {
    view.live.is_some_and(|live| live.retired().is_some()) || rollback::left_by_worker(view).is_some()
}

/// How far it is. Inferred, never stored. Steady is only what is as its file says.
fn phase(view: &View<'_>, change: Change, actions: &[Action], wait: Option<&Wait>) -> Phase {
    match way(view, change, actions, wait) {
        Phase::Steady => at_rest(view, change, actions, wait),
        phase => phase,
    }
}

/// What no rollout moves is steady only where nothing is due and nothing keeps it from its file.
fn at_rest(view: &View<'_>, change: Change, actions: &[Action], wait: Option<&Wait>) -> Phase {
    let standing = removal::stands(view);
    match wait.map(|wait| wait.on.reason) {
        Some(Reason::Hold | Reason::Paused) => Phase::Held,
        Some(Reason::Rejected) => Phase::Rejected,
        Some(Reason::Invalid | Reason::Fence | Reason::Limit | Reason::Preflight) => Phase::Blocked,
        Some(Reason::Retry) if wait.is_some_and(|wait| wait.on.until.is_none()) => Phase::Blocked,
        Some(
            Reason::Freeze | Reason::Slot | Reason::Dependency | Reason::Approval | Reason::Retry | Reason::Unknown,
        ) => Phase::Pending,
        // A live release whose machines come back.
        Some(Reason::Health) => Phase::Pending,
        _ if !actions.is_empty() && change != Change::None => Phase::Pending,
        _ if !standing && actions.is_empty() => Phase::Absent,
        _ => Phase::Steady,
    }
}

fn way(view: &View<'_>, change: Change, actions: &[Action], wait: Option<&Wait>) -> Phase {
    if wait.is_some_and(|wait| wait.halted) {
        return Phase::Halted;
    }
    if change == Change::Rollback {
        return Phase::RollingBack;
    }
    if change == Change::Remove && (actions.is_empty() && wait.is_none_or(|wait| wait.on.reason != Reason::Drain)) {
        return Phase::Steady;
    }
    if change == Change::Remove {
        let machines = view.input.state.groups.values().filter_map(|group| group.group.as_ref());
        let draining = machines.into_iter().any(|group| group.desired > 0 || !group.instances.is_empty());
        return if draining { Phase::Draining } else { Phase::Retiring };
    }
    let candidate = view.candidate.filter(|candidate| !view.is_way_back(candidate));
    let failed =
        candidate.filter(|candidate| view.rejected(candidate).is_some() || view.retry_pending(candidate).is_some());
    if let Some(failed) = failed {
        let gone = failed.group.is_none() && failed.target_group.is_none() && failed.deleting.is_empty();
        let held = wait.is_some_and(|wait| wait.on.reason == Reason::Hold) && view.weight(failed) == 0;
        return if gone || held { clearing(view) } else { Phase::RollingBack };
    }
    let Some(step) = candidate.and_then(ServerGroup::step).filter(|_| rollout::started(view)) else {
        let begins = actions.iter().any(|action| begins_rollout(&action.mutation)) || rollout::started(view);
        return if begins && !view.live_is_wanted() { Phase::Provisioning } else { clearing(view) };
    };
    // What stops it keeps it where it is: no weight call is due.
    let stays = [Reason::Bake, Reason::Hold, Reason::Paused, Reason::Fence, Reason::Invalid];
    let baking = wait.is_some_and(|wait| stays.contains(&wait.on.reason));
    let shifts = actions.iter().any(|a| matches!(a.mutation, Mutation::SetWeights { .. } | Mutation::SetRule { .. }));
    match step.percent {
        _ if shifts => Phase::Shifting,
        0 => Phase::Warming,
        _ if baking => Phase::Baking,
        _ => Phase::Shifting,
    }
}

fn begins_rollout(mutation: &Mutation) -> bool {
    matches!(mutation, Mutation::CreateTemplate(_) | Mutation::CreateTargetGroup(_) | Mutation::CreateGroup { .. })
}

/// Steady, unless something is being emptied or deleted.
fn clearing(view: &View<'_>) -> Phase {
    // What is held keeps its warm group for as long.
    let warm_due = retire::warm_until(view).is_some_and(|due| due <= view.input.now) && view.hold().is_none();
    let going: Vec<&ServerGroup> = view.leftovers.iter().copied().chain(view.warm.filter(|_| warm_due)).collect();
    let has_machines = |group: &&ServerGroup| {
        group
            .group
            .as_ref()
            .is_some_and(|g| g.desired > 0 || g.instances.iter().any(|i| i.lifecycle != Lifecycle::Pending))
    };
    if going.is_empty() {
        Phase::Steady
    } else if going.iter().any(has_machines) {
        Phase::Draining
    } else {
        Phase::Retiring
    }
}

/// How fast a way back is, and until when it is instant.
fn way_back(
    view: &View<'_>,
    change: Change,
    retired_at: Option<Timestamp>,
) -> (Option<RollbackClass>, Option<Timestamp>) {
    if change == Change::Rollback {
        let target = view.candidate.filter(|candidate| view.is_way_back(candidate));
        return (Some(target.map_or(RollbackClass::Instant, |target| rollback::class(view, target))), None);
    }
    if view.live.is_some() && !view.live_is_wanted() {
        let live = view.live;
        return match live {
            Some(live) if live.group.is_some() && live.target_group.is_none() => (Some(RollbackClass::ScaleUp), None),
            Some(live) if live.group.is_some() => (Some(RollbackClass::Instant), retired_at),
            Some(_) => (Some(RollbackClass::Full), None),
            None => (None, None),
        };
    }
    if let Some(warm) = view.warm.filter(|warm| retire::is_way_back(warm)) {
        let class = rollback::class(view, warm);
        let until = retire::warm_until(view).filter(|_| class == RollbackClass::Instant);
        return (Some(class), until);
    }
    let mut others = view.input.state.groups.values().filter(|group| !view.is_live(group));
    (others.any(|group| group.stable().is_some()).then_some(RollbackClass::Full), None)
}

fn because(view: &View<'_>, change: Change, wait: Option<&Wait>) -> String {
    let version = |group: &ServerGroup| group.identity.version.to_string();
    let live = view.live.map(version).unwrap_or_default();
    let wanted = view.wanted.map(|spec| spec.version.to_string()).unwrap_or_default();
    match change {
        Change::Blocked => wait.map_or_else(|| "its file has errors".to_owned(), |wait| wait.on.detail.clone()),
        Change::None if view.input.file == File::Missing => "it has no file any more; it keeps running".to_owned(),
        Change::None if view.live.is_none() => "there is nothing to run".to_owned(),
        Change::None => format!("{live} is live, as its file says"),
        Change::Create => format!("{wanted} is its first release"),
        Change::Release if live == wanted => format!("the release of {wanted} has changed"),
        Change::Release => format!("version changed from {live} to {wanted}"),
        Change::Rollback if view.live_is_wanted() => {
            format!("the commit wants {live}, which is live, and nothing else")
        }
        Change::Rollback => format!("{wanted} was stable before, and the commit wants it again"),
        Change::Takeover => takeover(view, &wanted),
        Change::Update if !settings::differ(view) => "somebody changed what its file says".to_owned(),
        Change::Update => {
            let for_another = wait.filter(|wait| wait.on.reason == Reason::Dependency);
            let waits = for_another.map_or_else(String::new, |wait| format!("; {}", wait.on.detail));
            format!("settings changed that need no new machines{waits}")
        }
        Change::Remove => "its file is gone, and prune.enabled says that it goes".to_owned(),
    }
}

/// Who has the traffic that a first release takes over.
fn takeover(view: &View<'_>, wanted: &str) -> String {
    let had = view.foreign.as_ref().map(|foreign| foreign.target_group.name().to_owned()).unwrap_or_default();
    let rule = view.rule();
    let place = match rule.and_then(|rule| rule.priority) {
        Some(priority) => format!("the rule of priority {priority}"),
        None => "the listener's default action".to_owned(),
    };
    format!("{wanted} takes over {place}, whose traffic target group {had} has, which is not ours")
}

/// When to look again at the latest: a wait's own time, the end of a warm time.
fn look_again(view: &View<'_>, wait: Option<&Wait>) -> Option<Timestamp> {
    let now = view.input.now;
    // A moment that is over is no reason to look again at once, and then again.
    let until = wait.and_then(|wait| wait.on.until).filter(|until| *until > now);
    let of_wait = wait.and_then(|wait| [wait.look_again, until, wait.brief_until].into_iter().flatten().min());
    let warm = retire::warm_until(view).filter(|due| *due > now);
    [of_wait, warm].into_iter().flatten().min()
}

/// Nothing is left to do but to retire a warm group when its time comes. What only waits
/// for the second reading of its removal is left to do.
fn is_settled(view: &View<'_>, change: Change, actions: &[Action], wait: Option<&Wait>) -> bool {
    let removes = wait.is_some_and(|wait| wait.removal.is_some());
    let is_well = wait.is_none_or(|wait| !wait.halted && wait.on.reason != Reason::Health);
    let live = view.live_is_wanted() && view.live_group().is_some();
    let orphan = view.input.file == File::Missing;
    change == Change::None && actions.is_empty() && is_well && !removes && (live || orphan) && retire::is_tidy(view)
}

fn groups(view: &View<'_>) -> Vec<GroupView> {
    let standing = view.input.state.groups.values().filter(|group| view.leaves_something(group));
    let mut groups: Vec<GroupView> = standing.map(|group| group_view(view, group)).collect();
    groups.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
    groups
}

fn group_view(view: &View<'_>, group: &ServerGroup) -> GroupView {
    let inline = group.group.as_ref().map_or(0, GroupState::inline_healthy);
    let healthy = view.health(group).map_or(inline, |health| health.healthy);
    let before_traffic = view.input.state.rules.iter().all(|rule| is_temporary(&rule.conditions));
    GroupView {
        name: group.name.clone(),
        version: group.identity.version.clone(),
        digest: group.identity.digest.clone(),
        role: view.role(group),
        weight: group.weight.map(|weight| if before_traffic { 0 } else { weight.min(view.weight(group)) }),
        desired_capacity: group.group.as_ref().map_or(0, |g| g.desired),
        healthy,
        marks: all_marks(group),
    }
}

/// The marks of group and template, by their word. The group's own go first.
fn all_marks(group: &ServerGroup) -> BTreeMap<String, String> {
    let identity = [marks::SCOPE, marks::SERVICE, marks::VERSION, marks::DIGEST, marks::COMMIT];
    let of_template = group.template.iter().flat_map(|template| &template.tags);
    let of_group = group.group.iter().flat_map(|g| &g.tags);
    let ours = of_template.chain(of_group).filter(|(key, _)| !identity.contains(&key.as_str()));
    ours.filter_map(|(key, value)| Some((marks::plain(key.strip_prefix(marks::PREFIX)?), marks::plain(value))))
        .collect()
}

/// The texts that a commit must descend from to be acted for: of each group and template
/// its fence, or else the commit that made it.
pub fn claims(state: &crate::observed::state::ServiceState) -> Vec<String> {
    let mut claims = Vec::new();
    for group in state.groups.values() {
        let template = group.template.as_ref().filter(|_| !Mutant::ForgetTemplateClaims.on());
        let template = template.map(|t| (&t.marks.fence, &t.commit));
        let members = group.group.as_ref().map(|g| (&g.marks.fence, &g.commit));
        for (fence, commit) in template.into_iter().chain(members) {
            claims.push(fence.clone().unwrap_or_else(|| commit.clone()));
        }
    }
    claims.sort();
    claims.dedup();
    claims
}

/// The commit whose file stands in where the present one says nothing: the fence of live,
/// else of the newest group, else the commit that made it.
pub fn fence_commit(state: &crate::observed::state::ServiceState) -> Option<String> {
    let fenced = state.groups.values().filter_map(|group| group.group.as_ref());
    let fence = fenced.clone().filter_map(|group| Some((group.created, group.marks.fence.clone()?))).max();
    let commit = fenced.map(|group| (group.created, group.commit.clone())).max();
    fence.or(commit).map(|(_, commit)| commit)
}

/// The wait of a commit that does not descend from what was acted on.
pub fn fenced_by(claim: &str, known: bool) -> WaitingOn {
    let short: String = claim.chars().take(7).collect();
    let detail = if known {
        format!(
            "the commit does not descend from {short}, which was acted on; revert instead of resetting, or --allow-rewind"
        )
    } else {
        format!("{short} was acted on, and this repository does not know it; fetch full history, or --allow-rewind")
    };
    WaitingOn { reason: Reason::Fence, detail, since: None, until: None }
}
