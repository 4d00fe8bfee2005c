//! Plain HTTP on loopback: `/healthz`, `/readyz` and `/metrics`.
//!
//! Ready: every packet thread lives and a configuration runs. Healthy: every packet thread lives.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

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

/// Serves the pages until the process ends.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::library("http", &error.to_string());
                // Out of descriptors, most likely: others must be closed first.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = pages.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            // A peer that breaks off is no event.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Pages {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            return page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n".to_owned());
        }
        match request.uri().path() {
            "/healthz" => verdict(self.alive().map(|()| "ok")),
            "/readyz" => verdict(self.ready().map(|()| "ok")),
            "/metrics" => match metrics::text(self.scrape()) {
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
            gate: self.gate.follow().borrow().clone(),
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
