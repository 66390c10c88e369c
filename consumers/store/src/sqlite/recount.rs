//! The digest of the rows as they are stored.
//!
//! The digest that is kept changes with what the fold wrote; it does not notice a row that was
//! changed by hand. Here every row is read and hashed.

use licenseflow_core::device::usage_digest;
use licenseflow_core::digest::bucket_of;
use licenseflow_core::{Buckets, RowDigest};
use rusqlite::{Connection, Params};

use super::rows::{
    DEVICE_COLUMNS, LICENSE_COLUMN_COUNT, LICENSE_COLUMNS, device_state, license_state,
};
use crate::Error;
use crate::columns::license_key;
use crate::standing::bucket_sum;

/// The digest as it is kept.
pub(super) fn kept(connection: &Connection) -> Result<Buckets, Error> {
    let mut buckets = Buckets::default();
    each_row(connection, "select bucket, sum from digest", [], |row| {
        let (bucket, sum) = bucket_sum(row)?;
        buckets.add(bucket, sum);
        Ok(())
    })?;
    Ok(buckets)
}

/// Reads and hashes every row, in one snapshot.
pub(crate) fn recount(connection: &mut Connection) -> Result<Buckets, Error> {
    let transaction = connection.transaction()?;
    let mut buckets = Buckets::default();
    let licenses = format!(
        "select {LICENSE_COLUMNS}, tenant.tenant_id, license.license_id
         from license join tenant on tenant.number = license.tenant"
    );
    each_row(&transaction, &licenses, [], |row| {
        let key = license_key(row, LICENSE_COLUMN_COUNT)?;
        buckets.add(bucket_of(&key), license_state(row, 0)?.digest(&key));
        Ok(())
    })?;
    let devices = format!(
        "select {DEVICE_COLUMNS}, tenant.tenant_id, license.license_id, device_id
         from device join license on license.number = device.license
         join tenant on tenant.number = license.tenant"
    );
    each_row(&transaction, &devices, [], |row| {
        let key = license_key(row, 7)?;
        let device_id: String = row.get(9)?;
        buckets.add(
            bucket_of(&key),
            device_state(row, 0)?.digest(&key, &device_id),
        );
        Ok(())
    })?;
    let usage = "select quantity, tenant.tenant_id, license.license_id, metric
         from usage join license on license.number = usage.license
         join tenant on tenant.number = license.tenant";
    each_row(&transaction, usage, [], |row| {
        let key = license_key(row, 1)?;
        let metric: String = row.get(3)?;
        let digest: RowDigest = usage_digest(&key, &metric, Some(row.get(0)?));
        buckets.add(bucket_of(&key), digest);
        Ok(())
    })?;
    transaction.commit()?;
    Ok(buckets)
}

/// Hands each row of a statement over.
pub(super) fn each_row(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    mut visit: impl FnMut(&rusqlite::Row<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        visit(row)?;
    }
    Ok(())
}
