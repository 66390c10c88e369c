//! Kept numbers put right: what is to be added to an applier's part of them, row by row.

use super::super::session::{Values, Work};
use crate::Error;
use crate::audit::What;
use crate::rewrite::NumberRow;

/// Adds to an applier's part of a number that is kept.
pub(super) async fn add_to_number(
    work: &Work<'_>,
    applier: i32,
    what: &What,
    (row, [first, second, third]): (NumberRow<'_>, [i64; 3]),
) -> Result<(), Error> {
    let tenant = what.tenant_id();
    match row {
        NumberRow::Total {
            dimension,
            name,
            lifecycle,
        } => {
            let sql = "insert into total (tenant_id, dimension, name, lifecycle, applier, licenses, seats, seats_used)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)
                 on conflict (tenant_id, dimension, name, lifecycle, applier) do update set
                   licenses = total.licenses + excluded.licenses, seats = total.seats + excluded.seats,
                   seats_used = total.seats_used + excluded.seats_used";
            let (dimension, lifecycle) = (dimension as i16, lifecycle as i16);
            let values: Values<'_> = &[
                &tenant, &dimension, &name, &lifecycle, &applier, &first, &second, &third,
            ];
            work.execute(sql, values).await?;
        }
        NumberRow::TotalDay {
            dimension,
            name,
            day,
        } => {
            let sql = "insert into total_day (tenant_id, dimension, name, day, applier, starts, ends)
                 values ($1, $2, $3, $4, $5, $6, $7)
                 on conflict (tenant_id, dimension, name, day, applier) do update set
                   starts = total_day.starts + excluded.starts, ends = total_day.ends + excluded.ends";
            let dimension = dimension as i16;
            let values: Values<'_> = &[&tenant, &dimension, &name, &day, &applier, &first, &second];
            work.execute(sql, values).await?;
        }
        NumberRow::Minute { minute, kind } => {
            let sql = "insert into event_minute (tenant_id, applier, minute, kind, events)
                 values ($1, $2, $3, $4, $5) on conflict (tenant_id, applier, minute, kind)
                 do update set events = event_minute.events + excluded.events";
            let values: Values<'_> = &[&tenant, &applier, &minute, &(kind as i16), &first];
            work.execute(sql, values).await?;
        }
        NumberRow::Day { day, kind } => {
            let sql = "insert into event_day (tenant_id, applier, day, kind, events)
                 values ($1, $2, $3, $4, $5) on conflict (tenant_id, applier, day, kind)
                 do update set events = event_day.events + excluded.events";
            let values: Values<'_> = &[&tenant, &applier, &day, &(kind as i16), &first];
            work.execute(sql, values).await?;
        }
    }
    Ok(())
}
