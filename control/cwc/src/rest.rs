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
mod page;
mod rate;
mod stream;
mod v1;

use std::future::Future;
use std::ops::Deref;
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
use crate::page::session::Sessions;
use fault::Fault;
use rate::Rates;

/// What the API works with. Its debug form does not show the token.
pub struct Site {
    /// The loop's side.
    pub front: Front,
    /// The bearer token.
    pub token: String,
    /// Changes the level of the log.
    pub log: LogControl,
    /// Makes and checks the tokens of the page's forms.
    pub sessions: Sessions,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("front", &self.front).finish_non_exhaustive()
    }
}

/// What every handler is given.
#[derive(Debug)]
struct State {
    site: Site,
    rates: Rates,
}

impl Deref for State {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

type Shared = Arc<State>;

/// Serves the API on `listener` until `stop` resolves.
pub async fn serve(listener: TlsListener, site: Site, stop: impl Future<Output = ()>) {
    let routes = routes(&Arc::new(State { site, rates: Rates::default() }));
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
        .route("/", get(page::page))
        .route("/page.css", get(page::css))
        .route("/page.js", get(page::script))
        .route("/page/receipt", post(page::receipt))
        .route("/page/reactivate", post(page::reactivate))
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
