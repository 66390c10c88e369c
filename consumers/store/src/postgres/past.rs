//! Reading what a batch needs of its licenses' past: one statement for each kind of row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use licenseflow_avro::LicenseKey;
use licenseflow_avro::event::Payload;
use licenseflow_core::batch::LicenseBatch;
use licenseflow_core::device::device_of;
use licenseflow_core::{DeviceState, LicensePast, WholePast};
use tokio_postgres::Row;
use uuid::Uuid;

use super::rows::TIMELINE_COLUMNS;
use super::session::{Values, Work};
use crate::Error;
use crate::columns::{
    Columns, DEVICE_COLUMNS, LICENSE_COLUMNS, device_state, event_hash, license_state, needed,
    recorded_event,
};

/// A license of a batch: its row is locked until the transaction ends.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) key: Arc<LicenseKey>,
    pub(crate) batch: LicenseBatch,
    pub(crate) number: i64,
    /// Whether its timeline was a long one.
    pub(crate) ordered: bool,
    pub(crate) past: LicensePast,
}

impl Found {
    /// Nothing hangs on a license that was not there.
    fn is_new(&self) -> bool {
        self.past.state.is_none()
    }
}

/// What each license needs of the past; the licenses are locked, and sorted by their keys.
pub(crate) async fn read(
    work: &Work<'_>,
    mut found: Vec<Found>,
    seed: u64,
) -> Result<Vec<Found>, Error> {
    let (events, devices, usage) = tokio::try_join!(
        biased;
        events(work, &found, seed),
        devices(work, &found),
        usage(work, &found)
    )?;
    for row in events {
        let license = at_place(&mut found, &row)?;
        let event = recorded_event(&row, 1, &license.key)?;
        let known = &mut license.past.known.events;
        known.insert(event.event.event_id, event);
    }
    for row in devices {
        let devices = &mut at_place(&mut found, &row)?.past.devices;
        devices.insert(row.try_get(1)?, device_state(&row, 2)?);
    }
    for row in usage {
        let usage = &mut at_place(&mut found, &row)?.past.usage;
        usage.insert(row.try_get(1)?, row.try_get(2)?);
    }
    read_conflicts(work, &mut found).await?;
    Ok(found)
}

/// Locks every license, one after the other by its key, so that two batches never wait for each other.
/// A row that is not there cannot be locked, so it is made and locked at once. Whatever is read after
/// this is read as whoever held the locks before has left it.
pub(crate) async fn lock(
    work: &Work<'_>,
    licenses: Vec<(Arc<LicenseKey>, LicenseBatch)>,
) -> Result<Vec<Found>, Error> {
    if licenses.is_empty() {
        return Ok(Vec::new());
    }
    let keys = licenses.iter().map(|(key, _)| key);
    let tenants: Vec<&str> = keys.clone().map(|key| key.tenant_id.as_str()).collect();
    let ids: Vec<&str> = keys.map(|key| key.license_id.as_str()).collect();
    let sql = format!(
        "insert into license (tenant_id, license_id) select * from unnest($1::text[], $2::text[])
         on conflict (tenant_id, license_id) do update set license_id = excluded.license_id
         returning tenant_id, license_id, number, lifecycle, ordered, {LICENSE_COLUMNS}"
    );
    let rows = work.rows(&sql, &[&tenants, &ids]).await?;
    let mut stored: BTreeMap<(&str, &str), &Row> = BTreeMap::new();
    for row in &rows {
        stored.insert((row.try_get(0)?, row.try_get(1)?), row);
    }
    let found = licenses.into_iter().map(|(key, batch)| {
        let row = stored.get(&(key.tenant_id.as_str(), key.license_id.as_str()));
        let row = *row.ok_or_else(|| Error::broken("a license that could not be locked"))?;
        let lifecycle = row.integer(3)?;
        let mut past = LicensePast::default();
        if lifecycle.is_some() {
            past.state = Some(license_state(row, 5)?);
        }
        Ok(Found {
            number: row.try_get(2)?,
            ordered: row.try_get(4)?,
            key,
            batch,
            past,
        })
    });
    found.collect()
}

/// The keys of rows that are asked for, column by column, and which license of the batch each is for.
struct Asked<'a, T> {
    tenants: Vec<&'a str>,
    licenses: Vec<i64>,
    names: Vec<T>,
    places: Vec<i32>,
}

impl<'a, T: Ord> Asked<'a, T> {
    /// The rows that `names` gives for each license that was there before.
    fn of(found: &'a [Found], names: impl Fn(&'a Found) -> BTreeSet<T>) -> Self {
        let mut asked = Self {
            tenants: Vec::new(),
            licenses: Vec::new(),
            names: Vec::new(),
            places: Vec::new(),
        };
        for (place, license) in (0i32..).zip(found) {
            if license.is_new() {
                continue;
            }
            for name in names(license) {
                asked.tenants.push(&license.key.tenant_id);
                asked.licenses.push(license.number);
                asked.names.push(name);
                asked.places.push(place);
            }
        }
        asked
    }
}

/// Which license of the batch a row is for, by its first column.
fn at_place<'f>(found: &'f mut [Found], row: &Row) -> Result<&'f mut Found, Error> {
    let place: i32 = row.try_get(0)?;
    usize::try_from(place)
        .ok()
        .and_then(|place| found.get_mut(place))
        .ok_or_else(|| Error::broken("a row that nobody asked for"))
}

async fn events(work: &Work<'_>, found: &[Found], seed: u64) -> Result<Vec<Row>, Error> {
    let asked = Asked::of(found, |it| it.batch.event_ids().collect::<BTreeSet<Uuid>>());
    if asked.names.is_empty() {
        return Ok(Vec::new());
    }
    let hash = |event_id: &Uuid| event_hash(*event_id, seed);
    let hashes: Vec<i64> = asked.names.iter().map(hash).collect();
    let sql = format!(
        "select place, {}
         from unnest($1::text[], $2::bigint[], $3::bigint[], $4::uuid[], $5::int[])
           as asked (tenant_id, license, hash, event_id, place)
         join timeline on timeline.tenant_id = asked.tenant_id and timeline.license = asked.license
           and timeline.hash = asked.hash and timeline.event_id = asked.event_id",
        TIMELINE_COLUMNS.replace("event_id", "timeline.event_id")
    );
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [
        &asked.tenants,
        &asked.licenses,
        &hashes,
        &asked.names,
        &asked.places,
    ];
    work.rows(&sql, &values).await
}

/// The conflicts of events that are known: there are none of others.
async fn read_conflicts(work: &Work<'_>, found: &mut [Found]) -> Result<(), Error> {
    let known = |it: &Found| it.past.known.events.keys().copied().collect();
    let asked: Asked<'_, Uuid> = Asked::of(found, known);
    if asked.names.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "select place, {}
         from unnest($1::text[], $2::bigint[], $3::uuid[], $4::int[])
           as asked (tenant_id, license, event_id, place)
         join rejected on rejected.tenant_id = asked.tenant_id and rejected.license = asked.license
           and rejected.event_id = asked.event_id",
        TIMELINE_COLUMNS.replace("event_id", "rejected.event_id")
    );
    let values = (asked.tenants, asked.licenses, asked.names, asked.places);
    let rows = work
        .rows(&sql, &[&values.0, &values.1, &values.2, &values.3])
        .await?;
    for row in rows {
        let license = at_place(found, &row)?;
        let conflict = recorded_event(&row, 1, &license.key)?;
        let of_event = license.past.known.conflicts.entry(conflict.event.event_id);
        of_event.or_default().push(conflict);
    }
    Ok(())
}

async fn devices(work: &Work<'_>, found: &[Found]) -> Result<Vec<Row>, Error> {
    let asked = Asked::of(found, |it| {
        let in_events = it.batch.arrived.iter().map(|record| &record.event);
        let beating = it.batch.heartbeats.keys().map(String::as_str);
        in_events.filter_map(device_of).chain(beating).collect()
    });
    if asked.names.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "select place, device.device_id, {DEVICE_COLUMNS}
         from unnest($1::text[], $2::bigint[], $3::text[], $4::int[])
           as asked (tenant_id, license, device_id, place)
         join device on device.tenant_id = asked.tenant_id and device.license = asked.license
           and device.device_id = asked.device_id"
    );
    let values: Values<'_> = &[&asked.tenants, &asked.licenses, &asked.names, &asked.places];
    work.rows(&sql, values).await
}

async fn usage(work: &Work<'_>, found: &[Found]) -> Result<Vec<Row>, Error> {
    let asked = Asked::of(found, |it| {
        let said = it.batch.arrived.iter().map(|record| &record.event.payload);
        let metrics = said.filter_map(|payload| match payload {
            Payload::UsageRecorded(said) => Some(said.metric.as_str()),
            _ => None,
        });
        metrics.collect()
    });
    if asked.names.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "select place, usage.metric, quantity
         from unnest($1::text[], $2::bigint[], $3::text[], $4::int[])
           as asked (tenant_id, license, metric, place)
         join usage on usage.tenant_id = asked.tenant_id and usage.license = asked.license
           and usage.metric = asked.metric";
    let values: Values<'_> = &[&asked.tenants, &asked.licenses, &asked.names, &asked.places];
    work.rows(sql, values).await
}

/// Everything of a license that must be folded again.
pub(crate) async fn whole(work: &Work<'_>, license: &mut Found) -> Result<WholePast, Error> {
    let of_license: Values<'_> = &[&license.key.tenant_id, &license.number];
    let devices = format!(
        "select device_id, {DEVICE_COLUMNS} from device where tenant_id = $1 and license = $2"
    );
    let usage = "select metric, quantity from usage where tenant_id = $1 and license = $2";
    let timeline =
        format!("select {TIMELINE_COLUMNS} from timeline where tenant_id = $1 and license = $2");
    let (devices, usage, timeline) = tokio::try_join!(
        biased;
        work.rows(&devices, of_license),
        work.rows(usage, of_license),
        work.rows(&timeline, of_license)
    )?;
    let mut all: BTreeMap<String, DeviceState> = BTreeMap::new();
    for row in devices {
        all.insert(row.try_get(0)?, device_state(&row, 1)?);
    }
    license.past.devices = all;
    for row in usage {
        license
            .past
            .usage
            .insert(row.try_get(0)?, needed(row.integer(1)?)?);
    }
    let mut whole = WholePast::default();
    for row in timeline {
        whole.timeline.push(recorded_event(&row, 0, &license.key)?);
    }
    Ok(whole)
}
