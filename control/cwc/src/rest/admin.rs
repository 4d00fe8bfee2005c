//! What wants the bearer token always (licensing.md §4.2, LIC-329).

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use serde::Deserialize;
use spk_license::Event;
use spk_serving::log::level;

use super::fault::Fault;
use super::{Shared, body};
use crate::front::Wish;

/// `POST /v1/license/reset` (P6).
pub(super) async fn reset(State(site): State<Shared>) -> Result<Response, Fault> {
    done(&site, Event::Reset).await
}

/// `POST /v1/clock/accept` (K7).
pub(super) async fn accept_clock(State(site): State<Shared>) -> Result<Response, Fault> {
    done(&site, Event::AcceptClock).await
}

/// `POST /v1/upgrade/confirm` (P11).
pub(super) async fn confirm_upgrade(State(site): State<Shared>) -> Result<Response, Fault> {
    done(&site, Event::ConfirmUpgrade).await
}

async fn done(site: &Shared, event: Event) -> Result<Response, Fault> {
    site.front.ask(Wish::Event(event)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The body of `POST /v1/log`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogLevel {
    component: String,
    level: String,
}

/// `POST /v1/log`: the level of this CWC, of all Controllers or of all TMMs.
pub(super) async fn log(State(site): State<Shared>, body: Body) -> Result<Response, Fault> {
    let body = body::read(body, body::ANY_LIMIT).await?;
    let wanted: LogLevel = serde_json::from_slice(&body)
        .map_err(|_| Fault::bad_request("The body is {\"component\":…,\"level\":…}."))?;
    let level = level(&wanted.level)
        .ok_or_else(|| Fault::bad_request("level is error, warn, info, debug or trace."))?;
    match wanted.component.as_str() {
        OWN => site.log.set_level(level),
        component if OTHERS.contains(&component) => {
            let levels =
                BTreeMap::from([(component.to_owned(), level.as_str().to_ascii_lowercase())]);
            site.front.ask(Wish::LogLevels(levels)).await?;
        }
        _ => return Err(Fault::bad_request("component is spk-cwc, f5ingress or tmm.")),
    }
    tracing::info!(component = wanted.component, %level, "log level set");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// This program.
const OWN: &str = "spk-cwc";
/// Who gets its level in statements.
const OTHERS: [&str; 2] = ["f5ingress", "tmm"];
