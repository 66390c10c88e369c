//! Over a real Kafka: transactions, rebalances, offsets out of range, letters by value.

use std::collections::BTreeMap;

use licenseflow_avro::record::Header;
use licenseflow_avro::{Lane, Position, RawRecord, Reason, json};
use licenseflow_core::Batch;
use licenseflow_kafka::DeadLetter;
use licenseflow_kafka::letter::letter_headers;
use licenseflow_projector::Handle;
use licenseflow_runtime::log::TopicPartition;
use licenseflow_store::ReadModel;
use licenseflow_tests::harness::{Kafka, wait_until};
use rdkafka::producer::Producer;

use crate::events;
use crate::ground::{Content, DEADLINE, Ground, PARTITIONS, TIMEOUT, stop};
use licenseflow_tests::chance::Chance;

#[test]
fn the_end_is_reached_over_markers_and_aborted_records_and_after_a_restart() {
    let ground = Ground::new();
    let mut chance = Chance::new(1);
    ground.write(&mut chance, 300);
    ground.transact(&mut chance, true);
    let handle = ground.project(Some("only"));
    ground.wait_for_the_end();
    ground.transact(&mut chance, false);
    ground.transact(&mut chance, true);
    ground.transact(&mut chance, false);
    ground.wait_for_the_end();
    stop(handle);
    ground.write(&mut chance, 50);
    ground.transact(&mut chance, true);
    let handle = ground.project(Some("only"));
    ground.wait_for_the_end();
    assert_eq!(
        ground.compare(),
        300 + 50 + 3 * u64::from(PARTITIONS.unsigned_abs())
    );
    stop(handle);
}

#[test]
fn a_partition_that_comes_and_goes_loses_nothing() {
    let ground = Ground::new();
    let mut chance = Chance::new(2);
    let count = |handle: &Handle| handle.status().assigned;
    let all = 2 * PARTITIONS as usize;
    let first = ground.project(None);
    ground.write(&mut chance, 2_000);
    wait_until("the first has all", DEADLINE, || count(&first) == all).unwrap();
    let second = ground.project(None);
    ground.write(&mut chance, 2_000);
    wait_until("they share", DEADLINE, || {
        ground.write(&mut chance, 20);
        count(&first) + count(&second) == all && count(&second) > 0
    })
    .unwrap();
    ground.write(&mut chance, 2_000);
    ground.wait_for_the_end();
    stop(first);
    ground.write(&mut chance, 500);
    wait_until("the second has all", DEADLINE, || count(&second) == all).unwrap();
    ground.wait_for_the_end();
    assert!(ground.compare() >= 6_500);
    stop(second);
}

#[test]
fn an_offset_out_of_range_halts_its_partition_with_the_command_to_run_and_no_other() {
    let ground = Ground::new();
    let mut chance = Chance::new(3);
    let mut batch = Batch::default();
    batch.advance(Lane::Interactive, 0, 0, 5_000);
    ground.door.model().apply(batch, 0).unwrap();
    let producer = ground.producer();
    for partition in 0..PARTITIONS {
        let value = json::encode(&events::event(&mut chance)).to_string();
        ground.send(
            &producer,
            (Lane::Interactive, partition),
            (None, Some(value.as_bytes())),
            &[],
        );
    }
    producer.flush(TIMEOUT).unwrap();
    let handle = ground.project(None);
    wait_until("it is halted", DEADLINE, || {
        !handle.status().halted.is_empty()
    })
    .unwrap();
    let halted = handle.status().halted;
    assert_eq!(
        (halted.len(), halted[0].lane, halted[0].partition),
        (1, Lane::Interactive, 0)
    );
    assert!(
        halted[0].reason.contains("licenseflow replay"),
        "{}",
        halted[0].reason
    );
    let others: Position = [(Lane::Interactive, 1, 1), (Lane::Interactive, 2, 1)]
        .into_iter()
        .collect();
    wait_until("the others go on", DEADLINE, || {
        ground.door.position().covers(&others)
    })
    .unwrap();
    stop(handle);
}

/// Has the brokers throw a partition's records away, up to that offset.
fn delete_below(topic: &str, partition: i32, offset: i64) {
    let folder = licenseflow_tests::harness::Folder::new("delete").unwrap();
    let file = folder.path().join("offsets.json");
    let text = format!(
        r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":{partition},"offset":{offset}}}]}}"#
    );
    std::fs::write(&file, text).unwrap();
    let arguments = [
        "tool",
        "org.apache.kafka.tools.DeleteRecordsCommand",
        "--bootstrap-server",
        Kafka::shared().bootstrap(),
        "--offset-json-file",
        file.to_str().unwrap(),
    ];
    licenseflow_tests::harness::kafka::run_script(None, &arguments).unwrap();
}

#[test]
fn records_that_are_gone_before_they_were_read_halt_their_partition_and_no_other() {
    let ground = Ground::new();
    let mut chance = Chance::new(6);
    let producer = ground.producer();
    let mut write = |partitions: std::ops::Range<i32>| {
        for _ in 0..5 {
            for partition in partitions.clone() {
                let value = json::encode(&events::event(&mut chance)).to_string();
                let of = (Lane::Interactive, partition);
                ground.send(&producer, of, (None, Some(value.as_bytes())), &[]);
            }
        }
        producer.flush(TIMEOUT).unwrap();
    };
    write(0..PARTITIONS);
    let mut batch = Batch::default();
    batch.advance(Lane::Interactive, 0, 0, 1);
    ground.door.model().apply(batch, 0).unwrap();
    delete_below(&ground.topics.lane(Lane::Interactive), 0, 3);
    let handle = ground.project(None);
    wait_until("it is halted", DEADLINE, || {
        !handle.status().halted.is_empty()
    })
    .unwrap();
    write(1..PARTITIONS);
    let others: Position = [(Lane::Interactive, 1, 10), (Lane::Interactive, 2, 10)]
        .into_iter()
        .collect();
    wait_until("the others go on", DEADLINE, || {
        ground.door.position().covers(&others)
    })
    .unwrap();
    let halted = handle.status().halted;
    assert_eq!((halted.len(), halted[0].partition), (1, 0));
    let reason = &halted[0].reason;
    assert!(
        reason.contains("the records from 1 to 3 are gone"),
        "{reason}"
    );
    assert_eq!(ground.door.position().get(Lane::Interactive, 0), Some(1));
    stop(handle);
}

#[test]
fn added_partitions_are_taken_up() {
    let ground = Ground::new();
    let mut chance = Chance::new(4);
    let handle = ground.project_with(None, &[("topic.metadata.refresh.interval.ms", "500")]);
    wait_until("partitions are assigned", DEADLINE, || {
        handle.status().read == 6
    })
    .unwrap();
    licenseflow_tests::harness::kafka::run_script(
        None,
        &[
            "tool",
            "org.apache.kafka.tools.TopicCommand",
            "--bootstrap-server",
            Kafka::shared().bootstrap(),
            "--alter",
            "--topic",
            &ground.topics.lane(Lane::Bulk),
            "--partitions",
            "5",
        ],
    )
    .unwrap();
    let producer = ground.producer();
    wait_until("the new partition is there", DEADLINE, || {
        ground
            .admin
            .partitions(&ground.topics.lane(Lane::Bulk))
            .is_ok_and(|found| found.len() == 5)
    })
    .unwrap();
    let value = json::encode(&events::event(&mut chance)).to_string();
    ground.send(
        &producer,
        (Lane::Bulk, 4),
        (None, Some(value.as_bytes())),
        &[],
    );
    producer.flush(TIMEOUT).unwrap();
    ground.wait_for_the_end();
    assert_eq!(ground.door.position().get(Lane::Bulk, 4), Some(1));
    stop(handle);
}

fn header(name: &str, value: Option<&str>) -> Header {
    Header {
        name: name.into(),
        value: value.map(|text| text.as_bytes().to_vec()),
    }
}

/// What the letters must be, by the original's coordinates, with the reason.
type Expected = BTreeMap<(Lane, i32, i64), (Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>, Reason)>;

fn send_poison(ground: &Ground) -> Expected {
    let producer = ground.producer();
    let headers = vec![
        header("b", Some("1")),
        header("a", None),
        header("b", Some("2")),
        header("x-reason", Some("of long ago")),
    ];
    let mut event = events::event(&mut Chance::new(5));
    event.payload =
        licenseflow_avro::Payload::LicenseRenewed(licenseflow_avro::event::LicenseRenewed {
            expires_at: None,
        });
    let said = json::encode(&event).to_string().into_bytes();
    event.source = "someone else".into();
    let conflict = json::encode(&event).to_string().into_bytes();
    let large = format!("{{{}", " ".repeat(1_500_000)).into_bytes();
    let cases: Vec<(Content<'_>, Option<Reason>)> = vec![
        ((Some(b"k"), None), Some(Reason::Tombstone)),
        ((Some(b""), Some(b"")), Some(Reason::Empty)),
        ((None, Some(b"\xff\x00")), Some(Reason::UnknownFormat)),
        ((None, Some(&large)), Some(Reason::BadJson)),
        ((Some(b"other"), Some(&said)), Some(Reason::KeyMismatch)),
        ((None, Some(&said)), None),
        ((None, Some(&conflict)), Some(Reason::EventConflict)),
    ];
    let of = (Lane::Bulk, 2);
    let mut expected = Expected::new();
    for (offset, ((key, value), reason)) in cases.into_iter().enumerate() {
        ground.send(&producer, of, (key, value), &headers);
        producer.flush(TIMEOUT).unwrap();
        if let Some(reason) = reason {
            let original = (
                key.map(<[u8]>::to_vec),
                value.map(<[u8]>::to_vec),
                headers.clone(),
                reason,
            );
            expected.insert((of.0, of.1, offset as i64), original);
        }
    }
    expected
}

#[test]
fn letters_are_the_originals_with_the_reason_and_where_they_lay() {
    let ground = Ground::new();
    let expected = send_poison(&ground);
    let handle = ground.project(None);
    ground.wait_for_the_end();
    wait_until("all letters are there", DEADLINE, || {
        ground.letters().len() >= expected.len()
    })
    .unwrap();
    let number = |letter: &licenseflow_runtime::log::Record, name: &str| -> i64 {
        String::from_utf8(letter.header(name).unwrap().to_vec())
            .unwrap()
            .parse()
            .unwrap()
    };
    let mut found = BTreeMap::new();
    for letter in ground.letters() {
        let offset = number(&letter, "x-original-offset");
        let of = (Lane::Bulk, 2);
        let (key, value, headers, reason) = expected[&(of.0, of.1, offset)].clone();
        // The dead-letter topic has two partitions here.
        assert_eq!(letter.partition, 0);
        assert_eq!(
            (letter.key.as_ref(), letter.value.as_ref()),
            (key.as_ref(), value.as_ref()),
            "{reason}"
        );
        let lane = TopicPartition::new(ground.topics.lane(of.0), of.1);
        let original =
            licenseflow_runtime::log::read_at(&ground.settings, &lane, offset, TIMEOUT).unwrap();
        let error = String::from_utf8(letter.header("x-error").unwrap().to_vec()).unwrap();
        assert!(!error.is_empty());
        let at = licenseflow_avro::Coordinates {
            timestamp: original.timestamp_ms.unwrap(),
            lane: of.0,
            partition: of.1,
            offset,
        };
        let dead = DeadLetter {
            record: RawRecord {
                at,
                key,
                value,
                headers,
            },
            reason,
            error,
        };
        let wanted = letter_headers(&dead, &ground.topics);
        let got: Vec<Header> = letter
            .headers
            .into_iter()
            .map(|one| Header {
                name: one.name,
                value: one.value,
            })
            .collect();
        assert_eq!(got, wanted, "{reason}");
        found.insert((of.0, of.1, offset), ());
    }
    assert_eq!(found.len(), expected.len());
    stop(handle);
}
