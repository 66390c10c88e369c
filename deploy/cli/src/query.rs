//! `query`: answers what is known of licenses, from a store that a projector writes: on this machine
//! where it is a file, anywhere where it is PostgreSQL.

use crate::exit::Exit;
use crate::service::Service;
use crate::store::Reading;
use clap::Args;
use licenseflow_avro::Topics;
use licenseflow_query::{Check, PartitionCount, QueryOptions, QueryState, Readiness, system_clock};
use licenseflow_runtime::config::{Effective, HttpArgs, QueryApiArgs, StoreArgs, TopicsArgs};
use std::sync::Arc;
use tokio::sync::watch;

/// Readers of the store at once. Each is a connection and, while it reads, a thread.
pub(crate) const READERS: usize = 8;

/// Requests that may wait for the read model to come as far as they ask.
const WAITERS_MAX: usize = 512;

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    api: QueryApiArgs,
    #[command(flatten)]
    topics: TopicsArgs,
}

pub(crate) async fn run(arguments: QueryArgs, effective: &Effective) -> anyhow::Result<Exit> {
    let topics = Topics::new(&arguments.topics.topic_prefix);
    let mut service = Service::start("query", effective)?;
    let reading = Reading::open(arguments.store.place(), READERS).await?;
    // This role speaks with no broker: whoever asks for a partition that is none waits in vain.
    let unknown: PartitionCount = Arc::new(|_| None);
    let state = state(reading, topics, Arc::new(StoreAlone), unknown, None);
    let state = told(state, &arguments.api, None);
    let routes = licenseflow_query::routes(state.clone());
    let routes = routes.merge(licenseflow_query::health_router(state).into());
    service.serve(&arguments.http, routes)?;
    service.until_stopped().await
}

/// The API after it was told of its surroundings; `intake` is the path of an intake at the same address.
pub(crate) fn told(state: QueryState, api: &QueryApiArgs, intake: Option<&str>) -> QueryState {
    let state = state.open_to(&api.cors_origins());
    match api.events_url.as_deref().or(intake) {
        Some(address) => state.sending_events_to(address),
        None => state,
    }
}

/// The query API over a store. `applied` changes with each batch of this process; a store that tells of
/// every process's is heard instead.
pub(crate) fn state(
    reading: Reading,
    topics: Topics,
    readiness: Arc<dyn Readiness>,
    partitions: PartitionCount,
    applied: Option<watch::Receiver<u64>>,
) -> QueryState {
    let options = QueryOptions {
        lookups_max: READERS,
        waiters_max: WAITERS_MAX,
        topics,
        partitions,
        readiness,
        applied: reading.news.or(applied),
        clock: system_clock(),
    };
    QueryState::new(reading.lookup, options)
}

/// This role needs nothing but the store, which the API asks itself.
struct StoreAlone;

impl Readiness for StoreAlone {
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}
