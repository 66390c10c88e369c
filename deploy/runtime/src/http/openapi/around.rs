//! What is around every route: the request's id, and the errors that any request may meet.

use std::collections::BTreeSet;

use serde_json::json;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{Components, OpenApi, Ref, RefOr, Response};

use super::words::{
    EventId, FieldProblem, Id, PositionText, Problem, REQUEST_ID_PATTERN, RequestIdText, Time,
    add_header, certain, header, named, optional, problem, retry_after,
};

/// Errors that a route does not say itself, by status: name, words, and whether another try is worth it.
const ERRORS: [(&str, &str, &str); 5] = [
    (
        "408",
        "SlowRequest",
        "`slow_headers`, `slow_body`: the request did not arrive in time.",
    ),
    (
        "431",
        "HeadersTooLarge",
        "`headers_too_large`: request line and headers are too large.",
    ),
    (
        "500",
        "Internal",
        "`internal`: an error of the service; its log knows it by the request's id.",
    ),
    (
        "503",
        "Away",
        "`too_many_connections`: too much is going on; try again.",
    ),
    (
        "504",
        "TooLate",
        "`timeout`: the answer took longer than the service allows itself.",
    ),
];

/// Statuses that an answer may have that is made where the connection is, before the request is known.
const NAMELESS: [&str; 2] = ["408", "503"];

pub(super) fn lay(document: &mut OpenApi) {
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.extend([
        named::<EventId>(),
        named::<FieldProblem>(),
        named::<Id>(),
        named::<PositionText>(),
        named::<Problem>(),
        named::<RequestIdText>(),
        named::<Time>(),
    ]);
    for (status, name, words) in ERRORS {
        let mut response = problem(words).build();
        if status == "503" {
            add_header(&mut response, "Retry-After", certain(retry_after()));
        }
        components
            .responses
            .insert(name.to_owned(), response.into());
    }
    let mut nameless = BTreeSet::new();
    for item in document.paths.paths.values_mut() {
        for operation in operations(item) {
            around(operation, &mut nameless);
        }
    }
    for (name, response) in &mut components.responses {
        let place = Ref::from_response_name(name).ref_location;
        if let RefOr::T(response) = response {
            identify(response, !nameless.contains(&place));
        }
    }
}

/// Lays it around one operation; what that refers to for a nameless status is noted.
fn around(operation: &mut Operation, nameless: &mut BTreeSet<String>) {
    let words = json!({ "type": "string", "pattern": REQUEST_ID_PATTERN, "maxLength": 128 });
    let id = optional(
        ParameterIn::Header,
        "X-Request-ID",
        "Names the request: it is echoed, stands in every log line and error, and goes with the events \
         that the request sends. One that is none is replaced.",
        words,
    );
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(id.into());
    let responses = &mut operation.responses.responses;
    for (status, name, _) in ERRORS {
        let error = || Ref::from_response_name(name).into();
        responses.entry(status.to_owned()).or_insert_with(error);
    }
    for (status, response) in responses {
        let is_named = !NAMELESS.contains(&status.as_str());
        match response {
            RefOr::T(response) => identify(response, is_named),
            RefOr::Ref(to) if !is_named => {
                nameless.insert(to.ref_location.clone());
            }
            RefOr::Ref(_) => {}
        }
    }
}

/// Says that the answer names its request.
fn identify(response: &mut Response, always: bool) {
    let words = json!({ "type": "string", "pattern": REQUEST_ID_PATTERN, "maxLength": 128 });
    let id = header(
        "The id of the request, the client's own or a new one.",
        words,
    );
    let id = if always { certain(id) } else { id };
    add_header(response, "X-Request-ID", id);
}

/// Every operation of a path.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ];
    all.into_iter().flatten()
}
