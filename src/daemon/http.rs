//! The daemon's HTTP side. Read-only: no request changes anything. A webhook only wakes.

use std::io;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

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

/// Git and AWS have been read, and the last reading of both went well.
async fn ready(State(shared): State<Shared>) -> Response {
    let trouble = shared.trouble.borrow().clone();
    let read = shared.plan.borrow().is_some();
    let said = [trouble.git.map(|said| format!("git: {said}")), trouble.cloud.map(|said| format!("cloud: {said}"))];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if !said.is_empty() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", said.join("\n"))).into_response();
    }
    if !read {
        return (StatusCode::SERVICE_UNAVAILABLE, "nothing was read yet\n").into_response();
    }
    "ready\n".into_response()
}

/// The status of every service, as the last pass found it.
async fn status(State(shared): State<Shared>) -> Response {
    let plan = shared.plan.borrow().clone();
    match plan {
        Some(plan) => ([(header::CONTENT_TYPE, "application/json")], render::json::apply_json(&plan)).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "nothing was read yet\n").into_response(),
    }
}
