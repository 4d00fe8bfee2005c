//! Serving the page and its forms (licensing.md §14.2).
//!
//! Every form is answered by the page again, with what came of it; a form that was taken sends the
//! browser back to `/`, so that a reload does nothing twice.

use askama::Template as _;
use axum::extract::{Multipart, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderValue, SET_COOKIE};
use hyper::{HeaderMap, StatusCode};
use spk_license::Event;
use spk_license::view::problem::{Request as Asked, plain_text, status};

use super::fault::Fault;
use super::{Shared, body};
use crate::front::Wish;
use crate::page::session::Sessions;
use crate::page::{Message, Page};
use spk_license::codes::Code;

/// `GET /`.
pub(super) async fn page(
    State(site): State<Shared>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    show(&site, &headers, StatusCode::OK, None)
}

/// `POST /page/receipt`: a file or a pasted text.
pub(super) async fn receipt(
    State(site): State<Shared>,
    headers: HeaderMap,
    form: Multipart,
) -> Result<Response, Fault> {
    take(&site, &headers, form, Asked::Receipt, Event::Receipt).await
}

/// `POST /page/reactivate`: a pasted JWT or a file.
pub(super) async fn reactivate(
    State(site): State<Shared>,
    headers: HeaderMap,
    form: Multipart,
) -> Result<Response, Fault> {
    take(&site, &headers, form, Asked::Reactivate, Event::Reactivate).await
}

/// `GET /page.css`.
pub(super) async fn css() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], CSS).into_response()
}

/// `GET /page.js`.
pub(super) async fn script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

async fn take(
    site: &Shared,
    headers: &HeaderMap,
    form: Multipart,
    asked: Asked,
    event: impl FnOnce(String) -> Event,
) -> Result<Response, Fault> {
    let refuse = |status, text: &str| {
        let message = Message { good: false, text: text.to_owned() };
        show(site, headers, status, Some(message))
    };
    let Some(filled) = read(form).await else {
        return refuse(StatusCode::BAD_REQUEST, "The form did not arrive whole; send it again.");
    };
    let cookie = session(headers).unwrap_or_default();
    if !site.sessions.is_token(cookie, &filled.session) {
        return refuse(StatusCode::FORBIDDEN, "The page was too old; it is fresh now: try again.");
    }
    let token = body::token(filled.token.as_bytes());
    if token.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "Choose a file or paste the text first.");
    }
    match site.front.ask(Wish::Event(event(token))).await {
        Ok(_) => Ok(Redirect::to("/").into_response()),
        Err(refusal) => {
            let status = status(asked, &refusal, &site.front.facts());
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            refuse(status, &plain_text(asked, &refusal))
        }
    }
}

/// A form that was filled in.
#[derive(Default)]
struct Filled {
    session: String,
    token: String,
}

async fn read(mut form: Multipart) -> Option<Filled> {
    let mut filled = Filled::default();
    while let Some(field) = form.next_field().await.ok()? {
        let name = field.name().unwrap_or_default().to_owned();
        let text = field.text().await.ok()?;
        match name.as_str() {
            "session" => filled.session = text,
            // Of a file and a text the one that is there.
            "file" | "text" if !text.trim().is_empty() => filled.token = text,
            _ => {}
        }
    }
    Some(filled)
}

fn show(
    site: &Shared,
    headers: &HeaderMap,
    status: StatusCode,
    message: Option<Message>,
) -> Result<Response, Fault> {
    let known = session(headers).map(str::to_owned);
    let fresh = known.is_none();
    let random = |_| Fault::new(Code::StoreUnavailable);
    let cookie = known.map_or_else(|| Sessions::begin().map_err(random), Ok)?;
    let shown = site.front.shown.borrow().clone();
    let token = site.sessions.token(&cookie);
    let recent = site.front.recent.read();
    let page = Page::new(&shown.facts(), shown.machine.context(), &recent, token, message);
    let text = page.render().map_err(|error| {
        tracing::error!(%error, "the page cannot be made");
        Fault::new(Code::StoreUnavailable)
    })?;
    let mut response = (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if fresh {
        let cookie = format!("{COOKIE_NAME}={cookie}; Path=/; Secure; HttpOnly; SameSite=Strict");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.insert(SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

/// The session's cookie, if the browser has one.
fn session(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE_NAME && !value.is_empty())
        .map(|(_, value)| value)
}

const COOKIE_NAME: &str = "__Host-spk";
/// Nothing but what this program serves.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const CSS: &str = include_str!("../../assets/page.css");
const SCRIPT: &str = include_str!("../../assets/page.js");
