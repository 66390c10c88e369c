//! A rolling restart of four projectors over twelve partitions under load: how long each partition pauses.
//!
//! One way of joining the group is run; `ROLLING=all` runs each, for the figures.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use licenseflow_avro::Lane;
use licenseflow_runtime::log::KafkaSettings;
use licenseflow_store::{Lookup, PostgresLookup};
use licenseflow_tests::harness::{Platform, Process, Role, wait_until};
use licenseflow_tests::standing::dealt_with;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use uuid::Uuid;

use super::one_database::OneDatabase;

/// How long a step may take, the machine being busy with other tests.
const STEP: Duration = Duration::from_secs(120);

const PROJECTORS: usize = 4;
const PARTITIONS: i32 = 12;
/// A record goes to each partition so often.
const BEAT: Duration = Duration::from_millis(10);

/// How the projectors join their group.
#[derive(Debug, Clone, Copy)]
struct Way {
    protocol: &'static str,
    /// Whether each has a name that it keeps.
    is_named: bool,
}

const WAYS: [Way; 4] = [
    Way {
        protocol: "classic",
        is_named: true,
    },
    Way {
        protocol: "classic",
        is_named: false,
    },
    Way {
        protocol: "consumer",
        is_named: true,
    },
    Way {
        protocol: "consumer",
        is_named: false,
    },
];

/// Where a partition stands, since when, and the longest that it ever stood.
#[derive(Debug, Default)]
struct Standing {
    next_offset: i64,
    since: Option<Instant>,
    longest: Duration,
}

/// The interactive lane's partitions.
#[derive(Debug, Default)]
struct Pauses(Mutex<BTreeMap<i32, Standing>>);

impl Pauses {
    fn look(&self, lookup: &PostgresLookup) {
        let Ok(freshness) = lookup.freshness() else {
            return;
        };
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = freshness.partitions.iter();
        for partition in each.filter(|it| it.lane == Lane::Interactive) {
            let standing = all.entry(partition.partition).or_default();
            let stood = standing.since.map_or(Duration::ZERO, |since| now - since);
            standing.longest = standing.longest.max(stood);
            if partition.next_offset > standing.next_offset || standing.since.is_none() {
                standing.next_offset = partition.next_offset;
                standing.since = Some(now);
            }
        }
    }

    /// The longest pause of each partition since the last call.
    fn take(&self) -> BTreeMap<i32, Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = all.iter_mut();
        each.map(|(partition, it)| (*partition, std::mem::take(&mut it.longest)))
            .collect()
    }
}

/// Sends a record to each partition, again and again, and counts them.
fn feed(platform: &Platform, sent: &AtomicI64, is_over: &AtomicBool) {
    let kafka = KafkaSettings::new(platform.bootstrap(), "feeder");
    let producer: BaseProducer = kafka.producer_config().unwrap().create().unwrap();
    let topic = platform.events_topic();
    while !is_over.load(Ordering::Acquire) {
        for partition in 0..PARTITIONS {
            let value = format!(
                r#"{{"event_id":"{}","license_id":"L-{partition}","occurred_at":"2026-01-01T00:00:00Z","type":"UsageRecorded","data":{{"metric":"m","quantity":1}}}}"#,
                Uuid::now_v7()
            );
            let record = BaseRecord::<(), str>::to(&topic).partition(partition);
            let taken = producer.send(record.payload(&value));
            taken.map_err(|(error, _)| error).unwrap();
            sent.fetch_add(1, Ordering::AcqRel);
        }
        producer.poll(BEAT);
    }
    producer.flush(STEP).unwrap();
}

/// Restarts each of them in turn, and gives each partition's longest pause before that and during it.
fn restarted(way: Way) -> [BTreeMap<i32, Duration>; 2] {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = OneDatabase::new();
    let places: Vec<Platform> = (0..PROJECTORS)
        .map(|number| {
            let place = database.place().with("LICENSEFLOW_APPLIERS", "1");
            let place = place.with("LICENSEFLOW_GROUP_PROTOCOL", way.protocol);
            if way.is_named {
                place.with("LICENSEFLOW_GROUP_INSTANCE", &format!("p-{number}"))
            } else {
                place
            }
        })
        .collect();
    let started = places.iter().map(|it| it.start(Role::Project).unwrap());
    let mut running: Vec<Option<Process>> = started.map(Some).collect();
    let lookup = database.lookup(runtime.handle());
    let (sent, is_over, pauses) = (AtomicI64::new(0), AtomicBool::new(false), Pauses::default());
    let moved = |least: i64| {
        let target = sent.load(Ordering::Acquire) + least;
        let has_moved = || dealt_with(&lookup) >= target;
        wait_until("all partitions move", STEP, has_moved).unwrap();
    };
    let mut found = [BTreeMap::new(), BTreeMap::new()];
    thread::scope(|scope| {
        let feeder = scope.spawn(|| feed(&places[0], &sent, &is_over));
        let watcher = scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                pauses.look(&lookup);
                thread::sleep(BEAT / 2);
            }
        });
        moved(2_000);
        pauses.take();
        moved(5_000);
        found[0] = pauses.take();
        for (place, process) in places.iter().zip(&mut running) {
            if let Some(process) = process.take() {
                Platform::stop(process).unwrap();
            }
            *process = Some(place.start(Role::Project).unwrap());
            moved(2_000);
        }
        found[1] = pauses.take();
        is_over.store(true, Ordering::Release);
        feeder.join().unwrap();
        watcher.join().unwrap();
    });
    let all = sent.load(Ordering::Acquire);
    wait_until("all is dealt with", STEP, || dealt_with(&lookup) == all).unwrap();
    let report = places[0].verify().unwrap();
    assert_eq!(
        (&report["equal"], &report["accepted"]),
        (&true.into(), &all.into()),
        "{report}"
    );
    running
        .into_iter()
        .flatten()
        .for_each(|it| Platform::stop(it).unwrap());
    found
}

/// A line for each partition: its longest pause under load, and while all were restarted.
fn print(way: Way, [before, during]: &[BTreeMap<i32, Duration>; 2]) {
    println!("{way:?}: milliseconds of the longest pause, before and while all were restarted");
    for (partition, pause) in during {
        let before = before.get(partition).copied().unwrap_or_default();
        println!(
            "| {partition} | {} | {} |",
            before.as_millis(),
            pause.as_millis()
        );
    }
    let worst = |of: &BTreeMap<i32, Duration>| of.values().max().copied().unwrap_or_default();
    let (before, during) = (worst(before).as_millis(), worst(during).as_millis());
    println!("| longest | {before} | {during} |");
}

#[test]
fn projectors_are_restarted_one_after_the_other_under_load_and_nothing_is_lost() {
    let ways = match std::env::var("ROLLING") {
        Ok(all) if all == "all" => &WAYS[..],
        Ok(_) | Err(_) => &WAYS[..1],
    };
    for way in ways {
        let found = restarted(*way);
        print(*way, &found);
        for pauses in &found {
            assert_eq!(pauses.len(), PARTITIONS as usize, "each partition was seen");
        }
    }
}
