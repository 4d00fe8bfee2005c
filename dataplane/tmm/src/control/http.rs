//! Plain HTTP on loopback: `/healthz` and `/readyz` on one address, `/metrics` on another.
//!
//! Ready: every packet thread lives and a configuration runs. Healthy: every packet thread lives.
//! Invariant: a listener serves at most [`CONNECTIONS`] at a time, and none longer than
//! [`CONNECTION_LIMIT`]. Sources: operations.md §1.2 (N17), §1.6 (OPS-175).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::clock;
use crate::control::collector::Latest;
use crate::control::gatekeeper::GateHandle;
use crate::control::metrics::{self, Scrape};
use crate::control::tables;
use crate::log;
use crate::shared::{Life, Shared};

/// What the pages show.
#[derive(Debug)]
pub struct Pages {
    /// The shared words.
    pub shared: Arc<Shared>,
    /// The newest copies.
    pub latest: Latest,
    /// The gate.
    pub gate: GateHandle,
}

/// What one listener serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Topic {
    /// `/healthz` and `/readyz`.
    Probes,
    /// `/metrics`.
    Metrics,
    /// All of them: `tmm.yaml` gives both the same address.
    Both,
}

/// A listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; choose another address in tmm.yaml")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}

impl ListenError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "listen"
    }
}

/// Opens a listener.
///
/// # Errors
///
/// [`ListenError`].
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// Serves the pages of `topic` until the process ends.
pub async fn serve(listener: TcpListener, topic: Topic, pages: Arc<Pages>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::library("http", &error.to_string());
                // Out of descriptors, most likely: others must be closed first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = pages.answer(topic, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_LIMIT)
                .serve_connection(TokioIo::new(stream), service);
            // A peer that breaks off or is too slow is no event.
            let _ = tokio::time::timeout(CONNECTION_LIMIT, served).await;
            drop(place);
        });
    }
}

impl Pages {
    fn answer(&self, topic: Topic, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            return page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n".to_owned());
        }
        match (topic, request.uri().path()) {
            (Topic::Probes | Topic::Both, "/healthz") => verdict(self.alive().map(|()| "ok")),
            (Topic::Probes | Topic::Both, "/readyz") => verdict(self.ready().map(|()| "ok")),
            (Topic::Metrics | Topic::Both, "/metrics") => match metrics::text(self.scrape()) {
                Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
                Err(error) => {
                    page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string())
                }
            },
            _ => page(StatusCode::NOT_FOUND, "text/plain", "not here\n".to_owned()),
        }
    }

    /// Whether every packet thread told something within 2 s.
    fn alive(&self) -> Result<(), &'static str> {
        let now = clock::boot();
        let fresh = self.latest.read(|readings| {
            readings.threads.iter().all(|sample| now.since(sample.at).0 < 2_000_000_000)
        });
        if fresh { Ok(()) } else { Err("a packet thread does not answer") }
    }

    fn ready(&self) -> Result<(), &'static str> {
        self.alive()?;
        if self.shared.life() != Life::Running {
            return Err("draining");
        }
        if self.shared.config.load().spec_generation() == 0 {
            return Err("no configuration");
        }
        Ok(())
    }

    fn scrape(&self) -> Scrape {
        let config = self.shared.config.load_full();
        Scrape {
            tables: self.latest.read(|readings| tables::all(readings, &config)),
            gate: self.gate.now(),
            latched_ignored: self.gate.latched_ignored(),
            generation: config.spec_generation(),
        }
    }
}

fn verdict(verdict: Result<&'static str, &'static str>) -> Response<Full<Bytes>> {
    match verdict {
        Ok(text) => page(StatusCode::OK, "text/plain", format!("{text}\n")),
        Err(text) => page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{text}\n")),
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    response
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections that one listener serves at a time.
const CONNECTIONS: usize = 64;
/// How long a peer may take for the head of a request.
const HEADER_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may last.
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);
