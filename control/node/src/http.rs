//! Probes and metrics over plain HTTP on loopback.
//!
//! Owns two listeners: `/healthz` and `/readyz`, and `/metrics`. What ready means and what the
//! metrics are is given to it. Sources: operations.md §1.2 (N17, N19), §1.6 (OPS-175).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// What the pages show.
pub trait Pages: Send + Sync + 'static {
    /// Nothing when ready, else why not, in one line.
    fn not_ready(&self) -> Option<String>;
    /// Metrics in the OpenMetrics text form.
    fn metrics(&self) -> String;
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; change {field} in node.yaml or end what uses it")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Its field of `node.yaml`.
    pub field: &'static str,
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

/// The two listeners, bound.
#[derive(Debug)]
pub struct Site {
    probes: TcpListener,
    metrics: TcpListener,
}

impl Site {
    /// Binds both addresses.
    ///
    /// # Errors
    ///
    /// [`ListenError`] names the one that cannot be bound.
    pub async fn bind(probes: SocketAddr, metrics: SocketAddr) -> Result<Self, ListenError> {
        let failed = |address, field| move |source| ListenError { address, field, source };
        Ok(Self {
            probes: TcpListener::bind(probes).await.map_err(failed(probes, "probes"))?,
            metrics: TcpListener::bind(metrics).await.map_err(failed(metrics, "metrics"))?,
        })
    }

    /// Serves both until the runtime ends.
    pub fn serve(self, pages: &Arc<dyn Pages>) {
        tokio::spawn(accept(self.probes, Topic::Probes, Arc::clone(pages)));
        tokio::spawn(accept(self.metrics, Topic::Metrics, Arc::clone(pages)));
    }
}

#[derive(Clone, Copy)]
enum Topic {
    Probes,
    Metrics,
}

async fn accept(listener: TcpListener, topic: Topic, pages: Arc<dyn Pages>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                // Out of file descriptors: accepting again at once would only spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(topic, request.method(), request.uri().path(), pages.as_ref());
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "probe connection ended");
            }
        });
    }
}

fn answer(topic: Topic, method: &Method, path: &str, pages: &dyn Pages) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (topic, path) {
        (_, _) if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, String::from("GET only\n"))
        }
        (Topic::Probes, "/healthz") => (StatusCode::OK, PLAIN, String::from("ok\n")),
        (Topic::Probes, "/readyz") => match pages.not_ready() {
            None => (StatusCode::OK, PLAIN, String::from("ok\n")),
            Some(cause) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{cause}\n")),
        },
        (Topic::Metrics, "/metrics") => (StatusCode::OK, OPENMETRICS, pages.metrics()),
        (Topic::Probes | Topic::Metrics, _) => {
            (StatusCode::NOT_FOUND, PLAIN, String::from("no such page\n"))
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
