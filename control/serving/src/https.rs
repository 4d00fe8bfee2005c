//! One HTTPS request as a client: to the licensing service, by the CWC and by `spkctl`.
//!
//! Owns TLS, proxy and limits. Knows no header of anybody and tries once. Invariants: the request
//! goes to its own host only, over TLS that was verified with the system's CAs and those handed in;
//! a redirect is not followed. Source: licensing.md §5.1 (LIC-404, LIC-405).

mod mutual;

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

pub use mutual::{MutualClient, ServerNameError};

use crate::tls;

/// How far one request may go.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// PEM text of CAs to trust beside the system's; may be empty.
    pub extra_roots: &'a str,
    /// How long it may take, from the first packet to the last byte.
    pub within: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; of one that is too large the first [`Bounds::body`] + 1 bytes.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoReply {
    /// The handshake failed: the certificate is not trusted, or is for another name.
    #[error("TLS fails: {reason}")]
    Tls {
        /// What the TLS library said, with its causes.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("no answer: {reason}")]
    Broken {
        /// What went wrong, with its causes.
        reason: String,
    },
    /// [`Bounds::within`] is over.
    #[error("no answer within {} s", .within.as_secs())]
    Late {
        /// How long was waited.
        within: Duration,
    },
}

impl NoReply {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Tls { .. } => "https_tls",
            Self::Broken { .. } => "https_broken",
            Self::Late { .. } => "https_late",
        }
    }
}

/// Sends `request` once, by the proxy of `HTTPS_PROXY` and `NO_PROXY` if they name one. Its URI is
/// absolute and `https`.
///
/// # Errors
///
/// [`NoReply`]. Whatever a server answers is no error.
pub async fn send(request: Request<Full<Bytes>>, bounds: Bounds<'_>) -> Result<Reply, NoReply> {
    match timeout(bounds.within, attempt(request, bounds)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(NoReply::Late { within: bounds.within }),
    }
}

async fn attempt(request: Request<Full<Bytes>>, bounds: Bounds<'_>) -> Result<Reply, NoReply> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config(bounds.extra_roots)?)
        .https_only()
        .enable_http1();
    let mut http = HttpConnector::new();
    // The outer connector asks for https.
    http.enforce_http(false);
    let sent = match Matcher::from_env().intercept(request.uri()) {
        None => {
            let connector = connector.wrap_connector(http);
            legacy::Client::builder(TokioExecutor::new()).build(connector).request(request).await
        }
        Some(proxy) => {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), http);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            let connector = connector.wrap_connector(tunnel);
            legacy::Client::builder(TokioExecutor::new()).build(connector).request(request).await
        }
    };
    let response = sent.map_err(|error| failure(&error))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read(response, bounds.body).await?;
    Ok(Reply { status, headers, body })
}

async fn read(mut response: Response<Incoming>, limit: usize) -> Result<Bytes, NoReply> {
    let mut body = Vec::new();
    while let Some(frame) = response.frame().await {
        if let Ok(data) = frame.map_err(|error| failure(&error))?.into_data() {
            body.extend_from_slice(&data);
        }
        if body.len() > limit {
            body.truncate(limit + 1);
            break;
        }
    }
    Ok(body.into())
}

/// TLS that trusts the system's CAs and those of `extra`.
fn config(extra: &str) -> Result<ClientConfig, NoReply> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a CA of the system cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    for certificate in CertificateDer::pem_slice_iter(extra.as_bytes()) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        if added.is_none() {
            tracing::warn!("an extra CA is no CA certificate; it is passed over");
        }
    }
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| NoReply::Tls { reason: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn failure(error: &(dyn Error + 'static)) -> NoReply {
    let mut reason = error.to_string();
    let mut tls = false;
    let mut next = Some(error);
    while let Some(error) = next {
        tls |= error.is::<rustls::Error>();
        // An io::Error does not name what it wraps as its source.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
        if let Some(cause) = next.map(ToString::to_string).filter(|text| !reason.ends_with(text)) {
            reason = format!("{reason}: {cause}");
        }
    }
    if tls { NoReply::Tls { reason } } else { NoReply::Broken { reason } }
}
