//! Letters over a dead-letter topic in memory: refused, unanswered, large, and in the middle of a death.

use std::sync::Arc;

use licenseflow_avro::{Coordinates, Lane, Reason, json};
use licenseflow_projector::Settings;
use licenseflow_store::{Outbox, ReadModel};
use licenseflow_tests::harness::wait_until;

use crate::bench::{Bench, large_settings, poison, started_again};
use crate::events::{self, LOG_TIME_MS, OneSchema};
use crate::memory_log::Log;
use crate::schedules::DEADLINE;
use licenseflow_tests::chance::Chance;

const MIB: usize = 1 << 20;

fn at(offset: i64) -> Coordinates {
    Coordinates {
        timestamp: LOG_TIME_MS + offset,
        lane: Lane::Interactive,
        partition: 0,
        offset,
    }
}

fn unsent(bench: &Bench) -> Vec<i64> {
    let letters = bench.door.model().unsent(0, 1000, &[]).unwrap();
    letters.iter().map(|one| one.at.offset).collect()
}

#[test]
fn refused_letters_hold_up_none_and_are_tried_again_until_they_are_taken() {
    let settings = Settings {
        letters_max: 2,
        ..large_settings()
    };
    // More than a round of them, the oldest, and one in a round with others.
    let bad = [0, 1, 2, 7];
    let bench = Bench::start(poison(30, 10), settings, OneSchema::new(), |made| {
        let refused = bad.map(|offset| (at(offset), 0));
        made.letters.refused.lock().unwrap().extend(refused);
    });
    wait_until("all others are marked", DEADLINE, || unsent(&bench) == bad).unwrap();
    assert_eq!(bench.sent().len(), 26);
    wait_until("each is tried again", DEADLINE, || {
        let attempts = bench.letters.refused.lock().unwrap();
        attempts.values().all(|attempts| *attempts >= 3)
    })
    .unwrap();
    // What comes later passes them, too.
    let (key, value) = (None, Some(b"{".to_vec()));
    let mut log = bench.world.log.lock().unwrap();
    log.append((Lane::Interactive, 0), key, value);
    drop(log);
    wait_until("the new one is sent", DEADLINE, || bench.sent().len() == 27).unwrap();
    bench.letters.refused.lock().unwrap().clear();
    wait_until("all are marked", DEADLINE, || unsent(&bench).is_empty()).unwrap();
    assert_eq!(bench.sent().len(), 31, "none was sent twice");
    bench.end();
}

#[test]
fn a_disk_that_is_full_does_not_have_letters_sent_twice() {
    let bench = Bench::start(poison(30, 10), large_settings(), OneSchema::new(), |made| {
        made.door.faults().is_full = true;
    });
    bench.wait_for_the_end();
    wait_until("the first round is sent", DEADLINE, || {
        !bench.sent().is_empty()
    })
    .unwrap();
    let first = bench.sent().len();
    let refusals = || bench.door.faults().refused_marks;
    wait_until("marks were refused again and again", DEADLINE, || {
        refusals() >= 3
    })
    .unwrap();
    assert!(bench.sent().len() <= first.max(5), "{}", bench.sent().len());
    assert_eq!(unsent(&bench).len(), 30);
    bench.door.faults().is_full = false;
    wait_until("all are marked", DEADLINE, || unsent(&bench).is_empty()).unwrap();
    assert_eq!(bench.sent().len(), 30, "none was sent twice");
    bench.end();
}

/// A record of 1 MiB or so that says the same event as all others, each time with another content.
fn conflicts(count: usize) -> Log {
    let mut log = Log::default();
    let event = events::event(&mut Chance::new(5));
    for number in 0..count {
        let mut event = event.clone();
        event.source = format!("source {number}");
        let mut value = json::encode(&event).to_string().into_bytes();
        value.resize(MIB, b' ');
        log.append((Lane::Interactive, 0), None, Some(value));
    }
    log
}

#[test]
fn conflicts_are_read_from_the_lane_no_more_at_a_time_than_memory_has_room_for() {
    let settings = Settings {
        letters_max: 500,
        letters_bytes_max: 3 * MIB,
        ..large_settings()
    };
    let bench = Bench::start(conflicts(21), settings, OneSchema::new(), |_| {});
    wait_until("all conflicts are sent", DEADLINE, || {
        bench.sent().len() == 20
    })
    .unwrap();
    assert!(
        bench
            .sent()
            .iter()
            .all(|reason| *reason == Reason::EventConflict)
    );
    let largest = *bench.letters.largest.lock().unwrap();
    assert!((MIB..=4 * MIB).contains(&largest), "{largest}");
    wait_until("all are marked", DEADLINE, || unsent(&bench).is_empty()).unwrap();
    bench.end();
}

#[test]
fn letters_that_wait_for_the_brokers_when_the_process_dies_are_sent_by_the_next() {
    let bench = Bench::start(poison(30, 10), large_settings(), OneSchema::new(), |made| {
        *made.letters.is_away.lock().unwrap() = true;
    });
    bench.wait_for_the_end();
    wait_until("letters were tried", DEADLINE, || {
        *bench.letters.tried.lock().unwrap() > 0
    })
    .unwrap();
    // Nothing of this process does anything any more, as after a kill.
    bench.door.faults().is_broken = true;
    let (world, door, letters) = (
        bench.world.clone(),
        bench.door.with(crate::stand_ins::Faults::default()),
        bench.letters.clone(),
    );
    bench.handle.stop();
    let _ = bench.handle.join();
    *letters.is_away.lock().unwrap() = false;
    let handle = started_again(&world, &door, &letters);
    let sent = Arc::clone(&letters.sent);
    wait_until("all letters are there", DEADLINE, || {
        let sent = sent.lock().unwrap();
        let offsets = sent.iter().map(|one| one.record.at.offset);
        offsets.collect::<std::collections::BTreeSet<_>>() == (0..30).collect()
    })
    .unwrap();
    handle.stop();
    handle.join().unwrap();
    assert_eq!(door.model().positions().unwrap()[0].next_offset, 30);
}
