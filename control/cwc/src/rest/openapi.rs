//! `GET /openapi.json`: the description of this API for machines (LIC-341).

use axum::response::{IntoResponse as _, Response};
use hyper::header::CONTENT_TYPE;

/// The document.
pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// Kept as a file, so that it can be read without a program.
const OPENAPI: &str = include_str!("../../openapi.json");
