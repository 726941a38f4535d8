//! What the files can say and this version can't do yet: refused before anything is begun.

use super::reader::Problems;
use super::source::{At, Node, Value};
use super::spec::ServiceSpec;

/// Refuses what is not supported.
pub fn check(spec: &ServiceSpec, root: &Node, problems: &mut Problems) {
    let mut refuse = |at: At, what: &str| {
        problems.push(at.error(format!("{what} is not supported by this version of ionroller")));
    };
    let Some(lb) = &spec.load_balancer else {
        return refuse(root.at.clone(), "a service without [load_balancer] (a worker)");
    };
    let table = place(root, &["load_balancer"]);
    if lb.listener.is_network() {
        refuse(place(root, &["load_balancer", "listener"]), "a Network Load Balancer");
    } else if lb.rule.is_none() {
        refuse(table, "a listener's default action (a load balancer without `rule`)");
    }
    if lb.adopt {
        refuse(place(root, &["load_balancer", "adopt"]), "`adopt = true`");
    }
    if !spec.rollout.alarms.is_empty() {
        refuse(place(root, &["rollout", "alarms"]), "`rollout.alarms`");
    }
}

/// Where a key stands, as far as its path exists.
fn place(root: &Node, path: &[&str]) -> At {
    let mut node = root;
    let mut at = &root.at;
    for key in path {
        let Value::Table(table) = &node.value else { break };
        let Some((key_at, below)) = table.get(*key) else { break };
        (at, node) = (key_at, below);
    }
    at.clone()
}
