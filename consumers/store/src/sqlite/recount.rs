//! The digest of the rows as they are stored.
//!
//! The digest that is kept changes with what the fold wrote; it does not notice a row that was
//! changed by hand. Here every row is read and hashed.

use licenseflow_core::Buckets;
use rusqlite::{Connection, Params};

use super::rows::{DEVICE_COLUMNS, LICENSE_COLUMNS};
use crate::Error;
use crate::standing::{add_bucket, add_device, add_license, add_usage};

/// The digest as it is kept.
pub(super) fn kept(connection: &Connection) -> Result<Buckets, Error> {
    let mut buckets = Buckets::default();
    each_row(connection, "select bucket, sum from digest", [], |row| {
        add_bucket(&mut buckets, row)
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
        add_license(&mut buckets, row)
    })?;
    let devices = format!(
        "select {DEVICE_COLUMNS}, tenant.tenant_id, license.license_id, device_id
         from device join license on license.number = device.license
         join tenant on tenant.number = license.tenant"
    );
    each_row(&transaction, &devices, [], |row| {
        add_device(&mut buckets, row)
    })?;
    let usage = "select quantity, tenant.tenant_id, license.license_id, metric
         from usage join license on license.number = usage.license
         join tenant on tenant.number = license.tenant";
    each_row(&transaction, usage, [], |row| add_usage(&mut buckets, row))?;
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
