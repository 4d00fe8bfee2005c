//! Posting a report to the licensing service.
//!
//! Owns the request: headers and body. TLS and proxy are `spk_serving`'s; what an answer means and
//! when to try again is `spk_license`'s. Invariants: the JWT goes to the configured host only, over
//! verified TLS; a redirect is not followed. Source: licensing.md §5.1 (LIC-400, LIC-404, LIC-405).

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Uri};
use spk_license::Upload;
use spk_license::upstream::{Answer, BODY_LIMIT, Failure, TIMEOUT, manifest};
use spk_serving::https::{self, Bounds, NoReply};

use crate::config::ShellSettings;

/// Posts `upload` once and takes the manifest out of the answer.
///
/// # Errors
///
/// [`Failure`] with the class of the outcome.
pub async fn post(upload: &Upload, settings: &ShellSettings) -> Result<String, Failure> {
    let wall = u64::try_from(spk_serving::clock::wall().as_second()).unwrap_or(0);
    let Some(request) = request(upload, &settings.upstream_url) else {
        tracing::error!(trace = %upload.trace, "the report does not fit into a request");
        return manifest(Answer::Unreachable, wall);
    };
    let bounds = Bounds { extra_roots: &settings.upstream_ca, within: TIMEOUT, body: BODY_LIMIT };
    match https::send(request, bounds).await {
        Ok(reply) => {
            let status = reply.status.as_u16();
            tracing::info!(trace = %upload.trace, report = %upload.report, status, "posted the report");
            let retry_after = reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            manifest(Answer::Response { status, retry_after, body: &reply.body }, wall)
        }
        Err(error) => {
            tracing::warn!(trace = %upload.trace, %error, "cannot post the report");
            let answer = match error {
                NoReply::Tls { .. } => Answer::Tls,
                NoReply::Broken { .. } | NoReply::Late { .. } => Answer::Unreachable,
            };
            manifest(answer, wall)
        }
    }
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
