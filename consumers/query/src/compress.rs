//! Answers are sent smaller where the client can read that, by `Accept-Encoding`.

use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// Below this an answer fits a packet as it is.
const BYTES_MIN: u16 = 1024;

/// gzip and zstd, quick rather than small: JSON repeats itself, and the first pass finds most of it.
pub(crate) fn layer() -> CompressionLayer<impl Predicate> {
    let worth_it = SizeAbove::new(BYTES_MIN)
        .and(NotForContentType::SSE)
        .and(is_no_error);
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(worth_it)
}

/// Errors are completed further out, where the request's id is known, and must be readable there.
fn is_no_error(status: StatusCode, _: Version, _: &HeaderMap, _: &Extensions) -> bool {
    !status.is_client_error() && !status.is_server_error()
}
