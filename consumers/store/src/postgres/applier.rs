//! Who writes: the parts of digest and totals that a transaction adds to.

use xxhash_rust::xxh3::xxh3_64;

use super::session::{Values, Work};
use super::totals::NEWEST_RECORD_MS;
use crate::Error;

/// In how many parts the digest and totals are kept at most.
const APPLIERS: i32 = 64;

/// A batch that was begun.
pub(crate) struct Begun {
    pub(crate) number: i64,
    /// Which of the parts its transaction adds to.
    pub(crate) applier: i32,
    /// The time of the newest record that was read before, in milliseconds UTC.
    pub(crate) newest_ms: Option<i64>,
}

/// Numbers a batch, and says which of the parts its transaction adds to: the first that no other has, so
/// that none waits for another's, and there are no more parts than ever wrote at the same time. Where all
/// are taken two share one, and add up all the same.
pub(crate) async fn begin_batch(
    work: &Work<'_>,
    schema: &str,
    records: usize,
    now: i64,
) -> Result<Begun, Error> {
    let sql = format!(
        "with free as materialized (select it from generate_series(0, $4 - 1) as it
           where pg_try_advisory_xact_lock($3, it) limit 1)
         insert into batch (applied_at_ms, records) values ($1, $2)
         returning number, coalesce((select it from free), pg_backend_pid() % $4), ({NEWEST_RECORD_MS})"
    );
    // Names the appliers of this schema among all advisory locks of the database.
    let lock = xxh3_64(schema.as_bytes()) as i32;
    let values: Values<'_> = &[&now, &(records as i64), &lock, &APPLIERS];
    let rows = work.rows(&sql, values).await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::broken("a batch without a number"))?;
    Ok(Begun {
        number: row.try_get(0)?,
        applier: row.try_get(1)?,
        newest_ms: row.try_get(2)?,
    })
}
