//! The load balancer as a real HTTP proxy on loopback: it has the rules, weights and
//! targets of the simulated AWS, and treats them as an Application Load Balancer does.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, Request, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cloud::sim::world::World;
use crate::observed::resources::{Conditions, RuleAction, TargetHealth};

use super::Client;

/// Headers about one connection: they are not passed on.
/// Source: RFC 9110, 7.6.1.
const HOP_BY_HOP: [HeaderName; 4] = [header::CONNECTION, header::TE, header::TRANSFER_ENCODING, header::UPGRADE];

/// A proxy and where it sends requests.
pub struct Balancer {
    routes: Mutex<Routes>,
    client: Client,
}

/// What applies now, and whose turn it is.
#[derive(Debug, Default)]
struct Routes {
    table: Table,
    turns: BTreeMap<usize, Turns>,
}

/// Rules by priority; the default action is the last one and has no conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table(Vec<(Conditions, Vec<Backend>)>);

/// A target group in an action.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Backend {
    weight: u32,
    targets: Vec<SocketAddr>,
}

/// Whose turn it is among the backends of one action.
#[derive(Debug, Clone, Default)]
struct Turns {
    /// What each backend has in store: its weight a request, less the total when chosen.
    credit: Vec<i64>,
    requests: usize,
}

impl Balancer {
    /// A proxy that knows no rules yet.
    pub fn new(client: Client) -> Self {
        Self { routes: Mutex::default(), client }
    }

    /// Answers on a socket until it is stopped; what is in flight then is ended.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let routes = Router::new().fallback(forward).with_state(self);
        axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
    }

    /// Takes over the rules, weights and targets of a world.
    pub fn route(&self, world: &World, addresses: &BTreeMap<String, SocketAddr>) {
        self.set(Table::of(world, addresses));
    }

    fn set(&self, table: Table) {
        let mut routes = self.routes();
        if routes.table != table {
            *routes = Routes { table, turns: BTreeMap::new() };
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        // Nothing is ever half written in there.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn of(world: &World, addresses: &BTreeMap<String, SocketAddr>) -> Self {
        let backend = |(arn, weight): &(_, u32)| Backend { weight: *weight, targets: targets(world, arn, addresses) };
        let backends = |action: &RuleAction| action.weights().unwrap_or_default().iter().map(backend).collect();
        let mut rules: Vec<_> = world.rules.values().collect();
        rules.sort_by_key(|rule| rule.priority);
        let rules = rules.into_iter().map(|rule| (rule.conditions.clone(), backends(&rule.action)));
        let defaults = world.listeners.values().map(|last| (Conditions::default(), backends(&last.default_action)));
        Self(rules.chain(defaults).collect())
    }
}

/// The targets that get requests: the healthy ones, or all when none is.
/// Source: the documentation of target group health (fail open).
fn targets(
    world: &World,
    arn: &crate::names::TargetGroupArn,
    addresses: &BTreeMap<String, SocketAddr>,
) -> Vec<SocketAddr> {
    let Some(group) = world.target_groups.get(arn) else { return Vec::new() };
    let with = |wanted: &dyn Fn(TargetHealth) -> bool| -> Vec<SocketAddr> {
        let chosen = group.targets.iter().filter(|(_, target)| wanted(target.health));
        chosen.filter_map(|(id, _)| addresses.get(id).copied()).collect()
    };
    let healthy = with(&|health| health == TargetHealth::Healthy);
    match healthy.is_empty() {
        true => with(&|health| !matches!(health, TargetHealth::Draining | TargetHealth::Unused)),
        false => healthy,
    }
}

impl Routes {
    /// Who gets the next request; none when the rule that applies has nobody.
    fn next(&mut self, host: &str, path: &str) -> Option<SocketAddr> {
        let (index, (_, backends)) =
            self.table.0.iter().enumerate().find(|(_, (conditions, _))| applies(conditions, host, path))?;
        self.turns.entry(index).or_default().next(backends)
    }
}

impl Turns {
    /// Weighted turns that are spread evenly: after as many requests as the weights sum to,
    /// each backend has had exactly its weight.
    fn next(&mut self, backends: &[Backend]) -> Option<SocketAddr> {
        self.credit.resize(backends.len(), 0);
        let total: i64 = backends.iter().map(|backend| i64::from(backend.weight)).sum();
        for (credit, backend) in self.credit.iter_mut().zip(backends) {
            *credit += i64::from(backend.weight);
        }
        let weighted = (0..backends.len()).filter(|index| backends[*index].weight > 0);
        let chosen = weighted.max_by_key(|index| (self.credit[*index], std::cmp::Reverse(*index)))?;
        self.credit[chosen] -= total;
        self.requests = self.requests.wrapping_add(1);
        let targets = &backends[chosen].targets;
        targets.get(self.requests % targets.len().max(1)).copied()
    }
}

fn applies(conditions: &Conditions, host: &str, path: &str) -> bool {
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    let any = |patterns: &[String], text: &str| {
        patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern.as_bytes(), text.as_bytes()))
    };
    conditions.more.is_empty() && any(&conditions.hosts, &host) && any(&conditions.paths, path)
}

/// Patterns of rules: `*` is any text, `?` any character.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if matches(rest, text) => true,
        (Some((b'*', _)), Some((_, text))) => matches(pattern, text),
        (Some((expected, pattern)), Some((found, text))) => {
            (*expected == b'?' || expected == found) && matches(pattern, text)
        }
        _ => false,
    }
}

async fn forward(State(balancer): State<Arc<Balancer>>, mut request: Request<Body>) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let target = balancer.routes().next(&host, request.uri().path());
    let Some(target) = target else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no target for this request\n").into_response();
    };
    let Ok(uri) = format!("http://{target}{path}").parse::<Uri>() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    HOP_BY_HOP.iter().for_each(|name| _ = request.headers_mut().remove(name));
    match balancer.client.send(request).await {
        Ok(mut answer) => {
            HOP_BY_HOP.iter().for_each(|name| _ = answer.headers_mut().remove(name));
            answer
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
