//! Records written as they are: each at its offset with its time, and what else was written there is noticed.

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_runtime::log::{
    Admin, Error, Header, Reader, Record, Result, Start, Stop, TimestampType, TopicPartition,
    Writer,
};

use super::{TIMEOUT, settings, spec, unique, write};

const CREATE_TIME: (&str, &str) = ("message.timestamp.type", "CreateTime");
const APPEND_TIME: (&str, &str) = ("message.timestamp.type", "LogAppendTime");

fn topic(own: &[(&str, &str)]) -> Arc<TopicPartition> {
    let name = unique("writer");
    let admin = Admin::new(&settings(), TIMEOUT).unwrap();
    admin.ensure_topics(&[spec(&name, 1, own)]).unwrap();
    Arc::new(TopicPartition::new(name, 0))
}

fn record(to: &TopicPartition, offset: i64) -> Record {
    let header = |value: Option<&[u8]>| Header {
        name: "twice".to_owned(),
        value: value.map(<[u8]>::to_vec),
    };
    Record {
        topic: to.topic.as_str().into(),
        partition: to.partition,
        offset,
        timestamp_ms: Some(1_000_000_000_000 + offset),
        timestamp_type: TimestampType::CreateTime,
        key: (offset % 2 == 0).then(|| vec![0, 255]),
        value: (offset % 3 > 0).then(|| vec![b'v'; offset as usize]),
        headers: vec![header(Some(b"1")), header(None)],
    }
}

fn read(to: &TopicPartition) -> Vec<Record> {
    let (start, stop) = (Start::Beginning, Stop::AtEnd);
    let mut reader = Reader::open(&settings(), &[&to.topic], &start, stop, TIMEOUT).unwrap();
    let mut all = Vec::new();
    reader
        .drain(|record| {
            all.push(record);
            Ok::<(), Error>(())
        })
        .unwrap();
    all
}

/// Writes these records at these offsets with one writer.
fn written(to: &Arc<TopicPartition>, offsets: std::ops::Range<i64>) -> Result<()> {
    let writer = Writer::open(&settings(), TIMEOUT).unwrap();
    for offset in offsets {
        writer.write(to, offset, &record(to, offset))?;
    }
    writer.flush()
}

#[test]
fn records_lie_where_they_are_to_lie_and_are_what_they_were() {
    let to = topic(&[CREATE_TIME]);
    written(&to, 0..300).unwrap();
    written(&to, 300..310).unwrap();
    let expected: Vec<Record> = (0..310).map(|offset| record(&to, offset)).collect();
    assert_eq!(read(&to), expected);
}

#[test]
fn whoever_else_writes_is_noticed_at_the_first_acknowledgement() {
    let to = topic(&[CREATE_TIME]);
    written(&to, 0..5).unwrap();
    write(&to.topic, 0, &["another's"]);
    let error = written(&to, 5..10).unwrap_err();
    assert!(matches!(error, Error::WrittenOtherwise { .. }), "{error}");
    assert!(error.to_string().contains("somebody else"), "{error}");
}

#[test]
fn times_that_the_broker_gives_itself_are_noticed() {
    let to = topic(&[APPEND_TIME]);
    let error = written(&to, 0..5).unwrap_err();
    assert!(error.to_string().contains("CreateTime"), "{error}");
}

#[test]
fn a_record_that_is_refused_leaves_no_gap_before_another() {
    let to = topic(&[CREATE_TIME, ("max.message.bytes", "1000")]);
    let writer = Writer::open(&settings(), TIMEOUT).unwrap();
    writer.write(&to, 0, &record(&to, 0)).unwrap();
    writer.flush().unwrap();
    let noise = (0..5000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8);
    let large = Record {
        value: Some(noise.collect()),
        ..record(&to, 1)
    };
    let given = writer.write(&to, 1, &large).and_then(|()| {
        (2..10).try_for_each(|offset| writer.write(&to, offset, &record(&to, offset)))
    });
    let error = given.and_then(|()| writer.flush()).unwrap_err();
    assert!(
        matches!(error, Error::Unwritten { offset: 1, .. }),
        "{error}"
    );
    assert!(writer.write(&to, 1, &record(&to, 1)).is_err(), "it is over");
    drop(writer);
    assert_eq!(read(&to), [record(&to, 0)]);
}

#[test]
fn settings_are_changed_and_taken_back_and_the_others_stay() {
    let to = topic(&[APPEND_TIME, ("retention.ms", "-1")]);
    let admin = Admin::new(&settings(), TIMEOUT).unwrap();
    let described = || {
        let topics = admin.describe_topics(&[&to.topic]).unwrap();
        topics[&to.topic].settings.clone()
    };
    let before = described();
    let all = ["message.timestamp.type", "max.message.bytes"];
    let change = BTreeMap::from([(all[0], Some("CreateTime")), (all[1], Some("5000000"))]);
    admin.alter_topic(&to.topic, &change).unwrap();
    let meanwhile = described();
    assert_eq!(meanwhile[all[0]], "CreateTime");
    assert_eq!(meanwhile[all[1]], "5000000");
    assert_eq!(meanwhile["retention.ms"], "-1");
    let back = BTreeMap::from([(all[0], Some("LogAppendTime")), (all[1], None)]);
    admin.alter_topic(&to.topic, &back).unwrap();
    assert_eq!(described(), before);
}
