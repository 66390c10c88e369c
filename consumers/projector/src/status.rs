//! How the projector is, for readiness and for people.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use licenseflow_avro::{Lane, PartitionId};
use licenseflow_kafka::LanePartition;

/// A partition that is not read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// How the projector is.
#[derive(Debug, Clone)]
pub struct Status {
    /// Partitions that are ours.
    pub assigned: usize,
    /// Those of them that are read.
    pub read: usize,
    /// Those that cannot be.
    pub halted: Vec<Halted>,
    /// Whether partitions are left because the store does not keep up.
    pub is_paused: bool,
    /// What is being waited out, if anything.
    pub trouble: Option<String>,
    /// When the polling loop last turned.
    pub turned: Instant,
    /// Since when the store has been at one batch.
    pub store_busy_since: Option<Instant>,
}

impl Status {
    /// Why the projector is not ready, if it is not; `stall` is the longest that a loop may stand still.
    #[must_use]
    pub fn unready(&self, now: Instant, stall: Duration) -> Option<String> {
        if now.saturating_duration_since(self.turned) > stall {
            return Some(format!("reading stands still for more than {stall:?}"));
        }
        if self
            .store_busy_since
            .is_some_and(|since| now.saturating_duration_since(since) > stall)
        {
            return Some(format!(
                "the store has been at one batch for more than {stall:?}"
            ));
        }
        if let Some(halted) = self.halted.first() {
            return Some(halted.reason.clone());
        }
        if let Some(trouble) = &self.trouble {
            return Some(trouble.clone());
        }
        (self.assigned == 0).then(|| "no partitions are assigned yet".to_owned())
    }
}

/// The status, written by the loop and read by anyone.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Mutex<Status>>);

impl Board {
    pub(crate) fn new() -> Board {
        Board(Arc::new(Mutex::new(Status {
            assigned: 0,
            read: 0,
            halted: Vec::new(),
            is_paused: false,
            trouble: None,
            turned: Instant::now(),
            store_busy_since: None,
        })))
    }

    pub(crate) fn write(&self, change: impl FnOnce(&mut Status)) {
        // Nothing panics in between, and a status is whole at any time.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn read(&self) -> Status {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Puts halted partitions in a list.
pub(crate) fn listed(halted: &BTreeMap<LanePartition, String>) -> Vec<Halted> {
    let each = halted.iter();
    each.map(|((lane, partition), reason)| Halted {
        lane: *lane,
        partition: *partition,
        reason: reason.clone(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    #[test]
    fn it_is_ready_when_partitions_are_assigned_and_both_loops_move() {
        let now = Instant::now();
        let late = now + STALL + Duration::from_secs(1);
        let mut status = Board::new().read();
        status.turned = now;
        assert!(
            status
                .unready(now, STALL)
                .is_some_and(|why| why.contains("assigned"))
        );
        status.assigned = 1;
        assert_eq!(status.unready(now, STALL), None);
        assert!(
            status
                .unready(late, STALL)
                .is_some_and(|why| why.contains("still"))
        );
        status.turned = late;
        status.store_busy_since = Some(now);
        assert!(
            status
                .unready(late, STALL)
                .is_some_and(|why| why.contains("one batch"))
        );
    }
}
