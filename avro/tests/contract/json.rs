//! The JSON form: what is taken, and where the blame falls for what is not.

use licenseflow_avro::json::{
    CloudEvent, cloudevents_decode, decode, decode_data, decode_draft, encode, split_array,
};
use licenseflow_avro::{EventKind, Fault, Reason};
use uuid::Uuid;

use crate::samples::{MICROS, every_kind, heartbeat};

const ID: &str = "01912345-6789-7abc-8def-0123456789ab";

/// A heartbeat's text with one part replaced.
fn with(from: &str, to: &str) -> String {
    let text = format!(
        r#"{{"event_id":"{ID}","license_id":"LIC-1","tenant_id":"acme","occurred_at":"2026-01-31T10:00:00.000001Z","source":"billing","actor":"ops@example.test","type":"DeviceHeartbeat","data":{{"device_id":"dev-1"}}}}"#
    );
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

fn fault(text: &str) -> Fault {
    decode(text.as_bytes()).expect_err(text)
}

#[test]
fn every_kind_reads_back_as_it_was_written() {
    for event in every_kind() {
        assert_eq!(
            decode(encode(&event).to_string().as_bytes()).as_ref(),
            Ok(&event)
        );
    }
}

#[test]
fn the_golden_events_read_back_as_they_are_written() {
    // From this crate's folder, where cargo runs it.
    let text = std::fs::read_to_string("../tests/golden/events.ndjson").unwrap();
    assert!(text.lines().count() > 50);
    for line in text.lines() {
        let event = decode(line.as_bytes()).unwrap();
        assert_eq!(decode(encode(&event).to_string().as_bytes()), Ok(event));
    }
}

#[test]
fn members_with_a_default_may_be_left_out() {
    let text = format!(
        r#" {{"type":"LicenseIssued","data":{{"customer_id":"c","product_id":"p","plan":"x","seats":-0,"valid_from":"2026-01-31T11:00:00+01:00"}},"license_id":"L","occurred_at":"2026-01-31T10:00:00Z","event_id":"{}"}} "#,
        ID.to_uppercase()
    );
    let event = decode(text.as_bytes()).unwrap();
    assert_eq!(
        (event.tenant_id.as_str(), event.source.as_str()),
        ("default", "")
    );
    assert_eq!(event.actor, None);
    assert_eq!(event.event_id.to_string(), ID);
    let written = encode(&event);
    assert_eq!(written["data"]["expires_at"], serde_json::Value::Null);
    assert_eq!(written["data"]["valid_from"], "2026-01-31T10:00:00.000000Z");
    assert_eq!(written["data"]["seats"], 0);
}

#[test]
fn what_is_no_json_is_bad_json() {
    for text in [
        "",
        "{",
        "{}}",
        r#"{"a":1,}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":NaN}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12g4"}"#,
        "{\"a\":\"\u{1}\"}",
        "{'a':1}",
        r#"{"a":[1,{"b":]}"#,
        r#"{"a":tru}"#,
        "{} {}",
        "\u{feff}{}",
    ] {
        assert_eq!(fault(text).reason, Reason::BadJson, "{text}");
    }
    assert_eq!(
        decode(b"{\"a\":\"\xff\"}").unwrap_err().reason,
        Reason::BadJson
    );
    let trailing = format!("{}x", with("acme", "acme"));
    assert_eq!(fault(&trailing).reason, Reason::BadJson);
}

#[test]
fn what_is_json_but_no_event_names_its_member() {
    let deep = format!(r#"{{"x":{}{}"#, "[".repeat(100_000), "]".repeat(100_000)) + ",";
    for (from, to, pointer) in [
        ("\"source\"", "\"sauce\"", "/sauce"),
        ("{", "{\"source\":\"x\",", "/source"),
        ("{", "{\"type\":\"DeviceHeartbeat\",", "/type"),
        ("{", deep.as_str(), "/x"),
        (
            "{\"device_id\"",
            "{\"device_id\":\"x\",\"device_id\"",
            "/data/device_id",
        ),
        ("{\"device_id\"", "{\"devise_id\"", "/data/devise_id"),
        ("{\"device_id\":\"dev-1\"}", "{}", "/data/device_id"),
        ("{\"device_id\":\"dev-1\"}", "null", "/data"),
        ("{\"device_id\":\"dev-1\"}", "[]", "/data"),
        ("\"dev-1\"", "null", "/data/device_id"),
        ("\"dev-1\"", "1", "/data/device_id"),
        ("\"dev-1\"", "{}", "/data/device_id"),
        ("dev-1", "\\ud800", "/data/device_id"),
        ("dev-1", "\\ud800\\u0041", "/data/device_id"),
        ("dev-1", "\\udc00", "/data/device_id"),
        ("\"acme\"", "null", "/tenant_id"),
        ("\"billing\"", "null", "/source"),
        ("\"ops@example.test\"", "true", "/actor"),
        (
            "\"2026-01-31T10:00:00.000001Z\"",
            "1769853600000001",
            "/occurred_at",
        ),
        ("10:00:00.000001Z", "10:00:60Z", "/occurred_at"),
        ("10:00:00.000001Z", "10:00:00.0000001Z", "/occurred_at"),
        ("-01-31T", "-02-30T", "/occurred_at"),
        ("01912345-6789", "0191234567-89", "/event_id"),
        (ID, "0191234567897abc8def0123456789ab", "/event_id"),
        (ID, "{01912345-6789-7abc-8def-0123456789ab}", "/event_id"),
        ("\"DeviceHeartbeat\"", "7", "/type"),
        ("\"type\":\"DeviceHeartbeat\",", "", "/type"),
        ("\"license_id\":\"LIC-1\",", "", "/license_id"),
    ] {
        let fault = fault(&with(from, to));
        assert_eq!(
            fault.reason,
            Reason::InvalidEvent,
            "{from} -> {to}: {fault}"
        );
        assert_eq!(fault.pointer.as_deref(), Some(pointer), "{from} -> {to}");
    }
    for required in [
        format!("\"event_id\":\"{ID}\","),
        "\"occurred_at\":\"2026-01-31T10:00:00.000001Z\",".into(),
    ] {
        assert_eq!(fault(&with(&required, "")).reason, Reason::InvalidEvent);
    }
    assert_eq!(fault("[]").reason, Reason::InvalidEvent);
}

#[test]
fn numbers_and_maps_are_exact() {
    let usage = |quantity: &str| {
        with(
            r#""DeviceHeartbeat","data":{"device_id":"dev-1"}"#,
            &format!(r#""UsageRecorded","data":{{"metric":"m","quantity":{quantity}}}"#),
        )
    };
    assert!(decode(usage("9007199254740993").as_bytes()).is_ok());
    for bad in [
        "1.0",
        "1e3",
        "1E0",
        "\"1\"",
        "9223372036854775808",
        "null",
        "true",
    ] {
        assert_eq!(
            fault(&usage(bad)).pointer.as_deref(),
            Some("/data/quantity"),
            "{bad}"
        );
    }
    let plan = |seats: &str, entitlements: &str| {
        with(
            r#""DeviceHeartbeat","data":{"device_id":"dev-1"}"#,
            &format!(
                r#""LicensePlanChanged","data":{{"plan":"p","seats":{seats},"entitlements":{entitlements}}}"#
            ),
        )
    };
    assert!(decode(plan("3", r#"{"a":"\ud83e\udd80"}"#).as_bytes()).is_ok());
    for (seats, entitlements, pointer) in [
        ("2147483648", "{}", "/data/seats"),
        ("1", "null", "/data/entitlements"),
        ("1", "[]", "/data/entitlements"),
        ("1", r#"{"a":1}"#, "/data/entitlements/a"),
        ("1", r#"{"a":null}"#, "/data/entitlements/a"),
        ("1", r#"{"a":{"b":{"c":{}}}}"#, "/data/entitlements/a"),
        ("1", r#"{"a":"1","a":"2"}"#, "/data/entitlements/a"),
        ("1", r#"{"a/~":"1","a/~":"2"}"#, "/data/entitlements/a~1~0"),
        ("1", r#"{"a":"\udfff"}"#, "/data/entitlements/a"),
    ] {
        let fault = fault(&plan(seats, entitlements));
        assert_eq!(fault.pointer.as_deref(), Some(pointer), "{entitlements}");
        assert_eq!(fault.reason, Reason::InvalidEvent);
    }
}

#[test]
fn renewed_may_not_leave_its_end_out_but_may_say_null() {
    let renewed = |data: &str| {
        with(
            r#""DeviceHeartbeat","data":{"device_id":"dev-1"}"#,
            &format!(r#""LicenseRenewed","data":{data}"#),
        )
    };
    assert!(decode(renewed(r#"{"expires_at":null}"#).as_bytes()).is_ok());
    assert_eq!(
        fault(&renewed("{}")).pointer.as_deref(),
        Some("/data/expires_at")
    );
    assert_eq!(
        fault(&renewed(r#"{"expire_at":null}"#)).pointer.as_deref(),
        Some("/data/expire_at")
    );
}

#[test]
fn an_unknown_type_is_judged_before_members_and_limits() {
    let text = r#"{"license_id":"***","license_id":7,"type":"LicenseMerged","what":[]}"#;
    let fault = fault(text);
    assert_eq!(fault.reason, Reason::UnknownType);
    assert!(!fault.points_at_us, "whoever writes JSON may misspell");
}

#[test]
fn a_draft_may_leave_its_id_and_with_it_its_time_to_the_intake() {
    let id = format!("\"event_id\":\"{ID}\",");
    let time = "\"occurred_at\":\"2026-01-31T10:00:00.000001Z\",";
    let neither = with(&id, "")
        .replace(time, "")
        .replace("\"tenant_id\":\"acme\",", "");
    let draft = decode_draft(neither.as_bytes()).unwrap();
    assert_eq!(
        (draft.event_id, draft.occurred_at, &draft.tenant_id),
        (None, None, &None)
    );
    let event_id = heartbeat().event_id;
    assert_eq!(draft.complete(event_id, "acme", MICROS), heartbeat());

    let only_id = decode_draft(with(time, "").as_bytes()).unwrap_err();
    assert_eq!(only_id.pointer.as_deref(), Some("/occurred_at"));
    let only_time = decode_draft(with(&id, "").as_bytes()).unwrap();
    assert_eq!(only_time.occurred_at, Some(MICROS));
    let whole = decode_draft(with("acme", "acme").as_bytes()).unwrap();
    assert_eq!(whole.complete(Uuid::nil(), "other", 0), heartbeat());
}

#[test]
fn an_array_is_split_into_its_elements_texts() {
    let items = split_array(b" [ {\"a\":[1,2]} , 3,\"x,]\" ] ").unwrap();
    assert_eq!(items, [&b"{\"a\":[1,2]}"[..], b"3", b"\"x,]\""]);
    assert!(split_array(b"[]").unwrap().is_empty());
    for text in ["{}", "[", "[1,]", "[1 2]", "[1]x"] {
        assert_eq!(
            split_array(text.as_bytes()).unwrap_err().reason,
            Reason::BadJson,
            "{text}"
        );
    }
}

const CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"01912345-6789-7abc-8def-0123456789ab","source":"billing","type":"licenseflow.v1.DeviceHeartbeat","subject":"LIC-1","time":"2026-01-31T10:00:00.000001Z","tenantid":"acme","actor":"ops@example.test","traceparent":"00-x","datacontenttype":"application/json; charset=utf-8","data":{"device_id":"dev-1"}}"#;

#[test]
fn a_cloud_event_is_the_same_event() {
    let draft = cloudevents_decode(CLOUD_EVENT.as_bytes()).unwrap();
    assert_eq!(draft.complete(Uuid::nil(), "other", 0), heartbeat());
    let parts = CloudEvent {
        specversion: Some("1.0".into()),
        id: Some(ID.into()),
        source: Some("billing".into()),
        event_type: Some("licenseflow.v1.DeviceHeartbeat".into()),
        subject: Some("LIC-1".into()),
        time: Some("2026-01-31T10:00:00.000001Z".into()),
        tenantid: Some("acme".into()),
        actor: Some("ops@example.test".into()),
        datacontenttype: None,
    };
    let draft = parts
        .clone()
        .with_data(br#"{"device_id":"dev-1"}"#)
        .unwrap();
    assert_eq!(draft.complete(Uuid::nil(), "other", 0), heartbeat());
    let fault = parts.with_data(br#"{"device_id":"dev-1""#).unwrap_err();
    assert_eq!(fault.reason, Reason::BadJson);
}

#[test]
fn a_cloud_event_that_is_none_names_its_attribute() {
    for (from, to, pointer) in [
        ("\"1.0\"", "\"0.3\"", "/specversion"),
        ("\"specversion\":\"1.0\",", "", "/specversion"),
        ("01912345-", "01912345", "/id"),
        ("\"subject\":\"LIC-1\",", "", "/subject"),
        ("\"time\":\"2026-01-31T10:00:00.000001Z\",", "", "/time"),
        ("10:00:00.000001Z", "10:00", "/time"),
        ("\"tenantid\"", "\"tenant_id\"", "/tenant_id"),
        ("\"data\"", "\"data_base64\"", "/data_base64"),
        ("application/json;", "text/plain;", "/datacontenttype"),
        ("{", "{\"id\":\"x\",", "/id"),
        ("\"device_id\"", "\"device\"", "/data/device"),
    ] {
        assert!(CLOUD_EVENT.contains(from), "{from}");
        let text = CLOUD_EVENT.replacen(from, to, 1);
        let fault = cloudevents_decode(text.as_bytes()).unwrap_err();
        assert_eq!(fault.reason, Reason::InvalidEvent, "{from} -> {to}");
        assert_eq!(fault.pointer.as_deref(), Some(pointer), "{from} -> {to}");
    }
    for name in [
        "licenseflow.v2.DeviceHeartbeat",
        "DeviceHeartbeat",
        "licenseflow.v1.LicenseMerged",
    ] {
        let text = CLOUD_EVENT.replacen("licenseflow.v1.DeviceHeartbeat", name, 1);
        let fault = cloudevents_decode(text.as_bytes()).unwrap_err();
        assert_eq!(fault.reason, Reason::UnknownType, "{name}");
    }
}

#[test]
fn data_alone_is_a_payload() {
    let payload = decode_data(EventKind::DeviceHeartbeat, br#"{"device_id":"dev-1"}"#);
    assert_eq!(payload, Ok(heartbeat().payload));
}
