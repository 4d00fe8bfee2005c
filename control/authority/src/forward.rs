//! The licence manager in between: forwards each report as it is (licensing.md §5.3, LIC-425).
//!
//! Owns the way to the upstream. Holds no key and acknowledges nothing: the answer is the
//! authority's own. Follows no redirect and sends a licence nowhere else.

use std::net::IpAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tokio::time::timeout;

use crate::problem::{Problem, respond};

/// The way to one upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    telemetry: Uri,
    key_set: Uri,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// The address of an upstream is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// No URL with a host.
    #[error("{url:?} is no URL such as https://authority.example{path}",
        path = spk_authority::request::TELEMETRY_PATH)]
    Url {
        /// The text.
        url: String,
    },
    /// Plain HTTP beyond this machine would show the licence to everybody on the way.
    #[error("{url:?} is plain HTTP to another machine; use https")]
    Plain {
        /// The text.
        url: String,
    },
}

impl Upstream {
    /// The upstream whose telemetry endpoint is `url`; its key set lies beside it.
    pub fn new(url: &str, tls: ClientConfig) -> Result<Self, UpstreamError> {
        let refused = || UpstreamError::Url { url: url.to_owned() };
        let telemetry: Uri = url.parse().map_err(|_| refused())?;
        let host = telemetry.host().ok_or_else(refused)?.to_owned();
        match telemetry.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(&host) => {}
            Some("http") => return Err(UpstreamError::Plain { url: url.to_owned() }),
            Some(_) | None => return Err(refused()),
        }
        let mut parts = telemetry.clone().into_parts();
        parts.path_and_query = spk_authority::request::KEY_SET_PATH.parse().ok();
        let key_set = Uri::from_parts(parts).map_err(|_| refused())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { telemetry, key_set, client })
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
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT).collect().await;
            Ok((head, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        let unreachable = |status, detail| Problem::new(status, "upstream_unreachable", detail);
        let (head, body) = match timeout(TIMEOUT, exchange).await {
            Err(_) => {
                let detail = format!("the upstream did not answer within {} s", TIMEOUT.as_secs());
                return Err(unreachable(StatusCode::GATEWAY_TIMEOUT, detail));
            }
            Ok(Err(error)) => {
                let detail: String = error;
                return Err(unreachable(StatusCode::BAD_GATEWAY, detail));
            }
            Ok(Ok(answer)) => answer,
        };
        if head.status.is_redirection() {
            let detail = "the upstream redirects; redirects are not followed".to_owned();
            return Err(unreachable(StatusCode::BAD_GATEWAY, detail));
        }
        let mut response = respond(head.status, "application/octet-stream", body);
        for name in RETURNED {
            if let Some(value) = head.headers.get(&name) {
                response.headers_mut().insert(name, HeaderValue::clone(value));
            }
        }
        Ok(response)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
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
const RETURNED: [HeaderName; 2] = [CONTENT_TYPE, RETRY_AFTER];
/// Less than the 30 s that a CWC waits.
const TIMEOUT: Duration = Duration::from_secs(25);
/// What a CWC reads of an answer.
const ANSWER_LIMIT: usize = 1 << 20;
