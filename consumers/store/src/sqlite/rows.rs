//! How a column of SQLite's is read, and what its columns are called where another store cannot.

use rusqlite::Row;
use rusqlite::types::FromSqlError;

pub(crate) use crate::columns::{
    CONFLICT, Columns, DEVICE_COLUMNS, LICENSE_COLUMN_COUNT, LICENSE_COLUMNS, body_of, coordinates,
    device_state, event_hash, headers_blob, lane_number, lane_of_number, license_state,
    lifecycle_number, order_key_blob, recorded_event, voids, voids_blob,
};

use crate::Error;

/// The columns that [`recorded_event`] reads, in its order.
pub(crate) const TIMELINE_COLUMNS: &str =
    "event_id, timestamp_ms, lane, partition, offset, request_id, body";

impl Columns for Row<'_> {
    fn integer(&self, column: usize) -> Result<Option<i64>, Error> {
        self.get_ref(column)?
            .as_i64_or_null()
            .map_err(broken_column)
    }

    fn boolean(&self, column: usize) -> Result<Option<bool>, Error> {
        Ok(self.integer(column)?.map(|number| number != 0))
    }

    fn text(&self, column: usize) -> Result<Option<&str>, Error> {
        self.get_ref(column)?
            .as_str_or_null()
            .map_err(broken_column)
    }

    fn bytes(&self, column: usize) -> Result<Option<&[u8]>, Error> {
        self.get_ref(column)?
            .as_blob_or_null()
            .map_err(broken_column)
    }
}

fn broken_column(error: FromSqlError) -> Error {
    Error::Broken(Box::new(error))
}
