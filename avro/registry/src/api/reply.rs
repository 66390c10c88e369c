//! Answers in the API's media type, errors with their code.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::{Error, Result};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");

/// An answer, or an error.
pub(super) fn reply<T: Serialize>(answer: Result<T>) -> Response {
    match answer {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(error) => {
            let body =
                serde_json::json!({"error_code": error.code(), "message": error.to_string()});
            let mut response = json(error.status(), &body);
            if error.status() == StatusCode::SERVICE_UNAVAILABLE {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
    }
}

/// A schema's own text, as it was registered.
pub(super) fn raw(text: Result<String>) -> Response {
    match text {
        Ok(text) => typed(StatusCode::OK, text.into()),
        Err(error) => reply::<()>(Err(error)),
    }
}

/// An answer to a path or a method that the API does not have.
pub(super) fn no_such_route(status: StatusCode, message: &str) -> Response {
    json(
        status,
        &serde_json::json!({"error_code": status.as_u16(), "message": message}),
    )
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => typed(status, bytes.into()),
        Err(error) => {
            tracing::error!(%error, "an answer of the registry cannot be written as JSON");
            let error = Error::Store("the answer cannot be written as JSON".into());
            (error.status(), error.to_string()).into_response()
        }
    }
}

fn typed(status: StatusCode, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
}
