//! A plan without AWS: what the files want, and nothing about what runs.

use crate::desired::spec::{Desired, ScopeConfig, ServiceFile};
use crate::names::{Digest, ServiceName};

use super::types::{Change, Phase, Plan, Reason, Release, ServicePlan, WaitingOn};

/// Plans from the files alone. It is never complete, and names no change that only AWS
/// could tell: a valid file is `none`, a broken one `blocked`.
pub fn plan(desired: &Desired, scope: &ScopeConfig) -> Plan {
    let services: Vec<ServicePlan> = desired.services.iter().map(|(name, file)| service(name, file)).collect();
    let wanted: Vec<String> = services
        .iter()
        .map(|service| format!("{} {}", service.name, service.to.as_ref().map_or("broken", |to| to.digest.as_str())))
        .collect();
    Plan {
        id: Digest::of(format!("offline {} {}", scope.scope, wanted.join(" ")).as_bytes()).to_string(),
        scope: Some(scope.scope.clone()),
        commit: desired.commit.clone(),
        base: None,
        observed_at: None,
        complete: false,
        services,
        diagnostics: desired.diagnostics.clone(),
    }
}

fn service(name: &ServiceName, file: &ServiceFile) -> ServicePlan {
    let spec = match file {
        ServiceFile::Valid(spec) => Some(spec),
        ServiceFile::Broken => None,
    };
    let invalid = WaitingOn {
        reason: Reason::Invalid,
        detail: "its file has errors; what runs goes on".to_owned(),
        since: None,
        until: None,
    };
    ServicePlan {
        name: name.clone(),
        change: if spec.is_some() { Change::None } else { Change::Blocked },
        phase: Phase::Steady,
        from: None,
        to: spec.map(|spec| Release { version: spec.version.clone(), digest: spec.digest.clone() }),
        because: "AWS was not asked".to_owned(),
        rollback: None,
        rollback_until: None,
        actions: Vec::new(),
        waiting_on: spec.is_none().then_some(invalid),
        forecast: Vec::new(),
        file_diff: None,
        groups: Vec::new(),
        records: Vec::new(),
        held: None,
        rejected: None,
        live_commit: None,
        look_again: None,
        brief_until: None,
        settled: false,
    }
}
