//! Reading what a batch needs of a license's past.

use std::collections::BTreeMap;

use licenseflow_avro::LicenseKey;
use licenseflow_avro::event::Payload;
use licenseflow_core::batch::LicenseBatch;
use licenseflow_core::device::device_of;
use licenseflow_core::event_set::RecordedEvent;
use licenseflow_core::{DeviceState, LicensePast, LicenseState, WholePast};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use uuid::Uuid;

use super::cache::AtHand;
use super::rows::{
    DEVICE_COLUMNS, LICENSE_COLUMNS, TIMELINE_COLUMNS, device_state, event_hash, license_state,
    recorded_event,
};
use super::tenants::Tenants;
use crate::Error;
use crate::timeline::is_long;

/// A license's past, and its numbers in the store.
#[derive(Debug)]
pub(crate) struct Found {
    /// The license's number; none: it is new.
    pub(crate) number: Option<i64>,
    /// The tenant's number where the license is new; none: so is the tenant.
    pub(crate) tenant: Option<i64>,
    /// Whether its timeline was a long one.
    pub(crate) ordered: bool,
    pub(crate) past: LicensePast,
}

impl Found {
    /// Whether its timeline is a long one with this state.
    pub(crate) fn is_ordered(&self, after: &LicenseState) -> bool {
        self.ordered || is_long(after)
    }

    /// That of a license which is not there, of the tenant with this number.
    pub(crate) fn new_of(tenant: Option<i64>) -> Self {
        Self {
            number: None,
            tenant,
            ordered: false,
            past: LicensePast::default(),
        }
    }

    fn of(license: AtHand) -> Self {
        Self {
            number: Some(license.number),
            tenant: None,
            ordered: license.ordered,
            past: LicensePast {
                state: Some(license.state),
                digest: Some(license.digest),
                ..LicensePast::default()
            },
        }
    }
}

/// The statements that read, prepared once for a batch.
pub(crate) struct Reader<'c> {
    seed: u64,
    tenants: Tenants<'c>,
    license: CachedStatement<'c>,
    event: CachedStatement<'c>,
    conflicts: CachedStatement<'c>,
    any_conflict: bool,
    device: CachedStatement<'c>,
    devices: CachedStatement<'c>,
    metric: CachedStatement<'c>,
    usage: CachedStatement<'c>,
    timeline: CachedStatement<'c>,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(connection: &'c Connection, seed: u64) -> Result<Self, Error> {
        let any_conflict = connection
            .prepare_cached("select exists (select 1 from rejected where license is not null)")?
            .query_row([], |row| row.get(0))?;
        let prepare = |sql: &str| connection.prepare_cached(sql);
        Ok(Self {
            seed,
            tenants: Tenants::new(connection)?,
            license: prepare(&format!(
                "select number, ordered, {LICENSE_COLUMNS} from license where tenant = ?1 and license_id = ?2"
            ))?,
            event: prepare(&format!(
                "select {TIMELINE_COLUMNS} from timeline where license = ?1 and hash = ?2 and event_id = ?3"
            ))?,
            conflicts: prepare(
                "select event_id, timestamp_ms, lane, partition, offset, request_id, body
                 from rejected where license = ?1 and event_id = ?2",
            )?,
            any_conflict,
            device: prepare(&format!(
                "select {DEVICE_COLUMNS} from device where license = ?1 and device_id = ?2"
            ))?,
            devices: prepare(&format!(
                "select device_id, {DEVICE_COLUMNS} from device where license = ?1"
            ))?,
            metric: prepare("select quantity from usage where license = ?1 and metric = ?2")?,
            usage: prepare("select metric, quantity from usage where license = ?1")?,
            timeline: prepare(&format!(
                "select {TIMELINE_COLUMNS} from timeline where license = ?1"
            ))?,
        })
    }

    /// What the batch needs of a license's past.
    pub(crate) fn past(
        &mut self,
        key: &LicenseKey,
        batch: &LicenseBatch,
        at_hand: Option<Box<AtHand>>,
    ) -> Result<Found, Error> {
        let mut found = match at_hand {
            Some(license) => Found::of(*license),
            None => self.stored(key)?,
        };
        if let Some(number) = found.number {
            self.known_events(number, key, batch, &mut found.past)?;
            self.named_rows(number, batch, &mut found.past)?;
        }
        Ok(found)
    }

    /// The license's row.
    fn stored(&mut self, key: &LicenseKey) -> Result<Found, Error> {
        let tenant = self.tenants.number(&key.tenant_id)?;
        let mut found = Found::new_of(tenant);
        let Some(tenant) = tenant else {
            return Ok(found);
        };
        let mut rows = self.license.query(params![tenant, key.license_id])?;
        if let Some(row) = rows.next()? {
            found.number = Some(row.get(0)?);
            found.ordered = row.get(1)?;
            found.past.state = Some(license_state(row, 2)?);
        }
        Ok(found)
    }

    fn known_events(
        &mut self,
        number: i64,
        key: &LicenseKey,
        batch: &LicenseBatch,
        past: &mut LicensePast,
    ) -> Result<(), Error> {
        for event_id in batch.event_ids() {
            let hash = event_hash(event_id, self.seed);
            let mut rows = self
                .event
                .query(params![number, hash, event_id.as_bytes()])?;
            let Some(row) = rows.next()? else {
                continue;
            };
            past.known
                .events
                .insert(event_id, recorded_event(row, 0, key)?);
            if self.any_conflict {
                drop(rows);
                let conflicts = self.open_conflicts(number, key, event_id)?;
                past.known.conflicts.insert(event_id, conflicts);
            }
        }
        Ok(())
    }

    fn open_conflicts(
        &mut self,
        number: i64,
        key: &LicenseKey,
        event_id: Uuid,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let mut conflicts = Vec::new();
        let mut rows = self.conflicts.query(params![number, event_id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            conflicts.push(recorded_event(row, 0, key)?);
        }
        Ok(conflicts)
    }

    fn named_rows(
        &mut self,
        number: i64,
        batch: &LicenseBatch,
        past: &mut LicensePast,
    ) -> Result<(), Error> {
        let in_events = batch.arrived.iter().filter_map(|it| device_of(&it.event));
        for device_id in in_events.chain(batch.heartbeats.keys().map(String::as_str)) {
            if past.devices.contains_key(device_id) {
                continue;
            }
            let mut rows = self.device.query(params![number, device_id])?;
            if let Some(row) = rows.next()? {
                past.devices
                    .insert(device_id.to_owned(), device_state(row, 0)?);
            }
        }
        for record in &batch.arrived {
            let Payload::UsageRecorded(said) = &record.event.payload else {
                continue;
            };
            if past.usage.contains_key(&said.metric) {
                continue;
            }
            let sum = self
                .metric
                .query_row(params![number, said.metric], |row| row.get(0))
                .optional()?;
            if let Some(sum) = sum {
                past.usage.insert(said.metric.clone(), sum);
            }
        }
        Ok(())
    }

    /// Everything of a license that must be folded again.
    pub(crate) fn whole(
        &mut self,
        number: i64,
        key: &LicenseKey,
        past: &mut LicensePast,
    ) -> Result<WholePast, Error> {
        let mut devices: BTreeMap<String, DeviceState> = BTreeMap::new();
        let mut rows = self.devices.query([number])?;
        while let Some(row) = rows.next()? {
            devices.insert(row.get(0)?, device_state(row, 1)?);
        }
        past.devices = devices;
        let mut rows = self.usage.query([number])?;
        while let Some(row) = rows.next()? {
            past.usage.insert(row.get(0)?, row.get(1)?);
        }
        let mut whole = WholePast::default();
        let mut rows = self.timeline.query([number])?;
        while let Some(row) = rows.next()? {
            whole.timeline.push(recorded_event(row, 0, key)?);
        }
        Ok(whole)
    }
}
