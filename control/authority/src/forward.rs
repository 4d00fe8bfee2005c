//! The licence manager in between: forwards each report as it is (licensing.md §5.3, LIC-425).
//!
//! Owns where requests go and which headers travel. Holds no key and acknowledges nothing: the answer
//! is the authority's own. Invariant: a licence goes over verified TLS to the configured host only;
//! a redirect is not followed.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::http::uri::Scheme;
use hyper::{Method, Request, Response, StatusCode, Uri};
use spk_authority::request::{KEY_SET_PATH, TELEMETRY_PATH};
use spk_serving::https::{self, Bounds, NoReply};

use crate::problem::{Problem, respond};

/// The way to one upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    telemetry: Uri,
    key_set: Uri,
    /// PEM file of CAs to trust beside the system's; read for each request.
    extra_roots: Option<PathBuf>,
}

/// The address of an upstream is no `https` URL with a host.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{url:?} is no URL such as https://authority.example{TELEMETRY_PATH}")]
pub struct UpstreamError {
    /// The text.
    pub url: String,
}

impl Upstream {
    /// The upstream whose telemetry endpoint is `url`; its key set lies beside it.
    pub fn new(url: &str, extra_roots: Option<PathBuf>) -> Result<Self, UpstreamError> {
        let refused = || UpstreamError { url: url.to_owned() };
        let telemetry: Uri = url.parse().map_err(|_| refused())?;
        if telemetry.scheme() != Some(&Scheme::HTTPS) || telemetry.host().is_none() {
            return Err(refused());
        }
        let mut parts = telemetry.clone().into_parts();
        parts.path_and_query = KEY_SET_PATH.parse().ok();
        let key_set = Uri::from_parts(parts).map_err(|_| refused())?;
        Ok(Self { telemetry, key_set, extra_roots })
    }

    /// Sends a request whose form was checked, with the headers of §5.1 and the same bytes.
    pub async fn telemetry(
        &self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.telemetry.clone();
        for name in FORWARDED {
            if let Some(value) = headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        self.send(request).await
    }

    /// Fetches the key set.
    pub async fn key_set(&self) -> Result<Response<Full<Bytes>>, Problem> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.key_set.clone();
        self.send(request).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Problem> {
        let failed = |status, detail| Problem::new(status, "upstream_unreachable", detail);
        let extra_roots = match &self.extra_roots {
            None => String::new(),
            Some(path) => tokio::fs::read_to_string(path).await.map_err(|error| {
                let detail = format!("cannot read {}: {error}", path.display());
                failed(StatusCode::BAD_GATEWAY, detail)
            })?,
        };
        let bounds = Bounds { extra_roots: &extra_roots, within: WITHIN, body: ANSWER_LIMIT };
        let reply = https::send(request, bounds).await.map_err(|error| {
            let status = match error {
                NoReply::Tls { .. } | NoReply::Broken { .. } => StatusCode::BAD_GATEWAY,
                NoReply::Late { .. } => StatusCode::GATEWAY_TIMEOUT,
            };
            failed(status, error.to_string())
        })?;
        if reply.status.is_redirection() {
            let detail = "the upstream redirects; redirects are not followed".to_owned();
            return Err(failed(StatusCode::BAD_GATEWAY, detail));
        }
        if reply.body.len() > ANSWER_LIMIT {
            let detail = format!("the upstream's answer is larger than {ANSWER_LIMIT} bytes");
            return Err(failed(StatusCode::BAD_GATEWAY, detail));
        }
        let mut response = respond(reply.status, "application/octet-stream", reply.body);
        for name in RETURNED {
            if let Some(value) = reply.headers.get(&name) {
                response.headers_mut().insert(name, HeaderValue::clone(value));
            }
        }
        Ok(response)
    }
}

/// The five headers of §5.1.
const FORWARDED: [HeaderName; 5] = [
    HeaderName::from_static("f5-digitalassetid"),
    USER_AGENT,
    HeaderName::from_static("f5-traceid"),
    AUTHORIZATION,
    CONTENT_TYPE,
];
/// Headers of an answer that mean something to who asked.
const RETURNED: [HeaderName; 3] = [CONTENT_TYPE, RETRY_AFTER, hyper::header::ALLOW];
/// Less than the 30 s that a CWC waits.
const WITHIN: Duration = Duration::from_secs(25);
/// What a CWC reads of an answer.
const ANSWER_LIMIT: usize = 1 << 20;
