//! The theorem over the loop: whatever the schedule, the store comes to hold what the naive fold of
//! the log says, and every record that was rejected has its letter.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use licenseflow_avro::judgement::{Verdict, judge};
use licenseflow_avro::{Coordinates, LicenseEvent, Reason};
use licenseflow_core::naive;
use licenseflow_kafka::DeadLetter;
use licenseflow_projector::verify::verify;
use licenseflow_projector::{Backoff, Handle, Parts, Projector, Settings, wall_clock};
use licenseflow_tests::harness::{Folder, wait_until};
use tokio_util::sync::CancellationToken;

use crate::events::{OneSchema, SKEW_MICROS};
use crate::memory_log::{Log, Wildness, World};
use crate::stand_ins::{Door, Faults, MemoryLetters};
use licenseflow_tests::chance::{Chance, chosen_seed};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits of milliseconds, small batches.
pub(crate) fn quick(chance: &mut Chance) -> Settings {
    Settings {
        batch_records_max: 1 + chance.below(40) as usize,
        ends_interval: Duration::from_millis(3),
        hold: Duration::from_millis(chance.below(5)),
        backoff: Backoff {
            first: Duration::from_millis(2),
            cap: Duration::from_millis(20),
        },
        letters_max: 1 + chance.below(5) as usize,
        ..Settings::default()
    }
}

struct Schedule {
    chance: Chance,
    world: World,
    door: Door,
    sent: Arc<Mutex<Vec<DeadLetter>>>,
    wildness: Wildness,
    away: u64,
    registry_away: u64,
}

impl Schedule {
    fn start(&mut self, dies_at: Option<u64>) -> Handle {
        let mut chance = Chance::new(self.chance.next());
        let faults = Faults {
            chance: Some(Chance::new(chance.next())),
            away: self.away,
            dies_at,
            ..Faults::default()
        };
        let mut letters = MemoryLetters::of(&self.world);
        letters.sent = Arc::clone(&self.sent);
        letters.fails = 4;
        let parts = Parts {
            source: self.world.source(chance.clone(), self.wildness),
            schemas: OneSchema::away_once_in(self.registry_away),
            model: self.door.with(faults),
            letters,
            clock: wall_clock(),
        };
        Projector::start(quick(&mut chance), [parts], &CancellationToken::new()).unwrap()
    }

    fn is_applied(&self) -> bool {
        let end = self.world.log.lock().unwrap().end();
        self.door.position().covers(&end)
    }

    fn is_told(&self, expected: &BTreeSet<(Coordinates, Reason)>) -> bool {
        told(&self.sent).is_superset(expected)
    }
}

fn told(sent: &Mutex<Vec<DeadLetter>>) -> BTreeSet<(Coordinates, Reason)> {
    sent.lock()
        .unwrap()
        .iter()
        .map(|letter| (letter.record.at, letter.reason))
        .collect()
}

type Accepted = Vec<(Coordinates, LicenseEvent)>;
type Rejected = BTreeSet<(Coordinates, Reason)>;

/// What is accepted and what is rejected, judged one by one.
fn judged(log: &Log) -> (Accepted, Rejected) {
    let schemas = OneSchema::new();
    let (mut accepted, mut rejected) = (Vec::new(), BTreeSet::new());
    for record in log.records() {
        match judge(&record, &schemas, SKEW_MICROS) {
            Ok(event) => accepted.push((record.at, event)),
            Err(Verdict::Fault(fault)) => {
                let reason = match fault.may_heal {
                    true => Reason::RetriesExhausted,
                    false => fault.reason,
                };
                rejected.insert((record.at, reason));
            }
            Err(Verdict::Away(away)) => panic!("{away}"),
        }
    }
    (accepted, rejected)
}

/// Lives that end at some apply, before it or after its commit.
fn die_a_few_times(schedule: &mut Schedule, two_owners: bool, seed: u64) {
    for _ in 0..schedule.chance.below(4) {
        let dies_at = 1 + schedule.chance.below(12);
        let other = two_owners.then(|| schedule.start(None));
        let dying = schedule.start(Some(dies_at));
        let begun = Instant::now();
        while !dying.is_ended() && !schedule.is_applied() {
            assert!(
                begun.elapsed() < DEADLINE,
                "seed {seed}: it neither died nor went on"
            );
            std::thread::yield_now();
        }
        for handle in other.into_iter().chain([dying]) {
            handle.stop();
            // Whether it died or came to the end first, nothing may be lost.
            let _ = handle.join();
        }
    }
}

fn run(seed: u64) {
    let mut chance = Chance::new(seed);
    let folder = Folder::new("schedule").unwrap();
    let world = World::of(Log::filled(&mut chance, 3, 150));
    let (accepted, rejected) = judged(&world.log.lock().unwrap());
    let two_owners = chance.once_in(2);
    let mut schedule = Schedule {
        wildness: Wildness {
            redeliver: [0, 3, 10][chance.below(3) as usize],
            move_partition: if two_owners { 60 } else { 0 },
            deaf_for: 40,
        },
        away: chance.below(3) * 7,
        registry_away: chance.below(3) * 40,
        world,
        door: Door::open(folder.path()),
        sent: Arc::default(),
        chance,
    };
    die_a_few_times(&mut schedule, two_owners, seed);
    let handles: Vec<Handle> = (0..1 + u64::from(two_owners))
        .map(|_| schedule.start(None))
        .collect();
    let what = format!("seed {seed}: all is applied and told");
    let waited = wait_until(&what, DEADLINE, || {
        schedule.is_applied() && schedule.is_told(&rejected)
    });
    let statuses: Vec<_> = handles.iter().map(Handle::status).collect();
    waited.unwrap_or_else(|error| {
        panic!(
            "{error}; it stands at {}, {statuses:?}",
            schedule.door.position()
        )
    });
    for handle in handles {
        handle.stop();
        handle.join().unwrap();
    }
    let stored = schedule.door.stored();
    let records = schedule.world.log.lock().unwrap().records();
    let report = verify(
        records.into_iter().map(Ok),
        &OneSchema::new(),
        SKEW_MICROS,
        &stored,
        |_| {},
    )
    .unwrap();
    assert!(report.equal, "seed {seed}: {report:?}");
    let model = naive::fold(accepted);
    assert_eq!(report.found, model.digest(), "seed {seed}");
    let told = told(&schedule.sent);
    let own: BTreeSet<_> = told
        .iter()
        .filter(|(_, reason)| *reason != Reason::EventConflict)
        .copied()
        .collect();
    assert_eq!(own, rejected, "seed {seed}");
}

#[test]
fn whatever_the_schedule_the_store_holds_what_the_naive_fold_says() {
    let seeds = chosen_seed().map_or_else(|| (1..=40).collect(), |seed| vec![seed]);
    for seed in seeds {
        println!("seed {seed} (SEED chooses another)");
        run(seed);
    }
}
