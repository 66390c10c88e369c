//! The room `runtime::log` against a real broker: topics, offsets and the plain reader.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

#[path = "kafka_log/writer.rs"]
mod writer;

use std::collections::BTreeMap;
use std::time::Duration;

use licenseflow_runtime::log::{
    Admin, Error, KafkaSettings, Reader, Start, Step, Stop, TopicOutcome, TopicPartition,
    TopicSpec, read_at,
};
use licenseflow_tests::harness::Kafka;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const TIMEOUT: Duration = Duration::from_secs(20);

fn settings() -> KafkaSettings {
    KafkaSettings::new(Kafka::shared().bootstrap(), "kafka-log-test")
}

fn unique(name: &str) -> String {
    format!("{name}.{}", uuid::Uuid::now_v7().simple())
}

fn spec(name: &str, partitions: i32, settings: &[(&str, &str)]) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: None,
        settings: settings
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
    }
}

fn created(name: &str, partitions: i32) -> String {
    let name = unique(name);
    let admin = Admin::new(&settings(), TIMEOUT).unwrap();
    admin
        .ensure_topics(&[spec(&name, partitions, &[])])
        .unwrap();
    name
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &str) {
    let record = BaseRecord::to(topic)
        .partition(partition)
        .key("k")
        .payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

fn write(topic: &str, partition: i32, values: &[&str]) {
    let producer: BaseProducer = settings().producer_config().unwrap().create().unwrap();
    for value in values {
        send(&producer, topic, partition, value);
    }
    producer.flush(TIMEOUT).unwrap();
}

enum End {
    Commit,
    Abort,
}

fn transact(topic: &str, partition: i32, values: &[&str], end: End) {
    let id = unique("transaction");
    let producer: BaseProducer = settings()
        .transactional_config(&id)
        .unwrap()
        .create()
        .unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    for value in values {
        send(&producer, topic, partition, value);
    }
    producer.flush(TIMEOUT).unwrap();
    match end {
        End::Commit => producer.commit_transaction(TIMEOUT).unwrap(),
        End::Abort => producer.abort_transaction(TIMEOUT).unwrap(),
    }
    // The markers are written after the coordinator has answered.
    let admin = Admin::new(&settings(), TIMEOUT).unwrap();
    let deadline = std::time::Instant::now() + TIMEOUT;
    let stable = TopicPartition::new(topic, partition);
    let high = || {
        let mut config = settings().client_config().unwrap();
        config
            .set("isolation.level", "read_uncommitted")
            .set("group.id", "x");
        let consumer: rdkafka::consumer::BaseConsumer = config.create().unwrap();
        let client = rdkafka::consumer::Consumer::client(&consumer);
        client
            .fetch_watermarks(topic, partition, TIMEOUT)
            .unwrap()
            .1
    };
    while admin.end_offsets(topic).unwrap()[&stable] != high() {
        assert!(
            std::time::Instant::now() < deadline,
            "the transaction stayed open"
        );
    }
}

fn values_of(reader: &mut Reader) -> Vec<String> {
    let mut values = Vec::new();
    reader
        .drain(|record| {
            values.push(String::from_utf8(record.value.unwrap_or_default()).unwrap());
            Ok::<(), Error>(())
        })
        .unwrap();
    values
}

fn read(topics: &[&str], start: Start) -> (Vec<String>, BTreeMap<TopicPartition, i64>) {
    let mut reader = Reader::open(&settings(), topics, &start, Stop::AtEnd, TIMEOUT).unwrap();
    let mut values = values_of(&mut reader);
    values.sort();
    assert_eq!(Some(0), reader.remaining());
    (values, reader.position())
}

#[test]
fn topics_are_created_once_and_checked_against_what_they_should_be() {
    let admin = Admin::new(&settings(), TIMEOUT).unwrap();
    let name = unique("checked");
    let wanted = spec(
        &name,
        3,
        &[
            ("retention.ms", "-1"),
            ("message.timestamp.type", "LogAppendTime"),
        ],
    );
    let missing = admin.check_topics(std::slice::from_ref(&wanted)).unwrap();
    assert_eq!("topic", missing[0].what);
    let first = admin.ensure_topics(std::slice::from_ref(&wanted)).unwrap();
    let second = admin.ensure_topics(std::slice::from_ref(&wanted)).unwrap();
    assert_eq!(TopicOutcome::Created, first[&name]);
    assert_eq!(TopicOutcome::Existed, second[&name]);
    assert!(
        admin
            .check_topics(std::slice::from_ref(&wanted))
            .unwrap()
            .is_empty()
    );
    let description = &admin.describe_topics(&[&name, "not-there"]).unwrap()[&name];
    assert_eq!(3, description.partitions.len());
    assert!(
        description
            .partitions
            .iter()
            .all(|partition| partition.leader.is_some())
    );
    let other = spec(
        &name,
        4,
        &[("retention.ms", "-1"), ("cleanup.policy", "compact")],
    );
    let found = admin.check_topics(&[other]).unwrap();
    let whats: Vec<&str> = found
        .iter()
        .map(|deviation| deviation.what.as_str())
        .collect();
    assert_eq!(vec!["partitions", "cleanup.policy"], whats);
}

#[test]
fn the_cluster_has_an_id_and_brokers() {
    let admin = Admin::new(&settings(), TIMEOUT).unwrap();
    assert!(admin.cluster_id().unwrap().len() >= 16);
    assert!(admin.broker_count().unwrap() >= 1);
}

#[test]
fn a_reading_of_several_topics_yields_every_record_once_and_passes_empty_partitions() {
    let (first, second) = (created("read-a", 3), created("read-b", 2));
    write(&first, 0, &["a0", "a1"]);
    write(&first, 2, &["a2"]);
    write(&second, 1, &["b0"]);
    let (values, position) = read(&[&first, &second], Start::Beginning);
    assert_eq!(vec!["a0", "a1", "a2", "b0"], values);
    assert_eq!(2, position[&TopicPartition::new(&*first, 0)]);
    assert_eq!(0, position[&TopicPartition::new(&*first, 1)]);
    assert_eq!(1, position[&TopicPartition::new(&*second, 1)]);
}

#[test]
fn the_end_is_reached_where_the_last_offsets_are_transaction_markers_or_aborted() {
    let topic = created("markers", 1);
    let partition = TopicPartition::new(&*topic, 0);
    transact(&topic, 0, &["committed"], End::Commit);
    transact(&topic, 0, &["aborted", "aborted too"], End::Abort);
    let (values, position) = read(&[&topic], Start::Beginning);
    assert_eq!(vec!["committed"], values);
    assert_eq!(5, position[&partition]);
    // From after the last record on there are only offsets that never come out.
    let from = Start::Offsets(BTreeMap::from([(partition.clone(), 1)]));
    let (values, position) = read(&[&topic], from);
    assert_eq!(Vec::<String>::new(), values);
    assert_eq!(5, position[&partition]);
}

#[test]
fn a_reading_that_is_done_goes_on_when_its_end_moves() {
    let topic = created("extended", 1);
    let start = Start::Beginning;
    let mut reader = Reader::open(&settings(), &[&topic], &start, Stop::AtEnd, TIMEOUT).unwrap();
    assert_eq!(Vec::<String>::new(), values_of(&mut reader));
    for round in 0..3 {
        let value = format!("round {round}");
        transact(&topic, 0, &[&value], End::Commit);
        assert_eq!(Step::Done, reader.step(Duration::ZERO).unwrap());
        reader.extend().unwrap();
        assert_eq!(vec![value], values_of(&mut reader));
    }
    assert_eq!(6, reader.position()[&TopicPartition::new(&*topic, 0)]);
}

#[test]
fn a_reading_starts_at_a_time_or_at_the_end_and_can_wait_for_more() {
    let topic = created("tail", 2);
    write(&topic, 0, &["early"]);
    let early = read_at(&settings(), &TopicPartition::new(&*topic, 0), 0, TIMEOUT).unwrap();
    let after = Start::Time(early.timestamp_ms.unwrap() + 1);
    assert_eq!(Vec::<String>::new(), read(&[&topic], after).0);
    assert_eq!(
        vec!["early"],
        read(&[&topic], Start::Time(early.timestamp_ms.unwrap())).0
    );
    let mut tail = Reader::open(&settings(), &[&topic], &Start::End, Stop::Never, TIMEOUT).unwrap();
    assert_eq!(None, tail.remaining());
    assert_eq!(Step::Waiting, tail.step(Duration::ZERO).unwrap());
    write(&topic, 1, &["late"]);
    let Step::Record(record) = tail.step(TIMEOUT).unwrap() else {
        panic!("nothing came")
    };
    assert_eq!(
        (1, 0, Some(b"late".to_vec())),
        (record.partition, record.offset, record.value)
    );
}

#[test]
fn a_reading_between_offsets_yields_those_and_no_more() {
    let topic = created("between", 1);
    write(&topic, 0, &["0", "1", "2", "3", "4"]);
    let spans = BTreeMap::from([(TopicPartition::new(&*topic, 0), (1, 4))]);
    let mut reader = Reader::between(&settings(), &spans, TIMEOUT).unwrap();
    assert_eq!(vec!["1", "2", "3"], values_of(&mut reader));
}

#[test]
fn one_record_is_read_by_its_offset_or_named_as_absent() {
    let topic = created("one", 1);
    let partition = TopicPartition::new(&*topic, 0);
    transact(&topic, 0, &["first"], End::Commit);
    write(&topic, 0, &["second"]);
    let at = |offset| read_at(&settings(), &partition, offset, TIMEOUT);
    assert_eq!(Some(b"first".to_vec()), at(0).unwrap().value);
    assert_eq!(Some(b"second".to_vec()), at(2).unwrap().value);
    assert!(
        at(1)
            .unwrap_err()
            .to_string()
            .contains("transaction marker")
    );
    assert!(at(3).unwrap_err().to_string().contains("ends before"));
    let other = TopicPartition::new(&*topic, 7);
    let error = read_at(&settings(), &other, 0, TIMEOUT).unwrap_err();
    assert!(
        matches!(error, Error::UnknownPartition { partition: 7, .. }),
        "{error}"
    );
}

#[test]
fn a_topic_that_is_not_there_is_named_and_not_created() {
    let name = unique("absent");
    let start = Start::Beginning;
    let error = Reader::open(&settings(), &[&name], &start, Stop::AtEnd, TIMEOUT)
        .err()
        .unwrap();
    assert_eq!(
        format!("the topic {name} does not exist"),
        error.to_string()
    );
    let admin = Admin::new(&settings(), TIMEOUT).unwrap();
    assert!(admin.describe_topics(&[&name]).unwrap().is_empty());
}

#[test]
fn a_broker_that_is_away_is_told_within_the_timeout() {
    let settings = KafkaSettings::new("127.0.0.1:1", "kafka-log-test");
    let admin = Admin::new(&settings, Duration::from_millis(300)).unwrap();
    let error = admin.cluster_id().unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1"));
}

#[test]
fn a_header_whose_name_is_not_utf8_stops_nobody() {
    use std::os::unix::ffi::OsStrExt;
    let topic = created("headers", 1);
    let file = licenseflow_tests::harness::Folder::new("headers").unwrap();
    let value = file.path().join("value");
    std::fs::write(&value, "v").unwrap();
    let kcat = std::process::Command::new("kcat")
        .args([
            "-P",
            "-b",
            Kafka::shared().bootstrap(),
            "-t",
            &topic,
            "-H",
            "a=1",
            "-H",
        ])
        .arg(std::ffi::OsStr::from_bytes(b"\xff\xfe=2"))
        .arg(&value)
        .status()
        .unwrap();
    assert!(kcat.success());
    let mut reader = Reader::open(
        &settings(),
        &[&topic],
        &Start::Beginning,
        Stop::AtEnd,
        TIMEOUT,
    )
    .unwrap();
    let mut names = Vec::new();
    reader
        .drain(|record| {
            names.extend(record.headers.into_iter().map(|header| header.name));
            Ok::<(), licenseflow_runtime::log::Error>(())
        })
        .unwrap();
    assert_eq!(names, ["a", "\u{FFFD}"]);
}
