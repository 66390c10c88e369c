//! Bodies of JSON: whether one may be taken, and how what is wrong with it is told.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use licenseflow_runtime::http::Problem;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::answer::Failure;

/// All of a body of JSON, as it came; `bytes_max` is what the route takes at most.
pub(crate) fn whole(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    bytes_max: usize,
) -> Result<Bytes, Failure> {
    check_media_type(headers)?;
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("a body here has at most {bytes_max} bytes");
            let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large");
            return problem.detail(detail).into();
        }
        // Where the time for the body ran out, the answer is made further out.
        Problem::bad_request("broken_body", "the body ended before it was complete").into()
    })
}

/// Reads a body; `unexpected` is the failure of one that is JSON and not what the route takes.
pub(crate) fn read<T: DeserializeOwned>(
    body: &[u8],
    unexpected: impl FnOnce(&serde_json::Error) -> Failure,
) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => unexpected(&error),
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::bad_request("bad_json", format!("the body is no JSON: {error}")).into()
        }
    })
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Failure> {
    let unsupported = |code: &str, detail: &str| {
        Failure::from(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code).detail(detail))
    };
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let detail = "bodies are taken as they are, without Content-Encoding";
        return Err(unsupported("unsupported_content_encoding", detail));
    }
    let Some(media_type) = headers.get(CONTENT_TYPE) else {
        let detail = "Content-Type is missing: it is application/json";
        return Err(unsupported("missing_content_type", detail));
    };
    let media_type = media_type.to_str().unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = "the media type is not taken: it is application/json";
        return Err(unsupported("unsupported_media_type", detail));
    }
    Ok(())
}
