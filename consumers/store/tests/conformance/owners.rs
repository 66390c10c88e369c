//! Two owners of one license at once: two models on two connections, each with partitions of its own.
//!
//! The interleavings are forced: one owner stops at a named point inside its transaction until the other
//! is seen to wait for it.

use std::sync::{Barrier, mpsc};
use std::time::{Duration, Instant};

use licenseflow_avro::reason::Fault;
use licenseflow_avro::{Coordinates, Lane, LicenseEvent, RawRecord, Reason, json};
use licenseflow_core::{Batch, crash, naive};
use licenseflow_store::{Kind, Outbox as _, PostgresModel, ReadModel as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::crash::{apply_or_die, at_point};
use crate::model::{Accepted, Model as _, Place as _, batch_of};
use crate::postgres::{Schema, in_schema, runtime};
use crate::schedule::records;
use crate::totals;

/// How long one owner is waited for at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// A record of partition `partition`, at offset `offset` there.
fn record(partition: i32, offset: i64, text: &str) -> Accepted {
    let at = Coordinates {
        timestamp: 1000 + offset,
        lane: Lane::Interactive,
        partition,
        offset,
    };
    (at, event(text))
}

fn event(text: &str) -> LicenseEvent {
    json::decode(text.as_bytes()).unwrap()
}

fn said(event: u8, kind: &str, data: &str) -> String {
    format!(
        "{{\"event_id\":\"00000000-0000-7000-8000-0000000000{event:02}\",\"license_id\":\"L-1\",\
         \"occurred_at\":\"2026-01-31T10:00:00Z\",\"type\":\"{kind}\",\"data\":{data}}}"
    )
}

/// What two partitions say of one license: one event that both have, one id with two contents, and what
/// is counted.
fn two_partitions() -> (Vec<Accepted>, Vec<Accepted>) {
    let usage = |event, quantity: i64| {
        let data = format!("{{\"metric\":\"m\",\"quantity\":{quantity}}}");
        said(event, "UsageRecorded", &data)
    };
    let device = said(5, "DeviceActivated", "{\"device_id\":\"d\"}");
    let first = [usage(1, 1), usage(2, 10), usage(3, 100), device.clone()];
    let second = [usage(1, 1), usage(2, 20), usage(4, 1000), device];
    let of = |partition: i32, texts: [String; 4]| {
        let texts = (0i64..).zip(texts);
        texts
            .map(|(offset, text)| record(partition, offset, &text))
            .collect()
    };
    (of(0, first), of(1, second))
}

/// The records as a batch that takes their partition from its beginning to its end.
fn whole(records: &[Accepted]) -> Batch {
    let mut batch = batch_of(records);
    let (at, _) = &records[0];
    batch.advance(at.lane, at.partition, 0, records.len() as i64);
    batch
}

/// Waits until a writer of this schema's waits for another's lock.
fn someone_waits(schema: &str) {
    let client = in_schema(schema);
    let begun = Instant::now();
    let sql = "select count(*) from pg_stat_activity as it join pg_locks on pg_locks.pid = it.pid
         where it.wait_event_type = 'Lock' and pg_locks.relation = 'license'::regclass";
    loop {
        let waiting: i64 = runtime()
            .block_on(client.query_one(sql, &[]))
            .unwrap()
            .get(0);
        if waiting > 0 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody waits");
        std::thread::yield_now();
    }
}

fn check(schema: &Schema, records: impl IntoIterator<Item = Accepted>) {
    let records: Vec<Accepted> = records.into_iter().collect();
    let mut model = schema.open();
    let naive = naive::fold(records.iter().cloned());
    assert_eq!(model.kept().text(), naive.digest());
    assert_eq!(model.recounted(), model.kept());
    assert_eq!(model.totals_recounted(), model.totals_kept());
    totals::check(&*schema.lookup(), &records, &[0, 4, 9]);
}

#[test]
fn the_second_owner_of_a_new_license_waits_for_the_first_and_folds_onto_what_it_left() {
    for point in [crash::INSIDE_TRANSACTION, crash::BEFORE_COMMIT] {
        for dies in [false, true] {
            let schema = Schema::new();
            let (first, second) = two_partitions();
            let (one, mut other) = (schema.open(), schema.open());
            let (go, gone) = mpsc::channel();
            let name = schema.name().to_owned();
            let mut one = std::thread::scope(|scope| {
                let batch = whole(&second);
                let waits = scope.spawn(move || {
                    gone.recv_timeout(PATIENCE).unwrap();
                    other.apply(batch, 1).unwrap()
                });
                at_point(point, move || {
                    go.send(()).unwrap();
                    // This thread is inside the store's own work with the runtime.
                    std::thread::spawn(move || someone_waits(&name))
                        .join()
                        .unwrap();
                });
                let one = apply_or_die(&schema, one, whole(&first), dies.then_some(point));
                waits.join().unwrap();
                one
            });
            if dies {
                one.apply(whole(&first), 1).unwrap();
            }
            let positions = one.positions().unwrap();
            let stands = positions.iter().map(|it| (it.partition, it.next_offset));
            assert_eq!(stands.collect::<Vec<_>>(), [(0, 4), (1, 4)]);
            check(&schema, first.into_iter().chain(second));
        }
    }
}

#[test]
fn two_owners_of_one_tenant_do_not_wait_for_each_other() {
    let issued = |license: &str| {
        let data = "{\"customer_id\":\"c1\",\"product_id\":\"p\",\"plan\":\"team\",\"seats\":1,\
             \"valid_from\":\"2026-01-01T00:00:00Z\",\"expires_at\":null,\"entitlements\":{},\
             \"metadata\":{}}";
        said(1, "LicenseIssued", data).replace("L-1", license)
    };
    let schema = Schema::new();
    let (mut one, mut other) = (schema.open(), schema.open());
    let (first, second) = (record(0, 0, &issued("L-1")), record(1, 0, &issued("L-2")));
    let batch = whole(std::slice::from_ref(&second));
    at_point(crash::BEFORE_COMMIT, move || {
        // This thread is inside the store's own work with the runtime.
        let applied = std::thread::spawn(move || other.apply(batch, 1)).join();
        applied.unwrap().unwrap();
    });
    one.apply(whole(std::slice::from_ref(&first)), 1).unwrap();
    check(&schema, [first, second]);
}

/// Applies an owner's records in batches of a size, again where the store was busy.
fn apply_all(mut model: PostgresModel, records: &[Accepted], size: usize) {
    for part in records.chunks(size) {
        let begun = Instant::now();
        while let Err(error) = model.apply(batch_of(part), 1) {
            assert_eq!(error.kind(), Kind::Away, "{error}");
            assert!(begun.elapsed() < PATIENCE, "{error}");
        }
    }
}

#[test]
fn two_owners_that_race_leave_what_one_would_have_left() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let config = Config {
        cases: 40,
        failure_persistence: None,
        max_shrink_iters: 0,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, rng)
        .run(
            &(records(), 1..9usize, 1..9usize),
            |(records, one, other)| {
                let schema = Schema::new();
                let (first, second): (Vec<Accepted>, Vec<Accepted>) = records
                    .iter()
                    .cloned()
                    .partition(|(at, _)| at.partition == 0);
                let models = (schema.open(), schema.open());
                let together = Barrier::new(2);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        together.wait();
                        apply_all(models.0, &first, one);
                    });
                    scope.spawn(|| {
                        together.wait();
                        apply_all(models.1, &second, other);
                    });
                });
                check(&schema, records);
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn an_owner_that_lost_its_partition_writes_nothing_more() {
    let schema = Schema::new();
    let (first, _) = two_partitions();
    let (mut stale, mut new) = (schema.open(), schema.open());
    new.apply(whole(&first), 1).unwrap();
    let late = record(0, 4, &said(9, "LicenseRevoked", "{}"));
    let mut batch = batch_of([&late]);
    batch.advance(Lane::Interactive, 0, 0, 5);
    let error = stale.apply(batch, 1).unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{error}");
    check(&schema, first);
}

#[test]
fn of_several_writers_one_at_a_time_has_the_letters() {
    let schema = Schema::new();
    let (mut one, mut other) = (schema.open(), schema.open());
    one.apply(rejected(3), 1).unwrap();
    let ids = |model: &mut PostgresModel| -> Vec<i64> {
        let letters = model.unsent(0, 10, &[]).unwrap();
        letters.iter().map(|letter| letter.id).collect()
    };
    let all = ids(&mut one);
    assert_eq!(all.len(), 3);
    assert!(ids(&mut other).is_empty(), "it is not its turn");
    one.mark_sent(&all[..1], 2).unwrap();
    one.leave().unwrap();
    assert_eq!(ids(&mut other), all[1..]);
    assert!(ids(&mut one).is_empty());
    // Whoever has the turn dies, or is stopped: it ends by itself.
    let clock = in_schema(schema.name());
    let later = "update letters_turn set until_ms = until_ms - 10001";
    runtime().block_on(clock.batch_execute(later)).unwrap();
    assert_eq!(ids(&mut one), all[1..]);
    assert!(ids(&mut other).is_empty());
    // Marks of a round that began before are taken all the same, and take the turn from nobody.
    other.mark_sent(&all[1..2], 3).unwrap();
    assert_eq!(ids(&mut one), all[2..]);
}

/// A batch of so many records of partition 0 that are no events.
fn rejected(count: i64) -> Batch {
    let mut batch = Batch::default();
    for offset in 0..count {
        let (at, _) = record(0, offset, &said(1, "LicenseRevoked", "{\"reason\":\"\"}"));
        let record = RawRecord {
            at,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        batch.reject(record, Fault::new(Reason::Tombstone, "null"));
    }
    batch.advance(Lane::Interactive, 0, 0, count);
    batch
}
