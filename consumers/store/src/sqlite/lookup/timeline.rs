//! A page of a license's timeline: of a long one from its index, of any other from its heads, kept in order
//! as far as the page goes. Only what is answered is read whole.

use std::collections::BTreeMap;

use licenseflow_avro::LicenseKey;
use licenseflow_core::order::OrderKey;
use uuid::Uuid;

use super::Snapshot;
use crate::Error;
use crate::columns::{Columns, needed};
use crate::lookup::{Page, TimelineQuery, TimelineRow};
use crate::sqlite::rows::{TIMELINE_COLUMNS, recorded_event, voids};
use crate::timeline::{Chosen, Filling, FirstInOrder, InOrder, TimelineKey, Whole};

/// The events of a long timeline between two places.
const IN_ORDER: &str = "select standing, seq from timeline indexed by timeline_in_order \
     where license = ?1 and standing > ?2 and standing < ?3 order by standing";

impl Snapshot<'_> {
    pub(super) fn timeline(
        &self,
        key: &LicenseKey,
        license: i64,
        query: &TimelineQuery,
    ) -> Result<Page<TimelineRow, TimelineKey>, Error> {
        let limit = query.limit.max(1);
        let voids = self.voids_unless_ordered(license)?;
        let chosen = match voids {
            None => self.in_order(license, query, limit)?,
            Some(_) => self.first_in_order(license, query, limit)?,
        };
        let sql = format!("select {TIMELINE_COLUMNS}, voided_by from timeline where seq = ?");
        let mut statement = self.rows.prepare_cached(&sql)?;
        let mut page = Filling::new(&chosen, voids);
        for (order, seq) in chosen.events {
            let mut rows = statement.query([seq])?;
            let row = rows
                .next()?
                .ok_or_else(|| Error::broken(format!("no event of number {seq}")))?;
            let event = Whole {
                bytes: row.get_ref(6)?.as_blob().map_or(0, <[u8]>::len),
                recorded: recorded_event(row, 0, key)?,
                voided_by: voided_by(row)?,
            };
            if page.take(&order, event) {
                break;
            }
        }
        Ok(page.into_page())
    }

    fn in_order(
        &self,
        license: i64,
        query: &TimelineQuery,
        limit: usize,
    ) -> Result<Chosen<i64>, Error> {
        let mut walk = InOrder::new(query, limit);
        let (low, high) = InOrder::<i64>::bounds(query);
        let mut statement = self.rows.prepare_cached(IN_ORDER)?;
        let mut rows = statement.query((license, low, high))?;
        while let Some(row) = rows.next()? {
            if walk.look_at(needed(row.bytes(0)?)?, row.get(1)?)? {
                break;
            }
        }
        Ok(walk.into_chosen())
    }

    fn first_in_order(
        &self,
        license: i64,
        query: &TimelineQuery,
        limit: usize,
    ) -> Result<Chosen<i64>, Error> {
        let mut statement = self
            .rows
            .prepare_cached("select seq, event_id, body from timeline where license = ?")?;
        let mut rows = statement.query([license])?;
        let mut first = FirstInOrder::new(query, limit);
        while let Some(row) = rows.next()? {
            first.look_at(row, 1, row.get(0)?)?;
        }
        Ok(first.into_chosen())
    }

    /// What the license's EventVoideds name; none where its timeline is a long one, whose rows say it.
    fn voids_unless_ordered(
        &self,
        license: i64,
    ) -> Result<Option<BTreeMap<Uuid, OrderKey>>, Error> {
        let mut statement = self.rows.prepare_cached(
            "select ordered, iif(ordered, null, voids) from license where number = ?",
        )?;
        let (ordered, blob): (bool, Option<Vec<u8>>) =
            statement.query_row([license], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if ordered {
            return Ok(None);
        }
        voids(&blob.unwrap_or_default()).map(Some)
    }
}

fn voided_by(row: &rusqlite::Row<'_>) -> Result<Option<Uuid>, Error> {
    let id = row.bytes(7)?.map(Uuid::from_slice).transpose();
    id.map_err(|error| Error::Broken(Box::new(error)))
}
