//! The Avro form, held against apache-avro.

use std::hint::black_box;
use std::time::Instant;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use licenseflow_avro::codec::{Plan, decode_body, encode, encode_body};
use licenseflow_avro::event::{EventKind, LicenseEvent};
use licenseflow_avro::schema::LICENSE_EVENT;

use crate::samples::{every_kind, issued};

#[test]
fn every_kind_reads_back_as_it_was_written() {
    for event in every_kind() {
        assert_eq!(decode_body(&encode_body(&event)).as_ref(), Ok(&event));
    }
    let kinds: Vec<_> = every_kind()
        .iter()
        .map(|event| event.payload.kind())
        .collect();
    assert_eq!(kinds, EventKind::ALL);
}

#[test]
fn apache_avro_writes_the_same_bytes_and_reads_them() {
    let schema = Schema::parse_str(LICENSE_EVENT).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    for event in every_kind() {
        let ours = encode_body(&event);
        // The types serialize under the schema's own names, fields and union order, or not at all.
        let theirs = writer.write_ser_to_vec(&event);
        let read: LicenseEvent = reader.read_deser(&mut ours.as_slice()).unwrap();
        assert_eq!(read, event);
        let theirs = theirs.unwrap();
        // Maps are sorted here and there, so that equal events have equal bytes.
        assert_eq!(ours, theirs, "{}", event.payload.kind().name());
    }
}

#[test]
fn the_wire_format_is_a_zero_byte_the_schema_id_and_the_body() {
    let value = encode(0x0102_0304, &issued());
    assert_eq!(value[..5], [0, 1, 2, 3, 4]);
    assert_eq!(value[5..], encode_body(&issued()));
}

#[test]
fn a_schema_of_something_else_is_refused_with_the_reason() {
    for (schema, reason) in [
        ("{", "not an Avro schema"),
        ("\"string\"", "not a record"),
        (
            r#"{"type":"record","name":"Other","fields":[]}"#,
            "the record is Other",
        ),
        (
            r#"{"type":"record","name":"licenseflow.v1.LicenseEvent","fields":[]}"#,
            "has no event_id",
        ),
        (
            &LICENSE_EVENT.replacen(r#""type": "int""#, r#""type": "string""#, 1),
            "seats is of another type",
        ),
        (
            &LICENSE_EVENT.replacen("timestamp-micros", "timestamp-millis", 1),
            "occurred_at is of another type",
        ),
    ] {
        let error = Plan::new(schema).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// Prints what decoding costs; asserts only that it is not absurd.
#[test]
fn decoding_an_event_takes_about_a_microsecond() {
    const ROUNDS: u32 = 20_000;
    let bodies: Vec<_> = every_kind().iter().map(encode_body).collect();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for body in &bodies {
            black_box(decode_body(black_box(body)).unwrap());
        }
    }
    let each = start.elapsed() / (ROUNDS * bodies.len() as u32);
    println!("{each:?} an event");
    assert!(each.as_micros() < 50);
}
