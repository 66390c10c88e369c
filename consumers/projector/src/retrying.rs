//! Records that wait for another try, as the loop has them: which may wait, and what is done about those that
//! are due.
//!
//! The row drives it all: it is copied to the retry topic, and published into its lane when it is due. Whoever
//! dies in between does it again; the row knows which of its tries it has seen.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use licenseflow_avro::RawRecord;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::headers_size;
use licenseflow_avro::topics::{MAX_HEADER_BYTES, MAX_RECORD_BYTES};
use licenseflow_core::batch::attempt;
use licenseflow_core::{Fate, Waiting};
use licenseflow_kafka::{Retry, RetryTo};
use licenseflow_store::{Done, Due, Outbox, Step, WaitingRecord};

use crate::Backoff;
use crate::config::Clock;
use crate::fate;
use crate::outbox::Round;

/// How often a record is tried, and how many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// So often a record is tried before it is given up on; 1: it never waits.
    pub attempts_max: u32,
    /// So many records may wait at a time: what comes beyond is given up on at once.
    pub waiting_max: usize,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts_max: 6,
            waiting_max: 1000,
        }
    }
}

/// The polling thread's view: how many wait.
#[derive(Debug)]
pub(crate) struct Room {
    retries: Retries,
    backoff: Backoff,
    /// Those that the store knows, and those that are on their way to it.
    waiting: usize,
}

impl Room {
    pub(crate) fn new(retries: Retries, backoff: Backoff) -> Self {
        Self {
            retries,
            backoff,
            waiting: 0,
        }
    }

    /// The store has so many, and the growing batch so many more.
    pub(crate) fn counted(&mut self, in_store: usize, growing: usize) {
        self.waiting = in_store + growing;
    }

    /// What becomes of a record whose fault may heal.
    pub(crate) fn fate(&self, record: &RawRecord, fault: Fault) -> Fate {
        let attempt = attempt(record);
        // Whether a record that says it was tried before has its room already is for the store to say.
        let may_have_room = self.has_room() || attempt > 1;
        let has_room = may_have_room && can_be_published_again(record);
        fate::of_try(fault, attempt, self.retries.attempts_max, has_room)
    }

    fn has_room(&self) -> bool {
        self.waiting < self.retries.waiting_max
    }

    /// A record waits.
    pub(crate) fn take(&mut self, record: RawRecord, fault: Fault) -> Waiting {
        let may_begin = self.has_room();
        self.waiting += usize::from(may_begin);
        let wait = self.backoff.drawn(attempt(&record));
        Waiting {
            wait_ms: i64::try_from(wait.as_millis()).unwrap_or(i64::MAX),
            record,
            fault,
            may_begin,
        }
    }
}

/// Headers that a record has beside its own when it is published again, and what its batch needs for itself.
const OURS_BYTES: usize = 1024;

/// Whether the lane takes the record once more, with what we add to it, however it was compressed.
fn can_be_published_again(record: &RawRecord) -> bool {
    headers_size(&record.headers) + OURS_BYTES <= MAX_HEADER_BYTES
        && record.size() + OURS_BYTES <= MAX_RECORD_BYTES
}

/// How often the store is asked what is due where nothing says that there is anything.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same after it did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// The store thread's part: looks for what is due, and marks what was done.
#[derive(Debug)]
pub(crate) struct Retrying {
    /// When the store is looked at next.
    pub(crate) look: Instant,
    /// What the brokers have and the store does not know of yet.
    done: Vec<Done>,
}

impl Retrying {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            look: now,
            done: Vec::new(),
        }
    }

    /// Whether there is something to mark, whether or not a round is under way.
    pub(crate) fn has_marks(&self) -> bool {
        !self.done.is_empty()
    }

    /// There may be something to do.
    pub(crate) fn hurry(&mut self) {
        self.look = Instant::now();
    }

    /// A round is over; the brokers have these. Where they have none, they are left alone for a while.
    pub(crate) fn round_is_over(&mut self, done: Vec<Done>) {
        let wait = if done.is_empty() {
            AGAIN
        } else {
            Duration::ZERO
        };
        self.done.extend(done);
        self.look = Instant::now() + wait;
    }

    /// Marks what was done, and then gives what is due to the thread that sends; true: a round began.
    pub(crate) fn look_at<M: Outbox>(
        &mut self,
        model: &mut M,
        is_sending: bool,
        outgoing: &Sender<Round>,
        (clock, limit): (&Clock, usize),
    ) -> Result<bool, licenseflow_store::Error> {
        if Instant::now() < self.look {
            return Ok(false);
        }
        self.look = Instant::now() + AGAIN;
        let now = clock();
        if !self.done.is_empty() {
            model.mark_done(&self.done, now)?;
            self.done.clear();
            self.look = Instant::now();
        }
        if is_sending {
            return Ok(false);
        }
        let Due { records, next } = model.due(now, limit)?;
        if records.is_empty() {
            let until = next.map_or(INTERVAL, |next| {
                Duration::from_millis(u64::try_from(next.saturating_sub(now)).unwrap_or(1).max(1))
            });
            self.look = Instant::now() + until.min(INTERVAL);
            return Ok(false);
        }
        Ok(outgoing.send(Round::Waiting(records)).is_ok())
    }
}

/// A record that waits, as it is sent.
pub(crate) fn retry(waiting: WaitingRecord) -> Retry {
    Retry {
        record: waiting.record,
        reason: waiting.reason,
        error: waiting.error,
        attempt: waiting.attempt,
        due: waiting.due,
        to: match waiting.step {
            Step::Copy => RetryTo::Topic,
            Step::Publish => RetryTo::Lane,
        },
    }
}
