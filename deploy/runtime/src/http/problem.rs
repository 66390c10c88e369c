//! The one form of every error over HTTP (RFC 9457). A handler says status,
//! code and detail; which request it was is filled in by `harden`.

use super::request_id::RequestId;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What is wrong with one field of what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// A JSON pointer (RFC 6901) into what was sent, such as `/data/seats`.
    pub pointer: String,
    /// A sentence for whoever wrote the client.
    pub detail: String,
}

/// An answer that says what went wrong, `application/problem+json`.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// A stable name to program against, such as `invalid_event`.
    pub code: String,
    /// A sentence about this one occurrence. Never a stack, a query or a secret.
    pub detail: Option<String>,
    /// Each bad field.
    pub errors: Vec<FieldProblem>,
    /// Members of this kind of problem alone, such as `outcome`.
    pub members: Map<String, Value>,
    /// After how many seconds another try is worth it.
    pub retry_after_seconds: Option<u32>,
    /// The path that was asked for; filled in by `harden`.
    pub instance: Option<String>,
    /// The id of the request; filled in by `harden`.
    pub request_id: Option<RequestId>,
}

impl Problem {
    /// A problem with its status and its stable code.
    pub fn new(status: StatusCode, code: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: None,
            errors: Vec::new(),
            members: Map::new(),
            retry_after_seconds: None,
            instance: None,
            request_id: None,
        }
    }

    /// 400: the request is not formed as asked.
    pub fn bad_request(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code).detail(detail)
    }

    /// 404: there is nothing by that name.
    pub fn not_found(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code).detail(detail)
    }

    /// 422: well formed, but its content cannot be taken.
    pub fn unprocessable(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code).detail(detail)
    }

    /// 503 with `Retry-After`: the store or the brokers are away for now.
    pub fn unavailable(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code)
            .detail(detail)
            .retry_after(1)
    }

    /// 500: our own fault. The cause belongs into the log, not into the answer.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            .detail("an error of the service; the log knows it by this request id")
    }

    /// Says more about this one occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names one bad field by its JSON pointer.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(FieldProblem {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// Adds a member that this kind of problem alone has.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// Asks the client to wait before another try.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The problem as JSON, also for a problem inside a larger answer (one line
    /// of many). The named members win over `members` of the same name.
    pub fn to_json(&self) -> Value {
        let mut json = self.members.clone();
        let title = self.status.canonical_reason().unwrap_or("Error");
        json.insert("type".into(), "about:blank".into());
        json.insert("title".into(), title.into());
        json.insert("status".into(), self.status.as_u16().into());
        json.insert("code".into(), self.code.as_str().into());
        if let Some(detail) = &self.detail {
            json.insert("detail".into(), detail.as_str().into());
        }
        if let Some(instance) = &self.instance {
            json.insert("instance".into(), instance.as_str().into());
        }
        if let Some(id) = &self.request_id {
            json.insert("request_id".into(), id.as_str().into());
        }
        if !self.errors.is_empty() {
            let errors = self.errors.iter().map(
                |error| serde_json::json!({ "pointer": error.pointer, "detail": error.detail }),
            );
            json.insert("errors".into(), errors.collect());
        }
        Value::Object(json)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.to_json().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        // `harden` finds the problem here, completes it and writes it anew.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_every_member_that_was_said() {
        let problem = Problem::unprocessable("invalid_event", "two fields")
            .field("/data/seats", "must not be negative")
            .member("outcome", "refused")
            .member("status", "a member cannot hide the status");
        let json = problem.to_json();
        assert_eq!(json["type"], "about:blank");
        assert_eq!(json["title"], "Unprocessable Entity");
        assert_eq!(json["status"], 422);
        assert_eq!(json["code"], "invalid_event");
        assert_eq!(json["outcome"], "refused");
        assert_eq!(json["errors"][0]["pointer"], "/data/seats");
    }

    #[test]
    fn being_away_asks_the_client_to_come_again() {
        let response = Problem::unavailable("brokers_away", "no broker answers").into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], MEDIA_TYPE);
    }
}
