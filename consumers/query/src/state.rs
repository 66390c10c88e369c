//! What every handler holds.

use std::ops::Deref;
use std::sync::Arc;

use licenseflow_core::contract::Topics;
use licenseflow_store::Lookup;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::fresh::Gate;
use crate::metrics;
use crate::partitions::PartitionCount;
use crate::push::{Hub, StreamLimits};
use crate::readiness::Readiness;
use crate::store::{Bounds, Store};

/// What the query API needs beside the store.
pub struct QueryOptions {
    /// How many questions the store is asked at once; as many as it has readers.
    pub lookups_max: usize,
    /// How many questions may wait for their turn beside them; one more is refused.
    pub queue_max: usize,
    /// How many bytes of what was read are kept until a newer position is known; 0 keeps none, and asks
    /// each question by itself.
    pub cache_bytes_max: usize,
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
pub struct QueryState(Arc<Held>);

impl Deref for QueryState {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.0
    }
}

/// What they hold together.
#[derive(Clone)]
pub struct Held {
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
        let bounds = Bounds {
            lookups_max: options.lookups_max,
            queue_max: options.queue_max,
            cache_bytes_max: options.cache_bytes_max,
        };
        let clock = Arc::clone(&options.clock);
        let store = Store::new(lookup, bounds, options.applied.clone(), clock);
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
        Self(Arc::new(Held {
            store,
            gate: Arc::new(gate),
            hub: Arc::new(hub),
            topics: options.topics,
            partitions: options.partitions,
            readiness: options.readiness,
            cors_origins: Arc::default(),
            events_to: None,
            clock: options.clock,
        }))
    }

    /// Lets web pages of these origins read the API in a browser, `*` being all. Without it those of no
    /// other origin may.
    #[must_use]
    pub fn open_to(mut self, origins: &[String]) -> Self {
        Arc::make_mut(&mut self.0).cors_origins = origins.into();
        self
    }

    /// Says where events are sent to: a license then links to what can be done next.
    #[must_use]
    pub fn sending_events_to(mut self, address: &str) -> Self {
        Arc::make_mut(&mut self.0).events_to = Some(address.into());
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
