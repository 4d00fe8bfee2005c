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

/// Serves both addresses until the runtime ends.
///
/// # Errors
///
/// [`ListenError`] if one cannot be bound.
pub async fn serve(
    probes: SocketAddr,
    metrics: SocketAddr,
    pages: Arc<dyn Pages>,
) -> Result<(), ListenError> {
    for (address, field, site) in
        [(probes, "probes", Site::Probes), (metrics, "metrics", Site::Metrics)]
    {
        let listener = TcpListener::bind(address).await.map_err(|source| ListenError {
            address,
            field,
            source,
        })?;
        tokio::spawn(accept(listener, site, Arc::clone(&pages)));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Site {
    Probes,
    Metrics,
}

async fn accept(listener: TcpListener, site: Site, pages: Arc<dyn Pages>) {
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
                let answer = answer(site, request.method(), request.uri().path(), pages.as_ref());
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

fn answer(site: Site, method: &Method, path: &str, pages: &dyn Pages) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (site, path) {
        (_, _) if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, String::from("GET only\n"))
        }
        (Site::Probes, "/healthz") => (StatusCode::OK, PLAIN, String::from("ok\n")),
        (Site::Probes, "/readyz") => match pages.not_ready() {
            None => (StatusCode::OK, PLAIN, String::from("ok\n")),
            Some(cause) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{cause}\n")),
        },
        (Site::Metrics, "/metrics") => (StatusCode::OK, OPENMETRICS, pages.metrics()),
        (Site::Probes | Site::Metrics, _) => {
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
