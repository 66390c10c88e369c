//! Poison among good records, and the largest record that the broker lets through made poison.

use std::time::Duration;

use licenseflow_runtime::log::{Error, KafkaSettings, Reader, Record, Start, Stop};
use licenseflow_tests::harness::{Platform, kcat, wait_for};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

/// `max.message.bytes` of a lane: a batch with its head and its records' headers.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

const PATIENCE: Duration = Duration::from_secs(60);
const BATCH: usize = 30;

fn usage(license: &str) -> Value {
    json!({
        "event_id": uuid::Uuid::now_v7().to_string(), "license_id": license,
        "occurred_at": "2026-01-31T10:00:00Z",
        "type": "UsageRecorded", "data": {"metric": "calls", "quantity": 1},
    })
}

/// One batch of records for each place where poison can stand in it.
pub(super) fn at_each_place_of_a_batch(platform: &Platform) {
    for (partition, place) in [0, BATCH / 2, BATCH - 1].into_iter().enumerate() {
        let lines: String = (0..BATCH)
            .map(|number| match number == place {
                true => format!("poison at {place}\n"),
                false => format!("{}\n", usage(&format!("LIC-batch-{place}"))),
            })
            .collect();
        let partition = partition.to_string();
        let in_one_batch = [
            "-p",
            &partition,
            "-X",
            "linger.ms=1000",
            "-X",
            "batch.num.messages=30",
        ];
        kcat::produce(
            platform.bootstrap(),
            &platform.events_topic(),
            &in_one_batch,
            &lines,
        )
        .unwrap();
    }
}

/// The neighbours of the poison count, each once.
pub(super) async fn neighbours_counted(platform: &Platform) {
    for place in [0, BATCH / 2, BATCH - 1] {
        let url = format!("{}/v1/licenses/LIC-batch-{place}/usage", platform.api());
        let answer = reqwest::get(url).await.unwrap();
        let usage: Value = answer.json().await.unwrap();
        assert_eq!(usage["items"][0]["quantity"], json!(BATCH - 1), "{usage}");
    }
}

/// What was sent to the lane: the record as its dead letter must have it.
pub(super) struct Sent {
    partition: i32,
    offset: i64,
    key: &'static str,
    value: Vec<u8>,
    headers: OwnedHeaders,
}

/// A good event but for its key, padded to so many bytes.
fn padded(bytes: usize) -> Vec<u8> {
    let event = usage("LIC-large").to_string();
    let blanks = " ".repeat(bytes - event.len());
    event.replacen('{', &format!("{{{blanks}"), 1).into_bytes()
}

fn headers(padding_bytes: usize) -> OwnedHeaders {
    let padding = vec![b'p'; padding_bytes];
    let header = |key, value: Option<&[u8]>| OwnedHeaders::new().insert(Header { key, value });
    header("x-request-id", Some(b"largest"))
        .insert(Header {
            key: "foreign",
            value: Some(&[0xff, 0x00][..]),
        })
        .insert(Header {
            key: "none",
            value: None::<&[u8]>,
        })
        .insert(Header {
            key: "padding",
            value: Some(&padding),
        })
}

/// Finds the largest value that the broker takes with these headers, by halving; all that were
/// taken on the way are poison too. The last of them is the largest.
async fn largest(platform: &Platform, padding_bytes: usize) -> Vec<Sent> {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", platform.bootstrap())
        .set("acks", "all")
        .set("message.max.bytes", "16777216")
        .set("linger.ms", "0");
    let producer: FutureProducer = settings.create().unwrap();
    let topic = platform.events_topic();
    let mut sent = Vec::new();
    let (mut taken, mut refused) = (
        BATCH_BYTES_MAX - padding_bytes - 1024,
        BATCH_BYTES_MAX - padding_bytes,
    );
    while refused - taken > 1 {
        let bytes = usize::midpoint(taken, refused);
        let (value, headers, key) = (padded(bytes), headers(padding_bytes), "LIC-not-this-one");
        let record = FutureRecord::to(&topic)
            .key(key)
            .payload(&value)
            .headers(headers.clone());
        match producer.send(record, PATIENCE).await {
            Ok(at) => {
                taken = bytes;
                let (partition, offset) = (at.partition, at.offset);
                sent.push(Sent {
                    partition,
                    offset,
                    key,
                    value,
                    headers,
                });
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                refused = bytes
            }
            Err((error, _)) => panic!("{error}"),
        }
    }
    println!("the largest value with {padding_bytes} bytes of headers: {taken}");
    assert!(!sent.is_empty(), "some size was taken");
    sent
}

/// The largest events, with few header bytes and with as many as are read.
pub(super) async fn largest_events(platform: &Platform) -> Vec<Sent> {
    let mut sent = largest(platform, 0).await;
    sent.append(&mut largest(platform, 63 * 1024).await);
    sent
}

/// Each has a letter with its key, its whole value, its headers in front, and the reason.
pub(super) fn have_whole_letters(platform: &Platform, sent: &[Sent]) {
    for record in sent {
        let letter = wait_for("the letter", PATIENCE, || letter_of(platform, record)).unwrap();
        assert_eq!(letter.key.as_deref(), Some(record.key.as_bytes()));
        assert!(
            letter.value.as_ref() == Some(&record.value),
            "the value came whole"
        );
        let before = rdkafka::message::Headers::iter(&record.headers);
        for (header, letters) in before.zip(&letter.headers) {
            assert_eq!(
                (header.key, header.value),
                (letters.name.as_str(), letters.value.as_deref())
            );
        }
        assert_eq!(letter.header("x-reason"), Some(b"key_mismatch".as_slice()));
        assert_eq!(
            letter.header("x-original-topic"),
            Some(platform.events_topic().as_bytes())
        );
    }
}

fn letter_of(platform: &Platform, record: &Sent) -> Option<Record> {
    let dead = format!("{}license.events.dlq.v1", platform.prefix());
    let settings = KafkaSettings::new(platform.bootstrap(), "letters");
    let mut reader = Reader::open(
        &settings,
        &[&dead],
        &Start::Beginning,
        Stop::AtEnd,
        PATIENCE,
    )
    .unwrap();
    let mut found = None;
    let (partition, offset) = (record.partition.to_string(), record.offset.to_string());
    reader
        .drain(|letter| {
            let place = (
                letter.header("x-original-partition"),
                letter.header("x-original-offset"),
            );
            if place == (Some(partition.as_bytes()), Some(offset.as_bytes())) {
                found = Some(letter);
            }
            Ok::<(), Error>(())
        })
        .unwrap();
    found
}
