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
        let mut dead = Vec::with_capacity(letters.len());
        for letter in letters {
            dead.push(self.dead_letter(letter)?);
        }
        self.letters.send(&dead, self.within)
    }

    fn dead_letter(&mut self, letter: &Letter) -> licenseflow_kafka::Result<DeadLetter> {
        let record = match &letter.content {
            LetterContent::Kept {
                key,
                value,
                headers,
            } => RawRecord {
                at: letter.at,
                key: key.clone(),
                value: value.clone(),
                headers: headers.clone(),
            },
            // Where the lane has lost the record, the letter still says that there was one.
            LetterContent::InTheLane => {
                let found = self.letters.original(letter.at)?;
                found.unwrap_or_else(|| nothing_left(letter.at))
            }
        };
        Ok(DeadLetter {
            record,
            reason: letter.reason,
            error: letter.error.clone(),
        })
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
