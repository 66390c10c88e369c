//! The narrow columns of a license, by which a list is filtered and sorted: the same in every store,
//! so that no two of them can answer a filter differently.

use licenseflow_core::status::{Lifecycle, Status};

use crate::Error;
use crate::columns::{Columns, lifecycle_number, needed};
use crate::lookup::{LicenseQuery, SortBy, SortKey};

/// The columns that [`matches`] and [`sort_key`] read.
pub(crate) const NARROW: &str = "number, license_id, expires_at, last_event_at, customer_id, \
     product_id, plan, lifecycle, valid_from, seats, seats_used";

/// The license's number in the store.
pub(crate) fn number(row: &impl Columns) -> Result<i64, Error> {
    needed(row.integer(0)?)
}

/// Where this row stands in the list.
pub(crate) fn sort_key(row: &impl Columns, sort: SortBy) -> Result<SortKey, Error> {
    let number = number(row)?;
    Ok(match sort {
        SortBy::LicenseId => SortKey::Text(needed(row.text(1)?)?.to_owned()),
        SortBy::ExpiresAt => SortKey::Number(row.integer(2)?.unwrap_or(i64::MAX), number),
        SortBy::LastEventAt => SortKey::Number(row.integer(3)?.unwrap_or(-1), number),
    })
}

/// Whether every filter holds for this row.
pub(crate) fn matches(row: &impl Columns, query: &LicenseQuery) -> Result<bool, Error> {
    let texts = [
        (4, &query.customer_id),
        (5, &query.product_id),
        (6, &query.plan),
    ];
    for (column, asked) in texts {
        if asked.is_some() && row.text(column)? != asked.as_deref() {
            return Ok(false);
        }
    }
    let expires_at = row.integer(2)?;
    let (before, after) = (query.expires_before, query.expires_after);
    let in_time = before.is_none_or(|before| expires_at.is_some_and(|at| at < before))
        && after.is_none_or(|after| expires_at.is_none_or(|at| at >= after));
    let lifecycle = lifecycle_of(needed(row.integer(7)?)?)?;
    let in_lifecycle = query.lifecycle.is_none_or(|asked| asked == lifecycle);
    if !in_time || !in_lifecycle {
        return Ok(false);
    }
    let status = Status::at(lifecycle, row.integer(8)?, expires_at, query.at);
    let (seats, used) = (row.integer(9)?, needed(row.integer(10)?)?);
    let over_seat = seats.is_some_and(|seats| used > seats);
    Ok(query.status.is_none_or(|asked| asked == status)
        && query.over_seat.is_none_or(|asked| asked == over_seat))
}

fn lifecycle_of(number: i64) -> Result<Lifecycle, Error> {
    let mut all = Lifecycle::ALL.into_iter();
    all.find(|it| lifecycle_number(*it) == number)
        .ok_or_else(|| Error::broken(format!("lifecycle {number}")))
}
