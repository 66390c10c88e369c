//! What is taken, and that each receipt names the record.

use licenseflow_avro::{Payload, Position};
use licenseflow_producers::accept::IntakeSettings;
use licenseflow_tests::harness::Kafka;
use serde_json::{Value, json};

use super::service::{Intake, Log, answered, event_of, headers_of, usage};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn started() -> (Log, Intake) {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let intake = Intake::start(&log, IntakeSettings::default());
    (log, intake)
}

/// Java's murmur2 and what its partitioner makes of it, from Kafka's documentation of the algorithm.
fn partition_of(key: &[u8], partitions: i32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ key.len() as u32;
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    for (place, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * place);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    (hash & 0x7fff_ffff) as i32 % partitions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_names_the_record_with_its_key_headers_and_bytes() {
    let (log, intake) = started().await;
    let body = json!({
        "event_id": "70EB9A0A-9626-4ae6-85e8-18fac0433cbd", "license_id": "LIC:1", "tenant_id": "acme",
        "occurred_at": "2026-01-31T11:00:00.000001+01:00", "source": "billing", "actor": "é",
        "type": "LicenseRenewed", "data": {"expires_at": null}
    });
    let response = intake
        .post(JSON, body.to_string())
        .header("x-request-id", "order/42")
        .header("x-tenant-id", "acme")
        .header("traceparent", TRACE)
        .header("tracestate", "a=1")
        .header("tracestate", "b=2")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(response.headers()["x-request-id"], "order/42");
    assert_eq!(response.headers()["location"], "/v1/requests/order%2F42");
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["request_id"], "order/42");
    assert_eq!(
        answer["_links"]["status"]["href"],
        "/v1/requests/order%2F42"
    );
    let receipt = &answer["receipts"][0];
    assert_eq!(receipt["event_id"], "70eb9a0a-9626-4ae6-85e8-18fac0433cbd");
    let (partition, offset) = (&receipt["partition"], receipt["offset"].as_i64().unwrap());
    assert_eq!(answer["position"], format!("e:{partition}:{}", offset + 1));

    let record = log.record_of(receipt).await;
    assert_eq!(
        &*record.topic,
        log.topics.lane(licenseflow_avro::Lane::Interactive)
    );
    assert_eq!(record.key.as_deref(), Some(b"LIC:1".as_slice()));
    assert_eq!(record.partition, partition_of(b"LIC:1", 12));
    let event = event_of(&record);
    assert_eq!(event.occurred_at, 1_769_853_600_000_001);
    assert_eq!(event.actor.as_deref(), Some("é"));
    assert!(matches!(event.payload, Payload::LicenseRenewed(_)));
    let headers = headers_of(&record);
    for (name, value) in [
        ("x-request-id", "order/42"),
        ("traceparent", TRACE),
        ("tracestate", "a=1,b=2"),
        ("ce_specversion", "1.0"),
        ("ce_id", "70eb9a0a-9626-4ae6-85e8-18fac0433cbd"),
        ("ce_source", "billing"),
        ("ce_type", "licenseflow.v1.LicenseRenewed"),
        ("ce_time", "2026-01-31T10:00:00.000001Z"),
        ("ce_subject", "LIC:1"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    let received: i64 = headers["x-received-at"].parse().unwrap();
    assert!((record.timestamp_ms.unwrap() - received).abs() < 60_000);
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_id_gets_one_and_the_record_has_it() {
    let (log, intake) = started().await;
    let (status, answer) = intake.answer(JSON, usage("L", 1)).await;
    assert_eq!(status, 202);
    let record = log.record_of(&answer["receipts"][0]).await;
    assert_eq!(headers_of(&record)["x-request-id"], answer["request_id"]);
    assert_eq!(event_of(&record).tenant_id, "default");
    assert!(!headers_of(&record).contains_key("traceparent"));
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_have_their_receipts_in_order_and_times_that_rise() {
    let (log, intake) = started().await;
    let lines: Vec<String> = (0..500).map(|n| usage(&format!("L{}", n % 7), n)).collect();
    for (media_type, body) in [
        (LINES, lines.join("\n")),
        (JSON, format!("[{}]", lines.join(","))),
    ] {
        let request = intake.post(media_type, body).header("x-priority", "bulk");
        let (status, answer) = answered(request).await;
        assert_eq!(status, 202, "{answer}");
        let receipts = answer["receipts"].as_array().unwrap();
        assert_eq!(receipts.len(), 500);
        let position: Position = answer["position"].as_str().unwrap().parse().unwrap();
        let of_request: Vec<_> = log
            .records()
            .await
            .into_iter()
            .filter(|record| {
                headers_of(record)["x-request-id"] == answer["request_id"].as_str().unwrap()
            })
            .collect();
        assert_eq!(of_request.len(), 500);
        let mut time_before = 0;
        for (n, receipt) in receipts.iter().enumerate() {
            let at = |record: &&licenseflow_runtime::log::Record| {
                *record.topic == *receipt["topic"].as_str().unwrap()
                    && receipt["partition"] == record.partition
                    && receipt["offset"] == record.offset
            };
            let record = of_request.iter().find(at).unwrap();
            let event = event_of(record);
            assert_eq!(
                event.event_id.to_string(),
                receipt["event_id"].as_str().unwrap()
            );
            let Payload::UsageRecorded(usage) = &event.payload else {
                panic!("another event");
            };
            assert_eq!(usage.quantity, n as i64);
            assert!(event.occurred_at > time_before);
            time_before = event.occurred_at;
            let next = position
                .get(licenseflow_avro::Lane::Bulk, record.partition)
                .unwrap();
            assert!(next > record.offset);
        }
    }
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_events_are_taken_structured_in_batches_and_in_binary_mode() {
    let (log, intake) = started().await;
    let event = |id: &str| {
        json!({
            "specversion": "1.0", "id": id, "source": "/billing", "subject": "LIC-7",
            "type": "licenseflow.v1.DeviceHeartbeat", "time": "2026-01-31T10:00:00Z",
            "tenantid": "acme", "data": {"device_id": "d"}, "traceparent": TRACE,
        })
    };
    let ids: Vec<String> = (0..4).map(|_| uuid::Uuid::now_v7().to_string()).collect();
    let structured = intake
        .answer("application/cloudevents+json", event(&ids[0]).to_string())
        .await;
    let both = json!([event(&ids[1]), event(&ids[2])]).to_string();
    let batch = intake
        .answer("application/cloudevents-batch+json", both)
        .await;
    let binary = intake
        .post(JSON, r#"{"device_id":"d"}"#)
        .header("ce-specversion", "1.0")
        .header("ce-id", &ids[3])
        .header("ce-source", "/b%C3%A9")
        .header("ce-type", "licenseflow.v1.DeviceHeartbeat")
        .header("ce-subject", "LIC-7")
        .header("ce-time", "2026-01-31T10:00:00Z")
        .header("ce-tenantid", "acme");
    let binary = answered(binary).await;
    let mut seen = Vec::new();
    for (status, answer) in [structured, batch, binary] {
        assert_eq!(status, 202, "{answer}");
        for receipt in answer["receipts"].as_array().unwrap() {
            let event = event_of(&log.record_of(receipt).await);
            assert_eq!(
                (event.license_id.as_str(), event.tenant_id.as_str()),
                ("LIC-7", "acme")
            );
            seen.push(event.event_id.to_string());
            if seen.len() == 4 {
                assert_eq!(event.source, "/bé");
            }
        }
    }
    assert_eq!(seen, ids);
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_each_line_stands_alone() {
    let (log, intake) = started().await;
    let bad = r#"{"license_id":"L","type":"LicensePlanChanged","data":{"plan":"p","seats":-1}}"#;
    let misspelt = r#"{"license_id":"L","type":"LicenseRenewed","data":{"expire_at":null}}"#;
    let body = [
        usage("L", 1),
        bad.into(),
        usage("L", 2),
        "not json".into(),
        misspelt.into(),
    ];
    let (status, answer) = intake.answer(LINES, body.join("\n")).await;
    assert_eq!(status, 207);
    let results = answer["receipts"].as_array().unwrap();
    assert_eq!(results.len(), 5);
    for (place, quantity) in [(0, 1), (2, 2)] {
        let event = event_of(&log.record_of(&results[place]).await);
        assert!(matches!(event.payload, Payload::UsageRecorded(used) if used.quantity == quantity));
    }
    for (place, code, pointer) in [
        (1, "invalid_event", "/1/data/seats"),
        (3, "bad_json", "/3"),
        (4, "invalid_event", "/4/data/expire_at"),
    ] {
        let problem = &results[place];
        assert_eq!(problem["status"], 422, "{problem}");
        assert_eq!(problem["code"], code);
        assert_eq!(problem["outcome"], "refused");
        assert_eq!(problem["pointer"], format!("/{place}"));
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let (status, answer) = intake.answer(LINES, format!("{bad}\nnot json\n")).await;
    assert_eq!((status, &answer["outcome"]), (422, &json!("refused")));
    assert_eq!(
        answer["receipts"][0]["errors"][0]["pointer"],
        "/0/data/seats"
    );
    assert_eq!(answer["errors"][0]["pointer"], "/0/data/seats");
    assert_eq!(log.records().await.len(), 2);
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_sent_again_is_the_same_event() {
    let (log, intake) = started().await;
    let id = uuid::Uuid::now_v7();
    let body = json!({
        "event_id": id, "license_id": "L", "occurred_at": "2026-01-31T10:00:00Z",
        "type": "LicenseRevoked", "data": {"reason": "fraud"}
    })
    .to_string();
    let (_, first) = intake.answer(JSON, body.clone()).await;
    let (_, second) = intake.answer(JSON, body).await;
    let first = log.record_of(&first["receipts"][0]).await;
    let second = log.record_of(&second["receipts"][0]).await;
    assert_eq!(first.partition, second.partition);
    assert!(first.offset < second.offset);
    assert_eq!(first.value, second.value);
    intake.stop().await;
}
