//! The four documented endpoints (licensing.md §4.2, seed 003).

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use spk_license::codes::Code;
use spk_license::view::status::Status;
use spk_license::{Answer, Event, Slot, State as Reached};

use super::fault::Fault;
use super::{Shared, body};
use crate::front::Wish;

/// `GET /status`.
pub(super) async fn status(State(site): State<Shared>) -> Response {
    Json(Status::new(&site.front.facts())).into_response()
}

/// `GET /report`.
pub(super) async fn report(
    State(site): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let slot = slot(query.as_deref().unwrap_or_default())?;
    match site.front.ask(Wish::Event(Event::Get { slot })).await? {
        Answer::Report { text } => Ok(Json(serde_json::json!({ "report": text })).into_response()),
        other => Err(unexpected(&other)),
    }
}

/// `POST /receipt`.
pub(super) async fn receipt(State(site): State<Shared>, body: Body) -> Result<Response, Fault> {
    let state = take_receipt(&site, &body::read(body, RECEIPT_LIMIT).await?).await?;
    let accepted = serde_json::json!({ "state": state.number(), "text": state.text() });
    Ok(Json(accepted).into_response())
}

/// `POST /reactivate`.
pub(super) async fn reactivate(State(site): State<Shared>, body: Body) -> Result<Response, Fault> {
    let state = take_jwt(&site, &body::read(body, REACTIVATE_LIMIT).await?).await?;
    let switching = serde_json::json!({ "switching": true, "state": state.number() });
    Ok(Json(switching).into_response())
}

/// Has the machine take a receipt, in any of its wrappings: what `/receipt` and the page's form do.
pub(super) async fn take_receipt(site: &Shared, body: &[u8]) -> Result<Reached, Fault> {
    let token = within(body, RECEIPT_LIMIT)?;
    match site.front.ask(Wish::Event(Event::Receipt(token))).await? {
        Answer::Accepted { state } => Ok(state),
        other => Err(unexpected(&other)),
    }
}

/// Has the machine take another JWT: what `/reactivate` and the page's form do.
pub(super) async fn take_jwt(site: &Shared, body: &[u8]) -> Result<Reached, Fault> {
    let token = within(body, REACTIVATE_LIMIT)?;
    match site.front.ask(Wish::Event(Event::Reactivate(token))).await? {
        Answer::Switching { state } => Ok(state),
        other => Err(unexpected(&other)),
    }
}

fn within(body: &[u8], limit: usize) -> Result<String, Fault> {
    if body.len() > limit {
        return Err(Fault::new(Code::TooLarge));
    }
    Ok(body::token(body))
}

/// The slot that the options name; other options are ignored.
fn slot(query: &str) -> Result<Option<Slot>, Fault> {
    match query.split('&').find_map(|option| option.strip_prefix("slot=")) {
        None => Ok(None),
        Some("current") => Ok(Some(Slot::Current)),
        Some("switch") => Ok(Some(Slot::Switch)),
        Some(_) => Err(Fault::bad_request("slot is current or switch.")),
    }
}

/// The machine answered another question: our own mistake.
fn unexpected(answer: &Answer) -> Fault {
    tracing::error!(?answer, "the machine gave an answer of another kind");
    Fault::new(Code::StoreUnavailable)
}

/// Bytes of a receipt's body.
const RECEIPT_LIMIT: usize = 64 << 10;
/// Bytes of a JWT's body.
const REACTIVATE_LIMIT: usize = 8 << 10;
