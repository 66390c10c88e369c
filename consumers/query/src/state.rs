//! What every handler holds, and the one way to the store: off the runtime's threads, and bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use licenseflow_core::contract::Topics;
use licenseflow_runtime::http::Problem;
use licenseflow_store::{Error, Kind, Lookup};
use tokio::sync::{Semaphore, watch};
use tracing::Span;

use crate::answer::Failure;
use crate::clock::Clock;
use crate::fresh::Gate;
use crate::metrics;
use crate::partitions::PartitionCount;
use crate::push::{Hub, StreamLimits};
use crate::readiness::Readiness;

/// How long a request waits for its turn at the store.
const TURN_MAX: Duration = Duration::from_secs(5);

/// What the query API needs beside the store.
pub struct QueryOptions {
    /// How many questions the store is asked at once; as many as it has readers.
    pub lookups_max: usize,
    /// How many requests may wait for the read model at once.
    pub waiters_max: usize,
    /// The topics that answers name.
    pub topics: Topics,
    /// How many partitions there are, for who asks for a position.
    pub partitions: PartitionCount,
    /// What the process says of itself.
    pub readiness: Arc<dyn Readiness>,
    /// Changes whenever a projector in this process has committed; without it the store is polled
    /// while somebody waits.
    pub applied: Option<watch::Receiver<u64>>,
    /// The bounds of streams.
    pub streams: StreamLimits,
    /// The time.
    pub clock: Clock,
}

/// What every handler holds.
#[derive(Clone)]
pub struct QueryState {
    pub(crate) store: Store,
    pub(crate) gate: Arc<Gate>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) topics: Topics,
    pub(crate) partitions: PartitionCount,
    pub(crate) readiness: Arc<dyn Readiness>,
    pub(crate) cors_origins: Arc<[String]>,
    pub(crate) events_to: Option<Arc<str>>,
    pub(crate) clock: Clock,
}

impl QueryState {
    /// Must be called inside the runtime: the one who watches for waiters begins to run.
    pub fn new(lookup: Arc<dyn Lookup>, options: QueryOptions) -> Self {
        metrics::describe();
        let store = Store {
            lookup,
            turns: Arc::new(Semaphore::new(options.lookups_max.max(1))),
        };
        let hub = Hub::start(
            store.clone(),
            options.topics.clone(),
            options.streams,
            options.applied.clone(),
        );
        let gate = Gate::start(
            store.clone(),
            options.applied,
            options.waiters_max,
            Arc::clone(&options.clock),
        );
        Self {
            store,
            gate: Arc::new(gate),
            hub: Arc::new(hub),
            topics: options.topics,
            partitions: options.partitions,
            readiness: options.readiness,
            cors_origins: Arc::default(),
            events_to: None,
            clock: options.clock,
        }
    }

    /// Lets web pages of these origins read the API in a browser, `*` being all. Without it those of no
    /// other origin may.
    #[must_use]
    pub fn open_to(mut self, origins: &[String]) -> Self {
        self.cors_origins = origins.into();
        self
    }

    /// Says where events are sent to: a license then links to what can be done next.
    #[must_use]
    pub fn sending_events_to(mut self, address: &str) -> Self {
        self.events_to = Some(address.into());
        self
    }

    /// Waits for `stop`, then ends every stream with the reason, and returns when they have gone or had
    /// their time.
    pub async fn end_streams(&self, stop: impl Future<Output = ()>) {
        self.hub.end_with(stop).await;
    }

    /// The time of asking, in microseconds UTC.
    pub(crate) fn now(&self) -> i64 {
        (self.clock)()
    }

    /// The time of asking, in milliseconds UTC.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now().div_euclid(1000)
    }
}

/// The store, asked by a bounded number at once.
#[derive(Clone)]
pub(crate) struct Store {
    lookup: Arc<dyn Lookup>,
    turns: Arc<Semaphore>,
}

impl Store {
    /// Asks a question; `name` is its label among the numbers.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        name: &'static str,
        question: impl FnOnce(&dyn Lookup) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = tokio::time::timeout(TURN_MAX, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            metrics::lookup_failed("busy");
            return Err(Problem::unavailable(
                "store_busy",
                "the store has too many questions to answer now",
            )
            .into());
        };
        let lookup = Arc::clone(&self.lookup);
        let span = Span::current();
        // The question runs to its end also where the client has gone, and keeps its turn so long.
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let started = Instant::now();
            let answer = span.in_scope(|| question(lookup.as_ref()));
            metrics::lookup(name, started.elapsed());
            answer
        });
        match asked.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(problem_of(&error).into()),
            Err(error) => {
                tracing::error!(%error, question = name, "a question to the store did not end");
                metrics::lookup_failed("panic");
                Err(Problem::internal().into())
            }
        }
    }
}

/// The problem that an error of the store's is to whoever asked; it is logged and counted here.
pub(crate) fn problem_of(error: &Error) -> Problem {
    let kind = label(error.kind());
    metrics::lookup_failed(kind);
    let chain = chain_of(error);
    match error.kind() {
        Kind::Away => {
            tracing::warn!(error = chain, "the store is away");
            Problem::unavailable("store_away", "the store is busy or away; try again")
        }
        Kind::Fenced | Kind::Held | Kind::Unusable | Kind::Broken => {
            tracing::error!(error = chain, kind, "the store did not answer");
            Problem::internal()
        }
    }
}

fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Fenced => "fenced",
        Kind::Held => "held",
        Kind::Away => "away",
        Kind::Unusable => "unusable",
        Kind::Broken => "broken",
    }
}

fn chain_of(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
