//! The digest: as it is kept, and of the rows as they are stored.
//!
//! The digest that is kept changes with what the fold wrote; it does not notice a row that was changed
//! by hand. The recount reads and hashes every row.

use licenseflow_core::Buckets;
use licenseflow_core::device::usage_digest;
use licenseflow_core::digest::bucket_of;

use super::session::Work;
use crate::Error;
use crate::columns::{
    Columns, DEVICE_COLUMNS, LICENSE_COLUMN_COUNT, LICENSE_COLUMNS, device_state, license_key,
    license_state, needed,
};
use crate::standing::bucket_sum;

/// The digest as it is kept: the sum of the appliers' parts.
pub(crate) async fn kept(work: &Work<'_>) -> Result<Buckets, Error> {
    let mut buckets = Buckets::default();
    for row in work.rows("select bucket, sum from digest", &[]).await? {
        let (bucket, part) = bucket_sum(&row)?;
        buckets.add(bucket, part);
    }
    Ok(buckets)
}

/// Reads and hashes every row, in one snapshot.
pub(crate) async fn recount(work: &Work<'_>) -> Result<Buckets, Error> {
    work.read_whole().await?;
    let mut buckets = Buckets::default();
    let licenses = format!("select {LICENSE_COLUMNS}, tenant_id, license_id from license");
    work.each_row(&licenses, |row| {
        let key = license_key(row, LICENSE_COLUMN_COUNT)?;
        buckets.add(bucket_of(&key), license_state(row, 0)?.digest(&key));
        Ok(())
    })
    .await?;
    let devices = format!(
        "select {DEVICE_COLUMNS}, license.tenant_id, license.license_id, device_id from device
         join license on license.tenant_id = device.tenant_id and license.number = device.license"
    );
    work.each_row(&devices, |row| {
        let key = license_key(row, 7)?;
        let digest = device_state(row, 0)?.digest(&key, needed(row.text(9)?)?);
        buckets.add(bucket_of(&key), digest);
        Ok(())
    })
    .await?;
    let usage = "select quantity, license.tenant_id, license.license_id, metric from usage
         join license on license.tenant_id = usage.tenant_id and license.number = usage.license";
    work.each_row(usage, |row| {
        let key = license_key(row, 1)?;
        let digest = usage_digest(&key, needed(row.text(3)?)?, row.integer(0)?);
        buckets.add(bucket_of(&key), digest);
        Ok(())
    })
    .await?;
    Ok(buckets)
}
