//! Writing totals and numbers of events: a batch's differences, added to what is kept.
//!
//! Nothing is decided here. What is kept can be counted anew from the rows ([`kept`], [`recount`]).

use licenseflow_core::event_counts::{EventCounts, TenantEvents, kept_from};
use licenseflow_core::totals::{DayTurns, TotalsChange};
use rusqlite::{Connection, OptionalExtension, params};

use super::recount::each_row;
use super::rows::{LICENSE_COLUMNS, TIMELINE_COLUMNS, lifecycle_number};
use super::tenants::Tenants;
use crate::Error;
use crate::totals::{Difference, KeptTotals, Recount};

/// Adds all of a batch to what is kept, after its licenses, whose tenants are known then.
pub(super) fn write(
    difference: Difference,
    connection: &Connection,
    newest_ms: Option<i64>,
) -> Result<(), Error> {
    let mut tenants = Tenants::new(connection)?;
    let kept_from = note_newest(connection, newest_ms)?.map_or(0, kept_from);
    write_groups(connection, &mut tenants, difference.totals)?;
    for (tenant_id, events) in difference.events.into_tenants(kept_from) {
        let tenant = number_of(&mut tenants, &tenant_id)?;
        write_events(connection, tenant, &events, kept_from)?;
    }
    Ok(())
}

const NEWEST: &str = "newest_record_ms";

/// Notes the newest record so far, and gives its time.
fn note_newest(connection: &Connection, of_batch: Option<i64>) -> Result<Option<i64>, Error> {
    let before = newest_record_ms(connection)?;
    if of_batch <= before {
        return Ok(before);
    }
    connection
        .prepare_cached("insert or replace into meta (name, value) values (?1, ?2)")?
        .execute(params![NEWEST, of_batch])?;
    Ok(of_batch)
}

/// The time of the newest record that was ever read, in milliseconds UTC.
pub(super) fn newest_record_ms(connection: &Connection) -> Result<Option<i64>, Error> {
    let mut statement = connection.prepare_cached("select value from meta where name = ?1")?;
    Ok(statement.query_row([NEWEST], |row| row.get(0)).optional()?)
}

/// A license of the tenant was written, so it has a number.
fn number_of(tenants: &mut Tenants<'_>, tenant_id: &str) -> Result<i64, Error> {
    let number = tenants.number(tenant_id)?;
    number.ok_or_else(|| Error::broken(format!("no tenant {tenant_id}")))
}

/// Adds to a total.
pub(super) const ADD_TOTAL: &str =
    "insert into total (tenant, dimension, name, lifecycle, licenses, seats, seats_used)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         on conflict (tenant, dimension, name, lifecycle) do update set
           licenses = licenses + excluded.licenses, seats = seats + excluded.seats,
           seats_used = seats_used + excluded.seats_used";

/// Adds to a day of a total.
pub(super) const ADD_TOTAL_DAY: &str =
    "insert into total_day (tenant, dimension, name, day, starts, ends)
         values (?1, ?2, ?3, ?4, ?5, ?6)
         on conflict (tenant, dimension, name, day) do update set
           starts = starts + excluded.starts, ends = ends + excluded.ends";

/// Takes a day of a total away that came to nothing.
pub(super) const DROP_EMPTY_DAY: &str =
    "delete from total_day where tenant = ?1 and dimension = ?2 and name = ?3 and day = ?4
           and starts = 0 and ends = 0";

fn write_groups(
    connection: &Connection,
    tenants: &mut Tenants<'_>,
    change: TotalsChange,
) -> Result<(), Error> {
    let mut add = connection.prepare_cached(ADD_TOTAL)?;
    let mut drop_empty = connection.prepare_cached(
        "delete from total where tenant = ?1 and dimension = ?2 and name = ?3 and lifecycle = ?4
           and licenses = 0",
    )?;
    let mut add_day = connection.prepare_cached(ADD_TOTAL_DAY)?;
    let mut drop_empty_day = connection.prepare_cached(DROP_EMPTY_DAY)?;
    for (group, totals) in change.into_groups() {
        let tenant = number_of(tenants, &group.tenant_id)?;
        let dimension = group.dimension as i64;
        for (lifecycle, count) in totals.counts() {
            let lifecycle = lifecycle_number(lifecycle);
            add.execute(params![
                tenant,
                dimension,
                group.name,
                lifecycle,
                count.licenses,
                count.seats,
                count.seats_used,
            ])?;
            if count.licenses < 0 {
                drop_empty.execute(params![tenant, dimension, group.name, lifecycle])?;
            }
        }
        for (day, turns) in totals.days() {
            let DayTurns { starts, ends } = turns;
            add_day.execute(params![tenant, dimension, group.name, day, starts, ends])?;
            if starts < 0 || ends < 0 {
                drop_empty_day.execute(params![tenant, dimension, group.name, day])?;
            }
        }
    }
    Ok(())
}

/// Where numbers of events are kept.
pub(super) struct EventTable {
    pub(super) add: &'static str,
    pub(super) drop_empty: &'static str,
}

pub(super) const MINUTES: EventTable = EventTable {
    add: "insert into event_minute (tenant, minute, kind, events) values (?1, ?2, ?3, ?4)
          on conflict (tenant, minute, kind) do update set events = events + excluded.events",
    drop_empty: "delete from event_minute where tenant = ?1 and minute = ?2 and kind = ?3 and events = 0",
};

pub(super) const DAYS: EventTable = EventTable {
    add: "insert into event_day (tenant, day, kind, events) values (?1, ?2, ?3, ?4)
          on conflict (tenant, day, kind) do update set events = events + excluded.events",
    drop_empty: "delete from event_day where tenant = ?1 and day = ?2 and kind = ?3 and events = 0",
};

fn write_events(
    connection: &Connection,
    tenant: i64,
    events: &TenantEvents,
    kept_from: i64,
) -> Result<(), Error> {
    add_events(connection, tenant, &MINUTES, &events.minutes)?;
    add_events(connection, tenant, &DAYS, &events.days)?;
    connection
        .prepare_cached("delete from event_minute where tenant = ?1 and minute < ?2")?
        .execute([tenant, kept_from])?;
    Ok(())
}

fn add_events(
    connection: &Connection,
    tenant: i64,
    table: &EventTable,
    counts: &EventCounts,
) -> Result<(), Error> {
    let mut add = connection.prepare_cached(table.add)?;
    let mut drop_empty = connection.prepare_cached(table.drop_empty)?;
    for ((time, kind), by) in counts {
        let kind = *kind as i64;
        add.execute([tenant, *time, kind, *by])?;
        if *by < 0 {
            drop_empty.execute([tenant, *time, kind])?;
        }
    }
    Ok(())
}

/// What is kept. Minutes of tenants that nothing was said of lately may be older than is shown; they
/// are left out.
pub(super) fn kept(connection: &mut Connection) -> Result<KeptTotals, Error> {
    let transaction = connection.transaction()?;
    let mut kept = KeptTotals::default();
    let totals = "select tenant_id, dimension, name, lifecycle, licenses, seats, seats_used
                  from total join tenant on number = tenant";
    each_row(&transaction, totals, [], |row| kept.put_count(row))?;
    let days = "select tenant_id, dimension, name, day, starts, ends
                from total_day join tenant on number = tenant";
    each_row(&transaction, days, [], |row| kept.put_day(row))?;
    let kept_from = newest_record_ms(&transaction)?.map_or(0, kept_from);
    let minutes = "select tenant_id, minute, kind, events
                   from event_minute join tenant on number = tenant where minute >= ?1";
    each_row(&transaction, minutes, [kept_from], |row| {
        kept.put_minute(row)
    })?;
    let days = "select tenant_id, day, kind, events from event_day join tenant on number = tenant";
    each_row(&transaction, days, [], |row| kept.put_event_day(row))?;
    transaction.commit()?;
    Ok(kept)
}

/// What the licenses and timelines as they are stored give; it takes as long as reading them all.
pub(super) fn recount(connection: &mut Connection) -> Result<KeptTotals, Error> {
    let transaction = connection.transaction()?;
    let mut recount = Recount::default();
    let licenses = format!(
        "select {LICENSE_COLUMNS}, tenant.tenant_id
         from license join tenant on tenant.number = license.tenant"
    );
    each_row(&transaction, &licenses, [], |row| recount.license(row))?;
    let timeline = format!(
        "select {TIMELINE_COLUMNS}, tenant.tenant_id, license.license_id, license.voids
         from timeline join license on license.number = timeline.license
         join tenant on tenant.number = license.tenant"
    );
    each_row(&transaction, &timeline, [], |row| recount.event(row))?;
    let kept_from = newest_record_ms(&transaction)?.map_or(0, kept_from);
    transaction.commit()?;
    Ok(recount.into_totals(kept_from))
}
