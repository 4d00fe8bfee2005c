//! What programs read of the licence, and abandoning a switch (licensing.md §4.2, §4.4).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use spk_license::Event;
use spk_license::view::license::License;

use super::Shared;
use super::fault::Fault;
use crate::front::Wish;
use crate::telemetry::Telemetry;

/// `GET /v1/license`.
pub(super) async fn license(State(site): State<Shared>) -> Response {
    Json(License::new(&site.front.facts())).into_response()
}

/// `GET /v1/license/history`.
pub(super) async fn history(State(site): State<Shared>) -> Response {
    let shown = site.front.shown.borrow().clone();
    Json(shown.machine.context().history.view()).into_response()
}

/// `GET /v1/telemetry`.
pub(super) async fn telemetry(State(site): State<Shared>) -> Response {
    let shown = site.front.shown.borrow().clone();
    Json(Telemetry::new(shown.machine.context())).into_response()
}

/// `DELETE /v1/license/switch`.
pub(super) async fn abandon(State(site): State<Shared>) -> Result<Response, Fault> {
    site.front.ask(Wish::Event(Event::Abandon)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
