//! The limits of fields, each at its edge.

use licenseflow_avro::event::{EventKind, LicenseEvent, LicenseIssued, Payload};
use licenseflow_avro::json::decode_data;
use licenseflow_avro::limits::*;
use serde_json::json;

use crate::samples::{event, every_kind, heartbeat, issued};

#[test]
fn every_sample_keeps_the_limits() {
    for event in every_kind() {
        assert_eq!(check(&event), Ok(()));
    }
}

#[test]
fn identifiers_are_of_few_characters_and_begin_with_a_letter_or_digit() {
    let longest = "a".repeat(MAX_ID);
    for id in ["a", "0", "A.b_c:d-9", longest.as_str()] {
        assert!(valid_id(id), "{id}");
    }
    let too_long = "a".repeat(MAX_ID + 1);
    for id in [
        "",
        "-a",
        ".a",
        "_",
        "a b",
        "a/b",
        "ä",
        "a\n",
        too_long.as_str(),
    ] {
        assert!(!valid_id(id), "{id}");
    }
}

fn pointer(event: &LicenseEvent) -> Option<String> {
    let all = check_all(event);
    assert_eq!(check(event).err().as_ref(), all.first());
    assert!(all.len() < 2, "{all:?}");
    all.into_iter().next().and_then(|fault| fault.pointer)
}

fn changed(change: impl FnOnce(&mut LicenseEvent, &mut LicenseIssued)) -> LicenseEvent {
    let mut event = issued();
    let Payload::LicenseIssued(mut data) = event.payload.clone() else {
        panic!("not issued")
    };
    change(&mut event, &mut data);
    event.payload = Payload::LicenseIssued(data);
    event
}

#[test]
fn each_field_of_the_envelope_has_its_edge() {
    let bad =
        |change: fn(&mut LicenseEvent, &mut LicenseIssued)| pointer(&changed(change)).unwrap();
    let good = |change: fn(&mut LicenseEvent, &mut LicenseIssued)| {
        assert_eq!(pointer(&changed(change)), None);
    };
    assert_eq!(
        bad(|event, _| event.license_id = String::new()),
        "/license_id"
    );
    assert_eq!(bad(|event, _| event.tenant_id = "a b".into()), "/tenant_id");
    assert_eq!(bad(|event, _| event.occurred_at = -1), "/occurred_at");
    assert_eq!(bad(|event, _| event.occurred_at = TIME_END), "/occurred_at");
    good(|event, _| event.occurred_at = TIME_END - 1);
    good(|event, _| event.occurred_at = 0);
    good(|event, _| event.source = "ü".repeat(MAX_TEXT));
    assert_eq!(
        bad(|event, _| event.source = "ü".repeat(MAX_TEXT + 1)),
        "/source"
    );
    good(|event, _| event.actor = Some("a\tb\n\u{7f}".into()));
    assert_eq!(bad(|event, _| event.actor = Some("a\rb".into())), "/actor");
    assert_eq!(bad(|event, _| event.actor = Some("\0".into())), "/actor");
}

#[test]
fn each_field_of_issued_has_its_edge() {
    let bad =
        |change: fn(&mut LicenseEvent, &mut LicenseIssued)| pointer(&changed(change)).unwrap();
    let good = |change: fn(&mut LicenseEvent, &mut LicenseIssued)| {
        assert_eq!(pointer(&changed(change)), None);
    };
    assert_eq!(
        bad(|_, data| data.customer_id = "ä".into()),
        "/data/customer_id"
    );
    assert_eq!(
        bad(|_, data| data.product_id = "-".into()),
        "/data/product_id"
    );
    assert_eq!(bad(|_, data| data.plan = String::new()), "/data/plan");
    good(|_, data| data.seats = MAX_SEATS);
    assert_eq!(bad(|_, data| data.seats = MAX_SEATS + 1), "/data/seats");
    assert_eq!(bad(|_, data| data.seats = -1), "/data/seats");
    assert_eq!(
        bad(|_, data| data.valid_from = i64::MIN),
        "/data/valid_from"
    );
    assert_eq!(
        bad(|_, data| data.expires_at = Some(i64::MAX)),
        "/data/expires_at"
    );
    good(|_, data| data.expires_at = None);
    good(|_, data| {
        data.metadata = (0..MAX_ENTRIES)
            .map(|n| (n.to_string(), String::new()))
            .collect()
    });
    assert_eq!(
        bad(|_, data| data.metadata = (0..=MAX_ENTRIES)
            .map(|n| (n.to_string(), String::new()))
            .collect()),
        "/data/metadata"
    );
    assert_eq!(
        bad(|_, data| drop(data.entitlements.insert("a/b".into(), String::new()))),
        "/data/entitlements/a~1b"
    );
    good(|_, data| {
        drop(
            data.entitlements
                .insert("a".into(), "x".repeat(MAX_LONG_TEXT)),
        )
    });
    assert_eq!(
        bad(|_, data| drop(
            data.entitlements
                .insert("a".into(), "x".repeat(MAX_LONG_TEXT + 1))
        )),
        "/data/entitlements/a"
    );
}

#[test]
fn the_other_payloads_have_their_limits_too() {
    let long = "x".repeat(MAX_LONG_TEXT + 1);
    let reason = json!({ "reason": long });
    for (kind, data, at) in [
        (
            EventKind::LicenseRenewed,
            json!({"expires_at": "1969-12-31T23:59:59Z"}),
            "/data/expires_at",
        ),
        (
            EventKind::LicensePlanChanged,
            json!({"plan": "p", "seats": -1}),
            "/data/seats",
        ),
        (
            EventKind::LicenseTransferred,
            json!({"customer_id": ""}),
            "/data/customer_id",
        ),
        (EventKind::LicenseSuspended, reason.clone(), "/data/reason"),
        (EventKind::LicenseReinstated, reason, "/data/reason"),
        (
            EventKind::LicenseRevoked,
            json!({"reason": "\u{b}"}),
            "/data/reason",
        ),
        (
            EventKind::DeviceActivated,
            json!({"device_id": "d", "fingerprint": "x".repeat(257)}),
            "/data/fingerprint",
        ),
        (
            EventKind::DeviceActivated,
            json!({"device_id": "d", "platform": "\u{1f}"}),
            "/data/platform",
        ),
        (
            EventKind::DeviceDeactivated,
            json!({"device_id": "/"}),
            "/data/device_id",
        ),
        (
            EventKind::DeviceHeartbeat,
            json!({"device_id": " "}),
            "/data/device_id",
        ),
        (
            EventKind::UsageRecorded,
            json!({"metric": "", "quantity": 0}),
            "/data/metric",
        ),
        (
            EventKind::UsageRecorded,
            json!({"metric": "m", "quantity": MAX_QUANTITY + 1}),
            "/data/quantity",
        ),
        (
            EventKind::UsageRecorded,
            json!({"metric": "m", "quantity": -1}),
            "/data/quantity",
        ),
        (
            EventKind::EventVoided,
            json!({"voided_event_id": uuid::Uuid::nil(), "reason": long}),
            "/data/reason",
        ),
    ] {
        let payload = decode_data(kind, data.to_string().as_bytes()).unwrap();
        assert_eq!(pointer(&event(payload)).as_deref(), Some(at), "{data}");
    }
}

#[test]
fn an_end_in_the_year_9999_is_answered_with_a_word_about_null() {
    let never = changed(|_, data| data.expires_at = Some(253_402_214_400_000_000));
    let fault = check(&never).unwrap_err();
    assert_eq!(fault.pointer.as_deref(), Some("/data/expires_at"));
    assert!(
        fault.error.contains("9999-12-31") && fault.error.contains("null"),
        "{fault}"
    );
}

#[test]
fn all_faults_are_told_in_the_schemas_order() {
    let mut event = heartbeat();
    event.license_id = String::new();
    event.occurred_at = -1;
    let pointers: Vec<_> = check_all(&event)
        .into_iter()
        .filter_map(|fault| fault.pointer)
        .collect();
    assert_eq!(pointers, ["/license_id", "/occurred_at"]);
}
