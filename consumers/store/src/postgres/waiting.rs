//! Records that wait for another try: rows that are written with their batch, and what was done about them.
//! The same as in SQLite; each statement is of one record, since they are few.

use licenseflow_avro::headers::RequestId;
use licenseflow_core::batch::{Envelope, attempt, record_hash};
use licenseflow_core::{Batch, Try, Waiting};

use super::rejected::{lane_column, storable};
use super::session::Work;
use crate::Error;
use crate::columns::{Columns, headers_blob, needed};
use crate::read_model::LETTERS_BYTES;
use crate::waiting::{
    Belongs, Done, Due, KNOWN, Step, first, known, waiting_columns, waiting_record,
};

/// Writes what a batch has of records that wait. A record that was given up on after tries is its row's, and
/// goes by where it lay first.
pub(super) async fn write(work: &Work<'_>, batch: &mut Batch, now: i64) -> Result<(), Error> {
    for waiting in &batch.waiting {
        let record = &waiting.record;
        match belongs(work, Try::of(record).as_ref(), attempt(record)).await? {
            Belongs::No if waiting.may_begin => insert(work, waiting, now).await?,
            Belongs::No => batch.rejected.push(waiting.given_up()),
            Belongs::To(row) => move_on(work, row.id, waiting, now).await?,
            Belongs::Again => {}
        }
    }
    // Behind those that wait and before those that were accepted: a row is given up on before whatever
    // somebody did about that.
    let mut kept = Vec::with_capacity(batch.rejected.len());
    for mut rejected in std::mem::take(&mut batch.rejected) {
        let of = Try::of(&rejected.record);
        let attempt = attempt(&rejected.record);
        match (belongs(work, of.as_ref(), attempt).await?, of) {
            (Belongs::Again, _) => continue,
            (Belongs::To(row), Some(of)) => {
                settle(work, row.id, &of, now).await?;
                rejected.record.at = first(&of, &row);
            }
            (Belongs::To(_), None) | (Belongs::No, _) => {}
        }
        kept.push(rejected);
    }
    batch.rejected = kept;
    for of in &batch.retried {
        if let Belongs::To(row) = belongs(work, Some(of), of.attempt).await? {
            settle(work, row.id, of, now).await?;
        }
    }
    Ok(())
}

/// How many rows are open.
pub(super) async fn open(work: &Work<'_>) -> Result<usize, Error> {
    let sql = "select count(*) from waiting where settled_ms is null";
    let rows = work.rows(sql, &[]).await?;
    let count = rows.first().map(|row| row.integer(0)).transpose()?;
    Ok(usize::try_from(needed(count.flatten())?).unwrap_or_default())
}

async fn belongs(work: &Work<'_>, of: Option<&Try>, attempt: u32) -> Result<Belongs, Error> {
    let Some(of) = of else {
        return Ok(Belongs::No);
    };
    let sql = format!(
        "select {KNOWN} from waiting where lane = $1 and partition = $2 and log_offset = $3 and content = $4"
    );
    let (lane, content) = (lane_column(of.at.lane), &of.content[..]);
    let rows = work
        .rows(&sql, &[&lane, &of.at.partition, &of.first, &content])
        .await?;
    let row = rows.first().map(known).transpose()?;
    Ok(Belongs::of(row, attempt))
}

/// Another owner of the partition may have written the same row: its position then says so.
async fn insert(work: &Work<'_>, waiting: &Waiting, now: i64) -> Result<(), Error> {
    let Waiting {
        record,
        fault,
        wait_ms,
        may_begin: _,
    } = waiting;
    let sql = "insert into waiting (timestamp_ms, lane, partition, log_offset, content, reason, error, request_id,
           attempt, since_ms, due_ms, key, value, headers)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) on conflict do nothing";
    let content = record_hash(record);
    let request_id = Envelope::of(&record.headers).request_id;
    work.execute(
        sql,
        &[
            &record.at.timestamp,
            &lane_column(record.at.lane),
            &record.at.partition,
            &record.at.offset,
            &&content[..],
            &fault.reason.name(),
            &storable(fault.to_string()),
            &request_id.as_ref().map(RequestId::as_str),
            &i64::from(attempt(record)),
            &now,
            &now.saturating_add(*wait_ms),
            &record.key,
            &record.value,
            &headers_blob(&record.headers),
        ],
    )
    .await?;
    Ok(())
}

/// A try of it has come to nothing: it waits for the next.
async fn move_on(work: &Work<'_>, id: i64, waiting: &Waiting, now: i64) -> Result<(), Error> {
    let sql =
        "update waiting set attempt = $2, due_ms = $3, error = $4, headers = $5, copied_ms = null,
           published_ms = null where id = $1";
    let record = &waiting.record;
    work.execute(
        sql,
        &[
            &id,
            &i64::from(attempt(record)),
            &now.saturating_add(waiting.wait_ms),
            &storable(waiting.fault.to_string()),
            &headers_blob(&record.headers),
        ],
    )
    .await?;
    Ok(())
}

/// A try of it was accepted, or given up on: the row stays, so that another copy of a try finds it, and its
/// record goes.
async fn settle(work: &Work<'_>, id: i64, of: &Try, now: i64) -> Result<(), Error> {
    let sql = "update waiting set attempt = $2, settled_ms = $3, settled_offset = $4, key = null, value = null,
           headers = null where id = $1";
    let attempt = i64::from(of.attempt);
    work.execute(sql, &[&id, &attempt, &now, &of.at.offset])
        .await?;
    Ok(())
}

/// See [`crate::Outbox::due`].
pub(super) async fn due(work: &Work<'_>, now: i64, limit: usize) -> Result<Due, Error> {
    let columns = waiting_columns("log_offset");
    let sql = format!(
        "select {columns} from (
           select *, sum(coalesce(octet_length(value), 0))
               over (order by id rows between unbounded preceding and 1 preceding) as bytes_before
           from (select * from waiting where settled_ms is null
               and (copied_ms is null or due_ms <= $1 and published_ms is null) order by id limit $2) as due
         ) as it
         where coalesce(bytes_before, 0) < $3 order by id"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = work
        .rows(&sql, &[&now, &limit, &(LETTERS_BYTES as i64)])
        .await?;
    let records = rows.iter().map(waiting_record);
    let records = records.collect::<Result<_, Error>>()?;
    let sql = "select min(due_ms) from waiting where settled_ms is null and published_ms is null";
    let rows = work.rows(sql, &[]).await?;
    let next = rows.first().map(|row| row.integer(0)).transpose()?;
    Ok(Due {
        records,
        next: next.flatten(),
    })
}

/// See [`crate::Outbox::mark_done`].
pub(super) async fn mark_done(work: &Work<'_>, done: &[Done], now: i64) -> Result<(), Error> {
    for (step, column) in [(Step::Copy, "copied_ms"), (Step::Publish, "published_ms")] {
        let these = || done.iter().filter(|one| one.step == step);
        let ids: Vec<i64> = these().map(|one| one.id).collect();
        if ids.is_empty() {
            continue;
        }
        let attempts: Vec<i64> = these().map(|one| i64::from(one.attempt)).collect();
        let sql = format!(
            "update waiting set {column} = $3 from unnest($1::bigint[], $2::bigint[]) as done (id, attempt)
             where waiting.id = done.id and waiting.attempt = done.attempt"
        );
        work.execute(&sql, &[&ids, &attempts, &now]).await?;
    }
    Ok(())
}
