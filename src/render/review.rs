//! What a reviewer asks of a plan, in sentences: how it runs, how many machines it takes
//! and how long, what is in its way, and what was so already.

use crate::plan::strategy::{Fallback, Machines, Strategy, peak, settled_after};
use crate::plan::types::{Change, Plan, RollbackClass, ServicePlan};
use crate::time::Span;

use super::json::waiting;
use super::text;

/// Which services of a plan are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Those with something to say; of a merge, those that it touches.
    Changes,
    /// Every one.
    All,
}

/// Against which clock a text says times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The reader's: so long ago, in so many minutes.
    FromNow,
    /// One that does not move between two plans while nothing changes: times of day, and of
    /// what is to come, the time since it began.
    Fixed,
}

/// Whether a service is shown.
pub fn is_shown(plan: &Plan, service: &ServicePlan, shown: Shown) -> bool {
    match (&plan.review, shown) {
        (_, Shown::All) => true,
        (Some(review), Shown::Changes) => review.touched.contains_key(&service.name),
        (None, Shown::Changes) => !text::is_quiet(service),
    }
}

/// Services that the merge leaves alone, and of which there is something to say all the same.
pub fn others(plan: &Plan) -> Vec<&ServicePlan> {
    let Some(review) = &plan.review else { return Vec::new() };
    let others = plan.services.iter().filter(|service| !review.touched.contains_key(&service.name));
    others.filter(|service| !text::is_quiet(service) || review.already.contains_key(&service.name)).collect()
}

/// What is said of a service that the merge leaves alone: name and versions aside.
pub fn of_another(plan: &Plan, service: &ServicePlan) -> String {
    let already = plan.review.as_ref().and_then(|review| review.already.get(&service.name));
    let wait = waiting(service).map(|wait| text::wait_sentence(wait, plan.observed_at, Times::Fixed));
    let phase = format!("{}, {}", text::word(service.change), service.phase.as_str());
    match (already, wait, service.change) {
        (Some(already), None, _) => already.clone(),
        (Some(already), Some(wait), _) => format!("{already}; it waits: {wait}"),
        (None, Some(wait), Change::None) => format!("it waits: {wait}"),
        (None, Some(wait), _) => format!("{phase}; it waits: {wait}"),
        (None, None, Change::None) => service.phase.as_str().to_owned(),
        (None, None, _) => format!("{phase}: {}", service.because),
    }
}

/// How many services a merge leaves alone and nothing is said of.
pub fn left_alone(plan: &Plan) -> usize {
    let Some(review) = &plan.review else { return 0 };
    plan.services.iter().filter(|service| !review.touched.contains_key(&service.name)).count()
}

/// What the merge changes of a service, by key.
pub fn changed_keys(plan: &Plan, service: &ServicePlan) -> Option<String> {
    let keys = plan.review.as_ref()?.touched.get(&service.name)?;
    let came = service.file_diff.is_none() && !keys.is_empty();
    let elsewhere = if came { " (its own file is the same: see ionroller.toml and files/)" } else { "" };
    match keys.is_empty() {
        false => Some(format!("{}{elsewhere}", keys.join(", "))),
        true if service.change == Change::None && service.to.is_some() => {
            Some("the text of its file, and nothing that it says".to_owned())
        }
        true => None,
    }
}

/// What was otherwise than the base says before the merge.
pub fn already<'p>(plan: &'p Plan, service: &ServicePlan) -> Option<&'p str> {
    plan.review.as_ref()?.already.get(&service.name).map(String::as_str)
}

/// How the change runs, as a sentence.
pub fn strategy(service: &ServicePlan) -> Option<String> {
    let strategy = service.strategy.as_ref()?;
    Some(match strategy.machines {
        Machines::InPlace => "in place, no machine is replaced".to_owned(),
        Machines::Removed => "its traffic ends, its machines are drained and deleted".to_owned(),
        Machines::Back => match service.rollback {
            Some(RollbackClass::Instant) => "traffic back in one call, no new machines".to_owned(),
            Some(RollbackClass::ScaleUp) => "its old machines grow first, then traffic in one call".to_owned(),
            _ => "new machines of the old release, then traffic in one call".to_owned(),
        },
        Machines::New => format!("new machines: {}", steps(strategy)),
        Machines::Replaced => {
            let failure = match strategy.on_failure {
                Some(Fallback::Hold) => "; a failure sends traffic back and holds the service",
                _ => "; rolls back by itself on failure",
            };
            format!("replaced: {}{failure}", steps(strategy))
        }
    })
}

fn steps(strategy: &Strategy) -> String {
    let bake = Span::from_secs(strategy.bake_secs);
    let percents: Vec<String> = strategy.steps.iter().map(|percent| format!("{percent} %")).collect();
    let (moves, each) = match (strategy.steps.as_slice(), strategy.machines) {
        ([], Machines::New) => return "they work as soon as they are healthy".to_owned(),
        ([], _) if bake == Span::ZERO => return "the new ones work, then the old ones stop".to_owned(),
        ([], _) => return format!("old and new work side by side for {bake}, then the old ones stop"),
        ([_], _) => ("all traffic at once".to_owned(), ""),
        _ => (percents.join(" → "), " each"),
    };
    let bake = if bake == Span::ZERO { "no bake".to_owned() } else { format!("{bake} bake{each}") };
    format!("{moves}, {bake}")
}

/// What becomes of the machines, in a word or two.
pub fn machines(service: &ServicePlan) -> String {
    let word = match service.strategy.as_ref().map(|strategy| strategy.machines) {
        None => return "–".to_owned(),
        Some(Machines::New) => "new",
        Some(Machines::Replaced) => "replaced",
        Some(Machines::InPlace) => "in place",
        Some(Machines::Back) => match service.rollback {
            Some(RollbackClass::Instant) => "no new ones",
            Some(RollbackClass::ScaleUp) => "old ones grow",
            _ => "new",
        },
        Some(Machines::Removed) => "removed",
    };
    match peak(service) {
        Some(peak) if peak.now > 0 => format!("{word}, {} at most", peak.instances),
        Some(peak) => format!("{word}, {}", peak.instances),
        None => word.to_owned(),
    }
}

/// The most machines, and for how long.
pub fn peak_sentence(service: &ServicePlan) -> Option<String> {
    let peak = peak(service)?;
    let now = if peak.now == 0 { "none".to_owned() } else { peak.now.to_string() };
    let noun = if peak.instances == 1 { "instance" } else { "instances" };
    Some(match peak.for_secs {
        Some(secs) => format!("{} {noun} at most ({now} now), for {}", peak.instances, about(secs)),
        None => format!("{} {noun} from then on ({now} now)", peak.instances),
    })
}

/// How long it takes until the change is over; without AWS, how long at least.
pub fn takes(plan: &Plan, service: &ServicePlan) -> Option<String> {
    let begin = service.forecast.first().map_or(0, |moment| moment.after_secs);
    if let Some(end) = settled_after(service) {
        let secs = end.saturating_sub(begin);
        return Some(if secs == 0 { "at once".to_owned() } else { about(secs) });
    }
    let strategy = service.strategy.as_ref()?;
    let bakes = strategy.bake_secs * u64::try_from(strategy.steps.len().max(1)).unwrap_or(1);
    (plan.observed_at.is_none() && bakes > 0).then(|| format!("at least {}", about(bakes)))
}

/// How long or until when a way back is instant, for a reader without the forecast's clock.
pub fn instant_for(plan: &Plan, service: &ServicePlan) -> String {
    let (Some(until), Some(at)) = (service.rollback_until, plan.observed_at) else { return String::new() };
    match service.forecast.first() {
        Some(begin) if settled_after(service).is_some() => {
            format!(" for {}", about(until.since(at).as_secs_ceil().saturating_sub(begin.after_secs)))
        }
        _ => format!(" until {until}"),
    }
}

/// A time that nobody counts in seconds.
fn about(secs: u64) -> String {
    let whole = if secs >= 600 { secs.div_ceil(60) * 60 } else { secs };
    Span::from_secs(whole).to_string()
}

/// What a plan without AWS could not know.
pub const UNKNOWN: &str = "Not known, for AWS was not asked: what runs now, whether a rollout is under way or \
                           something drifted, holds and rejections, how many machines it takes, and how fast a \
                           revert would be. Changes are those of the files.";

/// Freezes in the way of what the merge touches, a sentence each.
pub fn freezes(plan: &Plan) -> Vec<String> {
    let freezes = plan.review.iter().flat_map(|review| &review.freezes);
    let sentence = |freeze: &crate::desired::spec::Freeze| {
        let services: Vec<&str> = freeze.services.iter().map(|name| name.as_str()).collect();
        let of = if services.is_empty() { "every service".to_owned() } else { services.join(", ") };
        format!("{}, from {} until {}: no release of {of} starts", freeze.name, freeze.from, freeze.until)
    };
    freezes.map(sentence).collect()
}
