//! The thread that sends letters, so that a broker that is away never holds the store up.

use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use licenseflow_avro::{Coordinates, RawRecord};
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
            let mut failures = 0;
            while let Err(error) = self.deliver(&letters) {
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

    fn deliver(&mut self, letters: &[Letter]) -> licenseflow_kafka::Result<()> {
        let in_the_lane = letters
            .iter()
            .filter(|it| it.content == LetterContent::InTheLane);
        let in_the_lane: Vec<Coordinates> = in_the_lane.map(|letter| letter.at).collect();
        let mut originals = self.letters.originals(&in_the_lane)?;
        let dead: Vec<DeadLetter> = letters
            .iter()
            .map(|letter| DeadLetter {
                // Where the lane has lost the record, the letter still says that there was one.
                record: kept(letter)
                    .or_else(|| originals.remove(&letter.at))
                    .unwrap_or_else(|| nothing_left(letter.at)),
                reason: letter.reason,
                error: letter.error.clone(),
            })
            .collect();
        self.letters.send(&dead, self.within)
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

/// What the store kept of the record.
fn kept(letter: &Letter) -> Option<RawRecord> {
    match &letter.content {
        LetterContent::Kept {
            key,
            value,
            headers,
        } => Some(RawRecord {
            at: letter.at,
            key: key.clone(),
            value: value.clone(),
            headers: headers.clone(),
        }),
        LetterContent::InTheLane => None,
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
