//! Kept sums put right: what is to be added to them, row by row.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::totals::{ADD_TOTAL, ADD_TOTAL_DAY, DAYS, DROP_EMPTY_DAY, EventTable, MINUTES};
use crate::Error;
use crate::audit::What;
use crate::rewrite::NumberRow;

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
                ADD_TOTAL,
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
                ADD_TOTAL_DAY,
                params![tenant, dimension, name, day, first, second],
            )?;
            connection.execute(DROP_EMPTY_DAY, params![tenant, dimension, name, day])?;
        }
        NumberRow::Minute { minute, kind } => {
            add_events(connection, &MINUTES, [tenant, minute, kind], first)?;
        }
        NumberRow::Day { day, kind } => {
            add_events(connection, &DAYS, [tenant, day, kind], first)?;
        }
    }
    Ok(())
}

fn add_events(
    connection: &Connection,
    table: &EventTable,
    of: [i64; 3],
    by: i64,
) -> Result<(), Error> {
    let [tenant, at, kind] = of;
    connection.execute(table.add, [tenant, at, kind, by])?;
    connection.execute(table.drop_empty, of)?;
    Ok(())
}
