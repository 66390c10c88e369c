//! A page of a license's timeline: of a long one from its index, a piece at a time; of any other from its
//! heads, kept in order as far as the page goes. Only what is answered is read whole.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;

use futures::TryStreamExt;
use licenseflow_avro::LicenseKey;
use licenseflow_core::order::OrderKey;
use uuid::Uuid;

use super::{Snapshot, Values, at_most};
use crate::Error;
use crate::columns::{Columns, needed, recorded_event, voids};
use crate::head::Head;
use crate::lookup::{Page, TimelineQuery, TimelineRow};
use crate::postgres::rows::TIMELINE_COLUMNS;
use crate::timeline::{Chosen, Filling, FirstInOrder, InOrder, TimelineKey, Whole};

/// How many events are read whole at once: each may carry half a megabyte.
const AT_ONCE: usize = 64;

/// Where an event lies: its hash and number, in the license that is asked for.
type Place = (i64, i64);

/// How much longer each piece of a long timeline is than the one before it.
const PIECE_GROWTH: usize = 4;

/// The events of a long timeline between two places.
const IN_ORDER: &str = "select standing, hash, seq from timeline \
     where tenant_id = $1 and license = $2 and standing > $3 and standing < $4 \
     order by standing limit $5";

impl Snapshot<'_> {
    pub(super) async fn timeline(
        &self,
        key: &LicenseKey,
        license: i64,
        query: &TimelineQuery,
    ) -> Result<Page<TimelineRow, TimelineKey>, Error> {
        let limit = query.limit.max(1);
        let voids = self.voids_unless_ordered(key, license).await?;
        let chosen = match voids {
            None => self.in_order(key, license, query, limit).await?,
            Some(_) => self.first_in_order(key, license, query, limit).await?,
        };
        let mut page = Filling::new(&chosen, voids);
        for chunk in chosen.events.chunks(AT_ONCE) {
            let mut events = self.events(key, license, chunk).await?;
            for (order, (_, seq)) in chunk {
                let event = events
                    .remove(seq)
                    .ok_or_else(|| Error::broken(format!("no event of number {seq}")))?;
                if page.take(order, event) {
                    return Ok(page.into_page());
                }
            }
        }
        Ok(page.into_page())
    }

    async fn in_order(
        &self,
        key: &LicenseKey,
        license: i64,
        query: &TimelineQuery,
        limit: usize,
    ) -> Result<Chosen<Place>, Error> {
        let mut walk = InOrder::new(query, limit);
        let (mut low, high) = InOrder::<Place>::bounds(query);
        let mut piece = limit.saturating_add(1);
        loop {
            let wanted = piece.min(walk.left());
            let values: Values<'_> = &[&key.tenant_id, &license, &low, &high, &at_most(wanted)];
            let rows = self.rows(IN_ORDER, values).await?;
            for row in &rows {
                let place = (row.try_get(1)?, row.try_get(2)?);
                if walk.look_at(needed(row.bytes(0)?)?, place)? {
                    return Ok(walk.into_chosen());
                }
            }
            match rows.last() {
                Some(last) if rows.len() == wanted => low = needed(last.bytes(0)?)?.to_vec(),
                Some(_) | None => return Ok(walk.into_chosen()),
            }
            piece = piece.saturating_mul(PIECE_GROWTH);
        }
    }

    async fn first_in_order(
        &self,
        key: &LicenseKey,
        license: i64,
        query: &TimelineQuery,
        limit: usize,
    ) -> Result<Chosen<Place>, Error> {
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
        Ok(first.into_chosen())
    }

    /// Events by their numbers.
    async fn events(
        &self,
        key: &LicenseKey,
        license: i64,
        places: &[(OrderKey, Place)],
    ) -> Result<HashMap<i64, Whole>, Error> {
        let hashes: Vec<i64> = places.iter().map(|(_, (hash, _))| *hash).collect();
        let seqs: Vec<i64> = places.iter().map(|(_, (_, seq))| *seq).collect();
        // Each by itself: asked for `any` of many, a planner may think it cheaper to read all of a license's.
        let sql = format!(
            "select found.* from unnest($3::bigint[], $4::bigint[]) as asked (at_hash, at_seq), lateral \
             (select {TIMELINE_COLUMNS}, seq, voided_by from timeline \
             where tenant_id = $1 and license = $2 and hash = at_hash and seq = at_seq limit 1) as found"
        );
        let rows = self
            .rows(&sql, &[&key.tenant_id, &license, &hashes, &seqs])
            .await?;
        let mut events = HashMap::with_capacity(rows.len());
        for row in &rows {
            let event = Whole {
                bytes: needed(row.bytes(6)?)?.len(),
                recorded: recorded_event(row, 0, key)?,
                voided_by: row.try_get(8)?,
            };
            events.insert(row.try_get(7)?, event);
        }
        Ok(events)
    }

    /// What the license's EventVoideds name; none where its timeline is a long one, whose rows say it.
    async fn voids_unless_ordered(
        &self,
        key: &LicenseKey,
        license: i64,
    ) -> Result<Option<BTreeMap<Uuid, OrderKey>>, Error> {
        let sql = "select ordered, case when ordered then null else voids end from license \
             where tenant_id = $1 and number = $2";
        let row = self.row(sql, &[&key.tenant_id, &license]).await?;
        let row = row.ok_or_else(|| Error::broken(format!("no license of number {license}")))?;
        if row.try_get(0)? {
            return Ok(None);
        }
        voids(row.bytes(1)?.unwrap_or_default()).map(Some)
    }
}
