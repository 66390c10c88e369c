//! What a loop has that writes a generation beside the live one: a source that can be slowed and ended at a
//! position, a model that has nothing to send, and nobody to send it to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use licenseflow_avro::{Coordinates, Lane, Offset, PartitionId, Position};
use licenseflow_core::Batch;
use licenseflow_kafka::{
    DeadLetter, Delivery, LanePartition, Lanes, Letters, Originals, Polled, Retry, Source, Start,
};
use licenseflow_store::generations::Model;
use licenseflow_store::{
    Applied, Done, Due, Error, Ground, Letter, Outbox, PartitionEnd, PartitionState, ReadModel,
};

/// How fast a generation is advanced, set from outside.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// So many records a second; 0: as fast as it goes.
    pub(super) per_second: AtomicU32,
    /// Nothing is read while the live generation is behind.
    pub(super) waits: AtomicBool,
}

/// The lanes, read beside the group.
pub(super) struct Beside<S> {
    source: S,
    throttle: Arc<Throttle>,
    /// Where each partition ends; none: nowhere.
    until: Option<Position>,
    /// Since when so many records were read, for the throttle.
    second: (Instant, u32),
    /// A partition that is at its end.
    ended: Option<(LanePartition, Offset)>,
}

impl<S: Source> Beside<S> {
    pub(super) fn new(source: S, throttle: Arc<Throttle>, until: Option<Position>) -> Self {
        Self {
            source,
            throttle,
            until,
            second: (Instant::now(), 0),
            ended: None,
        }
    }

    /// How long nothing may be read.
    fn rest(&mut self) -> Duration {
        if self.throttle.waits.load(Ordering::Relaxed) {
            return PAUSE;
        }
        let per_second = self.throttle.per_second.load(Ordering::Relaxed);
        let (begun, read) = self.second;
        let elapsed = begun.elapsed();
        if elapsed >= SECOND {
            self.second = (Instant::now(), 0);
            return Duration::ZERO;
        }
        match per_second > 0 && read >= per_second {
            true => SECOND.saturating_sub(elapsed),
            false => Duration::ZERO,
        }
    }

    fn end_of(&self, of: LanePartition) -> Option<Offset> {
        let until = self.until.as_ref()?;
        Some(until.get(of.0, of.1).unwrap_or(0))
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// How long the live generation is left to catch up before it is looked at again.
const PAUSE: Duration = Duration::from_millis(50);

impl<S: Source> Source for Beside<S> {
    fn poll(&mut self, lanes: Lanes, timeout: Duration) -> licenseflow_kafka::Result<Polled> {
        if let Some(((lane, partition), next_offset)) = self.ended.take() {
            return Ok(Polled::Passed {
                lane,
                partition,
                next_offset,
            });
        }
        let rest = self.rest();
        if !rest.is_zero() {
            std::thread::sleep(rest.min(timeout));
            return Ok(Polled::Idle);
        }
        match self.source.poll(lanes, timeout)? {
            Polled::Record(record) => {
                let of = (record.at.lane, record.at.partition);
                match self.end_of(of) {
                    Some(end) if record.at.offset >= end => {
                        self.source.release(&[of])?;
                        self.ended = Some((of, end));
                        Ok(Polled::Idle)
                    }
                    Some(_) | None => {
                        self.second.1 += 1;
                        Ok(Polled::Record(record))
                    }
                }
            }
            Polled::Passed {
                lane,
                partition,
                next_offset,
            } => {
                let end = self.end_of((lane, partition));
                Ok(Polled::Passed {
                    lane,
                    partition,
                    next_offset: end.map_or(next_offset, |end| next_offset.min(end)),
                })
            }
            other => Ok(other),
        }
    }

    fn restart(&mut self, starts: &[Start]) -> licenseflow_kafka::Result<()> {
        self.source.restart(starts)
    }

    fn release(&mut self, partitions: &[LanePartition]) -> licenseflow_kafka::Result<()> {
        self.source.release(partitions)
    }

    fn applied(&mut self, position: &Position) {
        self.source.applied(position);
    }
}

/// A generation that is not the live one: it sends nothing.
pub(super) struct Silent(pub(super) Box<dyn Model>);

impl ReadModel for Silent {
    fn begin_on(&mut self, ground: &Ground) -> Result<(), Error> {
        self.0.begin_on(ground)
    }

    fn positions(&mut self) -> Result<Vec<PartitionState>, Error> {
        self.0.positions()
    }

    fn apply(&mut self, batch: Batch, now: i64) -> Result<Applied, Error> {
        self.0.apply(batch, now)
    }

    fn note_ends(&mut self, ends: &[PartitionEnd], now: i64) -> Result<(), Error> {
        self.0.note_ends(ends, now)
    }
}

impl Outbox for Silent {
    fn unsent(
        &mut self,
        _after: i64,
        _limit: usize,
        _except: &[(Lane, PartitionId)],
    ) -> Result<Vec<Letter>, Error> {
        Ok(Vec::new())
    }

    fn mark_sent(&mut self, _ids: &[i64], _now: i64) -> Result<(), Error> {
        Ok(())
    }

    fn due(&mut self, _now: i64, _limit: usize) -> Result<Due, Error> {
        Ok(Due::default())
    }

    fn mark_done(&mut self, _done: &[Done], _now: i64) -> Result<(), Error> {
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Whoever is given letters here has no broker to give them to: a replay sends nothing outward.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLetters;

impl Letters for NoLetters {
    fn originals(
        &mut self,
        _at: &[Coordinates],
        _bytes_max: usize,
    ) -> licenseflow_kafka::Result<Originals> {
        Ok(Originals::default())
    }

    fn send(
        &mut self,
        _letters: &[DeadLetter],
        _within: Duration,
    ) -> licenseflow_kafka::Result<Vec<Delivery>> {
        Ok(Vec::new())
    }

    fn retry(
        &mut self,
        _retries: &[Retry],
        _within: Duration,
    ) -> licenseflow_kafka::Result<Vec<Delivery>> {
        Ok(Vec::new())
    }
}
