//! What the files can say and this version of ionroller doesn't do yet.
//!
//! The types hold all of it, so that supporting a feature means removing its lines here
//! and teaching the planner. It is an error rather than a warning because a service that
//! is half done looks done.

use super::diagnostic::Severity;
use super::source::{Place, Table, Value};
use super::walk::Problem;

/// Problems of one service, its defaults merged in.
pub(super) fn service(service: &Table) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Some((balancer, place)) = service.table("load_balancer") else {
        return problems;
    };
    let listener = balancer.get("listener").map(|entry| &entry.node);
    let network = listener.filter(|node| matches!(&node.value, Value::Text(arn) if arn.contains(":listener/net/")));
    match network {
        Some(node) => problems.push(problem(
            node.place,
            "a listener of a Network Load Balancer",
            "name a listener of an Application Load Balancer",
        )),
        None if balancer.get("rule").is_none() => problems.push(problem(
            place,
            "[load_balancer] without `rule`, for the listener's default action,",
            "add rule = { priority = …, hosts = […] }",
        )),
        None => {}
    }
    if let Some(entry) = balancer.get("adopt")
        && matches!(entry.node.value, Value::Boolean(true))
    {
        problems.push(problem(
            entry.place,
            "`load_balancer.adopt`",
            "remove it, and give the service a rule of its own",
        ));
    }
    let alarms = service.table("rollout").and_then(|(rollout, _)| rollout.get("alarms"));
    if let Some(entry) = alarms
        && matches!(&entry.node.value, Value::List(alarms) if !alarms.is_empty())
    {
        problems.push(problem(entry.place, "`rollout.alarms`", "remove it; health checks alone decide"));
    }
    problems
}

/// Problems of `ionroller.toml`.
pub(super) fn scope(scope: &Table) -> Vec<Problem> {
    let enabled = scope.table("prune").and_then(|(prune, _)| prune.get("enabled"));
    enabled
        .filter(|entry| matches!(entry.node.value, Value::Boolean(true)))
        .map(|entry| problem(entry.place, "`prune.enabled`", "set it to false; services without a file keep running"))
        .into_iter()
        .collect()
}

fn problem(place: Place, what: &str, help: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        place,
        message: format!("{what} is not supported by this version of ionroller"),
        help: help.to_owned(),
    }
}
