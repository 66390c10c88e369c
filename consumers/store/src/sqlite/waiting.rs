//! Records that wait for another try: rows that are written with their batch, and what was done about them.

use licenseflow_core::batch::{Envelope, attempt, record_hash};
use licenseflow_core::{Batch, Try, Waiting};
use rusqlite::{OptionalExtension, Transaction, params};

use super::rows::lane_number;
use super::writer::SqliteModel;
use crate::Error;
use crate::columns::headers_blob;
use crate::read_model::LETTERS_BYTES;
use crate::waiting::{
    Belongs, Done, Due, KNOWN, Step, first, known, waiting_columns, waiting_record,
};

/// Writes what a batch has of records that wait. A record that was given up on after tries is its row's, and
/// goes by where it lay first. Gives how many rows are open then.
pub(super) fn write(
    transaction: &Transaction<'_>,
    batch: &mut Batch,
    now: i64,
) -> Result<usize, Error> {
    for waiting in &batch.waiting {
        let record = &waiting.record;
        match belongs(transaction, Try::of(record).as_ref(), attempt(record))? {
            Belongs::No if waiting.may_begin => insert(transaction, waiting, now)?,
            Belongs::No => batch.rejected.push(waiting.given_up()),
            Belongs::To(row) => move_on(transaction, row.id, waiting, now)?,
            Belongs::Again => {}
        }
    }
    // Behind those that wait and before those that were accepted: a row is given up on before whatever
    // somebody did about that.
    let mut kept = Vec::with_capacity(batch.rejected.len());
    for mut rejected in std::mem::take(&mut batch.rejected) {
        let of = Try::of(&rejected.record);
        match (
            belongs(transaction, of.as_ref(), attempt(&rejected.record))?,
            of,
        ) {
            (Belongs::Again, _) => continue,
            (Belongs::To(row), Some(of)) => {
                settle(transaction, row.id, &of, now)?;
                rejected.record.at = first(&of, &row);
            }
            (Belongs::To(_), None) | (Belongs::No, _) => {}
        }
        kept.push(rejected);
    }
    batch.rejected = kept;
    for of in &batch.retried {
        if let Belongs::To(row) = belongs(transaction, Some(of), of.attempt)? {
            settle(transaction, row.id, of, now)?;
        }
    }
    let sql = "select count(*) from waiting indexed by waiting_open where settled_ms is null";
    let open: i64 = transaction
        .prepare_cached(sql)?
        .query_row([], |row| row.get(0))?;
    Ok(usize::try_from(open).unwrap_or_default())
}

fn belongs(
    transaction: &Transaction<'_>,
    of: Option<&Try>,
    attempt: u32,
) -> Result<Belongs, Error> {
    let Some(of) = of else {
        return Ok(Belongs::No);
    };
    let sql = format!(
        "select {KNOWN} from waiting where lane = ? and partition = ? and offset = ? and content = ?"
    );
    let values = params![
        lane_number(of.at.lane),
        of.at.partition,
        of.first,
        of.content
    ];
    let mut statement = transaction.prepare_cached(&sql)?;
    let row = statement.query_row(values, |row| Ok(known(row)));
    Ok(Belongs::of(row.optional()?.transpose()?, attempt))
}

/// Another owner of the partition may have written the same row: its position then says so.
fn insert(transaction: &Transaction<'_>, waiting: &Waiting, now: i64) -> Result<(), Error> {
    let Waiting {
        record,
        fault,
        wait_ms,
        may_begin: _,
    } = waiting;
    let sql = "insert into waiting (timestamp_ms, lane, partition, offset, content, reason, error, request_id, attempt,
           since_ms, due_ms, key, value, headers) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing";
    transaction.prepare_cached(sql)?.execute(params![
        record.at.timestamp,
        lane_number(record.at.lane),
        record.at.partition,
        record.at.offset,
        record_hash(record),
        fault.reason.name(),
        fault.to_string(),
        Envelope::of(&record.headers)
            .request_id
            .as_ref()
            .map(|it| it.as_str()),
        attempt(record),
        now,
        now.saturating_add(*wait_ms),
        record.key,
        record.value,
        headers_blob(&record.headers),
    ])?;
    Ok(())
}

/// A try of it has come to nothing: it waits for the next.
fn move_on(
    transaction: &Transaction<'_>,
    id: i64,
    waiting: &Waiting,
    now: i64,
) -> Result<(), Error> {
    let sql = "update waiting set attempt = ?2, due_ms = ?3, error = ?4, headers = ?5, copied_ms = null, published_ms = null
         where id = ?1";
    transaction.prepare_cached(sql)?.execute(params![
        id,
        attempt(&waiting.record),
        now.saturating_add(waiting.wait_ms),
        waiting.fault.to_string(),
        headers_blob(&waiting.record.headers),
    ])?;
    Ok(())
}

/// A try of it was accepted, or given up on: the row stays, so that another copy of a try finds it, and its
/// record goes.
fn settle(transaction: &Transaction<'_>, id: i64, of: &Try, now: i64) -> Result<(), Error> {
    let sql = "update waiting set attempt = ?2, settled_ms = ?3, settled_offset = ?4, key = null, value = null, headers = null
         where id = ?1";
    transaction
        .prepare_cached(sql)?
        .execute(params![id, of.attempt, now, of.at.offset])?;
    Ok(())
}

impl SqliteModel {
    /// See [`crate::Outbox::due`].
    pub(super) fn due_now(&mut self, now: i64, limit: usize) -> Result<Due, Error> {
        let sql = format!(
            "select {} from waiting indexed by waiting_open where settled_ms is null
               and (copied_ms is null or due_ms <= ?1 and published_ms is null) order by id limit ?2",
            waiting_columns("offset")
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![now, limit as i64])?;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < LETTERS_BYTES
            && let Some(row) = rows.next()?
        {
            let record = waiting_record(row)?;
            bytes += record.record.size();
            records.push(record);
        }
        let sql = "select min(due_ms) from waiting indexed by waiting_open where settled_ms is null and published_ms is null";
        let mut next = self.connection.prepare_cached(sql)?;
        Ok(Due {
            records,
            next: next.query_row([], |row| row.get(0))?,
        })
    }

    /// See [`crate::Outbox::mark_done`].
    pub(super) fn note_done(&mut self, done: &[Done], now: i64) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        for one in done {
            let column = match one.step {
                Step::Copy => "copied_ms",
                Step::Publish => "published_ms",
            };
            let sql = format!("update waiting set {column} = ?3 where id = ?1 and attempt = ?2");
            transaction
                .prepare_cached(&sql)?
                .execute(params![one.id, one.attempt, now])?;
        }
        transaction.commit()?;
        Ok(())
    }
}
