//! `GET /v1/license/events`: server-sent events, one for each change (licensing.md §4.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;

use super::Shared;

/// The stream; it ends with the connection.
pub(super) async fn events(State(site): State<Shared>) -> Response {
    // A reader that is too slow misses some; the next it gets tells it to look again.
    let news = BroadcastStream::new(site.front.news.subscribe()).map(|news| {
        Ok::<_, Infallible>(match news {
            Ok(news) => Event::default().event(news.kind).data(news.data.as_ref()),
            Err(_) => Event::default().event("missed").data("{}"),
        })
    });
    Sse::new(news).keep_alive(KeepAlive::new().interval(COMMENT_EVERY)).into_response()
}

const COMMENT_EVERY: Duration = Duration::from_secs(15);
