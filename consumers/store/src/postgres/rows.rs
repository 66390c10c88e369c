//! How a column of PostgreSQL's is read, and what its columns are called where another store's are not.

use std::error::Error as StdError;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type, accepts};

use crate::Error;
use crate::columns::Columns;

/// The columns that [`crate::columns::recorded_event`] reads, in its order.
pub(crate) const TIMELINE_COLUMNS: &str =
    "event_id, timestamp_ms, lane, partition, log_offset, request_id, body";

/// An integer of any width.
struct Integer(i64);

impl<'a> FromSql<'a> for Integer {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let number = match *raw {
            [a, b] => i64::from(i16::from_be_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
            _ => i64::from_be_bytes(raw.try_into()?),
        };
        Ok(Self(number))
    }

    accepts!(INT2, INT4, INT8);
}

/// Bytes as they are sent: a uuid is sixteen.
struct Bytes<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(raw))
    }

    accepts!(BYTEA, UUID);
}

impl Columns for Row {
    fn integer(&self, column: usize) -> Result<Option<i64>, Error> {
        let number: Option<Integer> = self.try_get(column)?;
        Ok(number.map(|it| it.0))
    }

    fn boolean(&self, column: usize) -> Result<Option<bool>, Error> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: usize) -> Result<Option<&str>, Error> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: usize) -> Result<Option<&[u8]>, Error> {
        let bytes: Option<Bytes<'_>> = self.try_get(column)?;
        Ok(bytes.map(|it| it.0))
    }
}
