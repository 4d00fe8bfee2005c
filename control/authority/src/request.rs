//! The upstream request: five headers and one member (licensing.md §5.1).
//!
//! Owns its form, for the authority and for a licence manager that forwards. Verifies no token.

use serde_json::Value;
use spk_jose::json;
use uuid::Uuid;

/// A request whose form is good. Its debug form shows no token.
#[derive(Clone, Eq, PartialEq)]
pub struct UpstreamRequest {
    /// `F5-DigitalAssetId`.
    pub asset: Uuid,
    /// `F5-TraceId`.
    pub trace: Uuid,
    /// The licence JWT of `Authorization`. Secret.
    pub license: String,
    /// The report.
    pub report: String,
}

impl std::fmt::Debug for UpstreamRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamRequest")
            .field("asset", &self.asset)
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}

/// What is wrong with the form of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// A header is missing or has another value.
    #[error("header {name} is missing or wrong; it must be {wanted}")]
    Header {
        /// Its name.
        name: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// No bearer token.
    #[error("header Authorization is missing or wrong; it must be Bearer and the licence JWT")]
    Bearer,
    /// Not JSON.
    #[error("header Content-Type is missing or wrong; it must be application/json")]
    MediaType,
    /// The body is above [`BODY_LIMIT`].
    #[error("body is larger than {BODY_LIMIT} bytes")]
    TooLarge,
    /// The body is another one.
    #[error("body is no JSON object with a text in member report")]
    Body,
}

impl RequestError {
    /// Stable label.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Header { .. } => "header_wrong",
            Self::Bearer => "token_required",
            Self::MediaType => "media_type_wrong",
            Self::TooLarge => "too_large",
            Self::Body => "body_malformed",
        }
    }
}

/// Checks the five headers. `header` gives the value of a header by its name in lower case.
///
/// # Errors
///
/// The first that is wrong, in the order of licensing.md §5.1.
pub fn check_headers<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
) -> Result<(Uuid, Uuid, &'a str), RequestError> {
    let uuid = |name: &'static str| {
        let text = header(&name.to_ascii_lowercase());
        let found =
            text.filter(|text| text.len() == 36).and_then(|text| Uuid::try_parse(text).ok());
        found.ok_or(RequestError::Header { name, wanted: "a UUID" })
    };
    let asset = uuid("F5-DigitalAssetId")?;
    if header("user-agent") != Some(USER_AGENT) {
        return Err(RequestError::Header { name: "User-Agent", wanted: USER_AGENT });
    }
    let trace = uuid("F5-TraceId")?;
    // The scheme's case does not count (RFC 9110 §11.1).
    let bearer = header("authorization").and_then(|value| value.split_once(' '));
    let license = match bearer {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => token.trim(),
        Some(_) | None => "",
    };
    if license.is_empty() {
        return Err(RequestError::Bearer);
    }
    let media = header("content-type").and_then(|value| value.split(';').next());
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err(RequestError::MediaType);
    }
    Ok((asset, trace, license))
}

/// Checks headers and body.
///
/// # Errors
///
/// The first rule that fails.
pub fn read<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
) -> Result<UpstreamRequest, RequestError> {
    let (asset, trace, license) = check_headers(header)?;
    if body.len() > BODY_LIMIT {
        return Err(RequestError::TooLarge);
    }
    let mut members = json::object(body, BODY_DEPTH).map_err(|_| RequestError::Body)?;
    match members.remove("report") {
        Some(Value::String(report)) => {
            Ok(UpstreamRequest { asset, trace, license: license.to_owned(), report })
        }
        Some(_) | None => Err(RequestError::Body),
    }
}

/// Takes a token out of a text that a person hands in: the token itself, a JSON text, or an object
/// with the token in `member`, as the endpoints of the CWC print it.
#[must_use]
pub fn token_in(text: &str, member: &str) -> Option<String> {
    let text = text.trim();
    if text.starts_with('{') {
        let mut members = json::object(text.as_bytes(), BODY_DEPTH).ok()?;
        return match members.remove(member) {
            Some(Value::String(token)) => Some(token),
            Some(_) | None => None,
        };
    }
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    Some(text.to_owned())
}

/// `User-Agent` of every request.
pub const USER_AGENT: &str = "SPK";
/// `Content-Type` of every request.
pub const MEDIA_TYPE: &str = "application/json";
/// Path of the upstream endpoint, as in the documented address.
pub const TELEMETRY_PATH: &str = "/ee/v1/entitlements/telemetry";
/// Path of the key set.
pub const KEY_SET_PATH: &str = "/ee/v1/keys/jwks";
/// Bytes of a body: a report of full size in JSON.
pub const BODY_LIMIT: usize = 140_000;
/// Nested levels of a body.
const BODY_DEPTH: usize = 4;

#[cfg(test)]
mod tests;
