//! Every member of every answer, by value, for one license written by hand.

use licenseflow_avro::Lane;
use licenseflow_avro::event::{EventVoided, LicenseSuspended, Payload, UsageRecorded};
use serde_json::{Value, json};

use crate::model::{Model, NOW, activated, beat, deactivated, event, id, id_text, issued};
use crate::served::Served;

fn fill(model: &mut Model) {
    let issue = Payload::LicenseIssued(issued("c-1", 1, Some(NOW + 5_000_001)));
    model.say(event(0xA1, "L-1", NOW - 9_000_000, issue), Some("req/1"));
    model.say(
        event(0xA2, "L-1", NOW - 8_000_000, activated("d-1")),
        Some("req/1"),
    );
    model.say(event(0xA3, "L-1", NOW - 7_000_000, activated("d-2")), None);
    let reason = "late payment".to_owned();
    let suspended = Payload::LicenseSuspended(LicenseSuspended { reason });
    model.say_on(
        Lane::Bulk,
        3,
        event(0xA4, "L-1", NOW - 6_000_000, suspended),
        Some("req-2"),
    );
    let voided = Payload::EventVoided(EventVoided {
        voided_event_id: id(0xA4),
        reason: String::new(),
    });
    model.say(event(0xA5, "L-1", NOW - 5_000_000, voided), Some("req-3"));
    let used = Payload::UsageRecorded(UsageRecorded {
        metric: "pages".to_owned(),
        quantity: 12,
    });
    model.say(event(0xA6, "L-1", NOW - 4_000_000, used), Some("req-3"));
    model.say(
        event(0xA7, "L-1", NOW - 3_000_000, activated("d-3")),
        Some("req-3"),
    );
    model.say(
        event(0xA8, "L-1", NOW - 2_000_000, deactivated("d-3")),
        Some("req-3"),
    );
    model.say(event(0xB0, "L-1", NOW - 1, beat("d-2")), Some("req-3"));
    model.apply();
    // The same event once more, and another content under the same id.
    let again = Payload::UsageRecorded(UsageRecorded {
        metric: "pages".to_owned(),
        quantity: 12,
    });
    model.say(event(0xA6, "L-1", NOW - 4_000_000, again), Some("req-3"));
    model.say(event(0xA6, "L-1", NOW - 4_000_000, beat("d-1")), None);
    model.say(
        event(0xA6, "L-1", NOW - 4_000_001, activated("d-9")),
        Some("req-4"),
    );
    // That content again: its conflict stands at the lesser record.
    model.say(
        event(0xA6, "L-1", NOW - 4_000_001, activated("d-9")),
        Some("req-5"),
    );
    model.apply();
    model.caught_up(NOW / 1000 - 40);
}

/// `events` is what Python's xxhash gives for the ids.
fn license() -> Value {
    json!({
        "tenant_id": "default",
        "license_id": "L-1",
        "customer_id": "c-1",
        "product_id": "editor",
        "plan": "team",
        "seats": 1,
        "entitlements": {"export": "pdf"},
        "metadata": {"order": "o-1"},
        "valid_from": "2026-05-28T20:26:30.000000Z",
        "expires_at": "2026-05-28T20:26:45.000001Z",
        "lifecycle": "active",
        "status": "active",
        "seats_used": 2,
        "over_seat": true,
        "event_count": 7,
        "events": "c353af0a8454ebc325e88c324fd81835",
        "first_event_at": "2026-05-28T20:26:31.000000Z",
        "last_event_at": "2026-05-28T20:26:38.000000Z",
        "last_event_id": id_text(0xA8),
        "decided_by": {
            "customer": id_text(0xA1),
            "expiry": id_text(0xA1),
            "issue": id_text(0xA1),
            "lifecycle": id_text(0xA1),
            "plan": id_text(0xA1),
        },
        "degraded": [{
            "reason": "event_conflict",
            "since": "2026-05-28T20:26:39.500000Z",
            "topic": "t-license.events.v1",
            "partition": 0,
            "offset": 10,
        }],
        "_links": {
            "self": {"href": "/v1/licenses/L-1"},
            "customer": {"href": "/v1/customers/c-1"},
            "devices": {"href": "/v1/licenses/L-1/devices"},
            "usage": {"href": "/v1/licenses/L-1/usage"},
            "events": {"href": "/v1/licenses/L-1/events"},
        },
    })
}

fn devices() -> Value {
    let device = |name: &str, number: u128, decided_by: u128, active: bool, seen: &str| {
        json!({
            "tenant_id": "default",
            "license_id": "L-1",
            "device_id": name,
            "active": active,
            "decided_by": id_text(decided_by),
            "activated_by": id_text(number),
            "fingerprint": format!("fp-{name}"),
            "platform": null,
            "last_seen_at": seen,
        })
    };
    json!([
        device("d-1", 0xA2, 0xA2, true, "2026-05-28T20:26:36.000000Z"),
        device("d-2", 0xA3, 0xA3, true, "2026-05-28T20:26:39.999999Z"),
        device("d-3", 0xA7, 0xA8, false, "2026-05-28T20:26:38.000000Z"),
    ])
}

fn usage() -> Value {
    json!([{"tenant_id": "default", "license_id": "L-1", "metric": "pages", "quantity": 12}])
}

#[tokio::test]
async fn a_license_has_the_members_of_its_row_and_what_is_computed() {
    let (served, _model) = Served::start(fill).await;
    let answer = served.get("/v1/licenses/L-1").await;
    assert_eq!(answer.ok(), license());
    assert_eq!(answer.header("x-read-position"), Some("e:0:12,b:3:1"));
    assert_eq!(answer.header("x-lag-ms"), Some("40"));
    assert_eq!(answer.header("vary"), Some("X-Tenant-Id"));
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    assert_eq!(answer.header("x-stale"), None);
}

#[tokio::test]
async fn included_parts_are_first_pages_with_links() {
    let (served, _model) = Served::start(fill).await;
    let answer = served
        .get("/v1/licenses/L-1?include=devices,usage,timeline")
        .await
        .ok();
    assert_eq!(answer["devices"]["items"], devices());
    assert_eq!(answer["usage"]["items"], usage());
    let timeline = served.get("/v1/licenses/L-1/events").await.ok();
    assert_eq!(answer["timeline"]["items"], timeline["items"]);
    for (part, path) in [
        ("devices", "devices"),
        ("usage", "usage"),
        ("timeline", "events"),
    ] {
        let itself = format!("/v1/licenses/L-1/{path}");
        assert_eq!(answer[part]["_links"], json!({"self": {"href": itself}}));
        assert_eq!(answer[part]["next_cursor"], Value::Null);
    }
    let mut alone = answer;
    for part in ["devices", "usage", "timeline"] {
        alone.as_object_mut().unwrap().remove(part);
    }
    assert_eq!(alone, license());
}

#[tokio::test]
async fn devices_and_metrics_are_their_rows() {
    let (served, _model) = Served::start(fill).await;
    let answer = served.get("/v1/licenses/L-1/devices").await.ok();
    let expected = json!({
        "items": devices(),
        "next_cursor": null,
        "_links": {"self": {"href": "/v1/licenses/L-1/devices"}},
    });
    assert_eq!(answer, expected);
    let answer = served.get("/v1/licenses/L-1/usage").await.ok();
    assert_eq!(answer["items"], usage());
}

#[tokio::test]
async fn a_timeline_has_events_in_order_with_where_they_lie_and_what_voided_them() {
    let (served, _model) = Served::start(fill).await;
    let items = served.get("/v1/licenses/L-1/events").await.ok()["items"].clone();
    let ids: Vec<&str> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["event_id"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0xA1..=0xA8).map(id_text).collect();
    assert_eq!(ids, expected);
    assert_eq!(
        items[1],
        json!({
            "event_id": id_text(0xA2),
            "tenant_id": "default",
            "license_id": "L-1",
            "occurred_at": "2026-05-28T20:26:32.000000Z",
            "source": "billing",
            "actor": null,
            "type": "DeviceActivated",
            "data": {"device_id": "d-1", "fingerprint": "fp-d-1", "platform": null},
            "topic": "t-license.events.v1",
            "partition": 0,
            "offset": 1,
            "recorded_at": "2026-05-28T20:26:39.000000Z",
            "request_id": "req/1",
            "_links": {"request": {"href": "/v1/requests/req%2F1"}},
        })
    );
    assert_eq!(items[2]["request_id"], "t-license.events.v1:0:2");
    assert_eq!(items[3]["topic"], "t-license.events.bulk.v1");
    assert_eq!(items[3]["partition"], 3);
    assert_eq!(items[3]["voided_by"], id_text(0xA5));
    let voided: Vec<bool> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.get("voided_by").is_some())
        .collect();
    assert_eq!(voided.iter().filter(|it| **it).count(), 1);
}

#[tokio::test]
async fn a_journey_says_when_its_records_were_received_produced_and_applied() {
    let (served, _model) = Served::start(fill).await;
    let answer = served.get("/v1/requests/req%2F1").await.ok();
    assert_eq!(answer["request_id"], "req/1");
    assert_eq!(answer["next_cursor"], Value::Null);
    assert_eq!(
        answer["items"][0],
        json!({
            "topic": "t-license.events.v1",
            "partition": 0,
            "offset": 0,
            "license_id": "L-1",
            "event_id": id_text(0xA1),
            "type": "LicenseIssued",
            "outcome": "applied",
            "rejected": null,
            "retried": null,
            "received_at": "2026-05-28T20:26:38.750000Z",
            "produced_at": "2026-05-28T20:26:39.000000Z",
            "applied_at": "2026-05-28T20:26:39.500000Z",
            "batch": 1,
            "dead_lettered_at": null,
            "milliseconds": {
                "received_to_produced": 250,
                "produced_to_applied": 500,
                "received_to_applied": 750,
                "applied_to_dead_lettered": null,
            },
        })
    );
    assert_eq!(answer["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_journey_tells_the_event_from_a_duplicate_a_heartbeat_and_a_conflict() {
    let (served, _model) = Served::start(fill).await;
    let items = served.items("/v1/requests/req-3?limit=2").await;
    let outcomes: Vec<&str> = items
        .iter()
        .map(|it| it["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        [
            "applied",
            "applied",
            "applied",
            "applied",
            "heartbeat",
            "duplicate"
        ]
    );
    for request in ["req-4", "req-5"] {
        let conflict = served.get(&format!("/v1/requests/{request}")).await.ok();
        let record = &conflict["items"][0];
        assert_eq!(record["outcome"], "rejected", "{request}");
        assert_eq!(record["rejected"]["reason"], "event_conflict");
        assert_eq!(record["batch"], 2);
    }
}

#[tokio::test]
async fn a_record_without_a_request_id_is_known_by_its_coordinates() {
    let (served, _model) = Served::start(fill).await;
    let answer = served
        .get("/v1/requests/t-license.events.v1:0:2")
        .await
        .ok();
    assert_eq!(answer["items"].as_array().unwrap().len(), 1);
    assert_eq!(answer["items"][0]["event_id"], id_text(0xA3));
    // A record that has an id is not known by its coordinates as well.
    served
        .get("/v1/requests/t-license.events.v1:0:0")
        .await
        .problem(404, "request_not_found");
}

#[tokio::test]
async fn the_position_shows_each_partition_and_the_digest() {
    let (served, _model) = Served::start(fill).await;
    let mut answer = served.get("/v1/position").await.ok();
    let digest = answer["digest"].take();
    let hexadecimal = digest.as_str().unwrap().strip_prefix("d1:").unwrap();
    assert_eq!(hexadecimal.len(), 32);
    assert_eq!(
        answer,
        json!({
            "position": "e:0:12,b:3:1",
            "digest": null,
            "generation": 1,
            "partitions": [
                {
                    "topic": "t-license.events.bulk.v1",
                    "partition": 3,
                    "next_offset": 1,
                    "end_offset": null,
                    "lag_events": null,
                    "lag_ms": null,
                },
                {
                    "topic": "t-license.events.v1",
                    "partition": 0,
                    "next_offset": 12,
                    "end_offset": 12,
                    "lag_events": 0,
                    "lag_ms": 40,
                },
            ],
            "_links": {"self": {"href": "/v1/position"}},
        })
    );
}

#[tokio::test]
async fn an_answer_that_the_client_has_is_not_sent_again_until_anything_in_it_changes() {
    let (served, mut model) = Served::start(fill).await;
    let first = served.get("/v1/licenses/L-1").await;
    let tag = first.header("etag").unwrap();
    let again = served
        .get_with("/v1/licenses/L-1", &[("if-none-match", tag)])
        .await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    assert_eq!(again.header("etag"), Some(tag));
    assert_eq!(again.header("x-read-position"), Some("e:0:12,b:3:1"));
    assert_eq!(again.header("vary"), Some("X-Tenant-Id"));
    model.say(event(0xC1, "L-1", NOW, activated("d-4")), None);
    model.apply();
    let changed = served
        .get_with("/v1/licenses/L-1", &[("if-none-match", tag)])
        .await;
    assert_eq!(changed.ok()["seats_used"], 3);
    assert_ne!(changed.header("etag"), Some(tag));
}

#[tokio::test]
async fn alive_and_ready_are_two_things() {
    use std::sync::atomic::Ordering;
    let (served, _model) = Served::start(fill).await;
    assert_eq!(served.get("/healthz").await.ok(), json!({"alive": true}));
    let ready = served.get("/readyz").await.ok();
    assert_eq!(ready["ready"], true);
    assert_eq!(
        ready["checks"][0],
        json!({"name": "store", "ready": true, "problem": null})
    );
    served.readiness.brokers_away.store(true, Ordering::SeqCst);
    let problem = served.get("/readyz").await.problem(503, "not_ready");
    assert_eq!(problem["checks"][1]["problem"], "no broker answers");
    served.readiness.brokers_away.store(false, Ordering::SeqCst);
    served.lookup.away.store(true, Ordering::SeqCst);
    let problem = served.get("/readyz").await.problem(503, "not_ready");
    assert_eq!(problem["checks"][0]["ready"], false);
    assert_eq!(served.get("/healthz").await.status, 200);
}
