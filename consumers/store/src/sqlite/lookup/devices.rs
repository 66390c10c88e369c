//! The devices and metrics of a license.

use std::collections::BTreeMap;

use licenseflow_core::DeviceState;

use super::Snapshot;
use crate::Error;
use crate::lookup::Page;
use crate::page::page_of;
use crate::sqlite::rows::{DEVICE_COLUMNS, device_state};

impl Snapshot<'_> {
    /// A page of devices by `device_id`, by bytes.
    pub(super) fn devices(
        &self,
        license: i64,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, DeviceState), String>, Error> {
        // No id is empty, so all come after the empty text.
        let after = after.unwrap_or("");
        let sql = format!(
            "select device_id, {DEVICE_COLUMNS} from device \
             where license = ? and device_id > ? order by device_id limit ?"
        );
        let mut statement = self.rows.prepare_cached(&sql)?;
        let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut rows = statement.query((license, after, one_more))?;
        let mut devices = Vec::new();
        while let Some(row) = rows.next()? {
            devices.push((row.get(0)?, device_state(row, 1)?));
        }
        Ok(page_of(devices, limit, |(device_id, _): &(String, _)| {
            device_id.clone()
        }))
    }

    /// Every metric and its sum.
    pub(super) fn usage(&self, license: i64) -> Result<BTreeMap<String, i64>, Error> {
        let mut statement = self
            .rows
            .prepare_cached("select metric, quantity from usage where license = ?")?;
        let rows = statement.query_map([license], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
