//! The thread that sends letters, so that a broker that is away never holds the store up.

use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use licenseflow_avro::{Coordinates, RawRecord, Reason};
use licenseflow_core::crash;
use licenseflow_kafka::{DeadLetter, Letters};
use licenseflow_store::{Letter, LetterContent};
use tokio_util::sync::CancellationToken;

use crate::Backoff;
use crate::metrics;
use crate::store_thread::Task;

/// How often a wait looks whether the end has come.
const GLANCE: Duration = Duration::from_millis(50);

pub(crate) struct Sending<L> {
    pub(crate) letters: L,
    pub(crate) inbox: Receiver<Vec<Letter>>,
    pub(crate) tasks: Sender<Task>,
    pub(crate) within: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) stop: CancellationToken,
}

impl<L: Letters> Sending<L> {
    /// Sends what comes until nobody gives more, or the end is asked for.
    pub(crate) fn run(mut self) {
        while let Ok(letters) = self.inbox.recv() {
            let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
            let mut outgoing = Outgoing::of(letters);
            let mut failures = 0;
            while let Err(error) = self.deliver(&mut outgoing) {
                failures += 1;
                metrics::failure("letters", error.kind());
                let wait = self.backoff.drawn(failures);
                tracing::warn!(error = %chain(&error), ?wait, "letters wait for the brokers");
                if self.is_stopped_within(wait) {
                    return;
                }
            }
            crash::point(crash::AFTER_LETTER);
            if self.tasks.send(Task::LettersSent(ids)).is_err() {
                return;
            }
        }
    }

    fn deliver(&mut self, outgoing: &mut Outgoing) -> licenseflow_kafka::Result<()> {
        if !outgoing.in_the_lane.is_empty() {
            let at: Vec<Coordinates> = outgoing
                .in_the_lane
                .iter()
                .map(|letter| letter.at)
                .collect();
            let mut originals = self.letters.originals(&at)?;
            let found = outgoing.in_the_lane.drain(..).map(|letter| {
                // Where the lane has lost the record, the letter still says that there was one.
                let original = originals.remove(&letter.at);
                dead(
                    original.unwrap_or_else(|| nothing_left(letter.at)),
                    letter.reason,
                    letter.error,
                )
            });
            outgoing.whole.extend(found);
        }
        self.letters.send(&outgoing.whole, self.within)
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

/// Letters of which some wait for their originals. They are large: none is copied.
struct Outgoing {
    whole: Vec<DeadLetter>,
    in_the_lane: Vec<Letter>,
}

impl Outgoing {
    fn of(letters: Vec<Letter>) -> Self {
        let (mut whole, mut in_the_lane) = (Vec::with_capacity(letters.len()), Vec::new());
        for letter in letters {
            match letter.content {
                LetterContent::Kept {
                    key,
                    value,
                    headers,
                } => {
                    let at = letter.at;
                    let record = RawRecord {
                        at,
                        key,
                        value,
                        headers,
                    };
                    whole.push(dead(record, letter.reason, letter.error));
                }
                LetterContent::InTheLane => in_the_lane.push(letter),
            }
        }
        Self { whole, in_the_lane }
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

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
