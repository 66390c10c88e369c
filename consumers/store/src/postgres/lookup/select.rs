//! The statements of the list of licenses: a piece of a sort's order, from where the last one ended.
//!
//! What comes after (value, number) is one comparison of rows, which the sort's index serves: it knows
//! (tenant_id, value, number). The other end of a range over `expires_at` is a bound of its own.

use tokio_postgres::types::ToSql;

use crate::Error;
use crate::lookup::{LicenseQuery, SortBy, SortKey};
use crate::narrow::{NARROW, other_sort, range};

const EXPIRES_OR_NEVER: &str = "coalesce(expires_at, 9223372036854775807)";
const LAST_EVENT_OR_NONE: &str = "coalesce(last_event_at, -1)";

/// Where a piece of the list begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// At the beginning of the texts, whichever way they go.
    Texts,
    /// After this text.
    Text(String),
    /// After this (value, number).
    Number(i64, i64),
}

impl Start {
    /// Where the page begins.
    pub(super) fn of(query: &LicenseQuery) -> Result<Self, Error> {
        match (query.sort, &query.after) {
            (SortBy::LicenseId, None) => Ok(Self::Texts),
            (SortBy::LicenseId, Some(SortKey::Text(after))) => Ok(Self::Text(after.clone())),
            (SortBy::ExpiresAt | SortBy::LastEventAt, after) => {
                let bound = near_end(query);
                match after {
                    None => Ok(Self::Number(bound.0, bound.1)),
                    Some(SortKey::Number(value, number)) => {
                        let after = (*value, *number);
                        let (value, number) = if query.descending {
                            after.min(bound)
                        } else {
                            after.max(bound)
                        };
                        Ok(Self::Number(value, number))
                    }
                    Some(SortKey::Text(_)) => Err(other_sort()),
                }
            }
            (SortBy::LicenseId, Some(SortKey::Number(..))) => Err(other_sort()),
        }
    }

    /// After a row that was looked at.
    pub(super) fn after(key: SortKey) -> Self {
        match key {
            SortKey::Text(text) => Self::Text(text),
            SortKey::Number(value, number) => Self::Number(value, number),
        }
    }
}

/// Just before the first row of the range, as the list goes. No license has these numbers.
fn near_end(query: &LicenseQuery) -> (i64, i64) {
    let (low, high) = range(query);
    if query.descending {
        (high, i64::MAX)
    } else {
        (low, i64::MIN)
    }
}

/// A statement with what it is given.
pub(super) struct Select {
    pub(super) sql: String,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Select {
    /// The narrow columns of at most so many rows from here on; of one customer's rows alone where one
    /// is named.
    pub(super) fn new(
        query: &LicenseQuery,
        customer: Option<&str>,
        start: &Start,
        rows: i64,
    ) -> Self {
        let (direction, beyond, within) = if query.descending {
            ("desc", "<", ">=")
        } else {
            ("asc", ">", "<=")
        };
        let value = match query.sort {
            SortBy::LicenseId => "license_id",
            SortBy::ExpiresAt => EXPIRES_OR_NEVER,
            SortBy::LastEventAt => LAST_EVENT_OR_NONE,
        };
        let mut values: Vec<Box<dyn ToSql + Sync>> =
            vec![Box::new(query.tenant_id.clone()), Box::new(rows)];
        let range = match start {
            Start::Texts => "true".to_owned(),
            Start::Text(text) => {
                values.push(Box::new(text.clone()));
                format!("{value} {beyond} $3")
            }
            Start::Number(from, number) => {
                let (low, high) = range(query);
                let far_end = if query.descending { low } else { high };
                values.extend([*from, *number, far_end].map(|it| Box::new(it) as _));
                format!("({value}, number) {beyond} ($3, $4) and {value} {within} $5")
            }
        };
        let order = match query.sort {
            SortBy::LicenseId => format!("{value} {direction}"),
            SortBy::ExpiresAt | SortBy::LastEventAt => {
                format!("{value} {direction}, number {direction}")
            }
        };
        let sql = match customer {
            None => format!(
                "select {NARROW} from license where tenant_id = $1 and lifecycle is not null and {range} \
                 order by {order} limit $2"
            ),
            Some(customer_id) => {
                values.push(Box::new(customer_id.to_owned()));
                let last = values.len();
                // Its few rows are gathered before they are sorted: no index has both.
                format!(
                    "with few as materialized (select {NARROW} from license \
                     where tenant_id = $1 and lifecycle is not null and customer_id = ${last}) \
                     select {NARROW} from few where {range} order by {order} limit $2"
                )
            }
        };
        Self { sql, values }
    }

    /// What the statement is given, in its order.
    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value).collect()
    }
}
