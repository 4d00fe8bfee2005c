//! Serving the page and its forms (licensing.md §14.2).
//!
//! What a form brings goes the way of `/receipt` and `/reactivate`. A form that was taken sends the
//! browser back to `/`, so that a reload does nothing twice; one that was refused is answered by the
//! page with the reason and what to do.

use askama::Template as _;
use axum::body::Body;
use axum::extract::{FromRequest as _, Multipart, RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderValue, SET_COOKIE};
use hyper::{HeaderMap, Request, StatusCode};
use spk_license::Refusal;
use spk_license::codes::Code;
use spk_license::view::problem::Request as Asked;

use super::fault::Fault;
use super::{Shared, body, licence};
use crate::page::session::Sessions;
use crate::page::{Message, Page};

/// `GET /`.
pub(super) async fn page(
    State(site): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let done = [Form::Receipt, Form::License]
        .into_iter()
        .find(|form| query.as_deref() == Some(&form.done()));
    show(&site, &headers, StatusCode::OK, done.map(|form| Message::done(form.taken())))
}

/// `POST /page/receipt`: a file or a pasted text.
pub(super) async fn receipt(
    State(site): State<Shared>,
    request: Request<Body>,
) -> Result<Response, Fault> {
    answer(&site, request, Form::Receipt).await
}

/// `POST /page/reactivate`: a pasted JWT or a file.
pub(super) async fn reactivate(
    State(site): State<Shared>,
    request: Request<Body>,
) -> Result<Response, Fault> {
    answer(&site, request, Form::License).await
}

/// `GET /page.css`.
pub(super) async fn css() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], CSS).into_response()
}

/// `GET /page.js`.
pub(super) async fn script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

/// The forms of the page.
#[derive(Clone, Copy, Debug)]
enum Form {
    Receipt,
    License,
}

impl Form {
    /// What the page is asked for after it was taken.
    fn done(self) -> String {
        let word = match self {
            Self::Receipt => "receipt",
            Self::License => "license",
        };
        format!("done={word}")
    }

    const fn taken(self) -> &'static str {
        match self {
            Self::Receipt => "The receipt was accepted.",
            Self::License => "The new license was taken. It comes into force with its receipt.",
        }
    }

    const fn refused(self) -> &'static str {
        match self {
            Self::Receipt => "The receipt was not accepted",
            Self::License => "The new license was not taken",
        }
    }

    const fn asked(self) -> Asked {
        match self {
            Self::Receipt => Asked::Receipt,
            Self::License => Asked::Reactivate,
        }
    }
}

async fn answer(site: &Shared, request: Request<Body>, form: Form) -> Result<Response, Fault> {
    let headers = request.headers().clone();
    let Err(fault) = take(site, request, form).await else {
        return Ok(Redirect::to(&format!("/?{}", form.done())).into_response());
    };
    let facts = site.front.facts();
    let message = Message::refused(form.refused(), fault.refusal(), &facts);
    let status = match fault.status(form.asked(), &facts) {
        // The path does take POST; it is the state that conflicts.
        StatusCode::METHOD_NOT_ALLOWED => StatusCode::CONFLICT,
        other => other,
    };
    show(site, &headers, status, Some(message))
}

async fn take(site: &Shared, request: Request<Body>, form: Form) -> Result<(), Fault> {
    let cookie = session(request.headers()).unwrap_or_default().to_owned();
    let filled = read(request).await?;
    if !site.sessions.is_token(&cookie, &filled.session) {
        let text = "The form is not of this session, or from before the CWC was started.";
        return Err(Refusal::new(Code::CrossOrigin, text).into());
    }
    let state = match form {
        Form::Receipt => licence::take_receipt(site, filled.token.as_bytes()).await?,
        Form::License => licence::take_jwt(site, filled.token.as_bytes()).await?,
    };
    tracing::info!(?form, "a form of the page was taken: {}", state.text());
    Ok(())
}

/// A form that was filled in.
#[derive(Default)]
struct Filled {
    session: String,
    token: String,
}

async fn read(request: Request<Body>) -> Result<Filled, Fault> {
    let (head, body) = request.into_parts();
    let body = body::read(body, body::ANY_LIMIT).await?;
    let request = Request::from_parts(head, Body::from(body));
    let broken = || Fault::bad_request("The form did not arrive whole.");
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| broken())?;
    let mut filled = Filled::default();
    while let Some(field) = form.next_field().await.map_err(|_| broken())? {
        let name = field.name().unwrap_or_default().to_owned();
        let text = field.text().await.map_err(|_| broken())?;
        match name.as_str() {
            "session" => filled.session = text,
            // Of a file and a text the one that is there.
            "file" | "text" if !text.trim().is_empty() => filled.token = text,
            _ => {}
        }
    }
    Ok(filled)
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
