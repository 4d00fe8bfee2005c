//! How a refused request is answered: problem details (RFC 9457).

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;
use spk_authority::request::RequestError;
use spk_license::report::ReportError;

use crate::office::OfficeError;

/// A refusal with its status.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable label.
    pub code: &'static str,
    /// For people. Holds no token.
    pub detail: String,
    /// With 405: what is allowed.
    pub allow: Option<&'static str>,
}

impl Problem {
    /// A refusal.
    pub const fn new(status: StatusCode, code: &'static str, detail: String) -> Self {
        Self { status, code, detail, allow: None }
    }

    /// The response.
    pub fn response(&self) -> Response<Full<Bytes>> {
        let body = json!({
            "type": format!("urn:spk:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        let mut response = respond(self.status, "application/problem+json", body.to_string());
        let headers = response.headers_mut();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        headers.extend(self.allow.map(|methods| (ALLOW, HeaderValue::from_static(methods))));
        response
    }
}

/// A response that is not to be kept by anybody in between.
pub fn respond(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let status = match error {
            RequestError::Header { .. } | RequestError::Body => StatusCode::BAD_REQUEST,
            RequestError::Bearer => StatusCode::UNAUTHORIZED,
            RequestError::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            RequestError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<OfficeError> for Problem {
    fn from(error: OfficeError) -> Self {
        let status = match &error {
            OfficeError::State(_) => StatusCode::SERVICE_UNAVAILABLE,
            OfficeError::License(_) => StatusCode::FORBIDDEN,
            OfficeError::Report(ReportError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            OfficeError::Report(_) => StatusCode::BAD_REQUEST,
            OfficeError::Rejected(rejection) if rejection.is_conflict() => StatusCode::CONFLICT,
            OfficeError::Rejected(_) | OfficeError::Order(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, error.code(), error.to_string())
    }
}
