//! The polling thread: source → judge → growing batch → store.
//!
//! It owns which partitions are ours, which are read, and which wait to be taken up from the store's
//! position. There is one way back for every failure: leave the partitions, forget what was fetched,
//! ask the store where it stands, and read from there.

use std::time::{Duration, Instant};

use licenseflow_avro::RawRecord;
use licenseflow_avro::judgement::{Schemas, judge};
use licenseflow_core::{Fate, crash};
use licenseflow_kafka::{LanePartition, Lanes, Polled, Source};
use tokio_util::sync::CancellationToken;

use crate::backlog::Backlog;
use crate::config::{Clock, Settings};
use crate::ends::Ends;
use crate::fate::of_judgement;
use crate::growing::Growing;
use crate::lag::Lag;
use crate::metrics::Gauges;
use crate::narrowing::Narrowing;
use crate::partitions::Partitions;
use crate::retrying::Room;
use crate::status::{Board, listed};
use crate::store_line::StoreLine;
use crate::suspicion::Suspicion;
use crate::waiting::{Breaker, Waiting};
use crate::yielding::{Yielding, weight};
use crate::{Result, metrics};

mod answers;
mod lanes;
mod room;

/// Records that are taken before the store and the waits are looked at again.
const RECORDS_A_TURN: usize = 512;
/// How long to wait for a record where nothing else is due.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long to wait for the store where its answer lets the next batch go, before records are looked for again.
const PATIENCE_WRITING: Duration = Duration::from_millis(2);

/// What the loop is made of.
pub(crate) struct Pump<S, J> {
    pub(crate) source: S,
    pub(crate) schemas: J,
    pub(crate) settings: Settings,
    pub(crate) store: StoreLine,
    pub(crate) clock: Clock,
    pub(crate) board: Board,
    pub(crate) gauges: Gauges,
    pub(crate) growing: Growing,
    pub(crate) partitions: Partitions,
    pub(crate) ends: Ends,
    pub(crate) lag: Lag,
    pub(crate) suspicion: Suspicion,
    pub(crate) room: Room,
    pub(crate) narrowing: Narrowing,
    pub(crate) waiting: Waiting,
    pub(crate) backlog: Backlog,
    pub(crate) yielding: Yielding,
}

impl<S: Source, J: Schemas> Pump<S, J> {
    /// Runs until the end is asked for. What the store has been given it finishes; what it has not is
    /// read again next time.
    pub(crate) fn run(mut self, stop: &CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            self.hear_the_store()?;
            self.take_up()?;
            self.fill_up()?;
            self.hand_over()?;
            self.resume()?;
            self.post();
            // Where the store was free, what was full is on its way.
            if self.has_no_room() {
                self.wait_for_room()?;
            } else {
                self.read()?;
            }
        }
        Ok(())
    }

    // ---- what comes from the source ----

    fn read(&mut self) -> Result<()> {
        self.waiting.full_since = None;
        let has_next = !self.growing.is_empty() || self.yielding.bulk_waits_for_the_store();
        let is_waiting = self.store.is_writing() && has_next;
        let now = self.look_at_the_lanes();
        let mut patience = if is_waiting {
            Duration::ZERO
        } else {
            self.patience(now)
        };
        for _ in 0..RECORDS_A_TURN {
            let lanes = self.lanes(now);
            match self.source.poll(lanes, patience)? {
                Polled::Idle => {
                    self.yielding.came_none(lanes);
                    return match is_waiting {
                        true => self.wait_for_the_store(),
                        false => Ok(()),
                    };
                }
                Polled::Record(record) => {
                    self.yielding.came(record.at.lane, now);
                    self.take(record)?;
                }
                other => self.note(other)?,
            }
            if self.has_no_room() {
                return Ok(());
            }
            patience = Duration::ZERO;
        }
        Ok(())
    }

    fn take(&mut self, record: RawRecord) -> Result<()> {
        if !self.growing.expects(&record) {
            return Ok(());
        }
        let of = (record.at.lane, record.at.partition);
        let (offset, timestamp) = (record.at.offset, record.at.timestamp);
        let judged = judge(&record, &self.schemas, self.waiting.skew_micros);
        let refused = self.narrowing.fault_of(&record.at).cloned();
        let fate = match refused.map_or_else(|| of_judgement(&judged), Fate::Reject) {
            Fate::Retry(fault) => self.room.fate(&record, fault),
            other => other,
        };
        match fate {
            Fate::Apply | Fate::Duplicate => {
                if let Ok(event) = judged {
                    self.growing.accept(&record, &event);
                }
                self.suspicion.clears(&of, offset);
            }
            Fate::Reject(fault) => {
                if !fault.points_at_us {
                    self.suspicion.clears(&of, offset);
                } else if let Some(why) = self.suspicion.suspects(of, offset, &fault) {
                    return self.halt(of, why);
                }
                metrics::rejected(fault.reason);
                self.growing.reject(record, fault);
            }
            Fate::Retry(fault) => {
                self.suspicion.clears(&of, offset);
                metrics::records(&Fate::Retry(fault.clone()), 1);
                let waiting = self.room.take(record, fault);
                self.growing.wait(waiting);
            }
            Fate::Hold(why) => return self.hold(of, &why),
            Fate::Halt(why) => return self.halt(of, why),
        }
        self.lag.taken(timestamp);
        self.partitions.is_judged(&of);
        Ok(())
    }

    fn note(&mut self, polled: Polled) -> Result<()> {
        match polled {
            Polled::Record(record) => self.take(record)?,
            Polled::Passed {
                lane,
                partition,
                next_offset,
            } => {
                self.growing.pass((lane, partition), next_offset);
            }
            Polled::Ends(ends) => {
                self.lag.ends(&ends, Instant::now());
                self.ends.tell(ends);
            }
            Polled::Assigned(partitions) => {
                tracing::info!(count = partitions.len(), "partitions were assigned");
                for of in partitions {
                    self.growing.leave(&of);
                    self.partitions.gain(of);
                }
            }
            Polled::Revoked(partitions) => {
                tracing::info!(count = partitions.len(), "partitions were revoked");
                for of in partitions {
                    self.growing.leave(&of);
                    self.partitions.lose(&of);
                    self.ends.forget(&of);
                    self.lag.forget(&of);
                    self.suspicion.forget(&of);
                    self.narrowing.forget(&of);
                }
            }
            Polled::Halted {
                lane,
                partition,
                reason,
            } => self.halt((lane, partition), reason)?,
            Polled::Idle => {}
        }
        Ok(())
    }

    /// Leaves a partition at a record that cannot be judged now: nothing of it overtakes the record.
    fn hold(&mut self, of: LanePartition, why: &str) -> Result<()> {
        let wait = self.partitions.hold(of, self.settings.backoff);
        tracing::warn!(lane = %of.0, partition = of.1, ?wait, "a record waits: {why}");
        metrics::records(&Fate::Hold(String::new()), 1);
        self.growing.leave(&of);
        Ok(self.source.release(&[of])?)
    }

    /// Leaves a partition that cannot be read on; the others go on.
    fn halt(&mut self, of: LanePartition, reason: String) -> Result<()> {
        tracing::error!(lane = %of.0, partition = of.1, "a partition is halted: {reason}");
        metrics::records(&Fate::Halt(String::new()), 1);
        self.growing.leave(&of);
        self.partitions.halt(of, reason);
        self.gauges.halted(self.partitions.halted().len());
        Ok(self.source.release(&[of])?)
    }

    // ---- what goes to the store ----

    /// Whether no more may be taken, whether or not the store is free for it.
    fn is_full(&self) -> bool {
        let bounds = &self.settings;
        let records_max = self.narrowing.records_max(bounds.batch_records_max);
        self.growing.is_full(records_max, bounds.batch_bytes_max)
    }

    /// The store is behind: first do nothing, since what librdkafka has fetched stays good; where that
    /// takes long, leave the partitions and keep polling, because membership lives on it.
    fn wait_for_room(&mut self) -> Result<()> {
        let since = *self.waiting.full_since.get_or_insert_with(Instant::now);
        if !self.waiting.is_paused && since.elapsed() < self.settings.hold {
            return match self.store.wait(PATIENCE)? {
                Some(told) => self.hear(told),
                None => Ok(()),
            };
        }
        if !self.waiting.is_paused {
            self.pause(true);
            let read = self.growing.read();
            self.source.release(&read)?;
        }
        match self.source.poll(Lanes::InteractiveFirst, PATIENCE)? {
            Polled::Record(_) => Ok(()),
            other => self.note(other),
        }
    }

    fn pause(&mut self, is_paused: bool) {
        self.waiting.is_paused = is_paused;
        self.gauges.paused(is_paused);
    }

    fn hand_over(&mut self) -> Result<()> {
        if !self.store.is_free() {
            return Ok(());
        }
        if !self.growing.is_empty() {
            let over = self.growing.hand_over();
            self.lag.handed_over();
            let (records, bytes) = (over.batch.records, over.batch.bytes);
            self.yielding
                .handed_over(weight(records, bytes), Instant::now());
            self.backlog.handed_over(records, bytes);
            if over.batch.records > 0 {
                crash::point(crash::AFTER_POLL);
            }
            self.store.apply(over)?;
        }
        // Behind the batch, which somebody may wait for; nobody waits for these.
        let is_asked = self.waiting.breaker(Instant::now()) == Breaker::Closed;
        if is_asked
            && !self.store.is_noting()
            && let Some(ends) = self.ends.due(|| (self.clock)())
        {
            self.store.note_ends(ends)?;
        }
        Ok(())
    }

    /// Asks where the store stands, for partitions that are to be taken up. A batch that deals with one
    /// of them is written first.
    fn take_up(&mut self) -> Result<()> {
        let now = Instant::now();
        let wanted = self.partitions.wanted(now);
        let is_at_hand = wanted.iter().any(|of| self.growing.deals_with(of));
        let is_early = now < self.waiting.not_before;
        if wanted.is_empty() || is_at_hand || is_early || !self.store.is_free() {
            return Ok(());
        }
        self.store.ask_for_positions()
    }

    // ---- what others see ----

    fn post(&mut self) {
        let now = Instant::now();
        let is_writing = self.store.is_writing();
        self.gauges.breaker(self.waiting.breaker(now));
        self.lag.tell(&self.gauges, now, || (self.clock)());
        self.tell_what_waits(now);
        let still = self.lag.still();
        self.board.write(|status| {
            status.turned = now;
            status.assigned = self.partitions.owned_count();
            status.read = self.growing.read_count();
            status.is_paused = self.waiting.is_paused;
            if status.halted.len() != self.partitions.halted().len() {
                status.halted = listed(self.partitions.halted());
            }
            if status.trouble != self.waiting.trouble {
                status.trouble.clone_from(&self.waiting.trouble);
            }
            status.still = still;
            let busy = status.store_busy_since.filter(|_| is_writing);
            status.store_busy_since = busy.or_else(|| is_writing.then_some(now));
        });
    }
}
