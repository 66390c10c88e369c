//! Who writes: the parts of digest and totals that a transaction adds to.

use xxhash_rust::xxh3::xxh3_64;

use super::session::{Values, Work};
use crate::Error;

/// In how many parts the digest and totals are kept at most.
const APPLIERS: i32 = 64;

/// Numbers a batch, and says which of the parts its transaction adds to: the first that no other has, so
/// that none waits for another's, and there are no more parts than ever wrote at the same time. Where all
/// are taken two share one, and add up all the same.
pub(crate) async fn number_batch(
    work: &Work<'_>,
    schema: &str,
    records: usize,
    now: i64,
) -> Result<(i64, i32), Error> {
    let sql = "with free as materialized (select it from generate_series(0, $4 - 1) as it
           where pg_try_advisory_xact_lock($3, it) limit 1)
         insert into batch (applied_at_ms, records) values ($1, $2)
         returning number, coalesce((select it from free), pg_backend_pid() % $4)";
    // Names the appliers of this schema among all advisory locks of the database.
    let lock = xxh3_64(schema.as_bytes()) as i32;
    let values: Values<'_> = &[&now, &(records as i64), &lock, &APPLIERS];
    let rows = work.rows(sql, values).await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::broken("a batch without a number"))?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
