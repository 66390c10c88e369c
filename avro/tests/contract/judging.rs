//! A record judged by itself: each reason, and which comes first.

use std::sync::Arc;

use licenseflow_avro::codec::{Plan, encode};
use licenseflow_avro::record::Header;
use licenseflow_avro::schema::LICENSE_EVENT;
use licenseflow_avro::topics::{MAX_HEADER_BYTES, MAX_RECORD_BYTES};
use licenseflow_avro::{
    Coordinates, Lane, LicenseEvent, Payload, RawRecord, Reason, Schemas, SchemasAway, Verdict,
    json, judge,
};

use uuid::Uuid;

use crate::evolution::V3;
use crate::samples::{MICROS, every_kind, heartbeat};

const SKEW: i64 = 300_000_000;

/// 1: ours; 3: a later release's; 4: another's; 5: the registry is away; none else.
struct Registered;

impl Schemas for Registered {
    fn plan(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
        let plan = match id {
            1 => Plan::new(LICENSE_EVENT).unwrap(),
            3 => Plan::new(V3).unwrap(),
            4 => Plan::unusable(Plan::new("\"string\"").unwrap_err()),
            5 => {
                return Err(SchemasAway {
                    reason: "away".into(),
                });
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(plan)))
    }
}

fn record(value: Vec<u8>) -> RawRecord {
    let at = Coordinates {
        timestamp: MICROS / 1000,
        lane: Lane::Interactive,
        partition: 0,
        offset: 0,
    };
    RawRecord {
        at,
        key: Some(b"LIC-1".to_vec()),
        value: Some(value),
        headers: Vec::new(),
    }
}

fn judged(record: &RawRecord) -> Result<LicenseEvent, Verdict> {
    judge(record, &Registered, SKEW)
}

fn reason(record: &RawRecord) -> Reason {
    match judged(record) {
        Err(Verdict::Fault(fault)) => fault.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_forms_give_the_event() {
    for event in every_kind() {
        assert_eq!(judged(&record(encode(1, &event))).as_ref(), Ok(&event));
        assert_eq!(
            judged(&record(json::encode(&event).to_string().into_bytes())),
            Ok(event)
        );
    }
}

#[test]
fn a_null_key_is_fine() {
    let mut record = record(encode(1, &heartbeat()));
    record.key = None;
    assert!(judged(&record).is_ok());
}

#[test]
fn key_and_value_over_two_mebibytes_are_too_large() {
    let mut value = vec![b' '; MAX_RECORD_BYTES - 5];
    value[0] = b'{';
    let mut record = record(value);
    assert_eq!(reason(&record), Reason::BadJson);
    record.key.as_mut().unwrap().push(b'x');
    assert_eq!(reason(&record), Reason::TooLarge);
}

#[test]
fn headers_over_64_kibibytes_are_too_large_even_on_a_tombstone() {
    let mut record = record(Vec::new());
    record.value = None;
    record.headers = vec![Header {
        name: "h".into(),
        value: Some(vec![0; MAX_HEADER_BYTES - 1]),
    }];
    assert_eq!(reason(&record), Reason::Tombstone);
    record.headers.push(Header {
        name: "i".into(),
        value: None,
    });
    assert_eq!(reason(&record), Reason::TooLarge);
}

#[test]
fn a_null_value_is_a_tombstone_and_no_bytes_are_empty() {
    let mut empty = record(Vec::new());
    assert_eq!(reason(&empty), Reason::Empty);
    empty.value = None;
    assert_eq!(reason(&empty), Reason::Tombstone);
}

#[test]
fn another_first_byte_is_an_unknown_format() {
    for value in [&b" {}"[..], b"[]", b"\x01", b"hello", b"\xef\xbb\xbf{}"] {
        assert_eq!(reason(&record(value.to_vec())), Reason::UnknownFormat);
    }
}

#[test]
fn an_id_without_a_schema_of_license_events_is_an_unknown_schema() {
    assert_eq!(
        reason(&record(encode(2, &heartbeat()))),
        Reason::UnknownSchema
    );
    let Err(Verdict::Fault(fault)) = judged(&record(encode(4, &heartbeat()))) else {
        panic!("no fault")
    };
    assert_eq!(fault.reason, Reason::UnknownSchema);
    assert!(fault.points_at_us, "the registry knows it, we do not");
}

#[test]
fn a_registry_that_is_away_is_no_fault_of_the_record() {
    let verdict = judged(&record(encode(5, &heartbeat())));
    assert!(matches!(verdict, Err(Verdict::Away(_))), "{verdict:?}");
}

#[test]
fn bytes_that_end_early_are_truncated() {
    let value = encode(1, &heartbeat());
    for length in 1..value.len() {
        assert_eq!(reason(&record(value[..length].to_vec())), Reason::Truncated);
    }
}

#[test]
fn a_branch_that_cannot_be_is_bad_avro() {
    let mut value = encode(1, &heartbeat());
    let index = value.len() - "dev-1".len() - 2;
    value[index] = 0x7E;
    assert_eq!(reason(&record(value)), Reason::BadAvro);
}

#[test]
fn bytes_that_are_left_over_are_trailing() {
    let mut value = encode(1, &heartbeat());
    value.push(0);
    assert_eq!(reason(&record(value)), Reason::TrailingBytes);
}

#[test]
fn broken_json_is_bad_json_and_a_type_of_a_later_release_unknown() {
    assert_eq!(reason(&record(b"{".to_vec())), Reason::BadJson);
    assert_eq!(
        reason(&record(br#"{"type":"LicenseMerged"}"#.to_vec())),
        Reason::UnknownType
    );
}

#[test]
fn a_broken_limit_is_an_invalid_event_before_the_key_is_looked_at() {
    let mut event = heartbeat();
    event.license_id = "no good".into();
    assert_eq!(reason(&record(encode(1, &event))), Reason::InvalidEvent);
}

#[test]
fn another_key_is_a_mismatch_before_the_time_is_looked_at() {
    let mut event = heartbeat();
    event.license_id = "LIC-2".into();
    event.occurred_at += 2 * SKEW;
    assert_eq!(reason(&record(encode(1, &event))), Reason::KeyMismatch);
    let mut empty_key = record(encode(1, &heartbeat()));
    empty_key.key = Some(Vec::new());
    assert_eq!(reason(&empty_key), Reason::KeyMismatch);
}

#[test]
fn a_time_beyond_the_skew_is_in_the_future() {
    let mut event = heartbeat();
    // The record's timestamp is whole milliseconds: one microsecond less than the event's own time.
    event.occurred_at = MICROS - 1 + SKEW;
    assert!(judged(&record(encode(1, &event))).is_ok());
    event.occurred_at += 1;
    assert_eq!(
        reason(&record(encode(1, &event))),
        Reason::OccurredAtInFuture
    );
}

#[test]
fn a_rejected_record_names_its_license_as_soon_as_both_ids_were_read() {
    let event = heartbeat();
    let whole = encode(1, &event);
    let named = |value: Vec<u8>| match judged(&record(value)) {
        Err(Verdict::Fault(fault)) => fault.names.map(|key| *key),
        other => panic!("{other:?}"),
    };
    // The wire format's five bytes, the event's id behind its length, then the two ids behind theirs.
    let behind = |text: &str| 1 + text.len();
    let event_id_ends = 5 + 1 + 36;
    let ids_end = event_id_ends + behind(&event.license_id) + behind(&event.tenant_id);
    let key = Some(event.license_key());
    for end in [3, 5, event_id_ends, ids_end - 1] {
        assert_eq!(named(whole[..end].to_vec()), None, "{end}");
    }
    for end in ids_end..whole.len() {
        assert_eq!(named(whole[..end].to_vec()), key, "{end}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(named(longer), key);
    // A uuid that is none stops nothing from being read.
    let mut without_id = whole.clone();
    without_id[6] = b'x';
    assert_eq!(named(without_id), key);
    let mut kinds = every_kind().into_iter();
    let voided = kinds.find(|it| matches!(it.payload, Payload::EventVoided(_)));
    let voided = voided.unwrap();
    let mut of_nothing = encode(1, &voided);
    let id = Uuid::max().hyphenated().to_string();
    let place = of_nothing.windows(36).position(|it| it == id.as_bytes());
    of_nothing[place.unwrap()] = b'x';
    assert_eq!(named(of_nothing), Some(voided.license_key()));
    let mut of_unknown_schema = whole;
    of_unknown_schema[4] = 9;
    assert_eq!(named(of_unknown_schema), None);
}

#[test]
fn a_json_object_names_its_license_whatever_else_is_wrong_with_it() {
    let named = |text: &str| match judged(&record(text.as_bytes().to_vec())) {
        Err(Verdict::Fault(fault)) => fault.names.map(|key| (key.tenant_id, key.license_id)),
        other => panic!("{other:?}"),
    };
    let pair = |tenant: &str| Some((tenant.to_owned(), "LIC-1".to_owned()));
    for (text, expected) in [
        (r#"{"license_id":"LIC-1"}"#, pair("default")),
        (
            r#"{"license_id":"LIC-1","tenant_id":"t","type":"Later"}"#,
            pair("t"),
        ),
        (r#"{"license_id":"LIC-1","tenant_id":null}"#, None),
        (r#"{"license_id":"LIC-1","tenant_id":"-"}"#, None),
        (r#"{"license_id":"LIC-1","license_id":"LIC-1"}"#, None),
        (r#"{"tenant_id":"t"}"#, None),
        (r#"{"license_id":"LIC-1""#, None),
    ] {
        assert_eq!(named(text), expected, "{text}");
    }
}

#[test]
fn an_event_that_breaks_a_rule_still_names_its_license() {
    let mut record = record(encode(1, &heartbeat()));
    record.key = Some(b"other".to_vec());
    let Err(Verdict::Fault(fault)) = judged(&record) else {
        panic!("it was taken")
    };
    assert_eq!(fault.names.as_deref(), Some(&heartbeat().license_key()));
}
