//! What is laid around every router: the request id, one log line and two
//! metrics a request, limits on headers, deadlines, and the rule that every
//! error leaves as a problem, also those that axum or a panic made.

use super::deadline;
use super::limits::HttpLimits;
use super::problem::{MEDIA_TYPE, Problem};
use super::request_id::{self, RequestId};
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument;

/// The longest text of another's error that becomes the detail of a problem.
const DETAIL_BYTES_MAX: usize = 4096;

/// Lays limits, request ids, logging and the one form of errors around a router. They are one layer, since
/// each layer has all that is inside of it copied for each request.
pub fn harden(router: Router, limits: &HttpLimits) -> Router {
    let limits = Arc::new(limits.clone());
    router.layer(from_fn_with_state(limits, observe))
}

/// Names the request, times it, logs it, completes errors.
async fn observe(
    State(limits): State<Arc<HttpLimits>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = route_of(&request);
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", request_id = %id);

    let handled = async {
        let response = as_problem(answer(&limits, request, next).await, &id, &path).await;
        let elapsed = started.elapsed();
        let status = response.status().as_u16();
        let duration_ms = elapsed.as_secs_f64() * 1000.0;
        tracing::info!(%method, path, status, duration_ms, "request");
        let labels = [
            ("method", method.to_string()),
            ("route", route),
            ("status", status.to_string()),
        ];
        metrics::counter!("http_requests_total", &labels).increment(1);
        metrics::histogram!("http_request_duration_seconds", &labels).record(elapsed.as_secs_f64());
        response
    };
    let mut response = handled.instrument(span).await;
    let echoed = id.header_value();
    response.headers_mut().insert(request_id::HEADER, echoed);
    response
}

/// The route's pattern, never the path itself: ids as labels would grow for ever.
fn route_of(request: &Request) -> String {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned())
}

/// Answers within the limits, whatever the handler does.
async fn answer(limits: &HttpLimits, request: Request, next: Next) -> Response {
    if let Err(too_large) = check_headers(limits, &request) {
        return too_large.into_response();
    }
    // What a panic leaves half-done is dropped with the request.
    let answer = AssertUnwindSafe(deadline::enforce(limits, request, next)).catch_unwind();
    answer.await.unwrap_or_else(|cause| after_panic(&*cause))
}

/// Refuses requests whose line and headers are too large, with an answer that
/// names the bound. Far beyond it hyper refuses them itself, with a bare 431.
fn check_headers(limits: &HttpLimits, request: &Request) -> Result<(), Box<Problem>> {
    let bytes = header_bytes(request);
    let count = request.headers().len();
    if bytes <= limits.header_bytes_max && count <= limits.headers_max {
        return Ok(());
    }
    let problem = Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large")
        .detail(format!(
            "request line and headers have {bytes} bytes in {count} headers; at most {} bytes and {} headers are taken",
            limits.header_bytes_max, limits.headers_max
        ));
    Err(Box::new(problem))
}

fn header_bytes(request: &Request) -> usize {
    // ": " and the line's end are four bytes for each header.
    let fields = request.headers().iter();
    let headers: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let line = request
        .uri()
        .path_and_query()
        .map_or(1, |path| path.as_str().len());
    headers + line
}

fn after_panic(cause: &(dyn Any + Send)) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without text");
    tracing::error!(panic = text, "a handler panicked");
    Problem::internal().into_response()
}

/// Completes a problem with the request that it belongs to, and turns an error
/// that is none (axum's rejections, 404, 405) into one. An error that has a
/// media type of its own is left alone: other protocols have other forms.
async fn as_problem(response: Response, id: &RequestId, path: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None if is_plain_error(parts.status, &parts.headers) => {
            plain_error(parts.status, body).await
        }
        None => return Response::from_parts(parts, body),
    };
    let problem = Problem {
        instance: Some(path.to_owned()),
        request_id: Some(id.clone()),
        ..problem
    };
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    parts.headers.insert(header::CONTENT_TYPE, media_type);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(problem.to_json().to_string()))
}

fn is_plain_error(status: StatusCode, headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE);
    let plain = media_type.is_none_or(|value| value.as_bytes().starts_with(b"text/plain"));
    (status.is_client_error() || status.is_server_error()) && plain
}

async fn plain_error(status: StatusCode, body: Body) -> Problem {
    let text = axum::body::to_bytes(body, DETAIL_BYTES_MAX).await;
    let text = text
        .ok()
        .and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    let problem = Problem::new(status, code_of(status));
    match text.filter(|text| !text.is_empty() && !status.is_server_error()) {
        Some(text) => problem.detail(text),
        None => problem.detail(detail_of(status)),
    }
}

/// `404 Not Found` has the code `not_found`, and so on for all.
fn code_of(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("error");
    reason.to_ascii_lowercase().replace([' ', '-'], "_")
}

fn detail_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "there is no such path",
        StatusCode::METHOD_NOT_ALLOWED => "the path is there, but not for this method; see Allow",
        _ => "the request could not be answered; the log knows it by this request id",
    }
}
