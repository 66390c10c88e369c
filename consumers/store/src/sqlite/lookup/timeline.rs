//! A page of a license's timeline.
//!
//! Events lie in the order of their arrival, and no index knows their own order: it would cost every
//! write for the sake of few reads. So a page looks at the head of each body of the license, keeps
//! the keys of the first few in order, and reads only these whole.

use std::collections::BTreeMap;

use licenseflow_avro::LicenseKey;
use licenseflow_core::order::OrderKey;
use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::Snapshot;
use crate::Error;
use crate::lookup::{Page, TimelineQuery, TimelineRow};
use crate::page::PAGE_BYTES_MAX;
use crate::sqlite::rows::{TIMELINE_COLUMNS, recorded_event, voids};
use crate::timeline::{FirstInOrder, TimelineKey, end, timeline_row};

impl Snapshot<'_> {
    pub(super) fn timeline(
        &self,
        key: &LicenseKey,
        license: i64,
        query: &TimelineQuery,
    ) -> Result<Page<TimelineRow, TimelineKey>, Error> {
        let limit = query.limit.max(1);
        let (found, mut goes_on) = self.first_in_order(license, query, limit)?.into_page();
        let voided = self.voided(license)?;
        let sql = format!("select {TIMELINE_COLUMNS} from timeline where seq = ?");
        let mut statement = self.rows.prepare_cached(&sql)?;
        let (mut items, mut bytes, mut last) = (Vec::with_capacity(found.len()), 0, None);
        let wanted = found.len();
        for (order, seq) in found {
            let mut rows = statement.query([seq])?;
            let row = rows
                .next()?
                .ok_or_else(|| Error::broken(format!("no event of number {seq}")))?;
            bytes += row.get_ref(6)?.as_blob().map_or(0, <[u8]>::len);
            let recorded = recorded_event(row, 0, key)?;
            items.push(timeline_row(recorded, &voided));
            last = Some(end(&order));
            if bytes > PAGE_BYTES_MAX {
                goes_on = goes_on || items.len() < wanted;
                break;
            }
        }
        let next = last.filter(|_| goes_on);
        Ok(Page { items, next })
    }

    fn first_in_order<'q>(
        &self,
        license: i64,
        query: &'q TimelineQuery,
        limit: usize,
    ) -> Result<FirstInOrder<'q, i64>, Error> {
        let mut statement = self
            .rows
            .prepare_cached("select seq, event_id, body from timeline where license = ?")?;
        let mut rows = statement.query([license])?;
        let mut first = FirstInOrder::new(query, limit);
        while let Some(row) = rows.next()? {
            first.look_at(row, 1, row.get(0)?)?;
        }
        Ok(first)
    }

    fn voided(&self, license: i64) -> Result<BTreeMap<Uuid, OrderKey>, Error> {
        let mut statement = self
            .rows
            .prepare_cached("select voids from license where number = ?")?;
        let blob: Option<Option<Vec<u8>>> = statement
            .query_row([license], |row| row.get(0))
            .optional()?;
        voids(&blob.flatten().unwrap_or_default())
    }
}
