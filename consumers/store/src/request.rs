//! What is read of a request's journey, whatever the store: which entries of its rows belong to a page,
//! and what a rejected row says of a record.

use std::collections::BTreeMap;

use licenseflow_avro::Coordinates;

use crate::Error;
use crate::columns::{Columns, needed};
use crate::dead_letters::reason;
use crate::journey::{StoredEntry, coordinates_hash, decode, request_hash};
use crate::lookup::{JourneyOutcome, JourneyQuery, RecordPlace};

/// The first entries in order, up to one more than a page.
pub(crate) struct Gathered<'q> {
    asked: &'q JourneyQuery,
    entries: BTreeMap<RecordPlace, (i64, StoredEntry)>,
}

impl<'q> Gathered<'q> {
    pub(crate) fn new(asked: &'q JourneyQuery) -> Self {
        let entries = BTreeMap::new();
        Self { asked, entries }
    }

    /// The hashes of the rows that may hold the request's records.
    pub(crate) fn hashes(asked: &JourneyQuery, seed: u64) -> impl Iterator<Item = i64> {
        let by_coordinates = asked
            .by_coordinates
            .map(|(lane, partition, offset)| coordinates_hash(lane, partition, offset, seed));
        std::iter::once(request_hash(&asked.request_id, seed)).chain(by_coordinates)
    }

    /// Takes from a row of batch, request id and entries what belongs to the request.
    pub(crate) fn take(&mut self, row: &impl Columns) -> Result<(), Error> {
        let asked = self.asked;
        let batch = needed(row.integer(0)?)?;
        let request_id = row.text(1)?;
        let of_request = |at: &Coordinates| match request_id {
            Some(request_id) => request_id == asked.request_id.as_str(),
            None => Some(place(at)) == asked.by_coordinates,
        };
        for entry in decode(needed(row.bytes(2)?)?)? {
            let place = place(&entry.at);
            if of_request(&entry.at) && asked.after.is_none_or(|after| place > after) {
                self.entries.insert(place, (batch, entry));
            }
            if self.entries.len() > asked.limit.max(1) + 1 {
                self.entries.pop_last();
            }
        }
        Ok(())
    }

    /// The entries in order, each with its batch.
    pub(crate) fn into_entries(self) -> Vec<(i64, StoredEntry)> {
        self.entries.into_values().collect()
    }
}

/// What a rejected row says of its record, from its first three columns: reason, error, sent_at_ms.
pub(crate) fn rejection(row: &impl Columns) -> Result<JourneyOutcome, Error> {
    Ok(JourneyOutcome::Rejected {
        reason: reason(row, 0)?,
        error: needed(row.text(1)?)?.to_owned(),
        dead_lettered_at: row.integer(2)?,
    })
}

/// Where a record lies.
pub(crate) fn place(at: &Coordinates) -> RecordPlace {
    (at.lane, at.partition, at.offset)
}
