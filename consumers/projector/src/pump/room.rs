//! What the polling thread does where there is no room, and what it tells of what waits.

use std::time::{Duration, Instant};

use licenseflow_avro::Lane;
use licenseflow_avro::judgement::Schemas;
use licenseflow_kafka::Source;

use super::Pump;
use crate::Result;

impl<S: Source, J: Schemas> Pump<S, J> {
    /// Whether no more may be taken now.
    pub(super) fn has_no_room(&self) -> bool {
        let (_, bytes) = self.growing.size();
        self.waiting.is_paused || self.backlog.is_high(bytes) || self.is_full()
    }

    /// Takes up what was left for want of room, once there is.
    pub(super) fn resume(&mut self) -> Result<()> {
        let is_over = self.growing.is_empty() && self.backlog.is_low();
        if !self.waiting.is_paused || !is_over {
            return Ok(());
        }
        self.pause(false);
        Ok(self.source.restart(&self.growing.places())?)
    }

    pub(super) fn tell_what_waits(&mut self, now: Instant) {
        if !self.backlog.is_due(now) {
            return;
        }
        let age_ms = self.lag.oldest_ms(|| (self.clock)());
        let oldest = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        let behind = self.lag.behind(Lane::Interactive, now);
        let growing = self.growing.size();
        self.backlog.tell(&self.gauges, growing, oldest, behind);
    }
}
