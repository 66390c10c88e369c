//! A page of a request's journey: what its records became.
//!
//! | a record | became |
//! |---|---|
//! | has a row among the rejected, by its coordinates or those of its first try | rejected |
//! | says a heartbeat | a heartbeat |
//! | has the coordinates of its event in the timeline | the event |
//! | has the content of one of its event's conflicts | rejected, as the least record with that content |
//! | none of these | a duplicate |

use licenseflow_avro::{Coordinates, EventKind, LicenseKey};
use licenseflow_core::batch::content_hash;
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::Snapshot;
use crate::Error;
use crate::journey::StoredEntry;
use crate::lookup::{JourneyOutcome, JourneyQuery, JourneyStep, Page, RecordPlace, Retried};
use crate::page::page_of;
use crate::request::{Gathered, place, rejection};
use crate::sqlite::rows::{coordinates, event_hash, lane_number};
use crate::waiting::retried;

impl Snapshot<'_> {
    pub(super) fn journey(
        &self,
        asked: &JourneyQuery,
    ) -> Result<Page<JourneyStep, RecordPlace>, Error> {
        let mut gathered = Gathered::new(asked);
        let mut statement = self.rows.prepare_cached(
            "select batch, request_id, entries from journey where hash = ? and tenant_id = ?",
        )?;
        for hash in Gathered::hashes(asked, self.hash_seed) {
            let mut rows = statement.query(params![hash, asked.tenant_id])?;
            while let Some(row) = rows.next()? {
                gathered.take(row)?;
            }
        }
        let entries = gathered.into_entries().into_iter();
        let steps: Result<Vec<JourneyStep>, Error> = entries
            .map(|(batch, entry)| self.step(&asked.tenant_id, batch, entry))
            .collect();
        Ok(page_of(steps?, asked.limit.max(1), |step: &JourneyStep| {
            place(&step.at)
        }))
    }

    fn step(&self, tenant_id: &str, batch: i64, entry: StoredEntry) -> Result<JourneyStep, Error> {
        let mut statement = self
            .rows
            .prepare_cached("select applied_at_ms from batch where number = ?")?;
        let retried = self.retried(&entry.at)?;
        Ok(JourneyStep {
            at: entry.at,
            received_at: entry.received_at,
            batch,
            applied_at: statement.query_row([batch], |row| row.get(0))?,
            outcome: self.outcome(tenant_id, &entry, retried.as_ref())?,
            said: entry.said,
            retried,
        })
    }

    fn outcome(
        &self,
        tenant_id: &str,
        entry: &StoredEntry,
        retried: Option<&Retried>,
    ) -> Result<JourneyOutcome, Error> {
        for place in [Some(place(&entry.at)), retried.map(|it| it.first)] {
            let rejected = place.map(|place| self.rejected(place)).transpose()?;
            if let Some(rejected) = rejected.flatten() {
                return Ok(rejected);
            }
        }
        let (license_id, event_id, kind) = entry
            .said
            .as_ref()
            .ok_or_else(|| Error::broken("a record that says nothing and was not rejected"))?;
        if *kind == EventKind::DeviceHeartbeat {
            return Ok(JourneyOutcome::Heartbeat);
        }
        let license = LicenseKey {
            tenant_id: tenant_id.to_owned(),
            license_id: license_id.clone(),
        };
        let Some(number) = self.license_number(&license)? else {
            return Ok(JourneyOutcome::Duplicate);
        };
        let event = self.event_coordinates(number, *event_id)?;
        if event.is_some_and(|at| place(&at) == place(&entry.at)) {
            return Ok(JourneyOutcome::Applied);
        }
        let conflict = self.conflict(number, *event_id, entry.content)?;
        Ok(conflict.unwrap_or(JourneyOutcome::Duplicate))
    }

    /// The tries before a record, where it is the last of several.
    fn retried(&self, at: &Coordinates) -> Result<Option<Retried>, Error> {
        let mut statement = self.rows.prepare_cached(
            "select lane, partition, offset, attempt, since_ms, reason from waiting \
             where lane = ? and partition = ? and settled_offset = ?",
        )?;
        let mut rows = statement.query((lane_number(at.lane), at.partition, at.offset))?;
        rows.next()?.map(retried).transpose()
    }

    fn rejected(&self, place: RecordPlace) -> Result<Option<JourneyOutcome>, Error> {
        let mut statement = self.rows.prepare_cached(
            "select reason, error, sent_at_ms from rejected \
             where lane = ? and partition = ? and offset = ?",
        )?;
        let (lane, partition, offset) = place;
        let mut rows = statement.query((lane_number(lane), partition, offset))?;
        rows.next()?.map(rejection).transpose()
    }

    /// The open conflict that has a record's content: its letter speaks for every such record.
    fn conflict(
        &self,
        license: i64,
        event_id: Uuid,
        content: u64,
    ) -> Result<Option<JourneyOutcome>, Error> {
        let mut statement = self.rows.prepare_cached(
            "select reason, error, sent_at_ms, body from rejected where license = ? and event_id = ?",
        )?;
        let mut rows = statement.query(params![license, event_id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            let body: Vec<u8> = row.get(3)?;
            if content_hash(&body) == content {
                return rejection(row).map(Some);
            }
        }
        Ok(None)
    }

    fn event_coordinates(&self, number: i64, event_id: Uuid) -> Result<Option<Coordinates>, Error> {
        let mut statement = self.rows.prepare_cached(
            "select timestamp_ms, lane, partition, offset from timeline \
             where license = ? and hash = ? and event_id = ?",
        )?;
        let hash = event_hash(event_id, self.hash_seed);
        let found = statement.query_row(params![number, hash, event_id.as_bytes()], |row| {
            Ok(coordinates(row, 0))
        });
        found.optional()?.transpose()
    }
}
