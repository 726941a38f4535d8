//! Questions 9 to 15: how a candidate comes up, gets traffic step by step, and settles.

use crate::desired::spec::{LoadBalancer, ServiceSpec};
use crate::mutant::Mutant;
use crate::names::GroupName;
use crate::observed::marks::{self, Mark, Step};
use crate::observed::resources::{GroupSpec, Tags};
use crate::observed::state::{GroupState, Health, ServerGroup, Slot};
use crate::time::{Span, Timestamp};

use super::action::{Action, Carrier, Mutation, Weight};
use super::answer::{Answer, act, wait};
use super::questions::{fence_first, fence_on};
use super::retire::{group_carrier, template_carrier};
use super::types::Reason;
use super::view::{View, is_temporary};
use super::{failure, launches, machines, prerequisites, resources, retire, settings, takeover, traffic};

/// Questions 9 and 10: template, target group, rule entry or group are missing.
pub fn create(view: &View<'_>) -> Option<Answer> {
    let spec = view.wanted.filter(|_| !view.live_is_wanted())?;
    if let Some(refused) = preflight(view, spec).filter(|_| !Mutant::NoPreflight.on()) {
        return Some(refused);
    }
    // Nobody waits for live's traffic.
    if let Some(answer) = restore_rule(view) {
        return Some(answer);
    }
    if let Some(refused) = prerequisites::refused(view).filter(|_| !Mutant::NoPreflight.on()) {
        return Some(refused);
    }
    if let Some(gate) = view.input.gate.clone().filter(|_| !started(view) && !Mutant::IgnoreGate.on()) {
        return Some(gate.into());
    }
    let Some(candidate) = view.candidate.filter(|candidate| candidate.template.is_some()) else {
        let because = format!("{} is new", spec.version);
        return Some(fence_first(view, || create_template(view, spec, &because).into()));
    };
    if let Some(lb) = &spec.load_balancer {
        if candidate.target_group.is_none() && candidate.group.is_some() {
            return retire::retire(view, candidate, "its target group is gone, so its machines are registered nowhere");
        }
        if candidate.target_group.is_none() {
            return Some(fence_first(view, || create_target_group(view, candidate, spec, lb).into()));
        }
        if let Some(answer) = comes_back(view, candidate) {
            return Some(answer);
        }
        let waits = Mutant::GroupBeforeRule.on() && candidate.group.is_none();
        if let Some(entry) = rule_entry(view, candidate, lb).filter(|_| !waits) {
            return Some(entry);
        }
    }
    if candidate.group.is_none() {
        return Some(start_group(view, candidate, spec));
    }
    None
}

/// Whether the rollout of the wanted release has begun, so that no gate holds it any more.
pub fn started(view: &View<'_>) -> bool {
    view.candidate.is_some_and(|candidate| {
        let stands = candidate.group.is_some() || candidate.target_group.is_some();
        stands && candidate.retired().is_none()
    })
}

/// Whether something forbids this rollout that only a person, a commit or another service can
/// change.
pub fn is_forbidden(view: &View<'_>, spec: &ServiceSpec) -> bool {
    let forbids = |reason| matches!(reason, Reason::Preflight | Reason::Dependency);
    matches!(preflight(view, spec), Some(Answer::Wait(wait)) if forbids(wait.on.reason))
        || prerequisites::refused(view).is_some()
}

/// What forbids this rollout before anything is created.
fn preflight(view: &View<'_>, spec: &ServiceSpec) -> Option<Answer> {
    let blocked = |detail: String| Some(Answer::from(wait(Reason::Preflight, detail)));
    let Some(lb) = &spec.load_balancer else {
        // Its traffic would end with its last release, and nothing could take it back.
        let has_traffic = !view.input.state.rules.is_empty();
        let detail = "the service runs behind a load balancer, and its file has none any more: use a second service";
        return has_traffic.then(|| blocked(detail.to_owned())).flatten();
    };
    if let Some(rule) =
        view.input.state.rules.iter().find(|rule| rule.listener.load_balancer() != lb.listener.load_balancer())
    {
        return blocked(format!(
            "the service runs behind the load balancer {}, and its file now names {}: use a second service",
            rule.listener.load_balancer(),
            lb.listener.load_balancer()
        ));
    }
    match (&view.foreign, view.input.state.foreign_targets().first()) {
        (Some(foreign), _) if foreign.health.is_none() => {
            return Some(wait(Reason::Unknown, format!("the health of {} was not read", foreign.target_group)).into());
        }
        // One that entered later leaves with the next weights.
        (None, Some((foreign, _))) if view.live.is_none_or(|live| live.stable().is_none()) => {
            return blocked(format!("the rule forwards to {foreign}, which is not ours"));
        }
        (Some(_) | None, _) => {}
    }
    match &view.input.state.slot {
        // Being taken over.
        Some(Slot::Adoptable(_)) if view.foreign.is_some() => takeover::refused(view, lb),
        Some(Slot::Adoptable(what)) if view.live.is_none() && view.input.state.rules.is_empty() => {
            blocked(format!("its place on the listener is taken: {what}; load_balancer.adopt = true takes it over"))
        }
        // It serves where it is until its new place is free.
        Some(Slot::Neighbour(_)) if view.has_rule() => None,
        _ => traffic::taken(view, lb).map(Answer::from),
    }
}

/// The launch template of the wanted release.
pub fn create_template(view: &View<'_>, spec: &ServiceSpec, because: &str) -> Action {
    let name = GroupName::of(view.input.scope, view.input.service, &spec.digest);
    let template = resources::template(&name, spec, &view.new_identity(spec));
    act(Mutation::CreateTemplate(Box::new(template)), because).expect("no launch template has this name")
}

fn create_target_group(view: &View<'_>, candidate: &ServerGroup, spec: &ServiceSpec, lb: &LoadBalancer) -> Action {
    let target_group = resources::target_group(&candidate.name, spec, lb, &view.new_identity(spec));
    act(Mutation::CreateTargetGroup(Box::new(target_group)), "its machines are registered there")
        .expect("no target group has this name")
}

/// A candidate that had left its rule for another one comes back: while no rule named it,
/// nothing checked its machines, so its deadline must not count from before.
fn comes_back(view: &View<'_>, candidate: &ServerGroup) -> Option<Answer> {
    let unnamed = candidate.weight.is_none() && !Mutant::FirstDeadline.on();
    let group = candidate.group.as_ref().filter(|_| unnamed)?;
    let because = "nothing checked its machines while no rule named it";
    waits_since_long(view, group).then(|| fence_first(view, || begin_again(view, candidate, group, because)))
}

/// The candidate's entry in the action, at weight 0: what no rule names is not checked.
fn rule_entry(view: &View<'_>, candidate: &ServerGroup, lb: &LoadBalancer) -> Option<Answer> {
    let target_group = candidate.target_group.as_ref()?;
    let Some(rule) = view.rule() else {
        return Some(fence_first(view, || new_rule(view, candidate, Clients::None, lb)));
    };
    let named = rule.action.percents().iter().any(|(arn, _)| *arn == target_group.arn);
    let temporary = is_temporary(&rule.conditions);
    if (temporary || traffic::serves_nobody(view, rule)) && view.side_beside(candidate).is_none() {
        // Before a default action the rule may have any priority.
        let wanted = lb.rule.as_ref().map_or(rule.priority, |wanted| Some(wanted.priority));
        let in_place = rule.listener == lb.listener && rule.priority == wanted;
        if temporary && !in_place {
            let because = "no traffic passes it yet, and its place has changed";
            return Some(fence_first(view, || act(Mutation::DeleteRule { rule: rule.arn.clone() }, because).into()));
        }
        if named && rule.conditions == traffic::temporary_conditions(&candidate.name) {
            return None;
        }
        let mutation = Mutation::SetRule {
            rule: rule.arn.clone(),
            conditions: traffic::temporary_conditions(&candidate.name),
            weights: traffic::named(view, vec![(target_group.arn.clone(), 100)]),
        };
        return Some(fence_first(view, || act(mutation, TO_BE_CHECKED).into()));
    }
    if named {
        return None;
    }
    if let Some(full) = make_room(view, rule) {
        return Some(full);
    }
    match traffic::entry(view, rule, candidate, "so that its health is checked")? {
        entry @ Answer::Act(_) => Some(fence_first(view, || entry)),
        waits => Some(waits),
    }
}

/// Live's entry in the action, if somebody has taken it out: nothing can go back to machines
/// that are not checked.
pub fn live_entry(view: &View<'_>) -> Option<Answer> {
    let unnamed = |live: &&ServerGroup| live.weight.is_none() && live.target_group.is_some();
    let live = view.live.filter(|live| unnamed(live) && view.hold().is_none())?;
    let rule = view.rule().filter(|rule| !is_temporary(&rule.conditions) && !traffic::serves_nobody(view, rule))?;
    if let Some(full) = make_room(view, rule) {
        return Some(full);
    }
    traffic::entry(view, rule, live, TO_BE_CHECKED)
}

/// A full action lets the warm group go before a candidate enters, then any without weight.
fn make_room(view: &View<'_>, rule: &crate::observed::resources::Rule) -> Option<Answer> {
    if rule.action.percents().len() < traffic::TARGET_GROUPS_PER_ACTION || Mutant::NoRoom.on() {
        return None;
    }
    if let Some(answer) = traffic::without_strangers(view, rule) {
        return Some(answer);
    }
    let entries = || view.input.state.groups.values().filter(|group| group.weight.is_some() && view.weight(group) == 0);
    let leaving = view.warm.filter(|warm| warm.weight.is_some()).or_else(|| {
        let mut spare = entries().filter(|group| !view.is_live(group) && !view.is_candidate(group));
        spare.next()
    });
    if let Some(wait) = leaving.and_then(|group| retire::still_in_use(view, group)) {
        return Some(wait.into());
    }
    let weights = leaving.and_then(|group| traffic::without(view, rule, group));
    let Some(weights) = weights else {
        return Some(wait(Reason::Preflight, "the action is full: five target groups, and none can leave").into());
    };
    let mutation = Mutation::SetWeights { rule: rule.arn.clone(), weights };
    Some(act(mutation, "the action is full, so the warm release leaves it").into())
}

/// Whom a new rule lets reach its group.
#[derive(Clone, Copy)]
enum Clients {
    /// Those of the file.
    All,
    /// Its health is checked first.
    None,
}

/// A rule for a service that has none, with all traffic for a group: under its real
/// conditions, or under one that no client meets. No action ever has only zero weights.
fn new_rule(view: &View<'_>, group: &ServerGroup, clients: Clients, lb: &LoadBalancer) -> Answer {
    let Some(share) = group.target_group.as_ref() else {
        return wait(Reason::Unknown, "its target group was not read").into();
    };
    let weights = traffic::named(view, vec![(share.arn.clone(), 100)]);
    let temporary = || (traffic::temporary_conditions(&group.name), TO_BE_CHECKED);
    let (priority, (conditions, because)) = match (&lb.rule, clients) {
        (Some(rule), Clients::All) => (rule.priority, (resources::conditions(rule), "its rule is gone")),
        (Some(rule), Clients::None) if Mutant::RealConditionsAtOnce.on() => {
            (rule.priority, (resources::conditions(rule), ""))
        }
        (Some(rule), Clients::None) => (rule.priority, temporary()),
        (None, Clients::All) => {
            return default_action(lb, weights, "its listener's default action was taken from it");
        }
        // Without rules there is no other way to be checked, and nobody is served before.
        (None, Clients::None) if lb.listener.is_network() => return default_action(lb, weights, TO_BE_CHECKED),
        (None, Clients::None) => match view.input.state.spare_priority {
            Some(priority) => (priority, temporary()),
            None => return wait(Reason::Preflight, "the listener has no free priority for a rule").into(),
        },
    };
    let mutation =
        Mutation::CreateRule { listener: lb.listener.clone(), priority, conditions, weights, tags: rule_tags(view) };
    act(mutation, because).expect("its place on the listener is free").into()
}

const TO_BE_CHECKED: &str = "so that its health is checked before any traffic";

/// The whole traffic of a listener that nobody has.
pub fn default_action(lb: &LoadBalancer, weights: Vec<Weight>, because: &str) -> Answer {
    let mutation = Mutation::SetWeights { rule: lb.listener.default_rule(), weights };
    act(mutation, because).expect("its listener's default action is free").into()
}

/// The tags of our rule: the owner alone, since releases come and go in it.
pub fn rule_tags(view: &View<'_>) -> Tags {
    let owner = [(marks::SCOPE, view.input.scope.to_string()), (marks::SERVICE, view.input.service.to_string())];
    owner.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A live release whose rule is gone gets it again.
pub fn restore_rule(view: &View<'_>) -> Option<Answer> {
    let live = view.live.filter(|live| live.target_group.is_some())?;
    let lb = view.wanted?.load_balancer.as_ref()?;
    // Whoever answers may have the traffic until live does, where the action has room for it.
    let room = view.weights().len() < traffic::TARGET_GROUPS_PER_ACTION;
    let well = traffic::well_beside(view, live).filter(|well| room || well.weight.is_some());
    let most = well.unwrap_or(live);
    let hidden = match (view.rule(), &lb.rule) {
        (None, _) => None,
        (Some(rule), Some(wanted)) if is_temporary(&rule.conditions) => Some(Mutation::SetRule {
            rule: rule.arn.clone(),
            conditions: resources::conditions(wanted),
            weights: traffic::with_share(view, most, 100),
        }),
        (Some(rule), _) if rule.action.percents().iter().all(|(_, percent)| *percent == 0) => {
            Some(Mutation::SetWeights { rule: rule.arn.clone(), weights: traffic::with_share(view, most, 100) })
        }
        (Some(_), _) => return None,
    };
    if let Some(refused) = preflight(view, view.wanted?) {
        return Some(refused);
    }
    Some(fence_first(view, || match hidden {
        Some(mutation) => act(mutation, "no client reaches it").into(),
        None => new_rule(view, most, Clients::All, lb),
    }))
}

/// Question 10: no group. Weights first, then live is pinned, then the group is made.
fn start_group(view: &View<'_>, candidate: &ServerGroup, spec: &ServiceSpec) -> Answer {
    if view.weight(candidate) > 0 && view.has_side() {
        return traffic::to_live(view, candidate, "its group is gone");
    }
    fence_first(view, || pin_live(view).unwrap_or_else(|| create_group(view, candidate, spec, "its machines")))
}

/// Live must not shrink while another release comes up beside it.
pub fn pin_live(view: &View<'_>) -> Option<Answer> {
    let live = view.live.filter(|_| !Mutant::ForgetPin.on())?;
    let group = live.group.as_ref().filter(|group| group.min < group.desired)?;
    let mutation = Mutation::SetCapacity {
        release: live.name.clone(),
        group: group.name.clone(),
        min: group.desired,
        max: group.max.max(group.desired),
        desired: None,
    };
    Some(act(mutation, "live must not shrink during the rollout").expect(format!("live has {}", group.desired)).into())
}

/// The Auto Scaling group of a release, at need.
pub fn create_group(view: &View<'_>, owner: &ServerGroup, spec: &ServiceSpec, because: &str) -> Answer {
    let Some(name) = free_name(owner) else {
        return wait(Reason::Drain, "earlier groups of the same name are still being deleted").into();
    };
    let mut tags = resources::user_tags(spec);
    let mut identity = owner.identity.clone();
    // A commit that may not act repairs what it must and leaves no trace of itself.
    let commit = view.input.commit.filter(|_| view.wanted.is_some());
    identity.commit = commit.map_or(identity.commit, ToString::to_string);
    tags.extend(identity.tags());
    let mut mark = |mark: Mark, value: String| tags.insert(mark.key().to_owned(), value);
    mark(Mark::Step, Step { percent: 0, at: view.input.now }.to_string());
    if let Some(lb) = &spec.load_balancer {
        mark(Mark::Listener, lb.listener.to_string());
    }
    // The fence stands on live; with no live group this one carries it.
    if let Some(commit) = commit.filter(|_| view.live_group().is_none()) {
        mark(Mark::Fence, commit.to_string());
    }
    let worker_alone = spec.load_balancer.is_none() && view.live.is_none();
    if owner.stable().is_some() && !view.is_live(owner) && !worker_alone {
        mark(Mark::Retired, view.input.now.ceil_secs().to_string());
    }
    let group = GroupSpec {
        name,
        template: owner.name.clone(),
        target_group: owner.target_group.as_ref().map(|target_group| target_group.arn.clone()),
        subnets: spec.network.subnets.clone(),
        min: view.need(),
        max: view.candidate_max(),
        grace: spec.rollout.healthy_deadline,
        ready_within: resources::ready_within(owner, spec),
        tags: resources::first_tags(tags),
    };
    let instances = group.min;
    let mutation = Mutation::CreateGroup { release: owner.name.clone(), spec: Box::new(group) };
    act(mutation, because).expect(format!("the service needs {instances} machines")).into()
}

/// The first name that no group being deleted still blocks.
fn free_name(owner: &ServerGroup) -> Option<String> {
    let names = std::iter::once(owner.name.to_string()).chain((2..=9).map(|n| format!("{}-{n}", owner.name)));
    names.into_iter().find(|name| !owner.deleting.contains(name))
}

/// Questions 11 to 15: the candidate's group stands.
pub fn advance(view: &View<'_>) -> Option<Answer> {
    view.wanted?;
    let candidate = view.candidate?;
    let group = candidate.group.as_ref()?;
    if view.health(candidate).is_none() {
        return Some(wait(Reason::Unknown, "the candidate's health was not read").into());
    }
    let answer = used_again(view, candidate, group)
        .or_else(|| step_mark(view, candidate, group))
        .or_else(|| failure::verdict(view, candidate))
        .or_else(|| settings::candidate(view, candidate))
        .or_else(|| grow(view, candidate, group))
        .or_else(|| baking(view, group))
        .or_else(|| not_ready(view, candidate, group))
        .or_else(|| not_judged(view, candidate))
        .unwrap_or_else(|| next_step(view, candidate, group));
    Some(answer)
}

fn begin_again(view: &View<'_>, candidate: &ServerGroup, group: &GroupState, because: &str) -> Answer {
    let value = Step { percent: 0, at: view.input.now }.to_string();
    let mutation = Mutation::SetMark { on: group_carrier(candidate, group), mark: Mark::Step, value };
    act(mutation, because).into()
}

/// Question 11: a release that was left by a rollback, wanted again, on its warm machines.
fn used_again(view: &View<'_>, candidate: &ServerGroup, group: &GroupState) -> Option<Answer> {
    let retired = group.marks.retired.filter(|_| !Mutant::ForgetUsedAgain.on())?;
    // A stable one with nobody beside it gets its traffic first: without `retired` it would
    // be live before that.
    if candidate.stable().is_some() && view.live.is_none() && !view.is_worker() {
        return None;
    }
    let begun = group.marks.step.is_some_and(|step| step.percent == 0 && step.at >= retired);
    if !begun {
        return Some(fence_first(view, || {
            begin_again(view, candidate, group, "it is wanted again, from its first step")
        }));
    }
    let mutation = Mutation::ClearMark { on: group_carrier(candidate, group), mark: Mark::Retired };
    Some(act(mutation, "it is wanted again").into())
}

/// Question 12: what the weight says against the step mark. A worker has no weight.
fn step_mark(view: &View<'_>, candidate: &ServerGroup, group: &GroupState) -> Option<Answer> {
    let weight = view.weight(candidate);
    if view.is_worker() && group.marks.step.is_some() {
        return None;
    }
    let Some(step) = group.marks.step else {
        return Some(if weight > 0 && view.has_side() {
            traffic::to_live(view, candidate, "its step mark is missing")
        } else {
            begin_again(view, candidate, group, "its step mark is missing")
        });
    };
    if weight == step.percent {
        return None;
    }
    // Nor is there a way back from all of it where live can't take it.
    let only_forward = weight == 100 && traffic::can_go_back(view, candidate) == Some(false);
    // All of it beside a live side that could not bear its share is a step cut off, too.
    let took_over = weight == 100 && step.percent == 0 && view.live.is_some();
    if view.step_after(step.percent) == Some(weight) || only_forward || took_over {
        let value = Step { percent: weight, at: view.input.now }.to_string();
        let mutation = Mutation::SetMark { on: group_carrier(candidate, group), mark: Mark::Step, value };
        return Some(act(mutation, format!("{weight} % was read back, so its bake begins")).into());
    }
    if weight > 0 && !view.has_side() && step.percent == 0 {
        // It has a part, and nobody else is left to have the rest: all of it is its next step.
        return None;
    }
    // Its traffic was going to a release that is not wanted any more, and never settled: it goes on
    // from what it has left. Nobody sends more of it there.
    let was_leaving = step.percent == 100 && view.live.is_some_and(|live| live.stable().is_none());
    if weight > 0 && was_leaving {
        let value = Step { percent: weight, at: view.input.now }.to_string();
        let mutation = Mutation::SetMark { on: group_carrier(candidate, group), mark: Mark::Step, value };
        return Some(act(mutation, format!("it is wanted again, with the {weight} % that it has left")).into());
    }
    if weight > 0 && view.has_side() {
        let because = format!("it has {weight} %, and its last step was {} %", step.percent);
        return Some(traffic::to_live(view, candidate, &because));
    }
    Some(begin_again(view, candidate, group, "its traffic was taken back, so it begins again"))
}

/// The candidate is as large as live is now, and live does not shrink meanwhile.
fn grow(view: &View<'_>, candidate: &ServerGroup, group: &GroupState) -> Option<Answer> {
    if let Some(pin) = pin_live(view) {
        return Some(fence_first(view, || pin));
    }
    let (need, max) = (view.need_of(candidate), view.candidate_max());
    if group.min >= need && group.desired >= need && group.max == max.max(group.desired) {
        return None;
    }
    // It was being withdrawn when it was wanted again.
    if group.desired == 0 && waits_since_long(view, group) {
        return Some(fence_first(view, || begin_again(view, candidate, group, "its machines were taken away")));
    }
    let desired = need.max(group.desired);
    let mutation = Mutation::SetCapacity {
        release: candidate.name.clone(),
        group: group.name.clone(),
        min: desired,
        max: max.max(desired),
        desired: Some(desired),
    };
    Some(fence_first(view, || act(mutation, format!("the service needs {need} machines now")).into()))
}

/// Whether the first step began too long ago for a deadline to count from it, where what it
/// waits for can only begin now.
fn waits_since_long(view: &View<'_>, group: &GroupState) -> bool {
    let begun = group.marks.step.filter(|step| step.percent == 0);
    let deadline = view.spec.map_or(Span::ZERO, |spec| spec.rollout.healthy_deadline);
    begun.map(|step| view.input.now.since(step.at)).is_some_and(|age| age >= JUST_BEGUN || age * 2 >= deadline)
}

/// Between its first mark and its first machines, or its entry in the rule, there is a call or
/// two.
const JUST_BEGUN: Span = Span::from_secs(60);

/// Question 14: not enough machines are well, or not long enough.
pub fn not_ready(view: &View<'_>, candidate: &ServerGroup, group: &GroupState) -> Option<Answer> {
    let health = view.health(candidate).filter(|_| !Mutant::SkipHealthGate.on())?;
    let need = view.need_of(candidate);
    let healthy_for = view.spec.map_or(Span::ZERO, |spec| spec.rollout.healthy_for);
    let now = view.input.now;
    let ready = view.input.memory.ready(&candidate.name);
    let Some(ready) = ready.filter(|_| view.is_ready(candidate, &health)) else {
        let launches = launches::trouble(view, candidate);
        let reason = if launches.is_some() { Reason::Capacity } else { Reason::Health };
        let mut wait = wait(reason, unready(view, candidate, &health, launches));
        wait.on.since = group.marks.step.map(|step| step.at);
        wait.on.until = deadline(view, candidate, group);
        return Some(wait.look_again(now + half_within(healthy_for)).into());
    };
    let due = ready.since + healthy_for;
    if (now >= due && ready.readings >= 2) || Mutant::ReadyAtOnce.on() {
        return None;
    }
    let so_far = if ready.readings < 2 { ", one reading so far" } else { "" };
    let detail = format!("{} of {need} machines healthy for {}{so_far}", health.healthy, now.since(ready.since));
    Some(
        wait(Reason::Health, detail)
            .brief(due.max(now + Span::from_millis(500)))
            .since(ready.since)
            .until(due.max(now))
            .look_again(now + half_within(healthy_for))
            .into(),
    )
}

/// Nothing goes on while evidence stands against the candidate, though nobody is judged.
fn not_judged(view: &View<'_>, candidate: &ServerGroup) -> Option<Answer> {
    let (_, text) = failure::evidence(view, candidate).filter(|_| candidate.stable().is_none())?;
    let detail = format!("{text}; it is not judged while no machine of the live release is healthy");
    Some(wait(Reason::Health, detail).look_again(view.input.now + Span::from_secs(10)).into())
}

/// Half of `healthy_for`, between half a second and ten seconds.
fn half_within(healthy_for: Span) -> Span {
    Span::from_millis((healthy_for.as_millis() / 2).clamp(500, 10_000))
}

/// How many machines are well, what the others are, and what AWS says about that.
fn unready(view: &View<'_>, candidate: &ServerGroup, health: &Health, launches: Option<String>) -> String {
    let mut detail = format!("{} of {} machines healthy", health.healthy, view.need_of(candidate));
    let others = [(health.booting, "booting"), (health.failing, "failing"), (health.missing, "missing")];
    let others: Vec<String> =
        others.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if !others.is_empty() {
        detail += &format!(" ({})", others.join(", "));
    }
    let launches = launches.map(|message| format!("the last launch failed: {message}"));
    let still =
        candidate.group.as_ref().and_then(|group| machines::stands_still(group, view.has_ready_hook(candidate)));
    let given_up = launches::given_up(candidate);
    for words in [still, given_up, machines::words(candidate), launches].into_iter().flatten() {
        detail += &format!("; {words}");
    }
    detail
}

/// When the candidate's health is given up on.
fn deadline(view: &View<'_>, candidate: &ServerGroup, group: &GroupState) -> Option<Timestamp> {
    let deadline = view.rollout().healthy_deadline;
    let step = group.marks.step?;
    if candidate.stable().is_some() {
        return None;
    }
    match step.percent {
        // Machines that came into service late have their own grace.
        0 if view.input.now >= step.at + deadline => Some(step.at + deadline * 2),
        0 => Some(step.at + deadline),
        _ => view.input.memory.unready_since(&candidate.name).map(|since| since + deadline),
    }
}

/// Question 14: watched with traffic.
fn baking(view: &View<'_>, group: &GroupState) -> Option<Answer> {
    let step = group.marks.step.filter(|step| step.percent > 0)?;
    let due = step.at + view.spec?.rollout.bake;
    if view.input.now >= due || Mutant::SkipBake.on() {
        return None;
    }
    let detail = format!("watched at {} %", step.percent);
    // A failure is acted on at the next reading, so readings go on during a bake.
    Some(
        wait(Reason::Bake, detail)
            .since(step.at)
            .until(due)
            .look_again(due.min(view.input.now + Span::from_secs(10)))
            .into(),
    )
}

/// Question 15: the next weights, or the end.
fn next_step(view: &View<'_>, candidate: &ServerGroup, group: &GroupState) -> Answer {
    let at = group.marks.step.map_or(0, |step| step.percent);
    match view.step_after(at).filter(|percent| *percent < 100 || !Mutant::SettleEarly.on()) {
        Some(percent) if view.is_worker() || Mutant::MarkBeforeWeights.on() => {
            fence_first(view, || begin_work(view, candidate, group, percent))
        }
        Some(percent) => fence_first(view, || shift(view, candidate, percent)),
        None => settle(view, candidate),
    }
}

/// A worker takes its work by itself, beside live: from now on it is watched.
fn begin_work(view: &View<'_>, candidate: &ServerGroup, group: &GroupState, percent: u32) -> Answer {
    let value = Step { percent, at: view.input.now }.to_string();
    let mutation = Mutation::SetMark { on: group_carrier(candidate, group), mark: Mark::Step, value };
    let healthy = view.health(candidate).unwrap_or_default().healthy;
    act(mutation, format!("{healthy} machines are healthy, so its bake begins")).into()
}

fn shift(view: &View<'_>, candidate: &ServerGroup, percent: u32) -> Answer {
    let Some(rule) = view.rule() else {
        return wait(Reason::Unknown, "its rule was not read").into();
    };
    let healthy = view.health(candidate).unwrap_or_default().healthy;
    let present = if Mutant::RelativeWeights.on() { view.weight(candidate) } else { 0 };
    let weights = traffic::with_share(view, candidate, (present + percent).min(100));
    let lb = view.wanted.and_then(|spec| spec.load_balancer.as_ref());
    let mutation = match lb.filter(|_| is_temporary(&rule.conditions)).map(|lb| (lb, &lb.rule)) {
        Some((_, Some(wanted))) => {
            Mutation::SetRule { rule: rule.arn.clone(), conditions: resources::conditions(wanted), weights }
        }
        // The rule that it was checked behind has no more to say.
        Some((lb, None)) => Mutation::SetWeights { rule: lb.listener.default_rule(), weights },
        None => Mutation::SetWeights { rule: rule.arn.clone(), weights },
    };
    act(mutation, format!("{healthy} machines are healthy, the next step is {percent} %"))
        .expect(format!("at least {} healthy machines", view.need()))
        .into()
}

/// Settle, first half: the fence, then the mark that makes it live. What follows from that
/// (the old one's mark, sizes, policies, conditions) is asked for by other questions. A release
/// that stood in and never settled gets its mark first: nothing else would tell afterwards that
/// it had all the traffic.
fn settle(view: &View<'_>, candidate: &ServerGroup) -> Answer {
    if let Some(fence) = fence_on(view, candidate).filter(|_| !Mutant::StableBeforeFence.on()) {
        return fence;
    }
    let stood_in = view.live.filter(|live| live.stable().is_none() && live.retired().is_none() && live.group.is_some());
    if let Some(old) = stood_in.filter(|_| !Mutant::ForgetStandIn.on()) {
        return retire::mark_retired(view, old, "a newer release settles").into();
    }
    let on: Carrier = template_carrier(candidate);
    if candidate.template_marks().retry.is_some() {
        return act(Mutation::ClearMark { on, mark: Mark::Retry }, "its last bake is over").into();
    }
    let value = view.input.now.ceil_secs().to_string();
    act(Mutation::SetMark { on, mark: Mark::Stable, value }, "its last bake is over: it has settled").into()
}
