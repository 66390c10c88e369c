//! `GET /v1/stream`: from which position on, and in which of the two forms.

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{State, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use licenseflow_core::contract::Position;
use licenseflow_runtime::http::{Problem, TenantId};
use utoipa_axum::router::UtoipaMethodRouterExt;
use utoipa_axum::routes;

use super::filter::Filter;
use super::{socket, sse};
use crate::answer::{Failure, ReadAt};
use crate::fresh::AskedFreshness;
use crate::openapi;
use crate::params::{Params, invalid};
use crate::partitions;
use crate::routes::Route;
use crate::routes::known::{self, LAST_EVENT_ID};
use crate::state::QueryState;

/// Where it is.
pub(crate) const STREAM: &str = "/v1/stream";
const LAST_EVENT_ID_HEADER: &str = "last-event-id";
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The route, with what every answer of `/v1` has alike around it.
pub(crate) fn route(around: impl FnOnce(Route) -> Route) -> Route {
    let stream: Route = routes!(stream);
    around(stream).layer(axum::middleware::map_response(never_kept))
}

/// No proxy keeps a stream, or holds it back to send it in larger pieces.
async fn never_kept(mut response: Response) -> Response {
    if response.status() == StatusCode::OK {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
    response
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Events as they are applied
///
/// Server-Sent Events, or, where an upgrade is asked for, the same as text messages over WebSocket: an event
/// as `{"id", "type", "event"}`, and `{"id"}` alone, as the first message and from time to time, for how far
/// the stream has come. It begins now, or where `Last-Event-ID` says; the id of an event is the position
/// after it. Of each event its license's customer and product as they stand now are asked. An event whose
/// first record turns up later may come once more, at its new place: `event_id` tells. A reader that does
/// not keep up is cut off with `event: cut`, whose data say why and from where to go on; over WebSocket the
/// close frame says why.
#[utoipa::path(
    get, path = STREAM, tag = openapi::LICENSES, operation_id = "stream",
    params(openapi::OfStream),
    responses(
        (status = 101, description = "Events come over WebSocket."),
        (status = 200, body = String, content_type = "text/event-stream", description = "Events, without end."),
        (status = 403, response = inline(openapi::OriginNotAllowed)),
    )
)]
async fn stream(
    State(state): State<QueryState>,
    tenant: TenantId,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let params = Params::of(&uri, &known::STREAM)?;
    let filter = Filter::of(tenant.into_string(), &params)?;
    let wants_socket = is_for_socket(&headers);
    if wants_socket {
        check_origin(&headers, &state)?;
    }
    let last = last_event_id(&headers, &params)?;
    if let Some(last) = &last {
        wait_for(last, &state, &headers, &uri).await?;
    }
    let freshness = state.store.freshness().await?;
    let after = last.unwrap_or_else(|| freshness.position());
    let mut response = match (wants_socket, upgrade) {
        (false, _) => sse::response(state.hub.open(filter, after, freshness.generation)?),
        (true, Err(rejection)) => return Ok(rejection.into_response()),
        (true, Ok(upgrade)) => {
            let session = state.hub.open(filter, after, freshness.generation)?;
            upgrade
                .read_buffer_size(socket::BUFFER_BYTES)
                .write_buffer_size(0)
                .max_message_size(socket::MESSAGE_BYTES_MAX)
                .max_frame_size(socket::MESSAGE_BYTES_MAX)
                .on_upgrade(|it| socket::run(it, session))
        }
    };
    response.extensions_mut().insert(ReadAt(freshness));
    Ok(response)
}

fn is_for_socket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    upgrade.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// A browser asks nobody before it opens a socket for a page of another origin: so we must.
fn check_origin(headers: &HeaderMap, state: &QueryState) -> Result<(), Failure> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = origin.split_once("://").map(|(_, host)| host);
    let asked = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let is_own = host.is_some() && host == asked;
    let is_open_to = |it: &String| it == "*" || it == origin;
    if is_own || state.cors_origins.iter().any(is_open_to) {
        return Ok(());
    }
    let detail = "pages of this origin may not listen; --cors-origin names those that may";
    Err(Problem::new(StatusCode::FORBIDDEN, "origin_not_allowed")
        .detail(detail)
        .into())
}

/// The position that a reader goes on from. The header wins: a browser that comes back repeats the address
/// as it was at first.
fn last_event_id(headers: &HeaderMap, params: &Params) -> Result<Option<Position>, Failure> {
    let header = headers.get(LAST_EVENT_ID_HEADER).map(HeaderValue::to_str);
    let (name, text) = match header {
        Some(Ok(text)) if !text.trim().is_empty() => ("Last-Event-ID", text.trim()),
        Some(Err(_)) => return Err(unreadable("Last-Event-ID", "is not ASCII text")),
        Some(Ok(_)) | None => match params.text(LAST_EVENT_ID) {
            Some(text) if !text.is_empty() => (LAST_EVENT_ID, text),
            Some(_) | None => return Ok(None),
        },
    };
    let position = text
        .parse()
        .map_err(|error| unreadable(name, &format!("{error}")));
    position.map(Some)
}

fn unreadable(name: &str, error: &str) -> Failure {
    if name == LAST_EVENT_ID {
        return invalid(name, error);
    }
    Problem::bad_request("invalid_header", format!("{name}: {error}")).into()
}

/// An id may come from another process, which has read further: its reader waits for ours as for his own
/// write. What comes before it is never told twice for not waiting.
async fn wait_for(
    last: &Position,
    state: &QueryState,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(), Failure> {
    partitions::check(last, &state.partitions, &state.topics)?;
    let asked = AskedFreshness::of(headers, uri)?.reaching(last);
    state.gate.pass(&asked).await
}
