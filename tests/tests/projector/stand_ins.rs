//! A real store behind a door that fails as told, and a dead-letter topic in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use licenseflow_avro::{Coordinates, Lane, PartitionId, Position};
use licenseflow_core::Batch;
use licenseflow_kafka::{DeadLetter, Delivery, Letters, Originals, Retry, RetryTo};
use licenseflow_projector::verify::Stored;
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{
    Applied, Done, Due, Error, Ground, Letter, Outbox, PartitionEnd, PartitionState, ReadModel,
    SqliteModel,
};

use crate::memory_log::World;
use licenseflow_tests::chance::Chance;

/// What a door does to calls.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) chance: Option<Chance>,
    /// The store is away once in so many calls.
    pub(crate) away: u64,
    /// The process dies at this apply: before it, or after its commit where odd.
    pub(crate) dies_at: Option<u64>,
    /// Every call is away.
    pub(crate) is_away: bool,
    /// No letter can be marked.
    pub(crate) is_full: bool,
    /// How often that was tried.
    pub(crate) refused_marks: u64,
    /// Every call finds the store broken.
    pub(crate) is_broken: bool,
    /// Each apply waits until this is free.
    pub(crate) gate: Arc<Mutex<()>>,
    pub(crate) applies: u64,
    /// How many offsets of the interactive and of the bulk lane each batch dealt with.
    pub(crate) lanes: Vec<(i64, i64)>,
    /// Records and bytes of the largest batch.
    pub(crate) largest: (usize, usize),
    pub(crate) noted: Vec<PartitionEnd>,
}

/// One store, shared by all who write it; the compare-and-set keeps them apart.
#[derive(Clone)]
pub(crate) struct Door {
    model: Arc<Mutex<SqliteModel>>,
    pub(crate) faults: Arc<Mutex<Faults>>,
}

impl Door {
    pub(crate) fn open(folder: &Path) -> Door {
        let model = SqliteModel::open(
            &folder.join("store.db"),
            SqliteOptions {
                cache_mib: 8,
                ..SqliteOptions::default()
            },
        )
        .unwrap();
        Door {
            model: Arc::new(Mutex::new(model)),
            faults: Arc::default(),
        }
    }

    /// Another door to the same store.
    pub(crate) fn with(&self, faults: Faults) -> Door {
        Door {
            model: Arc::clone(&self.model),
            faults: Arc::new(Mutex::new(faults)),
        }
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, SqliteModel> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn position(&self) -> Position {
        let states = self.model().positions().unwrap();
        states
            .iter()
            .map(|one| (one.lane, one.partition, one.next_offset))
            .collect()
    }

    pub(crate) fn stored(&self) -> Stored {
        let position = self.position();
        let mut model = self.model();
        let kept = model.kept_digest().unwrap();
        assert_eq!(
            kept,
            model.recount().unwrap(),
            "the kept digest is not that of the rows"
        );
        Stored {
            position,
            buckets: kept,
        }
    }

    fn pass(&self) -> Result<(), Error> {
        let mut faults = self.faults();
        if faults.is_broken {
            return Err(Error::broken("the test says so"));
        }
        let away = faults.away;
        let is_unlucky = faults
            .chance
            .as_mut()
            .is_some_and(|chance| chance.once_in(away));
        if faults.is_away || is_unlucky {
            return Err(Error::Away("the test says so".into()));
        }
        Ok(())
    }
}

/// How many offsets of the interactive and of the bulk lane a batch deals with.
fn of_lanes(batch: &Batch) -> (i64, i64) {
    let of = |lane| {
        let each = batch.spans.values().filter(move |span| span.lane == lane);
        each.map(|span| span.to - span.from).sum()
    };
    (of(Lane::Interactive), of(Lane::Bulk))
}

impl ReadModel for Door {
    fn begin_on(&mut self, ground: &Ground) -> Result<(), Error> {
        self.model().begin_on(ground)
    }

    fn positions(&mut self) -> Result<Vec<PartitionState>, Error> {
        self.pass()?;
        self.model().positions()
    }

    fn apply(&mut self, batch: Batch, now: i64) -> Result<Applied, Error> {
        let gate = {
            let mut faults = self.faults();
            let (records, bytes) = faults.largest;
            faults.largest = (records.max(batch.records), bytes.max(batch.bytes));
            faults.applies += 1;
            faults.lanes.push(of_lanes(&batch));
            Arc::clone(&faults.gate)
        };
        drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
        self.pass()?;
        let (applies, dies_at) = {
            let faults = self.faults();
            (faults.applies, faults.dies_at)
        };
        let is_last = dies_at.is_some_and(|at| applies >= at);
        assert!(
            !is_last || applies % 2 == 1,
            "the process dies before the store is asked"
        );
        let applied = self.model().apply(batch, now);
        assert!(!is_last, "the process dies after the commit");
        applied
    }

    fn note_ends(&mut self, ends: &[PartitionEnd], now: i64) -> Result<(), Error> {
        self.pass()?;
        self.faults().noted = ends.to_vec();
        self.model().note_ends(ends, now)
    }
}

impl Outbox for Door {
    fn unsent(
        &mut self,
        after: i64,
        limit: usize,
        except: &[(Lane, PartitionId)],
    ) -> Result<Vec<Letter>, Error> {
        self.pass()?;
        self.model().unsent(after, limit, except)
    }

    fn mark_sent(&mut self, ids: &[i64], now: i64) -> Result<(), Error> {
        self.pass()?;
        if self.faults().is_full {
            self.faults().refused_marks += 1;
            return Err(Error::Away("the disk is full".into()));
        }
        self.model().mark_sent(ids, now)
    }

    fn due(&mut self, now: i64, limit: usize) -> Result<Due, Error> {
        self.pass()?;
        self.model().due(now, limit)
    }

    fn mark_done(&mut self, done: &[Done], now: i64) -> Result<(), Error> {
        self.pass()?;
        self.model().mark_done(done, now)
    }

    fn leave(&mut self) -> Result<(), Error> {
        self.model().leave()
    }
}

/// A dead-letter topic in memory.
#[derive(Clone)]
pub(crate) struct MemoryLetters {
    pub(crate) sent: Arc<Mutex<Vec<DeadLetter>>>,
    /// Copies of records that wait; those that are due go into the world's log.
    pub(crate) copies: Arc<Mutex<Vec<Retry>>>,
    pub(crate) is_away: Arc<Mutex<bool>>,
    /// Letters of these records are refused; counted are the attempts.
    pub(crate) refused: Arc<Mutex<BTreeMap<Coordinates, usize>>>,
    /// How often letters were to be sent.
    pub(crate) tried: Arc<Mutex<u64>>,
    /// The most bytes that one sending held.
    pub(crate) largest: Arc<Mutex<usize>>,
    pub(crate) world: World,
    pub(crate) chance: Chance,
    /// Sending fails once in so many times, after it has sent some.
    pub(crate) fails: u64,
}

impl MemoryLetters {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            sent: Arc::default(),
            copies: Arc::default(),
            is_away: Arc::default(),
            refused: Arc::default(),
            tried: Arc::default(),
            largest: Arc::default(),
            world: world.clone(),
            chance: Chance::new(1),
            fails: 0,
        }
    }
}

impl Letters for MemoryLetters {
    fn originals(
        &mut self,
        at: &[Coordinates],
        bytes_max: usize,
    ) -> licenseflow_kafka::Result<Originals> {
        let log = self.world.log.lock().unwrap();
        let mut originals = Originals::default();
        let mut bytes = 0;
        for at in at {
            if bytes >= bytes_max {
                originals.left.insert(*at);
                continue;
            }
            let lies = &log.partitions[&(at.lane, at.partition)][at.offset as usize];
            if let Some(record) = lies {
                bytes += record.value.as_ref().map_or(0, Vec::len);
                originals.found.insert(*at, record.clone());
            }
        }
        Ok(originals)
    }

    fn send(
        &mut self,
        letters: &[DeadLetter],
        _within: Duration,
    ) -> licenseflow_kafka::Result<Vec<Delivery>> {
        let each = letters.iter().filter_map(|one| one.record.value.as_ref());
        let bytes: usize = each.map(Vec::len).sum();
        let mut largest = self.largest.lock().unwrap();
        *largest = bytes.max(*largest);
        *self.tried.lock().unwrap() += 1;
        let is_away = *self.is_away.lock().unwrap();
        let is_failing = is_away || (self.fails > 0 && self.chance.once_in(self.fails));
        let mut refused = self.refused.lock().unwrap();
        let mut sent = self.sent.lock().unwrap();
        let mut deliveries = Vec::with_capacity(letters.len());
        for (number, letter) in letters.iter().enumerate() {
            let is_written = !is_away && (!is_failing || number < letters.len() / 2);
            deliveries.push(if let Some(attempts) = refused.get_mut(&letter.record.at) {
                *attempts += 1;
                Delivery::Refused("the test says so".into())
            } else if is_written {
                sent.push(letter.clone());
                // What failed half-way may be written without anyone having heard of it.
                if is_failing && number.is_multiple_of(2) {
                    Delivery::Unanswered("the test says so".into())
                } else {
                    Delivery::Acknowledged
                }
            } else {
                Delivery::Unanswered("the test says so".into())
            });
        }
        Ok(deliveries)
    }
    fn retry(
        &mut self,
        retries: &[Retry],
        _within: Duration,
    ) -> licenseflow_kafka::Result<Vec<Delivery>> {
        let is_away = *self.is_away.lock().unwrap();
        let mut deliveries = Vec::with_capacity(retries.len());
        for retry in retries {
            let is_failing = is_away || (self.fails > 0 && self.chance.once_in(self.fails));
            // What is not acknowledged may be written all the same.
            if !is_away && (!is_failing || self.chance.once_in(2)) {
                match retry.to {
                    RetryTo::Topic => self.copies.lock().unwrap().push(retry.clone()),
                    RetryTo::Lane => self.world.log.lock().unwrap().publish_again(retry),
                }
            }
            deliveries.push(match is_failing {
                true => Delivery::Unanswered("the test says so".into()),
                false => Delivery::Acknowledged,
            });
        }
        Ok(deliveries)
    }
}
