//! Schemas of later releases, and who can read whom.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::SchemaCompatibility;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use licenseflow_avro::codec::{Plan, encode_body};
use licenseflow_avro::schema::LICENSE_EVENT;
use licenseflow_avro::{EventKind, LicenseEvent, Reason};

use crate::samples::every_kind;

/// A later release with two more fields that have defaults.
pub(crate) const V2: &str = include_str!("../../schemas/fixtures/license_event_v2.avsc");
/// A still later one with one more payload.
pub(crate) const V3: &str = include_str!("../../schemas/fixtures/license_event_v3.avsc");

/// An event as a later release writes it: what is new has its default.
///
/// Built by hand, since apache-avro resolves a union's records by their fields rather than by their
/// names, and makes a suspension of a heartbeat.
fn as_written_by_later(event: &LicenseEvent) -> Vec<(String, Value)> {
    let mut fields = as_written_by_us(event);
    let Some((_, Value::Union(_, payload))) = fields.last_mut() else {
        panic!("no payload")
    };
    let Value::Record(data) = payload.as_mut() else {
        panic!("no record")
    };
    if event.payload.kind() == EventKind::DeviceActivated {
        data.push(("labels".into(), Value::Union(0, Box::new(Value::Null))));
    }
    fields.insert(6, ("region".into(), Value::String("eu".into())));
    fields
}

fn as_written_by_us(event: &LicenseEvent) -> Vec<(String, Value)> {
    let ours = parse(LICENSE_EVENT);
    let reader = GenericDatumReader::builder(&ours).build().unwrap();
    let value = reader.read_value(&mut encode_body(event).as_slice());
    let Value::Record(fields) = value.unwrap() else {
        panic!("no record")
    };
    fields
}

fn parse(text: &str) -> Schema {
    Schema::parse_str(text).unwrap()
}

fn write(schema_text: &str, fields: Vec<(String, Value)>) -> Vec<u8> {
    let schema = parse(schema_text);
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value_to_vec(Value::Record(fields)).unwrap()
}

#[test]
fn version_1_reads_what_later_releases_write_of_the_payloads_it_knows() {
    for later in [V2, V3] {
        let plan = Plan::new(later).unwrap();
        for event in every_kind() {
            let body = write(later, as_written_by_later(&event));
            assert_eq!(plan.decode(&body), Ok(event));
        }
    }
}

#[test]
fn version_1_gives_a_new_payload_back_as_unknown_type() {
    let event = &every_kind()[0];
    let mut fields = as_written_by_later(event);
    let shares = [("a".to_owned(), Value::Double(0.5))].into_iter().collect();
    let merged = Value::Record(vec![
        ("into_license_id".into(), Value::String("LIC-2".into())),
        ("shares".into(), Value::Map(shares)),
    ]);
    fields.last_mut().unwrap().1 = Value::Union(12, Box::new(merged));
    let body = write(V3, fields);
    let plan = Plan::new(V3).unwrap();
    let fault = plan.decode(&body).unwrap_err();
    assert_eq!(fault.reason, Reason::UnknownType);
    assert!(fault.error.contains("LicenseMerged"), "{fault}");
    assert!(fault.points_at_us);
    for length in 0..body.len() {
        assert_eq!(
            plan.decode(&body[..length]).unwrap_err().reason,
            Reason::Truncated
        );
    }
}

#[test]
fn version_2_reads_what_version_1_writes() {
    let (ours, later) = (parse(LICENSE_EVENT), parse(V2));
    SchemaCompatibility::can_read(&ours, &later).unwrap();
    let reader = GenericDatumReader::builder(&ours).reader_schema(&later);
    let reader = reader.build().unwrap();
    for event in every_kind() {
        let read = reader.read_value(&mut encode_body(&event).as_slice());
        let Value::Record(fields) = read.unwrap() else {
            panic!("no record")
        };
        let region = fields.iter().find(|(name, _)| name == "region");
        assert_eq!(region.unwrap().1, Value::String(String::new()));
    }
}

#[test]
fn members_with_a_default_may_be_missing_from_a_writers_schema() {
    let mut schema: serde_json::Value = serde_json::from_str(LICENSE_EVENT).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.retain(|field| {
        !["tenant_id", "source", "actor"].contains(&field["name"].as_str().unwrap())
    });
    let text = schema.to_string();
    let event = &every_kind()[9];
    let mut fields = as_written_by_us(event);
    fields.retain(|(name, _)| !["tenant_id", "source", "actor"].contains(&name.as_str()));
    let decoded = Plan::new(&text)
        .unwrap()
        .decode(&write(&text, fields))
        .unwrap();
    assert_eq!(decoded.tenant_id, "default");
    assert_eq!(decoded.source, "");
    assert_eq!(decoded.actor, None);
    assert_eq!(decoded.payload, event.payload);
}
