//! Records that wait for another try, as every store keeps them: what a try does to the row of its first, and
//! what is to be done about a row.
//!
//! A row is known by where its record lay first, however often it is tried. It is open until a try of it is
//! accepted or given up on. A record says in its headers which it is a try of; since anybody can write
//! headers, a try counts as one only where its bytes are those of the row.

use licenseflow_avro::{Coordinates, RawRecord, Reason};
use licenseflow_core::Try;

use crate::Error;
use crate::columns::{
    Columns, coordinates, headers_of_blob, lane_of_number, needed, partition_of_number,
};
use crate::dead_letters::reason;
use crate::lookup::{RecordPlace, Retried, WaitingKey};

/// A record that waits, and what is to be done about it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRecord {
    /// The row.
    pub id: i64,
    /// Why it waits.
    pub reason: Reason,
    /// In words.
    pub error: String,
    /// How often it was tried.
    pub attempt: u32,
    /// When it is tried again, in milliseconds UTC.
    pub due: i64,
    /// What is to be done.
    pub step: Step,
    /// The record as it lay when it was tried last; its coordinates are those of the first.
    pub record: RawRecord,
}

impl WaitingRecord {
    /// What is told of it once it is done.
    #[must_use]
    pub fn done(&self) -> Done {
        Done {
            id: self.id,
            attempt: self.attempt,
            step: self.step,
        }
    }
}

/// What is to be done about a record that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A copy goes to the retry topic.
    Copy,
    /// It is due, and goes back into its lane.
    Publish,
}

/// What was done about a row. A row that was tried again meanwhile waits anew, and what was done before says
/// nothing of it: so the try is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The row.
    pub id: i64,
    /// The last try that it had seen.
    pub attempt: u32,
    /// What was done.
    pub step: Step,
}

/// What there is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Those about which something is to be done now, the oldest first.
    pub records: Vec<WaitingRecord>,
    /// When the next is due, in milliseconds UTC; none: nothing waits to be due.
    pub next: Option<i64>,
}

/// The row that a try may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: i64,
    pub(crate) attempt: i64,
    pub(crate) is_open: bool,
    /// When its record was first taken in, in milliseconds UTC.
    pub(crate) timestamp: i64,
}

/// The columns that [`known`] reads.
pub(crate) const KNOWN: &str = "id, attempt, settled_ms is null, timestamp_ms";

/// Reads [`KNOWN`].
pub(crate) fn known(row: &impl Columns) -> Result<Known, Error> {
    Ok(Known {
        id: needed(row.integer(0)?)?,
        attempt: needed(row.integer(1)?)?,
        is_open: needed(row.boolean(2)?)?,
        timestamp: needed(row.integer(3)?)?,
    })
}

/// What a try of this number is to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// It stands for itself: there is no such row, or that was given up on and this is redriven.
    No,
    /// It is the row's next try.
    To(Known),
    /// The row has seen this try: it was published more than once.
    Again,
}

impl Belongs {
    pub(crate) fn of(known: Option<Known>, attempt: u32) -> Self {
        match known {
            Some(known) if i64::from(attempt) <= known.attempt => Self::Again,
            Some(known) if known.is_open => Self::To(known),
            Some(_) | None => Self::No,
        }
    }
}

/// Where the first of a try lay.
pub(crate) fn first(of: &Try, known: &Known) -> Coordinates {
    Coordinates {
        timestamp: known.timestamp,
        offset: of.first,
        ..of.at
    }
}

/// The columns that [`waiting_record`] reads; `{offset}` is the offset's own in each store.
pub(crate) fn waiting_columns(offset: &str) -> String {
    format!(
        "id, timestamp_ms, lane, partition, {offset}, reason, error, attempt, due_ms, copied_ms is null, key, value, \
         headers"
    )
}

/// Reads [`waiting_columns`].
pub(crate) fn waiting_record(row: &impl Columns) -> Result<WaitingRecord, Error> {
    let attempt = needed(row.integer(7)?)?;
    let step = match needed(row.boolean(9)?)? {
        true => Step::Copy,
        false => Step::Publish,
    };
    Ok(WaitingRecord {
        id: needed(row.integer(0)?)?,
        reason: reason(row, 5)?,
        error: needed(row.text(6)?)?.to_owned(),
        attempt: u32::try_from(attempt).map_err(|error| Error::Broken(error.into()))?,
        due: needed(row.integer(8)?)?,
        step,
        record: RawRecord {
            at: coordinates(row, 1)?,
            key: row.bytes(10)?.map(<[u8]>::to_vec),
            value: row.bytes(11)?.map(<[u8]>::to_vec),
            headers: headers_of_blob(row.bytes(12)?.unwrap_or_default())?,
        },
    })
}

/// The columns that [`waiting_key`] reads, of rows whose record may be a license's.
pub(crate) fn waiting_keys(offset: &str) -> String {
    // A longer key is none of a license.
    format!(
        "select lane, partition, {offset}, key from waiting \
         where settled_ms is null and key is not null and octet_length(key) <= 128"
    )
}

/// Reads [`waiting_keys`].
pub(crate) fn waiting_key(row: &impl Columns) -> Result<WaitingKey, Error> {
    Ok(WaitingKey {
        place: record_place(row, 0)?,
        key: needed(row.bytes(3)?)?.into(),
    })
}

/// What a journey shows of the tries before one, beginning with where the first lay: reads lane, partition,
/// offset, attempt, since_ms, reason.
pub(crate) fn retried(row: &impl Columns) -> Result<Retried, Error> {
    Ok(Retried {
        first: record_place(row, 0)?,
        attempts: needed(row.integer(3)?)?,
        since: needed(row.integer(4)?)?,
        reason: reason(row, 5)?,
    })
}

fn record_place(row: &impl Columns, first: usize) -> Result<RecordPlace, Error> {
    Ok((
        lane_of_number(needed(row.integer(first)?)?)?,
        partition_of_number(needed(row.integer(first + 1)?)?)?,
        needed(row.integer(first + 2)?)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_belongs_to_its_row_once_and_a_row_that_is_settled_takes_none() {
        let row = |attempt, is_open| {
            Some(Known {
                id: 1,
                attempt,
                is_open,
                timestamp: 0,
            })
        };
        assert_eq!(Belongs::of(None, 2), Belongs::No);
        assert_eq!(
            Belongs::of(row(1, true), 2),
            Belongs::To(row(1, true).unwrap())
        );
        for is_open in [true, false] {
            assert_eq!(Belongs::of(row(2, is_open), 2), Belongs::Again);
        }
        assert_eq!(
            Belongs::of(row(6, false), 7),
            Belongs::No,
            "it was redriven"
        );
    }
}
