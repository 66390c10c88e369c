//! The partitions that are ours, and what each waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use licenseflow_kafka::LanePartition;

use crate::Backoff;

/// A partition that waits because a record of it cannot be judged now.
#[derive(Debug, Clone, Copy)]
struct Held {
    failures: u32,
    /// When it is tried again; none while it is being tried.
    due: Option<Instant>,
}

#[derive(Debug, Default)]
pub(crate) struct Partitions {
    owned: BTreeSet<LanePartition>,
    /// To be taken up from the store's position.
    wanted: BTreeSet<LanePartition>,
    held: BTreeMap<LanePartition, Held>,
    halted: BTreeMap<LanePartition, String>,
}

impl Partitions {
    /// It became ours; nothing that was known of it counts any more.
    pub(crate) fn gain(&mut self, of: LanePartition) {
        self.lose(&of);
        self.owned.insert(of);
        self.wanted.insert(of);
    }

    /// It is no longer ours.
    pub(crate) fn lose(&mut self, of: &LanePartition) {
        self.owned.remove(of);
        self.wanted.remove(of);
        self.held.remove(of);
        self.halted.remove(of);
    }

    /// It waits for a while; gives how long.
    pub(crate) fn hold(&mut self, of: LanePartition, backoff: Backoff) -> std::time::Duration {
        let failures = self.held.get(&of).map_or(1, |held| held.failures + 1);
        let wait = backoff.drawn(failures);
        let due = Some(Instant::now() + wait);
        self.held.insert(of, Held { failures, due });
        wait
    }

    /// A record of it was judged.
    pub(crate) fn is_judged(&mut self, of: &LanePartition) {
        if !self.held.is_empty() {
            self.held.remove(of);
        }
    }

    /// It cannot be read on.
    pub(crate) fn halt(&mut self, of: LanePartition, reason: String) {
        self.wanted.remove(&of);
        self.held.remove(&of);
        self.halted.insert(of, reason);
    }

    /// All that can be read are to be taken up anew.
    pub(crate) fn start_over(&mut self) {
        let can_be_read = |of: &&LanePartition| !self.halted.contains_key(of);
        self.wanted = self.owned.iter().filter(can_be_read).copied().collect();
    }

    /// Those that are to be taken up at this time.
    pub(crate) fn wanted(&mut self, now: Instant) -> &BTreeSet<LanePartition> {
        for (of, held) in &mut self.held {
            if held.due.is_some_and(|due| due <= now) {
                held.due = None;
                self.wanted.insert(*of);
            }
        }
        &self.wanted
    }

    /// Takes them: they are taken up now.
    pub(crate) fn take_wanted(&mut self) -> BTreeSet<LanePartition> {
        std::mem::take(&mut self.wanted)
    }

    /// Leaves partitions for the next time.
    pub(crate) fn want_again(&mut self, partitions: impl IntoIterator<Item = LanePartition>) {
        self.wanted.extend(partitions);
    }

    pub(crate) fn owned(&self) -> Vec<LanePartition> {
        self.owned.iter().copied().collect()
    }

    pub(crate) fn owned_count(&self) -> usize {
        self.owned.len()
    }

    pub(crate) fn halted(&self) -> &BTreeMap<LanePartition, String> {
        &self.halted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use licenseflow_avro::Lane;

    use super::*;

    const ONE: LanePartition = (Lane::Bulk, 1);
    const OTHER: LanePartition = (Lane::Bulk, 2);

    #[test]
    fn a_held_partition_is_wanted_when_it_is_due_and_once() {
        let backoff = Backoff::default();
        let mut partitions = Partitions::default();
        partitions.gain(ONE);
        assert_eq!(partitions.take_wanted(), [ONE].into());
        let wait = partitions.hold(ONE, backoff);
        assert!(partitions.wanted(Instant::now()).is_empty());
        let later = Instant::now() + wait;
        assert!(!partitions.wanted(later).is_empty());
        partitions.take_wanted();
        assert!(partitions.wanted(later).is_empty());
        assert!(partitions.hold(ONE, backoff) > wait.max(Duration::from_millis(1)));
    }

    #[test]
    fn starting_over_wants_all_but_the_halted() {
        let mut partitions = Partitions::default();
        partitions.gain(ONE);
        partitions.gain(OTHER);
        partitions.take_wanted();
        partitions.halt(ONE, "gone".into());
        partitions.start_over();
        assert_eq!(partitions.take_wanted(), [OTHER].into());
        partitions.gain(ONE);
        assert_eq!(
            (partitions.take_wanted(), partitions.halted().len()),
            ([ONE].into(), 0)
        );
    }
}
