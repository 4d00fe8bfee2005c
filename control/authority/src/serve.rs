//! The endpoint: accepts connections, reads requests, answers.
//!
//! Owns transport, limits and the two paths. What is acknowledged is `office`'s question, or the
//! upstream's. Source: licensing.md §5.1, §5.3.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use spk_authority::request::{self, BODY_LIMIT, KEY_SET_PATH, RequestError, TELEMETRY_PATH};
use spk_jose::RsaSigningKey;
use spk_serving::http::{Limits, Version, connection};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::forward::Upstream;
use crate::identity::Identity;
use crate::office;
use crate::problem::{Problem, respond};
use crate::state::StateDir;

/// What the endpoint does with a report.
#[derive(Debug)]
pub enum Role {
    /// Acknowledges it.
    Authority {
        /// Ledger and keys.
        state: StateDir,
        /// The key that signs, if not the ledger's.
        kid: Option<String>,
        /// The wall clock.
        clock: fn() -> Timestamp,
    },
    /// Forwards it.
    Forwarder(Upstream),
}

/// Serves `listener` until `stop` resolves; open requests then have 5 s.
pub async fn serve(
    listener: TcpListener,
    identity: Option<Identity>,
    role: Role,
    stop: impl Future<Output = ()>,
) {
    let limits = Limits::default();
    let (role, identity) = (Arc::new(role), identity.map(Arc::new));
    let places = Arc::new(Semaphore::new(limits.connections));
    let (ending, ended) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, as a rule: others must end first.
                tracing::warn!(%error, "connection is not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (role, identity) = (Arc::clone(&role), identity.clone());
        let mut ended = ended.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| handle(Arc::clone(&role), request));
            let stop = async move { drop(ended.wait_for(|ended| *ended).await) };
            let outcome = match identity {
                None => connection(stream, Version::Http1, limits, service, stop).await,
                Some(identity) => {
                    let acceptor = TlsAcceptor::from(identity.config());
                    let Ok(Ok(stream)) = timeout(limits.header, acceptor.accept(stream)).await
                    else {
                        tracing::debug!("handshake failed");
                        return;
                    };
                    let version = match stream.get_ref().1.alpn_protocol() {
                        Some(b"h2") => Version::Http2,
                        Some(_) | None => Version::Http1,
                    };
                    connection(stream, version, limits, service, stop).await
                }
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = ending.send(true);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = timeout(limits.ending, places.acquire_many(all)).await;
}

async fn handle(
    role: Arc<Role>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let answered = match (head.uri.path(), &head.method) {
        (TELEMETRY_PATH, &Method::POST) => telemetry(role, head.headers, body).await,
        (KEY_SET_PATH, &Method::GET) => key_set(role).await,
        (TELEMETRY_PATH, method) => Err(not_allowed(method, "POST")),
        (KEY_SET_PATH, method) => Err(not_allowed(method, "GET")),
        (path, _) => {
            let detail = format!("{path} is not served; reports go to {TELEMETRY_PATH}");
            Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail))
        }
    };
    Ok(answered.unwrap_or_else(|problem| {
        tracing::warn!(code = problem.code, detail = %problem.detail, "request refused");
        problem.response()
    }))
}

fn not_allowed(method: &Method, allowed: &'static str) -> Problem {
    let detail = format!("{method} is not for this path");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    Problem { allow: Some(allowed), ..problem }
}

async fn telemetry(
    role: Arc<Role>,
    headers: HeaderMap,
    body: Incoming,
) -> Result<Response<Full<Bytes>>, Problem> {
    // Headers first: a wrong one is answered before the body is read.
    request::check_headers(|name| text(&headers, name))?;
    let body = read(body).await?;
    let request = request::read(|name| text(&headers, name), &body)?;
    match &*role {
        Role::Forwarder(upstream) => {
            tracing::info!(asset = %request.asset, trace = %request.trace, "report forwarded");
            upstream.telemetry(&headers, body).await
        }
        Role::Authority { state, kid, clock } => {
            let (state, kid, now) = (state.clone(), kid.clone(), clock());
            let (trace, asset) = (request.trace, request.asset);
            let answered = blocking(move || office::answer(&state, &request, kid.as_deref(), now));
            let receipt = answered.await?.inspect_err(
                |error| tracing::warn!(%asset, %trace, code = error.code(), "report refused"),
            )?;
            tracing::info!(%asset, %trace, report = %receipt.report, "report acknowledged");
            let body = json!({ "manifest": receipt.manifest }).to_string();
            Ok(respond(StatusCode::OK, request::MEDIA_TYPE, body))
        }
    }
}

async fn key_set(role: Arc<Role>) -> Result<Response<Full<Bytes>>, Problem> {
    match &*role {
        Role::Forwarder(upstream) => upstream.key_set().await,
        Role::Authority { state, .. } => {
            let state = state.clone();
            let keys = blocking(move || state.keys()).await?;
            let keys = keys.map_err(office::OfficeError::from)?;
            Ok(respond(StatusCode::OK, request::MEDIA_TYPE, RsaSigningKey::key_set(&keys)))
        }
    }
}

/// Runs `work`, which waits for the disk and signs, where waiting harms nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        let detail = "the program is ending".to_owned();
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail)
    })
}

async fn read(body: Incoming) -> Result<Bytes, Problem> {
    match timeout(BODY_TIME, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(RequestError::TooLarge.into()),
        Ok(Err(_)) => Err(RequestError::Body.into()),
        Err(_) => {
            let detail = format!("the body did not come within {} s", BODY_TIME.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_late", detail))
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Time for a body, as the CWC gives it (licensing.md §4.1).
const BODY_TIME: Duration = Duration::from_secs(30);
