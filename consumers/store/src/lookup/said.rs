//! What was said in parts of the log, for whoever reads on from a position.

use std::collections::BTreeSet;

use licenseflow_avro::{Lane, Offset, PartitionId};

use super::TimelineRow;

/// A part of one partition: from an offset on, up to another that is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// The first offset in it.
    pub from: Offset,
    /// The first offset after it.
    pub to: Offset,
}

/// Which events are asked for. They come span by span, in the order of their offsets.
///
/// An event lies where the record lies that is the event now: one that a lesser record has moved is found
/// at its new place alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SaidQuery {
    /// Whose events.
    pub tenants: BTreeSet<String>,
    /// The parts of the log, which the page walks in this order. A page looks at a bounded number of
    /// offsets, so that it may be short or empty and go on.
    pub spans: Vec<Span>,
    /// The most that a page has.
    pub limit: usize,
}

/// An event where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidEvent {
    /// The event, heartbeats aside, as its license's timeline shows it.
    pub row: TimelineRow,
    /// Who holds its license now.
    pub customer_id: Option<String>,
    /// What its license is for now.
    pub product_id: Option<String>,
}
