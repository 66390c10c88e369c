//! What was said in parts of the log, whose events lie apart: they are found by where their records lie,
//! and each license that they speak of is read once a page.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::params;

use super::Snapshot;
use crate::Error;
use crate::columns::{license_key, needed};
use crate::lookup::{Page, RecordPlace, SaidEvent, SaidQuery};
use crate::said::{Filling, Named, narrowed};
use crate::sqlite::rows::{Columns, TIMELINE_COLUMNS, lane_number, recorded_event};

impl Snapshot<'_> {
    pub(super) fn said_page(
        &self,
        query: &SaidQuery,
    ) -> Result<Page<SaidEvent, RecordPlace>, Error> {
        let (spans, next) = narrowed(&query.spans);
        let sql = format!(
            "select {TIMELINE_COLUMNS}, license from timeline \
             where lane = ? and partition = ? and offset >= ? and offset < ? order by offset"
        );
        let mut statement = self.rows.prepare_cached(&sql)?;
        let mut filling = Filling::new(query.limit);
        let mut licenses = HashMap::new();
        for span in &spans {
            let lane = lane_number(span.lane);
            let mut rows = statement.query(params![lane, span.partition, span.from, span.to])?;
            while let Some(row) = rows.next()? {
                let license = match licenses.entry(needed(row.integer(7)?)?) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(vacant) => {
                        let license = self.named(*vacant.key())?;
                        vacant.insert(license)
                    }
                };
                if !query.tenants.contains(&license.key.tenant_id) {
                    continue;
                }
                let bytes = needed(row.bytes(6)?)?.len();
                let event = license.event(recorded_event(row, 0, &license.key)?);
                if let Some(full_at) = filling.take(event, bytes) {
                    return Ok(filling.page(Some(full_at)));
                }
            }
        }
        Ok(filling.page(next))
    }

    fn named(&self, license: i64) -> Result<Named, Error> {
        let mut statement = self.rows.prepare_cached(
            "select tenant_id, license_id, customer_id, product_id, voids from license \
             join tenant on tenant.number = license.tenant where license.number = ?",
        )?;
        let mut rows = statement.query([license])?;
        let row = rows
            .next()?
            .ok_or_else(|| Error::broken(format!("no license of number {license}")))?;
        Named::of(row, 2, license_key(row, 0)?)
    }
}
