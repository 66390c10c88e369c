//! A batch that the store refuses is narrowed down to the record at fault: halves are tried, read again from
//! the store's position, until one record is refused alone. That one is rejected, and all others are written.
//!
//! Records are not kept for it: the log gives them again, as after any other failure.

use std::collections::BTreeMap;

use licenseflow_avro::reason::Fault;
use licenseflow_avro::{Coordinates, Lane, Offset, PartitionId, Position};
use licenseflow_kafka::LanePartition;

/// Batches in a row that the store takes while the record at fault does not show: it is there no more.
const TAKEN_MAX: u32 = 256;

/// What a batch was, for when it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) records: usize,
    /// The first of its records.
    pub(crate) first: Option<Coordinates>,
}

/// What is done about a refused batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is read again, and smaller ones are tried, or the record at fault is rejected.
    Again,
    /// The store refuses a record even as a rejected one.
    Leave(LanePartition),
    /// There was no record in it.
    End,
}

/// What is known of records that the store refuses.
#[derive(Debug, Default)]
pub(crate) struct Narrowing {
    /// The most records that a batch has; none: it is not looked for any.
    records_max: Option<usize>,
    taken: u32,
    /// Those that were refused alone, until they are written as rejected ones.
    refused: BTreeMap<(Lane, PartitionId, Offset), Fault>,
}

impl Narrowing {
    /// The most records of a batch.
    pub(crate) fn records_max(&self, otherwise: usize) -> usize {
        self.records_max
            .map_or(otherwise, |most| most.min(otherwise))
    }

    /// The fault of a record that was refused alone.
    pub(crate) fn fault_of(&self, at: &Coordinates) -> Option<&Fault> {
        // Nearly always there is none, and this is asked for each record.
        if self.refused.is_empty() {
            return None;
        }
        self.refused.get(&(at.lane, at.partition, at.offset))
    }

    /// The store refuses this batch.
    pub(crate) fn refuses(&mut self, tried: Tried, fault: Fault) -> Next {
        self.taken = 0;
        let Some(first) = tried.first else {
            return Next::End;
        };
        if tried.records > 1 {
            self.records_max = Some(tried.records / 2);
            return Next::Again;
        }
        let place = (first.lane, first.partition, first.offset);
        if self.refused.insert(place, fault).is_some() {
            return Next::Leave((first.lane, first.partition));
        }
        self.records_max = Some(1);
        Next::Again
    }

    /// The store has taken a batch. Once nobody is looked for, batches grow again.
    pub(crate) fn takes(&mut self, position: &Position, records_most: usize) {
        let Some(most) = self.records_max else {
            return;
        };
        let known = self.refused.len();
        self.refused.retain(|(lane, partition, offset), _| {
            position
                .get(*lane, *partition)
                .is_none_or(|next| next <= *offset)
        });
        self.taken += 1;
        let is_found = self.refused.len() < known;
        if is_found || self.taken > TAKEN_MAX {
            self.taken = TAKEN_MAX;
        }
        if self.taken >= TAKEN_MAX && self.refused.is_empty() {
            let most = most.saturating_mul(2);
            self.records_max = (most < records_most).then_some(most);
        }
    }

    /// The partition is no longer ours.
    pub(crate) fn forget(&mut self, of: &LanePartition) {
        self.refused
            .retain(|(lane, partition, _), _| (*lane, *partition) != *of);
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::Reason;

    use super::*;

    fn at(offset: Offset) -> Coordinates {
        Coordinates {
            timestamp: 0,
            lane: Lane::Bulk,
            partition: 0,
            offset,
        }
    }

    /// Reads a log of so many records as the loop does, with a store that refuses some: which were rejected,
    /// and how often the store refused.
    fn run(records: Offset, bad: &[Offset]) -> (Vec<Offset>, usize) {
        let (mut narrowing, mut next) = (Narrowing::default(), 0);
        let (mut rejected, mut refusals) = (Vec::new(), 0);
        while next < records {
            let most = narrowing.records_max(1000) as Offset;
            let to = (next + most).min(records);
            let is_refused = |offset: &Offset| {
                bad.contains(offset) && narrowing.fault_of(&at(*offset)).is_none()
            };
            let tried = Tried {
                records: (to - next) as usize,
                first: Some(at(next)),
            };
            if (next..to).any(|offset| is_refused(&offset)) {
                refusals += 1;
                let fault = Fault::new(Reason::StoreRefused, "no");
                assert_eq!(narrowing.refuses(tried, fault), Next::Again);
                continue;
            }
            rejected.extend((next..to).filter(|it| narrowing.fault_of(&at(*it)).is_some()));
            next = to;
            let mut position = Position::default();
            position.set(Lane::Bulk, 0, next);
            narrowing.takes(&position, 1000);
        }
        assert_eq!(narrowing.fault_of(&at(0)), None);
        (rejected, refusals)
    }

    #[test]
    fn the_records_at_fault_are_found_among_all_others_in_few_steps() {
        for bad in [vec![0], vec![999], vec![500], vec![3, 4, 700], vec![]] {
            let (rejected, refusals) = run(1000, &bad);
            assert_eq!(rejected, bad);
            assert!(refusals <= 20 * bad.len(), "{refusals} for {bad:?}");
        }
    }

    #[test]
    fn batches_grow_again_and_a_record_that_is_refused_even_as_rejected_leaves_its_partition() {
        let mut narrowing = Narrowing::default();
        let fault = || Fault::new(Reason::StoreRefused, "no");
        let alone = Tried {
            records: 1,
            first: Some(at(7)),
        };
        assert_eq!(narrowing.refuses(alone, fault()), Next::Again);
        assert_eq!(
            narrowing.refuses(alone, fault()),
            Next::Leave((Lane::Bulk, 0))
        );
        narrowing.forget(&(Lane::Bulk, 0));
        let mut position = Position::default();
        for next in 0..TAKEN_MAX + 10 {
            position.set(Lane::Bulk, 1, Offset::from(next));
            narrowing.takes(&position, 1000);
        }
        assert_eq!(narrowing.records_max(1000), 1000);
        let none = Tried {
            records: 0,
            first: None,
        };
        assert_eq!(narrowing.refuses(none, fault()), Next::End);
    }
}
