//! The REST API: HTTP on one side, the loop on the other.
//!
//! Owns paths, limits, headers and the form of answers. What a request does is decided by
//! `spk_license`; what an answer shows is its view. Invariant: nothing of a refused request is
//! stored or logged but its code (LIC-321).
//! Source: licensing.md §4.

mod admin;
mod body;
mod fault;
mod guard;
mod licence;
mod openapi;
mod rate;
mod stream;
mod v1;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{delete, get, post};
use hyper_util::service::TowerToHyperService;
use spk_license::view::problem::Request as Asked;
use spk_serving::http::{self, Limits};
use spk_serving::log::LogControl;
use spk_serving::tls::{Peer, TlsListener};

use crate::front::Front;
use fault::Fault;
use rate::Rates;

/// What every handler is given.
#[derive(Debug)]
struct Site {
    front: Front,
    /// The bearer token.
    token: String,
    rates: Rates,
    log: LogControl,
}

type Shared = Arc<Site>;

/// Serves the API on `listener` until `stop` resolves.
pub async fn serve(
    listener: TlsListener,
    front: Front,
    token: String,
    log: LogControl,
    stop: impl Future<Output = ()>,
) {
    let site = Arc::new(Site { front, token, rates: Rates::default(), log });
    let routes = routes(&site);
    let service = move |peer: &Peer| {
        let caller = guard::Caller::of(peer);
        TowerToHyperService::new(routes.clone().layer(axum::Extension(caller)))
    };
    let limits = Limits { ending: ENDING, ..Limits::default() };
    http::serve(listener, limits, service, stop).await;
}

fn routes(site: &Shared) -> Router {
    Router::new()
        .route("/status", get(licence::status))
        .route("/report", get(licence::report))
        .route("/receipt", post(licence::receipt))
        .route("/reactivate", post(licence::reactivate))
        .route("/v1/license", get(v1::license))
        .route("/v1/license/history", get(v1::history))
        .route("/v1/license/events", get(stream::events))
        .route("/v1/license/switch", delete(v1::abandon))
        .route("/v1/telemetry", get(v1::telemetry))
        .route("/v1/license/reset", post(admin::reset))
        .route("/v1/clock/accept", post(admin::accept_clock))
        .route("/v1/upgrade/confirm", post(admin::confirm_upgrade))
        .route("/v1/log", post(admin::log))
        .route("/openapi.json", get(openapi::document))
        .fallback(|| async { Fault::not_found() })
        .layer(axum::middleware::from_fn_with_state(Arc::clone(site), guard::guard))
        .with_state(Arc::clone(site))
}

/// What a path asks for, as the texts of the original name it.
fn asked(path: &str) -> Asked {
    match path {
        "/status" => Asked::Status,
        "/report" => Asked::Report,
        "/receipt" => Asked::Receipt,
        "/reactivate" => Asked::Reactivate,
        "/v1/license/switch" => Asked::Abandon,
        _ => Asked::Other,
    }
}

/// How long open requests have to end; an event stream never ends by itself.
const ENDING: Duration = Duration::from_secs(1);
