//! Writing what a batch changes, one statement for each kind of row. Nothing is decided here.

use licenseflow_core::event_set::{ConflictChange, RecordedEvent};
use licenseflow_core::fold::TimelineChange;
use licenseflow_core::{DeviceState, LicenseChange, OrderKey};
use uuid::Uuid;

use super::license;
use super::ordered::{self, Timeline};
use super::rejected::{self, RejectedRow};
use super::session::Work;
use crate::Error;
use crate::columns::{body_of, event_hash, order_key_blob};
use crate::timeline::{standing_of, voided_by};

/// A license of a batch as it is to be written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) number: i64,
    /// Whether its own row has to be written.
    pub(crate) is_changed: bool,
    pub(crate) timeline: Timeline,
    pub(crate) change: LicenseChange,
}

impl Written {
    pub(crate) fn tenant(&self) -> &str {
        &self.change.key.tenant_id
    }
}

/// Writes licenses with all that hangs on them.
pub(crate) async fn write(
    work: &Work<'_>,
    licenses: &[Written],
    seed: u64,
    now: i64,
) -> Result<(), Error> {
    // They are sent in this order, and done in it.
    tokio::try_join!(
        biased;
        license::write(work, licenses),
        write_devices(work, licenses),
        delete_devices(work, licenses),
        write_usage(work, licenses),
        delete_usage(work, licenses),
        append_events(work, licenses, seed),
        replace_events(work, licenses, seed),
        ordered::keep(work, licenses, seed),
        open_conflicts(work, licenses, now),
        move_conflicts(work, licenses),
        close_conflicts(work, licenses)
    )?;
    Ok(())
}

/// Each row that hangs on a license, with the license's tenant and number.
fn each<'a, T: IntoIterator + 'a>(
    licenses: &'a [Written],
    rows: impl Fn(&'a LicenseChange) -> T,
) -> impl Iterator<Item = (&'a str, i64, T::Item)> {
    licenses.iter().flat_map(move |license| {
        rows(&license.change)
            .into_iter()
            .map(|row| (license.tenant(), license.number, row))
    })
}

fn blob(key: OrderKey) -> Vec<u8> {
    order_key_blob(key).to_vec()
}

async fn write_devices(work: &Work<'_>, licenses: &[Written]) -> Result<(), Error> {
    let rows: Vec<(&str, i64, (&str, &DeviceState))> = each(licenses, |change| {
        let devices = change.devices.iter();
        devices.filter_map(|(id, device)| Some((id.as_str(), device.as_ref()?)))
    })
    .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let numbers: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.2.0).collect();
    let active = || rows.iter().map(|row| row.2.1.active.as_ref());
    let activation = || rows.iter().map(|row| row.2.1.activation.as_ref());
    let is_active: Vec<Option<bool>> = active().map(|it| it.map(|it| it.value)).collect();
    let active_by: Vec<Option<Vec<u8>>> = active().map(|it| it.map(|it| blob(it.by))).collect();
    let fingerprints: Vec<Option<&str>> = activation()
        .map(|it| it.and_then(|it| it.value.fingerprint.as_deref()))
        .collect();
    let platforms: Vec<Option<&str>> = activation()
        .map(|it| it.and_then(|it| it.value.platform.as_deref()))
        .collect();
    let activated_by: Vec<Option<Vec<u8>>> =
        activation().map(|it| it.map(|it| blob(it.by))).collect();
    let in_events: Vec<Option<i64>> = rows.iter().map(|row| row.2.1.seen_in_event).collect();
    let beats: Vec<Option<i64>> = rows.iter().map(|row| row.2.1.seen_in_heartbeat).collect();
    let sql = "insert into device (tenant_id, license, device_id, active, active_by, fingerprint, platform,
           activated_by, seen_in_event, seen_in_heartbeat)
         select * from unnest($1::text[], $2::bigint[], $3::text[], $4::boolean[], $5::bytea[], $6::text[],
           $7::text[], $8::bytea[], $9::bigint[], $10::bigint[])
         on conflict (tenant_id, license, device_id) do update set active = excluded.active,
           active_by = excluded.active_by, fingerprint = excluded.fingerprint, platform = excluded.platform,
           activated_by = excluded.activated_by, seen_in_event = excluded.seen_in_event,
           seen_in_heartbeat = excluded.seen_in_heartbeat";
    work.execute(
        sql,
        &[
            &tenants,
            &numbers,
            &ids,
            &is_active,
            &active_by,
            &fingerprints,
            &platforms,
            &activated_by,
            &in_events,
            &beats,
        ],
    )
    .await?;
    Ok(())
}

async fn delete_devices(work: &Work<'_>, licenses: &[Written]) -> Result<(), Error> {
    let gone = |change| -> Vec<&str> {
        let change: &LicenseChange = change;
        let devices = change.devices.iter().filter(|(_, device)| device.is_none());
        devices.map(|(id, _)| id.as_str()).collect()
    };
    let sql = "delete from device using unnest($1::text[], $2::bigint[], $3::text[])
           as gone (tenant_id, license, device_id)
         where device.tenant_id = gone.tenant_id and device.license = gone.license
           and device.device_id = gone.device_id";
    delete(work, sql, each(licenses, gone)).await
}

async fn delete_usage(work: &Work<'_>, licenses: &[Written]) -> Result<(), Error> {
    let gone = |change| -> Vec<&str> {
        let change: &LicenseChange = change;
        let metrics = change.usage.iter().filter(|(_, sum)| sum.is_none());
        metrics.map(|(metric, _)| metric.as_str()).collect()
    };
    let sql = "delete from usage using unnest($1::text[], $2::bigint[], $3::text[])
           as gone (tenant_id, license, metric)
         where usage.tenant_id = gone.tenant_id and usage.license = gone.license
           and usage.metric = gone.metric";
    delete(work, sql, each(licenses, gone)).await
}

async fn delete<'a>(
    work: &Work<'_>,
    sql: &str,
    rows: impl Iterator<Item = (&'a str, i64, &'a str)>,
) -> Result<(), Error> {
    let (mut tenants, mut numbers, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant, number, name) in rows {
        tenants.push(tenant);
        numbers.push(number);
        names.push(name);
    }
    if !names.is_empty() {
        work.execute(sql, &[&tenants, &numbers, &names]).await?;
    }
    Ok(())
}

async fn write_usage(work: &Work<'_>, licenses: &[Written]) -> Result<(), Error> {
    let rows: Vec<(&str, i64, (&str, i64))> = each(licenses, |change| {
        let sums = change.usage.iter();
        sums.filter_map(|(metric, sum)| Some((metric.as_str(), (*sum)?)))
    })
    .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let tenants: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let numbers: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let metrics: Vec<&str> = rows.iter().map(|row| row.2.0).collect();
    let sums: Vec<i64> = rows.iter().map(|row| row.2.1).collect();
    let sql = "insert into usage (tenant_id, license, metric, quantity)
         select * from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])
         on conflict (tenant_id, license, metric) do update set quantity = excluded.quantity";
    work.execute(sql, &[&tenants, &numbers, &metrics, &sums])
        .await?;
    Ok(())
}

/// Events column by column.
#[derive(Default)]
struct Events<'a> {
    tenants: Vec<&'a str>,
    licenses: Vec<i64>,
    hashes: Vec<i64>,
    ids: Vec<Uuid>,
    at: At<'a>,
    /// Where they stand and what voids them, in long timelines alone.
    standings: Vec<Option<Vec<u8>>>,
    voided_by: Vec<Option<Uuid>>,
    bodies: Vec<Vec<u8>>,
}

/// Coordinates and request ids column by column.
#[derive(Default)]
struct At<'a> {
    timestamps: Vec<i64>,
    lanes: Vec<i16>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    requests: Vec<Option<&'a str>>,
}

impl<'a> At<'a> {
    fn push(&mut self, recorded: &'a RecordedEvent) {
        self.timestamps.push(recorded.at.timestamp);
        self.lanes.push(rejected::lane_column(recorded.at.lane));
        self.partitions.push(recorded.at.partition);
        self.offsets.push(recorded.at.offset);
        let request_id = recorded.request_id.as_ref();
        self.requests.push(request_id.map(|it| it.as_str()));
    }
}

impl<'a> Events<'a> {
    fn appended(licenses: &'a [Written], seed: u64) -> Self {
        Self::of(licenses, seed, |change| match change {
            TimelineChange::Append(event) => Some(event),
            TimelineChange::Move(_) | TimelineChange::Replace(_) => None,
        })
    }

    fn replaced(licenses: &'a [Written], seed: u64) -> Self {
        Self::of(licenses, seed, |change| match change {
            TimelineChange::Append(_) => None,
            TimelineChange::Move(event) | TimelineChange::Replace(event) => Some(event),
        })
    }

    fn of(
        licenses: &'a [Written],
        seed: u64,
        which: fn(&'a TimelineChange) -> Option<&'a RecordedEvent>,
    ) -> Self {
        let mut events = Self::default();
        for license in licenses {
            let in_order = Some(&license.change.state).filter(|_| license.timeline.is_ordered());
            for recorded in license.change.timeline.iter().filter_map(which) {
                let event_id = recorded.event.event_id;
                let standing = in_order.map(|_| standing_of(&recorded.event).to_vec());
                events.tenants.push(license.tenant());
                events.licenses.push(license.number);
                events.hashes.push(event_hash(event_id, seed));
                events.ids.push(event_id);
                events.at.push(recorded);
                events.standings.push(standing);
                let voided_by = in_order.and_then(|state| voided_by(state, event_id));
                events.voided_by.push(voided_by);
                events.bodies.push(body_of(&recorded.event));
            }
        }
        events
    }
}

const EVENTS: &str =
    "unnest($1::text[], $2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[], $6::smallint[],
     $7::int[], $8::bigint[], $9::text[], $10::bytea[], $11::uuid[], $12::bytea[])";

async fn append_events(work: &Work<'_>, licenses: &[Written], seed: u64) -> Result<(), Error> {
    let events = Events::appended(licenses, seed);
    let sql = format!(
        "insert into timeline (tenant_id, license, hash, event_id, timestamp_ms, lane, partition, log_offset,
           request_id, standing, voided_by, body) select * from {EVENTS}"
    );
    send_events(work, &sql, &events).await
}

async fn replace_events(work: &Work<'_>, licenses: &[Written], seed: u64) -> Result<(), Error> {
    let events = Events::replaced(licenses, seed);
    let sql = format!(
        "update timeline set timestamp_ms = it.timestamp_ms, lane = it.lane, partition = it.partition,
           log_offset = it.log_offset, request_id = it.request_id, standing = it.standing,
           voided_by = it.voided_by, body = it.body
         from {EVENTS} as it (tenant_id, license, hash, event_id, timestamp_ms, lane, partition, log_offset,
           request_id, standing, voided_by, body)
         where timeline.tenant_id = it.tenant_id and timeline.license = it.license
           and timeline.hash = it.hash and timeline.event_id = it.event_id"
    );
    send_events(work, &sql, &events).await
}

async fn send_events(work: &Work<'_>, sql: &str, events: &Events<'_>) -> Result<(), Error> {
    if events.ids.is_empty() {
        return Ok(());
    }
    work.execute(
        sql,
        &[
            &events.tenants,
            &events.licenses,
            &events.hashes,
            &events.ids,
            &events.at.timestamps,
            &events.at.lanes,
            &events.at.partitions,
            &events.at.offsets,
            &events.at.requests,
            &events.standings,
            &events.voided_by,
            &events.bodies,
        ],
    )
    .await?;
    Ok(())
}

async fn open_conflicts(work: &Work<'_>, licenses: &[Written], now: i64) -> Result<(), Error> {
    let opened = each(licenses, |change| change.conflicts.iter());
    let rows = opened.filter_map(|(tenant, number, conflict)| match conflict {
        ConflictChange::Opened(recorded) => Some(RejectedRow::conflict(tenant, number, recorded)),
        ConflictChange::Moved(_) | ConflictChange::Closed(_) => None,
    });
    rejected::insert(work, &rows.collect::<Vec<_>>(), now).await
}

/// Conflicts column by column, known by license, event id and content.
#[derive(Default)]
struct Conflicts<'a> {
    tenants: Vec<&'a str>,
    licenses: Vec<i64>,
    ids: Vec<Uuid>,
    bodies: Vec<Vec<u8>>,
    at: At<'a>,
}

impl<'a> Conflicts<'a> {
    fn of(
        licenses: &'a [Written],
        which: fn(&'a ConflictChange) -> Option<&'a RecordedEvent>,
    ) -> Self {
        let mut conflicts = Self::default();
        let recorded = each(licenses, |change| change.conflicts.iter().filter_map(which));
        for (tenant, number, recorded) in recorded {
            conflicts.tenants.push(tenant);
            conflicts.licenses.push(number);
            conflicts.ids.push(recorded.event.event_id);
            conflicts.bodies.push(body_of(&recorded.event));
            conflicts.at.push(recorded);
        }
        conflicts
    }
}

async fn move_conflicts(work: &Work<'_>, licenses: &[Written]) -> Result<(), Error> {
    let moved = Conflicts::of(licenses, |change| match change {
        ConflictChange::Moved(recorded) => Some(recorded),
        ConflictChange::Opened(_) | ConflictChange::Closed(_) => None,
    });
    if moved.ids.is_empty() {
        return Ok(());
    }
    let sql = "update rejected set timestamp_ms = it.timestamp_ms, lane = it.lane, partition = it.partition,
           log_offset = it.log_offset, request_id = it.request_id
         from unnest($1::text[], $2::bigint[], $3::uuid[], $4::bytea[], $5::bigint[], $6::smallint[],
             $7::int[], $8::bigint[], $9::text[])
           as it (tenant_id, license, event_id, body, timestamp_ms, lane, partition, log_offset, request_id)
         where rejected.tenant_id = it.tenant_id and rejected.license = it.license
           and rejected.event_id = it.event_id and rejected.body = it.body";
    work.execute(
        sql,
        &[
            &moved.tenants,
            &moved.licenses,
            &moved.ids,
            &moved.bodies,
            &moved.at.timestamps,
            &moved.at.lanes,
            &moved.at.partitions,
            &moved.at.offsets,
            &moved.at.requests,
        ],
    )
    .await?;
    Ok(())
}

async fn close_conflicts(work: &Work<'_>, licenses: &[Written]) -> Result<(), Error> {
    let closed = Conflicts::of(licenses, |change| match change {
        ConflictChange::Closed(recorded) => Some(recorded),
        ConflictChange::Opened(_) | ConflictChange::Moved(_) => None,
    });
    if closed.ids.is_empty() {
        return Ok(());
    }
    let sql = "delete from rejected using unnest($1::text[], $2::bigint[], $3::uuid[], $4::bytea[])
           as it (tenant_id, license, event_id, body)
         where rejected.tenant_id = it.tenant_id and rejected.license = it.license
           and rejected.event_id = it.event_id and rejected.body = it.body";
    work.execute(
        sql,
        &[
            &closed.tenants,
            &closed.licenses,
            &closed.ids,
            &closed.bodies,
        ],
    )
    .await?;
    Ok(())
}
