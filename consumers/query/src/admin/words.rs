//! The description of the admin API: what its shapes and handlers do not say themselves.

use licenseflow_core::contract::Reason;
use licenseflow_core::contract::json::schema::TIME;
use licenseflow_runtime::http::openapi::openapi_word;
use licenseflow_runtime::http::openapi::words::{
    REQUEST_ID_PATTERN, add_header, certain, header, named, optional, path, problem, retry_after,
    schema,
};
use licenseflow_store::LetterState;
use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, OpenApi, Ref, RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::asked::{ALL, FILTERS, PLACES_MAX};
use super::shapes::{LetterDealtWith, LetterShape, LettersDealtWith};
use super::{redrive, replays, resolve};
use crate::openapi::{Link, LinksByRelation, ReasonName, id, limit, nullable, of, page};

pub(super) const ADMIN: &str = "admin";

/// Errors: status, name, words, and whether GET and POST meet it.
const ERRORS: [(&str, &str, &str, [bool; 2]); 6] = [
    (
        "400",
        "AdminBadRequest",
        "`unknown_parameter`, `invalid_parameter`, `invalid_query`, `bad_json`, `broken_body`: something in \
         path, query string or body cannot be read.",
        [true, true],
    ),
    (
        "413",
        "AdminTooLarge",
        "`request_too_large`: the body has more bytes than are taken.",
        [false, true],
    ),
    (
        "415",
        "AdminMediaType",
        "`missing_content_type`, `unsupported_media_type`, `unsupported_content_encoding`.",
        [false, true],
    ),
    (
        "422",
        "AdminInvalidBody",
        "`invalid_body`: `errors` says where.",
        [false, true],
    ),
    (
        "503",
        "AdminAway",
        "`store_away`, `brokers_away`, `too_many_connections`: try again.",
        [true, true],
    ),
    (
        "504",
        "AdminTooLate",
        "`timeout`: not done within ten seconds; what was begun is ended.",
        [true, true],
    ),
];

/// Completes the description.
pub(super) fn lay(document: &mut OpenApi) {
    let tag = TagBuilder::new()
        .name(ADMIN)
        .description(Some(
            "What operators ask and do: dead letters, and replays.",
        ))
        .build();
    document.tags = Some(vec![tag]);
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.extend([
        named::<DeadLetterList>(),
        named::<LetterStateName>(),
        named::<LinksByRelation>(),
        named::<OneDeadLetter>(),
        named::<OutcomeName>(),
        named::<ReasonName>(),
        named::<RedriveAsked>(),
        named::<ResolveAsked>(),
        named::<LetterFilter>(),
        named::<LetterPlace>(),
        named::<ShownBytes>(),
        named::<LetterDealtWith>(),
        named::<LettersDealtWith>(),
        (
            "DeadLetter".to_owned(),
            <LetterShape as PartialSchema>::schema(),
        ),
        named::<Link>(),
    ]);
    replays::lay(components);
    let not_found = ("404", "AdminNotFound", NOT_FOUND, [true, false]);
    let (refused, name, words) = replays::ERRORS;
    let refused = (refused, name, words, [false, true]);
    for (status, name, words, _) in ERRORS.into_iter().chain([not_found, refused]) {
        let mut response = problem(words).build();
        if status == "503" {
            add_header(&mut response, "Retry-After", certain(retry_after()));
        }
        // Those may be made before the request is read, or where its time is over.
        let kept = match status {
            "503" | "504" => never_kept(),
            _ => certain(never_kept()),
        };
        add_header(&mut response, "Cache-Control", kept);
        components
            .responses
            .insert(name.to_owned(), response.into());
    }
    for (path, item) in &mut document.paths.paths {
        for (kind, operation) in [&mut item.get, &mut item.post].into_iter().enumerate() {
            if let Some(operation) = operation {
                around(operation, kind, path);
                if kind == 1 && path.starts_with(replays::LIST) {
                    replays::around(operation, path);
                }
            }
        }
    }
}

const NOT_FOUND: &str = "`letter_not_found`: no record was rejected there. `no_such_generation`: there is none of this number. \
     `not_found`: no such path.";

fn never_kept() -> utoipa::openapi::header::Header {
    header("Nobody keeps an answer.", json!({ "const": "no-store" }))
}

fn around(operation: &mut Operation, kind: usize, path: &str) {
    let responses = &mut operation.responses.responses;
    for (status, name, _, of) in ERRORS {
        if of[kind] {
            responses.insert(status.to_owned(), Ref::from_response_name(name).into());
        }
    }
    if path.contains('{') {
        let not_found = Ref::from_response_name("AdminNotFound");
        responses.insert("404".to_owned(), not_found.into());
    }
    for status in ["200", "202"] {
        if let Some(RefOr::T(answer)) = responses.get_mut(status) {
            add_header(answer, "Cache-Control", certain(never_kept()));
        }
    }
}

openapi_word!(
    /// What was done about a letter.
    LetterStateName,
    json!({ "type": "string", "enum": LetterState::ALL.map(LetterState::name) })
);
openapi_word!(
    /// What became of a letter.
    OutcomeName,
    json!({
        "type": "string",
        "enum": [
            "redriven", "would_redrive", "not_redrivable", "refused", "unanswered", "left", "resolved",
            "would_resolve", "closed_already", "not_found",
        ],
    })
);
openapi_word!(
    /// Letters.
    DeadLetterList,
    page("A page of dead letters, the oldest first.", of("DeadLetter"))
);
openapi_word!(
    /// Bytes as they are shown.
    ShownBytes,
    json!({
        "type": "object",
        "properties": {
            "length": { "type": "integer", "minimum": 0 },
            "text": { "type": ["string", "null"], "description": "Null: it is no text." },
            "hex": { "type": "string", "pattern": "^([0-9a-f]{2})*$", "maxLength": 8192 },
            "is_cut": { "type": "boolean", "description": "Whether only the first bytes are shown." },
        },
        "required": ["length", "text", "hex", "is_cut"],
    })
);
openapi_word!(
    /// Which letters something is done with.
    LetterFilter,
    json!({
        "type": "object",
        "description": "Open letters for which all of this holds; empty: all of them.",
        "properties": {
            "reason": of("ReasonName"),
            "tenant_id": of("Id"),
            "license_id": of("Id"),
            "request_id": of("RequestIdText"),
            "from": time("Rejected at this time or later."),
            "to": time("Rejected before this time."),
        },
        "additionalProperties": false,
    })
);
openapi_word!(
    /// Where a letter's record lies.
    LetterPlace,
    json!({
        "type": "object",
        "properties": {
            "topic": { "type": "string" },
            "partition": { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
            "offset": { "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX },
        },
        "required": ["topic", "partition", "offset"],
        "additionalProperties": false,
    })
);
openapi_word!(
    /// The body of a redrive.
    RedriveAsked,
    {
        let mut asked = asked(redrive::LIMIT_MAX, redrive::LIMIT);
        asked["properties"]["attempts_max"] = json!({
            "type": "integer",
            "minimum": 1,
            "maximum": redrive::ATTEMPTS_MOST,
            "default": redrive::ATTEMPTS_MAX,
            "description": "A record that was redriven so often already is left alone. The count goes with \
                            the record, in its header `x-attempt`.",
        });
        asked["examples"] = json!([{ "filter": { "reason": "unknown_schema" }, "dry_run": true }]);
        asked
    }
);
openapi_word!(
    /// The body of a resolve.
    ResolveAsked,
    {
        let mut asked = asked(resolve::LIMIT_MAX, resolve::LIMIT_MAX);
        asked["properties"]["reason"] = json!({
            "type": "string",
            "minLength": 1,
            "maxLength": resolve::REASON_MAX,
            "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
            "description": "Why they are closed.",
        });
        asked["required"] = json!(["reason"]);
        asked["examples"] = json!([{
            "filter": { "reason": "event_conflict", "license_id": "lic-1" },
            "reason": "corrected under an id of its own",
            "dry_run": true,
        }]);
        asked
    }
);

/// What both bodies have alike.
fn asked(limit_max: usize, limit: usize) -> Value {
    json!({
        "type": "object",
        "description": "Either `filter` or `letters`.",
        "properties": {
            "filter": of("LetterFilter"),
            "letters": {
                "type": "array",
                "items": of("LetterPlace"),
                "minItems": 1,
                "maxItems": PLACES_MAX,
            },
            "dry_run": {
                "type": "boolean",
                "default": false,
                "description": "Only say what would be done.",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": limit_max,
                "default": limit,
                "description": "How many letters of a filter are taken at most.",
            },
            "cursor": {
                "type": "string",
                "description": "`next_cursor` of the answer before, with the same filter.",
            },
        },
        "oneOf": [{ "required": ["filter"] }, { "required": ["letters"] }],
        "additionalProperties": false,
    })
}

/// A letter with its record.
#[derive(Debug)]
pub(super) enum OneDeadLetter {}

impl PartialSchema for OneDeadLetter {
    fn schema() -> RefOr<Schema> {
        let mut whole = LetterShape::schema();
        if let RefOr::T(Schema::Object(object)) = &mut whole {
            object.description = Some("A dead letter with its record.".to_owned());
            for (name, words) in record_words() {
                object.properties.insert(name.to_owned(), schema(words));
                object.required.push(name.to_owned());
            }
        }
        whole
    }
}

impl ToSchema for OneDeadLetter {}

fn text_or_null(about: &str) -> Value {
    json!({ "type": ["string", "null"], "description": about })
}

/// What is shown of the record.
fn record_words() -> [(&'static str, Value); 4] {
    let bytes = || nullable(of("ShownBytes"));
    let count = json!({ "type": ["integer", "null"], "minimum": 0 });
    let header = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "value": bytes() },
        "required": ["name", "value"],
    });
    let record = json!({
        "type": "object",
        "properties": {
            "key": bytes(),
            "value": bytes(),
            "headers": { "type": "array", "items": header },
            "tries": { "type": "integer", "minimum": 1, "description": "How often it was tried." },
        },
        "required": ["key", "value", "headers", "tries"],
    });
    let stopped = json!({
        "type": "object",
        "description": "Where reading could not go on.",
        "properties": {
            "field": text_or_null("The field that could not be read."),
            "offset": count,
            "error": { "type": "string" },
        },
        "required": ["field", "offset", "error"],
    });
    let read = json!({
        "type": "object",
        "description": "What can be read of the value.",
        "properties": {
            "format": { "enum": ["avro", "json", null] },
            "schema_id": count,
            "decoded": {},
            "stopped": nullable(stopped),
        },
        "required": ["format", "schema_id", "decoded", "stopped"],
    });
    let now = json!({
        "type": "object",
        "description": "What would be made of the record now, whatever its event meets.",
        "properties": {
            "is_taken": { "type": "boolean" },
            "reason": nullable(of("ReasonName")),
            "error": text_or_null("Why it would not be taken."),
        },
        "required": ["is_taken", "reason", "error"],
    });
    [
        ("record", nullable(record)),
        (
            "missing",
            text_or_null("Why the record, or its value, is not here."),
        ),
        ("read", nullable(read)),
        ("now", nullable(now)),
    ]
}

fn time(about: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "pattern": TIME, "description": about })
}

/// The parameters of the list.
#[derive(Debug)]
pub(super) enum OfLetters {}

impl IntoParams for OfLetters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        FILTERS.into_iter().map(parameter).collect()
    }
}

fn parameter(name: &str) -> Parameter {
    let query = |about: &str, words: Value| optional(ParameterIn::Query, name, about, words);
    match name {
        "state" => {
            let states = LetterState::ALL.map(LetterState::name);
            let all: Vec<&str> = states.into_iter().chain([ALL]).collect();
            let words = json!({ "type": "string", "enum": all, "default": "open" });
            query("Only those in this state.", words)
        }
        "reason" => query(
            "Only those that were rejected for this.",
            json!({ "type": "string", "enum": Reason::ALL.map(Reason::name) }),
        ),
        "tenant_id" => query("Only those that name this tenant.", id("default")),
        "license_id" => query("Only those that name this license.", id("lic-1")),
        "request_id" => query(
            "Only those of this request.",
            json!({ "type": "string", "pattern": REQUEST_ID_PATTERN, "maxLength": 128 }),
        ),
        "from" => query(
            "Only those rejected at this time or later.",
            time("A time."),
        ),
        "to" => query("Only those rejected before this time.", time("A time.")),
        "limit" => query("How many items a page has at most.", limit()),
        _ => query(
            "`next_cursor` of the page before. It fixes the filters; those beside it are left out or the same.",
            json!({ "type": "string" }),
        ),
    }
}

/// Where a letter's record lies, as a path.
#[derive(Debug)]
pub(super) enum PlaceOfLetter {}

impl IntoParams for PlaceOfLetter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let number = || json!({ "type": "integer", "minimum": 0 });
        vec![
            path("topic", "The record's topic.", json!({ "type": "string" })),
            path("partition", "Its partition.", number()),
            path("offset", "Its offset.", number()),
        ]
    }
}
