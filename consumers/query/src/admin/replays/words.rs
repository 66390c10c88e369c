//! The description of replays: what their shapes and handlers do not say themselves.

use licenseflow_core::contract::json::schema::TIME;
use licenseflow_runtime::http::openapi::openapi_word;
use licenseflow_runtime::http::openapi::words::{
    POSITION_PATTERN, add_header, certain, header, named, path,
};
use licenseflow_store::progress::State;
use serde_json::json;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::{Components, Ref, RefOr, Required};
use utoipa::{IntoParams, PartialSchema};

use super::begin::BOUND_MAX;
use super::shapes::{GateShape, ReplayList, ReplayShape};

/// Where the list is.
pub(in super::super) const LIST: &str = "/v1/admin/replays";

/// The code of a generation that is not there.
pub(in super::super) const NO_SUCH: &str = "no_such_generation";

/// The answer to what cannot be done about a generation as it is: status, name, words.
pub(in super::super) const ERRORS: (&str, &str, &str) = (
    "409",
    "AdminRefused",
    "`is_live`: it is the live one. `is_part`: it is made of less than both whole lanes, and can never be the \
     live one. `is_building`: another is being built. `is_of_another_fold`: another release builds it. \
     `was_live`: it was live before, and is dropped instead of \
     cancelled. `never_live`: it, or any, never was.",
);

/// Adds the schemas.
pub(in super::super) fn lay(components: &mut Components) {
    components.schemas.extend([
        named::<NothingAsked>(),
        named::<ReplayAsked>(),
        named::<ReplayFrom>(),
        named::<ReplayList>(),
        named::<ReplayStateName>(),
        named::<ReplayWishName>(),
        named::<RowOfGate>(),
        (
            "Replay".to_owned(),
            <ReplayShape as PartialSchema>::schema(),
        ),
        (
            "ReplayGate".to_owned(),
            <GateShape as PartialSchema>::schema(),
        ),
    ]);
}

/// What is said of each deed, beside what is said of all operations.
pub(in super::super) fn around(operation: &mut Operation, path: &str) {
    let responses = &mut operation.responses.responses;
    let body = operation.request_body.as_mut().filter(|_| path != LIST);
    if let Some(RefOr::T(body)) = body {
        body.required = Some(Required::False);
    }
    let (status, name, _) = ERRORS;
    responses.insert(status.to_owned(), Ref::from_response_name(name).into());
    if let Some(RefOr::T(answer)) = responses.get_mut("202").filter(|_| path == LIST) {
        let place = json!({
            "type": "string", "format": "uri-reference", "examples": ["/v1/admin/replays/2"],
        });
        add_header(
            answer,
            "Location",
            certain(header("The generation.", place)),
        );
    }
}

openapi_word!(
    /// What a generation is at.
    ReplayStateName,
    json!({
        "type": "string",
        "enum": State::ALL.map(State::name),
        "description": "The first that holds: `live`, readers see it; `paused`; `troubled`, what was tried last \
                        failed and is tried again; `switching`, it is to be the live one as soon as it can; \
                        `comparing`, it has caught up and is to be compared; `kept`, it was live before and goes \
                        on beside the one that is; `compared`, nothing else is wanted of it; `caught_up`; \
                        `building`.",
    })
);
openapi_word!(
    /// What is to be done about a generation, beside to be advanced.
    ReplayWishName,
    json!({ "type": "string", "enum": ["none", "compare", "switch_when_equal", "switch"] })
);
openapi_word!(
    /// Which records a generation is made of.
    ReplayFrom,
    json!({
        "description": "All of both lanes, or what lies from there on in the partitions of a position.",
        "oneOf": [
            { "const": "beginning" },
            {
                "type": "object",
                "properties": { "position": { "$ref": "#/components/schemas/PositionText" } },
                "required": ["position"],
                "additionalProperties": false,
            },
        ],
    })
);
openapi_word!(
    /// A row as it is stored.
    RowOfGate,
    json!({
        "description": "A row of a license, of a device or of a metric, with times in microseconds UTC. Text: it \
                        has no such form.",
        "type": ["object", "string"],
    })
);
openapi_word!(
    /// The body of a deed.
    NothingAsked,
    json!({
        "type": "object",
        "description": "Nothing is said with it; it may be left out.",
        "additionalProperties": false,
    })
);
openapi_word!(
    /// The body of a beginning.
    ReplayAsked,
    {
        let bound = |about: &str| {
            json!({
                "type": "integer", "minimum": 1, "maximum": BOUND_MAX, "description": about,
            })
        };
        json!({
            "type": "object",
            "properties": {
                "from": from(),
                "partitions": {
                    "type": "array",
                    "items": { "type": "string", "examples": ["license.events.v1:0"] },
                    "minItems": 1,
                    "uniqueItems": true,
                    "description": "Only these, each as topic:partition; left out: all, or those that the position \
                                    names.",
                },
                "records_per_second": bound("So many records are read for it at most."),
                "live_lag_max_ms": bound(
                    "It waits while the live generation is further behind than so many milliseconds.",
                ),
                "switch_when_equal": {
                    "type": "boolean",
                    "default": false,
                    "description": "Make it the live one by itself, where a comparison finds it equal.",
                },
            },
            "required": ["from"],
            "additionalProperties": false,
            "examples": [
                { "from": "beginning", "records_per_second": 50_000 },
                { "from": { "time": "2026-11-01T00:00:00Z" }, "partitions": ["license.events.v1:3"] },
            ],
        })
    }
);

/// From where the log is read.
fn from() -> serde_json::Value {
    let one = |name: &str, words: serde_json::Value| {
        json!({
            "type": "object",
            "properties": { name: words },
            "required": [name],
            "additionalProperties": false,
        })
    };
    json!({
        "description": "From the beginning of both lanes; from there on in each partition that a position names; \
                        or from the first records of a time, the brokers', on.",
        "oneOf": [
            { "const": "beginning" },
            one("position", json!({ "type": "string", "pattern": POSITION_PATTERN, "minLength": 5 })),
            one("time", json!({ "type": "string", "format": "date-time", "pattern": TIME })),
        ],
    })
}

/// The generation of a path.
#[derive(Debug)]
pub(super) enum OfGeneration {}

impl IntoParams for OfGeneration {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let number = json!({ "type": "integer", "minimum": 1 });
        vec![path("generation", "The number of the generation.", number)]
    }
}
