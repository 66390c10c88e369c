//! What was read and not yet handed to the store.
//!
//! It owns the batch that grows and the place of each partition that is read, and keeps the one rule
//! on which everything rests: a partition's spans follow one another without a gap or an overlap.

use std::collections::BTreeMap;

use licenseflow_avro::reason::Fault;
use licenseflow_avro::{LicenseEvent, Offset, RawRecord};
use licenseflow_core::batch::Envelope;
use licenseflow_core::{Batch, PackedBatch, Try, Waiting};
use licenseflow_kafka::{LanePartition, Start};

/// The batch that grows, and where each partition that is read stands.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    batch: Batch,
    next: BTreeMap<LanePartition, Offset>,
    accepted: usize,
}

/// A batch on its way to the store, and what is counted of it.
#[derive(Debug)]
pub(crate) struct HandedOver {
    pub(crate) batch: Batch,
    /// Records that say an event, heartbeats aside.
    pub(crate) events: usize,
    pub(crate) accepted: usize,
}

impl Growing {
    /// A partition is read from there on.
    pub(crate) fn begin(&mut self, of: LanePartition, next_offset: Offset) {
        self.next.insert(of, next_offset);
    }

    /// A partition is read no more; what the batch has of it stays.
    pub(crate) fn leave(&mut self, of: &LanePartition) {
        self.next.remove(of);
    }

    /// Whether the next record of the partition may be this one: it is read, and not behind.
    pub(crate) fn expects(&self, record: &RawRecord) -> bool {
        let next = self.next.get(&(record.at.lane, record.at.partition));
        next.is_some_and(|next| record.at.offset >= *next)
    }

    pub(crate) fn accept(&mut self, record: &RawRecord, event: &LicenseEvent) {
        self.deal_with(record);
        self.accepted += 1;
        let envelope = Envelope::of(&record.headers);
        self.batch.accept(record.at, envelope, event);
        self.batch.retried.extend(Try::of(record));
    }

    pub(crate) fn wait(&mut self, waiting: Waiting) {
        self.deal_with(&waiting.record);
        self.batch.wait(waiting);
    }

    /// How many of its records wait for another try.
    pub(crate) fn waiting(&self) -> usize {
        self.batch.waiting.len()
    }

    pub(crate) fn reject(&mut self, record: RawRecord, fault: Fault) {
        self.deal_with(&record);
        self.batch.reject(record, fault);
    }

    fn deal_with(&mut self, record: &RawRecord) {
        let at = record.at;
        self.pass((at.lane, at.partition), at.offset + 1);
        self.batch
            .note_timestamp(at.lane, at.partition, at.timestamp);
    }

    /// There is no record before `to` in what is read of the partition.
    pub(crate) fn pass(&mut self, (lane, partition): LanePartition, to: Offset) {
        if let Some(next) = self.next.get_mut(&(lane, partition))
            && *next < to
        {
            self.batch.advance(lane, partition, *next, to);
            *next = to;
        }
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether no more may be taken.
    pub(crate) fn is_full(&self, records_max: usize, bytes_max: usize) -> bool {
        self.batch.records >= records_max || self.batch.bytes >= bytes_max
    }

    /// How many records and bytes it holds.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.batch.records, self.batch.bytes)
    }

    /// Whether the partition is read.
    pub(crate) fn reads(&self, of: &LanePartition) -> bool {
        self.next.contains_key(of)
    }

    /// Whether the batch deals with offsets of the partition.
    pub(crate) fn deals_with(&self, of: &LanePartition) -> bool {
        self.batch.spans.contains_key(of)
    }

    /// The partitions that are read.
    pub(crate) fn read(&self) -> Vec<LanePartition> {
        self.next.keys().copied().collect()
    }

    /// Where each partition that is read goes on.
    pub(crate) fn places(&self) -> Vec<Start> {
        let each = self.next.iter();
        each.map(|((lane, partition), next)| Start {
            lane: *lane,
            partition: *partition,
            next_offset: *next,
            last_timestamp: None,
        })
        .collect()
    }

    pub(crate) fn read_count(&self) -> usize {
        self.next.len()
    }

    /// Takes the batch; the next one starts where it ends.
    pub(crate) fn hand_over(&mut self) -> HandedOver {
        let batch = std::mem::take(&mut self.batch);
        let events = batch.licenses.values().map(PackedBatch::events).sum();
        HandedOver {
            batch,
            events,
            accepted: std::mem::take(&mut self.accepted),
        }
    }

    /// Throws the batch away, and all places with it: they are asked of the store anew.
    pub(crate) fn start_over(&mut self) {
        *self = Growing::default();
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::{Coordinates, Lane, Reason};

    use super::*;

    const OF: LanePartition = (Lane::Interactive, 3);

    fn record(offset: Offset) -> RawRecord {
        let at = Coordinates {
            timestamp: 70 + offset,
            lane: OF.0,
            partition: OF.1,
            offset,
        };
        RawRecord {
            at,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    fn reject(growing: &mut Growing, offset: Offset) {
        assert!(growing.expects(&record(offset)));
        growing.reject(record(offset), Fault::new(Reason::Tombstone, "null"));
    }

    #[test]
    fn spans_follow_one_another_over_gaps_and_batches() {
        let mut growing = Growing::default();
        growing.begin(OF, 5);
        reject(&mut growing, 7);
        reject(&mut growing, 9);
        let first = growing.hand_over().batch;
        growing.pass(OF, 12);
        let second = growing.hand_over().batch;
        let span = |batch: &Batch| {
            batch
                .spans
                .get(&OF)
                .map(|span| (span.from, span.to, span.last_timestamp))
        };
        assert_eq!(span(&first), Some((5, 10, Some(79))));
        assert_eq!(span(&second), Some((10, 12, None)));
        assert!(growing.is_empty());
    }

    #[test]
    fn what_is_behind_or_not_read_is_not_expected() {
        let mut growing = Growing::default();
        assert!(!growing.expects(&record(5)));
        growing.begin(OF, 5);
        assert!(!growing.expects(&record(4)));
        growing.pass(OF, 4);
        assert!(growing.is_empty());
        growing.leave(&OF);
        assert!(!growing.expects(&record(5)));
    }
}
