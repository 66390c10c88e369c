//! What is not taken: a clear answer for each, quickly, and nothing of it in the log.

use std::time::{Duration, Instant};

use licenseflow_producers::accept::IntakeSettings;
use licenseflow_runtime::http::HttpLimits;
use licenseflow_tests::harness::Kafka;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::service::{Intake, Log, answered, usage};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// A request, and the status and code of its answer.
struct Case {
    media_type: Option<&'static str>,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    answer: (u16, &'static str),
    /// The bad field, where one is to blame.
    pointer: Option<&'static str>,
}

fn case(media_type: &'static str, body: impl Into<String>, answer: (u16, &'static str)) -> Case {
    Case {
        media_type: Some(media_type),
        headers: &[],
        body: body.into(),
        answer,
        pointer: None,
    }
}

fn event(members: &Value) -> String {
    let mut event = json!({
        "event_id": "70eb9a0a-9626-4ae6-85e8-18fac0433cbd", "license_id": "L",
        "occurred_at": "2026-01-31T10:00:00Z", "type": "UsageRecorded",
        "data": {"metric": "m", "quantity": 1}
    });
    for (name, value) in members.as_object().unwrap() {
        event[name] = value.clone();
    }
    event.to_string()
}

fn field(members: &Value, code: &'static str, pointer: &'static str) -> Case {
    Case {
        pointer: Some(pointer),
        ..case(JSON, event(members), (422, code))
    }
}

fn requests() -> Vec<Case> {
    vec![
        Case {
            media_type: None,
            ..case(JSON, usage("L", 1), (415, "missing_content_type"))
        },
        case("text/plain", usage("L", 1), (415, "unsupported_media_type")),
        Case {
            headers: &[("content-encoding", "gzip")],
            ..case(JSON, usage("L", 1), (415, "unsupported_content_encoding"))
        },
        case(JSON, "", (400, "empty_body")),
        case(LINES, "\n \r\n", (400, "empty_body")),
        case(JSON, "[ ]", (400, "empty_body")),
        case(JSON, "{\"license_id\"", (400, "bad_json")),
        case(JSON, "[{}", (400, "bad_json")),
        case(JSON, "\"text\"", (422, "invalid_event")),
        Case {
            headers: &[("x-priority", "urgent")],
            ..case(JSON, usage("L", 1), (400, "invalid_priority"))
        },
        Case {
            headers: &[("x-tenant-id", "a b")],
            ..case(JSON, usage("L", 1), (400, "invalid_tenant"))
        },
        Case {
            headers: &[("x-tenant-id", "acme")],
            pointer: Some("/tenant_id"),
            ..case(
                JSON,
                event(&json!({"tenant_id": "other"})),
                (422, "tenant_mismatch"),
            )
        },
        Case {
            headers: &[
                ("ce-id", "x"),
                ("ce-type", "licenseflow.v1.DeviceHeartbeat"),
                ("ce-specversion", "1.0"),
            ],
            pointer: Some("/id"),
            ..case(JSON, r#"{"device_id":"d"}"#, (422, "invalid_event"))
        },
        case(
            JSON,
            format!("{{{}", " ".repeat(1024 * 1024)),
            (413, "request_too_large"),
        ),
        case(
            LINES,
            vec![usage("L", 1); 10_001].join("\n"),
            (413, "too_many_events"),
        ),
    ]
}

fn fields() -> Vec<Case> {
    let long = "x".repeat(1025);
    vec![
        field(&json!({"type": "Unheard"}), "unknown_type", "/type"),
        field(
            &json!({"occurred_at": "2199-01-01T00:00:00Z"}),
            "occurred_at_in_future",
            "/occurred_at",
        ),
        field(
            &json!({"occurred_at": "9999-12-31T00:00:00Z"}),
            "invalid_event",
            "/occurred_at",
        ),
        field(&json!({"occurred_at": 5}), "invalid_event", "/occurred_at"),
        field(
            &json!({"event_id": "70eb9a0a962646e685e818fac0433cbd"}),
            "invalid_event",
            "/event_id",
        ),
        field(
            &json!({"license_id": "a/b"}),
            "invalid_event",
            "/license_id",
        ),
        field(
            &json!({"tenant_id": "x".repeat(129)}),
            "invalid_event",
            "/tenant_id",
        ),
        field(
            &json!({"source": "x".repeat(257)}),
            "invalid_event",
            "/source",
        ),
        field(&json!({"actor": "\u{1}"}), "invalid_event", "/actor"),
        field(&json!({"extra": 1}), "invalid_event", "/extra"),
        field(
            &json!({"data": {"metric": "m", "quantity": 1.5}}),
            "invalid_event",
            "/data/quantity",
        ),
        field(
            &json!({"data": {"metric": "m", "quantity": 1_000_000_000_001_i64}}),
            "invalid_event",
            "/data/quantity",
        ),
        field(
            &json!({"type": "LicenseRevoked", "data": {"reason": long}}),
            "invalid_event",
            "/data/reason",
        ),
        field(
            &json!({"type": "LicenseRenewed", "data": {}}),
            "invalid_event",
            "/data/expires_at",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_a_rule_is_answered_with_its_problem_and_is_not_in_the_log() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let intake = Intake::start(&log, IntakeSettings::default());
    for case in requests().into_iter().chain(fields()) {
        let mut request = intake.http.post(&intake.url).body(case.body.clone());
        if let Some(media_type) = case.media_type {
            request = request.header("content-type", media_type);
        }
        for (name, value) in case.headers {
            request = request.header(*name, *value);
        }
        let (status, problem) = answered(request).await;
        let said = (status, problem["code"].as_str().unwrap());
        assert_eq!(said, case.answer, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], "/v1/events");
        assert!(problem["request_id"].is_string());
        if let Some(pointer) = case.pointer {
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        }
        if !said.1.starts_with("invalid_tenant") {
            assert_eq!(problem["outcome"], "refused", "{problem}");
        }
    }
    assert_eq!(log.records().await, []);
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_list_is_taken_and_one_event_past_its_bound_is_refused_alone() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let intake = Intake::start(&log, IntakeSettings::default());
    let (status, answer) = intake
        .answer(LINES, vec![usage("L", 1); 10_000].join("\n"))
        .await;
    assert_eq!(status, 202);
    assert_eq!(answer["receipts"].as_array().unwrap().len(), 10_000);
    let padded = format!("{}{}", usage("L", 1), " ".repeat(1024 * 1024));
    let (status, answer) = intake
        .answer(LINES, format!("{}\n{padded}", usage("L", 2)))
        .await;
    assert_eq!(status, 207);
    assert_eq!(answer["receipts"][1]["status"], 413);
    assert_eq!(answer["receipts"][1]["code"], "event_too_large");
    intake.stop().await;
}

async fn raw(intake: &Intake, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(intake.address).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n{head}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn status_line(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_100_mb_is_refused_before_it_is_sent_and_an_endless_one_at_the_bound() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let intake = Intake::start(&log, IntakeSettings::default());
    let asked = Instant::now();
    let mut stream = raw(&intake, "content-length: 100000000").await;
    assert_eq!(status_line(&mut stream).await, "HTTP/1.1 413");
    assert!(asked.elapsed() < Duration::from_secs(5));

    let stream = raw(&intake, "transfer-encoding: chunked").await;
    let (mut answer, mut body) = stream.into_split();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let endless = async {
        // Until the connection is closed; four times the bound at most.
        for _ in 0..0x400 {
            if body.write_all(&chunk).await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    tokio::select! {
        line = status_line(&mut answer) => assert_eq!(line, "HTTP/1.1 413"),
        () = endless => panic!("64 MiB were read"),
    }

    let (status, _) = intake.answer(JSON, usage("L", 1)).await;
    assert_eq!(status, 202);
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_what_is_served_at_once_clients_are_told_to_come_again() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let intake = Intake::start(
        &log,
        IntakeSettings {
            requests_max: 1,
            ..IntakeSettings::default()
        },
    );
    // It holds the only place until its body is complete.
    let body = usage("L", 1);
    let mut slow = raw(&intake, &format!("content-length: {}", body.len())).await;
    let shed = licenseflow_tests::harness::wait_for_async(
        "a refusal",
        super::service::TIMEOUT,
        async || {
            let response = intake.post(JSON, usage("L", 2)).send().await.unwrap();
            (response.status() == 503).then_some(response)
        },
    )
    .await
    .unwrap();
    assert_eq!(shed.headers()["retry-after"], "1");
    let problem: Value = shed.json().await.unwrap();
    assert_eq!(
        (&problem["code"], &problem["outcome"]),
        (&json!("too_busy"), &json!("refused"))
    );
    slow.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(status_line(&mut slow).await, "HTTP/1.1 202");
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_share_a_bound_over_all_requests() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let intake = Intake::start(
        &log,
        IntakeSettings {
            bodies_bytes_max: 64 * 1024,
            ..IntakeSettings::default()
        },
    );
    let (status, problem) = intake
        .answer(LINES, vec![usage("L", 1); 2000].join("\n"))
        .await;
    assert_eq!((status, &problem["code"]), (503, &json!("too_busy")));
    for _ in 0..10 {
        // What a request held is free again after it.
        let (status, _) = intake
            .answer(LINES, vec![usage("L", 1); 500].join("\n"))
            .await;
        assert_eq!(status, 202);
    }
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_a_408() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let limits = HttpLimits {
        body_timeout: Duration::from_millis(300),
        ..HttpLimits::default()
    };
    let intake = Intake::with_limits(&log, IntakeSettings::default(), limits);
    let mut slow = raw(&intake, "content-length: 100").await;
    slow.write_all(b"{").await.unwrap();
    assert_eq!(status_line(&mut slow).await, "HTTP/1.1 408");
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_whose_requests_are_answered_at_once_is_not_cut() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let limits = HttpLimits {
        header_timeout: Duration::from_millis(200),
        ..HttpLimits::default()
    };
    let intake = Intake::with_limits(&log, IntakeSettings::default(), limits);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1000) {
        let (status, _) = intake.answer("text/plain", "x").await;
        assert_eq!(status, 415);
    }
    intake.stop().await;
}
