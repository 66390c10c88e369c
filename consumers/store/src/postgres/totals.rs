//! Writing totals and numbers of events: a batch's differences, added to the applier's own parts.
//!
//! What is kept is the sum of all appliers' parts, so that those who write one tenant at the same time do
//! not queue behind its rows; a part by itself may be negative. Nothing is decided here. What is kept can
//! be counted anew from the rows ([`kept`], [`recount`]).

use std::collections::BTreeMap;

use licenseflow_core::event_counts::{EventCounts, TenantEvents, kept_from};
use licenseflow_core::totals::{Count, DayTurns, Group, GroupTotals};
use tokio_postgres::types::ToSql;

use super::rows::TIMELINE_COLUMNS;
use super::session::Work;
use crate::Error;
use crate::columns::{LICENSE_COLUMNS, lifecycle_number};
use crate::totals::{Difference, KeptTotals, Recount};

/// The time of the newest record that was ever read, in milliseconds UTC: each applier notes its own.
pub(crate) const NEWEST_RECORD_MS: &str = "select max(record_ms) from newest_record";

/// Adds all of a batch to what is kept. Rows come in the order of their keys, as all locks do. The newest
/// record is that of the batch, and that of those before it.
pub(crate) async fn write(
    work: &Work<'_>,
    applier: i32,
    difference: Difference,
    (newest_ms, newest_before): (Option<i64>, Option<i64>),
) -> Result<(), Error> {
    let kept_from = newest_ms.max(newest_before).map_or(0, kept_from);
    let groups = difference.totals.into_groups();
    let events = difference.events.into_tenants(kept_from);
    // They are sent in this order, and done in it.
    tokio::try_join!(
        biased;
        note_newest(work, applier, newest_ms),
        write_counts(work, applier, &groups),
        write_days(work, applier, &groups),
        write_events(work, applier, &MINUTES, &events, |it| &it.minutes),
        write_events(work, applier, &DAYS, &events, |it| &it.days),
        drop_old_minutes(work, applier, &events, kept_from)
    )?;
    Ok(())
}

async fn note_newest(work: &Work<'_>, applier: i32, of_batch: Option<i64>) -> Result<(), Error> {
    let Some(of_batch) = of_batch else {
        return Ok(());
    };
    let sql = "insert into newest_record (applier, record_ms) values ($1, $2)
         on conflict (applier) do update set record_ms = excluded.record_ms
         where newest_record.record_ms < excluded.record_ms";
    work.execute(sql, &[&applier, &of_batch]).await?;
    Ok(())
}

/// The first minute that is kept.
async fn first_minute(work: &Work<'_>) -> Result<i64, Error> {
    let rows = work.rows(NEWEST_RECORD_MS, &[]).await?;
    let newest = rows.first().map(|row| row.try_get(0)).transpose()?;
    Ok(newest.flatten().map_or(0, kept_from))
}

/// Which groups' rows change, column by column.
#[derive(Default)]
struct Groups<'a> {
    tenants: Vec<&'a str>,
    dimensions: Vec<i16>,
    names: Vec<&'a str>,
    /// The lifecycle's number, or the day.
    places: Vec<i64>,
}

impl<'a> Groups<'a> {
    fn push(&mut self, group: &'a Group, place: i64) {
        self.tenants.push(&group.tenant_id);
        self.dimensions.push(group.dimension as i16);
        self.names.push(&group.name);
        self.places.push(place);
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The first values of every statement on groups.
    fn values<'v>(&'v self, applier: &'v i32) -> Vec<Value<'v>> {
        vec![
            applier,
            &self.tenants,
            &self.dimensions,
            &self.names,
            &self.places,
        ]
    }
}

type Value<'v> = &'v (dyn ToSql + Sync);

async fn write_counts(
    work: &Work<'_>,
    applier: i32,
    groups: &BTreeMap<Group, GroupTotals>,
) -> Result<(), Error> {
    let (mut changed, mut fewer) = (Groups::default(), Groups::default());
    let mut counts: Vec<Count> = Vec::new();
    for (group, totals) in groups {
        let mut of_group: Vec<(i64, Count)> = totals
            .counts()
            .map(|(lifecycle, count)| (lifecycle_number(lifecycle), count))
            .collect();
        of_group.sort_unstable_by_key(|(lifecycle, _)| *lifecycle);
        for (lifecycle, count) in of_group {
            changed.push(group, lifecycle);
            if count.licenses < 0 {
                fewer.push(group, lifecycle);
            }
            counts.push(count);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&Count) -> i64| counts.iter().map(of).collect::<Vec<i64>>();
    let licenses = column(|it| it.licenses);
    let seats = column(|it| it.seats);
    let seats_used = column(|it| it.seats_used);
    let sql = "insert into total (tenant_id, dimension, name, lifecycle, applier, licenses, seats, seats_used)
         select tenant_id, dimension, name, lifecycle, $1::int, licenses, seats, seats_used
         from unnest($2::text[], $3::smallint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
             $8::bigint[])
           as it (tenant_id, dimension, name, lifecycle, licenses, seats, seats_used)
         on conflict (tenant_id, dimension, name, lifecycle, applier) do update set
           licenses = total.licenses + excluded.licenses, seats = total.seats + excluded.seats,
           seats_used = total.seats_used + excluded.seats_used";
    let mut values = changed.values(&applier);
    values.extend([&licenses as Value<'_>, &seats, &seats_used]);
    let adding = work.execute(sql, &values);
    let sql = "delete from total using unnest($2::text[], $3::smallint[], $4::text[], $5::bigint[])
           as it (tenant_id, dimension, name, lifecycle)
         where total.tenant_id = it.tenant_id and total.dimension = it.dimension and total.name = it.name
           and total.lifecycle = it.lifecycle and total.applier = $1
           and total.licenses = 0 and total.seats = 0 and total.seats_used = 0";
    tokio::try_join!(biased; adding, drop_empty(work, sql, applier, &fewer))?;
    Ok(())
}

async fn write_days(
    work: &Work<'_>,
    applier: i32,
    groups: &BTreeMap<Group, GroupTotals>,
) -> Result<(), Error> {
    let (mut changed, mut fewer) = (Groups::default(), Groups::default());
    let (mut starting, mut ending) = (Vec::new(), Vec::new());
    for (group, totals) in groups {
        for (day, DayTurns { starts, ends }) in totals.days() {
            changed.push(group, day);
            if starts < 0 || ends < 0 {
                fewer.push(group, day);
            }
            starting.push(starts);
            ending.push(ends);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let sql = "insert into total_day (tenant_id, dimension, name, day, applier, starts, ends)
         select tenant_id, dimension, name, day, $1::int, starts, ends
         from unnest($2::text[], $3::smallint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
           as it (tenant_id, dimension, name, day, starts, ends)
         on conflict (tenant_id, dimension, name, day, applier) do update set
           starts = total_day.starts + excluded.starts, ends = total_day.ends + excluded.ends";
    let mut values = changed.values(&applier);
    values.extend([&starting as Value<'_>, &ending]);
    let adding = work.execute(sql, &values);
    let sql =
        "delete from total_day using unnest($2::text[], $3::smallint[], $4::text[], $5::bigint[])
           as it (tenant_id, dimension, name, day)
         where total_day.tenant_id = it.tenant_id and total_day.dimension = it.dimension
           and total_day.name = it.name and total_day.day = it.day and total_day.applier = $1
           and total_day.starts = 0 and total_day.ends = 0";
    tokio::try_join!(biased; adding, drop_empty(work, sql, applier, &fewer))?;
    Ok(())
}

/// Drops rows that may have come to nothing.
async fn drop_empty(
    work: &Work<'_>,
    sql: &str,
    applier: i32,
    rows: &Groups<'_>,
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    work.execute(sql, &rows.values(&applier)).await?;
    Ok(())
}

/// Where numbers of events are kept.
struct EventTable {
    add: &'static str,
    drop_empty: &'static str,
}

const MINUTES: EventTable = EventTable {
    add: "insert into event_minute (tenant_id, applier, minute, kind, events)
          select tenant_id, $1::int, minute, kind, events
          from unnest($2::text[], $3::bigint[], $4::smallint[], $5::bigint[])
            as it (tenant_id, minute, kind, events)
          on conflict (tenant_id, applier, minute, kind) do update set
            events = event_minute.events + excluded.events",
    drop_empty: "delete from event_minute using unnest($2::text[], $3::bigint[], $4::smallint[])
            as it (tenant_id, minute, kind)
          where event_minute.tenant_id = it.tenant_id and event_minute.applier = $1
            and event_minute.minute = it.minute and event_minute.kind = it.kind and event_minute.events = 0",
};

const DAYS: EventTable = EventTable {
    add: "insert into event_day (tenant_id, applier, day, kind, events)
          select tenant_id, $1::int, day, kind, events
          from unnest($2::text[], $3::bigint[], $4::smallint[], $5::bigint[])
            as it (tenant_id, day, kind, events)
          on conflict (tenant_id, applier, day, kind) do update set
            events = event_day.events + excluded.events",
    drop_empty: "delete from event_day using unnest($2::text[], $3::bigint[], $4::smallint[])
            as it (tenant_id, day, kind)
          where event_day.tenant_id = it.tenant_id and event_day.applier = $1
            and event_day.day = it.day and event_day.kind = it.kind and event_day.events = 0",
};

/// Numbers of events by minute or day and type, column by column.
#[derive(Default)]
struct Events<'a> {
    tenants: Vec<&'a str>,
    times: Vec<i64>,
    kinds: Vec<i16>,
    by: Vec<i64>,
}

impl<'a> Events<'a> {
    fn of(
        events: &'a BTreeMap<String, TenantEvents>,
        counts: fn(&TenantEvents) -> &EventCounts,
        which: fn(i64) -> bool,
    ) -> Self {
        let mut columns = Self::default();
        for (tenant_id, events) in events {
            for ((time, kind), by) in counts(events).iter().filter(|(_, by)| which(**by)) {
                columns.tenants.push(tenant_id);
                columns.times.push(*time);
                columns.kinds.push(*kind as i16);
                columns.by.push(*by);
            }
        }
        columns
    }
}

async fn write_events(
    work: &Work<'_>,
    applier: i32,
    table: &EventTable,
    events: &BTreeMap<String, TenantEvents>,
    counts: fn(&TenantEvents) -> &EventCounts,
) -> Result<(), Error> {
    let all = Events::of(events, counts, |_| true);
    let adding = async {
        if all.times.is_empty() {
            return Ok(0);
        }
        let values: [Value<'_>; 5] = [&applier, &all.tenants, &all.times, &all.kinds, &all.by];
        work.execute(table.add, &values).await
    };
    let fewer = Events::of(events, counts, |by| by < 0);
    let dropping = async {
        if fewer.times.is_empty() {
            return Ok(0);
        }
        let values: [Value<'_>; 4] = [&applier, &fewer.tenants, &fewer.times, &fewer.kinds];
        work.execute(table.drop_empty, &values).await
    };
    tokio::try_join!(biased; adding, dropping)?;
    Ok(())
}

/// Drops what an applier keeps of minutes that are too old, of the tenants that a batch spoke of. Others
/// may keep theirs until they write again; who reads leaves them out.
async fn drop_old_minutes(
    work: &Work<'_>,
    applier: i32,
    events: &BTreeMap<String, TenantEvents>,
    kept_from: i64,
) -> Result<(), Error> {
    let tenants: Vec<&str> = events.keys().map(String::as_str).collect();
    if tenants.is_empty() {
        return Ok(());
    }
    let sql = "delete from event_minute using unnest($2::text[]) as it (tenant_id)
         where event_minute.tenant_id = it.tenant_id and event_minute.applier = $1
           and event_minute.minute < $3";
    work.execute(sql, &[&applier, &tenants, &kept_from]).await?;
    Ok(())
}

/// What is kept: the sums of the appliers' parts, without what comes to nothing and without minutes that
/// are too old.
pub(crate) async fn kept(work: &Work<'_>) -> Result<KeptTotals, Error> {
    work.read_whole().await?;
    let mut kept = KeptTotals::default();
    let totals =
        "select tenant_id, dimension, name, lifecycle, sum(licenses)::bigint, sum(seats)::bigint,
           sum(seats_used)::bigint
         from total group by tenant_id, dimension, name, lifecycle
         having sum(licenses) <> 0 or sum(seats) <> 0 or sum(seats_used) <> 0";
    work.each_row(totals, &[], |row| kept.put_count(row))
        .await?;
    let days = "select tenant_id, dimension, name, day, sum(starts)::bigint, sum(ends)::bigint
         from total_day group by tenant_id, dimension, name, day
         having sum(starts) <> 0 or sum(ends) <> 0";
    work.each_row(days, &[], |row| kept.put_day(row)).await?;
    let kept_from = first_minute(work).await?;
    let minutes = "select tenant_id, minute, kind, sum(events)::bigint from event_minute
         where minute >= $1 group by tenant_id, minute, kind having sum(events) <> 0";
    for row in work.rows(minutes, &[&kept_from]).await? {
        kept.put_minute(&row)?;
    }
    let days = "select tenant_id, day, kind, sum(events)::bigint from event_day
         group by tenant_id, day, kind having sum(events) <> 0";
    work.each_row(days, &[], |row| kept.put_event_day(row))
        .await?;
    Ok(kept)
}

/// What the licenses and timelines as they are stored give; it takes as long as reading them all.
pub(crate) async fn recount(work: &Work<'_>) -> Result<KeptTotals, Error> {
    work.read_whole().await?;
    let mut recount = Recount::default();
    let licenses = format!("select {LICENSE_COLUMNS}, tenant_id from license");
    work.each_row(&licenses, &[], |row| recount.license(row))
        .await?;
    let timeline = format!(
        "select {TIMELINE_COLUMNS}, license.tenant_id, license.license_id, license.voids from timeline
         join license on license.tenant_id = timeline.tenant_id and license.number = timeline.license"
    );
    work.each_row(&timeline, &[], |row| recount.event(row))
        .await?;
    let kept_from = first_minute(work).await?;
    Ok(recount.into_totals(kept_from))
}
