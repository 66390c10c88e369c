//! The loop, one thing at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use licenseflow_avro::codec::encode;
use licenseflow_avro::{Lane, Reason, json};
use licenseflow_projector::{Error, Retries, Settings};
use licenseflow_tests::harness::wait_until;

use crate::bench::{Bench, large_settings, poison, started_again};
use crate::events::{self, OneSchema, SCHEMA_ID, UNUSABLE_ID};
use crate::memory_log::Log;
use crate::schedules::DEADLINE;
use licenseflow_tests::chance::Chance;

#[test]
fn large_records_keep_to_the_byte_bound_and_a_slow_store_makes_the_loop_leave_its_partitions() {
    const MIB: usize = 1 << 20;
    let settings = Settings {
        batch_bytes_max: 8 * MIB,
        hold: Duration::from_millis(20),
        ..large_settings()
    };
    let gate = Arc::new(std::sync::Mutex::new(()));
    let closed = gate.lock().unwrap();
    let bench = Bench::start(poison(40, MIB), settings, OneSchema::new(), |made| {
        made.door.faults().gate = Arc::clone(&gate);
    });
    wait_until("the loop left its partitions", DEADLINE, || {
        bench.handle.status().is_paused && *bench.released.lock().unwrap() > 0
    })
    .unwrap();
    drop(closed);
    bench.wait_for_the_end();
    let (_, bytes) = bench.door.faults().largest;
    assert!((7 * MIB..=8 * MIB + 2 * MIB).contains(&bytes), "{bytes}");
    assert!(!bench.handle.status().is_paused);
    bench.end();
}

#[test]
fn a_batch_keeps_to_the_record_bound_while_the_store_is_busy() {
    let settings = Settings {
        batch_records_max: 10,
        hold: Duration::from_secs(60),
        ..large_settings()
    };
    let bench = Bench::start(poison(500, 10), settings, OneSchema::new(), |_| {});
    bench.wait_for_the_end();
    assert!(bench.door.faults().largest.0 <= 10);
    bench.end();
}

#[test]
fn brokers_that_take_no_letters_do_not_stop_the_fold_and_lose_none() {
    let bench = Bench::start(poison(30, 10), large_settings(), OneSchema::new(), |made| {
        *made.letters.is_away.lock().unwrap() = true;
    });
    bench.wait_for_the_end();
    assert_eq!(bench.sent(), vec![]);
    *bench.letters.is_away.lock().unwrap() = false;
    wait_until("all letters are sent", DEADLINE, || {
        bench.sent().len() >= 30
    })
    .unwrap();
    assert!(bench.sent().iter().all(|reason| *reason == Reason::BadJson));
    bench.end();
}

#[test]
fn a_record_whose_schema_cannot_be_had_holds_its_partition_and_no_other() {
    let mut chance = Chance::new(9);
    let mut log = Log::default();
    let (avro, plain) = ((Lane::Interactive, 0), (Lane::Interactive, 1));
    for number in 0..20 {
        let event = events::event(&mut chance);
        let text = json::encode(&event).to_string().into_bytes();
        let value = if number == 3 {
            encode(SCHEMA_ID, &event)
        } else {
            text.clone()
        };
        log.append(avro, None, Some(value));
        log.append(plain, None, Some(text));
    }
    let schemas = OneSchema::new();
    schemas.is_away.store(true, Ordering::Relaxed);
    let is_away = Arc::clone(&schemas.is_away);
    let bench = Bench::start(log, large_settings(), schemas, |_| {});
    wait_until("the other partition is applied", DEADLINE, || {
        bench.position().get(plain.0, plain.1) == Some(20)
    })
    .unwrap();
    wait_until("the records before it are applied", DEADLINE, || {
        bench.position().get(avro.0, avro.1) == Some(3)
    })
    .unwrap();
    let still = || bench.handle.status().still;
    wait_until("it is seen to stand still", DEADLINE, || {
        still().is_some_and(|it| (it.lane, it.partition, it.next_offset) == (avro.0, avro.1, 3))
    })
    .unwrap();
    let later = Instant::now() + 2 * DEADLINE;
    let mut status = bench.handle.status();
    status.turned = later;
    let why = status.unready(later, DEADLINE).unwrap();
    assert!(why.contains("stands at 3"), "{why}");
    is_away.store(false, Ordering::Relaxed);
    bench.wait_for_the_end();
    wait_until("it moves again", DEADLINE, || still().is_none()).unwrap();
    assert_eq!(bench.sent(), vec![]);
    bench.end();
}

#[test]
fn rejects_that_point_at_us_halt_their_partition_and_garbage_halts_none() {
    let mut log = Log::default();
    let (ours, theirs) = ((Lane::Interactive, 0), (Lane::Interactive, 1));
    let [.., id] = UNUSABLE_ID.to_be_bytes();
    for number in 0..40 {
        log.append(ours, None, Some(vec![0, 0, 0, 0, id, 1]));
        // Garbage, and a schema id that nobody knows.
        let garbage = [vec![b'{'], vec![0, 0, 0, 9, number, 1]];
        let [text, unknown] = garbage;
        log.append(theirs, None, Some(text));
        log.append(theirs, None, Some(unknown));
    }
    let settings = Settings {
        retries: Retries {
            attempts_max: 1,
            ..Retries::default()
        },
        ..large_settings()
    };
    let bench = Bench::start(log, settings, OneSchema::new(), |_| {});
    wait_until("the partition is left", DEADLINE, || {
        bench.position().get(ours.0, ours.1) == Some(19)
            && bench.position().get(theirs.0, theirs.1) == Some(80)
    })
    .unwrap();
    let halted = bench.handle.status().halted;
    let places: Vec<_> = halted.iter().map(|it| (it.lane, it.partition)).collect();
    assert_eq!(places, [ours]);
    let why = &halted[0].reason;
    assert!(
        why.contains("unknown_schema") && why.contains("--suspects-run-max"),
        "{why}"
    );
    wait_until("letters are sent of what was rejected", DEADLINE, || {
        bench.sent().len() == 19 + 80
    })
    .unwrap();
    bench.end();
}

#[test]
fn where_nothing_arrives_the_ends_are_written_all_the_same() {
    let mut log = poison(1, 10);
    log.marker((Lane::Interactive, 0));
    log.partitions.insert((Lane::Bulk, 0), vec![]);
    let bench = Bench::start(log, large_settings(), OneSchema::new(), |_| {});
    let noted = || bench.door.faults().noted.clone();
    wait_until("ends are noted", DEADLINE, || noted().len() == 2).unwrap();
    let first = noted()[1];
    wait_until("and noted again", DEADLINE, || {
        noted()[1].seen_at > first.seen_at
    })
    .unwrap();
    assert_eq!((noted()[0].end_offset, noted()[1].end_offset), (0, 2));
    bench.wait_for_the_end();
    bench.end();
}

#[test]
fn a_store_that_comes_back_is_gone_on_with() {
    let bench = Bench::start(poison(30, 10), large_settings(), OneSchema::new(), |made| {
        made.door.faults().is_away = true;
    });
    wait_until("the trouble shows", DEADLINE, || {
        bench
            .handle
            .status()
            .unready(Instant::now(), DEADLINE)
            .is_some_and(|why| why.contains("away"))
    })
    .unwrap();
    bench.door.faults().is_away = false;
    bench.wait_for_the_end();
    wait_until("it is ready", DEADLINE, || {
        bench
            .handle
            .status()
            .unready(Instant::now(), DEADLINE)
            .is_none()
    })
    .unwrap();
    bench.end();
}

#[test]
fn a_broken_store_ends_the_loop_with_the_reason_and_asks_all_others_to_end() {
    let bench = Bench::start(poison(30, 10), large_settings(), OneSchema::new(), |made| {
        made.door.faults().is_broken = true;
    });
    wait_until("it ends", DEADLINE, || bench.handle.is_ended()).unwrap();
    match bench.handle.join() {
        Err(Error::Store(error)) => assert!(error.to_string().contains("broken"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_ends_within_the_grace_while_letters_wait_and_goes_on_where_it_stood() {
    let bench = Bench::start(poison(30, 10), large_settings(), OneSchema::new(), |made| {
        *made.letters.is_away.lock().unwrap() = true;
    });
    bench.wait_for_the_end();
    let before = Instant::now();
    let (world, door, letters) = (
        bench.world.clone(),
        bench.door.clone(),
        bench.letters.clone(),
    );
    bench.handle.stop();
    bench.handle.join().unwrap();
    assert!(before.elapsed() < Duration::from_secs(10));
    *letters.is_away.lock().unwrap() = false;
    let handle = started_again(&world, &door, &letters);
    wait_until("the letters are sent", DEADLINE, || {
        letters.sent.lock().unwrap().len() == 30
    })
    .unwrap();
    assert_eq!(door.position(), world.log.lock().unwrap().end());
    handle.stop();
    handle.join().unwrap();
}
