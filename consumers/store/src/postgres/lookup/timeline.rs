//! A page of a license's timeline.
//!
//! Events lie by the hash of their ids, and no index knows their own order: it would cost every write
//! for the sake of few reads. So a page looks at the head of each body of the license, keeps the keys
//! of the first few in order, and reads only these whole.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;

use futures::TryStreamExt;
use licenseflow_avro::LicenseKey;
use licenseflow_core::event_set::RecordedEvent;
use licenseflow_core::order::OrderKey;
use uuid::Uuid;

use super::Snapshot;
use crate::Error;
use crate::columns::{Columns, needed, recorded_event, voids};
use crate::head::Head;
use crate::lookup::{Page, TimelineQuery, TimelineRow};
use crate::page::PAGE_BYTES_MAX;
use crate::postgres::rows::TIMELINE_COLUMNS;
use crate::timeline::{FirstInOrder, TimelineKey, end, timeline_row};

/// How many events are read whole at once: each may carry half a megabyte.
const AT_ONCE: usize = 64;

/// Where an event lies: its hash and number, in the license that is asked for.
type Place = (i64, i64);

impl Snapshot<'_> {
    pub(super) async fn timeline(
        &self,
        key: &LicenseKey,
        license: i64,
        query: &TimelineQuery,
    ) -> Result<Page<TimelineRow, TimelineKey>, Error> {
        let limit = query.limit.max(1);
        let first = self.first_in_order(key, license, query, limit).await?;
        let (found, goes_on) = first.into_page();
        let voided = self.voided(key, license).await?;
        let found: Vec<(OrderKey, Place)> = found.into_iter().collect();
        let (mut items, mut bytes) = (Vec::with_capacity(found.len()), 0);
        for chunk in found.chunks(AT_ONCE) {
            let mut events = self.events(key, license, chunk).await?;
            for (order, (_, seq)) in chunk {
                let (length, recorded) = events
                    .remove(seq)
                    .ok_or_else(|| Error::broken(format!("no event of number {seq}")))?;
                items.push(timeline_row(recorded, &voided));
                bytes += length;
                if bytes > PAGE_BYTES_MAX {
                    let more = goes_on || items.len() < found.len();
                    let next = more.then(|| end(order));
                    return Ok(Page { items, next });
                }
            }
        }
        let last = found.last().filter(|_| goes_on);
        let next = last.map(|(order, _)| end(order));
        Ok(Page { items, next })
    }

    async fn first_in_order<'q>(
        &self,
        key: &LicenseKey,
        license: i64,
        query: &'q TimelineQuery,
        limit: usize,
    ) -> Result<FirstInOrder<'q, Place>, Error> {
        let sql = format!(
            "select event_id, substring(body from 1 for {}), hash, seq from timeline \
             where tenant_id = $1 and license = $2",
            Head::BYTES_MAX
        );
        let rows = self.stream(&sql, &[&key.tenant_id, &license]).await?;
        let mut rows = pin!(rows);
        let mut first = FirstInOrder::new(query, limit);
        while let Some(row) = rows.try_next().await? {
            first.look_at(&row, 0, (row.try_get(2)?, row.try_get(3)?))?;
        }
        Ok(first)
    }

    /// Events by their numbers, each with the length of its body.
    async fn events(
        &self,
        key: &LicenseKey,
        license: i64,
        places: &[(OrderKey, Place)],
    ) -> Result<HashMap<i64, (usize, RecordedEvent)>, Error> {
        let hashes: Vec<i64> = places.iter().map(|(_, (hash, _))| *hash).collect();
        let sql = format!(
            "select {TIMELINE_COLUMNS}, seq from timeline \
             where tenant_id = $1 and license = $2 and hash = any($3)"
        );
        let rows = self
            .rows(&sql, &[&key.tenant_id, &license, &hashes])
            .await?;
        let mut events = HashMap::with_capacity(rows.len());
        for row in &rows {
            let length = needed(row.bytes(6)?)?.len();
            events.insert(row.try_get(7)?, (length, recorded_event(row, 0, key)?));
        }
        Ok(events)
    }

    async fn voided(
        &self,
        key: &LicenseKey,
        license: i64,
    ) -> Result<BTreeMap<Uuid, OrderKey>, Error> {
        let sql = "select voids from license where tenant_id = $1 and number = $2";
        let row = self.row(sql, &[&key.tenant_id, &license]).await?;
        let blob = row.as_ref().map(|row| row.bytes(0)).transpose()?;
        voids(blob.flatten().unwrap_or_default())
    }
}
