//! Questions that are on their way, so that who asks the same meanwhile waits for the same answer.
//!
//! A question is nobody's own: as long as one of those who wait is left it goes on, and with the last it
//! is ended. It is forgotten when it has ended, however it did, so that no failure is told twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use licenseflow_store::lookup::Freshness;
use tokio::time::Instant;

use super::kept::{Keep, Key, Value};
use super::known::Tag;
use crate::answer::Failure;

/// An answer as it arrived.
#[derive(Clone)]
pub(super) struct Landed {
    pub(super) value: Value,
    pub(super) freshness: Freshness,
    pub(super) keep: Keep,
}

type Outcome = Result<Landed, Failure>;

/// A question on its way.
pub(super) type Flight = Shared<BoxFuture<'static, Outcome>>;

/// How long ago a question may have been asked for its answer to be told to another, where it depends on
/// the time of asking.
const TOGETHER_MAX: Duration = Duration::from_secs(1);

/// As much less time as a question on its way may have been given.
const GIVEN_LESS: Duration = Duration::from_secs(1);

/// What somebody is about to ask.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    pub(super) key: Arc<Key>,
    pub(super) tag: Tag,
    /// Whether the answer depends on the time of asking.
    pub(super) by_time: bool,
    /// The time that it has.
    pub(super) given: Duration,
    pub(super) now: Instant,
}

#[derive(Default)]
pub(super) struct Flights {
    aloft: Mutex<Aloft>,
}

#[derive(Default)]
struct Aloft {
    flights: HashMap<Arc<Key>, OnItsWay>,
    number: u64,
}

struct OnItsWay {
    flight: WeakShared<BoxFuture<'static, Outcome>>,
    number: u64,
    tag: Tag,
    given: Duration,
    begun_at: Instant,
}

impl Flights {
    /// The question that is on its way, and would be answered the same; none: it is to be asked.
    pub(super) fn join(&self, asking: &Asking) -> Option<Flight> {
        let aloft = self.aloft();
        aloft.joinable(asking)
    }

    /// As [`Flights::join`]; where there is none, the question that this gives is asked.
    pub(super) fn join_or_begin(
        self: &Arc<Self>,
        asking: &Asking,
        question: impl FnOnce() -> BoxFuture<'static, Outcome>,
    ) -> Flight {
        let mut aloft = self.aloft();
        if let Some(flight) = aloft.joinable(asking) {
            return flight;
        }
        aloft.number += 1;
        let landing = Landing {
            flights: Arc::clone(self),
            key: Arc::clone(&asking.key),
            number: aloft.number,
        };
        let question = question();
        let flight = async move {
            let _landing = landing;
            question.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            let known = OnItsWay {
                flight: weak,
                number: aloft.number,
                tag: asking.tag,
                given: asking.given,
                begun_at: asking.now,
            };
            aloft.flights.insert(Arc::clone(&asking.key), known);
        }
        flight
    }

    fn aloft(&self) -> MutexGuard<'_, Aloft> {
        // No change can end in the middle.
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Aloft {
    fn joinable(&self, asking: &Asking) -> Option<Flight> {
        let known = self.flights.get(&asking.key)?;
        let age = asking.now.saturating_duration_since(known.begun_at);
        // What was committed since it was asked, nobody has read yet.
        let is_same = known.tag.is_read_as(asking.tag) && (!asking.by_time || age <= TOGETHER_MAX);
        // Who has long to wait must not fail with one who had not.
        let has_time = known.given + GIVEN_LESS >= asking.given;
        // A flight that is given up inside of the lock would wait for it, so nothing is done with this.
        (is_same && has_time)
            .then(|| known.flight.upgrade())
            .flatten()
    }
}

/// Forgets a question when it has ended or nobody waits for it.
struct Landing {
    flights: Arc<Flights>,
    key: Arc<Key>,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut aloft = self.flights.aloft();
        let is_this = |known: &OnItsWay| known.number == self.number;
        let forgotten = if aloft.flights.get(&self.key).is_some_and(is_this) {
            aloft.flights.remove(&self.key)
        } else {
            None
        };
        drop(aloft);
        drop(forgotten);
    }
}
