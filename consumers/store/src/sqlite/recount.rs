//! The digest of the rows as they are stored.
//!
//! The digest that is kept changes with what the fold wrote; it does not notice a row that was
//! changed by hand. Here every row is read and hashed.

use licenseflow_avro::LicenseKey;
use licenseflow_core::device::usage_digest;
use licenseflow_core::digest::bucket_of;
use licenseflow_core::{Buckets, RowDigest};
use rusqlite::Connection;

use super::rows::{
    DEVICE_COLUMNS, LICENSE_COLUMN_COUNT, LICENSE_COLUMNS, device_state, license_state,
};
use crate::Error;

/// Reads and hashes every row, in one snapshot.
pub(crate) fn recount(connection: &mut Connection) -> Result<Buckets, Error> {
    let transaction = connection.transaction()?;
    let mut buckets = Buckets::default();
    let licenses = format!(
        "select {LICENSE_COLUMNS}, tenant.tenant_id, license.license_id
         from license join tenant on tenant.number = license.tenant"
    );
    each_row(&transaction, &licenses, |row| {
        let key = license_key(row, LICENSE_COLUMN_COUNT)?;
        buckets.add(bucket_of(&key), license_state(row, 0)?.digest(&key));
        Ok(())
    })?;
    let devices = format!(
        "select {DEVICE_COLUMNS}, tenant.tenant_id, license.license_id, device_id
         from device join license on license.number = device.license
         join tenant on tenant.number = license.tenant"
    );
    each_row(&transaction, &devices, |row| {
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
    each_row(&transaction, usage, |row| {
        let key = license_key(row, 1)?;
        let metric: String = row.get(3)?;
        let digest: RowDigest = usage_digest(&key, &metric, Some(row.get(0)?));
        buckets.add(bucket_of(&key), digest);
        Ok(())
    })?;
    transaction.commit()?;
    Ok(buckets)
}

fn license_key(row: &rusqlite::Row<'_>, first: usize) -> Result<LicenseKey, Error> {
    Ok(LicenseKey {
        tenant_id: row.get(first)?,
        license_id: row.get(first + 1)?,
    })
}

/// Visits every row that this statement gives.
pub(super) fn each_row(
    connection: &Connection,
    sql: &str,
    mut visit: impl FnMut(&rusqlite::Row<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(row)?;
    }
    Ok(())
}
