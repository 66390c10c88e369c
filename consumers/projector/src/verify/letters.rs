//! What the store says became of records that did not count at once.

use std::collections::HashMap;

use licenseflow_avro::{Coordinates, LicenseKey, Offset};
use licenseflow_store::audit::{Fate, FateRow};
use licenseflow_store::lookup::RecordPlace;
use licenseflow_store::{Audited, Error};

use super::difference::{Difference, Part};
use super::reading::place;

/// A record that was rejected.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) at: Coordinates,
    pub(super) reason: String,
    pub(super) names: Option<LicenseKey>,
    pub(super) content: u64,
}

/// A record that waits, or waited.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pub(super) at: Coordinates,
    pub(super) reason: String,
    pub(super) hash: Vec<u8>,
    /// None: a try of it was accepted or given up on.
    pub(super) content: Option<u64>,
    /// Where that try lay.
    pub(super) settled: Option<Offset>,
}

/// All of them, by where they lay first.
#[derive(Debug, Clone, Default)]
pub(super) struct Letters {
    pub(super) rejected: HashMap<RecordPlace, Letter>,
    pub(super) waiting: HashMap<RecordPlace, Wait>,
    /// What cannot be, whatever the log says.
    pub(super) faults: Vec<Difference>,
}

/// What a record is called in a table: as a position calls its place.
pub(super) fn named(at: &Coordinates) -> String {
    format!("{}:{}:{}", at.lane.letter(), at.partition, at.offset)
}

impl Letters {
    /// Takes in what became of a record. A conflict is taken in where it is of no license; one that is of a
    /// license is held against that.
    pub(super) fn take(&mut self, row: FateRow) {
        let at = row.at;
        match row.fate {
            Fate::Conflict { event_id, .. } => {
                let name = format!("conflict of {event_id} at {}", named(&at));
                let fault = Difference::of_some(row.license.as_ref(), Part::Rejected, name);
                self.faults.push(fault.stored("of no license"));
            }
            Fate::Rejected { content } => {
                let letter = Letter {
                    at,
                    reason: row.reason,
                    names: row.license,
                    content,
                };
                if let Some(other) = self.rejected.insert(place(&at), letter) {
                    let fault =
                        Difference::of_some(other.names.as_ref(), Part::Rejected, named(&at));
                    self.faults.push(fault.stored("more than one row"));
                }
            }
            Fate::Waiting {
                hash,
                content,
                settled_offset,
            } => {
                let wait = Wait {
                    at,
                    reason: row.reason,
                    hash,
                    content,
                    settled: settled_offset,
                };
                self.waiting.insert(place(&at), wait);
            }
        }
    }

    /// Those of every record but conflicts: whose a record is that did not decode then, only the log says.
    pub(super) fn of_all(audited: &mut dyn Audited) -> Result<Self, Error> {
        let mut letters = Self::default();
        audited.fates(&mut |row| {
            if !matches!(row.fate, Fate::Conflict { .. }) {
                letters.take(row);
            }
            Ok(())
        })?;
        Ok(letters)
    }

    /// Where the records lay first.
    pub(super) fn places(&self) -> impl Iterator<Item = RecordPlace> + '_ {
        self.rejected.keys().chain(self.waiting.keys()).copied()
    }
}
