//! Who bears the traffic. A side that can't bear its share loses it to one that can bear
//! everything, in the same pass, whatever Git asks and whatever stops the service.

use crate::mutant::Mutant;
use crate::observed::marks::{Mark, RetryKind, Step};
use crate::observed::state::{Health, ServerGroup};

use crate::time::Span;

use super::action::Mutation;
use super::answer::{Answer, Wait, act, wait};
use super::retire::group_carrier;
use super::types::Reason;
use super::view::View;
use super::{failure, machines, retire, rollback, traffic};

/// Whether machines can do a share of the work: one of them at least, and half of what the
/// share needs.
pub fn suffices(health: Health, need: u32, percent: u32) -> bool {
    percent == 0 || (health.healthy > 0 && u64::from(health.healthy) * 200 >= u64::from(need) * u64::from(percent))
}

/// Whether a group bears a share of the traffic now; none where its health was not read.
/// Machines that it has grown by and that still boot take nothing from it.
pub fn bears(view: &View<'_>, group: &ServerGroup, percent: u32) -> Option<bool> {
    let health = view.health(group)?;
    let had = view.input.memory.most_healthy(&group.name).max(health.healthy + health.failing + health.missing);
    Some(suffices(health, view.need_of(group).min(had.max(1)), percent))
}

/// Whether a group could bear all of the traffic; none where its health was not read.
pub fn bears_all(view: &View<'_>, group: &ServerGroup) -> Option<bool> {
    Some(suffices(view.health(group)?, view.need_of(group), 100))
}

/// The traffic of a side that can't bear it goes to the other one, if that can.
pub fn relieve(view: &View<'_>) -> Option<Answer> {
    if view.is_worker() || Mutant::IgnoreBearing.on() {
        return None;
    }
    let candidate = view.candidate.filter(|candidate| is_side(view, candidate))?;
    relieve_candidate(view, candidate).or_else(|| relieve_live(view, candidate))
}

/// A release that was rejected takes no traffic, nor does one that has none and waits for a
/// person, or that a rollback has left.
fn is_side(view: &View<'_>, candidate: &ServerGroup) -> bool {
    let abandoned = view.retry_pending(candidate).is_some_and(|retry| retry.due.is_none())
        || (candidate.retired().is_some() && candidate.group_marks().left);
    candidate.group.is_some()
        && candidate.target_group.is_some()
        && view.rejected(candidate).is_none()
        && (!abandoned || view.weight(candidate) > 0)
}

/// The candidate can't bear its share: all of it goes to live. The mark that it is tried again
/// later comes first; a verdict of the same reading goes before that.
fn relieve_candidate(view: &View<'_>, candidate: &ServerGroup) -> Option<Answer> {
    let weight = view.weight(candidate);
    if weight == 0 || !view.has_side() || bears(view, candidate, weight)? {
        return None;
    }
    if traffic::can_go_back(view, candidate) != Some(true) {
        return None;
    }
    if candidate.stable().is_some() {
        return Some(traffic::to_live(view, candidate, "it cannot bear its traffic"));
    }
    if let Some(verdict) = failure::verdict(view, candidate) {
        return Some(verdict);
    }
    if view.retry_pending(candidate).is_none() && candidate.template.is_some() {
        let text = shortfall(view, candidate)?;
        return Some(failure::try_later(view, candidate, RetryKind::Returned, &text));
    }
    Some(traffic::to_live(view, candidate, "it cannot bear its traffic"))
}

/// Live can't bear its share, and the candidate can bear everything: all traffic goes there,
/// whatever its step. Its mark says 0 first, so that the weight reads as a step cut off.
fn relieve_live(view: &View<'_>, candidate: &ServerGroup) -> Option<Answer> {
    let live = view.live.filter(|live| live.target_group.is_some())?;
    let weight = view.weight(live);
    // An entry that no client reaches yet gives nobody anything.
    if weight == 0 || bears(view, live, weight)? || candidate.weight.is_none() || !bears_all(view, candidate)? {
        return None;
    }
    if rollback::at_once(view) && view.hold().is_none() {
        return rollback::go(view);
    }
    let version = &live.identity.version;
    let because = format!("{version} cannot bear its traffic: {}", shortfall(view, live)?);
    let group = candidate.group.as_ref()?;
    let unmarked = group.marks.step.is_none_or(|step| step.percent > 0);
    if unmarked && candidate.stable().is_none() {
        let value = Step { percent: 0, at: view.input.now }.to_string();
        let mutation = Mutation::SetMark { on: group_carrier(candidate, group), mark: Mark::Step, value };
        return Some(act(mutation, because).into());
    }
    let rule = view.rule_of(live)?;
    let weights = traffic::with_share(view, candidate, 100);
    let healthy = view.health(candidate)?.healthy;
    let action = act(Mutation::SetWeights { rule: rule.arn.clone(), weights }, because);
    Some(action.expect(format!("{} has {healthy} healthy machines", candidate.identity.version)).into())
}

/// How many of the machines that a group needs are well, with the load balancer's words.
fn shortfall(view: &View<'_>, group: &ServerGroup) -> Option<String> {
    let health = view.health(group)?;
    let words = machines::words(group).map(|words| format!("; {words}")).unwrap_or_default();
    Some(format!("{} of {} machines healthy{words}", health.healthy, view.need_of(group)))
}

/// Live has settled and does not bear its load, and nothing that Git asks is under way: what
/// is said of it, with the way out.
pub fn down(view: &View<'_>) -> Option<Wait> {
    let live = view.live.filter(|live| live.stable().is_some() && live.group.is_some())?;
    let health = view.standing_health(live);
    if suffices(health, view.need(), 100) {
        return None;
    }
    let (version, service) = (&live.identity.version, view.input.service);
    let members = live.group.as_ref()?;
    let words =
        [machines::stands_still(members, view.has_ready_hook(live)), machines::words(live)].into_iter().flatten();
    let words: String = words.map(|words| format!("; {words}")).collect();
    let state = format!("{} of {} machines of {version} are healthy{words}", health.healthy, view.need());
    let is_new = health.failing == 0 && view.input.now < members.created + view.rollout().healthy_deadline;
    if health.booting > 0 || is_new {
        // Its machines are on their way.
        return Some(wait(Reason::Health, state).look_again(view.input.now + Span::from_secs(10)));
    }
    if health.healthy > 0 {
        return Some(wait(Reason::Health, state).halted());
    }
    // A release under way could bear no more than live: nobody can.
    let reason =
        if view.candidate.is_some_and(|candidate| view.serves(candidate)) { Reason::Gate } else { Reason::Down };
    let warm = view.warm.filter(|warm| bears_all(view, warm) == Some(true) && retire::is_way_back(warm));
    let way_out = match warm {
        Some(warm) => {
            format!("{} is warm and well: `ionroller rollback {service}` goes back to it", warm.identity.version)
        }
        None => "no other release could take its traffic: look at its machines".to_owned(),
    };
    Some(wait(reason, format!("{state}; {way_out}")).halted())
}
