//! The bulk lane yields to the interactive one: what order, and what shares.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use licenseflow_avro::codec::encode;
use licenseflow_avro::{Lane, json};
use licenseflow_projector::{Settings, Yields};
use licenseflow_tests::chance::Chance;
use licenseflow_tests::harness::wait_until;

use crate::bench::{Bench, large_settings};
use crate::events::{self, OneSchema, SCHEMA_ID, UNUSABLE_ID};
use crate::memory_log::Log;
use crate::schedules::DEADLINE;

const PARTITIONS: i32 = 3;

/// Appends events to a lane, over all of its partitions.
fn append(log: &mut Log, chance: &mut Chance, lane: Lane, count: usize) {
    for number in 0..count {
        let text = json::encode(&events::event(chance)).to_string();
        let of = (lane, number as i32 % PARTITIONS);
        log.append(of, None, Some(text.into_bytes()));
    }
}

/// What was applied of each lane after each batch.
fn sums(bench: &Bench) -> Vec<(i64, i64)> {
    let lanes = bench.door.faults().lanes.clone();
    let each = lanes.into_iter().scan((0, 0), |sum, (interactive, bulk)| {
        *sum = (sum.0 + interactive, sum.1 + bulk);
        Some(*sum)
    });
    each.collect()
}

/// How much of the bulk lane was applied when the last of so many of the interactive lane was.
fn bulk_beside(bench: &Bench, interactive: i64) -> i64 {
    let sums = sums(bench);
    let last = sums.iter().find(|(done, _)| *done == interactive);
    last.unwrap().1
}

/// Everything that the interactive lane has is behind its mark.
fn behind() -> Settings {
    Settings {
        yields: Yields {
            lag_max: 0,
            ..Yields::default()
        },
        ..large_settings()
    }
}

#[test]
fn where_both_lanes_are_behind_the_interactive_one_comes_first_and_the_other_has_a_twentieth() {
    const EACH: i64 = 5_700;
    let mut log = Log::default();
    let mut chance = Chance::new(21);
    append(&mut log, &mut chance, Lane::Bulk, EACH as usize);
    append(&mut log, &mut chance, Lane::Interactive, EACH as usize);
    let bench = Bench::start(log, behind(), OneSchema::new(), |_| {});
    bench.wait_for_the_end();
    // One in twenty is read between them; what the store takes with the last of them is a batch at most.
    let bulk = bulk_beside(&bench, EACH);
    let twentieth = EACH / 19;
    assert!(
        (twentieth..=twentieth + 1_000).contains(&bulk),
        "{bulk} beside {EACH}: {:?}",
        sums(&bench)
    );
    // Nor is it kept for the end: half way through there is half of it.
    let sums = sums(&bench);
    let half = sums.iter().find(|(done, _)| *done >= EACH / 2).unwrap();
    assert!(half.1 >= half.0 / 19 - 1, "{half:?}");
    bench.end();
}

#[test]
fn an_event_that_comes_while_the_store_writes_the_bulk_lane_is_written_next() {
    let mut log = Log::default();
    let mut chance = Chance::new(22);
    append(&mut log, &mut chance, Lane::Bulk, 6_000);
    append(&mut log, &mut chance, Lane::Interactive, 1);
    let gate = Arc::new(std::sync::Mutex::new(()));
    let closed = gate.lock().unwrap();
    let bench = Bench::start(log, large_settings(), OneSchema::new(), |made| {
        made.door.faults().gate = Arc::clone(&gate);
    });
    let begun = || bench.door.faults().lanes.len();
    wait_until("the first batch is at the store", DEADLINE, || begun() == 1).unwrap();
    append(
        &mut bench.world.log.lock().unwrap(),
        &mut chance,
        Lane::Interactive,
        1,
    );
    // The interactive lane is in use: while the store is at a batch, nothing of the bulk lane is taken.
    let polled = || bench.polls.load(Ordering::Relaxed);
    let before = polled();
    wait_until("the log was asked often", DEADLINE, || {
        polled() > before + 20
    })
    .unwrap();
    drop(closed);
    bench.wait_for_the_end();
    let lanes = bench.door.faults().lanes.clone();
    assert_eq!(lanes[1].0, 1, "{lanes:?}");
    // With it comes what is written in milliseconds, not what is at hand.
    assert!(lanes[1].1 <= 64, "{lanes:?}");
    bench.end();
}

#[test]
fn a_halted_lane_is_not_waited_for() {
    let mut log = Log::default();
    let mut chance = Chance::new(23);
    let [.., id] = UNUSABLE_ID.to_be_bytes();
    for _ in 0..3_000 {
        log.append((Lane::Interactive, 0), None, Some(vec![0, 0, 0, 0, id, 1]));
    }
    append(&mut log, &mut chance, Lane::Bulk, 3_000);
    let bench = Bench::start(log, behind(), OneSchema::new(), |_| {});
    let all = |lane| {
        let position = bench.position();
        let each = (0..PARTITIONS).map(|it| position.get(lane, it).unwrap_or(0));
        each.sum::<i64>()
    };
    wait_until("all of the bulk lane is applied", DEADLINE, || {
        all(Lane::Bulk) == 3_000
    })
    .unwrap();
    assert_eq!(bench.handle.status().halted.len(), 1);
    assert!(all(Lane::Interactive) < 100);
    bench.end();
}

#[test]
fn a_lane_that_waits_for_its_registry_is_not_waited_for() {
    let mut log = Log::default();
    let mut chance = Chance::new(24);
    for _ in 0..100 {
        let event = events::event(&mut chance);
        log.append(
            (Lane::Interactive, 0),
            None,
            Some(encode(SCHEMA_ID, &event)),
        );
    }
    append(&mut log, &mut chance, Lane::Bulk, 3_000);
    let schemas = OneSchema::new();
    schemas.is_away.store(true, Ordering::Relaxed);
    let is_away = Arc::clone(&schemas.is_away);
    let bench = Bench::start(log, behind(), schemas, |_| {});
    wait_until("all of the bulk lane is applied", DEADLINE, || {
        let position = bench.position();
        let each = (0..PARTITIONS).map(|it| position.get(Lane::Bulk, it).unwrap_or(0));
        each.sum::<i64>() == 3_000
    })
    .unwrap();
    let waits = bench.position().get(Lane::Interactive, 0);
    assert_eq!(waits.unwrap_or(0), 0);
    is_away.store(false, Ordering::Relaxed);
    bench.wait_for_the_end();
    bench.end();
}

#[test]
fn a_lane_that_is_alone_fills_its_batches() {
    for lane in Lane::ALL {
        let mut log = Log::default();
        append(&mut log, &mut Chance::new(25), lane, 6_000);
        let gate = Arc::new(std::sync::Mutex::new(()));
        let closed = gate.lock().unwrap();
        let bench = Bench::start(log, large_settings(), OneSchema::new(), |made| {
            made.door.faults().gate = Arc::clone(&gate);
        });
        wait_until("there is no room for more", DEADLINE, || {
            bench.handle.status().is_paused
        })
        .unwrap();
        drop(closed);
        bench.wait_for_the_end();
        assert_eq!(bench.door.faults().largest.0, 1_000, "{lane}");
        bench.end();
    }
}
