//! A page of a license's timeline.
//!
//! Events lie in the order of their arrival, and no index knows their own order: it would cost every
//! write for the sake of few reads. So a page looks at the head of each body of the license, keeps
//! the keys of the first few in order, and reads only these whole.

use std::collections::BTreeMap;

use licenseflow_avro::{EventKind, LicenseKey};
use licenseflow_core::order::{OrderKey, rank};
use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::Snapshot;
use crate::Error;
use crate::head::Head;
use crate::lookup::{Page, TimelineQuery, TimelineRow};
use crate::page::PAGE_BYTES_MAX;
use crate::sqlite::rows::{TIMELINE_COLUMNS, recorded_event, voids};

/// `occurred_at`, rank, event id.
type TimelineKey = (i64, u8, Uuid);

impl Snapshot<'_> {
    pub(super) fn timeline(
        &self,
        key: &LicenseKey,
        license: i64,
        query: &TimelineQuery,
    ) -> Result<Page<TimelineRow, TimelineKey>, Error> {
        let limit = query.limit.max(1);
        let mut found = self.first_in_order(license, query, limit)?;
        let mut goes_on = found.len() > limit;
        if goes_on {
            found.pop_last();
        }
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
            let voidable = recorded.event.payload.kind() != EventKind::EventVoided;
            let voided_by = voided.get(&recorded.event.event_id).filter(|_| voidable);
            items.push(TimelineRow {
                voided_by: voided_by.map(|by| by.event_id),
                recorded,
            });
            last = Some((order.occurred_at, order.rank, order.event_id));
            if bytes > PAGE_BYTES_MAX {
                goes_on = goes_on || items.len() < wanted;
                break;
            }
        }
        let next = last.filter(|_| goes_on);
        Ok(Page { items, next })
    }

    /// The first events in order that are asked for, and one more where there is one.
    fn first_in_order(
        &self,
        license: i64,
        query: &TimelineQuery,
        limit: usize,
    ) -> Result<BTreeMap<OrderKey, i64>, Error> {
        let after = query.after.map(|(occurred_at, rank, event_id)| OrderKey {
            occurred_at,
            rank,
            event_id,
        });
        let mut statement = self
            .rows
            .prepare_cached("select seq, event_id, body from timeline where license = ?")?;
        let mut rows = statement.query([license])?;
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let event_id = Uuid::from_bytes(row.get(1)?);
            let head = row
                .get_ref(2)?
                .as_blob()
                .ok()
                .and_then(Head::of)
                .ok_or_else(|| Error::broken(format!("event {event_id} cut short")))?;
            let order = OrderKey {
                occurred_at: head.occurred_at,
                rank: rank(head.kind),
                event_id,
            };
            let asked = after.is_none_or(|after| order > after)
                && query.kind.is_none_or(|kind| kind == head.kind)
                && query.from.is_none_or(|from| head.occurred_at >= from)
                && query.to.is_none_or(|to| head.occurred_at < to);
            if asked {
                found.insert(order, row.get(0)?);
                if found.len() > limit + 1 {
                    found.pop_last();
                }
            }
        }
        Ok(found)
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
