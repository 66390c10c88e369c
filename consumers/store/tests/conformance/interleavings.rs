//! Two writers of one license at once, in every order that their steps can have.
//!
//! Each writer stops at every named point of its transaction until it is told to go on; who goes on when is a
//! list of turns. A writer that waits for the other's lock is seen to, and goes on by itself once the other has
//! committed. What both leave is held against the naive fold, and against the embedded store, whose one writer
//! applies the same batches one after the other.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use licenseflow_avro::event::{
    DeviceActivated, DeviceHeartbeat, EventVoided, LicenseIssued, LicensePlanChanged,
    LicenseRevoked, LicenseSuspended, Payload, UsageRecorded,
};
use licenseflow_avro::{Coordinates, Lane, LicenseEvent};
use licenseflow_core::{Batch, crash, naive};
use licenseflow_store::{Kind, Outbox as _, PostgresModel, ReadModel as _};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::crash::at_every_point;
use crate::model::{Accepted, Folder, Model as _, Place as _, batch_of};
use crate::postgres::{Schema, in_schema, runtime};
use crate::schedule::records;

/// How long a writer is waited for at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a writer stops: its rows are written, then its position too.
const POINTS: [&str; 2] = [crash::INSIDE_TRANSACTION, crash::BEFORE_COMMIT];
/// So many turns take a batch from one of its ends to the other.
const TURNS: usize = POINTS.len() + 1;

/// Each lane's partition has a writer of its own.
const PARTITIONS: [(Lane, i32); 2] = [(Lane::Interactive, 0), (Lane::Bulk, 3)];

/// A writer's side of the talk.
struct Steps {
    go: Receiver<()>,
    /// True when it has done its work.
    at: Sender<bool>,
}

impl Steps {
    fn stop(&self, is_done: bool) {
        self.at.send(is_done).unwrap();
        if !is_done {
            self.go.recv_timeout(PATIENCE).unwrap();
        }
    }
}

/// Applies batches, each again where the store was busy, and stops at every point on the way.
fn write(model: &mut PostgresModel, batches: &[Vec<Accepted>], next: &mut i64, steps: Steps) {
    let steps = Rc::new(steps);
    let at_points = Rc::clone(&steps);
    at_every_point(Some(Box::new(move |point| {
        if POINTS.contains(&point) {
            at_points.stop(false);
        }
    })));
    steps.go.recv_timeout(PATIENCE).unwrap();
    for records in batches {
        while let Err(error) = model.apply(in_its_place(records, *next), 1) {
            assert_eq!(error.kind(), Kind::Away, "{error}");
        }
        *next += records.len() as i64;
    }
    at_every_point(None);
    steps.stop(true);
}

/// The records as the next ones of their writer's partition.
fn in_its_place(records: &[Accepted], next: i64) -> Batch {
    let mut batch = batch_of(records);
    if let Some((at, _)) = records.first() {
        let to = next + records.len() as i64;
        batch.advance(at.lane, at.partition, next, to);
    }
    batch
}

/// The director's side.
struct Writer {
    go: Sender<()>,
    at: Receiver<bool>,
    waits: bool,
    is_done: bool,
}

impl Writer {
    fn new() -> (Writer, Steps) {
        let (go, told) = channel();
        let (here, at) = channel();
        let writer = Writer {
            go,
            at,
            waits: false,
            is_done: false,
        };
        (writer, Steps { go: told, at: here })
    }

    /// Whether it still waits for a lock: what it waited for may have been let go meanwhile.
    fn still_waits(&mut self) -> bool {
        if self.waits
            && let Ok(is_done) = self.at.try_recv()
        {
            (self.waits, self.is_done) = (false, is_done);
        }
        self.waits
    }

    /// Lets it go on to its next point, or until it waits for a lock.
    fn turn(&mut self, other: &mut Writer, clock: &Client) {
        if self.is_done {
            return;
        }
        if !self.waits {
            self.go.send(()).unwrap();
        }
        let begun = Instant::now();
        loop {
            match self.at.recv_timeout(Duration::from_millis(1)) {
                Ok(is_done) => {
                    (self.waits, self.is_done) = (false, is_done);
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => panic!("a writer died"),
                // Whoever holds the lock is the other: of two that wait none would ever go on.
                Err(RecvTimeoutError::Timeout) if !other.still_waits() && someone_waits(clock) => {
                    self.waits = true;
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "a writer neither goes on nor waits"
            );
        }
    }
}

/// Whether a writer of this schema's waits for another's lock.
fn someone_waits(clock: &Client) -> bool {
    let sql = "select count(*) from pg_stat_activity as it join pg_locks on pg_locks.pid = it.pid
         where it.wait_event_type = 'Lock' and pg_locks.relation = 'license'::regclass";
    let row = runtime().block_on(clock.query_one(sql, &[])).unwrap();
    row.get::<_, i64>(0) > 0
}

/// Both writers, and what they have written so far.
struct Stage {
    schema: Schema,
    models: [PostgresModel; 2],
    next: [i64; 2],
    clock: Client,
    all: Vec<Accepted>,
    /// In the order in which the embedded store takes them.
    batches: Vec<Vec<Accepted>>,
    waited: usize,
}

impl Stage {
    fn new() -> Stage {
        let schema = Schema::new();
        let models = [schema.open(), schema.open()];
        let clock = in_schema(schema.name());
        Stage {
            schema,
            models,
            next: [0, 0],
            clock,
            all: Vec::new(),
            batches: Vec::new(),
            waited: 0,
        }
    }

    /// The events as records of a writer's partition, which later ones follow.
    fn placed(&self, writer: usize, timestamp: i64, events: Vec<LicenseEvent>) -> Vec<Accepted> {
        let (lane, partition) = PARTITIONS[writer];
        let each = (self.next[writer]..).zip(events);
        each.map(|(offset, event)| {
            let at = Coordinates {
                timestamp,
                lane,
                partition,
                offset,
            };
            (at, event)
        })
        .collect()
    }

    /// Has both write, and gives the turns as they are listed; then each until it is done.
    fn play(&mut self, work: [Vec<Vec<Accepted>>; 2], turns: &[usize]) {
        let (first, first_steps) = Writer::new();
        let (second, second_steps) = Writer::new();
        let mut writers = [first, second];
        let [one, other] = &mut self.models;
        let [next_of_one, next_of_other] = &mut self.next;
        let [work_of_one, work_of_other] = &work;
        let clock = &self.clock;
        let mut waited = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| write(one, work_of_one, next_of_one, first_steps));
            scope.spawn(|| write(other, work_of_other, next_of_other, second_steps));
            let rest = [0, 1].into_iter().cycle().take(8 * turns.len() + 64);
            for writer in turns.iter().copied().chain(rest) {
                let [one, other] = &mut writers;
                let (one, other) = if writer == 0 {
                    (one, other)
                } else {
                    (other, one)
                };
                one.turn(other, clock);
                waited += usize::from(one.waits);
            }
            assert!(writers.iter().all(|it| it.is_done), "{turns:?}");
        });
        self.waited += waited;
        for batch in work.into_iter().rev().flatten() {
            self.all.extend(batch.iter().cloned());
            self.batches.push(batch);
        }
    }

    fn check(&mut self, told: &dyn std::fmt::Debug) {
        let naive = naive::fold(self.all.iter().cloned());
        let model = &mut self.models[0];
        assert_eq!(model.kept().text(), naive.digest(), "{told:?}");
        assert_eq!(model.recounted(), model.kept(), "{told:?}");
        assert_eq!(model.totals_recounted(), model.totals_kept(), "{told:?}");
        let conflicts = naive.conflicts.iter().map(|it| it.3);
        let conflicts: BTreeSet<Coordinates> = conflicts.collect();
        let letters = model.unsent(0, 100_000, &[]).unwrap();
        let letters: BTreeSet<Coordinates> = letters.iter().map(|it| it.at).collect();
        assert_eq!(letters, conflicts, "{told:?}");
    }

    /// The embedded store gives the same of the same batches, in an order of its own.
    fn check_against_the_embedded_store(&mut self) {
        let folder = Folder::new();
        let mut embedded = folder.open();
        for batch in &self.batches {
            embedded.apply(batch_of(batch), 1).unwrap();
        }
        assert_eq!(embedded.kept(), self.models[0].kept());
        assert_eq!(embedded.totals_kept(), self.models[0].totals_kept());
        drop(embedded);
        assert!(
            self.waited > 0,
            "nobody waited for anybody in {}",
            self.schema.name()
        );
    }
}

/// Every order of so many turns of each writer.
fn orders(turns: usize) -> Vec<Vec<usize>> {
    let all = 0..1_u32 << (2 * turns);
    let balanced = all.filter(|bits| bits.count_ones() as usize == turns);
    balanced
        .map(|bits| {
            (0..2 * turns)
                .map(|place| (bits >> place & 1) as usize)
                .collect()
        })
        .collect()
}

fn event(id: u128, license: &str, occurred_at: i64, payload: Payload) -> LicenseEvent {
    LicenseEvent {
        event_id: Uuid::from_u128(id),
        license_id: license.to_owned(),
        tenant_id: "t".to_owned(),
        occurred_at,
        source: String::new(),
        actor: None,
        payload,
    }
}

fn usage(quantity: i64) -> Payload {
    Payload::UsageRecorded(UsageRecorded {
        metric: "m".to_owned(),
        quantity,
    })
}

fn device(device_id: &str, platform: Option<&str>) -> Payload {
    Payload::DeviceActivated(DeviceActivated {
        device_id: device_id.to_owned(),
        fingerprint: None,
        platform: platform.map(ToOwned::to_owned),
    })
}

fn issued(customer: &str) -> Payload {
    Payload::LicenseIssued(LicenseIssued {
        customer_id: customer.to_owned(),
        product_id: "p".to_owned(),
        plan: "team".to_owned(),
        seats: 2,
        valid_from: 0,
        expires_at: None,
        entitlements: [("a".to_owned(), "1".to_owned())].into(),
        metadata: [].into(),
    })
}

fn voided(id: u128) -> Payload {
    Payload::EventVoided(EventVoided {
        voided_event_id: Uuid::from_u128(id),
        reason: String::new(),
    })
}

fn why() -> String {
    "because".to_owned()
}

/// What two writers say of one license, by what they may get wrong together.
fn said(license: &str) -> Vec<(&'static str, [Vec<LicenseEvent>; 2])> {
    let of = |id, at, payload| event(id, license, at, payload);
    let beat = |at| {
        let device_id = "d".to_owned();
        of(
            99,
            at,
            Payload::DeviceHeartbeat(DeviceHeartbeat { device_id }),
        )
    };
    let revoked = Payload::LicenseRevoked(LicenseRevoked { reason: why() });
    let suspended = Payload::LicenseSuspended(LicenseSuspended { reason: why() });
    let changed = Payload::LicensePlanChanged(LicensePlanChanged {
        plan: "pro".to_owned(),
        seats: 9,
        entitlements: [].into(),
    });
    let other = |id, payload| event(id, &format!("{license}-2"), 5, payload);
    vec![
        (
            "sums, and one event that both have",
            [
                vec![of(1, 5, usage(1)), of(2, 5, usage(10))],
                vec![of(1, 5, usage(1)), of(3, 5, usage(100))],
            ],
        ),
        (
            "three contents of one event",
            [
                vec![of(1, 5, usage(1)), of(1, 5, usage(2))],
                vec![of(1, 5, usage(3)), of(1, 5, usage(2))],
            ],
        ),
        (
            "an event here, and there what voids it",
            [
                vec![of(1, 5, usage(1)), of(2, 5, usage(10))],
                vec![of(3, 4, voided(1)), of(4, 6, voided(9))],
            ],
        ),
        (
            "each voids an event of the other's",
            [
                vec![of(1, 5, usage(1)), of(4, 6, voided(2))],
                vec![of(2, 5, issued("c2")), of(3, 6, voided(1))],
            ],
        ),
        (
            "ties about one field",
            [
                vec![of(1, 5, issued("c1")), of(3, 5, suspended)],
                vec![of(2, 5, issued("c2")), of(4, 5, changed)],
            ],
        ),
        (
            "one device, seen and activated",
            [
                vec![beat(7), of(1, 5, device("d", Some("linux")))],
                vec![beat(9), of(2, 6, device("d", None)), of(3, 6, revoked)],
            ],
        ),
        (
            "two licenses, in either order",
            [
                vec![of(1, 5, usage(1)), other(2, usage(10))],
                vec![other(1, usage(1)), of(2, 5, usage(10))],
            ],
        ),
    ]
}

#[test]
fn whatever_order_the_steps_of_two_writers_have_they_leave_what_one_would() {
    let mut stage = Stage::new();
    let orders = orders(TURNS);
    assert_eq!(orders.len(), 20);
    for (number, order) in orders.iter().enumerate() {
        // A license that is new to both, and one that is there.
        for is_known in [false, true] {
            let license = format!("L-{number}-{is_known}");
            for (kind, (what, events)) in said(&license).into_iter().enumerate() {
                let license = format!("{license}-{kind}");
                let own = |mut event: LicenseEvent| {
                    event.license_id = format!("{}-{kind}", event.license_id);
                    event
                };
                let [one, other] = events.map(|it| it.into_iter().map(own).collect());
                if is_known {
                    let before = vec![event(77, &license, 3, usage(7))];
                    let before = stage.placed(0, 1000, before);
                    stage.play([vec![before], Vec::new()], &[]);
                }
                // Which record of an event is the least changes with the orders, too.
                let times = if number % 2 == 0 {
                    [1000, 2000]
                } else {
                    [2000, 1000]
                };
                let work = [
                    vec![stage.placed(0, times[0], one)],
                    vec![stage.placed(1, times[1], other)],
                ];
                stage.play(work, order);
                stage.check(&(what, is_known, order));
            }
        }
    }
    stage.check_against_the_embedded_store();
}

#[test]
fn two_writers_of_several_batches_leave_what_one_would_in_any_order_of_their_steps() {
    const CASES: usize = 60;
    let seed = [11; 32];
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let orders = orders(2 * POINTS.len() + 1);
    let mut stage = Stage::new();
    for case in 0..CASES {
        let drawn = (records(), 0..orders.len()).new_tree(&mut runner).unwrap();
        let (records, order) = drawn.current();
        let work = [0, 1].map(|writer| {
            let mine = records
                .iter()
                .filter(|(at, _)| (at.partition == 0) == (writer == 0));
            let events = mine.map(|(at, event)| (at.timestamp, event.clone()));
            let (times, events): (Vec<i64>, Vec<LicenseEvent>) = events.unzip();
            let mut placed = stage.placed(writer, 0, events);
            for ((at, _), timestamp) in placed.iter_mut().zip(times) {
                at.timestamp = timestamp;
            }
            let half = placed.len().div_ceil(2).max(1);
            placed
                .chunks(half)
                .map(<[Accepted]>::to_vec)
                .collect::<Vec<_>>()
        });
        stage.play(work, &orders[order]);
        stage.check(&(case, &orders[order]));
    }
    stage.check_against_the_embedded_store();
}
