//! What the admin API needs of the log, in its own words: whoever wires the process knows how.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use licenseflow_core::contract::{
    Coordinates, Lane, Offset, PartitionId, Position, RawRecord, Reason,
};

/// The lanes that records came from. Calls block.
pub trait Lanes: Send + Sync {
    /// The records at these coordinates, and those for which there was no room; what is in neither is gone.
    ///
    /// # Errors
    /// The brokers are away.
    fn originals(&self, at: &[Coordinates]) -> Result<Originals, LanesAway>;

    /// Publishes records into the partitions that they came from, and says what became of each, in their
    /// order, `within` at most.
    ///
    /// # Errors
    /// None was sent.
    fn publish(
        &self,
        records: Vec<Redriven>,
        within: Duration,
    ) -> Result<Vec<Published>, LanesAway>;

    /// Every partition of both lanes.
    ///
    /// # Errors
    /// The brokers are away.
    fn spans(&self) -> Result<Vec<PartitionSpan>, LanesAway>;

    /// For every partition of both lanes the first offset whose record has this time or a later one, in
    /// milliseconds UTC; its end, where there is none.
    ///
    /// # Errors
    /// The brokers are away.
    fn at_time(&self, time: i64) -> Result<Position, LanesAway>;
}

/// A partition and what lies in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionSpan {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// The first offset that is still there.
    pub begin: Offset,
    /// The end offset.
    pub end: Offset,
}

/// Records that were read, and what was not looked for.
pub type Originals = (HashMap<Coordinates, RawRecord>, HashSet<Coordinates>);

/// A record that is published again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// As it lies in its lane, with its value.
    pub record: RawRecord,
    /// Why it was given up on.
    pub reason: Reason,
    /// Which try this is, the first being 1.
    pub attempt: u32,
}

/// What became of a record that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// All brokers that must have it, have it.
    Acknowledged,
    /// The brokers do not take this record. Why, in words.
    Refused(String),
    /// It may have been written. What is known, in words.
    Unanswered(String),
}

/// The brokers cannot be asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanesAway {
    /// In words.
    pub why: String,
}
