//! Where records come from, as the projector sees it: the seam at which its tests stand.
//!
//! A partition that is ours is read only after [`Source::restart`] has said from where, and no more
//! after [`Source::release`]. One way for every case: an assignment, a lost compare-and-set, a store
//! that was away, a registry that was away, and too much at hand.

use std::time::{Duration, Instant};

use licenseflow_avro::{Lane, Offset, PartitionId, Position, RawRecord};

use crate::Result;

/// A partition of a lane.
pub type LanePartition = (Lane, PartitionId);

/// Where the reading of a partition starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub next_offset: Offset,
    /// The greatest timestamp of what was applied before it, in milliseconds UTC: by it a log is told from
    /// another. None where no record was.
    pub last_timestamp: Option<i64>,
}

/// The end of a partition, as a broker told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// The last stable offset.
    pub end_offset: Offset,
    /// When it was asked for: the end was there at this time or later.
    pub asked: Instant,
}

/// Which lanes a poll may take a record from, and of which it tries first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// The interactive lane; the bulk lane waits.
    Interactive,
    /// Both, the interactive lane first.
    InteractiveFirst,
    /// Both, the bulk lane first.
    BulkFirst,
}

/// What one poll gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// The next record of a partition that is read.
    Record(RawRecord),
    /// There is no record to come before `next_offset` in a partition that is read: what is left are
    /// transaction markers and aborted records.
    Passed {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: PartitionId,
        /// The next offset to read.
        next_offset: Offset,
    },
    /// Where partitions that are ours end.
    Ends(Vec<PartitionEnd>),
    /// These partitions are ours and are not read: have them restarted from the store's position.
    Assigned(Vec<LanePartition>),
    /// These partitions are no longer ours.
    Revoked(Vec<LanePartition>),
    /// This partition is ours but cannot be read on; `reason` says what to do.
    Halted {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: PartitionId,
        /// What is wrong, and the command to run.
        reason: String,
    },
    /// Nothing in the time given.
    Idle,
}

/// Where records come from.
pub trait Source: Send {
    /// What comes next, or [`Polled::Idle`] after `timeout`; records only of `lanes`, everything else
    /// whichever they are. Must be called often: membership in the group lives on it.
    ///
    /// # Errors
    /// Only what does not heal by itself.
    fn poll(&mut self, lanes: Lanes, timeout: Duration) -> Result<Polled>;

    /// Reads these partitions from there. What was fetched of them before never comes out. Those
    /// that are not ours are left out.
    ///
    /// # Errors
    /// Only what does not heal by itself.
    fn restart(&mut self, starts: &[Start]) -> Result<()>;

    /// Reads these partitions no more, and throws away what was fetched; they stay ours.
    ///
    /// # Errors
    /// Only what does not heal by itself.
    fn release(&mut self, partitions: &[LanePartition]) -> Result<()>;

    /// Where the store stands: a hint for Kafka's own tools, from which nothing is ever read.
    fn applied(&mut self, position: &Position);
}
