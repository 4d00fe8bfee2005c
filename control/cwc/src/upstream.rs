//! Posting a report to the licensing service.
//!
//! Owns one attempt: TLS, proxy, headers, time limit. What an answer means and when to try again is
//! `spk_license`'s. Invariants: the JWT goes to the configured host only, over verified TLS; a
//! redirect is not followed. Source: licensing.md §5.1 (LIC-400, LIC-404, LIC-405).

use std::error::Error;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use spk_license::Upload;
use spk_license::upstream::{Answer, BODY_LIMIT, Failure, TIMEOUT, manifest};
use tokio::time::timeout;

use crate::config::ShellSettings;

/// Why an attempt brought no answer.
enum NoAnswer {
    Unreachable,
    Tls,
}

/// What came back.
struct Response {
    status: u16,
    retry_after: Option<String>,
    body: Bytes,
}

/// Posts `upload` once and takes the manifest out of the answer.
///
/// # Errors
///
/// [`Failure`] with the class of the outcome.
pub async fn post(upload: &Upload, settings: &ShellSettings) -> Result<String, Failure> {
    let wall = u64::try_from(spk_serving::clock::wall().as_second()).unwrap_or(0);
    match timeout(TIMEOUT, attempt(upload, settings)).await {
        Ok(Ok(response)) => {
            let answer = Answer::Response {
                status: response.status,
                retry_after: response.retry_after.as_deref(),
                body: &response.body,
            };
            manifest(answer, wall)
        }
        Ok(Err(NoAnswer::Tls)) => manifest(Answer::Tls, wall),
        Ok(Err(NoAnswer::Unreachable)) | Err(_) => manifest(Answer::Unreachable, wall),
    }
}

async fn attempt(upload: &Upload, settings: &ShellSettings) -> Result<Response, NoAnswer> {
    let uri = &settings.upstream_url;
    let request = request(upload, uri).ok_or_else(|| {
        tracing::error!(trace = %upload.trace, "the report does not fit into a request");
        NoAnswer::Unreachable
    })?;
    let tls = tls(&settings.upstream_ca).ok_or(NoAnswer::Tls)?;
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
    let mut http = HttpConnector::new();
    // The outer connector asks for https.
    http.enforce_http(false);
    let sent = match Matcher::from_env().intercept(uri) {
        None => {
            Client::builder(TokioExecutor::new())
                .build(connector.wrap_connector(http))
                .request(request)
                .await
        }
        Some(proxy) => {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), http);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            Client::builder(TokioExecutor::new())
                .build(connector.wrap_connector(tunnel))
                .request(request)
                .await
        }
    };
    let failed = |error: &(dyn Error + 'static)| {
        tracing::warn!(trace = %upload.trace, error = %chain(error), "cannot post the report");
        if is_tls(error) { NoAnswer::Tls } else { NoAnswer::Unreachable }
    };
    let response = sent.map_err(|error| failed(&error))?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
    // One byte more than is taken tells a body that is too large.
    let body = match Limited::new(response.into_body(), BODY_LIMIT + 1).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Bytes::from(vec![b' '; BODY_LIMIT + 1])
        }
        Err(error) => return Err(failed(error.as_ref())),
    };
    tracing::info!(trace = %upload.trace, report = %upload.report, status, "posted the report");
    Ok(Response { status, retry_after, body })
}

/// The five headers and the body of the seed.
fn request(upload: &Upload, uri: &Uri) -> Option<Request<Full<Bytes>>> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", upload.jwt.trim())).ok()?;
    bearer.set_sensitive(true);
    let body = serde_json::json!({ "report": upload.text }).to_string();
    Request::post(uri)
        .header("F5-DigitalAssetId", upload.digital_asset_id.to_string())
        .header(USER_AGENT, "SPK")
        .header("F5-TraceId", upload.trace.to_string())
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, bearer)
        .body(Full::new(Bytes::from(body)))
        .ok()
}

/// TLS that trusts the system's CAs and those of `extra`.
fn tls(extra: &str) -> Option<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a CA of the system cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    for certificate in CertificateDer::pem_slice_iter(extra.as_bytes()) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        if added.is_none() {
            tracing::warn!("upstreamCa holds what is no CA certificate; it is passed over");
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::clone(&spk_serving::tls::provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(config)
}

/// Whether rustls refused, somewhere down the chain of causes.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An io::Error does not name what it wraps as its source.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
