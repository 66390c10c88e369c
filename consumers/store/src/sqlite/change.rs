//! Writing what a batch changes. Nothing is decided here.

use licenseflow_avro::codec::write_content;
use licenseflow_avro::reason::Reason;
use licenseflow_core::event_set::{ConflictChange, RecordedEvent};
use licenseflow_core::fold::TimelineChange;
use licenseflow_core::{DeviceState, LicenseChange, LicenseState, OrderKey, Rejected};
use rusqlite::{CachedStatement, Connection, Statement, params};
use uuid::Uuid;

use super::ordered;
use super::past::Found;
use super::rows::{
    CONFLICT, body_of, event_hash, headers_blob, lane_number, lifecycle_number, order_key_blob,
    voids_blob,
};
use crate::Error;
use crate::journey::JourneyRow;
use crate::timeline::{standing_of, voided_by};

/// The statements that write, prepared once for a batch.
pub(crate) struct Writer<'c> {
    connection: &'c Connection,
    seed: u64,
    now: i64,
    /// The body that is being written.
    body: Vec<u8>,
    insert_tenant: CachedStatement<'c>,
    insert_license: CachedStatement<'c>,
    update_license: CachedStatement<'c>,
    update_counts: CachedStatement<'c>,
    update_customer: CachedStatement<'c>,
    update_expiry: CachedStatement<'c>,
    update_start: CachedStatement<'c>,
    update_lifecycle: CachedStatement<'c>,
    put_device: CachedStatement<'c>,
    delete_device: CachedStatement<'c>,
    put_usage: CachedStatement<'c>,
    delete_usage: CachedStatement<'c>,
    append_event: CachedStatement<'c>,
    replace_event: CachedStatement<'c>,
    insert_rejected: CachedStatement<'c>,
    move_conflict: CachedStatement<'c>,
    close_conflict: CachedStatement<'c>,
    insert_journey: CachedStatement<'c>,
}

impl<'c> Writer<'c> {
    pub(crate) fn new(connection: &'c Connection, seed: u64, now: i64) -> Result<Self, Error> {
        let prepare = |sql: &str| connection.prepare_cached(sql);
        Ok(Self {
            connection,
            seed,
            now,
            body: Vec::new(),
            insert_tenant: prepare(
                "insert into tenant (tenant_id) values (?1)
                 on conflict (tenant_id) do update set tenant_id = excluded.tenant_id returning number",
            )?,
            insert_license: prepare(
                "insert into license (tenant, customer_by, plan, seats, entitlements, plan_by, expiry_by,
                   product_id, valid_from, metadata, issue_by, suspended, suspended_by, revoked_by, lifecycle,
                   first_by, last_by, event_count, events, seats_used, voids,
                   license_id, customer_id, expires_at, last_event_at)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                   ?20, ?21, ?22, ?23, ?24, ?25)",
            )?,
            update_license: prepare(
                "update license set customer_by = ?2, plan = ?3, seats = ?4, entitlements = ?5, plan_by = ?6,
                   expiry_by = ?7, product_id = ?8, metadata = ?10, issue_by = ?11, suspended = ?12,
                   suspended_by = ?13, revoked_by = ?14, first_by = ?16, last_by = ?17, event_count = ?18,
                   events = ?19, seats_used = ?20, voids = ?21, last_event_at = ?22
                 where number = ?1",
            )?,
            // Most events say nothing of a license's terms.
            update_counts: prepare(
                "update license set first_by = ?2, last_by = ?3, event_count = ?4, events = ?5, seats_used = ?6,
                   last_event_at = ?7
                 where number = ?1",
            )?,
            // Columns with an index apart, since an index is touched wherever its column is named; but the
            // last event is another one nearly each time.
            update_customer: prepare("update license set customer_id = ?2 where number = ?1")?,
            update_expiry: prepare("update license set expires_at = ?2 where number = ?1")?,
            update_start: prepare("update license set valid_from = ?2 where number = ?1")?,
            update_lifecycle: prepare("update license set lifecycle = ?2 where number = ?1")?,
            put_device: prepare(
                "insert or replace into device (license, device_id, active, active_by, fingerprint, platform,
                   activated_by, seen_in_event, seen_in_heartbeat) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            delete_device: prepare("delete from device where license = ?1 and device_id = ?2")?,
            put_usage: prepare("insert or replace into usage (license, metric, quantity) values (?1, ?2, ?3)")?,
            delete_usage: prepare("delete from usage where license = ?1 and metric = ?2")?,
            append_event: prepare(
                "insert into timeline (license, hash, event_id, timestamp_ms, lane, partition, offset,
                   request_id, standing, voided_by, body)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?,
            replace_event: prepare(
                "update timeline set timestamp_ms = ?4, lane = ?5, partition = ?6, offset = ?7,
                   request_id = ?8, standing = ?9, voided_by = ?10, body = ?11
                 where license = ?1 and hash = ?2 and event_id = ?3",
            )?,
            insert_rejected: prepare(
                "insert into rejected (timestamp_ms, lane, partition, offset, reason, error, key, value, headers,
                   request_id, license, event_id, body, rejected_at_ms, tenant_id, license_id)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            )?,
            move_conflict: prepare(
                "update rejected set timestamp_ms = ?4, lane = ?5, partition = ?6, offset = ?7, request_id = ?8
                 where license = ?1 and event_id = ?2 and body = ?3",
            )?,
            close_conflict: prepare(
                "delete from rejected where license = ?1 and event_id = ?2 and body = ?3",
            )?,
            insert_journey: prepare(
                "insert into journey (hash, batch, tenant_id, request_id, entries) values (?1, ?2, ?3, ?4, ?5)",
            )?,
        })
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Writes a license with all that hangs on it, and gives its number.
    pub(crate) fn write(&mut self, found: &Found, change: &LicenseChange) -> Result<i64, Error> {
        let before = found.past.state.as_ref();
        let number = match found.number {
            Some(number) => number,
            None => self.new_license(found, change)?,
        };
        if let Some(before) = before
            && *before != change.state
        {
            if has_same_terms(before, &change.state) {
                self.write_counts(number, &change.state)?;
            } else {
                self.write_state(number, before, &change.state)?;
            }
        }
        for (device_id, device) in &change.devices {
            match device {
                Some(device) => self.write_device(number, device_id, device)?,
                None => {
                    self.delete_device.execute(params![number, device_id])?;
                }
            }
        }
        for (metric, sum) in &change.usage {
            match sum {
                Some(sum) => self.put_usage.execute(params![number, metric, sum])?,
                None => self.delete_usage.execute(params![number, metric])?,
            };
        }
        let ordered = found.is_ordered(&change.state);
        for event in &change.timeline {
            self.write_event(number, event, Some(&change.state).filter(|_| ordered))?;
        }
        if ordered {
            ordered::keep(self.connection, self.seed, number, found, &change.state)?;
        }
        for conflict in &change.conflicts {
            self.write_conflict(number, conflict)?;
        }
        Ok(number)
    }

    fn new_license(&mut self, found: &Found, change: &LicenseChange) -> Result<i64, Error> {
        let tenant = match found.tenant {
            Some(number) => number,
            None => self
                .insert_tenant
                .query_row([&change.key.tenant_id], |row| row.get(0))?,
        };
        let (statement, state) = (&mut self.insert_license, &change.state);
        statement.raw_bind_parameter(1, tenant)?;
        bind_state(statement, state)?;
        statement.raw_bind_parameter(22, &change.key.license_id)?;
        statement.raw_bind_parameter(23, customer_of(state))?;
        statement.raw_bind_parameter(24, state.expires_at())?;
        statement.raw_bind_parameter(25, last_event_at(state))?;
        statement.raw_execute()?;
        Ok(self.connection.last_insert_rowid())
    }

    fn write_counts(&mut self, number: i64, state: &LicenseState) -> Result<(), Error> {
        self.update_counts.execute(params![
            number,
            state.first.map(order_key_blob),
            state.last.map(order_key_blob),
            state.event_count,
            state.events.to_be_bytes(),
            state.seats_used,
            last_event_at(state),
        ])?;
        Ok(())
    }

    fn write_state(
        &mut self,
        number: i64,
        before: &LicenseState,
        state: &LicenseState,
    ) -> Result<(), Error> {
        self.update_license.raw_bind_parameter(1, number)?;
        bind_state(&mut self.update_license, state)?;
        self.update_license
            .raw_bind_parameter(22, last_event_at(state))?;
        self.update_license.raw_execute()?;
        if customer_of(before) != customer_of(state) {
            self.update_customer
                .execute(params![number, customer_of(state)])?;
        }
        if before.expires_at() != state.expires_at() {
            self.update_expiry
                .execute(params![number, state.expires_at()])?;
        }
        if valid_from(before) != valid_from(state) {
            self.update_start
                .execute(params![number, valid_from(state)])?;
        }
        if before.lifecycle() != state.lifecycle() {
            let lifecycle = lifecycle_number(state.lifecycle());
            self.update_lifecycle.execute(params![number, lifecycle])?;
        }
        Ok(())
    }

    fn write_device(
        &mut self,
        number: i64,
        device_id: &str,
        device: &DeviceState,
    ) -> Result<(), Error> {
        let (active, activation) = (device.active.as_ref(), device.activation.as_ref());
        self.put_device.execute(params![
            number,
            device_id,
            active.map(|it| it.value),
            active.map(|it| order_key_blob(it.by)),
            activation.and_then(|it| it.value.fingerprint.as_ref()),
            activation.and_then(|it| it.value.platform.as_ref()),
            activation.map(|it| order_key_blob(it.by)),
            device.seen_in_event,
            device.seen_in_heartbeat,
        ])?;
        Ok(())
    }

    /// Writes an event; of a long timeline with where it stands and what voids it in this state.
    fn write_event(
        &mut self,
        number: i64,
        change: &TimelineChange,
        in_order: Option<&LicenseState>,
    ) -> Result<(), Error> {
        let (statement, recorded) = match change {
            TimelineChange::Append(recorded) => (&mut self.append_event, recorded),
            TimelineChange::Move(recorded) | TimelineChange::Replace(recorded) => {
                (&mut self.replace_event, recorded)
            }
        };
        let event_id = recorded.event.event_id;
        let voided_by = in_order.and_then(|state| voided_by(state, event_id));
        self.body.clear();
        write_content(&mut self.body, &recorded.event);
        statement.execute(params![
            number,
            event_hash(event_id, self.seed),
            event_id.as_bytes(),
            recorded.at.timestamp,
            lane_number(recorded.at.lane),
            recorded.at.partition,
            recorded.at.offset,
            recorded.request_id.as_ref().map(|it| it.as_str()),
            in_order.map(|_| standing_of(&recorded.event)),
            voided_by.as_ref().map(Uuid::as_bytes),
            self.body,
        ])?;
        Ok(())
    }

    fn write_conflict(&mut self, number: i64, change: &ConflictChange) -> Result<(), Error> {
        match change {
            ConflictChange::Opened(recorded) => self.open_conflict(number, recorded),
            ConflictChange::Moved(recorded) => {
                self.move_conflict.execute(params![
                    number,
                    recorded.event.event_id.as_bytes(),
                    body_of(&recorded.event),
                    recorded.at.timestamp,
                    lane_number(recorded.at.lane),
                    recorded.at.partition,
                    recorded.at.offset,
                    recorded.request_id.as_ref().map(|it| it.as_str()),
                ])?;
                Ok(())
            }
            ConflictChange::Closed(recorded) => {
                let id = recorded.event.event_id;
                self.close_conflict.execute(params![
                    number,
                    id.as_bytes(),
                    body_of(&recorded.event)
                ])?;
                Ok(())
            }
        }
    }

    fn open_conflict(&mut self, number: i64, recorded: &RecordedEvent) -> Result<(), Error> {
        self.insert_rejected.execute(params![
            recorded.at.timestamp,
            lane_number(recorded.at.lane),
            recorded.at.partition,
            recorded.at.offset,
            Reason::EventConflict.name(),
            CONFLICT,
            None::<Vec<u8>>,
            None::<Vec<u8>>,
            None::<Vec<u8>>,
            recorded.request_id.as_ref().map(|it| it.as_str()),
            number,
            recorded.event.event_id.as_bytes(),
            body_of(&recorded.event),
            self.now,
            recorded.event.tenant_id,
            recorded.event.license_id,
        ])?;
        Ok(())
    }

    /// Writes a record that is rejected for its own fault; its letter is sent from this row.
    pub(crate) fn write_rejected(&mut self, rejected: &Rejected) -> Result<(), Error> {
        let Rejected { record, fault } = rejected;
        self.insert_rejected.execute(params![
            record.at.timestamp,
            lane_number(record.at.lane),
            record.at.partition,
            record.at.offset,
            fault.reason.name(),
            fault.to_string(),
            record.key,
            record.value,
            headers_blob(&record.headers),
            licenseflow_core::batch::Envelope::of(&record.headers)
                .request_id
                .as_ref()
                .map(|it| it.as_str()),
            None::<i64>,
            None::<Vec<u8>>,
            None::<Vec<u8>>,
            self.now,
            fault.names.as_ref().map(|it| &it.tenant_id),
            fault.names.as_ref().map(|it| &it.license_id),
        ])?;
        Ok(())
    }

    /// Writes the journeys of a batch.
    pub(crate) fn write_journey(
        &mut self,
        rows: &[JourneyRow<'_>],
        batch: i64,
    ) -> Result<(), Error> {
        for row in rows {
            self.insert_journey.execute(params![
                row.hash,
                batch,
                row.tenant_id,
                row.request_id,
                row.entries
            ])?;
        }
        Ok(())
    }
}

/// Whether two states differ in nothing but what [`Writer::write_counts`] writes.
fn has_same_terms(before: &LicenseState, after: &LicenseState) -> bool {
    let LicenseState {
        customer,
        plan,
        expiry,
        issue,
        suspended,
        revoked,
        voids,
        first: _,
        last: _,
        event_count: _,
        events: _,
        seats_used: _,
    } = before;
    (customer, plan, expiry, issue) == (&after.customer, &after.plan, &after.expiry, &after.issue)
        && (suspended, revoked, voids) == (&after.suspended, &after.revoked, &after.voids)
}

fn customer_of(state: &LicenseState) -> Option<&str> {
    state.customer.as_ref().map(|it| &*it.value)
}

fn valid_from(state: &LicenseState) -> Option<i64> {
    state.issue.as_ref().map(|it| it.value.valid_from)
}

fn last_event_at(state: &LicenseState) -> Option<i64> {
    state.last.map(|it| it.occurred_at)
}

/// Binds parameters 2 to 21. An update names all of them but those whose columns have an index.
fn bind_state(statement: &mut Statement<'_>, state: &LicenseState) -> Result<(), Error> {
    let plan = state.plan.as_ref();
    let issue = state.issue.as_ref();
    let suspended = state.suspended.as_ref();
    let key = |by: Option<OrderKey>| by.map(order_key_blob);
    statement.raw_bind_parameter(2, key(state.customer.as_ref().map(|it| it.by)))?;
    statement.raw_bind_parameter(3, plan.map(|it| &it.value.plan))?;
    statement.raw_bind_parameter(4, plan.map(|it| it.value.seats))?;
    statement.raw_bind_parameter(5, plan.map(|it| it.value.entitlements.as_str()))?;
    statement.raw_bind_parameter(6, key(plan.map(|it| it.by)))?;
    statement.raw_bind_parameter(7, key(state.expiry.as_ref().map(|it| it.by)))?;
    statement.raw_bind_parameter(8, issue.map(|it| &it.value.product_id))?;
    statement.raw_bind_parameter(9, issue.map(|it| it.value.valid_from))?;
    statement.raw_bind_parameter(10, issue.map(|it| it.value.metadata.as_str()))?;
    statement.raw_bind_parameter(11, key(issue.map(|it| it.by)))?;
    statement.raw_bind_parameter(12, suspended.map(|it| it.value))?;
    statement.raw_bind_parameter(13, key(suspended.map(|it| it.by)))?;
    statement.raw_bind_parameter(14, key(state.revoked))?;
    statement.raw_bind_parameter(15, lifecycle_number(state.lifecycle()))?;
    statement.raw_bind_parameter(16, key(state.first))?;
    statement.raw_bind_parameter(17, key(state.last))?;
    statement.raw_bind_parameter(18, state.event_count)?;
    statement.raw_bind_parameter(19, state.events.to_be_bytes())?;
    statement.raw_bind_parameter(20, state.seats_used)?;
    statement.raw_bind_parameter(21, voids_blob(&state.voids))?;
    Ok(())
}
