//! What holds for every request: who may ask, how often, and the headers of every answer.
//!
//! Source: licensing.md §4.1 (LIC-307 to LIC-310).

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method};
use spk_license::codes::Code;
use spk_serving::clock;
use spk_serving::tls::Peer;
use uuid::Uuid;

use super::Shared;
use super::fault::{Fault, render};

/// Who asks: a client certificate, by its hash.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct Caller([u8; 32]);

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

impl Caller {
    pub(super) fn of(peer: &Peer) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &peer.certificate).as_ref());
        Self(hash)
    }
}

/// Checks a request, has it answered, and completes the answer.
pub(super) async fn guard(
    State(site): State<Shared>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let id = request_id(&headers);
    let response = match check(&site, caller, &request) {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    };
    let mut response = render(&site, &path, &headers, response);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REQUEST_ID, id);
    response
}

fn check(site: &Shared, caller: Caller, request: &Request) -> Result<(), Fault> {
    if is_foreign(request) {
        return Err(Fault::new(Code::CrossOrigin));
    }
    let (per_minute, everywhere) = {
        let settings = site.front.settings.borrow();
        (settings.posts_per_minute, settings.require_token)
    };
    if request.method() == Method::POST {
        site.rates.take(caller, per_minute, clock::boot()).map_err(Fault::rate_limited)?;
    }
    if everywhere || ALWAYS_TOKEN.contains(&request.uri().path()) {
        check_token(request.headers(), &site.token)?;
    }
    Ok(())
}

/// Whether a page of another origin sent it: a browser with a client certificate must not serve one
/// (LIC-308).
fn is_foreign(request: &Request) -> bool {
    let headers = request.headers();
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let good_site = match site {
        None | Some(b"same-origin") => true,
        // Typed into the address bar.
        Some(b"none") => reads,
        Some(_) => false,
    };
    let own = request
        .uri()
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()));
    let good_origin = headers.get_all(ORIGIN).iter().all(|origin| {
        let host = origin.to_str().ok().and_then(|origin| origin.strip_prefix("https://"));
        matches!((host, own), (Some(host), Some(own)) if host.eq_ignore_ascii_case(own))
    });
    !(good_site && good_origin)
}

fn check_token(headers: &HeaderMap, token: &str) -> Result<(), Fault> {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .ok_or_else(|| Fault::new(Code::TokenRequired))?
        .1
        .trim();
    verify_slices_are_equal(given.as_bytes(), token.as_bytes())
        .map_err(|_| Fault::new(Code::TokenWrong))
}

/// The caller's own id, if it is one that a header may carry back (LIC-310).
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get("F5-TraceId").filter(|value| (1..=128).contains(&value.len()));
    // A UUID's text is always a header value.
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::new_v4().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What wants the bearer token whatever `requireToken` says (LIC-329).
const ALWAYS_TOKEN: [&str; 4] =
    ["/v1/license/reset", "/v1/clock/accept", "/v1/upgrade/confirm", "/v1/log"];
