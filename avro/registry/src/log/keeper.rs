//! The thread that keeps the state: it follows the topic, and decides and writes changes.
//!
//! One thread does both, because a decision rests on having read the topic to its end. Orders that
//! wait together are served together: one reading for all, one transaction for all changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::connection::{Connection, Where, of_log};
use super::failure::{Failure, tried};
use super::record::Entry;
use super::writer::Writer;
use crate::Result;
use crate::decide::{Answer, Change};
use crate::state::State;

/// How far an instance may be behind the others for what it knows already.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// Changes in one transaction, so that it stays well under the producer's queue.
const CHANGES_MAX: usize = 32;
/// How long a change is tried before it is given up.
const WRITE_WITHIN: Duration = Duration::from_secs(9);

/// What the thread is asked to do.
pub(crate) enum Order {
    /// Read to where the topic ends now.
    CatchUp(oneshot::Sender<Result<()>>),
    /// Change something.
    Change(Change, oneshot::Sender<Result<Answer>>),
    /// End.
    Stop,
}

/// What readers share with the thread.
#[derive(Default)]
pub(crate) struct Shared {
    state: RwLock<State>,
    /// Whether the topic was read to its end once.
    loaded: AtomicBool,
}

impl Shared {
    pub(crate) fn read<T>(&self, question: impl FnOnce(&State) -> T) -> T {
        question(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The thread's own.
pub(crate) struct Keeper {
    place: Where,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    connection: Option<Connection>,
    writer: Option<Writer>,
    /// Whether the last attempt to follow failed, so that trouble is logged once.
    troubled: bool,
}

type Waiting = (Change, oneshot::Sender<Result<Answer>>);

/// What the changes of one transaction come to.
struct Plan {
    entries: Vec<Entry>,
    answers: Vec<Result<Answer>>,
}

impl Keeper {
    pub(crate) fn new(place: Where, shared: Arc<Shared>, orders: Receiver<Order>) -> Keeper {
        Keeper {
            place,
            shared,
            orders,
            connection: None,
            writer: None,
            troubled: false,
        }
    }

    /// Serves until it is told to stop or nobody is left to ask.
    pub(crate) fn run(mut self) {
        loop {
            match self.orders.recv_timeout(FOLLOW_EVERY) {
                Ok(first) => {
                    let rest: Vec<Order> = self.orders.try_iter().take(CHANGES_MAX - 1).collect();
                    if self.serve(std::iter::once(first).chain(rest)) == Next::Stop {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    // Told in the log; whoever asks meanwhile is told as well.
                    let _ = self.follow();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn serve(&mut self, orders: impl Iterator<Item = Order>) -> Next {
        let mut next = Next::Serve;
        let (mut waiting, mut changes) = (Vec::new(), Vec::new());
        for order in orders {
            match order {
                Order::CatchUp(reply) => waiting.push(reply),
                // Whoever stopped waiting must not be surprised by a change later on.
                Order::Change(_, reply) if reply.is_closed() => {}
                Order::Change(change, reply) => changes.push((change, reply)),
                Order::Stop => next = Next::Stop,
            }
        }
        if !waiting.is_empty() {
            let within = self.place.timeout;
            let outcome = tried(within, || self.follow().map_err(Failure::of_reading));
            for reply in waiting {
                let _ = reply.send(outcome.clone());
            }
        }
        if !changes.is_empty() {
            self.write(changes);
        }
        next
    }

    /// Reads to where the topic ends now.
    fn follow(&mut self) -> Result<()> {
        let outcome = self.read_to_end();
        match &outcome {
            Err(error) if !self.troubled => {
                tracing::warn!(%error, topic = self.place.topic, "the schemas' topic cannot be read");
            }
            Ok(()) if self.troubled => {
                tracing::info!(topic = self.place.topic, "the schemas' topic is read again");
            }
            Ok(()) | Err(_) => {}
        }
        self.troubled = outcome.is_err();
        outcome
    }

    fn read_to_end(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let connection = Connection::open(&self.place)?;
                shared.loaded.store(false, Ordering::Release);
                shared.change(|state| *state = State::default());
                self.connection.insert(connection)
            }
        };
        let outcome = connection.follow(|entry| shared.change(|state| state.apply(&entry)));
        if let Err(error) = outcome {
            // A topic that was made anew is read anew; one that is away is waited for.
            if !error.is_passing() {
                self.connection = None;
                self.writer = None;
            }
            return Err(of_log(error));
        }
        shared.loaded.store(true, Ordering::Release);
        Ok(())
    }

    fn write(&mut self, waiting: Vec<Waiting>) {
        let (changes, replies): (Vec<Change>, Vec<_>) = waiting.into_iter().unzip();
        let outcome = tried(WRITE_WITHIN, || self.attempt(&changes));
        match outcome {
            Ok(answers) => {
                for (reply, answer) in replies.into_iter().zip(answers) {
                    let _ = reply.send(answer);
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Reads, decides and writes once.
    fn attempt(&mut self, changes: &[Change]) -> std::result::Result<Vec<Result<Answer>>, Failure> {
        self.follow().map_err(Failure::of_reading)?;
        let mut plan = self.plan(changes);
        if plan.entries.is_empty() {
            return Ok(plan.answers);
        }
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                // What others wrote before this writer began is in the log now, and nothing after.
                let writer = Writer::begin(&self.place)?;
                self.follow().map_err(Failure::of_reading)?;
                plan = self.plan(changes);
                writer
            }
        };
        if !plan.entries.is_empty() {
            let last = writer.write(&plan.entries)?;
            self.read_past(last);
        }
        // Only a writer that did not fail is kept: any other is in a state not worth mending.
        self.writer = Some(writer);
        Ok(plan.answers)
    }

    fn plan(&self, changes: &[Change]) -> Plan {
        let mut ahead = self.shared.read(State::clone);
        let mut plan = Plan {
            entries: Vec::new(),
            answers: Vec::new(),
        };
        for change in changes {
            let decision = ahead.decide(change);
            plan.answers.push(decision.map(|decision| {
                decision.entries.iter().for_each(|entry| ahead.apply(entry));
                plan.entries.extend(decision.entries);
                decision.answer
            }));
        }
        plan
    }

    /// Waits until what was committed can be read, here and so by every instance: the markers are
    /// written after the commit was answered.
    fn read_past(&mut self, offset: i64) {
        let deadline = Instant::now() + self.place.timeout;
        while Instant::now() < deadline {
            if self.follow().is_err() {
                return;
            }
            if self
                .connection
                .as_ref()
                .is_some_and(|connection| connection.is_past(offset))
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Whether the thread goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Serve,
    Stop,
}
