//! Rows of positions and of the kept digest, whatever the store.

use licenseflow_core::RowDigest;

use crate::Error;
use crate::columns::{Columns, lane_of_number, needed, partition_of_number, wide_number};
use crate::lookup::PartitionFreshness;
use crate::read_model::PartitionState;

/// Reads lane, partition, next_offset, last_timestamp_ms.
pub(crate) fn partition_state(row: &impl Columns) -> Result<PartitionState, Error> {
    Ok(PartitionState {
        lane: lane_of_number(needed(row.integer(0)?)?)?,
        partition: partition_of_number(needed(row.integer(1)?)?)?,
        next_offset: needed(row.integer(2)?)?,
        last_timestamp: row.integer(3)?,
    })
}

/// Reads lane, partition, next_offset, end_offset, caught_up_at_ms, last_timestamp_ms, beginning at
/// column `first`.
pub(crate) fn partition_freshness(
    row: &impl Columns,
    first: usize,
) -> Result<PartitionFreshness, Error> {
    Ok(PartitionFreshness {
        lane: lane_of_number(needed(row.integer(first)?)?)?,
        partition: partition_of_number(needed(row.integer(first + 1)?)?)?,
        next_offset: needed(row.integer(first + 2)?)?,
        end_offset: row.integer(first + 3)?,
        caught_up_at: row.integer(first + 4)?,
        last_timestamp: row.integer(first + 5)?,
    })
}

/// Reads a bucket of the digest and its sum, or a part of it.
pub(crate) fn bucket_sum(row: &impl Columns) -> Result<(u8, RowDigest), Error> {
    let bucket = needed(row.integer(0)?)?;
    let bucket = u8::try_from(bucket).map_err(|error| Error::Broken(Box::new(error)))?;
    Ok((bucket, RowDigest(wide_number(needed(row.bytes(1)?)?)?)))
}
