//! The one writer: a batch goes in whole, with its positions, or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use licenseflow_avro::{LicenseKey, Position};
use licenseflow_core::fold::{Settled, fold};
use licenseflow_core::{Batch, Buckets, LicenseChange, PackedBatch, RowDigest, Span, crash};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::cache::{AtHand, Cache};
use super::change::Writer;
use super::checkpoint::Checkpoints;
use super::collected::Collected;
use super::connection::{self, SqliteOptions};
use super::hold::Hold;
use super::loading;
use super::past::Reader;
use super::recount;
use super::rewrite;
use super::rows::{lane_number, lane_of_number};
use super::totals;
use super::waiting;
use crate::batch::{sorted, unpack};
use crate::error::Error;
use crate::ground::Ground;
use crate::journey;
use crate::read_model::{Applied, PartitionEnd, PartitionState, ReadModel};
use crate::standing::partition_state;
use crate::totals::{Difference, KeptTotals, newest_ms};

/// One generation in one SQLite file, as its only writer has it.
#[derive(Debug)]
pub struct SqliteModel {
    /// Ends before the writer's connection, which copies what is left.
    _checkpoints: Checkpoints,
    pub(super) connection: Connection,
    generation: i64,
    pub(super) seed: u64,
    cache: Cache,
    /// What it collects into, as long as it is not loaded.
    pub(super) collected: Option<Collected>,
    pub(super) path: PathBuf,
    _hold: Hold,
}

impl SqliteModel {
    /// Opens the file, makes it if there is none, and holds it against other writers.
    ///
    /// # Errors
    /// [`Error::Held`] where another process writes it, [`Error::Unusable`] where it is not ours.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, Error> {
        let hold = Hold::take(path)?;
        let mut connection = connection::open_writer(path, options)?;
        Ok(Self {
            _checkpoints: Checkpoints::beside(&mut connection, path)?,
            generation: connection::generation(&connection)?,
            seed: connection::hash_seed(&connection)?,
            collected: match loading::loading(&connection)? {
                Some(_) => Some(Collected::beside(path)?),
                None => None,
            },
            path: path.to_owned(),
            connection,
            cache: Cache::new(options.rows_bytes()),
            _hold: hold,
        })
    }

    /// Has partitions begin there which the generation does not know yet.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn begin_at(&mut self, begin: &Position) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        for (lane, partition, next_offset) in begin.iter() {
            let sql = "insert or ignore into position (generation, lane, partition, next_offset) values (?, ?, ?, ?)";
            let lane = lane_number(lane);
            transaction.execute(sql, params![self.generation, lane, partition, next_offset])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The digest of the rows as they are stored, hashed anew; it takes as long as reading them all.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn recount(&mut self) -> Result<Buckets, Error> {
        recount::recount(&mut self.connection)
    }

    /// Totals and numbers of events as the rows give them; it takes as long as reading them all.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn recount_totals(&mut self) -> Result<KeptTotals, Error> {
        totals::recount(&mut self.connection)
    }

    /// Totals and numbers of events as they are kept.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn kept_totals(&mut self) -> Result<KeptTotals, Error> {
        totals::kept(&mut self.connection)
    }

    /// The digest as it is kept.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn kept_digest(&self) -> Result<Buckets, Error> {
        recount::kept(&self.connection)
    }
}

impl ReadModel for SqliteModel {
    fn begin_on(&mut self, ground: &Ground) -> Result<(), Error> {
        let values = [&ground.cluster_id, &ground.topic];
        let sql = "insert into ground (number, cluster_id, topic) values (1, ?, ?) on conflict do nothing";
        self.connection.execute(sql, values)?;
        let sql = "select cluster_id, topic from ground";
        let kept = self.connection.query_row(sql, [], |row| {
            Ok(Ground {
                cluster_id: row.get(0)?,
                topic: row.get(1)?,
            })
        })?;
        kept.check(ground)
    }

    fn positions(&mut self) -> Result<Vec<PartitionState>, Error> {
        let mut statement = self.connection.prepare_cached(
            "select lane, partition, next_offset, last_timestamp_ms from position
             where generation = ?1 order by lane, partition",
        )?;
        let mut rows = statement.query([self.generation])?;
        let mut states = Vec::new();
        while let Some(row) = rows.next()? {
            states.push(partition_state(row)?);
        }
        Ok(states)
    }

    fn apply(&mut self, batch: Batch, now: i64) -> Result<Applied, Error> {
        let applied = self.apply_whole(batch, now);
        if applied.is_err() {
            self.cache.forget();
        }
        applied
    }

    fn note_ends(&mut self, ends: &[PartitionEnd], _now: i64) -> Result<(), Error> {
        let generation = self.generation;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for end in ends {
            note_end(&transaction, generation, end)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

impl SqliteModel {
    fn apply_whole(&mut self, mut batch: Batch, now: i64) -> Result<Applied, Error> {
        let (generation, seed) = (self.generation, self.seed);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        self.cache.follow(rewrite::count(&transaction)?);
        let number = write_batch_row(&transaction, batch.records, now)?;
        let waiting = waiting::write(&transaction, &mut batch, now)?;
        let mut applied = Applied {
            batch: number,
            position: Position::default(),
            events: 0,
            letters: batch.rejected.len(),
            waiting,
        };
        {
            let mut writer = Writer::new(&transaction, seed, now)?;
            writer.write_journey(&journey::rows(&batch.journey, seed), number)?;
            for rejected in &batch.rejected {
                writer.write_rejected(rejected)?;
            }
            let newest = newest_ms(&batch);
            let licenses = sorted(batch.licenses);
            let difference = match &mut self.collected {
                Some(collected) => {
                    loading::collect(&transaction, collected, &licenses)?;
                    Difference::default()
                }
                None => {
                    let cache = &mut self.cache;
                    write_licenses(&transaction, &mut writer, cache, licenses, &mut applied)?
                }
            };
            totals::write(difference, &transaction, newest)?;
        }
        crash::point(crash::INSIDE_TRANSACTION);
        for span in batch.spans.values() {
            move_position(&transaction, generation, span)?;
        }
        applied.position = position(&transaction, generation)?;
        crash::point(crash::BEFORE_COMMIT);
        transaction.commit()?;
        crash::point(crash::AFTER_COMMIT);
        Ok(applied)
    }
}

fn write_batch_row(transaction: &Transaction<'_>, records: usize, now: i64) -> Result<i64, Error> {
    transaction
        .prepare_cached("insert into batch (applied_at_ms, records) values (?1, ?2)")?
        .execute(params![now, records as i64])?;
    Ok(transaction.last_insert_rowid())
}

/// Folds license by license, in the order of their ids, so that neighbouring pages are touched together. Gives
/// what all of it changes about totals.
pub(super) fn write_licenses(
    transaction: &Transaction<'_>,
    writer: &mut Writer<'_>,
    cache: &mut Cache,
    licenses: Vec<(Arc<LicenseKey>, PackedBatch)>,
    applied: &mut Applied,
) -> Result<Difference, Error> {
    let mut difference = Difference::default();
    let mut reader = Reader::new(transaction, writer.seed())?;
    let mut digest = DigestChange::default();
    for (key, packed) in licenses {
        let batch = unpack(&key, packed)?;
        let mut found = reader.past(&key, &batch, cache.take(&key))?;
        let settled = Settled::of(key, batch, &found.past);
        let whole = match found.number {
            Some(number) if settled.needs_whole_past(&found.past) => {
                Some(reader.whole(number, settled.key(), &mut found.past)?)
            }
            Some(_) | None => None,
        };
        let change: LicenseChange = fold(settled, &found.past, whole);
        applied.events += change.new_events();
        applied.letters += change.opened_conflicts();
        digest.add(&change);
        difference.license(found.past.state.as_ref(), &change);
        let number = writer.write(&found, &change)?;
        let license = Box::new(AtHand {
            number,
            ordered: found.is_ordered(&change.state),
            state: change.state,
            digest: change.state_digest,
        });
        cache.put(change.key, license);
    }
    digest.write(transaction)?;
    Ok(difference)
}

/// What changes about the digest, bucket by bucket.
pub(super) struct DigestChange(Vec<RowDigest>);

impl Default for DigestChange {
    fn default() -> Self {
        Self(vec![RowDigest::default(); 256])
    }
}

impl DigestChange {
    pub(super) fn add(&mut self, change: &LicenseChange) {
        let bucket = &mut self.0[usize::from(change.bucket)];
        *bucket = bucket.plus(change.digest);
    }

    pub(super) fn write(self, transaction: &Transaction<'_>) -> Result<(), Error> {
        for (bucket, change) in self.0.into_iter().enumerate() {
            add_to_digest(transaction, bucket, change)?;
        }
        Ok(())
    }
}

pub(super) fn add_to_digest(
    transaction: &Transaction<'_>,
    bucket: usize,
    change: RowDigest,
) -> Result<(), Error> {
    if change == RowDigest::default() {
        return Ok(());
    }
    let before: Option<[u8; 16]> = transaction
        .prepare_cached("select sum from digest where bucket = ?1")?
        .query_row([bucket as i64], |row| row.get(0))
        .optional()?;
    let sum = RowDigest(before.map_or(0, u128::from_be_bytes)).plus(change);
    transaction
        .prepare_cached(
            "insert into digest (bucket, sum) values (?1, ?2)
             on conflict (bucket) do update set sum = excluded.sum",
        )?
        .execute(params![bucket as i64, sum.0.to_be_bytes()])?;
    Ok(())
}

/// Compare and set: a partition that does not stand at the span's `from` has another owner.
fn move_position(transaction: &Transaction<'_>, generation: i64, span: &Span) -> Result<(), Error> {
    let lane = lane_number(span.lane);
    let changed = transaction
        .prepare_cached(
            "update position set next_offset = ?1,
               last_timestamp_ms = max(ifnull(last_timestamp_ms, ?2), ifnull(?2, last_timestamp_ms))
             where generation = ?3 and lane = ?4 and partition = ?5 and next_offset = ?6",
        )?
        .execute(params![
            span.to,
            span.last_timestamp,
            generation,
            lane,
            span.partition,
            span.from
        ])?;
    let moved =
        if changed == 0 && span.from == 0 {
            transaction
            .prepare_cached(
                "insert into position (generation, lane, partition, next_offset, last_timestamp_ms)
                 values (?1, ?2, ?3, ?4, ?5) on conflict do nothing",
            )?
            .execute(params![generation, lane, span.partition, span.to, span.last_timestamp])?
        } else {
            changed
        };
    if moved == 0 {
        return Err(Error::Fenced {
            lane: span.lane,
            partition: span.partition,
            expected: span.from,
        });
    }
    Ok(())
}

pub(super) fn position(transaction: &Transaction<'_>, generation: i64) -> Result<Position, Error> {
    let mut statement = transaction.prepare_cached(
        "select lane, partition, next_offset from position where generation = ?1",
    )?;
    let mut rows = statement.query([generation])?;
    let mut position = Position::default();
    while let Some(row) = rows.next()? {
        position.set(lane_of_number(row.get(0)?)?, row.get(1)?, row.get(2)?);
    }
    Ok(position)
}

fn note_end(
    transaction: &Transaction<'_>,
    generation: i64,
    end: &PartitionEnd,
) -> Result<(), Error> {
    transaction
        .prepare_cached(
            "insert into position (generation, lane, partition, next_offset, end_offset, caught_up_at_ms)
             values (?1, ?2, ?3, 0, ?4, case when ?4 = 0 then ?5 end)
             on conflict (generation, lane, partition) do update set
               end_offset = excluded.end_offset,
               caught_up_at_ms = case when next_offset >= excluded.end_offset
                                 then max(ifnull(caught_up_at_ms, ?5), ?5) else caught_up_at_ms end",
        )?
        .execute(params![generation, lane_number(end.lane), end.partition, end.end_offset, end.seen_at])?;
    Ok(())
}
