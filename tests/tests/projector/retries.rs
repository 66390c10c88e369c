//! Records that wait for another try, in the loop: over a log in memory, into which they are published again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use licenseflow_avro::codec::encode;
use licenseflow_avro::{Lane, LicenseEvent, Reason, json};
use licenseflow_kafka::RetryTo;
use licenseflow_projector::{Backoff, Retries, Settings};
use licenseflow_store::{Lookup as _, Outbox as _, SqliteLookup};
use licenseflow_tests::chance::Chance;
use licenseflow_tests::harness::wait_until;

use crate::bench::{Bench, large_settings, started_again};
use crate::events::{self, LATE_ID, OneSchema};
use crate::memory_log::Log;
use crate::schedules::DEADLINE;
use crate::stand_ins::Faults;

const OF: (Lane, i32) = (Lane::Interactive, 0);

/// What never comes within a test.
const LATER: Duration = Duration::from_secs(3600);

fn settings(attempts_max: u32, first: Duration) -> Settings {
    Settings {
        retries: Retries {
            attempts_max,
            waiting_max: 5,
        },
        backoff: Backoff { first, cap: first },
        ..large_settings()
    }
}

fn of_unknown_schema(event: &LicenseEvent) -> Vec<u8> {
    encode(LATE_ID, event)
}

/// A record of a schema that is registered later, and others behind it.
fn log(others: usize) -> (Log, LicenseEvent) {
    let mut chance = Chance::new(11);
    let mut log = Log::default();
    let event = events::event(&mut chance);
    let key = event.license_id.clone().into_bytes();
    log.append(OF, Some(key), Some(of_unknown_schema(&event)));
    for _ in 0..others {
        let other = json::encode(&events::event(&mut chance)).to_string();
        log.append(OF, None, Some(other.into_bytes()));
    }
    (log, event)
}

/// How many records with a key wait, as readers see it.
fn open(bench: &Bench) -> usize {
    let lookup = SqliteLookup::open(&bench.folder.path().join("store.db"), 1).unwrap();
    lookup.freshness().unwrap().waiting.len()
}

#[test]
fn a_record_that_waits_holds_up_nobody_and_counts_once_its_schema_is_there() {
    let (log, _) = log(20);
    let schemas = OneSchema::new();
    let knows_late = Arc::clone(&schemas.knows_late);
    let mut settings = settings(1000, Duration::from_millis(1));
    // It has its room: its tries need no more.
    settings.retries.waiting_max = 1;
    let bench = Bench::start(log, settings, schemas, |_| {});
    wait_until("what lies behind it is applied", DEADLINE, || {
        bench.position().get(OF.0, OF.1) >= Some(21)
    })
    .unwrap();
    let tries = || {
        let copies = bench.letters.copies.lock().unwrap();
        copies.iter().map(|it| it.attempt).max()
    };
    wait_until("it was tried again and again", DEADLINE, || {
        tries() >= Some(3)
    })
    .unwrap();
    assert_eq!(open(&bench), 1, "in one row");
    knows_late.store(true, Ordering::Relaxed);
    wait_until("it waits no more", DEADLINE, || open(&bench) == 0).unwrap();
    bench.wait_for_the_end();
    assert_eq!(bench.sent(), []);
    let schemas = OneSchema::new();
    schemas.knows_late.store(true, Ordering::Relaxed);
    bench.agrees_with_its_log(&schemas);
    bench.end();
}

#[test]
fn a_record_is_given_up_on_after_its_tries_with_one_letter_from_its_first_place() {
    let (log, _) = log(3);
    let bench = Bench::start(
        log,
        settings(4, Duration::from_millis(1)),
        OneSchema::new(),
        // What is not acknowledged is sent again, written or not.
        |made| made.letters.fails = 2,
    );
    wait_until("its letter is there", DEADLINE, || !bench.sent().is_empty()).unwrap();
    wait_until("nothing waits", DEADLINE, || open(&bench) == 0).unwrap();
    bench.wait_for_the_end();
    let sent = bench.letters.sent.lock().unwrap();
    assert!(
        sent.iter().all(|it| it.reason == Reason::RetriesExhausted),
        "{sent:?}"
    );
    assert!(sent.iter().all(|it| it.record.at.offset == 0), "{sent:?}");
    assert!(sent[0].error.contains("tried 4 times") && sent[0].error.contains("unknown_schema"));
    drop(sent);
    let copies = bench.letters.copies.lock().unwrap();
    let mut attempts: Vec<u32> = copies.iter().map(|it| it.attempt).collect();
    attempts.dedup();
    assert_eq!(attempts, [1, 2, 3], "the fourth is the last");
    assert!(
        copies
            .iter()
            .all(|it| it.to == RetryTo::Topic && it.due > 0)
    );
    drop(copies);
    assert_eq!(bench.door.model().unsent(0, 10, &[]).unwrap().len(), 0);
    bench.end();
}

#[test]
fn garbage_waits_only_as_far_as_there_is_room_and_what_may_not_wait_is_rejected_at_once() {
    let mut log = Log::default();
    for number in 0..30 {
        log.append(OF, Some(b"L".to_vec()), Some(vec![0, 0, 0, 9, number, 1]));
    }
    let bench = Bench::start(log.clone(), settings(6, LATER), OneSchema::new(), |_| {});
    wait_until("those without room are sent", DEADLINE, || {
        bench.sent().len() == 25
    })
    .unwrap();
    assert!(bench.sent().iter().all(|it| *it == Reason::UnknownSchema));
    assert_eq!(open(&bench), 5);
    assert!(bench.handle.status().halted.is_empty());
    bench.end();
    let bench = Bench::start(log, settings(1, LATER), OneSchema::new(), |_| {});
    wait_until("all are sent", DEADLINE, || bench.sent().len() == 30).unwrap();
    assert_eq!(open(&bench), 0);
    bench.end();
}

#[test]
fn who_waits_goes_on_waiting_over_a_restart_and_while_the_brokers_are_away() {
    let (log, _) = log(3);
    let quick = Duration::from_millis(1);
    let bench = Bench::start(log, settings(50, quick), OneSchema::new(), |made| {
        *made.letters.is_away.lock().unwrap() = true;
    });
    bench.wait_for_the_end();
    assert_eq!(open(&bench), 1);
    let (world, door, letters) = (
        bench.world.clone(),
        bench.door.clone(),
        bench.letters.clone(),
    );
    let kept = bench.end_and_keep();
    let door = door.with(Faults::default());
    let again = started_again(&world, &door, &letters);
    *letters.is_away.lock().unwrap() = false;
    wait_until("it is tried again", DEADLINE, || {
        let log = world.log.lock().unwrap();
        log.partitions[&OF].len() > 4
    })
    .unwrap();
    again.stop();
    again.join().unwrap();
    drop(kept);
}
