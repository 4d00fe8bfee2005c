//! The pages that machines ask for: `/healthz`, `/readyz` and `/metrics`.
//!
//! Owns the pages; what ready means and what the metrics are is given to it. Probes are plain HTTP
//! (N17); `/metrics` is served behind mutual TLS (N19), or plainly on loopback.
//! Invariant: a listener serves at most [`CONNECTIONS`] connections at a time, and a plain one none
//! longer than [`PLAIN_LIMIT`]. Sources: operations.md §1.2 (N17, N19), §1.6 (OPS-175).

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::http::{self, Limits, Version};
use crate::tls::TlsListener;

/// What the pages show.
pub trait Pages: Send + Sync + 'static {
    /// Nothing when the program works, else what does not, in one line.
    fn not_healthy(&self) -> Option<String> {
        None
    }
    /// Nothing when ready, else why not, in one line.
    fn not_ready(&self) -> Option<String>;
    /// Metrics in the OpenMetrics text form; see [`metrics_text`].
    fn metrics(&self) -> String;
}

/// What one listener serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Topic {
    /// `/healthz` and `/readyz`.
    Probes,
    /// `/metrics`.
    Metrics,
    /// All of them.
    Both,
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: {source}; end what uses it, or choose another")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What for, such as `probes`: the name of its setting.
    pub purpose: &'static str,
    /// The system's error.
    pub source: std::io::Error,
}

impl ListenError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "listen"
    }
}

/// Listens on `address` for `purpose`, the name of its setting.
///
/// # Errors
///
/// [`ListenError`].
pub async fn listen(
    address: SocketAddr,
    purpose: &'static str,
) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, purpose, source })
}

/// Serves the pages of `topic` over plain HTTP/1.1 until the task is ended.
pub async fn serve(listener: TcpListener, topic: Topic, pages: Arc<dyn Pages>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                // Out of descriptors, most likely: others must be closed first.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = answers(topic, Arc::clone(&pages));
        tokio::spawn(async move {
            let served = http::connection(stream, Version::Http1, limits(), service, pending());
            // A peer that breaks off or is too slow is no event.
            let _ = timeout(PLAIN_LIMIT, served).await;
            drop(place);
        });
    }
}

/// Serves `/metrics` behind mutual TLS until the task is ended (N19).
pub async fn serve_metrics(listener: TlsListener, pages: Arc<dyn Pages>) {
    let service = |_: &_| answers(Topic::Metrics, Arc::clone(&pages));
    http::serve(listener, limits(), service, pending()).await;
}

/// The text of a `/metrics` page.
#[must_use]
pub fn metrics_text(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = encode(&mut text, registry);
    text
}

/// An answer.
type Page = Response<Full<Bytes>>;

fn limits() -> Limits {
    Limits { header: HEADER_LIMIT, connections: CONNECTIONS, ending: Duration::ZERO }
}

fn answers(
    topic: Topic,
    pages: Arc<dyn Pages>,
) -> impl Service<
    Request<Incoming>,
    Response = Page,
    Error = Infallible,
    Future = Ready<Result<Page, Infallible>>,
> + Send {
    service_fn(move |request: Request<Incoming>| {
        ready(Ok(answer(topic, request.method(), request.uri().path(), pages.as_ref())))
    })
}

fn answer(topic: Topic, method: &Method, path: &str, pages: &dyn Pages) -> Page {
    if method != Method::GET && method != Method::HEAD {
        return page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, String::from("GET only\n"));
    }
    match (topic, path) {
        (Topic::Probes | Topic::Both, "/healthz") => verdict(pages.not_healthy()),
        (Topic::Probes | Topic::Both, "/readyz") => {
            verdict(pages.not_healthy().or_else(|| pages.not_ready()))
        }
        (Topic::Metrics | Topic::Both, "/metrics") => {
            page(StatusCode::OK, OPENMETRICS, pages.metrics())
        }
        (Topic::Probes | Topic::Metrics | Topic::Both, _) => {
            page(StatusCode::NOT_FOUND, PLAIN, String::from("no such page\n"))
        }
    }
}

fn verdict(problem: Option<String>) -> Page {
    match problem {
        None => page(StatusCode::OK, PLAIN, String::from("ok\n")),
        Some(cause) => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{cause}\n")),
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Page {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections that one listener serves at a time.
pub const CONNECTIONS: usize = 64;
/// How long a peer may take for the head of a request.
const HEADER_LIMIT: Duration = Duration::from_secs(5);
/// How long a plain connection may last.
pub const PLAIN_LIMIT: Duration = Duration::from_secs(30);
