//! The devices and metrics of a license.

use std::collections::BTreeMap;

use licenseflow_avro::LicenseKey;
use licenseflow_core::DeviceState;

use super::{Snapshot, at_most};
use crate::Error;
use crate::columns::{DEVICE_COLUMNS, device_state};
use crate::lookup::Page;
use crate::page::page_of;

impl Snapshot<'_> {
    /// A page of devices by `device_id`, by bytes.
    pub(super) async fn devices(
        &self,
        key: &LicenseKey,
        license: i64,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, DeviceState), String>, Error> {
        // No id is empty, so all come after the empty text.
        let after = after.unwrap_or("");
        let sql = format!(
            "select device_id, {DEVICE_COLUMNS} from device \
             where tenant_id = $1 and license = $2 and device_id > $3 order by device_id limit $4"
        );
        let one_more = at_most(limit).saturating_add(1);
        let rows = self
            .rows(&sql, &[&key.tenant_id, &license, &after, &one_more])
            .await?;
        let mut devices = Vec::with_capacity(rows.len());
        for row in &rows {
            devices.push((row.try_get(0)?, device_state(row, 1)?));
        }
        Ok(page_of(devices, limit, |(device_id, _): &(String, _)| {
            device_id.clone()
        }))
    }

    /// Every metric and its sum.
    pub(super) async fn usage(
        &self,
        key: &LicenseKey,
        license: i64,
    ) -> Result<BTreeMap<String, i64>, Error> {
        let sql = "select metric, quantity from usage where tenant_id = $1 and license = $2";
        let rows = self.rows(sql, &[&key.tenant_id, &license]).await?;
        let sums = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        sums.collect()
    }
}
