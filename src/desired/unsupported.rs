//! What the files can say and this version of ionroller doesn't do yet.
//!
//! The types hold all of it, so that supporting a feature means removing its lines here
//! and teaching the planner. It is an error rather than a warning because a service that
//! is half done looks done.

use super::diagnostic::Severity;
use super::source::{Table, Value};
use super::walk::Problem;

/// Problems of one service, its defaults merged in.
pub(super) fn service(service: &Table) -> Vec<Problem> {
    let alarms = service.table("rollout").and_then(|(rollout, _)| rollout.get("alarms"));
    let named = alarms.filter(|entry| matches!(&entry.node.value, Value::List(alarms) if !alarms.is_empty()));
    named
        .map(|entry| Problem {
            severity: Severity::Error,
            place: entry.place,
            message: "`rollout.alarms` is not supported by this version of ionroller".to_owned(),
            help: "remove it; health checks alone decide".to_owned(),
        })
        .into_iter()
        .collect()
}
