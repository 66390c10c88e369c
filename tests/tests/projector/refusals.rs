//! A store that refuses single rows: the loop finds them, rejects them alone, and writes all others.

use std::collections::BTreeSet;

use licenseflow_avro::{Lane, LicenseEvent, Offset, Reason, json};
use licenseflow_projector::Settings;
use licenseflow_tests::chance::Chance;
use licenseflow_tests::harness::wait_until;

use crate::bench::{Bench, large_settings};
use crate::events::{self, OneSchema};
use crate::memory_log::Log;
use crate::schedules::DEADLINE;

const ONE: (Lane, i32) = (Lane::Interactive, 0);
const OTHER: (Lane, i32) = (Lane::Bulk, 1);

fn text(event: &LicenseEvent) -> Option<Vec<u8>> {
    Some(json::encode(event).to_string().into_bytes())
}

/// Two partitions of so many records each; those at these offsets of the first are of licenses that the store
/// refuses.
fn log(records: Offset, refused: impl Fn(Offset) -> bool) -> Log {
    let mut chance = Chance::new(7);
    let mut log = Log::default();
    for offset in 0..records {
        let mut event = events::event(&mut chance);
        log.append(OTHER, None, text(&event));
        if refused(offset) {
            event.license_id = format!("L{offset}-bad");
        }
        log.append(ONE, None, text(&event));
    }
    log
}

#[test]
fn a_row_that_the_store_refuses_is_rejected_alone_and_all_others_are_written() {
    let bad = [0, 250, 251, 499];
    let bench = Bench::start(
        log(500, |offset| bad.contains(&offset)),
        large_settings(),
        OneSchema::new(),
        |made| made.refuse("-bad"),
    );
    bench.wait_for_the_end();
    wait_until("each has its letter", DEADLINE, || {
        bench.sent().len() >= bad.len()
    })
    .unwrap();
    let letters = bench.letters.sent.lock().unwrap();
    let of_the_store: BTreeSet<_> = letters
        .iter()
        .filter(|it| it.reason == Reason::StoreRefused)
        .map(|it| {
            (
                it.record.at.lane,
                it.record.at.partition,
                it.record.at.offset,
            )
        })
        .collect();
    assert_eq!(
        of_the_store,
        bad.map(|offset| (ONE.0, ONE.1, offset)).into()
    );
    assert!(
        letters[0].error.contains("the test says so"),
        "{:?}",
        letters[0].error
    );
    drop(letters);
    let position = bench.position();
    assert_eq!(position.get(OTHER.0, OTHER.1), Some(500));
    assert!(bench.handle.status().halted.is_empty());
    bench.end();
}

#[test]
fn a_store_that_refuses_one_row_after_the_other_has_the_partition_left_and_no_other() {
    let settings = Settings {
        batch_records_max: 64,
        ..large_settings()
    };
    let bench = Bench::start(
        log(100, |offset| offset >= 10),
        settings,
        OneSchema::new(),
        |made| {
            made.refuse("-bad");
        },
    );
    wait_until("the partition is left", DEADLINE, || {
        bench.position().get(OTHER.0, OTHER.1) == Some(100)
            && !bench.handle.status().halted.is_empty()
    })
    .unwrap();
    let halted = bench.handle.status().halted;
    let places: Vec<_> = halted.iter().map(|it| (it.lane, it.partition)).collect();
    assert_eq!(places, [ONE]);
    let position = bench.position().get(ONE.0, ONE.1).unwrap();
    assert_eq!(position, 10 + 19, "the twentieth is not given up on");
    assert!(
        halted[0].reason.contains("store_refused"),
        "{}",
        halted[0].reason
    );
    bench.end();
}
