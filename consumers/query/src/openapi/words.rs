//! Names that a member may have, as schemas.

use licenseflow_core::contract::EventKind;
use licenseflow_core::contract::reason::Reason;
use licenseflow_core::status::{Lifecycle, Status};
use licenseflow_runtime::http::openapi::openapi_word;
use serde_json::json;

/// The name of the schema of an event's data.
pub(crate) fn data_name(kind: EventKind) -> String {
    format!("{}Data", kind.name())
}

openapi_word!(
    /// What a license is now.
    StatusName,
    json!({
        "type": "string",
        "enum": Status::ALL.map(Status::name),
        "description": "What the license is at the time of asking: revoked, else suspended, else expired, \
                        else pending before `valid_from`, else active; unknown where no event said it.",
    })
);

openapi_word!(
    /// What was last said of a license.
    LifecycleName,
    json!({
        "type": "string",
        "enum": Lifecycle::ALL.map(Lifecycle::name),
        "description": "What events have said; unlike the status it does not change by time alone.",
    })
);

openapi_word!(
    /// The type of an event.
    EventType,
    json!({ "type": "string", "enum": EventKind::ALL.map(EventKind::name) })
);

openapi_word!(
    /// Why a record was rejected.
    ReasonName,
    json!({ "type": "string", "enum": Reason::ALL.map(Reason::name) })
);

openapi_word!(
    /// Numbers of events.
    CountsByType,
    json!({
        "type": "object",
        "description": "Numbers of events by type; types without any are left out.",
        "propertyNames": { "enum": EventKind::ALL.map(EventKind::name) },
        "additionalProperties": { "type": "integer", "minimum": 0 },
        "examples": [{ "LicenseIssued": 3, "DeviceActivated": 12 }],
    })
);

openapi_word!(
    /// Links of an answer.
    LinksByRelation,
    json!({
        "type": "object",
        "description": "Links by their relation (HAL). Those of a license, and of a replay, say what can be done next.",
        "additionalProperties": { "$ref": "#/components/schemas/Link" },
        "examples": [{
            "self": { "href": "/v1/licenses/lic-1" },
            "suspend": {
                "href": "/v1/events",
                "method": "POST",
                "event": "LicenseSuspended",
                "required": [],
                "optional": ["reason"],
            },
        }],
    })
);

openapi_word!(
    /// One link.
    Link,
    json!({
        "type": "object",
        "properties": {
            "href": { "type": "string", "format": "uri-reference" },
            "method": {
                "const": "POST",
                "description": "The link is followed by posting there, an event where `event` says of which \
                                type; without `method`, by GET.",
            },
            "event": { "$ref": "#/components/schemas/EventType" },
            "required": {
                "type": "array",
                "items": { "type": "string" },
                "description": "Members that the event's data must have.",
            },
            "optional": {
                "type": "array",
                "items": { "type": "string" },
                "description": "Members that the event's data may have.",
            },
        },
        "required": ["href"],
        "dependentRequired": { "event": ["method", "required", "optional"] },
    })
);
