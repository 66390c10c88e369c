//! The digest: as it is kept, and of the rows as they are stored.
//!
//! The digest that is kept changes with what the fold wrote; it does not notice a row that was changed
//! by hand. The recount reads and hashes every row.

use licenseflow_core::Buckets;

use super::session::Work;
use crate::Error;
use crate::columns::{DEVICE_COLUMNS, LICENSE_COLUMNS};
use crate::standing::{add_bucket, add_device, add_license, add_usage};

/// The digest as it is kept: the sum of the appliers' parts.
pub(crate) async fn kept(work: &Work<'_>) -> Result<Buckets, Error> {
    let mut buckets = Buckets::default();
    for row in work.rows("select bucket, sum from digest", &[]).await? {
        add_bucket(&mut buckets, &row)?;
    }
    Ok(buckets)
}

/// Reads and hashes every row, in one snapshot.
pub(crate) async fn recount(work: &Work<'_>) -> Result<Buckets, Error> {
    work.read_whole().await?;
    let mut buckets = Buckets::default();
    let licenses = format!("select {LICENSE_COLUMNS}, tenant_id, license_id from license");
    work.each_row(&licenses, &[], |row| add_license(&mut buckets, row))
        .await?;
    let devices = format!(
        "select {DEVICE_COLUMNS}, license.tenant_id, license.license_id, device_id from device
         join license on license.tenant_id = device.tenant_id and license.number = device.license"
    );
    work.each_row(&devices, &[], |row| add_device(&mut buckets, row))
        .await?;
    let usage = "select quantity, license.tenant_id, license.license_id, metric from usage
         join license on license.tenant_id = usage.tenant_id and license.number = usage.license";
    work.each_row(usage, &[], |row| add_usage(&mut buckets, row))
        .await?;
    Ok(buckets)
}
