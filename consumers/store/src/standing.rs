//! Rows of positions and of the digest, kept or hashed anew, whatever the store.

use licenseflow_core::device::usage_digest;
use licenseflow_core::digest::bucket_of;
use licenseflow_core::{Buckets, RowDigest};

use crate::Error;
use crate::columns::{
    Columns, LICENSE_COLUMN_COUNT, device_state, lane_of_number, license_key, license_state,
    needed, partition_of_number, wide_number,
};
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

/// Adds a bucket of the digest, or a part of it.
pub(crate) fn add_bucket(buckets: &mut Buckets, row: &impl Columns) -> Result<(), Error> {
    let (bucket, sum) = bucket_sum(row)?;
    buckets.add(bucket, sum);
    Ok(())
}

/// Reads a bucket of the digest and its sum, or a part of it.
pub(crate) fn bucket_sum(row: &impl Columns) -> Result<(u8, RowDigest), Error> {
    let bucket = needed(row.integer(0)?)?;
    let bucket = u8::try_from(bucket).map_err(|error| Error::Broken(Box::new(error)))?;
    Ok((bucket, RowDigest(wide_number(needed(row.bytes(1)?)?)?)))
}

/// Hashes a license: [`LICENSE_COLUMNS`](crate::columns::LICENSE_COLUMNS), tenant and license id.
pub(crate) fn add_license(buckets: &mut Buckets, row: &impl Columns) -> Result<(), Error> {
    let key = license_key(row, LICENSE_COLUMN_COUNT)?;
    buckets.add(bucket_of(&key), license_state(row, 0)?.digest(&key));
    Ok(())
}

/// Hashes a device: [`DEVICE_COLUMNS`](crate::columns::DEVICE_COLUMNS), tenant, license and device id.
pub(crate) fn add_device(buckets: &mut Buckets, row: &impl Columns) -> Result<(), Error> {
    let key = license_key(row, 7)?;
    let digest = device_state(row, 0)?.digest(&key, needed(row.text(9)?)?);
    buckets.add(bucket_of(&key), digest);
    Ok(())
}

/// Hashes a sum of usage: quantity, tenant, license id and metric.
pub(crate) fn add_usage(buckets: &mut Buckets, row: &impl Columns) -> Result<(), Error> {
    let key = license_key(row, 1)?;
    let digest = usage_digest(&key, needed(row.text(3)?)?, row.integer(0)?);
    buckets.add(bucket_of(&key), digest);
    Ok(())
}
