//! A small HTTP client for the demo's own servers.

use axum::body::Body;
use axum::http::{Request, Uri};
use axum::response::Response;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Plain HTTP/1.1 with connections that are kept.
#[derive(Debug, Clone)]
pub struct Client(legacy::Client<HttpConnector, Body>);

/// A request got no answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
pub struct ClientError(#[from] legacy::Error);

impl Client {
    /// A client with connections of its own. It never repeats a request by itself: one
    /// that gets lost is an error to whoever asked.
    pub fn new() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http())
    }

    /// Asks for a page.
    ///
    /// # Errors
    /// There was no answer; one with an error status is an answer.
    pub async fn get(&self, uri: Uri) -> Result<Response, ClientError> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        self.send(request).await
    }

    /// Sends a request to where its URI says.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn send(&self, request: Request<Body>) -> Result<Response, ClientError> {
        Ok(self.0.request(request).await?.map(Body::new))
    }
}
