//! Letters over a real Kafka: refused for good, and originals within bounds.

use std::collections::{BTreeSet, HashSet};

use licenseflow_avro::{Coordinates, Lane, RawRecord, Reason};
use licenseflow_kafka::{DeadLetter, KafkaLetters, Letters};
use licenseflow_store::Outbox;
use licenseflow_tests::harness::{Kafka, kafka, wait_until};
use rdkafka::producer::Producer;

use crate::ground::{DEADLINE, Ground, TIMEOUT, stop};

/// Sets how large a batch of letters the brokers take.
fn limit_letters(ground: &Ground, bytes: usize) {
    let topic = ground.topics.dead_letters();
    let setting = format!("max.message.bytes={bytes}");
    let arguments = [
        "tool",
        "kafka.admin.ConfigCommand",
        "--bootstrap-server",
        Kafka::shared().bootstrap(),
        "--alter",
        "--entity-type",
        "topics",
        "--entity-name",
        &topic,
        "--add-config",
        &setting,
    ];
    kafka::run_script(None, &arguments).unwrap();
}

fn letter(offset: i64, bytes: usize) -> DeadLetter {
    // Noise, so that no compression makes it small.
    let mut chance = licenseflow_tests::chance::Chance::new(7);
    DeadLetter {
        record: RawRecord {
            at: Coordinates {
                timestamp: 1,
                lane: Lane::Bulk,
                partition: 0,
                offset,
            },
            key: None,
            value: Some((0..bytes).map(|_| chance.next() as u8).collect()),
            headers: vec![],
        },
        reason: Reason::BadJson,
        error: "of a test".into(),
    }
}

fn offsets(ground: &Ground) -> Vec<i64> {
    let letters = ground.letters();
    let offset = |one: &licenseflow_runtime::log::Record| {
        let text = one.header("x-original-offset").unwrap();
        std::str::from_utf8(text).unwrap().parse().unwrap()
    };
    letters.iter().map(offset).collect()
}

#[test]
fn a_letter_that_the_brokers_refuse_holds_up_none_and_is_sent_once_they_take_it() {
    let ground = Ground::new();
    limit_letters(&ground, 20_000);
    let producer = ground.producer();
    let of = (Lane::Bulk, 0);
    let large = letter(0, 100_000).record.value.unwrap();
    for offset in 0..40 {
        let value = if offset == 3 { &large[..] } else { b"poison" };
        ground.send(&producer, of, (None, Some(value)), &[]);
    }
    producer.flush(TIMEOUT).unwrap();
    let handle = ground.project(None);
    let unsent = || {
        let letters = ground.door.model().unsent(0, 100, &[]).unwrap();
        letters.iter().map(|one| one.at.offset).collect::<Vec<_>>()
    };
    ground.wait_for_the_end();
    wait_until("all others are marked", DEADLINE, || unsent() == [3]).unwrap();
    let others: BTreeSet<i64> = (0..40).filter(|offset| *offset != 3).collect();
    assert_eq!(
        offsets(&ground).into_iter().collect::<BTreeSet<_>>(),
        others
    );
    limit_letters(&ground, 4 << 20);
    wait_until("it is marked, too", DEADLINE, || unsent().is_empty()).unwrap();
    assert!(offsets(&ground).contains(&3));
    stop(handle);
}

#[test]
fn originals_are_read_up_to_the_bound_and_the_rest_is_left_to_be_asked_for_again() {
    const MIB: usize = 1 << 20;
    let ground = Ground::new();
    let producer = ground.producer();
    let value = letter(0, MIB).record.value.unwrap();
    let mut asked = Vec::new();
    for offset in 0..6 {
        for partition in 0..2 {
            ground.send(
                &producer,
                (Lane::Bulk, partition),
                (None, Some(&value)),
                &[],
            );
            asked.push(Coordinates {
                timestamp: 1,
                lane: Lane::Bulk,
                partition,
                offset,
            });
        }
    }
    producer.flush(TIMEOUT).unwrap();
    let mut letters = KafkaLetters::new(&ground.settings, &ground.topics).unwrap();
    let (mut found, mut rounds) = (HashSet::new(), 0);
    while !asked.is_empty() {
        let originals = letters.originals(&asked, 3 * MIB).unwrap();
        let bytes = originals.found.len() * MIB;
        assert!((MIB..=3 * MIB).contains(&bytes), "{bytes}");
        found.extend(originals.found.into_keys());
        asked.retain(|at| originals.left.contains(at));
        assert_eq!(found.len() + asked.len(), 12, "none is lost");
        rounds += 1;
    }
    assert_eq!(rounds, 4);
}
