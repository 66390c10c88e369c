//! Events that break each limit of the contract, one at a time, and their neighbours that do not.

use licenseflow_tests::harness::Platform;
use serde_json::{Value, json};

/// What one member is set to, which breaks a limit or does not.
struct Case {
    pointer: &'static str,
    value: Value,
    is_taken: bool,
}

/// A good event of each type that has limits of its own.
fn event(kind: &str) -> Value {
    let data = match kind {
        "LicenseIssued" => json!({
            "customer_id": "C", "product_id": "P", "plan": "team", "seats": 5,
            "valid_from": "2026-01-01T00:00:00Z", "expires_at": null,
            "entitlements": {"k": "v"}, "metadata": {"k": "v"}
        }),
        "LicenseSuspended" => json!({"reason": "r"}),
        "DeviceActivated" => json!({"device_id": "d", "fingerprint": "f", "platform": "p"}),
        _ => json!({"metric": "m", "quantity": 1}),
    };
    json!({
        "event_id": uuid::Uuid::now_v7().to_string(), "license_id": "LIC-limits",
        "tenant_id": "default", "occurred_at": "2026-01-31T10:00:00Z", "source": "s", "actor": "a",
        "type": kind, "data": data
    })
}

fn kind_of(pointer: &str) -> &'static str {
    match pointer.trim_start_matches("/data/").split('/').next() {
        Some("device_id" | "fingerprint" | "platform") => "DeviceActivated",
        Some("reason") => "LicenseSuspended",
        Some("metric" | "quantity") => "UsageRecorded",
        _ => "LicenseIssued",
    }
}

fn breaks(pointer: &'static str, value: impl Into<Value>) -> Case {
    let (value, is_taken) = (value.into(), false);
    Case {
        pointer,
        value,
        is_taken,
    }
}

fn keeps(pointer: &'static str, value: impl Into<Value>) -> Case {
    let (value, is_taken) = (value.into(), true);
    Case {
        pointer,
        value,
        is_taken,
    }
}

fn cases() -> Vec<Case> {
    [identifiers(), texts(), numbers(), times()]
        .into_iter()
        .flatten()
        .collect()
}

fn identifiers() -> Vec<Case> {
    let mut cases = Vec::new();
    for pointer in [
        "/license_id",
        "/tenant_id",
        "/data/customer_id",
        "/data/product_id",
        "/data/plan",
        "/data/device_id",
        "/data/metric",
    ] {
        for bad in [
            String::new(),
            "x".repeat(129),
            ".x".into(),
            "a b".into(),
            "ä".into(),
            "a/b".into(),
        ] {
            cases.push(breaks(pointer, bad));
        }
        cases.push(keeps(pointer, format!("{}.:_-", "x".repeat(124))));
    }
    for bad in [
        "",
        "70eb9a0a962646e685e818fac0433cbd",
        "{70eb9a0a-9626-4ae6-85e8-18fac0433cbd}",
    ] {
        cases.push(breaks("/event_id", bad));
    }
    cases.push(keeps("/event_id", "70EB9A0A-9626-4AE6-85E8-18FAC0433CBD"));
    cases
}

fn texts() -> Vec<Case> {
    let mut cases = Vec::new();
    for pointer in ["/source", "/actor", "/data/fingerprint", "/data/platform"] {
        cases.push(breaks(pointer, "ä".repeat(257)));
        cases.push(breaks(pointer, "a\u{1f}b"));
        cases.push(keeps(pointer, "🎫".repeat(256)));
        cases.push(keeps(pointer, "tab\tand line\nfeed\u{7f}"));
    }
    cases.push(breaks("/data/reason", "🎫".repeat(1025)));
    cases.push(breaks("/data/reason", "\r\n"));
    cases.push(keeps("/data/reason", "🎫".repeat(1024)));
    for pointer in ["/data/entitlements", "/data/metadata"] {
        cases.push(breaks(pointer, entries(65)));
        cases.push(keeps(pointer, entries(64)));
    }
    cases.push(breaks("/data/metadata/k", "x".repeat(1025)));
    cases.push(keeps("/data/metadata/k", "x".repeat(1024)));
    cases
}

fn numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (pointer, most) in [
        ("/data/seats", 1_000_000_000_i64),
        ("/data/quantity", 1_000_000_000_000),
    ] {
        for bad in [
            json!(-1),
            json!(most + 1),
            json!(1.5),
            json!("1"),
            json!(null),
        ] {
            cases.push(breaks(pointer, bad));
        }
        cases.extend([keeps(pointer, 0), keeps(pointer, most)]);
    }
    cases
}

fn times() -> Vec<Case> {
    let mut cases = Vec::new();
    for pointer in ["/occurred_at", "/data/valid_from", "/data/expires_at"] {
        for bad in [
            "1969-12-31T23:59:59.999999Z",
            "2200-01-01T00:00:00Z",
            "9999-12-31T00:00:00Z",
            "2026-01-31T10:00:00.0000001Z",
            "2026-01-31T10:00:60Z",
            "2026-01-31T10:00:00",
            "yesterday",
        ] {
            cases.push(breaks(pointer, bad));
        }
        cases.push(keeps(pointer, "1970-01-01T00:00:00Z"));
        cases.push(keeps(pointer, "2026-01-31T10:00:00.000001+14:00"));
    }
    cases.push(keeps("/data/expires_at", "2199-12-31T23:59:59.999999Z"));
    cases
}

fn entries(count: usize) -> Value {
    let entries = (0..count).map(|number| (format!("k{number}"), json!("v")));
    Value::Object(entries.collect())
}

/// Every case alone: a receipt, or a 422 that points at the member and says a word about it.
pub(super) async fn each_limit(platform: &Platform) {
    let http = reqwest::Client::new();
    let url = format!("{}/v1/events", platform.api());
    for Case {
        pointer,
        value,
        is_taken,
    } in cases()
    {
        let mut event = event(kind_of(pointer));
        *event.pointer_mut(pointer).unwrap() = value.clone();
        let answer = http.post(&url).json(&event).send().await.unwrap();
        let (status, body) = (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap(),
        );
        if is_taken {
            assert_eq!(status, 202, "{pointer} = {value}: {body}");
            continue;
        }
        assert_eq!(status, 422, "{pointer} = {value}: {body}");
        assert_eq!(body["code"], "invalid_event", "{body}");
        assert_eq!(body["errors"][0]["pointer"], pointer, "{body}");
        assert!(
            !body["errors"][0]["detail"].as_str().unwrap().is_empty(),
            "{body}"
        );
    }
}

/// The keys of maps are identifiers too, and are pointed at themselves.
pub(super) async fn map_keys(platform: &Platform) {
    let long = "x".repeat(129);
    for map in ["entitlements", "metadata"] {
        for (key, pointed_at) in [("a b", "a b"), ("", ""), (".x", ".x"), ("a/b~", "a~1b~0")] {
            let mut event = event("LicenseIssued");
            event["data"][map] = json!({ key: "v" });
            let problem = refused(platform, &event).await;
            let pointer = format!("/data/{map}/{pointed_at}");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        }
        let mut event = event("LicenseIssued");
        event["data"][map] = json!({ &long: "v" });
        let problem = refused(platform, &event).await;
        let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
        assert!(
            pointer.starts_with(&format!("/data/{map}/xxx")),
            "{problem}"
        );
    }
}

/// Who says never by a time far away is told how it is said.
pub(super) async fn never(platform: &Platform) {
    let mut event = event("LicenseIssued");
    event["data"]["expires_at"] = json!("9999-12-31T23:59:59Z");
    let problem = refused(platform, &event).await;
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("null"), "{problem}");
}

async fn refused(platform: &Platform, event: &Value) -> Value {
    let url = format!("{}/v1/events", platform.api());
    let asked = reqwest::Client::new().post(url).json(event);
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 422, "{event}");
    answer.json().await.unwrap()
}

/// Text that is no JSON, or not the JSON that is asked for.
pub(super) async fn wrong_json(platform: &Platform) {
    let http = reqwest::Client::new();
    let good = event("UsageRecorded").to_string();
    let with = |members: &str| good.replacen('{', &format!("{{{members},"), 1);
    let cases: [(String, u16, Option<&str>); 14] = [
        ("{".into(), 400, None),
        ("nonsense".into(), 400, None),
        (format!("{good}}}"), 400, None),
        (good.replace("\"m\"", "\"\\ud800\""), 0, None),
        (good.replace("\"m\"", "\"\u{1}\""), 400, None),
        (good.replace('"', "'"), 400, None),
        (
            format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)),
            0,
            None,
        ),
        (format!("{{\"data\":{}1", "{\"a\":".repeat(50_000)), 0, None),
        ("null".into(), 422, None),
        (with("\"unheard\":1"), 422, Some("/unheard")),
        (with("\"source\":\"again\""), 422, Some("/source")),
        (
            good.replace("\"quantity\":1", "\"quantity\":1e3"),
            422,
            Some("/data/quantity"),
        ),
        (
            good.replace("\"quantity\":1", "\"quantity\":99999999999999999999"),
            422,
            Some("/data/quantity"),
        ),
        (
            good.replace("UsageRecorded", "usageRecorded"),
            422,
            Some("/type"),
        ),
    ];
    for (body, status, pointer) in cases {
        let shown = body.chars().take(120).collect::<String>();
        let answer = http
            .post(format!("{}/v1/events", platform.api()))
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        let said = answer.status().as_u16();
        let problem: Value = answer.json().await.unwrap();
        // Where it may be either, what is not the text of JSON and what is not an event are both so.
        let expected = if status == 0 {
            said == 400 || said == 422
        } else {
            said == status
        };
        assert!(expected, "{shown}: {said} {problem}");
        assert!(
            problem["detail"].is_string() && problem["request_id"].is_string(),
            "{problem}"
        );
        if let Some(pointer) = pointer {
            assert_eq!(
                problem["errors"][0]["pointer"], pointer,
                "{shown}: {problem}"
            );
        }
    }
}

pub(super) async fn wrong_media_types(platform: &Platform) {
    let http = reqwest::Client::new();
    for media_type in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin1",
        "application/avro",
        "json",
        "",
    ] {
        let answer = http
            .post(format!("{}/v1/events", platform.api()))
            .header("content-type", media_type)
            .body(event("UsageRecorded").to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 415, "{media_type}");
        let problem: Value = answer.json().await.unwrap();
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("application/json")
                || media_type.contains("latin1")
        );
    }
}
