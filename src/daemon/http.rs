//! The daemon's HTTP side. Read-only: no request changes anything. A webhook only wakes.

use std::io;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::plan::outcome;
use crate::plan::types::Plan;
use crate::render;

use super::{Shared, hooks};

/// Answers until the daemon stops.
pub(super) async fn serve(listener: TcpListener, shared: Shared) -> io::Result<()> {
    let stop = shared.stop.clone();
    let routes = Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .route("/hooks/{sender}", post(hooks::ring))
        .with_state(shared);
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// The process lives.
async fn health() -> &'static str {
    "ok\n"
}

/// Git and AWS have been read, the last reading of both went well, and neither is long ago.
/// With `?strict` also: no service waits for somebody.
async fn ready(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let trouble = shared.trouble.borrow().clone();
    let plan = shared.plan.borrow().clone();
    let poll = shared.followed.borrow().settings.poll_interval;
    let reads = shared.last_read.report(poll, super::work::IDLE);
    let said = [trouble.git.map(|said| format!("git: {said}")), trouble.cloud.map(|said| format!("cloud: {said}"))];
    let mut said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() && plan.is_none() {
        said.push("nothing was read yet".to_owned());
    }
    let asks = |word: &str| query.as_deref().is_some_and(|query| query.split('&').any(|part| part == word));
    if asks("strict") || asks("strict=true") {
        said.extend(plan.iter().flat_map(|plan| needy(plan)));
    }
    let is_ready = said.is_empty() && reads.iter().all(|(_, late)| !late);
    if is_ready {
        said.push("ready".to_owned());
    }
    said.extend(reads.into_iter().map(|(line, _)| line));
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", said.join("\n"))).into_response()
}

/// A line for each service that is not well by itself.
fn needy(plan: &Plan) -> Vec<String> {
    let needy = plan.services.iter().filter(|service| !outcome::is_well(service));
    let said = needy.map(|service| match &service.waiting_on {
        Some(wait) => format!("{}: {}: {}", service.name, service.phase.as_str(), wait.detail),
        None => format!("{}: {}", service.name, service.phase.as_str()),
    });
    said.collect()
}

/// The status of every service, as the last pass found it.
async fn status(State(shared): State<Shared>) -> Response {
    let plan = shared.plan.borrow().clone();
    match plan {
        Some(plan) => ([(header::CONTENT_TYPE, "application/json")], render::json::apply_json(&plan)).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "nothing was read yet\n").into_response(),
    }
}
