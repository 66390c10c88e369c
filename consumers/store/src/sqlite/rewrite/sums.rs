//! Kept sums put right: what is to be added to them, row by row.

use licenseflow_core::RowDigest;
use rusqlite::{Connection, OptionalExtension, params};

use crate::Error;
use crate::audit::What;
use crate::columns::wide_number;
use crate::rewrite::NumberRow;

/// Adds to a bucket of the digest.
pub(super) fn add_to_digest(
    connection: &Connection,
    (bucket, change): (u8, RowDigest),
) -> Result<(), Error> {
    if change == RowDigest::default() {
        return Ok(());
    }
    let sql = "select sum from digest where bucket = ?1";
    let found = connection.query_row(sql, [bucket], |row| row.get::<_, Vec<u8>>(0));
    let before = found.optional()?.map(|sum| wide_number(&sum)).transpose()?;
    let sum = RowDigest(before.unwrap_or(0)).plus(change);
    let sql = "insert into digest (bucket, sum) values (?1, ?2)
         on conflict (bucket) do update set sum = excluded.sum";
    connection.execute(sql, params![bucket, sum.0.to_be_bytes()])?;
    Ok(())
}

/// Adds to a number that is kept; one that comes to nothing has no row.
pub(super) fn add_to_number(
    connection: &Connection,
    what: &What,
    row: NumberRow<'_>,
    [first, second, third]: [i64; 3],
) -> Result<(), Error> {
    let sql = "select number from tenant where tenant_id = ?1";
    let tenant = connection.query_row(sql, [what.tenant_id()], |row| row.get::<_, i64>(0));
    let Some(tenant) = tenant.optional()? else {
        return Ok(());
    };
    match row {
        NumberRow::Total {
            dimension,
            name,
            lifecycle,
        } => {
            connection.execute(
                "insert into total (tenant, dimension, name, lifecycle, licenses, seats, seats_used)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 on conflict (tenant, dimension, name, lifecycle) do update set
                   licenses = licenses + excluded.licenses, seats = seats + excluded.seats,
                   seats_used = seats_used + excluded.seats_used",
                params![tenant, dimension, name, lifecycle, first, second, third],
            )?;
            connection.execute(
                "delete from total where tenant = ?1 and dimension = ?2 and name = ?3 and lifecycle = ?4
                   and licenses = 0 and seats = 0 and seats_used = 0",
                params![tenant, dimension, name, lifecycle],
            )?;
        }
        NumberRow::TotalDay {
            dimension,
            name,
            day,
        } => {
            connection.execute(
                "insert into total_day (tenant, dimension, name, day, starts, ends)
                 values (?1, ?2, ?3, ?4, ?5, ?6)
                 on conflict (tenant, dimension, name, day) do update set
                   starts = starts + excluded.starts, ends = ends + excluded.ends",
                params![tenant, dimension, name, day, first, second],
            )?;
            connection.execute(
                "delete from total_day where tenant = ?1 and dimension = ?2 and name = ?3 and day = ?4
                   and starts = 0 and ends = 0",
                params![tenant, dimension, name, day],
            )?;
        }
        NumberRow::Minute { minute, kind } => {
            add_events(
                connection,
                ("event_minute", "minute"),
                [tenant, minute, kind],
                first,
            )?;
        }
        NumberRow::Day { day, kind } => {
            add_events(connection, ("event_day", "day"), [tenant, day, kind], first)?;
        }
    }
    Ok(())
}

fn add_events(
    connection: &Connection,
    (table, time): (&str, &str),
    [tenant, at, kind]: [i64; 3],
    by: i64,
) -> Result<(), Error> {
    let sql = format!(
        "insert into {table} (tenant, {time}, kind, events) values (?1, ?2, ?3, ?4)
         on conflict (tenant, {time}, kind) do update set events = events + excluded.events"
    );
    connection.execute(&sql, [tenant, at, kind, by])?;
    let sql = format!(
        "delete from {table} where tenant = ?1 and {time} = ?2 and kind = ?3 and events = 0"
    );
    connection.execute(&sql, [tenant, at, kind])?;
    Ok(())
}
