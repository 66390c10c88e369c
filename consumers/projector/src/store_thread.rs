//! The thread that owns the store: one task after the other, batches first among them.
//!
//! It decides nothing about failures: it says what happened, and the polling thread decides.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use licenseflow_avro::Position;
use licenseflow_core::Batch;
use licenseflow_store::{Applied, Done, Error, Outbox, PartitionEnd, PartitionState, ReadModel};
use tokio::sync::watch;

use crate::Backoff;
use crate::config::Clock;
use crate::fate;
use crate::metrics::{self, Gauges};
use crate::outbox::Round;
use crate::retrying::Retrying;
use crate::slowing::Slowing;
use crate::walk::Walk;

/// What the store is asked to do.
#[derive(Debug)]
pub(crate) enum Task {
    Apply(Box<Batch>),
    Positions,
    NoteEnds(Vec<PartitionEnd>),
    /// The brokers have acknowledged these letters.
    LettersSent(Vec<i64>),
    /// Each letter of the round was tried; so many were not acknowledged, and so long was waited since.
    RoundOver {
        left: usize,
        waited: Duration,
    },
    /// Each of the records that wait was tried, and the brokers have these.
    RetriesOver(Vec<Done>),
    Stop,
}

/// What the store says.
#[derive(Debug)]
pub(crate) enum Told {
    Applied(Applied),
    Positions(Vec<PartitionState>),
    Noted,
    /// A batch was not written, or positions were not read.
    Failed(Error),
    /// Something else failed that nobody can wait out.
    Broken(Error),
}

/// How often the outbox is looked at where nothing says that there is anything in it.
const OUTBOX_INTERVAL: Duration = Duration::from_secs(5);
/// The same while letters of a partition wait to be sent more slowly.
const SLOWED_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct StoreThread<M> {
    pub(crate) model: M,
    pub(crate) tasks: Receiver<Task>,
    pub(crate) told: Sender<Told>,
    pub(crate) outgoing: Sender<Round>,
    pub(crate) letters_max: usize,
    pub(crate) walk: Walk,
    pub(crate) position: watch::Sender<Position>,
    pub(crate) clock: Clock,
    pub(crate) gauges: Gauges,
    pub(crate) slowing: Slowing,
    pub(crate) retrying: Retrying,
    /// A round of letters, or of records that wait, is under way.
    pub(crate) is_sending: bool,
    /// Letters that the brokers have and the store does not know of yet.
    pub(crate) acknowledged: Vec<i64>,
    /// When the outbox is looked at next.
    pub(crate) look: Instant,
    pub(crate) backoff: Backoff,
    /// How often the store did not answer about the outbox, in a row.
    pub(crate) failures: u32,
}

impl<M: ReadModel + Outbox> StoreThread<M> {
    /// Works until it is told to stop, or nobody listens.
    pub(crate) fn run(mut self) {
        loop {
            let answer = match self.tasks.recv_timeout(self.until_next_look()) {
                Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => return self.leave(),
                Ok(task) => self.work(task),
                Err(RecvTimeoutError::Timeout) => None,
            };
            if answer.is_some_and(|answer| self.told.send(answer).is_err()) {
                return;
            }
            let broken = self.look_at_retries().or_else(|| self.look_at_the_outbox());
            if broken.is_some_and(|broken| self.told.send(broken).is_err()) {
                return;
            }
        }
    }

    /// While a round is on its way, the next look waits for word of it, unless there is something to mark.
    fn until_next_look(&self) -> Duration {
        let letters = (!self.is_sending || !self.acknowledged.is_empty()).then_some(self.look);
        let retries = (!self.is_sending || self.retrying.has_marks()).then_some(self.retrying.look);
        let next = letters.into_iter().chain(retries).min();
        let wait = next.map_or(OUTBOX_INTERVAL, |next| {
            next.saturating_duration_since(Instant::now())
        });
        wait.min(OUTBOX_INTERVAL)
    }

    fn look_at_retries(&mut self) -> Option<Told> {
        let asked = (&self.clock, self.letters_max);
        let looked = self
            .retrying
            .look_at(&mut self.model, self.is_sending, &self.outgoing, asked);
        match looked {
            Ok(began) => {
                self.is_sending |= began;
                None
            }
            Err(error) => passing("retries", Err(error)),
        }
    }

    /// Whoever sends letters after us need not wait for our turn to end by itself.
    fn leave(&mut self) {
        if let Err(error) = self.model.leave() {
            metrics::failure("leave", error.kind().label());
            tracing::warn!(%error, "others that send letters wait until our turn is over");
        }
    }

    fn work(&mut self, task: Task) -> Option<Told> {
        match task {
            Task::Apply(batch) => Some(self.apply(*batch)),
            Task::Positions => Some(self.positions()),
            Task::NoteEnds(ends) => {
                let noted = self.model.note_ends(&ends, (self.clock)());
                Some(passing("note_ends", noted).unwrap_or(Told::Noted))
            }
            Task::LettersSent(ids) => {
                self.acknowledged.extend(ids);
                self.mark_acknowledged()
            }
            Task::RoundOver { left, waited } => {
                self.is_sending = false;
                self.walk.round_is_over(left, Instant::now(), waited);
                // Where marks wait to be taken, their time is set already.
                if self.acknowledged.is_empty() {
                    self.look = Instant::now();
                }
                None
            }
            Task::RetriesOver(done) => {
                self.is_sending = false;
                self.retrying.round_is_over(done);
                None
            }
            Task::Stop => None,
        }
    }

    /// Marks letters that the brokers have. Until the store takes the marks no letter is sent: a full
    /// disk must not have the same letters written for ever.
    fn mark_acknowledged(&mut self) -> Option<Told> {
        let marked = self.model.mark_sent(&self.acknowledged, (self.clock)());
        if marked.is_ok() {
            metrics::letters_sent(self.acknowledged.len());
            self.acknowledged.clear();
            self.failures = 0;
            self.look = Instant::now();
        } else {
            self.look_later();
        }
        passing("mark_sent", marked)
    }

    fn apply(&mut self, batch: Batch) -> Told {
        let begun = Instant::now();
        let now = (self.clock)();
        match self.model.apply(batch, now) {
            Ok(applied) => {
                metrics::applied(begun.elapsed(), now);
                self.stands_at(&applied.position);
                if applied.letters > 0 {
                    self.look = Instant::now();
                }
                if applied.waiting > 0 {
                    self.retrying.hurry();
                }
                Told::Applied(applied)
            }
            Err(error) => {
                metrics::failure("apply", error.kind().label());
                Told::Failed(error)
            }
        }
    }

    fn positions(&mut self) -> Told {
        match self.model.positions() {
            Ok(states) => {
                let each = states.iter();
                let position = each.map(|one| (one.lane, one.partition, one.next_offset));
                self.stands_at(&position.collect());
                Told::Positions(states)
            }
            Err(error) => {
                metrics::failure("positions", error.kind().label());
                Told::Failed(error)
            }
        }
    }

    /// Says where the model stands. Another loop may have said more of its partitions meanwhile.
    fn stands_at(&self, position: &Position) {
        self.position.send_modify(|known| known.raise_to(position));
    }

    /// The store did not answer about the outbox: it is left alone for longer each time.
    fn look_later(&mut self) {
        self.failures += 1;
        self.look = Instant::now() + self.backoff.drawn(self.failures);
    }

    /// Gives letters to the thread that sends them, if it is free and it is time.
    fn look_at_the_outbox(&mut self) -> Option<Told> {
        if Instant::now() < self.look {
            return None;
        }
        if !self.acknowledged.is_empty() {
            return self.mark_acknowledged();
        }
        if self.is_sending {
            return None;
        }
        let now = Instant::now();
        let after = self.walk.after(now);
        let slowed = self.slowing.slowed(now);
        self.gauges.letters_slowed(slowed.len());
        match self.model.unsent(after, self.letters_max, &slowed) {
            Ok(letters) => {
                self.failures = 0;
                for (lane, partition) in self.slowing.take(&letters, now) {
                    tracing::warn!(%lane, partition, "letters of this partition are sent more slowly from now on: one record after the other is rejected for its own fault");
                }
                self.walk.take(&letters, now);
                self.gauges
                    .letters_waiting(letters.len() + self.walk.left());
                let interval = match slowed.is_empty() {
                    true => OUTBOX_INTERVAL,
                    false => SLOWED_INTERVAL,
                };
                let again = self.walk.again().unwrap_or(now + interval);
                self.look = again.min(now + interval);
                if !letters.is_empty() {
                    self.is_sending = self.outgoing.send(Round::Letters(letters)).is_ok();
                }
                None
            }
            Err(error) => {
                self.look_later();
                passing("unsent", Err(error))
            }
        }
    }
}

/// A failure that the next round makes good is logged; any other is told.
fn passing(place: &'static str, done: Result<(), Error>) -> Option<Told> {
    let error = done.err()?;
    metrics::failure(place, error.kind().label());
    match fate::of_failure(&error) {
        licenseflow_core::Fate::Hold(why) => {
            tracing::warn!(place, "the store is asked again later: {why}");
            None
        }
        licenseflow_core::Fate::Apply
        | licenseflow_core::Fate::Duplicate
        | licenseflow_core::Fate::Retry(_)
        | licenseflow_core::Fate::Reject(_)
        | licenseflow_core::Fate::Halt(_) => Some(Told::Broken(error)),
    }
}
