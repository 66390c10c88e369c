//! The narrow columns of a license, by which a list is filtered and sorted: the same in every store,
//! so that no two of them can answer a filter differently.

use licenseflow_core::status::Status;

use crate::Error;
use crate::columns::{Columns, lifecycle_of_number, needed};
use crate::lookup::{LicenseQuery, SortBy, SortKey};

/// The columns that a [`Walk`] looks at.
pub(crate) const NARROW: &str = "number, license_id, expires_at, last_event_at, customer_id, \
     product_id, plan, lifecycle, valid_from, seats, seats_used";

/// The license's number in the store.
fn number(row: &impl Columns) -> Result<i64, Error> {
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
fn matches(row: &impl Columns, query: &LicenseQuery) -> Result<bool, Error> {
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
    let lifecycle = lifecycle_of_number(needed(row.integer(7)?)?)?;
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

/// The values of a sort by a number that are asked for, both ends among them.
pub(crate) fn range(query: &LicenseQuery) -> (i64, i64) {
    if query.sort != SortBy::ExpiresAt {
        return (i64::MIN, i64::MAX);
    }
    let low = query.expires_after.unwrap_or(i64::MIN);
    let high = query
        .expires_before
        .map_or(i64::MAX, |before| before.saturating_sub(1));
    (low, high)
}

/// A page does not begin where one of another sort ended.
pub(crate) fn other_sort() -> Error {
    Error::broken("a page's end of another sort")
}

/// What a page has found: sort keys and numbers, and where the next begins.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) matches: Vec<(SortKey, i64)>,
    pub(crate) next: Option<SortKey>,
}

/// A list on the way to its page's end.
pub(crate) struct Walk<'q> {
    query: &'q LicenseQuery,
    pub(crate) found: Found,
    visited: usize,
}

impl<'q> Walk<'q> {
    pub(crate) fn new(query: &'q LicenseQuery) -> Self {
        Self {
            query,
            found: Found::default(),
            visited: 0,
        }
    }

    /// How many more rows may be looked at.
    pub(crate) fn left(&self) -> usize {
        self.query.visit_at_most.max(1) - self.visited
    }

    /// Looks at the next row; whether the page has ended: it is full, or as many rows were looked at as
    /// may be.
    pub(crate) fn look_at(&mut self, row: &impl Columns) -> Result<bool, Error> {
        let query = self.query;
        let matching = matches(row, query)?;
        if matching && self.found.matches.len() >= query.limit.max(1) {
            self.found.next = self.found.matches.last().map(|(key, _)| key.clone());
            return Ok(true);
        }
        if matching {
            let key = sort_key(row, query.sort)?;
            self.found.matches.push((key, number(row)?));
        }
        self.visited += 1;
        if self.left() == 0 {
            self.found.next = Some(sort_key(row, query.sort)?);
            return Ok(true);
        }
        Ok(false)
    }
}
