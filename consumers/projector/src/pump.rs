//! The polling thread: source → judge → growing batch → store.
//!
//! It owns which partitions are ours, which are read, and which wait to be taken up from the store's
//! position. There is one way back for every failure: leave the partitions, forget what was fetched,
//! ask the store where it stands, and read from there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use licenseflow_avro::judgement::{Schemas, judge};
use licenseflow_avro::{Position, RawRecord};
use licenseflow_core::{Fate, crash};
use licenseflow_kafka::{LanePartition, PartitionEnd, Polled, Source, Start};
use licenseflow_store::{Applied, Kind, PartitionState};
use tokio_util::sync::CancellationToken;

use crate::config::{Clock, Settings};
use crate::fate::{of_failure, of_judgement};
use crate::growing::Growing;
use crate::handle::StopAtTheEnd;
use crate::status::{Board, listed};
use crate::store_thread::{Task, Told};
use crate::{Error, Result, metrics};

/// Records that are taken before the store and the waits are looked at again.
const RECORDS_A_TURN: usize = 512;
/// How long to wait for a record where nothing else is due.
const PATIENCE: Duration = Duration::from_millis(50);
/// The same while the store writes: its answer lets the next batch go.
const PATIENCE_WRITING: Duration = Duration::from_millis(2);

/// The way to the store's thread and back.
pub(crate) struct StoreLine {
    pub(crate) tasks: StopAtTheEnd,
    pub(crate) told: Receiver<Told>,
}

/// What the store was given and has not answered yet.
#[derive(Debug, Default)]
struct Given {
    batch: Option<BatchCounts>,
    is_noting: bool,
    is_asked: bool,
}

#[derive(Debug, Clone, Copy)]
struct BatchCounts {
    accepted: usize,
    events: usize,
    rejected: usize,
}

/// A partition that waits because a record of it cannot be judged now.
#[derive(Debug, Clone, Copy)]
struct Held {
    failures: u32,
    due: Instant,
}

pub(crate) struct Pump<S, J> {
    source: S,
    schemas: J,
    settings: Settings,
    skew_micros: i64,
    line: StoreLine,
    clock: Clock,
    board: Board,
    given: Given,
    growing: Growing,
    owned: BTreeSet<LanePartition>,
    /// Ours, not read, to be taken up from the store's position.
    wanted: BTreeSet<LanePartition>,
    held: BTreeMap<LanePartition, Held>,
    halted: BTreeMap<LanePartition, String>,
    /// Where partitions that were left for want of room go on.
    paused: bool,
    full_since: Option<Instant>,
    failures: u32,
    failed: Instant,
    not_before: Instant,
    trouble: Option<String>,
    ends: BTreeMap<LanePartition, PartitionEnd>,
    are_ends_new: bool,
    noted: Instant,
}

impl<S: Source, J: Schemas> Pump<S, J> {
    pub(crate) fn new(
        source: S,
        schemas: J,
        settings: Settings,
        line: StoreLine,
        clock: Clock,
        board: Board,
    ) -> Self {
        let now = Instant::now();
        Self {
            source,
            schemas,
            skew_micros: i64::try_from(settings.max_future_skew.as_micros()).unwrap_or(i64::MAX),
            settings,
            line,
            clock,
            board,
            given: Given::default(),
            growing: Growing::default(),
            owned: BTreeSet::new(),
            wanted: BTreeSet::new(),
            held: BTreeMap::new(),
            halted: BTreeMap::new(),
            paused: false,
            full_since: None,
            failures: 0,
            failed: now,
            not_before: now,
            trouble: None,
            ends: BTreeMap::new(),
            are_ends_new: false,
            noted: now,
        }
    }

    /// Runs until the end is asked for. What the store has been given it finishes; what it has not is
    /// read again next time.
    pub(crate) fn run(mut self, stop: &CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            self.hear_the_store()?;
            self.take_up()?;
            self.hand_over()?;
            self.post();
            // Where the store was free, what was full is on its way.
            if self.is_full() {
                self.wait_for_room()?;
            } else {
                self.read()?;
            }
        }
        Ok(())
    }

    // ---- what comes from the source ----

    fn read(&mut self) -> Result<()> {
        self.full_since = None;
        let is_waiting = self.given.batch.is_some() && !self.growing.is_empty();
        let mut patience = if is_waiting {
            PATIENCE_WRITING
        } else {
            PATIENCE
        };
        for _ in 0..RECORDS_A_TURN {
            match self.source.poll(patience)? {
                Polled::Idle => return Ok(()),
                Polled::Record(record) => self.take(record)?,
                other => self.note(other)?,
            }
            if self.is_full() {
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
        let judged = judge(&record, &self.schemas, self.skew_micros);
        match of_judgement(&judged) {
            Fate::Apply | Fate::Duplicate => {
                if let Ok(event) = judged {
                    self.growing.accept(&record, event);
                }
            }
            Fate::Reject(fault) => {
                metrics::rejected(fault.reason);
                self.growing.reject(record, fault);
            }
            Fate::Retry(why) => return self.hold(of, &why),
            Fate::Halt(why) => return self.halt(of, why),
        }
        if !self.held.is_empty() {
            self.held.remove(&of);
        }
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
                self.are_ends_new = true;
                self.ends
                    .extend(ends.into_iter().map(|end| ((end.lane, end.partition), end)));
            }
            Polled::Assigned(partitions) => {
                tracing::info!(count = partitions.len(), "partitions were assigned");
                for of in partitions {
                    self.forget(&of);
                    self.owned.insert(of);
                    self.wanted.insert(of);
                }
            }
            Polled::Revoked(partitions) => {
                tracing::info!(count = partitions.len(), "partitions were revoked");
                for of in partitions {
                    self.forget(&of);
                    self.owned.remove(&of);
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

    fn forget(&mut self, of: &LanePartition) {
        self.growing.leave(of);
        self.wanted.remove(of);
        self.held.remove(of);
        self.halted.remove(of);
        self.ends.remove(of);
    }

    /// Leaves a partition at a record that cannot be judged now: nothing of it overtakes the record.
    fn hold(&mut self, of: LanePartition, why: &str) -> Result<()> {
        let failures = self.held.get(&of).map_or(1, |held| held.failures + 1);
        let wait = self.settings.backoff.drawn(failures);
        tracing::warn!(lane = %of.0, partition = of.1, ?wait, "a record waits: {why}");
        metrics::records(&Fate::Retry(String::new()), 1);
        self.held.insert(
            of,
            Held {
                failures,
                due: Instant::now() + wait,
            },
        );
        self.growing.leave(&of);
        Ok(self.source.release(&[of])?)
    }

    /// Leaves a partition that cannot be read on; the others go on.
    fn halt(&mut self, of: LanePartition, reason: String) -> Result<()> {
        tracing::error!(lane = %of.0, partition = of.1, "a partition is halted: {reason}");
        metrics::records(&Fate::Halt(String::new()), 1);
        self.growing.leave(&of);
        self.wanted.remove(&of);
        self.held.remove(&of);
        self.halted.insert(of, reason);
        metrics::halted(self.halted.len());
        Ok(self.source.release(&[of])?)
    }

    // ---- what goes to the store ----

    /// Whether no more may be taken, whether or not the store is free for it.
    fn is_full(&self) -> bool {
        let bounds = &self.settings;
        self.growing
            .is_full(bounds.batch_records_max, bounds.batch_bytes_max)
    }

    /// The store is behind: first do nothing, since what librdkafka has fetched stays good; where that
    /// takes long, leave the partitions and keep polling, because membership lives on it.
    fn wait_for_room(&mut self) -> Result<()> {
        let since = *self.full_since.get_or_insert_with(Instant::now);
        if !self.paused && since.elapsed() < self.settings.hold {
            return match self.line.told.recv_timeout(PATIENCE) {
                Ok(told) => self.hear(told),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => Err(Error::Ended("store")),
            };
        }
        if !self.paused {
            self.paused = true;
            metrics::paused(true);
            let read = self.growing.read();
            self.source.release(&read)?;
        }
        match self.source.poll(PATIENCE)? {
            Polled::Record(_) => Ok(()),
            other => self.note(other),
        }
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.given.batch.is_some() || self.given.is_asked {
            return Ok(());
        }
        self.note_ends()?;
        if self.growing.is_empty() {
            return Ok(());
        }
        let over = self.growing.hand_over();
        if over.batch.records > 0 {
            crash::point(crash::AFTER_POLL);
        }
        let rejected = over.batch.rejected.len();
        metrics::batch(over.batch.records, over.batch.bytes);
        self.given.batch = Some(BatchCounts {
            accepted: over.accepted,
            events: over.events,
            rejected,
        });
        self.give(Task::Apply(Box::new(over.batch)))?;
        if self.paused {
            self.paused = false;
            metrics::paused(false);
            let places = self.growing.places();
            self.source.restart(&places)?;
        }
        Ok(())
    }

    fn note_ends(&mut self) -> Result<()> {
        let is_due = self.are_ends_new && self.noted.elapsed() >= self.settings.ends_interval;
        if !is_due || self.given.is_noting {
            return Ok(());
        }
        let now = (self.clock)();
        let each = self.ends.values();
        let ends = each.map(|end| licenseflow_store::PartitionEnd {
            lane: end.lane,
            partition: end.partition,
            end_offset: end.end_offset,
            seen_at: now
                .saturating_sub(i64::try_from(end.asked.elapsed().as_millis()).unwrap_or(0)),
        });
        let ends = ends.collect();
        self.are_ends_new = false;
        self.noted = Instant::now();
        self.given.is_noting = true;
        self.give(Task::NoteEnds(ends))
    }

    /// Asks where the store stands, for partitions that are to be taken up. A batch that deals with one
    /// of them is written first.
    fn take_up(&mut self) -> Result<()> {
        let now = Instant::now();
        let due = self.held.iter().filter(|(_, held)| held.due <= now);
        let due: Vec<LanePartition> = due.map(|(of, _)| *of).collect();
        for of in due {
            if let Some(held) = self.held.get_mut(&of) {
                // Due again only where it fails again.
                held.due = now + self.settings.backoff.cap * 4;
            }
            self.wanted.insert(of);
        }
        let is_busy = self.given.is_asked || self.given.batch.is_some();
        let is_at_hand = self.wanted.iter().any(|of| self.growing.deals_with(of));
        if self.wanted.is_empty() || is_busy || is_at_hand || now < self.not_before {
            return Ok(());
        }
        self.given.is_asked = true;
        self.give(Task::Positions)
    }

    fn give(&self, task: Task) -> Result<()> {
        self.line
            .tasks
            .0
            .send(task)
            .map_err(|_| Error::Ended("store"))
    }

    // ---- what comes from the store ----

    fn hear_the_store(&mut self) -> Result<()> {
        loop {
            match self.line.told.try_recv() {
                Ok(told) => self.hear(told)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Error::Ended("store")),
            }
        }
    }

    fn hear(&mut self, told: Told) -> Result<()> {
        match told {
            Told::Applied(applied) => {
                if let Some(counts) = self.given.batch.take() {
                    count(counts, &applied);
                }
                self.failures = 0;
                self.show_lag(&applied.position);
                self.source.applied(&applied.position);
                Ok(())
            }
            Told::Positions(states) => {
                self.given.is_asked = false;
                self.trouble = None;
                self.restart(&states)
            }
            Told::Noted => {
                self.given.is_noting = false;
                Ok(())
            }
            Told::Failed(error) => match of_failure(&error) {
                Fate::Halt(_) => Err(Error::Store(error)),
                Fate::Retry(why) => self.start_over(error.kind(), why),
                // A failure is none of these; starting over would be right for them all the same.
                Fate::Apply | Fate::Duplicate | Fate::Reject(_) => {
                    self.start_over(error.kind(), error.to_string())
                }
            },
            Told::Broken(error) => Err(Error::Store(error)),
        }
    }

    fn restart(&mut self, states: &[PartitionState]) -> Result<()> {
        let wanted = std::mem::take(&mut self.wanted);
        let starts: Vec<Start> = wanted
            .into_iter()
            .map(|(lane, partition)| {
                let known = states
                    .iter()
                    .find(|one| (one.lane, one.partition) == (lane, partition));
                Start {
                    lane,
                    partition,
                    next_offset: known.map_or(0, |one| one.next_offset),
                }
            })
            .collect();
        for start in &starts {
            self.growing
                .begin((start.lane, start.partition), start.next_offset);
        }
        Ok(self.source.restart(&starts)?)
    }

    /// The one way back: everything that was fetched is dropped, and read again from the store's
    /// position after a wait. A first lost compare-and-set needs none.
    fn start_over(&mut self, kind: Kind, why: String) -> Result<()> {
        if self.failed.elapsed() > self.settings.backoff.cap * 4 {
            self.failures = 0;
        }
        self.failures += 1;
        self.failed = Instant::now();
        let is_first_fence = kind == Kind::Fenced && self.failures == 1;
        let wait = if is_first_fence {
            Duration::ZERO
        } else {
            self.settings.backoff.drawn(self.failures)
        };
        tracing::warn!(
            ?wait,
            "reading starts over from the store's position: {why}"
        );
        let dropped = self
            .given
            .batch
            .take()
            .map_or(0, |counts| counts.accepted + counts.rejected);
        metrics::records(&Fate::Retry(String::new()), dropped as u64);
        self.not_before = self.failed + wait;
        self.given.is_asked = false;
        self.growing.start_over();
        self.paused = false;
        metrics::paused(false);
        let halted = &self.halted;
        let again = self.owned.iter().filter(|of| !halted.contains_key(of));
        self.wanted = again.copied().collect();
        self.trouble = Some(why);
        let owned: Vec<LanePartition> = self.owned.iter().copied().collect();
        Ok(self.source.release(&owned)?)
    }

    // ---- what others see ----

    fn show_lag(&self, position: &Position) {
        for ((lane, partition), end) in &self.ends {
            let stands = position.get(*lane, *partition).unwrap_or(0);
            metrics::lag(*lane, *partition, (end.end_offset - stands).max(0));
        }
    }

    fn post(&mut self) {
        let now = Instant::now();
        let is_writing = self.given.batch.is_some();
        self.board.write(|status| {
            status.turned = now;
            status.assigned = self.owned.len();
            status.read = self.growing.read_count();
            status.is_paused = self.paused;
            if status.halted.len() != self.halted.len() {
                status.halted = listed(&self.halted);
            }
            if status.trouble != self.trouble {
                status.trouble.clone_from(&self.trouble);
            }
            let busy = status.store_busy_since.filter(|_| is_writing);
            status.store_busy_since = busy.or_else(|| is_writing.then_some(now));
        });
    }
}

/// Duplicates are what was handed over and neither new nor a conflict.
fn count(counts: BatchCounts, applied: &Applied) {
    let conflicts = applied.letters.saturating_sub(counts.rejected);
    let duplicates = counts.events.saturating_sub(applied.events + conflicts);
    metrics::records(
        &Fate::Apply,
        counts.accepted.saturating_sub(duplicates) as u64,
    );
    metrics::records(&Fate::Duplicate, duplicates as u64);
    let fault =
        licenseflow_avro::reason::Fault::new(licenseflow_avro::Reason::Empty, String::new());
    metrics::records(&Fate::Reject(fault), counts.rejected as u64);
}
