//! A generation read whole, as it is stored: for whoever compares it with the log, or with another generation.
//!
//! All of one audit is of one moment, its position among it, while writes go on. Rows are handed over as they
//! lie, one at a time and never all at once; what they should be is not known here. A row that cannot be read
//! is handed over too, as one, since somebody may have changed it by hand: the audit goes on behind it.

use licenseflow_avro::{LicenseKey, Position};
use licenseflow_core::Buckets;
use licenseflow_core::digest::bucket_of;

use crate::Error;

mod fates;
mod numbers;
mod rows;

pub use fates::{Fate, FateRow, content_of};
pub(crate) use fates::{
    conflict_columns, conflict_row, rejected_columns, rejected_row, waiting_columns, waiting_row,
};
pub(crate) use numbers::NumberTable;
pub use numbers::{Numbers, Values, What, dimension_name, numbers_of};
pub(crate) use rows::{
    DEVICE_OF, EVENT_OF, LICENSE_BESIDE, LICENSE_OF, USAGE_OF, device_row, event_columns,
    license_row, stored_event, usage_row,
};
pub use rows::{Part, StoredEvent, StoredRow, StoredState};

/// One generation of a store, to be read whole. Calls block.
pub trait Audit: Send + Sync {
    /// Begins a snapshot: everything asked of it is of one moment, while writes go on. The store keeps what
    /// is overwritten meanwhile for as long as it is held.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`], as of every method here.
    fn begin(&self) -> Result<Box<dyn Audited + '_>, Error>;
}

/// Where the generation stands in the snapshot, and what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditedAt {
    /// Its number.
    pub generation: i64,
    /// Where it stands.
    pub position: Position,
    /// How far `occurred_at` may be ahead of a record's timestamp in it, in microseconds.
    pub max_future_skew_micros: i64,
}

/// A row of the model, and whose it is.
pub type VisitRow<'v> = &'v mut dyn FnMut(&LicenseKey, StoredRow) -> Result<(), Error>;

/// An event of a timeline, and whose it is.
pub type VisitEvent<'v> = &'v mut dyn FnMut(&LicenseKey, StoredEvent) -> Result<(), Error>;

/// What became of a record that did not count.
pub type VisitFate<'v> = &'v mut dyn FnMut(FateRow) -> Result<(), Error>;

/// A part of a number that is kept; the number is the sum of its parts.
pub type VisitNumber<'v> = &'v mut dyn FnMut(What, Values) -> Result<(), Error>;

/// One snapshot of a generation. It ends when it is dropped.
pub trait Audited {
    /// Where it stands.
    fn at(&self) -> &AuditedAt;

    /// The digest as it is kept.
    ///
    /// # Errors
    /// As [`Audit::begin`], as of every method here, or what `visit` gives.
    fn kept(&mut self) -> Result<Buckets, Error>;

    /// Every row of the model, licenses, devices and metrics, of the licenses in the chosen buckets; in any
    /// order.
    ///
    /// # Errors
    /// As above.
    fn rows_in(&mut self, chosen: &dyn Fn(u8) -> bool, visit: VisitRow<'_>) -> Result<(), Error>;

    /// The digest of the rows as they are stored, every row read and hashed.
    ///
    /// # Errors
    /// As above.
    fn stored(&mut self) -> Result<Buckets, Error> {
        let mut buckets = Buckets::default();
        self.rows_in(&|_| true, &mut |key, row| {
            buckets.add(bucket_of(key), row.digest(key));
            Ok(())
        })?;
        Ok(buckets)
    }

    /// Every event of every timeline, in any order.
    ///
    /// # Errors
    /// As above.
    fn timeline(&mut self, visit: VisitEvent<'_>) -> Result<(), Error>;

    /// What was rejected and what waits or waited, in any order.
    ///
    /// # Errors
    /// As above.
    fn fates(&mut self, visit: VisitFate<'_>) -> Result<(), Error>;

    /// Totals and numbers of events as they are kept, in parts.
    ///
    /// # Errors
    /// As above.
    fn numbers(&mut self, visit: VisitNumber<'_>) -> Result<(), Error>;

    /// How many rows of devices, metrics and timelines are of no license, by their tables' names; without
    /// those of which there are none.
    ///
    /// # Errors
    /// As above.
    fn orphans(&mut self) -> Result<Vec<(&'static str, i64)>, Error>;

    /// All that is stored of one license, found by its name.
    ///
    /// # Errors
    /// As above.
    fn license(&mut self, key: &LicenseKey) -> Result<StoredLicense, Error>;
}

/// All that is stored of one license.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredLicense {
    /// Its row, its devices and its metrics; there is none where there is no such license.
    pub rows: Vec<StoredRow>,
    /// Its events, voided ones too, in any order.
    pub timeline: Vec<StoredEvent>,
    /// Its conflicts, the letters that name it, and what still waits under its `license_id`.
    pub fates: Vec<FateRow>,
}

/// Hands over what can be read, and as unreadable what is stored and cannot be.
pub(crate) fn or_unreadable<T>(
    read: Result<T, Error>,
    unreadable: impl FnOnce(String) -> T,
) -> Result<T, Error> {
    match read {
        Err(Error::Broken(why)) => Ok(unreadable(why.to_string())),
        read => read,
    }
}
