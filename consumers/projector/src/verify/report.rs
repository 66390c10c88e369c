//! What the comparison of a whole generation with the log gave.

use licenseflow_avro::Position;

use super::difference::Difference;
use super::fates::Apart;

/// What the comparison gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeReport {
    /// Whether the read model is what the log says.
    pub equal: bool,
    /// The digest of the log, folded anew.
    pub expected: String,
    /// The digest that the store keeps.
    pub found: String,
    /// The digest of the rows as they are stored.
    pub rows: String,
    /// The position at which they were compared.
    pub position: Position,
    /// The generation.
    pub generation: i64,
    /// The buckets in which the three digests are not the same, in order.
    pub buckets_that_differ: Vec<u8>,
    /// Records that were read.
    pub records: u64,
    /// Records that were accepted.
    pub accepted: u64,
    /// How many licenses differ.
    pub licenses_that_differ: u64,
    /// The differences, license by license, as many of them as were asked for.
    pub differences: Vec<Difference>,
    /// How many there are; each license that is not told counts as one.
    pub differences_count: u64,
    /// Records that did not count then and would now, or the reverse: as many of them as differences.
    pub apart: Vec<Apart>,
    /// How many there are.
    pub apart_count: u64,
    /// Records that waited and would be accepted at once now, and of which a try counts.
    pub retried: u64,
}
