//! What every answer of `/v1` has alike: it is as fresh as asked, says where it was read, and is not
//! sent again to whom has it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use licenseflow_runtime::http::Deadline;
use tokio::time::Instant;

use super::asked::{AskedFreshness, OnStale};
use crate::answer::{Failure, ReadAt};
use crate::metrics;
use crate::partitions;
use crate::state::QueryState;
use crate::store;

const READ_POSITION: HeaderName = HeaderName::from_static("x-read-position");
const LAG_MS: HeaderName = HeaderName::from_static("x-lag-ms");
const STALE: HeaderName = HeaderName::from_static("x-stale");

/// The layer around the routes of `/v1`.
pub(crate) async fn around(
    State(state): State<QueryState>,
    request: Request,
    next: Next,
) -> Response {
    let deadline = request.extensions().get::<Deadline>().copied();
    store::answering(deadline, answered(state, request, next)).await
}

async fn answered(state: QueryState, request: Request, next: Next) -> Response {
    let asked_at = Instant::now();
    // What is asked by POST is sent whole: 304 means something to GET and HEAD alone.
    let may_be_known = request.method() == Method::GET || request.method() == Method::HEAD;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let known = known.filter(|_| may_be_known);
    let asked = AskedFreshness::of(request.headers(), request.uri());
    let (mut response, asked) = match asked {
        Err(problem) => (problem.into_response(), None),
        Ok(asked) => (answer(&state, &asked, request, next).await, Some(asked)),
    };
    let read = response.extensions_mut().remove::<ReadAt>();
    let freshness = match read {
        Some(ReadAt(freshness)) => {
            state.store.saw(&freshness, asked_at);
            Some(freshness)
        }
        // Where the store was not read, its place is a courtesy.
        None => state.store.standing(response.status()).await,
    };
    if let Some(freshness) = freshness {
        let position = state.store.position_text(&freshness);
        stamp(
            response.headers_mut(),
            position,
            freshness.lag_ms(state.now_ms()),
        );
        // Whoever waited got what he asked for, though its lag may have grown by a moment since.
        let stale = |asked: &AskedFreshness| {
            asked.on_stale == OnStale::Serve && !asked.met_by(&freshness, state.now_ms())
        };
        if asked.as_ref().is_some_and(stale) {
            response
                .headers_mut()
                .insert(STALE, HeaderValue::from_static("true"));
        }
    }
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("X-Tenant-Id"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    // A copy may be kept, and is asked after each time: the next event may change anything.
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    unless_known(response, known.as_ref())
}

async fn answer(
    state: &QueryState,
    asked: &AskedFreshness,
    request: Request,
    next: Next,
) -> Response {
    if asked.asks() {
        let known = partitions::check(&asked.position, &state.partitions, &state.topics);
        let passed: Result<(), Failure> = match known {
            Ok(()) => state.gate.pass(asked).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = passed {
            return failure.into_response();
        }
    }
    next.run(request).await
}

/// Says where the answer was read, and how far behind that is.
fn stamp(headers: &mut HeaderMap, position: HeaderValue, lag_ms: Option<i64>) {
    headers.insert(READ_POSITION, position);
    if let Some(lag) = lag_ms {
        headers.insert(LAG_MS, lag.into());
    }
}

/// 304 where the client has this very answer.
fn unless_known(response: Response, known: Option<&HeaderValue>) -> Response {
    let tag = response.headers().get(header::ETAG);
    let (Some(tag), Some(known), StatusCode::OK) = (tag, known, response.status()) else {
        return response;
    };
    if !names(known, tag) {
        return response;
    }
    metrics::not_modified();
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}

/// Whether `If-None-Match` names this tag; weak and strong ones compare alike.
fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else {
        return false;
    };
    let mut tags = known.split(',').map(str::trim);
    tags.any(|it| it == "*" || opaque(it) == opaque(tag))
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_any_form_of_if_none_match() {
        let tag = HeaderValue::from_static("W/\"ab\"");
        for (known, expected) in [
            ("\"ab\"", true),
            ("W/\"ab\"", true),
            ("\"x\", \"ab\"", true),
            ("*", true),
            ("\"a\"", false),
            ("ab", false),
            ("", false),
        ] {
            assert_eq!(
                names(&HeaderValue::from_static(known), &tag),
                expected,
                "{known}"
            );
        }
    }
}
