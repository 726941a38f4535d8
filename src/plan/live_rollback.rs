//! An operator's rollback while Git is out of reach: traffic back to the warm release, and
//! the service held.
//!
//! It is the weight call of an instant rollback and what that writes afterwards, with a hold
//! before it. The hold says which release was put back, so that whoever reads it knows when
//! Git has come to want the same: then the hold has done its work and is lifted. Until then
//! Git still wants what was left, and only an operator's `resume` lets it have that.
//!
//! No fence is written: a fence names a commit that was acted on, and here there is none.
//! The one of the release that was left stays, so no older commit can act, and the revert
//! that Git needs anyway descends from it.

use crate::observed::marks::{Hold, Mark};
use crate::observed::state::ServerGroup;

use super::action::Mutation;
use super::answer::{Answer, Wait, act, wait};
use super::questions::fence_first;
use super::retire::template_carrier;
use super::types::{Reason, ServicePlan};
use super::view::{View, is_temporary, percent_of};
use super::{retire, rollback, traffic};

/// What the text of such a hold begins with; the name of the release that was put back
/// follows.
const SIGN: &str = "live-rollback:";

/// The next thing to do; none when it is done.
pub fn next(view: &View<'_>, who: &str, text: &str) -> Option<Answer> {
    if let Some(what) = &view.input.state.incomplete {
        return Some(wait(Reason::Unknown, format!("the reading is incomplete: {what}")).into());
    }
    if let Some(target) = promised(view) {
        return bring(view, target).or_else(|| rollback::finish(view));
    }
    // One that Git asked for and that was cut off comes to its end first.
    if let Some(answer) = rollback::finish(view).filter(|_| !view.is_worker()) {
        return Some(answer);
    }
    match target(view) {
        Ok((live, target)) => Some(promise(view, live, target, who, text)),
        Err(refusal) => Some((*refusal).into()),
    }
}

/// Where traffic goes back to, and from where; the error says why to nowhere.
fn target<'a>(view: &View<'a>) -> Result<(&'a ServerGroup, &'a ServerGroup), Box<Wait>> {
    let refuse = |detail: String| Err(Box::new(wait(Reason::Preflight, detail)));
    let service = view.input.service;
    if view.is_worker() {
        return refuse("a worker has no traffic to put back; revert it in Git, or scale its groups by hand".to_owned());
    }
    let Some(live) = view.live.filter(|live| view.weight(live) > 0) else {
        return refuse("no release of it has settled and has traffic, so there is nothing to go back from".to_owned());
    };
    let coming = view.input.state.groups.values().find(|group| !view.is_live(group) && view.weight(group) > 0);
    if let Some(coming) = coming {
        return refuse(format!(
            "{} has {} % beside {} and is not settled: `ionroller abort {service}` takes it back",
            coming.identity.version,
            view.weight(coming),
            live.identity.version
        ));
    }
    let Some(warm) = view.warm else {
        return refuse(format!(
            "no release from before {} has machines any more, so it takes a revert in Git to make some",
            live.identity.version
        ));
    };
    if !retire::is_way_back(warm) {
        return refuse(format!(
            "{}, whose machines still stand, was itself rolled back from or never settled",
            warm.identity.version
        ));
    }
    match is_ready(view, warm) {
        Some(refusal) => Err(Box::new(refusal)),
        None => Ok((live, warm)),
    }
}

/// Why one weight call would not bring all traffic to a release that answers it, if so.
fn is_ready(view: &View<'_>, target: &ServerGroup) -> Option<Wait> {
    let version = &target.identity.version;
    if target.group.is_none() {
        return Some(wait(Reason::Preflight, format!("the machines of {version} are gone")));
    }
    if target.weight.is_none() {
        let detail = format!("{version} is not in the rule, so whether it would answer is not known");
        return Some(wait(Reason::Preflight, detail));
    }
    let (Some(health), Some(_)) = (view.health(target), view.live.and_then(|live| view.health(live))) else {
        return Some(wait(Reason::Unknown, "the health of the two releases was not read".to_owned()));
    };
    (!rollback::instant(view, target)).then(|| {
        let detail = format!(
            "{} of the {} machines that are needed now are healthy in {version}, so traffic stays where it is",
            health.healthy,
            view.live_desired()
        );
        wait(Reason::Preflight, detail)
    })
}

/// The verdict before the deed: who holds the service, and what was put back. It is on the
/// template of the release that will be live; what others hold there is not overwritten.
fn promise(view: &View<'_>, live: &ServerGroup, target: &ServerGroup, who: &str, text: &str) -> Answer {
    let is_free = |group: &&ServerGroup| group.template_marks().hold.is_none() && group.template.is_some();
    let all = || view.input.state.groups.values();
    let carrier = [target, live].into_iter().chain(all()).find(is_free);
    let Some(carrier) = carrier.or_else(|| Some(target).filter(|target| target.template.is_some())) else {
        return wait(Reason::Preflight, "no launch template is left that could carry the hold").into();
    };
    let (name, from, to) = (&target.name, &live.identity.version, &target.identity.version);
    let text = format!("{SIGN}{name} from {from} to {to}: {text}");
    let hold = Hold { at: view.input.now, who: who.to_owned(), text: text.trim_end_matches([':', ' ']).to_owned() };
    let mutation = Mutation::SetMark { on: template_carrier(carrier), mark: Mark::Hold, value: hold.to_string() };
    act(mutation, format!("an operator goes back to {to}")).into()
}

/// All traffic of a rule under real conditions to the release that was promised it: one
/// call, as there is one such rule but for a move of it that was cut off.
fn bring(view: &View<'_>, target: &ServerGroup) -> Option<Answer> {
    let arn = &target.target_group.as_ref()?.arn;
    let real = view.input.state.rules.iter().filter(|rule| !is_temporary(&rule.conditions));
    let rule = real.into_iter().find(|rule| percent_of(rule, arn) != Some(100))?;
    if let Some(refusal) = is_ready(view, target) {
        return Some(refusal.into());
    }
    let healthy = view.health(target).unwrap_or_default().healthy;
    let mutation = Mutation::SetWeights { rule: rule.arn.clone(), weights: traffic::all_to(view, rule, arn) };
    let action = act(mutation, format!("an operator goes back to {}", target.identity.version));
    Some(action.expect(format!("{} has {healthy} healthy machines", target.identity.version)).into())
}

/// The release that a hold says was put back, as long as it stands.
fn promised<'a>(view: &View<'a>) -> Option<&'a ServerGroup> {
    let groups = || view.input.state.groups.values();
    let mut holds = groups().filter_map(|group| put_back(group.template.as_ref()?.marks.hold.as_ref()?));
    holds.find_map(|name| groups().find(|group| group.name.as_str() == name && view.stands(group)))
}

/// The name of the release that a hold says was put back.
fn put_back(hold: &Hold) -> Option<&str> {
    hold.text.strip_prefix(SIGN)?.split([' ', ':']).next()
}

/// Git has come to want what was put back, or was to be: the hold has done its work. Its
/// commit is fenced first, so that none before it can bring back what was left.
pub fn agreed(view: &View<'_>) -> Option<Answer> {
    let wanted = view.wanted.filter(|spec| spec.paused.is_none())?;
    let name = view.wanted_name.as_ref()?;
    let says = |group: &&ServerGroup| {
        let hold = group.template.as_ref().and_then(|template| template.marks.hold.as_ref());
        hold.and_then(put_back) == Some(name.as_str())
    };
    let carrier = view.input.state.groups.values().find(says)?;
    let because = format!("the commit wants {}, too, which an operator has put back", wanted.version);
    let mutation = Mutation::ClearMark { on: template_carrier(carrier), mark: Mark::Hold };
    Some(fence_first(view, || act(mutation, because).into()))
}

/// How a hold is told: of a live rollback, what was put back, and what Git says to that.
pub fn told(view: &View<'_>, hold: &Hold) -> String {
    let Some(put_back) = put_back(hold) else {
        return format!("held by {}: {}", hold.who, hold.text).trim_end_matches([' ', ':']).to_owned();
    };
    let why = hold.text.split_once(": ").map_or_else(String::new, |(_, why)| format!(" ({why})"));
    let target = view.input.state.groups.values().find(|group| group.name.as_str() == put_back);
    let to = target.map_or_else(|| put_back.to_owned(), |group| group.identity.version.to_string());
    let begun = target.is_some_and(|group| view.is_live(group));
    let did = if begun { "put" } else { "began to put" };
    let git = match view.wanted {
        Some(spec) if begun && !view.live_is_wanted() => {
            format!("; the commit wants {}: revert it, or `ionroller resume {}`", spec.version, view.input.service)
        }
        _ => String::new(),
    };
    format!("held by {}, who {did} {to} back{why}{git}", hold.who)
}

/// Whether a service is held by a live rollback that its commit does not agree with.
pub fn disagrees(plan: &ServicePlan) -> bool {
    plan.held.as_ref().is_some_and(is_live_rollback) && plan.to.is_some() && plan.to != plan.from
}

/// Whether a hold is that of a live rollback.
pub fn is_live_rollback(hold: &Hold) -> bool {
    put_back(hold).is_some()
}
