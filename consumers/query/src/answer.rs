//! An answer that was read from the store, and a failure that may have been.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use licenseflow_runtime::http::Problem;
use licenseflow_store::lookup::Freshness;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

/// JSON, and where the model stood when it was read.
pub(crate) struct Answer {
    body: Vec<u8>,
    freshness: Freshness,
}

impl Answer {
    pub(crate) fn of(shape: &impl Serialize, freshness: Freshness) -> Self {
        // Text, numbers, and maps by text: all of it always is JSON.
        let body = serde_json::to_vec(shape).unwrap_or_default();
        Self { body, freshness }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        // Weak, since the same answer is sent in several encodings.
        let tag = format!("W/\"{:032x}\"", xxh3_128(&self.body));
        let mut response = self.body.into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        // Hexadecimal digits in quotes always are a header's value.
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response.extensions_mut().insert(ReadAt(self.freshness));
        response
    }
}

/// Where the model stood when the answer was read; the layer around all routes makes headers of it.
#[derive(Debug, Clone)]
pub(crate) struct ReadAt(pub(crate) Freshness);

/// A problem, and where the model stood if the store was read for it. Boxed, since it travels through
/// every function that can fail and is rare.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    problem: Problem,
    freshness: Option<Freshness>,
}

impl Failure {
    /// A problem with what was read, such as that it is not there.
    pub(crate) fn read(problem: Problem, freshness: Freshness) -> Self {
        Self(Box::new(Inner {
            problem,
            freshness: Some(freshness),
        }))
    }

    pub(crate) fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// The problem in words.
    pub(crate) fn detail(&self) -> &str {
        let problem = self.problem();
        problem.detail.as_deref().unwrap_or(&problem.code)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(Inner {
            problem,
            freshness: None,
        }))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.0.problem.into_response();
        if let Some(freshness) = self.0.freshness {
            response.extensions_mut().insert(ReadAt(freshness));
        }
        response
    }
}
