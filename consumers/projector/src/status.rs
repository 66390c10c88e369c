//! How the projector is, for readiness and for people.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use licenseflow_avro::{Lane, Offset, PartitionId};
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

/// A partition that is behind and does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Still {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub next_offset: Offset,
    /// Its end as last seen.
    pub end_offset: Offset,
    /// When it last moved, or had no reason to.
    pub since: Instant,
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
    /// Of those that are behind, the one that has not moved for longest.
    pub still: Option<Still>,
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
        let is_still = |it: &Still| now.saturating_duration_since(it.since) > stall;
        if let Some(still) = self.still.filter(is_still) {
            return Some(format!(
                "partition {} of the {} lane stands at {} for more than {stall:?} and ends at {}; the other \
                 checks and the log say what it waits for",
                still.partition, still.lane, still.next_offset, still.end_offset
            ));
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
            still: None,
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

/// How several loops are that are one projector: as the worst of them, and none is asked for more
/// partitions than there are.
pub(crate) fn together(boards: &[Board]) -> Status {
    let mut each = boards.iter().map(Board::read);
    let first = each.next().unwrap_or_else(|| Board::new().read());
    each.fold(first, |mut all, mut one| {
        all.assigned += one.assigned;
        all.read += one.read;
        all.halted.append(&mut one.halted);
        all.is_paused |= one.is_paused;
        all.trouble = all.trouble.or(one.trouble);
        all.turned = all.turned.min(one.turned);
        let since = [all.store_busy_since, one.store_busy_since];
        all.store_busy_since = since.into_iter().flatten().min();
        let still = [all.still, one.still].into_iter().flatten();
        all.still = still.min_by_key(|it| it.since);
        all
    })
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
    fn several_loops_are_as_the_worst_of_them() {
        let now = Instant::now();
        let boards = [Board::new(), Board::new(), Board::new()];
        boards[1].write(|status| status.assigned = 3);
        assert_eq!(together(&boards).unready(now, STALL), None);
        let late = now + 2 * STALL;
        for board in &boards[..2] {
            board.write(|status| status.turned = late);
        }
        let why = together(&boards).unready(late, STALL);
        assert!(why.is_some_and(|why| why.contains("still")));
        boards[2].write(|status| {
            status.turned = late;
            status.store_busy_since = Some(now);
            status.trouble = Some("the brokers are away".to_owned());
        });
        let all = together(&boards);
        assert_eq!(
            (all.assigned, all.store_busy_since, all.trouble.as_deref()),
            (3, Some(now), Some("the brokers are away"))
        );
    }

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
        status.still = Some(Still {
            lane: Lane::Interactive,
            partition: 3,
            next_offset: 7,
            end_offset: 9,
            since: now,
        });
        let why = status.unready(late, STALL).unwrap();
        assert!(
            why.contains("partition 3 of the interactive lane stands at 7"),
            "{why}"
        );
        assert_eq!(status.unready(now + STALL, STALL), None);
        status.store_busy_since = Some(now);
        assert!(
            status
                .unready(late, STALL)
                .is_some_and(|why| why.contains("one batch"))
        );
    }
}
