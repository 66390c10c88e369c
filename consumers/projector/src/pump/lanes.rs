//! Which lane the polling thread reads next.

use std::time::{Duration, Instant};

use licenseflow_avro::judgement::Schemas;
use licenseflow_kafka::{Lanes, Polled, Source};

use super::{PATIENCE, PATIENCE_WRITING, Pump};
use crate::Result;
use crate::yielding::weight;

impl<S: Source, J: Schemas> Pump<S, J> {
    /// Looks anew at what the interactive lane is at.
    pub(super) fn look_at_the_lanes(&mut self) -> Instant {
        let now = Instant::now();
        let lag = self.lag.interactive(|of| self.growing.reads(of));
        self.yielding.look(lag, now);
        if let Some(is_yielding) = self.yielding.news() {
            self.gauges.yielding(is_yielding);
        }
        now
    }

    /// How long to wait for a record: no longer than the bulk lane rests, where records of it wait.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        match self.yielding.bulk_waits_for_the_store() {
            true => self.yielding.rest(now).min(PATIENCE),
            false => PATIENCE,
        }
    }

    /// The next batch has something already: what is waited for is the store.
    pub(super) fn wait_for_the_store(&mut self) -> Result<()> {
        match self.store.wait(PATIENCE_WRITING)? {
            Some(told) => self.hear(told),
            None => Ok(()),
        }
    }

    pub(super) fn lanes(&self, now: Instant) -> Lanes {
        let (records, bytes) = self.growing.size();
        self.yielding
            .lanes(weight(records, bytes), self.store.is_writing(), now)
    }

    /// Where the store is free, what is at hand of the interactive lane takes some of the bulk lane with it:
    /// otherwise a lane that is never silent would leave the other only its twentieth.
    pub(super) fn fill_up(&mut self) -> Result<()> {
        let is_due = self.yielding.bulk_waits_for_the_store() && !self.growing.is_empty();
        if !is_due || !self.store.is_free() {
            return Ok(());
        }
        let now = self.look_at_the_lanes();
        while !self.has_no_room() {
            let lanes = self.lanes(now);
            if lanes == Lanes::Interactive {
                return Ok(());
            }
            match self.source.poll(lanes, Duration::ZERO)? {
                Polled::Idle => {
                    self.yielding.came_none(lanes);
                    return Ok(());
                }
                Polled::Record(record) => {
                    self.yielding.came(record.at.lane, now);
                    self.take(record)?;
                }
                other => self.note(other)?,
            }
        }
        Ok(())
    }
}
