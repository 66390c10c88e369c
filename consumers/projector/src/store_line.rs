//! The polling thread's end of the line to the store's thread: one batch at a time.
//!
//! It knows what was given and not answered yet, and counts what became of records.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use licenseflow_avro::Reason;
use licenseflow_avro::reason::Fault;
use licenseflow_core::Fate;
use licenseflow_store::Applied;

use crate::growing::HandedOver;
use crate::narrowing::Tried;
use crate::store_thread::{Task, Told};
use crate::{Error, Result, metrics};

#[derive(Debug)]
pub(crate) struct StoreLine {
    tasks: Sender<Task>,
    told: Receiver<Told>,
    batch: Option<BatchCounts>,
    /// The last batch that was given.
    tried: Tried,
    is_noting: bool,
    is_asked: bool,
}

#[derive(Debug, Clone, Copy)]
struct BatchCounts {
    accepted: usize,
    events: usize,
    rejected: usize,
}

impl StoreLine {
    pub(crate) fn new(tasks: Sender<Task>, told: Receiver<Told>) -> Self {
        Self {
            tasks,
            told,
            batch: None,
            tried: Tried {
                records: 0,
                first: None,
            },
            is_noting: false,
            is_asked: false,
        }
    }

    /// Whether a batch is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.batch.is_some()
    }

    /// Whether a batch may be given, or positions asked for.
    pub(crate) fn is_free(&self) -> bool {
        self.batch.is_none() && !self.is_asked
    }

    /// Whether ends may be given.
    pub(crate) fn is_noting(&self) -> bool {
        self.is_noting
    }

    pub(crate) fn apply(&mut self, over: HandedOver) -> Result<()> {
        let rejected = over.batch.rejected.len();
        metrics::batch(over.batch.records, over.batch.bytes);
        self.tried = Tried {
            records: over.batch.records,
            // Each record has its journey.
            first: over.batch.journey.first().map(|entry| entry.at),
        };
        self.batch = Some(BatchCounts {
            accepted: over.accepted,
            events: over.events,
            rejected,
        });
        self.give(Task::Apply(Box::new(over.batch)))
    }

    /// The last batch that was given.
    pub(crate) fn tried(&self) -> Tried {
        self.tried
    }

    pub(crate) fn ask_for_positions(&mut self) -> Result<()> {
        self.is_asked = true;
        self.give(Task::Positions)
    }

    pub(crate) fn note_ends(&mut self, ends: Vec<licenseflow_store::PartitionEnd>) -> Result<()> {
        self.is_noting = true;
        self.give(Task::NoteEnds(ends))
    }

    fn give(&self, task: Task) -> Result<()> {
        self.tasks.send(task).map_err(|_| Error::Ended("store"))
    }

    /// What the store said, if anything.
    pub(crate) fn heard(&mut self) -> Result<Option<Told>> {
        match self.told.try_recv() {
            Ok(told) => Ok(Some(self.answered(told))),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Error::Ended("store")),
        }
    }

    /// What the store says within a time, if anything.
    pub(crate) fn wait(&mut self, within: Duration) -> Result<Option<Told>> {
        match self.told.recv_timeout(within) {
            Ok(told) => Ok(Some(self.answered(told))),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Ended("store")),
        }
    }

    fn answered(&mut self, told: Told) -> Told {
        match &told {
            Told::Applied(applied) => {
                if let Some(counts) = self.batch.take() {
                    counts.count(applied);
                }
            }
            Told::Positions(_) => self.is_asked = false,
            Told::Noted => self.is_noting = false,
            // Only a batch or a question can fail so, and never are both open.
            Told::Failed(_) => {
                let dropped = self.batch.take();
                let count = dropped.map_or(0, |counts| counts.accepted + counts.rejected);
                metrics::records(&Fate::Hold(String::new()), count as u64);
                self.is_asked = false;
            }
            Told::Broken(_) => {}
        }
        told
    }
}

impl Drop for StoreLine {
    fn drop(&mut self) {
        // However the polling thread ends; where the store's is gone already, nobody is left to tell.
        let _ = self.tasks.send(Task::Stop);
    }
}

impl BatchCounts {
    /// Duplicates are what was handed over and is neither new nor a conflict.
    fn count(self, applied: &Applied) {
        let conflicts = applied.letters.saturating_sub(self.rejected);
        let duplicates = self.events.saturating_sub(applied.events + conflicts);
        let fresh = self.accepted.saturating_sub(duplicates);
        metrics::records(&Fate::Apply, fresh as u64);
        metrics::records(&Fate::Duplicate, duplicates as u64);
        let rejected = Fate::Reject(Fault::new(Reason::Empty, String::new()));
        metrics::records(&rejected, self.rejected as u64);
    }
}
