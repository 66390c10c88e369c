//! The projector stays under its ceiling of memory while the store stands still.
//!
//! Twelve partitions of records of 1 MB each, far more than the ceiling, half of them compressed; one
//! in three is poison, so that dead letters of that size are under way too. The test holds SQLite's
//! write lock, for a while so that the store cannot take anything, or nine tenths of the time so that it is
//! ten times too slow; and everything must be applied.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use licenseflow_tests::chance::Chance;
use licenseflow_tests::harness::{Kafka, Platform, Process, Role, unique_prefix, wait_until};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rusqlite::{Connection, OpenFlags};

const CEILING_MIB: u64 = 192;
/// How much the process may hold beyond the ceiling.
const ALLOWANCE: f64 = 1.2;
const PARTITIONS: usize = 12;
const RECORDS_PER_PARTITION: usize = 30;
const RECORD_BYTES: usize = 1_000_000;
/// How long the store stands still, unless `LICENSEFLOW_TEST_PAUSE_S` says otherwise.
const PAUSE_S: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// Text of `length` bytes, each one of `from`, which has 16.
fn text(noise: &mut Chance, length: usize, from: &[u8; 16]) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 16);
    while text.len() < length {
        let bits = noise.next();
        text.extend((0..16).map(|place| from[(bits >> (4 * place) & 15) as usize]));
    }
    text.truncate(length);
    text
}

fn is_poison(number: usize) -> bool {
    number.is_multiple_of(3)
}

/// An event of 1 MB: legal limits are far smaller, but blanks in JSON are legal at any length. Poison
/// has a source that is too long instead.
fn record(number: usize) -> Vec<u8> {
    let mut noise = Chance::new(number as u64);
    let (source, blanks) = if is_poison(number) {
        (
            text(&mut noise, RECORD_BYTES, b"0123456789abcdef"),
            Vec::new(),
        )
    } else {
        // Four blanks in random order: no codec makes nothing of them.
        (
            b"test".to_vec(),
            text(&mut noise, RECORD_BYTES, b" \t\n\r \t\n\r \t\n\r \t\n\r"),
        )
    };
    let source = String::from_utf8(source).unwrap();
    let id = uuid::Uuid::from_u128(number as u128 + (7 << 76));
    let mut event = format!(
        r#"{{"event_id":"{id}","license_id":"L-{number}","occurred_at":"2026-01-31T10:00:00Z","source":"{source}",
        "type":"UsageRecorded","data":{{"metric":"calls","quantity":1}}"#
    )
    .into_bytes();
    event.extend(blanks);
    event.push(b'}');
    event
}

/// Fills the even partitions as they are and the odd ones compressed.
fn fill(bootstrap: &str, topic: &str, records: usize) {
    let producers = ["none", "zstd"].map(|codec| {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("compression.type", codec);
        config
            .set("message.max.bytes", "2097152")
            .set("queue.buffering.max.kbytes", "65536");
        let producer: ThreadedProducer<_> = config.create().unwrap();
        producer
    });
    for number in 0..records {
        let (partition, value) = (number % PARTITIONS, record(number));
        let mut given = BaseRecord::<(), [u8]>::to(topic)
            .partition(partition as i32)
            .payload(&value);
        let began = Instant::now();
        while let Err((_, back)) = producers[partition % 2].send(given) {
            assert!(began.elapsed() < PATIENCE, "the broker takes nothing");
            given = back;
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for producer in &producers {
        producer.flush(PATIENCE).unwrap();
    }
}

fn count(store: &Connection, sql: &str) -> i64 {
    store.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

/// Holds the store's write lock until the pause is over; how the peak of memory was half way and at
/// the end.
fn stand_still(project: &Process, pause: Duration) -> [u64; 2] {
    [(); 2].map(|()| {
        std::thread::sleep(pause / 2);
        project.peak_memory_bytes().unwrap()
    })
}

#[test]
fn a_store_that_pauses_under_large_records_holds_no_more_memory_than_the_ceiling_allows() {
    let pause =
        std::env::var("LICENSEFLOW_TEST_PAUSE_S").map_or(PAUSE_S, |text| text.parse().unwrap());
    let total = (PARTITIONS * RECORDS_PER_PARTITION) as i64;
    let poison = (0..PARTITIONS * RECORDS_PER_PARTITION)
        .filter(|number| is_poison(*number))
        .count() as i64;
    let kafka = Kafka::own().unwrap();
    let platform = Platform::new(kafka.bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_MEMORY_CEILING_MIB", &CEILING_MIB.to_string());
    let project = platform.start(Role::Project).unwrap();

    let locking =
        Connection::open_with_flags(platform.store(), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    locking.busy_timeout(PATIENCE).unwrap();
    locking.execute_batch("begin immediate").unwrap();
    fill(
        kafka.bootstrap(),
        &platform.events_topic(),
        PARTITIONS * RECORDS_PER_PARTITION,
    );
    let [half_way, at_the_end] = stand_still(&project, Duration::from_secs(pause));
    let applied = "select ifnull(sum(next_offset), 0) from position where lane = 1";
    assert_eq!(count(&locking, applied), 0, "the store stood still");
    locking.execute_batch("rollback").unwrap();
    let allowed = (CEILING_MIB << 20) as f64 * ALLOWANCE;
    assert!(
        at_the_end as f64 <= allowed,
        "standing still: {} MiB of {CEILING_MIB}",
        mib(at_the_end)
    );

    wait_until("all is applied", PATIENCE, || {
        count(&locking, applied) == total
    })
    .unwrap();
    let unsent = "select count(*) from rejected where sent_at_ms is null";
    wait_until("all letters are sent", PATIENCE, || {
        count(&locking, unsent) == 0
    })
    .unwrap();
    let peak = project.peak_memory_bytes().unwrap();
    println!(
        "{total} records of {RECORD_BYTES} bytes, ceiling {CEILING_MIB} MiB, {pause} s of standing still: \
         peak {} MiB half way, {} MiB at its end, {} MiB in all",
        mib(half_way),
        mib(at_the_end),
        mib(peak)
    );
    assert_eq!(
        count(&locking, "select count(*) from license"),
        total - poison
    );
    assert_eq!(
        count(
            &locking,
            "select count(*) from rejected where reason = 'invalid_event'"
        ),
        poison
    );
    assert!(peak as f64 <= allowed, "{} MiB of {CEILING_MIB}", mib(peak));
    Platform::stop(project).unwrap();
}

/// Holds the store's write lock nine tenths of the time until it is dropped: for longer than a full batch waits
/// before its partitions are left.
struct Slow {
    is_over: Arc<AtomicBool>,
    holding: Option<JoinHandle<()>>,
}

impl Slow {
    fn store(locking: Connection) -> Slow {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let holding = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                locking.execute_batch("begin immediate").unwrap();
                std::thread::sleep(Duration::from_secs(9));
                locking.execute_batch("rollback").unwrap();
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        Slow {
            is_over,
            holding: Some(holding),
        }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(holding) = self.holding.take() {
            let _ = holding.join();
        }
    }
}

/// A number of the projector's, by the line's beginning.
fn metric(platform: &Platform, line: &str) -> f64 {
    let text = platform.text("/metrics").unwrap_or_default();
    let found = text.lines().find(|it| it.starts_with(line));
    let value = found.and_then(|it| it.rsplit(' ').next());
    value.and_then(|it| it.parse().ok()).unwrap_or(0.0)
}

#[test]
fn a_store_that_is_ten_times_too_slow_has_reading_paused_and_an_operator_told_under_the_same_ceiling()
 {
    const RECORDS: usize = 240;
    let kafka = Kafka::own().unwrap();
    let platform = Platform::new(kafka.bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_MEMORY_CEILING_MIB", &CEILING_MIB.to_string())
        .with("LICENSEFLOW_ALERT_WAITING_SECONDS", "2");
    let project = platform.start(Role::Project).unwrap();
    let open = || {
        let store =
            Connection::open_with_flags(platform.store(), OpenFlags::SQLITE_OPEN_READ_WRITE)
                .unwrap();
        store.busy_timeout(PATIENCE).unwrap();
        store
    };
    let slow = Slow::store(open());
    fill(kafka.bootstrap(), &platform.events_topic(), RECORDS);
    let looking = open();
    let applied = || {
        let sql = "select ifnull(sum(next_offset), 0) from position where lane = 1";
        count(&looking, sql)
    };
    let mut most = 0.0_f64;
    let mut was = (false, false);
    wait_until("all is applied", 3 * PATIENCE, || {
        most = most.max(metric(&platform, "licenseflow_projector_waiting_bytes{"));
        let is_told = metric(&platform, "licenseflow_projector_alert{name=\"waiting\"") > 0.0;
        let is_paused = metric(&platform, "licenseflow_projector_paused{") > 0.0;
        was = (was.0 || is_paused, was.1 || is_told);
        applied() == RECORDS as i64
    })
    .unwrap();
    drop(slow);
    let peak = project.peak_memory_bytes().unwrap();
    println!(
        "{RECORDS} records of {RECORD_BYTES} bytes, ceiling {CEILING_MIB} MiB, a store ten times too slow: \
         peak {} MiB, {} MiB waited at most",
        mib(peak),
        most as u64 >> 20
    );
    assert_eq!(was, (true, true), "reading was paused, and it was told");
    assert!(peak as f64 <= (CEILING_MIB << 20) as f64 * ALLOWANCE);
    wait_until("the alert is over", PATIENCE, || {
        metric(&platform, "licenseflow_projector_alert{name=\"waiting\"") == 0.0
            && metric(&platform, "licenseflow_projector_waiting_records{") == 0.0
    })
    .unwrap();
    assert!(project.stderr().contains("alert: what was read waits"));
    Platform::stop(project).unwrap();
}
