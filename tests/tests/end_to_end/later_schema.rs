//! A schema of a later producer's: ours with one more text at its end.

use licenseflow_avro::codec::encode;
use licenseflow_avro::json;
use licenseflow_tests::harness::{Platform, project};
use serde_json::{Value, json};

/// The id that the registry gives it: ours is the first.
pub(crate) const LATER_ID: u32 = 2;

pub(crate) fn usage(license: &str, event: u8) -> Value {
    json!({
        "event_id": format!("00000000-0000-7000-8000-0000000000{event:02}"), "license_id": license,
        "occurred_at": "2026-01-31T10:00:00Z", "type": "UsageRecorded",
        "data": {"metric": "calls", "quantity": 1},
    })
}

/// A record under that schema, which says this id.
pub(crate) fn value(schema_id: u32, license: &str, event: u8) -> Vec<u8> {
    let event = json::decode(usage(license, event).to_string().as_bytes()).unwrap();
    let mut value = encode(schema_id, &event);
    value.push(0);
    value
}

pub(crate) async fn register(platform: &Platform) {
    let path = project().join("avro/schemas/license_event.avsc");
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let note = json!({"name": "note", "type": "string", "default": ""});
    schema["fields"].as_array_mut().unwrap().push(note);
    let subject = format!("{}-value", platform.events_topic());
    let url = format!("{}/subjects/{subject}/versions", platform.registry());
    let body = json!({"schema": schema.to_string()});
    let answer = reqwest::Client::new().post(url).json(&body).send().await;
    let answer: Value = answer.unwrap().json().await.unwrap();
    assert_eq!(answer["id"], LATER_ID, "{answer}");
}
