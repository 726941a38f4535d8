//! Plan and status as JSON. Every field is always present, null if none; no field is ever
//! lost within a `format_version`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::desired::diagnostic::Diagnostic;
use crate::desired::spec::Freeze;
use crate::names::{CommitId, Digest, Scope, ServiceName};
use crate::plan::action::{Action, Kind};
use crate::plan::strategy::{self, Peak, Strategy};
use crate::plan::types::{
    Change, Drift, Forecast, GroupView, Phase, Plan, Reason, Release, RollbackClass, ServicePlan, WaitingOn,
};
use crate::time::Timestamp;

/// The form of plan and status.
pub const FORMAT_VERSION: &str = "1";

#[derive(Serialize)]
struct PlanJson<'a> {
    format_version: &'static str,
    id: &'a str,
    scope: &'a Option<Scope>,
    commit: &'a Option<CommitId>,
    base: &'a Option<CommitId>,
    observed_at: Option<Timestamp>,
    complete: bool,
    summary: BTreeMap<&'static str, usize>,
    services: Vec<ServiceJson<'a>>,
    diagnostics: &'a [Diagnostic],
    freezes: Option<Vec<FreezeJson<'a>>>,
    scope_diff: Option<&'a str>,
}

#[derive(Serialize)]
struct FreezeJson<'a> {
    name: &'a str,
    from: Timestamp,
    until: Timestamp,
    services: &'a [ServiceName],
}

#[derive(Serialize)]
struct ServiceJson<'a> {
    name: &'a ServiceName,
    change: Change,
    phase: Phase,
    from: &'a Option<Release>,
    to: &'a Option<Release>,
    because: &'a str,
    rollback: Option<RollbackClass>,
    rollback_until: Option<Timestamp>,
    actions: Vec<ActionJson<'a>>,
    waiting_on: Option<&'a WaitingOn>,
    forecast: &'a [Forecast],
    file_diff: &'a Option<String>,
    touched: Option<bool>,
    changed_keys: Option<&'a [String]>,
    already: Option<&'a str>,
    strategy: &'a Option<Strategy>,
    peak: Option<Peak>,
    settled_after_secs: Option<u64>,
    drift: &'a [Drift],
}

#[derive(Serialize)]
struct ActionJson<'a> {
    kind: Kind,
    resource: String,
    because: &'a str,
    expects: &'a [String],
}

#[derive(Serialize)]
struct StatusJson<'a> {
    format_version: &'static str,
    scope: &'a Option<Scope>,
    commit: &'a Option<CommitId>,
    observed_at: Option<Timestamp>,
    services: Vec<ServiceStatus<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnostics: Option<&'a [Diagnostic]>,
}

#[derive(Serialize)]
struct ServiceStatus<'a> {
    name: &'a ServiceName,
    desired: Option<CommittedRelease<'a>>,
    live: Option<CommittedRelease<'a>>,
    phase: Phase,
    groups: &'a [GroupView],
    waiting_on: Option<&'a WaitingOn>,
    held: Option<Held<'a>>,
    rejected: Option<RejectedJson<'a>>,
    drift: &'a [Drift],
}

#[derive(Serialize)]
struct CommittedRelease<'a> {
    #[serde(flatten)]
    release: &'a Release,
    commit: Option<&'a str>,
}

#[derive(Serialize)]
struct Held<'a> {
    since: Timestamp,
    who: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct RejectedJson<'a> {
    since: Timestamp,
    code: &'a str,
    reason: &'a str,
    digest: &'a Digest,
}

#[derive(Serialize)]
struct DiagnosticsJson<'a> {
    format_version: &'static str,
    diagnostics: &'a [Diagnostic],
}

#[derive(Serialize)]
struct DiffJson<'a> {
    format_version: &'static str,
    services: Vec<ServiceDiff<'a>>,
    diagnostics: &'a [Diagnostic],
}

#[derive(Serialize)]
struct ServiceDiff<'a> {
    name: &'a ServiceName,
    from: &'a Option<Release>,
    to: &'a Option<Release>,
    file_diff: &'a Option<String>,
}

/// The plan.
pub fn plan_json(plan: &Plan) -> String {
    text(&PlanJson {
        format_version: FORMAT_VERSION,
        id: &plan.id,
        scope: &plan.scope,
        commit: &plan.commit,
        base: &plan.base,
        observed_at: plan.observed_at,
        complete: plan.complete,
        summary: summary(&plan.services),
        services: plan.services.iter().map(|service| service_json(plan, service)).collect(),
        diagnostics: &plan.diagnostics,
        freezes: plan.review.as_ref().map(|review| review.freezes.iter().map(freeze_json).collect()),
        scope_diff: plan.review.as_ref().and_then(|review| review.scope_diff.as_deref()),
    })
}

/// The status of every service.
pub fn status_json(plan: &Plan) -> String {
    text(&status(plan, None))
}

/// What apply ends with: the final status, and what is wrong.
pub fn apply_json(plan: &Plan) -> String {
    text(&status(plan, Some(&plan.diagnostics)))
}

/// What `validate` found.
pub fn diagnostics_json(diagnostics: &[Diagnostic]) -> String {
    text(&DiagnosticsJson { format_version: FORMAT_VERSION, diagnostics })
}

/// The running release of each service of a plan against its file.
pub fn diff_json(plan: &Plan) -> String {
    let services = plan
        .services
        .iter()
        .map(|s| ServiceDiff { name: &s.name, from: &s.from, to: &s.to, file_diff: &s.file_diff })
        .collect();
    text(&DiffJson { format_version: FORMAT_VERSION, services, diagnostics: &plan.diagnostics })
}

fn status<'a>(plan: &'a Plan, diagnostics: Option<&'a [Diagnostic]>) -> StatusJson<'a> {
    let commit = plan.commit.as_ref().map(CommitId::as_str);
    StatusJson {
        format_version: FORMAT_VERSION,
        scope: &plan.scope,
        commit: &plan.commit,
        observed_at: plan.observed_at,
        services: plan.services.iter().map(|service| service_status(service, commit)).collect(),
        diagnostics,
    }
}

fn service_status<'a>(service: &'a ServicePlan, commit: Option<&'a str>) -> ServiceStatus<'a> {
    ServiceStatus {
        name: &service.name,
        desired: service.to.as_ref().map(|release| CommittedRelease { release, commit }),
        live: service.from.as_ref().map(|release| CommittedRelease { release, commit: service.live_commit.as_deref() }),
        phase: service.phase,
        groups: &service.groups,
        waiting_on: waiting(service),
        held: service.held.as_ref().map(|hold| Held { since: hold.at, who: &hold.who, reason: &hold.text }),
        rejected: service.rejected.as_ref().map(|(digest, rejected)| RejectedJson {
            since: rejected.at,
            code: &rejected.code,
            reason: &rejected.text,
            digest,
        }),
        drift: &service.drift,
    }
}

fn freeze_json(freeze: &Freeze) -> FreezeJson<'_> {
    FreezeJson { name: &freeze.name, from: freeze.from, until: freeze.until, services: &freeze.services }
}

fn service_json<'a>(plan: &'a Plan, service: &'a ServicePlan) -> ServiceJson<'a> {
    let keys = plan.review.as_ref().and_then(|review| review.touched.get(&service.name));
    ServiceJson {
        name: &service.name,
        change: service.change,
        phase: service.phase,
        from: &service.from,
        to: &service.to,
        because: &service.because,
        rollback: service.rollback,
        rollback_until: service.rollback_until,
        actions: service.actions.iter().map(action_json).collect(),
        waiting_on: waiting(service),
        forecast: &service.forecast,
        file_diff: &service.file_diff,
        touched: plan.review.as_ref().map(|_| keys.is_some()),
        changed_keys: keys.map(Vec::as_slice),
        already: super::review::already(plan, service),
        strategy: &service.strategy,
        peak: strategy::peak(service),
        settled_after_secs: strategy::settled_after(service),
        drift: &service.drift,
    }
}

fn action_json(action: &Action) -> ActionJson<'_> {
    ActionJson {
        kind: action.mutation.kind(),
        resource: action.mutation.resource(),
        because: &action.because,
        expects: &action.expects,
    }
}

/// What a service waits for. A warm group is no wait.
pub fn waiting(service: &ServicePlan) -> Option<&WaitingOn> {
    service.waiting_on.as_ref().filter(|wait| wait.reason != Reason::Warm)
}

/// How many services have each change, and how many wait.
pub fn summary<'a>(services: impl IntoIterator<Item = &'a ServicePlan>) -> BTreeMap<&'static str, usize> {
    let mut summary = BTreeMap::from([
        ("none", 0),
        ("create", 0),
        ("takeover", 0),
        ("release", 0),
        ("rollback", 0),
        ("update", 0),
        ("remove", 0),
        ("blocked", 0),
        ("waiting", 0),
    ]);
    for service in services {
        let word = match service.change {
            Change::None => "none",
            Change::Create => "create",
            Change::Takeover => "takeover",
            Change::Release => "release",
            Change::Rollback => "rollback",
            Change::Update => "update",
            Change::Remove => "remove",
            Change::Blocked => "blocked",
        };
        *summary.entry(word).or_default() += 1;
        if waiting(service).is_some() {
            *summary.entry("waiting").or_default() += 1;
        }
    }
    summary
}

/// Values of our own types always serialise: their keys are text.
pub fn text(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
