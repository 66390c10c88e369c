//! Any bytes as a record: its value, key, headers and timestamp, judged in each schema and in JSON.

use std::sync::{Arc, OnceLock};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use licenseflow_avro::codec::{self, Plan};
use licenseflow_avro::explained::explain;
use licenseflow_avro::limits;
use licenseflow_avro::record::{Header, headers_size};
use licenseflow_avro::schema::LICENSE_EVENT;
use licenseflow_avro::topics::{MAX_HEADER_BYTES, MAX_RECORD_BYTES};
use licenseflow_avro::{
    Coordinates, Lane, LicenseEvent, RawRecord, Reason, Schemas, SchemasAway, Verdict, json, judge,
};

use super::draw::Draw;

const V2: &str = include_str!("../../../avro/schemas/fixtures/license_event_v2.avsc");
const V3: &str = include_str!("../../../avro/schemas/fixtures/license_event_v3.avsc");

const SKEW_MICROS: i64 = 300_000_000;
/// Later than any time that an event may have.
const LATE_MS: i64 = limits::TIME_END / 1000;

const OURS: u32 = 1;
const AWAY: u32 = 5;

/// 1 to 3: ours and two of later releases; 4: another's; 5: the registry is away; none else.
struct Registered;

impl Schemas for Registered {
    fn plan(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
        static PLANS: OnceLock<[Arc<Plan>; 4]> = OnceLock::new();
        if id == AWAY {
            return Err(SchemasAway {
                reason: "away".to_owned(),
            });
        }
        let plans = PLANS.get_or_init(|| {
            let plan = |text: &str| Arc::new(Plan::new(text).unwrap());
            let unusable = Plan::unusable(Plan::new("\"string\"").unwrap_err());
            [plan(LICENSE_EVENT), plan(V2), plan(V3), Arc::new(unusable)]
        });
        let index = id.checked_sub(OURS).map(|it| it as usize);
        Ok(index.and_then(|it| plans.get(it)).cloned())
    }
}

/// Takes bytes for a record, and asserts what is promised of every record.
///
/// The first byte chooses the form of the value, the next three the key, the headers and the timestamp.
pub fn decoder(bytes: &[u8]) {
    let record = record(bytes);
    let verdict = judged(&record);
    assert_eq!(judged(&record), verdict, "judged twice");
    match &verdict {
        Ok(event) => accepted(&record, event),
        Err(Verdict::Fault(fault)) => {
            faulty(&record, fault.reason);
            let names = fault
                .names
                .iter()
                .all(|it| limits::valid_id(&it.tenant_id) && limits::valid_id(&it.license_id));
            assert!(names, "{fault:?}");
        }
        Err(Verdict::Away(_)) => assert_eq!(schema_id(&record), Some(AWAY)),
    }
    explained(&record, &verdict);
}

fn judged(record: &RawRecord) -> Result<LicenseEvent, Verdict> {
    judge(record, &Registered, SKEW_MICROS)
}

fn record(bytes: &[u8]) -> RawRecord {
    let mut draw = Draw::new(bytes);
    let (form, key, headers, time) = (draw.below(8), draw.below(4), draw.below(4), draw.below(3));
    let timestamp = match time {
        0 => LATE_MS,
        1 => draw.number(),
        _ => i64::MAX,
    };
    let key_drawn = if key == 3 { draw.take(6) } else { b"LIC-1" };
    let headers = (0..headers).map(|_| header(&mut draw)).collect();
    let rest = draw.rest();
    let value = match form {
        0 => Some(rest.to_vec()),
        6 => None,
        7 => Some([b"{", rest].concat()),
        id => Some([&[0, 0, 0, 0, id as u8], rest].concat()),
    };
    let mut record = RawRecord {
        at: Coordinates {
            timestamp,
            lane: Lane::Interactive,
            partition: 0,
            offset: 0,
        },
        key: None,
        value,
        headers,
    };
    record.key = match key {
        0 => None,
        // The one that fits, where there is one.
        1 => judged(&record).ok().map(|it| it.license_id.into_bytes()),
        _ => Some(key_drawn.to_vec()),
    };
    record
}

fn header(draw: &mut Draw<'_>) -> Header {
    let (name, value) = (draw.below(8), draw.below(16));
    let name = draw.take(name);
    Header {
        name: String::from_utf8_lossy(name).into_owned(),
        value: (value > 0).then(|| draw.take(value - 1).to_vec()),
    }
}

/// The schema id that a value names by its first five bytes.
fn schema_id(record: &RawRecord) -> Option<u32> {
    match record.value.as_deref()? {
        [0, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// What holds of every event that is taken.
fn accepted(record: &RawRecord, event: &LicenseEvent) {
    assert_eq!(limits::check(event), Ok(()));
    let key = record.key.as_deref();
    assert!(key.is_none_or(|key| key == event.license_id.as_bytes()));
    assert!(
        event.occurred_at.saturating_sub(SKEW_MICROS) <= record.at.timestamp.saturating_mul(1000)
    );
    // Both forms give the same event back, and so do its parts as the store keeps them.
    let body = codec::encode_body(event);
    assert_eq!(codec::decode_body(&body).as_ref(), Ok(event));
    let mut content = Vec::new();
    codec::write_content(&mut content, event);
    let parted = codec::decode_content(&event.license_key(), event.event_id, &content);
    assert_eq!(parted.as_ref(), Ok(event));
    let text = json::encode(event).to_string().into_bytes();
    for value in [codec::encode(OURS, event), text] {
        let again = RawRecord {
            value: Some(value),
            ..record.clone()
        };
        assert_eq!(judged(&again).as_ref(), Ok(event));
    }
    if schema_id(record).is_some() {
        cut_and_lengthened(record);
    }
    if schema_id(record) == Some(OURS) {
        assert_eq!(read_by_apache(&avro_body(record)), read_by_apache(&body));
    }
}

fn avro_body(record: &RawRecord) -> Vec<u8> {
    record.value.as_deref().unwrap()[5..].to_vec()
}

/// A body that ends early is truncated wherever it ends, and one byte more is one too many.
fn cut_and_lengthened(record: &RawRecord) {
    let value = record.value.clone().unwrap();
    let reason = |value: Vec<u8>| {
        let record = RawRecord {
            value: Some(value),
            ..record.clone()
        };
        match judged(&record) {
            Err(Verdict::Fault(fault)) => fault.reason,
            other => panic!("{other:?}"),
        }
    };
    for end in [value.len() - 1, value.len() / 2, value.len() / 3, 1] {
        assert_eq!(reason(value[..end].to_vec()), Reason::Truncated, "{end}");
    }
    assert_eq!(reason([&value[..], &[0]].concat()), Reason::TrailingBytes);
}

/// The event as a reader says it that shares nothing with ours but the schema.
fn read_by_apache(body: &[u8]) -> Value {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| Schema::parse_str(LICENSE_EVENT).unwrap());
    let reader = GenericDatumReader::builder(schema).build().unwrap();
    reader.read_value(&mut &*body).unwrap()
}

/// What can be said of a reason without decoding anything.
fn faulty(record: &RawRecord, reason: Reason) {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let is_large = length(&record.key) + length(&record.value) > MAX_RECORD_BYTES
        || headers_size(&record.headers) > MAX_HEADER_BYTES;
    let first = record.value.as_deref().map(<[u8]>::first);
    let plain = match first {
        _ if is_large => Some(Reason::TooLarge),
        None => Some(Reason::Tombstone),
        Some(None) => Some(Reason::Empty),
        Some(Some(0 | b'{')) => None,
        Some(Some(_)) => Some(Reason::UnknownFormat),
    };
    match plain {
        Some(plain) => assert_eq!(reason, plain),
        None => match reason {
            Reason::UnknownSchema | Reason::Truncated | Reason::BadAvro | Reason::TrailingBytes => {
                assert_eq!(first, Some(Some(&0)));
            }
            Reason::BadJson => assert_eq!(first, Some(Some(&b'{'))),
            Reason::UnknownType
            | Reason::InvalidEvent
            | Reason::KeyMismatch
            | Reason::OccurredAtInFuture => {}
            Reason::TooLarge
            | Reason::Tombstone
            | Reason::Empty
            | Reason::UnknownFormat
            | Reason::EventConflict
            | Reason::StoreRefused
            | Reason::RetriesExhausted => panic!("{reason} of a value that is there"),
        },
    }
}

/// What is shown of a value: all of it where an event was taken, and as much of a letter as there is.
fn explained(record: &RawRecord, verdict: &Result<LicenseEvent, Verdict>) {
    let shown = explain(record.value.as_deref(), &Registered);
    let Ok(shown) = shown else {
        assert_eq!(schema_id(record), Some(AWAY));
        return;
    };
    match verdict {
        Ok(event) => {
            assert_eq!(shown.stopped, None);
            let decoded = shown.decoded.unwrap();
            assert_eq!(decoded["license_id"], event.license_id.as_str());
            assert_eq!(decoded["type"], event.payload.kind().name());
        }
        Err(_) => {
            let length = record.value.as_ref().map_or(0, Vec::len);
            let offset = shown.stopped.and_then(|it| it.offset);
            assert!(
                offset.is_none_or(|it| it <= length.max(1)),
                "{offset:?} of {length}"
            );
        }
    }
}
