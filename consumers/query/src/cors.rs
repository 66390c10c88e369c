//! Which web pages of other origins may read this API in a browser. Without any named, none may.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser remembers what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What a page may set beside what it always may.
const ALLOWED: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::IF_NONE_MATCH,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-max-staleness-ms"),
    HeaderName::from_static("x-min-position"),
    HeaderName::from_static("x-on-stale"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-tenant-id"),
    HeaderName::from_static("x-wait-ms"),
];

/// What a page may read of an answer beside its body.
const EXPOSED: [HeaderName; 6] = [
    header::ETAG,
    header::RETRY_AFTER,
    HeaderName::from_static("x-lag-ms"),
    HeaderName::from_static("x-read-position"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-stale"),
];

/// Opens the API to these origins, `*` being all; none: it stays closed. Credentials of the browser are
/// never sent along.
pub(crate) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        // What is no header's value is no origin of any page either.
        let values = origins.iter().map(|origin| HeaderValue::from_str(origin));
        AllowOrigin::list(values.filter_map(Result::ok))
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(ALLOWED)
        .expose_headers(EXPOSED)
        .max_age(REMEMBERED)
        .vary([header::ORIGIN]);
    Some(layer)
}
