//! One record of each kind of poison, at the first, middle and last place of a batch: its neighbours count.

use licenseflow_avro::codec::encode;
use licenseflow_avro::event::UsageRecorded;
use licenseflow_avro::topics::MAX_RECORD_BYTES;
use licenseflow_avro::{Lane, LicenseEvent, Payload, Reason, json};
use licenseflow_projector::verify::verify;
use licenseflow_tests::harness::wait_until;
use uuid::Uuid;

use crate::bench::{Bench, large_settings};
use crate::events::{LOG_TIME_MS, OneSchema, SCHEMA_ID, SKEW_MICROS, UNUSABLE_ID};
use crate::memory_log::Log;
use crate::schedules::DEADLINE;

const OF: (Lane, i32) = (Lane::Interactive, 0);
const BATCH: usize = 15;

fn event(number: usize) -> LicenseEvent {
    LicenseEvent {
        event_id: Uuid::from_u128((7 << 76) + number as u128),
        license_id: format!("lic-{}", number % 4),
        tenant_id: "t".into(),
        occurred_at: 1_600_000_000_000_000 + number as i64,
        source: "test".into(),
        actor: None,
        payload: Payload::UsageRecorded(UsageRecorded {
            metric: "calls".into(),
            quantity: 1,
        }),
    }
}

/// A record's key and value.
type Content = (Option<Vec<u8>>, Option<Vec<u8>>);

/// A record that is rejected for that reason among the events of its batch; none for
/// those that the store or time decides, which have tests of their own.
fn poison(reason: Reason) -> Option<Content> {
    let good = event(BATCH);
    let avro = encode(SCHEMA_ID, &good);
    let text = json::encode(&good).to_string();
    let instead = |from: &str, to: &str| Some(text.replacen(from, to, 1).into_bytes());
    let value = match reason {
        Reason::TooLarge => {
            let blanks = " ".repeat(MAX_RECORD_BYTES);
            Some(format!("{blanks}{text}").into_bytes())
        }
        Reason::Tombstone => None,
        Reason::Empty => Some(Vec::new()),
        Reason::UnknownFormat => Some(b"<event/>".to_vec()),
        Reason::UnknownSchema => Some(encode(UNUSABLE_ID, &good)),
        Reason::Truncated => Some(avro[..avro.len() - 1].to_vec()),
        // A string of length -1.
        Reason::BadAvro => Some([&avro[..5], &[1]].concat()),
        Reason::TrailingBytes => Some([&avro[..], &[0]].concat()),
        Reason::BadJson => Some(b"{".to_vec()),
        Reason::UnknownType => instead("UsageRecorded", "UsageForgotten"),
        Reason::InvalidEvent => instead("\"quantity\":1", "\"quantity\":-1"),
        Reason::KeyMismatch => return Some((Some(b"another".to_vec()), Some(avro))),
        Reason::OccurredAtInFuture => {
            let occurred_at = LOG_TIME_MS * 1_000 + 2 * SKEW_MICROS;
            let future = LicenseEvent {
                occurred_at,
                ..good
            };
            Some(encode(SCHEMA_ID, &future))
        }
        Reason::EventConflict => {
            let source = "another".into();
            let other = LicenseEvent {
                source,
                ..event(BATCH / 3)
            };
            Some(encode(SCHEMA_ID, &other))
        }
        Reason::StoreRefused | Reason::RetriesExhausted => return None,
    };
    Some((None, value))
}

fn run(reason: Reason, place: usize, (key, value): Content) {
    let mut log = Log::default();
    let mut good = 0;
    for number in 0..BATCH {
        if number == place {
            log.append(OF, key.clone(), value.clone());
        } else {
            log.append(OF, None, Some(encode(SCHEMA_ID, &event(number))));
            good += 1;
        }
    }
    let what = format!("{} at {place}", reason.name());
    let bench = Bench::start(log, large_settings(), OneSchema::new(), |_| {});
    bench.wait_for_the_end();
    wait_until(&format!("{what}: its letter"), DEADLINE, || {
        !bench.sent().is_empty()
    })
    .unwrap();
    assert_eq!(bench.sent(), [reason], "{what}");
    let lanes = bench.door.faults().lanes.clone();
    assert_eq!(lanes[0], (BATCH as i64, 0), "{what}: one batch");
    assert_eq!(bench.handle.status().halted, [], "{what}");
    let stored = bench.door.stored();
    let records = bench.world.log.lock().unwrap().records();
    let records = records.into_iter().map(Ok);
    let report = verify(records, &OneSchema::new(), SKEW_MICROS, &stored, |_| {}).unwrap();
    assert!(report.equal, "{what}: {report:?}");
    let usage: i64 = {
        let store = rusqlite::Connection::open(bench.folder.path().join("store.db")).unwrap();
        let sql = "select sum(quantity) from usage";
        store.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(usage, good, "{what}: its neighbours count, each once");
    bench.end();
}

#[test]
fn poison_of_each_kind_at_the_first_middle_and_last_place_of_a_batch_leaves_its_neighbours_be() {
    for reason in Reason::ALL {
        for place in [0, BATCH / 2, BATCH - 1] {
            if let Some(record) = poison(reason) {
                run(reason, place, record);
            }
        }
    }
}
