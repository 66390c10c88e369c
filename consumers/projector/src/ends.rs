//! Where partitions end, as last told, and when the store is told of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use licenseflow_kafka::{LanePartition, PartitionEnd};

#[derive(Debug)]
pub(crate) struct Ends {
    told: BTreeMap<LanePartition, PartitionEnd>,
    is_new: bool,
    noted: Instant,
    interval: Duration,
}

impl Ends {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            told: BTreeMap::new(),
            is_new: false,
            noted: Instant::now(),
            interval,
        }
    }

    pub(crate) fn tell(&mut self, ends: Vec<PartitionEnd>) {
        self.is_new = true;
        let each = ends.into_iter();
        self.told
            .extend(each.map(|end| ((end.lane, end.partition), end)));
    }

    pub(crate) fn forget(&mut self, of: &LanePartition) {
        self.told.remove(of);
    }

    /// What the store is to note now, if anything; `now` is in milliseconds UTC.
    pub(crate) fn due(
        &mut self,
        now: impl FnOnce() -> i64,
    ) -> Option<Vec<licenseflow_store::PartitionEnd>> {
        if !self.is_new || self.noted.elapsed() < self.interval {
            return None;
        }
        self.is_new = false;
        self.noted = Instant::now();
        let now = now();
        let ago = |asked: Instant| i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX);
        let each = self.told.values();
        let ends = each.map(|end| licenseflow_store::PartitionEnd {
            lane: end.lane,
            partition: end.partition,
            end_offset: end.end_offset,
            seen_at: now.saturating_sub(ago(end.asked)),
        });
        Some(ends.collect())
    }
}
