//! The thread that sends letters, so that a broker that is away never holds the store up.

use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use licenseflow_avro::causes::chain;
use licenseflow_avro::{Coordinates, RawRecord, Reason};
use licenseflow_core::crash;
use licenseflow_kafka::{DeadLetter, Delivery, Letters, Retry, RetryTo};
use licenseflow_store::{Done, Letter, LetterContent, WaitingRecord};
use tokio_util::sync::CancellationToken;

use crate::Backoff;
use crate::metrics;
use crate::retrying::retry;
use crate::store_thread::Task;

/// How often a wait looks whether the end has come.
const GLANCE: Duration = Duration::from_millis(50);

/// What is sent together.
#[derive(Debug)]
pub(crate) enum Round {
    Letters(Vec<Letter>),
    /// Records that wait, about which something is to be done.
    Waiting(Vec<WaitingRecord>),
}

pub(crate) struct Sending<L> {
    pub(crate) letters: L,
    pub(crate) inbox: Receiver<Round>,
    pub(crate) tasks: Sender<Task>,
    pub(crate) within: Duration,
    /// The most bytes of originals that are held at a time, beside the one that reaches it.
    pub(crate) bytes_max: usize,
    pub(crate) backoff: Backoff,
    pub(crate) stop: CancellationToken,
}

/// The end was asked for, or nobody listens.
struct Ended;

/// What became of a round.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    acknowledged: usize,
    refused: usize,
    unanswered: usize,
}

impl<L: Letters> Sending<L> {
    /// Sends what comes until nobody gives more, or the end is asked for.
    pub(crate) fn run(mut self) {
        let mut failures = 0;
        while let Ok(round) = self.inbox.recv() {
            let letters = match round {
                Round::Letters(letters) => letters,
                Round::Waiting(waiting) => {
                    let over = self.send_again(waiting);
                    if self.tasks.send(Task::RetriesOver(over)).is_err() {
                        return;
                    }
                    continue;
                }
            };
            let Ok(counts) = self.round(letters) else {
                return;
            };
            // Where nobody passes, nobody behind them would: the brokers are away.
            let is_away = counts.acknowledged == 0 && counts.unanswered > 0;
            failures = if is_away { failures + 1 } else { 0 };
            let waited = if is_away {
                self.backoff.drawn(failures)
            } else {
                Duration::ZERO
            };
            if self.is_stopped_within(waited) {
                return;
            }
            let left = counts.refused + counts.unanswered;
            if self.tasks.send(Task::RoundOver { left, waited }).is_err() {
                return;
            }
        }
    }

    /// Tries each record that waits once, and gives what was done about those that the brokers have.
    fn send_again(&mut self, waiting: Vec<WaitingRecord>) -> Vec<Done> {
        let done: Vec<Done> = waiting.iter().map(WaitingRecord::done).collect();
        let retries: Vec<Retry> = waiting.into_iter().map(retry).collect();
        let deliveries = match self.letters.retry(&retries, self.within) {
            Ok(deliveries) => deliveries,
            Err(error) => {
                metrics::failure("retries", error.kind());
                tracing::warn!(error = %chain(&error), count = retries.len(), "records that wait go on waiting: the brokers are away");
                return Vec::new();
            }
        };
        let mut acknowledged = Vec::with_capacity(done.len());
        for ((done, retry), delivery) in done.into_iter().zip(&retries).zip(deliveries) {
            match delivery {
                Delivery::Acknowledged => {
                    metrics::retry_sent(match retry.to {
                        RetryTo::Topic => "topic",
                        RetryTo::Lane => "lane",
                    });
                    acknowledged.push(done);
                }
                Delivery::Refused(why) | Delivery::Unanswered(why) => {
                    let at = retry.record.at;
                    tracing::warn!(lane = %at.lane, partition = at.partition, offset = at.offset, reason = %retry.reason,
                        "a record that waits was not taken, and is sent again: {why}");
                }
            }
        }
        if !acknowledged.is_empty() {
            crash::point(crash::AFTER_RETRY);
        }
        acknowledged
    }

    /// Tries each letter of a round once.
    fn round(&mut self, letters: Vec<Letter>) -> Result<Counts, Ended> {
        let mut counts = Counts::default();
        let Sorted { whole, mut in_lane } = Sorted::of(letters);
        if !whole.ids.is_empty() {
            self.deliver(whole, &mut counts)?;
        }
        while !in_lane.is_empty() {
            if self.stop.is_cancelled() {
                return Err(Ended);
            }
            let at: Vec<Coordinates> = in_lane.iter().map(|letter| letter.at).collect();
            match self.letters.originals(&at, self.bytes_max) {
                Ok(mut originals) => {
                    let left = &originals.left;
                    let (later, now): (Vec<_>, Vec<_>) =
                        in_lane.into_iter().partition(|one| left.contains(&one.at));
                    in_lane = later;
                    let mut portion = Portion::default();
                    for letter in now {
                        // Where the lane has lost the record, the letter still says that there was one.
                        let original = originals.found.remove(&letter.at);
                        let original = original.unwrap_or_else(|| nothing_left(letter.at));
                        portion.push(letter.id, dead(original, letter.reason, letter.error));
                    }
                    self.deliver(portion, &mut counts)?;
                }
                Err(error) => {
                    counts.unanswered += in_lane.len();
                    waiting(&error, in_lane.len());
                    break;
                }
            }
        }
        Ok(counts)
    }

    /// Sends a portion, and says at once which letters of it were acknowledged, whatever became of the
    /// others.
    fn deliver(&mut self, portion: Portion, counts: &mut Counts) -> Result<(), Ended> {
        let deliveries = match self.letters.send(&portion.letters, self.within) {
            Ok(deliveries) => deliveries,
            Err(error) => {
                counts.unanswered += portion.ids.len();
                waiting(&error, portion.ids.len());
                return Ok(());
            }
        };
        let mut acknowledged = Vec::with_capacity(portion.ids.len());
        let (before, mut silence) = (counts.unanswered, None);
        let each = portion.ids.iter().zip(&portion.letters).zip(deliveries);
        for ((id, letter), delivery) in each {
            match &delivery {
                Delivery::Acknowledged => acknowledged.push(*id),
                Delivery::Refused(why) => {
                    let at = letter.record.at;
                    tracing::error!(lane = %at.lane, partition = at.partition, offset = at.offset, reason = %letter.reason,
                        "the brokers refuse a letter, which is tried again behind the others: {why}");
                    counts.refused += 1;
                    metrics::letters_left(delivery.label(), 1);
                }
                Delivery::Unanswered(why) => {
                    silence.get_or_insert_with(|| why.clone());
                    counts.unanswered += 1;
                }
            }
        }
        if let Some(why) = silence {
            let count = counts.unanswered - before;
            metrics::letters_left("unanswered", count);
            tracing::warn!(
                count,
                "letters were not acknowledged, and are sent again: {why}"
            );
        }
        counts.acknowledged += acknowledged.len();
        if acknowledged.is_empty() {
            return Ok(());
        }
        crash::point(crash::AFTER_LETTER);
        let told = self.tasks.send(Task::LettersSent(acknowledged));
        told.map_err(|_| Ended)
    }

    fn is_stopped_within(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if self.stop.is_cancelled() {
                return true;
            }
            thread::sleep(GLANCE.min(until.saturating_duration_since(Instant::now())));
        }
        self.stop.is_cancelled()
    }
}

/// Nothing of them was sent.
fn waiting(error: &licenseflow_kafka::Error, count: usize) {
    metrics::failure("letters", error.kind());
    metrics::letters_left("unanswered", count);
    tracing::warn!(error = %chain(error), count, "letters wait for the brokers");
}

/// Letters that are sent together, with their rows.
#[derive(Default)]
struct Portion {
    ids: Vec<i64>,
    letters: Vec<DeadLetter>,
}

impl Portion {
    fn push(&mut self, id: i64, letter: DeadLetter) {
        self.ids.push(id);
        self.letters.push(letter);
    }
}

/// The letters of a round: whole ones, which the store has bounded, and those whose originals are still
/// to be read. They are large: none is copied.
struct Sorted {
    whole: Portion,
    in_lane: Vec<Letter>,
}

impl Sorted {
    fn of(letters: Vec<Letter>) -> Self {
        let (mut whole, mut in_lane) = (Portion::default(), Vec::new());
        for letter in letters {
            let Letter {
                id,
                at,
                reason,
                error,
                content,
            } = letter;
            match content.record(at) {
                Some(record) => whole.push(id, dead(record, reason, error)),
                None => in_lane.push(Letter {
                    id,
                    at,
                    reason,
                    error,
                    content: LetterContent::InTheLane,
                }),
            }
        }
        Self { whole, in_lane }
    }
}

fn dead(record: RawRecord, reason: Reason, error: String) -> DeadLetter {
    DeadLetter {
        record,
        reason,
        error,
    }
}

fn nothing_left(at: Coordinates) -> RawRecord {
    RawRecord {
        at,
        key: None,
        value: None,
        headers: Vec::new(),
    }
}
