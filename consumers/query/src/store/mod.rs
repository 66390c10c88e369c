//! The one way to the store: off the runtime's threads, each question in its turn, none while the store
//! does not answer, and none for longer than somebody waits.
//!
//! ```text
//! a question ─▶ kept? ─▶ on its way? ─▶ breaker ─▶ turn ─▶ the store, within what is left of 20 s
//!                 │           │            └─ open: 503   └─ none in time, or too many wait: 503
//!                 └───────────┴─ told again, at the newest position that is known
//! ```
//!
//! What is kept is what was read, not what was answered: a status, and whatever else depends on the time
//! of asking, is computed anew for each answer. That something is not there is kept as anything else that
//! was read; a failure is told to those who waited for it, and to nobody after them.

mod breaker;
mod flights;
mod kept;
mod known;
mod turns;
mod weight;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use futures::FutureExt;
use licenseflow_core::contract::causes::chain;
use licenseflow_runtime::http::{Deadline, Problem};
use licenseflow_store::lookup::{Freshness, Read};
use licenseflow_store::{Error, Kind, Lookup, Patience};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::Span;

use self::breaker::{Breaker, OPEN};
use self::flights::{Asking, Flights, Landed};
use self::kept::{Kept, Key};
use self::known::Known;
use self::turns::{Rank, Refused, Turns};
use crate::answer::Failure;
use crate::clock::Clock;
use crate::metrics;

pub(crate) use self::kept::Keep;
pub(crate) use self::weight::Weigh;

/// How long the store may take for one question.
const STORE_MAX: Duration = Duration::from_secs(15);

/// How long a request has that does not say it.
const REQUEST_MAX: Duration = Duration::from_secs(20);

/// What is left to make an answer of what the store said, or did not say.
const MARGIN: Duration = Duration::from_millis(500);

/// The store ends a question itself; after so much more it is not waited for.
const SLACK: Duration = Duration::from_millis(200);

/// A question that had less time says nothing about the store by running out of it.
const FAIR: Duration = Duration::from_secs(1);

/// How long whoever asks for health waits for the store, which leaves room for the answer within 3 s.
const HEALTH_MAX: Duration = Duration::from_millis(2_500);

/// Where the model stands is known well enough for an answer that was not read from it.
const RECENT: Duration = Duration::from_secs(1);

tokio::task_local! {
    static DEADLINE: Deadline;
}

/// Answers a request by its deadline, which all its questions share.
pub(crate) async fn answering<F: Future>(deadline: Option<Deadline>, request: F) -> F::Output {
    let deadline = deadline.unwrap_or_else(|| Deadline::within(REQUEST_MAX));
    DEADLINE.scope(deadline, request).await
}

/// What is left for whoever asks the store now.
pub(crate) fn left() -> Duration {
    let left = DEADLINE.try_with(Deadline::left).unwrap_or(REQUEST_MAX);
    left.saturating_sub(MARGIN)
}

/// What bounds the questions to the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// So many at once.
    pub(crate) lookups_max: usize,
    /// So many wait for their turn.
    pub(crate) queue_max: usize,
    /// So many bytes of answers are kept; 0 keeps and shares none.
    pub(crate) cache_bytes_max: usize,
}

/// A question whose answer others may be told too.
#[derive(Debug)]
pub(crate) struct Question {
    /// Its name among the numbers.
    pub(crate) name: &'static str,
    /// All that its answer depends on beside time and position, the tenant among it.
    pub(crate) of: String,
    /// Whether its answer depends on the time of asking.
    pub(crate) by_time: bool,
}

/// The store, asked by a bounded number at once.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    lookup: Arc<dyn Lookup>,
    clock: Clock,
    turns: Turns,
    breaker: Breaker,
    known: Known,
    /// None: each question is asked by itself.
    sharing: Option<Sharing>,
}

struct Sharing {
    kept: Kept,
    flights: Arc<Flights>,
}

impl Store {
    pub(crate) fn new(
        lookup: Arc<dyn Lookup>,
        bounds: Bounds,
        applied: Option<watch::Receiver<u64>>,
        clock: Clock,
    ) -> Self {
        let sharing = (bounds.cache_bytes_max > 0).then(|| Sharing {
            kept: Kept::new(bounds.cache_bytes_max),
            flights: Arc::default(),
        });
        let inner = Inner {
            lookup,
            clock,
            turns: Turns::new(bounds.lookups_max, bounds.queue_max),
            breaker: Breaker::new(),
            known: Known::new(applied, Instant::now()),
            sharing,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Asks a question; `name` is its label among the numbers.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        name: &'static str,
        question: impl FnOnce(&dyn Lookup) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        self.asked(name, (left(), Rank::Request), question).await
    }

    /// Asks for a single row: on this very thread where the store has it at hand, since another thread
    /// would be found later than it is read; else as any other question.
    pub(crate) async fn ask_briefly<T: Send + 'static>(
        &self,
        name: &'static str,
        question: impl Fn(&dyn Lookup) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        match self.at_hand(name, &question) {
            Some(answer) => answer,
            None => self.ask(name, question).await,
        }
    }

    /// Asks for a single row on this very thread. None where the store would have to be waited for; it is
    /// then to be asked as for anything else.
    pub(crate) fn at_hand<T>(
        &self,
        name: &'static str,
        question: impl FnOnce(&dyn Lookup) -> Result<T, Error>,
    ) -> Option<Result<T, Failure>> {
        let begun = Instant::now();
        if !self.inner.lookup.is_at_hand() {
            return None;
        }
        let turn = self.inner.turns.try_take()?;
        let pass = self.inner.breaker.lets_through(begun)?;
        let answer = Patience::brief().during(|| question(self.inner.lookup.as_ref()));
        let now = Instant::now();
        drop(turn);
        // What it would be waited for is asked again, and then says something about the store.
        if matches!(&answer, Err(error) if error.kind() == Kind::Away) {
            pass.says_nothing(now);
            return None;
        }
        pass.answered(now);
        metrics::lookup(name, now.duration_since(begun));
        Some(answer.map_err(|error| problem_of(&error).into()))
    }

    /// Tells what the same question brought a moment ago, or brings to one who has asked it already, and
    /// else asks it; `keep` says of an answer for how long it is one.
    pub(crate) async fn share<T: Send + Sync + 'static>(
        &self,
        question: Question,
        keep: impl FnOnce(&T) -> Keep + Send + 'static,
        ask: impl FnOnce(&dyn Lookup) -> Result<Read<T>, Error> + Send + 'static,
    ) -> Result<Read<Arc<T>>, Failure> {
        let Some(sharing) = &self.inner.sharing else {
            return self.ask(question.name, ask).await.map(alone);
        };
        let now = Instant::now();
        let (tag, freshness) = self.inner.known.now();
        let asking = Asking {
            tag,
            by_time: question.by_time,
            given: left().min(STORE_MAX),
            now,
            key: Arc::new(Key {
                name: question.name,
                of: question.of,
            }),
        };
        let when = (now, (self.inner.clock)());
        let age_max = self.inner.known.keeps_for();
        if let Some(value) = sharing.kept.get(&asking.key, tag, age_max, when) {
            metrics::shared("hit");
            return told(value, freshness);
        }
        if let Some(flight) = sharing.flights.join(&asking) {
            metrics::shared("shared");
            let landed = timeout(asking.given + 2 * SLACK, flight).await;
            let landed = landed.map_err(|_| ran_out())??;
            // What turned while it was on its way is asked again.
            if landed.keep == Keep::No || landed.keep.holds_at((self.inner.clock)()) {
                return told(landed.value, landed.freshness);
            }
        }
        metrics::shared("miss");
        let flight = sharing.flights.join_or_begin(&asking, || {
            let (store, asking) = (self.clone(), asking.clone());
            async move { store.landed(asking, keep, ask).await }.boxed()
        });
        let landed = timeout(asking.given + 2 * SLACK, flight).await;
        let landed = landed.map_err(|_| ran_out())??;
        told(landed.value, landed.freshness)
    }

    /// Asks, and keeps the answer where that is right.
    async fn landed<T: Send + Sync + 'static>(
        self,
        asking: Asking,
        keep: impl FnOnce(&T) -> Keep + Send,
        ask: impl FnOnce(&dyn Lookup) -> Result<Read<T>, Error> + Send + 'static,
    ) -> Result<Landed, Failure> {
        let terms = (asking.given, Rank::Request);
        let read = self.asked(asking.key.name, terms, ask).await?;
        let landed = Landed {
            keep: keep(&read.value),
            value: Arc::new(read.value),
            freshness: read.freshness,
        };
        let now = Instant::now();
        let tag = self.inner.known.saw(&landed.freshness, asking.now, now);
        // What was committed while it was read may not be in it.
        let tag = tag.filter(|tag| tag.is_told_as(asking.tag));
        if let (Some(sharing), Some(tag)) = (&self.inner.sharing, tag) {
            let (value, keep) = (Arc::clone(&landed.value), landed.keep.clone());
            sharing.kept.put(asking.key, value, keep, (tag, now));
        }
        Ok(landed)
    }

    /// Whether the store is there. Never refused for want of a turn: while all are taken by questions that
    /// are answered, it is.
    pub(crate) async fn is_there(&self) -> Result<(), Failure> {
        let since = Instant::now().checked_sub(HEALTH_MAX);
        let answers = since.is_some_and(|since| self.inner.breaker.has_answered_since(since));
        if self.inner.turns.are_taken() && answers {
            return Ok(());
        }
        let terms = (HEALTH_MAX, Rank::Health);
        let asked_at = Instant::now();
        let asked = self.asked("freshness", terms, |lookup| lookup.freshness());
        self.saw(&asked.await?, asked_at);
        Ok(())
    }

    /// Where the model stands.
    pub(crate) async fn freshness(&self) -> Result<Freshness, Failure> {
        let asked_at = Instant::now();
        let read = self.ask_briefly("freshness", |lookup| lookup.freshness());
        let read = read.await?;
        self.saw(&read, asked_at);
        Ok(read)
    }

    /// Where the model is known to stand, for an answer that was not read from it: asked only where that
    /// is not known, and not for one that says that the store does not answer.
    pub(crate) async fn standing(&self, status: StatusCode) -> Option<Freshness> {
        let known = self.inner.known.freshness();
        let is_trouble = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        match known {
            Some((freshness, seen_at)) if is_trouble || seen_at.elapsed() < RECENT => {
                Some(freshness)
            }
            None if is_trouble => None,
            Some(_) | None => self.freshness().await.ok(),
        }
    }

    /// The newest position that is known, and what is known of its ends.
    pub(crate) fn known(&self) -> Option<Freshness> {
        self.inner.known.freshness().map(|(freshness, _)| freshness)
    }

    /// A position as a header's value.
    pub(crate) fn position_text(&self, of: &Freshness) -> HeaderValue {
        self.inner.known.position_text(of)
    }

    /// Learns where the model stands from what was read by a question that was asked then.
    pub(crate) fn saw(&self, read: &Freshness, asked_at: Instant) {
        self.inner.known.saw(read, asked_at, Instant::now());
    }

    async fn asked<T: Send + 'static>(
        &self,
        name: &'static str,
        (longest, rank): (Duration, Rank),
        question: impl FnOnce(&dyn Lookup) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let Some(mut pass) = self.inner.breaker.lets_through(begun) else {
            metrics::lookup_failed("open");
            return Err(open().into());
        };
        let turn = match self.inner.turns.take(longest, rank).await {
            Ok(turn) => turn,
            Err(refused) => {
                pass.says_nothing(Instant::now());
                return Err(busy(refused).into());
            }
        };
        pass.asks(Instant::now());
        let longest = longest.saturating_sub(begun.elapsed()).min(STORE_MAX);
        let (asker, patience) = Patience::of(longest);
        let lookup = Arc::clone(&self.inner.lookup);
        let span = Span::current();
        // The turn is the question's: it is free again when the question has really ended.
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let started = std::time::Instant::now();
            let answer = patience.during(|| span.in_scope(|| question(lookup.as_ref())));
            metrics::lookup(name, started.elapsed());
            answer
        });
        let asked = timeout(longest + SLACK, asked).await;
        drop(asker);
        let now = Instant::now();
        match asked {
            Ok(Ok(Ok(answer))) => {
                pass.answered(now);
                Ok(answer)
            }
            Ok(Ok(Err(error))) => {
                match error.kind() {
                    Kind::Away if longest < FAIR => pass.says_nothing(now),
                    Kind::Away => pass.failed(now),
                    Kind::Fenced | Kind::Held | Kind::Refused | Kind::Unusable | Kind::Broken => {
                        pass.answered(now)
                    }
                }
                Err(problem_of(&error).into())
            }
            Ok(Err(error)) => {
                pass.says_nothing(now);
                tracing::error!(%error, question = name, "a question to the store did not end");
                metrics::lookup_failed("panic");
                Err(Problem::internal().into())
            }
            Err(_) => {
                match longest < FAIR {
                    true => pass.says_nothing(now),
                    false => pass.failed(now),
                }
                Err(ran_out())
            }
        }
    }
}

/// What was read for one alone, as what others are told too.
pub(crate) fn alone<T>(read: Read<T>) -> Read<Arc<T>> {
    Read {
        value: Arc::new(read.value),
        freshness: read.freshness,
    }
}

fn told<T: Send + Sync + 'static>(
    value: kept::Value,
    freshness: Freshness,
) -> Result<Read<Arc<T>>, Failure> {
    // A name is asked for one type alone.
    let value = value.downcast().map_err(|_| Problem::internal())?;
    Ok(Read { value, freshness })
}

fn open() -> Problem {
    let detail = "the store does not answer, and is left alone for a while";
    let seconds = u32::try_from(OPEN.as_secs()).unwrap_or(u32::MAX);
    Problem::unavailable("store_away", detail).retry_after(seconds)
}

fn busy(refused: Refused) -> Problem {
    metrics::lookup_failed("busy");
    metrics::shed(refused.name());
    Problem::unavailable(
        "store_busy",
        "the store has too many questions to answer now",
    )
}

pub(crate) fn ran_out() -> Failure {
    metrics::lookup_failed("slow");
    tracing::warn!("the store did not answer in time");
    Problem::unavailable("store_away", "the store did not answer in time; try again").into()
}

/// The problem that an error of the store's is to whoever asked; it is logged and counted here.
pub(crate) fn problem_of(error: &Error) -> Problem {
    let kind = error.kind().label();
    metrics::lookup_failed(kind);
    let chain = chain(error);
    match error.kind() {
        Kind::Away => {
            tracing::warn!(error = chain, "the store is away");
            Problem::unavailable("store_away", "the store is busy or away; try again")
        }
        Kind::Fenced | Kind::Held | Kind::Refused | Kind::Unusable | Kind::Broken => {
            tracing::error!(error = chain, kind, "the store did not answer");
            Problem::internal()
        }
    }
}
