//! Serving HTTP/1.1 and HTTP/2 on connections that were accepted.
//!
//! Owns limits on silent peers and ending in order. What is answered is given to it: any hyper
//! service, such as an axum router in `hyper_util::service::TowerToHyperService`.
//! Source: licensing.md §4.1 (LIC-303, LIC-309).

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::tls::{Accepted, Peer, TlsListener};

/// What a peer may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Time for the head of a request in HTTP/1.1; in HTTP/2 a peer that answers no ping for as long
    /// is left.
    pub header: Duration,
    /// Connections at a time; more wait.
    pub connections: usize,
    /// Time that open requests have to end after the program is asked to.
    pub ending: Duration,
}

impl Default for Limits {
    /// 10 s for a head (LIC-309), 256 connections, 5 s to end.
    fn default() -> Self {
        Self { header: Duration::from_secs(10), connections: 256, ending: Duration::from_secs(5) }
    }
}

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Serves each connection of `listener` with what `service` makes for its peer, until `stop`
/// resolves; then open requests have [`Limits::ending`] to end.
pub async fn serve<S, B>(
    mut listener: TlsListener,
    limits: Limits,
    service: impl Fn(&Peer) -> S,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let (ending, ended) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await?))
        };
        let (place, Accepted { stream, peer }) = tokio::select! {
            next = next => match next {
                Some(next) => next,
                None => break,
            },
            () = &mut stop => break,
        };
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Version::Http2,
            _ => Version::Http1,
        };
        let service = service(&peer);
        let mut ended = ended.clone();
        tokio::spawn(async move {
            let ended = async move { drop(ended.wait_for(|ended| *ended).await) };
            if let Err(error) = connection(stream, version, limits, service, ended).await {
                tracing::debug!(address = %peer.address, %error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = ending.send(true);
    // All places are free when all connections have ended.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = timeout(limits.ending, places.acquire_many(all)).await;
}

/// Serves one connection until it ends; after `stop` resolves, until open requests are answered.
///
/// # Errors
///
/// What the peer did wrong, or how it broke off.
pub async fn connection<I, S, B>(
    stream: I,
    version: Version,
    limits: Limits,
    service: S,
    stop: impl Future<Output = ()>,
) -> Result<(), hyper::Error>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let io = TokioIo::new(stream);
    match version {
        Version::Http1 => {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.header)
                .serve_connection(io, service);
            let mut served = pin!(served);
            tokio::select! {
                ended = served.as_mut() => return ended,
                () = stop => {}
            }
            served.as_mut().graceful_shutdown();
            served.await
        }
        Version::Http2 => {
            let served = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(limits.header)
                .keep_alive_timeout(limits.header)
                .serve_connection(io, service);
            let mut served = pin!(served);
            tokio::select! {
                ended = served.as_mut() => return ended,
                () = stop => {}
            }
            served.as_mut().graceful_shutdown();
            served.await
        }
    }
}
