//! How far behind each partition is: in offsets, in time, and whether it moves at all.
//!
//! Two things make a partition stand still while everything looks well: something that nobody thought of,
//! and something that nobody looked at. So it is not asked why; a partition that is behind and does not
//! move is told, by name.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use licenseflow_avro::{Lane, Offset, Position};
use licenseflow_kafka::{LanePartition, PartitionEnd, Start};

use crate::metrics::{self, Gauges};
use crate::status::Still;

/// How often the numbers are told.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Lag {
    partitions: BTreeMap<LanePartition, Place>,
    /// The least timestamp of what was taken and not handed over, in milliseconds UTC.
    growing: Option<i64>,
    /// The same of what the store is at.
    writing: Option<i64>,
    told: Instant,
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    stands: Offset,
    end: Option<Offset>,
    /// When it last moved, or had no reason to.
    moved: Instant,
    /// When it was last seen at its end, or became ours.
    at_end: Instant,
}

impl Place {
    fn is_behind(&self) -> bool {
        self.end.is_some_and(|end| end > self.stands)
    }

    fn look(&mut self, now: Instant) {
        if !self.is_behind() {
            (self.moved, self.at_end) = (now, now);
        }
    }
}

impl Lag {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            partitions: BTreeMap::new(),
            growing: None,
            writing: None,
            told: now,
        }
    }

    /// A partition is read from the store's position on: for the first time, or once more.
    pub(crate) fn begin(&mut self, start: &Start, now: Instant) {
        let of = (start.lane, start.partition);
        let place = self.partitions.entry(of).or_insert(Place {
            stands: start.next_offset,
            end: None,
            moved: now,
            at_end: now,
        });
        place.stands = start.next_offset;
    }

    /// A partition is no longer ours: what it is behind, its next owner says.
    pub(crate) fn forget(&mut self, of: &LanePartition) {
        if self.partitions.remove(of).is_some() {
            metrics::lag(of.0, of.1, 0, Duration::ZERO);
        }
    }

    pub(crate) fn ends(&mut self, ends: &[PartitionEnd], now: Instant) {
        for end in ends {
            if let Some(place) = self.partitions.get_mut(&(end.lane, end.partition)) {
                // What it was at until now, it was at until now.
                place.look(now);
                place.end = Some(end.end_offset);
                place.look(now);
            }
        }
    }

    /// A record was taken, with its timestamp in milliseconds UTC.
    pub(crate) fn taken(&mut self, timestamp: i64) {
        self.growing = Some(
            self.growing
                .map_or(timestamp, |oldest| oldest.min(timestamp)),
        );
    }

    /// The store is at what was taken.
    pub(crate) fn handed_over(&mut self) {
        self.writing = self.growing.take();
    }

    /// What was taken is dropped.
    pub(crate) fn start_over(&mut self) {
        (self.growing, self.writing) = (None, None);
    }

    pub(crate) fn applied(&mut self, position: &Position, now: Instant) {
        self.writing = None;
        for ((lane, partition), place) in &mut self.partitions {
            let stands = position.get(*lane, *partition).unwrap_or(place.stands);
            if stands > place.stands {
                (place.stands, place.moved) = (stands, now);
            }
            place.look(now);
        }
    }

    /// How many events the interactive lane is behind in those partitions.
    pub(crate) fn interactive(&self, reads: impl Fn(&LanePartition) -> bool) -> i64 {
        let each = self.partitions.iter();
        let read = each.filter(|(of, _)| of.0 == Lane::Interactive && reads(of));
        let behind = read.map(|(_, place)| place.end.map_or(0, |end| (end - place.stands).max(0)));
        behind.sum()
    }

    /// The partition that is behind and has not moved for longest.
    pub(crate) fn still(&self) -> Option<Still> {
        let behind = self.partitions.iter().filter(|(_, it)| it.is_behind());
        let (of, place) = behind.min_by_key(|(_, it)| it.moved)?;
        Some(Still {
            lane: of.0,
            partition: of.1,
            next_offset: place.stands,
            end_offset: place.end?,
            since: place.moved,
        })
    }

    /// Tells the numbers, where they were not told just now; `now_ms` is in milliseconds UTC.
    pub(crate) fn tell(&mut self, gauges: &Gauges, now: Instant, now_ms: impl FnOnce() -> i64) {
        if now.saturating_duration_since(self.told) < INTERVAL {
            return;
        }
        self.told = now;
        for ((lane, partition), place) in &self.partitions {
            let events = place.end.map_or(0, |end| (end - place.stands).max(0));
            let behind = match place.is_behind() {
                true => now.saturating_duration_since(place.at_end),
                false => Duration::ZERO,
            };
            metrics::lag(*lane, *partition, events, behind);
        }
        gauges.oldest_waiting(self.oldest_ms(now_ms));
    }

    /// How old the oldest record is that was taken and is not written, in milliseconds.
    pub(crate) fn oldest_ms(&self, now_ms: impl FnOnce() -> i64) -> i64 {
        let oldest = [self.growing, self.writing].into_iter().flatten().min();
        oldest.map_or(0, |oldest| (now_ms() - oldest).max(0))
    }

    /// For how long the partition of the lane that is behind for longest has been so.
    pub(crate) fn behind(&self, lane: Lane, now: Instant) -> Duration {
        let each = self.partitions.iter();
        let behind = each.filter(|(of, place)| of.0 == lane && place.is_behind());
        let since = behind.map(|(_, place)| place.at_end).min();
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(partition: i32, next_offset: Offset) -> Start {
        Start {
            lane: Lane::Interactive,
            partition,
            next_offset,
            last_timestamp: None,
        }
    }

    fn end(partition: i32, end_offset: Offset, asked: Instant) -> PartitionEnd {
        PartitionEnd {
            lane: Lane::Interactive,
            partition,
            end_offset,
            asked,
        }
    }

    fn position(partition: i32, next_offset: Offset) -> Position {
        [(Lane::Interactive, partition, next_offset)]
            .into_iter()
            .collect()
    }

    #[test]
    fn a_partition_that_is_behind_and_does_not_move_is_still_since_it_last_moved() {
        let start = Instant::now();
        let mut lag = Lag::new(start);
        lag.begin(&at(0, 5), start);
        lag.begin(&at(1, 5), start);
        assert_eq!(lag.still(), None, "no end was seen");
        lag.ends(&[end(0, 5, start), end(1, 5, start)], start);
        assert_eq!(lag.still(), None, "both are at their ends");
        let later = start + 9 * SECOND;
        lag.ends(&[end(0, 8, later), end(1, 8, later)], later);
        let still = lag.still().unwrap();
        assert_eq!((still.partition, still.next_offset), (0, 5));
        assert_eq!(still.since, later, "until now it had no reason to move");
        lag.applied(&position(0, 7), later + SECOND);
        let still = lag.still().unwrap();
        assert_eq!((still.partition, still.since), (1, later));
        lag.applied(&position(1, 8), later + 2 * SECOND);
        let still = lag.still().unwrap();
        assert_eq!((still.partition, still.since), (0, later + SECOND));
        // Read once more from where it stands is no move.
        lag.begin(&at(0, 7), later + 3 * SECOND);
        assert_eq!(lag.still().unwrap().since, later + SECOND);
        lag.forget(&(Lane::Interactive, 0));
        assert_eq!(lag.still(), None);
    }

    #[test]
    fn the_oldest_that_waits_is_of_what_was_taken_until_it_is_written() {
        let start = Instant::now();
        let mut lag = Lag::new(start);
        lag.taken(50);
        lag.taken(40);
        lag.handed_over();
        lag.taken(60);
        assert_eq!((lag.writing, lag.growing), (Some(40), Some(60)));
        lag.applied(&position(0, 1), start);
        assert_eq!((lag.writing, lag.growing), (None, Some(60)));
        lag.start_over();
        assert_eq!(lag.growing, None);
    }
}
