//! Plan, status, problems and progress as text for people: 80 columns, symbols that carry
//! meaning without colour, nothing to look up.

use std::fmt::Write as _;

use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::names::ServiceName;
use crate::observed::marks::Mark;
use crate::plan::action::{Action, Mutation};
use crate::plan::types::{Change, Phase, Plan, Reason, RollbackClass, ServicePlan, WaitingOn};
use crate::time::Timestamp;

pub use super::style::Style;

use super::json::{summary, waiting};
use super::review::{self, Shown, Times};
use super::style::{Meaning, columns, left};

/// The column at which the parts of a service begin.
const LABEL: usize = 11;

/// A plan.
pub fn plan(plan: &Plan, style: Style) -> String {
    plan_of(plan, style, Shown::Changes)
}

/// A plan, with the services that are asked for.
pub fn plan_of(plan: &Plan, style: Style, shown: Shown) -> String {
    let mut out = heading(plan, style);
    for service in &plan.services {
        if !review::is_shown(plan, service, shown) && (style.verbose == 0 || plan.review.is_some()) {
            continue;
        }
        out.push('\n');
        service_plan(&mut out, plan, service, style, Times::FromNow);
    }
    if shown == Shown::Changes {
        others(&mut out, plan, style);
    }
    let freezes: Vec<String> = review::freezes(plan);
    if !freezes.is_empty() {
        out.push('\n');
        freezes.iter().for_each(|freeze| part(&mut out, style, "freeze", freeze));
    }
    if let Some(diff) = plan.review.as_ref().and_then(|review| review.scope_diff.as_ref()) {
        out.push('\n');
        file_diff(&mut out, diff, style);
    }
    if !plan.diagnostics.is_empty() {
        out.push('\n');
        out.push_str(&diagnostics(&plan.diagnostics, style));
    }
    if plan.review.is_some() && plan.observed_at.is_none() {
        let _ = writeln!(out, "\n{}", style.wrap(review::UNKNOWN, 0).join("\n"));
    }
    let _ = writeln!(out, "\n{}", style.wrap(&summary_line(plan), 0).join("\n"));
    out
}

/// Services that the merge leaves alone and that are in flight, drift or wait.
fn others(out: &mut String, plan: &Plan, style: Style) {
    let others = review::others(plan);
    if !others.is_empty() {
        let _ = writeln!(out, "\nIn flight or drifting, not by this merge:");
    }
    for service in others {
        let head = format!("  {}  {}:", service.name, versions(service));
        let said = format!("{} {}", "\u{1}".repeat(columns(&head)), review::of_another(plan, service));
        for (index, line) in style.wrap(&said, 4).iter().enumerate() {
            let line = line.replace(&"\u{1}".repeat(columns(&head)), &head);
            let _ = writeln!(out, "{}{line}", if index == 0 { "" } else { "    " });
        }
    }
}

fn file_diff(out: &mut String, diff: &str, style: Style) {
    for line in diff.lines() {
        let _ = writeln!(out, "  {}", diff_line(line, style));
    }
}

fn heading(plan: &Plan, style: Style) -> String {
    let scope = plan.scope.as_ref().map_or("(no scope)", |scope| scope.as_str());
    let base = plan.base.as_ref().map_or_else(String::new, |base| format!(" merged into {}", base.short()));
    let commit = plan.commit.as_ref().map_or_else(String::new, |commit| format!(" at {}{base}", commit.short()));
    let read = match plan.observed_at {
        Some(at) => format!(", AWS read {at}"),
        None => ", AWS not asked".to_owned(),
    };
    format!("{}{read}\n", style.paint(Meaning::Strong, &format!("{scope}{commit}")))
}

/// Whether there is nothing to say of a service.
pub fn is_quiet(service: &ServicePlan) -> bool {
    service.change == Change::None && service.actions.is_empty() && waiting(service).is_none()
}

/// The plan of one service. Its file's difference is left out where times are fixed: there
/// it has a place of its own.
pub fn service(plan: &Plan, service: &ServicePlan, style: Style, times: Times) -> String {
    let mut out = String::new();
    service_plan(&mut out, plan, service, style, times);
    out
}

fn service_plan(out: &mut String, plan: &Plan, service: &ServicePlan, style: Style, times: Times) {
    let versions = versions(service);
    let word = word(service.change);
    let meaning = match service.change {
        Change::None => Meaning::Aside,
        Change::Create | Change::Release | Change::Takeover => Meaning::Adds,
        Change::Update | Change::Rollback => Meaning::Changes,
        Change::Remove | Change::Blocked => Meaning::Removes,
    };
    let name = style.paint(Meaning::Strong, service.name.as_str());
    let _ = writeln!(out, "{name}  {versions}   {}", style.paint(meaning, word));
    if service.change != Change::Blocked || waiting(service).is_none() {
        part(out, style, "because", &service.because);
    }
    if let Some(keys) = review::changed_keys(plan, service) {
        part(out, style, "changes", &keys);
    }
    if let Some(already) = review::already(plan, service) {
        part(out, style, "already", already);
    }
    let reviewed = plan.review.is_some() || times == Times::Fixed;
    if let Some(strategy) = review::strategy(service).filter(|_| reviewed) {
        part(out, style, "how", &strategy);
    }
    actions(out, service, style);
    if let Some(wait) = waiting(service) {
        let said = wait_sentence(wait, plan.observed_at, times);
        part(out, style, "waits", &format!("{}: {said}", reason_word(wait.reason)));
    }
    forecast(out, service, style, times);
    if let Some(peak) = review::peak_sentence(service).filter(|_| reviewed) {
        part(out, style, "peak", &peak);
    }
    revert(out, plan, service, style, times);
    let shown = times == Times::FromNow && (style.verbose > 0 || plan.review.is_some());
    if let Some(diff) = service.file_diff.as_ref().filter(|_| shown) {
        file_diff(out, diff, style);
    }
}

fn versions(service: &ServicePlan) -> String {
    let version = |release: &crate::plan::types::Release| release.version.to_string();
    match (service.from.as_ref().map(version), service.to.as_ref().map(version)) {
        (None, None) => "–".to_owned(),
        (None, Some(to)) => to,
        (Some(from), None) => from,
        (Some(from), Some(to)) if from == to && service.from == service.to => from,
        (Some(from), Some(to)) => format!("{from} → {to}"),
    }
}

/// A labelled part of a service, wrapped.
fn part(out: &mut String, style: Style, label: &str, text: &str) {
    for (index, line) in style.wrap(text, LABEL).iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        let _ = writeln!(out, "  {}{line}", left(label, LABEL - 2));
    }
}

/// What one pass does now. Marks are our own notes: they are counted, and shown with `-v`.
fn actions(out: &mut String, service: &ServicePlan, style: Style) {
    let is_mark = |action: &&Action| matches!(action.mutation, Mutation::SetMark { .. } | Mutation::ClearMark { .. });
    let shown: Vec<&Action> = service.actions.iter().filter(|action| style.verbose > 0 || !is_mark(action)).collect();
    let marks = service.actions.len() - shown.len();
    let mut label = "now";
    for action in shown {
        let (symbol, meaning) = symbol(&action.mutation);
        let (what, target) = words(&action.mutation);
        let head = format!("{symbol} {}", left(&what, 16));
        let indent = LABEL + columns(&head) + 1;
        let said = match (target.is_empty(), speaks_for_itself(&action.mutation) && style.verbose == 0) {
            (true, _) => action.because.clone(),
            (false, true) => target,
            (false, false) => format!("{target}  ({})", action.because),
        };
        for (index, line) in style.wrap(&said, indent).iter().enumerate() {
            let start = if index == 0 {
                format!("  {}{}", left(label, LABEL - 2), style.paint(meaning, &head))
            } else {
                " ".repeat(indent - 1)
            };
            let _ = writeln!(out, "{start} {line}");
        }
        label = "";
    }
    if marks > 0 {
        let noun = if marks == 1 { "mark" } else { "marks" };
        let line = format!("  {}· {marks} {noun} written (-v shows them)", left(label, LABEL - 2));
        let _ = writeln!(out, "{}", style.paint(Meaning::Aside, &line));
    }
}

/// What a release is made of needs no reason beside it.
fn speaks_for_itself(mutation: &Mutation) -> bool {
    matches!(mutation, Mutation::CreateTemplate(_) | Mutation::CreateTargetGroup(_) | Mutation::CreateGroup { .. })
}

fn symbol(mutation: &Mutation) -> (char, Meaning) {
    match mutation {
        Mutation::CreateTemplate(_)
        | Mutation::CreateTargetGroup(_)
        | Mutation::CreateRule { .. }
        | Mutation::CreateGroup { .. } => ('+', Meaning::Adds),
        Mutation::DeleteRule { .. }
        | Mutation::DeleteGroup { .. }
        | Mutation::DeleteTargetGroup { .. }
        | Mutation::DeleteTemplate { .. } => ('-', Meaning::Removes),
        Mutation::SetTargetGroup { .. }
        | Mutation::SetRule { .. }
        | Mutation::SetWeights { .. }
        | Mutation::SetCapacity { .. }
        | Mutation::SetPolicies { .. }
        | Mutation::SetGroup { .. }
        | Mutation::SetTags { .. } => ('~', Meaning::Changes),
        Mutation::SetMark { .. } | Mutation::ClearMark { .. } => ('·', Meaning::Aside),
    }
}

/// What a change is about and what it aims at.
fn words(mutation: &Mutation) -> (String, String) {
    let name = |resource: String| resource.split_once('/').map_or(resource.clone(), |(_, name)| name.to_owned());
    let target = mutation.target();
    match mutation {
        Mutation::CreateTemplate(spec) => ("launch template".to_owned(), spec.name.to_string()),
        Mutation::DeleteTemplate { release, .. } => ("launch template".to_owned(), release.to_string()),
        Mutation::CreateTargetGroup(spec) | Mutation::SetTargetGroup { spec, .. } => {
            ("target group".to_owned(), spec.name.to_string())
        }
        Mutation::DeleteTargetGroup { release, .. } => ("target group".to_owned(), release.to_string()),
        Mutation::CreateRule { priority, .. } => ("rule".to_owned(), format!("priority {priority}, {target}")),
        Mutation::DeleteRule { rule } => ("rule".to_owned(), rule.to_string()),
        Mutation::SetRule { conditions, .. } => {
            let hosts = conditions.hosts.iter().chain(&conditions.paths).cloned();
            let more = conditions.more.iter().map(ToString::to_string);
            let all = hosts.chain(more).collect::<Vec<_>>().join(", ");
            ("rule".to_owned(), format!("{all}: {target}"))
        }
        Mutation::SetWeights { .. } => ("traffic".to_owned(), target),
        Mutation::CreateGroup { spec, .. } => {
            let noun = if spec.min == 1 { "machine" } else { "machines" };
            ("group".to_owned(), format!("{}, {} {noun}, at most {}", spec.name, spec.min, spec.max))
        }
        Mutation::SetCapacity { group, .. } => ("size".to_owned(), format!("{group}: {target}")),
        Mutation::SetPolicies { group, .. } => ("scaling".to_owned(), format!("{group}: {target}")),
        Mutation::SetGroup { group, .. } => ("group".to_owned(), format!("{group}: {target}")),
        Mutation::SetTags { on, .. } => ("tags".to_owned(), format!("{}: {target}", name(on.to_string()))),
        Mutation::DeleteGroup { group, .. } => ("group".to_owned(), group.clone()),
        Mutation::SetMark { on, .. } => ("mark".to_owned(), format!("{target} on {on}")),
        Mutation::ClearMark { on, .. } => ("mark".to_owned(), format!("no {target} on {on}")),
    }
}

/// What follows, with the time from now, and how many machines run.
fn forecast(out: &mut String, service: &ServicePlan, style: Style, times: Times) {
    let begin = begin(service, times);
    let times: Vec<String> =
        service.forecast.iter().map(|event| clock(event.after_secs.saturating_sub(begin))).collect();
    let wide = times.iter().map(|time| columns(time)).max().unwrap_or(0).max(4);
    let mut running = None;
    for (index, (event, time)) in service.forecast.iter().zip(&times).enumerate() {
        let label = if index == 0 { "then" } else { "" };
        let mut line = format!("  {}{time:>wide$}  {}", left(label, LABEL - 2), event.event);
        if running != Some(event.instances) {
            let count = format!("{} running", event.instances);
            let gap = style.width.saturating_sub(columns(&line) + columns(&count)).max(2);
            line = format!("{line}{}{}", " ".repeat(gap.min(style.width)), style.paint(Meaning::Aside, &count));
            running = Some(event.instances);
        }
        let _ = writeln!(out, "{line}");
    }
}

/// When the forecast's clock begins, in seconds from now.
fn begin(service: &ServicePlan, times: Times) -> u64 {
    match times {
        Times::FromNow => 0,
        Times::Fixed => service.forecast.first().map_or(0, |event| event.after_secs),
    }
}

/// Seconds as `M:SS` or `H:MM:SS`.
fn clock(secs: u64) -> String {
    match (secs / 3600, secs / 60 % 60, secs % 60) {
        (0, minutes, secs) => format!("{minutes}:{secs:02}"),
        (hours, minutes, secs) => format!("{hours}:{minutes:02}:{secs:02}"),
    }
}

fn revert(out: &mut String, plan: &Plan, service: &ServicePlan, style: Style, times: Times) {
    let Some(class) = service.rollback else { return };
    let until = || instant_until(plan, service, times);
    let (label, text) = match (service.change, class) {
        (Change::Rollback, RollbackClass::Instant) => ("way back", "instant: one call".to_owned()),
        (Change::Rollback, RollbackClass::ScaleUp) => ("way back", "its machines stand and grow first".to_owned()),
        (Change::Rollback, RollbackClass::Full) => ("way back", "needs new machines first".to_owned()),
        (_, RollbackClass::Instant) => ("revert", format!("instant (one call){}", until())),
        (_, RollbackClass::ScaleUp) => ("revert", "its machines stand and would grow first".to_owned()),
        (_, RollbackClass::Full) => ("revert", "would need new machines first".to_owned()),
    };
    part(out, style, label, &text);
}

/// Until when a way back is instant: on the forecast's clock where there is one.
pub fn instant_until(plan: &Plan, service: &ServicePlan, times: Times) -> String {
    match (service.rollback_until, plan.observed_at) {
        (Some(until), Some(at)) if service.forecast.iter().any(|f| f.event.starts_with("settled")) => {
            format!(", until {}", clock(until.since(at).as_secs_ceil().saturating_sub(begin(service, times))))
        }
        (Some(until), _) => format!(", until {until}"),
        (None, _) => String::new(),
    }
}

/// A wait as a sentence: what, for how long, until when.
pub fn wait_sentence(wait: &WaitingOn, at: Option<Timestamp>, times: Times) -> String {
    let mut text = wait.detail.clone();
    if let (Times::Fixed, Some(until)) = (times, wait.until) {
        let _ = write!(text, "; until {until} at most");
    }
    let at = at.filter(|_| times == Times::FromNow);
    if let (Some(since), Some(at)) = (wait.since, at)
        && at.since(since).as_millis() >= 1000
    {
        let _ = write!(text, "; for {}", at.since(since));
    }
    if let (Some(until), Some(at)) = (wait.until, at) {
        let left = until.since(at);
        if left.as_millis() >= 1000 {
            let _ = write!(text, "; at most {left} more");
        }
    }
    text
}

/// How many services have each change, in one line. Of a merge, those that it touches.
pub fn summary_line(plan: &Plan) -> String {
    let touched =
        |service: &&ServicePlan| plan.review.as_ref().is_none_or(|review| review.touched.contains_key(&service.name));
    let counts = summary(plan.services.iter().filter(touched));
    let count = |word: &str| counts.get(word).copied().unwrap_or(0);
    let plural = |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    let mut parts = Vec::new();
    for (word, many) in [
        ("create", "creates"),
        ("takeover", "takeovers"),
        ("release", "releases"),
        ("rollback", "rollbacks"),
        ("update", "updates"),
        ("remove", "removals"),
        ("blocked", "blocked"),
        ("waiting", "waiting"),
    ] {
        if count(word) > 0 {
            parts.push(plural(count(word), word, many));
        }
    }
    if !plan.complete {
        parts.push("not everything was read".to_owned());
    }
    let unchanged = count("none");
    let left = plural(review::left_alone(plan), "service is not touched", "services are not touched");
    if plan.review.is_some() && parts.is_empty() && unchanged == 0 {
        return format!(
            "This merge touches no service; there {}.",
            match plan.services.len() {
                1 => "is 1".to_owned(),
                many => format!("are {many}"),
            }
        );
    }
    if plan.review.is_none() && parts.is_empty() {
        return format!("Nothing to do: {} as the commit says.", plural(unchanged, "service is", "services are"));
    }
    if unchanged > 0 {
        parts.push(format!("{unchanged} unchanged"));
    }
    match plan.review.is_some() {
        true => format!("{}; {left}.", parts.join(", ")),
        false => format!("{}.", parts.join(", ")),
    }
}

/// The status of all services, or of one in detail.
pub fn status(plan: &Plan, only: Option<&ServiceName>, style: Style) -> String {
    let mut out = heading(plan, style);
    out.push('\n');
    let services: Vec<&ServicePlan> =
        plan.services.iter().filter(|service| only.is_none_or(|only| *only == service.name)).collect();
    let name_width = services.iter().map(|s| columns(s.name.as_str())).max().unwrap_or(0);
    let version_width = services.iter().map(|s| columns(&running(s))).max().unwrap_or(0);
    for service in services {
        let phase = service.phase.as_str();
        let name = left(service.name.as_str(), name_width);
        let versions = left(&running(service), version_width);
        let _ = writeln!(out, "{}  {versions}  {phase}", style.paint(Meaning::Strong, &name));
        if let Some(wait) = waiting(service) {
            let said =
                format!("{}: {}", reason_word(wait.reason), wait_sentence(wait, plan.observed_at, Times::FromNow));
            for line in style.wrap(&said, 4) {
                let _ = writeln!(out, "    {line}");
            }
        }
        if only.is_some() || service.phase != Phase::Steady || style.verbose > 0 {
            groups(&mut out, service, style);
        }
    }
    out
}

/// What runs, and what comes up; a release that can't begin is neither.
fn running(service: &ServicePlan) -> String {
    match &service.from {
        None if service.phase == Phase::Steady => "–".to_owned(),
        _ => versions(service),
    }
}

/// The server groups of a service, a line each.
pub fn group_lines(service: &ServicePlan, style: Style) -> String {
    let mut out = String::new();
    groups(&mut out, service, style);
    out
}

/// The running release against the file: what differs, and the difference of the file.
pub fn diff(service: &ServicePlan, style: Style) -> String {
    let mut out = format!("{}\n", diff_summary(service));
    for line in service.file_diff.iter().flat_map(|diff| diff.lines()) {
        let _ = writeln!(out, "{}", diff_line(line, style));
    }
    out
}

/// The running release against the file, in one sentence.
pub fn diff_summary(service: &ServicePlan) -> String {
    let name = &service.name;
    match (&service.from, &service.to) {
        (None, Some(to)) => format!("{name} is not running; its file wants {}", to.version),
        (Some(from), None) => format!("{name} runs {}, and has no valid file", from.version),
        (None, None) => format!("{name} is not running, and has no valid file"),
        (Some(from), Some(to)) if from == to && service.file_diff.is_none() => {
            format!("{name} runs {}, as its file says", from.version)
        }
        (Some(from), Some(to)) if from == to => {
            format!("{name} runs {}; only settings differ, which need no new machines", from.version)
        }
        (Some(from), Some(to)) if service.file_diff.is_none() => format!(
            "{name} runs {}, its file wants {}; the text of the file is the same, so the \
             difference is in ionroller.toml or files/",
            from.version, to.version
        ),
        (Some(from), Some(to)) if from.version == to.version => {
            format!("{name} runs {}, its file wants another release of it", from.version)
        }
        (Some(from), Some(to)) => format!("{name} runs {}, its file wants {}", from.version, to.version),
    }
}

fn diff_line(line: &str, style: Style) -> String {
    let meaning = match line.as_bytes().first() {
        _ if line.starts_with("+++") || line.starts_with("---") => Meaning::Strong,
        Some(b'+') => Meaning::Adds,
        Some(b'-') => Meaning::Removes,
        Some(b'@') => Meaning::Aside,
        _ => return line.to_owned(),
    };
    style.paint(meaning, line)
}

fn groups(out: &mut String, service: &ServicePlan, style: Style) {
    for group in &service.groups {
        let weight = group.weight.map_or_else(|| "–".to_owned(), |weight| format!("{weight} %"));
        let role = format!("{:?}", group.role).to_lowercase();
        let _ = writeln!(
            out,
            "    {}  {}  {weight:>5}  {} of {} healthy  {}",
            left(&role, 9),
            left(group.version.as_str(), 10),
            group.healthy,
            group.desired_capacity,
            style.paint(Meaning::Aside, group.name.as_str()),
        );
        if style.verbose > 0 {
            for (mark, value) in &group.marks {
                let _ = writeln!(out, "{}{mark} {value}", " ".repeat(15));
            }
        }
    }
}

/// Problems, each with its place and what to do.
pub fn diagnostics(all: &[Diagnostic], style: Style) -> String {
    let mut out = String::new();
    for problem in all {
        let (word, meaning) = match problem.severity {
            Severity::Error => ("error", Meaning::Error),
            Severity::Warning => ("warning", Meaning::Warning),
            Severity::Note => ("note", Meaning::Aside),
        };
        let mut place = place(problem);
        if !place.is_empty() {
            place.push_str(": ");
        }
        let head = format!("{word}: {place}");
        let painted = format!("{}: {place}", style.paint(meaning, word));
        let lines = style.wrap(&format!("{}{}", "\u{1}".repeat(columns(&head)), problem.message), 0);
        for (index, line) in lines.iter().enumerate() {
            match index {
                0 => out.push_str(&line.replacen(&"\u{1}".repeat(columns(&head)), &painted, 1)),
                _ => out.push_str(&format!("  {line}")),
            }
            out.push('\n');
        }
        if let Some(help) = &problem.help {
            for (index, line) in style.wrap(help, 8).iter().enumerate() {
                let start = if index == 0 { "  help: " } else { "        " };
                let _ = writeln!(out, "{start}{line}");
            }
        }
    }
    out
}

/// `FILE:LINE:COLUMN` of a problem, as far as it has one.
pub fn place(problem: &Diagnostic) -> String {
    let mut place = problem.file.clone().unwrap_or_default();
    for number in [problem.line, problem.column].into_iter().flatten() {
        let _ = write!(place, ":{number}");
    }
    place
}

/// A change that was made, on one line. Most marks are our own notes, and shown with `-v`
/// only: none then.
pub fn progress_action(service: &ServiceName, action: &Action, style: Style) -> Option<String> {
    let (symbol, meaning) = symbol(&action.mutation);
    let (what, target) = words(&action.mutation);
    let (symbol, meaning, said) = match &action.mutation {
        Mutation::SetMark { mark: Mark::Stable, .. } if style.verbose == 0 => {
            ('✓', Meaning::Adds, "settled".to_owned())
        }
        Mutation::SetMark { mark: mark @ (Mark::Rejected | Mark::Hold | Mark::Retry), .. } if style.verbose == 0 => {
            ('!', Meaning::Warning, format!("{}: {}", mark.word(), action.because))
        }
        Mutation::SetMark { .. } | Mutation::ClearMark { .. } if style.verbose == 0 => return None,
        _ if target.is_empty() => (symbol, meaning, what),
        _ => (symbol, meaning, format!("{what} {target}")),
    };
    Some(format!("{service}  {} {said}", style.paint(meaning, &symbol.to_string())))
}

/// A wait that has begun, on one line.
pub fn progress_wait(service: &ServiceName, wait: &WaitingOn, at: Timestamp, style: Style) -> String {
    format!(
        "{service}  {}",
        style.paint(Meaning::Aside, &format!("… {}", wait_sentence(wait, Some(at), Times::FromNow)))
    )
}

/// A change as people say it.
pub fn word(change: Change) -> &'static str {
    match change {
        Change::None => "no change",
        Change::Create => "create",
        Change::Takeover => "takeover",
        Change::Release => "release",
        Change::Rollback => "rollback",
        Change::Update => "update",
        Change::Remove => "remove",
        Change::Blocked => "blocked",
    }
}

/// A reason as the JSON has it, by which the documentation explains it.
fn reason_word(reason: Reason) -> &'static str {
    match reason {
        Reason::Capacity => "capacity",
        Reason::Health => "health",
        Reason::Bake => "bake",
        Reason::Warm => "warm",
        Reason::Drain => "drain",
        Reason::Freeze => "freeze",
        Reason::Hold => "hold",
        Reason::Paused => "paused",
        Reason::Approval => "approval",
        Reason::Gate => "gate",
        Reason::Dependency => "dependency",
        Reason::Slot => "slot",
        Reason::Limit => "limit",
        Reason::Preflight => "preflight",
        Reason::Retry => "retry",
        Reason::Unknown => "unknown",
        Reason::Fence => "fence",
        Reason::Rejected => "rejected",
        Reason::Invalid => "invalid",
        Reason::Error => "error",
        Reason::Down => "down",
    }
}
