//! Errors, in both forms: plain text, and problem details where they are asked for (LIC-327).
//!
//! A handler answers with a [`Fault`]; [`render`] gives it its form once the request is known.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use spk_license::Refusal;
use spk_license::codes::Code;
use spk_license::view::Facts;
use spk_license::view::problem::{Problem, Request as Asked, plain_text, status};

use super::{Shared, asked};

/// A request is refused.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    refusal: Refusal,
    /// Another status than that of the code.
    status: Option<StatusCode>,
}

impl Fault {
    pub(super) fn new(code: Code) -> Self {
        Refusal::new(code, code.text()).into()
    }

    /// No such path.
    pub(super) fn not_found() -> Self {
        Self::new(Code::NotFound)
    }

    /// A body that makes no sense.
    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        let refusal = Refusal::new(Code::NotFound, text);
        Self { refusal, status: Some(StatusCode::BAD_REQUEST) }
    }

    /// The body did not arrive in time.
    pub(super) fn too_slow() -> Self {
        let refusal = Refusal::new(Code::RateLimited, "The body did not arrive within 30 s.");
        Self { refusal, status: Some(StatusCode::REQUEST_TIMEOUT) }
    }

    /// More requests than allowed.
    pub(super) fn rate_limited(wait: std::time::Duration) -> Self {
        let mut refusal = Refusal::new(Code::RateLimited, Code::RateLimited.text());
        refusal.retry_after = Some(wait);
        refusal.into()
    }

    /// What was refused, in words and as a code.
    pub(super) fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// The status of the answer to `asked` that carries it.
    pub(super) fn status(&self, asked: Asked, facts: &Facts) -> StatusCode {
        let code = StatusCode::from_u16(status(asked, &self.refusal, facts));
        self.status.unwrap_or(code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }

    fn wrong_method() -> Self {
        let refusal = Refusal::new(Code::NotFound, "This path takes other methods.");
        Self { refusal, status: Some(StatusCode::METHOD_NOT_ALLOWED) }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, status: None }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        // `render` replaces it whole.
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives an error its form: `path` and `headers` are the request's.
pub(super) fn render(
    site: &Shared,
    path: &str,
    headers: &HeaderMap,
    mut response: Response,
) -> Response {
    let fault = match response.extensions_mut().remove::<Fault>() {
        Some(fault) => fault,
        // The router itself answers (LIC-323).
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED => Fault::wrong_method(),
        None => return response,
    };
    let facts = site.front.facts();
    let (asked, refusal) = (asked(path), &fault.refusal);
    let code = fault.status(asked, &facts);
    let (kind, text) = if wants_problem(headers) {
        let mut problem = Problem::new(asked, path, refusal, &facts);
        problem.status = code.as_u16();
        // Texts and numbers, which JSON always takes.
        (PROBLEM, serde_json::to_string(&problem).unwrap_or_default())
    } else {
        (PLAIN, plain_text(asked, refusal))
    };
    let mut built = Response::builder().status(code).header(CONTENT_TYPE, kind);
    if code == StatusCode::METHOD_NOT_ALLOWED && fault.status.is_none() {
        // In the wrong state no method would do: the list is empty (licensing.md §4.2). For a wrong
        // method the router fills it in, after this.
        built = built.header(ALLOW, "");
    }
    let wait = match (refusal.retry_after, refusal.code) {
        // A part of a second more would still be too early.
        (Some(wait), _) => Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        (None, Code::StoreUnavailable) => Some(5),
        (None, _) => None,
    };
    if let Some(wait) = wait {
        built = built.header(RETRY_AFTER, wait);
    }
    if code == StatusCode::UNAUTHORIZED {
        built = built.header(WWW_AUTHENTICATE, "Bearer");
    }
    built.body(Body::from(text)).unwrap_or_default()
}

fn wants_problem(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|kind| kind.trim().eq_ignore_ascii_case(PROBLEM))
}

const PROBLEM: &str = "application/problem+json";
const PLAIN: &str = "text/plain; charset=utf-8";
