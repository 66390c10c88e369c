//! What the descriptions of all rooms say alike: ids, times, problems, and headers.

use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
};
use utoipa::{PartialSchema, ToSchema};

use crate::http::problem::MEDIA_TYPE;

/// The rule for ids, as a regular expression.
pub const ID_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$";

/// The rule for request ids.
pub const REQUEST_ID_PATTERN: &str = "^[!-~]{1,128}$";

/// The rule for positions.
pub const POSITION_PATTERN: &str = "^([eb]:[0-9]+:[0-9]+(,[eb]:[0-9]+:[0-9]+)*)?$";

/// Times as they are answered.
pub const TIME_PATTERN: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$";

/// Event ids as they are answered.
pub const EVENT_ID_PATTERN: &str = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";

/// A schema that is said in its own words.
#[must_use]
pub fn schema(words: Value) -> RefOr<Schema> {
    let Value::Object(words) = words else {
        return ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .into();
    };
    let words: Extensions = words.into_iter().collect();
    let schema = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
    schema.extensions(Some(words)).into()
}

/// Declares a type that stands for a schema of its name.
#[macro_export]
macro_rules! openapi_word {
    ($(#[$about:meta])* $name:ident, $words:expr) => {
        $(#[$about])*
        #[derive(Debug)]
        pub enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::http::openapi::words::schema($words)
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

openapi_word!(
    /// An id by the contract's rule.
    Id,
    json!({
        "type": "string",
        "pattern": ID_PATTERN,
        "maxLength": 128,
        "description": "1 to 128 of A-Z a-z 0-9 . _ : - beginning with a letter or a digit.",
        "examples": ["lic-1"],
    })
);

openapi_word!(
    /// An event's id as it is answered.
    EventId,
    json!({
        "type": "string",
        "format": "uuid",
        "pattern": EVENT_ID_PATTERN,
        "description": "The id of an event: a uuid in lower case.",
        "examples": ["0198e2f4-7c1a-7c3e-9a64-2f7a30c1d001"],
    })
);

openapi_word!(
    /// A time as it is answered.
    Time,
    json!({
        "type": "string",
        "format": "date-time",
        "pattern": TIME_PATTERN,
        "description": "RFC 3339 in UTC with six decimals.",
        "examples": ["2026-01-31T10:00:00.000001Z"],
    })
);

openapi_word!(
    /// A position.
    PositionText,
    json!({
        "type": "string",
        "pattern": POSITION_PATTERN,
        "description": "The next offset of each partition, as lane:partition:offset joined by commas; the \
                        lane is e for events and b for bulk. Partitions that are left out are not asked for.",
        "examples": ["e:0:1042,e:7:3,b:2:9"],
    })
);

openapi_word!(
    /// A request's id.
    RequestIdText,
    json!({
        "type": "string",
        "pattern": REQUEST_ID_PATTERN,
        "maxLength": 128,
        "description": "1 to 128 visible ASCII characters.",
        "examples": ["order-1"],
    })
);

openapi_word!(
    /// A wrong place in what was sent.
    FieldProblem,
    json!({
        "type": "object",
        "properties": {
            "pointer": {
                "type": "string",
                "description": "A JSON pointer (RFC 6901) into what was sent.",
                "examples": ["/data/seats"],
            },
            "detail": { "type": "string", "description": "What is wrong there." },
        },
        "required": ["pointer", "detail"],
    })
);

openapi_word!(
    /// An error.
    Problem,
    json!({
        "type": "object",
        "description": "An error (RFC 9457). Some kinds have members of their own.",
        "properties": {
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "code": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9_']*$",
                "description": "The name of this kind of error, to program against.",
            },
            "detail": { "type": "string", "description": "A sentence about this one occurrence." },
            "instance": {
                "type": "string",
                "description": "The path that was asked. Left out where the request was not read that far.",
            },
            "request_id": {
                "$ref": "#/components/schemas/RequestIdText",
                "description": "As in `X-Request-ID`. Left out where the request was not read that far.",
            },
            "errors": {
                "type": "array",
                "items": { "$ref": "#/components/schemas/FieldProblem" },
                "description": "Each wrong place of what was sent.",
            },
        },
        "required": ["type", "title", "status", "code", "detail"],
        "additionalProperties": true,
        "examples": [{
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "code": "license_not_found",
            "detail": "tenant default has no license lic-1",
            "instance": "/v1/licenses/lic-1",
            "request_id": "order-1",
        }],
    })
);

/// A reference to a schema by its type.
#[must_use]
pub fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// A type's name and schema, as the components hold them.
#[must_use]
pub fn named<T: ToSchema>() -> (String, RefOr<Schema>) {
    (T::name().into_owned(), <T as PartialSchema>::schema())
}

/// A response with a problem.
#[must_use]
pub fn problem(description: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(reference::<Problem>()));
    let response = ResponseBuilder::new().description(description);
    response.content(MEDIA_TYPE, content.build())
}

/// A header that an answer may have.
#[must_use]
pub fn header(description: &str, words: Value) -> Header {
    let header = HeaderBuilder::new().schema(Some(schema(words)));
    header.description(Some(description)).build()
}

/// A header that an answer always has.
#[must_use]
pub fn certain(header: Header) -> Header {
    // The builder has no member for it.
    let extensions: Extensions = [("required", true)].into_iter().collect();
    HeaderBuilder::from(header)
        .extensions(Some(extensions))
        .build()
}

/// `Retry-After`.
#[must_use]
pub fn retry_after() -> Header {
    let seconds = json!({ "type": "integer", "minimum": 1, "examples": [1] });
    header("After how many seconds another try is worth it.", seconds)
}

/// Adds a header, unless there is one of this name.
pub fn add_header(response: &mut Response, name: &str, header: Header) {
    let headers = &mut response.headers;
    headers
        .entry(name.to_owned())
        .or_insert_with(|| header.into());
}

/// A parameter that may be left out.
#[must_use]
pub fn optional(place: ParameterIn, name: &str, description: &str, words: Value) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema(words)))
        .build()
}

/// A part of the path.
#[must_use]
pub fn path(name: &str, description: &str, words: Value) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema(words)))
        .build()
}
