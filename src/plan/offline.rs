//! A plan without AWS: what the files want, and nothing about what runs.

use std::collections::BTreeSet;

use crate::desired::diagnostic::{Diagnostic, Severity};
use crate::desired::spec::{Desired, ScopeConfig, ServiceFile, ServiceSpec};
use crate::names::{Digest, ServiceName};

use super::strategy;
use super::types::{Change, Phase, Plan, Reason, Release, ServicePlan, WaitingOn};

/// Plans from the files alone. It is never complete.
///
/// With a base each service's change is the difference to its file there, as if what the
/// base says were running; whether that goes back to a release of earlier only AWS can
/// tell. Without one a valid file is `none`. A broken file is `blocked` either way.
pub fn plan(desired: &Desired, scope: &ScopeConfig, base: Option<&Desired>) -> Plan {
    let mut names: BTreeSet<&ServiceName> = desired.services.keys().collect();
    names.extend(base.iter().flat_map(|base| base.services.keys()));
    let mut diagnostics = desired.diagnostics.clone();
    let mut services = Vec::new();
    for name in names {
        let before = base.map(|base| base.services.get(name));
        let (change, because) = match (desired.services.get(name), before) {
            (Some(ServiceFile::Broken), _) => (Change::Blocked, "its file has errors".to_owned()),
            (Some(ServiceFile::Valid(_)), None) => (Change::None, "AWS was not asked".to_owned()),
            (Some(ServiceFile::Valid(spec)), Some(before)) => difference(spec, before),
            (None, _) if scope.prune.enabled => (Change::Remove, "its file is gone".to_owned()),
            (None, _) => {
                let message = format!("{name} has no file any more: it would be orphaned and keep running");
                diagnostics.push(Diagnostic::new(Severity::Warning, message));
                (Change::None, "its file is gone, and the scope does not prune".to_owned())
            }
        };
        services.push(service(name, desired.services.get(name), before.flatten(), change, because));
    }
    let wanted: Vec<String> = services
        .iter()
        .map(|service| format!("{} {}", service.name, service.to.as_ref().map_or("broken", |to| to.digest.as_str())))
        .collect();
    Plan {
        id: Digest::of(format!("offline {} {}", scope.scope, wanted.join(" ")).as_bytes()).to_string(),
        scope: Some(scope.scope.clone()),
        commit: desired.commit.clone(),
        base: base.and_then(|base| base.commit.clone()),
        observed_at: None,
        complete: false,
        services,
        diagnostics,
        review: None,
    }
}

/// How a valid file differs from the one in the base.
fn difference(spec: &ServiceSpec, before: Option<&ServiceFile>) -> (Change, String) {
    match before {
        None => (Change::Create, "its file is new".to_owned()),
        Some(ServiceFile::Broken) => {
            (Change::Release, "its file in the base has errors, so what changes is not known".to_owned())
        }
        Some(ServiceFile::Valid(before)) if before.digest != spec.digest && before.version != spec.version => {
            (Change::Release, format!("version changed from {} to {}", before.version, spec.version))
        }
        Some(ServiceFile::Valid(before)) if before.digest != spec.digest => {
            (Change::Release, "what shapes its machines changed".to_owned())
        }
        Some(ServiceFile::Valid(before)) if **before != *spec => (Change::Update, "settings changed".to_owned()),
        Some(ServiceFile::Valid(_)) => (Change::None, "as in the base".to_owned()),
    }
}

fn release(file: Option<&ServiceFile>) -> Option<Release> {
    match file {
        Some(ServiceFile::Valid(spec)) => Some(Release { version: spec.version.clone(), digest: spec.digest.clone() }),
        _ => None,
    }
}

fn service(
    name: &ServiceName,
    file: Option<&ServiceFile>,
    before: Option<&ServiceFile>,
    change: Change,
    because: String,
) -> ServicePlan {
    let invalid = WaitingOn {
        reason: Reason::Invalid,
        detail: "its file has errors; what runs goes on".to_owned(),
        since: None,
        until: None,
    };
    let spec = match file {
        Some(ServiceFile::Valid(spec)) => Some(&**spec),
        _ => None,
    };
    ServicePlan {
        name: name.clone(),
        change,
        phase: Phase::Steady,
        from: release(before),
        to: release(file),
        because,
        rollback: None,
        rollback_until: None,
        actions: Vec::new(),
        waiting_on: (change == Change::Blocked).then_some(invalid),
        forecast: Vec::new(),
        // What is taken over from others is taken over in steps.
        strategy: strategy::of(
            change,
            spec,
            spec.and_then(|spec| spec.load_balancer.as_ref()).is_some_and(|lb| lb.adopt),
        ),
        file_diff: None,
        groups: Vec::new(),
        records: Vec::new(),
        held: None,
        rejected: None,
        live_commit: None,
        look_again: None,
        brief_until: None,
        drift: Vec::new(),
        settled: false,
    }
}
