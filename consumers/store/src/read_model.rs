//! The write side: what the projector asks of a store.

use licenseflow_avro::reason::Reason;
use licenseflow_avro::record::{Header, headers_size};
use licenseflow_avro::{Coordinates, Lane, Offset, PartitionId, Position, RawRecord};
use licenseflow_core::Batch;

use crate::{Done, Due, Error, Ground};

/// One generation of the read models, as its only writer sees it. Calls block; they are made from
/// a thread of the projector's own.
pub trait ReadModel: Send {
    /// Begins on this log: the first time it is kept, and from then on no other is taken.
    ///
    /// # Errors
    /// [`Error::Unusable`] where the model was built from another log, [`Error::Away`] and
    /// [`Error::Broken`].
    fn begin_on(&mut self, ground: &Ground) -> Result<(), Error>;

    /// Where each partition stands.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    fn positions(&mut self) -> Result<Vec<PartitionState>, Error>;

    /// Folds a batch and writes it with its positions in ONE transaction; `now` is in milliseconds
    /// UTC.
    ///
    /// # Errors
    /// [`Error::Fenced`] where a partition does not stand at its span's `from`: nothing of the batch
    /// is written. [`Error::Away`], and [`Error::Refused`] where a row of it is at fault: nothing is written
    /// either. In all cases the batch is gone, and its partitions are read again from
    /// [`ReadModel::positions`]: one way back for every failure.
    fn apply(&mut self, batch: Batch, now: i64) -> Result<Applied, Error>;

    /// Notes the log's ends as last seen, and at which time a partition was seen applied up to its
    /// end; `now` is in milliseconds UTC.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    fn note_ends(&mut self, ends: &[PartitionEnd], now: i64) -> Result<(), Error>;
}

/// The bytes of letters that one call of [`Outbox::unsent`] stops at, beside the letter that reaches
/// them.
pub const LETTERS_BYTES: usize = 4 << 20;

/// Letters to the dead-letter topic: rows that were written with their batch, to be sent by the
/// live generation, at least once. Records that wait are sent like them, to the retry topic and, when due,
/// into their lanes. Of several writers of a store one at a time has the turn to send: the others see none
/// unsent.
pub trait Outbox: Send {
    /// Letters not sent yet whose rows come after the row `after`, the oldest first, but for those of records
    /// in the partitions `except`: at most `limit` of them, and no more once they come to [`LETTERS_BYTES`].
    /// 0 is before all rows.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    fn unsent(
        &mut self,
        after: i64,
        limit: usize,
        except: &[(Lane, PartitionId)],
    ) -> Result<Vec<Letter>, Error>;

    /// Marks letters as sent, after the brokers have acknowledged them; `now` in milliseconds UTC.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    fn mark_sent(&mut self, ids: &[i64], now: i64) -> Result<(), Error>;

    /// Records that wait, about which something is to be done by `now`, in milliseconds UTC: at most `limit` of
    /// them, and no more once they come to [`LETTERS_BYTES`].
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    fn due(&mut self, now: i64, limit: usize) -> Result<Due, Error>;

    /// Notes what was done about records that wait, after the brokers have acknowledged it; `now` in
    /// milliseconds UTC. What was done about an earlier try than the row's says nothing.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    fn mark_done(&mut self, done: &[Done], now: i64) -> Result<(), Error>;

    /// Sends no more letters: another writer of the store may at once.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`]; others then wait until the turn ends by itself.
    fn leave(&mut self) -> Result<(), Error>;
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionState {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub next_offset: Offset,
    /// The timestamp of the last record applied, in milliseconds UTC.
    pub last_timestamp: Option<i64>,
}

/// The end of a partition as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// Its end offset (last stable offset).
    pub end_offset: Offset,
    /// When that end was seen, in milliseconds UTC. Where the store stands at it or beyond, this is
    /// the time at which the partition was seen applied up to its end.
    pub seen_at: i64,
}

/// What an applied batch left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The batch's number.
    pub batch: i64,
    /// Where the whole model stands now.
    pub position: Position,
    /// How many event ids were new.
    pub events: usize,
    /// How many letters wait to be sent that did not before.
    pub letters: usize,
    /// How many records wait for another try, in all partitions.
    pub waiting: usize,
}

/// A record on its way to the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The row.
    pub id: i64,
    /// Where the original lies.
    pub at: Coordinates,
    /// Why.
    pub reason: Reason,
    /// The words for `x-error`.
    pub error: String,
    /// The record.
    pub content: LetterContent,
}

/// The original's key, value and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterContent {
    /// As they were rejected; a value that was too large stays in the lane.
    Kept {
        /// The original's key.
        key: Option<Vec<u8>>,
        /// The original's value.
        value: Option<Vec<u8>>,
        /// The original's headers.
        headers: Vec<Header>,
    },
    /// To be read from the lane at the letter's coordinates: a conflict, which may have been an
    /// event before.
    InTheLane,
}

impl LetterContent {
    /// The original, which lies there; none: it is to be read from the lane.
    #[must_use]
    pub fn record(self, at: Coordinates) -> Option<RawRecord> {
        match self {
            LetterContent::Kept {
                key,
                value,
                headers,
            } => Some(RawRecord {
                at,
                key,
                value,
                headers,
            }),
            LetterContent::InTheLane => None,
        }
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            LetterContent::Kept {
                key,
                value,
                headers,
            } => {
                let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
                length(key) + length(value) + headers_size(headers)
            }
            LetterContent::InTheLane => 0,
        }
    }
}
