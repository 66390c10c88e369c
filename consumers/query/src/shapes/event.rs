//! An event of a timeline: its JSON form, where it lies, who said it, and what voided it.

use licenseflow_core::contract::{Coordinates, EventKind, Topics, json as json_form};
use licenseflow_runtime::http::openapi::openapi_word;
use licenseflow_store::lookup::TimelineRow;
use serde_json::{Value, json};

use super::{time_ms, value};
use crate::links::{self, Links};

openapi_word!(
    /// An event of a timeline.
    TimelineEvent,
    {
        let of_type = timeline_types().map(|kind| {
            let data = format!("#/components/schemas/{}", crate::openapi::data_name(kind));
            json!({ "properties": { "type": { "const": kind.name() }, "data": { "$ref": data } } })
        });
        json!({
            "type": "object",
            "description": "An event: what was said, where it lies, and by whose request. Heartbeats \
                            stand in no timeline.",
            "properties": {
                "event_id": { "$ref": "#/components/schemas/EventId" },
                "tenant_id": { "$ref": "#/components/schemas/Id" },
                "license_id": { "$ref": "#/components/schemas/Id" },
                "occurred_at": { "$ref": "#/components/schemas/Time" },
                "source": { "type": "string", "description": "The service that said it." },
                "actor": { "type": ["string", "null"], "description": "On whose behalf." },
                "type": { "type": "string", "enum": timeline_types().map(EventKind::name).collect::<Vec<_>>() },
                "data": { "type": "object" },
                "topic": { "type": "string" },
                "partition": { "type": "integer", "minimum": 0 },
                "offset": { "type": "integer", "minimum": 0 },
                "recorded_at": {
                    "$ref": "#/components/schemas/Time",
                    "description": "The record's time in the log.",
                },
                "request_id": {
                    "$ref": "#/components/schemas/RequestIdText",
                    "description": "The request that said it; topic:partition:offset where none is known.",
                },
                "voided_by": {
                    "$ref": "#/components/schemas/EventId",
                    "description": "The event that undid it. Left out where it counts.",
                },
                "_links": { "$ref": "#/components/schemas/LinksByRelation" },
            },
            "required": [
                "event_id", "tenant_id", "license_id", "occurred_at", "source", "actor", "type", "data",
                "topic", "partition", "offset", "recorded_at", "request_id", "_links",
            ],
            "oneOf": of_type.collect::<Vec<_>>(),
        })
    }
);

fn timeline_types() -> impl Iterator<Item = EventKind> {
    let all = EventKind::ALL.into_iter();
    all.filter(|kind| *kind != EventKind::DeviceHeartbeat)
}

pub(crate) fn event(row: &TimelineRow, topics: &Topics) -> Value {
    let recorded = &row.recorded;
    let at = &recorded.at;
    let request_id = match &recorded.request_id {
        Some(request_id) => request_id.to_string(),
        None => coordinates_text(at, topics),
    };
    let mut shown = json_form::encode(&recorded.event);
    if let Value::Object(members) = &mut shown {
        members.insert("topic".to_owned(), topics.lane(at.lane).into());
        members.insert("partition".to_owned(), at.partition.into());
        members.insert("offset".to_owned(), at.offset.into());
        members.insert("recorded_at".to_owned(), time_ms(at.timestamp).into());
        let links = Links::default().and("request", links::request(&request_id));
        members.insert("_links".to_owned(), value(links));
        members.insert("request_id".to_owned(), request_id.into());
        if let Some(voided_by) = row.voided_by {
            let voided_by = voided_by.hyphenated().to_string();
            members.insert("voided_by".to_owned(), json!(voided_by));
        }
    }
    shown
}

/// How a record without a request id is known.
pub(crate) fn coordinates_text(at: &Coordinates, topics: &Topics) -> String {
    format!("{}:{}:{}", topics.lane(at.lane), at.partition, at.offset)
}
