//! When a partition's rejects point at us: a release that is too old for its schemas would empty the log
//! into the dead-letter topic, one well-formed record after the other. It is better left alone.
//!
//! A record's own fault says nothing here, however often: a client that sends nothing but garbage must not
//! stop those who share its partition.

use std::collections::{BTreeMap, VecDeque};

use licenseflow_avro::Offset;
use licenseflow_avro::reason::Fault;
use licenseflow_kafka::LanePartition;

/// How many records that were rejected for what may be our own fault are too many for a partition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuspectsMax {
    /// So many one after the other; 0: any number.
    pub run: usize,
    /// So great a share of the last [`SuspectsMax::WINDOW`] records; over 1: any.
    pub share: f64,
}

impl SuspectsMax {
    /// How many records a share is of.
    pub const WINDOW: usize = 100;
}

impl Default for SuspectsMax {
    fn default() -> Self {
        Self {
            run: 20,
            share: 0.5,
        }
    }
}

/// The partitions that have had such a record among their last.
#[derive(Debug)]
pub(crate) struct Suspicion {
    most: SuspectsMax,
    partitions: BTreeMap<LanePartition, Recent>,
}

/// The last records of a partition in their order: whether each is a suspect. What is read again after a failure
/// counts once; what was accepted then may be a suspect now, because the store refuses it.
#[derive(Debug, Default)]
struct Recent {
    window: VecDeque<(Offset, bool)>,
    suspects: usize,
}

impl Recent {
    fn clear(&mut self, offset: Offset) {
        if self.window.back().is_none_or(|(last, _)| *last < offset) {
            self.push(offset, false);
        }
    }

    /// Gives how many suspects in a row this one ends.
    fn suspect(&mut self, offset: Offset) -> usize {
        let place = self.window.binary_search_by_key(&offset, |(at, _)| *at);
        match place {
            Ok(place) => {
                let is_suspect = &mut self.window[place].1;
                self.suspects += usize::from(!*is_suspect);
                *is_suspect = true;
            }
            // Older than all that is remembered, which nothing is that is read in its order.
            Err(place) if place < self.window.len() => return 0,
            Err(_) => self.push(offset, true),
        }
        let until = self.window.iter().take_while(|(at, _)| *at <= offset);
        until.fold(
            0,
            |run, (_, is_suspect)| {
                if *is_suspect { run + 1 } else { 0 }
            },
        )
    }

    fn push(&mut self, offset: Offset, is_suspect: bool) {
        self.window.push_back((offset, is_suspect));
        if self.window.len() > SuspectsMax::WINDOW {
            let oldest = self.window.pop_front();
            self.suspects -= usize::from(oldest.is_some_and(|(_, is_suspect)| is_suspect));
        }
        self.suspects += usize::from(is_suspect);
    }
}

impl Suspicion {
    pub(crate) fn new(most: SuspectsMax) -> Self {
        Self {
            most,
            partitions: BTreeMap::new(),
        }
    }

    /// A record of the partition was accepted, or rejected for what is its own fault alone.
    pub(crate) fn clears(&mut self, of: &LanePartition, offset: Offset) {
        // Most partitions never have a suspect, and this is asked for each record.
        if self.partitions.is_empty() {
            return;
        }
        if let Some(recent) = self.partitions.get_mut(of) {
            recent.clear(offset);
            if recent.suspects == 0 {
                self.partitions.remove(of);
            }
        }
    }

    /// A record of the partition is to be rejected for what may be ours: why the partition is to be left
    /// at it instead, if it is.
    pub(crate) fn suspects(
        &mut self,
        of: LanePartition,
        offset: Offset,
        fault: &Fault,
    ) -> Option<String> {
        let recent = self.partitions.entry(of).or_default();
        let run = recent.suspect(offset);
        let share = recent.suspects as f64 / SuspectsMax::WINDOW as f64;
        let is_run = self.most.run > 0 && run >= self.most.run;
        if !is_run && share < self.most.share {
            return None;
        }
        let suspects = recent.suspects;
        self.partitions.remove(&of);
        Some(format!(
            "{suspects} of its last {} records, {run} of them in a row, were to be rejected for what may be a \
             fault of this program, the last as {} ({fault}): it is left before that one. Run a release that \
             knows their schema, or let them go to the dead-letter topic with --suspects-run-max 0 and \
             --suspects-share-max 2",
            SuspectsMax::WINDOW,
            fault.reason
        ))
    }

    /// The partition is no longer ours.
    pub(crate) fn forget(&mut self, of: &LanePartition) {
        self.partitions.remove(of);
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::{Lane, Reason};

    use super::*;

    const ONE: LanePartition = (Lane::Interactive, 0);
    const OTHER: LanePartition = (Lane::Interactive, 1);

    fn fault() -> Fault {
        Fault::new(Reason::UnknownType, "LicenseLeased").pointing_at_us()
    }

    /// How many of these records are rejected before the partition is left; each is said to be a suspect or
    /// not.
    fn until_left(most: SuspectsMax, records: impl Iterator<Item = bool>) -> Option<usize> {
        let mut suspicion = Suspicion::new(most);
        let mut rejected = 0;
        for (offset, is_suspect) in (0..).zip(records) {
            // Read twice, as after a failure.
            if !is_suspect {
                suspicion.clears(&ONE, offset);
                suspicion.clears(&ONE, offset);
            } else if suspicion.suspects(ONE, offset, &fault()).is_some() {
                return Some(rejected);
            } else {
                rejected += 1;
            }
        }
        None
    }

    #[test]
    fn a_run_of_them_and_a_share_of_them_are_too_many_and_fewer_are_not() {
        let most = SuspectsMax::default();
        let all = || (0..1000).map(|_| true);
        assert_eq!(until_left(most, all()), Some(19));
        let every = |n: usize| (0..1000).map(move |number| number % n == 0);
        assert_eq!(until_left(most, every(2)), Some(49));
        assert_eq!(until_left(most, every(3)), None);
        let runs = (0..1000).map(|number| number % 50 < 19);
        assert_eq!(until_left(most, runs), None);
        let any = SuspectsMax { run: 0, share: 2.0 };
        assert_eq!(until_left(any, all()), None);
    }

    #[test]
    fn what_was_accepted_and_is_refused_by_the_store_is_a_suspect_where_it_stands() {
        let mut suspicion = Suspicion::new(SuspectsMax::default());
        assert_eq!(suspicion.suspects(ONE, 0, &fault()), None);
        for refused in 1..19 {
            // The next records are taken before the store says that it refuses this one.
            for offset in refused..refused + 5 {
                suspicion.clears(&ONE, offset);
            }
            assert_eq!(suspicion.suspects(ONE, refused, &fault()), None);
        }
        assert!(suspicion.suspects(ONE, 19, &fault()).is_some());
    }

    #[test]
    fn each_partition_is_judged_by_its_own_records() {
        let mut suspicion = Suspicion::new(SuspectsMax::default());
        for offset in 0..19 {
            assert_eq!(suspicion.suspects(ONE, offset, &fault()), None);
            assert_eq!(
                suspicion.suspects(ONE, offset, &fault()),
                None,
                "read again"
            );
            assert_eq!(suspicion.suspects(OTHER, offset, &fault()), None);
        }
        suspicion.forget(&OTHER);
        assert_eq!(suspicion.suspects(OTHER, 19, &fault()), None);
        let why = suspicion.suspects(ONE, 19, &fault()).unwrap();
        assert!(
            why.contains("unknown_type") && why.contains("LicenseLeased"),
            "{why}"
        );
    }

    #[test]
    fn nothing_is_kept_of_partitions_without_suspects() {
        let mut suspicion = Suspicion::new(SuspectsMax::default());
        suspicion.clears(&ONE, 0);
        assert_eq!(suspicion.suspects(ONE, 1, &fault()), None);
        for offset in (2..).take(SuspectsMax::WINDOW) {
            suspicion.clears(&ONE, offset);
        }
        assert!(suspicion.partitions.is_empty());
    }
}
